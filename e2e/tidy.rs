//! What the compiler cannot check: the map in `src/README.md` is true, pure crates stay pure,
//! every source file says what it answers and is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use e2e::dashboards;

/// Crates that decide and therefore cannot act, and the words they may not contain.
const PURE_CRATES: [&str; 11] = [
    "base",
    "proto",
    "api",
    "validate",
    "inject",
    "install",
    "mesh",
    "bootstrap",
    "envoy",
    "simulate",
    "analyze",
];
const IMPURE_WORDS: [&str; 6] = [
    "std::env::",
    "std::fs::",
    "std::process::",
    "std::net::Tcp",
    "SystemTime",
    "Instant::now",
];
/// Dependencies with which a crate could act.
const IMPURE_DEPENDENCIES: [&str; 5] = ["tokio", "kube", "tracing", "hyper", "axum"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("e2e lies in the workspace")
        .to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.expect("a readable folder entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn crate_folders() -> BTreeMap<String, PathBuf> {
    fs::read_dir(root().join("src"))
        .expect("src exists")
        .map(|entry| entry.expect("a readable folder entry").path())
        .filter(|path| path.join("Cargo.toml").exists())
        .map(|path| {
            (
                path.file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned(),
                path,
            )
        })
        .collect()
}

fn all_sources() -> Vec<PathBuf> {
    ["src", "e2e"]
        .iter()
        .flat_map(|folder| sources(&root().join(folder)))
        .collect()
}

fn is_test(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name == "tests.rs" || name == "build.rs")
}

#[test]
fn every_source_file_says_what_it_answers() {
    let silent: Vec<_> = all_sources()
        .into_iter()
        .filter(|path| !path.ends_with("tests.rs") && !read(path).starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "no //! header: {silent:#?}");
}

/// Whether the manifest beside the file names it as a target of its own.
fn is_target(path: &Path) -> bool {
    let manifest = path.with_file_name("Cargo.toml");
    let name = path.file_name().expect("a file name").to_string_lossy();
    manifest.exists() && read(&manifest).contains(&format!("path = \"{name}\""))
}

#[test]
fn every_source_file_is_reached() {
    let mut lost = Vec::new();
    for path in all_sources() {
        let stem = path
            .file_stem()
            .expect("a file name")
            .to_string_lossy()
            .into_owned();
        let folder = path.parent().expect("a folder");
        if ["lib", "main", "build"].contains(&stem.as_str()) || is_target(&path) {
            continue;
        }
        let parents = [
            folder.with_extension("rs"),
            folder.join("lib.rs"),
            folder.join("main.rs"),
        ];
        let declaration = format!("mod {stem};");
        if !parents
            .iter()
            .filter(|parent| parent.exists())
            .any(|parent| read(parent).contains(&declaration))
        {
            lost.push(path);
        }
    }
    assert!(lost.is_empty(), "no module declares: {lost:#?}");
}

#[test]
fn pure_crates_do_not_act() {
    let mut acts = Vec::new();
    for (name, folder) in crate_folders() {
        if !PURE_CRATES.contains(&name.as_str()) {
            continue;
        }
        for dependency in dependencies(&read(&folder.join("Cargo.toml"))) {
            if IMPURE_DEPENDENCIES.contains(&dependency.as_str()) {
                acts.push(format!("{name} depends on {dependency}"));
            }
        }
        // A benchmark is a program beside the crate: it may look at the clock.
        let code =
            |path: &PathBuf| !is_test(path) && (path.ends_with("lib.rs") || !is_target(path));
        for path in sources(&folder).into_iter().filter(code) {
            let text = read(&path);
            let code = text.split("#[cfg(test)]").next().expect("a first part");
            for word in IMPURE_WORDS {
                if code
                    .lines()
                    .any(|line| !line.trim_start().starts_with("//") && line.contains(word))
                {
                    acts.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    assert!(acts.is_empty(), "pure crates act: {acts:#?}");
}

/// Paths between backticks that contain a slash or end in a known extension.
fn paths_in(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|quoted| {
            !quoted.contains(char::is_whitespace)
                && (quoted.ends_with('/')
                    || [".rs", ".md", ".yaml", ".toml", ".sh", ".go"]
                        .iter()
                        .any(|end| quoted.ends_with(end)))
                && !quoted.contains(['*', '{', '<'])
        })
        .map(str::to_owned)
        .collect()
}

/// What dashboards ask for and is not told stands in the page, by name or as `prefix_*`.
#[test]
fn the_page_says_which_series_of_dashboards_are_absent() {
    let page = read(&root().join("docs/observing.md"));
    for series in dashboards::ASKED.iter().filter(|series| series.is_absent) {
        let prefix = series.name.split('_').next().unwrap_or_default();
        let said = [format!("`{}`", series.name), format!("`{prefix}_*`")];
        assert!(
            said.iter().any(|said| page.contains(said)),
            "{}",
            series.name
        );
    }
}

#[test]
fn every_path_in_the_map_exists() {
    let map = read(&root().join("src/README.md"));
    let paths = paths_in(&map);
    assert!(paths.len() > 20, "the map names only {} paths", paths.len());
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !root().join(path).exists() && !root().join("src").join(path).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "src/README.md names what does not exist: {missing:#?}"
    );
}

#[test]
fn the_map_names_every_crate() {
    let map = read(&root().join("src/README.md"));
    let missing: Vec<_> = crate_folders()
        .into_keys()
        .filter(|name| !map.contains(&format!("`{name}/`")))
        .collect();
    assert!(
        missing.is_empty(),
        "src/README.md does not name: {missing:#?}"
    );
}

/// Dependencies as the manifest has them, those of tests and of the build script aside.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim();
        } else if section == "[dependencies]" && line.contains('=') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            found.insert(name.to_owned());
        }
    }
    found
}

/// Lines `name → a b c` below the map's heading "Arrows".
fn arrows(map: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (_, table) = map.split_once("## Arrows").expect("a heading Arrows");
    table
        .lines()
        .filter_map(|line| line.trim().split_once(" →"))
        .map(|(name, targets)| {
            let targets = targets.split_whitespace().map(str::to_owned).collect();
            (name.trim().to_owned(), targets)
        })
        .collect()
}

#[test]
fn the_arrows_of_the_map_are_those_of_the_manifests() {
    let map = arrows(&read(&root().join("src/README.md")));
    let folders = crate_folders();
    let names: BTreeSet<_> = folders.keys().cloned().collect();
    let manifests: BTreeMap<_, _> = folders
        .iter()
        .map(|(name, folder)| {
            (
                name.clone(),
                dependencies(&read(&folder.join("Cargo.toml")))
                    .intersection(&names)
                    .cloned()
                    .collect(),
            )
        })
        .collect();
    assert_eq!(map, manifests, "left: src/README.md, right: the manifests");
}
