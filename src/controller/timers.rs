//! What the controller does by itself, without being asked: it fences brokers that are silent, returns leadership to the
//! preferred replicas, and lets leaders be elected where the configuration has come to allow it.

use std::time::Duration;

use super::election::{Election, Proposal};
use super::partition_changes::{BrokerShift, UNCLEAN_LEADER_ELECTION, change_of};
use super::{Controller, ControllerRequest};
use crate::clock::Monotonic;
use crate::metadata::{BrokerRecord, ConfigRecord, MetadataRecord, PartitionImage, TopicRecord};
use crate::state_machine::Effects;

/// How many elections of preferred leaders one batch of records holds, as in Kafka.
const MAX_ELECTIONS: usize = 1_000;

/// How long after a broker has come back its leaderships return to it.
///
/// Unlike Kafka, this is not left to the check, so that a restart that was planned does not leave
/// the others with its load until the next check. Its followers are back in sync by then, or the next check finds them.
const AFTER_A_RETURN: Duration = Duration::from_secs(5);

/// What is due when.
#[derive(Debug, Default)]
pub(super) struct ControllerTimers {
    /// The next check for leaders that are not the preferred ones; unknown until there are several brokers.
    next_rebalance: Option<Monotonic>,
    /// Whether a configuration has been set that may let a leader be elected.
    may_elect_unclean: bool,
}

impl Controller {
    /// Takes note of who has been heard of, before anything is decided.
    pub(super) fn begin(&mut self, request: Option<&ControllerRequest>, now: Monotonic) {
        self.sessions.follow(&self.image, now);
        if let Some(ControllerRequest::BrokerHeartbeat(heartbeat)) = request {
            self.sessions.touch(heartbeat.broker_id, heartbeat.broker_epoch, now);
        }
        match self.rebalance_interval() {
            Some(interval) if self.timers.next_rebalance.is_none() => {
                self.timers.next_rebalance = Some(now.saturating_add(interval));
            }
            Some(_) => {}
            None => self.timers.next_rebalance = None,
        }
    }

    /// Takes note of what was decided.
    pub(super) fn end(&mut self, decided: &[MetadataRecord], now: Monotonic) {
        let returns = |record: &MetadataRecord| {
            matches!(record, MetadataRecord::Brokers(BrokerRecord::BrokerChange { fenced: false, .. }))
        };
        if let Some(due) = self.timers.next_rebalance.as_mut().filter(|_| decided.iter().any(returns)) {
            *due = (*due).min(now.saturating_add(AFTER_A_RETURN));
        }
    }

    /// Takes note of what became true.
    pub(super) fn note(&mut self, record: &MetadataRecord) {
        if let MetadataRecord::Topics(TopicRecord::TopicConfig { key, value: Some(_), .. })
        | MetadataRecord::Configs(ConfigRecord::Config { key, value: Some(_), .. }) = record
        {
            self.timers.may_elect_unclean |= key == UNCLEAN_LEADER_ELECTION;
        }
    }

    /// A single broker is every partition's preferred leader, or none is alive.
    fn rebalance_interval(&self) -> Option<Duration> {
        self.settings.rebalance_interval.filter(|_| self.image.brokers().len() > 1)
    }

    pub(super) fn next_due(&self) -> Option<Monotonic> {
        if self.timers.may_elect_unclean {
            return Some(Monotonic::ZERO);
        }
        let look = self.sessions.next_look(&self.image, self.settings.session_timeout);
        let rebalance = self.rebalance_interval().map(|_| self.timers.next_rebalance.unwrap_or(Monotonic::ZERO));
        look.into_iter().chain(rebalance).min()
    }

    /// Does one thing that is due: each begins where the records of the one before have led to.
    pub(super) fn do_what_is_due(&mut self, now: Monotonic, effects: &mut Effects<Self>) {
        if self.fence_a_silent_broker(now, &mut effects.records) {
            self.sessions.has_fenced(now, self.settings.session_timeout);
        } else if self.timers.may_elect_unclean {
            self.timers.may_elect_unclean = false;
            self.follow_brokers(BrokerShift::None, &mut effects.records);
        } else if let (Some(interval), Some(due)) = (self.rebalance_interval(), self.timers.next_rebalance)
            && due <= now
        {
            let is_done = self.elect_preferred_leaders(&mut effects.records);
            self.timers.next_rebalance = Some(if is_done { now.saturating_add(interval) } else { now });
        }
    }

    /// Answers whether that was all.
    fn elect_preferred_leaders(&self, records: &mut Vec<MetadataRecord>) -> bool {
        for topic in self.image.topics() {
            let others = |state: &PartitionImage| state.replicas.first() != Some(&state.leader);
            for (partition, state) in (0..).zip(&topic.partitions).filter(|(_, state)| others(state)) {
                if records.len() >= MAX_ELECTIONS {
                    return false;
                }
                let proposal = Proposal { election: Election::Preferred, ..self.proposal(topic, state) };
                let change = proposal.change(|id| self.is_active(id));
                records.extend(change.map(|change| change_of(topic.id, partition, change)));
            }
        }
        true
    }
}
