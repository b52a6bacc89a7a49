//! Brokers whose process is seen to be gone need not be silent for a session's time to be fenced.
//!
//! To fence one that lives harms no data: it can neither shrink its in-sync replicas nor be followed. It harms who wants to
//! write, and so what is seen by a controller whose own network may be at fault is believed with moderation.

use std::collections::VecDeque;
use std::time::Duration;

use super::Controller;
use crate::clock::Monotonic;
use crate::ids::NodeId;
use crate::metadata::MetadataRecord;

/// At most one broker is fenced in this time because its address refuses, so that what that leads to is seen before the
/// next one.
const REFUSAL_INTERVAL: Duration = Duration::from_millis(100);

/// And no more than half of the brokers in this time.
const REFUSAL_WINDOW: Duration = Duration::from_secs(1);

/// A broker's process is not there any more.
///
/// Unlike Kafka, a broker that has died is fenced before its session has ended, where something proves that it has died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerIsGone {
    /// The broker.
    pub broker_id: NodeId,
    /// The epoch of its registration.
    pub broker_epoch: i64,
    /// Whether another process of the broker answers at its address; otherwise nobody listens there.
    pub is_replaced: bool,
}

impl Controller {
    /// Fences the broker, by the same rules as one that has been silent for too long. Answers whether it is fenced, or not
    /// what it was; `false` where it must be seen to be gone once more, later.
    pub(super) fn broker_is_gone(
        &self,
        request: BrokerIsGone,
        now: Monotonic,
        records: &mut Vec<MetadataRecord>,
    ) -> bool {
        let broker = self.image.broker(request.broker_id);
        let is_current = |epoch| epoch == request.broker_epoch && request.broker_id != self.own_node_id;
        let Some(broker) = broker.filter(|broker| !broker.fenced && is_current(broker.epoch)) else { return true };
        // A process that answers in its place leaves no doubt.
        if !request.is_replaced && !self.refusals.allow_one(self.image.alive_brokers().count(), now) {
            return false;
        }
        self.fence(broker, records);
        true
    }
}

/// When brokers were fenced because their addresses refuse.
#[derive(Debug, Default)]
pub(super) struct Refusals(VecDeque<Monotonic>);

impl Refusals {
    /// Whether one more may be, of so many that are not fenced.
    fn allow_one(&self, unfenced: usize, now: Monotonic) -> bool {
        let within = |limit: Duration| self.0.iter().filter(|at| now < at.saturating_add(limit)).count();
        let recent = within(REFUSAL_WINDOW);
        within(REFUSAL_INTERVAL) == 0 && (recent + 1) * 2 <= unfenced + recent
    }

    pub(super) fn note(&mut self, now: Monotonic) {
        self.0.retain(|at| now < at.saturating_add(REFUSAL_WINDOW));
        self.0.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_fence_one_broker_at_a_time_and_no_more_than_half_of_them_in_a_second() {
        let at = Monotonic::from_millis;
        let mut refusals = Refusals::default();
        assert!(refusals.allow_one(5, at(1_000)));
        refusals.note(at(1_000));
        assert!(!refusals.allow_one(4, at(1_099)), "one at a time");
        assert!(refusals.allow_one(4, at(1_100)), "the second of five");
        refusals.note(at(1_100));
        assert!(!refusals.allow_one(3, at(1_999)), "the third of five");
        assert!(refusals.allow_one(3, at(2_000)), "a second later");
        refusals.note(at(2_000));
        assert!(!refusals.allow_one(2, at(2_150)));
        assert!(Refusals::default().allow_one(2, at(0)), "the other one of two");
        assert!(!Refusals::default().allow_one(1, at(0)), "the only one");
    }
}
