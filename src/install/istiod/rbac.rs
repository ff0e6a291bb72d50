//! What istiod may do, and what other clusters' control planes may read.

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

use super::Context;
use crate::Object;
use crate::base::READER;
use crate::labels::{metadata, released, with};
use crate::rbac::{READ, Rule, WRITE, cluster as cluster_role, named, namespaced as role, rules};
use crate::values::text;

/// Groups of Istio's kinds, those of old versions included.
const ISTIO: &[&str] = &[
    "config.istio.io",
    "security.istio.io",
    "networking.istio.io",
    "authentication.istio.io",
    "rbac.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
];
const CORE: &[&str] = &[""];
const ADMISSION: &[&str] = &["admissionregistration.k8s.io"];
const GATEWAY_API: &[&str] = &["gateway.networking.k8s.io"];
const UPDATE: &[&str] = &["update", "patch"];
const CERTIFICATES: &[&str] = &["certificates.k8s.io"];
const PATCH: &[&str] = &["get", "list", "watch", "update", "patch"];
const REPLACE: &[&str] = &["get", "list", "watch", "update"];
const CREATE: &[&str] = &["create"];
const KEEP: &[&str] = &["create", "get", "list", "watch", "update"];

/// The Role in the root namespace.
pub(super) fn namespaced(context: Context<'_>) -> [Object; 2] {
    let name = context.name();
    let namespace = &context.pilot.values.global.istio_namespace;
    role(
        metadata(&name, namespace, context.plain_labels()),
        rules(&[
            // A dry run of a Gateway tells whether the validating webhook is reached.
            (&["networking.istio.io"], &["gateways"], CREATE),
            (
                CORE,
                &["secrets"],
                &["create", "get", "watch", "list", "update", "delete"],
            ),
            (CORE, &["configmaps"], &["delete"]),
            (
                &["coordination.k8s.io"],
                &["leases"],
                &["get", "update", "patch", "create"],
            ),
        ]),
        (&name, Some(namespace)),
    )
}

/// The ClusterRoles.
pub(super) fn cluster(context: Context<'_>) -> Vec<Object> {
    let values = &context.pilot.values;
    let env = |name: &str| values.env.get(name).map(text).unwrap_or_default();
    let multicluster = match env("MCS_API_GROUP") {
        group if group.is_empty() => "multicluster.x-k8s.io".to_owned(),
        group => group,
    };
    let account = context.name();
    let account = (
        account.as_str(),
        Some(values.global.istio_namespace.as_str()),
    );
    let of_istiod = |prefix: &str, rules: Vec<PolicyRule>| {
        let name = format!(
            "{}-{}",
            context.install.revisioned(prefix),
            context.pilot.namespace
        );
        cluster_role(metadata(name, "", context.plain_labels()), rules, account)
    };
    let mut objects = Vec::new();
    if context.configures() {
        let mut granted = rules(&discovery(&[&multicluster]));
        granted.extend(optional(context));
        objects.extend(of_istiod("istiod-clusterrole", granted));
        if context.install.owner.is_some() {
            objects.extend(of_istiod("istiod-writeback", rules(&[WRITEBACK])));
        }
        if env("PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER") != "false" {
            let granted = rules(GATEWAY_CONTROLLER);
            objects.extend(of_istiod("istiod-gateway-controller", granted));
        }
    }
    if values.global.enable_reader_rbac != Some(false) {
        objects.extend(reader(context, &[&multicluster]));
    }
    objects
}

/// To tell in the status of people's objects what became of them, which upstream's istiod does not
/// do. For what people apply themselves (`manifest generate`), roles stay those of upstream.
const WRITEBACK: Rule<'static> = (
    &[
        "extensions.istio.io",
        "networking.istio.io",
        "security.istio.io",
        "telemetry.istio.io",
    ],
    &["*/status"],
    UPDATE,
);

/// What the Gateway API's controller creates for each Gateway.
const GATEWAY_CONTROLLER: &[Rule<'static>] = &[
    (&["apps"], &["deployments"], WRITE),
    (&["autoscaling"], &["horizontalpodautoscalers"], WRITE),
    (&["policy"], &["poddisruptionbudgets"], WRITE),
    (CORE, &["services"], WRITE),
    (CORE, &["serviceaccounts"], WRITE),
];

/// What only some settings need.
fn optional(context: Context<'_>) -> Vec<PolicyRule> {
    let values = &context.pilot.values;
    let global = &values.global;
    let mut granted = Vec::new();
    if global.istiod.enable_analysis {
        let ingress: &[&str] = &["extensions", "networking.k8s.io"];
        granted.extend(rules(&[
            (ISTIO, ANALYZED, UPDATE),
            (ingress, &["ingresses"], READ),
            (ingress, &["ingresses/status"], &["*"]),
        ]));
    }
    if values.taint.enabled {
        granted.extend(rules(&[(CORE, &["nodes"], &["patch"])]));
    }
    let own_ca = ["istiod", "custom", "none"].contains(&global.pilot_cert_provider.as_str());
    let external_ca = values.env.get("EXTERNAL_CA").map(text).unwrap_or_default();
    if !own_ca || !external_ca.is_empty() {
        granted.extend(rules(&[(
            CERTIFICATES,
            &[
                "certificatesigningrequests",
                "certificatesigningrequests/approval",
                "certificatesigningrequests/status",
            ],
            &["update", "create", "get", "delete", "watch"],
        )]));
        let approve: Rule<'_> = (CERTIFICATES, &["signers"], &["approve"]);
        granted.extend(named(approve, &global.cert_signers));
    }
    if values.env.get("ENABLE_CLUSTER_TRUST_BUNDLE_API") == Some(&Value::Bool(true)) {
        granted.extend(rules(&[(
            CERTIFICATES,
            &["clustertrustbundles"],
            &["update", "create", "delete", "list", "watch", "get"],
        )]));
        let attest: Rule<'_> = (CERTIFICATES, &["signers"], &["attest"]);
        granted.extend(named(attest, &["istio.io/istiod-ca".to_owned()]));
    }
    granted
}

/// Kinds whose status tells what analysis found.
const ANALYZED: &[&str] = &[
    "authorizationpolicies/status",
    "destinationrules/status",
    "envoyfilters/status",
    "gateways/status",
    "peerauthentications/status",
    "proxyconfigs/status",
    "requestauthentications/status",
    "serviceentries/status",
    "sidecars/status",
    "telemetries/status",
    "virtualservices/status",
    "wasmplugins/status",
    "workloadentries/status",
    "workloadgroups/status",
];

fn discovery<'a>(multicluster: &'a [&'a str]) -> Vec<Rule<'a>> {
    vec![
        (ADMISSION, &["mutatingwebhookconfigurations"], PATCH),
        (ADMISSION, &["validatingwebhookconfigurations"], REPLACE),
        (ISTIO, &["*"], READ),
        (&["networking.istio.io"], &["workloadentries"], WRITE),
        (
            &["networking.istio.io"],
            &["workloadentries/status", "serviceentries/status"],
            WRITE,
        ),
        (
            &["security.istio.io"],
            &["authorizationpolicies/status"],
            WRITE,
        ),
        (CORE, &["services/status"], WRITE),
        (
            &["apiextensions.k8s.io"],
            &["customresourcedefinitions"],
            READ,
        ),
        (
            CORE,
            &["pods", "nodes", "services", "namespaces", "endpoints"],
            READ,
        ),
        (&["discovery.k8s.io"], &["endpointslices"], READ),
        (
            &["networking.k8s.io"],
            &["ingresses", "ingressclasses"],
            READ,
        ),
        (&["networking.k8s.io"], &["ingresses/status"], &["*"]),
        (CORE, &["configmaps"], KEEP),
        (&["authentication.k8s.io"], &["tokenreviews"], CREATE),
        (&["authorization.k8s.io"], &["subjectaccessreviews"], CREATE),
        (
            &["gateway.networking.k8s.io", "gateway.networking.x-k8s.io"],
            &["*"],
            READ,
        ),
        (
            &["gateway.networking.x-k8s.io"],
            &["xbackends/status", "xbackendtrafficpolicies/status"],
            UPDATE,
        ),
        (
            GATEWAY_API,
            &[
                "backendtlspolicies/status",
                "gatewayclasses/status",
                "gateways/status",
                "grpcroutes/status",
                "httproutes/status",
                "referencegrants/status",
                "tcproutes/status",
                "tlsroutes/status",
                "udproutes/status",
                "listenersets/status",
            ],
            UPDATE,
        ),
        (
            GATEWAY_API,
            &["gatewayclasses"],
            &["create", "update", "patch", "delete"],
        ),
        (&["inference.networking.k8s.io"], &["inferencepools"], READ),
        (
            &["inference.networking.k8s.io"],
            &["inferencepools/status"],
            UPDATE,
        ),
        (CORE, &["secrets"], READ),
        (
            multicluster,
            &["serviceexports"],
            &["get", "watch", "list", "create", "delete"],
        ),
        (multicluster, &["serviceimports"], READ),
    ]
}

fn reader(context: Context<'_>, multicluster: &[&str]) -> [Object; 2] {
    let global = &context.pilot.values.global;
    let own = &global.reader_service_account;
    let account = match own.name.as_str() {
        "" => (READER, Some(global.istio_namespace.as_str())),
        name => (name, Some(own.namespace.as_str())),
    };
    let name = format!(
        "{}-{}",
        context.install.revisioned("istio-reader-clusterrole"),
        context.pilot.namespace
    );
    let labels = with(
        released("istio-reader", context.install),
        [("app", "istio-reader")],
    );
    let mut granted = rules(&[
        (ISTIO, &["*"], READ),
        (
            CORE,
            &[
                "endpoints",
                "pods",
                "services",
                "nodes",
                "replicationcontrollers",
                "namespaces",
                "secrets",
                "configmaps",
            ],
            READ,
        ),
        (&["networking.istio.io"], &["workloadentries"], READ),
        (
            &["networking.x-k8s.io", "gateway.networking.k8s.io"],
            &["gateways"],
            READ,
        ),
        (
            &["apiextensions.k8s.io"],
            &["customresourcedefinitions"],
            READ,
        ),
        (&["discovery.k8s.io"], &["endpointslices"], READ),
        (
            multicluster,
            &["serviceexports"],
            &["get", "list", "watch", "create", "delete"],
        ),
        (multicluster, &["serviceimports"], READ),
        (&["apps"], &["replicasets"], READ),
        (&["authentication.k8s.io"], &["tokenreviews"], CREATE),
        (&["authorization.k8s.io"], &["subjectaccessreviews"], CREATE),
    ]);
    if context.pilot.values.istiod_remote.enabled {
        granted.extend(rules(&[
            (CORE, &["configmaps"], KEEP),
            (ADMISSION, &["mutatingwebhookconfigurations"], PATCH),
            (ADMISSION, &["validatingwebhookconfigurations"], REPLACE),
        ]));
    }
    cluster_role(metadata(name, "", labels), granted, account)
}
