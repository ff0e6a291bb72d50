//! Scripts for the incremental protocol: what goes in, what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::codec::type_url::{CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, VIRTUAL_HOST};
use proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
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

fn version(content: &'static str) -> String {
    let resource = Resource::new("", "", content.as_bytes(), Vec::new());
    resource.version_text()
}

struct Proxy {
    session: Session,
}

/// What a response said: type, resources by name, removed names.
#[derive(Debug, PartialEq)]
struct Said {
    type_url: String,
    resources: Vec<String>,
    removed: Vec<String>,
}

fn said(type_url: &str, resources: &[&str], removed: &[&str]) -> Said {
    Said {
        type_url: type_url.to_owned(),
        resources: resources.iter().map(|name| (*name).to_owned()).collect(),
        removed: removed.iter().map(|name| (*name).to_owned()).collect(),
    }
}

impl Proxy {
    fn new(of: Table) -> Self {
        Proxy {
            session: Session::new(resources(of)),
        }
    }

    fn ask(&mut self, request: DeltaDiscoveryRequest) -> Vec<Arc<Reply>> {
        responses(self.session.on(Event::Request(request)))
    }

    fn subscribe(&mut self, type_url: &str, names: &[&str]) -> Vec<Arc<Reply>> {
        self.ask(DeltaDiscoveryRequest {
            resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            ..request(type_url)
        })
    }

    fn unsubscribe(&mut self, type_url: &str, names: &[&str]) -> Vec<Arc<Reply>> {
        self.ask(DeltaDiscoveryRequest {
            resource_names_unsubscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            ..request(type_url)
        })
    }

    fn ack(&mut self, response: &Reply) -> Vec<Arc<Reply>> {
        self.ask(DeltaDiscoveryRequest {
            response_nonce: response.nonce.clone(),
            ..request(&response.type_url)
        })
    }

    fn nack(&mut self, response: &Reply) -> Vec<Output> {
        self.session.on(Event::Request(DeltaDiscoveryRequest {
            response_nonce: response.nonce.clone(),
            error_detail: Some(Status {
                message: "bad cluster".to_owned(),
                ..Default::default()
            }),
            ..request(&response.type_url)
        }))
    }

    fn update(&mut self, of: Table) -> Vec<Arc<Reply>> {
        responses(self.session.on(Event::Resources(resources(of))))
    }
}

fn request(type_url: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
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

fn all_said(responses: &[Arc<Reply>]) -> Vec<Said> {
    let said = responses.iter().map(|response| Said {
        type_url: response.type_url.clone(),
        resources: response
            .resources
            .iter()
            .map(|r| r.name.to_string())
            .collect(),
        removed: response.removed.iter().map(ToString::to_string).collect(),
    });
    said.collect()
}

const TWO: Table = &[(CLUSTER, "a", "1"), (CLUSTER, "b", "1")];

#[test]
fn an_empty_configuration_is_an_answer() {
    let mut proxy = Proxy::new(&[]);
    for type_url in [CLUSTER, LISTENER] {
        let answers = proxy.subscribe(type_url, &[]);
        assert_eq!(all_said(&answers), [said(type_url, &[], &[])]);
        assert!(!answers[0].nonce.is_empty());
        assert_eq!(proxy.ack(&answers[0]), []);
    }
}

#[test]
fn clusters_without_names_are_all_clusters() {
    for names in [&[][..], &["*"]] {
        let mut proxy = Proxy::new(TWO);
        let answers = proxy.subscribe(CLUSTER, names);
        assert_eq!(all_said(&answers), [said(CLUSTER, &["a", "b"], &[])]);
        assert_eq!(answers[0].resources[0].version_text(), version("1"));
    }
}

#[test]
fn names_get_those_only_and_missing_ones_are_said_to_be() {
    let mut proxy = Proxy::new(&[(ENDPOINT, "a", "1"), (ENDPOINT, "b", "1")]);
    let answers = proxy.subscribe(ENDPOINT, &["a", "gone"]);
    assert_eq!(all_said(&answers), [said(ENDPOINT, &["a"], &["gone"])]);
    let answers = proxy.subscribe(SECRET, &["kubernetes://tls"]);
    assert_eq!(
        all_said(&answers),
        [said(SECRET, &[], &["kubernetes://tls"])]
    );
}

#[test]
fn routes_without_names_are_none() {
    let mut proxy = Proxy::new(&[(ROUTE, "80", "1")]);
    assert_eq!(
        all_said(&proxy.subscribe(ROUTE, &[])),
        [said(ROUTE, &[], &[])]
    );
}

#[test]
fn a_proxy_that_comes_back_is_told_the_difference() {
    let mut proxy = Proxy::new(&[
        (CLUSTER, "a", "1"),
        (CLUSTER, "b", "2"),
        (CLUSTER, "c", "1"),
    ]);
    let versions = [
        ("a", version("1")),
        ("b", version("1")),
        ("d", version("1")),
    ];
    let answers = proxy.ask(DeltaDiscoveryRequest {
        initial_resource_versions: BTreeMap::from(
            versions.map(|(name, version)| (name.to_owned(), version)),
        ),
        // Of the earlier stream.
        response_nonce: "17".to_owned(),
        ..request(CLUSTER)
    });
    assert_eq!(all_said(&answers), [said(CLUSTER, &["b", "c"], &["d"])]);
}

/// A proxy that follows all clusters and listeners, and the endpoints of `a`.
fn settled(of: Table) -> Proxy {
    let mut proxy = Proxy::new(of);
    for type_url in [CLUSTER, LISTENER] {
        let answers = proxy.subscribe(type_url, &[]);
        proxy.ack(&answers[0]);
    }
    let answers = proxy.subscribe(ENDPOINT, &["a"]);
    assert_eq!(proxy.ack(&answers[0]), []);
    proxy
}

#[test]
fn clusters_go_only_after_listeners_stopped_naming_them() {
    let mut proxy = settled(&[
        (CLUSTER, "a", "1"),
        (CLUSTER, "b", "1"),
        (ENDPOINT, "a", "1"),
        (LISTENER, "l", "1"),
    ]);
    let pushed = proxy.update(&[(CLUSTER, "b", "2"), (LISTENER, "l", "2")]);
    assert_eq!(
        all_said(&pushed),
        [said(CLUSTER, &["b"], &[]), said(LISTENER, &["l"], &[])]
    );
    assert_eq!(proxy.ack(&pushed[0]), []);
    let released = proxy.ack(&pushed[1]);
    assert_eq!(
        all_said(&released),
        [said(CLUSTER, &[], &["a"]), said(ENDPOINT, &[], &["a"])]
    );
    assert_eq!(proxy.ack(&released[0]), []);
    assert_eq!(proxy.ack(&released[1]), []);
}

#[test]
fn clusters_stay_while_the_listeners_that_replace_their_users_are_refused() {
    let mut proxy = settled(&[(CLUSTER, "a", "1"), (LISTENER, "l", "1")]);
    let pushed = proxy.update(&[(LISTENER, "l", "bad")]);
    assert_eq!(all_said(&pushed), [said(LISTENER, &["l"], &[])]);
    assert!(matches!(&proxy.nack(&pushed[0])[..], [Output::Rejected(_)]));
    let pushed = proxy.update(&[(LISTENER, "l", "good")]);
    assert_eq!(all_said(&pushed), [said(LISTENER, &["l"], &[])]);
    let released = proxy.ack(&pushed[0]);
    assert_eq!(all_said(&released), [said(CLUSTER, &[], &["a"])]);
}

#[test]
fn a_cluster_that_came_back_while_its_removal_waited_is_not_removed() {
    let all: Table = &[(CLUSTER, "a", "1"), (LISTENER, "l", "1")];
    let mut proxy = settled(all);
    let pushed = proxy.update(&[(LISTENER, "l", "2")]);
    let pushed_back = proxy.update(all);
    assert_eq!(pushed_back, []);
    let told = proxy.ack(&pushed[0]);
    assert_eq!(all_said(&told), [said(LISTENER, &["l"], &[])]);
    assert_eq!(proxy.ack(&told[0]), []);
}

#[test]
fn endpoints_follow_a_changed_cluster_even_if_they_did_not_change() {
    let mut proxy = settled(&[(CLUSTER, "a", "1"), (ENDPOINT, "a", "1")]);
    let pushed = proxy.update(&[(CLUSTER, "a", "2"), (ENDPOINT, "a", "1")]);
    assert_eq!(
        all_said(&pushed),
        [said(CLUSTER, &["a"], &[]), said(ENDPOINT, &["a"], &[])]
    );
    assert_eq!(proxy.ack(&pushed[0]), []);
    assert_eq!(proxy.ack(&pushed[1]), []);
}

#[test]
fn endpoints_follow_a_cluster_that_changed_while_the_proxy_was_away() {
    let mut proxy = Proxy::new(&[(CLUSTER, "a", "2"), (ENDPOINT, "a", "1")]);
    let brought = |content| BTreeMap::from([("a".to_owned(), version(content))]);
    proxy.ask(DeltaDiscoveryRequest {
        initial_resource_versions: brought("1"),
        ..request(CLUSTER)
    });
    let answers = proxy.ask(DeltaDiscoveryRequest {
        initial_resource_versions: brought("1"),
        resource_names_subscribe: vec!["a".to_owned()],
        ..request(ENDPOINT)
    });
    assert_eq!(all_said(&answers), [said(ENDPOINT, &["a"], &[])]);
}

#[test]
fn a_proxy_that_comes_back_to_the_same_state_is_sent_nothing() {
    let mut proxy = Proxy::new(&[(CLUSTER, "a", "1"), (ENDPOINT, "a", "1")]);
    let brought = || BTreeMap::from([("a".to_owned(), version("1"))]);
    for (type_url, names) in [(CLUSTER, vec![]), (ENDPOINT, vec!["a".to_owned()])] {
        let answers = proxy.ask(DeltaDiscoveryRequest {
            initial_resource_versions: brought(),
            resource_names_subscribe: names,
            ..request(type_url)
        });
        assert_eq!(all_said(&answers), [said(type_url, &[], &[])]);
    }
}

#[test]
fn an_update_that_changes_nothing_sends_nothing() {
    let mut proxy = Proxy::new(TWO);
    let answers = proxy.subscribe(CLUSTER, &[]);
    proxy.ack(&answers[0]);
    assert_eq!(proxy.update(TWO), []);
}

#[test]
fn updates_wait_for_the_acknowledgement_and_merge() {
    let mut proxy = Proxy::new(TWO);
    let first = proxy.subscribe(CLUSTER, &[]);
    assert_eq!(
        proxy.update(&[(CLUSTER, "a", "2"), (CLUSTER, "b", "1")]),
        []
    );
    assert_eq!(proxy.update(&[(CLUSTER, "a", "3")]), []);
    let merged = proxy.ack(&first[0]);
    assert_eq!(all_said(&merged), [said(CLUSTER, &["a"], &["b"])]);
    assert_eq!(merged[0].resources[0].version_text(), version("3"));
    assert_eq!(proxy.ack(&merged[0]), []);
}

#[test]
fn a_refusal_is_reported_and_not_repeated() {
    let mut proxy = Proxy::new(TWO);
    let first = proxy.subscribe(CLUSTER, &[]);
    let output = proxy.nack(&first[0]);
    let [Output::Rejected(rejection)] = &output[..] else {
        panic!("expected a rejection alone, got {output:?}");
    };
    assert_eq!(rejection.message, "bad cluster");
    assert_eq!(rejection.names, ["a", "b"]);
    // The same content is not sent again, other content is.
    assert_eq!(proxy.update(TWO), []);
    let pushed = proxy.update(&[(CLUSTER, "a", "2"), (CLUSTER, "b", "1")]);
    assert_eq!(all_said(&pushed), [said(CLUSTER, &["a"], &[])]);
}

#[test]
fn a_hundred_refusals_cause_no_response() {
    let mut proxy = Proxy::new(TWO);
    let first = proxy.subscribe(CLUSTER, &[]);
    let sends = (0..100).flat_map(|_| proxy.nack(&first[0]));
    let sends = sends.filter(|output| matches!(output, Output::Send(_)));
    assert_eq!(sends.count(), 0);
}

#[test]
fn an_unknown_nonce_is_stale_but_its_subscriptions_count() {
    let mut proxy = Proxy::new(&[(ENDPOINT, "a", "1"), (ENDPOINT, "b", "1")]);
    proxy.subscribe(ENDPOINT, &["a"]);
    let output = proxy.session.on(Event::Request(DeltaDiscoveryRequest {
        response_nonce: "unknown".to_owned(),
        resource_names_subscribe: vec!["b".to_owned()],
        ..request(ENDPOINT)
    }));
    let [Output::Stale { type_url }, Output::Send(response)] = &output[..] else {
        panic!("expected a stale nonce and a response, got {output:?}");
    };
    assert_eq!(type_url, ENDPOINT);
    let said_now = all_said(std::slice::from_ref(response));
    assert_eq!(said_now, [said(ENDPOINT, &["b"], &[])]);
}

#[test]
fn acknowledging_a_later_response_covers_earlier_ones() {
    let mut proxy = Proxy::new(&[(ENDPOINT, "a", "1"), (ENDPOINT, "b", "1")]);
    proxy.subscribe(ENDPOINT, &["a"]);
    let second = proxy.subscribe(ENDPOINT, &["b"]);
    proxy.ack(&second[0]);
    let pushed = proxy.update(&[(ENDPOINT, "a", "2"), (ENDPOINT, "b", "1")]);
    assert_eq!(all_said(&pushed), [said(ENDPOINT, &["a"], &[])]);
}

#[test]
fn asking_again_for_a_name_sends_it_again() {
    let mut proxy = Proxy::new(&[(ENDPOINT, "a", "1")]);
    let first = proxy.subscribe(ENDPOINT, &["a"]);
    proxy.ack(&first[0]);
    let again = proxy.subscribe(ENDPOINT, &["a"]);
    assert_eq!(all_said(&again), [said(ENDPOINT, &["a"], &[])]);
}

#[test]
fn what_is_unsubscribed_is_not_sent() {
    let mut proxy = Proxy::new(&[(ENDPOINT, "a", "1"), (ENDPOINT, "b", "1")]);
    let first = proxy.subscribe(ENDPOINT, &["a", "b"]);
    proxy.ack(&first[0]);
    assert_eq!(proxy.unsubscribe(ENDPOINT, &["a"]), []);
    let pushed = proxy.update(&[(ENDPOINT, "a", "2"), (ENDPOINT, "b", "2")]);
    assert_eq!(all_said(&pushed), [said(ENDPOINT, &["b"], &[])]);
}

#[test]
fn a_name_that_the_wildcard_still_covers_is_stated_when_it_is_unsubscribed() {
    let mut proxy = Proxy::new(TWO);
    let first = proxy.subscribe(CLUSTER, &["*", "a", "gone"]);
    proxy.ack(&first[0]);
    let stated = proxy.unsubscribe(CLUSTER, &["a", "gone"]);
    assert_eq!(all_said(&stated), [said(CLUSTER, &["a"], &["gone"])]);
}

#[test]
fn leaving_and_joining_the_wildcard() {
    let mut proxy = Proxy::new(TWO);
    let first = proxy.subscribe(CLUSTER, &["*", "a"]);
    proxy.ack(&first[0]);
    assert_eq!(proxy.unsubscribe(CLUSTER, &["*"]), []);
    let pushed = proxy.update(&[(CLUSTER, "a", "2"), (CLUSTER, "b", "2")]);
    assert_eq!(all_said(&pushed), [said(CLUSTER, &["a"], &[])]);
    proxy.ack(&pushed[0]);
    let joined = proxy.subscribe(CLUSTER, &["*"]);
    assert_eq!(all_said(&joined), [said(CLUSTER, &["b"], &[])]);
}

const HOSTS: Table = &[
    (ROUTE, "80", "1"),
    (ROUTE, "8080", "1"),
    (VIRTUAL_HOST, "80/a", "1"),
    (VIRTUAL_HOST, "80/b", "1"),
    (VIRTUAL_HOST, "8080/a", "1"),
];

/// A proxy that follows a route configuration and its virtual hosts.
fn routed(of: Table) -> Proxy {
    let mut proxy = Proxy::new(of);
    let routes = proxy.subscribe(ROUTE, &["80"]);
    assert_eq!(all_said(&routes), [said(ROUTE, &["80"], &[])]);
    assert_eq!(proxy.ack(&routes[0]), []);
    let hosts = proxy.subscribe(VIRTUAL_HOST, &[]);
    let all = said(VIRTUAL_HOST, &["80/a", "80/b"], &[]);
    assert_eq!(all_said(&hosts), [all]);
    assert_eq!(proxy.ack(&hosts[0]), []);
    proxy
}

#[test]
fn virtual_hosts_come_and_go_one_by_one_with_their_route_configuration() {
    let mut proxy = routed(HOSTS);
    let pushed = proxy.update(&[
        (ROUTE, "80", "1"),
        (ROUTE, "8080", "1"),
        (VIRTUAL_HOST, "80/a", "2"),
        (VIRTUAL_HOST, "80/c", "1"),
        (VIRTUAL_HOST, "8080/a", "2"),
    ]);
    let expected = said(VIRTUAL_HOST, &["80/a", "80/c"], &["80/b"]);
    assert_eq!(all_said(&pushed), [expected]);
}

#[test]
fn virtual_hosts_of_a_route_configuration_that_is_asked_for_later_follow_by_themselves() {
    let mut proxy = routed(HOSTS);
    let told = proxy.subscribe(ROUTE, &["8080"]);
    let expected = [
        said(ROUTE, &["8080"], &[]),
        said(VIRTUAL_HOST, &["8080/a"], &[]),
    ];
    assert_eq!(all_said(&told), expected);
    told.iter().for_each(|told| drop(proxy.ack(told)));
    // What was given up and is asked for again is new to the proxy, although it did not change.
    assert_eq!(proxy.unsubscribe(ROUTE, &["8080"]), []);
    assert_eq!(all_said(&proxy.subscribe(ROUTE, &["8080"])), expected);
}

#[test]
fn virtual_hosts_do_not_overtake_a_route_configuration_that_waits() {
    let mut proxy = routed(HOSTS);
    let inline = proxy.update(&[(ROUTE, "80", "inline")]);
    let expected = [
        said(ROUTE, &["80"], &[]),
        said(VIRTUAL_HOST, &[], &["80/a", "80/b"]),
    ];
    assert_eq!(all_said(&inline), expected);
    assert_eq!(proxy.ack(&inline[1]), []);
    // The next has its hosts apart again, while the proxy has not said yet what it makes of that one.
    assert_eq!(
        proxy.update(&[(ROUTE, "80", "1"), (VIRTUAL_HOST, "80/a", "1")]),
        []
    );
    let expected = [
        said(ROUTE, &["80"], &[]),
        said(VIRTUAL_HOST, &["80/a"], &[]),
    ];
    assert_eq!(all_said(&proxy.ack(&inline[0])), expected);
}

#[test]
fn a_proxy_without_virtual_hosts_is_answered() {
    let mut proxy = Proxy::new(&[(ROUTE, "80", "1")]);
    proxy.subscribe(ROUTE, &["80"]);
    let answers = proxy.subscribe(VIRTUAL_HOST, &[]);
    assert_eq!(all_said(&answers), [said(VIRTUAL_HOST, &[], &[])]);
}

#[test]
fn virtual_hosts_that_a_proxy_brings_are_not_sent_again() {
    let brought = |names: &[&str]| {
        let version = |name: &&str| ((*name).to_owned(), version("1"));
        names.iter().map(version).collect::<BTreeMap<_, _>>()
    };
    // In whichever order the two types are asked for.
    for types in [[ROUTE, VIRTUAL_HOST], [VIRTUAL_HOST, ROUTE]] {
        let mut proxy = Proxy::new(HOSTS);
        for type_url in types {
            let (names, subscribe): (&[&str], _) = match type_url {
                ROUTE => (&["80"], vec!["80".to_owned()]),
                _ => (&["80/a", "80/b", "80/gone"], vec![]),
            };
            let answers = proxy.ask(DeltaDiscoveryRequest {
                initial_resource_versions: brought(names),
                resource_names_subscribe: subscribe,
                ..request(type_url)
            });
            let told: Vec<String> = answers
                .iter()
                .flat_map(|answer| &answer.resources)
                .map(|resource| resource.name.to_string())
                .collect();
            // Of a route configuration that is not asked for yet nobody knows.
            let early = type_url == VIRTUAL_HOST && types[0] == VIRTUAL_HOST;
            let expected: &[&str] = if early { &["8080/a"] } else { &[] };
            assert_eq!(told, expected, "{type_url}");
            let gone = answers.iter().flat_map(|answer| &answer.removed);
            let gone: Vec<&str> = gone.map(|name| &**name).collect();
            let expected: &[&str] = if type_url == VIRTUAL_HOST {
                &["80/gone"]
            } else {
                &[]
            };
            assert_eq!(gone, expected, "{type_url}");
            answers.iter().for_each(|answer| drop(proxy.ack(answer)));
        }
    }
}
