//! One group in the hands of one request or timer.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::protocol::ErrorCode;
use crate::state_machine::{Effects, ReplyTo};

use super::GroupCoordinator;
use super::classic_group::ClassicGroup;
use super::config::GroupCoordinatorConfig;
use super::request::{JoinRequest, MemberId};
use super::response::{GroupResponse, JoinResponse};
use super::timers::{Timer, Timers};

/// The group, and all that a decision about it needs.
pub(super) struct Turn<'a> {
    pub(super) group: &'a mut ClassicGroup,
    pub(super) timers: &'a mut Timers,
    pub(super) config: &'a GroupCoordinatorConfig,
    pub(super) now: Now,
    pub(super) effects: &'a mut Effects<GroupCoordinator>,
}

impl Turn<'_> {
    pub(super) fn reply(&mut self, reply_to: ReplyTo, response: GroupResponse) {
        self.effects.reply(reply_to, response);
    }

    pub(super) fn refuse_join(&mut self, reply_to: ReplyTo, error: ErrorCode, member_id: &MemberId) {
        self.reply(reply_to, GroupResponse::Join(JoinResponse::error(error, Arc::clone(member_id))));
    }

    pub(super) fn refuse_sync(&mut self, reply_to: ReplyTo, error: ErrorCode) {
        self.reply(reply_to, GroupResponse::Sync(Err(error)));
    }

    /// Gives the member its session timeout from now on.
    pub(super) fn restart_session(&mut self, member_id: &MemberId) {
        if let Some(member) = self.group.members.get(member_id) {
            let timeout = Duration::from_millis(member.session_timeout_ms.max(0).unsigned_abs().into());
            self.schedule(Timer::session(&self.group.id, member_id), timeout);
        }
    }

    pub(super) fn schedule(&mut self, timer: Timer, delay: Duration) {
        self.timers.schedule(timer, self.now.monotonic.saturating_add(delay));
    }

    pub(super) fn join_timer(&self) -> Timer {
        Timer::Join(Arc::clone(&self.group.id))
    }

    pub(super) fn sync_timer(&self) -> Timer {
        Timer::Sync(Arc::clone(&self.group.id))
    }

    /// Lets a member, or a pending one, go. Its client may still be there, so its waiting requests are answered in a way
    /// that makes it join anew.
    pub(super) fn remove_member(&mut self, member_id: &MemberId) {
        self.timers.cancel(&Timer::session(&self.group.id, member_id));
        let Some(member) = self.group.remove(member_id) else { return };
        if let Some(reply_to) = member.awaiting_join {
            self.refuse_join(reply_to, ErrorCode::UnknownMemberId, &"".into());
        }
        // Unlike Kafka, which forgets the waiting SyncGroup of a member that an administrator removes.
        if let Some(reply_to) = member.awaiting_sync {
            self.refuse_sync(reply_to, ErrorCode::UnknownMemberId);
        }
    }

    /// Lets the member's new request wait, with what it says; an older one that still waits would wait forever.
    pub(super) fn await_join(&mut self, member_id: &MemberId, request: &JoinRequest, reply_to: ReplyTo) {
        let Some(member) = self.group.members.get_mut(member_id) else { return };
        member.update(request);
        if let Some(superseded) = member.awaiting_join.replace(reply_to) {
            // Unlike Kafka, which never answers it: an answer in order would be missing on its connection.
            self.refuse_join(superseded, ErrorCode::RebalanceInProgress, member_id);
        }
    }
}
