//! Which environment leads to which certificate.

use std::collections::BTreeMap;
use std::time::Duration;

use bootstrap::{AuthPolicy, Facts, Ports, ProxyType};
use http::HeaderMap;

use super::{KeyKind, Unsupported, Workload, workload};
use crate::config::InvalidConfig;
use crate::control_plane::ControlPlane;

fn read(
    environment: &[(&str, &str)],
    security: AuthPolicy,
) -> Result<Result<Workload, Unsupported>, InvalidConfig> {
    let environment: BTreeMap<String, String> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let facts = Facts {
        proxy_type: ProxyType::Sidecar,
        ips: Vec::new(),
        domain: String::new(),
        ports: Ports::default(),
        exit_on_zero_active_connections: false,
        dual_stack: false,
        delta: true,
        outlier_log_path: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        environment,
    };
    let control_plane = ControlPlane {
        address: "istiod.istio-system.svc:15012".to_owned(),
        name: "istiod.istio-system.svc".to_owned(),
        security,
        root_cert: "root-cert.pem".into(),
        token: "token".into(),
        own: None,
        headers: HeaderMap::new(),
    };
    workload(&facts, &control_plane)
}

fn supported(environment: &[(&str, &str)]) -> Workload {
    read(environment, AuthPolicy::MutualTls)
        .expect("valid settings")
        .expect("supported settings")
}

#[test]
fn the_injected_environment_asks_the_control_plane_for_the_pods_identity() {
    let workload = supported(&[
        ("CA_ADDR", "istiod.istio-system.svc:15012"),
        ("TRUST_DOMAIN", "example.org"),
        ("POD_NAMESPACE", "shop"),
        ("SERVICE_ACCOUNT", "reviews"),
        ("ISTIO_META_CLUSTER_ID", "one"),
        ("CA_HEADER_x-tenant", "t"),
    ]);
    assert_eq!(workload.identity, "spiffe://example.org/ns/shop/sa/reviews");
    assert_eq!(workload.key, KeyKind::P256);
    assert_eq!((workload.policy.ratio, workload.policy.jitter), (0.5, 0.01));
    assert_eq!(workload.ca.lifetime, Duration::from_secs(86_400));
    assert_eq!(workload.ca.server.name, "istiod.istio-system.svc");
    assert_eq!(workload.ca.server.headers["clusterid"], "one");
    assert_eq!(workload.ca.server.headers["x-tenant"], "t");
    assert_eq!(workload.roots, Some("root-cert.pem".into()));
}

#[test]
fn another_ca_has_its_own_name_and_does_not_share_its_roots() {
    let workload = supported(&[("CA_ADDR", "ca.example.org:443"), ("CA_ROOT_CA", "ca.pem")]);
    assert_eq!(workload.ca.server.address, "ca.example.org:443");
    assert_eq!(workload.ca.server.name, "ca.example.org");
    assert_eq!(workload.ca.server.root_cert, std::path::Path::new("ca.pem"));
    assert_eq!(workload.roots, None);
}

#[test]
fn keys_and_lifetimes_are_as_asked_for() {
    for (environment, expected) in [
        (&[("WORKLOAD_RSA_KEY_SIZE", "3072")][..], KeyKind::Rsa(3072)),
        (&[("ECC_SIGNATURE_ALGORITHM", "ECDSA")], KeyKind::P256),
        (
            &[("ECC_SIGNATURE_ALGORITHM", "ECDSA"), ("ECC_CURVE", "P384")],
            KeyKind::P384,
        ),
    ] {
        assert_eq!(supported(environment).key, expected);
    }
    let minute = supported(&[("SECRET_TTL", "1m"), ("SECRET_GRACE_PERIOD_RATIO", "0.2")]);
    assert_eq!(minute.ca.lifetime, Duration::from_secs(60));
    assert_eq!(minute.policy.ratio, 0.2);
}

#[test]
fn settings_that_cannot_be_honoured_are_errors() {
    for (name, value) in [
        ("WORKLOAD_RSA_KEY_SIZE", "1024"),
        ("ECC_SIGNATURE_ALGORITHM", "EdDSA"),
        ("ECC_CURVE", "P521"),
        ("SECRET_TTL", "soon"),
        ("SECRET_GRACE_PERIOD_RATIO", "2"),
    ] {
        let error = read(&[(name, value)], AuthPolicy::MutualTls).expect_err("a refusal");
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[test]
fn where_no_ca_can_be_asked_that_is_said() {
    for (environment, security, word) in [
        (
            &[("CA_PROVIDER", "GoogleCAS")][..],
            AuthPolicy::MutualTls,
            "GoogleCAS",
        ),
        (
            &[("CA_ADDR", "istiod:15010")],
            AuthPolicy::MutualTls,
            "plaintext",
        ),
        (&[], AuthPolicy::None, "plaintext"),
    ] {
        let Unsupported(reason) = read(environment, security)
            .expect("valid settings")
            .expect_err("nobody to ask");
        assert!(reason.contains(word), "{reason}");
    }
}
