//! Markers tell each partition how a transaction ended; when all are written, it is complete.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::end::completed;
use super::request::{MarkersWritten, TransactionalId, WriteMarkers};
use super::{TransactionCoordinator, is_prepared, producer_of, record};
use crate::clock::Now;
use crate::ids::TopicPartition;
use crate::protocol::control_records::TransactionResult;
use crate::protocol::transaction_records::TransactionLogValue;
use crate::state_machine::Effects;

/// How soon it is recorded again that a transaction is complete, where that was refused.
const COMPLETION_RETRY: Duration = Duration::from_secs(1);

/// The markers of one transaction.
#[derive(Debug)]
pub(super) struct Marking {
    number: u64,
    /// Where they are not known to be written.
    awaited: BTreeSet<TopicPartition>,
}

impl TransactionCoordinator {
    /// Begins to await the markers of `prepared`.
    pub(super) fn mark(
        &mut self,
        id: &TransactionalId,
        prepared: &TransactionLogValue,
        result: TransactionResult,
        now: Now,
    ) -> WriteMarkers {
        // Numbers grow as time does: a machine that was loaded anew in the same epoch does not take those of the one before.
        let nanoseconds = u64::try_from(now.monotonic.as_nanos()).unwrap_or(u64::MAX);
        self.last_marking = nanoseconds.max(self.last_marking.saturating_add(1));
        let marking = Marking { number: self.last_marking, awaited: prepared.partitions.clone() };
        self.markings.insert(Arc::clone(id), marking);
        WriteMarkers {
            transactional_id: Arc::clone(id),
            marking: self.last_marking,
            producer: producer_of(prepared),
            result,
            coordinator_epoch: self.leader_epoch,
            partitions: prepared.partitions.iter().cloned().collect(),
        }
    }

    /// Goes on where the last machine stopped.
    pub(super) fn resume_markers(&mut self, now: Now, effects: &mut Effects<Self>) {
        let is_ending = |(id, value): (&TransactionalId, &TransactionLogValue)| {
            let result = TransactionResult::of_prepared(value.state)?;
            Some((Arc::clone(id), value.clone(), result))
        };
        for (id, value, result) in self.transactions.iter().filter_map(is_ending).collect::<Vec<_>>() {
            if value.partitions.is_empty() {
                self.completing.insert(id);
            } else {
                let markers = self.mark(&id, &value, result, now);
                effects.message(markers);
            }
        }
    }

    /// Takes note of markers; does nothing where they are not those that are awaited now.
    pub(super) fn markers_written(&mut self, written: &MarkersWritten, now: Now, effects: &mut Effects<Self>) {
        let id = &written.transactional_id;
        if written.coordinator_epoch != self.leader_epoch || !self.is_ending(id) {
            return;
        }
        let Some(marking) = self.markings.get_mut(id).filter(|marking| marking.number == written.marking) else {
            return;
        };
        for partition in &written.partitions {
            marking.awaited.remove(partition);
        }
        if marking.awaited.is_empty() && self.completing.insert(Arc::clone(id)) {
            self.next_completion = now.monotonic.saturating_add(COMPLETION_RETRY);
            self.complete(id, now, effects);
        }
    }

    /// Records once more what could not be recorded, each for itself.
    pub(super) fn complete_again(&mut self, now: Now, effects: &mut Effects<Self>) {
        effects.is_atomic = false;
        self.next_completion = now.monotonic.saturating_add(COMPLETION_RETRY);
        for id in &self.completing {
            self.complete(id, now, effects);
        }
    }

    fn complete(&self, id: &TransactionalId, now: Now, effects: &mut Effects<Self>) {
        let Some(value) = self.transactions.get(id).filter(|value| is_prepared(value.state)) else { return };
        if let Some(result) = TransactionResult::of_prepared(value.state) {
            effects.record(record(id, completed(value, result, now)));
        }
    }

    /// Where the markers of a transaction are awaited, if it is ending.
    pub(super) fn awaited(&self, id: &TransactionalId) -> Option<&BTreeSet<TopicPartition>> {
        self.markings.get(id).filter(|_| self.is_ending(id)).map(|marking| &marking.awaited)
    }
}
