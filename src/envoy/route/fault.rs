//! Faults on purpose: delays and aborts of a share of requests.

use api::networking::virtual_service::{Fault, GRPC_STATUSES};
use proto::envoy::extensions::filters::common::fault::v3::{FaultDelay, fault_delay};
use proto::envoy::extensions::filters::http::fault::v3::{FaultAbort, HttpFault, fault_abort};
use proto::google::protobuf::Any;
use proto::pack::Pack;

use super::action::{fraction, whole};
use crate::parts::span;

pub(super) fn of(fault: &Fault) -> Any {
    let delay = fault.delay.as_ref().and_then(|delay| {
        let percent = match delay.percentage {
            Some(percent) => fraction(percent),
            None => whole(delay.percent.unwrap_or_default()),
        };
        let delayed = span(delay.fixed_delay?)?;
        Some(FaultDelay {
            percentage: Some(percent),
            fault_delay_secifier: Some(fault_delay::FaultDelaySecifier::FixedDelay(delayed)),
        })
    });
    let abort = fault.abort.as_ref().and_then(|abort| {
        let error = match (abort.http_status, abort.grpc_status.as_deref()) {
            (Some(status), _) => fault_abort::ErrorType::HttpStatus(status),
            (None, Some(name)) => fault_abort::ErrorType::GrpcStatus(grpc(name)),
            (None, None) => return None,
        };
        Some(FaultAbort {
            percentage: abort.percentage.map(fraction),
            error_type: Some(error),
            ..Default::default()
        })
    });
    HttpFault {
        delay,
        abort,
        ..Default::default()
    }
    .pack()
}

/// The number of a gRPC status.
fn grpc(name: &str) -> u32 {
    let place = GRPC_STATUSES.iter().position(|known| *known == name);
    place
        .and_then(|place| u32::try_from(place).ok())
        .unwrap_or(2)
}
