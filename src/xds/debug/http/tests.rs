//! Questions over HTTP: who is answered, and what.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use serve::http::Peer;
use tower::ServiceExt;

use super::super::tests::{debug, late};
use super::{Late, router};

const HERE: &str = "127.0.0.1:4711";
const MAPPED: &str = "[::ffff:127.0.0.1]:4711";
const ELSEWHERE: &str = "10.0.0.9:4711";

async fn ask(late: Late, peer: &str, namespace: Option<&str>, path: &str) -> (u16, String) {
    let address: SocketAddr = peer.parse().expect("an address");
    let mut request = Request::get(path).extension(Peer {
        address,
        certificates: Arc::new([]),
    });
    if let Some(namespace) = namespace {
        request = request.header("authorization", namespace);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = router(late).oneshot(request).await.expect("infallible");
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a body");
    (status, String::from_utf8(body.into()).expect("text"))
}

async fn json_of(path: &str) -> Value {
    let (debug, _open) = debug();
    let (status, text) = ask(late(debug), HERE, None, path).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn syncz_tells_nonces_and_errors() {
    let found = json_of("/debug/syncz?namespace=shop").await;
    assert_eq!(found.as_array().expect("a list").len(), 1);
    let web = &found[0];
    assert_eq!(web["proxy"], "web.shop");
    assert_eq!(web["proxy_type"], "sidecar");
    assert_eq!(web["cluster_id"], "c1");
    assert_eq!(web["istio_version"], "1.30.0");
    assert_eq!(
        (&web["cluster_sent"], &web["cluster_acked"]),
        (&json!("1"), &json!("1"))
    );
    assert_eq!(
        (&web["endpoint_sent"], &web["endpoint_acked"]),
        (&json!("2"), &Value::Null)
    );
    let endpoints =
        &web["resources"]["type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"];
    assert_eq!(endpoints["lastError"], "no such thing");
    assert!(
        endpoints["sentTime"]
            .as_str()
            .expect("a time")
            .ends_with('Z')
    );
}

#[tokio::test]
async fn adsz_tells_who_is_connected_and_what_it_follows() {
    let found = json_of("/debug/adsz?proxyID=web.shop").await;
    assert_eq!(found["totalClients"], 1);
    let client = &found["clients"][0];
    assert_eq!(client["connectionId"], "web.shop-1");
    assert_eq!(client["address"], "10.0.0.1:4711");
    assert_eq!(client["labels"], json!({"app": "web"}));
    assert_eq!(client["metadata"]["NAMESPACE"], "shop");
    assert_eq!(
        client["watches"]["type.googleapis.com/envoy.config.cluster.v3.Cluster"],
        json!(["*"])
    );
    let all = json_of("/debug/connections").await;
    assert_eq!(all["totalClients"], 2);
    assert_eq!(all["clients"][0].get("metadata"), None);
}

#[tokio::test]
async fn a_dump_holds_what_is_followed_and_no_key() {
    let dump = json_of("/debug/config_dump?proxyID=web.shop&include_eds").await;
    let types: Vec<&str> = dump["configs"]
        .as_array()
        .expect("frames")
        .iter()
        .map(|frame| frame["@type"].as_str().unwrap_or_default())
        .map(|of| of.rsplit('.').next().unwrap_or_default())
        .collect();
    assert_eq!(
        types,
        [
            "BootstrapConfigDump",
            "ClustersConfigDump",
            "EndpointsConfigDump",
            "ListenersConfigDump",
            "ScopedRoutesConfigDump",
            "RoutesConfigDump",
            "SecretsConfigDump",
            "EcdsConfigDump",
        ]
    );
    let clusters = &dump["configs"][1]["dynamicActiveClusters"];
    assert_eq!(clusters.as_array().map(Vec::len), Some(2));
    assert_eq!(clusters[1]["cluster"]["name"], "outbound|80||b");
    let endpoints = &dump["configs"][2]["dynamicEndpointConfigs"];
    assert_eq!(endpoints.as_array().map(Vec::len), Some(1));
    let secret = &dump["configs"][6]["dynamicActiveSecrets"][0]["secret"];
    // base64 of `[redacted]`
    assert_eq!(
        secret["tlsCertificate"]["privateKey"]["inlineBytes"],
        "W3JlZGFjdGVkXQ=="
    );
}

#[tokio::test]
async fn one_type_comes_without_its_frame() {
    let found = json_of("/debug/edsz?proxyID=web").await;
    assert_eq!(found["configs"][0]["clusterName"], "outbound|80||a");
    let named = json_of("/debug/config_dump?proxyID=web&types=cds,eds").await;
    assert_eq!(named["configs"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn an_unknown_proxy_may_be_at_another_instance() {
    for (path, status, words) in [
        ("/debug/config_dump", 400, "You must provide a proxyID"),
        (
            "/debug/config_dump?proxyID=no",
            404,
            "Proxy not connected to this Pilot instance",
        ),
        (
            "/debug/adsz?proxyID=no",
            404,
            "Proxy not connected to this Pilot instance",
        ),
        ("/debug/adsz?push=true", 400, "nothing to push"),
        ("/debug/nonsense", 404, "/debug lists them"),
    ] {
        let (debug, _open) = debug();
        let (found, text) = ask(late(debug), HERE, None, path).await;
        assert_eq!(found, status, "{path}");
        assert!(text.contains(words), "{path}: {text}");
    }
}

#[tokio::test]
async fn callers_from_elsewhere_prove_who_they_are() {
    let dump = "/debug/config_dump?proxyID=web.shop";
    for (peer, namespace, path, status) in [
        (HERE, None, "/debug/syncz", 200),
        (MAPPED, None, "/debug/syncz", 200),
        (ELSEWHERE, None, "/debug/syncz", 401),
        (ELSEWHERE, Some("istio-system"), "/debug/syncz", 200),
        (ELSEWHERE, Some("shop"), "/debug/syncz", 403),
        (ELSEWHERE, Some("shop"), dump, 200),
        (ELSEWHERE, Some("bank"), dump, 404),
        (ELSEWHERE, Some("istio-system"), dump, 200),
    ] {
        let (debug, _open) = debug();
        let (found, text) = ask(late(debug), peer, namespace, path).await;
        assert_eq!(found, status, "{peer} {namespace:?} {path}: {text}");
    }
}

#[tokio::test]
async fn before_there_is_anything_to_tell_nobody_is_answered() {
    let (status, _) = ask(Late::default(), HERE, None, "/debug/syncz").await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn the_list_names_every_endpoint_but_itself() {
    let found = json_of("/debug/list").await;
    let names: Vec<&str> = found
        .as_array()
        .expect("names")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(names.contains(&"syncz") && names.contains(&"config_dump"));
    assert!(!names.contains(&"list"));
    for name in names {
        let (debug, _open) = debug();
        let path = format!("/debug/{name}?proxyID=web.shop&pretty");
        let (status, text) = ask(late(debug), HERE, None, &path).await;
        assert_eq!(status, 200, "{path}: {text}");
    }
}

#[tokio::test]
async fn configz_tells_objects_as_they_are_written() {
    let found = json_of("/debug/configz").await;
    let objects = found.as_array().expect("a list");
    assert_eq!(objects.len(), 5);
    for object in objects {
        for field in ["kind", "apiVersion", "metadata", "spec"] {
            assert!(!object[field].is_null(), "{field} of {object}");
        }
    }
}

#[tokio::test]
async fn configz_is_the_texts_themselves_or_the_same_indented() {
    for count in [0, 1, 5] {
        let (mut debug, _open) = debug();
        let mut written = (debug.written)();
        written.objects.truncate(count);
        let objects = written.objects.iter();
        let objects: Value = objects
            .map(|text| serde_json::from_str::<Value>(text).expect("JSON"))
            .collect();
        debug.written = Arc::new(move || written.clone());
        let debug = late(debug);
        let (_, plain) = ask(debug.clone(), HERE, None, "/debug/configz").await;
        assert_eq!(plain, objects.to_string());
        let (_, pretty) = ask(debug, HERE, None, "/debug/configz?pretty").await;
        assert_eq!(pretty, format!("{objects:#}"));
    }
}

#[tokio::test]
async fn authorizationz_tells_policies_by_namespace_oldest_first() {
    let found = json_of("/debug/authorizationz").await;
    let policies = &found["authorization_policies"];
    assert_eq!(policies["root_namespace"], "istio-system");
    let of_shop = &policies["namespace_to_policies"]["shop"];
    assert_eq!(
        (&of_shop[0]["name"], &of_shop[1]["name"]),
        (&json!("older"), &json!("younger"))
    );
    assert_eq!(of_shop[0]["spec"], json!({"action": "DENY"}));
    let context = json_of("/debug/pushcontext").await;
    assert_eq!(&context["AuthorizationPolicies"], policies);
    assert_eq!(context["NetworkGateways"], json!([]));
}

#[tokio::test]
async fn telemetryz_tells_all_and_what_holds_for_one_proxy() {
    let found = json_of("/debug/telemetryz").await;
    let by_namespace = &found["telemetries"]["namespace_to_telemetries"];
    assert_eq!(
        by_namespace["shop"][0]["spec"]["accessLogging"],
        json!([{"disabled": true}])
    );
    let key = |namespace: &str| json!({"Namespace": namespace, "Name": "t"});
    let web = json_of("/debug/telemetryz?proxyID=web.shop").await;
    assert_eq!(
        (&web["Root"], &web["Workload"]),
        (&key("istio-system"), &key("shop"))
    );
    assert_eq!(web["Tracing"], json!([{"randomSamplingPercentage": 5}]));
    assert_eq!(
        web["Logging"],
        json!([{"Logging": [{"disabled": true}], "Workload": key("shop")}])
    );
    let pay = json_of("/debug/telemetryz?proxyID=pay.bank").await;
    assert_eq!(pay["Workload"], json!({"Namespace": "", "Name": ""}));
    assert_eq!(pay["Logging"], json!([]));
    let (debug, _open) = debug();
    let (status, _) = ask(late(debug), HERE, None, "/debug/telemetryz?proxyID=nobody").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn mesh_and_inject_tell_what_is_in_force() {
    assert_eq!(
        json_of("/debug/mesh").await,
        json!({"trustDomain": "cluster.local"})
    );
    assert_eq!(
        json_of("/debug/inject").await,
        json!({"sidecar": "spec: {}"})
    );
}

/// Upstream's endpoints, as its index lists them.
const UPSTREAMS: [&str; 31] = [
    "adsz",
    "adsz?push=true",
    "ambientz",
    "authorizationz",
    "cachez",
    "cachez?clear=true",
    "cachez?sizes=true",
    "clusterz",
    "config_dump",
    "configz",
    "connections",
    "ecdsz",
    "edsz",
    "endpointShardz",
    "endpointz",
    "inject",
    "instancesz",
    "krtz",
    "list",
    "mcsz",
    "mesh",
    "ndsz",
    "networkz",
    "push_status",
    "pushcontext",
    "registryz",
    "resourcesz",
    "sidecarz",
    "syncz",
    "telemetryz",
    "force_disconnect",
];
/// Those that have no counterpart: there is no ambient mode here, no such internal state, nothing that is pushed or
/// cleared on demand, and no way to end another's connection.
const ABSENT: [&str; 5] = [
    "adsz?push=true",
    "ambientz",
    "cachez?clear=true",
    "force_disconnect",
    "krtz",
];

#[tokio::test]
async fn every_endpoint_of_upstream_is_there_or_has_a_reason() {
    let (debug, _open) = debug();
    let debug = late(debug);
    for name in UPSTREAMS {
        let separator = if name.contains('?') { '&' } else { '?' };
        let path = format!("/debug/{name}{separator}proxyID=web.shop");
        let (status, text) = ask(debug.clone(), HERE, None, &path).await;
        assert_eq!(
            status == 200,
            !ABSENT.contains(&name),
            "{path}: {status} {text}"
        );
        // Nobody from elsewhere may ask without a token.
        let (status, _) = ask(debug.clone(), ELSEWHERE, None, &path).await;
        assert!([401, 404].contains(&status), "{path}: {status}");
    }
}

#[tokio::test]
async fn instancesz_tells_which_services_a_proxy_stands_for() {
    let found = json_of("/debug/instancesz").await;
    let target = &found["web.shop"][0];
    assert_eq!(target["Service"]["hostname"], "web.shop.svc.cluster.local");
    let port = json!({"name": "http", "port": 80, "protocol": "HTTP", "TargetPort": 8080});
    assert_eq!(target["Port"], port);
    assert_eq!(found["pay.bank"], json!([]));
}
