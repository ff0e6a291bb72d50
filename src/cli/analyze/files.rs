//! Objects of files, with the line on which each begins.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// An object and where it stands; empty when it comes from a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub object: Value,
    /// `file:line`.
    pub place: String,
}

/// All objects of files and folders, lists taken apart.
///
/// # Errors
/// What cannot be read, or is not YAML, named by file.
pub(crate) fn read(names: &[String], recursive: bool) -> Result<Vec<Located>, String> {
    let mut objects = Vec::new();
    for name in names {
        for file in expand(name, recursive)? {
            let text = crate::file::read(&file)?;
            objects.extend(documents(&file, &text)?);
        }
    }
    Ok(objects)
}

/// The file itself, or the YAML files of a folder in order of their names.
fn expand(name: &str, recursive: bool) -> Result<Vec<String>, String> {
    if name == "-" || !Path::new(name).is_dir() {
        return Ok(vec![name.to_owned()]);
    }
    let wrong = |error: std::io::Error| format!("cannot read {name}: {error}");
    let entries = std::fs::read_dir(name).map_err(wrong)?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(wrong)?.path());
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let text = path.display().to_string();
        let yaml = path
            .extension()
            .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        match path.is_dir() {
            true if recursive => files.extend(expand(&text, recursive)?),
            false if yaml => files.push(text),
            _ => {}
        }
    }
    Ok(files)
}

fn documents(file: &str, text: &str) -> Result<Vec<Located>, String> {
    let mut objects = Vec::new();
    for (line, document) in parts(text) {
        let found =
            api::yaml::documents(&document).map_err(|error| format!("{file}:{line}: {error}"))?;
        for object in found {
            let place = format!("{file}:{line}");
            let list = object["kind"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("List"));
            match object["items"].as_array().filter(|_| list) {
                Some(items) => {
                    let items = items.iter().cloned();
                    objects.extend(items.map(|object| Located {
                        object,
                        place: place.clone(),
                    }));
                }
                None => objects.push(Located { object, place }),
            }
        }
    }
    Ok(objects)
}

/// The documents of a stream, each with the number of its first line that says something.
fn parts(text: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<(usize, String)> = vec![(1, String::new())];
    for (number, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") {
            parts.push((number + 2, String::new()));
            continue;
        }
        let (first, part) = parts.last_mut().expect("it begins with one");
        let says_nothing = line.trim().is_empty() || line.trim_start().starts_with('#');
        if part.is_empty() && says_nothing {
            *first = number + 2;
            continue;
        }
        part.push_str(line);
        part.push('\n');
    }
    parts.retain(|(_, part)| !part.is_empty());
    parts
}
