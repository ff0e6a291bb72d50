//! Every object that the API server holds, as a sorted list of names: what is compared before an
//! installation and after its deletion.

use std::collections::BTreeSet;

use kube::api::{DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use kube::{Api, Client, ResourceExt};

/// `group/version/Kind namespace/name` of all that can be listed, each object in one version.
///
/// # Panics
/// When discovery or a list fails: an incomplete listing would compare equal by accident.
pub async fn everything(client: &Client) -> BTreeSet<String> {
    let discovery = Discovery::new(client.clone())
        .run()
        .await
        .expect("API discovery");
    let mut found = BTreeSet::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if !capabilities.supports_operation(verbs::LIST) {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let list = api
                .list_metadata(&ListParams::default())
                .await
                .unwrap_or_else(|error| panic!("listing {}: {error}", resource.plural));
            for object in list.items {
                let namespace = object
                    .namespace()
                    .map(|namespace| namespace + "/")
                    .unwrap_or_default();
                found.insert(format!(
                    "{}/{} {namespace}{}",
                    resource.api_version,
                    resource.kind,
                    object.name_any()
                ));
            }
        }
    }
    found
}
