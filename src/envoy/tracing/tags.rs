//! What spans say beyond what Envoy says by itself: whose they are, what policies on trial would have
//! decided, and what users ask for.

use std::collections::BTreeMap;

use api::{proxy_config, telemetry};
use mesh::{Scope, Workload};
use proto::envoy::r#type::metadata::v3::{MetadataKey, MetadataKind, metadata_key, metadata_kind};
use proto::envoy::r#type::tracing::v3::{CustomTag, custom_tag};

/// All tags, by name.
pub(super) fn all(scope: &Scope, names_workload: bool, further: Vec<CustomTag>) -> Vec<CustomTag> {
    let mut tags = match names_workload {
        true => usual(&scope.workload),
        false => Vec::new(),
    };
    tags.extend(further);
    tags.sort_by(|a, b| a.tag.cmp(&b.tag));
    tags
}

/// Those of the proxy's settings; one that says nothing is none.
pub(super) fn written(own: Option<&proxy_config::Tracing>) -> Vec<CustomTag> {
    let tags = own.into_iter().flat_map(|own| &own.custom_tags);
    let tags = tags.filter_map(|(name, tag)| {
        let environment = tag.environment.as_ref();
        let environment = environment.map(|own| variable(&own.name, &own.default_value));
        let header = tag.header.as_ref();
        let header = header.map(|own| self::header(&own.name, &own.default_value));
        let literal = tag.literal.as_ref().map(|own| literal(&own.value));
        Some((name, environment.or(header).or(literal)?))
    });
    named(tags)
}

/// Those of Telemetries. Older proxies know no text with commands.
pub(super) fn told(scope: &Scope, tags: &BTreeMap<String, telemetry::Tag>) -> Vec<CustomTag> {
    let formats = scope
        .settings
        .version
        .is_none_or(|version| version >= (1, 29));
    let tags = tags.iter().filter_map(|(name, tag)| {
        let environment = tag.environment.as_ref();
        let environment = environment.map(|own| variable(&own.name, &own.default_value));
        let header = tag.header.as_ref();
        let header = header.map(|own| self::header(&own.name, &own.default_value));
        let literal = tag.literal.as_ref().map(|own| literal(&own.value));
        let format = tag.formatter.as_ref().filter(|_| formats);
        let format = format.map(|own| custom_tag::Type::Value(own.value.clone()));
        Some((name, environment.or(header).or(literal).or(format)?))
    });
    named(tags)
}

fn named<'a>(tags: impl Iterator<Item = (&'a String, custom_tag::Type)>) -> Vec<CustomTag> {
    tags.map(|(name, kind)| tag(name, kind)).collect()
}

fn tag(name: &str, kind: custom_tag::Type) -> CustomTag {
    CustomTag {
        tag: name.to_owned(),
        r#type: Some(kind),
    }
}

fn variable(name: &str, default: &str) -> custom_tag::Type {
    custom_tag::Type::Environment(custom_tag::Environment {
        name: name.to_owned(),
        default_value: default.to_owned(),
    })
}

fn header(name: &str, default: &str) -> custom_tag::Type {
    custom_tag::Type::RequestHeader(custom_tag::Header {
        name: name.to_owned(),
        default_value: default.to_owned(),
    })
}

fn literal(value: &str) -> custom_tag::Type {
    custom_tag::Type::Literal(custom_tag::Literal {
        value: value.to_owned(),
    })
}

fn usual(workload: &Workload) -> Vec<CustomTag> {
    const RESULTS: [(&str, &str); 4] = [
        ("allow_policy.name", "allow_shadow_effective_policy_id"),
        ("allow_policy.result", "allow_shadow_engine_result"),
        ("deny_policy.name", "deny_shadow_effective_policy_id"),
        ("deny_policy.result", "deny_shadow_engine_result"),
    ];
    let results = RESULTS.iter().map(|(name, key)| {
        let key = MetadataKey {
            key: "envoy.filters.http.rbac".to_owned(),
            path: vec![metadata_key::PathSegment {
                segment: Some(metadata_key::path_segment::Segment::Key(format!(
                    "istio_dry_run_{key}"
                ))),
            }],
        };
        let request = metadata_kind::Kind::Request(metadata_kind::Request::default());
        let result = custom_tag::Type::Metadata(custom_tag::Metadata {
            kind: Some(MetadataKind {
                kind: Some(request),
            }),
            metadata_key: Some(key),
            ..Default::default()
        });
        tag(&format!("istio.authorization.dry_run.{name}"), result)
    });
    fn or<'a>(value: &'a str, unknown: &'a str) -> &'a str {
        if value.is_empty() { unknown } else { value }
    }
    let label = |name: &str| workload.labels.get(name).map_or("", String::as_str);
    let facts = [
        (
            "canonical_revision",
            or(label("service.istio.io/canonical-revision"), "latest"),
        ),
        (
            "canonical_service",
            or(label("service.istio.io/canonical-name"), "unknown"),
        ),
        ("cluster_id", or(&workload.cluster, "unknown")),
        ("mesh_id", or(&workload.mesh_id, "unknown")),
        ("namespace", or(&workload.namespace, "default")),
    ];
    let facts = facts.into_iter();
    let facts = facts.map(|(name, value)| tag(&format!("istio.{name}"), literal(value)));
    results.chain(facts).collect()
}
