//! The volumes of a gateway's pods, and where the proxy finds them.

use k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, DownwardAPIVolumeFile, DownwardAPIVolumeSource,
    ObjectFieldSelector, Volume, VolumeMount, VolumeProjection,
};

use base::names::{ROOT_CERT_CONFIG_MAP, ROOT_CERT_KEY};

use super::Context;
use crate::istiod::trust_bundle;
use crate::pod;
use crate::values::some;

/// Where the proxy finds what it reads and writes.
pub(super) fn mounts(context: Context<'_>) -> Vec<VolumeMount> {
    let values = &context.gateway.values;
    let global = &context.gateway.global;
    let mut mounts = vec![
        pod::mount("workload-socket", "/var/run/secrets/workload-spiffe-uds"),
        pod::mount("credential-socket", "/var/run/secrets/credential-uds"),
        pod::mount(
            "workload-certs",
            "/var/run/secrets/workload-spiffe-credentials",
        ),
        pod::mount("istio-envoy", "/etc/istio/proxy"),
        pod::mount("config-volume", "/etc/istio/config"),
    ];
    if global.pilot_cert_provider == "istiod" {
        mounts.push(pod::mount("istiod-ca-cert", "/var/run/secrets/istio"));
    }
    mounts.push(pod::read_only("istio-token", "/var/run/secrets/tokens"));
    if global.mount_mtls_certs {
        mounts.push(pod::read_only("istio-certs", "/etc/certs"));
    }
    mounts.push(pod::mount("istio-data", "/var/lib/istio/data"));
    mounts.push(pod::mount("podinfo", "/etc/istio/pod"));
    for volume in values.secret_volumes.iter().chain(&values.config_volumes) {
        if !volume.mount_path.is_empty() {
            mounts.push(pod::read_only(&volume.name, &volume.mount_path));
        }
    }
    mounts
}

/// What is mounted by [`mounts`].
pub(super) fn volumes(context: Context<'_>) -> Vec<Volume> {
    let values = &context.gateway.values;
    let global = &context.gateway.global;
    let mut volumes = vec![
        pod::empty_dir("workload-socket"),
        pod::empty_dir("credential-socket"),
        pod::empty_dir("workload-certs"),
    ];
    if global.pilot_cert_provider == "istiod" {
        volumes.push(root_certificate(context));
    }
    volumes.extend([
        pod_info(),
        pod::empty_dir("istio-envoy"),
        pod::empty_dir("istio-data"),
        pod::token(&global.sds.token.aud),
    ]);
    if global.mount_mtls_certs {
        let secret = format!("istio.{}-service-account", context.gateway.application());
        volumes.push(pod::optional_secret("istio-certs", &secret));
    }
    let mesh = context.install.revisioned("istio");
    volumes.push(pod::config_map("config-volume", &mesh, Some(true)));
    for volume in &values.secret_volumes {
        volumes.push(pod::optional_secret(&volume.name, &volume.secret_name));
    }
    for volume in &values.config_volumes {
        let source = &volume.config_map_name;
        volumes.push(pod::config_map(&volume.name, source, Some(true)));
    }
    volumes
}

/// The mesh's root. Not optional: a proxy without it could trust nobody.
fn root_certificate(context: Context<'_>) -> Volume {
    let name = "istiod-ca-cert";
    let bundle = &context.gateway.global.trust_bundle_name;
    if context.gateway.trust_bundle_api {
        return pod::projected(
            name,
            VolumeProjection {
                cluster_trust_bundle: Some(ClusterTrustBundleProjection {
                    name: Some(trust_bundle(bundle)),
                    path: ROOT_CERT_KEY.to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            },
        );
    }
    let source = some(bundle).unwrap_or_else(|| ROOT_CERT_CONFIG_MAP.to_owned());
    pod::config_map(name, &source, None)
}

fn pod_info() -> Volume {
    let file = |path: &str| DownwardAPIVolumeFile {
        path: path.to_owned(),
        field_ref: Some(ObjectFieldSelector {
            field_path: format!("metadata.{path}"),
            ..Default::default()
        }),
        ..Default::default()
    };
    Volume {
        name: "podinfo".to_owned(),
        downward_api: Some(DownwardAPIVolumeSource {
            items: Some(vec![file("labels"), file("annotations")]),
            ..Default::default()
        }),
        ..Default::default()
    }
}
