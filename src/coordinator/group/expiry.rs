//! Offsets that nobody needs any more expire, and empty groups go with their last offset.

use std::time::Duration;

use crate::clock::Now;
use crate::state_machine::Effects;

use super::GroupCoordinator;
use super::classic_group::ClassicGroup;
use super::group_state::GroupState;
use super::offsets::offset_tombstone;
use super::pending_offsets::PendingOffsets;
use super::timers::Timer;

/// Tombstones of one round: they are one batch of the log, and mostly names. What is left over comes in the next round.
const MAX_TOMBSTONES: usize = 1_000;
/// How soon.
const NEXT_ROUND: Duration = Duration::from_secs(1);

impl GroupCoordinator {
    pub(super) fn expiry_elapsed(&mut self, now: Now, effects: &mut Effects<Self>) {
        let limit = effects.records.len() + MAX_TOMBSTONES;
        let mut next = self.config.offsets_retention_check_interval;
        for group in self.groups.values() {
            let is_spent =
                group.expire_offsets(&self.pending_offsets, self.config.offsets_retention, now, limit, effects);
            if effects.records.len() >= limit {
                next = NEXT_ROUND;
                break;
            }
            if is_spent && group.state == GroupState::Empty && !self.pending_offsets.has_any(&group.id) {
                effects.record(group.tombstone());
            }
        }
        self.timers.schedule(Timer::Expiry, now.monotonic.saturating_add(next));
    }
}

impl ClassicGroup {
    /// Expires what has to, up to `limit` records, and says whether no offset is left. One that a transaction is about to
    /// replace stays until that has ended.
    fn expire_offsets(
        &self,
        pending: &PendingOffsets,
        retention: Duration,
        now: Now,
        limit: usize,
        effects: &mut Effects<GroupCoordinator>,
    ) -> bool {
        let Some(is_expired) = self.expiry_condition(retention, now) else { return self.offsets.is_empty() };
        let mut is_spent = true;
        for (topic, offsets) in &self.offsets {
            let is_read = self.is_subscribed_to(topic);
            for (partition, committed) in offsets {
                if is_read || !is_expired(committed) || pending.has(&self.id, topic, *partition) {
                    is_spent = false;
                } else if effects.records.len() < limit {
                    effects.record(offset_tombstone(&self.id, topic, *partition));
                }
            }
        }
        is_spent
    }
}
