//! The table of debug endpoints: name, help, and who answers.

use serde_json::Value;

use super::{Answer, Debug, Question, config_dump, registry, sync, views, written};

/// Told when a proxy is unknown here; tools look for these words and ask the next instance.
pub(super) const NOT_CONNECTED: &str =
    "Proxy not connected to this Pilot instance. It may be connected to another instance.\n";

type Answering = fn(&Debug, &Question) -> Answer;

/// One endpoint below `/debug/`.
pub(super) struct Endpoint {
    pub name: &'static str,
    pub help: &'static str,
    answer: Answering,
}

/// Those that callers from outside of the system namespace may use, for proxies of their own namespace.
pub(super) const OF_OWN_NAMESPACE: [&str; 3] = ["config_dump", "ndsz", "edsz"];

/// All of them, by name.
pub(super) const ENDPOINTS: [Endpoint; 25] = [
    Endpoint {
        name: "adsz",
        help: "Streams of the aggregated discovery service; proxyID= shows one",
        answer: sync::adsz,
    },
    Endpoint {
        name: "authorizationz",
        help: "The AuthorizationPolicies, by namespace",
        answer: |debug, _| written::authorizationz(debug),
    },
    Endpoint {
        name: "cachez",
        help: "What is kept for the connected proxies; sizes= counts bytes",
        answer: views::cachez,
    },
    Endpoint {
        name: "clusterz",
        help: "The clusters that endpoints are read from",
        answer: |debug, _| views::clusterz(debug),
    },
    Endpoint {
        name: "config_dump",
        help: "What the proxy of proxyID= is to have, as Envoy's admin interface would show it",
        answer: config_dump::answer,
    },
    Endpoint {
        name: "configz",
        help: "The configuration objects that are followed",
        answer: |debug, _| written::objects(debug),
    },
    Endpoint {
        name: "connections",
        help: "The connected xDS clients",
        answer: sync::connections,
    },
    Endpoint {
        name: "ecdsz",
        help: "Extension configurations of the proxy of proxyID=",
        answer: |debug, question| config_dump::of_type(debug, question, "ecds"),
    },
    Endpoint {
        name: "edsz",
        help: "Endpoints of the proxy of proxyID=",
        answer: |debug, question| config_dump::of_type(debug, question, "eds"),
    },
    Endpoint {
        name: "endpointShardz",
        help: "Endpoints of all hosts",
        answer: |debug, _| registry::shards(debug),
    },
    Endpoint {
        name: "endpointz",
        help: "The same as endpointShardz",
        answer: |debug, _| registry::shards(debug),
    },
    Endpoint {
        name: "inject",
        help: "The templates of injection",
        answer: |debug, _| written::inject(debug),
    },
    Endpoint {
        name: "instancesz",
        help: "The services that connected proxies stand for",
        answer: views::instancesz,
    },
    Endpoint {
        name: "list",
        help: "The names of all endpoints, as JSON",
        answer: |_, _| list(),
    },
    Endpoint {
        name: "mcsz",
        help: "Services of several clusters: there are none",
        answer: |_, _| Answer::Json(Value::Array(Vec::new())),
    },
    Endpoint {
        name: "mesh",
        help: "The mesh configuration, with its defaults",
        answer: |debug, _| written::mesh_config(debug),
    },
    Endpoint {
        name: "ndsz",
        help: "Name table of the proxy of proxyID=",
        answer: |debug, question| config_dump::of_type(debug, question, "nds"),
    },
    Endpoint {
        name: "networkz",
        help: "The gateways into other networks",
        answer: |debug, _| views::networkz(debug),
    },
    Endpoint {
        name: "push_status",
        help: "What proxies refused",
        answer: sync::push_status,
    },
    Endpoint {
        name: "pushcontext",
        help: "What concerns the whole mesh: AuthorizationPolicies, gateways into other networks",
        answer: |debug, _| written::pushcontext(debug),
    },
    Endpoint {
        name: "registryz",
        help: "All services",
        answer: |debug, _| registry::services(debug),
    },
    Endpoint {
        name: "resourcesz",
        help: "The kinds of configuration objects that are followed",
        answer: |_, _| written::followed(),
    },
    Endpoint {
        name: "sidecarz",
        help: "What the proxy of proxyID= can call",
        answer: views::sidecarz,
    },
    Endpoint {
        name: "syncz",
        help: "How far each connected proxy is",
        answer: sync::syncz,
    },
    Endpoint {
        name: "telemetryz",
        help: "The Telemetries, by namespace; proxyID= shows those that hold for one proxy",
        answer: written::telemetryz,
    },
];

/// The answer to a question; `None` when there is no such endpoint.
pub(super) fn answer(debug: &Debug, question: &Question) -> Option<Answer> {
    let found = ENDPOINTS.iter().find(|one| one.name == question.path)?;
    Some((found.answer)(debug, question))
}

fn list() -> Answer {
    let names = ENDPOINTS.iter().map(|endpoint| endpoint.name);
    let others = names.filter(|name| *name != "list");
    Answer::Json(others.map(Value::from).collect())
}
