//! The operator, ended at any write: whoever follows it finishes what it began, and what stands in the end is what an
//! undisturbed run makes. A sample of the writes; the campaign takes every one.

use std::time::Instant;

use e2e::argocd::Health;
use e2e::contents::{self, Contents};
use e2e::installation::Installation;
use e2e::intercept::{Cut, Intercept};
use e2e::local_operator::LocalOperator;
use e2e::{cluster, eventually::eventually, mesh, namespace, operator};
use kube::Client;
use kube::api::{ApiResource, DeleteParams};
use serde_json::{Value, json};

/// How long an operator may take to come to its n-th write, or to an end without it.
const PATIENCE: u64 = 120;

/// One IstioOperator that is installed and deleted again and again.
pub(crate) struct Trials {
    client: Client,
    kinds: Vec<ApiResource>,
    api_server: Intercept,
    installation: Installation,
    namespace: String,
    name: &'static str,
    spec: Value,
}

/// What an undisturbed run makes, and by which writes.
pub(crate) struct Undisturbed {
    contents: Contents,
    pub(crate) writes: Vec<String>,
    pub(crate) deletions: Vec<String>,
}

impl Trials {
    /// Of an IstioOperator that nobody else looks after: the operator of the cluster is away.
    pub(crate) async fn of(
        client: &Client,
        operator: &namespace::Namespace,
        (namespace, name): (&str, &'static str),
        spec: Value,
    ) -> Trials {
        Trials {
            client: client.clone(),
            kinds: contents::kinds(client).await,
            api_server: Intercept::begin(client, &operator::identity(operator)).await,
            installation: Installation::new(client, namespace, name),
            namespace: namespace.to_owned(),
            name,
            spec,
        }
    }

    fn start(&self) -> LocalOperator {
        LocalOperator::start(self.api_server.address(), &self.namespace)
    }

    async fn contents(&self) -> Result<Contents, String> {
        contents::of(&self.client, &self.kinds, &self.namespace, self.name).await
    }

    async fn healthy(&self) {
        self.installation
            .until(PATIENCE, Health::Healthy, |_| true)
            .await;
    }

    async fn gone(&self) {
        eventually(&self.client, "nothing of it is left", PATIENCE, || async {
            let mut left = self.contents().await?;
            // What the definitions define may be others'.
            left.retain(|object, _| !object.starts_with("CustomResourceDefinition "));
            match left.is_empty() {
                true => Ok(()),
                false => Err(format!("{:?}", left.keys().collect::<Vec<_>>())),
            }
        })
        .await;
    }

    async fn delete(&self) {
        let api = self.installation.api();
        let answer = api.delete(self.name, &DeleteParams::default()).await;
        answer.expect("it can be deleted");
    }

    /// Installs and deletes with nothing in between.
    pub(crate) async fn undisturbed(&self) -> Undisturbed {
        let _operator = self.start();
        self.api_server.count(None);
        self.installation.apply(self.spec.clone()).await;
        self.healthy().await;
        let contents = self.contents().await.expect("all can be listed");
        let writes = self.api_server.writes();
        self.api_server.count(None);
        self.delete().await;
        self.gone().await;
        Undisturbed {
            contents,
            writes,
            deletions: self.api_server.writes(),
        }
    }

    /// Installs with an operator that ends at `install`, and deletes with one that ends at `delete`; returns how many of
    /// the two were reached.
    pub(crate) async fn disturbed(
        &self,
        install: Cut,
        delete: Option<Cut>,
        expected: &Undisturbed,
    ) -> usize {
        self.api_server.count(Some(install));
        let first = self.start();
        self.installation.apply(self.spec.clone()).await;
        let mut reached = usize::from(self.ends(self.healthy()).await);
        drop(first);
        self.api_server.count(None);
        let second = self.start();
        self.healthy().await;
        eventually(
            &self.client,
            &format!("all is as ever, ended {install}"),
            30,
            || async {
                let differences =
                    contents::differences(&expected.contents, &self.contents().await?);
                match differences.is_empty() {
                    true => Ok(()),
                    false => Err(format!("{differences:#?}")),
                }
            },
        )
        .await;

        self.api_server.count(delete);
        self.delete().await;
        reached += usize::from(self.ends(self.gone()).await);
        drop(second);
        self.api_server.count(None);
        let _third = self.start();
        self.gone().await;
        reached
    }

    /// Whether the operator came to the write that ends it before `done`.
    async fn ends(&self, done: impl Future<Output = ()>) -> bool {
        tokio::select! {
            biased;
            () = self.api_server.ended() => true,
            () = done => false,
        }
    }
}

/// Two gateways that run nothing: every kind of object that a gateway has, in a namespace of its own.
pub(crate) fn gateways(namespace: &str) -> Value {
    let gateway = |name: &str| json!({"name": name, "enabled": true, "namespace": namespace, "k8s": {"replicaCount": 0}});
    let fixed = json!({"autoscaleEnabled": false});
    json!({
        "profile": "empty",
        "values": {
            "global": {"remotePilotAddress": "192.0.2.1"},
            "gateways": {"istio-ingressgateway": fixed, "istio-egressgateway": fixed},
        },
        "components": {
            "ingressGateways": [gateway("edge")],
            "egressGateways": [gateway("exit")],
        },
    })
}

/// Ends an operator of gateways at every write that `chosen` picks by its number.
pub(crate) async fn of_gateways(place: &str, chosen: impl Fn(usize) -> Vec<Cut>) {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    operator::with_replicas(&client, 0, async |operator| {
        namespace::plain(&client, place, async |place| {
            let of = (place.name.as_str(), "killed");
            let trials = Trials::of(&client, operator, of, gateways(&place.name)).await;
            run(&trials, chosen).await;
        })
        .await;
    })
    .await;
}

/// See [`of_gateways`].
pub(crate) async fn run(trials: &Trials, chosen: impl Fn(usize) -> Vec<Cut>) {
    let begin = Instant::now();
    let expected = trials.undisturbed().await;
    let (writes, deletions) = (expected.writes.len(), expected.deletions.len());
    println!(
        "undisturbed: {} objects by {writes} writes, gone by {deletions}, {:.1} s",
        expected.contents.len(),
        begin.elapsed().as_secs_f64()
    );
    let begin = Instant::now();
    let (mut ends, mut reached, mut trials_made) = (0, 0, 0_u32);
    for number in 1..=writes.max(deletions) {
        for cut in chosen(number) {
            // A deletion takes fewer writes: the last ones are only counted for the installation.
            let delete = (number <= deletions).then_some(cut);
            ends += 1 + usize::from(delete.is_some());
            println!("ended {cut}");
            reached += trials.disturbed(cut, delete, &expected).await;
            trials_made += 1;
        }
    }
    let each = begin.elapsed() / trials_made.max(1);
    println!(
        "ended at {reached} writes of {ends}, {:.1} s each time",
        each.as_secs_f64()
    );
    // Status is written as often as watches are told apart, so the last numbers may not come every time.
    assert!(reached * 10 >= ends * 8, "{reached} of {ends} were reached");
    assert!(
        writes >= 10 && deletions >= 10,
        "{writes} and {deletions} writes"
    );
}

#[tokio::test]
async fn an_operator_that_was_ended_at_a_write_is_followed_by_one_that_finishes() {
    of_gateways("kills", |number| match number % 2 {
        1 => vec![Cut::Before(number)],
        _ => vec![Cut::After(number)],
    })
    .await;
}
