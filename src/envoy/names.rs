//! Names that proxies, certificates and statistics agree on.

/// Where traffic for unknown destinations ends.
pub(crate) const BLACK_HOLE: &str = "BlackHoleCluster";
/// Where traffic for unknown destinations goes on to where it was bound.
pub(crate) const PASSTHROUGH: &str = "PassthroughCluster";
/// The same for inbound traffic.
pub(crate) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";

/// Where traffic for unknown destinations goes by the name in its Host header.
pub(crate) const BY_NAME: &str = "AllowAnyDynamicDNSCluster";

/// A cluster for calls: `outbound|80|v1|reviews.shop.svc.cluster.local`.
pub(crate) fn outbound(port: u16, subset: &str, host: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

/// The cluster behind a port of the workload: `inbound|8080||`.
pub(crate) fn inbound(target: u16) -> String {
    format!("inbound|{target}||")
}

/// The server name of the mesh's mTLS: `outbound_.80_.v1_.reviews.shop.svc.cluster.local`.
pub(crate) fn sni(port: u16, subset: &str, host: &str) -> String {
    format!("outbound_.{port}_.{subset}_.{host}")
}

/// Where a VirtualService or DestinationRule can be read, as metadata of what is made from it.
pub(crate) fn config_path(origin: &base::ObjectRef) -> String {
    let mut kind = String::new();
    for (index, letter) in origin.kind.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            kind.push('-');
        }
        kind.push(letter.to_ascii_lowercase());
    }
    let namespace = origin.namespace.as_deref().unwrap_or_default();
    format!(
        "/apis/{}/namespaces/{namespace}/{kind}/{}",
        origin.api_version, origin.name
    )
}
