//! TLS towards a cluster: what the rule says, or the mesh's mTLS wherever the endpoint can.

use std::sync::LazyLock;

use api::networking::destination_rule::{ClientTls, ProxyProtocol, TlsMode};
use bytes::Bytes;
use core::UpstreamHttpProtocolOptions as FromHost;
use mesh::{Flavour, OutboundService, Policy, Port, Registry, Resolution, Role, Scope};
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use proto::pack::{Pack, Put};
use proto::writer::Writer;

use super::connection_pool::Options;
use crate::metadata::{fields, text};
use crate::names;
use crate::parts::{ads, agent, transport_socket};

const TLS_CONTEXT: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const TLS_SOCKET: &str = "envoy.transport_sockets.tls";
const PROXY_SOCKET: &str = "envoy.transport_sockets.upstream_proxy_protocol";

/// How a cluster is spoken to.
pub(super) enum Settings {
    /// In plaintext.
    Plain,
    /// With the workload's certificate where the endpoint can, else in plaintext.
    Auto(Mutual),
    /// With the workload's certificate.
    Mutual(Mutual),
    /// As the user says; `named` when the user says which names the certificate may have.
    User { own: ClientTls, named: bool },
    /// As the user says, but with a secret that this proxy has no right to: it would wait for it for
    /// ever, so calls go out as they are.
    WithoutSecret,
}

/// The mesh's mTLS.
#[derive(Clone)]
pub(super) struct Mutual {
    sni: String,
    names: Vec<String>,
    /// Whether the names do not count.
    unchecked: bool,
}

impl Settings {
    /// `policy` is what holds of the port; `without_ports` what the rule or the subset says of all.
    pub(super) fn of(
        scope: &Scope,
        called: &OutboundService,
        policy: &Policy,
        without_ports: Option<&Policy>,
        port: &Port,
        subset: &str,
    ) -> Self {
        let service = &called.service;
        let mutual = |sni: &str, names: &[String]| Mutual {
            sni: match sni {
                // A name that the caller says is its own server name.
                "" if is_dynamic(called) => String::new(),
                "" => names::sni(port.number, subset, &service.id.host),
                own => own.to_owned(),
            },
            names: if names.is_empty() && !is_dynamic(called) {
                identities(scope, called)
            } else {
                names.to_vec()
            },
            unchecked: policy
                .tls
                .as_ref()
                .is_some_and(|own| own.insecure_skip_verify == Some(true)),
        };
        let files = scope.settings.client_files.as_ref();
        // Files of a certificate that the proxy brings stand for the mesh's own.
        let by_files = |sni: &str, names: Vec<String>, unchecked| {
            files.map(|files| ClientTls {
                mode: TlsMode::Mutual,
                client_certificate: files.chain.clone(),
                private_key: files.key.clone(),
                ca_certificates: files.root.clone(),
                subject_alt_names: names,
                sni: sni.to_owned(),
                insecure_skip_verify: unchecked,
                ..ClientTls::default()
            })
        };
        let Some(own) = &policy.tls else {
            if !scope.config.enable_auto_mtls
                || !called.expects_mutual_tls(without_ports, port.number)
            {
                return Settings::Plain;
            }
            let made = mutual("", &[]);
            return match by_files(&made.sni, made.names.clone(), None) {
                Some(own) => Settings::User { own, named: true },
                None => Settings::Auto(made),
            };
        };
        let unchecked = own.insecure_skip_verify;
        match own.mode {
            TlsMode::Disable => Settings::Plain,
            TlsMode::IstioMutual | TlsMode::Mutual if files.is_some() && !service.external => {
                let files = by_files(&own.sni, own.subject_alt_names.clone(), unchecked);
                Settings::User {
                    own: files.unwrap_or_default(),
                    named: !own.subject_alt_names.is_empty(),
                }
            }
            TlsMode::IstioMutual => Settings::Mutual(mutual(&own.sni, &own.subject_alt_names)),
            TlsMode::Simple | TlsMode::Mutual => {
                let mut own = own.clone();
                let selects = called
                    .rule
                    .as_ref()
                    .is_some_and(|rule| rule.selector.is_some());
                let secret = !own.credential_name.is_empty()
                    && !own.credential_name.starts_with("configmap://");
                if secret && scope.role == Role::Sidecar && !selects {
                    return Settings::WithoutSecret;
                }
                let named = !own.subject_alt_names.is_empty();
                if service.registry == Registry::External && !named {
                    own.subject_alt_names = identities(scope, called);
                }
                Settings::User { own, named }
            }
        }
    }

    /// Whether a cluster whose names are resolved on the way lacks what would make TLS to them
    /// safe. Envoy wants that to be said.
    pub(super) fn is_lax(&self) -> bool {
        let lax = |sni: &str, unchecked: bool| !sni.is_empty() || unchecked;
        match self {
            Settings::User { own, .. } => lax(&own.sni, own.insecure_skip_verify == Some(true)),
            Settings::Mutual(own) => lax(&own.sni, own.unchecked),
            Settings::Plain | Settings::Auto(_) | Settings::WithoutSecret => false,
        }
    }

    /// Whether it is the mesh's mTLS where the endpoint can.
    pub(super) fn is_auto(&self) -> bool {
        matches!(self, Settings::Auto(_))
    }

    /// Whether it may speak to strangers: Istio's own ALPN is none of their business.
    pub(super) fn hides_alpn(&self) -> bool {
        matches!(self, Settings::WithoutSecret | Settings::User { .. })
    }

    /// Puts it on a cluster; `dynamic` where the caller's name is resolved on the way. What is made often is
    /// written, where there is something to write to.
    pub(super) fn apply(
        self,
        scope: &Scope,
        cluster: &mut wire::Cluster,
        options: &mut Options,
        dynamic: bool,
        written: Option<&mut Writer>,
    ) {
        let http2 = options.is_http2();
        let istio = scope.flavour == Flavour::IstioProxy;
        match self {
            Settings::Plain => {}
            Settings::Mutual(mutual) => {
                if dynamic {
                    let unchecked = mutual.unchecked;
                    set_names(
                        options,
                        names_from_host(&mutual.sni, false, unchecked, dynamic),
                    );
                }
                cluster.transport_socket = Some(mutual_socket(istio, mutual, http2));
            }
            Settings::Auto(mutual) => {
                let original = wire::cluster::DiscoveryType::OriginalDst as i32;
                let kind = Some(wire::cluster::ClusterDiscoveryType::Type(original));
                match written {
                    // The caller chose the address, so there is no endpoint whose ability could be told.
                    _ if cluster.cluster_discovery_type == kind => {
                        cluster.transport_socket = Some(mutual_socket(istio, mutual, http2));
                    }
                    Some(written) => put_by_ability(istio, &mutual, http2, written),
                    None => {
                        let socket = mutual_socket(istio, mutual, http2);
                        cluster.transport_socket_matches = by_ability(socket).into();
                    }
                }
            }
            Settings::WithoutSecret => {}
            Settings::User { own, named } => {
                let unchecked = own.insecure_skip_verify == Some(true);
                set_names(
                    options,
                    names_from_host(&own.sni, named, unchecked, dynamic),
                );
                let Some(socket) = user_socket(scope, &own, http2) else {
                    return;
                };
                cluster.transport_socket = Some(socket);
            }
        }
    }
}

/// Whether the name that a caller says is resolved when it does.
fn is_dynamic(called: &OutboundService) -> bool {
    let service = &called.service;
    service.resolution == Resolution::DynamicDns && mesh::is_wildcard(&service.id.host)
}

/// The caller's Host header is the server name that is sent, and the name that the server's
/// certificate must have: for TLS that names neither, and for hosts that the caller names.
fn names_from_host(sni: &str, named: bool, unchecked: bool, dynamic: bool) -> FromHost {
    let auto_sni = sni.is_empty();
    FromHost {
        auto_sni,
        auto_san_validation: (dynamic || auto_sni && !named) && !unchecked,
        ..Default::default()
    }
}

fn set_names(options: &mut Options, from_host: FromHost) {
    if from_host != FromHost::default() {
        let made = options.0.get_or_insert_default();
        made.upstream_http_protocol_options = Some(from_host);
    }
}

/// Tells the upstream the address of the caller, before anything else.
pub(super) fn tell_address(cluster: &mut wire::Cluster, settings: &ProxyProtocol) {
    let wrapped = |inner: core::TransportSocket| {
        let version = match settings.version.as_str() {
            "V2" => core::proxy_protocol_config::Version::V2,
            _ => core::proxy_protocol_config::Version::V1,
        };
        let config = ProxyProtocolUpstreamTransport {
            config: Some(core::ProxyProtocolConfig {
                version: version as i32,
                ..Default::default()
            }),
            transport_socket: Some(inner),
            ..Default::default()
        };
        transport_socket(PROXY_SOCKET, config.pack())
    };
    if cluster.transport_socket_matches.is_empty() {
        let inner = cluster.transport_socket.take();
        let inner = inner.unwrap_or_else(|| core::TransportSocket {
            name: "raw_buffer".to_owned(),
            ..plaintext()
        });
        cluster.transport_socket = Some(wrapped(inner));
    }
    for matched in &mut cluster.transport_socket_matches {
        matched.transport_socket = matched.transport_socket.take().map(&wrapped);
    }
}

fn plaintext() -> core::TransportSocket {
    let config = RawBuffer::default().pack();
    transport_socket("envoy.transport_sockets.raw_buffer", config)
}

/// TLS for endpoints that say that they can, plaintext for others.
fn by_ability(socket: core::TransportSocket) -> [wire::cluster::TransportSocketMatch; 2] {
    [
        wire::cluster::TransportSocketMatch {
            name: "tlsMode-istio".to_owned(),
            r#match: Some(fields([("tlsMode", text("istio"))])),
            transport_socket: Some(socket),
        },
        wire::cluster::TransportSocketMatch {
            name: "tlsMode-disabled".to_owned(),
            r#match: Some(fields([])),
            transport_socket: Some(plaintext()),
        },
    ]
}

/// Writes the mesh's mTLS where the endpoint can, for calls of a service without a rule.
pub(super) fn put_auto(
    scope: &Scope,
    called: &OutboundService,
    port: &Port,
    http2: bool,
    into: &mut Writer,
) {
    let mutual = Mutual {
        sni: names::sni(port.number, "", &called.service.id.host),
        names: identities(scope, called),
        unchecked: false,
    };
    put_by_ability(scope.flavour == Flavour::IstioProxy, &mutual, http2, into);
}

/// Writes what [`by_ability`] and [`mutual_socket`] build, as fields of a cluster.
fn put_by_ability(istio: bool, mutual: &Mutual, http2: bool, into: &mut Writer) {
    /// Field numbers of `Cluster`, `TransportSocketMatch`, `TransportSocket`, `Any`, `UpstreamTlsContext`,
    /// `CommonTlsContext`, `CombinedCertificateValidationContext`, `CertificateValidationContext`, `StringMatcher`.
    const MATCHES: u32 = 43;
    const SOCKET: u32 = 3;
    const NAME: u32 = 1;
    const CONFIG: u32 = 3;
    const TYPE: u32 = 1;
    const VALUE: u32 = 2;
    const COMMON: u32 = 1;
    const SNI: u32 = 2;
    const CHECKED: u32 = 8;
    const DEFAULT: u32 = 1;
    const ROOTS: u32 = 2;
    const NAMES: u32 = 9;
    const EXACT: u32 = 1;
    struct Constants {
        able: Bytes,
        unable: Bytes,
        versions: Bytes,
        common: [Bytes; 4],
        roots: Bytes,
    }
    static CONSTANTS: LazyLock<Constants> = LazyLock::new(|| {
        let [able, unable] = by_ability(core::TransportSocket::default());
        let common = |istio: bool, http2: bool| {
            let rest = tls::CommonTlsContext {
                tls_params: None,
                ..common(istio, http2)
            };
            rest.fields()
        };
        let versions = tls::CommonTlsContext {
            tls_params: Some(versions()),
            ..Default::default()
        };
        Constants {
            able: wire::cluster::TransportSocketMatch {
                transport_socket: None,
                ..able
            }
            .fields(),
            unable: wire::Cluster {
                transport_socket_matches: vec![unable],
                ..Default::default()
            }
            .fields(),
            versions: versions.fields(),
            common: [
                common(false, false),
                common(false, true),
                common(true, false),
                common(true, true),
            ],
            roots: secret("ROOTCA").fields(),
        }
    });
    let constants = &*CONSTANTS;
    let common = &constants.common[2 * usize::from(istio) + usize::from(http2)];
    let context = |context: &mut Writer| {
        context.nested(COMMON, |own| {
            own.raw(&constants.versions).nested(CHECKED, |checked| {
                checked.nested(DEFAULT, |default| {
                    for name in &mutual.names {
                        default.nested(NAMES, |matcher| {
                            matcher.text(EXACT, name);
                        });
                    }
                });
                checked.text(ROOTS, &constants.roots);
            });
            own.raw(common);
        });
        if !mutual.sni.is_empty() {
            context.text(SNI, &mutual.sni);
        }
    };
    into.nested(MATCHES, |able| {
        able.raw(&constants.able).nested(SOCKET, |socket| {
            socket.text(NAME, TLS_SOCKET).nested(CONFIG, |any| {
                any.text(TYPE, TLS_CONTEXT).nested(VALUE, context);
            });
        });
    });
    into.raw(&constants.unable);
}

/// SPIFFE identities that may answer for a service.
fn identities(scope: &Scope, called: &OutboundService) -> Vec<String> {
    let service = &called.service;
    let mut found: Vec<String> = service.subject_alt_names.clone();
    let domains =
        std::iter::once(&scope.config.trust_domain).chain(&scope.config.trust_domain_aliases);
    for domain in domains {
        for (namespace, account) in service.accounts.iter() {
            found.push(format!("spiffe://{domain}/ns/{namespace}/sa/{account}"));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn mutual_socket(istio: bool, mutual: Mutual, http2: bool) -> core::TransportSocket {
    let context = tls::UpstreamTlsContext {
        common_tls_context: Some(tls::CommonTlsContext {
            validation_context_type: Some(validation(secret("ROOTCA"), exact(&mutual.names))),
            ..common(istio, http2)
        }),
        sni: mutual.sni,
        ..Default::default()
    };
    transport_socket(TLS_SOCKET, context.pack())
}

/// The mesh's mTLS but for who may answer; `istio`: with Istio's own filters.
fn common(istio: bool, http2: bool) -> tls::CommonTlsContext {
    let exchange = istio.then_some("istio-peer-exchange");
    let alpn = exchange.into_iter().chain(["istio"]);
    let alpn = alpn.chain(http2.then_some("h2"));
    tls::CommonTlsContext {
        tls_params: Some(versions()),
        tls_certificate_sds_secret_configs: vec![secret("default")],
        alpn_protocols: alpn.map(str::to_owned).collect(),
        ..Default::default()
    }
}

/// TLS as the user says; `None` when it lacks what the user's mode needs.
pub(super) fn user_socket(
    scope: &Scope,
    own: &ClientTls,
    http2: bool,
) -> Option<core::TransportSocket> {
    let mut parameters = versions();
    if let Some(mesh) = &scope.config.tls_defaults {
        parameters.ecdh_curves.clone_from(&mesh.ecdh_curves);
        parameters.cipher_suites.clone_from(&mesh.cipher_suites);
    }
    let mut common = tls::CommonTlsContext {
        tls_params: Some(parameters),
        alpn_protocols: if http2 {
            vec!["h2".to_owned()]
        } else {
            Vec::new()
        },
        ..Default::default()
    };
    let unchecked = own.insecure_skip_verify == Some(true);
    let names = exact(&own.subject_alt_names);
    if !own.credential_name.is_empty() {
        if own.mode == TlsMode::Mutual {
            let certificate = credential(&own.credential_name);
            common.tls_certificate_sds_secret_configs = vec![certificate];
        }
        if !unchecked {
            let roots = credential(&format!("{}-cacert", own.credential_name));
            common.validation_context_type = Some(validation(roots, names));
        }
    } else {
        if own.mode == TlsMode::Mutual {
            if own.client_certificate.is_empty() || own.private_key.is_empty() {
                return None;
            }
            let name = format!("file-cert:{}~{}", own.client_certificate, own.private_key);
            common.tls_certificate_sds_secret_configs = vec![file(&name)];
        }
        common.validation_context_type = Some(if unchecked {
            let unchecked = tls::CertificateValidationContext::default();
            tls::common_tls_context::ValidationContextType::ValidationContext(unchecked)
        } else {
            let path = match own.ca_certificates.as_str() {
                "" => "system",
                path => path,
            };
            let mut checked = validation(file(&format!("file-root:{path}")), names);
            if !own.ca_crl.is_empty()
                && let tls::common_tls_context::ValidationContextType::CombinedValidationContext(
                    both,
                ) = &mut checked
            {
                let default = both.default_validation_context.get_or_insert_default();
                default.crl = Some(core::DataSource {
                    specifier: Some(core::data_source::Specifier::Filename(own.ca_crl.clone())),
                    ..Default::default()
                });
            }
            checked
        });
    }
    let context = tls::UpstreamTlsContext {
        common_tls_context: Some(common),
        sni: own.sni.clone(),
        ..Default::default()
    };
    Some(transport_socket(TLS_SOCKET, context.pack()))
}

/// A secret that the agent serves.
pub(crate) fn secret(name: &str) -> tls::SdsSecretConfig {
    tls::SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(agent()),
    }
}

/// A file that the agent serves.
pub(crate) fn file(name: &str) -> tls::SdsSecretConfig {
    let mut found = secret(name);
    if let Some(source) = &mut found.sds_config {
        source.initial_fetch_timeout = None;
    }
    found
}

/// A credential by the name that users give it: the control plane serves it, but for the workload's
/// own certificate.
pub(crate) fn credential(name: &str) -> tls::SdsSecretConfig {
    match name {
        "builtin://" => secret("default"),
        "builtin://-cacert" => secret("ROOTCA"),
        name => tls::SdsSecretConfig {
            name: mesh::secret_name(name).unwrap_or_else(|| "invalid://".to_owned()),
            // A secret that does not exist must not keep everything else waiting for ever.
            sds_config: Some(core::ConfigSource {
                initial_fetch_timeout: None,
                ..ads()
            }),
        },
    }
}

pub(crate) fn versions() -> tls::TlsParameters {
    use tls::tls_parameters::TlsProtocol;
    tls::TlsParameters {
        tls_minimum_protocol_version: TlsProtocol::TlSv12 as i32,
        tls_maximum_protocol_version: TlsProtocol::TlSv13 as i32,
        ..Default::default()
    }
}

pub(crate) fn exact(names: &[String]) -> Vec<StringMatcher> {
    let matchers = names.iter().map(|name| StringMatcher {
        match_pattern: Some(MatchPattern::Exact(name.clone())),
        ..Default::default()
    });
    matchers.collect()
}

/// Roots from a secret, and the names that a certificate may have.
pub(crate) fn validation(
    roots: tls::SdsSecretConfig,
    names: Vec<StringMatcher>,
) -> tls::common_tls_context::ValidationContextType {
    #[allow(deprecated, reason = "the form that upstream still sends")]
    let default = tls::CertificateValidationContext {
        match_subject_alt_names: names,
        ..Default::default()
    };
    tls::common_tls_context::ValidationContextType::CombinedValidationContext(
        tls::common_tls_context::CombinedCertificateValidationContext {
            default_validation_context: Some(default),
            validation_context_sds_secret_config: Some(roots),
            ..Default::default()
        },
    )
}

#[cfg(test)]
mod tests;
