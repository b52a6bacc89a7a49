//! What a leader knows of the brokers of its followers.

use std::collections::BTreeMap;

use crate::ids::NodeId;

/// A registered broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerState {
    /// The number of its registration.
    pub epoch: i64,
    /// Whether the controller counts it as gone.
    pub is_fenced: bool,
    /// Whether it is in a controlled shutdown, and must not be relied on any more.
    pub is_shutting_down: bool,
}

/// Whoever knows what the metadata says of brokers; asked only where an answer matters.
pub trait KnownBrokers {
    /// The broker with that id; `None` where it is not registered.
    fn broker(&self, id: NodeId) -> Option<BrokerState>;
}

/// All registered brokers of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerStates(BTreeMap<NodeId, BrokerState>);

impl KnownBrokers for BrokerStates {
    fn broker(&self, id: NodeId) -> Option<BrokerState> {
        self.0.get(&id).copied()
    }
}

impl FromIterator<(NodeId, BrokerState)> for BrokerStates {
    fn from_iter<T: IntoIterator<Item = (NodeId, BrokerState)>>(brokers: T) -> Self {
        Self(brokers.into_iter().collect())
    }
}
