//! A paused resource: nothing is touched, and what is held back is told.

use serde_json::{Value, json};

use super::{IOP, World, installed, of, sample};

fn pause(cr: &mut Value) {
    cr["metadata"]["annotations"] = json!({base::labels::IGNORE_RECONCILE: "true"});
}

#[tokio::test]
async fn a_pause_from_the_beginning_installs_nothing_and_plans_everything() {
    let world = World::new();
    let mut cr = sample();
    pause(&mut cr);
    let written = world.pass(&cr).await;
    let real = written.iter().filter(|asked| !asked.ends_with("(dry run)"));
    assert_eq!(real.collect::<Vec<_>>(), [&format!("PATCH {IOP}/status")]);
    let status = &world.stored(&cr)["status"];
    assert_eq!(status["conditions"][0]["reason"], "Paused", "{status:#}");
    let create = status["plan"]["create"].as_array().expect("a plan");
    assert_eq!(create.len(), written.len() - 1);
    assert!(
        world.pass(&world.stored(&cr)).await.is_empty(),
        "planned once"
    );
}

#[tokio::test]
async fn a_pause_heals_nothing_tells_the_truth_and_ends_at_once() {
    let (world, mut cr) = installed().await;
    pause(&mut cr);
    assert_eq!(world.pass(&cr).await, [format!("PATCH {IOP}/status")]);
    let status = world.stored(&cr)["status"].clone();
    assert_eq!(status["status"], "HEALTHY");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("paused by annotation"), "{message}");

    let istiod = of("Deployment").reference(Some("istio-system".into()), "istiod".into());
    let live = world
        .ctx
        .inventory()
        .get(&istiod)
        .cloned()
        .expect("applied");
    world.ctx.inventory().forget(&live);
    let path = "/apis/apps/v1/namespaces/istio-system/deployments/istiod";
    world.server.lock().expect("idle").objects.remove(path);
    let mut cr = world.stored(&cr);
    let written = world.pass(&cr).await;
    let expected = [
        format!("PATCH {path} (dry run)"),
        format!("PATCH {IOP}/status"),
    ];
    assert_eq!(written, expected);
    cr = world.stored(&cr);
    assert_eq!(cr["status"]["status"], "ERROR");
    assert_eq!(
        cr["status"]["componentStatus"]["Pilot"]["error"],
        "held back by the pause: deployment istio-system/istiod does not exist"
    );
    let create = &cr["status"]["plan"]["create"];
    assert_eq!(*create, json!(["deployment istio-system/istiod"]));

    cr["metadata"]["annotations"] = json!({});
    let written = world.pass(&cr).await;
    assert_eq!(written[0], format!("PATCH {path}"));
    assert_eq!(world.stored(&sample())["status"]["plan"], Value::Null);
}

#[tokio::test]
async fn a_pause_tells_of_what_is_somebody_elses() {
    let world = World::new();
    let path = "/apis/apps/v1/namespaces/istio-system/deployments/istiod";
    let made_by_hand = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "istiod", "namespace": "istio-system", "uid": "theirs",
            "managedFields": [{"manager": "kubectl", "operation": "Update"}]},
    });
    let put = |object: &Value| {
        let mut server = world.server.lock().expect("idle");
        server.objects.insert(path.to_owned(), object.clone());
    };
    put(&made_by_hand);
    let mut cr = sample();
    pause(&mut cr);
    world.pass(&cr).await;
    let told = |cr: &Value| {
        let status = &world.stored(cr)["status"];
        let error = status["componentStatus"]["Pilot"]["error"].clone();
        (error.to_string(), status["plan"].clone())
    };
    let (_, plan) = told(&cr);
    let refused = &plan["refuse"][0];
    assert_eq!(refused["object"], "deployment istio-system/istiod");
    let reason = refused["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("was made by kubectl; annotate this resource"),
        "{reason}"
    );

    // Whoever allows it sees what that means.
    let mut allowed = world.stored(&cr);
    allowed["metadata"]["annotations"][base::labels::ADOPT] = "true".into();
    world.pass(&allowed).await;
    let (error, plan) = told(&cr);
    assert_eq!(plan["refuse"], Value::Null);
    let changed = &plan["change"][0]["object"];
    assert_eq!(*changed, "deployment istio-system/istiod", "{error}");
    assert!(
        !error.contains("deployment istio-system/istiod does not exist"),
        "{error}"
    );
}
