//! Cross-origin policy of a route.

use api::networking::matching::StringMatch;
use api::networking::virtual_service::CorsPolicy;
use proto::envoy::config::core::v3::RuntimeFractionalPercent;
use proto::envoy::extensions::filters::http::cors::v3 as wire;
use proto::envoy::r#type::v3::FractionalPercent;
use proto::google::protobuf::Any;
use proto::pack::Pack;

use super::matching;
use crate::parts::flag;

pub(super) fn of(policy: &CorsPolicy) -> Any {
    let old = policy
        .allow_origin
        .iter()
        .map(|origin| StringMatch::Exact(origin.clone()));
    let origins = if policy.allow_origins.is_empty() {
        old.collect()
    } else {
        policy.allow_origins.clone()
    };
    wire::CorsPolicy {
        allow_origin_string_match: origins.iter().filter_map(matching::string).collect(),
        allow_methods: policy.allow_methods.join(","),
        allow_headers: policy.allow_headers.join(","),
        expose_headers: policy.expose_headers.join(","),
        max_age: policy
            .max_age
            .map(|age| age.0.as_secs().to_string())
            .unwrap_or_default(),
        allow_credentials: policy.allow_credentials.and_then(flag),
        filter_enabled: Some(RuntimeFractionalPercent {
            default_value: Some(FractionalPercent {
                numerator: 100,
                ..Default::default()
            }),
            ..Default::default()
        }),
        forward_not_matching_preflights: match policy.unmatched_preflights.as_deref() {
            Some("IGNORE") => flag(false),
            _ => flag(true),
        },
        ..Default::default()
    }
    .pack()
}
