//! An installation in a cluster, made by the command line rather than by the operator: the same objects, labels and
//! field manager, so that either can take over from the other.

use std::time::{Duration, Instant};

use api::istio_operator::{API_VERSION, KIND};
use base::labels;
use install::{Component, ComponentManifest, Install, Manifest, Object, Owner};
use kube::Api;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use rollout::{Inventory, Kind, Live, Plan, apply, gather, plan, prune, ready};
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, told};
use crate::inputs;
use crate::progress::Progress;

/// The name of an IstioOperator that has none, as upstream's command line calls what it installed.
const UNNAMED: &str = "installed-state";
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(500);
/// Pods are asked what is wrong with them when something has been waited for this long.
const BLAME_AFTER: Duration = Duration::from_secs(10);

/// Everything that is to be in the cluster.
pub(crate) struct Installation {
    pub install: Install,
    pub manifest: Manifest,
    pub owner: Owner,
}

impl Installation {
    /// What an IstioOperator means in this cluster.
    ///
    /// # Errors
    /// What is wrong with it, or that the cluster does not answer.
    pub async fn of(cluster: &Cluster, mut document: Map<String, Value>) -> Result<Self, String> {
        let namespace = document["metadata"]["namespace"]
            .as_str()
            .map(str::to_owned);
        let name = document["metadata"]["name"].as_str().map(str::to_owned);
        let owner = Owner {
            name: name.unwrap_or_else(|| UNNAMED.to_owned()),
            namespace: namespace.unwrap_or_else(|| cluster.istio_namespace.clone()),
        };
        document["metadata"]["name"] = owner.name.clone().into();
        document["metadata"]["namespace"] = owner.namespace.clone().into();
        let kubernetes = gather::kubernetes_version(&cluster.client).await;
        let install = inputs::resolve(document, kubernetes.map_err(|error| error.to_string())?)?;
        let install = match is_default(cluster, &install, &owner).await? {
            true => install.with_default_tag(),
            false => install,
        };
        let manifest = install::build(&install);
        Ok(Installation {
            install,
            manifest,
            owner,
        })
    }

    /// What applying it would do, by a dry run.
    ///
    /// # Errors
    /// What the API server says against it.
    pub async fn plan(&self, cluster: &Cluster) -> Result<Plan, String> {
        let inventory = self.inventory(cluster).await?;
        let remove = self.superfluous(&inventory);
        let objects = self.manifest.objects();
        plan::plan(&cluster.client, objects, remove, |_, _| None)
            .await
            .map_err(|error| error.to_string())
    }

    /// What exists already and is not of this installation, one sentence each: what an IstioOperator of the cluster
    /// keeps, and what belongs to Helm. What every installation has alike is nobody's alone.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn foreign(&self, cluster: &Cluster) -> Result<Vec<String>, String> {
        let keepers: Vec<Owner> = resources(cluster).await?.iter().map(owner_of).collect();
        let inventory = self.inventory(cluster).await?;
        let mut found = Vec::new();
        let components = self.manifest.components.iter();
        let own = components.filter(|component| component.component != Component::Base);
        for object in own.flat_map(|component| &component.objects) {
            let live = inventory.get(&object.reference);
            let keeper = live.and_then(|live| live.owner.as_ref());
            if let Some(Owner { name, namespace }) = keeper.filter(|owner| keepers.contains(owner))
            {
                let object = &object.reference;
                found.push(format!(
                    "{object} is kept by istiooperator {namespace}/{name}"
                ));
                continue;
            }
            let existing = apply::read(&cluster.client, &object.reference).await;
            let existing = existing.map_err(|error| error.to_string())?;
            let why = existing.as_ref().and_then(helm_release);
            found.extend(why.map(|why| format!("{} {why}", object.reference)));
        }
        Ok(found)
    }

    /// Applies component after component, waits for each, and removes what is rendered no more.
    ///
    /// # Errors
    /// The first component that could not be applied or is not available in time.
    pub async fn apply(
        &self,
        cluster: &Cluster,
        patience: Duration,
        progress: &mut Progress,
    ) -> Result<(), String> {
        for namespace in self.install.namespaces() {
            apply::create_namespace(&cluster.client, &namespace)
                .await
                .map_err(|error| error.to_string())?;
        }
        for component in &self.manifest.components {
            if !component.enabled {
                continue;
            }
            let name = user_facing(component.component);
            let done = self.advance(cluster, component, patience, progress).await;
            if let Err(why) = done {
                progress.failed(&format!("{name} encountered an error: {why}"));
                return Err(format!("{name} could not be installed: {why}"));
            }
            progress.done(&format!("{name} installed"));
        }
        progress.doing("Pruning removed resources".to_owned());
        let inventory = self.inventory(cluster).await?;
        for live in self.superfluous(&inventory) {
            prune::delete(&cluster.client, live)
                .await
                .map_err(|error| error.to_string())?;
        }
        progress.done("Installation complete");
        Ok(())
    }

    async fn advance(
        &self,
        cluster: &Cluster,
        component: &ComponentManifest,
        patience: Duration,
        progress: &mut Progress,
    ) -> Result<(), String> {
        let name = user_facing(component.component);
        progress.doing(format!("Processing resources for {name}."));
        let mut inventory = Inventory::default();
        for object in &component.objects {
            let live = apply::apply(&cluster.client, object).await;
            inventory.observe(live.map_err(|error| error.to_string())?);
        }
        let begun = Instant::now();
        loop {
            let state = ready::ready(&component.objects, &inventory);
            if state.available() {
                return Ok(());
            }
            if begun.elapsed() > patience {
                let waiting = state.waiting.join("; ");
                let blame = self.blame(cluster, component, &state).await;
                return Err(format!(
                    "not available after {} s: {waiting}{blame}",
                    patience.as_secs()
                ));
            }
            let blame = match begun.elapsed() > BLAME_AFTER {
                true => self.blame(cluster, component, &state).await,
                false => String::new(),
            };
            let waiting = state.waiting.join(", ");
            progress.doing(format!(
                "Processing resources for {name}. Waiting for {waiting}{blame}"
            ));
            tokio::time::sleep(LOOK).await;
            look(cluster, &component.objects, &mut inventory).await?;
        }
    }

    /// What the pods of that which is waited for say.
    async fn blame(
        &self,
        cluster: &Cluster,
        component: &ComponentManifest,
        state: &rollout::Readiness,
    ) -> String {
        for workload in &state.workloads {
            let found = component
                .objects
                .iter()
                .find(|one| one.reference == *workload);
            let Some(object) = found else { continue };
            let blame = rollout::blame::blame(&cluster.client, workload, &object.body).await;
            if let Ok(Some(why)) = blame {
                return format!(" ({why})");
            }
        }
        String::new()
    }

    async fn inventory(&self, cluster: &Cluster) -> Result<Inventory, String> {
        let inventory = gather::inventory(&cluster.client).await;
        inventory.map_err(|error| error.to_string())
    }

    fn superfluous<'a>(&self, inventory: &'a Inventory) -> Vec<&'a Live> {
        prune::superfluous(inventory, &self.owner, &self.manifest.components, |_| true)
    }
}

/// Reads what may have changed of `objects`.
pub(crate) async fn look(
    cluster: &Cluster,
    objects: &[Object],
    inventory: &mut Inventory,
) -> Result<(), String> {
    for object in objects {
        let Some(kind) = Kind::of(&object.reference) else {
            continue;
        };
        if kind.depth == rollout::kind::Depth::Metadata
            && inventory.get(&object.reference).is_some()
        {
            continue;
        }
        let found = apply::read(&cluster.client, &object.reference).await;
        if let Some(found) = found.map_err(|error| error.to_string())? {
            inventory.observe(Live::of(kind, &found.metadata, &found.data));
        }
    }
    Ok(())
}

/// Whether this installation is to be the cluster's default revision: the one without a name is, another one where
/// nobody else is.
async fn is_default(cluster: &Cluster, install: &Install, owner: &Owner) -> Result<bool, String> {
    let Some(tag) = install.default_tag() else {
        return Ok(false);
    };
    if install.revision.is_empty() {
        return Ok(true);
    }
    let existing = apply::read(&cluster.client, &tag).await;
    let existing = existing.map_err(|error| error.to_string())?;
    let label =
        |object: &DynamicObject, key: &str| object.metadata.labels.as_ref()?.get(key).cloned();
    Ok(existing.is_none_or(|object| {
        label(&object, labels::OWNING_RESOURCE).as_ref() == Some(&owner.name)
            && label(&object, labels::OWNING_RESOURCE_NAMESPACE).as_ref() == Some(&owner.namespace)
    }))
}

/// Whose release an object is, if it is Helm's.
fn helm_release(object: &DynamicObject) -> Option<String> {
    let annotations = object.metadata.annotations.as_ref()?;
    let release = annotations.get(labels::HELM_RELEASE)?;
    let namespace = annotations
        .get(labels::HELM_NAMESPACE)
        .map_or("", |name| name);
    Some(format!("belongs to Helm release {namespace}/{release}"))
}

/// As istioctl calls components.
pub(crate) fn user_facing(component: Component) -> &'static str {
    match component {
        Component::Base => "Istio core",
        Component::Pilot => "Istiod",
        Component::IngressGateways => "Ingress gateways",
        Component::EgressGateways => "Egress gateways",
    }
}

/// The IstioOperator resources of the cluster, which its operator keeps true; none when there is no such kind.
///
/// # Errors
/// When the cluster cannot be asked.
pub(crate) async fn resources(cluster: &Cluster) -> Result<Vec<DynamicObject>, String> {
    let (group, version) = API_VERSION.split_once('/').unwrap_or((API_VERSION, ""));
    let kind = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        plural: "istiooperators".to_owned(),
    };
    let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &kind);
    match api.list(&kube::api::ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(format!("IstioOperators cannot be listed: {}", told(&error))),
    }
}

/// The owner that an IstioOperator resource is.
pub(crate) fn owner_of(resource: &DynamicObject) -> Owner {
    Owner {
        name: resource.metadata.name.clone().unwrap_or_default(),
        namespace: resource.metadata.namespace.clone().unwrap_or_default(),
    }
}

/// A resource as a document that can be resolved.
pub(crate) fn document_of(resource: &DynamicObject) -> Map<String, Value> {
    let owner = owner_of(resource);
    let document = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": owner.name, "namespace": owner.namespace},
        "spec": resource.data["spec"],
    });
    match document {
        Value::Object(document) => document,
        _ => Map::new(),
    }
}
