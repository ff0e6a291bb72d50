//! Which CA, if any, the operator is to keep: that of the first IstioOperator, by namespace and
//! name, whose Base is enabled, whose control plane runs in this cluster, and which is not being
//! deleted. After a deletion nothing is kept, so that a purge of the CA's objects is not undone.

use std::collections::BTreeMap;

use install::{Component, Install, Owner};

/// What the CA needs to know; `ca::run` is started and stopped by whoever receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaPlan {
    /// Where istio-ca-secret is.
    pub namespace: String,
    /// SPIFFE trust domain.
    pub trust_domain: String,
}

impl CaPlan {
    /// The plan of one installation.
    pub fn of(install: &Install) -> Option<CaPlan> {
        // A control plane elsewhere has its CA there; a root of our own would keep its proxies away from it.
        let keeps = install.enabled(Component::Base) && install.runs_control_plane();
        keeps.then(|| CaPlan {
            namespace: install.istio_namespace.clone(),
            trust_domain: install.trust_domain.clone(),
        })
    }
}

/// Orders plans by who asks for them.
pub(crate) type Plans = BTreeMap<(String, String), CaPlan>;

/// Notes what `owner` asks for and returns what is to be kept now.
pub(crate) fn decide(plans: &mut Plans, owner: &Owner, plan: Option<CaPlan>) -> Option<CaPlan> {
    let key = (owner.namespace.clone(), owner.name.clone());
    match plan {
        Some(plan) => plans.insert(key, plan),
        None => plans.remove(&key),
    };
    plans.values().next().cloned()
}

#[cfg(test)]
mod tests {
    use super::{CaPlan, Plans, decide};
    use api::istio_operator::IstioOperator;
    use install::{Observed, Owner};
    use serde_json::{Value, json};

    /// What an IstioOperator with this specification asks for.
    fn asked(spec: Value) -> Option<CaPlan> {
        let parsed = IstioOperator::parse(&json!({
            "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
            "metadata": {"name": "mesh", "namespace": "istio-system"}, "spec": spec,
        }));
        let seen = Observed {
            hub: "localhost/ferrosail".into(),
            tag: "0.1.0".into(),
            version: "0.1.0".into(),
            kubernetes: Some((1, 35)),
            host: None,
        };
        let install = install::resolve(&parsed.expect("a valid resource"), &seen);
        CaPlan::of(&install.expect("a valid specification"))
    }

    #[test]
    fn a_ca_is_kept_where_the_control_plane_runs() {
        assert!(asked(json!({"profile": "minimal"})).is_some());
        assert_eq!(asked(json!({"profile": "empty"})), None);
        let elsewhere =
            json!({"profile": "remote", "values": {"global": {"remotePilotAddress": "192.0.2.1"}}});
        assert_eq!(asked(elsewhere), None);
    }

    #[test]
    fn the_first_by_namespace_wins_and_the_last_to_go_ends_it() {
        let owner = |name: &str| Owner {
            name: name.into(),
            namespace: "istio-system".into(),
        };
        let plan = |trust_domain: &str| CaPlan {
            namespace: "istio-system".into(),
            trust_domain: trust_domain.into(),
        };
        let mut plans = Plans::new();
        let second = decide(&mut plans, &owner("b"), Some(plan("b")));
        assert_eq!(second, Some(plan("b")));
        assert_eq!(
            decide(&mut plans, &owner("a"), Some(plan("a"))),
            Some(plan("a"))
        );
        assert_eq!(decide(&mut plans, &owner("a"), None), Some(plan("b")));
        assert_eq!(decide(&mut plans, &owner("b"), None), None);
    }
}
