//! What the operator costs: many IstioOperators on a real cluster, with nothing scheduled. Prints the time until all are
//! HEALTHY, the CPU of a pass with nothing to do, and memory.
//!
//! Runs the binary that FERROSAIL names (target/release/ferrosail) against FERROSAIL_KUBECONFIG, where no other operator
//! may be at work: `kubectl -n istio-operator scale deployment istio-operator --replicas=0`. What the operator logs goes
//! to target/operator-bench.log.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use e2e::{cluster, http};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// Resources, unless the first argument that is a number says otherwise.
const RESOURCES: usize = 100;
const HEALTH: &str = "127.0.0.1:18080";
const METRICS: &str = "127.0.0.1:18383";

/// The operator under test; it ends with this.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Operator {
    fn start() -> Operator {
        // Cargo starts benchmarks in the folder of their crate.
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let binary = std::env::var_os("FERROSAIL").map_or_else(
            || root.join("target/release/ferrosail"),
            |named| root.join(named),
        );
        let kubeconfig =
            std::env::var("FERROSAIL_KUBECONFIG").expect("FERROSAIL_KUBECONFIG names a cluster");
        let log = std::fs::File::create(root.join("target/operator-bench.log"))
            .expect("a file for the log");
        let child = Command::new(&binary)
            .args([
                "operator",
                "--kubeconfig",
                &kubeconfig,
                "--identity",
                "bench",
            ])
            .args(["--health-address", HEALTH, "--metrics-address", METRICS])
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .spawn();
        Operator(child.unwrap_or_else(|error| panic!("{}: {error}", binary.display())))
    }

    /// Panics when it has ended.
    fn is_running(&mut self) {
        if let Ok(Some(status)) = self.0.try_wait() {
            panic!("the operator ended with {status}, see target/operator-bench.log");
        }
    }

    /// Waits until it reconciles.
    async fn ready(&mut self) {
        for _ in 0..300 {
            self.is_running();
            let answer = http::get(HEALTH, HEALTH, "/readyz").await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the operator is not ready after 30 s, see target/operator-bench.log");
    }

    /// Processor time used so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("it runs");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .expect("fields")
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11..13]
            .iter()
            .map(|field| field.parse::<u64>().expect("a number"))
            .sum();
        // USER_HZ is 100 on every Linux of ours.
        Duration::from_millis(ticks * 10)
    }

    /// A line of /proc/PID/status, in MB.
    fn memory(&self, line: &str) -> f64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it runs");
        let found = status
            .lines()
            .find_map(|other| other.strip_prefix(line))
            .expect("the line");
        let kilobytes: f64 = found
            .trim_start_matches(':')
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        kilobytes / 1024.0
    }
}

/// A counter of the operator's, all labels together.
async fn counter(name: &str) -> f64 {
    let answer = http::get(METRICS, METRICS, "/metrics").await;
    let text = answer.map(|answer| answer.body).unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn place(index: usize) -> String {
    format!("bench-{index}")
}

fn operators(client: &Client, namespace: &str) -> Api<DynamicObject> {
    cluster::dynamic(
        client,
        "install.istio.io/v1alpha1",
        "IstioOperator",
        Some(namespace),
    )
}

fn resource(namespace: &str) -> Value {
    json!({
        "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
        "metadata": {"name": "edge", "namespace": namespace},
        "spec": {
            "profile": "empty",
            "values": {
                "global": {"remotePilotAddress": "192.0.2.1"},
                "gateways": {"istio-ingressgateway": {"autoscaleEnabled": false}},
            },
            "components": {"ingressGateways": [
                {"name": "edge", "enabled": true, "namespace": namespace, "k8s": {"replicaCount": 0}}
            ]},
        },
    })
}

/// Waits until `count` resources of the bench fulfil `done`, and all that exist do.
async fn all(
    client: &Client,
    operator: &mut Operator,
    count: usize,
    done: impl Fn(&DynamicObject) -> bool,
) {
    let api = cluster::dynamic(client, "install.istio.io/v1alpha1", "IstioOperator", None);
    let mut last = String::new();
    for _ in 0..6000 {
        operator.is_running();
        let list = api.list(&Default::default()).await.expect("a list");
        let found: Vec<_> = list
            .items
            .iter()
            .filter(|item| item.metadata.name.as_deref() == Some("edge"))
            .collect();
        let finished = found.iter().filter(|item| done(item)).count();
        if finished == count && found.len() == count {
            return;
        }
        let late = found.iter().find(|item| !done(item));
        let status = late.map(|item| item.data["status"]["message"].to_string());
        last = format!("{finished} of {count}, one of the others: {status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("after ten minutes {last}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let count = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(RESOURCES);
    let client = cluster::client().await;
    for document in cluster::documents("crds/istiooperators.install.istio.io.yaml") {
        cluster::apply(&client, document).await.expect("the CRD");
    }
    // Where the operator's Lease is.
    let home =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-operator"}});
    cluster::apply(&client, home).await.expect("a namespace");
    let mut operator = Operator::start();
    operator.ready().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("at rest: {:.1} MB", operator.memory("VmRSS"));

    let begin = Instant::now();
    for index in 0..count {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place(index)}});
        cluster::apply(&client, namespace)
            .await
            .expect("a namespace");
        cluster::apply(&client, resource(&place(index)))
            .await
            .expect("an IstioOperator");
    }
    let created = begin.elapsed();
    all(&client, &mut operator, count, |found| {
        found.data["status"]["status"] == "HEALTHY"
    })
    .await;
    println!(
        "{count} resources: created in {:.1} s, HEALTHY after {:.1} s, {:.2} s of CPU",
        created.as_secs_f64(),
        begin.elapsed().as_secs_f64(),
        operator.cpu().as_secs_f64()
    );
    println!(
        "with {count} resources: {:.1} MB, at most {:.1} MB",
        operator.memory("VmRSS"),
        operator.memory("VmHWM")
    );

    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, passes, writes) = (
        operator.cpu(),
        counter("istio_install_operator_reconcile_request_total").await,
        counter("istio_install_operator_status_write_total").await,
    );
    for round in 0..10 {
        let touch = json!({"metadata": {"annotations": {"bench": round.to_string()}}});
        for index in 0..count {
            operators(&client, &place(index))
                .patch("edge", &PatchParams::default(), &Patch::Merge(&touch))
                .await
                .expect("an annotation");
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let made = counter("istio_install_operator_reconcile_request_total").await - passes;
    let spent = operator.cpu() - before;
    println!(
        "a pass with nothing to do: {:.2} ms of CPU ({made} passes), {} status writes",
        spent.as_secs_f64() * 1000.0 / made.max(1.0),
        counter("istio_install_operator_status_write_total").await - writes
    );

    let begin = Instant::now();
    for index in 0..count {
        operators(&client, &place(index))
            .delete("edge", &DeleteParams::default())
            .await
            .expect("it can be deleted");
    }
    all(&client, &mut operator, 0, |_| true).await;
    println!(
        "deleted after {:.1} s, memory {:.1} MB",
        begin.elapsed().as_secs_f64(),
        operator.memory("VmRSS")
    );
    let namespaces = cluster::dynamic(&client, "v1", "Namespace", None);
    for index in 0..count {
        namespaces
            .delete(&place(index), &DeleteParams::default())
            .await
            .expect("a namespace can be deleted");
    }
}
