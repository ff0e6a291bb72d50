//! Which certificates name a workload of the mesh.

use pki::{OffsetDateTime, PrivateKey, Signer, SigningRequest, signing_request};

use super::{CertificateProblem, identify};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

fn signer() -> Signer {
    let now = OffsetDateTime::now_utc();
    let root = pki::self_signed_root("cluster.local", now, HOUR.try_into().expect("an hour"));
    let root = root.expect("a root");
    Signer::new(root.certificate, root.key).expect("a pair")
}

fn of(identity: &str) -> Vec<u8> {
    let key = PrivateKey::generate_p256().expect("a key");
    let request = signing_request(&key, identity).expect("a request");
    let request = SigningRequest::from_pem(&request).expect("it reads");
    let now = OffsetDateTime::now_utc();
    let lifetime = HOUR.try_into().expect("an hour");
    let issued = signer().issue_workload(&request, identity, now, lifetime);
    issued.expect("a certificate").der().to_vec()
}

fn identified(der: &[u8]) -> Result<String, CertificateProblem> {
    identify(der, "cluster.local", OffsetDateTime::now_utc()).map(|identity| identity.to_string())
}

#[test]
fn a_workload_of_the_mesh_is_recognised() {
    let identity = "spiffe://cluster.local/ns/shop/sa/reviews";
    assert_eq!(identified(&of(identity)), Ok(identity.to_owned()));
}

#[test]
fn others_are_refused_with_the_reason() {
    let hosts = ["istiod.istio-system.svc".to_owned()];
    let now = OffsetDateTime::now_utc();
    let serving = signer()
        .issue_serving(&hosts, now, HOUR.try_into().expect("an hour"))
        .expect("a certificate");
    for (der, reason) in [
        (serving.certificate.der().to_vec(), "expected exactly one"),
        (
            of("spiffe://cluster.local/ns/shop"),
            "not a workload identity",
        ),
        (
            of("spiffe://cluster.local/ns//sa/x"),
            "not a workload identity",
        ),
        (
            of("spiffe://cluster.local/ns/shop/sa/reviews/x"),
            "not a workload identity",
        ),
        (
            of("https://cluster.local/ns/shop/sa/reviews"),
            "not a workload identity",
        ),
        (
            of("spiffe://example.org/ns/shop/sa/reviews"),
            "another trust domain than cluster.local",
        ),
        (Vec::new(), "does not decode"),
        (vec![0x30; 10_000], "does not decode"),
    ] {
        let problem = identified(&der).expect_err(reason).to_string();
        assert!(problem.contains(reason), "{problem}");
    }
}

#[test]
fn one_that_ended_under_way_is_refused() {
    let der = of("spiffe://cluster.local/ns/shop/sa/reviews");
    let later = OffsetDateTime::now_utc() + 2 * HOUR;
    let problem = identify(&der, "cluster.local", later);
    assert!(
        matches!(problem, Err(CertificateProblem::NotValidNow(..))),
        "{problem:?}"
    );
}
