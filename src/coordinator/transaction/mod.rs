//! Transactions: which producer may write under a transactional id, to which partitions, and how that ends.
//!
//! One [`TransactionCoordinator`] is the state of one partition of `__transaction_state`: every transactional id that
//! hashes to it. It is a pure machine. Semantics, names and error codes are those of Apache Kafka 4.1
//! (`TransactionCoordinator`, `TransactionStateManager`, `TransactionMetadata`), with transactions of version 2
//! (KIP-890): every transaction has an epoch of its own, so that nothing that is late can touch the next one.
//!
//! Promises:
//! - A transaction's outcome is decided by one record, `PrepareCommit` or `PrepareAbort`; from then on it is that, and
//!   becomes `CompleteCommit` or `CompleteAbort` once its markers are written, whatever fails in between.
//! - Of the producers of an id only the last one can add partitions or end the transaction.
//! - What survives a restart changes only in `replay`, and is the last record of each id. What else there is tells which
//!   markers are awaited, which a machine that was just loaded asks for anew, and which epoch a retry may come from,
//!   which Kafka forgets at a restart, too.
//! - Every request is answered at once, its answer as good as the records it follows from.
//!
//! It must not know: who leads partitions and how they are reached, where producer ids come from, authorisation, versions
//! of the wire, the log.
//!
//! Unlike Kafka, which answers `CONCURRENT_TRANSACTIONS` while any record of an id is being written, the next request is
//! decided at once, and its answer waits for both records.

mod add_partitions;
mod config;
mod describe;
mod end;
mod expiry;
mod init_producer;
mod markers;
mod questions;
pub mod request;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::clock::{Monotonic, Now};
use crate::ids::{LeaderEpoch, ProducerIdAndEpoch};
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::NO_PRODUCER_ID;
use crate::protocol::transaction_records::{TransactionLogValue, TransactionRecord, TransactionState};
use crate::state_machine::{Effects, ReplyTo, StateMachine};

pub use config::TransactionCoordinatorConfig;
pub use request::{TransactionRequest, TransactionResponse};

use markers::Marking;
use request::{TransactionalId, TransactionalProducer, WriteMarkers};

/// The last epoch that a producer is given: there has to be one more to fence it with.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// The transactional ids of one partition of `__transaction_state`; see the module.
#[derive(Debug)]
pub struct TransactionCoordinator {
    config: TransactionCoordinatorConfig,
    leader_epoch: LeaderEpoch,
    transactions: BTreeMap<TransactionalId, TransactionLogValue>,
    /// Those of them with an ongoing transaction.
    ongoing: BTreeSet<TransactionalId>,
    /// Of transactions that are ending.
    markings: HashMap<TransactionalId, Marking>,
    /// Those of them with no marker left to be written, whose end may not have been recorded.
    completing: BTreeSet<TransactionalId>,
    last_marking: u64,
    predecessors: HashMap<TransactionalId, Predecessor>,
    /// Those whose transaction has taken too long, and is yet to be aborted.
    timed_out: VecDeque<TransactionalId>,
    next_abort_check: Monotonic,
    next_expiry_check: Monotonic,
    next_completion: Monotonic,
}

/// Whom the current producer follows on: a retry of what made it so is answered once more.
#[derive(Debug)]
struct Predecessor {
    current: ProducerIdAndEpoch,
    last_epoch: i16,
}

impl TransactionCoordinator {
    /// A machine that knows no id; it is filled by `replay` and begins its work with [`TransactionCoordinator::loaded`].
    pub fn new(config: TransactionCoordinatorConfig) -> Self {
        Self {
            config,
            leader_epoch: -1,
            transactions: BTreeMap::new(),
            ongoing: BTreeSet::new(),
            markings: HashMap::new(),
            completing: BTreeSet::new(),
            last_marking: 0,
            predecessors: HashMap::new(),
            timed_out: VecDeque::new(),
            next_abort_check: Monotonic::ZERO,
            next_expiry_check: Monotonic::ZERO,
            next_completion: Monotonic::ZERO,
        }
    }

    /// Begins to keep time, after the last record of the log was replayed, and has the markers written of transactions
    /// that were ending.
    pub fn loaded(&mut self, leader_epoch: LeaderEpoch, now: Now, effects: &mut Effects<Self>) {
        self.leader_epoch = leader_epoch;
        self.next_abort_check = now.monotonic.saturating_add(self.config.abort_check_interval);
        self.next_expiry_check = now.monotonic.saturating_add(self.config.expiry_check_interval);
        self.next_completion = now.monotonic;
        self.resume_markers(now, effects);
    }

    /// All that a restart must bring back, by id.
    pub fn transactions(&self) -> &BTreeMap<TransactionalId, TransactionLogValue> {
        &self.transactions
    }

    /// The id's state, if it is the producer's to act on.
    fn current(&self, asking: &TransactionalProducer) -> Result<&TransactionLogValue, ErrorCode> {
        if asking.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let value = self.transactions.get(&asking.transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if value.producer_id != asking.producer.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if value.producer_epoch != asking.producer.producer_epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(value)
    }

    /// Whether the id's transaction is ending. That comes before other checks: its producer may go by the id and the
    /// epoch that it has only then.
    fn is_ending(&self, transactional_id: &TransactionalId) -> bool {
        self.transactions.get(transactional_id).is_some_and(|value| is_prepared(value.state))
    }

    /// The epoch before `current`'s, if that is known.
    fn last_epoch(&self, transactional_id: &TransactionalId, current: ProducerIdAndEpoch) -> Option<i16> {
        let predecessor = self.predecessors.get(transactional_id)?;
        (predecessor.current == current).then_some(predecessor.last_epoch)
    }

    fn remember_predecessor(&mut self, transactional_id: &TransactionalId, current: ProducerIdAndEpoch, last: i16) {
        let predecessor = Predecessor { current, last_epoch: last };
        self.predecessors.insert(Arc::clone(transactional_id), predecessor);
    }
}

/// Whether a transaction's outcome is decided, and its markers are being written.
fn is_prepared(state: TransactionState) -> bool {
    matches!(state, TransactionState::PrepareCommit | TransactionState::PrepareAbort)
}

/// Whether `producer` comes from the id that ran out of epochs before `value`'s: it may have been given the new one without
/// ever hearing of it.
fn is_of_previous_id(value: &TransactionLogValue, producer: ProducerIdAndEpoch) -> bool {
    value.previous_producer_id != NO_PRODUCER_ID
        && value.previous_producer_id == producer.producer_id
        && producer.producer_epoch >= LAST_EPOCH
}

fn record(transactional_id: &TransactionalId, value: TransactionLogValue) -> TransactionRecord {
    TransactionRecord { transactional_id: Arc::clone(transactional_id), value: Some(value) }
}

/// Who may write now.
fn producer_of(value: &TransactionLogValue) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { producer_id: value.producer_id, producer_epoch: value.producer_epoch }
}

impl StateMachine for TransactionCoordinator {
    type Request = TransactionRequest;
    type Response = TransactionResponse;
    type Record = TransactionRecord;
    type Message = WriteMarkers;

    fn handle(&mut self, request: TransactionRequest, reply_to: ReplyTo, now: Now, effects: &mut Effects<Self>) {
        let response = match request {
            TransactionRequest::InitProducer(request) => {
                TransactionResponse::InitProducer(self.init_producer(&request, now, effects))
            }
            TransactionRequest::AddPartitions(request) => {
                TransactionResponse::AddPartitions(self.add_or_verify(request, now, effects))
            }
            TransactionRequest::AddOffsets(request) => {
                let partitions = [request.offsets_partition];
                TransactionResponse::AddOffsets(self.add_partitions(&request.producer, &partitions, now, effects))
            }
            TransactionRequest::End(request) => TransactionResponse::End(self.end(&request, now, effects)),
            TransactionRequest::MarkersWritten(written) => {
                self.markers_written(&written, now, effects);
                TransactionResponse::MarkersWritten
            }
            TransactionRequest::Describe(request) => {
                TransactionResponse::Describe(self.describe(&request.transactional_id))
            }
            TransactionRequest::List(filter) => TransactionResponse::List(self.list(&filter, now)),
        };
        effects.reply(reply_to, response);
    }

    /// One kind of work at a time, and one transaction that is aborted: what stands for itself must not be refused, nor
    /// lose its message, because of something else.
    fn handle_timeout(&mut self, now: Now, effects: &mut Effects<Self>) {
        if self.next_abort_check <= now.monotonic {
            self.find_timed_out(now);
        }
        if let Some(transactional_id) = self.timed_out.pop_front() {
            self.abort_timed_out(&transactional_id, now, effects);
        } else if !self.completing.is_empty() && self.next_completion <= now.monotonic {
            self.complete_again(now, effects);
        } else if self.next_expiry_check <= now.monotonic {
            self.expire(now, effects);
        }
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        let deadlines = [
            (!self.timed_out.is_empty()).then_some(Monotonic::ZERO),
            (!self.ongoing.is_empty()).then_some(self.next_abort_check),
            (!self.completing.is_empty()).then_some(self.next_completion),
            (!self.transactions.is_empty()).then_some(self.next_expiry_check),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn replay(&mut self, record: &TransactionRecord) {
        let TransactionRecord { transactional_id, value } = record;
        let state = value.as_ref().map(|value| value.state);
        if state == Some(TransactionState::Ongoing) {
            self.ongoing.insert(Arc::clone(transactional_id));
        } else {
            self.ongoing.remove(transactional_id);
        }
        if !state.is_some_and(is_prepared) {
            self.markings.remove(transactional_id);
            self.completing.remove(transactional_id);
        }
        if let Some(value) = value {
            self.transactions.insert(Arc::clone(transactional_id), value.clone());
        } else {
            self.transactions.remove(transactional_id);
            self.predecessors.remove(transactional_id);
        }
    }
}

#[cfg(test)]
mod tests;
