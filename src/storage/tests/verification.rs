//! Transactional records are appended only in transactions that their coordinator knows of (KIP-890).

use super::*;
use crate::ids::ProducerIdAndEpoch;
use crate::protocol::control_records::{EndTransactionMarker, TransactionResult};

const V1: bool = false;
const V2: bool = true;

/// A log of producer 7, whose batches have one record each.
struct Verified(Log);

impl Verified {
    fn new(config: LogConfig) -> Self {
        Self(LogDir::memory().create_log(&orders(), Uuid::from_u128(5), config, at(0)).unwrap())
    }

    fn begin(&mut self, epoch: i16, sequence: i32, version: bool) -> Result<Option<VerificationGuard>, AppendError> {
        let producer = ProducerIdAndEpoch { producer_id: 7, producer_epoch: epoch };
        let batch = BatchToVerify { producer, base_sequence: sequence, supports_epoch_bump: version };
        self.0.begin_verification(batch, at(0))
    }

    fn guard(&mut self, epoch: i16, sequence: i32, version: bool) -> VerificationGuard {
        self.begin(epoch, sequence, version).unwrap().expect("no transaction is open")
    }

    fn append(
        &mut self,
        epoch: i16,
        sequence: i32,
        guard: Option<VerificationGuard>,
        origin: AppendOrigin,
    ) -> Result<i64, AppendError> {
        let mut builder = BatchBuilder::new(START_MS);
        builder.producer(7, epoch, sequence).transactional().record(None, Some(b"value"));
        let task = self.0.begin_append(&builder.build(), 0, origin, guard, at(0))?;
        Ok(self.0.finish_append(task.run())?.first_offset)
    }

    fn send(&mut self, epoch: i16, sequence: i32, guard: Option<VerificationGuard>) -> Result<i64, AppendError> {
        self.append(epoch, sequence, guard, AppendOrigin::Client)
    }

    fn end(&mut self, epoch: i16) {
        let marker = EndTransactionMarker { result: TransactionResult::Commit, coordinator_epoch: 3 };
        let batch = marker.batch(ProducerIdAndEpoch { producer_id: 7, producer_epoch: epoch }, START_MS);
        self.0.append_as_leader(&batch, 0, AppendOrigin::Coordinator, at(0)).unwrap();
    }
}

fn is_no_transaction(outcome: &Result<i64, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::InvalidTxnState(_)))
}

fn is_out_of_order(outcome: &Result<i64, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::OutOfOrderSequenceNumber(_)))
}

#[test]
fn the_first_records_of_a_transaction_need_a_guard_and_the_others_none() {
    for origin in [AppendOrigin::Client, AppendOrigin::Coordinator] {
        let mut log = Verified::new(LogConfig::default());
        assert!(is_no_transaction(&log.append(0, 0, None, origin)));
        let guard = log.guard(0, 0, V1);
        assert_eq!(log.guard(0, 0, V1), guard, "who asks again has the same one");
        assert!(is_no_transaction(&log.append(0, 0, None, origin)));
        assert_eq!(log.append(0, 0, Some(guard), origin).unwrap(), 0);
        assert_eq!(log.begin(0, 1, V1).unwrap(), None, "nothing to ask");
        assert_eq!(log.append(0, 1, None, origin).unwrap(), 1);
        log.end(0);
        assert!(is_no_transaction(&log.append(0, 2, None, origin)), "the transaction is over");
        assert!(is_no_transaction(&log.append(0, 2, Some(guard), origin)), "and so is the right to begin it");
        let next = log.guard(0, 2, V1);
        assert_ne!(next, guard);
        assert_eq!(log.append(0, 2, Some(next), origin).unwrap(), 3);
    }
}

#[test]
fn who_was_verified_before_a_marker_is_late() {
    let mut log = Verified::new(LogConfig::default());
    let stale = log.guard(0, 0, V1);
    log.end(0);
    let current = log.guard(0, 0, V1);
    assert!(is_no_transaction(&log.send(0, 0, Some(stale))));
    assert_eq!(log.send(0, 0, Some(current)).unwrap(), 1);
}

#[test]
fn a_repeated_batch_of_an_ended_transaction_gets_its_offset() {
    let mut log = Verified::new(LogConfig::default());
    let guard = log.guard(0, 0, V1);
    log.send(0, 0, Some(guard)).unwrap();
    log.end(0);
    assert_eq!(log.send(0, 0, None).unwrap(), 0);
}

#[test]
fn an_older_epoch_is_told_so_rather_than_that_it_has_no_transaction() {
    let mut log = Verified::new(LogConfig::default());
    let guard = log.guard(0, 0, V2);
    log.send(0, 0, Some(guard)).unwrap();
    log.end(1);
    assert!(matches!(log.begin(0, 1, V2), Err(AppendError::InvalidProducerEpoch(_))));
    assert!(matches!(log.send(0, 1, None), Err(AppendError::InvalidProducerEpoch(_))));
    let next = log.guard(1, 0, V2);
    assert_eq!(log.send(1, 0, Some(next)).unwrap(), 2);
}

#[test]
fn the_transaction_of_an_older_epoch_is_none_of_the_newer_one() {
    let mut log = Verified::new(LogConfig::default());
    let guard = log.guard(0, 0, V2);
    log.send(0, 0, Some(guard)).unwrap();
    assert!(is_no_transaction(&log.send(1, 0, None)));
    assert!(log.begin(1, 0, V2).unwrap().is_some(), "its marker may be on its way");
}

#[test]
fn a_higher_sequence_waits_for_a_lower_one_that_is_to_be_verified() {
    let mut log = Verified::new(LogConfig::default());
    let guard = log.guard(0, 5, V1);
    log.guard(0, 3, V1);
    log.guard(0, 4, V1);
    assert!(is_out_of_order(&log.send(0, 4, Some(guard))));
    assert_eq!(log.send(0, 3, Some(guard)).unwrap(), 0);
    assert_eq!(log.send(0, 4, None).unwrap(), 1);
}

#[test]
fn a_newer_epoch_forgets_the_lowest_sequence_of_the_last_and_an_older_one_changes_nothing() {
    let mut log = Verified::new(LogConfig::default());
    let guard = log.guard(1, 3, V1);
    log.guard(0, 0, V1);
    log.guard(2, 9, V1);
    log.guard(1, 0, V1);
    assert!(is_out_of_order(&log.send(2, 10, Some(guard))));
    assert_eq!(log.send(2, 9, Some(guard)).unwrap(), 0);
}

#[test]
fn with_transactions_v2_an_unknown_producer_begins_at_zero() {
    let mut log = Verified::new(LogConfig::default());
    let guard = log.guard(0, 5, V2);
    assert!(is_out_of_order(&log.send(0, 5, Some(guard))));
    log.guard(0, 0, V2);
    assert_eq!(log.send(0, 0, Some(guard)).unwrap(), 0);
    let mut log = Verified::new(LogConfig::default());
    let guard = log.guard(0, 5, V1);
    assert_eq!(log.send(0, 5, Some(guard)).unwrap(), 0, "v1 may go on wherever it is");
}

#[test]
fn a_guard_expires_with_idle_producers_and_records_without_transaction_leave_it() {
    let config = LogConfig { producer_id_expiration_ms: 60, ..LogConfig::default() };
    let mut log = Verified::new(config);
    let guard = log.guard(0, 0, V1);
    log.0.append_as_leader(&idempotent(7, 0, 0, 1), 0, AppendOrigin::Client, at(0)).unwrap();
    log.0.expire_producers(at(59));
    assert_eq!(log.guard(0, 0, V1), guard);
    log.0.expire_producers(at(60));
    assert!(is_no_transaction(&log.send(0, 0, Some(guard))));
    assert_ne!(log.guard(0, 0, V1), guard);
}

#[test]
fn without_verification_only_transactions_v2_have_a_guard_and_none_is_needed() {
    let config = LogConfig { transaction_partition_verification_enable: false, ..LogConfig::default() };
    let mut log = Verified::new(config);
    assert_eq!(log.begin(0, 0, V1).unwrap(), None);
    assert_eq!(log.send(0, 0, None).unwrap(), 0);
    log.end(0);
    assert!(log.begin(0, 1, V2).unwrap().is_some(), "the partition is still to be added");
    assert_eq!(log.send(0, 1, None).unwrap(), 2);
}
