//! Extension providers that authorize, each with the host that it is asked at, or why it cannot be.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::duration::Duration;
use api::mesh_config::{ExtAuthzHttp, ExtensionProvider, MeshConfig, RequestBody};

use crate::Destination;
use crate::providers::Directory;

/// Who decides about calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorizer {
    /// Where it is asked.
    pub at: Destination,
    /// For an answer.
    pub timeout: Option<Duration>,
    /// Whether requests pass while nobody answers.
    pub fail_open: bool,
    /// Status of requests that do not pass because nobody answered.
    pub status_on_error: Option<u16>,
    /// How much of the body it is told.
    pub body: Option<RequestBody>,
    /// How it is asked.
    pub protocol: Asked,
}

/// How an authorizer is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// Over gRPC, about requests and connections.
    Grpc,
    /// Over HTTP, about requests.
    Http(Arc<ExtAuthzHttp>),
}

/// Authorizers by name.
pub(crate) type Authorizers = BTreeMap<String, Result<Arc<Authorizer>, String>>;

/// Those that a mesh configuration names.
pub(crate) fn collect(config: &MeshConfig, places: &Directory) -> Authorizers {
    let mut found = Authorizers::new();
    for provider in &config.extension_providers {
        let Some(made) = authorizer(provider, places) else {
            continue;
        };
        let made = match found.contains_key(&provider.name) {
            true => Err("several extension providers have this name".to_owned()),
            false => named(&provider.name).and(made).map(Arc::new),
        };
        found.insert(provider.name.clone(), made);
    }
    found
}

/// Names become parts of policies' names, by which filters tell providers apart.
fn named(name: &str) -> Result<(), String> {
    let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = !name.starts_with('-') && !name.ends_with('-');
    match (1..=63).contains(&name.len()) && ends && name.chars().all(right) {
        true => Ok(()),
        false => Err("the name is not of lower-case letters, digits and -".to_owned()),
    }
}

fn authorizer(
    provider: &ExtensionProvider,
    directory: &Directory,
) -> Option<Result<Authorizer, String>> {
    let at = |service: &str, port| {
        let found = directory.find(service, port);
        found.map_err(|reason| format!("its service {reason}"))
    };
    if let Some(own) = &provider.envoy_ext_authz_http {
        let settings = || {
            Ok(Authorizer {
                at: at(&own.service, own.port)?,
                timeout: own.timeout,
                fail_open: own.fail_open,
                status_on_error: status(&own.status_on_error)?,
                body: own.include_request_body_in_check,
                protocol: Asked::Http(Arc::new(checked(own)?)),
            })
        };
        return Some(settings());
    }
    let own = provider.envoy_ext_authz_grpc.as_ref()?;
    let settings = || {
        Ok(Authorizer {
            at: at(&own.service, own.port)?,
            timeout: own.timeout,
            fail_open: own.fail_open,
            status_on_error: status(&own.status_on_error)?,
            body: own.include_request_body_in_check,
            protocol: Asked::Grpc,
        })
    };
    Some(settings())
}

fn checked(own: &ExtAuthzHttp) -> Result<ExtAuthzHttp, String> {
    if !own.path_prefix.is_empty() && !own.path_prefix.starts_with('/') {
        return Err(format!(
            "pathPrefix {:?} does not begin with /",
            own.path_prefix
        ));
    }
    for (field, list) in [
        (
            "includeRequestHeadersInCheck",
            &own.include_request_headers_in_check,
        ),
        ("includeHeadersInCheck", &own.include_headers_in_check),
        (
            "headersToUpstreamOnAllow",
            &own.headers_to_upstream_on_allow,
        ),
        (
            "headersToDownstreamOnDeny",
            &own.headers_to_downstream_on_deny,
        ),
        (
            "headersToDownstreamOnAllow",
            &own.headers_to_downstream_on_allow,
        ),
    ] {
        if list.iter().any(|header| header == "*") {
            return Err(format!(
                "{field} has \"*\", expected names, prefix* or *suffix"
            ));
        }
    }
    Ok(own.clone())
}

fn status(text: &str) -> Result<Option<u16>, String> {
    match text {
        "" => Ok(None),
        text => match text.parse::<u16>() {
            Ok(status) if is_status(status) => Ok(Some(status)),
            _ => Err(format!(
                "statusOnError {text:?} is no status of HTTP that is known"
            )),
        },
    }
}

/// The statuses that Envoy has names for.
fn is_status(status: u16) -> bool {
    matches!(status, 100..=104 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418
        | 421..=424 | 426 | 428 | 429 | 431 | 451 | 500..=508 | 510 | 511)
}
