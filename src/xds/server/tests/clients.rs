//! Clients that do not read, read late, or refuse everything: each costs its own stream a bounded number of
//! states, and nobody else anything.

use std::sync::{Arc, Weak};

use proto::codec::type_url::CLUSTER;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use proto::google::rpc;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Streaming;

use super::{Access, Running, SOON, first, next, open, running};
use crate::{Resource, Resources};

/// States that are pushed.
const STATES: u8 = 60;
/// States that may be held: the one on its way, the one that was taken in last, the newest.
const HELD: usize = 3;
/// Of one state, in bytes: more than fits into any window.
const SIZE: usize = 1 << 20;

/// All states that were pushed, held by nobody here.
#[derive(Default)]
struct Pushed(Vec<Weak<Resource>>);

impl Pushed {
    fn push(&mut self, to: &Running, content: u8) {
        let made = Resource::new(CLUSTER, "a", &vec![content; SIZE], Vec::new());
        let made = Arc::new(made);
        self.0.push(Arc::downgrade(&made));
        let mut resources = Resources::default();
        resources.table_mut(CLUSTER).insert(made);
        to.resources.send_replace(Arc::new(resources));
    }

    fn held(&self) -> usize {
        self.0
            .iter()
            .filter(|state| state.strong_count() > 0)
            .count()
    }

    /// Waits until no more are held than may be.
    async fn settled(&self) {
        let few = async {
            while self.held() > HELD {
                tokio::task::yield_now().await;
            }
        };
        let settled = timeout(SOON, few).await;
        assert!(settled.is_ok(), "{} states are held", self.held());
    }
}

fn version(content: u8) -> String {
    Resource::new("", "", &vec![content; SIZE], Vec::new()).version_text()
}

fn answer(to: &DeltaDiscoveryResponse, refusal: Option<&str>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: CLUSTER.to_owned(),
        response_nonce: to.nonce.clone(),
        error_detail: refusal.map(|message| rpc::Status {
            message: message.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

type Client = (
    mpsc::Sender<DeltaDiscoveryRequest>,
    Streaming<DeltaDiscoveryResponse>,
);

async fn connect(to: &mut Running) -> Client {
    let asks = vec![first(CLUSTER, &[])];
    open(to, None, asks).await.expect("open")
}

/// Takes in what comes until it is this state; how many responses that were.
async fn follow(client: &mut Client, until: u8, refusal: Option<&str>) -> usize {
    let last = version(until);
    for count in 1.. {
        let response = next(&mut client.1).await.expect("a response");
        let request = answer(&response, refusal);
        client.0.send(request).await.expect("open");
        if response.resources[0].version == last {
            return count;
        }
    }
    unreachable!("counting does not end")
}

#[tokio::test]
async fn who_never_reads_holds_few_states_and_nobody_back() {
    let mut server = running(Access::Anonymous).await;
    let mut pushed = Pushed::default();
    pushed.push(&server, 0);
    let mut deaf = Vec::new();
    for _ in 0..4 {
        deaf.push(connect(&mut server).await);
    }
    let mut other = connect(&mut server).await;
    follow(&mut other, 0, None).await;
    for content in 1..=STATES {
        pushed.push(&server, content);
        assert_eq!(follow(&mut other, content, None).await, 1);
    }
    pushed.settled().await;
    server.shutdown.cancel();
}

#[tokio::test]
async fn who_reads_late_gets_the_newest_state_and_not_every_one() {
    let mut server = running(Access::Anonymous).await;
    let mut pushed = Pushed::default();
    pushed.push(&server, 0);
    let mut slow = connect(&mut server).await;
    for content in 1..=STATES {
        pushed.push(&server, content);
        tokio::task::yield_now().await;
    }
    let responses = follow(&mut slow, STATES, None).await;
    assert!(responses <= HELD, "{responses} responses");
    pushed.settled().await;
    server.shutdown.cancel();
}

#[tokio::test]
async fn who_refuses_everything_holds_few_states_and_nobody_back() {
    let mut server = running(Access::Anonymous).await;
    let mut pushed = Pushed::default();
    pushed.push(&server, 0);
    let mut hostile = connect(&mut server).await;
    let mut other = connect(&mut server).await;
    for content in 0..=STATES {
        pushed.push(&server, content);
        follow(&mut hostile, content, Some("no")).await;
        follow(&mut other, content, None).await;
    }
    pushed.settled().await;
    server.shutdown.cancel();
}
