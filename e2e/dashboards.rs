//! What upstream's published dashboards (`pilot`, `mesh`, `performance`) ask a control plane for: series and the labels
//! that queries group by. What they ask cAdvisor and Envoy for is theirs to tell.

use std::collections::{BTreeMap, BTreeSet};

/// A series that a query names.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    pub name: &'static str,
    /// Labels that queries select or group by.
    pub labels: &'static [&'static str],
    /// Not told here; `docs/observing.md` says why.
    pub is_absent: bool,
}

const fn told(name: &'static str, labels: &'static [&'static str]) -> Series {
    Series {
        name,
        labels,
        is_absent: false,
    }
}

const fn absent(name: &'static str) -> Series {
    Series {
        name,
        labels: &[],
        is_absent: true,
    }
}

/// All of them.
pub const ASKED: [Series; 26] = [
    told("galley_validation_failed", &[]),
    told("galley_validation_passed", &[]),
    absent("go_goroutines"),
    absent("go_memstats_alloc_bytes"),
    absent("go_memstats_alloc_bytes_total"),
    absent("go_memstats_heap_alloc_bytes"),
    absent("go_memstats_heap_inuse_bytes"),
    absent("go_memstats_heap_sys_bytes"),
    absent("go_memstats_mallocs_total"),
    absent("go_memstats_stack_inuse_bytes"),
    told("istio_build", &["component", "tag"]),
    told("pilot_k8s_cfg_events", &["type", "event"]),
    told("pilot_k8s_reg_events", &["type", "event"]),
    told("pilot_push_triggers", &["type"]),
    told("pilot_total_xds_internal_errors", &[]),
    told("pilot_total_xds_rejects", &["type"]),
    told("pilot_xds", &[]),
    told("pilot_xds_config_size_bytes_bucket", &["le"]),
    told("pilot_xds_push_time_bucket", &["le"]),
    told("pilot_xds_pushes", &["type"]),
    told("process_cpu_seconds_total", &[]),
    told("process_open_fds", &[]),
    told("process_resident_memory_bytes", &[]),
    told("process_virtual_memory_bytes", &[]),
    told("sidecar_injection_failure_total", &[]),
    told("sidecar_injection_success_total", &[]),
];

/// What a text in Prometheus' format lacks of all that is asked for, and has although it is said to be absent.
pub fn missing(text: &str) -> Vec<String> {
    let found = series(text);
    let mut missing = Vec::new();
    for Series {
        name,
        labels,
        is_absent,
    } in ASKED
    {
        match (found.get(name), is_absent) {
            (None, true) => {}
            (None, false) => missing.push(format!("{name} is not told")),
            (Some(_), true) => missing.push(format!("{name} is told after all")),
            (Some(known), false) => {
                let lacking = labels.iter().filter(|label| !known.contains(**label));
                missing.extend(lacking.map(|label| format!("{name} has no label {label}")));
            }
        }
    }
    missing
}

/// Names of series, and the labels of each.
fn series(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let labels = found.entry(name).or_default();
        let rest = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let pairs = rest.map_or("", |(pairs, _)| pairs).split("\",");
        labels.extend(pairs.filter_map(|pair| Some(pair.split_once('=')?.0)));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{missing, series};

    #[test]
    fn names_and_labels_are_read() {
        let found = series("# TYPE a gauge\na{b=\"x\",c=\"y, z\"} 1\nd 2\n");
        let labels: Vec<&str> = found["a"].iter().copied().collect();
        assert_eq!(labels, ["b", "c"]);
        assert_eq!(found["d"], BTreeSet::new());
        assert!(!missing("").is_empty());
    }
}
