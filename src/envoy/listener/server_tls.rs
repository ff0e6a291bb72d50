//! TLS that a server ends: a Gateway's, or that of a Sidecar's ingress listener.

use api::networking::gateway::{CIPHERS, ServerTls, ServerTlsMode};
use mesh::{Flavour, Scope};
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use proto::pack::Pack;
use tls::certificate_validation_context::TrustChainVerification;
use tls::common_tls_context::ValidationContextType;
use tls::tls_parameters::TlsProtocol;

use crate::cluster::tls::{credential, exact, file, secret};
use crate::parts::{flag, transport_socket};

/// What a server has to do with TLS. `opaque` connections are no HTTP.
pub(crate) fn socket(scope: &Scope, server: &ServerTls, opaque: bool) -> core::TransportSocket {
    let demands = matches!(
        server.mode,
        ServerTlsMode::Mutual | ServerTlsMode::IstioMutual
    );
    let mut common = tls::CommonTlsContext {
        alpn_protocols: alpn(scope, server, opaque),
        ..Default::default()
    };
    let by_name = !server.credential_name.is_empty() || !server.credential_names.is_empty();
    if server.mode == ServerTlsMode::IstioMutual {
        let files = scope.settings.server_files.clone().unwrap_or_default();
        common.tls_certificate_sds_secret_configs = vec![certificate(&files.chain, &files.key)];
        common.validation_context_type = Some(clients(server, roots(&files.root)));
    } else if by_name {
        by_credential(server, &mut common);
    } else {
        by_files(server, &mut common);
    }
    if !matches!(
        server.mode,
        ServerTlsMode::IstioMutual | ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough
    ) {
        common.tls_params = parameters(scope, server);
    }
    let context = tls::DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: flag(demands),
        ..Default::default()
    };
    transport_socket("envoy.transport_sockets.tls", context.pack())
}

fn alpn(scope: &Scope, server: &ServerTls, opaque: bool) -> Vec<String> {
    let mut found = Vec::new();
    // Peers of the mesh tell of themselves at the beginning of opaque connections.
    if opaque && server.mode == ServerTlsMode::IstioMutual && scope.flavour == Flavour::IstioProxy {
        found.push("istio-peer-exchange".to_owned());
    }
    found.extend(["h2".to_owned(), "http/1.1".to_owned()]);
    found
}

/// Whether clients may, or must, show a certificate.
fn asks_clients(server: &ServerTls) -> bool {
    matches!(
        server.mode,
        ServerTlsMode::Mutual | ServerTlsMode::IstioMutual | ServerTlsMode::OptionalMutual
    )
}

fn by_credential(server: &ServerTls, common: &mut tls::CommonTlsContext) {
    let one = std::slice::from_ref(&server.credential_name);
    let names: &[String] = if server.credential_names.is_empty() {
        one
    } else {
        &server.credential_names
    };
    common.tls_certificate_sds_secret_configs = names.iter().map(|name| credential(name)).collect();
    if asks_clients(server) {
        let roots = match server.ca_cert_credential_name.as_str() {
            "" => format!("{}-cacert", names[0]),
            own => own.to_owned(),
        };
        let mut checked = tls::CertificateValidationContext {
            verify_certificate_spki: server.verify_certificate_spki.clone(),
            verify_certificate_hash: server.verify_certificate_hash.clone(),
            ..by_name(server)
        };
        if server.insecure_skip_verify {
            checked.trust_chain_verification = TrustChainVerification::AcceptUntrusted as i32;
        }
        common.validation_context_type = Some(combined(checked, credential(&roots)));
    } else if !server.subject_alt_names.is_empty() {
        common.validation_context_type =
            Some(ValidationContextType::ValidationContext(by_name(server)));
    }
}

fn by_files(server: &ServerTls, common: &mut tls::CommonTlsContext) {
    common.tls_certificate_sds_secret_configs = if server.tls_certificates.is_empty() {
        vec![certificate(&server.server_certificate, &server.private_key)]
    } else {
        let all = server.tls_certificates.iter();
        all.map(|own| certificate(&own.server_certificate, &own.private_key))
            .collect()
    };
    if asks_clients(server) {
        let roots = roots(&server.ca_certificates);
        common.validation_context_type = Some(clients(server, roots));
    }
}

/// A certificate in files; the workload's own when none are named.
fn certificate(chain: &str, key: &str) -> tls::SdsSecretConfig {
    if chain.is_empty() || key.is_empty() {
        secret("default")
    } else {
        file(&format!("file-cert:{chain}~{key}"))
    }
}

/// Roots in a file; the mesh's when none is named.
fn roots(path: &str) -> tls::SdsSecretConfig {
    match path {
        "" => secret("ROOTCA"),
        path => file(&format!("file-root:{path}")),
    }
}

#[allow(deprecated, reason = "the form that upstream still sends")]
fn by_name(server: &ServerTls) -> tls::CertificateValidationContext {
    tls::CertificateValidationContext {
        match_subject_alt_names: exact(&server.subject_alt_names),
        ..Default::default()
    }
}

/// How certificates of clients are checked against roots of the agent's.
fn clients(server: &ServerTls, roots: tls::SdsSecretConfig) -> ValidationContextType {
    let mut checked = by_name(server);
    if !server.ca_crl.is_empty() {
        checked.crl = Some(core::DataSource {
            specifier: Some(core::data_source::Specifier::Filename(
                server.ca_crl.clone(),
            )),
            ..Default::default()
        });
    }
    if server.insecure_skip_verify {
        checked.trust_chain_verification = TrustChainVerification::AcceptUntrusted as i32;
    }
    combined(checked, roots)
}

fn combined(
    checked: tls::CertificateValidationContext,
    roots: tls::SdsSecretConfig,
) -> ValidationContextType {
    ValidationContextType::CombinedValidationContext(
        tls::common_tls_context::CombinedCertificateValidationContext {
            default_validation_context: Some(checked),
            validation_context_sds_secret_config: Some(roots),
            ..Default::default()
        },
    )
}

/// Versions, ciphers and curves: the server's over those of the mesh; nothing when neither says any.
fn parameters(scope: &Scope, server: &ServerTls) -> Option<tls::TlsParameters> {
    let mut made = tls::TlsParameters::default();
    if let Some(mesh) = &scope.config.tls_defaults {
        made.ecdh_curves.clone_from(&mesh.ecdh_curves);
        made.cipher_suites.clone_from(&mesh.cipher_suites);
        if mesh.min_protocol_version == "TLSV1_3" {
            made.tls_minimum_protocol_version = TlsProtocol::TlSv13 as i32;
        } else if !matches!(mesh.min_protocol_version.as_str(), "" | "TLS_AUTO") {
            made.tls_minimum_protocol_version = TlsProtocol::TlSv12 as i32;
        }
    }
    if let Some(version) = version(&server.min_protocol_version) {
        made.tls_minimum_protocol_version = version as i32;
    }
    if let Some(version) = version(&server.max_protocol_version) {
        made.tls_maximum_protocol_version = version as i32;
    }
    let ciphers = ciphers(&server.cipher_suites);
    if !ciphers.is_empty() {
        made.cipher_suites = ciphers;
    }
    (made != tls::TlsParameters::default()).then_some(made)
}

fn version(text: &str) -> Option<TlsProtocol> {
    match text {
        "TLSV1_0" => Some(TlsProtocol::TlSv10),
        "TLSV1_1" => Some(TlsProtocol::TlSv11),
        "TLSV1_2" => Some(TlsProtocol::TlSv12),
        "TLSV1_3" => Some(TlsProtocol::TlSv13),
        _ => None,
    }
}

/// Those that Envoy knows; one that it does not would make it refuse the listener. Expressions like
/// `-ALL` and `[A|B]` are for Envoy to read.
fn ciphers(wanted: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for cipher in wanted {
        let expression = cipher == "ALL" || !cipher.starts_with(char::is_alphanumeric);
        let usable = expression || CIPHERS.contains(&cipher.as_str());
        if usable && !found.contains(cipher) {
            found.push(cipher.clone());
        }
    }
    found
}
