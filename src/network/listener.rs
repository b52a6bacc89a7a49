//! Sockets that connections come in on.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::config::{self, SecurityProtocol};

/// A socket that listens.
#[derive(Debug)]
pub struct BoundListener {
    /// Its name, as in `listeners`.
    pub name: Arc<str>,
    /// How its connections are protected.
    pub protocol: SecurityProtocol,
    /// Where it listens, the port that the system chose included.
    pub local: SocketAddr,
    pub(super) socket: TcpListener,
}

/// Why there is no listener.
#[derive(Debug, Error)]
pub enum BindError {
    /// The host has no address.
    #[error("listener {listener}: cannot find an address of host {host:?}: {source}")]
    Resolve {
        /// The listener's name.
        listener: Arc<str>,
        /// The host that was looked up.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Another process, or another listener, has the port.
    #[error("listener {listener}: {address} is already in use")]
    InUse {
        /// The listener's name.
        listener: Arc<str>,
        /// What is taken.
        address: SocketAddr,
    },
    /// The system refuses.
    #[error("listener {listener}: cannot listen on {address}: {source}")]
    Refused {
        /// The listener's name.
        listener: Arc<str>,
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// This broker does not speak the protocol.
    #[error("listener {listener}: {protocol} is not supported")]
    Unsupported {
        /// The listener's name.
        listener: Arc<str>,
        /// What was asked for.
        protocol: SecurityProtocol,
    },
}

impl BoundListener {
    /// Binds and listens. Up to `backlog` connections (`socket.listen.backlog.size`) wait in the system until a
    /// [`super::SocketServer`] accepts them.
    pub fn bind(listener: &config::Listener, backlog: i32) -> Result<Self, BindError> {
        let name = || Arc::clone(&listener.name);
        if listener.protocol != SecurityProtocol::Plaintext {
            return Err(BindError::Unsupported { listener: name(), protocol: listener.protocol });
        }
        let config::HostPort { host, port } = &listener.bind;
        let address = resolve(host, *port).map_err(|source| BindError::Resolve {
            listener: name(),
            host: host.clone(),
            source,
        })?;
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { listener: name(), address },
            _ => BindError::Refused { listener: name(), address, source },
        };
        let socket = listen(address, backlog).map_err(refused)?;
        let local = socket.local_addr().map_err(refused)?;
        Ok(Self { name: name(), protocol: listener.protocol, local, socket })
    }
}

impl BoundListener {
    /// The socket, for another service than a broker's.
    pub fn into_socket(self) -> std::net::TcpListener {
        self.socket
    }
}

/// The address to bind: of several the first of IPv4, as Java prefers; every interface where no host is given.
fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    if host.is_empty() {
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    let preferred = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    preferred.copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has none"))
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = match stream_socket(address) {
        // Every interface on a machine without IPv6 is every interface of IPv4.
        Err(_) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            return listen(SocketAddr::from(([0, 0, 0, 0], address.port())), backlog);
        }
        socket => socket?,
    };
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

fn stream_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(host: &str, port: u16, protocol: SecurityProtocol) -> Result<BoundListener, BindError> {
        let bind = config::HostPort { host: host.into(), port };
        let listener = config::Listener { name: "A".into(), bind, advertised: None, protocol };
        BoundListener::bind(&listener, 50)
    }

    fn plaintext(host: &str, port: u16) -> Result<BoundListener, BindError> {
        bind(host, port, SecurityProtocol::Plaintext)
    }

    #[test]
    fn port_0_is_chosen_and_a_taken_port_is_told() {
        let first = plaintext("localhost", 0).expect("free port");
        assert_ne!(first.local.port(), 0);
        let error = plaintext("localhost", first.local.port()).expect_err("taken");
        assert!(matches!(&error, BindError::InUse { address, .. } if *address == first.local), "{error}");
    }

    #[test]
    fn no_host_is_every_interface() {
        let listener = plaintext("", 0).expect("free port");
        assert!(listener.local.ip().is_unspecified());
        std::net::TcpStream::connect(("127.0.0.1", listener.local.port())).expect("IPv4 reaches it");
    }

    #[test]
    fn hosts_without_address_and_protocols_not_served_are_told() {
        assert!(matches!(plaintext("no.such.host.invalid", 0), Err(BindError::Resolve { .. })));
        assert!(matches!(bind("", 0, SecurityProtocol::Ssl), Err(BindError::Unsupported { .. })));
    }
}
