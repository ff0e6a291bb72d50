//! Plain requests to a host outside become TLS at the egress gateway, which trusts the roots of a ConfigMap.

use e2e::{
    cluster, eventually::eventually, load, mesh, namespace, namespace::Namespace, sidecar,
    tls::Authority, workload::Workload,
};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{CLIENT, alone, rule};
use crate::egress::Name;

const HOST: &str = "tls.outside.traffic.example";
const URL: &str = "http://tls.outside.traffic.example/originated";
const GATEWAY: &str = "istio-egressgateway.istio-system.svc.cluster.local";
/// The one of the gateway that no other case uses.
const PORT: u16 = 443;
const ROOTS: &str = "outside-roots";
/// Where the server outside listens.
const LISTENS: u16 = 8443;

#[tokio::test]
async fn the_egress_gateway_begins_tls_with_the_roots_of_a_config_map() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "traffic-origination", async |place| {
        let authority = Authority::new("outside");
        let outside = place.beside("traffic-origination-outside", json!({})).await;
        outside.apply(authority.secret("server", HOST, None)).await;
        outside.apply(server(&image(place).await)).await;
        place.apply(alone()).await;
        place.deploy(&[Workload::client(CLIENT)]).await;
        outside.rolled_out("server").await;
        let pod = outside.pods_of("server").await.remove(0);
        let address = pod
            .status
            .and_then(|status| status.pod_ip)
            .expect("an address");
        let _name = Name::new(HOST, &address);
        place.apply(roots(&Authority::new("stranger"))).await;
        for object in rules(place, &address) {
            place.apply(object).await;
        }
        eventually(
            &client,
            "a stranger's certificate is refused",
            30,
            || async {
                match load::once(place, CLIENT, URL).await?.as_str() {
                    "503" => logged(place, [" 503 ", "CERTIFICATE_VERIFY_FAILED"]).await,
                    other => Err(other.to_owned()),
                }
            },
        )
        .await;

        place.apply(roots(&authority)).await;
        let (said, took) = eventually(&client, "the server outside answers", 30, || async {
            let output = place.run(CLIENT, &["get", "--url", URL]).await?;
            let said = output.stderr.clone();
            said.contains("status: 200")
                .then_some(said)
                .ok_or_else(|| format!("{output:?}"))
        })
        .await;
        println!("TLS to the host outside {took:?} after its root was known");
        assert!(said.contains(&format!("x-server-name: {HOST}")), "{said}");
        let cluster = format!("outbound|443||{HOST}");
        eventually(&client, "the gateway logged it", 20, || {
            logged(place, [" 200 ", cluster.as_str()])
        })
        .await;
    })
    .await;
}

/// The image of the gateways' proxies: it has an Envoy, which makes a server.
async fn image(place: &Namespace) -> String {
    let gateways = place.sibling(mesh::NAMESPACE);
    let pod = gateways.pods_of("istio-egressgateway").await.remove(0);
    let containers = pod.spec.expect("a spec").containers;
    let image = containers.into_iter().find_map(|container| container.image);
    image.expect("an image")
}

/// Answers over TLS only, with the name that it was called by.
fn server(image: &str) -> Value {
    let file = |name: &str| json!({"filename": format!("/certificate/{name}")});
    let tls = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [
                {"certificate_chain": file("tls.crt"), "private_key": file("tls.key")},
            ]},
        },
    });
    let http = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "server",
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }],
            "route_config": {"virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                "response_headers_to_add": [
                    {"header": {"key": "x-server-name", "value": "%REQUESTED_SERVER_NAME%"}},
                ],
            }]},
        },
    });
    let configuration = json!({"static_resources": {"listeners": [{
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": LISTENS}},
        "listener_filters": [{
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"},
        }],
        "filter_chains": [{"transport_socket": tls, "filters": [http]}],
    }]}});
    let labels = json!({"app": "server"});
    let container = json!({
        "name": "app", "image": image, "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/local/bin/envoy", "--concurrency", "1", "--config-yaml", configuration.to_string()],
        "volumeMounts": [{"name": "certificate", "mountPath": "/certificate"}],
        "readinessProbe": {"tcpSocket": {"port": LISTENS}, "periodSeconds": 1},
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "server"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "terminationGracePeriodSeconds": 1,
                "volumes": [{"name": "certificate", "secret": {"secretName": "server"}}],
                "containers": [container],
            }},
        },
    })
}

fn roots(of: &Authority) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ROOTS},
        "data": {"ca.crt": of.root_pem()},
    })
}

/// In the forms of the tutorial: mTLS to the gateway, and TLS from there.
fn rules(place: &Namespace, address: &str) -> Vec<Value> {
    let entry = json!({
        "hosts": [HOST], "location": "MESH_EXTERNAL", "resolution": "STATIC",
        "ports": [
            {"number": 80, "name": "http", "protocol": "HTTP"},
            {"number": 443, "name": "https", "protocol": "HTTPS"},
        ],
        "endpoints": [{"address": address, "ports": {"https": LISTENS}}],
    });
    let port = json!({"number": PORT, "name": "https-for-origination", "protocol": "HTTPS"});
    let gateway = json!({
        "selector": {"istio": "egressgateway"},
        "servers": [{"port": port, "hosts": [HOST], "tls": {"mode": "ISTIO_MUTUAL"}}],
    });
    let to_gateway = json!({"host": GATEWAY, "subsets": [{
        "name": "origination",
        "trafficPolicy": {"portLevelSettings": [
            {"port": {"number": PORT}, "tls": {"mode": "ISTIO_MUTUAL", "sni": HOST}},
        ]},
    }]});
    let credential = format!("configmap://{}/{ROOTS}", place.name);
    let begins = json!({"host": HOST, "trafficPolicy": {"portLevelSettings": [{
        "port": {"number": 443},
        "tls": {"mode": "SIMPLE", "sni": HOST, "credentialName": credential},
    }]}});
    let http = json!([
        {"match": [{"gateways": ["mesh"], "port": 80}],
         "route": [{"destination": {"host": GATEWAY, "subset": "origination", "port": {"number": PORT}}}]},
        {"match": [{"gateways": ["origination"], "port": PORT}],
         "route": [{"destination": {"host": HOST, "port": {"number": 443}}}]},
    ]);
    let route = json!({"hosts": [HOST], "gateways": ["origination", "mesh"], "http": http});
    vec![
        rule("ServiceEntry", "outside", entry),
        rule("Gateway", "origination", gateway),
        rule(
            "DestinationRule",
            "egressgateway-for-origination",
            to_gateway,
        ),
        rule("DestinationRule", "originates-tls", begins),
        rule("VirtualService", "through-egress-gateway", route),
    ]
}

/// Whether a gateway logged a request for the host with these words.
async fn logged(place: &Namespace, [status, words]: [&str; 2]) -> Result<(), String> {
    let gateways = place.sibling(mesh::NAMESPACE);
    let mut last = String::new();
    for pod in gateways.pods_of("istio-egressgateway").await {
        match sidecar::access_log(&gateways, &pod.name_any(), [HOST, status, words]).await {
            Ok(_) => return Ok(()),
            Err(why) => last = why,
        }
    }
    Err(last)
}
