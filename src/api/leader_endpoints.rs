//! Where the leaders are that an answer names to a client that has asked somebody else (KIP-951).

use std::collections::BTreeSet;

use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::produce_response::NodeEndpoint;
use kafka_protocol::protocol::StrBytes;

use super::RequestContext;
use crate::broker::Broker;
use crate::metadata::MetadataImage;

/// The endpoints, for the client's listener, of those of `leaders` that it can reach: without one, clients do not look at
/// who leads.
pub(super) fn leader_endpoints(
    broker: &Broker,
    context: &RequestContext,
    image: &MetadataImage,
    leaders: impl Iterator<Item = BrokerId>,
) -> Vec<NodeEndpoint> {
    let leaders: BTreeSet<i32> = leaders.map(|id| id.0).filter(|id| *id >= 0).collect();
    let endpoint = |id: i32| {
        let leader = image.broker(id).filter(|leader| !leader.fenced)?;
        let address = context.told_address(broker, leader.endpoint(&context.listener)?);
        let rack = leader.rack.as_ref().map(|rack| StrBytes::from_string(rack.as_ref().to_owned()));
        Some(
            NodeEndpoint::default()
                .with_node_id(BrokerId(id))
                .with_host(address.host)
                .with_port(i32::from(address.port))
                .with_rack(rack),
        )
    };
    leaders.into_iter().filter_map(endpoint).collect()
}
