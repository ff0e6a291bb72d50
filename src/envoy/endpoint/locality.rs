//! Distance: which group of endpoints is tried first, and how much of the traffic each gets.

use std::collections::BTreeMap;

use api::networking::destination_rule::LocalityLb;
use api::snapshot::{Endpoint, Labels, Locality};

use super::Distance;

/// Endpoints of one locality with one priority.
pub(super) struct Group<'a> {
    pub(super) locality: &'a Locality,
    pub(super) endpoints: Vec<&'a Endpoint>,
    pub(super) priority: u32,
    /// `None`: the sum of the endpoints' weights.
    pub(super) weight: Option<u32>,
}

pub(super) fn arrange<'a>(
    distance: &Distance,
    localities: BTreeMap<&'a Locality, Vec<&'a Endpoint>>,
) -> Vec<Group<'a>> {
    match distance {
        Distance::Ignored => plain(localities),
        Distance::Settings {
            settings,
            locality,
            labels,
        } => {
            if !settings.distribute.is_empty() {
                distribute(settings, locality, localities)
            } else if settings.failover_priority.is_empty() {
                let rank = |place: &Locality, _: &Endpoint| near(settings, locality, place);
                prioritised(localities, rank)
            } else {
                let rank = |place: &Locality, endpoint: &Endpoint| {
                    let known = topology(locality, labels);
                    let theirs = topology(place, &endpoint.labels);
                    by_labels(&settings.failover_priority, &known, &theirs)
                };
                prioritised(localities, rank)
            }
        }
        Distance::Preferred {
            node,
            locality,
            on,
            network,
        } => {
            let rank = |place: &Locality, endpoint: &Endpoint| {
                let mut same = vec![
                    endpoint.network == *network,
                    place.region == locality.region,
                    place.zone == locality.zone,
                    place.sub_zone == locality.sub_zone,
                ];
                if *node {
                    same.push(endpoint.node == *on);
                }
                let held = same.iter().take_while(|held| **held).count();
                u32::try_from(same.len() - held).unwrap_or(u32::MAX)
            };
            prioritised(localities, rank)
        }
    }
}

fn plain<'a>(localities: BTreeMap<&'a Locality, Vec<&'a Endpoint>>) -> Vec<Group<'a>> {
    let groups = localities.into_iter().map(|(locality, endpoints)| Group {
        locality,
        endpoints,
        priority: 0,
        weight: None,
    });
    groups.collect()
}

/// Groups by rank, numbered without gaps: Envoy wants priorities from 0 on.
fn prioritised<'a>(
    localities: BTreeMap<&'a Locality, Vec<&'a Endpoint>>,
    rank: impl Fn(&Locality, &Endpoint) -> u32,
) -> Vec<Group<'a>> {
    let mut ranked: BTreeMap<u32, BTreeMap<&Locality, Vec<&Endpoint>>> = BTreeMap::new();
    for (locality, endpoints) in localities {
        for endpoint in endpoints {
            let of_rank = ranked.entry(rank(locality, endpoint)).or_default();
            of_rank.entry(locality).or_default().push(endpoint);
        }
    }
    let numbered = (0..).zip(ranked.into_values());
    let groups = numbered.flat_map(|(priority, localities)| {
        localities
            .into_iter()
            .map(move |(locality, endpoints)| Group {
                locality,
                endpoints,
                priority,
                weight: None,
            })
    });
    groups.collect()
}

/// 0 for the same place, 3 for the same region's end, then the region to fail over to, then others.
fn near(settings: &LocalityLb, from: &Locality, place: &Locality) -> u32 {
    if place.region == from.region {
        return match (place.zone == from.zone, place.sub_zone == from.sub_zone) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        };
    }
    let next = settings
        .failover
        .iter()
        .find(|rule| rule.from == from.region);
    match next {
        Some(rule) if rule.to != place.region => 4,
        _ => 3,
    }
}

/// Topology as labels, so that the order of failover can name it.
fn topology(locality: &Locality, labels: &Labels) -> Labels {
    let mut known = labels.clone();
    for (key, value) in [
        ("topology.kubernetes.io/region", &locality.region),
        ("topology.kubernetes.io/zone", &locality.zone),
        ("topology.istio.io/subzone", &locality.sub_zone),
    ] {
        if !value.is_empty() {
            known.insert(key.to_owned(), value.clone());
        }
    }
    known
}

fn by_labels(order: &[String], mine: &Labels, theirs: &Labels) -> u32 {
    let held = order
        .iter()
        .take_while(|entry| match entry.split_once('=') {
            Some((key, value)) => theirs.get(key).is_some_and(|found| found == value),
            None => mine.get(*entry) == theirs.get(*entry),
        })
        .count();
    u32::try_from(order.len() - held).unwrap_or(u32::MAX)
}

fn distribute<'a>(
    settings: &LocalityLb,
    from: &Locality,
    localities: BTreeMap<&'a Locality, Vec<&'a Endpoint>>,
) -> Vec<Group<'a>> {
    let rule = settings
        .distribute
        .iter()
        .find(|rule| fits(&rule.from, from));
    let Some(rule) = rule else {
        return plain(localities);
    };
    let mut groups = plain(localities);
    let mut shared = Vec::new();
    for (pattern, percent) in &rule.to {
        let mut total = 0u32;
        let mut members = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            if fits(pattern, group.locality) {
                let weight: u32 = group
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.weight.max(1))
                    .sum();
                total += weight;
                members.push((place, weight));
            }
        }
        for (place, weight) in members {
            let share = f64::from(*percent) * f64::from(weight) / f64::from(total.max(1));
            shared.push((place, share.ceil() as u32));
        }
    }
    let mut wanted = vec![false; groups.len()];
    for (place, weight) in shared {
        groups[place].weight = Some(weight);
        wanted[place] = true;
    }
    for (group, wanted) in groups.iter_mut().zip(wanted) {
        // A place that gets no share keeps its entry, as upstream sends it, but no endpoints.
        if !wanted {
            let weights = group
                .endpoints
                .iter()
                .map(|endpoint| endpoint.weight.max(1));
            group.weight = Some(weights.sum());
            group.endpoints.clear();
        }
    }
    groups
}

/// Whether a place fits `region/zone/*`.
fn fits(pattern: &str, place: &Locality) -> bool {
    let parts = [&place.region, &place.zone, &place.sub_zone];
    for (index, part) in pattern.split('/').enumerate() {
        match (part, parts.get(index)) {
            ("*", _) => return true,
            (part, Some(own)) if part == own.as_str() => {}
            _ => return false,
        }
    }
    true
}
