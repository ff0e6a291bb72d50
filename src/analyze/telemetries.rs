//! Access logging that goes nowhere.

use crate::message::TELEMETRY_WITHOUT_PROVIDER;
use crate::world::{Report, World, items};

pub fn check(world: &World, report: &mut Report) {
    if items(&world.mesh["defaultProviders"]["accessLogging"])
        .next()
        .is_some()
    {
        return;
    }
    for telemetry in world.all("telemetry.istio.io", "Telemetry") {
        let logging = items(&telemetry.spec()["accessLogging"]);
        let mut logging = logging.filter(|logging| logging["disabled"] != true);
        if logging.any(|logging| items(&logging["providers"]).next().is_none()) {
            let text = "accessLogging names no provider, and the mesh has none by default: it has no effect";
            report.add(TELEMETRY_WITHOUT_PROVIDER, telemetry, text);
        }
    }
}
