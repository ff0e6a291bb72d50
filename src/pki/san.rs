//! The DNS names under which the control plane is reached, and so must be certified for.

/// Subject alternative names of the control plane's serving certificate, sorted and without duplicates:
/// `{istiod,istiod-remote,istio-pilot}.<namespace>.svc`, `istiod-<revision>.<namespace>.svc` for a revision
/// other than `default`, and `extra` (upstream's ISTIOD_CUSTOM_HOST).
pub fn control_plane_hosts(namespace: &str, revision: &str, extra: &[String]) -> Vec<String> {
    let mut hosts: Vec<String> = ["istiod", "istiod-remote", "istio-pilot"]
        .iter()
        .map(|service| format!("{service}.{namespace}.svc"))
        .collect();
    if !revision.is_empty() && revision != "default" {
        hosts.push(format!("istiod-{revision}.{namespace}.svc"));
    }
    hosts.extend(extra.iter().filter(|host| !host.is_empty()).cloned());
    hosts.sort();
    hosts.dedup();
    hosts
}

#[cfg(test)]
mod tests {
    use super::control_plane_hosts;

    #[test]
    fn the_default_revision_has_three_names() {
        for revision in ["", "default"] {
            assert_eq!(
                control_plane_hosts("istio-system", revision, &[]),
                [
                    "istio-pilot.istio-system.svc",
                    "istiod-remote.istio-system.svc",
                    "istiod.istio-system.svc"
                ]
            );
        }
    }

    #[test]
    fn a_revision_and_custom_hosts_add_names() {
        let extra = ["mesh.example.com".to_owned(), String::new()];
        let hosts = control_plane_hosts("istio-system", "canary", &extra);
        assert!(hosts.contains(&"istiod-canary.istio-system.svc".to_owned()));
        assert!(hosts.contains(&"mesh.example.com".to_owned()));
        assert_eq!(hosts.len(), 5);
    }
}
