//! What is to be cleaned: decided from numbers alone (`LogCleanerManager`, `LogToClean`, `groupSegmentsBySize`).

use std::ops::Range;

/// What must be known of a segment. Segments are given in the order of their offsets, the active one last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanableSegment {
    /// The first offset that it may hold.
    pub base_offset: i64,
    /// The bytes of its batches.
    pub size: u64,
    /// The bytes of the entries in its offset index.
    pub offset_index_size: u64,
    /// The bytes of the entries in its time index.
    pub time_index_size: u64,
    /// The largest timestamp of its records, or the time of its last change when they have none; milliseconds.
    pub largest_timestamp: i64,
    /// The max timestamp of its first batch; `None` when it has no batch. Milliseconds.
    pub first_batch_timestamp: Option<i64>,
}

/// The settings of a topic that compaction goes by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompactionConfig {
    /// Whether `cleanup.policy` holds `delete` beside `compact`.
    pub delete: bool,
    /// `min.cleanable.dirty.ratio`, from 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
}

/// The offsets of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogExtent {
    /// The first offset that may be read.
    pub log_start_offset: i64,
    /// The offset behind the last.
    pub log_end_offset: i64,
    /// The first offset that is undecided: at most the high watermark.
    pub last_stable_offset: i64,
}

/// Why a checkpointed offset is not that of this log. Either way everything from the log start offset on is dirty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointReset {
    /// It is below the log start offset, as it becomes where records are deleted; worth a warning unless
    /// `cleanup.policy` holds `delete`, which [`LogToClean::new`] sees to.
    BeforeLogStart {
        /// The checkpointed offset.
        checkpoint: i64,
        /// Whether it is to be warned of.
        is_unexpected: bool,
    },
    /// It is beyond the log's end, which has been lost since then; worth a warning.
    BeyondLogEnd {
        /// The checkpointed offset.
        checkpoint: i64,
    },
}

/// What cleaning a log would mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogToClean {
    /// Where the dirty part begins; from here on keys are collected.
    pub first_dirty_offset: i64,
    /// Where the part begins that must not be cleaned: the base offset of a segment.
    pub first_uncleanable_offset: i64,
    /// Set when the checkpoint must be set to `first_dirty_offset` now.
    pub reset: Option<CheckpointReset>,
    /// The bytes of the segments that begin before the dirty part.
    pub clean_bytes: u64,
    /// The bytes of the segments between the two offsets.
    pub cleanable_bytes: u64,
    /// For how long compaction is overdue by `max.compaction.lag.ms`; 0 when it is not.
    pub compaction_delay_ms: i64,
}

impl LogToClean {
    /// Decides what of a log can be cleaned at `now_ms` (milliseconds since the Unix epoch). `checkpoint` is the first
    /// offset that the last cleaning has left dirty.
    pub fn new(
        segments: &[CleanableSegment],
        extent: LogExtent,
        config: &CompactionConfig,
        checkpoint: Option<i64>,
        now_ms: i64,
    ) -> Self {
        let (first_dirty_offset, reset) = first_dirty_offset(extent, config, checkpoint);
        let closed = closed_from(segments, first_dirty_offset);
        let uncleanable = first_uncleanable_offset(segments, closed, extent, config, now_ms).max(first_dirty_offset);
        // Cleaning ends with a whole segment.
        let first_uncleanable_offset = closed_from(segments, uncleanable)
            .first()
            .or(segments.last())
            .map_or(first_dirty_offset, |segment| segment.base_offset);
        let start = first_dirty_offset.min(first_uncleanable_offset);
        Self {
            first_dirty_offset,
            first_uncleanable_offset,
            reset,
            clean_bytes: size_of_segments(segments, 0..before(segments, first_dirty_offset)),
            cleanable_bytes: size_of_segments(segments, overlapping(segments, start, first_uncleanable_offset)),
            compaction_delay_ms: compaction_delay_ms(closed, config, now_ms),
        }
    }

    /// The share of the log that is dirty and can be cleaned; 0 for an empty log.
    pub fn cleanable_ratio(&self) -> f64 {
        let total = self.clean_bytes.saturating_add(self.cleanable_bytes);
        if total == 0 { 0.0 } else { self.cleanable_bytes as f64 / total as f64 }
    }

    /// Whether it is worth it, or overdue.
    pub fn is_worthwhile(&self, config: &CompactionConfig) -> bool {
        let is_overdue = self.compaction_delay_ms > 0 && self.cleanable_bytes > 0;
        is_overdue || self.cleanable_ratio() > config.min_cleanable_dirty_ratio
    }
}

/// Of the logs that are worth it, the one with the largest cleanable ratio, the first of several: its index.
pub fn filthiest<'a>(logs: impl IntoIterator<Item = (&'a LogToClean, &'a CompactionConfig)>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (index, (log, config)) in logs.into_iter().enumerate() {
        let ratio = log.cleanable_ratio();
        if log.is_worthwhile(config) && best.is_none_or(|(_, best)| ratio > best) {
            best = Some((index, ratio));
        }
    }
    best.map(|(index, _)| index)
}

/// Puts neighbouring segments together so that none grows beyond `segment_bytes`, its indexes beyond
/// `segment_index_bytes`, and its offsets beyond what is stored as the difference to the base offset in 32 bits. The
/// segments are those from the first to the one in front of `end_offset`.
///
/// Returns a range of `segments` for each group.
pub fn group_segments_by_size(
    segments: &[CleanableSegment],
    end_offset: i64,
    first_uncleanable_offset: i64,
    segment_bytes: u64,
    segment_index_bytes: u64,
) -> Vec<Range<usize>> {
    let segments = segments.get(..before(segments, end_offset)).unwrap_or_default();
    let mut groups: Vec<Range<usize>> = Vec::new();
    let (mut log_size, mut offset_index_size, mut time_index_size, mut base_offset) = (0_u64, 0_u64, 0_u64, 0);
    for (index, segment) in segments.iter().enumerate() {
        log_size = log_size.saturating_add(segment.size);
        offset_index_size = offset_index_size.saturating_add(segment.offset_index_size);
        time_index_size = time_index_size.saturating_add(segment.time_index_size);
        let last_offset = segments.get(index + 1).map_or(first_uncleanable_offset, |next| next.base_offset) - 1;
        // An empty segment has no offsets, however far it lies: otherwise one would be left for every 2^31 records.
        let is_in_reach = segment.size == 0 || last_offset.saturating_sub(base_offset) <= i64::from(i32::MAX);
        let is_in_size = log_size <= segment_bytes && offset_index_size.max(time_index_size) <= segment_index_bytes;
        match groups.last_mut() {
            Some(group) if is_in_reach && is_in_size => group.end = index + 1,
            _ => {
                groups.push(index..index + 1);
                base_offset = segment.base_offset;
                (log_size, offset_index_size, time_index_size) =
                    (segment.size, segment.offset_index_size, segment.time_index_size);
            }
        }
    }
    groups
}

/// The segments that can hold offsets from `from` to in front of `to` (Kafka's `LogSegments.values`).
pub(super) fn overlapping(segments: &[CleanableSegment], from: i64, to: i64) -> Range<usize> {
    if from >= to {
        return 0..0;
    }
    let start = segments.partition_point(|segment| segment.base_offset <= from).saturating_sub(1);
    start..before(segments, to).max(start)
}

/// How many segments begin in front of `offset`.
fn before(segments: &[CleanableSegment], offset: i64) -> usize {
    segments.partition_point(|segment| segment.base_offset < offset)
}

/// The segments that can hold `from` and what is behind it, but for the active one.
fn closed_from(segments: &[CleanableSegment], from: i64) -> &[CleanableSegment] {
    let active = segments.last().map_or(0, |segment| segment.base_offset);
    segments.get(overlapping(segments, from, active)).unwrap_or_default()
}

fn size_of_segments(segments: &[CleanableSegment], range: Range<usize>) -> u64 {
    segments.get(range).unwrap_or_default().iter().map(|segment| segment.size).sum()
}

fn first_dirty_offset(
    extent: LogExtent,
    config: &CompactionConfig,
    checkpoint: Option<i64>,
) -> (i64, Option<CheckpointReset>) {
    let start = extent.log_start_offset;
    match checkpoint {
        Some(checkpoint) if checkpoint < start => {
            (start, Some(CheckpointReset::BeforeLogStart { checkpoint, is_unexpected: !config.delete }))
        }
        Some(checkpoint) if checkpoint > extent.log_end_offset => {
            (start, Some(CheckpointReset::BeyondLogEnd { checkpoint }))
        }
        checkpoint => (checkpoint.unwrap_or(start), None),
    }
}

/// The least of: the last stable offset, the active segment, and the first segment with a record that is younger than
/// `min.compaction.lag.ms`.
fn first_uncleanable_offset(
    segments: &[CleanableSegment],
    closed: &[CleanableSegment],
    extent: LogExtent,
    config: &CompactionConfig,
    now_ms: i64,
) -> i64 {
    let active = segments.last().map_or(extent.log_start_offset, |segment| segment.base_offset);
    let lag_ms = config.min_compaction_lag_ms;
    let is_young = |segment: &&CleanableSegment| segment.largest_timestamp > now_ms.saturating_sub(lag_ms);
    let young = closed.iter().find(is_young).filter(|_| lag_ms > 0).map(|segment| segment.base_offset);
    extent.last_stable_offset.min(active).min(young.unwrap_or(i64::MAX))
}

/// How long ago the oldest dirty segment's first batch became older than `max.compaction.lag.ms`.
fn compaction_delay_ms(closed: &[CleanableSegment], config: &CompactionConfig, now_ms: i64) -> i64 {
    let timestamps = closed.iter().filter_map(|segment| segment.first_batch_timestamp);
    let earliest = timestamps.filter(|timestamp| *timestamp > 0).min().unwrap_or(i64::MAX);
    let clean_until = now_ms.saturating_sub(config.max_compaction_lag_ms.max(0));
    clean_until.saturating_sub(earliest).max(0)
}
