//! The API server, with the rules of the CRDs and our webhook behind it, accepts what crate `validate` accepts and
//! refuses what it refuses.

use std::path::{Path, PathBuf};

use e2e::{cluster, mesh, namespace};
use kube::Client;
use kube::api::{Patch, PatchParams, ValidationDirective};
use serde_json::{Value, json};

/// Cases in which the API server sees something else than stands in the file.
const DIFFERENT: &[(&str, &str)] = &[(
    "serviceentry-valid.yaml full",
    "`[001:db8::]` is a mapping in YAML 1.2, where kubectl's YAML 1.1 reads a string",
)];

/// Sends every object of a file as a dry run, and returns how many there were and what differed.
async fn judge(client: &Client, namespace: &str, path: &Path) -> (usize, Vec<String>) {
    let text = std::fs::read_to_string(path).expect("readable");
    let file = path.file_name().expect("a name").display().to_string();
    let (mut cases, mut wrong) = (0, Vec::new());
    for mut object in api::yaml::documents(&text).expect("YAML") {
        if let Some(members) = object.as_object_mut() {
            members.shift_remove("_err");
        }
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        object["metadata"]["namespace"] = namespace.into();
        object["metadata"]["labels"] = json!({"istio.io/rev": "default"});
        let case = format!("{file} {name}");
        if DIFFERENT.iter().any(|(different, _)| *different == case) {
            continue;
        }
        cases += 1;
        let problems = validate::object(&object);
        let answer = dry_run(client, namespace, &name, &object).await;
        if answer.is_ok() != validate::accepts(&problems) {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            wrong.push(format!(
                "{case}: offline {problems:?}, the API server {answer:?}"
            ));
        }
    }
    (cases, wrong)
}

async fn dry_run(
    client: &Client,
    namespace: &str,
    name: &str,
    object: &Value,
) -> Result<(), String> {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let api = cluster::dynamic(client, text("apiVersion"), text("kind"), Some(namespace));
    let mut parameters = PatchParams::apply("e2e").dry_run();
    parameters.field_validation = Some(ValidationDirective::Strict);
    let sent = api.patch(name, &parameters, &Patch::Apply(object)).await;
    sent.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_api_server_and_validate_give_the_same_verdicts() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    // The name that the cases speak of as their own.
    namespace::plain(&client, "shop", async |place| {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/validate/testdata");
        let mut files: Vec<PathBuf> = yaml_of(&own);
        match std::env::var_os("CORPORA") {
            Some(corpora) => files.extend(yaml_of(&Path::new(&corpora).join("crds"))),
            None => eprintln!("CORPORA is not set: upstream's cases of crds/ were not sent"),
        }
        let (mut cases, mut wrong) = (0, Vec::new());
        for file in &files {
            let (count, found) = judge(&place.client, &place.name, file).await;
            cases += count;
            wrong.extend(found);
        }
        assert!(cases > 200, "{cases} cases only");
        assert!(
            wrong.is_empty(),
            "{} of {cases}:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    })
    .await;
}

fn yaml_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    files
}
