//! The order of a pod's containers, on which depends what starts first and what `kubectl exec` means.

use serde_json::Value;

use crate::PROXY;
use crate::pod::{find, list, list_mut, name};

const INIT: &str = "istio-init";
const VALIDATION: &str = "istio-validation";
const CORE_DUMP: &str = "enable-core-dump";

/// Puts the proxy last, or first where the application waits for it (`hold`). Of the init containers: a
/// proxy that stays comes right after the traffic rules and before those of the user, so that theirs are in
/// the mesh; without one, the validation comes first, and the rules last, so that they do not cut off the user's.
pub fn reorder(pod: &mut Value, hold: bool) {
    move_to(pod, "containers", PROXY, hold);
    if find(list(pod, "initContainers"), PROXY).is_some() {
        for first in [CORE_DUMP, PROXY, VALIDATION, INIT] {
            move_to(pod, "initContainers", first, true);
        }
    } else {
        move_to(pod, "initContainers", VALIDATION, true);
        move_to(pod, "initContainers", INIT, false);
        move_to(pod, "initContainers", CORE_DUMP, false);
    }
}

fn move_to(pod: &mut Value, from: &str, wanted: &str, first: bool) {
    let index = list(pod, from).iter().position(|item| name(item) == wanted);
    if let Some(index) = index {
        let items = list_mut(pod, from);
        let item = items.remove(index);
        items.insert(if first { 0 } else { items.len() }, item);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::reorder;
    use crate::pod::{list, name};

    fn order(containers: &[&str], init: &[&str], hold: bool) -> (Vec<String>, Vec<String>) {
        let items =
            |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name})).collect() };
        let mut pod =
            json!({"spec": {"containers": items(containers), "initContainers": items(init)}});
        reorder(&mut pod, hold);
        let names = |from: &str| {
            list(&pod, from)
                .iter()
                .map(|item| name(item).to_owned())
                .collect()
        };
        (names("containers"), names("initContainers"))
    }

    #[test]
    fn the_proxy_is_last_unless_it_is_waited_for() {
        assert_eq!(
            order(&["istio-proxy", "app"], &[], false).0,
            ["app", "istio-proxy"]
        );
        assert_eq!(
            order(&["app", "istio-proxy"], &[], true).0,
            ["istio-proxy", "app"]
        );
    }

    #[test]
    fn rules_come_last_without_a_native_proxy_and_first_with_one() {
        let found = order(&[], &["istio-init", "user"], false).1;
        assert_eq!(found, ["user", "istio-init"]);
        let found = order(&[], &["user", "istio-validation"], false).1;
        assert_eq!(found, ["istio-validation", "user"]);
        let found = order(&[], &["user", "istio-proxy", "istio-init"], false).1;
        assert_eq!(found, ["istio-init", "istio-proxy", "user"]);
    }
}
