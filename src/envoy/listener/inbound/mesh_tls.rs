//! mTLS of the mesh on ports of a workload: with its certificate, from any workload of the mesh.

use std::sync::LazyLock;

use api::mesh_config::MeshTls;
use bytes::Bytes;
use mesh::{Flavour, Scope};
use proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use proto::pack::{Pack, Put};
use proto::writer::Writer;

use crate::cluster::tls::{secret, versions};
use crate::parts::flag;

/// Ciphers of TLS 1.2 towards workloads.
const CIPHERS: [&str; 6] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
];

/// Field numbers of `FilterChain`, `TransportSocket`, `Any`, `DownstreamTlsContext`, `CommonTlsContext`,
/// `CombinedCertificateValidationContext`, `CertificateValidationContext` and `StringMatcher`.
const SOCKET: u32 = 6;
const NAME: u32 = 1;
const CONFIG: u32 = 3;
const TYPE: u32 = 1;
const VALUE: u32 = 2;
const COMMON: u32 = 1;
const CHECKED: u32 = 8;
const DEFAULT: u32 = 1;
const ROOTS: u32 = 2;
const NAMES: u32 = 9;
const PREFIX: u32 = 2;

/// What never differs.
struct Constant {
    type_url: String,
    /// Versions and ciphers, where the mesh says nothing of them.
    parameters: Bytes,
    /// The certificate and protocols, by whether connections may begin with an exchange of metadata.
    own: [Bytes; 2],
    roots: Bytes,
    demands: Bytes,
}

static CONSTANT: LazyLock<Constant> = LazyLock::new(|| {
    let own = |exchanges: bool| {
        let exchange = exchanges.then_some("istio-peer-exchange").into_iter();
        let protocols = exchange.chain(["h2", "http/1.1"]);
        let common = tls::CommonTlsContext {
            tls_certificate_sds_secret_configs: vec![secret("default")],
            alpn_protocols: protocols.map(str::to_owned).collect(),
            ..Default::default()
        };
        common.fields()
    };
    let demanding = tls::DownstreamTlsContext {
        require_client_certificate: flag(true),
        ..Default::default()
    };
    Constant {
        type_url: tls::DownstreamTlsContext::type_url(),
        parameters: parameters(&MeshTls::default()),
        own: [false, true].map(own),
        roots: secret("ROOTCA").fields(),
        demands: demanding.fields(),
    }
});

/// Writes the socket as a field of a filter chain; `http`: whether HTTP is inside.
pub(super) fn put(scope: &Scope, http: bool, into: &mut Writer) {
    let config = &scope.config;
    let exchanges = !http && scope.flavour == Flavour::IstioProxy;
    let common = |common: &mut Writer| {
        match &config.mesh_mtls {
            None => common.raw(&CONSTANT.parameters),
            Some(own) => common.raw(&parameters(own)),
        };
        common.raw(&CONSTANT.own[usize::from(exchanges)]);
        common.nested(CHECKED, |checked| {
            checked.nested(DEFAULT, |default| {
                let aliases = config.trust_domain_aliases.iter();
                for domain in std::iter::once(&config.trust_domain).chain(aliases) {
                    default.nested(NAMES, |matcher| {
                        matcher.text(PREFIX, format!("spiffe://{domain}/"));
                    });
                }
            });
            checked.text(ROOTS, &CONSTANT.roots);
        });
    };
    into.block(SOCKET, |socket| {
        socket.text(NAME, "envoy.transport_sockets.tls");
        socket.block(CONFIG, |any| {
            any.text(TYPE, &CONSTANT.type_url).block(VALUE, |context| {
                context.block(COMMON, common).raw(&CONSTANT.demands);
            });
        });
    });
}

/// Versions, ciphers and curves, as a field of what clients and servers have in common.
fn parameters(own: &MeshTls) -> Bytes {
    let mut made = versions();
    if own.min_protocol_version == "TLSV1_3" {
        made.tls_minimum_protocol_version = tls::tls_parameters::TlsProtocol::TlSv13 as i32;
    }
    made.cipher_suites = match own.cipher_suites.is_empty() {
        true => CIPHERS.map(str::to_owned).into(),
        false => own.cipher_suites.clone(),
    };
    made.ecdh_curves.clone_from(&own.ecdh_curves);
    let common = tls::CommonTlsContext {
        tls_params: Some(made),
        ..Default::default()
    };
    common.fields()
}
