//! Ejection of endpoints that fail.

use api::networking::destination_rule::OutlierDetection;
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::common::matcher::v3::match_predicate::{MatchSet, Rule};
use proto::envoy::config::common::matcher::v3::{HttpHeadersMatch, MatchPredicate};
use proto::envoy::config::route::v3::HeaderMatcher;
use proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options as http;
use proto::envoy::r#type::matcher::v3::StringMatcher;
use proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use proto::envoy::r#type::v3::Percent;

use super::connection_pool::Options;
use crate::parts::{number, span};

pub(super) fn apply(
    cluster: &mut wire::Cluster,
    options: &mut Options,
    settings: &OutlierDetection,
    needs_unhealthy: bool,
) {
    let percent = |value: i32| u32::try_from(value).ok().filter(|value| *value > 0);
    let mut made = wire::OutlierDetection {
        // Only what is asked for; Envoy's own default would eject by success rate.
        enforcing_success_rate: number(0),
        interval: settings.interval.and_then(span),
        base_ejection_time: settings.base_ejection_time.and_then(span),
        max_ejection_percent: percent(settings.max_ejection_percent).and_then(number),
        ..Default::default()
    };
    if let Some(errors) = settings.consecutive_5xx_errors {
        made.consecutive_5xx = number(errors);
        made.enforcing_consecutive_5xx = number(if errors > 0 { 100 } else { 0 });
    }
    if let Some(errors) = settings.consecutive_gateway_errors {
        made.consecutive_gateway_failure = number(errors);
        made.enforcing_consecutive_gateway_failure = number(if errors > 0 { 100 } else { 0 });
    }
    if settings.split_external_local_origin_errors {
        made.split_external_local_origin_errors = true;
        if let Some(errors) = settings
            .consecutive_local_origin_failures
            .filter(|errors| *errors > 0)
        {
            made.consecutive_local_origin_failure = number(errors);
            made.enforcing_consecutive_local_origin_failure = number(100);
        }
        made.enforcing_local_origin_success_rate = number(0);
    }
    cluster.outlier_detection = Some(made);
    if settings.min_health_percent >= 0 {
        // Where endpoints that are not ready are told of on purpose, none of them gets traffic.
        let percent = if needs_unhealthy {
            0
        } else {
            settings.min_health_percent
        };
        let common = cluster.common_lb_config.get_or_insert_default();
        common.healthy_panic_threshold = Some(Percent {
            value: f64::from(percent),
        });
    }
    let mut statuses = settings
        .outlier_detection_http_error_codes
        .iter()
        .map(status);
    if let Some(first) = statuses.next() {
        let rest: Vec<MatchPredicate> = statuses.collect();
        let matcher = if rest.is_empty() {
            first
        } else {
            MatchPredicate {
                rule: Some(Rule::OrMatch(MatchSet {
                    rules: std::iter::once(first).chain(rest).collect(),
                })),
            }
        };
        options.0.get_or_insert_default().outlier_detection = Some(http::OutlierDetection {
            error_matcher: Some(matcher),
        });
    }
}

/// Answers of one status.
fn status(code: &u32) -> MatchPredicate {
    let text = StringMatcher {
        match_pattern: Some(MatchPattern::Exact(code.to_string())),
        ..Default::default()
    };
    let header = HeaderMatcher {
        name: ":status".to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(text)),
        ..Default::default()
    };
    MatchPredicate {
        rule: Some(Rule::HttpResponseHeadersMatch(HttpHeadersMatch {
            headers: vec![header],
        })),
    }
}
