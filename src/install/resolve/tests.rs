//! Judgements, one line each: a spec, and the Problems that it gives.

use api::istio_operator::IstioOperator;
use base::Severity;
use serde_json::json;

use super::{Install, Observed, resolve};
use crate::Component;

fn resolved(spec: &str) -> Result<Install, Vec<String>> {
    resolved_on(spec, None)
}

fn resolved_on(spec: &str, kubernetes: Option<(u32, u32)>) -> Result<Install, Vec<String>> {
    let spec = api::yaml::documents(spec)
        .expect("the case is YAML")
        .remove(0);
    let document = json!({
        "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
        "metadata": {"name": "mesh", "namespace": "istio-system"}, "spec": spec});
    let parsed = IstioOperator::parse(&document).expect("the case is well formed");
    let seen = Observed {
        hub: "registry.example/mesh".to_owned(),
        tag: "v0".to_owned(),
        version: "0.0.0".to_owned(),
        kubernetes,
        host: None,
    };
    resolve(&parsed, &seen).map_err(|problems| {
        problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| format!("{} {}", problem.field, problem.message))
            .collect()
    })
}

fn refuse(spec: &str, expected: &str) {
    let found = resolved(spec).expect_err(spec);
    assert_eq!(found, [expected], "{spec}");
}

fn warn(spec: &str, expected: &[(&str, &str)]) {
    let install = resolved(spec).expect(spec);
    let found: Vec<(&str, &str)> = install
        .warnings
        .iter()
        .map(|problem| (problem.field.as_str(), problem.reason.as_str()))
        .collect();
    assert_eq!(found, expected, "{spec}");
}

#[test]
fn names_are_checked() {
    refuse(
        "{profile: nope}",
        "spec.profile is \"nope\", expected one of ambient, default, demo, empty, minimal, openshift, openshift-ambient, preview, remote, stable",
    );
    refuse(
        "{revision: Canary_1}",
        "spec.revision is \"Canary_1\", expected a DNS label: lower case letters, digits and -, at most 63",
    );
    refuse(
        "{hub: 'registry example'}",
        "spec.hub is \"registry example\", expected a registry and a path such as registry.example/mesh",
    );
    refuse(
        "{tag: 'a/b'}",
        "spec.tag is \"a/b\", expected letters, digits and . _ - only, at most 128",
    );
    refuse(
        "{components: {ingressGateways: [{name: 1st}]}}",
        "spec.components.ingressGateways[0].name is \"1st\", expected the name of a Service: lower case letters, digits and -, a letter first, at most 63",
    );
    refuse(
        "{components: {pilot: {namespace: My}}}",
        "spec.components \"My\" is no namespace, expected a DNS label",
    );
}

#[test]
fn sets_of_values_are_known_by_name() {
    refuse(
        "{compatibilityVersion: '1.2'}",
        "spec.compatibilityVersion is \"1.2\", expected one of 1.25, 1.26, 1.27, 1.28, 1.29, 1.30",
    );
    refuse(
        "{values: {global: {platform: moon}}}",
        "spec.values.global.platform is \"moon\", expected one of gke, k3d, k3s, microk8s, minikube, openshift",
    );
    refuse(
        "{values: {profile: nope}}",
        "spec.values.profile is \"nope\", expected one of ambient, default, demo, empty, minimal, openshift, openshift-ambient, preview, remote, stable",
    );
    let install = resolved(
        "{compatibilityVersion: '1.29', values: {pilot: {env: {PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS: 'true'}}}}",
    );
    let env = install.expect("valid").pilot.expect("enabled").values.env;
    let expected = json!({
        "PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS": "true",
        "PILOT_ENABLE_STRICT_GATEWAY_MERGING": "false",
        "PILOT_SIDECAR_PICK_BEST_SERVICE_NAMESPACE": "false"});
    assert_eq!(json!(env), expected);
}

#[test]
fn a_hub_may_have_a_port_and_a_tag_may_be_a_number() {
    for spec in [
        "{hub: 'localhost:5000/mesh/test', tag: 2}",
        "{hub: docker.io/istio, tag: 1.32.0-distroless}",
        "{tag: 1.5}",
    ] {
        assert_eq!(resolved(spec).err(), None, "{spec}");
    }
}

#[test]
fn two_gateways_of_one_name_are_refused_unless_in_two_namespaces() {
    refuse(
        "{components: {ingressGateways: [{name: a}], egressGateways: [{name: a}]}}",
        "spec.components.egressGateways[0].name is \"a\" in namespace istio-system, which spec.components.ingressGateways[0] has already",
    );
    let apart = "{components: {ingressGateways: [{name: a}, {name: a, namespace: b}]}}";
    assert_eq!(resolved(apart).err(), None);
    let disabled = "{components: {ingressGateways: [{name: a}, {name: a, enabled: false}]}}";
    assert_eq!(resolved(disabled).err(), None);
}

#[test]
fn fewest_replicas_are_at_most_the_most() {
    refuse(
        "{components: {pilot: {k8s: {hpaSpec: {minReplicas: 7}}}}}",
        "spec.components.pilot.k8s.hpaSpec has minReplicas 7 above maxReplicas 5, expected at most 5",
    );
}

#[test]
fn a_budget_takes_one_limit() {
    refuse(
        "{components: {pilot: {k8s: {hpaSpec: {minReplicas: 2}, podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}}}}}",
        "spec.components.pilot.k8s.podDisruptionBudget has both minAvailable and maxUnavailable, expected one",
    );
}

#[test]
fn what_is_not_built_is_a_warning_that_says_so() {
    let unsupported = |spec: &str, fields: &[&str]| {
        let expected: Vec<_> = fields.iter().map(|field| (*field, "Unsupported")).collect();
        warn(spec, &expected);
    };
    unsupported(
        "{components: {cni: {enabled: true}, ztunnel: {enabled: true}}}",
        &["spec.components.cni", "spec.components.ztunnel"],
    );
    unsupported("{components: {cni: {enabled: false}}}", &[]);
    unsupported(
        "{installPackagePath: /charts}",
        &["spec.installPackagePath"],
    );
    unsupported("{namespace: elsewhere}", &["spec.namespace"]);
    unsupported("{namespace: istio-system}", &[]);
    unsupported(
        "{components: {pilot: {spec: {a: b}}}}",
        &["spec.components.pilot.spec"],
    );
    unsupported(
        "{components: {istiodRemote: {enabled: true}}}",
        &["spec.components.istiodRemote"],
    );
    unsupported(
        "{values: {pilot: {env: {PILOT_HTTP10: '1', TOKEN_AUDIENCES: a, MY_OWN: x}}}}",
        &["spec.values.pilot.env.MY_OWN"],
    );
}

/// Every way to ask for what captures traffic without sidecars.
#[test]
fn the_cni_plugin_and_ambient_mode_are_named_however_they_are_asked_for() {
    for (spec, field) in [
        ("{profile: ambient}", "spec.profile"),
        ("{profile: ambient}", "spec.components.cni"),
        ("{profile: ambient}", "spec.components.ztunnel"),
        (
            "{profile: ambient}",
            "spec.values.pilot.env.PILOT_ENABLE_AMBIENT",
        ),
        ("{profile: openshift}", "spec.components.cni"),
        ("{profile: openshift-ambient}", "spec.profile"),
        ("{values: {profile: ambient}}", "spec.values.profile"),
        (
            "{values: {cni: {ambient: {enabled: true}}}}",
            "spec.values.cni",
        ),
        (
            "{values: {istio_cni: {enabled: true}}}",
            "spec.values.istio_cni",
        ),
        (
            "{values: {pilot: {cni: {enabled: true}}}}",
            "spec.values.pilot.cni.enabled",
        ),
        (
            "{values: {ztunnel: {enabled: true}}}",
            "spec.values.ztunnel",
        ),
        (
            "{values: {global: {waypoint: {affinity: {nodeAffinity: {}}}}}}",
            "spec.values.global.waypoint",
        ),
        (
            "{values: {pilot: {env: {PILOT_ENABLE_AMBIENT: 'true'}}}}",
            "spec.values.pilot.env.PILOT_ENABLE_AMBIENT",
        ),
        (
            "{meshConfig: {defaultConfig: {proxyMetadata: {ISTIO_META_ENABLE_HBONE: 'true'}}}}",
            "spec.meshConfig.defaultConfig.proxyMetadata.ISTIO_META_ENABLE_HBONE",
        ),
    ] {
        let install = resolved(spec).expect(spec);
        let named = install.warnings.iter();
        let mut named = named.filter(|problem| problem.reason == "Unsupported");
        assert!(
            named.any(|problem| problem.field == field),
            "{spec}: {:#?}",
            install.warnings
        );
    }
}

#[test]
fn settings_without_effect_are_warnings() {
    warn(
        "{components: {pilot: {k8s: {replicaCount: 3}}}}",
        &[("spec.components.pilot.k8s.replicaCount", "NoEffect")],
    );
    warn(
        "{profile: demo, components: {pilot: {k8s: {hpaSpec: {minReplicas: 2}}}}}",
        &[("spec.components.pilot.k8s.hpaSpec", "NoEffect")],
    );
    warn(
        "{components: {pilot: {k8s: {podDisruptionBudget: {minAvailable: 1}}}}}",
        &[("spec.components.pilot.k8s.podDisruptionBudget", "NoEffect")],
    );
}

#[test]
fn a_cluster_that_is_too_old_is_a_warning() {
    let warnings = |version| resolved_on("{}", version).expect("valid").warnings;
    let found = warnings(Some((1, 31)));
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].message,
        "the cluster runs Kubernetes 1.31, expected 1.32 or newer"
    );
    assert_eq!(warnings(Some((1, 32))), []);
    assert_eq!(warnings(Some((2, 0))), []);
    assert_eq!(warnings(None), []);
}

#[test]
fn profiles_enable_their_components() {
    let enabled = |spec: &str| -> Vec<&'static str> {
        let install = resolved(spec).expect(spec);
        Component::ALL
            .into_iter()
            .filter(|component| install.enabled(*component))
            .map(Component::as_str)
            .collect()
    };
    assert_eq!(enabled("{}"), ["Base", "Pilot", "IngressGateways"]);
    assert_eq!(enabled("{profile: minimal}"), ["Base", "Pilot"]);
    assert_eq!(enabled("{profile: empty}"), [""; 0]);
    let all = ["Base", "Pilot", "IngressGateways", "EgressGateways"];
    assert_eq!(enabled("{profile: demo}"), all);
    let by_value = "{values: {gateways: {istio-egressgateway: {enabled: true}}}}";
    assert_eq!(enabled(by_value), all);
}

#[test]
fn a_list_replaces_that_of_the_profile() {
    let install = resolved("{components: {ingressGateways: [{name: mine}]}}").expect("valid");
    let names: Vec<&str> = install.gateways.iter().map(|g| g.name.as_str()).collect();
    assert_eq!(names, ["mine"]);
}

#[test]
fn values_win_over_fields_of_the_spec() {
    let install = resolved("{hub: a.example/x, values: {global: {hub: b.example/y}}}");
    let pilot = install.expect("valid").pilot.expect("enabled");
    assert_eq!(pilot.values.global.hub, "b.example/y");
}

#[test]
fn a_key_without_a_value_is_as_good_as_none() {
    let (with, without) = (resolved("{values: null}"), resolved("{}"));
    assert_eq!(with.expect("valid"), without.expect("valid"));
}

#[test]
fn gateways_without_a_control_plane_are_named() {
    let check = |spec: &str, expected: &[&str]| {
        let found = resolved(spec).expect(spec).gateways_without_control_plane();
        assert_eq!(found, expected, "{spec}");
    };
    check("{}", &[]);
    check(
        "{components: {pilot: {enabled: false}}}",
        &["istio-system/istio-ingressgateway"],
    );
    check(
        "{components: {pilot: {enabled: false}}, values: {global: {remotePilotAddress: 10.0.0.1}}}",
        &[],
    );
}

#[test]
fn namespaces_are_those_of_all_components() {
    let spec = "{components: {pilot: {namespace: control}, ingressGateways: [{name: a, namespace: edge}]}}";
    let install = resolved(spec).expect("valid");
    assert_eq!(install.namespaces(), ["control", "edge", "istio-system"]);
}

#[test]
fn the_trust_domain_is_that_of_the_mesh() {
    let install = resolved("{meshConfig: {trustDomain: shop.example}}").expect("valid");
    assert_eq!(install.trust_domain, "shop.example");
    assert_eq!(resolved("{}").expect("valid").trust_domain, "cluster.local");
}
