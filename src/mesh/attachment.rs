//! Whether a policy is for a workload: by labels or, for gateways of the Gateway API, by name.

use api::security::TargetRef;
use api::snapshot::{Labels, selects};

/// Label of the workloads of a gateway of the Gateway API: its name.
pub(crate) const GATEWAY: &str = "gateway.networking.k8s.io/gateway-name";

/// Whether a policy of `namespace` is for a workload of `own` namespace with these labels. Upstream's
/// rules: who is no gateway knows only labels; a gateway counts its name where one is named, else
/// its labels.
pub(crate) fn attaches(
    (namespace, selector, targets): (&str, Option<&Labels>, &[TargetRef]),
    (own, labels): (&str, &Labels),
) -> bool {
    let selected = selector.is_none_or(|selector| selects(selector, labels));
    match labels.get(GATEWAY) {
        None => targets.is_empty() && selected,
        Some(_) if targets.is_empty() => selected,
        Some(gateway) => {
            namespace == own
                && targets.iter().any(|target| {
                    target.group == "gateway.networking.k8s.io"
                        && target.kind == "Gateway"
                        && target.name == *gateway
                        && (target.namespace.is_empty() || target.namespace == own)
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use api::security::TargetRef;
    use api::snapshot::Labels;

    use super::{GATEWAY, attaches};

    fn labels(of: &[(&str, &str)]) -> Labels {
        let pairs = of
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        pairs.collect()
    }

    #[test]
    fn labels_select_workloads_and_names_select_gateways() {
        let web = labels(&[("app", "web")]);
        let edge = labels(&[("app", "edge"), (GATEWAY, "edge")]);
        let to = |name: &str, namespace: &str| {
            vec![TargetRef {
                group: "gateway.networking.k8s.io".to_owned(),
                kind: "Gateway".to_owned(),
                name: name.to_owned(),
                namespace: namespace.to_owned(),
            }]
        };
        let app = |app: &str| Some(labels(&[("app", app)]));
        for (selector, targets, workload, expected) in [
            (None, vec![], &web, true),
            (app("web"), vec![], &web, true),
            (app("other"), vec![], &web, false),
            (None, to("edge", ""), &web, false),
            (app("edge"), vec![], &edge, true),
            (None, to("edge", ""), &edge, true),
            (None, to("edge", "shop"), &edge, true),
            (None, to("edge", "bank"), &edge, false),
            (None, to("other", ""), &edge, false),
        ] {
            let policy = ("shop", selector.as_ref(), &*targets);
            assert_eq!(
                attaches(policy, ("shop", workload)),
                expected,
                "{selector:?} {targets:?} {workload:?}"
            );
        }
        let elsewhere = ("bank", None, &*to("edge", ""));
        assert!(!attaches(elsewhere, ("shop", &edge)));
    }
}
