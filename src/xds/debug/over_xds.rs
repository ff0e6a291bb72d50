//! The same over xDS. Type `istio.io/debug/syncz` and `istio.io/debug/config_dump` answer with Envoy's status
//! messages (what `istioctl proxy-status` reads); type `istio.io/debug` answers any endpoint, named as the one
//! resource, with the JSON of HTTP. An answer is given once; nothing is watched.

use std::collections::BTreeMap;

use base::SpiffeId;
use bytes::Bytes;
use proto::codec::any;
use proto::google::protobuf::Any;
use proto::pack::Pack;
use tonic::Status;
use tracing::{info, warn};

use super::access::{self, Access};
use super::{Answer, Debug, Question, config_dump, endpoints, sync, written};

const PREFIX: &str = "istio.io/debug";
const SYNC: &str = "istio.io/debug/syncz";
const CONFIG_DUMP: &str = "istio.io/debug/config_dump";

/// What a request of either variant of the protocol asks.
pub(crate) struct Asked<'a> {
    pub type_url: &'a str,
    /// Nonce of the response that it is about, empty for a question.
    pub nonce: &'a str,
    /// Why that response was refused.
    pub error: Option<&'a str>,
    /// Names that it subscribes to.
    pub names: &'a [String],
}

/// Whether a type is one of these.
pub(crate) fn is_debug(type_url: &str) -> bool {
    let rest = type_url.strip_prefix(PREFIX);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The named resources that answer a question of a proven caller.
///
/// # Errors
/// The status that ends the stream.
pub(crate) fn answer(
    debug: &Debug,
    asked: &Asked<'_>,
    caller: Option<&SpiffeId>,
) -> Result<Vec<(String, Any)>, Status> {
    let Some(caller) = caller else {
        warn!(
            type_url = asked.type_url,
            "debug request refused: it came over the port without identities"
        );
        return Err(Status::unauthenticated("authentication required"));
    };
    match asked.type_url {
        SYNC => {
            let question = of_own_namespace(debug, caller, "syncz");
            let configs = sync::client_configs(debug, &question).into_iter();
            Ok(configs
                .map(|config| {
                    let name = config.node.as_ref().map(|node| node.id.clone());
                    (name.unwrap_or_default(), config.pack())
                })
                .collect())
        }
        CONFIG_DUMP => {
            let question = of_own_namespace(debug, caller, "config_dump");
            let [proxy] = asked.names else {
                info!(names = ?asked.names, "config_dump asks for one proxy");
                return Ok(Vec::new());
            };
            let found = debug.connections.find(proxy);
            let found = found.filter(|connection| question.may_see(&connection.namespace));
            let frames = found.map(|connection| config_dump::frames(&connection, false));
            let frames = frames.unwrap_or_default().into_iter();
            Ok(frames.map(|frame| (String::new(), frame)).collect())
        }
        _ => named(debug, asked, caller),
    }
}

/// Any endpoint: its path and query are the name of the resource.
fn named(
    debug: &Debug,
    asked: &Asked<'_>,
    caller: &SpiffeId,
) -> Result<Vec<(String, Any)>, Status> {
    let [name] = asked.names else {
        return Err(Status::invalid_argument(
            "exactly one debug request is required",
        ));
    };
    let (path, query) = name.split_once('?').unwrap_or((name, ""));
    let confined = match access::of_namespace(debug, &caller.namespace, path) {
        Access::All => None,
        Access::Namespace(namespace) => Some(namespace),
        Access::Denied => {
            warn!(identity = %caller, path, "debug request refused: not of the system namespace");
            return Err(Status::permission_denied(
                "the debug info is not available for current identity",
            ));
        }
    };
    let question = Question {
        path: path.to_owned(),
        parameters: parameters(query),
        confined,
    };
    let body = match endpoints::answer(debug, &question) {
        Some(Answer::Json(value)) => value.to_string(),
        Some(Answer::Listed(texts)) => written::joined(&texts),
        Some(Answer::Refused(_, why)) => why.to_owned(),
        None => "404 page not found\n".to_owned(),
    };
    Ok(vec![(name.clone(), any(PREFIX, Bytes::from(body)))])
}

/// Unlike over HTTP, everyone may ask how far the proxies of the own namespace are.
fn of_own_namespace(debug: &Debug, caller: &SpiffeId, path: &str) -> Question {
    let own = caller.namespace != debug.system_namespace;
    Question {
        path: path.to_owned(),
        parameters: BTreeMap::new(),
        confined: own.then(|| caller.namespace.clone()),
    }
}

/// The parameters of a query as tools write it: names of pods and types, which need no escaping.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests;
