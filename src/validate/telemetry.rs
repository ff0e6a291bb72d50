//! Telemetry: providers, sampling, tags, overrides.

use crate::field::{Field, Findings};
use crate::selector;

pub fn check(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    selector::check(findings, &spec);
    let tracing = spec.get("tracing");
    if tracing.len() > 1 {
        findings.warning(&tracing, "has several entries, of which the first is used");
    }
    for kind in ["metrics", "tracing", "accessLogging"] {
        for entry in spec.get(kind).items() {
            for provider in entry.get("providers").items() {
                if provider.get("name").text().is_empty() {
                    findings.missing(&provider.get("name"), "is required");
                }
            }
        }
    }
    for entry in tracing.items() {
        traced(findings, &entry);
    }
    for entry in spec.get("accessLogging").items() {
        let expression = entry.get("filter").get("expression");
        if entry.has("filter")
            && let Err(wrong) = api::cel::check(expression.text())
        {
            findings.error(&expression, wrong);
        }
    }
    for entry in spec
        .get("metrics")
        .items()
        .flat_map(|metrics| metrics.get("overrides").items())
    {
        let metric = entry.get("match").get("customMetric");
        if metric.is_set() && metric.text().is_empty() {
            findings.error(&metric, "is empty, expected a metric's name");
        }
    }
}

fn traced(findings: &mut Findings, entry: &Field) {
    if entry.get("providers").len() > 1 {
        findings.warning(
            &entry.get("providers"),
            "has several entries, of which the first is used",
        );
    }
    let sampling = entry.get("randomSamplingPercentage");
    if sampling
        .number()
        .is_some_and(|percent| !(0.0..=100.0).contains(&percent))
    {
        findings.error(
            &sampling,
            format!(
                "is {}, expected a percentage from 0 to 100",
                sampling.value()
            ),
        );
    }
    for (name, tag) in entry.get("customTags").entries() {
        if name.is_empty() {
            findings.error(&tag, "has no name");
        }
        for (source, part) in [
            ("literal", "value"),
            ("header", "name"),
            ("environment", "name"),
        ] {
            let text = tag.get(source).get(part);
            if tag.has(source) && text.text().is_empty() {
                findings.missing(&text, "is required");
            }
        }
    }
}
