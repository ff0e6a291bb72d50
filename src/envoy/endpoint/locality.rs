//! Distance: which group of endpoints is tried first, and how much of the traffic each gets.

use std::collections::BTreeMap;

use api::networking::destination_rule::{Failover, LocalityLb};
use api::snapshot::{Endpoint, Labels, Locality};

use super::{Distance, EndpointView};

/// The label of networks. Where it comes first, those of other networks come after all of the own.
const NETWORK: &str = "topology.istio.io/network";

/// Endpoints of one locality with one priority.
pub(super) struct Group<'a> {
    pub(super) locality: &'a Locality,
    pub(super) endpoints: Vec<&'a Endpoint>,
    pub(super) priority: u32,
    /// `None`: the sum of the endpoints' weights.
    pub(super) weight: Option<u32>,
}

pub(super) fn arrange<'a>(
    view: &EndpointView,
    localities: BTreeMap<&'a Locality, Vec<&'a Endpoint>>,
) -> Vec<Group<'a>> {
    let groups = localities.into_iter().map(|(locality, endpoints)| Group {
        locality,
        endpoints,
        priority: 0,
        weight: None,
    });
    let mut groups: Vec<Group> = groups.collect();
    match &view.distance {
        Distance::Ignored => {}
        Distance::Settings {
            settings,
            locality,
            labels,
        } => {
            if !settings.distribute.is_empty() {
                distribute(settings, locality, &mut groups);
                return groups;
            }
            let order = &settings.failover_priority;
            if !order.is_empty() {
                groups = by_labels(view, order, labels, groups);
            }
            if order.is_empty() || !settings.failover.is_empty() {
                rank(&mut groups, 5, |place| {
                    near(&settings.failover, locality, place)
                });
            }
        }
        Distance::Zones {
            failover,
            failover_priority,
            region,
            labels,
        } => {
            if !failover_priority.is_empty() {
                groups = by_labels(view, failover_priority, labels, groups);
            }
            rank(&mut groups, 3, |place| {
                if place.region == *region {
                    return 0;
                }
                let next = failover.iter().find(|rule| rule.from == *region);
                let is_next = next.is_some_and(|rule| rule.to == place.region);
                if is_next { 1 } else { 2 }
            });
        }
    }
    groups
}

/// Ranks groups within the priorities that they have, of which each is to hold `most` ranks.
fn rank(groups: &mut [Group], most: u32, of: impl Fn(&Locality) -> u32) {
    for group in groups.iter_mut() {
        group.priority = group.priority * most + of(group.locality);
    }
    number(groups);
}

/// Numbers priorities without gaps: Envoy wants them from 0 on.
fn number(groups: &mut [Group]) {
    let mut known: Vec<u32> = groups.iter().map(|group| group.priority).collect();
    known.sort_unstable();
    known.dedup();
    for group in groups {
        let place = known.partition_point(|priority| *priority < group.priority);
        group.priority = u32::try_from(place).unwrap_or(u32::MAX);
    }
}

/// 0 for the same place, 3 for another region, or 3 for the one to fail over to and 4 for the rest.
fn near(failover: &[Failover], from: &Locality, place: &Locality) -> u32 {
    if place.region == from.region {
        return match (place.zone == from.zone, place.sub_zone == from.sub_zone) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        };
    }
    let next = failover.iter().find(|rule| rule.from == from.region);
    match next {
        Some(rule) if rule.to != place.region => 4,
        _ => 3,
    }
}

/// Splits groups by how many labels, in order, are the caller's.
fn by_labels<'a>(
    view: &EndpointView,
    order: &[String],
    mine: &Labels,
    groups: Vec<Group<'a>>,
) -> Vec<Group<'a>> {
    let mut made: Vec<Group> = Vec::new();
    for group in groups {
        let mut ranked: BTreeMap<u32, Vec<&Endpoint>> = BTreeMap::new();
        for endpoint in group.endpoints {
            let theirs = with_topology(
                &endpoint.labels,
                &endpoint.locality,
                &view.reach.cluster,
                &endpoint.network,
                &endpoint.node,
            );
            let rank = unlike(order, mine, &theirs);
            ranked.entry(rank).or_default().push(endpoint);
        }
        made.extend(ranked.into_iter().map(|(priority, endpoints)| Group {
            locality: group.locality,
            endpoints,
            priority,
            weight: None,
        }));
    }
    number(&mut made);
    made
}

/// How far two differ: 0 when all labels are equal, the more the earlier one differs.
fn unlike(order: &[String], mine: &Labels, theirs: &Labels) -> u32 {
    let all = u32::try_from(order.len()).unwrap_or(u32::MAX);
    let mut further = 0;
    for (left, entry) in (0..all).rev().zip(order) {
        let (key, own) = match entry.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (entry.as_str(), mine.get(entry).map(String::as_str)),
        };
        if own.unwrap_or_default() == theirs.get(key).map_or("", String::as_str) {
            continue;
        }
        if left + 1 == all && key == NETWORK {
            further = all;
            continue;
        }
        return left + 1 + further;
    }
    further
}

/// Labels with where a workload stands, so that the order of failover can name it.
pub(crate) fn with_topology(
    labels: &Labels,
    locality: &Locality,
    cluster: &str,
    network: &str,
    node: &str,
) -> Labels {
    let mut known = labels.clone();
    for (key, value) in [
        ("topology.kubernetes.io/region", locality.region.as_str()),
        ("topology.kubernetes.io/zone", &locality.zone),
        ("topology.istio.io/subzone", &locality.sub_zone),
        ("topology.istio.io/cluster", cluster),
        (NETWORK, network),
        ("kubernetes.io/hostname", node),
    ] {
        if !value.is_empty() {
            known.insert(key.to_owned(), value.to_owned());
        }
    }
    known
}

/// Gives each place its share by the first rule for where the caller stands. A share for several
/// places is divided by their weights.
fn distribute(settings: &LocalityLb, from: &Locality, groups: &mut [Group]) {
    let mut rules = settings.distribute.iter();
    let Some(rule) = rules.find(|rule| fits(&rule.from, from)) else {
        return;
    };
    let mut wanted = vec![false; groups.len()];
    // Patterns stand before what they are patterns of; the narrower one counts.
    for (pattern, percent) in rule.to.iter().rev() {
        let mut members = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            if !wanted[place] && fits(pattern, group.locality) {
                wanted[place] = true;
                members.push((place, weight(group)));
            }
        }
        let total: u32 = members.iter().map(|(_, weight)| weight).sum();
        for (place, weight) in members {
            let share = f64::from(*percent) * f64::from(weight) / f64::from(total.max(1));
            if share > 0.0 {
                groups[place].weight = Some(share.ceil() as u32);
            }
        }
    }
    for (group, wanted) in groups.iter_mut().zip(wanted) {
        // A place that gets no share keeps its entry, as upstream sends it, but no endpoints.
        if !wanted {
            group.weight = Some(weight(group));
            group.endpoints.clear();
        }
    }
}

fn weight(group: &Group) -> u32 {
    let weights = group.endpoints.iter();
    weights.map(|endpoint| endpoint.weight.max(1)).sum()
}

/// Whether a place fits `region/zone/subzone`, of which the later parts may be absent and any `*`.
fn fits(pattern: &str, place: &Locality) -> bool {
    let parts = [&place.region, &place.zone, &place.sub_zone];
    let mut wanted = pattern.splitn(3, '/');
    parts.iter().enumerate().all(|(index, own)| {
        match wanted.next() {
            None | Some("*") => true,
            // A pattern that ends in a slash says nothing of the rest.
            Some("") => index > 0 || own.is_empty(),
            Some(part) => part == own.as_str(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Labels, Locality, fits, near, unlike};
    use api::networking::destination_rule::Failover;

    fn labels(all: &[(&str, &str)]) -> Labels {
        let all = all.iter();
        all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn any_part_of_a_place_may_be_open() {
        let place = Locality::parse("r1/z1/s1");
        assert!(fits("r1/z1/*", &place));
        assert!(fits("r1", &place));
        assert!(fits("*", &place));
        assert!(fits("r1/*/s1", &place));
        assert!(!fits("r1/*/s2", &place));
        assert!(!fits("r2/*", &place));
    }

    #[test]
    fn the_region_to_fail_over_to_goes_before_others() {
        let rules = [Failover {
            from: "r1".to_owned(),
            to: "r2".to_owned(),
        }];
        let from = Locality::parse("r1/z1");
        assert_eq!(near(&rules, &from, &Locality::parse("r1/z2")), 2);
        assert_eq!(near(&rules, &from, &Locality::parse("r2/z1")), 3);
        assert_eq!(near(&rules, &from, &Locality::parse("r3/z1")), 4);
        assert_eq!(near(&[], &from, &Locality::parse("r3/z1")), 3);
    }

    #[test]
    fn the_first_label_that_differs_counts() {
        let order = ["a".to_owned(), "b=2".to_owned(), "c".to_owned()];
        let mine = labels(&[("a", "1"), ("c", "3")]);
        assert_eq!(
            unlike(
                &order,
                &mine,
                &labels(&[("a", "1"), ("b", "2"), ("c", "3")])
            ),
            0
        );
        assert_eq!(unlike(&order, &mine, &labels(&[("a", "1"), ("b", "2")])), 1);
        assert_eq!(unlike(&order, &mine, &labels(&[("a", "1"), ("c", "3")])), 2);
        assert_eq!(unlike(&order, &mine, &labels(&[("b", "2"), ("c", "3")])), 3);
    }

    #[test]
    fn another_network_is_further_than_anything_in_the_own() {
        let order = ["topology.istio.io/network".to_owned(), "a".to_owned()];
        let mine = labels(&[("topology.istio.io/network", "n1"), ("a", "1")]);
        let there = labels(&[("topology.istio.io/network", "n2"), ("a", "1")]);
        assert_eq!(unlike(&order, &mine, &there), 2);
        let further = labels(&[("topology.istio.io/network", "n2")]);
        assert_eq!(unlike(&order, &mine, &further), 3);
        let here = labels(&[("topology.istio.io/network", "n1")]);
        assert_eq!(unlike(&order, &mine, &here), 1);
    }
}
