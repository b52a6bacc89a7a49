//! A producer takes a transactional id over: it gets an epoch that fences all before it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::end::TransactionEnd;
use super::request::{ClientVersion, InitProducerRequest, ProducerRefusal, TransactionalId};
use super::{LAST_EPOCH, TransactionCoordinator, is_of_previous_id, is_prepared, producer_of, record};
use crate::clock::Now;
use crate::ids::ProducerIdAndEpoch;
use crate::planted_bugs::{PlantedBug, is_planted};
use crate::protocol::ErrorCode;
use crate::protocol::control_records::TransactionResult;
use crate::protocol::record_batch::NO_PRODUCER_ID;
use crate::protocol::transaction_records::{NO_START, TransactionLogValue, TransactionState};
use crate::state_machine::Effects;

impl TransactionCoordinator {
    pub(super) fn init_producer(
        &mut self,
        request: &InitProducerRequest,
        now: Now,
        effects: &mut Effects<Self>,
    ) -> Result<ProducerIdAndEpoch, ProducerRefusal> {
        let id = &request.transactional_id;
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest.into());
        }
        if !(1..=self.config.max_timeout_ms).contains(&request.timeout_ms) {
            return Err(ErrorCode::InvalidTransactionTimeout.into());
        }
        let Some(value) = self.transactions.get(id) else {
            let producer_id = request.new_producer_id.ok_or(ProducerRefusal::NeedsProducerId)?;
            let producer = ProducerIdAndEpoch { producer_id, producer_epoch: 0 };
            let value = initialized(producer, NO_PRODUCER_ID, ClientVersion::One.level(), request, now);
            effects.record(record(id, value));
            return Ok(producer);
        };
        if is_prepared(value.state) {
            return Err(ErrorCode::ConcurrentTransactions.into());
        }
        if !request.expected.is_none_or(|expected| may_go_on(value, expected)) {
            return Err(ErrorCode::ProducerFenced.into());
        }
        let value = value.clone();
        if value.state == TransactionState::Ongoing {
            // The epoch that fences it is nobody's: the client asks again, and gets the one after it.
            self.fence(id, value, now, effects);
            return Err(ErrorCode::ConcurrentTransactions.into());
        }
        self.next_producer(&value, request, now, effects)
    }

    /// Aborts the transaction of a producer that must not go on; nobody asked for that who would be told the new epoch. As in
    /// Kafka, the producer itself may ask for it afterwards, as for one whose answer was lost.
    pub(super) fn fence(
        &mut self,
        id: &TransactionalId,
        value: TransactionLogValue,
        now: Now,
        effects: &mut Effects<Self>,
    ) {
        let last_epoch = value.producer_epoch;
        let ending =
            TransactionEnd { result: TransactionResult::Abort, version: ClientVersion::Two, next_producer_id: None };
        let next = self.prepare(id, value, &ending, now, effects);
        self.remember_predecessor(id, next, last_epoch);
    }

    /// The producer after that of `value`, which has no transaction.
    fn next_producer(
        &mut self,
        value: &TransactionLogValue,
        request: &InitProducerRequest,
        now: Now,
        effects: &mut Effects<Self>,
    ) -> Result<ProducerIdAndEpoch, ProducerRefusal> {
        let (id, current) = (&request.transactional_id, producer_of(value));
        let version = value.client_transaction_version;
        if let Some(expected) = request.expected.filter(|expected| *expected != current) {
            if self.last_epoch(id, current) != Some(expected.producer_epoch) {
                return Err(ErrorCode::ProducerFenced.into());
            }
            if current.producer_epoch <= LAST_EPOCH {
                // A retry, whose first answer was lost, needs no epoch more.
                effects.record(record(id, initialized(current, value.previous_producer_id, version, request, now)));
                return Ok(current);
            }
        }
        let (next, previous_producer_id) = if current.producer_epoch >= LAST_EPOCH {
            let producer_id = request.new_producer_id.ok_or(ProducerRefusal::NeedsProducerId)?;
            (ProducerIdAndEpoch { producer_id, producer_epoch: 0 }, current.producer_id)
        } else if is_planted(PlantedBug::KeepEpoch) {
            (current, NO_PRODUCER_ID)
        } else {
            (ProducerIdAndEpoch { producer_epoch: current.producer_epoch + 1, ..current }, NO_PRODUCER_ID)
        };
        if request.expected.is_some() {
            self.remember_predecessor(&Arc::clone(id), next, current.producer_epoch);
        } else {
            // A new producer: who comes from an older epoch is a zombie.
            self.predecessors.remove(id);
        }
        effects.record(record(id, initialized(next, previous_producer_id, version, request, now)));
        Ok(next)
    }
}

/// Whether a producer that believes to be `expected` may be the one that `value` knows. The epoch is compared later.
fn may_go_on(value: &TransactionLogValue, expected: ProducerIdAndEpoch) -> bool {
    expected.producer_id == value.producer_id || is_of_previous_id(value, expected)
}

fn initialized(
    producer: ProducerIdAndEpoch,
    previous_producer_id: i64,
    client_transaction_version: i16,
    request: &InitProducerRequest,
    now: Now,
) -> TransactionLogValue {
    TransactionLogValue {
        producer_id: producer.producer_id,
        previous_producer_id,
        next_producer_id: NO_PRODUCER_ID,
        producer_epoch: producer.producer_epoch,
        timeout_ms: request.timeout_ms,
        state: TransactionState::Empty,
        partitions: BTreeSet::new(),
        last_update_ms: now.timestamp_ms,
        start_ms: NO_START,
        client_transaction_version,
    }
}
