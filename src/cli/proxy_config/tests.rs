//! What a real Envoy answered (testdata/README), as tables and messages.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::dump::Dump;
use super::{OfAll, bootstrap, cluster, endpoint, listener, route, secret, summary};

fn dump() -> Dump {
    Dump::read(include_bytes!("../testdata/config_dump.json")).expect("a dump")
}

fn clusters() -> endpoint::Clusters {
    endpoint::Clusters::read(include_bytes!("../testdata/clusters.json")).expect("clusters")
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn check(found: Result<String, String>, expected: &str) {
    assert_eq!(found.expect("a table"), expected);
}

#[test]
fn clusters_are_ordered_by_host_subset_and_port() {
    check(
        cluster::table(&dump(), &cluster::Filter::default(), false),
        "\
SERVICE FQDN                       PORT     SUBSET     DIRECTION     TYPE             DESTINATION RULE
                                   9080     -          inbound       ORIGINAL_DST     reviews.shop
BlackHoleCluster                   -        -          -             STATIC           
InboundPassthroughCluster          -        -          -             ORIGINAL_DST     
PassthroughCluster                 -        -          -             ORIGINAL_DST     
db.shop.svc.cluster.local          5432     -          outbound      EDS              
reviews.shop.svc.cluster.local     9080     -          outbound      EDS              reviews.shop
reviews.shop.svc.cluster.local     9080     v1         outbound      EDS              reviews.shop
reviews.shop.svc.cluster.local     9080     v2         outbound      EDS              reviews.shop
sds-grpc                           -        -          -             STATIC           
xds-grpc                           -        -          -             STATIC           
",
    );
}

#[test]
fn clusters_are_filtered_by_the_parts_of_their_names() {
    let count = |filter: cluster::Filter| {
        let list = cluster::list(&dump(), &filter).expect("a list");
        list.as_array().map_or(0, Vec::len)
    };
    let all = cluster::Filter::default;
    assert_eq!(count(all()), 10);
    let fqdn = some("reviews.shop");
    assert_eq!(count(cluster::Filter { fqdn, ..all() }), 3);
    assert_eq!(
        count(cluster::Filter {
            port: Some(9080),
            ..all()
        }),
        4
    );
    assert_eq!(
        count(cluster::Filter {
            port: Some(80),
            ..all()
        }),
        0
    );
    assert_eq!(
        count(cluster::Filter {
            subset: some("v2"),
            ..all()
        }),
        1
    );
    assert_eq!(
        count(cluster::Filter {
            direction: some("inbound"),
            ..all()
        }),
        1
    );
}

#[test]
fn listeners_tell_what_connections_match_and_where_they_go() {
    check(
        listener::table(&dump(), &listener::Filter::default(), true, false),
        "\
ADDRESSES  PORT  MATCH                                DESTINATION
10.96.0.11 5432  ALL                                  Cluster: outbound|5432||db.shop.svc.cluster.local
0.0.0.0    9080  Trans: raw_buffer; App: http/1.1,h2c Route: 9080
0.0.0.0    9080  ALL                                  PassthroughCluster
0.0.0.0    15001 ALL                                  PassthroughCluster
0.0.0.0    15001 Addr: *:15001                        Non-HTTP/Non-TCP
0.0.0.0    15006 Addr: *:15006                        Non-HTTP/Non-TCP
0.0.0.0    15006 Trans: raw_buffer; App: http/1.1,h2c InboundPassthroughCluster
0.0.0.0    15006 ALL                                  InboundPassthroughCluster
0.0.0.0    15006 Trans: raw_buffer; Addr: *:9080      Cluster: inbound|9080||
",
    );
}

#[test]
fn listeners_in_short_have_a_type() {
    check(
        listener::table(&dump(), &listener::Filter::default(), false, true),
        "\
NAME                     ADDRESSES  PORT  TYPE
listener/10.96.0.11_5432 10.96.0.11 5432  TCP
listener/0.0.0.0_9080    0.0.0.0    9080  HTTP+TCP
listener/virtualOutbound 0.0.0.0    15001 TCP
listener/virtualInbound  0.0.0.0    15006 HTTP+TCP
",
    );
}

#[test]
fn listeners_are_filtered_by_address_port_and_type() {
    let names = |filter: listener::Filter| {
        let list = listener::list(&dump(), &filter).expect("a list");
        let names = list.as_array().into_iter().flatten();
        let names = names.map(|one| one["name"].as_str().unwrap_or_default().to_owned());
        names.collect::<Vec<_>>()
    };
    let all = listener::Filter::default;
    assert_eq!(
        names(listener::Filter {
            port: Some(5432),
            ..all()
        }),
        ["10.96.0.11_5432"]
    );
    assert_eq!(
        names(listener::Filter {
            of: some("tcp"),
            ..all()
        })
        .len(),
        2
    );
    let address = some("10.96.0.11");
    assert_eq!(
        names(listener::Filter { address, ..all() }),
        ["10.96.0.11_5432"]
    );
}

#[test]
fn routes_tell_domains_matches_and_the_virtual_service() {
    check(
        route::table(&dump(), &route::Filter::default(), true, false),
        "\
NAME                          VHOST NAME                              DOMAINS                                                  MATCH     VIRTUAL SERVICE
9080                          reviews.shop.svc.cluster.local:9080     reviews.shop.svc.cluster.local., reviews + 2 more...     /v2*      reviews.shop
9080                          reviews.shop.svc.cluster.local:9080     reviews.shop.svc.cluster.local., reviews + 2 more...     /*        reviews.shop
inbound|9080||                inbound|http|9080                       *                                                        /*        
InboundPassthroughCluster     inbound|http|0                          *                                                        /*        
",
    );
    let name = some("9080");
    check(
        route::table(&dump(), &route::Filter { name }, false, false),
        "NAME     VIRTUAL HOSTS\n9080     2\n",
    );
}

#[test]
fn endpoints_tell_how_they_are_doing() {
    let filter = endpoint::Filter {
        port: Some(9080),
        ..endpoint::Filter::default()
    };
    assert_eq!(
        clusters().table(&filter),
        "\
ENDPOINT            STATUS      OUTLIER CHECK     CLUSTER
10.244.0.5:9080     HEALTHY     OK                outbound|9080|v1|reviews.shop.svc.cluster.local
10.244.0.5:9080     HEALTHY     OK                outbound|9080||reviews.shop.svc.cluster.local
10.244.0.6:9080     HEALTHY     OK                outbound|9080|v2|reviews.shop.svc.cluster.local
10.244.0.6:9080     HEALTHY     OK                outbound|9080||reviews.shop.svc.cluster.local
"
    );
}

#[test]
fn endpoints_are_filtered_by_address_cluster_and_status() {
    let lines = |filter| clusters().table(&filter).lines().count() - 1;
    let all = endpoint::Filter::default;
    assert_eq!(lines(all()), 7);
    assert_eq!(
        lines(endpoint::Filter {
            address: some("10.244.0.5"),
            ..all()
        }),
        2
    );
    let cluster = some("outbound|9080|v2|reviews.shop.svc.cluster.local");
    assert_eq!(lines(endpoint::Filter { cluster, ..all() }), 1);
    assert_eq!(
        lines(endpoint::Filter {
            status: some("healthy"),
            ..all()
        }),
        7
    );
    assert_eq!(
        lines(endpoint::Filter {
            status: some("unhealthy"),
            ..all()
        }),
        0
    );
}

#[test]
fn endpoints_as_told_have_their_cluster_and_nothing_that_is_filtered_out() {
    let filter = endpoint::Filter {
        address: some("10.244.0.6:9080"),
        ..endpoint::Filter::default()
    };
    assert_eq!(
        endpoint::assignments_table(&dump(), &filter, false),
        "\
NAME                STATUS      LOCALITY     CLUSTER
10.244.0.6:9080     HEALTHY                  outbound|9080||reviews.shop.svc.cluster.local
10.244.0.6:9080     HEALTHY                  outbound|9080|v2|reviews.shop.svc.cluster.local
"
    );
}

#[test]
fn secrets_tell_whether_they_are_valid() {
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    check(
        secret::table(&dump(), at("2026-12-01T00:00:00Z"), false),
        "\
RESOURCE NAME     TYPE           STATUS     VALID CERT     SERIAL NUMBER                        NOT AFTER                NOT BEFORE
default           Cert Chain     ACTIVE     true           6fbee254c22900615cb1f74e3d2f1713     2027-11-21T15:44:05Z     2026-11-21T15:44:05Z
ROOTCA            CA             ACTIVE     true           0000000193a543fe2b0d9cd484767539     2036-11-18T15:44:05Z     2026-11-21T15:44:05Z
",
    );
    let later = secret::table(&dump(), at("2028-01-01T00:00:00Z"), true).expect("a table");
    let valid: Vec<&str> = later
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().rev().nth(3).unwrap_or_default())
        .collect();
    assert_eq!(valid, ["false", "true"]);
    assert!(later.contains("secret/ROOTCA"), "{later}");
}

/// A dump of one secret.
fn with_secret(part: &str, version: &str, secret: Value) -> Dump {
    let entry = json!({"name": "x", "version_info": version, "secret": secret});
    let secrets =
        json!({"@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", part: [entry]});
    let text = json!({"configs": [secrets]}).to_string();
    Dump::read(text.as_bytes()).expect("a dump")
}

#[test]
fn a_secret_that_has_not_come_yet_is_warming() {
    let dump = with_secret(
        "dynamic_warming_secrets",
        "uninitialized",
        json!({"name": "x"}),
    );
    let text = secret::table(&dump, Timestamp::UNIX_EPOCH, false).expect("a table");
    let words: Vec<&str> = text
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(words, ["x", "UNINITIALIZED", "false"]);
    let none = Dump::read(
        br#"{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump"}]}"#,
    );
    check(
        secret::table(&none.expect("a dump"), Timestamp::UNIX_EPOCH, false),
        "No active or warming secrets found.\n",
    );
}

#[test]
fn roots_of_several_trust_domains_have_a_column_more() {
    let bundle = |name: &str| json!({"name": name, "trust_bundle": {"inline_string": "none"}});
    let config = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig",
        "trust_domains": [bundle("a.example"), bundle("b.example")],
    });
    let validator = json!({"custom_validator_config": {"typed_config": config}});
    let secret = json!({"name": "x", "validation_context": validator});
    let dump = with_secret("dynamic_active_secrets", "1", secret);
    let text = secret::table(&dump, Timestamp::UNIX_EPOCH, false).expect("a table");
    let last: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(last, ["DOMAIN", "a.example", "b.example"]);
}

#[test]
fn the_bootstrap_in_short_is_its_versions() {
    check(
        bootstrap::versions(&dump()),
        "Istio Version: 0.1.0\nEnvoy Version: 1.40.0/Clean/RELEASE/BoringSSL\n",
    );
    let message = bootstrap::message(&dump()).expect("a message");
    let node = &message["bootstrap"]["node"];
    assert_eq!(node["metadata"]["an_own_key"], "stays");
    assert_eq!(node["userAgentName"], "envoy");
}

#[test]
fn messages_are_spelled_as_istioctl_spells_them() {
    let clusters = cluster::list(&dump(), &cluster::Filter::default()).expect("a list");
    assert_eq!(
        clusters[4]["edsClusterConfig"]["serviceName"],
        "outbound|5432||db.shop.svc.cluster.local"
    );
    let secrets = secret::message(&dump()).expect("a message");
    let first = &secrets["dynamicActiveSecrets"][0]["secret"]["tlsCertificate"];
    assert!(first["certificateChain"]["inlineString"].is_string());
}

#[test]
fn everything_is_shown_under_headlines() {
    let all = OfAll {
        from: super::From {
            pod: None,
            file: some("-"),
            output: None,
        },
        with_headers: true,
        fqdn: some("db.shop"),
        subset: None,
        direction: None,
        port: None,
        address: None,
        of: None,
        name: some("9080"),
        verbose: true,
    };
    let now = Timestamp::UNIX_EPOCH;
    let text = summary(&dump(), &all, now).expect("a text");
    let headlines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("------"))
        .collect();
    assert_eq!(
        headlines,
        [
            "------ BOOTSTRAP INFO ------",
            "------ CLUSTER INFO ------",
            "------ LISTENER INFO ------",
            "------ ROUTE INFO ------",
            "------ SECRET INFO ------",
            "------ ENDPOINTS INFO ------",
        ]
    );
    assert!(
        text.contains("cluster/outbound|5432||db.shop.svc.cluster.local"),
        "{text}"
    );
    assert!(text.contains("endpoint/10.244.0.9:5432"), "{text}");
}
