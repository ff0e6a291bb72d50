//! Reads from the cluster what planning and pruning need: the API server's version, and the
//! inventory by listing. (The operator feeds its inventory by watches instead.)

use base::labels;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};

use crate::error::bounded;
use crate::kind::KINDS;
use crate::{Error, Inventory, Kind, Live};

/// The label selector of everything of `kind` that belongs to an installation. Kubernetes copies the
/// labels of a Service onto the slices of endpoints that it makes for it; these are not ours.
pub fn selector(kind: &Kind) -> String {
    let ours = format!("{}={}", labels::MANAGED, labels::MANAGED_RECONCILE);
    match kind.kind {
        "EndpointSlice" => {
            let by = "endpointslice.kubernetes.io/managed-by";
            format!("{ours},{by}!=endpointslice-controller.k8s.io")
        }
        _ => ours,
    }
}

/// Major and minor version of the API server; absent when it does not say them as numbers.
pub async fn kubernetes_version(client: &Client) -> Result<Option<(u32, u32)>, Error> {
    let what = || "the version of the API server".to_owned();
    let info = bounded(what, client.apiserver_version(), |source| Error::Read {
        what: what(),
        source,
    })
    .await?;
    let digits = |text: &str| {
        text.trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse::<u32>()
            .ok()
    };
    Ok(digits(&info.major).zip(digits(&info.minor)))
}

/// Everything that carries our labels, by one list per kind. A kind that the API server does not
/// know has no objects.
pub async fn inventory(client: &Client) -> Result<Inventory, Error> {
    let mut inventory = Inventory::default();
    for kind in KINDS {
        let params = ListParams::default().labels(&selector(kind));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.api_resource());
        let what = || format!("the list of {}", kind.plural);
        let listed = bounded(what, api.list(&params), |source| Error::Read {
            what: what(),
            source,
        })
        .await;
        let objects = match listed {
            Ok(list) => list.items,
            Err(Error::Read { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.code == 404) => {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        for object in objects {
            inventory.observe(Live::of(kind, &object.metadata, &object.data));
        }
    }
    Ok(inventory)
}
