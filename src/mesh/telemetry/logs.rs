//! Which access logs are written. Providers of a level replace those of the levels above; an entry
//! without providers is about those of the entry before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::mesh_config::Use;
use api::telemetry::{AccessLogging, LogFilter, Mode, Telemetry};

use super::{Collector, Known, defaults, names};

/// Which access logs are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Logs {
    /// Those of the mesh's own settings: no provider is in force.
    #[default]
    OfMesh,
    /// These, by name of their providers.
    Of(Vec<Log>),
}

/// One access log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Who takes it.
    pub by: Arc<Collector>,
    /// An expression that holds of what is logged; everything when absent.
    pub filter: Option<String>,
}

/// What is said of a provider in the end.
enum Said<'a> {
    Off,
    On(Option<&'a LogFilter>),
}

pub(super) fn merged(known: &Known, levels: &[&Telemetry], end: Mode) -> Logs {
    let levels = levels.iter().map(|level| &*level.access_logging);
    let levels: Vec<&[AccessLogging]> = levels.filter(|level| !level.is_empty()).collect();
    let mut found: Vec<(&Arc<Collector>, Said)> = said(known, &levels, end)
        .into_iter()
        .filter_map(|(name, said)| Some((known.usable(name, Use::AccessLogging).ok()?, said)))
        .collect();
    if found.is_empty() {
        return Logs::OfMesh;
    }
    found.sort_by(|(a, _), (b, _)| a.provider.name.cmp(&b.provider.name));
    let logs = found.into_iter().filter_map(|(by, said)| match said {
        Said::Off => None,
        // Envoy would refuse every listener with such a filter.
        Said::On(Some(filter)) if api::cel::check(&filter.expression).is_err() => None,
        Said::On(filter) => Some(Log {
            by: by.clone(),
            filter: filter.map(|filter| filter.expression.clone()),
        }),
    });
    Logs::Of(logs.collect())
}

fn said<'a>(
    known: &'a Known,
    levels: &[&'a [AccessLogging]],
    end: Mode,
) -> BTreeMap<&'a str, Said<'a>> {
    let of_mesh = defaults(&known.config.default_providers.access_logging);
    if levels.is_empty() {
        let all = of_mesh.into_iter();
        return all.map(|name| (name, Said::On(None))).collect();
    }
    let mut in_force: BTreeSet<&str> = of_mesh.iter().copied().collect();
    let mut filters: BTreeMap<&str, Option<&LogFilter>> = BTreeMap::new();
    for level in levels {
        let mut own = BTreeSet::new();
        for entry in level
            .iter()
            .filter(|entry| entry.r#match.mode.includes(end))
        {
            for name in names(&entry.providers) {
                own.insert(name);
                filters.insert(name, entry.filter.as_ref());
            }
        }
        if !own.is_empty() {
            in_force = own;
        }
    }
    let mut said = BTreeMap::new();
    let mut about = of_mesh;
    for entry in levels.iter().copied().flatten() {
        if !entry.providers.is_empty() {
            about = names(&entry.providers);
        }
        if !entry.r#match.mode.includes(end) {
            continue;
        }
        for name in about.iter().filter(|name| in_force.contains(*name)) {
            let what = match entry.disabled {
                Some(true) => Said::Off,
                _ => Said::On(filters.get(name).copied().flatten()),
            };
            said.insert(*name, what);
        }
    }
    said
}
