//! The IstioOperators beside one, and which objects each of them needs: whose an object is when
//! two render it, and which objects outlive the one that made them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::ObjectRef;
use install::Owner;

use crate::context::key;

/// Objects that an IstioOperator needs; none when that is not known yet.
pub type Needs = Option<Arc<BTreeSet<ObjectRef>>>;

/// See the module. Those that are being deleted are not among them.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// By namespace and name.
    pub needs: BTreeMap<(String, String), Needs>,
    /// The one namespace whose IstioOperators are watched; elsewhere they may exist unseen.
    pub watched: Option<String>,
}

impl Others {
    /// Whether `owner` exists and needs `object`, as far as is known.
    pub fn keeps(&self, owner: &Owner, object: &ObjectRef) -> bool {
        match self.needs.get(&key(owner)) {
            Some(Some(needs)) => needs.contains(object),
            Some(None) => true,
            None => self
                .watched
                .as_ref()
                .is_some_and(|watched| *watched != owner.namespace),
        }
    }

    /// Whether any of them is known to need `object`.
    pub fn need(&self, object: &ObjectRef) -> bool {
        let known = self.needs.values().flatten();
        known.into_iter().any(|needs| needs.contains(object))
    }
}
