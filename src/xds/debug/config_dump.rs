//! `config_dump`: what one proxy is to have, in the form of Envoy's own dump, so that both can be compared.
//! Only what the proxy asked for is in it; private keys never are.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::codec::{
    any, decode_route, decode_secret, decode_virtual_host, encode_route, encode_secret, type_url,
};
use proto::envoy::admin::v3 as admin;
use proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use proto::envoy::extensions::transport_sockets::tls::v3::secret;
use proto::google::protobuf::Any;
use proto::pack::Pack;
use serde_json::{Value, json};

use super::connections::Connection;
use super::endpoints::NOT_CONNECTED;
use super::{Answer, Debug, Question};
use crate::Resource;

/// Stands where a private key was.
const REDACTED: &[u8] = b"[redacted]";

/// `/debug/config_dump?proxyID=[&types=…][&include_eds]`.
pub(super) fn answer(debug: &Debug, question: &Question) -> Answer {
    let types = question
        .parameter("types")
        .filter(|types| !types.is_empty());
    dump(debug, question, types)
}

/// `/debug/edsz` and the like: the resources of one type, without a frame.
pub(super) fn of_type(debug: &Debug, question: &Question, short: &str) -> Answer {
    dump(debug, question, Some(short))
}

fn dump(debug: &Debug, question: &Question, types: Option<&str>) -> Answer {
    let Some(id) = question.parameter("proxyID").filter(|id| !id.is_empty()) else {
        return Answer::Refused(400, "You must provide a proxyID in the query string\n");
    };
    let found = debug.connections.find(id);
    let Some(connection) = found.filter(|one| question.may_see(&one.namespace)) else {
        return Answer::Refused(404, NOT_CONNECTED);
    };
    let configs = match types {
        Some(types) => {
            let types = types.split(',').filter_map(of_short);
            types
                .flat_map(|of| followed(&connection, of))
                .map(|(_, any)| any)
                .collect()
        }
        None => frames(&connection, question.parameters.contains_key("include_eds")),
    };
    let configs: Result<Vec<Value>, proto::json::NoJson> = configs.iter().map(json_of).collect();
    match configs {
        Ok(configs) => Answer::Json(json!({ "configs": configs })),
        Err(_) => Answer::Refused(500, "a resource has no JSON form\n"),
    }
}

/// The frames of a dump, in Envoy's order.
pub(super) fn frames(connection: &Connection, with_endpoints: bool) -> Vec<Any> {
    let version = |of: &str| connection.resources().table(of).version().to_string();
    let resources = |of: &str| followed(connection, of);
    let cluster = |(_, cluster)| admin::clusters_config_dump::DynamicCluster {
        cluster: Some(cluster),
        ..Default::default()
    };
    let listener = |(name, listener)| admin::listeners_config_dump::DynamicListener {
        name,
        active_state: Some(admin::listeners_config_dump::DynamicListenerState {
            version_info: version(type_url::LISTENER),
            listener: Some(listener),
            ..Default::default()
        }),
        ..Default::default()
    };
    let route = |(name, route): (String, Any)| admin::routes_config_dump::DynamicRouteConfig {
        version_info: version(type_url::ROUTE),
        route_config: Some(folded(connection, &name, route)),
        ..Default::default()
    };
    let endpoints = |(_, endpoints)| admin::endpoints_config_dump::DynamicEndpointConfig {
        version_info: version(type_url::ENDPOINT),
        endpoint_config: Some(endpoints),
        ..Default::default()
    };
    let secret = |(name, secret)| admin::secrets_config_dump::DynamicSecret {
        name,
        version_info: version(type_url::SECRET),
        secret: Some(secret),
        ..Default::default()
    };
    let extension = |(_, extension)| admin::ecds_config_dump::EcdsFilterConfig {
        version_info: version(type_url::EXTENSION),
        ecds_filter: Some(extension),
        ..Default::default()
    };
    let clusters = admin::ClustersConfigDump {
        version_info: version(type_url::CLUSTER),
        dynamic_active_clusters: resources(type_url::CLUSTER).map(cluster).collect(),
        ..Default::default()
    };
    let listeners = admin::ListenersConfigDump {
        version_info: version(type_url::LISTENER),
        dynamic_listeners: resources(type_url::LISTENER).map(listener).collect(),
        ..Default::default()
    };
    let routes = admin::RoutesConfigDump {
        dynamic_route_configs: resources(type_url::ROUTE).map(route).collect(),
        ..Default::default()
    };
    let assignments = admin::EndpointsConfigDump {
        dynamic_endpoint_configs: resources(type_url::ENDPOINT).map(endpoints).collect(),
        ..Default::default()
    };
    let secrets = admin::SecretsConfigDump {
        dynamic_active_secrets: resources(type_url::SECRET).map(secret).collect(),
        ..Default::default()
    };
    let extensions = admin::EcdsConfigDump {
        ecds_filters: resources(type_url::EXTENSION).map(extension).collect(),
    };
    let mut frames = vec![
        admin::BootstrapConfigDump::default().pack(),
        clusters.pack(),
    ];
    if with_endpoints {
        frames.push(assignments.pack());
    }
    frames.extend([
        listeners.pack(),
        admin::ScopedRoutesConfigDump::default().pack(),
        routes.pack(),
        secrets.pack(),
        extensions.pack(),
    ]);
    frames
}

/// A route configuration with the virtual hosts that are told apart from it, as Envoy shows it.
fn folded(connection: &Connection, name: &str, route: Any) -> Any {
    let Ok(mut configuration) = decode_route(&route.value) else {
        return route;
    };
    if configuration.vhds.is_none() {
        return route;
    }
    let prefix = format!("{name}/");
    let resources = connection.resources();
    let hosts = resources.of_type(type_url::VIRTUAL_HOST);
    let hosts = hosts.filter(|host| host.name.starts_with(&prefix));
    let hosts = hosts.filter_map(|host| decode_virtual_host(&host.bytes()).ok());
    configuration.virtual_hosts.extend(hosts);
    any(type_url::ROUTE, encode_route(&configuration))
}

/// The resources of a type that a proxy asked for: names and contents.
fn followed(
    connection: &Connection,
    type_url: &str,
) -> impl Iterator<Item = (String, Any)> + use<> {
    let watched: BTreeMap<String, Vec<String>> = connection.session.watched().into_iter().collect();
    let names = watched.get(type_url).cloned().unwrap_or_default();
    let all = names.iter().any(|name| name == "*");
    let resources = connection.resources();
    let visible = connection.proven || type_url != type_url::SECRET;
    let shown: Vec<Arc<Resource>> = resources
        .of_type(type_url)
        .filter(|resource| visible && (all || names.iter().any(|name| **name == *resource.name)))
        .cloned()
        .collect();
    let type_url = type_url.to_owned();
    shown.into_iter().map(move |resource| {
        let bytes = match type_url.as_str() {
            type_url::SECRET => redacted(&resource.bytes()),
            _ => resource.bytes(),
        };
        (resource.name.to_string(), any(&type_url, bytes))
    })
}

/// A secret without its private key; nothing of one that cannot be read.
fn redacted(bytes: &[u8]) -> bytes::Bytes {
    let Ok(mut secret) = decode_secret(bytes) else {
        return bytes::Bytes::new();
    };
    let redacted = || DataSource {
        specifier: Some(Specifier::InlineBytes(REDACTED.to_vec())),
        ..Default::default()
    };
    match &mut secret.r#type {
        Some(secret::Type::TlsCertificate(certificate)) => {
            certificate.private_key = Some(redacted());
            certificate.password = None;
            certificate.private_key_provider = None;
        }
        Some(secret::Type::ValidationContext(_)) | None => {}
        Some(secret::Type::SessionTicketKeys(_) | secret::Type::GenericSecret(_)) => {
            secret.r#type = None;
        }
    }
    encode_secret(&secret)
}

fn json_of(any: &Any) -> Result<Value, proto::json::NoJson> {
    let text = proto::json::text(&any.type_url, &any.value)?;
    let mut value: Value = serde_json::from_str(&text).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.shift_insert(0, "@type".to_owned(), any.type_url.as_str().into());
    }
    Ok(value)
}

/// Upstream's short names of types, in any case; others are taken for type URLs.
fn of_short(short: &str) -> Option<&str> {
    Some(match short.to_ascii_lowercase().as_str() {
        "cds" => type_url::CLUSTER,
        "eds" => type_url::ENDPOINT,
        "lds" => type_url::LISTENER,
        "rds" => type_url::ROUTE,
        "sds" => type_url::SECRET,
        "ecds" => type_url::EXTENSION,
        "nds" => type_url::NAME_TABLE,
        "" => return None,
        _ => short,
    })
}
