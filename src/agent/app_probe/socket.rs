//! Connections to the application of the same pod, past the capture of traffic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

/// What comes from here is not led to the proxy: the capture rules except it.
const SOURCE_V4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
const SOURCE_V6: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6);

/// Nobody accepts.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {address}: {error}")]
pub struct Unconnected {
    address: SocketAddr,
    error: std::io::Error,
}

/// # Errors
/// Nobody listens there, or the host is out of ports.
pub async fn connect(application: IpAddr, port: u16) -> Result<TcpStream, Unconnected> {
    let address = SocketAddr::new(application, port);
    let connected = async {
        let socket = match application {
            IpAddr::V4(_) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind((SOURCE_V4, 0).into())?;
                socket
            }
            IpAddr::V6(_) => {
                let socket = TcpSocket::new_v6()?;
                // Where traffic of IPv6 is not captured, nobody gave the host this address.
                let _ = socket.bind((SOURCE_V6, 0).into());
                socket
            }
        };
        socket.connect(address).await
    };
    connected
        .await
        .map_err(|error| Unconnected { address, error })
}
