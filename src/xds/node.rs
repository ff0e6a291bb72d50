//! Who a proxy says it is: the node of its first request.

use base::SpiffeId;
use proto::envoy::config::core::v3::Node as Wire;
use proto::google::protobuf::value::Kind;

/// Longest id that is read, in bytes: names of pods, namespaces and domains together are shorter.
const MAX_ID: usize = 1024;
/// Longest name of a namespace, service account or version, in bytes (Kubernetes: 253).
const MAX_NAME: usize = 253;

/// The parts of a proxy's node that decide what it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id as sent, `type~address~pod.namespace~domain`.
    pub id: String,
    /// `sidecar`, `router` …
    pub kind: String,
    /// Namespace of its configuration: metadata NAMESPACE, or the one in its id.
    pub namespace: String,
    /// Metadata SERVICE_ACCOUNT, when given.
    pub service_account: Option<String>,
    /// Metadata ISTIO_VERSION, when given.
    pub version: Option<String>,
}

/// The node is absent or not of the form of Istio's proxies.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidNode(pub String);

impl std::fmt::Display for InvalidNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "node id {:?} is not of the form type~address~pod.namespace~domain",
            self.0
        )
    }
}

impl std::error::Error for InvalidNode {}

impl Node {
    /// Reads the node of a first request.
    ///
    /// # Errors
    /// [`InvalidNode`].
    pub fn parse(node: Option<&Wire>) -> Result<Self, InvalidNode> {
        let node = node.ok_or_else(|| InvalidNode(String::new()))?;
        // It is kept with the stream and comes into logs.
        if node.id.len() > MAX_ID {
            let start = node.id.char_indices().take_while(|(at, _)| *at < 64);
            let start: String = start.map(|(_, character)| character).collect();
            return Err(InvalidNode(format!("{start}… of {} bytes", node.id.len())));
        }
        let invalid = || InvalidNode(node.id.clone());
        let [kind, _address, pod, _domain] = node.id.split('~').collect::<Vec<_>>()[..] else {
            return Err(invalid());
        };
        let text = |key: &str| match node.metadata.as_ref()?.fields.get(key)?.kind.as_ref()? {
            Kind::StringValue(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        let in_id = pod
            .rsplit_once('.')
            .map(|(_, namespace)| namespace.to_owned());
        let namespace = text("NAMESPACE").or(in_id).ok_or_else(invalid)?;
        let service_account = text("SERVICE_ACCOUNT");
        let names = [Some(&namespace), service_account.as_ref()];
        if kind.is_empty()
            || names
                .into_iter()
                .flatten()
                .any(|name| name.len() > MAX_NAME)
        {
            return Err(invalid());
        }
        Ok(Node {
            id: node.id.clone(),
            kind: kind.to_owned(),
            namespace,
            service_account,
            version: text("ISTIO_VERSION").filter(|version| version.len() <= MAX_NAME),
        })
    }

    /// Whether `identity` may call itself this node: same namespace, and same service account when one is claimed.
    pub fn is_proven_by(&self, identity: &SpiffeId) -> bool {
        let account = self.service_account.as_ref();
        self.namespace == identity.namespace
            && account.is_none_or(|account| *account == identity.service_account)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base::SpiffeId;
    use proto::envoy::config::core::v3::Node as Wire;
    use proto::google::protobuf::{Struct, Value, value::Kind};

    use super::Node;

    const ID: &str = "router~10.0.0.7~gateway-1.istio-system~istio-system.svc.cluster.local";

    fn wire(id: &str, metadata: &[(&str, &str)]) -> Wire {
        let fields: BTreeMap<String, Value> = metadata
            .iter()
            .map(|(key, value)| {
                let kind = Some(Kind::StringValue((*value).to_owned()));
                ((*key).to_owned(), Value { kind })
            })
            .collect();
        Wire {
            id: id.to_owned(),
            metadata: Some(Struct { fields }),
            ..Default::default()
        }
    }

    fn identity(namespace: &str, service_account: &str) -> SpiffeId {
        SpiffeId {
            trust_domain: "cluster.local".to_owned(),
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
        }
    }

    #[test]
    fn metadata_wins_over_the_id() {
        let node = Node::parse(Some(&wire(ID, &[]))).expect("a node");
        assert_eq!(
            (node.kind.as_str(), node.namespace.as_str()),
            ("router", "istio-system")
        );
        let node = Node::parse(Some(&wire(ID, &[("NAMESPACE", "shop")]))).expect("a node");
        assert_eq!(node.namespace, "shop");
    }

    #[test]
    fn other_ids_are_refused() {
        for id in [
            "",
            "envoy",
            "router~10.0.0.7~gateway~x",
            "~a~b.c~d",
            "a~b~c.d~e~f",
        ] {
            assert!(Node::parse(Some(&wire(id, &[]))).is_err(), "{id}");
        }
        assert!(Node::parse(None).is_err());
    }

    #[test]
    fn a_claim_must_match_the_identity() {
        let claims = wire(ID, &[("SERVICE_ACCOUNT", "gateway")]);
        let node = Node::parse(Some(&claims)).expect("a node");
        assert!(node.is_proven_by(&identity("istio-system", "gateway")));
        assert!(!node.is_proven_by(&identity("istio-system", "other")));
        assert!(!node.is_proven_by(&identity("shop", "gateway")));

        let claims_no_account = Node::parse(Some(&wire(ID, &[]))).expect("a node");
        assert!(claims_no_account.is_proven_by(&identity("istio-system", "any")));
    }
}
