//! The one setting of the mesh configuration that the control plane needs before it starts: the trust domain.

use std::time::Duration;

use base::names;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use serde::Deserialize;
use serve::Shutdown;
use tracing::warn;

use super::Discovery;

/// Pauses while the API server does not answer.
const PAUSE: Duration = Duration::from_secs(2);

/// Key of the mesh configuration in its ConfigMap.
const KEY: &str = "mesh";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mesh {
    #[serde(default)]
    trust_domain: String,
}

/// Reads it from the ConfigMap `istio` (`istio-<revision>`); waits for the API server until `shutdown`.
/// Without the ConfigMap, or without the field, it is `cluster.local`.
pub async fn read(client: &Client, options: &Discovery, shutdown: &Shutdown) -> String {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &options.namespace);
    let name = match options.revision() {
        "default" => "istio".to_owned(),
        revision => format!("istio-{revision}"),
    };
    loop {
        match api.get_opt(&name).await {
            Ok(config_map) => return trust_domain_of(config_map.as_ref(), &name),
            Err(error) => {
                warn!(%error, "configmap {}/{name} could not be read, trying again", options.namespace)
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return names::DEFAULT_TRUST_DOMAIN.to_owned(),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn trust_domain_of(config_map: Option<&ConfigMap>, name: &str) -> String {
    let default = names::DEFAULT_TRUST_DOMAIN.to_owned();
    let Some(text) = config_map.and_then(|map| map.data.as_ref()?.get(KEY)) else {
        warn!("configmap {name} has no key {KEY}, the trust domain is {default}");
        return default;
    };
    match serde_saphyr::from_str::<Mesh>(text) {
        Ok(mesh) if mesh.trust_domain.is_empty() => default,
        Ok(mesh) => mesh.trust_domain,
        Err(error) => {
            warn!(%error, "configmap {name}: {KEY} does not parse, the trust domain is {default}");
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::ConfigMap;

    use super::trust_domain_of;

    fn from(mesh: &str) -> String {
        let config_map = ConfigMap {
            data: Some(BTreeMap::from([("mesh".to_owned(), mesh.to_owned())])),
            ..Default::default()
        };
        trust_domain_of(Some(&config_map), "istio")
    }

    #[test]
    fn is_read_beside_other_settings() {
        assert_eq!(
            from("accessLogFile: /dev/stdout\ntrustDomain: example.org\n"),
            "example.org"
        );
    }

    #[test]
    fn is_cluster_local_otherwise() {
        for mesh in [
            "",
            "accessLogFile: x",
            "trustDomain: ''",
            "- a list",
            "a: b: c",
        ] {
            assert_eq!(from(mesh), "cluster.local", "{mesh}");
        }
        assert_eq!(trust_domain_of(None, "istio"), "cluster.local");
    }
}
