//! Headers, tokens and refusals; whole streams are in `gateway_test`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bootstrap::AuthPolicy;
use http::HeaderMap;

use super::{ControlPlane, Unreachable, stream_headers};

fn control_plane(folder: &Path, security: AuthPolicy) -> ControlPlane {
    ControlPlane {
        address: "127.0.0.1:1".to_owned(),
        name: "istiod.istio-system.svc".to_owned(),
        security,
        root_cert: folder.join("root-cert.pem"),
        token: folder.join("istio-token"),
        headers: HeaderMap::new(),
    }
}

/// A folder of this test's own, gone with it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder(name: &str) -> Folder {
    let folder = std::env::temp_dir().join(format!("agent-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    Folder(folder)
}

#[test]
fn streams_carry_the_cluster_and_what_the_environment_adds() {
    let environment: BTreeMap<String, String> = [
        ("XDS_HEADER_X-Team", "shop"),
        ("XDS_HEADER_BAD NAME", "x"),
        ("OTHER", "x"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let headers = stream_headers("Kubernetes", "XDS_HEADER_", environment.iter());
    assert_eq!(headers["clusterid"], "Kubernetes");
    assert_eq!(headers["x-team"], "shop");
    assert_eq!(headers.len(), 2);
}

#[test]
fn the_token_is_read_for_each_stream() {
    let folder = folder("token");
    let control_plane = control_plane(&folder.0, AuthPolicy::MutualTls);
    for token in ["first\n", "second"] {
        std::fs::write(&control_plane.token, token).expect("writable");
        let headers = control_plane.headers().expect("a token");
        assert_eq!(headers["authorization"], format!("Bearer {}", token.trim()));
        assert!(headers["authorization"].is_sensitive());
    }
    std::fs::remove_file(&control_plane.token).expect("it was there");
    let refusal = control_plane.headers().expect_err("there is no token");
    assert!(matches!(refusal, Unreachable::Token { .. }), "{refusal}");
}

#[test]
fn plaintext_streams_carry_no_token() {
    let folder = folder("plaintext");
    let control_plane = control_plane(&folder.0, AuthPolicy::None);
    std::fs::write(&control_plane.token, "secret").expect("writable");
    assert!(
        !control_plane
            .headers()
            .expect("none is needed")
            .contains_key("authorization")
    );
}

#[test]
fn a_root_file_without_a_certificate_is_refused_with_its_name() {
    let folder = folder("roots");
    let control_plane = control_plane(&folder.0, AuthPolicy::MutualTls);
    for content in [None, Some(""), Some("not a certificate")] {
        if let Some(content) = content {
            std::fs::write(&control_plane.root_cert, content).expect("writable");
        }
        let refusal = control_plane.tls().expect_err("a refusal").to_string();
        assert!(refusal.contains("root-cert.pem: "), "{refusal}");
    }
}
