//! SPIFFE identities of workloads: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.

use std::fmt;
use std::str::FromStr;

/// The identity of a workload. Displays as its URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    /// `cluster.local` unless the mesh says otherwise.
    pub trust_domain: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Kubernetes service account.
    pub service_account: String,
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SpiffeId {
            trust_domain,
            namespace,
            service_account,
        } = self;
        write!(
            f,
            "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
        )
    }
}

/// The text is not an identity of the form that workloads have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnIdentity(pub String);

impl fmt::Display for NotAnIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a workload identity, expected spiffe://<trust domain>/ns/<namespace>/sa/<service account>",
            self.0
        )
    }
}

impl std::error::Error for NotAnIdentity {}

impl FromStr for SpiffeId {
    type Err = NotAnIdentity;

    fn from_str(text: &str) -> Result<Self, NotAnIdentity> {
        let wrong = || NotAnIdentity(text.to_owned());
        let rest = text.strip_prefix("spiffe://").ok_or_else(wrong)?;
        match rest.split('/').collect::<Vec<_>>()[..] {
            [trust_domain, "ns", namespace, "sa", service_account]
                if ![trust_domain, namespace, service_account].contains(&"") =>
            {
                Ok(SpiffeId {
                    trust_domain: trust_domain.to_owned(),
                    namespace: namespace.to_owned(),
                    service_account: service_account.to_owned(),
                })
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SpiffeId;

    #[test]
    fn parses_what_it_prints() {
        let uri = "spiffe://cluster.local/ns/shop/sa/reviews";
        let id: SpiffeId = uri.parse().expect("a valid identity");
        assert_eq!(
            (id.namespace.as_str(), id.service_account.as_str()),
            ("shop", "reviews")
        );
        assert_eq!(id.to_string(), uri);
    }

    #[test]
    fn refuses_every_other_form() {
        for text in [
            "cluster.local/ns/a/sa/b",
            "spiffe://cluster.local/ns/a",
            "spiffe://cluster.local/ns//sa/b",
            "spiffe:///ns/a/sa/b",
            "spiffe://cluster.local/ns/a/sa/b/c",
        ] {
            assert!(text.parse::<SpiffeId>().is_err(), "{text}");
        }
    }
}
