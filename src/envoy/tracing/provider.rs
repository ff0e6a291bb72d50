//! What Envoy is told of those who take spans, one function per kind of collector.

use api::mesh_config::{DynatraceSampler, Enrichment, Header, HttpService, OpenTelemetry, Zipkin};
use mesh::{Collector, Destination, Scope};
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::trace::v3 as trace;
use proto::envoy::extensions::tracers::opentelemetry::resource_detectors::v3::{
    DynatraceResourceDetectorConfig, EnvironmentResourceDetectorConfig,
};
use proto::envoy::extensions::tracers::opentelemetry::samplers::v3::DynatraceSamplerConfig;
use proto::google::protobuf::Any;
use proto::pack::Pack;

use api::duration::Duration;

use crate::names;
use crate::parts::{flag, grpc_service, span};

/// How long Envoy waits for those who take spans, when nothing is said: it takes no service without
/// a limit. Upstream leaves it out for OpenTelemetry, whereupon Envoy refuses the listener.
const PATIENCE: Duration = Duration::seconds(5);

/// Somebody who takes spans.
pub(super) struct Made {
    pub(super) http: trace::tracing::Http,
    /// The longest path that it takes, 0 for Envoy's default.
    pub(super) longest: u32,
    /// Whether it decides itself which requests leave spans.
    pub(super) decides: bool,
}

/// What a provider takes; nothing when its service is not there.
pub(super) fn of(scope: &Scope, by: &Collector) -> Option<Made> {
    let at = by.at.as_ref()?;
    let provider = &by.provider;
    // A Sidecar or `exportTo` may hide the service, and with these Envoy refuses a listener that sends spans to a
    // cluster which it does not have.
    let demanding = provider.zipkin.is_some() || provider.datadog.is_some();
    if demanding && !scope.outbound.has(at) {
        return None;
    }
    let service = &scope.workload.traced_as;
    if let Some(own) = &provider.zipkin {
        let config = zipkin(scope, own, at);
        return Some(made("zipkin", config, own.max_tag_length));
    }
    if let Some(own) = &provider.datadog {
        let config = trace::DatadogConfig {
            collector_cluster: names::outbound(at.port, "", &at.host),
            service_name: service.canonical.clone(),
            collector_hostname: at.host.clone(),
            ..Default::default()
        };
        return Some(made("datadog", config.pack(), own.max_tag_length));
    }
    if provider.skywalking.is_some() {
        let config = trace::SkyWalkingConfig {
            grpc_service: Some(grpc_service(at)),
            ..Default::default()
        };
        return Some(made("skywalking", config.pack(), 0));
    }
    let own = provider.opentelemetry.as_ref()?;
    let config = opentelemetry(scope, own, by, at)?;
    Some(Made {
        decides: own.dynatrace_sampler.is_some(),
        ..made("opentelemetry", config, own.max_tag_length)
    })
}

fn made(kind: &str, config: Any, longest: u32) -> Made {
    Made {
        http: trace::tracing::Http {
            name: format!("envoy.tracers.{kind}"),
            config_type: Some(trace::tracing::http::ConfigType::TypedConfig(config)),
        },
        longest,
        decides: false,
    }
}

fn zipkin(scope: &Scope, own: &Zipkin, at: &Destination) -> Any {
    use trace::zipkin_config::{CollectorEndpointVersion, TraceContextOption};
    let path = match own.path.as_str() {
        "" => "/api/v2/spans",
        path => path,
    };
    let cluster = names::outbound(at.port, "", &at.host);
    let mut config = trace::ZipkinConfig {
        collector_endpoint_version: CollectorEndpointVersion::HttpJson as i32,
        trace_id_128bit: !own.enable64bit_trace_id,
        shared_span_context: flag(false),
        ..Default::default()
    };
    let version = scope.settings.version;
    if version >= Some((1, 29)) {
        let how = HttpService {
            path: String::new(),
            timeout: own.timeout,
            headers: own.headers.clone(),
        };
        let uri = format!("http://{}{path}", at.host);
        config.collector_service = Some(posted(scope, uri, cluster, &how));
    } else {
        config.collector_cluster = cluster;
        config.collector_endpoint = path.to_owned();
        config.collector_hostname.clone_from(&at.host);
    }
    if version >= Some((1, 28)) {
        config.trace_context_option = match own.trace_context_option {
            api::mesh_config::TraceContext::UseB3 => TraceContextOption::UseB3,
            api::mesh_config::TraceContext::UseB3WithW3cPropagation => {
                TraceContextOption::UseB3WithW3cPropagation
            }
        } as i32;
    }
    config.pack()
}

fn opentelemetry(
    scope: &Scope,
    own: &OpenTelemetry,
    by: &Collector,
    at: &Destination,
) -> Option<Any> {
    let service = &scope.workload.traced_as;
    let conventional = own.service_attribute_enrichment == Enrichment::OtelSemanticConventions;
    let name = match conventional {
        true => &service.conventional,
        false => &service.canonical,
    };
    let mut config = trace::OpenTelemetryConfig {
        service_name: name.clone(),
        ..Default::default()
    };
    match &own.http {
        Some(how) => {
            let cluster = names::outbound(at.port, "", &at.host);
            let uri = joined(&at.host, &how.path);
            config.http_service = Some(posted(scope, uri, cluster, how));
        }
        None => {
            let how = own.grpc.clone().unwrap_or_default();
            config.grpc_service = Some(core::GrpcService {
                timeout: how.timeout.and_then(span),
                initial_metadata: how
                    .initial_metadata
                    .iter()
                    .map(|own| header(scope, own))
                    .collect(),
                ..grpc_service(at)
            });
        }
    }
    let asked = own.resource_detectors.as_ref();
    let environment = asked.is_some_and(|asked| asked.environment.is_some());
    let dynatrace = asked.is_some_and(|asked| asked.dynatrace.is_some());
    let detector = |name: &str, config: Any| core::TypedExtensionConfig {
        name: format!("envoy.tracers.opentelemetry.resource_detectors.{name}"),
        typed_config: Some(config),
    };
    let of_environment = || {
        let config = EnvironmentResourceDetectorConfig::default();
        detector("environment", config.pack())
    };
    config
        .resource_detectors
        .extend(environment.then(of_environment));
    if dynatrace {
        let config_of = DynatraceResourceDetectorConfig::default();
        let found = detector("dynatrace", config_of.pack());
        config.resource_detectors.push(found);
    }
    if conventional && !environment {
        config.resource_detectors.push(of_environment());
    }
    if let Some(sampler) = &own.dynatrace_sampler {
        config.sampler = Some(dynatrace_sampler(scope, sampler, own, by, at)?);
    }
    Some(config.pack())
}

/// Who is asked what is to be sampled: a service of its own, or whoever spans are posted to.
fn dynatrace_sampler(
    scope: &Scope,
    sampler: &DynatraceSampler,
    own: &OpenTelemetry,
    by: &Collector,
    at: &Destination,
) -> Option<core::TypedExtensionConfig> {
    let (at, path, how) = match &sampler.http_service {
        Some(api) => (by.sampler.as_ref()?, api.http.path.as_str(), &api.http),
        None => (at, "api/v2/samplingConfiguration", own.http.as_ref()?),
    };
    let cluster = names::outbound(at.port, "", &at.host);
    let config = DynatraceSamplerConfig {
        tenant: sampler.tenant.clone(),
        cluster_id: sampler.cluster_id,
        root_spans_per_minute: sampler.root_spans_per_minute,
        http_service: Some(posted(scope, joined(&at.host, path), cluster, how)),
    };
    Some(core::TypedExtensionConfig {
        name: "envoy.tracers.opentelemetry.samplers.dynatrace".to_owned(),
        typed_config: Some(config.pack()),
    })
}

fn posted(scope: &Scope, uri: String, cluster: String, how: &HttpService) -> core::HttpService {
    use core::header_value_option::HeaderAppendAction;
    let headers = how.headers.iter().map(|own| core::HeaderValueOption {
        header: Some(header(scope, own)),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..Default::default()
    });
    core::HttpService {
        http_uri: Some(core::HttpUri {
            uri,
            timeout: span(how.timeout.unwrap_or(PATIENCE)),
            http_upstream_type: Some(core::http_uri::HttpUpstreamType::Cluster(cluster)),
        }),
        request_headers_to_add: headers.collect(),
        ..Default::default()
    }
}

fn header(scope: &Scope, own: &Header) -> core::HeaderValue {
    let named = own.env_name.as_ref();
    let of_environment = named.and_then(|name| scope.features.variables.get(name));
    let value = own.value.as_ref().or(of_environment);
    core::HeaderValue {
        key: own.name.clone(),
        value: value.cloned().unwrap_or_default(),
        ..Default::default()
    }
}

/// A path below a host, without steps that lead nowhere.
fn joined(host: &str, path: &str) -> String {
    let mut steps = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    let mut uri = host.to_owned();
    for step in &steps {
        uri.push('/');
        uri.push_str(step);
    }
    if path.ends_with('/') {
        uri.push('/');
    }
    uri
}
