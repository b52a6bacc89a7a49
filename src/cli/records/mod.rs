//! Records as people write and read them: which ones, in which form, from where and to where.
//!
//! The command line and the tools that stand in for Kafka's share what is here. Parsing and formatting are pure;
//! [`reading`] and [`input`] do the work around them.

pub(super) mod encoding;
pub(super) mod format;
pub(super) mod input;
pub(super) mod json;
pub(super) mod line_format;
pub(super) mod modifiers;
pub(super) mod offsets;
pub(super) mod reading;

#[cfg(test)]
pub(super) mod tests_of_records {
    //! A record for the tests of what shows one.

    use crate::client::{FetchedPartition, FetchedRecord};
    use crate::ids::TopicPartition;
    use crate::protocol::record_batch::{BatchBuilder, BatchHeader, Record};

    /// `42` of `user-10` at offset 5 of `payments-2`, with two headers.
    pub(in crate::cli) fn fetched() -> (FetchedPartition, FetchedRecord) {
        let mut batch = BatchBuilder::new(0);
        batch.leader_epoch(4).producer(7, 1, 0).record(None, None);
        let record = Record {
            offset: 5,
            timestamp: 1_700_000_000_000,
            key: Some("user-10".into()),
            value: Some("42".into()),
            headers: vec![("trace".into(), Some("ab".into())), ("trace".into(), None)],
        };
        let partition = FetchedPartition {
            partition: TopicPartition::new("payments", 2),
            records: Vec::new(),
            position: 6,
            leader_epoch: Some(4),
            high_watermark: 9,
            last_stable_offset: 8,
            log_start_offset: 1,
        };
        (partition, FetchedRecord { record, batch: BatchHeader::parse(&batch.build()).unwrap() })
    }
}
