//! Heartbeat, and what happens to a member that sends none.

use crate::protocol::ErrorCode;

use super::group_state::GroupState;
use super::request::{MemberId, MemberRequest};
use super::turn::Turn;

impl Turn<'_> {
    /// Keeps the member alive; `REBALANCE_IN_PROGRESS` asks it to join again.
    pub(super) fn heartbeat(&mut self, request: &MemberRequest) -> Result<(), ErrorCode> {
        self.group.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.restart_session(&request.member_id);
        match self.group.state {
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// A member, or a pending one, was silent for too long.
    pub(super) fn session_elapsed(&mut self, member_id: &MemberId) {
        if self.group.members.get(member_id).is_some_and(super::member::Member::has_satisfied_heartbeat) {
            return;
        }
        let was_member = self.group.members.contains_key(member_id);
        if !was_member && !self.group.pending_join.contains(member_id) {
            return;
        }
        self.remove_member(member_id);
        match self.group.state {
            GroupState::Stable | GroupState::CompletingRebalance if was_member => self.prepare_rebalance(),
            GroupState::PreparingRebalance if self.group.has_all_members_joined() => self.complete_join(),
            _ => {}
        }
    }
}
