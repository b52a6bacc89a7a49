//! The cleaning of one partition: reads its closed segments without the partition's lock, has what is kept written beside
//! them, and takes the lock only to put the one in the place of the others.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::hosted_partition::HostedPartition;
use super::io_throttle::IoThrottle;
use super::low_priority;
use crate::clock::Clock;
use crate::protocol::record_batch::{BatchHeader, RecordBatch};
use crate::storage::cleaner::{
    AbortedTxn, CleanableSegment, CleanerError, CleanerStats, CleaningIo, CleaningSetting, LogToClean, OffsetMap,
    build_offset_map, clean_segments,
};
use crate::storage::{CleanedSegment, LogCleaning, SegmentToClean, StorageError};

/// No less is read at once: a batch header must fit, and small reads cost more than they save.
const SMALLEST_READ: usize = 4096;

/// The bytes of a slot of the offset map.
const SLOT: u64 = 24;

/// What cleanings go by, of the broker's configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct CleanerLimits {
    /// One cleaner's share of `log.cleaner.dedupe.buffer.size`.
    pub(super) map_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`.
    pub(super) load_factor: f64,
    /// One cleaner's share of `log.cleaner.io.buffer.size` for reading.
    pub(super) read_bytes: usize,
    /// `log.cleaner.io.max.bytes.per.second`.
    pub(super) bytes_per_second: f64,
}

/// Why a cleaning has not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum CleaningFailure {
    /// The log cannot be cleaned, or the cleaning was to end.
    #[error(transparent)]
    Cleaner(#[from] CleanerError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What a cleaning has achieved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cleaned {
    /// Everything before it is clean now.
    pub(super) end_offset: i64,
    pub(super) stats: CleanerStats,
}

/// What a cleaning has of its surroundings.
pub(super) struct CleaningContext<'a> {
    pub(super) clock: &'a Clock,
    pub(super) throttle: &'a Mutex<IoThrottle>,
    /// Asked again and again, since they may change meanwhile.
    pub(super) limits: &'a dyn Fn() -> CleanerLimits,
    /// Cancelled when the cleaning shall end.
    pub(super) stop: &'a CancellationToken,
    /// Notices changes of the limits.
    pub(super) reconfigured: watch::Receiver<()>,
}

/// Cleans `partition`, as `to_clean` says, whose turn the caller has. Blocks on files for as long as it takes.
///
/// # Errors
/// [`CleanerError::Aborted`] when it was to stop or the log has changed meanwhile. Groups of segments that were done until
/// then stay cleaned; of the others nothing is left.
pub(super) fn clean(
    partition: &HostedPartition,
    to_clean: LogToClean,
    context: &CleaningContext<'_>,
) -> Result<Cleaned, CleaningFailure> {
    let log = partition.with_log(|log| log.begin_cleaning()).ok_or(CleanerError::Aborted)?;
    let segments = log.segments();
    let limits = (context.limits)();
    let mut map = OffsetMap::new(map_size(&to_clean, &limits), limits.load_factor, hash_key())?;
    let setting = CleaningSetting {
        log: to_clean,
        now_ms: context.clock.now().timestamp_ms,
        delete_retention_ms: log.config.delete_retention_ms,
        segment_bytes: u64::from(log.config.segment_bytes),
        segment_index_bytes: u64::from(log.config.segment_index_bytes),
        compression: log.compression(),
        max_message_bytes: log.config.max_message_bytes as usize,
        decompressed_limit: log.decompressed_limit(),
        last_records_of_active_producers: &log.last_records,
    };
    let mut stats = CleanerStats::default();
    let mut io = PartitionIo { partition, log: &log, context, group: None };
    let end_offset = build_offset_map(&mut io, &segments, &setting, &mut map, &mut stats)?;
    let cleaned = clean_segments(&mut io, &segments, &setting, &map, end_offset, &mut stats);
    if let Some(Group { cleaned, .. }) = io.group.take() {
        cleaned.discard();
    }
    cleaned?;
    partition.with_log(|hosted| hosted.note_cleaned(end_offset, log.basis));
    Ok(Cleaned { end_offset, stats })
}

/// As much as one cleaner may have, but no more than the offsets of the dirty part can need.
pub(super) fn map_size(to_clean: &LogToClean, limits: &CleanerLimits) -> usize {
    let offsets = to_clean.first_uncleanable_offset.saturating_sub(to_clean.first_dirty_offset);
    let slots = u64::try_from(offsets).unwrap_or(0) as f64 / limits.load_factor.max(f64::MIN_POSITIVE);
    // One more is for the rounding, and one for the slot that must stay empty.
    let needed = (slots as u64).saturating_add(3).saturating_mul(SLOT);
    usize::try_from(needed.min(limits.map_bytes)).unwrap_or(usize::MAX)
}

/// Nobody may know which keys look alike to the map.
fn hash_key() -> [u8; 16] {
    crate::ids::Uuid::new_v4().into_bytes()
}

/// A segment that is being written, and the base offsets of those that it replaces.
struct Group {
    cleaned: CleanedSegment,
    replaced: Vec<i64>,
}

struct PartitionIo<'a> {
    partition: &'a HostedPartition,
    log: &'a LogCleaning,
    context: &'a CleaningContext<'a>,
    group: Option<Group>,
}

impl PartitionIo<'_> {
    fn source(&self, base_offset: i64) -> Option<&SegmentToClean> {
        let sources = &self.log.sources;
        let index = sources.binary_search_by_key(&base_offset, |source| source.base_offset).ok()?;
        sources.get(index)
    }
}

impl CleaningIo for PartitionIo<'_> {
    type Error = CleaningFailure;

    fn read(&mut self, segment: i64, position: u64) -> Result<Bytes, CleaningFailure> {
        let source = self.source(segment).ok_or(CleanerError::Aborted)?;
        let len = (self.context.limits)().read_bytes.max(SMALLEST_READ);
        let bytes = source.read(position, len)?;
        match BatchHeader::parse(&bytes) {
            // A batch that is larger than the buffer is read whole.
            Ok(first) if first.size_in_bytes() > bytes.len() => Ok(source.read(position, first.size_in_bytes())?),
            _ => Ok(bytes),
        }
    }

    fn aborted_transactions(&mut self, from: i64, to: i64) -> Result<Vec<AbortedTxn>, CleaningFailure> {
        let overlaps = |aborted: &&AbortedTxn| aborted.last_offset >= from && aborted.first_offset < to;
        Ok(self.log.aborted.iter().filter(overlaps).copied().collect())
    }

    fn begin_group(&mut self, segments: &[CleanableSegment]) -> Result<(), CleaningFailure> {
        let replaced: Vec<_> = segments.iter().map(|segment| segment.base_offset).collect();
        let base_offset = *replaced.first().ok_or(CleanerError::Aborted)?;
        let cleaned = self.log.place.begin_segment(base_offset, &self.log.config)?;
        self.group = Some(Group { cleaned, replaced });
        Ok(())
    }

    fn append(&mut self, batch: RecordBatch) -> Result<(), CleaningFailure> {
        let group = self.group.as_mut().ok_or(CleanerError::Aborted)?;
        Ok(group.cleaned.append(&batch.header, &batch.bytes)?)
    }

    fn end_group(&mut self, aborted: Vec<AbortedTxn>) -> Result<(), CleaningFailure> {
        let Some(Group { cleaned, replaced }) = self.group.take() else { return Ok(()) };
        let last = replaced.last().and_then(|base_offset| self.source(*base_offset));
        let modified_ms = last.map_or(0, |source| source.modified_ms);
        let finished = cleaned.finish(aborted, modified_ms)?;
        let place = &self.log.place;
        let begun = self.partition.with_log(|log| log.begin_swap(finished, &replaced, self.log.basis));
        if !begun.unwrap_or(Ok(false))? {
            return Err(CleanerError::Aborted.into());
        }
        let synced = place.sync();
        let now = self.context.clock.now();
        if !self.partition.with_log(|log| log.finish_swap(now)).unwrap_or(Ok(false))? {
            return Err(CleanerError::Aborted.into());
        }
        synced?;
        Ok(place.sync()?)
    }

    fn should_stop(&mut self) -> bool {
        self.context.stop.is_cancelled() || !self.partition.with_log(|log| log.config().compact).unwrap_or(false)
    }

    fn throttle(&mut self, bytes: usize) {
        let CleaningContext { clock, throttle, limits, stop, reconfigured } = self.context;
        let rate = limits().bytes_per_second;
        let due = throttle.lock().unwrap_or_else(PoisonError::into_inner).note(bytes, rate, clock.monotonic());
        let Some(due) = due else { return };
        let (clock, ending, mut reconfigured) =
            (Clock::clone(clock), CancellationToken::clone(stop), reconfigured.clone());
        let waited = low_priority::wait_for(async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = clock.sleep_until(due) => {}
                // Another rate counts at once.
                _ = reconfigured.changed() => {}
            }
        });
        if !waited {
            stop.cancel();
        }
    }
}
