//! `uninstall`: removes what an IstioOperator, a revision or all of Istio has in the cluster. CRDs, the CA's secret and
//! namespaces stay, as upstream leaves them.

use std::time::{Duration, Instant};

use base::labels;
use clap::Args;
use install::Owner;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use rollout::kind::{KINDS, Teardown};
use rollout::{Kind, Live, apply, prune};

use crate::cluster::{Cluster, Flags, told};
use crate::inputs::Inputs;
use crate::installation::{owner_of, resources};
use crate::progress::{Progress, confirmed};

/// Between two looks at what is going.
const LOOK: Duration = Duration::from_millis(500);
/// For what is deleted first to be gone.
const PATIENCE: Duration = Duration::from_secs(120);

/// Arguments of `uninstall`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    flags: Flags,
    /// Remove everything of Istio, of all revisions
    #[arg(long)]
    purge: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    skip_confirmation: bool,
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove also what an operator keeps, which will make it again
    #[arg(long)]
    force: bool,
    /// Name every object that is removed
    #[arg(long, short)]
    verbose: bool,
}

/// Whose objects are meant.
#[derive(Debug, PartialEq)]
enum Target {
    Everything,
    Revision(String),
    Owner(Owner),
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let inputs = &arguments.inputs;
    let document = inputs.document(&[])?;
    let revision = document["spec"]["revision"].as_str().map(str::to_owned);
    let from_file = !inputs.filenames.is_empty();
    arguments.flags.run(async |cluster| {
        let target = if arguments.purge {
            Target::Everything
        } else if from_file {
            let text = |key: &str| document["metadata"][key].as_str().map(str::to_owned);
            Target::Owner(Owner {
                name: text("name").unwrap_or_else(|| "installed-state".to_owned()),
                namespace: text("namespace").unwrap_or_else(|| cluster.istio_namespace.clone()),
            })
        } else if let Some(revision) = revision {
            Target::Revision(revision)
        } else {
            return Err(
                "expected --revision, --filename or --purge: which installation is to be removed?".to_owned(),
            );
        };
        let found = of_target(&cluster, &target).await?;
        if found.is_empty() {
            return match &target {
                Target::Revision(revision) => Err(format!(
                    "revision {revision:?} has no objects in the cluster"
                )),
                _ => Ok("No resources will be pruned from the cluster. Please double check the input configs\n"
                    .to_owned()),
            };
        }
        if !arguments.force {
            kept_by_operator(&cluster, &found).await?;
        }
        if arguments.dry_run {
            return Ok(listed(&found));
        }
        let question = question(&target, &found, arguments.verbose);
        if !arguments.skip_confirmation && !confirmed(&question) {
            return Err("Cancelled.".to_owned());
        }
        let mut progress = Progress::new();
        remove(&cluster, &found, arguments.verbose, &mut progress).await?;
        progress.done("Uninstall complete");
        Ok(String::new())
    })
}

/// The objects meant, in the order in which they go.
async fn of_target(cluster: &Cluster, target: &Target) -> Result<Vec<Live>, String> {
    let selector = match target {
        Target::Everything => labels::COMPONENT.to_owned(),
        Target::Revision(revision) => {
            format!("{},{}={revision}", labels::COMPONENT, labels::REVISION)
        }
        Target::Owner(owner) => format!(
            "{}={},{}={}",
            labels::OWNING_RESOURCE,
            owner.name,
            labels::OWNING_RESOURCE_NAMESPACE,
            owner.namespace
        ),
    };
    let mut found = Vec::new();
    for kind in KINDS {
        let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &kind.api_resource());
        match api.list(&ListParams::default().labels(&selector)).await {
            Ok(list) => found.extend(
                list.items
                    .iter()
                    .map(|object| Live::of(kind, &object.metadata, &object.data)),
            ),
            // A kind that this API server does not know.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                return Err(format!(
                    "{} cannot be listed: {}",
                    kind.plural,
                    told(&error)
                ));
            }
        }
    }
    found.retain(|live| prune::deletable(&live.reference));
    found.sort_by_key(|live| (teardown(live) == Teardown::Last, rank(live)));
    Ok(found)
}

fn teardown(live: &Live) -> Teardown {
    Kind::of(&live.reference).map_or(Teardown::Kept, |kind| kind.teardown)
}

fn rank(live: &Live) -> usize {
    Kind::of(&live.reference).map_or(usize::MAX, Kind::rank)
}

/// An operator that keeps the objects would make them again.
async fn kept_by_operator(cluster: &Cluster, found: &[Live]) -> Result<(), String> {
    for resource in resources(cluster).await? {
        let owner = owner_of(&resource);
        if found.iter().any(|live| live.owner.as_ref() == Some(&owner)) {
            return Err(format!(
                "istiooperator {0}/{1} is in the cluster, and its operator would make again what is removed: \
                 delete it instead (kubectl delete istiooperator {1} -n {0}); --force removes all the same",
                owner.namespace, owner.name
            ));
        }
    }
    Ok(())
}

fn question(target: &Target, found: &[Live], verbose: bool) -> String {
    let mut text = match target {
        Target::Everything => "All Istio resources will be pruned from the cluster\n".to_owned(),
        Target::Revision(revision) => {
            format!(
                "{} resources of revision {revision} will be removed\n",
                found.len()
            )
        }
        Target::Owner(owner) => format!(
            "{} resources of istiooperator {}/{} will be removed\n",
            found.len(),
            owner.namespace,
            owner.name
        ),
    };
    if verbose {
        text += &listed(found);
    }
    let gateways: Vec<&str> = found
        .iter()
        .filter(|live| {
            live.reference.kind == "Deployment" && live.reference.name.contains("gateway")
        })
        .map(|live| live.reference.name.as_str())
        .collect();
    if !gateways.is_empty() {
        text += &format!(
            "You are about to remove the following gateways: {}. To avoid downtime, please quit this command and \
             reinstall the gateway(s) with a revision that is not being removed from the cluster.\n",
            gateways.join(", ")
        );
    }
    text
}

fn listed(found: &[Live]) -> String {
    found
        .iter()
        .map(|live| format!("remove {}\n", live.reference))
        .collect()
}

/// What runs and intercepts first; what running pods still need when that is gone.
async fn remove(
    cluster: &Cluster,
    found: &[Live],
    verbose: bool,
    progress: &mut Progress,
) -> Result<(), String> {
    let (first, last): (Vec<&Live>, Vec<&Live>) = found
        .iter()
        .partition(|live| teardown(live) == Teardown::First);
    for group in [first, last] {
        for live in &group {
            prune::delete(&cluster.client, live)
                .await
                .map_err(|error| error.to_string())?;
            match verbose {
                true => progress.done(&format!("Removed {}", live.reference)),
                false => progress.doing(format!("Removing {}", live.reference)),
            }
        }
        gone(cluster, &group, progress).await?;
    }
    Ok(())
}

async fn gone(cluster: &Cluster, group: &[&Live], progress: &mut Progress) -> Result<(), String> {
    let begun = Instant::now();
    let mut left: Vec<&Live> = group.to_vec();
    loop {
        let mut standing = Vec::new();
        for live in left {
            let found = apply::read(&cluster.client, &live.reference).await;
            let found = found.map_err(|error| error.to_string())?;
            if found.is_some_and(|object| object.metadata.uid.as_deref() == Some(&live.uid)) {
                standing.push(live);
            }
        }
        let Some(first) = standing.first() else {
            return Ok(());
        };
        if begun.elapsed() > PATIENCE {
            return Err(format!(
                "{} is still being deleted after {} s; its finalizers say what it waits for",
                first.reference,
                PATIENCE.as_secs()
            ));
        }
        progress.doing(format!("Waiting for {} to be gone", first.reference));
        left = standing;
        tokio::time::sleep(LOOK).await;
    }
}
