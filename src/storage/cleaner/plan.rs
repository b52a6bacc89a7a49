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

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: CompactionConfig = CompactionConfig {
        delete: false,
        min_cleanable_dirty_ratio: 0.5,
        min_compaction_lag_ms: 0,
        max_compaction_lag_ms: i64::MAX,
    };

    /// Segments of 100 bytes at these offsets; the largest timestamp of each is ten times its base offset, the first one
    /// five below.
    fn segments(base_offsets: &[i64]) -> Vec<CleanableSegment> {
        let segment = |&base_offset: &i64| CleanableSegment {
            base_offset,
            size: 100,
            offset_index_size: 8,
            time_index_size: 12,
            largest_timestamp: base_offset * 10,
            first_batch_timestamp: Some(base_offset * 10 - 5),
        };
        base_offsets.iter().map(segment).collect()
    }

    fn extent(log_start_offset: i64, last_stable_offset: i64, log_end_offset: i64) -> LogExtent {
        LogExtent { log_start_offset, log_end_offset, last_stable_offset }
    }

    fn plan(last_stable_offset: i64, config: &CompactionConfig, checkpoint: Option<i64>, now_ms: i64) -> LogToClean {
        let extent = extent(0, last_stable_offset, 450);
        LogToClean::new(&segments(&[0, 100, 200, 300, 400]), extent, config, checkpoint, now_ms)
    }

    fn offsets(log: &LogToClean) -> (i64, i64, u64, u64) {
        (log.first_dirty_offset, log.first_uncleanable_offset, log.clean_bytes, log.cleanable_bytes)
    }

    #[test]
    fn cleaning_ends_in_front_of_the_segment_that_is_active_or_undecided() {
        assert_eq!(offsets(&plan(450, &CONFIG, None, 0)), (0, 400, 0, 400));
        assert_eq!(offsets(&plan(450, &CONFIG, Some(200), 0)), (200, 400, 200, 200));
        assert_eq!(offsets(&plan(399, &CONFIG, Some(200), 0)), (200, 300, 200, 100));
        assert_eq!(offsets(&plan(300, &CONFIG, Some(200), 0)), (200, 300, 200, 100));
        assert_eq!(offsets(&plan(0, &CONFIG, None, 0)), (0, 0, 0, 0));
    }

    #[test]
    fn a_dirty_part_that_begins_within_a_segment_counts_that_segment_twice_as_in_kafka() {
        assert_eq!(offsets(&plan(450, &CONFIG, Some(250), 0)), (250, 400, 300, 200));
        assert_eq!(offsets(&plan(250, &CONFIG, Some(250), 0)), (250, 200, 300, 0), "nothing can be cleaned");
        assert_eq!(offsets(&plan(450, &CONFIG, Some(400), 0)), (400, 400, 400, 0));
        assert_eq!(offsets(&plan(450, &CONFIG, Some(430), 0)), (430, 400, 500, 0));
    }

    #[test]
    fn a_checkpoint_of_another_log_is_reset() {
        let of = |checkpoint, delete| {
            let config = CompactionConfig { delete, ..CONFIG };
            let log = LogToClean::new(&segments(&[100, 200, 300]), extent(150, 350, 350), &config, checkpoint, 0);
            (log.first_dirty_offset, log.reset)
        };
        assert_eq!(of(None, false), (150, None));
        assert_eq!(of(Some(150), false), (150, None));
        assert_eq!(of(Some(350), false), (350, None));
        let before = |is_unexpected| Some(CheckpointReset::BeforeLogStart { checkpoint: 149, is_unexpected });
        assert_eq!(of(Some(149), false), (150, before(true)));
        assert_eq!(of(Some(149), true), (150, before(false)));
        assert_eq!(of(Some(351), false), (150, Some(CheckpointReset::BeyondLogEnd { checkpoint: 351 })));
    }

    #[test]
    fn a_young_record_keeps_its_segment_from_being_cleaned() {
        let config = CompactionConfig { min_compaction_lag_ms: 500, ..CONFIG };
        assert_eq!(offsets(&plan(450, &config, None, 2_499)), (0, 200, 0, 200));
        assert_eq!(offsets(&plan(450, &config, None, 2_500)), (0, 300, 0, 300));
        assert_eq!(offsets(&plan(450, &config, Some(100), 0)), (100, 100, 100, 0));
        let forever = CompactionConfig { min_compaction_lag_ms: i64::MAX, ..CONFIG };
        assert_eq!(offsets(&plan(450, &forever, None, 5_000)).1, 0);
        let odd = CompactionConfig { min_compaction_lag_ms: -1, ..CONFIG };
        assert_eq!(offsets(&plan(450, &odd, None, 0)).1, 400);
    }

    #[test]
    fn compaction_is_overdue_when_the_oldest_dirty_record_is_old() {
        let config = CompactionConfig { max_compaction_lag_ms: 1_000, min_cleanable_dirty_ratio: 1.0, ..CONFIG };
        let delay = |checkpoint, now_ms| plan(450, &config, checkpoint, now_ms).compaction_delay_ms;
        assert_eq!(delay(Some(100), 1_995), 0);
        assert_eq!(delay(Some(100), 1_996), 1);
        assert_eq!(delay(Some(400), 9_999), 0, "the active segment is not overdue");
        assert_eq!(delay(None, 1_996), 1, "a timestamp that is not positive is none");
        assert_eq!(plan(450, &CONFIG, None, i64::MAX).compaction_delay_ms, 0);
        assert!(plan(450, &config, Some(100), 1_996).is_worthwhile(&config));
        assert!(!plan(450, &config, Some(100), 1_995).is_worthwhile(&config));
        assert!(!plan(0, &config, Some(0), 9_999).is_worthwhile(&config), "overdue, but nothing can be cleaned");
    }

    #[test]
    fn the_filthiest_log_is_cleaned_first() {
        let log = |checkpoint| plan(450, &CONFIG, Some(checkpoint), 0);
        let percents = [0, 100, 200, 400].map(|checkpoint| (log(checkpoint).cleanable_ratio() * 100.0) as u32);
        assert_eq!(percents, [100, 75, 50, 0]);
        let pick = |checkpoints: &[i64]| {
            let logs: Vec<_> = checkpoints.iter().map(|checkpoint| log(*checkpoint)).collect();
            filthiest(logs.iter().map(|log| (log, &CONFIG)))
        };
        assert_eq!(pick(&[]), None);
        assert_eq!(pick(&[400, 200]), None, "a ratio must be above the minimum");
        assert_eq!(pick(&[200, 100, 0, 0]), Some(2));
        let empty = LogToClean::new(&segments(&[0]), extent(0, 0, 0), &CONFIG, None, 0);
        let eager = CompactionConfig { min_cleanable_dirty_ratio: 0.0, ..CONFIG };
        assert_eq!(filthiest([(&empty, &eager)]), None);
        assert_eq!(offsets(&LogToClean::new(&[], extent(7, 7, 7), &CONFIG, None, 0)), (7, 7, 0, 0));
    }

    #[test]
    fn segments_are_grouped_by_size_of_log_and_indexes() {
        let all = segments(&[0, 100, 200, 300, 400]);
        let group = |end, log, index| group_segments_by_size(&all, end, 400, log, index);
        assert_eq!(group(400, 1_000, 1_000), vec![0..4]);
        assert_eq!(group(400, 399, 1_000), vec![0..3, 3..4]);
        assert_eq!(group(400, 200, 1_000), vec![0..2, 2..4]);
        assert_eq!(group(400, 1_000, 24), vec![0..2, 2..4], "by the larger index");
        assert_eq!(group(400, 50, 1_000), vec![0..1, 1..2, 2..3, 3..4], "one that is too large stays alone");
        assert_eq!(group(301, 1_000, 1_000), vec![0..4], "the segment that is cleaned in part is in it");
        assert_eq!(group(300, 1_000, 1_000), vec![0..3]);
        assert_eq!(group(0, 1_000, 1_000), Vec::<Range<usize>>::new());
    }

    #[test]
    fn a_groups_offsets_fit_in_32_bits() {
        let far = i64::from(i32::MAX);
        let all = segments(&[5, 100, far + 6, far + 100]);
        let group = |segments: &[CleanableSegment]| group_segments_by_size(segments, i64::MAX, far + 200, 1_000, 1_000);
        assert_eq!(group(&all[..3]), vec![0..2, 2..3]);
        assert_eq!(group(&segments(&[5, 100, far + 7])), vec![0..1, 1..2, 2..3]);
        let mut empty = all;
        empty[2].size = 0;
        empty[3].size = 0;
        assert_eq!(group(&empty), vec![0..4]);
    }
}
