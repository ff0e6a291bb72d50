//! Kinds of security.istio.io, as users write them; one file per kind, named as in `validate`.

pub mod attribute;
pub mod authorization_policy;
pub mod jwt;
pub mod key_set;
pub mod peer_authentication;

use serde::Deserialize;

/// What a policy is for, where no labels say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetRef {
    /// Group of its kind, empty for the core group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; that of the policy when empty.
    pub namespace: String,
}

impl TargetRef {
    /// Those of a policy: the list, or else the one of the older form.
    pub fn all<'a>(list: &'a [TargetRef], one: Option<&'a TargetRef>) -> &'a [TargetRef] {
        match (list, one) {
            ([], Some(one)) => std::slice::from_ref(one),
            (list, _) => list,
        }
    }
}
