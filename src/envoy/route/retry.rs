//! Retry policy of a route: the rule's, the mesh's, or the default.

use api::duration::Duration;
use api::networking::virtual_service::Retry;
use bytes::Bytes;
use mesh::Scope;
use proto::envoy::config::route::v3 as wire;
use proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use proto::pack::{Pack, Put};

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
    if own.attempts <= 0 {
        return None;
    }
    policy.num_retries = number(u32::try_from(own.attempts).unwrap_or_default());
    policy.per_try_timeout = own.per_try_timeout.and_then(span);
    if !own.retry_on.is_empty() {
        (policy.retry_on, policy.retriable_status_codes) = conditions(&own.retry_on);
    }
    match own.retry_ignore_previous_hosts {
        Some(true) => policy.retry_host_predicate = other_hosts(),
        Some(false) => policy.retry_host_predicate.clear(),
        None => {}
    }
    if own.retry_remote_localities == Some(true) {
        policy.retry_priority = Some(wire::retry_policy::RetryPriority {
            name: "envoy.retry_priorities.previous_priorities".to_owned(),
            config_type: Some(wire::retry_policy::retry_priority::ConfigType::TypedConfig(
                previous_priorities(),
            )),
        });
    }
    policy.retry_back_off = own.backoff.map(back_off);
    Some(policy)
}

/// The policy of most routes, as a field of their action.
pub(super) fn usual(scope: &Scope) -> Bytes {
    let action = wire::RouteAction {
        retry_policy: of(scope, None, false),
        ..Default::default()
    };
    action.fields()
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
        retry_host_predicate: other_hosts(),
        ..Default::default()
    }
}

/// Hosts that have been tried are avoided.
fn other_hosts() -> Vec<wire::retry_policy::RetryHostPredicate> {
    vec![wire::retry_policy::RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
        config_type: Some(
            wire::retry_policy::retry_host_predicate::ConfigType::TypedConfig(
                PreviousHostsPredicate::default().pack(),
            ),
        ),
    }]
}

/// The retry policy of an inbound route, where only what surely never reached the workload is tried
/// again by default, and other hosts there are none.
pub(super) fn inbound(own: Option<&Retry>) -> Option<wire::RetryPolicy> {
    let mut policy = wire::RetryPolicy {
        retry_on: "reset-before-request".to_owned(),
        num_retries: number(2),
        ..Default::default()
    };
    let Some(own) = own else {
        return Some(policy);
    };
    if own.attempts <= 0 {
        return None;
    }
    policy.num_retries = number(u32::try_from(own.attempts).unwrap_or_default());
    if !own.retry_on.is_empty() {
        (policy.retry_on, policy.retriable_status_codes) = conditions(&own.retry_on);
    }
    policy.retry_back_off = own.backoff.map(back_off);
    Some(policy)
}

fn back_off(base: Duration) -> wire::retry_policy::RetryBackOff {
    wire::retry_policy::RetryBackOff {
        base_interval: span(base),
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
            Ok(code) if is_status(code) => codes.push(code),
            _ => on.push(part),
        }
    }
    let mut on = on.join(",");
    if !codes.is_empty() && !on.contains("retriable-status-codes") {
        on.push_str(",retriable-status-codes");
    }
    (on, codes)
}

/// Whether HTTP has a status of this number (those registered with IANA, but 104; 418 among them).
fn is_status(code: u32) -> bool {
    matches!(
        code,
        100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429
            | 431 | 451 | 500..=508 | 510 | 511
    )
}

#[cfg(test)]
mod tests {
    use super::conditions;

    #[test]
    fn statuses_among_the_conditions_are_told_apart() {
        let (on, codes) = conditions("5xx, 503 ,gateway-error,999");
        assert_eq!(on, "5xx,gateway-error,999,retriable-status-codes");
        assert_eq!(codes, [503]);
        // Envoy passes over the empty part, which upstream sends too.
        assert_eq!(conditions("503").0, ",retriable-status-codes");
        assert_eq!(
            conditions("retriable-status-codes,503").0,
            "retriable-status-codes"
        );
    }
}
