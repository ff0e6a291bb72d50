//! EnvoyFilters whose effect depends on others, or that have none.

use serde_json::Value;

use crate::message::{
    ADD_OPERATION, RELATIVE_OPERATION, RELATIVE_OPERATION_OF_VERSION, REMOVE_OPERATION,
    REPLACE_OPERATION,
};
use crate::world::{Object, Report, World, items};

pub fn check(world: &World, report: &mut Report) {
    // Names of patches that are for some versions of proxies only, in the order of all filters.
    let mut versioned: Vec<String> = Vec::new();
    for filter in world.networking("EnvoyFilter") {
        for patch in items(&filter.spec()["configPatches"]) {
            let name = name_of(patch);
            operation(report, filter, patch, versioned.contains(&name));
            let version = patch["match"]["proxy"]["proxyVersion"].as_str();
            if version.is_some_and(|version| !version.is_empty()) {
                versioned.push(name);
            }
        }
    }
}

/// The filter that a patch is about.
fn name_of(patch: &Value) -> String {
    let value = &patch["patch"]["value"];
    let matched = &patch["match"]["listener"]["filterChain"]["filter"]["name"];
    let named = match (value.is_object(), &value["name"]) {
        (true, Value::Null) => matched,
        (true, name) => name,
        (false, _) => &Value::Null,
    };
    named.as_str().unwrap_or_default().to_owned()
}

fn operation(report: &mut Report, filter: &Object, patch: &Value, versioned: bool) {
    let target = patch["applyTo"].as_str().unwrap_or_default();
    let whole = ["ROUTE_CONFIGURATION", "HTTP_ROUTE"].contains(&target);
    let operation = patch["patch"]["operation"].as_str().unwrap_or_default();
    let unordered = filter.spec()["priority"].as_i64().unwrap_or_default() == 0;
    match operation {
        "ADD" if whole => report.add(
            ADD_OPERATION,
            filter,
            format!("operation ADD has no effect with applyTo {target}"),
        ),
        "REMOVE" if whole => report.add(
            REMOVE_OPERATION,
            filter,
            format!("operation REMOVE has no effect with applyTo {target}"),
        ),
        "REPLACE" if !["NETWORK_FILTER", "HTTP_FILTER", "VIRTUAL_HOST"].contains(&target) => {
            let text = format!(
                "operation REPLACE has no effect with applyTo {target}, expected HTTP_FILTER, NETWORK_FILTER or VIRTUAL_HOST"
            );
            report.add(REPLACE_OPERATION, filter, text);
        }
        "REMOVE" | "REPLACE" | "INSERT_BEFORE" | "INSERT_AFTER" if unordered => {
            let text = format!(
                "operation {operation} depends on which EnvoyFilter comes first; set priority, or use INSERT_FIRST or ADD"
            );
            let code = if versioned {
                RELATIVE_OPERATION_OF_VERSION
            } else {
                RELATIVE_OPERATION
            };
            report.add(code, filter, text);
        }
        _ => {}
    }
}
