//! Sessions that stick to an endpoint, by label of a service: a cookie or a header says which.

use mesh::{Scope, Service};
use proto::envoy::config::core::v3::TypedExtensionConfig;
use proto::envoy::extensions::filters::http::stateful_session::v3 as wire;
use proto::envoy::extensions::http::stateful_session::cookie::v3::CookieBasedSessionState;
use proto::envoy::extensions::http::stateful_session::header::v3::HeaderBasedSessionState;
use proto::envoy::r#type::http::v3::Cookie;
use proto::google::protobuf::Any;
use proto::pack::Pack;

/// Label of services: `cookie` or `cookie:/path`.
const COOKIE: &str = "istio.io/persistent-session";
/// Label of services: a header.
const HEADER: &str = "istio.io/persistent-session-header";

/// The filter's settings for a service that has either label, where the mesh has that filter.
pub(super) fn of(scope: &Scope, service: &Service) -> Option<(String, Any)> {
    if !scope.features.persistent_sessions {
        return None;
    }
    let label = |name: &str| {
        let value = service.labels.get(name);
        value.filter(|value| !value.is_empty())
    };
    let state = if let Some(cookie) = label(COOKIE) {
        let (name, path) = cookie.split_once(':').unwrap_or((cookie, "/"));
        let state = CookieBasedSessionState {
            cookie: Some(Cookie {
                name: name.to_owned(),
                path: path.to_owned(),
                ..Default::default()
            }),
        };
        ("envoy.http.stateful_session.cookie", state.pack())
    } else {
        let state = HeaderBasedSessionState {
            name: label(HEADER)?.clone(),
        };
        ("envoy.http.stateful_session.header", state.pack())
    };
    let settings = wire::StatefulSessionPerRoute {
        r#override: Some(wire::stateful_session_per_route::Override::StatefulSession(
            wire::StatefulSession {
                session_state: Some(TypedExtensionConfig {
                    name: state.0.to_owned(),
                    typed_config: Some(state.1),
                }),
                ..Default::default()
            },
        )),
    };
    let name = "envoy.filters.http.stateful_session".to_owned();
    Some((name, settings.pack()))
}
