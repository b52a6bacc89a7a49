//! Sockets that connections come in on.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::str::FromStr;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// How a listener's connections are protected, in Kafka's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityProtocol {
    /// Neither encryption nor authentication.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL inside TLS.
    SaslSsl,
}

impl SecurityProtocol {
    const NAMES: [(Self, &str); 4] = [
        (Self::Plaintext, "PLAINTEXT"),
        (Self::Ssl, "SSL"),
        (Self::SaslPlaintext, "SASL_PLAINTEXT"),
        (Self::SaslSsl, "SASL_SSL"),
    ];
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find_map(|(protocol, name)| (protocol == self).then_some(name));
        formatter.write_str(name.unwrap_or(&""))
    }
}

impl FromStr for SecurityProtocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        let found = Self::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(protocol, _)| *protocol).ok_or_else(|| UnknownProtocol(text.to_owned()))
    }
}

/// A word that is none of Kafka's security protocols.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL")]
pub struct UnknownProtocol(String);

/// What a listener shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerOptions {
    /// Its name, as in `listeners`.
    pub name: Arc<str>,
    /// What `listener.security.protocol.map` says of the name.
    pub protocol: SecurityProtocol,
    /// A host name or an address; empty for every interface.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
    /// How many connections the system may hold until they are accepted: `socket.listen.backlog.size`.
    pub backlog: i32,
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
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

impl Listener {
    /// Binds and listens; connections wait in the backlog until a [`super::SocketServer`] takes them.
    pub fn bind(options: &ListenerOptions) -> Result<Self, BindError> {
        let listener = || Arc::clone(&options.name);
        if options.protocol != SecurityProtocol::Plaintext {
            return Err(BindError::Unsupported { listener: listener(), protocol: options.protocol });
        }
        let address = resolve(&options.host, options.port).map_err(|source| BindError::Resolve {
            listener: listener(),
            host: options.host.clone(),
            source,
        })?;
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { listener: listener(), address },
            _ => BindError::Refused { listener: listener(), address, source },
        };
        let socket = listen(address, options.backlog).map_err(refused)?;
        let local = socket.local_addr().map_err(refused)?;
        Ok(Self { name: listener(), protocol: options.protocol, local, socket })
    }
}

/// The address to bind: of several the first of IPv4, as Java prefers; every interface where no host is given.
fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    if host.is_empty() {
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
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

    fn options(host: &str, port: u16) -> ListenerOptions {
        let protocol = SecurityProtocol::Plaintext;
        ListenerOptions { name: "PLAINTEXT".into(), protocol, host: host.into(), port, backlog: 50 }
    }

    #[test]
    fn port_0_is_chosen_and_a_taken_port_is_told() {
        let first = Listener::bind(&options("localhost", 0)).expect("free port");
        assert_ne!(first.local.port(), 0);
        let error = Listener::bind(&options("localhost", first.local.port())).expect_err("taken");
        assert!(matches!(&error, BindError::InUse { address, .. } if *address == first.local), "{error}");
    }

    #[test]
    fn no_host_is_every_interface() {
        let listener = Listener::bind(&options("", 0)).expect("free port");
        assert!(listener.local.ip().is_unspecified());
        std::net::TcpStream::connect(("127.0.0.1", listener.local.port())).expect("IPv4 reaches it");
    }

    #[test]
    fn hosts_without_address_and_protocols_not_served_are_told() {
        assert!(matches!(Listener::bind(&options("no.such.host.invalid", 0)), Err(BindError::Resolve { .. })));
        let tls = ListenerOptions { protocol: SecurityProtocol::Ssl, ..options("", 0) };
        assert!(matches!(Listener::bind(&tls), Err(BindError::Unsupported { .. })));
    }

    #[test]
    fn protocols_read_back_from_their_names() {
        for (protocol, name) in SecurityProtocol::NAMES {
            assert_eq!((name.parse(), protocol.to_string().as_str()), (Ok(protocol), name));
        }
        assert!("TLS".parse::<SecurityProtocol>().is_err());
    }
}
