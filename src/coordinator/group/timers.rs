//! Deadlines of one machine, ordered by monotonic time.
//!
//! A heartbeat moves a deadline further away, and there are many heartbeats: such a move only notes the new deadline,
//! and the queue finds out when the old one comes up. A move to an earlier time, a new deadline and a cancellation
//! cost the logarithm of their number.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::clock::Monotonic;

use super::request::{GroupId, MemberId};

/// What becomes due.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A member, or a pending one, was silent for its session timeout.
    Session(GroupId, MemberId),
    /// A rebalance has waited long enough for members to join.
    Join(GroupId),
    /// A rebalance has waited long enough for members to sync.
    Sync(GroupId),
    /// Offsets may have expired.
    Expiry,
}

impl Timer {
    /// The session of `member_id` in `group_id`.
    pub(super) fn session(group_id: &GroupId, member_id: &MemberId) -> Self {
        Self::Session(Arc::clone(group_id), Arc::clone(member_id))
    }
}

#[derive(Debug, Clone, Copy)]
struct TimerEntry {
    deadline: Monotonic,
    /// Where the queue has it; never later than `deadline`.
    queued: Monotonic,
}

/// Deadlines by what they are for; each [`Timer`] has one at most.
#[derive(Debug, Default)]
pub(super) struct Timers {
    entries: HashMap<Timer, TimerEntry>,
    queue: BTreeSet<(Monotonic, Timer)>,
}

impl Timers {
    /// Makes `timer` due at `deadline`, whenever it was due before.
    pub(super) fn schedule(&mut self, timer: Timer, deadline: Monotonic) {
        if let Some(entry) = self.entries.get_mut(&timer) {
            entry.deadline = deadline;
            if entry.queued <= deadline {
                return;
            }
            self.queue.remove(&(entry.queued, timer.clone()));
        }
        self.entries.insert(timer.clone(), TimerEntry { deadline, queued: deadline });
        self.queue.insert((deadline, timer));
    }

    /// Forgets `timer`.
    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(entry) = self.entries.remove(timer) {
            self.queue.remove(&(entry.queued, timer.clone()));
        }
    }

    /// When to look next; nothing is due earlier, but it may turn out that nothing is due then.
    pub(super) fn next(&self) -> Option<Monotonic> {
        self.queue.first().map(|(queued, _)| *queued)
    }

    /// Takes out the earliest timer that is due at `now`.
    pub(super) fn pop_due(&mut self, now: Monotonic) -> Option<Timer> {
        while self.next()? <= now {
            let (queued, timer) = self.queue.pop_first()?;
            match self.entries.get_mut(&timer) {
                Some(entry) if entry.deadline > queued => {
                    entry.queued = entry.deadline;
                    self.queue.insert((entry.deadline, timer));
                }
                _ => {
                    self.entries.remove(&timer);
                    return Some(timer);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn join(group: &str) -> Timer {
        Timer::Join(group.into())
    }

    fn at(seconds: u64) -> Monotonic {
        Duration::from_secs(seconds)
    }

    #[test]
    fn timers_come_in_the_order_of_their_deadlines() {
        let mut timers = Timers::default();
        timers.schedule(join("b"), at(2));
        timers.schedule(join("a"), at(3));
        timers.schedule(join("c"), at(2));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop_due(at(1)), None);
        assert_eq!(timers.pop_due(at(3)), Some(join("b")));
        assert_eq!(timers.pop_due(at(3)), Some(join("c")));
        assert_eq!(timers.pop_due(at(3)), Some(join("a")));
        assert_eq!((timers.pop_due(at(9)), timers.next()), (None, None));
    }

    #[test]
    fn a_moved_deadline_counts_at_its_last_time_only() {
        let mut timers = Timers::default();
        timers.schedule(join("a"), at(5));
        timers.schedule(join("a"), at(8));
        assert_eq!(timers.pop_due(at(7)), None);
        assert_eq!(timers.next(), Some(at(8)));
        timers.schedule(join("a"), at(6));
        assert_eq!(timers.pop_due(at(6)), Some(join("a")));
        assert_eq!(timers.pop_due(at(9)), None);
    }

    #[test]
    fn a_cancelled_timer_never_comes() {
        let mut timers = Timers::default();
        timers.schedule(join("a"), at(5));
        timers.schedule(join("a"), at(8));
        timers.cancel(&join("a"));
        assert_eq!((timers.pop_due(at(9)), timers.next()), (None, None));
    }
}
