//! One rule of an AuthorizationPolicy: callers, what they call, and conditions on either.
//!
//! What cannot be said to Envoy, or not of a connection, makes a rule that opens hold of nothing, and
//! one that closes hold of more: never is more let in than was written.

use std::borrow::Cow;

use api::security::attribute::{Attribute, is_template, template};
use api::security::authorization_policy::{Condition, Operation, Rule, Source};
use mesh::Scope;
use proto::envoy::config::core::v3::TypedExtensionConfig;
use proto::envoy::config::rbac::v3::permission;
use proto::envoy::config::rbac::v3::principal::{Authenticated, Identifier};
use proto::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use proto::envoy::r#type::matcher::v3::{PathMatcher, StringMatcher, path_matcher};
use proto::pack::Pack;

use super::rules::Policy;
use super::term::Term;
use super::{Layer, text};
use crate::filter::claims;
use crate::parts;

/// How rules of a policy are read.
pub(super) struct Reading<'a> {
    pub(super) scope: &'a Scope,
    /// Of the policy.
    pub(super) namespace: &'a str,
    pub(super) layer: Layer,
    /// Whether calls that it holds of are let in.
    pub(super) opens: bool,
}

/// Values that an attribute must have one of, and those that it must have none of.
struct Clause<'a> {
    /// None for one that is unknown.
    attribute: Option<Attribute>,
    values: Values<'a>,
    others: Values<'a>,
}

type Values<'a> = Cow<'a, [String]>;

/// What becomes of values.
enum Leaf {
    /// A term of each; none of one that cannot be said.
    Each(Vec<Option<Term>>),
    /// One of all together.
    Whole(Option<Term>),
}

/// Something in a rule that opens cannot be said.
struct Unsayable;

impl Reading<'_> {
    /// The rule, unless it holds of nothing.
    pub(super) fn policy(&self, rule: &Rule) -> Option<Policy> {
        let conditions = rule.when.iter().map(|condition| self.condition(condition));
        let conditions: Vec<Clause<'_>> = conditions.collect();
        let called: Vec<&Clause<'_>> = conditions.iter().filter(|own| own.is_of_called()).collect();
        let caller: Vec<&Clause<'_>> = conditions
            .iter()
            .filter(|own| !own.is_of_called())
            .collect();
        let operations = rule.to.iter().map(|to| match &to.operation {
            Some(operation) => operation_clauses(operation),
            None => Vec::new(),
        });
        let sources = rule.from.iter().map(|from| match &from.source {
            Some(source) => self.source_clauses(source),
            None => Vec::new(),
        });
        let permissions = sides(operations.collect(), &called, |own| {
            self.side(own, |attribute, values| self.called(attribute, values))
        });
        let principals = sides(sources.collect(), &caller, |own| {
            self.side(own, |attribute, values| self.caller(attribute, values))
        });
        Some(Policy {
            permissions: permissions.ok()?,
            principals: principals.ok()?,
        })
    }

    fn condition<'a>(&self, condition: &'a Condition) -> Clause<'a> {
        let attribute = Attribute::parse(&condition.key);
        let values = |list: &'a [String]| match attribute {
            Some(Attribute::Principal) => self.identities(list),
            Some(Attribute::TrustDomain) => self.trust_domains(list),
            _ => Cow::Borrowed(list),
        };
        Clause {
            values: values(&condition.values),
            others: values(&condition.not_values),
            attribute,
        }
    }

    fn source_clauses<'a>(&self, own: &'a Source) -> Vec<Clause<'a>> {
        let is = |list: &'a [String]| self.identities(list);
        let of = |list: &'a [String]| self.trust_domains(list);
        said([
            (
                Attribute::Principal,
                is(&own.principals),
                is(&own.not_principals),
            ),
            as_written(
                Attribute::RequestPrincipal,
                &own.request_principals,
                &own.not_request_principals,
            ),
            as_written(
                Attribute::ServiceAccount,
                &own.service_accounts,
                &own.not_service_accounts,
            ),
            (
                Attribute::TrustDomain,
                of(&own.trust_domains),
                of(&own.not_trust_domains),
            ),
            as_written(Attribute::Namespace, &own.namespaces, &own.not_namespaces),
            as_written(
                Attribute::RemoteIp,
                &own.remote_ip_blocks,
                &own.not_remote_ip_blocks,
            ),
            as_written(Attribute::SourceIp, &own.ip_blocks, &own.not_ip_blocks),
        ])
    }

    fn own_domains(&self) -> impl Iterator<Item = &String> + Clone {
        let config = &self.scope.config;
        std::iter::once(&config.trust_domain).chain(&config.trust_domain_aliases)
    }

    /// Identities with all names of the mesh's trust domain, where they have one of them.
    fn identities<'a>(&self, list: &'a [String]) -> Values<'a> {
        let mut all = Vec::new();
        for identity in list {
            let parts: Vec<&str> = identity.split('/').collect();
            let domain = match parts[..] {
                [domain, _, _, _, _] if domain != "*" => domain,
                _ => {
                    all.push(identity.clone());
                    continue;
                }
            };
            let known =
                domain == "cluster.local" || self.own_domains().any(|own| named(own, domain));
            if !known {
                all.push(identity.clone());
                continue;
            }
            let mut found: Vec<String> = Vec::new();
            for own in self.own_domains() {
                // One that begins with a * stands for itself.
                let kept = domain
                    .strip_prefix('*')
                    .is_some_and(|end| own.ends_with(end));
                let renamed = match kept {
                    true => identity.clone(),
                    false => format!("{own}/{}", parts[1..].join("/")),
                };
                if !found.contains(&renamed) {
                    found.push(renamed);
                }
            }
            all.extend(found);
        }
        all.into()
    }

    fn trust_domains<'a>(&self, list: &'a [String]) -> Values<'a> {
        let mut all: Vec<String> = Vec::new();
        for domain in list {
            let own = self.own_domains().any(|own| own == domain);
            let names: Vec<&String> = match own {
                true => self.own_domains().collect(),
                false => vec![domain],
            };
            for name in names {
                if !all.contains(name) {
                    all.push(name.clone());
                }
            }
        }
        all.into()
    }

    /// All clauses of one entry of `from` or `to`.
    fn side(
        &self,
        clauses: Vec<&Clause<'_>>,
        leaf: impl Fn(&Attribute, &[String]) -> Leaf,
    ) -> Result<Term, Unsayable> {
        let mut terms = Vec::new();
        for clause in clauses {
            let Some(attribute) = &clause.attribute else {
                if self.opens {
                    return Err(Unsayable);
                }
                continue;
            };
            if !clause.values.is_empty() {
                let found = match leaf(attribute, &clause.values) {
                    // Without one of the values a rule that closes would hold of less.
                    Leaf::Each(each) => {
                        let each: Option<Vec<Term>> = each.into_iter().collect();
                        each.map(|each| Term::one_of(&each))
                    }
                    Leaf::Whole(whole) => whole,
                };
                match found {
                    Some(term) => terms.push(term),
                    None if self.opens => return Err(Unsayable),
                    None => {}
                }
            }
            if !clause.others.is_empty() {
                let found = match leaf(attribute, &clause.others) {
                    Leaf::Each(each) if self.opens && each.contains_none() => {
                        return Err(Unsayable);
                    }
                    Leaf::Each(each) => {
                        let each: Vec<Term> = each.into_iter().flatten().collect();
                        (!each.is_empty()).then(|| Term::one_of(&each))
                    }
                    Leaf::Whole(None) if self.opens => return Err(Unsayable),
                    Leaf::Whole(whole) => whole,
                };
                terms.extend(found.map(Term::not));
            }
        }
        if terms.is_empty() {
            terms.push(Term::anything());
        }
        Ok(Term::all(&terms))
    }

    /// Whether values of an attribute can be said here.
    fn knows(&self, attribute: &Attribute) -> bool {
        self.layer == Layer::Requests || !attribute.is_of_requests()
    }

    fn called(&self, attribute: &Attribute, values: &[String]) -> Leaf {
        use permission::Rule;
        if !self.knows(attribute) {
            return Leaf::Whole(None);
        }
        if let Attribute::Metadata { filter, key } = attribute {
            let value = text::one_of(values, |value| {
                match value
                    .strip_prefix('[')
                    .and_then(|own| own.strip_suffix(']'))
                {
                    Some(_) => {
                        let inner = value.trim_matches(['[', ']']);
                        claims::in_list(text::held(text::value(inner)))
                    }
                    None => text::held(text::value(value)),
                }
            });
            let matcher = claims::metadata(filter, [key.as_str()], value);
            return Leaf::Whole(Some(Term::metadata(&matcher)));
        }
        let each = values.iter().map(|value| {
            let rule = match attribute {
                _ if !attribute.takes(value) => return None,
                Attribute::Host => Rule::Header(text::host(value)),
                Attribute::Method => Rule::Header(text::header(":method", value)),
                Attribute::Path if is_template(value) => Rule::UriTemplate(TypedExtensionConfig {
                    name: "uri-template".to_owned(),
                    typed_config: Some(
                        UriTemplateMatchConfig {
                            path_template: template(value).ok()?,
                        }
                        .pack(),
                    ),
                }),
                Attribute::Path => Rule::UrlPath(PathMatcher {
                    rule: Some(path_matcher::Rule::Path(text::value(value))),
                }),
                Attribute::DestinationIp => Rule::DestinationIp(parts::range(value)?),
                Attribute::DestinationPort => Rule::DestinationPort(value.parse().ok()?),
                Attribute::ServerName => Rule::RequestedServerName(text::value(value)),
                _ => return None,
            };
            Some(Term::called(rule))
        });
        Leaf::Each(each.collect())
    }

    fn caller(&self, attribute: &Attribute, values: &[String]) -> Leaf {
        if !self.knows(attribute) {
            return Leaf::Whole(None);
        }
        let listed = |path: &[&str]| {
            let value = text::one_of(values, |value| text::held(text::value(value)));
            let matcher = claims::listed(path.iter().copied(), value);
            Leaf::Whole(Some(Term::metadata(&matcher)))
        };
        match attribute {
            Attribute::Audiences => return listed(&["aud"]),
            Attribute::Presenter => return listed(&["azp"]),
            Attribute::Claim(path) => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                return listed(&path);
            }
            Attribute::RequestPrincipal => {
                let mut each: Vec<Term> = values.iter().map(|own| request(own)).collect();
                let whole = match each.len() {
                    1 => each.pop(),
                    _ => Some(Term::one_of(&each)),
                };
                return Leaf::Whole(whole);
            }
            _ => {}
        }
        let each = values.iter().map(|value| {
            let identifier = match attribute {
                _ if !attribute.takes(value) => return None,
                Attribute::SourceIp => Identifier::DirectRemoteIp(parts::range(value)?),
                Attribute::RemoteIp => Identifier::RemoteIp(parts::range(value)?),
                Attribute::Header(name) => Identifier::Header(text::header(name, value)),
                Attribute::Principal => authenticated(text::identity(value)),
                Attribute::Namespace => authenticated(text::namespace(value)),
                Attribute::TrustDomain => authenticated(text::trust_domain(value)),
                Attribute::ServiceAccount => {
                    authenticated(text::service_account(value, self.namespace))
                }
                _ => return None,
            };
            Some(Term::caller(identifier))
        });
        Leaf::Each(each.collect())
    }
}

/// Whether there is a hole in a list.
trait ContainsNone {
    fn contains_none(&self) -> bool;
}

impl<T> ContainsNone for Vec<Option<T>> {
    fn contains_none(&self) -> bool {
        self.iter().any(Option::is_none)
    }
}

impl Clause<'_> {
    /// Whether it is about what is called rather than about who calls.
    fn is_of_called(&self) -> bool {
        matches!(
            self.attribute,
            Some(
                Attribute::DestinationIp
                    | Attribute::DestinationPort
                    | Attribute::ServerName
                    | Attribute::Metadata { .. }
            )
        )
    }
}

/// Every entry with the conditions behind its own clauses; without entries, the conditions alone.
fn sides(
    mut entries: Vec<Vec<Clause<'_>>>,
    conditions: &[&Clause<'_>],
    make: impl Fn(Vec<&Clause<'_>>) -> Result<Term, Unsayable>,
) -> Result<Vec<Term>, Unsayable> {
    if entries.is_empty() {
        entries.push(Vec::new());
    }
    let entries = entries.iter();
    let made = entries.map(|entry| make(entry.iter().chain(conditions.iter().copied()).collect()));
    made.collect()
}

fn operation_clauses(own: &Operation) -> Vec<Clause<'_>> {
    said([
        as_written(Attribute::Host, &own.hosts, &own.not_hosts),
        as_written(Attribute::Method, &own.methods, &own.not_methods),
        as_written(Attribute::Path, &own.paths, &own.not_paths),
        as_written(Attribute::DestinationPort, &own.ports, &own.not_ports),
    ])
}

fn as_written<'a>(
    attribute: Attribute,
    values: &'a [String],
    others: &'a [String],
) -> (Attribute, Values<'a>, Values<'a>) {
    (attribute, values.into(), others.into())
}

/// Clauses of those attributes of which something is said.
fn said<'a, const N: usize>(all: [(Attribute, Values<'a>, Values<'a>); N]) -> Vec<Clause<'a>> {
    let all = all.into_iter();
    let said = all.filter(|(_, values, others)| !values.is_empty() || !others.is_empty());
    let clauses = said.map(|(attribute, values, others)| Clause {
        attribute: Some(attribute),
        values,
        others,
    });
    clauses.collect()
}

/// Whether a trust domain is the one that is written, which may have a * at an end.
fn named(own: &str, written: &str) -> bool {
    match (written.strip_prefix('*'), written.strip_suffix('*')) {
        (Some(end), _) => own.ends_with(end),
        (None, Some(start)) => own.starts_with(start),
        (None, None) => own == written,
    }
}

fn authenticated(name: StringMatcher) -> Identifier {
    Identifier::Authenticated(Authenticated {
        principal_name: Some(name),
    })
}

/// `issuer/subject` of a request's token; the issuer may have slashes.
fn request(value: &str) -> Term {
    let (issuer, subject) = value.rsplit_once('/').unwrap_or((value, ""));
    let split = value.contains('/');
    let (issuer, subject) = match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(""), _) => (text::some(), text::some()),
        (Some(_), _) if issuer == "*" && split => (text::some(), text::exact(subject)),
        (Some(_), _) if split => (text::suffix(&issuer[1..]), text::exact(subject)),
        (Some(rest), _) => (text::some(), text::suffix(rest)),
        (None, Some(_)) if subject == "*" => (text::exact(issuer), text::some()),
        (None, Some(_)) if split => {
            let start = subject.strip_suffix('*').unwrap_or(subject);
            (text::exact(issuer), text::prefix(start))
        }
        (None, Some(rest)) => (text::prefix(rest), text::some()),
        (None, None) => (text::exact(issuer), text::exact(subject)),
    };
    let claim = |name, value| Term::metadata(&claims::single(name, text::held(value)));
    Term::all(&[claim("iss", issuer), claim("sub", subject)])
}
