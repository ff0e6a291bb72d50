//! TLS towards a cluster: what the rule says, or the mesh's mTLS wherever the endpoint can.

use api::networking::destination_rule::{ClientTls, TlsMode};
use mesh::{Flavour, OutboundService, Policy, Port, Scope};
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use proto::pack::Pack;

use crate::metadata::{fields, text};
use crate::names;
use crate::parts::{ads, agent, transport_socket};

const TLS_SOCKET: &str = "envoy.transport_sockets.tls";

/// How a cluster is spoken to.
pub(super) enum Settings {
    /// In plaintext.
    Plain,
    /// With the workload's certificate where the endpoint can, else in plaintext.
    Auto(Mutual),
    /// With the workload's certificate.
    Mutual(Mutual),
    /// As the user says.
    User(ClientTls),
}

/// The mesh's mTLS.
pub(super) struct Mutual {
    sni: String,
    names: Vec<String>,
}

impl Settings {
    pub(super) fn of(
        scope: &Scope,
        called: &OutboundService,
        policy: &Policy,
        port: &Port,
        subset: &str,
    ) -> Self {
        let host = &called.service.id.host;
        let mutual = |sni: &str, names: &[String]| Mutual {
            sni: match sni {
                "" => names::sni(port.number, subset, host),
                own => own.to_owned(),
            },
            names: if names.is_empty() {
                identities(scope, called)
            } else {
                names.to_vec()
            },
        };
        match &policy.tls {
            Some(own) => match own.mode {
                TlsMode::Disable => Settings::Plain,
                TlsMode::IstioMutual => Settings::Mutual(mutual(&own.sni, &own.subject_alt_names)),
                TlsMode::Simple | TlsMode::Mutual => Settings::User(own.clone()),
            },
            None if scope.config.enable_auto_mtls
                && called.expects_mutual_tls(policy, port.number) =>
            {
                Settings::Auto(mutual("", &[]))
            }
            None => Settings::Plain,
        }
    }

    pub(super) fn uses_workload_certificate(&self) -> bool {
        matches!(self, Settings::Auto(_) | Settings::Mutual(_))
    }

    /// Whether the caller's Host header is the server name that is sent, and the name that the
    /// server's certificate must have: for users' TLS that names neither.
    pub(super) fn names_from_host(&self) -> Option<core::UpstreamHttpProtocolOptions> {
        let Settings::User(own) = self else {
            return None;
        };
        let unchecked = own.insecure_skip_verify == Some(true);
        own.sni
            .is_empty()
            .then(|| core::UpstreamHttpProtocolOptions {
                auto_sni: true,
                auto_san_validation: own.subject_alt_names.is_empty() && !unchecked,
                ..Default::default()
            })
    }

    pub(super) fn apply(self, scope: &Scope, cluster: &mut wire::Cluster, http2: bool) {
        match self {
            Settings::Plain => {}
            Settings::Mutual(mutual) => {
                cluster.transport_socket = Some(mutual_socket(scope, mutual, http2));
            }
            Settings::Auto(mutual) => {
                let socket = mutual_socket(scope, mutual, http2);
                let original = wire::cluster::DiscoveryType::OriginalDst as i32;
                let kind = Some(wire::cluster::ClusterDiscoveryType::Type(original));
                if cluster.cluster_discovery_type == kind {
                    // The caller chose the address, so there is no endpoint whose ability could be told.
                    cluster.transport_socket = Some(socket);
                } else {
                    cluster.transport_socket_matches = by_ability(socket);
                }
            }
            Settings::User(own) => {
                // Istio's own ALPN is none of a stranger's business.
                let metadata = cluster.metadata.get_or_insert_default();
                let fields = metadata
                    .filter_metadata
                    .entry("istio".to_owned())
                    .or_default();
                fields
                    .fields
                    .insert("alpn_override".to_owned(), text("false"));
                cluster.transport_socket = Some(user_socket(&own, http2));
            }
        }
    }
}

/// TLS for endpoints that say that they can, plaintext for others.
fn by_ability(socket: core::TransportSocket) -> Vec<wire::cluster::TransportSocketMatch> {
    let plain = RawBuffer::default().pack();
    vec![
        wire::cluster::TransportSocketMatch {
            name: "tlsMode-istio".to_owned(),
            r#match: Some(fields([("tlsMode", text("istio"))])),
            transport_socket: Some(socket),
        },
        wire::cluster::TransportSocketMatch {
            name: "tlsMode-disabled".to_owned(),
            r#match: Some(fields([])),
            transport_socket: Some(transport_socket(
                "envoy.transport_sockets.raw_buffer",
                plain,
            )),
        },
    ]
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

fn mutual_socket(scope: &Scope, mutual: Mutual, http2: bool) -> core::TransportSocket {
    let mut alpn = Vec::new();
    if scope.flavour == Flavour::IstioProxy {
        alpn.push("istio-peer-exchange".to_owned());
    }
    alpn.push("istio".to_owned());
    if http2 {
        alpn.push("h2".to_owned());
    }
    let context = tls::UpstreamTlsContext {
        common_tls_context: Some(tls::CommonTlsContext {
            tls_params: Some(versions()),
            tls_certificate_sds_secret_configs: vec![secret("default")],
            alpn_protocols: alpn,
            validation_context_type: Some(validation(secret("ROOTCA"), exact(&mutual.names))),
            ..Default::default()
        }),
        sni: mutual.sni,
        ..Default::default()
    };
    transport_socket(TLS_SOCKET, context.pack())
}

fn user_socket(own: &ClientTls, http2: bool) -> core::TransportSocket {
    let mut common = tls::CommonTlsContext {
        tls_params: Some(versions()),
        alpn_protocols: if http2 {
            vec!["h2".to_owned()]
        } else {
            Vec::new()
        },
        ..Default::default()
    };
    let named = |name: String| tls::SdsSecretConfig {
        name,
        sds_config: Some(core::ConfigSource {
            initial_fetch_timeout: None,
            ..ads()
        }),
    };
    let at_once = |name: &str| {
        let mut found = secret(name);
        if let Some(source) = &mut found.sds_config {
            source.initial_fetch_timeout = None;
        }
        found
    };
    let names = exact(&own.subject_alt_names);
    if !own.credential_name.is_empty() {
        let name = format!("kubernetes://{}", own.credential_name);
        if own.mode == TlsMode::Mutual {
            common.tls_certificate_sds_secret_configs = vec![named(name.clone())];
        }
        common.validation_context_type = Some(validation(named(format!("{name}-cacert")), names));
    } else {
        if own.mode == TlsMode::Mutual {
            let name = format!("file-cert:{}~{}", own.client_certificate, own.private_key);
            common.tls_certificate_sds_secret_configs = vec![at_once(&name)];
        }
        if !own.ca_certificates.is_empty() {
            let name = format!("file-root:{}", own.ca_certificates);
            let mut checked = validation(at_once(&name), names);
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
            common.validation_context_type = Some(checked);
        } else if own.insecure_skip_verify != Some(true) {
            let name = "file-root:system";
            common.validation_context_type = Some(validation(at_once(name), names));
        } else {
            let unchecked = tls::CertificateValidationContext::default();
            common.validation_context_type =
                Some(tls::common_tls_context::ValidationContextType::ValidationContext(unchecked));
        }
    }
    let context = tls::UpstreamTlsContext {
        common_tls_context: Some(common),
        sni: own.sni.clone(),
        ..Default::default()
    };
    transport_socket(TLS_SOCKET, context.pack())
}

/// A secret that the agent serves.
pub(crate) fn secret(name: &str) -> tls::SdsSecretConfig {
    tls::SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(agent()),
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

fn exact(names: &[String]) -> Vec<StringMatcher> {
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
