//! Objects judged by themselves, as `validate` does it.

use base::Severity;

use crate::message::{INEFFECTIVE_MATCH, INVALID, QUESTIONABLE, UNREACHABLE_RULE};
use crate::world::{Report, World};

pub fn check(world: &World, report: &mut Report) {
    for object in world.of_istio() {
        for problem in validate::object(object.value) {
            let code = match (problem.severity, problem.reason.as_str()) {
                (Severity::Error, _) => INVALID,
                (_, "VirtualServiceUnreachableRule") => UNREACHABLE_RULE,
                (_, "VirtualServiceIneffectiveMatch") => INEFFECTIVE_MATCH,
                _ => QUESTIONABLE,
            };
            report.add(
                code,
                object,
                format!("{} {}", problem.field, problem.message),
            );
        }
    }
}
