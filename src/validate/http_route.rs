//! One HTTP rule of a VirtualService: its matches and what it does.

use api::networking::virtual_service::GRPC_STATUSES;
use regex::Regex;

use crate::destination_rule::duration;
use crate::field::{Field, Findings};
use crate::virtual_service::{destination, gateways, weights};
use crate::{header, host, port, selector};

/// Longest regular expression, in bytes.
const LONGEST: usize = 1024;
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
];
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];
/// A rule; `delegate` says whether its VirtualService is one without hosts.
pub fn check(findings: &mut Findings, route: &Field, delegate: bool) {
    what_it_does(findings, route, delegate);
    for entry in route.get("match").items() {
        condition(findings, &entry);
    }
    header::operations(findings, &route.get("headers"));
    authority_once(findings, route);
    cors(findings, &route.get("corsPolicy"));
    fault(findings, &route.get("fault"));
    mirrors(findings, route);
    redirect(findings, &route.get("redirect"), &route.get("match"));
    direct_response(findings, &route.get("directResponse"));
    retries(findings, &route.get("retries"));
    rewrite(findings, &route.get("rewrite"));
    duration(findings, &route.get("timeout"));
    for entry in route.get("route").items() {
        header::operations(findings, &entry.get("headers"));
    }
    weights(findings, &route.get("route"));
}

/// A rule does one thing: it routes, redirects, answers or delegates.
fn what_it_does(findings: &mut Findings, route: &Field, delegate: bool) {
    let set = route.which(&["route", "redirect", "directResponse"]);
    if route.has("delegate") {
        if delegate {
            findings.error(
                &route.get("delegate"),
                "stands in a delegate itself, which cannot delegate further",
            );
        }
        for name in set.iter().filter(|name| **name != "directResponse") {
            findings.error(&route.get(name), "does not go with delegate");
        }
        return;
    }
    match set.as_slice() {
        [] => findings.missing(
            &route.get("route"),
            "is required, or redirect, directResponse or delegate",
        ),
        ["route"] => {
            if route.get("route").len() == 0 {
                findings.missing(
                    &route.get("route"),
                    "is empty, expected at least one destination",
                );
            }
        }
        [alone] => {
            for other in route.which(&["fault", "rewrite"]) {
                findings.error(&route.get(other), format!("does not go with {alone}"));
            }
        }
        several => findings.error(
            route,
            format!("has {}, expected one of them", several.join(" and ")),
        ),
    }
    if route.has("mirror") && route.get("mirrors").len() > 0 {
        findings.error(&route.get("mirror"), "does not go with mirrors");
    }
}

fn condition(findings: &mut Findings, entry: &Field) {
    for name in ["headers", "withoutHeaders"] {
        for (header, value) in entry.get(name).entries() {
            header::matched(findings, &value, header);
            // The one form in which a header that must be absent is often written.
            if name == "headers" || value.get("regex").text() != "*" {
                text(findings, &value, true);
            }
        }
    }
    text(findings, &entry.get("uri"), false);
    for name in ["scheme", "method", "authority"] {
        text(findings, &entry.get(name), true);
    }
    for (_, value) in entry.get("queryParams").entries() {
        text(findings, &value, true);
    }
    if entry.get("port").int() != 0 {
        port::number(findings, &entry.get("port"));
    }
    selector::labels(findings, &entry.get("sourceLabels"));
    gateways(findings, &entry.get("gateways"));
    let namespace = entry.get("sourceNamespace");
    if !namespace.text().is_empty() && !host::is_label(namespace.text()) {
        findings.error(
            &namespace,
            format!("{:?} is no namespace", namespace.text()),
        );
    }
}

/// A StringMatch; an empty prefix matches everything, which a path may mean.
fn text(findings: &mut Findings, matched: &Field, prefix_needed: bool) {
    let prefix = matched.get("prefix");
    if prefix_needed && prefix.is_set() && prefix.text().is_empty() {
        findings.error(&prefix, "is empty, which matches everything");
    }
    regex(findings, &matched.get("regex"));
}

fn regex(findings: &mut Findings, field: &Field) {
    if !field.is_set() {
        return;
    }
    let text = field.text();
    if text.is_empty() {
        findings.error(field, "is empty");
    } else if text.len() > LONGEST {
        findings.error(
            field,
            format!("has {} bytes, expected at most {LONGEST}", text.len()),
        );
    } else if let Err(error) = Regex::new(text) {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default();
        let reason = reason.strip_prefix("error: ").unwrap_or(reason);
        findings.error(
            field,
            format!("is no regular expression in RE2's syntax: {reason}"),
        );
    }
}

/// The authority is rewritten in one place.
fn authority_once(findings: &mut Findings, route: &Field) {
    let request = route.get("headers").get("request");
    let mut set = !route.get("rewrite").get("authority").text().is_empty();
    for operation in ["set", "add"] {
        for (name, value) in request.get(operation).entries() {
            if header::is_authority(name) {
                if set {
                    findings.error(&value, "sets the authority, which is set already");
                }
                set = true;
            }
        }
    }
}

fn cors(findings: &mut Findings, policy: &Field) {
    for origin in policy.get("allowOrigins").items() {
        let forms = ["exact", "prefix", "regex"];
        if forms.iter().all(|form| origin.get(form).text().is_empty()) {
            findings.error(&origin, "is empty, expected exact, prefix or regex");
        }
        regex(findings, &origin.get("regex"));
    }
    for method in policy.get("allowMethods").items() {
        if !METHODS.contains(&method.text()) {
            findings.error(
                &method,
                format!(
                    "{:?} is no HTTP method, expected one of {}",
                    method.text(),
                    METHODS.join(", ")
                ),
            );
        }
    }
    for name in ["allowHeaders", "exposeHeaders"] {
        for header in policy.get(name).items() {
            header::cors(findings, &header);
        }
    }
    let age = policy.get("maxAge");
    duration(findings, &age);
    if age.duration().is_some_and(|age| age.subsec_nanos() > 0) {
        findings.error(&age, "is not in whole seconds");
    }
}

fn fault(findings: &mut Findings, fault: &Field) {
    if !fault.is_set() {
        return;
    }
    let (abort, delay) = (fault.get("abort"), fault.get("delay"));
    if !abort.is_set() && !delay.is_set() {
        findings.error(fault, "is empty, expected abort or delay");
    }
    for part in [&abort, &delay] {
        let percent = part.get("percentage").get("value");
        let fine = |value: f64| value == 0.0 || (0.0001..=100.0).contains(&value);
        if percent.number().is_some_and(|value| !fine(value)) {
            findings.error(
                &percent,
                format!("is {}, expected 0, or 0.0001 to 100", percent.value()),
            );
        }
    }
    let grpc = abort.get("grpcStatus");
    if abort.has("httpStatus") {
        status(findings, &abort.get("httpStatus"));
    } else if grpc.is_set() && !GRPC_STATUSES.contains(&grpc.text()) {
        findings.error(
            &grpc,
            format!(
                "{:?} is no status of gRPC, expected one of {}",
                grpc.text(),
                GRPC_STATUSES.join(", ")
            ),
        );
    } else if abort.has("http2Error") {
        findings.error(
            &abort.get("http2Error"),
            "is not supported, expected httpStatus or grpcStatus",
        );
    } else if abort.is_set() && !grpc.is_set() {
        findings.warning(&abort, "aborts nothing, expected httpStatus or grpcStatus");
    }
    duration(findings, &delay.get("fixedDelay"));
    if delay.has("exponentialDelay") {
        findings.error(
            &delay.get("exponentialDelay"),
            "is not supported, expected fixedDelay",
        );
    }
}

fn status(findings: &mut Findings, field: &Field) {
    if !(200..=600).contains(&field.int()) {
        findings.error(
            field,
            format!(
                "is {}, expected an HTTP status from 200 to 599",
                field.int()
            ),
        );
    }
}

fn mirrors(findings: &mut Findings, route: &Field) {
    let percent = |findings: &mut Findings, field: &Field| {
        let value = field.number().unwrap_or_default();
        if !(0.0..=100.0).contains(&value) {
            findings.error(
                field,
                format!("is {value}, expected a percentage from 0 to 100"),
            );
        }
    };
    let old = route.get("mirrorPercent");
    percent(findings, &old);
    if old.is_set() {
        findings.warning(&old, "is deprecated, use mirrorPercentage");
    }
    percent(findings, &route.get("mirrorPercentage").get("value"));
    destination(findings, &route.get("mirror"));
    for mirror in route.get("mirrors").items() {
        if !mirror.has("destination") {
            findings.missing(&mirror.get("destination"), "is required");
        }
        destination(findings, &mirror.get("destination"));
        percent(findings, &mirror.get("percentage").get("value"));
    }
}

fn redirect(findings: &mut Findings, redirect: &Field, matches: &Field) {
    if !redirect.is_set() {
        return;
    }
    let given = |name: &str| !redirect.get(name).text().is_empty();
    if given("uri") && given("prefixRewrite") {
        findings.error(redirect, "has uri and prefixRewrite, expected one of them");
    }
    let by_prefix = |entry: Field| !entry.has("uri") || entry.get("uri").has("prefix");
    if given("prefixRewrite") && !matches.items().all(by_prefix) {
        findings.error(
            &redirect.get("prefixRewrite"),
            "needs every match of the path to be by prefix",
        );
    }
    let names = ["uri", "prefixRewrite", "authority", "scheme"];
    if !names.iter().any(|name| given(name)) && redirect.which(&["port", "derivePort"]).is_empty() {
        findings.error(
            redirect,
            "changes nothing, expected uri, authority, scheme, port or derivePort",
        );
    }
    let code = redirect.get("redirectCode");
    if code.int() != 0 && !(300..=399).contains(&code.int()) {
        findings.error(&code, format!("is {}, expected 300 to 399", code.int()));
    }
    let scheme = redirect.get("scheme");
    if !["", "http", "https"].contains(&scheme.text()) {
        findings.error(
            &scheme,
            format!("is {:?}, expected http or https", scheme.text()),
        );
    }
    if redirect.get("port").int() > 0 {
        port::number(findings, &redirect.get("port"));
    }
}

fn direct_response(findings: &mut Findings, response: &Field) {
    if !response.is_set() {
        return;
    }
    status(findings, &response.get("status"));
    let body = response.get("body");
    let text = body.get("string").text().len();
    // Base64: four characters for three bytes.
    let size = text.max(body.get("bytes").text().len() / 4 * 3);
    match size {
        0..=102_400 => {}
        102_401..=1_048_576 => findings.warning(
            &body,
            format!("has {size} bytes, which every proxy must keep"),
        ),
        _ => findings.error(&body, format!("has {size} bytes, expected at most 1 MiB")),
    }
}

fn retries(findings: &mut Findings, retries: &Field) {
    let attempts = retries.get("attempts");
    if attempts.int() < 0 {
        findings.error(
            &attempts,
            format!("is {}, expected 0 or more", attempts.int()),
        );
    }
    let off = retries.is_set() && attempts.int() == 0;
    for name in retries.which(&["perTryTimeout", "retryOn", "retryRemoteLocalities"]) {
        let empty = name == "retryOn" && retries.get(name).text().is_empty();
        if off && !empty {
            findings.error(
                &retries.get(name),
                "has no effect while attempts is 0, which turns retries off",
            );
        }
    }
    duration(findings, &retries.get("perTryTimeout"));
    duration(findings, &retries.get("backoff"));
    let conditions = retries.get("retryOn");
    for condition in conditions
        .text()
        .split(',')
        .filter(|_| !conditions.text().is_empty())
    {
        let code = condition
            .parse()
            .is_ok_and(|code: u16| (100..600).contains(&code));
        if !code && !RETRY_ON.contains(&condition) {
            findings.error(
                &conditions,
                format!(
                    "{condition:?} is no condition, expected a status or one of {}",
                    RETRY_ON.join(", ")
                ),
            );
        }
    }
}

fn rewrite(findings: &mut Findings, rewrite: &Field) {
    if !rewrite.is_set() {
        return;
    }
    let pattern = rewrite.get("uriRegexRewrite");
    let uri = !rewrite.get("uri").text().is_empty();
    if uri && pattern.is_set() {
        findings.error(rewrite, "has uri and uriRegexRewrite, expected one of them");
    } else if !uri && !pattern.is_set() && rewrite.get("authority").text().is_empty() {
        findings.error(
            rewrite,
            "changes nothing, expected uri, uriRegexRewrite or authority",
        );
    }
    if pattern.is_set() {
        for name in ["match", "rewrite"] {
            if pattern.get(name).text().is_empty() {
                findings.missing(&pattern.get(name), "is required");
            }
        }
        regex(findings, &pattern.get("match"));
    }
}
