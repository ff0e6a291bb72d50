//! Which of several policies decides.

use api::snapshot::{Labels, World, read};
use serde_json::{Value, json};

use super::{Mode, PeerModes, collect};

fn modes(policies: &[(&str, &str, Value)]) -> PeerModes {
    let mut world = World::new("cluster.local");
    for (namespace, name, spec) in policies {
        let object = json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec});
        world.put(
            read(&object)
                .expect("readable")
                .expect("a kind of the mesh"),
        );
    }
    collect(world.snapshot())
}

fn app(name: &str) -> Labels {
    Labels::from([("app".to_owned(), name.to_owned())])
}

fn of_app(mut spec: Value) -> Value {
    spec["selector"] = json!({"matchLabels": {"app": "a"}});
    spec
}

#[test]
fn the_narrowest_that_says_something_decides() {
    let mode = |mode: &str| json!({"mtls": {"mode": mode}});
    let ports = json!({"mtls": {"mode": "UNSET"},
        "portLevelMtls": {"80": {"mode": "UNSET"}, "81": {"mode": "DISABLE"}}});
    let modes = modes(&[
        ("istio-system", "mesh", mode("STRICT")),
        ("shop", "namespace", mode("PERMISSIVE")),
        ("shop", "workload", of_app(ports)),
        ("bank", "unset", mode("UNSET")),
    ]);
    assert_eq!(modes.of("shop", &app("a"), 80), Mode::Permissive);
    assert_eq!(modes.of("shop", &app("a"), 81), Mode::Disable);
    assert_eq!(modes.of("shop", &app("b"), 81), Mode::Permissive);
    assert_eq!(modes.of("bank", &app("a"), 81), Mode::Strict);
    assert_eq!(modes.of("data", &app("a"), 81), Mode::Strict);
}

#[test]
fn labels_in_the_root_namespace_select_nobody() {
    let spec = of_app(json!({"mtls": {"mode": "DISABLE"}}));
    let modes = modes(&[("istio-system", "workload", spec)]);
    assert_eq!(modes.of("istio-system", &app("a"), 80), Mode::Permissive);
    assert_eq!(modes.of("shop", &app("a"), 80), Mode::Permissive);
}
