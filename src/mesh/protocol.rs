//! The protocol of a port: by its name or appProtocol.

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is named as the protocol")]
pub enum Protocol {
    Http,
    /// Any host and port by HTTP/1, of listeners of Sidecars only.
    HttpProxy,
    Http2,
    Grpc,
    GrpcWeb,
    Https,
    Tls,
    Tcp,
    Mongo,
    Redis,
    MySql,
    Udp,
    /// Not declared: found out per connection.
    Unsupported,
}

impl Protocol {
    /// Reads a protocol as Gateways and ServiceEntries name it.
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "grpc" => Protocol::Grpc,
            "grpc-web" => Protocol::GrpcWeb,
            "http" => Protocol::Http,
            "http_proxy" => Protocol::HttpProxy,
            "http2" => Protocol::Http2,
            "https" => Protocol::Https,
            "tls" => Protocol::Tls,
            "mongo" => Protocol::Mongo,
            "redis" => Protocol::Redis,
            "mysql" => Protocol::MySql,
            _ => Protocol::Unsupported,
        }
    }

    /// The protocol of a Kubernetes port: appProtocol first, then the part of the name before `-`,
    /// then well-known ports that must not wait for the client.
    pub fn of_port(number: u16, name: &str, app_protocol: Option<&str>) -> Self {
        let named = match app_protocol {
            Some("kubernetes.io/h2c") => return Protocol::Http2,
            Some("kubernetes.io/ws") => return Protocol::Http,
            Some("kubernetes.io/wss") => return Protocol::Https,
            Some(name) => name,
            None => name,
        };
        if named.to_ascii_lowercase().starts_with("grpc-web") {
            return Protocol::GrpcWeb;
        }
        let prefix = named.split('-').next().unwrap_or_default();
        match (Protocol::parse(prefix), number) {
            // Servers that speak first: SMTP, DNS over TCP, MySQL, MongoDB.
            (Protocol::Unsupported, 25 | 53 | 3306 | 27017) => Protocol::Tcp,
            (protocol, _) => protocol,
        }
    }

    /// What is spoken once TLS has ended.
    #[must_use]
    pub fn after_tls(self) -> Self {
        match self {
            Protocol::Https => Protocol::Http,
            Protocol::Tls => Protocol::Tcp,
            other => other,
        }
    }

    /// HTTP in any form.
    pub fn is_http(self) -> bool {
        matches!(
            self,
            Protocol::Http
                | Protocol::HttpProxy
                | Protocol::Http2
                | Protocol::Grpc
                | Protocol::GrpcWeb
        )
    }

    /// HTTP over HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb)
    }

    /// gRPC.
    pub fn is_grpc(self) -> bool {
        matches!(self, Protocol::Grpc | Protocol::GrpcWeb)
    }

    /// TLS that is not ended here.
    pub fn is_tls(self) -> bool {
        matches!(self, Protocol::Https | Protocol::Tls)
    }

    /// HTTP, or perhaps HTTP.
    pub fn may_be_http(self) -> bool {
        self.is_http() || self == Protocol::Unsupported
    }
}
