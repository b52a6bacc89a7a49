//! What a handler knows of the request's origin.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::authorization::Authorized;
use super::throttling::Work;
use super::told_address::{ToldAddress, told_address};
use crate::broker::Broker;
use crate::broker::hints::from_the_end::ClientIdentity;
use crate::broker::quotas::{Meter, Quotas};
use crate::metadata::Endpoint;
use crate::protocol::ErrorCode;
use crate::quota::QuotaType;
use crate::security::{Operation, Principal, Resource};

/// The facts around one request; everything is owned, nothing refers to the request's frame.
///
/// Only a session makes one, and only for a request whose row has been asked for its authorisation.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub(super) authorized: Authorized,
    /// Measures the handler, if some client has a quota of requests.
    pub(super) work: Option<Arc<Work>>,
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
    /// The size of the request's frame, in bytes.
    pub request_size: usize,
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

impl RequestContext {
    /// Whether this request may do `operation` with `resource`: what handlers ask of each resource that a request names.
    ///
    /// Errors: the resource's authorisation error, for that resource's place in the answer.
    pub fn authorize(&self, operation: Operation, resource: Resource<'_>) -> Result<(), ErrorCode> {
        self.authorized.authorize(operation, resource)
    }

    /// Whom the connection speaks for.
    pub fn principal(&self) -> &Principal {
        self.authorized.principal()
    }

    /// What measures this request's client, if some client has a quota of this type.
    pub fn meter(&self, quotas: &Arc<Quotas>, quota_type: QuotaType) -> Option<Meter> {
        quotas.meter(quota_type, self.authorized.principal(), &self.client_id)
    }

    /// All that this request's principal may do with `resource`; see [`Authorized::operations`].
    pub fn operations(&self, resource: Resource<'_>) -> i32 {
        self.authorized.operations(resource)
    }

    /// All that this request's principal may do with the cluster, as answers tell it: nothing where it may not see it.
    pub fn cluster_operations(&self) -> i32 {
        if self.authorize(Operation::Describe, Resource::CLUSTER).is_err() {
            return 0;
        }
        self.operations(Resource::CLUSTER)
    }

    /// What the client says it is called, if it says so.
    pub fn software_name(&self) -> Option<&str> {
        self.client_software.get().map(|software| &*software.name)
    }

    /// The client in a few words: its software, or else the id that it has given itself.
    pub fn client_name(&self) -> String {
        match self.client_software.get() {
            Some(ClientSoftware { name, version }) => format!("{name} {version}"),
            None if self.client_id.is_empty() => "a client without a name".to_owned(),
            None => format!("client {:?}", self.client_id),
        }
    }

    /// The client, as far as it can be told from others on other connections.
    pub fn client_identity(&self) -> ClientIdentity {
        (self.peer.ip(), Arc::clone(&self.client_id))
    }

    /// Where this connection's client is told to connect to reach the broker at `endpoint`; see [`told_address`].
    pub fn told_address(&self, broker: &Broker, endpoint: &Endpoint) -> ToldAddress {
        told_address(endpoint, self.local, self.peer, &broker.gateways)
    }
}
