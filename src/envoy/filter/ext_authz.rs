//! CUSTOM AuthorizationPolicies: an authorizer is asked about the calls that their rules hold of.
//!
//! A filter of rules that enforces nothing leaves the name of the rule that holds in the call's
//! metadata, and the filter that asks looks for it there. Calls that nobody can be asked about are
//! refused.

use api::mesh_config::{ExtAuthzHttp, RequestBody};
use api::security::authorization_policy::{Action, AuthorizationPolicy};
use api::snapshot::Object;
use mesh::{Asked, Authorizer, Scope};
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::listener::v3::Filter;
use proto::envoy::config::rbac::v3::rbac::Action as Verdict;
use proto::envoy::extensions::filters::http::ext_authz::v3 as http;
use proto::envoy::extensions::filters::network::ext_authz::v3 as network;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use proto::envoy::r#type::matcher::v3::{
    ListStringMatcher, MetadataMatcher, StringMatcher, ValueMatcher, value_matcher,
};
use proto::envoy::r#type::v3::HttpStatus;
use proto::google::protobuf::Duration;
use proto::pack::Pack;

use super::authorization::{CONNECTIONS, Enforced, HTTP, Layer, NETWORK, Rules, build};
use super::claims;
use super::order::filter;
use crate::listener::filter_chain;
use crate::names;
use crate::parts::{seconds, span};

/// Names of the filters that ask.
const ASKS_HTTP: &str = "envoy.filters.http.ext_authz";
const ASKS_NETWORK: &str = "envoy.filters.network.ext_authz";
/// Beginning of the names of rules that an authorizer is asked about.
const ASKED: &str = "istio-ext-authz";
/// End of the names of those that nobody can be asked about.
const UNASKED: &str = "-deny-due-to-bad-CUSTOM-action";
/// Prefix of statistics and metadata of the rules.
const STATISTICS: &str = "istio_ext_authz_";
/// Where a filter of rules leaves the name of the one that holds.
const HELD: &str = "shadow_effective_policy_id";

/// What is to be done about the calls of one provider's policies.
enum Part<'a> {
    /// Ask.
    Ask {
        /// Beginning of the rules' names.
        name: String,
        authorizer: &'a Authorizer,
        /// Enforces only what is on trial; the others tell what they hold of.
        finds: Enforced,
    },
    /// Refuse what the rules hold of.
    Refuse(Enforced),
}

/// Filters about requests.
pub(super) fn requests(scope: &Scope) -> Vec<HttpFilter> {
    let mut filters = Vec::new();
    for part in parts(scope, Layer::Requests) {
        match part {
            Part::Refuse(refuses) => filters.push(filter(HTTP, refuses.pack(Layer::Requests))),
            Part::Ask {
                name,
                authorizer,
                finds,
            } => {
                filters.push(filter(HTTP, finds.pack(Layer::Requests)));
                let asks = of_requests(authorizer, held(HTTP, &name));
                filters.push(filter(ASKS_HTTP, asks.pack()));
            }
        }
    }
    filters
}

/// Filters about connections.
pub(super) fn connections(scope: &Scope) -> Vec<Filter> {
    let mut filters = Vec::new();
    for part in parts(scope, Layer::Connections) {
        match part {
            Part::Refuse(refuses) => {
                let config = refuses.pack(Layer::Connections);
                filters.push(filter_chain::of(NETWORK, config));
            }
            // One that is asked over HTTP knows nothing of connections.
            Part::Ask { authorizer, .. } if authorizer.protocol != Asked::Grpc => {}
            Part::Ask {
                name,
                authorizer,
                finds,
            } => {
                let config = finds.pack(Layer::Connections);
                filters.push(filter_chain::of(NETWORK, config));
                let asks = network::ExtAuthz {
                    stat_prefix: CONNECTIONS.to_owned(),
                    failure_mode_allow: authorizer.fail_open,
                    transport_api_version: core::ApiVersion::V3 as i32,
                    grpc_service: Some(grpc(authorizer)),
                    filter_enabled_metadata: Some(held(NETWORK, &name)),
                    ..Default::default()
                };
                filters.push(filter_chain::of(ASKS_NETWORK, asks.pack()));
            }
        }
    }
    filters
}

/// One part per provider, by their names.
fn parts(scope: &Scope, layer: Layer) -> Vec<Part<'_>> {
    let authorizers = &scope.security.authorizers;
    // Which of several would decide first is nothing that policies say.
    let several = authorizers.len() > 1 && !scope.features.several_authorizers;
    let parts = authorizers.iter().map(|(provider, authorizer)| {
        let name = match provider.as_str() {
            "" => ASKED.to_owned(),
            provider => format!("{ASKED}-{provider}"),
        };
        let own = |policy: &&Object<AuthorizationPolicy>| provider_of(&policy.spec) == provider;
        let policies = scope.security.of_action(Action::Custom).filter(own);
        let made = build(scope, policies, Action::Custom, layer, &format!("{name}-"));
        // Without any in force these hold of nothing.
        let in_force = made.rules.unwrap_or_else(|| Rules::new(Verdict::Deny));
        match authorizer {
            Ok(authorizer) if !several => Part::Ask {
                name,
                authorizer,
                finds: Enforced {
                    rules: made.shadow.filter(|rules| !rules.is_empty()),
                    shadow: Some(in_force),
                    shadow_prefix: STATISTICS,
                },
            },
            _ => Part::Refuse(Enforced {
                rules: Some(in_force.ending_in(UNASKED)),
                ..Enforced::default()
            }),
        }
    });
    parts.collect()
}

fn provider_of(policy: &AuthorizationPolicy) -> &str {
    let provider = policy.provider.as_ref();
    provider.map_or("", |provider| provider.name.as_str())
}

/// That a rule of the provider holds.
fn held(filter: &str, name: &str) -> MetadataMatcher {
    let value = ValueMatcher {
        match_pattern: Some(value_matcher::MatchPattern::StringMatch(StringMatcher {
            match_pattern: Some(MatchPattern::Prefix(name.to_owned())),
            ..Default::default()
        })),
    };
    let key = format!("{STATISTICS}{HELD}");
    claims::metadata(filter, [key.as_str()], value)
}

fn of_requests(authorizer: &Authorizer, held: MetadataMatcher) -> http::ExtAuthz {
    let mut asks = http::ExtAuthz {
        status_on_error: authorizer.status_on_error.map(|code| HttpStatus {
            code: i32::from(code),
        }),
        failure_mode_allow: authorizer.fail_open,
        transport_api_version: core::ApiVersion::V3 as i32,
        filter_enabled_metadata: Some(held),
        with_request_body: authorizer.body.map(body),
        ..Default::default()
    };
    asks.services = Some(match &authorizer.protocol {
        Asked::Grpc => http::ext_authz::Services::GrpcService(grpc(authorizer)),
        Asked::Http(settings) => {
            let told = match settings.include_request_headers_in_check.as_slice() {
                [] => &settings.include_headers_in_check,
                list => list,
            };
            asks.allowed_headers = headers(told);
            http::ext_authz::Services::HttpService(service(authorizer, settings))
        }
    });
    asks
}

fn service(authorizer: &Authorizer, settings: &ExtAuthzHttp) -> http::HttpService {
    let add = settings.include_additional_headers_in_check.iter();
    let add = add.map(|(key, value)| core::HeaderValue {
        key: key.clone(),
        value: value.clone(),
        ..Default::default()
    });
    let headers_to_add: Vec<core::HeaderValue> = add.collect();
    let answer = http::AuthorizationResponse {
        allowed_upstream_headers: headers(&settings.headers_to_upstream_on_allow),
        allowed_client_headers: headers(&settings.headers_to_downstream_on_deny),
        allowed_client_headers_on_success: headers(&settings.headers_to_downstream_on_allow),
        ..Default::default()
    };
    http::HttpService {
        path_prefix: settings.path_prefix.clone(),
        server_uri: Some(core::HttpUri {
            // Required, and read by nobody.
            uri: format!("http://{}", authorizer.at.host),
            timeout: timeout(authorizer),
            http_upstream_type: Some(core::http_uri::HttpUpstreamType::Cluster(cluster(
                authorizer,
            ))),
        }),
        authorization_request: (!headers_to_add.is_empty()).then(|| http::AuthorizationRequest {
            headers_to_add,
            ..Default::default()
        }),
        authorization_response: (answer != http::AuthorizationResponse::default())
            .then_some(answer),
        ..Default::default()
    }
}

fn grpc(authorizer: &Authorizer) -> core::GrpcService {
    core::GrpcService {
        target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(
            core::grpc_service::EnvoyGrpc {
                cluster_name: cluster(authorizer),
                authority: authorizer.at.host.clone(),
                ..Default::default()
            },
        )),
        timeout: timeout(authorizer),
        ..Default::default()
    }
}

fn cluster(authorizer: &Authorizer) -> String {
    names::outbound(authorizer.at.port, "", &authorizer.at.host)
}

fn timeout(authorizer: &Authorizer) -> Option<Duration> {
    match authorizer.timeout {
        Some(timeout) => span(timeout),
        None => seconds(600),
    }
}

fn body(body: RequestBody) -> http::BufferSettings {
    http::BufferSettings {
        max_request_bytes: body.max_request_bytes,
        allow_partial_message: body.allow_partial_message,
        pack_as_bytes: body.pack_as_bytes,
    }
}

/// Names of headers, in letters of either case; `*` at an end is any rest.
fn headers(list: &[String]) -> Option<ListStringMatcher> {
    let patterns = list.iter().map(|name| {
        let pattern = match (name.strip_prefix('*'), name.strip_suffix('*')) {
            (Some(end), _) => MatchPattern::Suffix(end.to_owned()),
            (None, Some(start)) => MatchPattern::Prefix(start.to_owned()),
            (None, None) => MatchPattern::Exact(name.clone()),
        };
        StringMatcher {
            ignore_case: true,
            match_pattern: Some(pattern),
        }
    });
    (!list.is_empty()).then(|| ListStringMatcher {
        patterns: patterns.collect(),
    })
}
