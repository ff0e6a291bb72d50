//! ServiceEntries that only an address tells apart, and two that give one port different protocols.

use std::collections::{BTreeMap, BTreeSet};

use crate::message::{ADDRESSES_REQUIRED, CONFLICTING_PROTOCOLS};
use crate::world::{Object, Report, World, items, scopes, texts};

pub fn check(world: &World, report: &mut Report) {
    let metadata = &world.mesh["defaultConfig"]["proxyMetadata"];
    let on = |name: &str| metadata[name] == "true";
    let allocated = on("ISTIO_META_DNS_CAPTURE")
        && (on("ISTIO_META_DNS_AUTO_ALLOCATE") || on("PILOT_ENABLE_IP_AUTOALLOCATE"));
    for entry in world
        .networking("ServiceEntry")
        .iter()
        .filter(|_| !allocated)
    {
        addresses(report, entry);
    }
    protocols(world, report);
}

fn addresses(report: &mut Report, entry: &Object) {
    let spec = entry.spec();
    if !spec["addresses"].is_null() || items(&entry.value["status"]["addresses"]).next().is_some() {
        return;
    }
    for port in items(&spec["ports"]) {
        let protocol = port["protocol"].as_str().unwrap_or_default();
        if protocol.is_empty() || protocol.eq_ignore_ascii_case("TCP") {
            let text = format!(
                "has no addresses, which protocol TCP of port {} needs to be told apart",
                port["number"]
            );
            report.add(ADDRESSES_REQUIRED, entry, text);
        }
    }
}

/// What one place of the mesh sees as one port.
type Place<'a> = (String, &'a str, i64);

fn protocols(world: &World, report: &mut Report) {
    let entries = world.networking("ServiceEntry");
    let mut places: BTreeMap<Place, Vec<(usize, String)>> = BTreeMap::new();
    for (number, entry) in entries.iter().enumerate() {
        for scope in scopes(&entry.spec()["exportTo"], entry.namespace) {
            for host in texts(&entry.spec()["hosts"]) {
                for port in items(&entry.spec()["ports"]) {
                    let place = (
                        scope.clone(),
                        host,
                        port["number"].as_i64().unwrap_or_default(),
                    );
                    let protocol = port["protocol"]
                        .as_str()
                        .unwrap_or_default()
                        .to_ascii_uppercase();
                    places.entry(place).or_default().push((number, protocol));
                }
            }
        }
    }
    let mut said: BTreeSet<usize> = BTreeSet::new();
    for ((scope, host, port), own) in &places {
        let everywhere = ("*".to_owned(), *host, *port);
        let public = places.get(&everywhere).filter(|_| scope != "*");
        let all: Vec<&(usize, String)> = own.iter().chain(public.into_iter().flatten()).collect();
        let protocols: BTreeSet<&str> = all.iter().map(|(_, protocol)| protocol.as_str()).collect();
        if protocols.len() < 2 {
            continue;
        }
        let names: BTreeSet<String> = all
            .iter()
            .map(|(number, _)| entries[*number].full_name())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let protocols: Vec<&str> = protocols.into_iter().collect();
        for (number, _) in all {
            if said.insert(*number) {
                let text = format!(
                    "service entries {} give port {port} of {host} different protocols: {}",
                    names.join(", "),
                    protocols.join(", ")
                );
                report.add(CONFLICTING_PROTOCOLS, &entries[*number], text);
            }
        }
    }
}
