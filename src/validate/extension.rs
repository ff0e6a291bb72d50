//! WasmPlugin and TrafficExtension: where code comes from and what it is told.

use crate::field::{Field, Findings};
use crate::selector;

/// Largest inline Lua, in bytes.
const LARGEST: usize = 64 * 1024;

pub fn check(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    selector::check(findings, &spec);
    let wasm = match root.get("kind").text() {
        "WasmPlugin" => Some(spec.clone()),
        _ => Some(spec.get("wasm")).filter(Field::is_set),
    };
    if let Some(wasm) = wasm {
        let url = wasm.get("url");
        if url.text().is_empty() {
            findings.missing(&url, "is required");
        }
        variables(findings, &wasm.get("vmConfig"));
    }
    let lua = spec.get("lua");
    let code = lua.get("inlineCode");
    if lua.is_set() && code.text().is_empty() {
        findings.missing(&code, "is required");
    } else if code.text().len() > LARGEST {
        findings.error(
            &code,
            format!(
                "has {} bytes, expected at most {LARGEST}",
                code.text().len()
            ),
        );
    }
    for port in spec
        .get("match")
        .items()
        .flat_map(|entry| entry.get("ports").items())
    {
        crate::port::number(findings, &port.get("number"));
    }
}

fn variables(findings: &mut Findings, vm: &Field) {
    let mut names = Vec::new();
    for variable in vm.get("env").items() {
        let name = variable.get("name");
        if names.contains(&name.text()) {
            findings.error(
                &name,
                format!(
                    "{:?} names an earlier variable, expected each once",
                    name.text()
                ),
            );
        }
        names.push(name.text());
    }
}
