//! Which producers are about to write for the first time in their transaction (KIP-890). Pure.
//!
//! Between the coordinator's word that a partition is in a transaction, and the records that were waiting for it, the
//! transaction may end and another one begin. A guard that was given out before the coordinator was asked is good for
//! records until a marker comes: whoever is late writes nothing that no marker would ever decide about. What is known here
//! is not kept on disk: after a restart, producers ask again.

use std::collections::HashMap;

use super::AppendError;
use crate::ids::ProducerIdAndEpoch;
use crate::protocol::record_batch::BatchHeader;

/// The right to write a transaction's first records; no other one of the same log is equal to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationGuard(u64);

/// The first batch of a producer, as far as is known, in its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchToVerify {
    /// Whose it is.
    pub producer: ProducerIdAndEpoch,
    /// The sequence number of its first record.
    pub base_sequence: i32,
    /// Whether each transaction of the producer has an epoch of its own, and so begins at sequence 0 (transactions v2).
    pub supports_epoch_bump: bool,
}

/// A producer that has a guard (Kafka's `VerificationStateEntry`).
#[derive(Debug, Clone)]
struct Verification {
    guard: VerificationGuard,
    /// The wall clock when it began.
    begun_ms: i64,
    epoch: i16,
    /// The lowest sequence number that was to be verified. What comes with a higher one while that is still asked about, or
    /// is tried again, has to wait: it would make the lower one out of order for ever.
    lowest_sequence: i32,
    supports_epoch_bump: bool,
}

/// All guards of one log; empty, and without memory of its own, where nobody begins a transaction.
#[derive(Debug, Clone, Default)]
pub(super) struct Verifications {
    by_producer: HashMap<i64, Verification>,
    /// How many guards there have been.
    guards: u64,
}

impl Verifications {
    /// Gives out the producer's guard, a new one if it has none.
    pub(super) fn begin(&mut self, batch: BatchToVerify, now_ms: i64) -> VerificationGuard {
        let BatchToVerify { producer, base_sequence, supports_epoch_bump } = batch;
        let guards = &mut self.guards;
        let verification = self.by_producer.entry(producer.producer_id).or_insert_with(|| {
            *guards += 1;
            Verification {
                guard: VerificationGuard(*guards),
                begun_ms: now_ms,
                epoch: producer.producer_epoch,
                lowest_sequence: base_sequence,
                supports_epoch_bump,
            }
        });
        if producer.producer_epoch > verification.epoch {
            verification.epoch = producer.producer_epoch;
            verification.lowest_sequence = base_sequence;
        } else if producer.producer_epoch == verification.epoch {
            verification.lowest_sequence = verification.lowest_sequence.min(base_sequence);
        }
        verification.guard
    }

    /// Whether `guard` is the one that its producer has now.
    pub(super) fn is_current(&self, producer_id: i64, guard: VerificationGuard) -> bool {
        self.by_producer.get(&producer_id).is_some_and(|verification| verification.guard == guard)
    }

    /// Checks a client's batch against what its producer has asked to be verified; `is_first` says whether the log
    /// remembers no batch of it.
    pub(super) fn check_sequence(&self, batch: &BatchHeader, is_first: bool) -> Result<(), AppendError> {
        let Some(verification) = self.by_producer.get(&batch.producer_id) else { return Ok(()) };
        let (id, sequence) = (batch.producer_id, batch.base_sequence);
        let message = if verification.supports_epoch_bump && is_first && sequence != 0 {
            format!("sequence number {sequence} of producer {id}, of which nothing is known, must be 0")
        } else if sequence > verification.lowest_sequence {
            let lowest = verification.lowest_sequence;
            format!("out of order sequence number for producer {id}: {sequence} (incoming), {lowest} (earliest seen)")
        } else {
            return Ok(());
        };
        Err(AppendError::OutOfOrderSequenceNumber(message))
    }

    /// The transaction has begun, or another one is over: the guard, if there is one, is good for nothing any more.
    pub(super) fn end(&mut self, producer_id: i64) {
        self.by_producer.remove(&producer_id);
    }

    /// Forgets what began so long ago.
    pub(super) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.by_producer.retain(|_, verification| now_ms.saturating_sub(verification.begun_ms) < expiration_ms);
    }

    /// Takes back all guards.
    pub(super) fn clear(&mut self) {
        self.by_producer.clear();
    }
}
