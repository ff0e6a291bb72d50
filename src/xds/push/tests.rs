//! Who is handed what, and who is left alone.

use std::sync::Arc;
use std::time::Duration;

use api::snapshot::{Locality, World, read};
use mesh::{Flavour, Mesh, Proxy};
use proto::codec::{decode_endpoint, type_url};
use serde_json::json;
use serve::Shutdown;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Push, push};
use crate::Resources;

const SOON: Duration = Duration::from_secs(10);
const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIPs: [10.96.0.1], selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: shop}
spec: {clusterIPs: [10.96.0.2], selector: {app: ratings}, ports: [{name: http, port: 9080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-a, namespace: shop, labels: {kubernetes.io/service-name: reviews}}
ports: [{name: http, port: 9080}]
endpoints: [{addresses: [10.1.0.1]}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-9, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, serviceAccountName: web}
---
apiVersion: v1
kind: Node
metadata: {name: node-1, labels: {topology.kubernetes.io/region: north}}
";
const REVIEWS: &str = "outbound|9080||reviews.shop.svc.cluster.local";
const RATINGS: &str = "outbound|9080||ratings.shop.svc.cluster.local";

fn world(text: &str) -> World {
    let mut world = World::new("cluster.local");
    for object in api::yaml::documents(text).expect("YAML") {
        if let Some(item) = read(&object).expect("well-formed") {
            world.put(item);
        }
    }
    world
}

fn mesh_of(world: &World) -> Arc<Mesh> {
    let (mesh, problems) = mesh::compile(world.snapshot());
    assert!(problems.is_empty(), "{problems:?}");
    Arc::new(mesh)
}

fn proxy(name: &str, address: &str) -> Proxy {
    let id = format!("sidecar~{address}~{name}.shop~shop.svc.cluster.local");
    let metadata =
        json!({"NAMESPACE": "shop", "LABELS": {"app": "web"}, "CLUSTER_ID": "Kubernetes"});
    Proxy::of_node(&id, &metadata, Locality::default(), Flavour::Stock).expect("a sidecar")
}

struct Running {
    push: Push,
    meshes: watch::Sender<Option<Arc<Mesh>>>,
    worlds: watch::Sender<Option<World>>,
}

fn running() -> Running {
    let (meshes, mesh) = watch::channel(None);
    let (worlds, world) = watch::channel(None);
    let (push, task) = push(mesh, world, Shutdown::new());
    tokio::spawn(task);
    Running {
        push,
        meshes,
        worlds,
    }
}

impl Running {
    fn tell(&self, text: &str) {
        let world = world(text);
        let mesh = mesh_of(&world);
        self.worlds.send_replace(Some(world));
        self.meshes.send_replace(Some(mesh));
    }

    async fn subscribe(&self, proxy: Proxy) -> watch::Receiver<Arc<Resources>> {
        let subscribed = timeout(SOON, self.push.subscribe(proxy)).await;
        let mut resources = subscribed.expect("in time").expect("running");
        resources.mark_unchanged();
        resources
    }
}

async fn next(resources: &mut watch::Receiver<Arc<Resources>>) -> Arc<Resources> {
    timeout(SOON, resources.changed())
        .await
        .expect("in time")
        .expect("running");
    resources.borrow_and_update().clone()
}

fn addresses(resources: &Resources, cluster: &str) -> usize {
    let resource = resources
        .get(type_url::ENDPOINT, cluster)
        .expect("assigned");
    let assignment = decode_endpoint(&resource.bytes()).expect("an assignment");
    assignment
        .endpoints
        .iter()
        .map(|group| group.lb_endpoints.len())
        .sum()
}

#[tokio::test]
async fn replicas_are_handed_the_same_value() {
    let running = running();
    running.tell(SHOP);
    let first = running.subscribe(proxy("web-1", "10.1.0.8")).await;
    let second = running.subscribe(proxy("web-2", "10.1.0.9")).await;
    assert!(Arc::ptr_eq(&first.borrow(), &second.borrow()));
    let resources = first.borrow().clone();
    assert_eq!(addresses(&resources, REVIEWS), 1);
    assert_eq!(addresses(&resources, RATINGS), 0);
    for type_url in [type_url::CLUSTER, type_url::LISTENER, type_url::ROUTE] {
        assert!(resources.of_type(type_url).count() > 0, "{type_url}");
    }
}

#[tokio::test]
async fn a_proxy_that_comes_before_the_mesh_waits_for_it() {
    let running = running();
    let push = running.push.clone();
    let early = tokio::spawn(async move { push.subscribe(proxy("web-1", "10.1.0.8")).await });
    tokio::task::yield_now().await;
    assert!(!early.is_finished());
    running.tell(SHOP);
    let subscribed = timeout(SOON, early)
        .await
        .expect("in time")
        .expect("no panic");
    let resources = subscribed.expect("running").borrow().clone();
    assert!(resources.get(type_url::CLUSTER, REVIEWS).is_some());
}

#[tokio::test]
async fn an_endpoint_change_touches_the_clusters_of_its_host_only() {
    let running = running();
    running.tell(SHOP);
    let mut receiver = running.subscribe(proxy("web-1", "10.1.0.8")).await;
    let before = receiver.borrow().clone();
    let more = SHOP.replace(
        "{addresses: [10.1.0.1]}",
        "{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}",
    );
    running.worlds.send_replace(Some(world(&more)));
    let after = next(&mut receiver).await;
    assert_eq!(addresses(&after, REVIEWS), 2);
    let differing = |type_url| -> Vec<String> {
        let (before, after) = (before.table(type_url), after.table(type_url));
        before.differing(after).map(ToString::to_string).collect()
    };
    assert_eq!(differing(type_url::ENDPOINT), [REVIEWS]);
    for type_url in [type_url::CLUSTER, type_url::LISTENER, type_url::ROUTE] {
        assert!(differing(type_url).is_empty(), "{type_url}");
    }
    let same = |resources: &Resources| resources.get(type_url::ENDPOINT, RATINGS).cloned();
    assert!(Arc::ptr_eq(
        &same(&before).expect("there"),
        &same(&after).expect("there")
    ));
}

#[tokio::test]
async fn a_service_that_comes_and_goes() {
    let running = running();
    let (without, _) = SHOP.split_once("---").expect("documents");
    running.tell(without);
    let mut receiver = running.subscribe(proxy("web-1", "10.1.0.8")).await;
    assert!(receiver.borrow().get(type_url::CLUSTER, RATINGS).is_none());
    running.tell(SHOP);
    let mut after = next(&mut receiver).await;
    while after.get(type_url::CLUSTER, RATINGS).is_none() {
        after = next(&mut receiver).await;
    }
    assert!(after.get(type_url::ENDPOINT, RATINGS).is_some());
    running.tell(without);
    while after.get(type_url::CLUSTER, RATINGS).is_some() {
        after = next(&mut receiver).await;
    }
    assert!(after.get(type_url::ENDPOINT, RATINGS).is_none());
}

#[tokio::test]
async fn what_changes_nothing_wakes_nobody() {
    let running = running();
    running.tell(SHOP);
    let receiver = running.subscribe(proxy("web-1", "10.1.0.8")).await;
    running.tell(SHOP);
    // The next proxy is answered after that step was taken.
    running.subscribe(proxy("web-2", "10.1.0.9")).await;
    running.subscribe(proxy("web-3", "10.1.0.10")).await;
    assert!(!receiver.has_changed().expect("running"));
}

#[tokio::test]
async fn any_path_to_a_state_gives_the_same_resources() {
    let more = SHOP.replace(
        "{addresses: [10.1.0.1]}",
        "{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}",
    );
    let (without, _) = SHOP.split_once("---").expect("documents");
    let texts = [SHOP, &more, without];
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (path, fresh) = (running(), running());
        path.tell(SHOP);
        let mut receiver = path.subscribe(proxy("web-1", "10.1.0.8")).await;
        for _ in 0..random.u8(1..6) {
            path.tell(texts[random.usize(..texts.len())]);
            if random.bool() {
                tokio::task::yield_now().await;
            }
        }
        path.tell(&more);
        fresh.tell(&more);
        let expected = fresh.subscribe(proxy("web-1", "10.1.0.8")).await;
        let expected = expected.borrow().clone();
        let mut reached = receiver.borrow_and_update().clone();
        while reached != expected {
            reached = next(&mut receiver).await;
        }
    }
}
