//! Which AuthorizationPolicies and RequestAuthentications hold of a workload, by whom CUSTOM policies
//! have calls decided, and which keys tokens are checked with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::features::KeyFetching;
use api::networking::WorkloadSelector;
use api::security::TargetRef;
use api::security::attribute::Attribute;
use api::security::authorization_policy::{Action, AuthorizationPolicy};
use api::security::jwt::{Fetched, JwtRule, KeySource, RequestAuthentication};
use api::snapshot::{Object, Snapshot, Table};
use base::{ObjectRef, Problem};

use crate::attachment::{GATEWAY, attaches};
use crate::authorizers::Authorizer;
use crate::{Mesh, Proxy};

/// What a workload's own proxy decides, or has decided, about calls.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// AuthorizationPolicies; those of the root namespace first, the oldest first in each.
    pub policies: Vec<Arc<Object<AuthorizationPolicy>>>,
    /// Those who decide for the CUSTOM ones of these, by the name of the provider; or why nobody can.
    pub authorizers: BTreeMap<String, Result<Arc<Authorizer>, String>>,
    /// Issuers of tokens, by their names.
    pub issuers: Vec<Issuer>,
    /// The RequestAuthentications that these come from.
    pub tokens: Vec<Arc<ObjectRef>>,
}

/// An issuer of tokens with its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// As the user wrote it.
    pub rule: JwtRule,
    /// Its keys.
    pub keys: Keys,
}

/// Keys of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A JSON Web Key Set.
    Known(Arc<str>),
    /// To be fetched by the proxy from this host and port of the mesh.
    Fetched {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// None: they could not be fetched, or not be used. No token passes.
    None,
}

impl PartialEq for Security {
    fn eq(&self, other: &Self) -> bool {
        let Security {
            policies,
            authorizers,
            issuers,
            tokens,
        } = self;
        let same = |(a, b): (&Arc<_>, &Arc<_>)| Arc::ptr_eq(a, b) || a == b;
        policies.len() == other.policies.len()
            && policies.iter().zip(&other.policies).all(same)
            && *authorizers == other.authorizers
            && *issuers == other.issuers
            && *tokens == other.tokens
    }
}

impl Security {
    /// The policies of one action.
    pub fn of_action(&self, action: Action) -> impl Iterator<Item = &Object<AuthorizationPolicy>> {
        let policies = self.policies.iter().map(AsRef::as_ref);
        policies.filter(move |policy| policy.spec.action == action)
    }

    /// All objects that it comes from.
    pub fn origin(&self) -> impl Iterator<Item = Arc<ObjectRef>> {
        let policies = self.policies.iter();
        let policies = policies.map(|policy| policy.meta.reference.clone());
        policies.chain(self.tokens.iter().cloned())
    }
}

/// The policies of all namespaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Policies {
    authorization: ByNamespace<AuthorizationPolicy>,
    authentication: ByNamespace<RequestAuthentication>,
    key_sets: imbl::OrdMap<KeySource, Fetched>,
}

/// Objects by namespace, the oldest first.
type ByNamespace<T> = BTreeMap<String, Vec<Arc<Object<T>>>>;

fn by_namespace<T: PartialEq>(table: &Table<Object<T>>) -> ByNamespace<T> {
    let mut found: ByNamespace<T> = BTreeMap::new();
    for object in table.values() {
        let namespace = object.meta.namespace().to_owned();
        found.entry(namespace).or_default().push(object.clone());
    }
    for objects in found.values_mut() {
        objects.sort_by(|a, b| a.meta.age().cmp(&b.meta.age()));
    }
    found
}

/// The policies that a snapshot says.
pub(crate) fn collect(snapshot: &Snapshot) -> Policies {
    Policies {
        authorization: by_namespace(&snapshot.authorization_policies),
        authentication: by_namespace(&snapshot.request_authentications),
        key_sets: snapshot.key_sets.clone(),
    }
}

/// What holds of a workload.
pub(crate) fn of(mesh: &Mesh, proxy: &Proxy) -> Security {
    let features = &mesh.snapshot.features;
    let (root, own) = (&mesh.config.root_namespace, &proxy.namespace);
    let mut found = Security::default();
    let namespaces = if root == own {
        vec![own]
    } else {
        vec![root, own]
    };
    let holds = |namespace: &str, selector: Option<&WorkloadSelector>, targets: &[TargetRef]| {
        let selector = selector.map(|selector| &selector.labels);
        let by_labels = targets.is_empty() && !features.selected_gateways;
        attaches((namespace, selector, targets), (own, &proxy.labels))
            && !(by_labels && proxy.labels.contains_key(GATEWAY))
    };
    for namespace in &namespaces {
        let there = mesh.policies.authorization.get(*namespace);
        let there = there.into_iter().flatten().filter(|policy| {
            let spec = &policy.spec;
            holds(namespace, spec.selector.as_ref(), spec.targets())
        });
        found.policies.extend(there.cloned());
    }
    let asked: BTreeSet<&str> = found
        .of_action(Action::Custom)
        .map(|policy| provider(&policy.spec))
        .collect();
    let authorizers = asked.into_iter().map(|name| {
        let known = mesh.authorizers.get(name).cloned();
        let unknown = || Err(format!("{name:?} is no extension provider that authorizes"));
        (name.to_owned(), known.unwrap_or_else(unknown))
    });
    found.authorizers = authorizers.collect();
    for namespace in namespaces.iter().rev() {
        let there = mesh.policies.authentication.get(*namespace);
        for policy in there.into_iter().flatten() {
            let spec = &policy.spec;
            if holds(namespace, spec.selector.as_ref(), spec.targets()) {
                let rules = policy.spec.jwt_rules.iter();
                found.issuers.extend(rules.map(|rule| issuer(mesh, rule)));
                found.tokens.push(policy.meta.reference.clone());
            }
        }
    }
    found
        .issuers
        .sort_by(|a, b| a.rule.issuer.cmp(&b.rule.issuer));
    found
}

/// The provider that a CUSTOM policy names.
fn provider(policy: &AuthorizationPolicy) -> &str {
    let provider = policy.provider.as_ref();
    provider.map_or("", |provider| provider.name.as_str())
}

fn issuer(mesh: &Mesh, rule: &JwtRule) -> Issuer {
    Issuer {
        rule: rule.clone(),
        keys: keys(mesh, rule),
    }
}

fn keys(mesh: &Mesh, rule: &JwtRule) -> Keys {
    let mode = mesh.snapshot.features.key_fetching;
    if mode != KeyFetching::ControlPlane
        && let Some((host, port)) = place(&rule.jwks_uri)
    {
        let known = mesh.services.iter().any(|service| service.id.host == host);
        if known || mode == KeyFetching::Proxy {
            return Keys::Fetched { host, port };
        }
    }
    if !rule.jwks.is_empty() {
        return match rule.unusable {
            None => Keys::Known(rule.jwks.as_str().into()),
            Some(_) => Keys::None,
        };
    }
    match fetched(mesh, rule) {
        Some(Fetched::Keys(keys)) => Keys::Known(keys.clone()),
        Some(Fetched::Failed(_)) | None => Keys::None,
    }
}

/// What became of fetching the keys of an issuer.
fn fetched<'a>(mesh: &'a Mesh, rule: &JwtRule) -> Option<&'a Fetched> {
    mesh.policies.key_sets.get(&rule.key_source()?)
}

/// Why nothing that an issuer signs is good, unless it is that its keys were not asked for yet.
fn keyless(mesh: &Mesh, reference: &ObjectRef, field: &str, rule: &JwtRule) -> Option<Problem> {
    if keys(mesh, rule) != Keys::None {
        return None;
    }
    let closed = "no token of this issuer is good";
    let problem = |member: &str, reason: &str, message: String| {
        Problem::error(reference, format!("{field}.{member}"), reason, message)
    };
    if let Some(reason) = &rule.unusable {
        return Some(problem(
            "jwks",
            "InvalidValue",
            format!("{reason}; {closed}"),
        ));
    }
    let Some(Fetched::Failed(reason)) = fetched(mesh, rule) else {
        return None;
    };
    let (member, place) = match rule.jwks_uri.is_empty() {
        true => ("issuer", format!("where {:?} says", rule.issuer)),
        false => ("jwksUri", format!("{:?}", rule.jwks_uri)),
    };
    let message =
        format!("keys cannot be fetched from {place}: {reason}; until they are, {closed}");
    Some(problem(member, "KeysNotFetched", message))
}

/// Host and port of a URL.
fn place(url: &str) -> Option<(String, u16)> {
    let (rest, default) = match url.split_once("://")? {
        ("http", rest) => (rest, 80),
        ("https", rest) => (rest, 443),
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, own)| own);
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
            Some((host.to_owned(), port.parse().ok()?))
        }
        _ => Some((authority.to_owned(), default)),
    }
}

/// What is wrong with policies; the parts that are are closed.
pub(crate) fn problems(mesh: &Mesh) -> Vec<Problem> {
    let mut found = Vec::new();
    let unreadable = |reference: &ObjectRef, reason: &Option<String>, closed: &str| {
        let reason = reason.as_ref()?;
        let message = format!("{reason}; {closed}");
        Some(Problem::error(reference, "spec", "InvalidValue", message))
    };
    for policy in mesh.policies.authorization.values().flatten() {
        let (reference, spec) = (&policy.meta.reference, &policy.spec);
        let closed = "every call of the workloads that it is for is refused";
        found.extend(unreadable(reference, &spec.unreadable, closed));
        found.extend(unsayable(reference, spec));
        if spec.action != Action::Custom {
            continue;
        }
        let name = provider(spec);
        let reason = match mesh.authorizers.get(name) {
            Some(Ok(_)) => continue,
            Some(Err(reason)) => format!("{name:?} cannot be asked: {reason}"),
            None => {
                let known: Vec<&str> = mesh.authorizers.keys().map(String::as_str).collect();
                format!(
                    "{name:?} is no extension provider that authorizes, expected one of [{}]",
                    known.join(", ")
                )
            }
        };
        found.push(Problem::error(
            reference,
            "spec.provider.name",
            "InvalidProvider",
            format!("{reason}; calls that its rules hold of are refused"),
        ));
    }
    for policy in mesh.policies.authentication.values().flatten() {
        let (reference, spec) = (&policy.meta.reference, &policy.spec);
        let closed = "every token is refused by the workloads that it is for";
        found.extend(unreadable(reference, &spec.unreadable, closed));
        for (place, rule) in spec.jwt_rules.iter().enumerate() {
            let field = format!("spec.jwtRules[{place}]");
            found.extend(keyless(mesh, reference, &field, rule));
        }
    }
    for policy in mesh.snapshot.peer_authentications.values() {
        let (reference, spec) = (&policy.meta.reference, &policy.spec);
        let closed = "mTLS is demanded by the workloads that it is for";
        found.extend(unreadable(reference, &spec.unreadable, closed));
    }
    found
}

/// Conditions that no proxy can be told, with what becomes of their rules.
fn unsayable(reference: &ObjectRef, spec: &AuthorizationPolicy) -> Vec<Problem> {
    let closed = match spec.action {
        Action::Allow => "the rule lets nobody in",
        Action::Deny | Action::Audit | Action::Custom => {
            "the rule holds as if this were not written"
        }
    };
    let mut found = Vec::new();
    let mut report = |field: String, reason: String| {
        let message = format!("{reason}; {closed}");
        found.push(Problem::error(reference, field, "InvalidValue", message));
    };
    for (of, rule) in spec.rules.iter().enumerate() {
        // Names of fields are made only for what is reported: most policies have nothing to report.
        for (place, condition) in rule.when.iter().enumerate() {
            let field = || format!("spec.rules[{of}].when[{place}]");
            let key = &condition.key;
            let Some(attribute) = Attribute::parse(key) else {
                report(field() + ".key", format!("{key:?} is no attribute"));
                continue;
            };
            let values = condition.values.iter().chain(&condition.not_values);
            for value in values.filter(|value| !attribute.takes(value)) {
                report(field(), format!("{value:?} is no value of {key}"));
            }
        }
        for (place, from) in rule.from.iter().enumerate() {
            let Some(own) = &from.source else { continue };
            let field = || format!("spec.rules[{of}].from[{place}].source");
            for (attribute, list) in [
                (Attribute::SourceIp, &own.ip_blocks),
                (Attribute::SourceIp, &own.not_ip_blocks),
                (Attribute::RemoteIp, &own.remote_ip_blocks),
                (Attribute::RemoteIp, &own.not_remote_ip_blocks),
            ] {
                for value in list.iter().filter(|value| !attribute.takes(value)) {
                    let reason = format!("has {value:?}, which is no address or range");
                    report(field(), reason);
                }
            }
        }
        for (place, to) in rule.to.iter().enumerate() {
            let Some(own) = &to.operation else { continue };
            let field = || format!("spec.rules[{of}].to[{place}].operation");
            for (attribute, list, what) in [
                (Attribute::DestinationPort, &own.ports, "port"),
                (Attribute::DestinationPort, &own.not_ports, "port"),
                (Attribute::Path, &own.paths, "path that proxies know"),
                (Attribute::Path, &own.not_paths, "path that proxies know"),
            ] {
                for value in list.iter().filter(|value| !attribute.takes(value)) {
                    report(field(), format!("has {value:?}, which is no {what}"));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
