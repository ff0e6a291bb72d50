//! The names that the agent's DNS proxy answers: services with addresses of their own, and the
//! pods of headless ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use api::snapshot::{Address, Health};
use mesh::{Registry, Resolution, Scope, Service};
use proto::writer::Writer;

/// What is known of a name.
struct Info<'a> {
    ips: Vec<Cow<'a, str>>,
    registry: Registry,
    short: Cow<'a, str>,
    namespace: &'a str,
}

type Names<'a> = BTreeMap<Cow<'a, str>, Info<'a>>;

/// The encoded table. There may be a name for each service, so it is written and not built.
pub(crate) fn of(scope: &Scope) -> Writer {
    /// Field numbers of `NameTable`, its entries and `NameInfo`.
    const TABLE: u32 = 1;
    const KEY: u32 = 1;
    const VALUE: u32 = 2;
    const IPS: u32 = 1;
    const REGISTRY: u32 = 2;
    const SHORT: u32 = 3;
    const NAMESPACE: u32 = 4;
    let mut names = Names::new();
    for view in &scope.outbound.views {
        for called in &view.services {
            add(scope, &called.service, &mut names);
        }
    }
    let mut table = Writer::with_capacity(96 * names.len());
    for (name, info) in &names {
        table.nested(TABLE, |entry| {
            entry.text(KEY, &**name).nested(VALUE, |value| {
                for ip in &info.ips {
                    value.text(IPS, &**ip);
                }
                match info.registry {
                    Registry::External => value.text(REGISTRY, "External"),
                    Registry::Kubernetes => value
                        .text(REGISTRY, "Kubernetes")
                        .text(SHORT, &*info.short)
                        .text(NAMESPACE, info.namespace),
                };
            });
        });
    }
    table
}

fn add<'a>(scope: &Scope, service: &'a Service, names: &mut Names<'a>) {
    let host = service.id.host.as_str();
    let own = service.addresses_for(scope.reach());
    let ips: Vec<Cow<'a, str>> = if own.is_empty() {
        let headless = service.resolution == Resolution::Passthrough && !service.ports.is_empty();
        if !headless {
            return;
        }
        pods(scope, service, names)
    } else {
        let addresses = own.into_iter().filter(|address| !address.contains('/'));
        addresses.map(Cow::Borrowed).collect()
    };
    if ips.is_empty() {
        return;
    }
    let new = info(service, service.name.as_str().into(), ips);
    match names.get_mut(host) {
        None => drop(names.insert(host.into(), new)),
        // Nothing takes a name from a Kubernetes Service; addresses of ServiceEntries add up.
        Some(known) if known.registry == new.registry && new.registry == Registry::External => {
            known.ips.extend(new.ips);
        }
        Some(known) if new.registry == Registry::Kubernetes && known.registry != new.registry => {
            *known = new;
        }
        Some(_) => {}
    }
}

/// The pods of a headless service in the proxy's network, each also under its own name if it has
/// one below a subdomain.
fn pods<'a>(scope: &Scope, service: &'a Service, names: &mut Names<'a>) -> Vec<Cow<'a, str>> {
    let host = service.id.host.as_str();
    let below = host.split_once('.').map_or("", |(_, rest)| rest);
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    let mut own: Vec<(String, String, String)> = Vec::new();
    let known = service.spelled_out.iter().flat_map(|all| &all.endpoints);
    for endpoint in known {
        let Address::Ip(ip) = &endpoint.address else {
            continue;
        };
        let ready = endpoint.health == Health::Healthy || service.publish_not_ready;
        let near = scope.is_own_network(scope.networks.of(endpoint));
        if !ready || !near || !seen.insert(*ip) {
            continue;
        }
        let mut addresses = vec![ip.to_string()];
        addresses.extend(endpoint.more.iter().map(ToString::to_string));
        if let Some((pod, subdomain)) = &endpoint.hostname {
            let short = format!("{pod}.{subdomain}");
            for address in &addresses {
                own.push((format!("{short}.{below}"), short.clone(), address.clone()));
            }
        }
        all.extend(addresses.into_iter().map(Cow::Owned));
    }
    for (name, short, address) in own {
        let known = names.entry(name.into());
        known
            .or_insert_with(|| info(service, short.into(), Vec::new()))
            .ips
            .push(address.into());
    }
    all
}

fn info<'a>(service: &'a Service, short: Cow<'a, str>, ips: Vec<Cow<'a, str>>) -> Info<'a> {
    Info {
        ips,
        registry: service.registry,
        short,
        namespace: &service.id.namespace,
    }
}
