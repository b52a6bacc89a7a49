//! Consumer groups of the classic protocol, and their committed offsets.
//!
//! One [`GroupCoordinator`] is the state of one partition of `__consumer_offsets`: every group whose id hashes to it.
//! It is a pure machine. Its requests are those of the group APIs without their versions; its records are Kafka's own;
//! its replies come at once, or, for joins and syncs, when the group has come together. Semantics, names and error codes
//! are those of Apache Kafka 4.1 (`GroupMetadataManager`, `ClassicGroup`, `OffsetMetadataManager`).
//!
//! Promises:
//! - What survives a restart changes only in `replay`: the last completed generation of a group with its members and
//!   their assignments, and the offsets. A machine that replays the same records has the same hard state.
//! - A rebalance under way is soft. Where its record cannot be written, the runtime answers everyone with an error, and
//!   the group goes on from where it stood: members sync or join again.
//! - Every request is answered exactly once, also where a newer request of the same member makes it pointless.
//! - Offsets of a transaction are pending, and nobody sees them, until a marker says that it was committed.
//! - `handle` and `handle_timeout` expect that the records of the previous effects were replayed, or given up.
//!
//! It must not know: partitions that exist (handlers check topics), authorisation, versions of the wire, the log.

mod classic_group;
mod config;
mod describe;
mod expiry;
mod group_state;
mod heartbeat;
mod join;
mod leave;
mod member;
mod offsets;
mod pending_offsets;
mod questions;
mod rebalance;
mod record;
pub mod request;
pub mod response;
mod selection;
mod subscription;
mod sync;
mod timers;
mod turn;

use std::convert::Infallible;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::clock::{Monotonic, Now};
use crate::planted_bugs::{PlantedBug, is_planted};
use crate::protocol::ErrorCode;
use crate::protocol::coordinator_records::{CoordinatorRecord, GroupMetadataKey, GroupMetadataValue};
use crate::state_machine::{Effects, ReplyTo, StateMachine};

pub use config::GroupCoordinatorConfig;
pub use group_state::GroupState;
pub use record::GroupRecord;
pub use request::GroupRequest;
pub use response::GroupResponse;

use classic_group::ClassicGroup;
use pending_offsets::PendingOffsets;
use request::{CompleteTransaction, GroupId, LeaveRequest, MemberRequest, SyncRequest};
use timers::{Timer, Timers};
use turn::Turn;

/// The groups of one partition of `__consumer_offsets`; see the module.
#[derive(Debug)]
pub struct GroupCoordinator {
    config: GroupCoordinatorConfig,
    groups: IndexMap<GroupId, ClassicGroup>,
    pending_offsets: PendingOffsets,
    timers: Timers,
}

impl GroupCoordinator {
    /// A machine without groups; it is filled by `replay` and begins its work with [`GroupCoordinator::loaded`].
    pub fn new(config: GroupCoordinatorConfig) -> Self {
        let (groups, pending_offsets) = (IndexMap::new(), PendingOffsets::default());
        Self { config, groups, pending_offsets, timers: Timers::default() }
    }

    /// Begins to keep time, after the last record of the log was replayed: every member has its session timeout to show
    /// that it is still there.
    pub fn loaded(&mut self, now: Now) {
        self.timers.schedule(Timer::Expiry, now.monotonic.saturating_add(self.config.offsets_retention_check_interval));
        let max_size = self.config.max_size;
        if is_planted(PlantedBug::RewindCommitted) {
            let topics = self.groups.values_mut().flat_map(|group| group.offsets.values_mut());
            topics
                .flat_map(|topic| topic.values_mut())
                .for_each(|committed| committed.offset = 0.max(committed.offset - 5));
        }
        // Nobody waits in a group that was just loaded, so there is nothing to answer and nothing to write.
        let mut effects = Effects::new();
        for group_id in self.groups.keys().cloned().collect::<Vec<_>>() {
            let Some(mut turn) = self.turn(&group_id, now, &mut effects) else { continue };
            for member_id in turn.group.members.keys().cloned().collect::<Vec<_>>() {
                turn.restart_session(&member_id);
            }
            if turn.group.members.len() > max_size {
                // The limit was lowered: members commit what they have and race to join again.
                turn.prepare_rebalance();
            }
        }
    }

    fn turn<'a>(&'a mut self, group_id: &str, now: Now, effects: &'a mut Effects<Self>) -> Option<Turn<'a>> {
        let group = self.groups.get_mut(group_id)?;
        Some(Turn { group, timers: &mut self.timers, config: &self.config, now, effects })
    }

    fn sync(&mut self, request: SyncRequest, reply_to: ReplyTo, now: Now, effects: &mut Effects<Self>) {
        match self.turn(&request.member.group_id, now, effects) {
            Some(mut turn) => turn.sync(request, reply_to),
            None => effects.reply(reply_to, GroupResponse::Sync(Err(ErrorCode::UnknownMemberId))),
        }
    }

    fn heartbeat(&mut self, request: &MemberRequest, now: Now, effects: &mut Effects<Self>) -> Result<(), ErrorCode> {
        self.turn(&request.group_id, now, effects).ok_or(ErrorCode::UnknownMemberId)?.heartbeat(request)
    }

    fn leave(&mut self, request: LeaveRequest, now: Now, effects: &mut Effects<Self>) -> GroupResponse {
        GroupResponse::Leave(match self.turn(&request.group_id, now, effects) {
            Some(mut turn) => turn.leave(request),
            None => request.members.into_iter().map(|member| (member, Some(ErrorCode::UnknownMemberId))).collect(),
        })
    }

    fn replay_group(&mut self, key: &GroupMetadataKey, value: Option<&GroupMetadataValue>) {
        let Some(value) = value else {
            self.groups.swap_remove(&key.group);
            return;
        };
        let recorded = ClassicGroup::from_record(key, value);
        match self.groups.get_mut(&key.group) {
            Some(group) => group.take_over(recorded),
            None => {
                self.groups.insert(Arc::clone(&key.group), recorded);
            }
        }
    }
}

impl StateMachine for GroupCoordinator {
    type Request = GroupRequest;
    type Response = GroupResponse;
    type Record = GroupRecord;
    type Message = Infallible;

    fn handle(&mut self, request: GroupRequest, reply_to: ReplyTo, now: Now, effects: &mut Effects<Self>) {
        let response = match request {
            GroupRequest::Join(request) => return self.join(request, reply_to, now, effects),
            GroupRequest::Sync(request) => return self.sync(request, reply_to, now, effects),
            GroupRequest::Heartbeat(request) => GroupResponse::Heartbeat(self.heartbeat(&request, now, effects)),
            GroupRequest::Leave(request) => self.leave(request, now, effects),
            GroupRequest::CommitOffsets(request) => {
                GroupResponse::CommitOffsets(self.commit_offsets(&request, now, effects))
            }
            GroupRequest::CommitTransactionalOffsets(request) => {
                GroupResponse::CommitTransactionalOffsets(self.commit_transactional_offsets(&request, now, effects))
            }
            GroupRequest::CompleteTransaction(CompleteTransaction { producer, marker }) => {
                effects.record(GroupRecord::TransactionEnded { producer, marker });
                GroupResponse::CompleteTransaction(())
            }
            GroupRequest::FetchOffsets(request) => GroupResponse::FetchOffsets(self.fetch_offsets(&request)),
            GroupRequest::DeleteOffsets(request) => GroupResponse::DeleteOffsets(self.delete_offsets(request, effects)),
            GroupRequest::Describe(request) => GroupResponse::Describe(self.describe(&request.group_id)),
            GroupRequest::List(request) => GroupResponse::List(self.list(&request)),
            GroupRequest::Delete(request) => GroupResponse::Delete(self.delete(&request.group_id, effects)),
            GroupRequest::TopicsDeleted { topics } => {
                self.topics_deleted(&topics, effects);
                GroupResponse::TopicsDeleted
            }
        };
        effects.reply(reply_to, response);
    }

    fn handle_timeout(&mut self, now: Now, effects: &mut Effects<Self>) {
        // Groups and offsets have nothing to do with each other.
        effects.is_atomic = false;
        while let Some(timer) = self.timers.pop_due(now.monotonic) {
            let (Timer::Session(group_id, _) | Timer::Join(group_id) | Timer::Sync(group_id)) = &timer else {
                self.expiry_elapsed(now, effects);
                continue;
            };
            let Some(mut turn) = self.turn(group_id, now, effects) else { continue };
            match &timer {
                Timer::Session(_, member_id) => turn.session_elapsed(member_id),
                Timer::Join(_) => turn.join_elapsed(),
                Timer::Sync(_) | Timer::Expiry => turn.sync_elapsed(),
            }
        }
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        self.timers.next()
    }

    fn replay(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Plain(CoordinatorRecord::OffsetCommit { key, value }) => {
                self.replay_offset(key, value.as_ref());
            }
            GroupRecord::Plain(CoordinatorRecord::GroupMetadata { key, value }) => {
                self.replay_group(key, value.as_ref());
            }
            GroupRecord::Transactional { producer, record } => self.replay_transactional(producer.producer_id, record),
            GroupRecord::TransactionEnded { producer, marker } => {
                self.replay_transaction_end(producer.producer_id, marker.result);
            }
        }
    }
}

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
