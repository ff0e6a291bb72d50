//! What is to be captured, from upstream's flags and variables. Each flag has a variable of the same name in capitals;
//! the flag wins.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::arguments::Arguments;

/// A flag or variable has a value that is not supported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag} is {value:?}, expected {expected}")]
pub struct InvalidSetting {
    /// Long name.
    pub flag: &'static str,
    /// As given.
    pub value: String,
    /// What would be accepted.
    pub expected: &'static str,
}

/// Ports or address ranges that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// `*`.
    All,
    /// Those, none at all maybe.
    These(Vec<String>),
}

/// What is to be captured, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where outbound traffic goes to.
    pub outbound_port: u16,
    /// Where inbound traffic goes to.
    pub inbound_port: u16,
    /// HBONE's port, which Envoy listens on itself.
    pub tunnel_port: u16,
    /// Users whose traffic is Envoy's own.
    pub proxy_users: Vec<String>,
    /// Groups whose traffic is Envoy's own.
    pub proxy_groups: Vec<String>,
    /// Inbound ports that are captured.
    pub inbound_ports: Selection,
    /// Inbound ports that are not, where all others are.
    pub inbound_excluded: Vec<String>,
    /// Outbound ports that are captured whatever the address.
    pub outbound_ports: Vec<String>,
    /// Outbound ports that are never captured.
    pub outbound_ports_excluded: Vec<String>,
    /// Address ranges that are captured.
    pub ranges: Selection,
    /// Address ranges that are not.
    pub ranges_excluded: Vec<String>,
    /// Interfaces whose traffic is not captured.
    pub interfaces_excluded: Vec<String>,
    /// Interfaces of virtual machines in the pod: what comes in there is outbound traffic.
    pub virtual_interfaces: Vec<String>,
    /// Groups whose outbound traffic is captured.
    pub groups: Selection,
    /// Groups whose outbound traffic is not, where that of all others is.
    pub groups_excluded: Vec<String>,
    /// Whether packets out of any connection's window are dropped, so that they reset none.
    pub drop_invalid: bool,
    /// Addresses that are this pod.
    pub loopback: String,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Capture.
    Apply,
    /// Say what would be done (`--dry-run`).
    Print,
    /// Remove what is there (`--cleanup-only`).
    CleanUp,
    /// Neither (`--skip-rule-apply`).
    Nothing,
}

/// A command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What to capture.
    pub settings: Settings,
    /// What to do.
    pub action: Action,
    /// One sentence for each setting without effect.
    pub warnings: Vec<String>,
}

/// Reads flags and variables.
///
/// # Errors
/// [`InvalidSetting`] for a value that would be applied differently than asked for.
pub fn read(
    arguments: &Arguments,
    environment: &BTreeMap<String, String>,
) -> Result<Asked, InvalidSetting> {
    let flags = Flags {
        arguments,
        environment,
    };
    let users = flags
        .list("proxy-uid", "u")
        .unwrap_or_else(|| vec!["1337".to_owned()]);
    let groups = flags
        .list("proxy-gid", "g")
        .unwrap_or_else(|| users.clone());
    let mode = flags.value("istio-inbound-interception-mode", "m");
    if !matches!(mode, None | Some("" | "REDIRECT")) {
        return Err(InvalidSetting {
            flag: "istio-inbound-interception-mode",
            value: mode.unwrap_or_default().to_owned(),
            expected: "REDIRECT",
        });
    }
    let settings = Settings {
        outbound_port: flags.port("envoy-port", "p", 15001)?,
        inbound_port: flags.port("inbound-capture-port", "z", 15006)?,
        tunnel_port: flags.port("inbound-tunnel-port", "e", 15008)?,
        proxy_users: users,
        proxy_groups: groups,
        inbound_ports: flags.selection("istio-inbound-ports", "b"),
        inbound_excluded: flags.ports("istio-local-exclude-ports", "d")?,
        outbound_ports: flags.ports("istio-outbound-ports", "q")?,
        outbound_ports_excluded: flags.ports("istio-local-outbound-ports-exclude", "output")?,
        ranges: match flags.selection("istio-service-cidr", "i") {
            Selection::All => Selection::All,
            Selection::These(ranges) => Selection::These(v4_ranges("istio-service-cidr", ranges)?),
        },
        ranges_excluded: v4_ranges(
            "istio-service-exclude-cidr",
            flags
                .list("istio-service-exclude-cidr", "x")
                .unwrap_or_default(),
        )?,
        interfaces_excluded: flags
            .list("istio-exclude-interfaces", "c")
            .unwrap_or_default(),
        virtual_interfaces: flags.list("kube-virt-interfaces", "k").unwrap_or_default(),
        groups: match flags.list("istio-outbound-owner-groups", "") {
            None => Selection::All,
            Some(groups) if groups == ["*"] => Selection::All,
            Some(groups) => Selection::These(groups),
        },
        groups_excluded: flags
            .list("istio-outbound-owner-groups-exclude", "")
            .unwrap_or_default(),
        drop_invalid: flags.is_set("drop-invalid", "")
            || flags
                .variable("INVALID_DROP")
                .is_some_and(|value| value == "true"),
        loopback: flags
            .value("host-ipv4-loopback-cidr", "")
            .filter(|value| !value.is_empty())
            .unwrap_or("127.0.0.1/32")
            .to_owned(),
    };
    if let Selection::These(ports) = &settings.inbound_ports {
        ports
            .iter()
            .try_for_each(|port| port_of("istio-inbound-ports", port).map(drop))?;
    }
    let action = match () {
        () if flags.is_set("cleanup-only", "") => Action::CleanUp,
        () if flags.is_set("skip-rule-apply", "") => Action::Nothing,
        () if flags.is_set("dry-run", "n") => Action::Print,
        () => Action::Apply,
    };
    let mut warnings = Vec::new();
    for (flag, variable, effect) in [
        (
            "redirect-dns",
            "ISTIO_META_DNS_CAPTURE",
            "DNS is not captured",
        ),
        ("dual-stack", "ISTIO_DUAL_STACK", "IPv6 is not captured"),
        (
            "run-validation",
            "RUN_VALIDATION",
            "the rules are not tried out",
        ),
    ] {
        if flags.is_set(flag, "")
            || flags
                .variable(variable)
                .is_some_and(|value| value == "true")
        {
            warnings.push(format!("--{flag} has no effect: {effect}"));
        }
    }
    Ok(Asked {
        settings,
        action,
        warnings,
    })
}

struct Flags<'a> {
    arguments: &'a Arguments,
    environment: &'a BTreeMap<String, String>,
}

impl<'a> Flags<'a> {
    fn value(&self, long: &str, short: &str) -> Option<&'a str> {
        let variable = long.to_uppercase().replace('-', "_");
        self.arguments
            .value(long)
            .or_else(|| self.arguments.value(short))
            .or_else(|| self.variable(&variable))
    }

    fn variable(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name).map(String::as_str)
    }

    fn is_set(&self, long: &str, short: &str) -> bool {
        self.value(long, short)
            .is_some_and(|value| value != "false")
    }

    /// Nothing when it is absent or empty.
    fn list(&self, long: &str, short: &str) -> Option<Vec<String>> {
        let list: Vec<String> = self
            .value(long, short)?
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        (!list.is_empty()).then_some(list)
    }

    fn selection(&self, long: &str, short: &str) -> Selection {
        match self.list(long, short).unwrap_or_default() {
            list if list == ["*"] => Selection::All,
            list => Selection::These(list),
        }
    }

    fn port(&self, long: &'static str, short: &str, default: u16) -> Result<u16, InvalidSetting> {
        match self.value(long, short) {
            None | Some("") => Ok(default),
            Some(text) => port_of(long, text),
        }
    }

    fn ports(&self, long: &'static str, short: &str) -> Result<Vec<String>, InvalidSetting> {
        let ports = self.list(long, short).unwrap_or_default();
        ports
            .iter()
            .try_for_each(|port| port_of(long, port).map(drop))?;
        Ok(ports)
    }
}

fn port_of(flag: &'static str, text: &str) -> Result<u16, InvalidSetting> {
    text.parse().map_err(|_| InvalidSetting {
        flag,
        value: text.to_owned(),
        expected: "port numbers from 0 to 65535",
    })
}

/// The IPv4 ranges among `ranges`.
fn v4_ranges(flag: &'static str, ranges: Vec<String>) -> Result<Vec<String>, InvalidSetting> {
    let mut found = Vec::new();
    for range in ranges {
        let invalid = || InvalidSetting {
            flag,
            value: range.clone(),
            expected: "address ranges like 10.0.0.0/8",
        };
        let (address, length) = range.split_once('/').ok_or_else(invalid)?;
        if address.contains(':') {
            continue;
        }
        let _: Ipv4Addr = address.parse().map_err(|_| invalid())?;
        let length: u8 = length.parse().map_err(|_| invalid())?;
        if length > 32 {
            return Err(invalid());
        }
        found.push(range);
    }
    Ok(found)
}
