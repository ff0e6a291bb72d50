//! Which virtual host gets which domains, as no two may have the same: the earlier one does, unless the domain is
//! the full name of another service and only stands for its own.

use std::borrow::Cow;
use std::hash::Hash;
use std::sync::Arc;

use base::hash::Set;
use mesh::OutboundService;

use super::domains::lower;
use super::fragment::Names;
use super::making::Making;

/// A virtual host that there is if any domain is left for it.
pub(super) struct Wanted<'a> {
    /// Its host as a domain.
    pub(super) literal: Cow<'a, str>,
    pub(super) port: u16,
    /// The service whose host it is.
    pub(super) called: Option<&'a Arc<OutboundService>>,
}

/// What each gets, in the routes of a port, or, as 0 says, of all. Of those with the same host and port one gets
/// something.
pub(super) fn of<'a>(
    making: &Making<'_>,
    port: u16,
    wanted: impl ExactSizeIterator<Item = &'a Wanted<'a>> + Clone,
) -> Vec<Option<Names>> {
    let forms = wanted.clone().map(|wanted| {
        let with = (port == 0).then_some(wanted.port);
        let called = wanted.called?;
        Some(making.domains(&called.service, with))
    });
    let forms: Vec<_> = forms.collect();
    let known = Known::new(port, wanted.clone());
    let mut taken: Set<Cow<'_, str>> = set(4 * forms.len());
    let mut served: Set<(&str, u16)> = set(forms.len());
    let mut free: Vec<&str> = Vec::new();
    let shares = wanted.zip(&forms).map(|(wanted, forms)| {
        let name = (&*wanted.literal, wanted.port);
        if !served.insert(name) {
            return None;
        }
        let share = match forms {
            None => {
                let is_free = taken.insert(lower(&wanted.literal));
                is_free.then(|| Names::These(vec![(*wanted.literal).into()]))
            }
            Some(forms) => {
                free.clear();
                for domain in forms.0.iter() {
                    let outdone = domain.is_other && known.has(domain.text);
                    if !outdone && taken.insert(lower(domain.text)) {
                        free.push(domain.text);
                    }
                }
                Names::some(forms, &free)
            }
        };
        if share.is_none() {
            served.remove(&name);
        }
        share
    });
    shares.collect()
}

/// Full names and their ports, which outdo short forms of others.
struct Known<'a> {
    /// The one port that all are of, or 0.
    port: u16,
    names: Set<&'a str>,
    /// Where there are several ports.
    with_ports: Set<(&'a str, u16)>,
}

impl<'a> Known<'a> {
    fn new(port: u16, wanted: impl ExactSizeIterator<Item = &'a Wanted<'a>>) -> Self {
        let mut known = Known {
            port,
            names: set(wanted.len()),
            with_ports: Set::default(),
        };
        for wanted in wanted {
            if let Some(called) = wanted.called {
                let host = called.service.id.host.as_str();
                known.names.insert(host);
                if port == 0 {
                    known.with_ports.insert((host, wanted.port));
                }
            }
        }
        known
    }

    /// Whether a domain is a full name, or that with its port.
    fn has(&self, domain: &str) -> bool {
        self.names.contains(domain)
            || domain.rsplit_once(':').is_some_and(|(host, port)| {
                let port = port.parse::<u16>();
                port.is_ok_and(|port| self.has_at(host, port))
            })
    }

    fn has_at(&self, host: &str, port: u16) -> bool {
        match self.port {
            0 => self.with_ports.contains(&(host, port)),
            only => only == port && self.names.contains(host),
        }
    }
}

fn set<T: Eq + Hash>(count: usize) -> Set<T> {
    Set::with_capacity_and_hasher(count, Default::default())
}
