//! Compaction as the log sees it: what a cleaning reads without the log's lock, and how its result takes its place.
//!
//! A swap has two halves under the lock, [`Log::begin_swap`] and [`Log::finish_swap`], and between them, without it, an
//! fsync of the directory ([`CleaningPlace::sync`]): the old segments give way only once a power loss would complete the
//! swap. Whatever removes records in between cancels it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::Log;
use crate::clock::Now;
use crate::protocol::compression::Compression;
use crate::storage::cleaned_segment::{CleaningPlace, FinishedSegment};
use crate::storage::cleaner::{AbortedTxn, CleanableSegment, CompactionConfig, LastRecord, LogExtent, LogToClean};
use crate::storage::log_place::LogPlace;
use crate::storage::segment::Segment;
use crate::storage::segment_data::SegmentData;
use crate::storage::{CompressionType, LogConfig, StorageError, files};

/// A closed segment, to be read without the log's lock. It stays readable while its files have their names; the reader sees
/// to it that nobody else cleans or deletes it meanwhile.
#[derive(Debug)]
pub struct SegmentToClean {
    /// The offset in its name.
    pub base_offset: i64,
    /// The bytes of its batches.
    pub size: u64,
    /// When it was last changed; milliseconds since the Unix epoch.
    pub modified_ms: i64,
    data: SegmentData,
}

impl SegmentToClean {
    /// At most `len` bytes at `position`; fewer only at its end. Blocks for the disk.
    pub fn read(&self, position: u64, len: usize) -> Result<Bytes, StorageError> {
        let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX);
        self.data.slice(position, len.min(left)).read_blocking()
    }

    /// The bytes of one of its indexes; none where that is not in a file, and bounds nothing.
    fn index_size(&self, suffix: &str) -> u64 {
        let SegmentData::File(file) = &self.data else { return 0 };
        let path = file.path().with_extension(suffix.trim_start_matches('.'));
        std::fs::metadata(path).map_or(0, |metadata| metadata.len())
    }
}

/// All that a cleaning needs of its log, as of the moment at which it begins.
#[derive(Debug)]
pub struct LogCleaning {
    /// The log's settings.
    pub config: Arc<LogConfig>,
    /// Where it writes.
    pub place: CleaningPlace,
    /// What its swaps must find unchanged.
    pub basis: CleaningBasis,
    /// The closed segments, by their offsets.
    pub sources: Vec<SegmentToClean>,
    /// What the last batch of each producer is that the log remembers.
    pub last_records: HashMap<i64, LastRecord>,
    /// The aborted transactions, in the order of their markers.
    pub aborted: Vec<AbortedTxn>,
    segments: Vec<CleanableSegment>,
}

impl LogCleaning {
    /// The numbers of all segments, the active one last. Asks the file system for the sizes of indexes.
    pub fn segments(&self) -> Vec<CleanableSegment> {
        let mut segments = self.segments.clone();
        for (segment, source) in segments.iter_mut().zip(&self.sources) {
            segment.offset_index_size = source.index_size(files::INDEX_SUFFIX);
            segment.time_index_size = source.index_size(files::TIME_INDEX_SUFFIX);
        }
        segments
    }

    /// In what codec batches that are written anew are stored; `None` for their own.
    pub fn compression(&self) -> Option<Compression> {
        match self.config.compression_type {
            CompressionType::Producer => None,
            CompressionType::Codec(codec) => Some(codec),
        }
    }

    /// How many bytes a batch may decompress to.
    pub fn decompressed_limit(&self) -> usize {
        self.config.decompressed_limit()
    }
}

/// What a swap must find unchanged, as of the moment at which a cleaning began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleaningBasis {
    truncations: u64,
}

/// A swap that has begun: the new segment is called `.swap`.
#[derive(Debug)]
pub(in crate::storage) struct PendingSwap {
    finished: FinishedSegment,
    /// The base offsets of the segments that it replaces.
    replaced: Vec<i64>,
}

impl Log {
    /// How far the log is clean: what `cleaner-offset-checkpoint` says of it.
    pub fn cleaner_offset(&self) -> Option<i64> {
        self.cleaner_offset
    }

    /// Notes that everything before `offset` is clean.
    pub fn set_cleaner_offset(&mut self, offset: i64) {
        self.cleaner_offset = Some(offset);
    }

    /// The same at the end of a cleaning, unless the log was truncated since that began.
    pub fn note_cleaned(&mut self, offset: i64, basis: CleaningBasis) {
        if basis.truncations == self.truncations {
            self.set_cleaner_offset(offset);
        }
    }

    /// What there is to clean, as far as `last_stable_offset`; `None` when the log is not compacted. Looks into segments
    /// once, where their times are not known and count.
    pub fn to_clean(&self, last_stable_offset: i64, now: Now) -> Option<(LogToClean, CompactionConfig)> {
        let config = &*self.config;
        let settings = CompactionConfig {
            delete: config.delete,
            min_cleanable_dirty_ratio: config.min_cleanable_dirty_ratio,
            min_compaction_lag_ms: config.min_compaction_lag_ms,
            max_compaction_lag_ms: config.max_compaction_lag_ms,
        };
        let extent = LogExtent {
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
            last_stable_offset,
        };
        let to_clean =
            || LogToClean::new(&self.cleanable_segments(), extent, &settings, self.cleaner_offset, now.timestamp_ms);
        config.compact.then(|| (to_clean(), settings))
    }

    fn cleanable_segments(&self) -> Vec<CleanableSegment> {
        // Times that do not count are not looked for: that would open the file of each segment once.
        let (has_min_lag, has_max_lag) =
            (self.config.min_compaction_lag_ms > 0, self.config.max_compaction_lag_ms < i64::MAX);
        let of = |segment: &Segment| CleanableSegment {
            base_offset: segment.base_offset(),
            size: segment.size(),
            offset_index_size: 0,
            time_index_size: 0,
            largest_timestamp: if has_min_lag { segment.largest_timestamp() } else { 0 },
            first_batch_timestamp: if has_max_lag { segment.first_batch_timestamp() } else { None },
        };
        self.segments.iter().map(of).collect()
    }

    /// Everything that a cleaning needs, to go on without the lock.
    pub fn begin_cleaning(&self) -> LogCleaning {
        LogCleaning {
            config: Arc::clone(&self.config),
            place: CleaningPlace::new(self.place.as_ref().map(LogPlace::home)),
            basis: CleaningBasis { truncations: self.truncations },
            sources: self.sources_to_clean(),
            last_records: self.producers.last_records(),
            aborted: self.aborted.with_markers(0..i64::MAX),
            segments: self.cleanable_segments(),
        }
    }

    fn sources_to_clean(&self) -> Vec<SegmentToClean> {
        let closed = self.segments.split_last().map_or(&[][..], |(_, closed)| closed);
        let source = |segment: &Segment| SegmentToClean {
            base_offset: segment.base_offset(),
            size: segment.size(),
            modified_ms: segment.modified_ms(),
            data: segment.data().clone(),
        };
        closed.iter().map(source).collect()
    }

    /// Names `finished` so that a crash has it replace the segments with the base offsets `replaced`, the first of which is
    /// its own; to be followed by a sync of the place and by [`Log::finish_swap`]. False, and `finished` is gone, when the
    /// log has changed since `basis` so that it does not fit any more, or is not to be compacted any more.
    pub fn begin_swap(
        &mut self,
        finished: FinishedSegment,
        replaced: &[i64],
        basis: CleaningBasis,
    ) -> Result<bool, StorageError> {
        let is_whole = self.replaced_range(replaced).is_some() && replaced.first() == Some(&finished.base_offset());
        if !is_whole || basis.truncations != self.truncations || !self.config.compact {
            finished.discard();
            return Ok(false);
        }
        self.check_online()?;
        self.cancel_swap();
        let finished = finished.rename_to_swap()?;
        self.pending_swap = Some(Box::new(PendingSwap { finished, replaced: replaced.to_vec() }));
        Ok(true)
    }

    /// Completes the swap that has begun: the old segments are renamed to `.deleted`, to be removed after
    /// `file.delete.delay.ms`, and the new one takes its place. Whoever reads an old one goes on. The caller syncs the place
    /// once more. False when the swap was cancelled.
    pub fn finish_swap(&mut self, now: Now) -> Result<bool, StorageError> {
        let Some(PendingSwap { finished, replaced }) = self.pending_swap.take().map(|pending| *pending) else {
            return Ok(false);
        };
        let Some(range) = self.replaced_range(&replaced) else {
            finished.discard();
            return Ok(false);
        };
        self.check_online()?;
        let swapped = self.swap(finished, range, &replaced, now);
        if let (Err(error), Some(place)) = (&swapped, &self.place) {
            // Half of the files have other names: whatever the reason was, only a start can complete it.
            place.state.mark_offline(&error.to_string());
        }
        swapped.map(|()| true)
    }

    fn swap(
        &mut self,
        finished: FinishedSegment,
        range: Range<usize>,
        replaced: &[i64],
        now: Now,
    ) -> Result<(), StorageError> {
        let due = now.monotonic.saturating_add(self.config.file_delete_delay());
        for segment in self.segments.get(range.clone()).unwrap_or_default() {
            self.deleted_files.extend(segment.rename_to_deleted()?.into_iter().map(|path| (path, due)));
        }
        let offsets =
            finished.base_offset()..self.segments.get(range.end).map_or(self.log_end_offset, Segment::base_offset);
        let (segment, aborted) = finished.take_place()?;
        self.segments.splice(range, [segment]);
        // A reader that is told of an abort whose marker is gone takes what its producer has committed later for aborted.
        self.aborted.replace(offsets, aborted);
        let Some(place) = &mut self.place else { return Ok(()) };
        place.dir_changes += 1;
        let gone = replaced.get(1..).unwrap_or_default();
        place.snapshots.remove_if(|offset| gone.contains(&offset))
    }

    /// Where the segments with these base offsets are, if they are all there, side by side, and closed.
    fn replaced_range(&self, replaced: &[i64]) -> Option<Range<usize>> {
        let (_, closed) = self.segments.split_last()?;
        let first = closed.iter().position(|segment| Some(&segment.base_offset()) == replaced.first())?;
        let range = first..first.checked_add(replaced.len())?;
        let found = closed.get(range.clone())?.iter().map(Segment::base_offset);
        found.eq(replaced.iter().copied()).then_some(range)
    }

    /// Undoes a swap that has begun: before records are removed, since a crash would bring them back.
    pub(super) fn cancel_swap(&mut self) {
        if let Some(pending) = self.pending_swap.take() {
            pending.finished.discard();
        }
    }

    /// Lets the clean part end with the active segment, as Kafka's `maybeTruncateCheckpoint` does after a truncation.
    pub(super) fn truncate_cleaner_offset(&mut self) {
        let most = self.active().base_offset();
        self.cleaner_offset = self.cleaner_offset.map(|offset| offset.min(most));
    }
}
