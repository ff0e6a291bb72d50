//! DestinationRules: which one applies to a host, and which settings to a subset and port.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::mesh_config::DefaultTrafficPolicy;
use api::networking::destination_rule::{DestinationRule, Subset, TlsMode, TrafficPolicy};
use api::snapshot::{Labels, Object, Snapshot, selects};
use base::ObjectRef;

use crate::names::{is_wildcard, resolve, subset_of};
use crate::{Service, Visibility};

/// DestinationRules of one namespace for one host, merged.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The objects, oldest first.
    pub origin: Vec<Arc<ObjectRef>>,
    /// Their namespace.
    pub namespace: String,
    /// Full host name or wildcard.
    pub host: String,
    /// Who sees it.
    pub visibility: Visibility,
    /// `exportTo` as it is written: rules are one only where it is the same.
    export_to: BTreeSet<String>,
    /// Workloads that it is for.
    pub selector: Option<Labels>,
    /// For all subsets and ports; `None` when nothing is said.
    pub policy: Option<TrafficPolicy>,
    /// Named groups of endpoints.
    pub subsets: Vec<Subset>,
}

/// Settings that apply to one port of one subset.
pub type Policy = TrafficPolicy;

impl Rule {
    /// One subset.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    /// The mode of TLS that is set for a port; settings of the port that say nothing of TLS leave
    /// those above them in force here.
    pub fn tls_mode(&self, subset: Option<&Subset>, port: u16) -> Option<TlsMode> {
        let of = |policy: &TrafficPolicy| {
            let of_port = policy
                .port_level_settings
                .iter()
                .find(|own| own.port.number == u32::from(port) && own.tls.is_some())
                .and_then(|own| own.tls.as_ref());
            of_port.or(policy.tls.as_ref()).map(|tls| tls.mode)
        };
        let own = subset.and_then(|subset| subset.traffic_policy.as_ref());
        own.and_then(of)
            .or_else(|| self.policy.as_ref().and_then(of))
    }

    /// The settings of a port, over those of the mesh. The rule's settings of the port replace all
    /// of the rule's others; the subset's replace what is below one by one, or, when they are of the
    /// port, as a whole.
    pub fn settings(
        &self,
        subset: Option<&Subset>,
        port: u16,
        mesh: Option<&DefaultTrafficPolicy>,
    ) -> Policy {
        let own = self.policy.as_ref();
        let whole = own.map(|policy| of_port(policy, port).0);
        let whole = over_mesh(whole.unwrap_or_default(), mesh);
        match subset.and_then(|subset| subset.traffic_policy.as_ref()) {
            Some(policy) => merged(whole, policy, port),
            None => whole,
        }
    }
}

/// What holds where the rules say nothing of limits or ejection.
pub fn over_mesh(mut policy: Policy, mesh: Option<&DefaultTrafficPolicy>) -> Policy {
    let Some(mesh) = mesh else { return policy };
    if policy.connection_pool.is_none() {
        policy.connection_pool = mesh.connection_pool.clone();
    }
    if policy.outlier_detection.is_none() {
        policy.outlier_detection = mesh.outlier_detection.clone();
    }
    policy
}

/// The settings of a port, and whether they are its own; nothing is inherited then.
fn of_port(policy: &TrafficPolicy, port: u16) -> (Policy, bool) {
    let own = policy
        .port_level_settings
        .iter()
        .find(|setting| setting.port.number == u32::from(port));
    let made = match own {
        Some(own) => Policy {
            load_balancer: own.load_balancer.clone(),
            connection_pool: own.connection_pool.clone(),
            outlier_detection: own.outlier_detection.clone(),
            tls: own.tls.clone(),
            ..Policy::default()
        },
        None => Policy {
            port_level_settings: Vec::new(),
            ..policy.clone()
        },
    };
    (made, own.is_some())
}

fn merged(below: Policy, above: &TrafficPolicy, port: u16) -> Policy {
    let (above, whole) = of_port(above, port);
    macro_rules! choose {
        ($field:ident) => {
            if whole {
                above.$field
            } else {
                above.$field.or(below.$field)
            }
        };
    }
    Policy {
        load_balancer: choose!(load_balancer),
        connection_pool: choose!(connection_pool),
        outlier_detection: choose!(outlier_detection),
        tls: choose!(tls),
        port_level_settings: Vec::new(),
        // These are of no port.
        tunnel: above.tunnel.or(below.tunnel),
        proxy_protocol: above.proxy_protocol.or(below.proxy_protocol),
        retry_budget: above.retry_budget.or(below.retry_budget),
    }
}

/// All rules by the namespace that they are looked for in. A namespace's own clients see other
/// rules of it than clients elsewhere, so there are two tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    own: BTreeMap<String, Hosts>,
    exported: BTreeMap<String, Hosts>,
    /// Those of the root namespace that nobody else sees.
    root: Hosts,
}

/// Rules of a namespace by host, in the order in which they are asked.
type Hosts = BTreeMap<String, Vec<Arc<Rule>>>;

/// Reads all rules. Those of one namespace, host, exportTo and selector are one.
pub(crate) fn collect(snapshot: &Snapshot, domain: &str) -> Rules {
    let mut found: Vec<&Arc<Object<DestinationRule>>> =
        snapshot.destination_rules.values().collect();
    // Rules for some workloads come first, so that those for all can add to them.
    found.sort_by_key(|object| {
        let selects = object.spec.workload_selector.is_some();
        (!selects, object.meta.age())
    });
    let own = [".".to_owned()];
    let mut rules = Rules::default();
    for object in found {
        let namespace = object.meta.namespace();
        let spec = &object.spec;
        let selector = spec.workload_selector.as_ref();
        let named: &[String] = match selector {
            // What is for some workloads of its namespace is nobody else's.
            Some(_) => &own,
            None => &spec.export_to,
        };
        let default = &snapshot.mesh.default_destination_rule_export_to;
        let rule = Rule {
            origin: vec![object.meta.reference.clone()],
            namespace: namespace.to_owned(),
            host: resolve(&spec.host, namespace, domain),
            visibility: Visibility::of(named, &[], namespace),
            export_to: named.iter().cloned().collect(),
            selector: selector.map(|selector| selector.labels.clone()),
            policy: spec.traffic_policy.clone(),
            subsets: spec.subsets.clone(),
        };
        let only_own = match &rule.visibility {
            Visibility::Public => named.is_empty() && default.iter().any(|entry| entry == "."),
            Visibility::Only(names) => names.len() == 1 && names.contains(namespace),
        };
        if rule.visibility.includes(namespace) {
            add(rules.own.entry(namespace.to_owned()).or_default(), &rule);
        }
        if !only_own {
            add(
                rules.exported.entry(namespace.to_owned()).or_default(),
                &rule,
            );
        } else if namespace == snapshot.mesh.root_namespace {
            add(&mut rules.root, &rule);
        }
    }
    rules
}

/// Merges a rule into those for the same host, or puts it behind them.
fn add(hosts: &mut Hosts, rule: &Rule) {
    let known = hosts.entry(rule.host.clone()).or_default();
    let mut apart = true;
    for older in known.iter_mut() {
        let (old, new) = (&older.export_to, &rule.export_to);
        let selectors = (&older.selector, &rule.selector);
        if old != new && (old.is_empty() || !old.is_subset(new))
            || matches!(selectors, (Some(a), Some(b)) if a != b)
        {
            apart = true;
            continue;
        }
        // A rule for all adds to those for some, and stays one of its own for the others.
        apart = older.selector.is_some() != rule.selector.is_some();
        join(Arc::make_mut(older), rule);
    }
    if apart {
        known.push(Arc::new(rule.clone()));
    }
}

fn join(older: &mut Rule, rule: &Rule) {
    older.origin.extend(rule.origin.iter().cloned());
    for subset in &rule.subsets {
        if older.subset(&subset.name).is_none() {
            older.subsets.push(subset.clone());
        }
    }
    if older.policy.is_none() {
        older.policy.clone_from(&rule.policy);
    }
}

impl Rules {
    /// The rule that a client applies to calls of a service, `labels` being those of its workload.
    pub(crate) fn of_caller(
        &self,
        service: &Service,
        client: &str,
        labels: &Labels,
        root: &str,
    ) -> Option<Arc<Rule>> {
        let found = self.of_host(&service.id.host, &service.id.namespace, client, root);
        let selected = found.iter().find(|rule| {
            let selector = rule.selector.as_ref();
            rule.namespace == client && selector.is_some_and(|selector| selects(selector, labels))
        });
        selected.or_else(|| for_all(&found)).cloned()
    }

    /// The rule whose limits hold for a workload that serves: those for some callers count not.
    pub(crate) fn of_server(
        &self,
        service: &Service,
        namespace: &str,
        root: &str,
    ) -> Option<Arc<Rule>> {
        let found = self.of_host(&service.id.host, &service.id.namespace, namespace, root);
        for_all(&found).cloned()
    }

    /// The rules for a host: of the client's namespace, else those that the service's exports, else
    /// those that the root namespace does; the most specific host in each. A client of the root
    /// namespace looks only for what the root namespace keeps to itself first, so that the mesh's
    /// catch-all does not hide rules of services.
    fn of_host(&self, host: &str, namespace: &str, client: &str, root: &str) -> Vec<Arc<Rule>> {
        let own = if client == root {
            Some(&self.root)
        } else {
            self.own.get(client)
        };
        if let Some(found) = own.and_then(|hosts| most_specific(hosts, host)) {
            return found.clone();
        }
        for namespace in [namespace, root] {
            let hosts = self.exported.get(namespace);
            if let Some(found) = hosts.and_then(|hosts| most_specific(hosts, host)) {
                let seen = found.iter().filter(|rule| rule.visibility.includes(client));
                let seen: Vec<Arc<Rule>> = seen.cloned().collect();
                if !seen.is_empty() {
                    return seen;
                }
            }
        }
        Vec::new()
    }
}

/// The last rule that is for all workloads.
fn for_all(rules: &[Arc<Rule>]) -> Option<&Arc<Rule>> {
    rules.iter().rfind(|rule| rule.selector.is_none())
}

fn most_specific<'a>(hosts: &'a Hosts, name: &str) -> Option<&'a Vec<Arc<Rule>>> {
    if let Some(found) = hosts.get(name) {
        return Some(found);
    }
    let fitting = hosts
        .iter()
        .filter(|(host, _)| is_wildcard(host) && subset_of(name, host));
    fitting
        .max_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| b.cmp(a)))
        .map(|(_, rules)| rules)
}

#[cfg(test)]
mod tests;
