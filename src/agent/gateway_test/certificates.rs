//! Envoy's own certificate: it comes over the agent's socket, is renewed without a gap, and outlives the CA's absence.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use agent::any_certificate::AnyCertificate;
use pki::{Certificate, OffsetDateTime, PrivateKey};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::control_plane::{self, ControlPlane, IDENTITY};
use crate::proxy::{Proxy, envoy, free_ports, get, until};

/// A listener that asks for certificates of both sides over SDS, as the control plane configures it.
fn layer(port: u16, api_type: &str) -> String {
    let secret = |name: &str| {
        format!(
            "{{name: {name}, sds_config: {{resource_api_version: V3, initial_fetch_timeout: 0s, api_config_source: {{api_type: {api_type}, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{{envoy_grpc: {{cluster_name: sds-grpc}}}}]}}}}}}"
        )
    };
    format!(
        "static_resources:
  listeners:
  - name: probe
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificate_sds_secret_configs: [{}]
            validation_context_sds_secret_config: {}
      filters:
      - name: echo
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo
",
        secret("default"),
        secret("ROOTCA"),
    )
}

/// A peer in the mesh, with a certificate of the same CA; what Envoy shows is judged after the handshake.
fn peer(ca: &control_plane::Ca) -> TlsConnector {
    let key = PrivateKey::generate_p256().expect("a key");
    let csr = pki::signing_request(&key, IDENTITY).expect("a request");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_client_auth_cert(vec![ca.certify(&csr, 3600).der().clone()], key.to_der())
        .expect("a pair");
    TlsConnector::from(Arc::new(config))
}

/// One exchange over mutual TLS: the serial number of Envoy's certificate, which must be valid, and of `ca`.
async fn exchange(
    port: u16,
    peer: &TlsConnector,
    ca: &control_plane::Ca,
) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let tcp = TcpStream::connect(("127.0.0.1", port))
        .await
        .map_err(text)?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = peer.connect(name, tcp).await.map_err(text)?;
    stream.write_all(b"ping").await.map_err(text)?;
    let mut answer = [0; 4];
    // With TLS 1.3, this is when Envoy's refusal of our certificate would be seen.
    stream.read_exact(&mut answer).await.map_err(text)?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let [leaf] = certificates else {
        return Err(format!(
            "{} certificates instead of the leaf",
            certificates.len()
        ));
    };
    let leaf = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let roots = std::slice::from_ref(ca.signer.certificate());
    pki::verify(&leaf, &[], roots, OffsetDateTime::now_utc()).map_err(|error| error.to_string())?;
    assert_eq!(leaf.alternative_names, [IDENTITY]);
    leaf.serial().map_err(|error| error.to_string())
}

#[tokio::test]
async fn certificates_of_seconds_are_renewed_without_a_gap_and_outlive_an_absent_ca() {
    let Some(envoy) = envoy() else { return };
    for api_type in ["GRPC", "DELTA_GRPC"] {
        let certificate = control_plane::certificate();
        let [port] = free_ports();
        let proxy = Proxy::start_with(
            &format!("rotation-{api_type}"),
            &envoy,
            &certificate.root_pem,
            &[("SECRET_TTL", "4s")],
            &layer(port, api_type),
        );
        let control_plane = ControlPlane::start(proxy.discovery, &certificate).await;
        let ca = &certificate.ca;
        let peer = peer(ca);
        until("envoy has a certificate", async || {
            exchange(port, &peer, ca).await.is_ok()
        })
        .await;
        let secrets = get(proxy.admin, "/certs").await.expect("certificates");
        assert!(secrets.contains(IDENTITY), "{secrets}");
        let dump = get(proxy.admin, "/config_dump?resource=dynamic_active_secrets").await;
        let dump = dump.expect("secrets");
        for name in ["\"default\"", "\"ROOTCA\""] {
            assert!(dump.contains(name), "{name} in {dump}");
        }

        // Ten lives, one handshake after the other, and every one finds a certificate that is valid.
        let mut serials: Vec<String> = Vec::new();
        let begun = Instant::now();
        let mut exchanges = 0;
        while serials.len() <= 10 {
            let serial = exchange(port, &peer, ca).await.expect("an exchange");
            exchanges += 1;
            if serials.last() != Some(&serial) {
                serials.push(serial);
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{serials:?}");
        }
        println!("{exchanges} exchanges over ten rotations by {api_type}");

        // The CA refuses for a while: the last certificate serves until its end, and renewal goes on afterwards.
        ca.refuses.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let kept = exchange(port, &peer, ca).await.expect("an exchange");
        ca.refuses.store(false, Ordering::Relaxed);
        until("the next certificate", async || {
            exchange(port, &peer, ca)
                .await
                .is_ok_and(|serial| serial != kept)
        })
        .await;
        let metrics = get(proxy.status, "/metrics").await.expect("metrics");
        assert!(metrics.contains("istio_agent_cert_expiry_seconds{resource_name=\"default\"}"));
        drop(control_plane);
    }
}

#[tokio::test]
async fn new_roots_reach_envoy_before_anybody_has_a_certificate_of_them() {
    let Some(envoy) = envoy() else { return };
    let old = control_plane::certificate();
    let new = control_plane::certificate();
    let [port] = free_ports();
    let proxy = Proxy::start_with("roots", &envoy, &old.root_pem, &[], &layer(port, "GRPC"));
    let _control_plane = ControlPlane::start(proxy.discovery, &old).await;
    let (of_old, of_new) = (peer(&old.ca), peer(&new.ca));
    until("envoy has a certificate", async || {
        exchange(port, &of_old, &old.ca).await.is_ok()
    })
    .await;
    assert!(exchange(port, &of_new, &old.ca).await.is_err());
    if std::env::var_os("PILOT_AGENT").is_some() {
        proxy.becomes_ready().await;
        crate::stays_small(&proxy).await;
    }
    let file = proxy.folder.join("var/run/secrets/istio/root-cert.pem");
    let both = format!("{}{}", old.root_pem, new.root_pem);
    std::fs::write(file, both).expect("writable");
    until("peers of the new root are trusted", async || {
        exchange(port, &of_new, &old.ca).await.is_ok()
    })
    .await;
    assert!(exchange(port, &of_old, &old.ca).await.is_ok());
    // Nothing had to be issued for it.
    assert_eq!(old.ca.issued.load(Ordering::Relaxed), 1);
}
