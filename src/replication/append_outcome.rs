//! What became of an append, and what of it is counted by Kafka's rules (`ReplicaManager.appendToLocalLog`, `UnifiedLog`).

use crate::metrics::Traffic;
use crate::protocol::ErrorCode;
use crate::storage::AppendError;

/// Why an append was refused: by the partition's state, or by its log.
#[derive(Debug, thiserror::Error)]
pub enum PartitionAppendError {
    /// The partition does not take appends now.
    #[error("the partition refuses: {0}")]
    Refused(ErrorCode),
    /// The log refuses the records or cannot write.
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Counts the append of `size` bytes, which became the records at these offsets, or failed.
///
/// It runs for every append: what is rare stands apart.
pub(super) fn count(traffic: &Traffic, size: usize, outcome: Result<(i64, i64), &PartitionAppendError>) {
    traffic.produce_requests(1);
    match outcome {
        Ok((first_offset, last_offset)) => {
            traffic.messages_in((last_offset - first_offset + 1).unsigned_abs());
            traffic.bytes_in(size as u64);
        }
        Err(error) => count_failure(traffic, size, error),
    }
}

#[cold]
fn count_failure(traffic: &Traffic, size: usize, error: &PartitionAppendError) {
    if is_rejection(error) {
        traffic.bytes_rejected(size as u64);
    }
    if is_failure(error) {
        traffic.failed_produce_requests(1);
    }
}

/// Whether the log has looked at the bytes alone and refused them.
fn is_rejection(error: &PartitionAppendError) -> bool {
    use AppendError::{CorruptMessage, MessageTooLarge};
    matches!(error, PartitionAppendError::Log(CorruptMessage(_) | MessageTooLarge { .. }))
}

/// Whether it is none of the failures that Kafka expects to happen.
fn is_failure(error: &PartitionAppendError) -> bool {
    use AppendError::{CorruptMessage, MessageTooLarge, RecordListTooLarge, Storage};
    use ErrorCode::{KafkaStorageError, NotLeaderOrFollower, UnknownTopicOrPartition};
    match error {
        PartitionAppendError::Refused(code) => {
            !matches!(code, UnknownTopicOrPartition | NotLeaderOrFollower | KafkaStorageError)
        }
        PartitionAppendError::Log(error) => {
            !matches!(error, CorruptMessage(_) | MessageTooLarge { .. } | RecordListTooLarge { .. } | Storage(_))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends, records, bytes, rejected bytes and failures that one append of 100 bytes counts as.
    fn counted(outcome: Result<(i64, i64), &PartitionAppendError>) -> [u64; 5] {
        let traffic = Traffic::default();
        count(&traffic, 100, outcome);
        let of_topic = traffic.of_topic();
        [
            &of_topic.produce_requests,
            &of_topic.messages_in,
            &of_topic.bytes_in,
            &of_topic.bytes_rejected,
            &of_topic.failed_produce_requests,
        ]
        .map(crate::metrics::Counter::value)
    }

    #[test]
    fn an_append_counts_its_records_and_bytes() {
        assert_eq!(counted(Ok((7, 9))), [1, 3, 100, 0, 0]);
    }

    #[test]
    fn only_what_kafka_does_not_expect_is_a_failure() {
        let refused = |code| counted(Err(&PartitionAppendError::Refused(code)));
        let by_log = |error| counted(Err(&PartitionAppendError::Log(error)));
        assert_eq!(refused(ErrorCode::NotLeaderOrFollower), [1, 0, 0, 0, 0]);
        assert_eq!(refused(ErrorCode::NotEnoughReplicas), [1, 0, 0, 0, 1]);
        assert_eq!(by_log(AppendError::CorruptMessage(String::new())), [1, 0, 0, 100, 0]);
        assert_eq!(by_log(AppendError::MessageTooLarge { size: 100, max: 1 }), [1, 0, 0, 100, 0]);
        assert_eq!(by_log(AppendError::RecordListTooLarge { size: 100, max: 1 }), [1, 0, 0, 0, 0]);
        assert_eq!(by_log(AppendError::OutOfOrderSequenceNumber(String::new())), [1, 0, 0, 0, 1]);
    }
}
