//! Encoding and decoding of the resource kinds that are sent over xDS, and their type URLs.
//! One pair of plain functions per kind; callers never name a prost trait.

use bytes::Bytes;
use prost::Message;

use crate::google::protobuf::Any;

/// The bytes are not a message of the named type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Full protobuf name of the expected message.
    pub message: &'static str,
    /// Where decoding stopped.
    pub reason: String,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a valid {}: {}", self.message, self.reason)
    }
}

impl std::error::Error for Malformed {}

/// Type URLs of xDS resources.
pub mod type_url {
    /// Clusters (CDS).
    pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    /// Endpoints of clusters (EDS).
    pub const ENDPOINT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    /// Listeners (LDS).
    pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
    /// Route configurations (RDS).
    pub const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
    /// Virtual hosts apart from their route configuration (VHDS).
    pub const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
    /// Secrets (SDS).
    pub const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    /// Names that the agent's DNS proxy answers (NDS).
    pub const NAME_TABLE: &str = "type.googleapis.com/istio.networking.nds.v1.NameTable";
    /// Extension configurations (ECDS).
    pub const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
}

macro_rules! resource_kinds {
    ($($message:ty, $url:ident, $encode:ident, $decode:ident;)*) => {$(
        #[doc = concat!("The wire form of a `", stringify!($message), "`; equal messages give equal bytes.")]
        pub fn $encode(message: &$message) -> Bytes {
            message.encode_to_vec().into()
        }

        #[doc = concat!("Reads a `", stringify!($message), "`.")]
        ///
        /// # Errors
        /// [`Malformed`] when the bytes are not such a message.
        pub fn $decode(bytes: &[u8]) -> Result<$message, Malformed> {
            <$message>::decode(bytes).map_err(|error| Malformed {
                message: type_url::$url
                    .strip_prefix("type.googleapis.com/")
                    .unwrap_or(type_url::$url),
                reason: error.to_string(),
            })
        }
    )*};
}

resource_kinds! {
    crate::envoy::config::cluster::v3::Cluster, CLUSTER, encode_cluster, decode_cluster;
    crate::envoy::config::endpoint::v3::ClusterLoadAssignment, ENDPOINT, encode_endpoint, decode_endpoint;
    crate::envoy::config::listener::v3::Listener, LISTENER, encode_listener, decode_listener;
    crate::envoy::config::route::v3::RouteConfiguration, ROUTE, encode_route, decode_route;
    crate::envoy::config::route::v3::VirtualHost, VIRTUAL_HOST, encode_virtual_host, decode_virtual_host;
    crate::envoy::extensions::transport_sockets::tls::v3::Secret, SECRET, encode_secret, decode_secret;
}

/// Wraps an encoded message with its type URL.
pub fn any(type_url: &str, value: Bytes) -> Any {
    Any {
        type_url: type_url.to_owned(),
        value,
    }
}

#[cfg(test)]
mod tests;
