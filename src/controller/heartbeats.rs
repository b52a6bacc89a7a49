//! Heartbeats: what a broker may be, and who has been silent for too long. Kafka's `BrokerHeartbeatManager`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::partition_changes::BrokerShift;
use super::{Controller, Refusal};
use crate::clock::Monotonic;
use crate::ids::NodeId;
use crate::metadata::{BrokerRecord, BrokerRegistration, MetadataImage, MetadataRecord};
use crate::protocol::ErrorCode;

/// How often in a session's time is looked for brokers that are silent. Each look fences one of them at most, so that what
/// that leads to is seen before the next one.
const LOOKS_PER_SESSION: u32 = 8;

/// A broker is alive, and says what it wants to be.
#[derive(Debug, Clone, Copy)]
pub struct BrokerHeartbeat {
    /// The broker.
    pub broker_id: NodeId,
    /// The epoch of its registration.
    pub broker_epoch: i64,
    /// The metadata log's last offset that it has applied.
    pub current_metadata_offset: i64,
    /// Whether it wants to be fenced. It asks not to be only when it has applied its own registration.
    pub wants_fence: bool,
    /// Whether it wants to stop.
    pub wants_shutdown: bool,
}

/// What a broker is from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// Whether it has applied its own registration.
    pub is_caught_up: bool,
    /// Whether it is fenced.
    pub is_fenced: bool,
    /// Whether it may stop now: it leads nothing any more.
    pub should_shut_down: bool,
}

/// As which the controller treats a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BrokerControlState {
    Fenced,
    Unfenced,
    ControlledShutdown,
    ShutdownNow,
}

impl BrokerControlState {
    fn of(broker: &BrokerRegistration) -> Self {
        match (broker.fenced, broker.in_controlled_shutdown) {
            (true, _) => Self::Fenced,
            (false, true) => Self::ControlledShutdown,
            (false, false) => Self::Unfenced,
        }
    }

    fn is_fenced(self) -> bool {
        matches!(self, Self::Fenced | Self::ShutdownNow)
    }

    /// What follows on a heartbeat of a broker that leads something or not.
    ///
    /// Unlike Kafka, a broker that leads nothing any more need not wait until all others have applied that: a pure machine
    /// does not know at which offset of the log it was decided.
    fn next(self, request: &BrokerHeartbeat, leads: impl Fn() -> bool) -> Self {
        match (self, request.wants_shutdown, request.wants_fence) {
            (Self::Fenced | Self::Unfenced, false, false) => Self::Unfenced,
            (Self::Fenced | Self::Unfenced, false, true) => Self::Fenced,
            (Self::Unfenced, true, false) | (Self::ControlledShutdown, _, _) if leads() => Self::ControlledShutdown,
            (_, _, _) => Self::ShutdownNow,
        }
    }
}

impl Controller {
    pub(super) fn broker_heartbeat(
        &self,
        request: BrokerHeartbeat,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<HeartbeatAnswer, Refusal> {
        let broker = self.registered(request.broker_id, request.broker_epoch)?;
        let state = BrokerControlState::of(broker);
        let next = state.next(&request, || self.has_leaderships(broker.id));
        if next != state {
            match next {
                BrokerControlState::Unfenced => self.unfence(broker, records),
                BrokerControlState::ControlledShutdown => {
                    records.push(change(broker, false, true));
                    self.follow_brokers(BrokerShift::Leaves(broker.id), records);
                }
                BrokerControlState::Fenced if !broker.fenced => self.fence(broker, records),
                BrokerControlState::ShutdownNow if !broker.fenced => {
                    self.follow_brokers(BrokerShift::Leaves(broker.id), records);
                    // One that leads nothing shuts down as well, and the metadata says why it is fenced.
                    records.push(change(broker, true, true));
                }
                BrokerControlState::Fenced | BrokerControlState::ShutdownNow => {}
            }
        }
        Ok(HeartbeatAnswer {
            is_caught_up: !(request.wants_fence && broker.fenced),
            is_fenced: next.is_fenced(),
            should_shut_down: next == BrokerControlState::ShutdownNow,
        })
    }

    /// The broker, if that is its current registration.
    fn registered(&self, id: NodeId, epoch: i64) -> Result<&BrokerRegistration, Refusal> {
        let refuse = |message| Refusal::new(ErrorCode::StaleBrokerEpoch, message);
        let broker = self.image.broker(id);
        let broker = broker.ok_or_else(|| refuse(format!("No broker registration found for broker id {id}")))?;
        if broker.epoch == epoch {
            return Ok(broker);
        }
        Err(refuse(format!("Expected broker epoch {}, but got broker epoch {epoch}", broker.epoch)))
    }

    fn has_leaderships(&self, id: NodeId) -> bool {
        self.image.topics().any(|topic| topic.partitions.iter().any(|state| state.leader == id))
    }

    pub(super) fn fence(&self, broker: &BrokerRegistration, records: &mut Vec<MetadataRecord>) {
        self.follow_brokers(BrokerShift::Leaves(broker.id), records);
        records.push(change(broker, true, broker.in_controlled_shutdown));
    }

    fn unfence(&self, broker: &BrokerRegistration, records: &mut Vec<MetadataRecord>) {
        records.push(change(broker, false, broker.in_controlled_shutdown));
        if !broker.in_controlled_shutdown {
            self.follow_brokers(BrokerShift::Comes(broker.id), records);
        }
    }

    /// Fences the broker that has been silent for longest, if that is too long. Answers whether there was one.
    pub(super) fn fence_a_silent_broker(&self, now: Monotonic, records: &mut Vec<MetadataRecord>) -> bool {
        let silent = self.sessions.longest_silent(now, self.settings.session_timeout);
        let Some(broker) = silent.and_then(|id| self.image.broker(id)) else { return false };
        self.fence(broker, records);
        true
    }
}

fn change(broker: &BrokerRegistration, fenced: bool, in_controlled_shutdown: bool) -> MetadataRecord {
    BrokerRecord::BrokerChange { id: broker.id, epoch: broker.epoch, fenced, in_controlled_shutdown }.into()
}

/// When brokers were last heard of. A new controller has heard of none, and gives each of them a session's time.
#[derive(Debug)]
pub(super) struct Sessions {
    own_node_id: NodeId,
    by_broker: BTreeMap<NodeId, BrokerSession>,
    next_look: Monotonic,
}

#[derive(Debug, Clone, Copy)]
struct BrokerSession {
    broker_epoch: i64,
    last_contact: Monotonic,
}

impl Sessions {
    /// Unlike Kafka, the broker of the controller's own process has no session: it is alive as long as the controller is.
    pub(super) fn new(own_node_id: NodeId) -> Self {
        Self { own_node_id, by_broker: BTreeMap::new(), next_look: Monotonic::ZERO }
    }

    /// Those who must be heard of.
    fn watched<'a>(&'a self, image: &'a MetadataImage) -> impl Iterator<Item = &'a BrokerRegistration> {
        image.alive_brokers().filter(|broker| broker.id != self.own_node_id)
    }

    fn is_known(&self, broker: &BrokerRegistration) -> bool {
        self.by_broker.get(&broker.id).is_some_and(|session| session.broker_epoch == broker.epoch)
    }

    /// Begins the sessions of those who have none, and ends those of brokers that are fenced or gone.
    pub(super) fn follow(&mut self, image: &MetadataImage, now: Monotonic) {
        let new = self.watched(image).filter(|broker| !self.is_known(broker));
        let begin =
            |broker: &BrokerRegistration| (broker.id, BrokerSession { broker_epoch: broker.epoch, last_contact: now });
        let sessions: Vec<_> = new.map(begin).collect();
        self.by_broker.extend(sessions);
        let own_node_id = self.own_node_id;
        self.by_broker.retain(|id, session| {
            let is_unfenced = |broker: &BrokerRegistration| !broker.fenced && broker.epoch == session.broker_epoch;
            *id != own_node_id && image.broker(*id).is_some_and(is_unfenced)
        });
    }

    /// A heartbeat has come.
    pub(super) fn touch(&mut self, id: NodeId, broker_epoch: i64, now: Monotonic) {
        if let Some(session) = self.by_broker.get_mut(&id).filter(|session| session.broker_epoch == broker_epoch) {
            session.last_contact = now;
        }
    }

    /// Whether the broker was heard of within a session's time.
    pub(super) fn is_live(&self, id: NodeId, now: Monotonic, timeout: Duration) -> bool {
        self.by_broker.get(&id).is_some_and(|session| now <= session.last_contact.saturating_add(timeout))
    }

    /// When the next look is due: at once where a broker has no session yet.
    pub(super) fn next_look(&self, image: &MetadataImage, timeout: Duration) -> Option<Monotonic> {
        if self.watched(image).any(|broker| !self.is_known(broker)) {
            return Some(Monotonic::ZERO);
        }
        let first = self.by_broker.values().map(|session| session.last_contact).min()?;
        Some(first.saturating_add(timeout).max(self.next_look))
    }

    /// The look at `now` has fenced a broker.
    pub(super) fn has_fenced(&mut self, now: Monotonic, timeout: Duration) {
        self.next_look = now.saturating_add(timeout / LOOKS_PER_SESSION);
    }

    /// Whoever has been silent for longest of those who have been for a session's time.
    fn longest_silent(&self, now: Monotonic, timeout: Duration) -> Option<NodeId> {
        let silent = self.by_broker.iter().filter(|(_, session)| session.last_contact.saturating_add(timeout) <= now);
        let longest = silent.min_by_key(|(_, session)| session.last_contact).filter(|_| self.next_look <= now);
        longest.map(|(id, _)| *id)
    }
}
