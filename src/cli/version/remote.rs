//! The versions that run in a cluster, from the debug endpoints of its control planes.

use super::Remote;
use crate::cluster::Cluster;
use crate::control_plane::{self, instances};

/// Asks every instance.
///
/// # Errors
/// When there is none, or one does not answer.
pub(super) async fn ask(cluster: &Cluster, revision: Option<&str>) -> Result<Remote, String> {
    let mut found = Remote::default();
    for instance in instances(cluster, revision, None).await? {
        let text = control_plane::ask(cluster, &instance.pod, "version").await?;
        let text = String::from_utf8_lossy(&text);
        // Upstream's answer goes on with the commit and the state of its tree.
        let version = text.trim().split('-').next().unwrap_or_default().to_owned();
        found
            .control_planes
            .push((instance.revision.clone(), version));
        // The versions of control planes are worth knowing even if nothing is told of proxies.
        match control_plane::proxies(cluster, &instance.pod).await {
            Err(why) => eprintln!("{why}"),
            Ok(proxies) => found.proxies.extend(proxies.iter().map(|proxy| {
                let text = |key: &str| proxy[key].as_str().unwrap_or_default().to_owned();
                (text("proxy"), text("istio_version"))
            })),
        }
    }
    found.control_planes.sort();
    found.proxies.sort();
    Ok(found)
}
