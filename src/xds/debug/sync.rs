//! Who is connected and how far each is: `syncz`, `adsz`, `connections`, `push_status`, and upstream's
//! ClientConfig messages, which `istioctl proxy-status` reads.

use std::collections::BTreeMap;

use proto::codec::type_url;
use proto::envoy::admin::v3::UpdateFailureState;
use proto::envoy::config::core::v3::Node as WireNode;
use proto::envoy::service::status::v3::client_config::GenericXdsConfig;
use proto::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use proto::google::protobuf::{
    Struct, Timestamp as WireTimestamp, Value as WireValue, value::Kind,
};
use serde_json::{Map, Value, json};

use super::connections::{Connection, Exchange};
use super::{Answer, Debug, Question};

/// `/debug/syncz?namespace=`.
pub(super) fn syncz(debug: &Debug, question: &Question) -> Answer {
    let wanted = question
        .parameter("namespace")
        .filter(|name| !name.is_empty());
    let all = debug.connections.all();
    let shown = all.iter().filter(|connection| {
        wanted.is_none_or(|wanted| wanted == connection.namespace)
            && question.may_see(&connection.namespace)
    });
    Answer::Json(shown.map(|connection| status(connection)).collect())
}

fn status(connection: &Connection) -> Value {
    let metadata = connection.metadata();
    let exchanges = connection.exchanges();
    let mut fields = Map::new();
    let mut put = |key: &str, text: &str| {
        if !text.is_empty() {
            fields.insert(key.to_owned(), text.into());
        }
    };
    put("cluster_id", text(&metadata, "CLUSTER_ID"));
    put("proxy", &connection.proxy);
    put("proxy_type", &connection.kind);
    put("istio_version", text(&metadata, "ISTIO_VERSION"));
    for (word, type_url) in [
        ("cluster", type_url::CLUSTER),
        ("listener", type_url::LISTENER),
        ("route", type_url::ROUTE),
        ("endpoint", type_url::ENDPOINT),
        ("extensionconfig", type_url::EXTENSION),
    ] {
        if let Some(exchange) = exchanges.get(type_url) {
            put(&format!("{word}_sent"), &exchange.sent);
            put(&format!("{word}_acked"), &exchange.acknowledged);
        }
    }
    if !exchanges.is_empty() {
        let resources = exchanges
            .iter()
            .map(|(type_url, exchange)| (type_url.clone(), resource_status(exchange)));
        fields.insert("resources".to_owned(), Value::Object(resources.collect()));
    }
    Value::Object(fields)
}

fn resource_status(exchange: &Exchange) -> Value {
    let mut fields = Map::new();
    for (key, text) in [("sent", &exchange.sent), ("acked", &exchange.acknowledged)] {
        if !text.is_empty() {
            fields.insert(key.to_owned(), text.as_str().into());
        }
    }
    // Upstream prints Go's zero time for a response that was never sent.
    let at = exchange.at.map(|at| at.to_string());
    let at = at.unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned());
    fields.insert("sentTime".to_owned(), at.into());
    if !exchange.error.is_empty() {
        fields.insert("lastError".to_owned(), exchange.error.as_str().into());
    }
    Value::Object(fields)
}

/// `/debug/connections`.
pub(super) fn connections(debug: &Debug, question: &Question) -> Answer {
    let all = debug.connections.all();
    let shown = all.iter().filter(|one| question.may_see(&one.namespace));
    clients(shown.map(|connection| client(connection)).collect())
}

/// `/debug/adsz?proxyID=`.
pub(super) fn adsz(debug: &Debug, question: &Question) -> Answer {
    if question
        .parameter("push")
        .is_some_and(|push| !push.is_empty())
    {
        return Answer::Refused(
            400,
            "there is nothing to push: every proxy is told by itself what differs from what it has\n",
        );
    }
    let all = match question.parameter("proxyID").filter(|id| !id.is_empty()) {
        None => debug.connections.all(),
        Some(id) => match debug.connections.find(id) {
            Some(one) if question.may_see(&one.namespace) => vec![one],
            _ => return Answer::Refused(404, super::endpoints::NOT_CONNECTED),
        },
    };
    let shown = all.iter().filter(|one| question.may_see(&one.namespace));
    let described = shown.map(|connection| {
        let mut described = client(connection);
        let metadata = connection.metadata();
        let labels = metadata.get("LABELS").cloned();
        let locality = Some(connection.locality.clone()).filter(|locality| !locality.is_null());
        let watches: Map<String, Value> = connection
            .session
            .watched()
            .into_iter()
            .map(|(type_url, names)| (type_url, names.into()))
            .collect();
        for (key, value) in [
            ("labels", labels),
            ("metadata", Some(metadata)),
            ("locality", locality),
            ("watches", (!watches.is_empty()).then_some(watches.into())),
        ] {
            if let Some(value) = value {
                described.insert(key.to_owned(), value);
            }
        }
        described
    });
    clients(described.collect())
}

fn clients(clients: Vec<Map<String, Value>>) -> Answer {
    let mut fields = json!({"totalClients": clients.len()});
    if !clients.is_empty() {
        fields["clients"] = clients.into_iter().map(Value::Object).collect();
    }
    Answer::Json(fields)
}

fn client(connection: &Connection) -> Map<String, Value> {
    Map::from_iter([
        ("connectionId".to_owned(), connection.id.as_str().into()),
        (
            "connectedAt".to_owned(),
            connection.connected.to_string().into(),
        ),
        ("address".to_owned(), connection.peer.as_str().into()),
    ])
}

/// `/debug/push_status`: what went wrong, by the name of the metric that counts it and the proxy.
pub(super) fn push_status(debug: &Debug, question: &Question) -> Answer {
    let mut rejects: BTreeMap<String, Value> = BTreeMap::new();
    for connection in debug.connections.all() {
        if !question.may_see(&connection.namespace) {
            continue;
        }
        for (type_url, exchange) in connection.exchanges() {
            if !exchange.error.is_empty() {
                rejects.insert(
                    format!("{} {type_url}", connection.proxy),
                    json!({"proxy": connection.proxy, "message": exchange.error}),
                );
            }
        }
    }
    let mut status = Map::new();
    if !rejects.is_empty() {
        let rejects = rejects.into_iter().collect();
        status.insert("pilot_total_xds_rejects".to_owned(), Value::Object(rejects));
    }
    Answer::Json(Value::Object(status))
}

/// Every proxy that `question`'s caller may see, as upstream's tools read it. Tools that ask are streams, too,
/// but no proxies: they have no proxy configuration.
pub(super) fn client_configs(debug: &Debug, question: &Question) -> Vec<ClientConfig> {
    let all = debug.connections.all();
    let shown = all.iter().filter(|one| question.may_see(&one.namespace));
    shown.filter_map(|one| client_config(one)).collect()
}

fn client_config(connection: &Connection) -> Option<ClientConfig> {
    let metadata = connection.metadata();
    metadata.get("PROXY_CONFIG")?;
    let fields = ["CLUSTER_ID", "ISTIO_VERSION", "NAMESPACE"]
        .into_iter()
        .map(|key| (key, text(&metadata, key)))
        .filter(|(_, text)| !text.is_empty())
        .map(|(key, text)| {
            let kind = Some(Kind::StringValue(text.to_owned()));
            (key.to_owned(), WireValue { kind })
        });
    let node = WireNode {
        id: connection.proxy.clone(),
        metadata: Some(Struct {
            fields: fields.collect(),
        }),
        ..Default::default()
    };
    let configs = connection.exchanges().into_iter();
    let configs = configs.map(|(type_url, exchange)| generic(type_url, &exchange));
    Some(ClientConfig {
        node: Some(node),
        generic_xds_configs: configs.collect(),
        ..Default::default()
    })
}

fn generic(type_url: String, exchange: &Exchange) -> GenericXdsConfig {
    let at = exchange.at.map(|at| WireTimestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    });
    let status = if !exchange.error.is_empty() {
        ConfigStatus::Error
    } else if exchange.sent.is_empty() {
        ConfigStatus::NotSent
    } else if exchange.sent == exchange.acknowledged {
        ConfigStatus::Synced
    } else {
        ConfigStatus::Stale
    };
    GenericXdsConfig {
        type_url,
        config_status: status.into(),
        last_updated: at,
        error_state: (!exchange.error.is_empty()).then(|| UpdateFailureState {
            last_update_attempt: at,
            details: exchange.error.clone(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn text<'a>(metadata: &'a Value, key: &str) -> &'a str {
    metadata[key].as_str().unwrap_or_default()
}
