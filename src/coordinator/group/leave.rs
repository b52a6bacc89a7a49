//! `LeaveGroup`: members go at once instead of timing out.

use std::sync::Arc;

use crate::protocol::ErrorCode;

use super::group_state::GroupState;
use super::request::{LeaveRequest, MemberId, MemberIdentity};
use super::turn::Turn;

impl Turn<'_> {
    /// Removes the members it can, then rebalances once; answers for each.
    pub(super) fn leave(&mut self, request: LeaveRequest) -> Vec<(MemberIdentity, Option<ErrorCode>)> {
        let results = request.members.into_iter().map(|identity| {
            let leaving = self.leaving_member(&identity);
            if let Ok(member_id) = &leaving {
                self.remove_member(member_id);
            }
            (identity, leaving.err())
        });
        let results: Vec<_> = results.collect();
        if results.iter().any(|(_, error)| error.is_none()) {
            match self.group.state {
                GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(),
                GroupState::PreparingRebalance => self.complete_join_if_all_joined(),
                GroupState::Empty | GroupState::Dead => {}
            }
        }
        results
    }

    /// Whom the identity means: an administrator names a static member by its instance id alone.
    fn leaving_member(&self, identity: &MemberIdentity) -> Result<MemberId, ErrorCode> {
        let group_instance_id = identity.group_instance_id.as_deref();
        if identity.member_id.is_empty() {
            let named = group_instance_id.and_then(|id| self.group.static_member_id(id));
            return named.cloned().ok_or(ErrorCode::UnknownMemberId);
        }
        if !self.group.pending_join.contains(&identity.member_id) {
            self.group.validate_member(&identity.member_id, group_instance_id)?;
        }
        Ok(Arc::clone(&identity.member_id))
    }
}
