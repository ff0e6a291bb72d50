//! Retry policy of a route: the rule's, the mesh's, or the default.

use api::networking::virtual_service::Retry;
use mesh::Scope;
use proto::envoy::config::route::v3 as wire;
use proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use proto::pack::Pack;

use crate::parts::{number, span};

const DEFAULT_ON: &str =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

/// The retry policy; a hash leads to the same host again, so that avoiding it would find none.
pub(super) fn of(scope: &Scope, own: Option<&Retry>, hashed: bool) -> Option<wire::RetryPolicy> {
    let mut policy = default();
    if hashed {
        policy.retry_host_predicate.clear();
    }
    let Some(own) = own.or(scope.config.default_http_retry_policy.as_ref()) else {
        return Some(policy);
    };
    if own.attempts == 0 {
        return None;
    }
    policy.num_retries = number(u32::try_from(own.attempts).unwrap_or_default());
    policy.per_try_timeout = own.per_try_timeout.and_then(span);
    if !own.retry_on.is_empty() {
        (policy.retry_on, policy.retriable_status_codes) = conditions(&own.retry_on);
    }
    if own.retry_ignore_previous_hosts == Some(false) {
        policy.retry_host_predicate.clear();
    }
    if own.retry_remote_localities == Some(true) {
        policy.retry_priority = Some(wire::retry_policy::RetryPriority {
            name: "envoy.retry_priorities.previous_priorities".to_owned(),
            config_type: Some(wire::retry_policy::retry_priority::ConfigType::TypedConfig(
                previous_priorities(),
            )),
        });
    }
    if let Some(backoff) = own.backoff {
        policy.retry_back_off = Some(wire::retry_policy::RetryBackOff {
            base_interval: span(backoff),
            ..Default::default()
        });
    }
    Some(policy)
}

fn previous_priorities() -> proto::google::protobuf::Any {
    let config = proto::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig {
        update_frequency: 2,
    };
    config.pack()
}

fn default() -> wire::RetryPolicy {
    wire::RetryPolicy {
        retry_on: DEFAULT_ON.to_owned(),
        num_retries: number(2),
        host_selection_retry_max_attempts: 5,
        retry_host_predicate: vec![wire::retry_policy::RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(
                wire::retry_policy::retry_host_predicate::ConfigType::TypedConfig(
                    PreviousHostsPredicate::default().pack(),
                ),
            ),
        }],
        ..Default::default()
    }
}

/// Status codes among the conditions stand in a list of their own.
fn conditions(text: &str) -> (String, Vec<u32>) {
    let mut on = Vec::new();
    let mut codes = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match part.parse::<u32>() {
            Ok(code) if (100..600).contains(&code) => codes.push(code),
            _ => on.push(part),
        }
    }
    if !codes.is_empty() && !on.contains(&"retriable-status-codes") {
        on.push("retriable-status-codes");
    }
    (on.join(","), codes)
}
