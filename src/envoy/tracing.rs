//! Tracing of requests: how many, and which tags say whose they are.

use api::proxy_config;
use mesh::{Scope, Workload};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::RequestIdExtension;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::Tracing;
use proto::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;
use proto::envoy::r#type::metadata::v3::{MetadataKey, MetadataKind, metadata_key, metadata_kind};
use proto::envoy::r#type::tracing::v3::{CustomTag, custom_tag};
use proto::envoy::r#type::v3::Percent;
use proto::pack::Pack;

use crate::listener::filter_chain::Side;
use crate::parts::{flag, number};

/// How requests are traced, and how their ids say that they are.
pub(crate) struct Traced {
    pub(crate) tracing: Option<Tracing>,
    pub(crate) request_id: RequestIdExtension,
}

pub(crate) fn of(scope: &Scope, _side: Side) -> Traced {
    let own = scope.settings.config(&scope.config.default_config);
    let tracing = own.tracing.as_ref();
    let default = f64::from(scope.features.trace_sampling) / 100.0;
    let sampling = tracing.and_then(|tracing| tracing.sampling);
    let sampling = sampling
        .filter(|sampling| *sampling != 0.0)
        .unwrap_or(default);
    // A share that cannot be is the default of one that is said.
    let sampling = if sampling > 100.0 { 1.0 } else { sampling };
    let percent = |value: f64| Some(Percent { value });
    let longest = tracing.map_or(0, |tracing| tracing.max_path_tag_length);
    let names_workload = tracing.is_none_or(|tracing| tracing.enable_istio_tags != Some(false));
    let mut tags = if names_workload {
        tags(&scope.workload)
    } else {
        Vec::new()
    };
    tags.extend(
        tracing
            .into_iter()
            .flat_map(|tracing| &tracing.custom_tags)
            .filter_map(own_tag),
    );
    tags.sort_by(|a, b| a.tag.cmp(&b.tag));
    let tracing = Tracing {
        client_sampling: percent(100.0),
        random_sampling: percent(sampling),
        overall_sampling: percent(100.0),
        custom_tags: tags,
        max_path_tag_length: number(longest).filter(|_| longest != 0),
        ..Default::default()
    };
    let request_id = UuidRequestIdConfig {
        use_request_id_for_trace_sampling: flag(true),
        ..Default::default()
    };
    Traced {
        tracing: scope.config.enable_tracing.then_some(tracing),
        request_id: RequestIdExtension {
            typed_config: Some(request_id.pack()),
        },
    }
}

/// A tag of the user's; none when it says nothing.
fn own_tag((name, tag): (&String, &proxy_config::CustomTag)) -> Option<CustomTag> {
    let kind = match tag {
        proxy_config::CustomTag {
            environment: Some(own),
            ..
        } => custom_tag::Type::Environment(custom_tag::Environment {
            name: own.name.clone(),
            default_value: own.default_value.clone(),
        }),
        proxy_config::CustomTag {
            header: Some(own), ..
        } => custom_tag::Type::RequestHeader(custom_tag::Header {
            name: own.name.clone(),
            default_value: own.default_value.clone(),
        }),
        proxy_config::CustomTag {
            literal: Some(own), ..
        } => custom_tag::Type::Literal(custom_tag::Literal {
            value: own.value.clone(),
        }),
        _ => return None,
    };
    Some(CustomTag {
        tag: name.clone(),
        r#type: Some(kind),
    })
}

fn tags(workload: &Workload) -> Vec<CustomTag> {
    const RESULTS: [(&str, &str); 4] = [
        ("allow_policy.name", "allow_shadow_effective_policy_id"),
        ("allow_policy.result", "allow_shadow_engine_result"),
        ("deny_policy.name", "deny_shadow_effective_policy_id"),
        ("deny_policy.result", "deny_shadow_engine_result"),
    ];
    let results = RESULTS.iter().map(|(tag, key)| {
        let key = MetadataKey {
            key: "envoy.filters.http.rbac".to_owned(),
            path: vec![metadata_key::PathSegment {
                segment: Some(metadata_key::path_segment::Segment::Key(format!(
                    "istio_dry_run_{key}"
                ))),
            }],
        };
        let request = metadata_kind::Kind::Request(metadata_kind::Request::default());
        CustomTag {
            tag: format!("istio.authorization.dry_run.{tag}"),
            r#type: Some(custom_tag::Type::Metadata(custom_tag::Metadata {
                kind: Some(MetadataKind {
                    kind: Some(request),
                }),
                metadata_key: Some(key),
                ..Default::default()
            })),
        }
    });
    let label = |name: &str| workload.labels.get(name).map(String::as_str);
    let service = label("service.istio.io/canonical-name");
    let revision = label("service.istio.io/canonical-revision");
    let facts = [
        ("canonical_revision", revision.unwrap_or("latest")),
        ("canonical_service", service.unwrap_or("unknown")),
        ("cluster_id", workload.cluster.as_str()),
        ("mesh_id", workload.mesh_id.as_str()),
        ("namespace", workload.namespace.as_str()),
    ];
    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
    let facts = facts.map(|(tag, value)| CustomTag {
        tag: format!("istio.{tag}"),
        r#type: Some(custom_tag::Type::Literal(custom_tag::Literal {
            value: value.to_owned(),
        })),
    });
    results.chain(facts).collect()
}
