//! `JoinGroup`: how a client becomes a member and stays one across rebalances.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::protocol::ErrorCode;
use crate::state_machine::{Effects, ReplyTo};

use super::GroupCoordinator;
use super::classic_group::ClassicGroup;
use super::group_state::GroupState;
use super::member::Member;
use super::request::{JoinRequest, MemberId, Protocol};
use super::response::{GroupResponse, JoinResponse};
use super::timers::Timer;
use super::turn::Turn;

/// How long a new member may wait for its rebalance. It does not know its id yet and cannot send heartbeats, and a
/// client that gave up and retried would otherwise leave a defunct member behind each time.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_mins(5);

/// Members of one group that were given an id and have not used it yet. Apache Kafka bounds them by their session
/// timeout alone, so that a client that never returns can fill the memory; a burst of real members is far smaller.
const MAX_PENDING_MEMBERS: usize = 10_000;

/// What one member may have us keep: the names and metadata of all its protocols. A record of `__consumer_offsets`
/// holds all members of a group and is itself bounded by `max.message.bytes` of that topic.
const MAX_PROTOCOL_BYTES: usize = 1 << 20;

/// The longest string that a record can hold, less what a member id adds to a client id or instance id.
pub(super) const MAX_STRING_BYTES: usize = i16::MAX as usize - 37;

impl GroupCoordinator {
    pub(super) fn join(&mut self, mut request: JoinRequest, reply_to: ReplyTo, now: Now, effects: &mut Effects<Self>) {
        let is_new_group = !self.groups.contains_key(&request.group_id);
        let refusal = self
            .invalid_join(&request)
            .or_else(|| (is_new_group && !request.member_id.is_empty()).then_some(ErrorCode::UnknownMemberId));
        if let Some(error) = refusal {
            effects.reply(reply_to, GroupResponse::Join(JoinResponse::error(error, request.member_id)));
            return;
        }
        keep_first_of_each_name(&mut request.protocols);
        let group_id = Arc::clone(&request.group_id);
        if is_new_group {
            self.groups.insert(Arc::clone(&group_id), ClassicGroup::new(Arc::clone(&group_id), now.timestamp_ms));
        }
        let Some(mut turn) = self.turn(&group_id, now, effects) else { return };
        if is_new_group {
            let record = turn.group.to_record(None);
            turn.effects.record(record);
        }
        turn.join(&request, reply_to);
    }

    fn invalid_join(&self, request: &JoinRequest) -> Option<ErrorCode> {
        let session_timeouts = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        let names = request.protocols.iter().map(|protocol| &protocol.name);
        let strings = [&request.client_id, &request.protocol_type, &request.member_id].into_iter();
        let mut strings = strings.chain(&request.group_instance_id).chain(names);
        let kept: usize = request.protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum();
        if request.group_id.is_empty() || request.group_id.len() > MAX_STRING_BYTES {
            Some(ErrorCode::InvalidGroupId)
        } else if !session_timeouts.contains(&request.session_timeout_ms) {
            Some(ErrorCode::InvalidSessionTimeout)
        } else if kept > MAX_PROTOCOL_BYTES || strings.any(|string| string.len() > MAX_STRING_BYTES) {
            // Unlike Kafka, which keeps metadata of any size and then fails to write its record.
            Some(ErrorCode::InvalidRequest)
        } else {
            None
        }
    }
}

/// A protocol named twice counts once.
fn keep_first_of_each_name(protocols: &mut Vec<Protocol>) {
    let mut seen = std::collections::HashSet::new();
    protocols.retain(|protocol| seen.insert(Arc::clone(&protocol.name)));
}

impl Turn<'_> {
    fn join(&mut self, request: &JoinRequest, reply_to: ReplyTo) {
        if !self.group.accepts(&request.member_id, self.config.max_size) {
            self.remove_member(&request.member_id);
            self.refuse_join(reply_to, ErrorCode::GroupMaxSizeReached, &"".into());
            // Unlike Kafka, which lets the others wait for the member that it has just turned away.
            self.complete_join_if_all_joined();
        } else if !self.group.supports_protocols(&request.protocol_type, &request.protocols) {
            self.refuse_join(reply_to, ErrorCode::InconsistentGroupProtocol, &request.member_id);
        } else if request.member_id.is_empty() {
            self.join_new_member(request, reply_to);
        } else {
            self.join_known_member(request, reply_to);
        }
    }

    fn join_new_member(&mut self, request: &JoinRequest, reply_to: ReplyTo) {
        let prefix = request.group_instance_id.as_ref().unwrap_or(&request.client_id);
        let member_id: MemberId = format!("{prefix}-{}", request.new_member_uuid).into();
        if let Some(group_instance_id) = &request.group_instance_id {
            match self.group.static_member_id(group_instance_id).cloned() {
                Some(old_id) => self.replace_static_member(request, &old_id, &member_id, reply_to),
                None => self.add_member(request, &member_id, reply_to),
            }
        } else if request.requires_known_member_id {
            self.add_pending_member(request, member_id, reply_to);
        } else {
            self.add_member(request, &member_id, reply_to);
        }
    }

    /// Gives a new client its id and has it join again with it, so that a retry does not make a second member (KIP-394).
    fn add_pending_member(&mut self, request: &JoinRequest, member_id: MemberId, reply_to: ReplyTo) {
        if self.group.pending_join.len() >= MAX_PENDING_MEMBERS {
            // Unlike Kafka, which bounds them by time alone.
            self.refuse_join(reply_to, ErrorCode::GroupMaxSizeReached, &"".into());
            return;
        }
        let timeout = Duration::from_millis(request.session_timeout_ms.unsigned_abs().into());
        self.schedule(Timer::session(&self.group.id, &member_id), timeout);
        self.refuse_join(reply_to, ErrorCode::MemberIdRequired, &member_id);
        self.group.pending_join.insert(member_id);
    }

    fn add_member(&mut self, request: &JoinRequest, member_id: &MemberId, reply_to: ReplyTo) {
        let mut member = Member::new(request);
        member.awaiting_join = Some(reply_to);
        if let Some(initial_delay) = &mut self.group.initial_delay {
            initial_delay.new_member_added = true;
        }
        self.group.add(Arc::clone(member_id), member, &request.protocol_type);
        self.schedule(Timer::session(&self.group.id, member_id), NEW_MEMBER_JOIN_TIMEOUT);
        self.rebalance_or_complete_join();
    }

    fn join_known_member(&mut self, request: &JoinRequest, reply_to: ReplyTo) {
        let member_id = &request.member_id;
        if self.group.pending_join.contains(member_id) {
            if request.group_instance_id.is_some() {
                // A static member is never pending; Kafka calls this an illegal state.
                self.refuse_join(reply_to, ErrorCode::UnknownServerError, member_id);
            } else {
                self.add_member(request, member_id, reply_to);
            }
        } else if let Err(error) = self.group.validate_member(member_id, request.group_instance_id.as_deref()) {
            self.refuse_join(reply_to, error, member_id);
        } else if self.needs_rebalance(request) {
            self.await_join(member_id, request, reply_to);
            self.rebalance_or_complete_join();
        } else {
            // It did not hear our answer, or asks again without need: it may sync in this generation.
            let response = self.current_generation(member_id);
            self.reply(reply_to, GroupResponse::Join(response));
        }
    }

    /// Whether a member's join concerns the others: it changed its metadata, or it leads a stable group, which is how a
    /// leader asks for a new assignment.
    fn needs_rebalance(&self, request: &JoinRequest) -> bool {
        let changed =
            self.group.members.get(&request.member_id).is_some_and(|member| member.protocols != request.protocols);
        match self.group.state {
            GroupState::CompletingRebalance => changed,
            GroupState::Stable => changed || self.group.is_leader(&request.member_id),
            GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => true,
        }
    }

    /// A static member came back under a new id: it takes over the place of the old one, whose client, if it still runs,
    /// is fenced (KIP-345).
    fn replace_static_member(
        &mut self,
        request: &JoinRequest,
        old_id: &MemberId,
        new_id: &MemberId,
        reply_to: ReplyTo,
    ) {
        if self.group.state == GroupState::Stable
            && let Some(member) = self.unnoticed_replacement(request, old_id)
        {
            self.persist_replacement(request, old_id, new_id, member, reply_to);
            return;
        }
        self.fence(old_id);
        self.group.replace_static_member(old_id, new_id);
        self.restart_session(new_id);
        self.await_join(new_id, request, reply_to);
        match self.group.state {
            // The leader may be computing an assignment for the old id, which the new one would miss.
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(),
            GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => self.complete_join_if_all_joined(),
        }
    }

    /// The member with what the request says, if the others would follow the same protocol with it.
    fn unnoticed_replacement(&mut self, request: &JoinRequest, old_id: &MemberId) -> Option<Member> {
        let place = self.group.members.get_mut(old_id)?;
        let before = place.clone();
        place.update(request);
        let is_unnoticed = self.group.protocol_name == self.group.select_protocol();
        let updated = std::mem::replace(self.group.members.get_mut(old_id)?, before);
        is_unnoticed.then_some(updated)
    }

    fn fence(&mut self, old_id: &MemberId) {
        self.timers.cancel(&Timer::session(&self.group.id, old_id));
        let Some(member) = self.group.members.get_mut(old_id) else { return };
        let (awaiting_join, awaiting_sync) = (member.awaiting_join.take(), member.awaiting_sync.take());
        if let Some(reply_to) = awaiting_join {
            self.refuse_join(reply_to, ErrorCode::FencedInstanceId, old_id);
        }
        if let Some(reply_to) = awaiting_sync {
            self.refuse_sync(reply_to, ErrorCode::FencedInstanceId);
        }
    }

    /// Nothing changed for the others, so there is no rebalance: the new id is remembered and the member gets the
    /// assignment of the old one, which goes on until the record is written. A returning leader that cannot be told to
    /// skip the assignment must not learn that it leads, or it would send one (KIP-814).
    fn persist_replacement(
        &mut self,
        request: &JoinRequest,
        old_id: &MemberId,
        new_id: &MemberId,
        member: Member,
        reply_to: ReplyTo,
    ) {
        let Some(place) = self.group.members.get_mut(old_id) else { return };
        let before = std::mem::replace(place, member.clone());
        let former_leader = self.group.leader.clone();
        self.group.replace_static_member(old_id, new_id);
        let record = self.group.to_record(None);
        let mut response = self.current_generation(new_id);
        if request.supports_skipping_assignment {
            response.skip_assignment = self.group.is_leader(new_id);
        } else {
            response.members = Vec::new();
            response.leader = former_leader.unwrap_or_else(|| "".into());
        }
        self.restart_session(new_id);
        self.group.replace_static_member(new_id, old_id);
        self.group.members.insert(Arc::clone(old_id), before);
        self.group.replacement = Some((Arc::clone(new_id), member));
        self.effects.record(record);
        self.reply(reply_to, GroupResponse::Join(response));
    }
}
