//! Which old segments may go: decided from numbers alone.

use super::LogConfig;

/// What the decision needs to know of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentSummary {
    pub(super) base_offset: i64,
    pub(super) size: u64,
    /// The largest timestamp of its records, or the time of its last change when they have none; milliseconds.
    pub(super) largest_timestamp: i64,
}

/// The log around the segments.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogSummary {
    pub(super) log_start_offset: i64,
    pub(super) log_end_offset: i64,
    pub(super) high_watermark: i64,
    /// The wall clock, milliseconds since the Unix epoch.
    pub(super) now_ms: i64,
}

/// How many of the oldest segments to delete: those wholly before the log start offset and, where retention is asked and
/// `cleanup.policy` has `delete`, those that `retention.bytes` and `retention.ms` let go, in this order. A segment that
/// reaches beyond the high watermark stays, and so does an empty last one. The last segment, when counted, must be rolled
/// first.
pub(super) fn deletable(segments: &[SegmentSummary], log: LogSummary, retention: Option<&LogConfig>) -> usize {
    let end_of = |index: usize| segments.get(index + 1).map_or(log.log_end_offset, |next| next.base_offset);
    let mut count = 0;
    let mut delete_while = |condition: &mut dyn FnMut(&SegmentSummary, Option<&SegmentSummary>) -> bool| {
        while let Some(segment) = segments.get(count) {
            let next = segments.get(count + 1);
            let is_empty_last = next.is_none() && segment.size == 0;
            if is_empty_last || log.high_watermark < end_of(count) || !condition(segment, next) {
                break;
            }
            count += 1;
        }
    };
    delete_while(&mut |_, next| next.is_some_and(|next| next.base_offset <= log.log_start_offset));
    if let Some(config) = retention.filter(|config| config.delete) {
        if let Ok(retention_bytes) = u64::try_from(config.retention_bytes) {
            let size = |from: usize| segments.iter().skip(from).map(|segment| segment.size).sum::<u64>();
            let mut surplus = None;
            delete_while(&mut |segment, _| {
                let from = segments.partition_point(|other| other.base_offset < segment.base_offset);
                let surplus = surplus.get_or_insert_with(|| size(from).saturating_sub(retention_bytes));
                let fits = segment.size <= *surplus && *surplus > 0;
                *surplus = surplus.saturating_sub(segment.size);
                fits
            });
        }
        if config.retention_ms >= 0 {
            delete_while(&mut |segment, _| log.now_ms.saturating_sub(segment.largest_timestamp) > config.retention_ms);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(list: &[(i64, u64, i64)]) -> Vec<SegmentSummary> {
        let summary = |&(base_offset, size, largest_timestamp)| SegmentSummary { base_offset, size, largest_timestamp };
        list.iter().map(summary).collect()
    }

    const LOG: LogSummary = LogSummary { log_start_offset: 0, log_end_offset: 40, high_watermark: 40, now_ms: 10_000 };

    #[test]
    fn time_counts_from_the_newest_record_of_a_segment() {
        let list = segments(&[(0, 5, 1_000), (10, 5, 6_000), (20, 5, 2_000), (30, 5, 9_000)]);
        let config = LogConfig { retention_ms: 5_000, ..LogConfig::default() };
        assert_eq!(deletable(&list, LOG, Some(&config)), 1);
        let config = LogConfig { retention_ms: 500, ..LogConfig::default() };
        assert_eq!(deletable(&list, LOG, Some(&config)), 4, "the last segment goes, too");
        assert_eq!(deletable(&list, LogSummary { high_watermark: 25, ..LOG }, Some(&config)), 2);
        assert_eq!(deletable(&list, LOG, None), 0, "retention was not asked");
        let config = LogConfig { retention_ms: -1, ..LogConfig::default() };
        assert_eq!(deletable(&list, LOG, Some(&config)), 0);
        let compact_only = LogConfig { retention_ms: 1, retention_bytes: 0, compact: true, delete: false, ..config };
        assert_eq!(deletable(&list, LOG, Some(&compact_only)), 0);
    }

    #[test]
    fn a_record_from_the_future_keeps_its_segment_and_a_clock_at_the_end_of_time_does_not_overflow() {
        let list = segments(&[(0, 5, i64::MAX), (10, 5, 0)]);
        assert_eq!(deletable(&list, LOG, Some(&LogConfig { retention_ms: 1, ..LogConfig::default() })), 0);
        let end = LogSummary { now_ms: i64::MAX, ..LOG };
        let list = segments(&[(0, 5, i64::MIN), (10, 0, 0)]);
        assert_eq!(deletable(&list, end, Some(&LogConfig::default())), 1);
    }

    #[test]
    fn size_deletes_only_what_is_wholly_too_much() {
        let list = segments(&[(0, 10, 9_999), (10, 10, 9_999), (20, 10, 9_999), (30, 3, 9_999)]);
        let deleted =
            |retention_bytes| deletable(&list, LOG, Some(&LogConfig { retention_bytes, ..LogConfig::default() }));
        assert_eq!([33, 24, 23, 14, 13, 3, 0].map(deleted), [0, 0, 1, 1, 2, 3, 4]);
    }

    #[test]
    fn what_lies_before_the_log_start_goes_whatever_the_policy_is() {
        let list = segments(&[(0, 10, 0), (10, 10, 0), (20, 10, 0)]);
        let config = LogConfig { delete: false, compact: true, ..LogConfig::default() };
        for retention in [Some(&config), None] {
            let deleted = |log_start_offset| deletable(&list, LogSummary { log_start_offset, ..LOG }, retention);
            assert_eq!([0, 9, 10, 19, 20, 40].map(deleted), [0, 0, 1, 1, 2, 2]);
        }
    }
}
