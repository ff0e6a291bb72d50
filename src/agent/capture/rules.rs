//! The rules themselves, equal in effect to upstream's and in its order: what comes first decides.

use super::settings::{Selection, Settings};

/// One rule, as `iptables-restore` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `nat` or `mangle`.
    pub table: &'static str,
    /// One of the kernel's or one of ours (`ISTIO_…`).
    pub chain: &'static str,
    /// The rest of the line.
    pub rest: String,
}

/// Everything that is to be there.
pub fn rules(settings: &Settings) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut add = |table, chain, rest: String| rules.push(Rule { table, chain, rest });
    let mut nat = |chain, rest| add("nat", chain, rest);
    let Settings {
        outbound_port,
        inbound_port,
        tunnel_port: tunnel,
        loopback,
        ..
    } = settings;

    // Traffic of virtual machines inside of the pod is outbound traffic, wherever it arrives.
    for interface in &settings.virtual_interfaces {
        for destination in destinations(&settings.ranges) {
            nat(
                "PREROUTING",
                format!("-i {interface}{destination} -j ISTIO_REDIRECT"),
            );
        }
        nat("PREROUTING", format!("-i {interface} -j RETURN"));
    }
    for interface in &settings.interfaces_excluded {
        nat("PREROUTING", format!("-i {interface} -j RETURN"));
        nat("OUTPUT", format!("-o {interface} -j RETURN"));
    }

    nat(
        "ISTIO_INBOUND",
        format!("-p tcp -m tcp --dport {tunnel} -j RETURN"),
    );
    nat(
        "ISTIO_REDIRECT",
        format!("-p tcp -j REDIRECT --to-ports {outbound_port}"),
    );
    nat(
        "ISTIO_IN_REDIRECT",
        format!("-p tcp -j REDIRECT --to-ports {inbound_port}"),
    );
    if settings.inbound_ports != Selection::These(Vec::new()) {
        nat("PREROUTING", "-p tcp -j ISTIO_INBOUND".to_owned());
    }
    match &settings.inbound_ports {
        Selection::All => {
            for port in &settings.inbound_excluded {
                nat(
                    "ISTIO_INBOUND",
                    format!("-p tcp -m tcp --dport {port} -j RETURN"),
                );
            }
            nat("ISTIO_INBOUND", "-p tcp -j ISTIO_IN_REDIRECT".to_owned());
        }
        Selection::These(ports) => {
            for port in ports {
                nat(
                    "ISTIO_INBOUND",
                    format!("-p tcp -m tcp --dport {port} -j ISTIO_IN_REDIRECT"),
                );
            }
        }
    }

    nat("OUTPUT", "-j ISTIO_OUTPUT".to_owned());
    for port in &settings.outbound_ports_excluded {
        nat(
            "ISTIO_OUTPUT",
            format!("-p tcp -m tcp --dport {port} -j RETURN"),
        );
        nat(
            "ISTIO_OUTPUT",
            format!("-p udp -m udp --dport {port} -j RETURN"),
        );
    }
    // From there Envoy delivers inbound traffic that no listener wants.
    nat("ISTIO_OUTPUT", "-s 127.0.0.6/32 -o lo -j RETURN".to_owned());
    let loopback_is_captured = matches!(&settings.ranges, Selection::These(ranges)
        if ranges.iter().any(|range| range.starts_with("127.")));
    let owners = settings.proxy_users.iter().map(|user| ("uid", user));
    for (kind, owner) in owners.chain(settings.proxy_groups.iter().map(|group| ("gid", group))) {
        // The application called a service that led Envoy back to this pod: it enters like any other request.
        nat(
            "ISTIO_OUTPUT",
            format!(
                "! -d {loopback} -o lo -p tcp -m tcp ! --dport {tunnel} -m owner --{kind}-owner {owner} -j ISTIO_IN_REDIRECT"
            ),
        );
        // The application called itself by the pod's address.
        if !loopback_is_captured {
            nat(
                "ISTIO_OUTPUT",
                format!("-o lo -m owner ! --{kind}-owner {owner} -j RETURN"),
            );
        }
        // What Envoy sends does not come back to it.
        nat(
            "ISTIO_OUTPUT",
            format!("-m owner --{kind}-owner {owner} -j RETURN"),
        );
    }
    match &settings.groups {
        Selection::All => {
            for group in &settings.groups_excluded {
                nat(
                    "ISTIO_OUTPUT",
                    format!("-m owner --gid-owner {group} -j RETURN"),
                );
            }
        }
        Selection::These(groups) => {
            let none_of: String = groups
                .iter()
                .map(|group| format!("-m owner ! --gid-owner {group} "))
                .collect();
            nat("ISTIO_OUTPUT", format!("{none_of}-j RETURN"));
        }
    }
    nat("ISTIO_OUTPUT", format!("-d {loopback} -j RETURN"));
    for range in &settings.ranges_excluded {
        nat("ISTIO_OUTPUT", format!("-d {range} -j RETURN"));
    }
    for port in &settings.outbound_ports {
        nat(
            "ISTIO_OUTPUT",
            format!("-p tcp -m tcp --dport {port} -j ISTIO_REDIRECT"),
        );
    }
    for destination in destinations(&settings.ranges) {
        let rule = format!("{destination} -j ISTIO_REDIRECT");
        nat("ISTIO_OUTPUT", rule.trim_start().to_owned());
    }

    if settings.drop_invalid {
        let invalid = "-m conntrack --ctstate INVALID -j ISTIO_DROP".to_owned();
        add("mangle", "PREROUTING", invalid);
        add("mangle", "ISTIO_DROP", "-j DROP".to_owned());
    }
    rules
}

/// How each range is matched; all of them by nothing.
fn destinations(ranges: &Selection) -> Vec<String> {
    match ranges {
        Selection::All => vec![String::new()],
        Selection::These(ranges) => ranges.iter().map(|range| format!(" -d {range}")).collect(),
    }
}

#[cfg(test)]
mod tests;
