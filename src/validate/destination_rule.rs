//! DestinationRule: what clients do for a host and its subsets.

use std::time::Duration;

use crate::field::{Field, Findings};
use crate::{host, locality, port, selector, tls};

const POLICY: [&str; 8] = [
    "outlierDetection",
    "connectionPool",
    "loadBalancer",
    "tls",
    "portLevelSettings",
    "tunnel",
    "proxyProtocol",
    "retryBudget",
];

pub fn check(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    if let Err(message) = host::is_wildcard_domain(spec.get("host").text()) {
        findings.error(&spec.get("host"), message);
    }
    policy(findings, &spec.get("trafficPolicy"));
    let mut names = Vec::new();
    for subset in spec.get("subsets").items() {
        let name = subset.get("name");
        if names.contains(&name.text()) {
            findings.error(
                &name,
                format!(
                    "{:?} names an earlier subset, expected each once",
                    name.text()
                ),
            );
        } else if !host::is_label(name.text()) {
            findings.error(
                &name,
                format!("{:?} is no subset name, expected a DNS label", name.text()),
            );
        }
        names.push(name.text());
        selector::labels(findings, &subset.get("labels"));
        policy(findings, &subset.get("trafficPolicy"));
    }
    export(findings, &spec);
    selector::warn_if_empty(findings, &spec.get("workloadSelector"));
}

fn export(findings: &mut Findings, spec: &Field) {
    let to = spec.get("exportTo");
    host::export_to(findings, &to, false);
    let own = findings.subject().namespace.clone().unwrap_or_default();
    let elsewhere = |item: &Field| item.text() != "." && item.text() != own;
    if spec.has("workloadSelector") && to.items().any(|item| elsewhere(&item)) {
        findings.error(
            &to,
            "reaches other namespaces, which a workloadSelector does not allow; expected [\".\"]",
        );
    }
}

fn policy(findings: &mut Findings, policy: &Field) {
    if !policy.is_set() {
        return;
    }
    if policy.which(&POLICY).is_empty() {
        findings.error(
            policy,
            format!("is empty, expected one of {}", POLICY.join(", ")),
        );
    }
    if policy.has("tunnel") && policy.has("proxyProtocol") {
        findings.error(policy, "has tunnel and proxyProtocol, expected one of them");
    }
    settings(findings, policy);
    tunnel(findings, &policy.get("tunnel"));
    for level in policy.get("portLevelSettings").items() {
        if level.get("port").is_set() {
            port::number(findings, &level.get("port").get("number"));
        } else {
            findings.missing(&level.get("port"), "is required");
        }
        if level.which(&POLICY[..4]).is_empty() {
            findings.error(
                &level,
                format!("sets nothing, expected one of {}", POLICY[..4].join(", ")),
            );
        }
        settings(findings, &level);
    }
}

/// What a policy and its levels by port have in common.
fn settings(findings: &mut Findings, policy: &Field) {
    outlier_detection(findings, &policy.get("outlierDetection"));
    connection_pool(findings, &policy.get("connectionPool"));
    load_balancer(
        findings,
        &policy.get("loadBalancer"),
        policy.has("outlierDetection"),
    );
    tls::client(findings, &policy.get("tls"));
}

fn tunnel(findings: &mut Findings, tunnel: &Field) {
    if !tunnel.is_set() {
        return;
    }
    let protocol = tunnel.get("protocol");
    if !["", "CONNECT", "POST"].contains(&protocol.text()) {
        findings.error(
            &protocol,
            format!("is {:?}, expected CONNECT or POST", protocol.text()),
        );
    }
    let target = tunnel.get("targetHost");
    if !host::is_address(target.text())
        && let Err(message) = host::is_domain(target.text())
    {
        findings.error(&target, message);
    }
    port::number(findings, &tunnel.get("targetPort"));
}

fn outlier_detection(findings: &mut Findings, outlier: &Field) {
    duration(findings, &outlier.get("baseEjectionTime"));
    duration(findings, &outlier.get("interval"));
    if outlier.get("consecutiveErrors").int() != 0 {
        findings.warning(
            &outlier.get("consecutiveErrors"),
            "is deprecated, use consecutiveGatewayErrors or consecutive5xxErrors",
        );
    }
    let local = outlier.get("consecutiveLocalOriginFailures");
    if local.int() > 0 && !outlier.get("splitExternalLocalOriginErrors").flag() {
        findings.error(
            &local,
            "has no effect unless splitExternalLocalOriginErrors is true",
        );
    }
    for name in ["maxEjectionPercent", "minHealthPercent"] {
        let percent = outlier.get(name);
        if !(0..=100).contains(&percent.int()) {
            findings.error(
                &percent,
                format!("is {}, expected a percentage from 0 to 100", percent.int()),
            );
        }
    }
}

/// `connectionPool` of a DestinationRule or Sidecar.
pub fn connection_pool(findings: &mut Findings, pool: &Field) {
    if !pool.is_set() {
        return;
    }
    let (http, tcp) = (pool.get("http"), pool.get("tcp"));
    if !http.is_set() && !tcp.is_set() {
        findings.error(pool, "is empty, expected http or tcp");
    }
    for name in [
        "http1MaxPendingRequests",
        "http2MaxRequests",
        "maxRequestsPerConnection",
        "maxRetries",
        "maxConcurrentStreams",
    ] {
        not_negative(findings, &http.get(name));
    }
    duration(findings, &http.get("idleTimeout"));
    let upgrade = http.get("h2UpgradePolicy");
    if upgrade.text() == "UPGRADE" && http.get("useClientProtocol").flag() {
        findings.error(
            &http.get("useClientProtocol"),
            "does not go with h2UpgradePolicy UPGRADE",
        );
    }
    let keepalive = http.get("http2KeepAlive");
    for name in ["interval", "timeout"] {
        match keepalive.has(name) {
            false if keepalive.is_set() => findings.missing(&keepalive.get(name), "is required"),
            _ => duration(findings, &keepalive.get(name)),
        }
    }
    not_negative(findings, &tcp.get("maxConnections"));
    duration(findings, &tcp.get("connectTimeout"));
    duration(findings, &tcp.get("maxConnectionDuration"));
    // Zero turns this one off.
    if tcp
        .get("idleTimeout")
        .duration()
        .is_none_or(|idle| !idle.is_zero())
    {
        duration(findings, &tcp.get("idleTimeout"));
    }
    duration(findings, &tcp.get("tcpKeepalive").get("time"));
    duration(findings, &tcp.get("tcpKeepalive").get("interval"));
}

fn not_negative(findings: &mut Findings, field: &Field) {
    if field.int() < 0 {
        findings.error(field, format!("is {}, expected 0 or more", field.int()));
    }
}

/// At least a millisecond, in whole ones; absent is fine.
pub fn duration(findings: &mut Findings, field: &Field) {
    if !field.is_set() {
        return;
    }
    let fine = |span: Duration| {
        span >= Duration::from_millis(1) && span.subsec_nanos().is_multiple_of(1_000_000)
    };
    if !field.duration().is_some_and(fine) {
        let message = format!(
            "is {}, expected a duration in whole milliseconds, such as 5s or 100ms",
            field.value()
        );
        findings.error(field, message);
    }
}

fn load_balancer(findings: &mut Findings, balancer: &Field, ejects: bool) {
    consistent_hash(findings, &balancer.get("consistentHash"));
    if balancer.has("localityLbSetting") && balancer.has("zoneAwareLbSetting") {
        findings.error(
            balancer,
            "has localityLbSetting and zoneAwareLbSetting, expected one of them",
        );
    }
    locality::check(findings, &balancer.get("localityLbSetting"), ejects);
    locality::zone_aware(findings, &balancer.get("zoneAwareLbSetting"), ejects);
    let warmup = balancer.get("warmup");
    duration(findings, &warmup.get("duration"));
    let least = warmup.get("minimumPercent");
    if least.number().is_some_and(|least| least > 100.0) {
        findings.error(
            &least,
            format!("is {}, expected at most 100", least.value()),
        );
    }
    let aggression = warmup.get("aggression");
    if aggression
        .number()
        .is_some_and(|aggression| aggression <= 0.0)
    {
        findings.error(
            &aggression,
            format!("is {}, expected more than 0", aggression.value()),
        );
    }
}

fn consistent_hash(findings: &mut Findings, hash: &Field) {
    let cookie = hash.get("httpCookie");
    if cookie.is_set() && cookie.get("name").text().is_empty() {
        findings.missing(&cookie.get("name"), "is required");
    }
    let mut names = Vec::new();
    for attribute in cookie.get("attributes").items() {
        let name = attribute.get("name");
        if name.text().is_empty() {
            findings.missing(&name, "is required");
        } else if names.contains(&name.text()) {
            findings.error(
                &name,
                format!(
                    "{:?} names an earlier attribute, expected each once",
                    name.text()
                ),
            );
        }
        names.push(name.text());
    }
    let ring = hash.get("minimumRingSize");
    if ring.int() != 0 {
        findings.warning(&ring, "is deprecated, use ringHash.minimumRingSize");
        if hash.has("maglev") || hash.has("ringHash") {
            findings.error(&ring, "does not go with maglev or ringHash");
        }
    }
    let table = hash.get("maglev").get("tableSize");
    if hash.has("maglev") {
        let size = table.int();
        if !(2..5_000_011).contains(&size) || !is_prime(size) {
            findings.error(&table, format!("is {size}, expected a prime below 5000011"));
        }
    }
}

fn is_prime(number: i64) -> bool {
    let factors = 2..;
    number > 1
        && factors
            .take_while(|factor| factor * factor <= number)
            .all(|factor| number % factor != 0)
}
