//! The way to a leader, as a fetcher needs it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse};

use crate::ids::NodeId;
use crate::network::channel::{Channel, ChannelError, ChannelLimits};
use crate::replication::replica_manager::ReplicaManager;

/// A conversation with one leader; after an error it is of no further use.
pub trait LeaderConnection: Send {
    /// Asks for records.
    fn fetch(&mut self, request: &FetchRequest) -> impl Future<Output = Result<FetchResponse, ChannelError>> + Send;

    /// Asks where logs begin or end.
    fn list_offsets(
        &mut self,
        request: &ListOffsetsRequest,
    ) -> impl Future<Output = Result<ListOffsetsResponse, ChannelError>> + Send;
}

/// How leaders are reached: over the network, or, in tests, directly.
pub trait Leaders: Send + Sync + 'static {
    /// A way to one of them.
    type Connection: LeaderConnection;

    /// Begins a conversation with the broker `leader`, for the fetcher with that id.
    fn connect(
        &self,
        leader: NodeId,
        fetcher_id: i32,
    ) -> impl Future<Output = Result<Self::Connection, ChannelError>> + Send;
}

/// Over the network, at the addresses of which the metadata knows.
pub struct LeaderChannels {
    replicas: Arc<ReplicaManager>,
}

impl LeaderChannels {
    /// To the leaders of what is followed there.
    pub fn new(replicas: Arc<ReplicaManager>) -> Self {
        Self { replicas }
    }
}

impl Leaders for LeaderChannels {
    type Connection = Channel;

    async fn connect(&self, leader: NodeId, fetcher_id: i32) -> Result<Channel, ChannelError> {
        let address = self.replicas.leader_address(leader);
        let (host, port) =
            address.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its address is not known"))?;
        let config = self.replicas.config();
        let of_config = |value: i32| usize::try_from(value).unwrap_or(0);
        let limits = ChannelLimits {
            request_timeout: Duration::from_millis(of_config(config.broker.replica_socket_timeout_ms) as u64),
            // A first batch that is larger than asked for comes whole (KIP-74); none is larger than the request was in which
            // its producer has sent it.
            max_response_bytes: of_config(config.broker.replica_fetch_response_max_bytes)
                .saturating_add(of_config(config.broker.socket_request_max_bytes)),
            ..ChannelLimits::default()
        };
        let client_id = format!("broker-{}-fetcher-{fetcher_id}", self.replicas.node_id());
        Channel::connect_within((&*host, port), &client_id, self.replicas.clock().clone(), limits).await
    }
}

impl LeaderConnection for Channel {
    async fn fetch(&mut self, request: &FetchRequest) -> Result<FetchResponse, ChannelError> {
        self.call(request).await
    }

    async fn list_offsets(&mut self, request: &ListOffsetsRequest) -> Result<ListOffsetsResponse, ChannelError> {
        self.call(request).await
    }
}
