//! TLS at the ingress gateway: certificates from Secrets, which come late, change and go; callers that show theirs;
//! connections that pass through by name; and TCP.

use e2e::{
    cluster, eventually::eventually, http, mesh, namespace, namespace::Namespace, tls,
    tls::Authority, workload::Workload,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use super::{alone, rule};

const SIMPLE: &str = "simple.traffic.example";
const MUTUAL: &str = "mutual.traffic.example";
/// Shows a certificate of its own to who passes through.
const ISTIOD: &str = "istiod.istio-system.svc";
/// The Secrets stand beside the gateway: in a namespace that other cases use too.
const SIMPLE_SECRET: &str = "e2e-traffic-simple";
const MUTUAL_SECRET: &str = "e2e-traffic-mutual";
const TCP: u16 = 31400;

fn gateway() -> Value {
    let server = |name: &str, number: u16, protocol: &str, host: &str, tls: Value| {
        let mut server = json!({
            "port": {"name": name, "number": number, "protocol": protocol}, "hosts": [host],
        });
        if !tls.is_null() {
            server["tls"] = tls;
        }
        server
    };
    let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": [
        server("https-simple", 443, "HTTPS", SIMPLE, json!({"mode": "SIMPLE", "credentialName": SIMPLE_SECRET})),
        server("https-mutual", 443, "HTTPS", MUTUAL, json!({"mode": "MUTUAL", "credentialName": MUTUAL_SECRET})),
        server("tls-through", 443, "TLS", ISTIOD, json!({"mode": "PASSTHROUGH"})),
        server("http-simple", 80, "HTTP", SIMPLE, json!({"httpsRedirect": true})),
        server("tcp", TCP, "TCP", "*", Value::Null),
    ]});
    rule("Gateway", "traffic", spec)
}

fn routes() -> Vec<Value> {
    let echo = json!([{"destination": {"host": "echo", "port": {"number": 8080}}}]);
    let gateways = json!(["traffic"]);
    let through = json!([{
        "match": [{"port": 443, "sniHosts": [ISTIOD]}],
        "route": [{"destination": {"host": "istiod.istio-system.svc.cluster.local", "port": {"number": 443}}}],
    }]);
    let tcp = json!([{
        "match": [{"port": TCP}],
        "route": [{"destination": {"host": "echo", "port": {"number": 9000}}}],
    }]);
    vec![
        rule(
            "VirtualService",
            "https",
            json!({
                "hosts": [SIMPLE, MUTUAL], "gateways": gateways, "http": [{"route": echo}],
            }),
        ),
        rule(
            "VirtualService",
            "through",
            json!({"hosts": [ISTIOD], "gateways": gateways, "tls": through}),
        ),
        rule(
            "VirtualService",
            "tcp",
            json!({"hosts": ["*"], "gateways": gateways, "tcp": tcp}),
        ),
    ]
}

/// Secrets in the gateway's namespace, gone when the case ends.
struct Secrets {
    client: Client,
}

impl Secrets {
    async fn apply(&self, mut secret: Value) {
        secret["metadata"]["namespace"] = json!(mesh::NAMESPACE);
        let applied = cluster::apply(&self.client, secret).await;
        applied.expect("the Secret is accepted");
    }

    async fn remove(&self) {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), mesh::NAMESPACE);
        for name in [SIMPLE_SECRET, MUTUAL_SECRET] {
            if let Err(error) = api.delete(name, &Default::default()).await {
                assert!(mesh::is_not_found(&error), "{name}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_gateway_serves_tls_with_the_certificate_of_its_secret_whenever_that_comes() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let secrets = Secrets {
        client: client.clone(),
    };
    secrets.remove().await;
    namespace::injected(&client, "traffic-ingress", async |place| {
        place.apply(alone()).await;
        place.apply(gateway()).await;
        for route in routes() {
            place.apply(route).await;
        }
        place.deploy(&[Workload::echo("echo", "v1")]).await;
        let address = mesh::ingress(&client).await;
        through(place, &address).await;
        tcp(place).await;
        redirected(place, &address).await;
        simple(place, &secrets, &address).await;
        mutual(place, &secrets, &address).await;
    })
    .await;
    secrets.remove().await;
}

/// The handshake is the server's own; the gateway only reads the name.
async fn through(place: &Namespace, address: &str) {
    let api: Api<Secret> = Api::namespaced(place.client.clone(), mesh::NAMESPACE);
    let secret = api
        .get(base::names::CA_SECRET)
        .await
        .expect("the CA's secret");
    let root = secret.data.expect("data")["root-cert.pem"].0.clone();
    let root = String::from_utf8(root).expect("PEM");
    let at = format!("{address}:443");
    let (answer, took) = eventually(&place.client, "istiod's own certificate", 30, || async {
        tls::get(&at, ISTIOD, "/inject", &root, None).await
    })
    .await;
    println!("passed through after {took:?}: {}", answer.status);
}

/// A port that the gateway's Service does not have: asked at a pod of it.
async fn tcp(place: &Namespace) {
    let gateways = place.sibling(mesh::NAMESPACE);
    let pods = gateways.pods_of("istio-ingressgateway").await;
    let pod = pods.first().and_then(|pod| pod.status.clone());
    let address = pod
        .and_then(|status| status.pod_ip)
        .expect("a gateway with an address");
    eventually(&place.client, "echo greets over TCP", 20, || async {
        let stream = TcpStream::connect((address.as_str(), TCP)).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let mut line = String::new();
        let mut reader = BufReader::new(stream);
        let read = tokio::time::timeout(
            std::time::Duration::from_secs(3),
            reader.read_line(&mut line),
        );
        let read = read.await.map_err(|_| "no greeting".to_owned())?;
        read.map_err(|error| error.to_string())?;
        line.starts_with("hello ").then_some(()).ok_or(line)
    })
    .await;
}

async fn redirected(place: &Namespace, address: &str) {
    let at = format!("{address}:80");
    eventually(&place.client, "a redirect to https", 20, || async {
        let answer = http::get(&at, SIMPLE, "/").await?;
        (answer.status == 301)
            .then_some(())
            .ok_or(format!("{answer:?}"))
    })
    .await;
}

async fn simple(place: &Namespace, secrets: &Secrets, address: &str) {
    let at = format!("{address}:443");
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let refused = tls::get(&at, SIMPLE, "/", &first.root_pem(), None).await;
    assert!(
        refused.is_err(),
        "served without a certificate: {refused:?}"
    );
    for (what, authority) in [
        ("a Secret that comes", &first),
        ("a Secret that changes", &second),
    ] {
        secrets
            .apply(authority.secret(SIMPLE_SECRET, SIMPLE, None))
            .await;
        let root = authority.root_pem();
        let (answer, took) = eventually(&place.client, what, 20, || async {
            // Often enough to meet every replica of the gateway.
            let mut body = String::new();
            for _ in 0..8 {
                let answer = tls::get(&at, SIMPLE, "/", &root, None).await?;
                if answer.status != 200 {
                    return Err(format!("{answer:?}"));
                }
                body = answer.body;
            }
            Ok(body)
        })
        .await;
        assert!(answer.contains("\"version\":\"v1\""), "{answer}");
        println!("{what}: served after {took:?}");
    }
    let old = tls::get(&at, SIMPLE, "/", &first.root_pem(), None).await;
    assert!(
        old.is_err(),
        "the first certificate is still shown: {old:?}"
    );
}

async fn mutual(place: &Namespace, secrets: &Secrets, address: &str) {
    let at = format!("{address}:443");
    let (server, callers) = (Authority::new("server"), Authority::new("callers"));
    secrets
        .apply(server.secret(MUTUAL_SECRET, MUTUAL, Some(&callers)))
        .await;
    let root = server.root_pem();
    let own = callers.issue("caller.traffic.example");
    eventually(
        &place.client,
        "a caller with a certificate is served",
        20,
        || async {
            let answer = tls::get(&at, MUTUAL, "/", &root, Some(&own)).await?;
            (answer.status == 200)
                .then_some(())
                .ok_or(format!("{answer:?}"))
        },
    )
    .await;
    let stranger = server.issue("caller.traffic.example");
    for own in [None, Some(&stranger)] {
        let refused = tls::get(&at, MUTUAL, "/", &root, own).await;
        assert!(
            refused.is_err(),
            "served without a certificate of callers: {refused:?}"
        );
    }
}
