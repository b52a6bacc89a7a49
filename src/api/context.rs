//! What a handler knows of the request's origin.

use std::net::SocketAddr;
use std::sync::Arc;

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
    /// The request's API version, already checked against the table.
    pub api_version: i16,
    /// The request header's correlation id.
    pub correlation_id: i32,
}
