use proto::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};

use super::{Seen, at, chain};
use crate::listener::address;
use crate::parts::{number, range};
use crate::simulate::call::{Connection, Content};

fn connection(to: &str) -> Connection {
    Connection {
        from: None,
        to: to.parse().expect("an address"),
        layers: Vec::new(),
        content: Content::Opaque,
        server_name: String::new(),
        peer: None,
    }
}

fn named(name: &str, filter_chain_match: FilterChainMatch) -> FilterChain {
    FilterChain {
        name: name.to_owned(),
        filter_chain_match: Some(filter_chain_match),
        ..Default::default()
    }
}

fn of_names(name: &str, names: &[&str]) -> FilterChain {
    named(
        name,
        FilterChainMatch {
            server_names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        },
    )
}

fn chosen(chains: Vec<FilterChain>, to: &str, server_name: &str, protocols: &[&str]) -> String {
    let listener = Listener {
        filter_chains: chains,
        default_filter_chain: Some(named("default", FilterChainMatch::default())),
        ..Default::default()
    };
    let seen = Seen {
        transport: "tls",
        server_name: server_name.to_owned(),
        protocols: protocols.iter().map(|name| (*name).to_owned()).collect(),
    };
    let chain = chain(&listener, &connection(to), &seen);
    chain.expect("there is a default").name.clone()
}

#[test]
fn the_most_specific_server_name_wins() {
    let chains = || {
        vec![
            of_names("wide", &["*.example"]),
            of_names("narrow", &["*.b.example"]),
            of_names("exact", &["a.b.example"]),
        ]
    };
    for (asked, expected) in [
        ("a.b.example", "exact"),
        ("c.b.example", "narrow"),
        ("c.example", "wide"),
        ("example", "default"),
        ("", "default"),
    ] {
        assert_eq!(
            chosen(chains(), "10.0.0.1:443", asked, &[]),
            expected,
            "{asked}"
        );
    }
}

#[test]
fn a_port_is_taken_for_good() {
    let mut of_port = of_names("port", &["other"]);
    let matched = of_port.filter_chain_match.get_or_insert_default();
    matched.destination_port = number(443);
    let chains = vec![of_port, of_names("name", &["a.example"])];
    assert_eq!(chosen(chains, "10.0.0.1:443", "a.example", &[]), "default");
}

#[test]
fn the_longest_range_and_the_first_protocol_win() {
    let of = |name: &str, ranges: &[&str], protocols: &[&str]| {
        named(
            name,
            FilterChainMatch {
                prefix_ranges: ranges.iter().filter_map(|text| range(text)).collect(),
                application_protocols: protocols.iter().map(|name| (*name).to_owned()).collect(),
                transport_protocol: "tls".to_owned(),
                ..Default::default()
            },
        )
    };
    let chains = || {
        vec![
            of("wide", &["10.0.0.0/8"], &[]),
            of("narrow", &["10.0.0.0/24"], &["h2"]),
            of("narrow-1", &["10.0.0.0/24"], &["http/1.1"]),
        ]
    };
    assert_eq!(
        chosen(chains(), "10.0.0.1:443", "", &["h2", "http/1.1"]),
        "narrow"
    );
    assert_eq!(
        chosen(chains(), "10.0.0.1:443", "", &["http/1.1", "h2"]),
        "narrow-1"
    );
    assert_eq!(chosen(chains(), "10.0.0.1:443", "", &["x"]), "default");
    assert_eq!(chosen(chains(), "10.1.0.1:443", "", &["x"]), "wide");
}

#[test]
fn an_address_of_its_own_goes_before_every_address() {
    let of = |bind: &str, port| Listener {
        name: format!("{bind}_{port}"),
        address: Some(address(bind, port)),
        ..Default::default()
    };
    let listeners = [of("0.0.0.0", 80), of("10.0.0.1", 80)];
    let found = |to: &str| {
        let to = to.parse().expect("an address");
        at(listeners.iter(), to).map(|listener| listener.name.clone())
    };
    assert_eq!(found("10.0.0.1:80"), Some("10.0.0.1_80".to_owned()));
    assert_eq!(found("10.0.0.2:80"), Some("0.0.0.0_80".to_owned()));
    assert_eq!(found("10.0.0.1:81"), None);
    assert_eq!(found("[fd00::1]:80"), None);
}
