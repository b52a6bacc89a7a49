//! Log compaction, as Apache Kafka's cleaner does it (`LogCleaner`, `LogCleanerManager`, `MemoryRecords.filterTo`): what
//! remains of a log in which only the last record of each key counts.
//!
//! Pure: segments are numbers, batches come in as bytes and go out as bytes, time and the hash's key are arguments, and
//! files, locks, checkpoints, threads and the swap of segments are behind [`CleaningIo`] or with the caller. A caller
//! does, for each log:
//! 1. [`LogToClean::new`] from the segments' numbers and the checkpointed offset: what is dirty, and how much. A
//!    [`CheckpointReset`] is logged, and the checkpoint is set to `first_dirty_offset`. [`filthiest`] picks one of many.
//! 2. [`OffsetMap::new`] with this cleaner's share of `log.cleaner.dedupe.buffer.size`; one per cleaning.
//! 3. [`build_offset_map`]: the first pass, over the dirty part; gives the offset up to which this cleaning goes, which
//!    becomes the checkpoint once everything is done.
//! 4. [`clean_segments`]: the second pass, over the log from its first segment on. For each group of segments
//!    [`CleaningIo::begin_group`], [`CleaningIo::append`] for each batch that is kept, [`CleaningIo::end_group`] with the
//!    new transaction index, where the caller flushes the new segment and swaps it in.
//!
//! Promises:
//! - offsets do not change, and a reader sees the last value of every key at or behind any offset; what a tombstone has
//!   deleted does not come back, and the tombstone stays for `delete.retention.ms` after it has become clean (KIP-534);
//! - data of aborted transactions goes, and a marker only after all data of its transaction, and its own delete horizon;
//! - the batch with an active producer's last sequence number stays, be it without records; so does the last batch of the
//!   range, so that the log does not become shorter;
//! - a batch of which everything is kept is handed on as it is: not decoded again, not copied, its checksum its own;
//! - a batch whose checksum is wrong stops the cleaning of its log before anything of it is judged;
//! - memory is bounded: the map, one chunk of a compressed batch, and one batch that is written anew.
//!
//! It must not know files, partitions, high watermarks other than as an argument, or what time it is.
//!
//! Message formats v0 and v1 are not in our logs, and so their delete horizon, by the time a segment was last changed, is
//! not either.

mod clean;
mod error;
mod filter;
mod offset_map;
mod plan;
#[cfg(test)]
mod tests;
mod transactions;

pub use clean::{CleanerStats, CleaningIo, CleaningSetting, build_offset_map, clean_segments};
pub use error::CleanerError;
pub use filter::{BatchFilter, FilterCounts, Filtered, LastRecord};
pub use offset_map::{KeyHash, KeyHasher, OffsetMap};
pub use plan::{
    CheckpointReset, CleanableSegment, CompactionConfig, LogExtent, LogToClean, filthiest, group_segments_by_size,
};
pub use transactions::{AbortedTxn, CleanedTransactionMetadata};
