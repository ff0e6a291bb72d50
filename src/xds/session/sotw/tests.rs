//! Scripts for the state-of-the-world protocol: what goes in, what comes out.

use std::sync::Arc;

use proto::codec::type_url::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
use proto::envoy::service::discovery::v3::DiscoveryRequest;
use proto::google::rpc::Status;

use super::super::Reply;
use super::{Event, Output, Session};
use crate::{Resource, Resources};

type Table = &'static [(&'static str, &'static str, &'static str)];

fn resources(of: Table) -> Arc<Resources> {
    let mut resources = Resources::default();
    for (type_url, name, content) in of {
        let bytes = content.as_bytes();
        resources.insert(type_url, Resource::new(type_url, *name, bytes, Vec::new()));
    }
    Arc::new(resources)
}

struct Proxy {
    session: Session,
}

impl Proxy {
    fn new(of: Table) -> Self {
        Proxy {
            session: Session::new(resources(of)),
        }
    }

    fn ask(&mut self, type_url: &str, names: &[&str], nonce: &str) -> Vec<Arc<Reply>> {
        responses(
            self.session
                .on(Event::Request(request(type_url, names, nonce))),
        )
    }

    fn update(&mut self, of: Table) -> Vec<Arc<Reply>> {
        responses(self.session.on(Event::Resources(resources(of))))
    }
}

fn request(type_url: &str, names: &[&str], nonce: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: type_url.to_owned(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        response_nonce: nonce.to_owned(),
        ..Default::default()
    }
}

fn responses(output: Vec<Output>) -> Vec<Arc<Reply>> {
    let responses = output.into_iter().map(|output| match output {
        Output::Send(response) => response,
        other => panic!("expected a response, got {other:?}"),
    });
    responses.collect()
}

/// The contents of the only response.
fn contents(responses: &[Arc<Reply>]) -> Vec<String> {
    let [response] = responses else {
        panic!("expected one response, got {responses:?}");
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let resources = response.resources.iter();
    resources.map(|resource| text(&resource.bytes())).collect()
}

#[test]
fn an_empty_configuration_is_an_answer() {
    let mut proxy = Proxy::new(&[]);
    for (type_url, names) in [(CLUSTER, &[][..]), (LISTENER, &[]), (ROUTE, &["80"])] {
        let answer = proxy.ask(type_url, names, "");
        assert!(contents(&answer).is_empty());
        assert!(!answer[0].version.is_empty() && !answer[0].nonce.is_empty());
        assert_eq!(proxy.ask(type_url, names, &answer[0].nonce), []);
    }
}

#[test]
fn every_response_carries_all_that_is_followed() {
    let mut proxy = Proxy::new(&[(CLUSTER, "a", "a1"), (CLUSTER, "b", "b1")]);
    let first = proxy.ask(CLUSTER, &[], "");
    assert_eq!(contents(&first), ["a1", "b1"]);
    proxy.ask(CLUSTER, &[], &first[0].nonce);
    let second = proxy.update(&[(CLUSTER, "a", "a2"), (CLUSTER, "b", "b1")]);
    assert_eq!(contents(&second), ["a2", "b1"]);
    assert_ne!(first[0].version, second[0].version);
}

#[test]
fn unchanged_resources_are_not_pushed() {
    let mut proxy = Proxy::new(&[(ENDPOINT, "a", "a1"), (ENDPOINT, "b", "b1")]);
    let first = proxy.ask(ENDPOINT, &["a"], "");
    assert_eq!(contents(&first), ["a1"]);
    proxy.ask(ENDPOINT, &["a"], &first[0].nonce);
    // Only what is not followed changed.
    assert_eq!(
        proxy.update(&[(ENDPOINT, "a", "a1"), (ENDPOINT, "b", "b2")]),
        []
    );
}

#[test]
fn updates_wait_for_the_acknowledgement_and_merge() {
    let mut proxy = Proxy::new(&[(CLUSTER, "a", "a1")]);
    let first = proxy.ask(CLUSTER, &[], "");
    assert_eq!(proxy.update(&[(CLUSTER, "a", "a2")]), []);
    assert_eq!(proxy.update(&[(CLUSTER, "a", "a3")]), []);
    let merged = proxy.ask(CLUSTER, &[], &first[0].nonce);
    assert_eq!(contents(&merged), ["a3"]);
}

#[test]
fn a_refusal_is_reported_and_not_repeated() {
    let mut proxy = Proxy::new(&[(CLUSTER, "a", "a1")]);
    let first = proxy.ask(CLUSTER, &[], "");
    for _ in 0..100 {
        let output = proxy.session.on(Event::Request(DiscoveryRequest {
            error_detail: Some(Status {
                message: "bad cluster".to_owned(),
                ..Default::default()
            }),
            ..request(CLUSTER, &[], &first[0].nonce)
        }));
        let [Output::Rejected(rejection)] = &output[..] else {
            panic!("expected a rejection alone, got {output:?}");
        };
        assert_eq!(
            (rejection.message.as_str(), &rejection.names[..]),
            ("bad cluster", &["a".to_owned()][..])
        );
    }
    assert_eq!(contents(&proxy.update(&[(CLUSTER, "a", "a2")])), ["a2"]);
}

#[test]
fn a_stale_request_is_ignored() {
    let mut proxy = Proxy::new(&[(ENDPOINT, "a", "a1"), (ENDPOINT, "b", "b1")]);
    let first = proxy.ask(ENDPOINT, &["a"], "");
    proxy.ask(ENDPOINT, &["a", "b"], &first[0].nonce);
    let stale = request(ENDPOINT, &["a"], &first[0].nonce);
    let output = proxy.session.on(Event::Request(stale));
    assert!(matches!(&output[..], [Output::Stale { .. }]), "{output:?}");
}

#[test]
fn a_nonce_of_an_earlier_stream_starts_anew() {
    let mut proxy = Proxy::new(&[(CLUSTER, "a", "a1")]);
    assert_eq!(contents(&proxy.ask(CLUSTER, &[], "17")), ["a1"]);
}

#[test]
fn new_names_are_answered_even_if_nothing_is_there() {
    let mut proxy = Proxy::new(&[(ENDPOINT, "a", "a1")]);
    let first = proxy.ask(ENDPOINT, &["a"], "");
    let second = proxy.ask(ENDPOINT, &["a", "gone"], &first[0].nonce);
    assert_eq!(contents(&second), ["a1"]);
}

#[test]
fn no_names_any_more_means_silence_until_it_asks_again() {
    let mut proxy = Proxy::new(&[(ENDPOINT, "a", "a1")]);
    let first = proxy.ask(ENDPOINT, &["a"], "");
    assert_eq!(proxy.ask(ENDPOINT, &[], &first[0].nonce), []);
    assert_eq!(proxy.update(&[(ENDPOINT, "a", "a2")]), []);
    // It names the last nonce that it knows.
    let again = proxy.ask(ENDPOINT, &["a"], &first[0].nonce);
    assert_eq!(contents(&again), ["a2"]);
}

#[test]
fn endpoints_follow_changed_clusters_and_routes_follow_changed_listeners() {
    let mut proxy = Proxy::new(&[
        (CLUSTER, "a", "a1"),
        (ENDPOINT, "a", "e1"),
        (LISTENER, "l", "l1"),
        (ROUTE, "80", "r1"),
    ]);
    for (type_url, names) in [
        (CLUSTER, &[][..]),
        (ENDPOINT, &["a"]),
        (LISTENER, &[]),
        (ROUTE, &["80"]),
    ] {
        let answer = proxy.ask(type_url, names, "");
        assert_eq!(proxy.ask(type_url, names, &answer[0].nonce), []);
    }
    let types = |pushed: &[Arc<Reply>]| -> Vec<String> {
        pushed
            .iter()
            .map(|response| response.type_url.clone())
            .collect()
    };
    let pushed = proxy.update(&[
        (CLUSTER, "a", "a2"),
        (ENDPOINT, "a", "e1"),
        (LISTENER, "l", "l1"),
        (ROUTE, "80", "r1"),
    ]);
    assert_eq!(types(&pushed), [CLUSTER, ENDPOINT]);
    assert_eq!(proxy.ask(CLUSTER, &[], &pushed[0].nonce), []);
    assert_eq!(proxy.ask(ENDPOINT, &["a"], &pushed[1].nonce), []);
    let pushed = proxy.update(&[
        (CLUSTER, "a", "a2"),
        (ENDPOINT, "a", "e1"),
        (LISTENER, "l", "l2"),
        (ROUTE, "80", "r1"),
    ]);
    assert_eq!(types(&pushed), [LISTENER, ROUTE]);
}

#[test]
fn only_what_differs_from_what_was_accepted_is_refused_until_it_is_accepted() {
    let mut proxy = Proxy::new(&[(CLUSTER, "a", "1"), (CLUSTER, "b", "1")]);
    let first = proxy.ask(CLUSTER, &[], "");
    proxy.ask(CLUSTER, &[], &first[0].nonce);
    let refused = |proxy: &Proxy| -> Vec<String> {
        let refusals = proxy.session.refusals();
        refusals.map(|refusal| refusal.name.to_string()).collect()
    };
    let pushed = proxy.update(&[(CLUSTER, "a", "1"), (CLUSTER, "b", "2")]);
    let mut refusal = request(CLUSTER, &[], &pushed[0].nonce);
    refusal.error_detail = Some(Status {
        message: "no".to_owned(),
        ..Status::default()
    });
    proxy.session.on(Event::Request(refusal));
    assert_eq!(refused(&proxy), ["b"]);
    let pushed = proxy.update(&[(CLUSTER, "a", "1"), (CLUSTER, "b", "3")]);
    assert_eq!(refused(&proxy), ["b"], "until the proxy says so");
    proxy.ask(CLUSTER, &[], &pushed[0].nonce);
    assert!(refused(&proxy).is_empty());
}
