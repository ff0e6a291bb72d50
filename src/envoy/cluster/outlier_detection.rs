//! Ejection of endpoints that fail.

use api::networking::destination_rule::OutlierDetection;
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::r#type::v3::Percent;

use crate::parts::{number, span};

pub(super) fn apply(cluster: &mut wire::Cluster, settings: &OutlierDetection) {
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
    let common = cluster.common_lb_config.get_or_insert_default();
    common.healthy_panic_threshold = Some(Percent {
        value: f64::from(settings.min_health_percent.max(0)),
    });
}
