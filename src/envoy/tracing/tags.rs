//! What spans say beyond what Envoy says by itself: whose they are, what policies on trial would have
//! decided, and what users ask for.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use api::{proxy_config, telemetry};
use bytes::Bytes;
use mesh::{Scope, Workload};
use proto::envoy::r#type::metadata::v3::{MetadataKey, MetadataKind, metadata_key, metadata_kind};
use proto::envoy::r#type::tracing::v3::{CustomTag, custom_tag};
use proto::pack::Put;
use proto::writer::Writer;

/// What spans say.
pub(super) struct Tags {
    /// Whether they say whose they are.
    pub(super) of_workload: bool,
    /// What users ask for.
    pub(super) further: Vec<CustomTag>,
}

/// Field numbers of `Tracing`, `CustomTag` and `Literal`.
const TAGS: u32 = 8;
const NAME: u32 = 1;
const LITERAL: u32 = 2;
const VALUE: u32 = 1;

/// One tag.
enum Tag<'a> {
    /// Encoded, as tracing has it.
    Encoded(&'a [u8]),
    Literal(&'a str),
    Built(&'a CustomTag),
}

impl Tags {
    /// Writes all tags by name, as tracing has them.
    pub(super) fn put(&self, workload: &Workload, tracing: &mut Writer) {
        let further = self.further.iter();
        let further = further.map(|tag| (tag.tag.as_str(), Tag::Built(tag)));
        let mut all: Vec<(&str, Tag<'_>)> = Vec::with_capacity(9 + self.further.len());
        if self.of_workload {
            all.extend(RESULTS.iter().map(|(name, tag)| (*name, Tag::Encoded(tag))));
            all.extend(facts(workload).map(|(name, value)| (name, Tag::Literal(value))));
        }
        all.extend(further);
        all.sort_by_key(|(name, _)| *name);
        for (name, tag) in all {
            match tag {
                Tag::Encoded(tag) => {
                    tracing.raw(tag);
                }
                Tag::Literal(value) => put_literal(name, value, tracing),
                Tag::Built(tag) => {
                    tracing.nested(TAGS, |into| tag.put(into));
                }
            }
        }
    }
}

fn put_literal(name: &str, value: &str, tracing: &mut Writer) {
    tracing.nested(TAGS, |tag| {
        tag.text(NAME, name).nested(LITERAL, |literal| {
            literal.text(VALUE, value);
        });
    });
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

/// What policies on trial would have decided, encoded.
static RESULTS: LazyLock<[(&str, Bytes); 4]> = LazyLock::new(|| {
    let results = [
        (
            "istio.authorization.dry_run.allow_policy.name",
            "istio_dry_run_allow_shadow_effective_policy_id",
        ),
        (
            "istio.authorization.dry_run.allow_policy.result",
            "istio_dry_run_allow_shadow_engine_result",
        ),
        (
            "istio.authorization.dry_run.deny_policy.name",
            "istio_dry_run_deny_shadow_effective_policy_id",
        ),
        (
            "istio.authorization.dry_run.deny_policy.result",
            "istio_dry_run_deny_shadow_engine_result",
        ),
    ];
    results.map(|(name, key)| (name, of_decision(name, key)))
});

/// A tag of what the filter that decides says of a request.
fn of_decision(name: &str, key: &str) -> Bytes {
    let key = metadata_key::path_segment::Segment::Key(key.to_owned());
    let request = metadata_kind::Kind::Request(metadata_kind::Request::default());
    let result = custom_tag::Type::Metadata(custom_tag::Metadata {
        kind: Some(MetadataKind {
            kind: Some(request),
        }),
        metadata_key: Some(MetadataKey {
            key: "envoy.filters.http.rbac".to_owned(),
            path: vec![metadata_key::PathSegment { segment: Some(key) }],
        }),
        ..Default::default()
    });
    let mut tracing = Writer::default();
    tracing.nested(TAGS, |into| tag(name, result).put(into));
    tracing.finish()
}

/// Whose a span is.
fn facts(workload: &Workload) -> impl Iterator<Item = (&'static str, &str)> {
    fn or<'a>(value: &'a str, unknown: &'a str) -> &'a str {
        if value.is_empty() { unknown } else { value }
    }
    let label = |name: &str| workload.labels.get(name).map_or("", String::as_str);
    [
        (
            "istio.canonical_revision",
            or(label("service.istio.io/canonical-revision"), "latest"),
        ),
        (
            "istio.canonical_service",
            or(label("service.istio.io/canonical-name"), "unknown"),
        ),
        ("istio.cluster_id", or(&workload.cluster, "unknown")),
        ("istio.mesh_id", or(&workload.mesh_id, "unknown")),
        ("istio.namespace", or(&workload.namespace, "default")),
    ]
    .into_iter()
}
