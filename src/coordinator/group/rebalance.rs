//! From one generation to the next: members gather, agree on a protocol, and learn who leads.

use std::sync::Arc;
use std::time::Duration;

use crate::protocol::ErrorCode;

use super::classic_group::InitialDelay;
use super::group_state::GroupState;
use super::request::MemberId;
use super::response::{GroupResponse, JoinResponse};
use super::turn::Turn;

impl Turn<'_> {
    /// After a member came, changed or went: begins a rebalance, or ends the one under way if that was all it waited for.
    pub(super) fn rebalance_or_complete_join(&mut self) {
        if self.group.state == GroupState::PreparingRebalance {
            self.complete_join_if_all_joined();
        } else {
            self.prepare_rebalance();
        }
    }

    /// Asks all members to join again.
    pub(super) fn prepare_rebalance(&mut self) {
        if self.group.state == GroupState::CompletingRebalance {
            self.abandon_assignment();
        }
        self.group.pending_sync.clear();
        self.timers.cancel(&self.sync_timer());
        let is_initial = self.group.state == GroupState::Empty;
        self.group.transition_to(GroupState::PreparingRebalance, self.now);
        if is_initial {
            self.begin_initial_delay();
        } else if self.group.has_all_members_joined() {
            self.complete_join();
        } else {
            self.schedule(self.join_timer(), self.group.rebalance_timeout());
        }
    }

    /// Nobody gets an assignment of this generation any more: whoever waits for one joins again.
    fn abandon_assignment(&mut self) {
        let waiting = self.group.members.iter_mut().filter_map(|(member_id, member)| {
            member.assignment.clear();
            member.awaiting_sync.take().map(|reply_to| (Arc::clone(member_id), reply_to))
        });
        for (member_id, reply_to) in waiting.collect::<Vec<_>>() {
            self.refuse_sync(reply_to, ErrorCode::RebalanceInProgress);
            self.restart_session(&member_id);
        }
    }

    /// The first members of an empty group wait a little for others, so that a starting application rebalances once.
    fn begin_initial_delay(&mut self) {
        let delay = self.config.initial_rebalance_delay;
        let remaining = self.group.rebalance_timeout().saturating_sub(delay);
        self.group.initial_delay = Some(InitialDelay { delay, remaining, new_member_added: false });
        self.schedule(self.join_timer(), delay);
    }

    /// The time to join is over; in the first rebalance it is extended while members keep arriving.
    pub(super) fn join_elapsed(&mut self) {
        if self.group.state != GroupState::PreparingRebalance {
            return;
        }
        match self.group.initial_delay {
            Some(elapsed) if elapsed.new_member_added && !elapsed.remaining.is_zero() => {
                let delay = self.config.initial_rebalance_delay.min(elapsed.remaining);
                let remaining = elapsed.remaining.saturating_sub(elapsed.delay);
                self.group.initial_delay = Some(InitialDelay { delay, remaining, new_member_added: false });
                self.schedule(self.join_timer(), delay);
            }
            _ => self.complete_join(),
        }
    }

    /// Ends the joining early when there is nobody left to wait for, which a first rebalance cannot know.
    pub(super) fn complete_join_if_all_joined(&mut self) {
        let is_waiting = self.group.state == GroupState::PreparingRebalance && self.group.initial_delay.is_none();
        if is_waiting && self.group.has_all_members_joined() {
            self.complete_join();
        }
    }

    /// Ends the joining: dynamic members that did not come are out, the others begin the next generation.
    pub(super) fn complete_join(&mut self) {
        self.timers.cancel(&self.join_timer());
        self.remove_absent_members();
        if !self.group.elect_joined_leader() && !self.group.members.is_empty() {
            // Only static members, and none of them came: their session timeouts decide.
            if let Some(initial_delay) = &mut self.group.initial_delay {
                initial_delay.remaining = Duration::ZERO;
            }
            self.schedule(self.join_timer(), self.group.rebalance_timeout());
            return;
        }
        self.group.begin_next_generation(self.now);
        if self.group.state == GroupState::Empty {
            let record = self.group.to_record(None);
            self.effects.record(record);
        } else {
            self.announce_generation();
        }
    }

    fn remove_absent_members(&mut self) {
        let absent =
            self.group.members.iter().filter(|(_, member)| member.awaiting_join.is_none() && !member.is_static());
        for member_id in absent.map(|(member_id, _)| Arc::clone(member_id)).collect::<Vec<_>>() {
            self.remove_member(&member_id);
        }
    }

    /// Tells everyone who waits, and expects everyone to ask for an assignment within the rebalance timeout.
    fn announce_generation(&mut self) {
        for member_id in self.group.members.keys().cloned().collect::<Vec<_>>() {
            let response = self.current_generation(&member_id);
            if let Some(member) = self.group.members.get_mut(&member_id) {
                member.is_new = false;
                if let Some(reply_to) = member.awaiting_join.take() {
                    self.reply(reply_to, GroupResponse::Join(response));
                }
            }
            self.restart_session(&member_id);
            self.group.pending_sync.insert(member_id);
        }
        self.schedule(self.sync_timer(), self.group.rebalance_timeout());
    }

    /// The answer to a join that says how things stand; the leader also hears who the members are.
    pub(super) fn current_generation(&self, member_id: &MemberId) -> JoinResponse {
        let protocol = self.group.protocol_name.as_deref().unwrap_or_default();
        let members = if self.group.is_leader(member_id) {
            self.group.members.iter().map(|(member_id, member)| member.joined(member_id, protocol)).collect()
        } else {
            Vec::new()
        };
        JoinResponse {
            error: None,
            generation_id: self.group.generation,
            protocol_type: self.group.protocol_type.clone(),
            protocol_name: self.group.protocol_name.clone(),
            leader: self.group.leader.clone().unwrap_or_else(|| "".into()),
            skip_assignment: false,
            member_id: Arc::clone(member_id),
            members,
        }
    }
}
