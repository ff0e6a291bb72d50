//! `verify-install`: whether everything that was installed is there and available.

use clap::Args;
use install::{Manifest, Object};
use rollout::{Inventory, gather, ready};

use crate::cluster::{Cluster, Flags};
use crate::inputs::Inputs;
use crate::installation::{Installation, document_of, look, resources};

/// Arguments of `verify-install`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    flags: Flags,
    /// Further files, on top of those of --filename
    #[arg(value_name = "FILE")]
    files: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let Arguments {
        inputs,
        flags,
        files,
    } = arguments;
    let told = !inputs.filenames.is_empty() || !inputs.set.is_empty() || !files.is_empty();
    flags.run(async |cluster| {
        if told {
            let wanted = Installation::of(&cluster, inputs.document(files)?).await?;
            return verified(&cluster, &wanted.manifest).await;
        }
        // Without files: what the cluster itself says was installed.
        let revision = inputs.revision.as_deref();
        let mut text = String::new();
        for resource in resources(&cluster).await? {
            let wanted = Installation::of(&cluster, document_of(&resource)).await?;
            let own = wanted.install.revision_label();
            if revision.is_none_or(|revision| revision == own) {
                let owner = &wanted.owner;
                text += &format!("istiooperator {}/{}:\n", owner.namespace, owner.name);
                text += &verified(&cluster, &wanted.manifest).await?;
            }
        }
        match text.is_empty() {
            false => Ok(text),
            true => {
                let wanted = Installation::of(&cluster, inputs.document(&[])?).await?;
                verified(&cluster, &wanted.manifest).await
            }
        }
    })
}

/// A line for every object.
///
/// # Errors
/// When something is missing or not available; the text names each.
pub(crate) async fn verified(cluster: &Cluster, manifest: &Manifest) -> Result<String, String> {
    let objects: Vec<Object> = manifest.objects().cloned().collect();
    let inventory = gather::inventory(&cluster.client).await;
    let mut inventory = inventory.map_err(|error| error.to_string())?;
    look(cluster, &objects, &mut inventory).await?;
    report(&objects, &inventory)
}

fn report(objects: &[Object], inventory: &Inventory) -> Result<String, String> {
    let mut text = String::new();
    let mut wrong = Vec::new();
    let count = |kind: &str| {
        objects
            .iter()
            .filter(|one| one.reference.kind == kind)
            .count()
    };
    for object in objects {
        let state = ready::ready(std::slice::from_ref(object), inventory);
        match state.available() {
            true => text += &format!("✔ {} checked successfully\n", object.reference),
            false => wrong.extend(state.waiting.iter().map(|why| format!("✘ {why}"))),
        }
    }
    let crds = count("CustomResourceDefinition");
    let deployments = count("Deployment");
    text += &format!("Checked {crds} custom resource definitions\n");
    text += &format!("Checked {deployments} Istio Deployments\n");
    match wrong.is_empty() {
        true => Ok(text + "✔ Istio is installed and verified successfully\n"),
        false => Err(format!(
            "{text}{}\nIstio is not installed as it should be",
            wrong.join("\n")
        )),
    }
}

#[cfg(test)]
mod tests {
    use install::Object;
    use kube::api::ObjectMeta;
    use rollout::{Inventory, Kind, Live};
    use serde_json::{Value, json};

    use super::report;

    fn objects() -> Vec<Object> {
        let files = [(
            "a",
            "kind: IstioOperator\napiVersion: install.istio.io/v1alpha1\nspec: {profile: minimal}\n",
        )];
        let files = files.map(|(name, text)| (name, text.to_owned()));
        let document = crate::inputs::Inputs::default()
            .merged(&files)
            .expect("a document");
        let install = crate::inputs::resolve(document, None).expect("valid");
        let manifest = install::build(&install);
        let kinds = ["ServiceAccount", "Deployment"];
        manifest
            .objects()
            .filter(|one| kinds.contains(&one.reference.kind.as_str()))
            .cloned()
            .collect()
    }

    fn live(object: &Object, content: Value) -> Live {
        let kind = Kind::of(&object.reference).expect("a kind that is installed");
        let metadata = ObjectMeta {
            name: Some(object.reference.name.clone()),
            namespace: object.reference.namespace.clone(),
            generation: Some(1),
            ..ObjectMeta::default()
        };
        Live::of(kind, &metadata, &content)
    }

    fn check(ready: u8) -> Result<String, String> {
        let objects = objects();
        let mut inventory = Inventory::default();
        for object in &objects {
            let available =
                json!({"type": "Available", "status": if ready > 0 { "True" } else { "False" }});
            let content = json!({
                "spec": {"replicas": 1},
                "status": {
                    "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1,
                    "availableReplicas": ready, "readyReplicas": ready, "conditions": [available],
                },
            });
            inventory.observe(live(object, content));
        }
        report(&objects, &inventory)
    }

    #[test]
    fn what_is_there_and_available_is_checked_successfully() {
        let text = check(1).expect("all is well");
        assert!(
            text.contains("✔ deployment istio-system/istiod checked successfully\n"),
            "{text}"
        );
        assert!(
            text.ends_with(
                "Checked 1 Istio Deployments\n✔ Istio is installed and verified successfully\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_missing_or_not_available_is_named() {
        let text = check(0).expect_err("no pod is available");
        assert!(text.contains("✘ deployment istio-system/istiod"), "{text}");
        let text = report(&objects(), &Inventory::default()).expect_err("nothing is there");
        assert!(
            text.contains("istio-system/istiod does not exist yet"),
            "{text}"
        );
    }
}
