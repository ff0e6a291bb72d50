//! exportTo: which namespaces see an object.

use std::collections::BTreeSet;

/// Who sees an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Every namespace.
    Public,
    /// Only these; none when empty.
    Only(BTreeSet<String>),
}

impl Visibility {
    /// Reads `exportTo` of an object in `namespace`, or the mesh's default when it says nothing.
    pub fn of(export_to: &[String], default: &[String], namespace: &str) -> Self {
        let list = if export_to.is_empty() {
            default
        } else {
            export_to
        };
        if list.is_empty() || list.iter().any(|entry| entry == "*") {
            return Visibility::Public;
        }
        let names = list.iter().filter(|entry| *entry != "~");
        Visibility::Only(
            names
                .map(|entry| if entry == "." { namespace } else { entry }.to_owned())
                .collect(),
        )
    }

    /// Whether `namespace` sees it.
    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Visibility::Public => true,
            Visibility::Only(names) => names.contains(namespace),
        }
    }
}
