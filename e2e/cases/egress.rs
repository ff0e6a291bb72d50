//! With outboundTrafficPolicy REGISTRY_ONLY a host must be registered before it is reached, and who
//! looks for the reason finds its name.

use e2e::{
    cluster, eventually::eventually, load, mesh, namespace, sidecar, workload, workload::Workload,
};
use serde_json::json;

const HOST: &str = "outside.egress.example";
const URL: &str = "http://outside.egress.example:8080/";

/// A name that only the cluster's DNS knows, as that of a host on the internet.
pub(crate) struct Name {
    file: std::path::PathBuf,
    line: String,
}

impl Name {
    pub(crate) fn new(host: &str, address: &str) -> Self {
        let node = std::env::var("FERROSAIL_NODE")
            .expect("FERROSAIL_NODE names the folder of the cluster; `make test` sets it");
        let file = std::path::Path::new(&node).join("etc/hosts.outside");
        let line = format!("{address} {host}\n");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        std::fs::write(&file, text + &line).expect("the file of outside names can be written");
        Self { file, line }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let _ = std::fs::write(&self.file, text.replace(&self.line, ""));
    }
}

#[tokio::test]
async fn a_host_outside_is_blocked_by_name_until_a_service_entry_allows_it() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "egress", async |place| {
        let outside = place.beside("egress-outside", json!({})).await;
        let server = Workload::echo("server", "outside");
        outside.apply(server.account()).await;
        // No Service selects it: the registry does not know its address.
        outside.apply(server.deployment()).await;
        place
            .deploy(&[Workload::echo("inside", "v1"), Workload::client("client")])
            .await;
        outside.rolled_out(&server.name).await;
        let pod = outside.pods_of("server").await.remove(0);
        let address = pod.status.and_then(|status| status.pod_ip).expect("an address");
        let _name = Name::new(HOST, &address);
        let from = place.pod_of("client").await;

        eventually(&client, "502", 30, || async {
            match load::once(place, "client", URL).await?.as_str() {
                "502" => Ok(()),
                other => Err(other.to_owned()),
            }
        })
        .await;
        let (lines, _) = eventually(&client, "a line that names the host", 20, || {
            sidecar::access_log(place, &from, [HOST, " 502 ", "block_all"])
        })
        .await;
        println!("{}", lines[0]);
        // What is no HTTP is blocked too.
        let target = format!("{HOST}:{}", workload::TCP);
        let tcp = place.run("client", &["tcp", "--to", &target, "--line", "are you there", "--timeout", "5s"]).await.expect("it runs");
        assert!(!tcp.success, "{tcp:?}");

        place
            .apply(json!({
                "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "outside"},
                "spec": {
                    "hosts": [HOST], "location": "MESH_EXTERNAL", "resolution": "DNS",
                    "ports": [
                        {"number": workload::HTTP, "name": "http", "protocol": "HTTP"},
                        {"number": workload::TCP, "name": "tcp", "protocol": "TCP"},
                    ],
                },
            }))
            .await;
        let (_, took) = eventually(&client, "200 once it is registered", 20, || async {
            match load::once(place, "client", URL).await?.as_str() {
                "200" => Ok(()),
                other => Err(other.to_owned()),
            }
        })
        .await;
        println!("allowed after {took:?}");
        let cluster = format!("outbound|{}||{HOST}", workload::HTTP);
        eventually(&client, "a line that names the cluster", 20, || {
            sidecar::access_log(place, &from, [" 200 ", &cluster])
        })
        .await;
        let load = load::load(place, "client", URL, &["--requests", "200"]).await.expect("it runs");
        assert!(load.is_clean() && load.versions.contains_key("outside"), "{load:?}");
        eventually(&client, "TCP is allowed too", 20, || async {
            let output = place.run("client", &["tcp", "--to", &target, "--line", "are you there", "--timeout", "5s"]).await?;
            output.stdout.starts_with("hello ").then_some(()).ok_or(format!("{output:?}"))
        })
        .await;

        place.delete("networking.istio.io/v1", "ServiceEntry", "outside").await;
        eventually(&client, "502 again", 20, || async {
            match load::once(place, "client", URL).await?.as_str() {
                "502" => Ok(()),
                other => Err(other.to_owned()),
            }
        })
        .await;
    })
    .await;
}
