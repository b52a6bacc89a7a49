//! How a partition changes when who may lead it does: Kafka's `PartitionChangeBuilder`.
//!
//! Whatever changes a partition goes through here, so that the in-sync replicas, the eligible leader replicas (KIP-966),
//! the leader and its recovery state (KIP-704) always follow one from the other.
//!
//! Unlike Kafka, eligible leaders are kept whatever the level of `eligible.leader.replicas.version` is: a new cluster of
//! Kafka's has them, too.

use crate::ids::NodeId;
use crate::metadata::{LeaderRecoveryState, PartitionChange, PartitionImage};

/// Who leads a partition that nobody leads.
pub(super) const NO_LEADER: NodeId = -1;

/// Whom a leader is chosen from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Election {
    /// The first replica if it has all that was committed, before a leader that is there.
    Preferred,
    /// Those that have all that was committed; a leader that is there stays.
    Online,
    /// Where there is none of those, any replica that is alive: what it does not have is lost.
    Unclean,
}

/// What shall become of a partition.
#[derive(Debug, Clone)]
pub(super) struct Proposal<'a> {
    /// The partition as it is.
    pub(super) state: &'a PartitionImage,
    /// The replicas that shall be in sync.
    pub(super) isr: Vec<NodeId>,
    /// A replica that may have lost records, and so is no eligible leader any more.
    pub(super) lost: Option<NodeId>,
    /// The recovery state that it shall have, if no election changes that.
    pub(super) leader_recovery_state: LeaderRecoveryState,
    /// The election to hold.
    pub(super) election: Election,
    /// How many replicas in sync an acknowledged write needs, the number of replicas at most. With fewer of them nothing is
    /// committed, and so whoever leaves them keeps all that is.
    pub(super) min_isr: usize,
}

impl Proposal<'_> {
    /// The change, if anything does. Only those for whom `is_acceptable` is true are elected.
    pub(super) fn change(self, is_acceptable: impl Fn(NodeId) -> bool) -> Option<PartitionChange> {
        let mut elr = self.eligible();
        let (leader, is_unclean) = self.elect(&elr, is_acceptable);
        let Self { state, mut isr, leader_recovery_state: mut recovery, min_isr, .. } = self;
        if is_unclean {
            (isr, recovery) = (vec![leader], LeaderRecoveryState::Recovering);
            elr.clear();
        } else if elr.contains(&leader) {
            isr = vec![leader];
            elr.retain(|replica| *replica != leader);
        }
        if isr.len() >= min_isr {
            elr.clear();
        }
        let last_known_elr = last_known(state, &isr, leader);
        let change = PartitionChange {
            isr: (isr != state.isr).then_some(isr),
            leader: (leader != state.leader).then_some(leader),
            elr: (elr != state.elr).then_some(elr),
            last_known_elr: last_known_elr.filter(|known| *known != state.last_known_elr),
            leader_recovery_state: (recovery != state.leader_recovery_state).then_some(recovery),
        };
        (!change.is_empty()).then_some(change)
    }

    /// The eligible leader replicas beside the proposed in-sync ones, in the order of the replicas.
    fn eligible(&self) -> Vec<NodeId> {
        if self.isr.len() >= self.min_isr {
            return Vec::new();
        }
        let state = self.state;
        let is_eligible = |replica: &NodeId| {
            (state.elr.contains(replica) || state.isr.contains(replica))
                && !self.isr.contains(replica)
                && self.lost != Some(*replica)
        };
        state.replicas.iter().copied().filter(is_eligible).collect()
    }

    /// The leader, and whether it may lack what was committed.
    fn elect(&self, elr: &[NodeId], is_acceptable: impl Fn(NodeId) -> bool) -> (NodeId, bool) {
        let state = self.state;
        let is_valid = |replica: &NodeId| {
            let has_all = self.isr.contains(replica) || (self.isr.is_empty() && elr.contains(replica));
            has_all && is_acceptable(*replica)
        };
        let preferred = state.replicas.first().filter(|_| self.election == Election::Preferred);
        let mut candidates = preferred.into_iter().chain([&state.leader]).chain(&state.replicas).copied();
        if let Some(leader) = candidates.find(is_valid) {
            return (leader, false);
        }
        // Only one that is alive: KAFKA-19522.
        if let (true, true, [known]) = (self.isr.is_empty(), elr.is_empty(), &state.last_known_elr[..])
            && is_acceptable(*known)
        {
            return (*known, true);
        }
        let mut alive = state.replicas.iter().copied().filter(|replica| is_acceptable(*replica));
        match self.election {
            Election::Unclean => alive.next().map_or((NO_LEADER, false), |leader| (leader, true)),
            Election::Preferred | Election::Online => (NO_LEADER, false),
        }
    }
}

/// The last known leader, where it changes: it is noted when the partition first has nobody in sync, and forgotten when
/// somebody leads.
fn last_known(state: &PartitionImage, isr: &[NodeId], leader: NodeId) -> Option<Vec<NodeId>> {
    match &state.isr[..] {
        [_, ..] if isr.is_empty() && state.leader != NO_LEADER => return Some(vec![state.leader]),
        // Without eligible leaders, as they once were not kept, the last one in sync stayed so when it led no more.
        [only] if isr.is_empty() => return Some(vec![*only]),
        _ => {}
    }
    (leader != NO_LEADER).then(Vec::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(isr: &[NodeId], leader: NodeId) -> PartitionImage {
        PartitionImage { replicas: vec![1, 2, 3], isr: isr.to_vec(), leader, ..PartitionImage::default() }
    }

    fn proposal<'a>(state: &'a PartitionImage, isr: &[NodeId], min_isr: usize) -> Proposal<'a> {
        Proposal {
            state,
            isr: isr.to_vec(),
            lost: None,
            leader_recovery_state: state.leader_recovery_state,
            election: Election::Online,
            min_isr,
        }
    }

    fn none() -> PartitionChange {
        PartitionChange::default()
    }

    #[test]
    fn nothing_changes_where_nothing_does() {
        let state = state(&[3, 1], 3);
        assert_eq!(proposal(&state, &[3, 1], 2).change(|_| true), None);
    }

    #[test]
    fn the_next_leader_is_the_first_replica_in_sync_whatever_the_order_of_those() {
        let state = state(&[3, 1, 2], 3);
        let change = proposal(&state, &[2, 1], 2).change(|id| id != 3);
        assert_eq!(change, Some(PartitionChange { isr: Some(vec![2, 1]), leader: Some(1), ..none() }));
    }

    #[test]
    fn whoever_leaves_under_min_isr_stays_eligible_and_leads_when_nobody_is_in_sync() {
        let mut state = state(&[1, 2], 1);
        let mut step = |isr: &[NodeId], alive: &[NodeId]| {
            let change = proposal(&state, isr, 2).change(|id| alive.contains(&id)).unwrap();
            state.apply(&change);
            state.clone()
        };
        let first = step(&[2], &[2, 3]);
        assert_eq!((first.leader, first.elr), (2, vec![1]));
        let second = step(&[], &[3]);
        assert_eq!((second.leader, second.elr, second.last_known_elr), (NO_LEADER, vec![1, 2], vec![2]));
        let third = step(&[], &[1, 3]);
        assert_eq!((third.leader, third.isr, third.elr, third.last_known_elr), (1, vec![1], vec![2], vec![]));
        assert_eq!((third.leader_recovery_state, third.leader_epoch), (LeaderRecoveryState::Recovered, 3));
        let fourth = step(&[1, 3], &[1, 3]);
        assert_eq!((fourth.leader, fourth.elr, fourth.leader_epoch), (1, vec![], 3));
    }

    #[test]
    fn whoever_has_lost_records_leads_only_as_the_last_known_leader() {
        let mut state = state(&[1], 1);
        let lost = Proposal { lost: Some(1), ..proposal(&state, &[], 1) }.change(|id| id != 1).unwrap();
        state.apply(&lost);
        assert_eq!((&state.elr[..], &state.last_known_elr[..], state.leader), (&[][..], &[1][..], NO_LEADER));
        assert_eq!(proposal(&state, &[], 1).change(|id| id != 1), None);
        state.apply(&proposal(&state, &[], 1).change(|_| true).unwrap());
        assert_eq!((&state.isr[..], &state.last_known_elr[..], state.leader), (&[1][..], &[][..], 1));
        assert_eq!(state.leader_recovery_state, LeaderRecoveryState::Recovering);
    }

    #[test]
    fn an_unclean_election_takes_the_first_replica_alive_and_forgets_who_was_eligible() {
        let state = PartitionImage { elr: vec![1], last_known_elr: vec![1], ..state(&[], NO_LEADER) };
        let unclean = Proposal { election: Election::Unclean, ..proposal(&state, &[], 2) };
        let change = unclean.change(|id| id == 3);
        let expected = PartitionChange {
            isr: Some(vec![3]),
            leader: Some(3),
            elr: Some(vec![]),
            last_known_elr: Some(vec![]),
            leader_recovery_state: Some(LeaderRecoveryState::Recovering),
        };
        assert_eq!(change, Some(expected));
    }
}
