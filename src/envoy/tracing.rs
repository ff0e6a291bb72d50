//! Tracing of requests: how many, who takes the spans, and how ids of requests say that they are
//! traced. What spans say is in `tags`, what each kind of collector is told in `provider`.

mod provider;
mod tags;

use std::sync::LazyLock;

use api::proxy_config;
use bytes::Bytes;
use mesh::{Role, Scope, Spans, Tracer};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::Tracing;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, RequestIdExtension,
};
use proto::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;
use proto::envoy::r#type::v3::Percent;
use proto::pack::{Pack, Put};
use proto::writer::Writer;
use tags::Tags;

use crate::listener::filter_chain::Side;
use crate::parts::{flag, number};

/// Field numbers of `HttpConnectionManager`.
const TRACING: u32 = 7;

/// Writes how requests are traced, and how their ids say that they are, as a connection manager has it.
pub(crate) fn put(scope: &Scope, side: Side, manager: &mut Writer) {
    /// By whether ids of requests say what is traced.
    static IDS: LazyLock<[Bytes; 2]> = LazyLock::new(|| [false, true].map(ids));
    let traced = match &side.reports(scope).spans {
        Spans::OfMesh => scope.config.enable_tracing.then(|| of_mesh(scope)),
        Spans::Off => None,
        Spans::To(tracer) => to(scope, tracer),
    };
    let by_id = match (&side.reports(scope).spans, &traced) {
        (Spans::To(tracer), Some(_)) => tracer.by_request_id,
        _ => true,
    };
    if let Some(Traced { rest, tags }) = traced {
        manager.block(TRACING, |tracing| {
            rest.put(tracing);
            tags.put(&scope.workload, tracing);
        });
    }
    manager.raw(&IDS[usize::from(by_id)]);
}

/// How requests are traced.
struct Traced {
    /// All but the tags.
    rest: Tracing,
    tags: Tags,
}

fn ids(by_request_id: bool) -> Bytes {
    let ids = UuidRequestIdConfig {
        use_request_id_for_trace_sampling: flag(by_request_id),
        ..Default::default()
    };
    let manager = HttpConnectionManager {
        request_id_extension: Some(RequestIdExtension {
            typed_config: Some(ids.pack()),
        }),
        ..Default::default()
    };
    manager.fields()
}

/// Spans for whoever the bootstrap names.
fn of_mesh(scope: &Scope) -> Traced {
    let own = settings(scope);
    Traced {
        rest: Tracing {
            max_path_tag_length: longest(0, own),
            ..sampled(share(scope))
        },
        tags: Tags {
            of_workload: own.is_none_or(|own| own.enable_istio_tags != Some(false)),
            further: tags::written(own),
        },
    }
}

/// Spans for a provider.
fn to(scope: &Scope, tracer: &Tracer) -> Option<Traced> {
    let made = provider::of(scope, &tracer.by)?;
    let own = settings(scope);
    let further = match tracer.tags.is_empty() {
        true => tags::written(own),
        false => tags::told(scope, &tracer.tags),
    };
    let share = match made.decides {
        true => 100.0,
        false => tracer.sampling.unwrap_or_else(|| share(scope)),
    };
    // A gateway is no end of a call, and SkyWalking counts both ends.
    let both = scope.role == Role::Router || tracer.by.provider.skywalking.is_some();
    let silent = scope.settings.version >= Some((1, 30)) && !tracer.carries_on;
    Some(Traced {
        rest: Tracing {
            provider: Some(made.http),
            spawn_upstream_span: flag(true).filter(|_| both),
            max_path_tag_length: longest(made.longest, own),
            no_context_propagation: silent,
            ..sampled(share)
        },
        tags: Tags {
            of_workload: tracer.names_workload,
            further,
        },
    })
}

fn settings(scope: &Scope) -> Option<&proxy_config::Tracing> {
    let own = scope.settings.config(&scope.config.default_config);
    own.tracing.as_ref()
}

fn sampled(share: f64) -> Tracing {
    let percent = |value: f64| Some(Percent { value });
    Tracing {
        client_sampling: percent(100.0),
        random_sampling: percent(share),
        overall_sampling: percent(100.0),
        ..Default::default()
    }
}

/// The share of requests where no Telemetry says it, percents.
fn share(scope: &Scope) -> f64 {
    let written = settings(scope).and_then(|own| own.sampling);
    match written.filter(|share| *share != 0.0) {
        // A share that cannot be is the default of one that is said.
        Some(share) if share > 100.0 => 1.0,
        Some(share) => share,
        None => f64::from(scope.features.trace_sampling) / 100.0,
    }
}

/// The longest path in spans, of the provider or else of the proxy's settings.
fn longest(
    of_provider: u32,
    own: Option<&proxy_config::Tracing>,
) -> Option<proto::google::protobuf::UInt32Value> {
    let longest = match of_provider {
        0 => own.map_or(0, |own| own.max_path_tag_length),
        longest => longest,
    };
    number(longest).filter(|_| longest != 0)
}
