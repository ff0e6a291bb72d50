//! Tracing of requests: how many, and which tags say whose they are.

use mesh::{Scope, Workload};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::Tracing;
use proto::envoy::r#type::metadata::v3::{MetadataKey, MetadataKind, metadata_key, metadata_kind};
use proto::envoy::r#type::tracing::v3::{CustomTag, custom_tag};
use proto::envoy::r#type::v3::Percent;

/// Share of requests that are traced when nothing is said, percents.
const SAMPLING: f64 = 1.0;

pub(crate) fn of(scope: &Scope) -> Tracing {
    let tracing = scope.config.default_config.tracing.as_ref();
    let sampling = tracing
        .and_then(|tracing| tracing.sampling)
        .unwrap_or(SAMPLING);
    let percent = |value: f64| Some(Percent { value });
    Tracing {
        client_sampling: percent(100.0),
        random_sampling: percent(sampling),
        overall_sampling: percent(100.0),
        custom_tags: tags(&scope.workload),
        ..Default::default()
    }
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
