//! Where the leaders are that an answer names to a client that has asked somebody else (KIP-951).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::{fetch_response, produce_response};
use kafka_protocol::protocol::StrBytes;

use super::RequestContext;
use super::told_address::{ToldAddress, told_address};
use crate::broker::Broker;
use crate::ids::NodeId;
use crate::metadata::MetadataImage;
use crate::network::Gateways;

/// Tells one client where leaders are. It stands for itself, so that an answer that is owed can have it.
#[derive(Debug, Clone)]
pub(super) struct LeaderEndpoints {
    listener: Arc<str>,
    local: SocketAddr,
    peer: SocketAddr,
    gateways: Gateways,
}

impl LeaderEndpoints {
    /// For the client of this request.
    pub(super) fn new(broker: &Broker, context: &RequestContext) -> Self {
        let (listener, gateways) = (Arc::clone(&context.listener), broker.gateways.clone());
        Self { listener, local: context.local, peer: context.peer, gateways }
    }

    /// The endpoints, for the client's listener, of those of `leaders` that it can reach: without one, clients do not look
    /// at who leads.
    pub(super) fn of<T: LeaderEndpoint>(
        &self,
        image: &MetadataImage,
        leaders: impl Iterator<Item = BrokerId>,
    ) -> Vec<T> {
        let leaders: BTreeSet<i32> = leaders.map(|id| id.0).filter(|id| *id >= 0).collect();
        let endpoint = |id: i32| {
            let leader = image.broker(id).filter(|leader| !leader.fenced)?;
            let address = told_address(leader.endpoint(&self.listener)?, self.local, self.peer, &self.gateways);
            let rack = leader.rack.as_ref().map(|rack| StrBytes::from_string(rack.as_ref().to_owned()));
            Some(T::new(id, address, rack))
        };
        leaders.into_iter().filter_map(endpoint).collect()
    }
}

/// An endpoint in the shape of one answer.
pub(super) trait LeaderEndpoint {
    /// Of the broker with this id.
    fn new(id: NodeId, address: ToldAddress, rack: Option<StrBytes>) -> Self;
}

impl LeaderEndpoint for produce_response::NodeEndpoint {
    fn new(id: NodeId, address: ToldAddress, rack: Option<StrBytes>) -> Self {
        let endpoint = Self::default().with_node_id(BrokerId(id)).with_rack(rack);
        endpoint.with_host(address.host).with_port(i32::from(address.port))
    }
}

impl LeaderEndpoint for fetch_response::NodeEndpoint {
    fn new(id: NodeId, address: ToldAddress, rack: Option<StrBytes>) -> Self {
        let endpoint = Self::default().with_node_id(BrokerId(id)).with_rack(rack);
        endpoint.with_host(address.host).with_port(i32::from(address.port))
    }
}
