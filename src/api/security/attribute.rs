//! Attributes of calls that conditions of AuthorizationPolicies are about, and which values each takes.

use std::net::IpAddr;

/// An attribute of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `hosts` of an operation.
    Host,
    /// `paths` of an operation.
    Path,
    /// `methods` of an operation.
    Method,
    /// `destination.ip`.
    DestinationIp,
    /// `destination.port`.
    DestinationPort,
    /// `connection.sni`.
    ServerName,
    /// `experimental.envoy.filters.a.b[c]`: metadata that a filter of Envoy left.
    Metadata {
        /// `envoy.filters.a.b`.
        filter: String,
        /// `c`.
        key: String,
    },
    /// `source.ip`: the address of the connection.
    SourceIp,
    /// `remote.ip`: the caller's address as far as headers and proxies tell it.
    RemoteIp,
    /// `source.namespace`.
    Namespace,
    /// `source.trustDomain`.
    TrustDomain,
    /// `source.serviceAccount`.
    ServiceAccount,
    /// `source.principal`.
    Principal,
    /// `request.auth.principal`: issuer and subject of the token.
    RequestPrincipal,
    /// `request.auth.audiences`.
    Audiences,
    /// `request.auth.presenter`.
    Presenter,
    /// `request.auth.claims[a][b]`.
    Claim(Vec<String>),
    /// `request.headers[x]`.
    Header(String),
}

impl Attribute {
    /// The attribute that a condition names.
    pub fn parse(key: &str) -> Option<Self> {
        Some(match key {
            "destination.ip" => Attribute::DestinationIp,
            "destination.port" => Attribute::DestinationPort,
            "connection.sni" => Attribute::ServerName,
            "source.ip" => Attribute::SourceIp,
            "remote.ip" => Attribute::RemoteIp,
            "source.namespace" => Attribute::Namespace,
            "source.trustDomain" => Attribute::TrustDomain,
            "source.serviceAccount" => Attribute::ServiceAccount,
            "source.principal" => Attribute::Principal,
            "request.auth.principal" => Attribute::RequestPrincipal,
            "request.auth.audiences" => Attribute::Audiences,
            "request.auth.presenter" => Attribute::Presenter,
            _ => {
                if let Some(name) = key.strip_prefix("request.headers") {
                    let name = within(name)?;
                    return is_header(name).then(|| Attribute::Header(name.to_owned()));
                }
                if let Some(names) = key.strip_prefix("request.auth.claims") {
                    return claims(names).map(Attribute::Claim);
                }
                let (filter, key) = key
                    .strip_prefix("experimental.")
                    .filter(|rest| rest.starts_with("envoy.filters."))?
                    .split_once('[')?;
                Attribute::Metadata {
                    filter: filter.to_owned(),
                    key: key.strip_suffix(']').unwrap_or(key).to_owned(),
                }
            }
        })
    }

    /// Whether only requests have it, and connections do not.
    pub fn is_of_requests(&self) -> bool {
        matches!(
            self,
            Attribute::Host
                | Attribute::Path
                | Attribute::Method
                | Attribute::RequestPrincipal
                | Attribute::Audiences
                | Attribute::Presenter
                | Attribute::Claim(_)
                | Attribute::Header(_)
        )
    }

    /// Whether it can have a value that is written so.
    pub fn takes(&self, value: &str) -> bool {
        match self {
            Attribute::DestinationIp | Attribute::SourceIp | Attribute::RemoteIp => is_range(value),
            Attribute::DestinationPort => value.parse::<u16>().is_ok(),
            Attribute::Path => !is_template(value) || template(value).is_ok(),
            _ => true,
        }
    }
}

/// Whether a path is one of segments of which some stand for any.
pub fn is_template(path: &str) -> bool {
    path.contains("{*}") || path.contains("{**}")
}

/// A path of segments as Envoy writes it: `{*}` is `*`, one segment, and `{**}` is `**`, any
/// number.
///
/// # Errors
/// Why Envoy would not take it.
pub fn template(path: &str) -> Result<String, String> {
    let literal = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()+,;:@=".contains(c);
    let mut rest_taken = false;
    for segment in path.trim_matches('/').split('/') {
        match segment {
            "{*}" | "{**}" if rest_taken => {
                return Err(format!("has {segment} after {{**}}, which takes the rest"));
            }
            "{*}" => {}
            "{**}" => rest_taken = true,
            _ if segment.contains(['{', '}']) => {
                return Err(format!(
                    "has braces in {segment:?}, expected {{*}} or {{**}} as a whole segment"
                ));
            }
            _ if segment.is_empty() || !segment.chars().all(literal) => {
                return Err(format!(
                    "has the segment {segment:?}, which a template cannot contain"
                ));
            }
            _ => {}
        }
    }
    match path.starts_with('/') {
        true => Ok(path.replace("{**}", "**").replace("{*}", "*")),
        false => Err("does not start with a slash".to_owned()),
    }
}

fn is_range(text: &str) -> bool {
    match text.split_once('/') {
        None => text.parse::<IpAddr>().is_ok(),
        Some((address, length)) => {
            let longest = match address.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => 32,
                Ok(IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            length.parse::<u8>().is_ok_and(|length| length <= longest)
        }
    }
}

/// Whether a name can be that of a header; pseudo-headers begin with a colon.
pub fn is_header(name: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_|~`".contains(c);
    let rest = name.strip_prefix(':').unwrap_or(name);
    !rest.is_empty() && rest.chars().all(token)
}

fn within(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// `[a][b]` is a claim inside of another; what is not of that form is one name.
fn claims(text: &str) -> Option<Vec<String>> {
    let inner = within(text)?;
    let nested = inner.split("][");
    if nested.clone().any(|name| name.contains(['[', ']'])) {
        return Some(vec![inner.to_owned()]);
    }
    Some(nested.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::{Attribute, template};

    #[test]
    fn claims_are_nested_by_brackets() {
        let claim = |key: &str| Attribute::parse(&format!("request.auth.claims{key}"));
        let path = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned());
            Some(Attribute::Claim(names.collect()))
        };
        assert_eq!(claim("[iss]"), path(&["iss"]));
        assert_eq!(claim("[a][b]"), path(&["a", "b"]));
        assert_eq!(claim("[a[b]"), path(&["a[b"]));
        assert_eq!(claim("iss"), None);
    }

    #[test]
    fn templates_are_whole_segments_and_end_with_the_rest() {
        let written = template("/a/{*}/b/{**}");
        assert_eq!(written.as_deref(), Ok("/a/*/b/**"));
        assert_eq!(template("/{**}/b").as_deref(), Ok("/**/b"));
        for wrong in ["/{**}/{*}", "/a{*}", "a/{*}", "/a b/{*}"] {
            assert!(template(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_that_envoy_would_refuse_are_not_taken() {
        assert!(Attribute::SourceIp.takes("10.0.0.0/8"));
        assert!(!Attribute::SourceIp.takes("10.0.0.0/33"));
        assert!(!Attribute::DestinationPort.takes("65536"));
        assert_eq!(Attribute::parse("request.headers[a b]"), None);
        assert_eq!(Attribute::parse("source.mood"), None);
    }
}
