//! One partition: its replicas, who of them is in sync, and who leads.

use bytes::BufMut;

use super::error::MetadataDecodeError;
use super::fields::{flag, int, nodes, option, put_nodes, put_option};
use crate::ids::{LeaderEpoch, NodeId};

/// Who leads a partition that nobody leads.
const NO_LEADER: NodeId = -1;

/// Whether a partition's leader has all that was committed (KIP-704).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LeaderRecoveryState {
    /// It was in sync when it was elected, or has recovered since.
    #[default]
    Recovered,
    /// It was not in sync when it was elected, and has not said yet that it has recovered.
    Recovering,
}

impl LeaderRecoveryState {
    /// Kafka's number for it.
    pub fn code(self) -> i8 {
        match self {
            Self::Recovered => 0,
            Self::Recovering => 1,
        }
    }

    /// The state with that number, if there is one.
    pub fn from_code(code: i8) -> Option<Self> {
        [Self::Recovered, Self::Recovering].into_iter().find(|state| state.code() == code)
    }

    fn put(self, buffer: &mut Vec<u8>) {
        buffer.put_u8(u8::from(self == Self::Recovering));
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        flag(bytes).map(|is_recovering| if is_recovering { Self::Recovering } else { Self::Recovered })
    }
}

/// A partition's replicas and leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionImage {
    /// The brokers that shall hold it, the preferred leader first; never empty.
    pub replicas: Vec<NodeId>,
    /// Those of them that are in sync.
    pub isr: Vec<NodeId>,
    /// The leader, or -1.
    pub leader: NodeId,
    /// Grows with each leadership.
    pub leader_epoch: LeaderEpoch,
    /// Grows with each change.
    pub partition_epoch: i32,
    /// The eligible leader replicas: those that are not in sync any more and yet have all that was committed, because
    /// nothing has been since (KIP-966).
    pub elr: Vec<NodeId>,
    /// The last leader of a partition without one, which may lead again where nobody else may (KIP-966).
    pub last_known_elr: Vec<NodeId>,
    /// Whether the leader has all that was committed.
    pub leader_recovery_state: LeaderRecoveryState,
}

impl Default for PartitionImage {
    /// Without replicas, and so no partition yet; a start for those who name only some of the fields.
    fn default() -> Self {
        Self {
            replicas: Vec::new(),
            isr: Vec::new(),
            leader: NO_LEADER,
            leader_epoch: 0,
            partition_epoch: 0,
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            leader_recovery_state: LeaderRecoveryState::Recovered,
        }
    }
}

/// What changes of a partition; what is not named stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionChange {
    /// The new in-sync replicas.
    pub isr: Option<Vec<NodeId>>,
    /// The leader (-1 for none) of the leadership that begins, which may be the one that there was.
    pub leader: Option<NodeId>,
    /// The new eligible leader replicas.
    pub elr: Option<Vec<NodeId>>,
    /// The new last known leader.
    pub last_known_elr: Option<Vec<NodeId>>,
    /// The new recovery state.
    pub leader_recovery_state: Option<LeaderRecoveryState>,
}

impl PartitionImage {
    /// Takes in one change: the partition epoch grows by one, and so does the leader epoch if a leader is given.
    pub fn apply(&mut self, change: &PartitionChange) {
        let PartitionChange { isr, leader, elr, last_known_elr, leader_recovery_state } = change;
        if let Some(isr) = isr {
            self.isr.clone_from(isr);
        }
        if let Some(leader) = leader {
            self.leader = *leader;
            self.leader_epoch += 1;
        }
        if let Some(elr) = elr {
            self.elr.clone_from(elr);
        }
        if let Some(last_known_elr) = last_known_elr {
            self.last_known_elr.clone_from(last_known_elr);
        }
        if let Some(state) = leader_recovery_state {
            self.leader_recovery_state = *state;
        }
        self.partition_epoch += 1;
    }

    /// The version of the encoding: 1 where there is what version 0 cannot say.
    pub(super) fn version(&self) -> u8 {
        let is_recovered = self.leader_recovery_state == LeaderRecoveryState::Recovered;
        u8::from(!(self.elr.is_empty() && self.last_known_elr.is_empty() && is_recovered))
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        let Self { replicas, isr, leader, leader_epoch, partition_epoch, elr, last_known_elr, leader_recovery_state } =
            self;
        put_nodes(replicas, buffer);
        put_nodes(isr, buffer);
        buffer.put_i32(*leader);
        buffer.put_i32(*leader_epoch);
        buffer.put_i32(*partition_epoch);
        if self.version() > 0 {
            put_nodes(elr, buffer);
            put_nodes(last_known_elr, buffer);
            leader_recovery_state.put(buffer);
        }
    }

    pub(super) fn decode(version: u8, bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        let mut partition = Self {
            replicas: nodes(bytes)?,
            isr: nodes(bytes)?,
            leader: int(bytes)?,
            leader_epoch: int(bytes)?,
            partition_epoch: int(bytes)?,
            ..Self::default()
        };
        if version > 0 {
            partition.elr = nodes(bytes)?;
            partition.last_known_elr = nodes(bytes)?;
            partition.leader_recovery_state = LeaderRecoveryState::decode(bytes)?;
        }
        Ok(partition)
    }
}

impl PartitionChange {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The version of the encoding: 1 where there is what version 0 cannot say.
    pub(super) fn version(&self) -> u8 {
        let Self { isr: _, leader: _, elr, last_known_elr, leader_recovery_state } = self;
        u8::from(elr.is_some() || last_known_elr.is_some() || leader_recovery_state.is_some())
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        let Self { isr, leader, elr, last_known_elr, leader_recovery_state } = self;
        put_option(isr.as_ref(), buffer, |isr, buffer| put_nodes(isr, buffer));
        put_option(leader.as_ref(), buffer, |leader, buffer| buffer.put_i32(*leader));
        if self.version() > 0 {
            put_option(elr.as_ref(), buffer, |elr, buffer| put_nodes(elr, buffer));
            put_option(last_known_elr.as_ref(), buffer, |known, buffer| put_nodes(known, buffer));
            put_option(leader_recovery_state.as_ref(), buffer, |state, buffer| state.put(buffer));
        }
    }

    pub(super) fn decode(version: u8, bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        let mut change = Self { isr: option(bytes, nodes)?, leader: option(bytes, int)?, ..Self::default() };
        if version > 0 {
            change.elr = option(bytes, nodes)?;
            change.last_known_elr = option(bytes, nodes)?;
            change.leader_recovery_state = option(bytes, LeaderRecoveryState::decode)?;
        }
        Ok(change)
    }
}
