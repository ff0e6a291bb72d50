//! The command line on a real mesh: what it shows of proxies and of the installation, and that upstream's way of
//! asking for the former is answered as well.

use e2e::istioctl::istioctl;
use e2e::{cluster, eventually::eventually, mesh};
use futures::stream;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, Secret, Service, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use proto::envoy::config::core::v3::Node;
use proto::envoy::service::discovery::v3::DiscoveryRequest;
use proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use proto::google::protobuf::{Struct, Value as Field, value::Kind};
use serde_json::Value;
use tonic::Request;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// `pod.namespace` of every gateway of the sample.
async fn gateways(client: &Client) -> Vec<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let selector = "istio in (ingressgateway, egressgateway)";
    let running = ListParams::default()
        .labels(selector)
        .fields("status.phase=Running");
    let found = pods.list(&running).await.expect("pods can be listed");
    let leaving = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    let names = found.iter().filter(|pod| !leaving(pod));
    names
        .map(|pod| format!("{}.{}", pod.name_any(), mesh::NAMESPACE))
        .collect()
}

#[tokio::test]
async fn proxy_status_shows_every_gateway_in_sync() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    eventually(&client, "every gateway is in sync", 60, || async {
        let text = istioctl(&["proxy-status", "-o", "json"])?;
        let mut configs = Vec::new();
        // One message for each instance of the control plane.
        for message in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
            let message = message.map_err(|error| format!("{error}: {text}"))?;
            configs.extend(message["resources"].as_array().cloned().unwrap_or_default());
        }
        for gateway in gateways(&client).await {
            let config = configs
                .iter()
                .find(|config| config["node"]["id"] == *gateway);
            let config = config.ok_or_else(|| format!("{gateway} is not in {text}"))?;
            let types = config["genericXdsConfigs"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let of = |name: &str| {
                let named = |of: &&Value| {
                    of["typeUrl"]
                        .as_str()
                        .is_some_and(|url| url.ends_with(name))
                };
                types
                    .iter()
                    .find(named)
                    .map(|of| of["configStatus"].clone())
            };
            for name in [".Cluster", ".Listener", ".ClusterLoadAssignment"] {
                if of(name) != Some("SYNCED".into()) {
                    return Err(format!("{gateway} {name}: {types:?}"));
                }
            }
        }
        Ok(())
    })
    .await;
    let table = istioctl(&["ps"]).expect("a table");
    let header: Vec<&str> = table
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        header,
        [
            "NAME",
            "CLUSTER",
            "ISTIOD",
            "VERSION",
            "SUBSCRIBED",
            "TYPES"
        ]
    );
}

#[tokio::test]
async fn a_proxy_has_what_its_control_plane_says() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    eventually(
        &client,
        "an ingress gateway equals its control plane",
        60,
        || async {
            let text = istioctl(&["proxy-status", "deploy/istio-ingressgateway.istio-system"])?;
            let lines = ["Clusters Match", "Listeners Match"];
            match lines
                .iter()
                .all(|line| text.lines().any(|found| found.starts_with(line)))
            {
                true => Ok(()),
                false => Err(text),
            }
        },
    )
    .await;
}

#[tokio::test]
async fn proxy_config_secret_shows_a_valid_certificate_and_the_root() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let gateways = gateways(&client).await;
    let pod = gateways.first().expect("a gateway");
    let text = istioctl(&["proxy-config", "secret", pod]).expect("a table");
    for (name, of) in [("default", "Cert Chain"), ("ROOTCA", "CA")] {
        let row = text.lines().find(|line| line.starts_with(name));
        let row = row.unwrap_or_else(|| panic!("no row {name}: {text}"));
        let words: Vec<&str> = row.split_whitespace().collect();
        let after_type = 1 + of.split_whitespace().count();
        assert_eq!(words[1..after_type].join(" "), of, "{text}");
        assert_eq!(
            words[after_type..after_type + 2],
            ["ACTIVE", "true"],
            "{text}"
        );
    }
}

#[tokio::test]
async fn install_leaves_what_an_operator_keeps() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let error = istioctl(&["install", "-y"]).expect_err("refused");
    assert!(
        error.contains("is kept by istiooperator istio-system/istiocontrolplane"),
        "{error}"
    );
    let error = istioctl(&["uninstall", "--purge", "-y"]).expect_err("refused");
    assert!(
        error.contains("its operator would make again what is removed: delete it instead"),
        "{error}"
    );
}

/// What upstream's istioctl does for `proxy-status`: asks 15012 for `istio.io/debug/syncz` with a token of the service
/// account `default` of the control plane's namespace.
#[tokio::test]
async fn upstreams_way_of_asking_is_answered() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let secret = secrets.get(base::names::CA_SECRET).await.expect("the CA");
    let root = Certificate::from_pem(&secret.data.expect("data")["root-cert.pem"].0);
    let services: Api<Service> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let service = services.get("istiod").await.expect("Service istiod");
    let address = service
        .spec
        .and_then(|spec| spec.cluster_ip)
        .expect("an address");
    let tls = ClientTlsConfig::new()
        .ca_certificate(root)
        .domain_name("istiod.istio-system.svc");
    let endpoint = Endpoint::from_shared(format!("https://{address}:15012"))
        .expect("an address")
        .tls_config(tls)
        .expect("a TLS configuration");
    let channel = endpoint.connect().await.expect("istiod answers");

    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec!["istio-ca".to_owned()],
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let token = accounts
        .create_token_request("default", &PostParams::default(), &request)
        .await
        .expect("a token");
    let token = token.status.expect("a status").token;

    let metadata = [
        ("GENERATOR", "event"),
        ("NAMESPACE", mesh::NAMESPACE),
        ("SERVICE_ACCOUNT", "default"),
    ];
    let fields = metadata.map(|(key, text)| {
        let kind = Some(Kind::StringValue(text.to_owned()));
        (key.to_owned(), Field { kind })
    });
    let ask = DiscoveryRequest {
        node: Some(Node {
            id: "sidecar~10.0.0.1~test-1.istio-system~istio-system.svc.cluster.local".to_owned(),
            metadata: Some(Struct {
                fields: fields.into(),
            }),
            ..Node::default()
        }),
        type_url: "istio.io/debug/syncz".to_owned(),
        ..DiscoveryRequest::default()
    };
    let mut request = Request::new(stream::iter([ask]));
    let bearer = format!("Bearer {token}").parse().expect("ASCII");
    request.metadata_mut().insert("authorization", bearer);
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let answers = client.stream_aggregated_resources(request).await;
    let answer = answers.expect("let in").into_inner().message().await;
    let answer = answer.expect("an answer").expect("not the end");
    assert_eq!(answer.type_url, "istio.io/debug/syncz");
    for resource in &answer.resources {
        assert_eq!(
            resource.type_url,
            "type.googleapis.com/envoy.service.status.v3.ClientConfig"
        );
    }
    let identifier = answer.control_plane.expect("named").identifier;
    let identifier: Value = serde_json::from_str(&identifier).expect("upstream's JSON");
    assert!(
        identifier["ID"].as_str().is_some_and(|id| !id.is_empty()),
        "{identifier}"
    );
}
