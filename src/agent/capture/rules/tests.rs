//! Which command line leads to which rules.

use std::collections::BTreeMap;

use super::super::settings::read;
use super::rules;
use crate::arguments::Arguments;

/// The rules of one chain for a command line after `istio-iptables`.
fn chain(line: &str, environment: &[(&str, &str)], chain: &str) -> Vec<String> {
    let words = line.split(' ').map(|word| {
        if word == "''" {
            String::new()
        } else {
            word.to_owned()
        }
    });
    let environment: BTreeMap<String, String> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let asked = read(&Arguments::parse(words), &environment).expect("valid settings");
    rules(&asked.settings)
        .into_iter()
        .filter(|rule| rule.chain == chain)
        .map(|rule| rule.rest)
        .collect()
}

/// What the default template gives its init container.
const INJECTED: &str = "istio-iptables -p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x '' -b * -d 15090,15021,15020 --log_output_level=default:info";

#[test]
fn the_injected_command_line_captures_everything_but_the_proxys_own_ports() {
    assert_eq!(
        chain(INJECTED, &[], "PREROUTING"),
        ["-p tcp -j ISTIO_INBOUND"]
    );
    assert_eq!(
        chain(INJECTED, &[], "ISTIO_INBOUND"),
        [
            "-p tcp -m tcp --dport 15008 -j RETURN",
            "-p tcp -m tcp --dport 15090 -j RETURN",
            "-p tcp -m tcp --dport 15021 -j RETURN",
            "-p tcp -m tcp --dport 15020 -j RETURN",
            "-p tcp -j ISTIO_IN_REDIRECT",
        ]
    );
    assert_eq!(chain(INJECTED, &[], "OUTPUT"), ["-j ISTIO_OUTPUT"]);
    assert_eq!(
        chain(INJECTED, &[], "ISTIO_OUTPUT"),
        [
            "-s 127.0.0.6/32 -o lo -j RETURN",
            "! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT",
            "-o lo -m owner ! --uid-owner 1337 -j RETURN",
            "-m owner --uid-owner 1337 -j RETURN",
            "! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT",
            "-o lo -m owner ! --gid-owner 1337 -j RETURN",
            "-m owner --gid-owner 1337 -j RETURN",
            "-d 127.0.0.1/32 -j RETURN",
            "-j ISTIO_REDIRECT",
        ]
    );
    let redirect = chain(INJECTED, &[], "ISTIO_REDIRECT");
    assert_eq!(redirect, ["-p tcp -j REDIRECT --to-ports 15001"]);
    let redirect = chain(INJECTED, &[], "ISTIO_IN_REDIRECT");
    assert_eq!(redirect, ["-p tcp -j REDIRECT --to-ports 15006"]);
}

#[test]
fn without_settings_nothing_is_captured() {
    assert!(chain("istio-iptables", &[], "PREROUTING").is_empty());
    let output = chain("istio-iptables", &[], "ISTIO_OUTPUT");
    assert!(
        output.iter().all(|rule| !rule.contains("ISTIO_REDIRECT")),
        "{output:?}"
    );
}

#[test]
fn selections_are_matched_one_by_one() {
    let line = "istio-iptables -b 80,443 -i 10.0.0.0/8,fd00::/8 -x 10.1.0.0/16 -q 5000 -o 22 -c eth1 -k net1";
    assert_eq!(
        chain(line, &[], "ISTIO_INBOUND")[1..],
        [
            "-p tcp -m tcp --dport 80 -j ISTIO_IN_REDIRECT",
            "-p tcp -m tcp --dport 443 -j ISTIO_IN_REDIRECT"
        ]
    );
    let output = chain(line, &[], "ISTIO_OUTPUT");
    assert_eq!(
        output[..2],
        [
            "-p tcp -m tcp --dport 22 -j RETURN",
            "-p udp -m udp --dport 22 -j RETURN"
        ]
    );
    assert_eq!(
        output[output.len() - 3..],
        [
            "-d 10.1.0.0/16 -j RETURN",
            "-p tcp -m tcp --dport 5000 -j ISTIO_REDIRECT",
            "-d 10.0.0.0/8 -j ISTIO_REDIRECT",
        ]
    );
    assert_eq!(
        chain(line, &[], "PREROUTING"),
        [
            "-i net1 -d 10.0.0.0/8 -j ISTIO_REDIRECT",
            "-i net1 -j RETURN",
            "-i eth1 -j RETURN",
            "-p tcp -j ISTIO_INBOUND",
        ]
    );
    assert_eq!(
        chain(line, &[], "OUTPUT"),
        ["-o eth1 -j RETURN", "-j ISTIO_OUTPUT"]
    );
}

#[test]
fn variables_stand_in_for_flags() {
    let environment = [
        ("ENVOY_PORT", "16001"),
        ("PROXY_UID", "1,2"),
        ("ISTIO_OUTBOUND_OWNER_GROUPS", "7,8"),
        ("INVALID_DROP", "true"),
    ];
    let redirect = chain("istio-iptables", &environment, "ISTIO_REDIRECT");
    assert_eq!(redirect, ["-p tcp -j REDIRECT --to-ports 16001"]);
    let output = chain("istio-iptables", &environment, "ISTIO_OUTPUT");
    assert!(
        output.contains(&"-m owner --gid-owner 2 -j RETURN".to_owned()),
        "{output:?}"
    );
    let groups = "-m owner ! --gid-owner 7 -m owner ! --gid-owner 8 -j RETURN".to_owned();
    assert!(output.contains(&groups), "{output:?}");
    assert_eq!(
        chain("istio-iptables", &environment, "ISTIO_DROP"),
        ["-j DROP"]
    );
}

#[test]
fn what_would_be_applied_differently_is_refused() {
    for (line, message) in [
        (
            "istio-iptables -m TPROXY",
            "--istio-inbound-interception-mode is \"TPROXY\", expected REDIRECT",
        ),
        (
            "istio-iptables -x 10.0.0.0",
            "--istio-service-exclude-cidr is \"10.0.0.0\", expected address ranges like 10.0.0.0/8",
        ),
        (
            "istio-iptables -b http",
            "--istio-inbound-ports is \"http\", expected port numbers from 0 to 65535",
        ),
    ] {
        let arguments = Arguments::parse(line.split(' ').map(str::to_owned));
        let error = read(&arguments, &BTreeMap::new()).expect_err("a refusal");
        assert_eq!(error.to_string(), message);
    }
}
