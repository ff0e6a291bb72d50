//! Which CA, if any, the operator is to keep: that of the first IstioOperator, by namespace and
//! name, whose Base and Pilot are enabled and which is not being deleted. After a deletion
//! nothing is kept, so that a purge of the CA's objects is not undone.

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
        (install.enabled(Component::Base) && install.enabled(Component::Pilot)).then(|| CaPlan {
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
    use install::Owner;

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
