//! What a group coordinator remembers, with the transaction that it belongs to.

use crate::ids::ProducerIdAndEpoch;
use crate::protocol::control_records::EndTransactionMarker;
use crate::protocol::coordinator_records::CoordinatorRecord;

/// One record of a group coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupRecord {
    /// It counts at once.
    Plain(CoordinatorRecord),
    /// It counts when, and if, the producer's transaction is committed.
    Transactional {
        /// Whose transaction it is.
        producer: ProducerIdAndEpoch,
        /// A committed offset.
        record: CoordinatorRecord,
    },
    /// The end of the producer's transaction in this partition.
    TransactionEnded {
        /// Whose transaction it was.
        producer: ProducerIdAndEpoch,
        /// How it ended.
        marker: EndTransactionMarker,
    },
}

impl From<CoordinatorRecord> for GroupRecord {
    fn from(record: CoordinatorRecord) -> Self {
        Self::Plain(record)
    }
}
