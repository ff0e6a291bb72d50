//! Faults on purpose: delays and aborts of a share of requests.

use api::networking::virtual_service::{Fault, Percent};
use proto::envoy::extensions::filters::common::fault::v3::{FaultDelay, fault_delay};
use proto::envoy::extensions::filters::http::fault::v3::{FaultAbort, HttpFault, fault_abort};
use proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use proto::google::protobuf::Any;
use proto::pack::Pack;

use super::action::fraction;
use crate::parts::span;

pub(super) fn of(fault: &Fault) -> Any {
    let delay = fault.delay.as_ref().and_then(|delay| {
        let percent = delay.percentage.map(fraction).or_else(|| {
            delay.percent.map(|percent| FractionalPercent {
                numerator: percent,
                denominator: DenominatorType::Hundred as i32,
            })
        });
        let delayed = span(delay.fixed_delay?)?;
        Some(FaultDelay {
            percentage: Some(percent.unwrap_or_else(always)),
            fault_delay_secifier: Some(fault_delay::FaultDelaySecifier::FixedDelay(delayed)),
        })
    });
    let abort = fault.abort.as_ref().map(|abort| FaultAbort {
        percentage: Some(abort.percentage.map_or_else(always, fraction)),
        error_type: match (abort.http_status, abort.grpc_status.as_deref()) {
            (Some(status), _) => Some(fault_abort::ErrorType::HttpStatus(status)),
            (None, Some(name)) => Some(fault_abort::ErrorType::GrpcStatus(grpc(name))),
            (None, None) => None,
        },
        ..Default::default()
    });
    HttpFault {
        delay,
        abort,
        ..Default::default()
    }
    .pack()
}

fn always() -> FractionalPercent {
    fraction(Percent { value: 100.0 })
}

/// The number of a gRPC status.
fn grpc(name: &str) -> u32 {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let place = NAMES.iter().position(|known| *known == name);
    place
        .and_then(|place| u32::try_from(place).ok())
        .unwrap_or(2)
}
