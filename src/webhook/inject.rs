//! `/inject`: the patch that gives a pod its sidecar. A pod that asks for one and can't get it is refused,
//! rather than started outside of the mesh.

use std::time::Instant;

use ::inject::{Owner, Verdict as Decision, decide};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use crate::metrics::Metrics;
use crate::review::{Malformed, Request, Review, Verdict};
use crate::settings::Follow;

/// What the answers depend on.
#[derive(Clone, Debug)]
pub struct Injector {
    /// Followed from the cluster.
    pub follow: Follow,
    /// Revision of this control plane.
    pub revision: String,
    /// Name of a policy such as `fips-140-3` that proxies obey; empty for none.
    pub compliance_policy: String,
    /// Counted here.
    pub metrics: Metrics,
}

pub async fn answer(
    State(injector): State<Injector>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Malformed> {
    respond(&injector, "", &headers, &body)
}

/// The same with settings of the proxy in the path.
pub async fn answer_below(
    State(injector): State<Injector>,
    Path(parameters): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Malformed> {
    respond(&injector, &parameters, &headers, &body)
}

fn respond(
    injector: &Injector,
    parameters: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Malformed> {
    let started = Instant::now();
    injector.metrics.requests.inc();
    let review = Review::read(headers, body).inspect_err(|_| {
        injector.metrics.failed.inc();
    })?;
    let verdict = injector.judge(&review.request, parameters);
    injector.metrics.took(started.elapsed());
    Ok(review.answer(&verdict))
}

impl Injector {
    fn judge(&self, request: &Request, parameters: &str) -> Verdict {
        let (namespace, name) = (request.namespace.as_str(), pod_name(request));
        let failed = |reason: String| {
            self.metrics.failed.inc();
            warn!(namespace, pod = name, reason, "pod refused");
            Verdict::Denied(format!("no sidecar for pod {namespace}/{name}: {reason}"))
        };
        let Some(injection) = self.follow.borrow().clone() else {
            return failed(
                "the control plane has just started and has not read its settings".to_owned(),
            );
        };
        let Some(settings) = &injection.settings else {
            return failed("configmap istio-sidecar-injector is missing or has errors, which the log of istiod names".to_owned());
        };
        let mut pod = request.object.clone();
        if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata
                .entry("namespace")
                .or_insert_with(|| json!(namespace));
        }
        if let Decision::Skip(reason) = decide(&pod, namespace, &settings.policy) {
            self.metrics.skipped.inc();
            debug!(namespace, pod = name, %reason, "no sidecar");
            return Verdict::Allowed;
        }
        let node = pod.pointer("/spec/nodeName").and_then(Value::as_str);
        let injected = ::inject::inject(&::inject::Request {
            pod: &pod,
            owner: &Owner::of_pod(&pod, namespace),
            settings,
            mesh: &injection.mesh,
            revision: &self.revision,
            native_sidecars: injection.native_sidecars(node.unwrap_or_default()),
            parameters: &::inject::parameters::parse(parameters),
            compliance_policy: &self.compliance_policy,
        });
        match injected {
            Ok(injected) => {
                self.metrics.injected.inc();
                info!(namespace, pod = name, "sidecar injected");
                Verdict::Patched(::inject::patch::between(&pod, &injected))
            }
            Err(error) => failed(error.to_string()),
        }
    }
}

/// The pod's name, or the prefix from which it is still to be generated.
fn pod_name(request: &Request) -> &str {
    let generated = request.object.pointer("/metadata/generateName");
    match request.name.as_str() {
        "" => generated.and_then(Value::as_str).unwrap_or_default(),
        name => name,
    }
}
