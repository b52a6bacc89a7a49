//! The two passes over logs of a few batches.

use super::*;

/// What a cleaning of `log` goes by, when everything in front of the active segment may be cleaned.
fn setting<'a>(log: &TestLog, first_dirty_offset: i64, last: &'a HashMap<i64, LastRecord>) -> CleaningSetting<'a> {
    let config = CompactionConfig {
        delete: false,
        min_cleanable_dirty_ratio: 0.5,
        min_compaction_lag_ms: 0,
        max_compaction_lag_ms: i64::MAX,
    };
    let end = log.end_offset();
    let extent = LogExtent { log_start_offset: 0, log_end_offset: end, last_stable_offset: end };
    CleaningSetting {
        log: LogToClean::new(&log.summaries(), extent, &config, Some(first_dirty_offset), 0),
        now_ms: 10_000,
        delete_retention_ms: 1_000,
        segment_bytes: 100_000,
        segment_index_bytes: 100_000,
        compression: None,
        max_message_bytes: LIMIT,
        decompressed_limit: LIMIT,
        last_records_of_active_producers: last,
    }
}

/// Cleans with a map of `slots` keys; the next first dirty offset.
fn clean(
    log: &mut TestLog,
    first_dirty_offset: i64,
    slots: usize,
    stats: &mut CleanerStats,
) -> Result<i64, CleanerError> {
    let last = nobody();
    let setting = setting(log, first_dirty_offset, &last);
    let segments = log.summaries();
    let mut map = map_of(slots, &[]);
    let end = build_offset_map(log, &segments, &setting, &mut map, stats)?;
    clean_segments(log, &segments, &setting, &map, end, stats)?;
    Ok(end)
}

fn offsets(log: &TestLog) -> Vec<i64> {
    log.records().iter().map(|record| record.offset).collect()
}

fn two_segments() -> TestLog {
    TestLog::new(&[
        &[batch(0, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))])],
        &[batch(3, &[("c", Some("1"))]), batch(4, &[("a", Some("3")), ("c", None)])],
    ])
}

#[test]
fn the_last_record_of_each_key_stays_and_small_segments_become_one() {
    let mut log = two_segments();
    let mut stats = CleanerStats::default();
    assert_eq!(clean(&mut log, 0, 100, &mut stats).unwrap(), 6);
    assert_eq!(offsets(&log), [1, 4, 5]);
    assert_eq!(log.segments.iter().map(|segment| segment.base_offset).collect::<Vec<_>>(), [0, 6]);
    let size = log.segments[0].bytes.len() as u64;
    let before = two_segments().segments.iter().map(|segment| segment.bytes.len() as u64).sum();
    let messages = FilterCounts { messages_read: 6, messages_retained: 3, tombstones_retained: 1, invalid_messages: 0 };
    assert_eq!(
        stats,
        CleanerStats {
            map_bytes_read: before,
            map_messages_read: 6,
            bytes_read: before,
            bytes_written: size,
            messages,
            buffer_utilization: 3.0 / 101.0,
        }
    );
    assert!(log.throttled >= 2 * before + size);
}

#[test]
fn a_full_map_ends_the_cleaning_early_and_the_next_one_goes_on_there() {
    let mut log = two_segments();
    let mut stats = CleanerStats::default();
    let end = clean(&mut log, 0, 2, &mut stats).unwrap();
    assert_eq!(end, 2, "a and b fill the map, and a once more does not fit");
    assert_eq!(offsets(&log), [0, 1, 2, 3, 4, 5]);
    let end = clean(&mut log, end, 2, &mut stats).unwrap();
    assert_eq!((end, offsets(&log)), (4, vec![1, 2, 3, 4, 5]));
    let end = clean(&mut log, end, 2, &mut stats).unwrap();
    assert_eq!((end, offsets(&log)), (6, vec![1, 4, 5]));
    assert_eq!(clean(&mut log, end, 2, &mut stats).unwrap(), 6, "there is nothing dirty");
}

#[test]
fn what_is_clean_already_is_compared_with_what_is_dirty() {
    let mut log = two_segments();
    clean(&mut log, 3, 100, &mut CleanerStats::default()).unwrap();
    assert_eq!(offsets(&log), [1, 4, 5], "the keys of the first segment were not collected");
    let mut log = two_segments();
    clean(&mut log, 5, 100, &mut CleanerStats::default()).unwrap();
    assert_eq!(offsets(&log), [0, 1, 2, 4, 5]);
}

#[test]
fn offsets_missing_at_a_segments_end_are_clean() {
    let mut log = TestLog::new(&[&[batch(0, &[("a", Some("1"))])]]);
    log.segments[1].base_offset = 50;
    log.append_bytes(&batch(50, &[("b", Some("1"))]));
    assert_eq!(clean(&mut log, 0, 100, &mut CleanerStats::default()).unwrap(), 50);
}

#[test]
fn a_cleaning_that_is_told_to_stop_does() {
    for reads in 0..5 {
        let mut log = TestLog { reads_left: Some(reads), ..two_segments() };
        assert_eq!(clean(&mut log, 0, 100, &mut CleanerStats::default()), Err(CleanerError::Aborted));
        assert_eq!(offsets(&log), [0, 1, 2, 3, 4, 5], "the group was not ended");
    }
}

#[test]
fn damage_is_named() {
    let mut log = two_segments();
    let position = log.segments[1].batches()[0].bytes.len();
    *log.segments[1].bytes.last_mut().unwrap() ^= 1;
    let error = clean(&mut log, 0, 100, &mut CleanerStats::default()).unwrap_err();
    assert!(matches!(error, CleanerError::Batch { segment: 3, base_offset: 4, .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("the batch at offset 4, position {position} of segment 3 cannot be compacted: ")),
        "{text}"
    );

    let mut log = two_segments();
    log.segments[0].bytes.pop();
    let error = clean(&mut log, 0, 100, &mut CleanerStats::default()).unwrap_err();
    assert!(matches!(error, CleanerError::Batch { segment: 0, position: 0, base_offset: -1, .. }), "{error:?}");
}

#[test]
fn the_transaction_index_is_made_anew() {
    let data =
        |offset, producer| batch_builder(offset, &[("a", Some("1"))]).producer(producer, 0, 0).transactional().build();
    let first: [Bytes; 3] = [data(0, 1), data(1, 2), marker(2, 1_000, 2, 0, true)];
    let second: [Bytes; 2] = [data(3, 1), marker(4, 1_000, 1, 0, false)];
    let mut log = TestLog::new(&[&first, &second, &[batch(5, &[("z", None)])]]);
    let aborted = AbortedTxn { producer_id: 1, first_offset: 0, last_offset: 4, last_stable_offset: 0 };
    log.segments[1].aborted.push(aborted);
    let end = clean(&mut log, 0, 100, &mut CleanerStats::default()).unwrap();
    assert_eq!(offsets(&log), [1, 2, 4, 5]);
    assert_eq!(log.segments[0].aborted, [aborted]);
    clean(&mut log, end, 100, &mut CleanerStats::default()).unwrap();
    assert_eq!(offsets(&log), [1, 2, 4, 5], "the marker has its horizon only now");
    assert_eq!(log.segments[0].aborted, []);
}
