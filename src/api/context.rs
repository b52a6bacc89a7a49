//! What a handler knows of the request's origin.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// The facts around one request; everything is owned, nothing refers to the request's frame.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The name of the listener that accepted the connection, as in `listeners`.
    pub listener: Arc<str>,
    /// The client's address.
    pub peer: SocketAddr,
    /// Our own address on that connection.
    pub local: SocketAddr,
    /// The request header's client id; empty where the header has none.
    pub client_id: Arc<str>,
    /// What the connection's client says it is; see [`ClientSoftware`].
    pub client_software: Arc<OnceLock<ClientSoftware>>,
    /// The request's API version, already checked against the table.
    pub api_version: i16,
    /// The request header's correlation id.
    pub correlation_id: i32,
}

/// The library behind a connection, as its first ApiVersions request of version 3 or later names it (KIP-511).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSoftware {
    /// For example `apache-kafka-java`.
    pub name: Box<str>,
    /// For example `4.1.0`.
    pub version: Box<str>,
}
