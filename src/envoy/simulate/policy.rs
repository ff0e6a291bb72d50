//! What rules of access say of a connection or of a request. Conditions on tokens are those of a call
//! without any.

use base::ObjectRef;
use proto::envoy::config::rbac::v3 as wire;
use proto::envoy::extensions::filters::{http, network};
use proto::envoy::r#type::matcher::v3::{PathMatcher, filter_state_matcher, path_matcher};
use wire::permission::Rule;
use wire::principal::Identifier;

use super::answer::{Stage, Step, step};
use super::call::{Connection, Request};
use super::matching;

/// How the names of rules of an authorizer begin.
const AUTHORIZER: &str = "istio-ext-authz";

/// What was checked, and why it is not allowed.
pub(super) struct Checked {
    pub(super) step: Step,
    pub(super) denied: Option<String>,
}

/// The rules of a filter of connections.
pub(super) fn connection(filter: &network::rbac::v3::Rbac, connection: &Connection) -> Checked {
    let own = filter.rules.as_ref();
    checked(
        own,
        filter.shadow_rules.as_ref(),
        connection,
        connection.request(),
    )
}

/// The rules of a filter of requests.
pub(super) fn request(
    filter: &http::rbac::v3::Rbac,
    connection: &Connection,
    request: &Request,
) -> Checked {
    let own = filter.rules.as_ref();
    checked(own, filter.shadow_rules.as_ref(), connection, Some(request))
}

fn checked(
    rules: Option<&wire::Rbac>,
    shadow: Option<&wire::Rbac>,
    connection: &Connection,
    request: Option<&Request>,
) -> Checked {
    let of = Of {
        connection,
        request,
    };
    let Some(rules) = rules else {
        let would = shadow.map(|rules| of.verdict(rules));
        let said = match would {
            // Rules of an authorizer only say what it is asked about.
            Some((false, Some(by))) if by.starts_with(AUTHORIZER) => "leaves it to an authorizer",
            Some((false, _)) => "would deny it, but is only tried",
            _ => "denies nothing",
        };
        let origin = shadow.map(objects).unwrap_or_default();
        return Checked {
            step: step(Stage::Filter, "rbac", said, &origin),
            denied: None,
        };
    };
    let (allowed, by) = of.verdict(rules);
    let deny = rules.action == wire::rbac::Action::Deny as i32;
    let origin = match by.and_then(object) {
        Some(object) => vec![object],
        None => objects(rules),
    };
    let notes = rules.action == wire::rbac::Action::Log as i32;
    let said = match (allowed, deny) {
        _ if notes => "only notes it",
        (true, true) => "no rule denies it",
        (true, false) => "a rule allows it",
        (false, true) => "a rule denies it",
        (false, false) => "no rule allows it",
    };
    let caller = match &connection.peer {
        Some(identity) => identity.as_str(),
        None => "a caller without an identity",
    };
    let names: Vec<String> = origin.iter().map(ObjectRef::to_string).collect();
    let because = match (deny, names.is_empty()) {
        (_, true) => String::new(),
        (true, false) => format!(": {} denies it", names.join(", ")),
        (false, false) => format!(": {} allows others", names.join(", ")),
    };
    Checked {
        step: step(Stage::Filter, "rbac", said, &origin),
        denied: (!allowed).then(|| format!("access denied to {caller}{because}")),
    }
}

/// The policies of rules.
fn objects(rules: &wire::Rbac) -> Vec<ObjectRef> {
    let mut found: Vec<ObjectRef> = rules
        .policies
        .keys()
        .filter_map(|name| object(name))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The AuthorizationPolicy in the name of a rule: `ns[shop]-policy[web]-rule[0]`.
fn object(name: &str) -> Option<ObjectRef> {
    let (_, rest) = name.split_once("ns[")?;
    let (namespace, rest) = rest.split_once("]-policy[")?;
    let (name, _) = rest.split_once("]-rule[")?;
    Some(ObjectRef {
        api_version: "security.istio.io/v1".to_owned(),
        kind: "AuthorizationPolicy".to_owned(),
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
    })
}

/// What rules are about.
struct Of<'a> {
    connection: &'a Connection,
    request: Option<&'a Request>,
}

impl Of<'_> {
    /// Whether it is allowed, and by which rule that was decided.
    fn verdict<'r>(&self, rules: &'r wire::Rbac) -> (bool, Option<&'r str>) {
        let mut policies = rules.policies.iter();
        let matched = policies.find(|(_, policy)| {
            policy.permissions.iter().any(|own| self.permitted(own))
                && policy.principals.iter().any(|own| self.is(own))
        });
        let by = matched.map(|(name, _)| name.as_str());
        match wire::rbac::Action::try_from(rules.action) {
            Ok(wire::rbac::Action::Allow) => (by.is_some(), by),
            Ok(wire::rbac::Action::Deny) => (by.is_none(), by),
            _ => (true, by),
        }
    }

    fn header(&self, matcher: &proto::envoy::config::route::v3::HeaderMatcher) -> bool {
        self.request
            .is_some_and(|request| matching::header(matcher, request))
    }

    fn path(&self, matcher: &PathMatcher) -> bool {
        let Some(path_matcher::Rule::Path(own)) = &matcher.rule else {
            return false;
        };
        self.request
            .is_some_and(|request| matching::string(own, request.path_only()))
    }

    #[allow(deprecated, reason = "Envoy still reads these forms")]
    fn permitted(&self, permission: &wire::Permission) -> bool {
        let to = self.connection.to;
        match &permission.rule {
            Some(Rule::AndRules(set)) => set.rules.iter().all(|own| self.permitted(own)),
            Some(Rule::OrRules(set)) => set.rules.iter().any(|own| self.permitted(own)),
            Some(Rule::NotRule(own)) => !self.permitted(own),
            Some(Rule::Any(any)) => *any,
            Some(Rule::Header(own)) => self.header(own),
            Some(Rule::UrlPath(own)) => self.path(own),
            Some(Rule::DestinationIp(range)) => matching::within(range, to.ip()),
            Some(Rule::DestinationPort(port)) => *port == u32::from(to.port()),
            Some(Rule::DestinationPortRange(range)) => {
                (range.start..range.end).contains(&i32::from(to.port()))
            }
            Some(Rule::Metadata(own)) => matching::metadata(own),
            Some(Rule::SourcedMetadata(own)) => own
                .metadata_matcher
                .as_ref()
                .is_some_and(matching::metadata),
            Some(Rule::RequestedServerName(own)) => {
                matching::string(own, &self.connection.server_name)
            }
            Some(Rule::UriTemplate(own)) => self.template(own),
            Some(Rule::Matcher(_)) | None => false,
        }
    }

    /// A path with wildcards. Istio writes templates as `{*}` for one element, `{**}` for any number.
    fn template(&self, own: &proto::envoy::config::core::v3::TypedExtensionConfig) -> bool {
        let Some(config) = &own.typed_config else {
            return false;
        };
        let Ok(text) = proto::json::text(&config.type_url, &config.value) else {
            return false;
        };
        let Some((_, template)) = text.split_once("\"pathTemplate\":\"") else {
            return false;
        };
        let template = template.split('"').next().unwrap_or_default();
        let pattern = regex::escape(template)
            .replace(r"\{\*\*\}", ".*")
            .replace(r"\{\*\}", "[^/]+")
            .replace(r"\*\*", ".*")
            .replace(r"\*", "[^/]+");
        let regex = matching::regex(&format!("^{pattern}$"));
        self.request.is_some_and(|request| {
            regex.is_some_and(|regex| regex.is_match(request.path_only().as_bytes()))
        })
    }

    #[allow(deprecated, reason = "Envoy still reads these forms")]
    fn is(&self, principal: &wire::Principal) -> bool {
        let from = |range| {
            let own = self.connection.from;
            own.is_some_and(|own| matching::within(range, own))
        };
        let peer = self.connection.peer.as_deref();
        match &principal.identifier {
            Some(Identifier::AndIds(set)) => set.ids.iter().all(|own| self.is(own)),
            Some(Identifier::OrIds(set)) => set.ids.iter().any(|own| self.is(own)),
            Some(Identifier::NotId(own)) => !self.is(own),
            Some(Identifier::Any(any)) => *any,
            Some(Identifier::Authenticated(own)) => match (&own.principal_name, peer) {
                (None, peer) => peer.is_some(),
                (Some(name), Some(peer)) => matching::string(name, peer),
                (Some(_), None) => false,
            },
            Some(Identifier::FilterState(own)) if own.key == "io.istio.peer_principal" => {
                match (&own.matcher, peer) {
                    (Some(filter_state_matcher::Matcher::StringMatch(name)), Some(peer)) => {
                        matching::string(name, peer)
                    }
                    _ => false,
                }
            }
            Some(
                Identifier::SourceIp(range)
                | Identifier::DirectRemoteIp(range)
                | Identifier::RemoteIp(range),
            ) => from(range),
            Some(Identifier::Header(own)) => self.header(own),
            Some(Identifier::UrlPath(own)) => self.path(own),
            Some(Identifier::Metadata(own)) => matching::metadata(own),
            Some(Identifier::SourcedMetadata(own)) => own
                .metadata_matcher
                .as_ref()
                .is_some_and(matching::metadata),
            Some(Identifier::FilterState(_) | Identifier::Custom(_)) | None => false,
        }
    }
}

#[cfg(test)]
mod tests;
