//! Names of secrets: as users write them, as proxies ask for them, and the objects that they mean.

use std::collections::BTreeMap;

use api::networking::destination_rule::TlsMode;
use api::snapshot::{Key, Kind};

use crate::{Role, Rule, Scope};

/// What the end of a name says: only the authorities of the credential are asked for.
const ROOTS: &str = "-cacert";

/// Beginning of the names of ConfigMaps, which hold authorities and nothing secret.
const CONFIG_MAP: &str = "configmap://";

/// The object that holds what a proxy asks for by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPlace {
    /// `Secret` or `ConfigMap`.
    pub kind: Kind,
    /// Its namespace and name.
    pub key: Key,
}

/// What a proxy's configuration refers to by the names that it asks with: Secrets of its own namespace, and
/// ConfigMaps of the namespace of the object that names them, which hold nothing secret.
pub fn secrets_of(scope: &Scope) -> BTreeMap<String, SecretPlace> {
    let own = &scope.workload.namespace;
    let mut found = BTreeMap::new();
    for name in &scope.gateways.secrets {
        let place = secret_of(name, own);
        found.extend(place.map(|place| (name.clone(), place)));
    }
    let called = scope.outbound.services.iter();
    for rule in called.filter_map(|called| called.rule.as_deref()) {
        // Sidecars show the mesh's certificates, but for rules that are meant for them alone.
        let secrets = scope.role == Role::Router || rule.selector.is_some();
        for name in credentials(rule) {
            let Some(place) = secret_of(&name, own) else {
                continue;
            };
            let given = match place.kind {
                Kind::ConfigMap => place.key.namespace == rule.namespace,
                _ => secrets && place.key.namespace == *own,
            };
            if given {
                found.insert(name, place);
            }
        }
    }
    found
}

/// The names that a rule's clusters ask with.
fn credentials(rule: &Rule) -> Vec<String> {
    let subsets = rule.subsets.iter();
    let policies = subsets.filter_map(|subset| subset.traffic_policy.as_ref());
    let policies = policies.chain(&rule.policy);
    let settings = policies.flat_map(|policy| {
        let of_ports = policy.port_level_settings.iter();
        of_ports
            .filter_map(|own| own.tls.as_ref())
            .chain(&policy.tls)
    });
    let mut found = Vec::new();
    for tls in settings {
        let used = matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual);
        let Some(name) = secret_name(&tls.credential_name).filter(|_| used) else {
            continue;
        };
        found.push(format!("{name}{ROOTS}"));
        if tls.mode == TlsMode::Mutual {
            found.push(name);
        }
    }
    found
}

/// The name that a proxy asks for a credential with; `None` for one that is not the control plane's
/// to give.
pub fn secret_name(credential: &str) -> Option<String> {
    const KNOWN: [&str; 3] = ["kubernetes://", "kubernetes-gateway://", CONFIG_MAP];
    if credential.is_empty()
        || credential.starts_with("builtin://")
        || credential.starts_with("invalid://")
    {
        return None;
    }
    // Without a server of secrets of its own the mesh has all that has another's name.
    let credential = credential.strip_prefix("sds://").unwrap_or(credential);
    let whole = KNOWN.iter().any(|scheme| credential.starts_with(scheme));
    Some(if whole {
        credential.to_owned()
    } else {
        format!("kubernetes://{credential}")
    })
}

/// The object that a name means to a proxy of a namespace; `None` for a name of another form. The name of a
/// ConfigMap says its namespace and may have the end of those that ask for authorities (upstream:
/// GetConfigMapCaCert in pilot/pkg/credentials/kube/secrets.go).
pub fn secret_of(name: &str, namespace: &str) -> Option<SecretPlace> {
    let rest = ["kubernetes://", "kubernetes-gateway://", CONFIG_MAP]
        .iter()
        .find_map(|scheme| Some((*scheme, name.strip_prefix(scheme)?)));
    let (scheme, rest) = rest?;
    let (namespace, name) = match rest.split_once('/') {
        Some((namespace, name)) => (namespace, name),
        None if scheme == "kubernetes://" => (namespace, rest),
        None => return None,
    };
    let (kind, name) = match scheme {
        CONFIG_MAP => (Kind::ConfigMap, name.strip_suffix(ROOTS).unwrap_or(name)),
        _ => (Kind::Secret, name),
    };
    let whole = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
    whole.then(|| SecretPlace {
        kind,
        key: Key::new(namespace, name),
    })
}

#[cfg(test)]
mod tests {
    use api::snapshot::{Key, Kind, Locality, World, read};
    use serde_json::json;

    use super::{SecretPlace, secret_name, secret_of, secrets_of};
    use crate::{Flavour, Proxy, compile};

    fn secret(namespace: &str, name: &str) -> SecretPlace {
        SecretPlace {
            kind: Kind::Secret,
            key: Key::new(namespace, name),
        }
    }

    #[test]
    fn a_gateway_anywhere_names_secrets_beside_the_proxy() {
        let asked = |namespace: &str, credential: &str| {
            let tls = json!({"mode": "SIMPLE", "credentialName": credential});
            let port = json!({"number": 443, "name": "https", "protocol": "HTTPS"});
            let gateway = json!({
                "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
                "metadata": {"name": "shop", "namespace": namespace},
                "spec": {
                    "selector": {"app": "edge"},
                    "servers": [{"port": port, "hosts": ["shop.example"], "tls": tls}],
                },
            });
            let mut world = World::new("cluster.local");
            world.put(read(&gateway).expect("readable").expect("of use"));
            let (mesh, _) = compile(world.snapshot());
            let node = "router~10.0.0.1~edge-1.edge~edge.svc.cluster.local";
            let metadata = json!({"LABELS": {"app": "edge"}});
            let place = Locality::default();
            let proxy = Proxy::of_node(node, &metadata, place, Flavour::Stock).expect("a node");
            secrets_of(&mesh.scope(&proxy))
        };
        let tls = ("kubernetes://tls".to_owned(), secret("edge", "tls"));
        for namespace in ["edge", "shop"] {
            assert_eq!(asked(namespace, "tls"), [tls.clone()].into(), "{namespace}");
            assert!(asked(namespace, "kubernetes://shop/tls").is_empty());
        }
        assert_eq!(asked("edge", "kubernetes-gateway://edge/tls").len(), 1);
        assert!(asked("shop", "kubernetes-gateway://edge/tls").is_empty());
        // What is public may stand beside the Gateway as well as beside the proxy.
        assert_eq!(asked("shop", "configmap://shop/roots").len(), 1);
        assert_eq!(asked("shop", "configmap://edge/roots").len(), 1);
        assert!(asked("shop", "configmap://bank/roots").is_empty());
    }

    #[test]
    fn a_plain_name_is_a_secret_beside_the_proxy() {
        let name = secret_name("edge").expect("a name");
        assert_eq!(name, "kubernetes://edge");
        assert_eq!(secret_of(&name, "shop"), Some(secret("shop", "edge")));
    }

    #[test]
    fn a_name_may_say_its_namespace() {
        let name = secret_name("kubernetes://web/edge").expect("a name");
        assert_eq!(secret_of(&name, "shop"), Some(secret("web", "edge")));
        assert_eq!(secret_of("default", "shop"), None);
    }

    #[test]
    fn a_config_map_is_named_with_its_namespace_whoever_asks() {
        let place = SecretPlace {
            kind: Kind::ConfigMap,
            key: Key::new("web", "roots"),
        };
        for name in ["configmap://web/roots", "configmap://web/roots-cacert"] {
            assert_eq!(secret_name(name).as_deref(), Some(name));
            assert_eq!(secret_of(name, "shop"), Some(place.clone()));
        }
        for name in ["roots", "/roots", "web/", "web/roots/more", "web/-cacert"] {
            assert_eq!(
                secret_of(&format!("configmap://{name}"), "shop"),
                None,
                "{name}"
            );
        }
    }

    /// What a proxy of `shop` asks for, where a rule of `namespace` names `credential` for calls of `api.example`.
    fn asked_by_rule(kind: &str, namespace: &str, credential: &str) -> Vec<String> {
        let entry = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": "api", "namespace": namespace},
            "spec": {"hosts": ["api.example"], "ports": [{"number": 443, "name": "https", "protocol": "HTTPS"}]},
        });
        let rule = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "api", "namespace": namespace},
            "spec": {"host": "api.example", "trafficPolicy": {"tls": {"mode": "SIMPLE", "credentialName": credential}}},
        });
        let mut world = World::new("cluster.local");
        for object in [entry, rule] {
            world.put(read(&object).expect("readable").expect("of use"));
        }
        let (mesh, _) = compile(world.snapshot());
        let node = format!("{kind}~10.0.0.1~a-1.shop~shop.svc.cluster.local");
        let place = Locality::default();
        let proxy = Proxy::of_node(&node, &json!({}), place, Flavour::Stock).expect("a node");
        secrets_of(&mesh.scope(&proxy)).into_keys().collect()
    }

    #[test]
    fn a_rule_names_config_maps_beside_itself_to_every_proxy() {
        for kind in ["sidecar", "router"] {
            let asked = |namespace, credential| asked_by_rule(kind, namespace, credential);
            let expected = ["configmap://bank/roots-cacert"];
            assert_eq!(asked("bank", "configmap://bank/roots"), expected, "{kind}");
            // Whoever writes rules in one namespace is not to hand out what stands in others.
            assert!(asked("bank", "configmap://shop/roots").is_empty(), "{kind}");
        }
        assert_eq!(
            asked_by_rule("router", "shop", "tls"),
            ["kubernetes://tls-cacert"]
        );
        assert!(asked_by_rule("sidecar", "shop", "tls").is_empty());
    }

    #[test]
    fn the_workloads_own_certificate_is_no_secret() {
        assert_eq!(secret_name("builtin://"), None);
    }
}
