//! A transaction's outcome is decided.

use std::collections::BTreeSet;

use super::request::{ClientVersion, EndTransactionRequest, ProducerRefusal, TransactionalId};
use super::{LAST_EPOCH, TransactionCoordinator, is_of_previous_id, is_prepared, producer_of, record};
use crate::clock::Now;
use crate::ids::ProducerIdAndEpoch;
use crate::protocol::ErrorCode;
use crate::protocol::control_records::TransactionResult;
use crate::protocol::record_batch::NO_PRODUCER_ID;
use crate::protocol::transaction_records::{TransactionLogValue, TransactionState};
use crate::state_machine::Effects;

/// How a transaction is to end.
pub(super) struct TransactionEnd {
    pub(super) result: TransactionResult,
    pub(super) version: ClientVersion,
    /// Under which producer id the producer goes on, if its epochs are used up.
    pub(super) next_producer_id: Option<i64>,
}

/// What an `EndTxn` leads to.
enum EndVerdict {
    /// The transaction ends.
    End,
    /// It has ended so already, and the answer was lost.
    Retried,
}

impl TransactionCoordinator {
    pub(super) fn end(
        &mut self,
        request: &EndTransactionRequest,
        now: Now,
        effects: &mut Effects<Self>,
    ) -> Result<ProducerIdAndEpoch, ProducerRefusal> {
        let id = &request.producer.transactional_id;
        let verdict = match request.producer.version {
            ClientVersion::One => self.verdict(request)?,
            ClientVersion::Two => self.verdict_on_own_epoch(request)?,
        };
        let value = self.transactions.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        match verdict {
            EndVerdict::Retried => Ok(producer_of(value)),
            EndVerdict::End => {
                let (value, version) = (value.clone(), request.producer.version);
                let is_exhausted = version == ClientVersion::Two && value.producer_epoch >= LAST_EPOCH;
                let next_producer_id = match request.new_producer_id {
                    None if is_exhausted => return Err(ProducerRefusal::NeedsProducerId),
                    given => given.filter(|_| is_exhausted),
                };
                let last_epoch = value.producer_epoch;
                let ending = TransactionEnd { result: request.result, version, next_producer_id };
                let next = self.prepare(id, value, &ending, now, effects);
                if version == ClientVersion::Two {
                    self.remember_predecessor(id, next, last_epoch);
                }
                Ok(next)
            }
        }
    }

    /// On transactions of version 1: the state alone tells a retry.
    fn verdict(&self, request: &EndTransactionRequest) -> Result<EndVerdict, ErrorCode> {
        let state = self.current(&request.producer)?.state;
        if is_prepared(state) {
            Err(ErrorCode::ConcurrentTransactions)
        } else if state == TransactionState::Ongoing {
            Ok(EndVerdict::End)
        } else if state == request.result.completed() {
            Ok(EndVerdict::Retried)
        } else {
            Err(ErrorCode::InvalidTxnState)
        }
    }

    /// On transactions of version 2: a retry comes from the epoch before, or from the last one of the producer id before;
    /// from the current one comes what is meant for the next transaction. That may be aborted before it has begun, for a
    /// producer that does not know whether it has.
    fn verdict_on_own_epoch(&self, request: &EndTransactionRequest) -> Result<EndVerdict, ErrorCode> {
        let (id, asking) = (&request.producer.transactional_id, request.producer.producer);
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        if self.is_ending(id) {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let value = self.transactions.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let is_of_previous_id = value.producer_epoch == 0 && is_of_previous_id(value, asking);
        if asking.producer_id != value.producer_id && !is_of_previous_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let is_current = asking == producer_of(value);
        let is_retry = is_of_previous_id || i32::from(asking.producer_epoch) + 1 == i32::from(value.producer_epoch);
        let is_complete = matches!(value.state, TransactionState::CompleteCommit | TransactionState::CompleteAbort);
        let may_ask = is_current || is_complete && is_retry;
        if !may_ask {
            return Err(ErrorCode::ProducerFenced);
        }
        match (value.state, request.result) {
            (state, result) if !is_current && state == result.completed() => Ok(EndVerdict::Retried),
            _ if !is_current => Err(ErrorCode::InvalidTxnState),
            (TransactionState::Ongoing, _)
            | (
                TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort,
                TransactionResult::Abort,
            ) => Ok(EndVerdict::End),
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Decides on the outcome, and has the markers written; answers whom the producer is to be afterwards.
    pub(super) fn prepare(
        &mut self,
        id: &TransactionalId,
        value: TransactionLogValue,
        ending: &TransactionEnd,
        now: Now,
        effects: &mut Effects<Self>,
    ) -> ProducerIdAndEpoch {
        let has_begun = value.state == TransactionState::Ongoing;
        let prepared = TransactionLogValue {
            state: ending.result.prepared(),
            // Markers of a newer epoch fence what the transaction's own producer may yet send.
            producer_epoch: match ending.version {
                ClientVersion::One => value.producer_epoch,
                ClientVersion::Two => value.producer_epoch.saturating_add(1),
            },
            next_producer_id: ending.next_producer_id.unwrap_or(NO_PRODUCER_ID),
            start_ms: if has_begun { value.start_ms } else { now.timestamp_ms },
            last_update_ms: now.timestamp_ms,
            client_transaction_version: ending.version.level(),
            ..value
        };
        let completed = completed(&prepared, ending.result, now);
        let next = producer_of(&completed);
        effects.record(record(id, prepared.clone()));
        if prepared.partitions.is_empty() {
            effects.record(record(id, completed));
        } else {
            let markers = self.mark(id, &prepared, ending.result, now);
            effects.message(markers);
        }
        next
    }
}

/// What `prepared` becomes once its markers are written. A producer whose epochs are used up goes on under another id.
pub(super) fn completed(prepared: &TransactionLogValue, result: TransactionResult, now: Now) -> TransactionLogValue {
    let has_next = prepared.next_producer_id != NO_PRODUCER_ID;
    TransactionLogValue {
        state: result.completed(),
        producer_id: if has_next { prepared.next_producer_id } else { prepared.producer_id },
        producer_epoch: if has_next { 0 } else { prepared.producer_epoch },
        previous_producer_id: if has_next { prepared.producer_id } else { NO_PRODUCER_ID },
        next_producer_id: NO_PRODUCER_ID,
        partitions: BTreeSet::new(),
        last_update_ms: now.timestamp_ms,
        ..prepared.clone()
    }
}
