//! The way to the controller, wherever it is.

use std::fmt;
use std::sync::Arc;

use kafka_protocol::protocol::Request;

use crate::clock::Clock;
use crate::network::channel::ChannelError;
use crate::network::node_connections::{NodeAddress, NodeConnections};

/// Where the controller is, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControllerPlace {
    /// In this process.
    Here,
    /// In another node, by its controller listener.
    At(NodeAddress),
}

/// Says where the controller is; `None` while nobody is known to lead.
pub type ControllerPlaces = Arc<dyn Fn() -> Option<ControllerPlace> + Send + Sync>;

/// Connections to whichever node is the controller.
pub struct ControllerConnections {
    nodes: NodeConnections,
    places: ControllerPlaces,
}

impl fmt::Debug for ControllerConnections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ControllerConnections").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

impl ControllerConnections {
    /// By `nodes`, to where `places` says.
    pub fn new(nodes: NodeConnections, places: ControllerPlaces) -> Self {
        Self { nodes, places }
    }

    /// Where the controller is.
    pub fn place(&self) -> Option<ControllerPlace> {
        (self.places)()
    }

    /// The time that everything here goes by.
    pub fn clock(&self) -> &Clock {
        self.nodes.clock()
    }

    /// Puts one request to the node at `address`; see [`NodeConnections::call`].
    pub async fn call<R: Request>(
        &self,
        address: &NodeAddress,
        request: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, ChannelError> {
        self.nodes.call(address, request).await
    }
}
