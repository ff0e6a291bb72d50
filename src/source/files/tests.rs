//! Folders as people use them: edited, replaced, broken, with links.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::snapshot::{Key, Kind};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Files, follow, read_text};
use crate::{Change, MeshMap};

const SOON: Duration = Duration::from_secs(10);

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("source-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        std::fs::create_dir_all(path.parent().expect("within the folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    fn files(&self) -> Files {
        Files::new(self.0.clone(), mesh_map())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn mesh_map() -> MeshMap {
    MeshMap::of_revision("istio-system", "")
}

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\n")
}

/// Names that were put, and names that were removed with a `-` before them.
fn names(changes: &[Change]) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::Put(item) => match &**item {
            api::snapshot::Item::Namespace(key, _) => key.name.clone(),
            other => panic!("expected a namespace, got {other:?}"),
        },
        Change::Remove(Kind::Namespace, key) => format!("-{}", key.name),
        other => panic!("expected a namespace, got {other:?}"),
    };
    changes.iter().map(name).collect()
}

#[test]
fn a_look_tells_what_changed_since_the_last() {
    let folder = Folder::new("look");
    folder.write("a.yaml", &(namespace("a") + &namespace("b")));
    folder.write("deep/c.yml", &namespace("c"));
    let mut files = folder.files();
    assert_eq!(names(&files.look().expect("a folder")), ["a", "b", "c"]);
    assert_eq!(files.look().expect("a folder"), []);
    folder.write("a.yaml", &namespace("bb"));
    std::fs::remove_file(folder.0.join("deep/c.yml")).expect("there");
    let told = names(&files.look().expect("a folder"));
    assert_eq!(told, ["-a", "-b", "bb", "-c"]);
}

#[test]
fn a_file_that_is_not_yaml_leaves_what_it_said() {
    let folder = Folder::new("broken");
    folder.write("a.yaml", &namespace("a"));
    let mut files = folder.files();
    files.look().expect("a folder");
    folder.write("a.yaml", "kind: [");
    assert_eq!(names(&files.look().expect("a folder")), ["a"]);
    folder.write("a.yaml", "");
    assert_eq!(names(&files.look().expect("a folder")), ["-a"]);
}

#[test]
fn the_last_file_counts_and_its_end_brings_the_other_back() {
    let folder = Folder::new("twice");
    let labelled = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, labels: {{from: {value}}}}}\n"
        )
    };
    folder.write("1.yaml", &labelled("first"));
    folder.write("2.yaml", &labelled("second"));
    let mut files = folder.files();
    let from = |changes: Vec<Change>| match &changes[..] {
        [Change::Put(item)] => match &**item {
            api::snapshot::Item::Namespace(_, namespace) => namespace.labels["from"].clone(),
            other => panic!("expected a namespace, got {other:?}"),
        },
        other => panic!("expected one object, got {other:?}"),
    };
    assert_eq!(from(files.look().expect("a folder")), "second");
    std::fs::remove_file(folder.0.join("2.yaml")).expect("there");
    assert_eq!(from(files.look().expect("a folder")), "first");
}

#[test]
fn hidden_and_other_files_do_not_count_and_links_do() {
    let folder = Folder::new("hidden");
    folder.write("..2026/a.yaml", &namespace("a"));
    folder.write("notes.txt", "kind: [");
    folder.write(".hidden.yaml", &namespace("hidden"));
    std::os::unix::fs::symlink(folder.0.join("..2026/a.yaml"), folder.0.join("a.yaml"))
        .expect("linked");
    assert_eq!(names(&folder.files().look().expect("a folder")), ["a"]);
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_names_it() {
    let error = super::read_once(Path::new("/nowhere/at/all"), mesh_map()).expect_err("absent");
    assert!(
        error.to_string().starts_with("/nowhere/at/all: "),
        "{error}"
    );
}

#[test]
fn objects_without_a_namespace_are_in_default() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {}\n";
    let changes = read_text(text, &mesh_map()).expect("YAML");
    let [Change::Put(item)] = &changes[..] else {
        panic!("expected one object, got {changes:?}");
    };
    assert!(
        matches!(&**item, api::snapshot::Item::Service(key, _) if *key == Key::new("default", "a"))
    );
}

#[tokio::test]
async fn edits_are_followed_while_it_runs() {
    let folder = Folder::new("follow");
    folder.write("a.yaml", &namespace("a"));
    let (sender, mut receiver) = mpsc::channel(4);
    let running = tokio::spawn(follow(folder.0.clone(), mesh_map(), sender));
    let mut first = timeout(SOON, receiver.recv())
        .await
        .expect("in time")
        .expect("running");
    assert_eq!(first.pop(), Some(Change::Complete));
    assert_eq!(names(&first), ["a"]);
    folder.write("a.yaml", &namespace("longer"));
    let second = timeout(SOON, receiver.recv())
        .await
        .expect("in time")
        .expect("running");
    assert_eq!(names(&second), ["-a", "longer"]);
    drop(receiver);
    timeout(SOON, running)
        .await
        .expect("ends when nobody listens")
        .expect("no panic");
}
