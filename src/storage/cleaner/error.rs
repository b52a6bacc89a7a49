//! Why a log cannot be cleaned.

use crate::protocol::record_batch::BatchError;

/// What ends a cleaning. But for [`CleanerError::Aborted`], the log is to be fenced off from the cleaner and named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CleanerError {
    /// The map could not take a single key.
    #[error(
        "the offset map of {memory} bytes is too small for even one key, so compaction never makes progress: increase \
         log.cleaner.dedupe.buffer.size or log.cleaner.io.buffer.load.factor, or decrease log.cleaner.threads"
    )]
    OffsetMapTooSmall {
        /// The bytes that it was given.
        memory: usize,
    },
    /// A batch is damaged; it is left as it is.
    #[error(
        "the batch at offset {base_offset}, position {position} of segment {segment} cannot be compacted: {source}"
    )]
    Batch {
        /// The segment's base offset.
        segment: i64,
        /// The byte in the segment at which the batch begins.
        position: u64,
        /// The batch's base offset; -1 where it cannot be read.
        base_offset: i64,
        /// What is wrong with it.
        source: BatchError,
    },
    /// The caller wanted it to end; no fault of the log.
    #[error("the cleaning was aborted")]
    Aborted,
}
