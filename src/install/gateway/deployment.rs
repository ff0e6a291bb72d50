//! The Deployment of a gateway's proxies: command line, environment, volumes and probes.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceFieldSelector, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use base::labels::REVISION;
use base::names::{ISTIO_SYSTEM, port};

use super::{Context, affinity, volumes};
use crate::labels::{self, labels, with};
use crate::pod;
use crate::values::{self, some, some_of, text, texts};

/// The container's name, by which settings find it.
pub(crate) const CONTAINER: &str = "istio-proxy";
/// User and group of the proxy; traffic capture lets its packets pass.
const PROXY_ID: i64 = 1337;
const READINESS_PORT: i32 = 15021;
const ENVOY_METRICS_PORT: i32 = 15090;
const INJECT: &str = "sidecar.istio.io/inject";
const DATAPLANE_MODE: (&str, &str) = ("istio.io/dataplane-mode", "none");

pub(super) fn build(context: Context<'_>) -> Deployment {
    let values = &context.gateway.values;
    pod::Workload {
        metadata: ObjectMeta {
            labels: Some(with(context.labels(), [DATAPLANE_MODE])),
            ..context.metadata()
        },
        replicas: context.gateway.scaling().replicas(),
        selector: values.labels.clone(),
        max_surge: values.rolling_max_surge.clone(),
        max_unavailable: values.rolling_max_unavailable.clone(),
        template: template(context),
    }
    .into()
}

fn template(context: Context<'_>) -> PodTemplateSpec {
    let gateway = context.gateway;
    let values = &gateway.values;
    let revision = context.install.revision_label();
    let version = ["app.kubernetes.io/version", "version"]
        .iter()
        .find_map(|label| values.labels.get(*label))
        .map_or(context.install.revision.as_str(), String::as_str);
    let mut labels = values.labels.clone();
    labels.extend(labels::component(
        labels::of(gateway.application(), context.install),
        gateway.component,
        context.install,
    ));
    let mut labels = with(
        labels,
        [
            DATAPLANE_MODE,
            ("service.istio.io/canonical-name", gateway.name.as_str()),
            (
                "service.istio.io/canonical-revision",
                if version.is_empty() {
                    "latest"
                } else {
                    version
                },
            ),
            (INJECT, "false"),
        ],
    );
    if gateway.namespace == ISTIO_SYSTEM {
        labels = with(
            labels,
            [
                ("chart", "gateways"),
                ("heritage", "Tiller"),
                ("release", "istio"),
            ],
        );
    }
    let mut annotations = self::labels([(REVISION, revision), (INJECT, "false")]);
    if gateway.merges_metrics {
        annotations = with(
            annotations,
            [
                ("prometheus.io/path", "/stats/prometheus"),
                ("prometheus.io/port", "15020"),
                ("prometheus.io/scrape", "true"),
            ],
        );
    }
    annotations.extend(texts(&values.pod_annotations).unwrap_or_default());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            annotations: Some(annotations),
            labels: Some(labels),
            ..Default::default()
        }),
        spec: Some(pod_spec(context)),
    }
}

fn pod_spec(context: Context<'_>) -> PodSpec {
    let values = &context.gateway.values;
    let global = &context.gateway.global;
    // OpenShift gives each namespace a range of ids and refuses others.
    let id = (global.platform != "openshift").then_some(PROXY_ID);
    let mut containers = vec![container(context)];
    containers.extend(values.additional_containers.iter().cloned());
    PodSpec {
        affinity: affinity::build(context),
        containers,
        priority_class_name: some(&global.priority_class_name),
        security_context: (!values.run_as_root).then(|| PodSecurityContext {
            run_as_group: id,
            run_as_non_root: Some(true),
            run_as_user: id,
            ..Default::default()
        }),
        service_account_name: Some(context.account()),
        tolerations: some_of(&values.tolerations).or_else(|| some_of(&global.default_tolerations)),
        volumes: Some(volumes::volumes(context)),
        ..Default::default()
    }
}

fn container(context: Context<'_>) -> Container {
    let gateway = context.gateway;
    let values = &gateway.values;
    let global = &gateway.global;
    let image = if global.proxy.image.is_empty() {
        "proxyv2"
    } else {
        &global.proxy.image
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(global.image(
            image,
            &values.hub,
            &text(&values.tag),
            &global.proxy.variant,
        )),
        image_pull_policy: some(&global.image_pull_policy),
        args: Some(arguments(context)),
        env: Some(pod::unique(environment(context))),
        ports: Some(ports(values)),
        readiness_probe: Some(Probe {
            http_get: Some(HTTPGetAction {
                path: Some("/healthz/ready".to_owned()),
                port: IntOrString::Int(READINESS_PORT),
                scheme: Some("HTTP".to_owned()),
                ..Default::default()
            }),
            failure_threshold: Some(30),
            initial_delay_seconds: Some(1),
            period_seconds: Some(2),
            success_threshold: Some(1),
            timeout_seconds: Some(1),
            ..Default::default()
        }),
        resources: Some(
            values
                .resources
                .or(&global.default_resources)
                .requirements(),
        ),
        security_context: (!values.run_as_root).then(|| SecurityContext {
            privileged: Some(false),
            ..pod::unprivileged()
        }),
        volume_mounts: Some(volumes::mounts(context)),
        ..Default::default()
    }
}

/// The targets of the Service's ports, each once, and Envoy's own metrics.
fn ports(values: &values::Gateway) -> Vec<ContainerPort> {
    let mut ports: Vec<ContainerPort> = Vec::new();
    for service in &values.ports {
        let number = match service.target_port {
            Some(IntOrString::Int(target)) => target,
            _ => service.port,
        };
        let port = ContainerPort {
            protocol: Some(service.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            ..pod::port(number, None)
        };
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports.push(pod::port(ENVOY_METRICS_PORT, Some("http-envoy-prom")));
    ports
}

fn arguments(context: Context<'_>) -> Vec<String> {
    let global = &context.gateway.global;
    let proxy = &global.proxy;
    let mut arguments = vec![
        "proxy".to_owned(),
        "router".to_owned(),
        "--domain".to_owned(),
        format!("$(POD_NAMESPACE).svc.{}", proxy.cluster_domain),
    ];
    for (flag, value) in [
        ("--proxyLogLevel", &proxy.log_level),
        ("--proxyComponentLogLevel", &proxy.component_log_level),
        ("--log_output_level", &global.logging.level),
    ] {
        if !value.is_empty() {
            arguments.push(format!("{flag}={value}"));
        }
    }
    if global.log_as_json {
        arguments.push("--log_as_json".to_owned());
    }
    if global.sts.service_port != 0 {
        arguments.push(format!("--stsPort={}", global.sts.service_port));
    }
    arguments
}

fn environment(context: Context<'_>) -> Vec<EnvVar> {
    let gateway = context.gateway;
    let values = &gateway.values;
    let global = &gateway.global;
    let trust_domain = &context.install.trust_domain;
    let ca = some(&global.ca_address).unwrap_or_else(|| {
        let istiod = context.install.revisioned("istiod");
        format!("{istiod}.{}.svc:{}", global.istio_namespace, port::XDS)
    });
    let mesh = if global.mesh_id.is_empty() {
        trust_domain
    } else {
        &global.mesh_id
    };
    let owner = format!(
        "kubernetes://apis/apps/v1/namespaces/{}/deployments/{}",
        gateway.namespace, gateway.name
    );
    let mut env = vec![
        pod::env("PILOT_CERT_PROVIDER", &global.pilot_cert_provider),
        pod::env("CA_ADDR", ca),
        pod::env_field("NODE_NAME", "spec.nodeName"),
        pod::env_field("POD_NAME", "metadata.name"),
        pod::env_field("POD_NAMESPACE", "metadata.namespace"),
        pod::env_field("INSTANCE_IP", "status.podIP"),
        pod::env_field("HOST_IP", "status.hostIP"),
        cpu_limit(),
        pod::env_field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        pod::env("ISTIO_META_WORKLOAD_NAME", &gateway.name),
        pod::env("ISTIO_META_OWNER", owner),
    ];
    if !mesh.is_empty() {
        env.push(pod::env("ISTIO_META_MESH_ID", mesh));
    }
    if !trust_domain.is_empty() {
        env.push(pod::env("TRUST_DOMAIN", trust_domain));
    }
    if !values.run_as_root {
        env.push(pod::env("ISTIO_META_UNPRIVILEGED_POD", "true"));
    }
    env.extend(pod::env_each(&values.env));
    env.extend(pod::env_each(&gateway.proxy_metadata));
    let network_given = values
        .env
        .get("ISTIO_META_NETWORK")
        .is_some_and(|value| !text(value).is_empty());
    if !network_given && !global.network.is_empty() {
        env.push(pod::env("ISTIO_META_NETWORK", &global.network));
    }
    env.push(pod::env("ISTIO_META_CLUSTER_ID", global.cluster()));
    env.push(pod::env_field("ISTIO_META_NODE_NAME", "spec.nodeName"));
    env
}

/// Whole cores, which the proxy takes as its number of threads.
fn cpu_limit() -> EnvVar {
    EnvVar {
        name: "ISTIO_CPU_LIMIT".to_owned(),
        value_from: Some(EnvVarSource {
            resource_field_ref: Some(ResourceFieldSelector {
                divisor: Some(k8s_openapi::apimachinery::pkg::api::resource::Quantity(
                    "1".to_owned(),
                )),
                resource: "limits.cpu".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}
