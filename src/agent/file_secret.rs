//! Secrets whose names say the files that they are made of: `file-cert:CHAIN~KEY`, `file-root:PATH`, and
//! `file-root:system` for the authorities that this system trusts. Users name such files in rules about TLS; they
//! are read by this program, because Envoy would refuse a configuration whose files are not there yet.

use std::path::Path;

use bytes::Bytes;

use crate::secret::{self, Versioned};

const CERTIFICATE: &str = "file-cert:";
const ROOTS: &str = "file-root:";
/// In place of a path: whom this system trusts.
const SYSTEM: &str = "system";
/// Where systems keep the authorities that they trust; the first file that is there counts.
const SYSTEM_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whether a secret of this name comes from files.
pub fn is_file(name: &str) -> bool {
    name.starts_with(CERTIFICATE) || name.starts_with(ROOTS)
}

/// The secret as its files are now.
///
/// # Errors
/// Which file cannot be read, or that the name has another form.
pub fn read(name: &str) -> Result<Versioned, String> {
    let bytes = if let Some(files) = name.strip_prefix(CERTIFICATE) {
        let (chain, key) = files
            .split_once('~')
            .ok_or_else(|| format!("{name:?} is not of the form {CERTIFICATE}CHAIN~KEY"))?;
        secret::certificate(name, &text(chain)?, &text(key)?)
    } else if let Some(path) = name.strip_prefix(ROOTS) {
        secret::authorities(name, &text(roots_file(path)?)?)
    } else {
        return Err(format!("{name:?} names no files"));
    };
    Ok(Versioned {
        version: version(&bytes),
        bytes,
    })
}

fn roots_file(path: &str) -> Result<&str, String> {
    if path != SYSTEM {
        return Ok(path);
    }
    let mut known = SYSTEM_FILES.into_iter();
    known.find(|file| Path::new(file).exists()).ok_or_else(|| {
        format!("this system has no file of trusted authorities, expected one of {SYSTEM_FILES:?}")
    })
}

fn text(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
}

fn version(bytes: &Bytes) -> String {
    let digest = pki::sha256(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{is_file, read};
    use crate::secret::pem;

    #[test]
    fn a_certificate_is_read_from_its_two_files_and_changes_with_them() {
        let folder = std::env::temp_dir().join(format!("file-secret-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = |name: &str| folder.join(name).display().to_string();
        let name = format!("file-cert:{}~{}", path("chain"), path("key"));
        assert!(is_file(&name));
        let missing = read(&name).expect_err("nothing is there");
        assert!(missing.contains("chain"), "{missing}");
        std::fs::write(path("chain"), "a chain").expect("writable");
        std::fs::write(path("key"), "a key").expect("writable");
        let first = read(&name).expect("both are there");
        assert_eq!(pem(&first.bytes), Some(("a chain", "a key")));
        assert_eq!(read(&name).expect("still there"), first);
        std::fs::write(path("chain"), "another").expect("writable");
        let second = read(&name).expect("both are there");
        assert_ne!(second.version, first.version);
        std::fs::remove_dir_all(&folder).expect("it was made");
    }

    #[test]
    fn names_of_another_form_are_refused() {
        assert!(!is_file("default") && !is_file("ROOTCA"));
        for name in ["default", "file-cert:only-one"] {
            assert!(read(name).is_err(), "{name}");
        }
    }
}
