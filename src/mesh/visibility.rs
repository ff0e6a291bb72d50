//! Which namespaces see an object (exportTo), and which namespaces the mesh sees at all.

use std::borrow::Cow;
use std::collections::BTreeSet;

use api::mesh_config::EntryVisibility;
use api::snapshot::{Key, Labels, Snapshot};

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
    /// `*` outdoes every other entry, and `~`, which is nobody, every one but that.
    pub fn of(export_to: &[String], default: &[String], namespace: &str) -> Self {
        let list = if export_to.is_empty() {
            default
        } else {
            export_to
        };
        if list.is_empty() || list.iter().any(|entry| entry == "*") {
            return Visibility::Public;
        }
        if list.iter().any(|entry| entry == "~") {
            return Visibility::Only(BTreeSet::new());
        }
        let names = list.iter();
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

/// The visibility of a ServiceEntry within what the mesh allows namespaces like its own.
pub(crate) fn capped(own: Visibility, snapshot: &Snapshot, namespace: &str) -> Visibility {
    let Some(settings) = &snapshot.mesh.service_entry_visibility else {
        return own;
    };
    if !settings.apply_to_sidecars {
        return own;
    }
    match settings.of(&labels(snapshot, namespace)) {
        EntryVisibility::Public => own,
        EntryVisibility::Namespace if own.includes(namespace) => {
            Visibility::Only(BTreeSet::from([namespace.to_owned()]))
        }
        EntryVisibility::Namespace | EntryVisibility::None => Visibility::Only(BTreeSet::new()),
    }
}

fn labels(snapshot: &Snapshot, namespace: &str) -> Labels {
    let known = snapshot.namespaces.get(&Key::new("", namespace));
    known.map(|known| known.labels.clone()).unwrap_or_default()
}

/// A snapshot with only the namespaces that the mesh's discoverySelectors select; all without any.
pub(crate) fn discovered(snapshot: &Snapshot) -> Cow<'_, Snapshot> {
    let selectors = &snapshot.mesh.discovery_selectors;
    if selectors.is_empty() {
        return Cow::Borrowed(snapshot);
    }
    let namespaces = snapshot.namespaces.iter();
    let selected: BTreeSet<&str> = namespaces
        .filter(|(_, own)| selectors.iter().any(|one| one.selects(&own.labels)))
        .map(|(key, _)| key.name.as_str())
        .collect();
    Cow::Owned(snapshot.within(|namespace| selected.contains(namespace)))
}
