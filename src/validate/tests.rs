use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{accepts, object, rule};

/// The whole of a file's cases and what is said of each, as `name: problem` lines.
fn verdicts(text: &str) -> String {
    let mut lines = String::new();
    for case in api::yaml::documents(text).expect("YAML") {
        let name = case["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        let problems = object(&case);
        for problem in &problems {
            let field = &problem.field;
            let (level, message) = (problem.severity, &problem.message);
            lines += &format!("{name}: {level:?} {field} {message}\n");
        }
        if problems.is_empty() {
            lines += &format!("{name}: fine\n");
        }
    }
    lines
}

/// Each `KIND.in.yaml` gives the lines of `KIND.out.txt`; UPDATE_GOLDENS=1 writes them anew.
#[test]
fn each_bad_object_is_named_by_field_and_by_what_would_be_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).expect("testdata") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("UTF-8");
        let Some(kind) = name.strip_suffix(".in.yaml") else {
            continue;
        };
        let found = verdicts(&std::fs::read_to_string(&path).expect("readable"));
        let golden = folder.join(format!("{kind}.out.txt"));
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&golden, &found).expect("writable");
        }
        let expected = std::fs::read_to_string(&golden).expect("a golden");
        assert_eq!(found, expected, "{}", golden.display());
        cases += found.lines().count();
    }
    assert!(cases > 100, "{cases} cases only");
}

#[test]
fn each_rule_of_the_definitions_is_known_in_rust() {
    fn collect(value: &Value, rules: &mut BTreeSet<String>) {
        if let Some(found) = value["x-kubernetes-validations"].as_array() {
            rules.extend(
                found
                    .iter()
                    .filter_map(|rule| rule["rule"].as_str())
                    .map(str::to_owned),
            );
        }
        match value {
            Value::Object(members) => members.values().for_each(|value| collect(value, rules)),
            Value::Array(items) => items.iter().for_each(|value| collect(value, rules)),
            _ => {}
        }
    }
    let mut rules = BTreeSet::new();
    for definition in api::crds::definitions() {
        collect(&definition["spec"]["versions"][0], &mut rules);
    }
    assert!(rules.len() > 30);
    for text in rules {
        assert!(rule::holds(&text, &Value::Null).is_some(), "{text}");
    }
}

/// Cases whose verdict differs, with the reason.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "serviceentry-valid.yaml[0]",
    "`[001:db8::]` is a mapping in YAML 1.2, where kubectl's YAML 1.1 reads a string",
)];

#[test]
fn verdicts_on_upstreams_cases_are_those_of_its_definitions() {
    let Some(corpora) = std::env::var_os("CORPORA") else {
        eprintln!("CORPORA is not set: the cases of crds/ were not run");
        return;
    };
    let folder = PathBuf::from(corpora).join("crds");
    let (mut cases, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).expect("crds") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        for (place, mut case) in api::yaml::documents(&text)
            .expect("YAML")
            .into_iter()
            .enumerate()
        {
            let refused = case
                .as_object_mut()
                .and_then(|members| members.shift_remove("_err"));
            let problems = object(&case);
            let name = format!("{}[{place}]", path.file_name().expect("a name").display());
            cases += 1;
            if accepts(&problems) == refused.is_some()
                && !EXCEPTIONS.iter().any(|(excepted, _)| *excepted == name)
            {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                wrong.push(format!("{name}: expected {refused:?}, found {problems:?}"));
            }
        }
    }
    assert!(cases > 100, "{cases} cases only");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
