//! Files that verbs read; `-` is standard input.

use std::io::Read;

/// The text of a file.
///
/// # Errors
/// One line that names it.
pub(crate) fn read(name: &str) -> Result<String, String> {
    let mut text = String::new();
    let result = if name == "-" {
        std::io::stdin().lock().read_to_string(&mut text)
    } else {
        std::fs::File::open(name.trim()).and_then(|mut file| file.read_to_string(&mut text))
    };
    match result {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("cannot read {name}: {error}")),
    }
}
