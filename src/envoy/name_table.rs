//! The names that the agent's DNS proxy answers: services with addresses of their own, and the
//! pods of headless ones.

use std::borrow::Cow;
use std::collections::BTreeSet;

use api::snapshot::{Address, Health};
use base::hash::Map;
use mesh::{Registry, Resolution, Scope, Service};
use proto::writer::Writer;

/// What is known of a name.
struct Info<'a> {
    ips: Vec<Cow<'a, str>>,
    registry: Registry,
    short: Cow<'a, str>,
    namespace: &'a str,
}

/// Names in the order in which they were found, which is that of the scope's services.
#[derive(Default)]
struct Names<'a> {
    places: Map<Cow<'a, str>, usize>,
    all: Vec<(Cow<'a, str>, Info<'a>)>,
}

impl<'a> Names<'a> {
    fn with_capacity(names: usize) -> Self {
        Names {
            places: Map::with_capacity_and_hasher(names, Default::default()),
            all: Vec::with_capacity(names),
        }
    }

    /// What is known of a name: `new` when nothing was.
    fn entry(&mut self, name: Cow<'a, str>, new: impl FnOnce() -> Info<'a>) -> &mut Info<'a> {
        let next = self.all.len();
        let place = *self.places.entry(name.clone()).or_insert(next);
        if place == next {
            self.all.push((name, new()));
        }
        &mut self.all[place].1
    }
}

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
    let views = scope.outbound.views.iter();
    let mut names = Names::with_capacity(views.map(|view| view.services.len()).sum());
    for view in &scope.outbound.views {
        for called in &view.services {
            add(scope, &called.service, &mut names);
        }
    }
    let mut table = Writer::with_capacity(96 * names.all.len());
    for (name, info) in &names.all {
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
    let mut new = Some(new);
    let known = names.entry(host.into(), || new.take().expect("asked for once"));
    // Nothing takes a name from a Kubernetes Service; addresses of ServiceEntries add up.
    match new {
        Some(new) if known.registry == new.registry && new.registry == Registry::External => {
            known.ips.extend(new.ips);
        }
        Some(new) if new.registry == Registry::Kubernetes && known.registry != new.registry => {
            *known = new;
        }
        _ => {}
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
        let known = names.entry(name.into(), || info(service, short.into(), Vec::new()));
        known.ips.push(address.into());
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
