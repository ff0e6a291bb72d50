//! Names of secrets: as users write them, as proxies ask for them, and the objects that they mean.

use std::collections::BTreeMap;

use api::networking::destination_rule::TlsMode;
use api::snapshot::Key;

use crate::{Role, Rule, Scope};

/// What the end of a name says: only the authorities of the credential are asked for.
const ROOTS: &str = "-cacert";

/// The secrets that a proxy's configuration refers to and that stand in its own namespace, by the
/// names that it asks with.
pub fn secrets_of(scope: &Scope) -> BTreeMap<String, Key> {
    let called = scope.outbound.services.iter();
    let rules = called
        .filter_map(|called| called.rule.as_deref())
        .filter(|rule| {
            // Sidecars show the mesh's certificates, but for rules that are meant for them alone.
            scope.role == Role::Router || rule.selector.is_some()
        });
    let namespace = &scope.workload.namespace;
    let names = scope.gateways.secrets.iter().cloned();
    names
        .chain(rules.flat_map(credentials))
        .filter_map(|name| {
            let key = secret_of(&name, namespace)?;
            (key.namespace == *namespace).then_some((name, key))
        })
        .collect()
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
    const KNOWN: [&str; 3] = ["kubernetes://", "kubernetes-gateway://", "configmap://"];
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

/// The object that a name means to a proxy of a namespace; `None` for a name of another form.
pub fn secret_of(name: &str, namespace: &str) -> Option<Key> {
    let rest = ["kubernetes://", "kubernetes-gateway://", "configmap://"]
        .iter()
        .find_map(|scheme| Some((*scheme, name.strip_prefix(scheme)?)));
    let (scheme, rest) = rest?;
    match rest.split_once('/') {
        Some(("", _) | (_, "")) => None,
        Some((namespace, name)) => Some(Key::new(namespace, name)),
        None if scheme == "kubernetes://" && !rest.is_empty() => Some(Key::new(namespace, rest)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use api::snapshot::{Key, Locality, World, read};
    use serde_json::json;

    use super::{secret_name, secret_of, secrets_of};
    use crate::{Flavour, Proxy, compile};

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
        let tls = ("kubernetes://tls".to_owned(), Key::new("edge", "tls"));
        for namespace in ["edge", "shop"] {
            assert_eq!(asked(namespace, "tls"), [tls.clone()].into(), "{namespace}");
            assert!(asked(namespace, "kubernetes://shop/tls").is_empty());
        }
        assert_eq!(asked("edge", "kubernetes-gateway://edge/tls").len(), 1);
        assert!(asked("shop", "kubernetes-gateway://edge/tls").is_empty());
    }

    #[test]
    fn a_plain_name_is_a_secret_beside_the_proxy() {
        let name = secret_name("edge").expect("a name");
        assert_eq!(name, "kubernetes://edge");
        assert_eq!(secret_of(&name, "shop"), Some(Key::new("shop", "edge")));
    }

    #[test]
    fn a_name_may_say_its_namespace() {
        let name = secret_name("kubernetes://web/edge").expect("a name");
        assert_eq!(secret_of(&name, "shop"), Some(Key::new("web", "edge")));
        assert_eq!(secret_of("configmap://edge", "shop"), None);
        assert_eq!(secret_of("default", "shop"), None);
    }

    #[test]
    fn the_workloads_own_certificate_is_no_secret() {
        assert_eq!(secret_name("builtin://"), None);
    }
}
