//! What a control plane tells, as tables and messages.

use serde_json::json;

use super::{Told, age, by_type, messages, summary};

const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const EDS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const NDS: &str = "type.googleapis.com/istio.networking.nds.v1.NameTable";

fn told() -> Vec<Told> {
    let gateway = json!({
        "cluster_id": "Kubernetes", "proxy": "gateway-7.istio-system", "proxy_type": "router",
        "istio_version": "1.30.0",
        "resources": {
            NDS: {"sent": "4", "acked": "4", "sentTime": "2026-01-01T00:00:00Z"},
            EDS: {"sent": "3", "acked": "2", "sentTime": "2026-01-01T00:04:50Z"},
            CDS: {"sent": "1", "acked": "1", "sentTime": "2026-01-01T00:00:00Z", "lastError": "no"},
        },
    });
    let old = json!({
        "cluster_id": "Kubernetes", "proxy": "web-1.shop", "istio_version": "1.20.0",
        "cluster_sent": "a", "cluster_acked": "a", "route_sent": "b",
    });
    let idle =
        json!({"proxy": "idle-1.shop", "resources": {CDS: {"sentTime": "0001-01-01T00:00:00Z"}}});
    let one = |instance: &str, proxies| Told {
        instance: instance.to_owned(),
        proxies,
    };
    vec![
        one("istiod-2", vec![old]),
        one("istiod-1", vec![gateway, idle]),
    ]
}

#[test]
fn proxies_are_shown_with_the_types_that_they_ask_for() {
    assert_eq!(
        summary(&told(), None),
        "\
NAME                       CLUSTER        ISTIOD       VERSION     SUBSCRIBED TYPES
gateway-7.istio-system     Kubernetes     istiod-1     1.30.0      3 (CDS,EDS,NDS)
idle-1.shop                               istiod-1                 1 (CDS)
web-1.shop                 Kubernetes     istiod-2     1.20.0      2 (CDS,RDS)
"
    );
}

#[test]
fn a_namespace_shows_its_own_proxies() {
    let text = summary(&told(), Some("istio-system"));
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains("gateway-7.istio-system"), "{text}");
}

#[test]
fn at_length_each_type_has_a_column() {
    let now = "2026-01-01T00:05:00Z".parse().expect("a time");
    assert_eq!(
        by_type(&told(), None, now),
        "\
NAME                       CLUSTER        CDS            ECDS        EDS             LDS         RDS         NDS             ISTIOD       VERSION
gateway-7.istio-system     Kubernetes     ERROR (5m)     IGNORED     STALE (10s)     IGNORED     IGNORED     SYNCED (5m)     istiod-1     1.30.0
idle-1.shop                               NOT SENT       IGNORED     IGNORED         IGNORED     IGNORED     IGNORED         istiod-1     
web-1.shop                 Kubernetes     SYNCED         IGNORED     IGNORED         IGNORED     STALE       IGNORED         istiod-2     1.20.0
"
    );
}

#[test]
fn messages_are_those_of_upstreams_tool() {
    let told = told();
    let all: Vec<_> = messages(&told, None).collect();
    assert_eq!(all.len(), 2);
    let gateway = &all[1]["resources"][0];
    assert_eq!(gateway["node"]["metadata"]["NAMESPACE"], "istio-system");
    let configs = &gateway["genericXdsConfigs"];
    assert_eq!(configs[0]["configStatus"], "ERROR");
    assert_eq!(configs[0]["errorState"]["details"], "no");
    assert_eq!(
        all[1]["resources"][1]["genericXdsConfigs"][0]["configStatus"],
        "NOT_SENT"
    );
}

#[test]
fn ages_are_told_as_kubectl_does() {
    let at = "2026-01-01T00:00:00Z".parse().expect("a time");
    for (seconds, expected) in [
        (5, "5s"),
        (119, "119s"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600 + 60, "3h1m"),
        (9 * 3600, "9h"),
        (3 * 86_400 + 3600, "3d1h"),
        (30 * 86_400, "30d"),
    ] {
        let now = jiff::Timestamp::from_second(1_767_225_600 + seconds).expect("a time");
        assert_eq!(age(now, at), expected);
    }
}
