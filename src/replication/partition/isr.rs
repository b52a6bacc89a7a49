//! The in-sync replicas, and the change of them that the controller has been asked for (KIP-497).
//!
//! As long as nobody knows whether a change has been made, the leader must go by whichever of the two states asks for more:
//! the joiner is waited for, and who leaves still is.

use crate::ids::{LeaderEpoch, NodeId};
use crate::protocol::ErrorCode;

/// What the controller is asked for by `AlterPartition`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrProposal {
    /// The leadership in which it was decided.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch that it goes out from.
    pub partition_epoch: i32,
    /// The in-sync replicas that shall be, each with the broker epoch that the leader saw, or -1.
    pub new_isr: Vec<(NodeId, i64)>,
}

/// What the controller answers to a proposal that it has made true, or that was true already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlteredIsr {
    /// The leadership.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch since then.
    pub partition_epoch: i32,
    /// The in-sync replicas.
    pub isr: Vec<NodeId>,
}

/// What an answer of the controller has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsrVerdict {
    /// Newer metadata has settled the proposal before; nothing changes.
    Outdated,
    /// The in-sync replicas are the proposed ones, and this is the state's number.
    Committed {
        /// The partition epoch.
        partition_epoch: i32,
    },
    /// It was not made true and never will be: the in-sync replicas are those from before.
    Rejected,
    /// It stays open until newer metadata tells.
    AwaitsMetadata,
    /// It is to be sent again as it is.
    Retry,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PendingIsr {
    Expand { joiner: NodeId, sent: IsrProposal },
    Shrink { sent: IsrProposal },
}

impl PendingIsr {
    fn sent(&self) -> &IsrProposal {
        match self {
            Self::Expand { sent, .. } | Self::Shrink { sent } => sent,
        }
    }
}

/// The in-sync replicas as their leader knows them; at most one change is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InSyncReplicas {
    committed: Vec<NodeId>,
    pending: Option<PendingIsr>,
}

impl InSyncReplicas {
    /// What the metadata says, in which every earlier change is settled.
    pub(super) fn new(committed: Vec<NodeId>) -> Self {
        Self { committed, pending: None }
    }

    /// The last state that is known to be the controller's.
    pub fn committed(&self) -> &[NodeId] {
        &self.committed
    }

    /// The same, without those who leave.
    pub(super) fn committed_without(&self, leaving: &[NodeId]) -> Vec<NodeId> {
        self.committed.iter().copied().filter(|id| !leaving.contains(id)).collect()
    }

    /// Whether a change is under way.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    fn joiner(&self) -> Option<NodeId> {
        match &self.pending {
            Some(PendingIsr::Expand { joiner, .. }) => Some(*joiner),
            Some(PendingIsr::Shrink { .. }) | None => None,
        }
    }

    /// Whether a replica is in sync, or would be if what is under way came true.
    pub fn is_maximal(&self, id: NodeId) -> bool {
        self.committed.contains(&id) || self.joiner() == Some(id)
    }

    /// How many those are.
    pub fn maximal_len(&self) -> usize {
        self.committed.len() + usize::from(self.joiner().is_some())
    }

    pub(super) fn expand(&mut self, joiner: NodeId, sent: IsrProposal) {
        self.pending = Some(PendingIsr::Expand { joiner, sent });
    }

    pub(super) fn shrink(&mut self, sent: IsrProposal) {
        self.pending = Some(PendingIsr::Shrink { sent });
    }

    /// Takes the controller's answer to `proposal` in a state of these epochs.
    pub(super) fn answered(
        &mut self,
        proposal: &IsrProposal,
        answer: Result<AlteredIsr, ErrorCode>,
        leader_epoch: LeaderEpoch,
        partition_epoch: i32,
    ) -> IsrVerdict {
        if self.pending.as_ref().is_none_or(|pending| pending.sent() != proposal) {
            return IsrVerdict::Outdated;
        }
        match answer {
            // What was proposed is under way still: the metadata that has raised the epoch has not come here yet.
            Ok(altered) if altered.leader_epoch != leader_epoch || altered.partition_epoch < partition_epoch => {
                IsrVerdict::AwaitsMetadata
            }
            Ok(altered) => {
                *self = Self::new(altered.isr);
                IsrVerdict::Committed { partition_epoch: altered.partition_epoch }
            }
            // Only these prove that it was not made true: the controller has found the epochs to be right, and refused.
            Err(ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted) => {
                self.pending = None;
                IsrVerdict::Rejected
            }
            // It may have been, by an earlier sending of the same.
            Err(
                ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::InvalidUpdateVersion
                | ErrorCode::InvalidRequest
                | ErrorCode::NewLeaderElected,
            ) => IsrVerdict::AwaitsMetadata,
            Err(_) => IsrVerdict::Retry,
        }
    }
}
