//! Locality settings of load balancing: `region/zone/subzone`, weights and failover.

use std::collections::BTreeMap;

use crate::field::{Field, Findings};

const TOPOLOGY: [&str; 3] = [
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
];

/// `localityLbSetting`; `ejects` says whether outlier detection is configured beside it.
pub fn check(findings: &mut Findings, setting: &Field, ejects: bool) {
    let (distribute, failover) = (setting.get("distribute"), setting.get("failover"));
    let priority = setting.get("failoverPriority");
    if distribute.len() > 0 && failover.len() > 0 {
        findings.error(setting, "has distribute and failover, expected one of them");
        return;
    }
    if failover.len() > 0 {
        for label in priority
            .items()
            .filter(|label| TOPOLOGY.contains(&label.text()))
        {
            findings.error(
                &label,
                "does not go with failover, which orders localities itself",
            );
        }
    }
    for entry in distribute.items() {
        weights(findings, &entry.get("to"));
        let names: Vec<Field> = entry.get("to").entries().map(|(_, field)| field).collect();
        let keys = entry.get("to").entries().map(|(name, _)| name).collect();
        distinct(findings, &names, keys);
    }
    let origins: Vec<Field> = distribute.items().map(|entry| entry.get("from")).collect();
    let names = origins.iter().map(Field::text).collect();
    distinct(findings, &origins, names);
    regions(findings, setting, ejects);
}

/// `zoneAwareLbSetting`.
pub fn zone_aware(findings: &mut Findings, setting: &Field, ejects: bool) {
    for label in setting
        .get("failoverPriority")
        .items()
        .filter(|label| TOPOLOGY.contains(&label.text()))
    {
        findings.error(
            &label,
            "is a label of topology, which zone awareness orders by itself",
        );
    }
    regions(findings, setting, ejects);
}

fn weights(findings: &mut Findings, to: &Field) {
    let mut sum = 0;
    for (_, weight) in to.entries() {
        if !(1..=100).contains(&weight.int()) {
            findings.error(
                &weight,
                format!("is {}, expected a weight from 1 to 100", weight.int()),
            );
            return;
        }
        sum += weight.int();
    }
    if sum != 100 {
        findings.error(to, format!("weights sum to {sum}, expected 100"));
    }
}

fn regions(findings: &mut Findings, setting: &Field, ejects: bool) {
    let failover = setting.get("failover");
    if !ejects && (failover.len() > 0 || setting.get("failoverPriority").len() > 0) {
        findings.warning(
            setting,
            "needs outlierDetection: without it no endpoint is ever taken for failed",
        );
    }
    for entry in failover.items() {
        let (from, to) = (entry.get("from"), entry.get("to"));
        if from.text() == to.text() {
            findings.error(&to, "is the region that fails, expected another one");
        }
        for region in [from, to] {
            if region.text().contains(['/', '*']) {
                findings.error(
                    &region,
                    format!("{:?} is no region, expected its name alone", region.text()),
                );
            }
        }
    }
}

/// Whether no locality is part of another one.
fn distinct(findings: &mut Findings, fields: &[Field], names: Vec<&str>) {
    let mut seen: BTreeMap<Vec<&str>, &str> = BTreeMap::new();
    for (field, name) in fields.iter().zip(names) {
        let mut parts: Vec<&str> = name.splitn(3, '/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            findings.error(
                field,
                format!("{name:?} has an empty part, expected region[/zone[/subzone]]"),
            );
            return;
        }
        if name.matches('*').count() > 1 || name.contains('*') && !name.ends_with('*') {
            findings.error(field, format!("{name:?} has * elsewhere than at its end"));
            return;
        }
        if parts.last() == Some(&"*") {
            parts.pop();
        }
        let earlier = seen
            .iter()
            .find(|(known, _)| known.starts_with(&parts) || parts.starts_with(known));
        if let Some((_, earlier)) = earlier {
            findings.error(field, format!("{name:?} overlaps with {earlier:?}"));
            return;
        }
        seen.insert(parts, name);
    }
}
