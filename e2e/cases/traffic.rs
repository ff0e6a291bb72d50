//! Rules about traffic do to real requests what they say; one file per theme.

mod balancing;
mod bookinfo;
mod course;
mod egress;
mod ingress;
mod kubernetes_ingress;
mod origination;
mod routing;

use e2e::eventually::eventually;
use e2e::load::{self, Load};
use e2e::namespace::Namespace;
use serde_json::{Value, json};

const NETWORKING: &str = "networking.istio.io/v1";
/// Where clients run.
const CLIENT: &str = "client";

/// An object of Istio's networking API.
fn rule(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": NETWORKING, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Its sidecars see their own namespace and the control plane's: what other cases do changes nothing for them.
fn alone() -> Value {
    rule(
        "Sidecar",
        "default",
        json!({"egress": [{"hosts": ["./*", "istio-system/*"]}]}),
    )
}

/// `subset` for every version, as `{name: v1, labels: {version: v1}}`.
fn subsets(versions: &[&str]) -> Vec<Value> {
    let of = |version: &&str| json!({"name": version, "labels": {"version": version}});
    versions.iter().map(of).collect()
}

/// A route to one subset of `host`.
fn to(host: &str, subset: &str) -> Value {
    json!([{"destination": {"host": host, "subset": subset}}])
}

/// Sends until `holds` of what became of it; for at most 20 s.
async fn becomes(
    place: &Namespace,
    what: &str,
    url: &str,
    arguments: &[&str],
    holds: impl Fn(&Load) -> bool,
) -> Load {
    let (load, took) = eventually(&place.client, what, 20, || async {
        let load = load::load(place, CLIENT, url, arguments).await?;
        if holds(&load) {
            Ok(load)
        } else {
            Err(format!("{load:?}"))
        }
    })
    .await;
    println!(
        "{what}: after {took:?}, {:?} {:?}",
        load.statuses, load.versions
    );
    load
}

/// Whether every request was answered with 200 by this version.
fn all_from(version: &str) -> impl Fn(&Load) -> bool {
    move |load| load.is_clean() && load.versions.get(version) == Some(&load.sent)
}

/// Whether every request was answered with this status.
fn all_with(status: &str) -> impl Fn(&Load) -> bool {
    move |load| load.sent > 0 && load.statuses.get(status) == Some(&load.sent)
}

/// What an echo saw of a request, and what else was said of its answer: status and headers.
async fn seen(place: &Namespace, url: &str, arguments: &[&str]) -> Result<(Value, String), String> {
    let command: Vec<&str> = ["get", "--url", url]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let output = place.run(CLIENT, &command).await?;
    let body = serde_json::from_str(&output.stdout);
    let body = body.map_err(|error| format!("{error}: {output:?}"))?;
    Ok((body, output.stderr))
}
