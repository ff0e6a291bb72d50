//! The manifests in `config/deploy` against what the operator really does: it must hold every
//! permission that it grants, and be able to write every kind that is rendered.

use std::collections::BTreeSet;

use api::istio_operator::IstioOperator;
use install::{Manifest, Observed};
use rollout::Kind;
use rollout::kind::{KINDS, Teardown};
use serde_json::{Value, json};

/// API group, resource, verb.
type Permission = (String, String, String);

fn deployed() -> Vec<Value> {
    api::yaml::documents(include_str!("../../config/deploy/operator.yaml")).expect("valid YAML")
}

/// Specifications that together have every setting by which more is rendered or granted.
const SPECS: [&str; 5] = [
    "{profile: demo, values: {global: {networkPolicy: {enabled: true}, istiod: {enableAnalysis: true}}, \
        pilot: {autoscaleMin: 2, taint: {enabled: true}}, experimental: {stableValidationPolicy: true}}}",
    "{values: {global: {certSigners: [example.com/signer]}, \
        pilot: {env: {EXTERNAL_CA: ISTIOD_RA_KUBERNETES_API, ENABLE_CLUSTER_TRUST_BUNDLE_API: true}}}}",
    "{revision: canary, values: {revisionTags: [prod], defaultRevision: canary, \
        global: {readerServiceAccount: {name: reader, namespace: elsewhere}}}}",
    "{profile: remote, values: {global: {configCluster: true, remotePilotAddress: 192.0.2.1}}}",
    "{profile: openshift, values: {istiodRemote: {enabledLocalInjectorIstiod: true, enabled: true}}}",
];

fn rendered(document: &Value) -> Manifest {
    let parsed = IstioOperator::parse(document).expect("a valid resource");
    let seen = Observed {
        hub: "localhost/ferrosail".into(),
        tag: "0.1.0".into(),
        version: "0.1.0".into(),
        kubernetes: Some((1, 35)),
        host: None,
    };
    let install = install::resolve(&parsed, &seen).expect("a valid specification");
    install::build(&install.with_default_tag())
}

fn sample() -> Manifest {
    let sample = include_str!("../../config/samples/istiooperator.yaml");
    rendered(&api::yaml::documents(sample).expect("valid YAML")[0])
}

/// The sample, and every setting by which more is rendered or granted.
fn manifests() -> Vec<Manifest> {
    let specs = SPECS.iter().map(|spec| {
        let spec = api::yaml::documents(spec).expect("valid YAML").remove(0);
        rendered(
            &json!({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
            "metadata": {"name": "mesh", "namespace": "istio-system"}, "spec": spec}),
        )
    });
    std::iter::once(sample()).chain(specs).collect()
}

fn texts<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    let all = rule[field].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}

/// What the rules of a role allow. Restrictions to names are dropped: to grant one name it is
/// enough to hold them all, and the operator's own rules name none.
fn permissions(role: &Value) -> BTreeSet<Permission> {
    let mut all = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    all.insert((group.to_owned(), resource.to_owned(), verb.to_owned()));
                }
            }
        }
    }
    all
}

/// As Kubernetes judges it: `*` stands for every resource, `*/status` for the status of each.
fn covers(held: &BTreeSet<Permission>, wanted: &Permission) -> bool {
    let (group, resource, verb) = wanted;
    let part = resource
        .split_once('/')
        .map(|(_, part)| format!("*/{part}"));
    held.iter().any(|(g, r, v)| {
        g == group
            && (r == resource || r == "*" || Some(r) == part.as_ref())
            && (v == verb || v == "*")
    })
}

fn permission(group: &str, resource: &str, verb: &str) -> Permission {
    (group.to_owned(), resource.to_owned(), verb.to_owned())
}

/// What the roles of all manifests grant.
fn granted() -> BTreeSet<Permission> {
    let manifests = manifests();
    let objects = manifests.iter().flat_map(Manifest::objects);
    objects
        .filter(|object| ["Role", "ClusterRole"].contains(&object.reference.kind.as_str()))
        .flat_map(|role| permissions(&role.body))
        .collect()
}

/// What the operator's own process asks of the API server, Kubernetes' bookkeeping included.
fn used() -> BTreeSet<Permission> {
    let mut used = BTreeSet::new();
    let mut add = |group: &str, resource: &str, verbs: &[&str]| {
        for verb in verbs {
            used.insert(permission(group, resource, verb));
        }
    };
    let read = ["get", "list", "watch"];
    let own = "install.istio.io";
    add(own, "istiooperators", &read);
    // The finalizer.
    add(own, "istiooperators", &["patch"]);
    add(own, "istiooperators/status", &["patch"]);
    // The inventory belongs to the resource.
    add(own, "istiooperators/finalizers", &["update"]);
    add("events.k8s.io", "events", &["create", "patch"]);
    add("", "namespaces", &read);
    add("", "namespaces", &["create"]);
    add(
        "coordination.k8s.io",
        "leases",
        &["get", "create", "update"],
    );
    for kind in KINDS {
        let group = kind.api_version.split_once('/');
        let group = group.map_or("", |(group, _)| group);
        add(group, kind.plural, &read);
        add(group, kind.plural, &["create", "patch"]);
        if kind.teardown != Teardown::Kept {
            add(group, kind.plural, &["delete"]);
        }
    }
    used
}

fn held() -> BTreeSet<Permission> {
    let documents = deployed();
    let role = documents
        .iter()
        .find(|document| document["kind"] == "ClusterRole");
    let role = role.expect("a ClusterRole");
    assert!(
        role["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|rule| rule["resourceNames"].is_null()),
        "rules restricted to names would have to be compared by name"
    );
    permissions(role)
}

#[test]
fn the_operator_holds_every_permission_that_it_grants_or_uses() {
    let held = held();
    let granted = granted();
    let analysis = permission("config.istio.io", "virtualservices/status", "update");
    let signers = permission("certificates.k8s.io", "signers", "approve");
    for seldom in [analysis, signers] {
        assert!(granted.contains(&seldom), "no setting grants {seldom:?}");
    }
    let lacking: Vec<_> = granted
        .union(&used())
        .filter(|wanted| !covers(&held, wanted))
        .cloned()
        .collect();
    assert!(lacking.is_empty(), "not held: {lacking:?}");
}

#[test]
fn the_operator_holds_nothing_that_it_neither_grants_nor_uses() {
    let wanted: BTreeSet<_> = granted().union(&used()).cloned().collect();
    let superfluous: Vec<_> = held()
        .into_iter()
        .filter(|held| !covers(&wanted, held))
        .collect();
    assert!(superfluous.is_empty(), "held for nothing: {superfluous:?}");
}

#[test]
fn every_rendered_kind_is_in_the_table() {
    let manifests = manifests();
    for object in manifests.iter().flat_map(Manifest::objects) {
        let kind = Kind::of(&object.reference);
        let kind =
            kind.unwrap_or_else(|| panic!("{} {}", object.reference.api_version, object.reference));
        assert_eq!(
            kind.namespaced,
            object.reference.namespace.is_some(),
            "{}",
            object.reference
        );
    }
}

#[test]
fn every_rendered_object_carries_the_labels_by_which_it_is_found() {
    for object in sample().objects() {
        let labels = &object.body["metadata"]["labels"];
        assert_eq!(
            labels[base::labels::MANAGED],
            "Reconcile",
            "{}",
            object.reference
        );
        assert_eq!(
            labels[base::labels::OWNING_RESOURCE],
            "istiocontrolplane",
            "{}",
            object.reference
        );
        assert_eq!(
            labels[base::labels::OWNING_RESOURCE_NAMESPACE],
            "istio-system",
            "{}",
            object.reference
        );
    }
}

#[test]
fn definitions_cannot_be_deleted_by_the_operator() {
    let wanted = (
        "apiextensions.k8s.io".to_owned(),
        "customresourcedefinitions".to_owned(),
        "delete".to_owned(),
    );
    assert!(!covers(&held(), &wanted));
}

#[test]
fn the_manifests_name_this_version() {
    let documents = deployed();
    let deployment = documents
        .iter()
        .find(|document| document["kind"] == "Deployment");
    let container = &deployment.expect("a Deployment")["spec"]["template"]["spec"]["containers"][0];
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        container["image"],
        format!("localhost/ferrosail/pilot:{version}")
    );
    let env = container["env"].as_array().expect("variables");
    let tag = env.iter().find(|variable| variable["name"] == "TAG");
    assert_eq!(tag.expect("TAG")["value"], version);
}
