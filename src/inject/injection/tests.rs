//! Goldens: `testdata/<case>/in.yaml` is what a user applies, with the settings as its first document;
//! `out.yaml` is what becomes of it. `UPDATE_GOLDENS=1` rewrites them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::mesh_config::MeshConfig;
use crate::settings::Settings;
use crate::workload::{Context, inject_object};

const VALUES: &str = include_str!("../testdata/values.yaml");

fn case(folder: &Path) {
    let text = fs::read_to_string(folder.join("in.yaml")).expect("in.yaml");
    let mut documents = api::yaml::documents(&text).expect("YAML").into_iter();
    let given = documents.next().expect("the settings come first");
    let section = |name: &str| given.get(name).map(api::yaml::print).unwrap_or_default();
    let mut values = api::yaml::documents(VALUES).expect("YAML").remove(0);
    json_patch::merge(
        &mut values,
        given
            .get("values")
            .unwrap_or(&Value::Object(serde_json::Map::new())),
    );
    let settings = Settings::parse(&section("config"), &values.to_string()).expect("settings");
    let mesh = MeshConfig::parse(&section("mesh")).expect("mesh");
    let context = Context {
        settings: &settings,
        mesh: &mesh,
        native_sidecars: given.get("native") == Some(&Value::Bool(true)),
        revision: "",
        compliance_policy: "",
    };
    let mut found = String::new();
    for object in documents {
        let once = inject_object(&object, &context, &mut |reason| {
            found += &format!("# {reason}\n")
        });
        let once = once.map_err(|error| error.to_string());
        if let Ok(once) = &once {
            let twice = inject_object(once, &context, &mut |_| {}).expect("again");
            let changes = crate::patch::between(once, &twice);
            assert_eq!(
                changes,
                serde_json::json!([]),
                "{}: injecting twice",
                folder.display()
            );
        }
        found += &once.map_or_else(
            |error| format!("# error: {error}\n"),
            |object| api::yaml::print(&object),
        );
        found += "---\n";
    }
    let golden = folder.join("out.yaml");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&golden, &found).expect("written");
    }
    let expected = fs::read_to_string(&golden).expect("out.yaml; UPDATE_GOLDENS=1 makes it");
    assert!(
        found == expected,
        "{} differs from:\n{found}",
        golden.display()
    );
}

#[test]
fn goldens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut count = 0;
    for entry in fs::read_dir(root).expect("testdata") {
        let folder = entry.expect("an entry").path();
        if folder.is_dir() {
            case(&folder);
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} goldens were found");
}
