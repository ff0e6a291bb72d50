//! Whole passes against an API server that stores what it is sent. What watches would bring is
//! put into the inventory by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response};
use install::Owner;
use kube::Client;
use kube::api::DynamicObject;
use kube::client::Body;
use kube::runtime::reflector::store::Writer;
use rollout::kind::KINDS;
use rollout::{Kind, Live};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::reconcile;
use crate::watch::operator_resource;
use crate::{Ca, CaHealth, CaPlan, Context, Metrics, Settings};

mod gateways;
mod pause;

/// Requests as `METHOD last-path-segments`, and objects by path.
#[derive(Default)]
struct Server {
    asked: Vec<String>,
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Every `status.status` that was written.
    told: Vec<String>,
    /// Writes whose path contains this are refused.
    refused: Option<String>,
}

impl Server {
    /// Answers the few requests that passes make; whatever else is asked is a 404.
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Value) {
        let dry = if query.contains("dryRun") {
            " (dry run)"
        } else {
            ""
        };
        self.asked.push(format!("{method} {path}{dry}"));
        let refused = |part: &String| *method != Method::GET && path.contains(part);
        if self.refused.as_ref().is_some_and(refused) {
            return (403, status(403));
        }
        if let Some(told) = body["status"]["status"]
            .as_str()
            .filter(|_| path.ends_with("/status"))
        {
            self.told.push(told.to_owned());
        }
        self.version += 1;
        match *method {
            Method::PATCH => {
                let target = path.trim_end_matches("/status").to_owned();
                let version = self.version;
                let dry = query.contains("dryRun");
                let mut trial = self.objects.get(&target).cloned().unwrap_or(json!({}));
                let object = match dry {
                    true => &mut trial,
                    false => self.objects.entry(target).or_insert(json!({})),
                };
                // An apply takes the fields that it names, an update those of the patch.
                let update = !query.contains("force=true");
                let fields = owned(&body);
                let before = object.clone();
                merge(object, body);
                if !update {
                    object["metadata"]["managedFields"] = json!([{
                        "manager": "istio-operator", "operation": "Apply", "fieldsV1": fields
                    }]);
                }
                if *object == before {
                    return (200, before);
                }
                let metadata = &mut object["metadata"];
                metadata["resourceVersion"] = version.to_string().into();
                if metadata["uid"].is_null() {
                    metadata["uid"] = format!("uid-{version}").into();
                }
                (200, object.clone())
            }
            Method::POST => (201, body),
            Method::DELETE => match self.objects.remove(path) {
                Some(object) => (200, object),
                None => (404, status(404)),
            },
            Method::GET => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => (404, status(404)),
            },
            _ => (404, status(404)),
        }
    }
}

/// `fieldsV1` of what was applied; lists are owned as a whole here.
fn owned(applied: &Value) -> Value {
    let Some(fields) = applied.as_object() else {
        return json!({});
    };
    let entries = fields.iter();
    let named = entries.map(|(name, below)| (format!("f:{name}"), owned(below)));
    named.collect::<serde_json::Map<_, _>>().into()
}

fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": "no", "reason": "NotFound"})
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

struct World {
    server: Arc<Mutex<Server>>,
    ctx: Arc<Context>,
    ca: watch::Receiver<Option<CaPlan>>,
}

impl World {
    fn new() -> World {
        World::over(Arc::new(Mutex::new(Server::default())))
    }

    /// The same cluster under a new process, whose watches have listed everything.
    fn restarted(&self) -> World {
        let world = World::over(Arc::clone(&self.server));
        for live in self.ctx.inventory().iter() {
            world.ctx.inventory().observe(live.clone());
        }
        world
    }

    fn over(server: Arc<Mutex<Server>>) -> World {
        let shared = Arc::clone(&server);
        let client = Client::new(
            tower::service_fn(move |request: Request<Body>| {
                let server = Arc::clone(&shared);
                async move {
                    let (head, body) = request.into_parts();
                    let query = head.uri.query().unwrap_or_default();
                    let bytes = body.collect_bytes().await.expect("a body");
                    let body = serde_json::from_slice(&bytes).unwrap_or_default();
                    let mut server = server.lock().expect("no panic while it is held");
                    let (code, answer) = server.answer(&head.method, head.uri.path(), query, body);
                    let answer = Body::from(answer.to_string().into_bytes());
                    Response::builder().status(code).body(answer)
                }
            }),
            "default",
        );
        let settings = Settings {
            hub: "localhost/ferrosail".into(),
            tag: "0.1.0".into(),
            version: "0.1.0".into(),
            readiness_timeout: Duration::from_secs(300),
            resync: Duration::from_secs(600),
            watch_namespace: String::new(),
            identity: "test".into(),
        };
        let store = Writer::new(operator_resource()).as_reader();
        let (sender, ca) = watch::channel(None);
        let kubernetes = Some((1, 35));
        let ctx = Context::new(
            client,
            settings,
            kubernetes,
            Metrics::default(),
            Ca {
                plan: sender,
                health: watch::channel(CaHealth::default()).1,
            },
            &store,
        );
        World {
            server,
            ctx: Arc::new(ctx),
            ca,
        }
    }

    /// One pass; returns what was written, Events apart.
    async fn pass(&self, cr: &Value) -> Vec<String> {
        let asked = self.asked(cr).await.into_iter();
        asked.filter(|asked| !asked.starts_with("GET")).collect()
    }

    /// One pass; returns what was asked of the API server, Events apart.
    async fn asked(&self, cr: &Value) -> Vec<String> {
        self.server.lock().expect("idle").asked.clear();
        let cr: DynamicObject = serde_json::from_value(cr.clone()).expect("an object");
        let Ok(_) = reconcile(Arc::new(cr), Arc::clone(&self.ctx)).await;
        let server = self.server.lock().expect("idle");
        let all = server
            .asked
            .iter()
            .filter(|asked| !asked.contains("/events"));
        all.cloned().collect()
    }

    /// The resource as it now stands, for the next pass.
    fn stored(&self, cr: &Value) -> Value {
        let server = self.server.lock().expect("idle");
        let mut cr = cr.clone();
        merge(&mut cr, server.objects[IOP].clone());
        cr
    }

    /// What the watch on `kind` would tell of every object of it: this status.
    fn see(&self, kind: &str, status: &Value) {
        let kind = of(kind);
        let live: Vec<Live> = self
            .ctx
            .inventory()
            .iter()
            .filter(|live| live.reference.kind == kind.kind)
            .cloned()
            .collect();
        for live in live {
            let path = path(&live.reference);
            if let Some(stored) = self.server.lock().expect("idle").objects.get_mut(&path) {
                stored["status"] = status.clone();
            }
            let content = json!({"spec": {"replicas": 2}, "status": status});
            let told = Live::of(kind, &Default::default(), &content);
            self.ctx.inventory().observe(Live {
                state: told.state,
                ..live
            });
        }
    }

    /// The watch tells that everything that was deleted is gone.
    fn see_deletions(&self, asked: &[String]) {
        let gone: Vec<Live> = self
            .ctx
            .inventory()
            .iter()
            .filter(|live| {
                let path = format!("/{}/{}", plural(&live.reference), live.reference.name);
                asked
                    .iter()
                    .any(|asked| asked.starts_with("DELETE") && asked.ends_with(&path))
            })
            .cloned()
            .collect();
        for live in gone {
            self.ctx.inventory().forget(&live);
        }
    }
}

const IOP: &str =
    "/apis/install.istio.io/v1alpha1/namespaces/istio-system/istiooperators/istiocontrolplane";

const RECORD: &str =
    "/api/v1/namespaces/istio-system/configmaps/istio-operator-inventory-istiocontrolplane";

fn of(kind: &str) -> &'static Kind {
    KINDS
        .iter()
        .find(|known| known.kind == kind)
        .expect("a kind of the table")
}

/// Where the API server has an object.
fn path(reference: &base::ObjectRef) -> String {
    let version = match reference.group() {
        "" => format!("/api/{}", reference.api_version),
        _ => format!("/apis/{}", reference.api_version),
    };
    let (plural, name) = (plural(reference), &reference.name);
    match &reference.namespace {
        Some(namespace) => format!("{version}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("{version}/{plural}/{name}"),
    }
}

fn plural(reference: &base::ObjectRef) -> &'static str {
    Kind::of(reference).expect("a kind of the table").plural
}

fn sample() -> Value {
    let sample = include_str!("../../../config/samples/istiooperator.yaml");
    let mut cr = api::yaml::documents(sample).expect("valid YAML").remove(0);
    cr["metadata"]["generation"] = 1.into();
    cr["metadata"]["resourceVersion"] = "1".into();
    cr["metadata"]["uid"] = "u".into();
    cr
}

fn established() -> Value {
    json!({"conditions": [{"type": "Established", "status": "True"}]})
}

fn rolled_out() -> Value {
    json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2,
        "conditions": [{"type": "Available", "status": "True"}]})
}

fn count(asked: &[String], what: &str) -> usize {
    asked.iter().filter(|asked| asked.contains(what)).count()
}

/// The sample, installed and healthy.
async fn installed() -> (World, Value) {
    let world = World::new();
    world.pass(&sample()).await;
    let mut cr = world.stored(&sample());
    for (kind, status) in [
        ("CustomResourceDefinition", established()),
        ("Deployment", rolled_out()),
        ("Deployment", rolled_out()),
    ] {
        world.see(kind, &status);
        world.pass(&cr).await;
        cr = world.stored(&sample());
    }
    world.see("Deployment", &rolled_out());
    world.pass(&cr).await;
    let cr = world.stored(&sample());
    assert_eq!(cr["status"]["status"], "HEALTHY", "{:#}", cr["status"]);
    (world, cr)
}

#[tokio::test]
async fn the_first_pass_tells_takes_hold_and_applies_base_alone() {
    let world = World::new();
    let asked = world.pass(&sample()).await;
    assert_eq!(
        asked[0],
        format!("PATCH {IOP}"),
        "the finalizer before the first object"
    );
    assert_eq!(
        asked[1],
        format!("PATCH {IOP}/status"),
        "told before anything is touched"
    );
    assert_eq!(count(&asked, "/customresourcedefinitions/"), 15);
    assert_eq!(count(&asked, "/deployments/"), 0);
    let cr = world.stored(&sample());
    assert_eq!(
        cr["metadata"]["finalizers"],
        json!([base::labels::FINALIZER])
    );
    assert_eq!(cr["status"]["status"], "RECONCILING");
    assert_eq!(cr["status"]["observedGeneration"], 1);
}

#[tokio::test]
async fn each_wave_waits_for_the_one_before() {
    let world = World::new();
    world.pass(&sample()).await;
    let cr = world.stored(&sample());
    world.see("CustomResourceDefinition", &established());
    let asked = world.pass(&cr).await;
    assert_eq!(count(&asked, "/deployments/istiod"), 1);
    assert_eq!(count(&asked, "/deployments/"), 1, "{asked:?}");
    world.see("Deployment", &rolled_out());
    let asked = world.pass(&world.stored(&sample())).await;
    assert_eq!(count(&asked, "/deployments/istio-ingressgateway"), 1);
    assert_eq!(count(&asked, "/deployments/istio-egressgateway"), 1);
    assert_eq!(
        count(&asked, "/istiod"),
        0,
        "what stands is not written again"
    );
}

#[tokio::test]
async fn a_pass_with_nothing_to_do_asks_nothing() {
    let (world, cr) = installed().await;
    assert!(world.asked(&cr).await.is_empty());
}

#[tokio::test]
async fn a_new_process_reads_the_record_and_writes_nothing() {
    let (world, cr) = installed().await;
    let asked = world.restarted().asked(&cr).await;
    assert_eq!(asked, [format!("GET {RECORD}")]);
}

#[tokio::test]
async fn without_the_record_everything_is_applied_once_and_recorded() {
    let (world, cr) = installed().await;
    world.server.lock().expect("idle").objects.remove(RECORD);
    let again = world.restarted();
    let written = again.pass(&cr).await;
    assert_eq!(count(&written, "/customresourcedefinitions/"), 15);
    assert_eq!(written.last(), Some(&format!("PATCH {RECORD}")));
    assert!(again.asked(&cr).await.is_empty());
}

#[tokio::test]
async fn a_deleted_object_costs_one_write_and_its_record() {
    let (world, cr) = installed().await;
    let autoscaler = of("HorizontalPodAutoscaler")
        .reference(Some("istio-system".into()), "istio-ingressgateway".into());
    let live = world
        .ctx
        .inventory()
        .get(&autoscaler)
        .cloned()
        .expect("applied");
    world.ctx.inventory().forget(&live);
    let path = "/apis/autoscaling/v2/namespaces/istio-system/horizontalpodautoscalers";
    let object = format!("{path}/istio-ingressgateway");
    world.server.lock().expect("idle").objects.remove(&object);
    let asked = world.pass(&cr).await;
    let expected = [
        format!("PATCH {path}/istio-ingressgateway"),
        format!("PATCH {RECORD}"),
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn pods_of_an_account_that_was_deleted_are_replaced() {
    let (world, cr) = installed().await;
    let account = of("ServiceAccount").reference(Some("istio-system".into()), "istiod".into());
    let live = world
        .ctx
        .inventory()
        .get(&account)
        .cloned()
        .expect("applied");
    world.ctx.inventory().forget(&live);
    let accounts = "/api/v1/namespaces/istio-system/serviceaccounts";
    let object = format!("{accounts}/istiod");
    world.server.lock().expect("idle").objects.remove(&object);
    let asked = world.pass(&cr).await;
    let deployment = "PATCH /apis/apps/v1/namespaces/istio-system/deployments/istiod".to_owned();
    assert_eq!(asked[..2], [format!("PATCH {object}"), deployment]);
    let cr = world.stored(&sample());
    assert!(world.pass(&cr).await.is_empty(), "once is enough");
}

#[tokio::test]
async fn losing_the_pods_turns_the_status_and_back() {
    let (world, cr) = installed().await;
    world.see(
        "Deployment",
        &json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2}),
    );
    world.pass(&cr).await;
    let lost = world.stored(&sample());
    assert_eq!(lost["status"]["status"], "ERROR");
    world.see("Deployment", &rolled_out());
    world.pass(&lost).await;
    assert_eq!(world.stored(&sample())["status"]["status"], "HEALTHY");
}

#[tokio::test]
async fn an_invalid_specification_is_told_and_touches_nothing() {
    let world = World::new();
    let mut cr = sample();
    cr["spec"]["profil"] = "default".into();
    assert_eq!(world.pass(&cr).await, [format!("PATCH {IOP}/status")]);
    let status = &world.stored(&cr)["status"];
    assert_eq!(status["status"], "ERROR");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(message.contains("spec.profil"), "{message}");
}

#[tokio::test]
async fn what_helm_owns_is_a_conflict_until_adoption_is_asked_for() {
    let world = World::new();
    let path = "/api/v1/namespaces/istio-system/serviceaccounts/istio-reader-service-account";
    let theirs = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "istio-reader-service-account", "namespace": "istio-system",
            "uid": "theirs", "annotations": {"meta.helm.sh/release-name": "istio-base",
                "meta.helm.sh/release-namespace": "istio-system"}},
    });
    world
        .server
        .lock()
        .expect("idle")
        .objects
        .insert(path.into(), theirs);
    let written = world.pass(&sample()).await;
    assert_eq!(count(&written, path), 0, "nothing is stolen");
    let mut cr = world.stored(&sample());
    let base = &cr["status"]["componentStatus"]["Base"];
    let error = base["error"].as_str().unwrap_or_default();
    assert!(
        error.contains("Helm release istio-system/istio-base"),
        "{error}"
    );
    assert!(error.contains("install.istio.io/adopt"), "{error}");
    assert_eq!(cr["status"]["conditions"][2]["type"], "Stalled");
    assert_eq!(cr["status"]["conditions"][2]["reason"], "OwnershipConflict");

    cr["metadata"]["annotations"] = json!({base::labels::ADOPT: "true"});
    let written = world.restarted().pass(&cr).await;
    assert_eq!(count(&written, path), 2, "applied, and taken from Helm");
    let annotations = &world.server.lock().expect("idle").objects[path]["metadata"]["annotations"];
    assert_eq!(annotations["meta.helm.sh/release-name"], Value::Null);
}

#[tokio::test]
async fn the_ca_is_kept_from_the_first_apply_to_the_deletion() {
    let (world, mut cr) = installed().await;
    let plan = world.ca.borrow().clone().expect("a plan");
    assert_eq!(plan.namespace, "istio-system");
    cr["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.pass(&cr).await;
    assert_eq!(*world.ca.borrow(), None);
}

#[tokio::test]
async fn a_deletion_goes_in_two_steps_and_reads_no_specification() {
    let (world, mut cr) = installed().await;
    let now = k8s_openapi::jiff::Timestamp::now();
    cr["metadata"]["deletionTimestamp"] = json!(now.to_string());
    cr["spec"]["profil"] = "no longer valid".into();
    let first = world.pass(&cr).await;
    assert_eq!(count(&first, "/deployments/"), 3);
    assert_eq!(
        count(&first, "webhookconfigurations/"),
        4,
        "of the revision, and of the cluster's default"
    );
    assert_eq!(
        count(&first, "/serviceaccounts/"),
        0,
        "running pods still need theirs"
    );
    assert_eq!(
        world.stored(&cr)["status"]["conditions"][0]["reason"],
        "Deleting"
    );

    world.see_deletions(&first);
    let second = world.pass(&world.stored(&cr)).await;
    assert!(
        !second
            .iter()
            .any(|asked| first.contains(asked) && asked.starts_with("DELETE"))
    );
    assert!(count(&second, "/serviceaccounts/") >= 3);
    assert_eq!(count(&second, "customresourcedefinitions"), 0);

    world.see_deletions(&second);
    let third = world.pass(&world.stored(&cr)).await;
    let expected = [format!("DELETE {RECORD}"), format!("PATCH {IOP}")];
    assert_eq!(third, expected, "the finalizer goes last");
    assert_eq!(world.stored(&cr)["metadata"]["finalizers"], json!([]));
    // CRDs stay, and a resource of the same name finds them as somebody else's.
    let owner = Owner {
        namespace: "istio-system".to_owned(),
        name: "istiocontrolplane".to_owned(),
    };
    let known = world.ctx.recall(&owner).record;
    assert_eq!(known.objects().len(), 0, "{:?}", known.objects());
}
