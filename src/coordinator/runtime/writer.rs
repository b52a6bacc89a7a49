//! What a machine decided becomes batches of the log, and the log's outcome becomes replies.
//!
//! Decisions that are made together share a batch: it is open until it is full, or until the actor has nothing more to
//! decide or has lingered long enough. A decision that was added to a batch counts for the machine, which goes on from
//! there while the batch, and others behind it, are still to be committed. What can be foreseen is refused before. What
//! belongs to a producer's transaction, and the marker that ends one, is a batch of its own and is written before it counts.
//!
//! Unlike Kafka, which goes back to a snapshot in memory where a batch is refused after all, the actor then loads the
//! machine anew: what it believes is not what the log says. That is rare, and costs other decisions nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::config::{AppendLinger, CoordinatorRuntimeConfig};
use crate::clock::{Clock, Monotonic, Now};
use crate::ids::LeaderEpoch;
use crate::protocol::ErrorCode;
use crate::protocol::coordinator_records::EncodedRecord;
use crate::protocol::record_batch::BatchBuilder;
use crate::replication::hosted_partition::{AppendRequest, Appended, HostedPartition, PartitionAppendError};
use crate::replication::partition::RequiredAcks;
use crate::state_machine::StateMachine;
use crate::storage::{self, VerificationGuard};

/// The machine's response, or why there is none.
pub(super) type MachineAnswer<M> = Result<<M as StateMachine>::Response, ErrorCode>;

/// A response, and who waits for it.
pub(super) struct PendingReply<M: StateMachine> {
    pub(super) answer: oneshot::Sender<MachineAnswer<M>>,
    pub(super) response: M::Response,
}

impl<M: StateMachine> PendingReply<M> {
    /// Gives the response if what it depends on went well. A receiver that is gone is a client that has disconnected;
    /// the decision stands all the same.
    pub(super) fn give(self, outcome: Result<(), ErrorCode>) {
        drop(self.answer.send(outcome.map(|()| self.response)));
    }
}

/// Takes what a machine tells others to them.
pub(super) type Deliver<M> = Arc<dyn Fn(<M as StateMachine>::Message) + Send + Sync>;

/// What leaves once the records that it follows from are committed.
pub(super) struct Consequences<M: StateMachine> {
    pub(super) replies: Vec<PendingReply<M>>,
    pub(super) messages: Vec<M::Message>,
}

impl<M: StateMachine> Consequences<M> {
    fn none() -> Self {
        Self { replies: Vec::new(), messages: Vec::new() }
    }

    fn append(&mut self, mut others: Self) {
        self.replies.append(&mut others.replies);
        self.messages.append(&mut others.messages);
    }

    fn leave(self, deliver: &Deliver<M>) {
        self.replies.into_iter().for_each(|reply| reply.give(Ok(())));
        self.messages.into_iter().for_each(|message| deliver(message));
    }

    /// The records came to nothing, and so does what the machine had to tell.
    pub(super) fn refuse(self, code: ErrorCode) {
        self.replies.into_iter().for_each(|reply| reply.give(Err(code)));
    }
}

/// A batch that still takes decisions.
struct OpenBatch {
    records: BatchBuilder,
    /// The most bytes that the log takes as one batch.
    limit: usize,
    opened: Now,
}

impl OpenBatch {
    fn new(limit: usize, now: Now) -> Self {
        Self { records: BatchBuilder::new(now.timestamp_ms), limit, opened: now }
    }

    /// Takes all of `records`, or none if they do not fit.
    fn add(&mut self, records: &[EncodedRecord], now: Now) -> bool {
        let before = self.records.mark();
        for record in records {
            self.records.record_at(now.timestamp_ms, Some(&record.key), record.value.as_deref(), &[]);
        }
        let fits = self.records.uncompressed_size() <= self.limit;
        if !fits {
            self.records.rewind(before);
        }
        fits
    }
}

/// A batch on the log that is not known to be committed.
struct WrittenBatch<M: StateMachine> {
    /// The offset behind its last record.
    end_offset: i64,
    /// Whether `flush.messages` asks for an fsync before anyone is told.
    needs_flush: bool,
    /// When those who wait are told that it takes too long.
    deadline: Monotonic,
    consequences: Consequences<M>,
}

/// How far the log has become durable.
#[derive(Clone, Copy)]
pub(super) struct Settled {
    high_watermark: i64,
    /// Everything below is on disk, if that was asked for.
    flushed_to: Option<i64>,
}

/// Writes one machine's records; see the module.
pub(super) struct BatchWriter<M: StateMachine> {
    hosted: Arc<HostedPartition>,
    /// The leadership whose machine decided.
    leader_epoch: LeaderEpoch,
    config: CoordinatorRuntimeConfig,
    open: Option<OpenBatch>,
    deliver: Deliver<M>,
    /// What waits for the open batch.
    consequences: Consequences<M>,
    /// In the order of their offsets.
    written: VecDeque<WrittenBatch<M>>,
    /// Why a batch was refused that the machine has taken for written.
    failure: Option<ErrorCode>,
}

impl<M: StateMachine> BatchWriter<M> {
    pub(super) fn new(
        hosted: Arc<HostedPartition>,
        leader_epoch: LeaderEpoch,
        config: CoordinatorRuntimeConfig,
        deliver: Deliver<M>,
    ) -> Self {
        let (consequences, written) = (Consequences::none(), VecDeque::new());
        Self { hosted, leader_epoch, config, open: None, deliver, consequences, written, failure: None }
    }

    /// Adds one decision's records to a batch, all to the same one. After an error none of them is in any.
    ///
    /// Errors: that of the batch in front, if there was no room in it and it could not be written; those of an append
    /// that can be foreseen; [`ErrorCode::UnknownServerError`] where no batch may be as large.
    pub(super) fn add(&mut self, records: &[EncodedRecord], now: Now) -> Result<(), ErrorCode> {
        if let Some(open) = &mut self.open {
            if open.add(records, now) {
                return Ok(());
            }
            self.write(now);
            if let Some(code) = self.failure {
                return Err(code);
            }
        }
        let refused = |code| coordinator_error(&PartitionAppendError::Refused(code), &self.hosted);
        let limit = self.hosted.append_limit(RequiredAcks::All).map_err(refused)?;
        let mut batch = OpenBatch::new(limit, now);
        if !batch.add(records, now) {
            let (partition, records) = (self.hosted.topic_partition(), records.len());
            tracing::warn!(%partition, records, limit, "a coordinator's records are larger than a batch may be");
            return Err(ErrorCode::UnknownServerError);
        }
        self.open = Some(batch);
        Ok(())
    }

    /// Has them leave once everything that was added so far is committed, which may be now.
    pub(super) fn follow(&mut self, consequences: Consequences<M>) {
        if self.open.is_some() {
            self.consequences.append(consequences);
        } else if let Some(last) = self.written.back_mut() {
            last.consequences.append(consequences);
        } else {
            consequences.leave(&self.deliver);
        }
    }

    /// When the open batch has to be written; `None` where none is, or nobody lingers.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        match (&self.open, self.config.append_linger) {
            (Some(open), AppendLinger::For(linger)) => Some(open.opened.monotonic.saturating_add(linger)),
            _ => None,
        }
    }

    /// Writes the open batch if it must not wait for the next decision.
    pub(super) fn decided(&mut self, now: Now) {
        if self.config.append_linger == AppendLinger::Never {
            self.write(now);
        }
    }

    /// Writes the open batch if it must not wait, now that there is nothing to decide.
    pub(super) fn idle(&mut self, clock: &Clock) {
        let Some(open) = &self.open else { return };
        let now = match self.next_deadline() {
            // It was a moment ago, and reading the clock costs as much as many a decision.
            None => open.opened,
            Some(deadline) => match clock.now() {
                now if deadline <= now.monotonic => now,
                _ => return,
            },
        };
        self.write(now);
    }

    /// Whether a batch was refused that the machine has taken for written.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// The machine has been loaded anew.
    pub(super) fn recovered(&mut self) {
        self.failure = None;
    }

    /// Writes the open batch; what those who wait are told of an error is also kept as the failure.
    fn write(&mut self, now: Now) {
        let Some(batch) = self.open.take() else { return };
        let consequences = std::mem::replace(&mut self.consequences, Consequences::none());
        match self.append(&batch.records.build(), None, now) {
            Ok(appended) => self.await_commit(&appended, consequences, now),
            Err(error) => {
                let code = coordinator_error(&error, &self.hosted);
                consequences.refuse(code);
                self.failure = Some(code);
            }
        }
    }

    /// Writes a batch that no other decision shares, behind the open one. What [`BatchWriter::follow`] is then told waits for
    /// it. After an error it is not on the log, and the machine must not take it for written.
    ///
    /// Errors: that of the batch in front, if it could not be written; those of the append, among them that the producer was
    /// fenced.
    pub(super) fn write_alone(
        &mut self,
        batch: &Bytes,
        guard: Option<VerificationGuard>,
        now: Now,
    ) -> Result<(), ErrorCode> {
        self.write(now);
        if let Some(code) = self.failure {
            return Err(code);
        }
        let appended = self.append(batch, guard, now).map_err(|error| coordinator_error(&error, &self.hosted))?;
        self.await_commit(&appended, Consequences::none(), now);
        Ok(())
    }

    fn await_commit(&mut self, appended: &Appended, consequences: Consequences<M>, now: Now) {
        if appended.committed && !appended.needs_flush && self.written.is_empty() {
            consequences.leave(&self.deliver);
        } else {
            self.written.push_back(WrittenBatch {
                end_offset: appended.info.last_offset + 1,
                needs_flush: appended.needs_flush,
                deadline: now.monotonic.saturating_add(self.config.commit_timeout),
                consequences,
            });
        }
    }

    /// Appends in the epoch in which the batch was decided on: in a later one, others may have written meanwhile.
    fn append(
        &self,
        batch: &Bytes,
        guard: Option<VerificationGuard>,
        now: Now,
    ) -> Result<Appended, PartitionAppendError> {
        self.hosted.append(&AppendRequest { guard, ..AppendRequest::by_coordinator(batch, self.leader_epoch) }, now)
    }

    /// What waits until the first of the written batches is committed, and on disk where that was asked for; its outcome
    /// goes to [`BatchWriter::settled`]. `None` where nobody waits.
    pub(super) fn settling(
        &self,
        clock: &Clock,
    ) -> Option<impl Future<Output = Result<Settled, ErrorCode>> + Send + use<M>> {
        let (first, last) = (self.written.front()?, self.written.back()?);
        // One fsync serves all that were written by then.
        let flushed_to = first.needs_flush.then_some(last.end_offset);
        let (end_offset, deadline) = (first.end_offset, first.deadline);
        let (hosted, leader_epoch, clock) = (Arc::clone(&self.hosted), self.leader_epoch, clock.clone());
        Some(async move {
            if let Some(offset) = flushed_to {
                let flushed = clock.timeout_at(deadline, Arc::clone(&hosted).flushed_to(offset, clock.now())).await;
                let flushed = flushed.map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
                flushed.map_err(|_| ErrorCode::NotCoordinator)?;
            }
            let timeout = deadline.saturating_sub(clock.monotonic());
            let committed = Arc::clone(&hosted).committed_to(leader_epoch, end_offset, &clock, timeout).await;
            committed.map_err(|code| match code {
                ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
                _ => ErrorCode::NotCoordinator,
            })?;
            // In a newer epoch, the offset may be another record's.
            let offsets = hosted.offsets(leader_epoch).map_err(|_| ErrorCode::NotCoordinator)?;
            Ok(Settled { high_watermark: offsets.high_watermark, flushed_to })
        })
    }

    /// Lets leave what waited for what is durable now, or tells those who wait for the first batch of an error. That
    /// batch stays on the log, and may be committed yet: where it takes too long, its messages go on waiting, because
    /// the machine goes by it.
    pub(super) fn settled(&mut self, outcome: Result<Settled, ErrorCode>) {
        match outcome {
            Ok(Settled { high_watermark, flushed_to }) => {
                let is_durable = |batch: &mut WrittenBatch<M>| {
                    batch.end_offset <= high_watermark
                        && (!batch.needs_flush || flushed_to.is_some_and(|offset| batch.end_offset <= offset))
                };
                while let Some(batch) = self.written.pop_front_if(is_durable) {
                    batch.consequences.leave(&self.deliver);
                }
            }
            Err(code) => {
                let Some(mut first) = self.written.pop_front() else { return };
                let messages = std::mem::take(&mut first.consequences.messages);
                first.consequences.refuse(code);
                if code == ErrorCode::CoordinatorNotAvailable && !messages.is_empty() {
                    self.keep_waiting(first.end_offset, first.needs_flush, first.deadline, messages);
                }
            }
        }
    }

    /// Lets messages of the first batch, whose replies did not wait as long, leave with the next one's, or by themselves.
    fn keep_waiting(&mut self, end_offset: i64, needs_flush: bool, deadline: Monotonic, messages: Vec<M::Message>) {
        if let Some(next) = self.written.front_mut() {
            next.needs_flush |= needs_flush;
            next.consequences.messages.splice(0..0, messages);
        } else {
            let consequences = Consequences { replies: Vec::new(), messages };
            let deadline = deadline.saturating_add(self.config.commit_timeout);
            self.written.push_front(WrittenBatch { end_offset, needs_flush, deadline, consequences });
        }
    }
}

/// What a client of a coordinator is told of a failed append, as in Kafka's `CoordinatorOperationExceptionHelper`.
fn coordinator_error(error: &PartitionAppendError, hosted: &HostedPartition) -> ErrorCode {
    match error {
        PartitionAppendError::Refused(
            ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut | ErrorCode::UnknownTopicOrPartition,
        ) => ErrorCode::CoordinatorNotAvailable,
        PartitionAppendError::Refused(_) => ErrorCode::NotCoordinator,
        PartitionAppendError::Log(
            storage::AppendError::MessageTooLarge { .. } | storage::AppendError::RecordListTooLarge { .. },
        ) => {
            // What a producer wants written together is too large, or the topic's limits were lowered while the batch was open.
            tracing::warn!(%error, "a coordinator's batch is larger than its topic allows");
            ErrorCode::UnknownServerError
        }
        PartitionAppendError::Log(storage::AppendError::Storage(error)) => {
            hosted.log_storage_error("appending a coordinator's records", error);
            ErrorCode::NotCoordinator
        }
        PartitionAppendError::Log(storage::AppendError::InvalidProducerEpoch(_)) => ErrorCode::InvalidProducerEpoch,
        PartitionAppendError::Log(storage::AppendError::InvalidTxnState(_)) => ErrorCode::InvalidTxnState,
        PartitionAppendError::Log(storage::AppendError::TransactionCoordinatorFenced(_)) => {
            ErrorCode::TransactionCoordinatorFenced
        }
        PartitionAppendError::Log(error) => {
            tracing::error!(%error, "a coordinator's records could not be appended");
            ErrorCode::NotCoordinator
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::record_batch::RecordBatch;

    fn at(milliseconds: u64) -> Now {
        Now { timestamp_ms: milliseconds as i64, monotonic: Duration::from_millis(milliseconds) }
    }

    fn record(key: &'static str, value_size: usize) -> EncodedRecord {
        EncodedRecord { key: key.into(), value: Some(vec![7; value_size].into()) }
    }

    fn keys(batch: &OpenBatch) -> Vec<(String, i64)> {
        let batch = RecordBatch::parse(&batch.records.build()).unwrap();
        let records = batch.records(usize::MAX).unwrap().map(Result::unwrap);
        records.map(|record| (String::from_utf8(record.key.unwrap().to_vec()).unwrap(), record.timestamp)).collect()
    }

    #[test]
    fn decisions_share_a_batch_as_long_as_they_fit_whole() {
        let mut batch = OpenBatch::new(200, at(1_000));
        assert!(batch.add(&[record("a", 10), record("b", 10)], at(1_000)));
        assert!(batch.add(&[record("c", 10)], at(1_003)));
        let size = batch.records.uncompressed_size();
        assert!(!batch.add(&[record("d", 10), record("e", 200 - size)], at(1_004)), "the second one does not fit");
        assert_eq!(keys(&batch), [("a".into(), 1_000), ("b".into(), 1_000), ("c".into(), 1_003)]);
        assert!(batch.add(&[record("f", 10)], at(1_005)), "what is smaller still fits");
        assert_eq!(keys(&batch).last(), Some(&("f".into(), 1_005)));
    }

    #[test]
    fn a_batch_may_be_exactly_as_large_as_the_log_takes() {
        let mut probe = OpenBatch::new(usize::MAX, at(0));
        probe.add(&[record("a", 100)], at(0));
        let size = probe.records.build().len();
        assert!(OpenBatch::new(size, at(0)).add(&[record("a", 100)], at(0)));
        assert!(!OpenBatch::new(size - 1, at(0)).add(&[record("a", 100)], at(0)));
    }
}
