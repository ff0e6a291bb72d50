//! A call: where to, by which protocol, with what in it; and the connection that it becomes on its way.

use std::net::{IpAddr, SocketAddr};

/// A call as its caller makes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Name or address, as the caller writes it.
    pub host: String,
    /// Port, as the caller writes it or as the scheme has it.
    pub port: u16,
    /// The caller's own TLS.
    pub tls: Option<Hello>,
    /// What is sent.
    pub content: Content,
}

/// What a client says when it begins TLS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hello {
    /// The server name, empty for none.
    pub server_name: String,
    /// Protocols that it offers.
    pub alpn: Vec<String>,
    /// Who it shows to be.
    pub shown: Shown,
}

/// The certificate of a client.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Shown {
    /// None.
    #[default]
    Nothing,
    /// One of the mesh, with this SPIFFE identity.
    Identity(String),
    /// Another one.
    Other,
}

/// What is sent over a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A request of HTTP.
    Http(Request),
    /// Anything else.
    Opaque,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// `http` or `https`, as the caller meant it.
    pub scheme: String,
    /// Host, with a port where the caller says one.
    pub authority: String,
    /// Path with query.
    pub path: String,
    /// Other headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whether it is HTTP/2, as gRPC is.
    pub http2: bool,
}

impl Request {
    /// The path without its query.
    pub(super) fn path_only(&self) -> &str {
        let end = self.path.find(['?', '#']).unwrap_or(self.path.len());
        &self.path[..end]
    }

    /// The first value of a query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        let query = query.split('#').next().unwrap_or_default();
        let pairs = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .filter(|(own, _)| *own == name)
            .map(|(_, value)| value)
            .next()
    }

    /// A header, or one of those that HTTP/2 puts in front; of several, all values.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        match name {
            ":method" => return Some(self.method.clone()),
            ":authority" | "host" => return Some(self.authority.clone()),
            ":path" => return Some(self.path.clone()),
            ":scheme" | "x-forwarded-proto" => return Some(self.scheme.clone()),
            _ => {}
        }
        let own = self.headers.iter();
        let own = own.filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let values: Vec<&str> = own.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}

/// A host without the port behind it.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// A connection somewhere on the way.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// Who connects.
    pub(super) from: Option<IpAddr>,
    /// Where to.
    pub(super) to: SocketAddr,
    /// TLS around the content, the outermost last.
    pub(super) layers: Vec<Hello>,
    /// What is in it.
    pub(super) content: Content,
    /// The server name that was asked for, also where TLS has been ended since.
    pub(super) server_name: String,
    /// Who the other side has shown to be, where TLS has been ended.
    pub(super) peer: Option<String>,
}

impl Connection {
    /// The request, where it can be read.
    pub(super) fn request(&self) -> Option<&Request> {
        match &self.content {
            Content::Http(request) if self.layers.is_empty() => Some(request),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Request, without_port};

    #[test]
    fn only_a_port_is_cut_off() {
        for (host, expected) in [
            ("a:80", "a"),
            ("a", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
        ] {
            assert_eq!(without_port(host), expected, "{host}");
        }
    }

    #[test]
    fn a_path_has_parameters_behind_it() {
        let request = Request {
            method: "GET".to_owned(),
            scheme: "http".to_owned(),
            authority: "a".to_owned(),
            path: "/x?a=1&b".to_owned(),
            headers: vec![("k".to_owned(), "v".to_owned())],
            http2: false,
        };
        assert_eq!(request.path_only(), "/x");
        assert_eq!(request.parameter("a"), Some("1"));
        assert_eq!(request.parameter("b"), Some(""));
        assert_eq!(request.parameter("c"), None);
        assert_eq!(request.header("K"), Some("v".to_owned()));
    }
}
