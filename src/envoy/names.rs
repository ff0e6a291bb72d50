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
    outbound_parts(itoa::Buffer::new().format(port), subset, host).concat()
}

/// What the name of such a cluster is joined of.
pub(crate) fn outbound_parts<'a>(port: &'a str, subset: &'a str, host: &'a str) -> [&'a str; 6] {
    ["outbound|", port, "|", subset, "|", host]
}

/// The cluster behind a port of the workload: `inbound|8080||`.
pub(crate) fn inbound(target: u16) -> String {
    format!("inbound|{target}||")
}

/// The server name of the mesh's mTLS: `outbound_.80_.v1_.reviews.shop.svc.cluster.local`.
pub(crate) fn sni(port: u16, subset: &str, host: &str) -> String {
    let mut digits = itoa::Buffer::new();
    let port = digits.format(port);
    ["outbound_.", port, "_.", subset, "_.", host].concat()
}

/// Where a VirtualService or DestinationRule can be read, as metadata of what is made from it.
pub(crate) fn config_path(origin: &base::ObjectRef) -> String {
    // Room for a hyphen before each word.
    let mut kind = String::with_capacity(origin.kind.len() + 4);
    for (index, letter) in origin.kind.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            kind.push('-');
        }
        kind.push(letter.to_ascii_lowercase());
    }
    let namespace = origin.namespace.as_deref().unwrap_or_default();
    let (version, name) = (&origin.api_version, &origin.name);
    [
        "/apis/",
        version,
        "/namespaces/",
        namespace,
        "/",
        &kind,
        "/",
        name,
    ]
    .concat()
}

/// The object that such a path names; `None` for other texts.
pub(crate) fn at_path(path: &str) -> Option<base::ObjectRef> {
    let parts: Vec<&str> = path.strip_prefix("/apis/")?.split('/').collect();
    let [group, version, "namespaces", namespace, kind, name] = parts[..] else {
        return None;
    };
    let words = kind.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    Some(base::ObjectRef {
        api_version: format!("{group}/{version}"),
        kind: words.collect(),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{at_path, config_path};

    #[test]
    fn a_path_leads_back_to_its_object() {
        let origin = base::ObjectRef {
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "VirtualService".to_owned(),
            namespace: Some("shop".to_owned()),
            name: "web".to_owned(),
        };
        assert_eq!(at_path(&config_path(&origin)), Some(origin));
        assert_eq!(at_path("/apis/v1/x"), None);
    }
}
