//! Taking messages out of an Any: the counterpart of [`crate::pack`], for those who read what the mesh wrote.

use prost::{Message, Name};

use crate::envoy::extensions;
use crate::google::protobuf::Any;

/// A message that other messages carry in an Any.
pub trait Unpack: Sized {
    /// The message; `None` when the Any holds another one, or bytes that are none.
    fn unpack(any: &Any) -> Option<Self>;
}

macro_rules! unpacked {
    ($($message:ty),* $(,)?) => {$(
        impl Unpack for $message {
            fn unpack(any: &Any) -> Option<Self> {
                if any.type_url != <$message>::type_url() {
                    return None;
                }
                <$message>::decode(any.value.as_ref()).ok()
            }
        }
    )*};
}

unpacked!(
    extensions::filters::http::fault::v3::HttpFault,
    extensions::filters::http::rbac::v3::Rbac,
    extensions::filters::network::http_connection_manager::v3::HttpConnectionManager,
    extensions::filters::network::rbac::v3::Rbac,
    extensions::filters::network::redis_proxy::v3::RedisProxy,
    extensions::filters::network::tcp_proxy::v3::TcpProxy,
    extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport,
    extensions::transport_sockets::tls::v3::DownstreamTlsContext,
    extensions::transport_sockets::tls::v3::UpstreamTlsContext,
    extensions::upstreams::http::v3::HttpProtocolOptions,
);

#[cfg(test)]
mod tests {
    use super::Unpack;
    use crate::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
    use crate::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
    use crate::pack::Pack;

    #[test]
    fn what_is_packed_is_unpacked_as_itself_only() {
        let proxy = TcpProxy {
            stat_prefix: "a".to_owned(),
            ..Default::default()
        };
        let packed = proxy.pack();
        assert_eq!(TcpProxy::unpack(&packed), Some(proxy));
        assert_eq!(UpstreamTlsContext::unpack(&packed), None);
    }
}
