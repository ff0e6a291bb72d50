//! Tracing of requests: how many, who takes the spans, and how ids of requests say that they are
//! traced. What spans say is in `tags`, what each kind of collector is told in `provider`.

mod provider;
mod tags;

use api::proxy_config;
use mesh::{Role, Scope, Spans, Tracer};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::RequestIdExtension;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::Tracing;
use proto::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;
use proto::envoy::r#type::v3::Percent;
use proto::pack::Pack;

use crate::listener::filter_chain::Side;
use crate::parts::{flag, number};

/// How requests are traced, and how their ids say that they are.
pub(crate) struct Traced {
    pub(crate) tracing: Option<Tracing>,
    pub(crate) request_id: RequestIdExtension,
}

pub(crate) fn of(scope: &Scope, side: Side) -> Traced {
    match &side.reports(scope).spans {
        Spans::OfMesh => traced(scope.config.enable_tracing.then(|| of_mesh(scope)), true),
        Spans::Off => traced(None, true),
        Spans::To(tracer) => match to(scope, tracer) {
            Some(tracing) => traced(Some(tracing), tracer.by_request_id),
            None => traced(None, true),
        },
    }
}

fn traced(tracing: Option<Tracing>, by_request_id: bool) -> Traced {
    let request_id = UuidRequestIdConfig {
        use_request_id_for_trace_sampling: flag(by_request_id),
        ..Default::default()
    };
    Traced {
        tracing,
        request_id: RequestIdExtension {
            typed_config: Some(request_id.pack()),
        },
    }
}

/// Spans for whoever the bootstrap names.
fn of_mesh(scope: &Scope) -> Tracing {
    let own = settings(scope);
    let names_workload = own.is_none_or(|own| own.enable_istio_tags != Some(false));
    let tags = tags::all(scope, names_workload, tags::written(own));
    Tracing {
        max_path_tag_length: longest(0, own),
        ..sampled(share(scope), tags)
    }
}

/// Spans for a provider.
fn to(scope: &Scope, tracer: &Tracer) -> Option<Tracing> {
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
    Some(Tracing {
        provider: Some(made.http),
        spawn_upstream_span: flag(true).filter(|_| both),
        max_path_tag_length: longest(made.longest, own),
        no_context_propagation: silent,
        ..sampled(share, tags::all(scope, tracer.names_workload, further))
    })
}

fn settings(scope: &Scope) -> Option<&proxy_config::Tracing> {
    let own = scope.settings.config(&scope.config.default_config);
    own.tracing.as_ref()
}

fn sampled(share: f64, tags: Vec<proto::envoy::r#type::tracing::v3::CustomTag>) -> Tracing {
    let percent = |value: f64| Some(Percent { value });
    Tracing {
        client_sampling: percent(100.0),
        random_sampling: percent(share),
        overall_sampling: percent(100.0),
        custom_tags: tags,
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
