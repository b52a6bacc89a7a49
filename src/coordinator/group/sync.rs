//! `SyncGroup`: the leader's assignment reaches everyone.

use std::collections::HashMap;
use std::sync::Arc;

use crate::protocol::ErrorCode;
use crate::state_machine::ReplyTo;

use super::group_state::GroupState;
use super::request::{MemberId, SyncRequest};
use super::response::{GroupResponse, SyncResponse};
use super::turn::Turn;

impl Turn<'_> {
    pub(super) fn sync(&mut self, request: SyncRequest, reply_to: ReplyTo) {
        if let Err(error) = self.validate_sync(&request) {
            self.refuse_sync(reply_to, error);
            return;
        }
        let member_id = Arc::clone(&request.member.member_id);
        self.received_sync(&member_id);
        if self.group.state == GroupState::Stable {
            let assignment = self.group.members.get(&member_id).map(|member| member.assignment.clone());
            let response = self.sync_response(assignment.unwrap_or_default());
            self.reply(reply_to, GroupResponse::Sync(Ok(response)));
            return;
        }
        let superseded =
            self.group.members.get_mut(&member_id).and_then(|member| member.awaiting_sync.replace(reply_to));
        if let Some(superseded) = superseded {
            // Unlike Kafka, which never answers it: an answer in order would be missing on its connection.
            self.refuse_sync(superseded, ErrorCode::RebalanceInProgress);
        }
        if self.group.is_leader(&member_id) {
            self.assign(request);
        }
    }

    fn validate_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        let member = &request.member;
        self.group.validate_member(&member.member_id, member.group_instance_id.as_deref())?;
        let contradicts =
            |said: &Option<Arc<str>>, ours: &Option<Arc<str>>| said.is_some() && ours.is_some() && said != ours;
        if member.generation_id != self.group.generation {
            Err(ErrorCode::IllegalGeneration)
        } else if contradicts(&request.protocol_type, &self.group.protocol_type)
            || contradicts(&request.protocol_name, &self.group.protocol_name)
        {
            Err(ErrorCode::InconsistentGroupProtocol)
        } else if self.group.state == GroupState::PreparingRebalance {
            Err(ErrorCode::RebalanceInProgress)
        } else {
            Ok(())
        }
    }

    /// Remembers the leader's assignment and answers everyone who waits for it; the group is stable once the record is
    /// written. Were it not, the group would go on waiting for the leader.
    fn assign(&mut self, request: SyncRequest) {
        let assignments: HashMap<_, _> = request.assignments.into_iter().collect();
        let record = self.group.to_record(Some(&assignments));
        self.effects.record(record);
        let waiting = self.group.members.iter_mut().filter_map(|(member_id, member)| {
            let reply_to = member.awaiting_sync.take()?;
            Some((Arc::clone(member_id), reply_to))
        });
        for (member_id, reply_to) in waiting.collect::<Vec<_>>() {
            let response = self.sync_response(assignments.get(&member_id).cloned().unwrap_or_default());
            self.reply(reply_to, GroupResponse::Sync(Ok(response)));
            self.restart_session(&member_id);
        }
    }

    fn sync_response(&self, assignment: bytes::Bytes) -> SyncResponse {
        SyncResponse {
            protocol_type: self.group.protocol_type.clone(),
            protocol_name: self.group.protocol_name.clone(),
            assignment,
        }
    }

    fn received_sync(&mut self, member_id: &MemberId) {
        self.group.pending_sync.remove(member_id);
        if self.group.pending_sync.is_empty() {
            self.timers.cancel(&self.sync_timer());
        }
    }

    /// The time to sync is over: members that never asked are out, and the others rebalance.
    pub(super) fn sync_elapsed(&mut self) {
        let is_due = matches!(self.group.state, GroupState::CompletingRebalance | GroupState::Stable);
        if !is_due || self.group.pending_sync.is_empty() {
            return;
        }
        for member_id in std::mem::take(&mut self.group.pending_sync) {
            self.remove_member(&member_id);
        }
        self.prepare_rebalance();
    }
}
