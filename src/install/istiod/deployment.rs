//! The Deployment that runs istiod: its command line, environment, volumes and probes.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar,
    HTTPGetAction, PodSpec, PodTemplateSpec, Probe, SecurityContext, Toleration, Volume,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use base::labels::REVISION;
use base::names::{PLUGGED_IN_CA_SECRET, ROOT_CERT_CONFIG_MAP, port as ports};

use super::Context;
use super::config::JWKS_ROOTS;
use crate::Component;
use crate::labels::{self, Labels, labels, with};
use crate::pod;
use crate::values::{some, some_of, text, texts};

/// The container's name, by which settings find it.
pub(crate) const CONTAINER: &str = "discovery";
const INJECT: &str = "sidecar.istio.io/inject";

pub(super) fn build(context: Context<'_>) -> Deployment {
    let values = &context.pilot.values;
    let mut labels = with(context.labels(), [("app", "istiod"), ("istio", "pilot")]);
    labels.extend(texts(&values.deployment_labels).unwrap_or_default());
    pod::Workload {
        metadata: ObjectMeta {
            annotations: texts(&values.deployment_annotations),
            ..context.metadata(labels)
        },
        replicas: context.pilot.scaling().replicas(),
        selector: selector(context),
        max_surge: values.rolling_max_surge.clone(),
        max_unavailable: values.rolling_max_unavailable.clone(),
        template: template(context),
    }
    .into()
}

fn selector(context: Context<'_>) -> Labels {
    match context.install.revision.as_str() {
        "" => labels([("istio", "pilot")]),
        revision => labels([("app", "istiod"), (REVISION, revision)]),
    }
}

fn template(context: Context<'_>) -> PodTemplateSpec {
    let values = &context.pilot.values;
    let istio = if context.install.revision.is_empty() {
        "pilot"
    } else {
        "istiod"
    };
    let mut labels = with(
        labels::component(
            labels::of("istiod", context.install),
            Component::Pilot,
            context.install,
        ),
        [
            ("app", "istiod"),
            ("istio", istio),
            ("istio.io/dataplane-mode", "none"),
            (INJECT, "false"),
        ],
    );
    labels.extend(texts(&values.pod_labels).unwrap_or_default());
    let mut annotations = self::labels([
        ("prometheus.io/port", "15014"),
        ("prometheus.io/scrape", "true"),
        (INJECT, "false"),
    ]);
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
    let values = &context.pilot.values;
    let mut tolerations = vec![Toleration {
        key: Some("cni.istio.io/not-ready".to_owned()),
        operator: Some("Exists".to_owned()),
        ..Default::default()
    }];
    tolerations.extend(values.tolerations.iter().cloned());
    PodSpec {
        affinity: values.affinity.clone(),
        containers: vec![container(context)],
        init_containers: some_of(&values.init_containers),
        node_selector: texts(&values.node_selector),
        priority_class_name: some(&values.global.priority_class_name),
        service_account_name: Some(context.name()),
        tolerations: Some(tolerations),
        topology_spread_constraints: some_of(&values.topology_spread_constraints),
        volumes: Some(volumes(context)),
        ..Default::default()
    }
}

fn container(context: Context<'_>) -> Container {
    let values = &context.pilot.values;
    let global = &values.global;
    let image = if values.image.is_empty() {
        "pilot"
    } else {
        &values.image
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(global.image(image, &values.hub, &text(&values.tag), &values.variant)),
        image_pull_policy: some(&global.image_pull_policy),
        termination_message_policy: some(&values.termination_message_policy),
        args: Some(arguments(context)),
        env: Some(pod::unique(environment(context))),
        ports: Some(
            [
                (ports::HTTP, "http-debug"),
                (ports::XDS_PLAINTEXT, "grpc-xds"),
                (ports::XDS, "tls-xds"),
                (ports::WEBHOOK, "https-webhooks"),
                (ports::MONITORING, "http-monitoring"),
            ]
            .into_iter()
            .map(|(number, name)| pod::port(i32::from(number), Some(name)))
            .collect(),
        ),
        readiness_probe: Some(Probe {
            http_get: Some(HTTPGetAction {
                path: Some("/ready".to_owned()),
                port: IntOrString::Int(i32::from(ports::HTTP)),
                ..Default::default()
            }),
            initial_delay_seconds: Some(1),
            period_seconds: Some(3),
            timeout_seconds: Some(5),
            ..Default::default()
        }),
        resources: Some(
            values
                .resources
                .or(&global.default_resources)
                .requirements(),
        ),
        security_context: Some(SecurityContext {
            run_as_non_root: Some(true),
            // The default values have an empty map, which is no profile.
            seccomp_profile: (values.seccomp_profile.clone())
                .filter(|profile| !profile.type_.is_empty()),
            ..pod::unprivileged()
        }),
        volume_mounts: Some(mounts(context)),
        ..Default::default()
    }
}

fn arguments(context: Context<'_>) -> Vec<String> {
    let values = &context.pilot.values;
    let global = &values.global;
    let mut arguments = vec![
        "discovery".to_owned(),
        format!("--monitoringAddr=:{}", ports::MONITORING),
    ];
    if !global.logging.level.is_empty() {
        arguments.push(format!("--log_output_level={}", global.logging.level));
    }
    if global.log_as_json {
        arguments.push("--log_as_json".to_owned());
    }
    arguments.push("--domain".to_owned());
    arguments.push(global.proxy.cluster_domain.clone());
    if !values.taint.namespace.is_empty() {
        arguments.push(format!("--cniNamespace={}", values.taint.namespace));
    }
    arguments.push("--keepaliveMaxServerConnectionAge".to_owned());
    arguments.push(values.keepalive_max_server_connection_age.clone());
    arguments.extend(values.extra_container_args.iter().cloned());
    arguments
}

fn environment(context: Context<'_>) -> Vec<EnvVar> {
    let values = &context.pilot.values;
    let global = &values.global;
    let given = |name: &str| values.env.get(name).map(text).unwrap_or_default();
    let mut env = vec![
        pod::env("REVISION", context.install.revision_label()),
        pod::env("PILOT_CERT_PROVIDER", &global.pilot_cert_provider),
        pod::env_field("POD_NAME", "metadata.name"),
        pod::env_field("POD_NAMESPACE", "metadata.namespace"),
        pod::env_field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        pod::env("KUBECONFIG", "/var/run/secrets/remote/config"),
    ];
    if given("CA_TRUSTED_NODE_ACCOUNTS").is_empty() {
        let namespace = match values.trusted_ztunnel_namespace.as_str() {
            "" => &context.pilot.namespace,
            namespace => namespace,
        };
        let name = match values.trusted_ztunnel_name.as_str() {
            "" => "ztunnel",
            name => name,
        };
        env.push(pod::env(
            "CA_TRUSTED_NODE_ACCOUNTS",
            format!("{namespace}/{name}"),
        ));
    }
    env.extend(pod::env_each(&values.env));
    env.extend(values.env_var_from.iter().cloned());
    if let Some(percent) = values.trace_sampling.filter(|percent| *percent != 0.0) {
        env.push(pod::env("PILOT_TRACE_SAMPLING", percent.to_string()));
    }
    if values.taint.enabled {
        env.push(pod::env("PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS", "true"));
        env.push(pod::env(
            "PILOT_NODE_UNTAINT_CONTROLLERS_TAINT_NAME",
            &values.taint.name,
        ));
    }
    if global.external_istiod && given("EXTERNAL_ISTIOD").is_empty() {
        env.push(pod::env("EXTERNAL_ISTIOD", "true"));
    }
    for (name, value) in [
        ("PILOT_CA_CERT_CONFIGMAP", &global.trust_bundle_name),
        ("PILOT_CRL_CONFIGMAP", &values.crl_config_map_name),
    ] {
        if !value.is_empty() {
            env.push(pod::env(name, value));
        }
    }
    let platform = match global.platform.as_str() {
        "" => &values.platform,
        platform => platform,
    };
    env.push(pod::env(
        "PILOT_ENABLE_ANALYSIS",
        global.istiod.enable_analysis.to_string(),
    ));
    env.push(pod::env("CLUSTER_ID", global.cluster()));
    env.push(pod::env("PLATFORM", platform));
    env
}

fn mounts(context: Context<'_>) -> Vec<VolumeMount> {
    let values = &context.pilot.values;
    let mut mounts = vec![
        pod::read_only("istio-token", "/var/run/secrets/tokens"),
        pod::mount("local-certs", "/var/run/secrets/istio-dns"),
        pod::read_only("cacerts", "/etc/cacerts"),
        pod::read_only("istio-kubeconfig", "/var/run/secrets/remote"),
        pod::read_only("istio-csr-dns-cert", "/var/run/secrets/istiod/tls"),
        pod::read_only("istio-csr-ca-configmap", "/var/run/secrets/istiod/ca"),
    ];
    if !values.jwks_resolver_extra_root_ca.is_empty() {
        mounts.push(pod::mount("extracacerts", "/cacerts"));
    }
    mounts.extend(values.volume_mounts.iter().cloned());
    mounts
}

fn volumes(context: Context<'_>) -> Vec<Volume> {
    let values = &context.pilot.values;
    let mut volumes = vec![
        Volume {
            name: "local-certs".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        },
        pod::token(&values.global.sds.token.aud),
        pod::optional_secret("cacerts", PLUGGED_IN_CA_SECRET),
        pod::optional_secret("istio-kubeconfig", "istio-kubeconfig"),
        pod::optional_secret("istio-csr-dns-cert", "istiod-tls"),
        root_certificate(context),
    ];
    if !values.jwks_resolver_extra_root_ca.is_empty() {
        let roots = context.install.revisioned(JWKS_ROOTS);
        volumes.push(pod::config_map("extracacerts", &roots, None));
    }
    volumes.extend(values.volumes.iter().cloned());
    volumes
}

/// The mesh's root, from the cluster's own store of roots where istiod is told to use it.
fn root_certificate(context: Context<'_>) -> Volume {
    let values = &context.pilot.values;
    let name = "istio-csr-ca-configmap";
    let bundle = &values.global.trust_bundle_name;
    if values.env.get("ENABLE_CLUSTER_TRUST_BUNDLE_API") == Some(&Value::Bool(true)) {
        return pod::projected(
            name,
            VolumeProjection {
                cluster_trust_bundle: Some(ClusterTrustBundleProjection {
                    name: Some(trust_bundle(bundle)),
                    path: base::names::ROOT_CERT_KEY.to_owned(),
                    optional: Some(true),
                    ..Default::default()
                }),
                ..Default::default()
            },
        );
    }
    Volume {
        name: name.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: some(bundle).unwrap_or_else(|| ROOT_CERT_CONFIG_MAP.to_owned()),
            default_mode: Some(0o644),
            optional: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The ClusterTrustBundle that holds the mesh's root.
pub(crate) fn trust_bundle(name: &str) -> String {
    let name = if name.is_empty() { "root-cert" } else { name };
    format!("istio.io:istiod-ca:{name}")
}
