//! Connections to other nodes, for requests of which each may take its time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::protocol::Request;

use super::channel::{Channel, ChannelError, ChannelLimits};
use crate::clock::Clock;
use crate::ids::NodeId;

/// Between two attempts to reach a node: an election takes a few hundred milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// And no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Connections that are kept for later requests. More are made while more requests are under way.
const IDLE_CONNECTIONS: usize = 8;

/// A node, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    /// Its id.
    pub id: NodeId,
    /// The host.
    pub host: Arc<str>,
    /// The port there.
    pub port: u16,
}

/// Connections to nodes. A request has its connection to itself, so that none waits for another one's answer, and one
/// whose caller goes away takes its connection along.
pub struct NodeConnections {
    clock: Clock,
    limits: ChannelLimits,
    client_id: String,
    /// The one used last is the last one.
    idle: Mutex<Vec<(NodeAddress, Channel)>>,
}

impl fmt::Debug for NodeConnections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NodeConnections").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl NodeConnections {
    /// None is made before something is asked; nodes are told `client_id`.
    pub fn new(client_id: String, clock: Clock, limits: ChannelLimits) -> Self {
        Self { clock, limits, client_id, idle: Mutex::default() }
    }

    /// The time that everything here goes by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Puts one request, which `request` makes for the newest version that both speak, to the node at `address`.
    ///
    /// Errors: those of the connection. What was asked may then have been done.
    pub async fn call<R: Request>(
        &self,
        address: &NodeAddress,
        request: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, ChannelError> {
        let mut channel = if let Some(channel) = self.take_idle(address) {
            channel
        } else {
            let place = (&*address.host, address.port);
            Channel::connect_within(place, &self.client_id, self.clock.clone(), self.limits).await?
        };
        let version = channel.version_of::<R>(i16::MAX).await?;
        let response = channel.call_at(version, &request(version)).await?;
        self.keep(address.clone(), channel);
        Ok(response)
    }

    fn take_idle(&self, address: &NodeAddress) -> Option<Channel> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let place = idle.iter().rposition(|(other, _)| other == address)?;
        Some(idle.remove(place).1)
    }

    fn keep(&self, address: NodeAddress, channel: Channel) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= IDLE_CONNECTIONS {
            idle.remove(0);
        }
        idle.push((address, channel));
    }
}

/// The pauses between attempts: each twice as long as the one before.
#[derive(Debug)]
pub struct Pauses(Duration);

impl Pauses {
    /// The first one comes next.
    pub fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    /// How long to wait now.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::new();
        let first: Vec<_> = (0..6).map(|_| pauses.next_pause().as_millis()).collect();
        assert_eq!(first, [20, 40, 80, 160, 200, 200]);
    }
}
