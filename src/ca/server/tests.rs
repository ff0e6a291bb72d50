//! Who gets a certificate, what others are told, and what is counted.

use std::sync::Arc;

use pki::{Certificate, OffsetDateTime, PrivateKey, signing_request};
use proto::ads::Caller;
use proto::certificates::{Certificates, IstioCertificateRequest};
use proto::google::protobuf::{Struct, Value, value::Kind};
use serve::authenticate::{Authenticate, Credentials, Identity, Refusal};
use tokio::sync::watch;
use tonic::{Code, Status};

use super::Server;
use crate::{Metrics, Root};

/// Knows one token.
struct OneToken;

#[tonic::async_trait]
impl Authenticate for OneToken {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Identity, Refusal> {
        match credentials.authorization {
            Some("Bearer good") => Ok(Identity {
                spiffe: "spiffe://cluster.local/ns/shop/sa/reviews"
                    .parse()
                    .expect("an identity"),
            }),
            Some(_) => Err(Refusal::Rejected("a secret reason".to_owned())),
            None => Err(Refusal::NoCredentials),
        }
    }
}

struct Fixture {
    server: Server,
    registry: serve::metrics::Registry,
    _root: watch::Sender<Option<Arc<Root>>>,
}

fn fixture(root: Option<Root>) -> Fixture {
    let (sender, root) = watch::channel(root.map(Arc::new));
    let mut registry = serve::metrics::registry("pilot");
    let metrics = Metrics::register(&mut registry, root.clone());
    let server = Server {
        authenticate: Arc::new(OneToken),
        root,
        lifetimes: Default::default(),
        metrics,
    };
    Fixture {
        server,
        registry,
        _root: sender,
    }
}

fn root() -> Root {
    Root::generate("cluster.local", OffsetDateTime::now_utc()).expect("a root")
}

fn request() -> IstioCertificateRequest {
    let key = PrivateKey::generate_p256().expect("a key");
    IstioCertificateRequest {
        csr: signing_request(&key, "spiffe://x/ns/y/sa/z").expect("a request"),
        validity_duration: 60,
        metadata: Some(Struct {
            fields: [text("CertSigner", "")].into(),
        }),
    }
}

fn text(key: &str, value: &str) -> (String, Value) {
    let kind = Some(Kind::StringValue(value.to_owned()));
    (key.to_owned(), Value { kind })
}

impl Fixture {
    async fn ask(
        &self,
        authorization: Option<&str>,
        request: IstioCertificateRequest,
    ) -> Result<Vec<String>, Status> {
        let mut caller = Caller {
            metadata: tonic::metadata::MetadataMap::new(),
            extensions: tonic::Extensions::new(),
        };
        if let Some(value) = authorization {
            let value = value.parse().expect("a header");
            caller.metadata.insert("authorization", value);
        }
        let response = self.server.create(caller, request).await?;
        Ok(response.cert_chain)
    }

    fn metrics(&self) -> String {
        serve::metrics::render(&self.registry)
    }
}

#[tokio::test]
async fn a_proven_caller_gets_a_chain_for_its_own_identity() {
    let fixture = fixture(Some(root()));
    let chain = fixture
        .ask(Some("Bearer good"), request())
        .await
        .expect("a chain");
    assert_eq!(chain.len(), 2);
    let leaf = Certificate::from_pem(&chain[0]).expect("a certificate");
    assert_eq!(
        leaf.alternative_names,
        ["spiffe://cluster.local/ns/shop/sa/reviews"]
    );
    let metrics = fixture.metrics();
    for sample in [
        "\ncitadel_server_csr_count 1\n",
        "\ncitadel_server_success_cert_issuance_count 1\n",
        "\ncitadel_server_root_cert_expiry_seconds 3153",
        "\ncitadel_server_cert_chain_expiry_timestamp ",
    ] {
        assert!(metrics.contains(sample), "{sample:?} in {metrics}");
    }
}

#[tokio::test]
async fn strangers_learn_nothing_but_that_they_are_refused() {
    let fixture = fixture(Some(root()));
    for authorization in [None, Some("Bearer bad")] {
        let status = fixture
            .ask(authorization, request())
            .await
            .expect_err("a refusal");
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(status.message(), "request authenticate failure");
    }
    let metrics = fixture.metrics();
    let sample = "\ncitadel_server_authentication_failure_count 2\n";
    assert!(metrics.contains(sample), "{metrics}");
}

#[tokio::test]
async fn nobody_gets_a_certificate_for_somebody_else() {
    let fixture = fixture(Some(root()));
    let mut request = request();
    let other = text("ImpersonatedIdentity", "spiffe://cluster.local/ns/a/sa/b");
    request.metadata = Some(Struct {
        fields: [other].into(),
    });
    let status = fixture
        .ask(Some("Bearer good"), request)
        .await
        .expect_err("a refusal");
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn bad_requests_and_a_missing_ca_are_told_apart() {
    let none = fixture(None);
    let status = none
        .ask(Some("Bearer good"), request())
        .await
        .expect_err("a refusal");
    assert_eq!(status.code(), Code::Unavailable);

    let fixture = fixture(Some(root()));
    let mut unreadable = request();
    unreadable.csr = "x".to_owned();
    let mut endless = request();
    endless.validity_duration = 100 * 24 * 3600;
    for (request, label) in [(unreadable, "CSR_ERROR"), (endless, "TTL_ERROR")] {
        let status = fixture
            .ask(Some("Bearer good"), request)
            .await
            .expect_err("a refusal");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), format!("CSR signing error ({label})"));
        let sample = format!("\ncitadel_server_csr_sign_err_count{{error=\"{label}\"}} 1\n");
        assert!(fixture.metrics().contains(&sample), "{}", fixture.metrics());
    }
}
