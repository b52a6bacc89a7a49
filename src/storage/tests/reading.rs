//! Appending and reading, on disk and in memory.

use super::*;
use crate::protocol::compression::Compression;
use crate::protocol::frame::Piece;
use crate::protocol::record_batch::HEADER_SIZE;
use crate::protocol::record_batch::TimestampType;

fn memory_log(config: LogConfig) -> Log {
    LogDir::memory().create_log(&orders(), Uuid::nil(), config, at(0)).unwrap()
}

#[test]
fn a_leader_gives_offset_and_epoch_and_changes_nothing_else() {
    let disk = Disk::new(LogConfig::default());
    for mut log in [disk.create().1, memory_log(LogConfig::default())] {
        let records = batch(3, 10, 0);
        append(&mut log, &batch(2, 10, 0));
        let info = log.append_as_leader(&records, 4, AppendOrigin::Client, at(0)).unwrap();
        assert_eq!((info.first_offset, info.last_offset, info.log_append_time_ms), (2, 4, -1));
        let read = read_all(&log, 2, 10_000).remove(0);
        assert_eq!((read.header.base_offset, read.header.partition_leader_epoch), (2, 4));
        assert_eq!(read.bytes[16..], records[16..]);
        assert_eq!((log.latest_epoch(), log.epoch_for_offset(1), log.epoch_for_offset(2)), (Some(4), Some(0), Some(4)));
        assert_eq!(log.end_offset_for_epoch(0), Some((0, 2)));
    }
}

#[test]
fn log_append_time_patches_the_timestamp_and_never_goes_back() {
    let config = LogConfig { message_timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() };
    let mut log = memory_log(config);
    for (now, expected) in [(100, 100), (50, 100), (120, 120)] {
        let info = log.append_as_leader(&batch(2, 5, 0), 0, AppendOrigin::Client, at(now)).unwrap();
        assert_eq!(info.log_append_time_ms, START_MS + expected);
    }
    let read = read_all(&log, 0, 10_000);
    for batch in &read {
        batch.verify_crc().unwrap();
    }
    let records: Vec<_> = read[2].records(1000).unwrap().map(|record| record.unwrap().timestamp).collect();
    assert_eq!(records, [START_MS + 120; 2]);
}

#[test]
fn reads_end_at_the_limit_the_bound_and_the_segment() {
    let disk = Disk::new(small_segments());
    for mut log in [disk.create().1, memory_log(small_segments())] {
        let one = batch(2, 100, 0);
        for _ in 0..20 {
            append(&mut log, &one);
        }
        let size = one.len();
        assert!(log.segment_count() > 2);
        let len = |offset, max, bound, min_one| log.read(offset, max, bound, min_one).unwrap().len();
        assert_eq!(len(0, size, i64::MAX, false), size);
        assert_eq!(len(0, size - 1, i64::MAX, false), 0);
        assert_eq!(len(0, size - 1, i64::MAX, true), size);
        assert_eq!(len(0, 0, i64::MAX, true), size);
        assert_eq!(len(1, size + 7, i64::MAX, false), size + 7, "an offset in the middle gives its whole batch");
        assert_eq!(len(0, 100_000, 4, true), 2 * size);
        assert_eq!(len(0, 100_000, 5, true), 2 * size, "the bound lies in a batch, which is left out");
        assert_eq!(len(4, 100_000, 4, true), 0);
        assert_eq!(len(40, 100_000, i64::MAX, true), 0, "the log end offset is in range and has nothing");
        assert!(len(0, 100_000, i64::MAX, true) <= 2_000);
        for offset in [-1, 41, i64::MAX, i64::MIN] {
            assert!(matches!(log.read(offset, 1, i64::MAX, true), Err(ReadError::OutOfRange { .. })));
        }
        for (offset, max_bytes) in [(0, 1), (0, 10_000), (13, 500)] {
            let read = read_all(&log, offset, max_bytes);
            let offsets: Vec<_> = read.iter().map(|batch| batch.header.base_offset).collect();
            let first = offset / 2 * 2;
            assert_eq!(offsets, (first..40).step_by(2).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_slice_outlives_its_segment_and_cached_reads_need_no_disk() {
    let disk = Disk::new(small_segments());
    for mut log in [disk.create().1, memory_log(small_segments())] {
        for _ in 0..20 {
            append(&mut log, &batch(2, 100, 0));
        }
        let slice = log.read(0, 10_000, i64::MAX, true).unwrap();
        let before = slice.read_blocking().unwrap();
        match slice.cached().unwrap() {
            Some(Piece::Bytes(cached)) => assert_eq!(cached, before),
            cached => assert!(cached.is_none()),
        }
        assert!(log.delete_old_segments(40, at(1 << 40)).unwrap() > 2);
        remove_files(&log.take_deleted_files(at(1 << 40)));
        assert_eq!(slice.read_blocking().unwrap(), before);
        assert_eq!((log.log_start_offset(), log.log_end_offset(), log.size()), (40, 40, 0));
        assert!(matches!(log.read(0, 1, i64::MAX, true), Err(ReadError::OutOfRange { .. })));
        assert_eq!(append(&mut log, &batch(1, 1, 0)).first_offset, 40);
    }
    assert!(disk.files().iter().all(|name| !name.ends_with(".deleted")));
}

#[test]
fn many_cached_bytes_of_a_file_stay_there() {
    let disk = Disk::new(LogConfig::default());
    let (_dir, mut on_disk) = disk.create();
    let mut in_memory = memory_log(LogConfig::default());
    for log in [&mut on_disk, &mut in_memory] {
        append(log, &batch(1, 300_000, 0));
        append(log, &batch(1, 1_000, 0));
    }
    let slice = |log: &Log, offset| log.read(offset, 10_000_000, i64::MAX, true).unwrap();
    let whole = slice(&on_disk, 0);
    match whole.cached().unwrap() {
        Some(Piece::File(range)) => assert_eq!((range.position(), range.len()), (0, whole.len())),
        // A file system that cannot tell what it has cached.
        cached => assert!(cached.is_none(), "{cached:?}"),
    }
    // Nor is it copied where it had to be read first.
    assert!(matches!(whole.load().unwrap(), Piece::File(range) if range.len() == whole.len()));
    for few in [slice(&on_disk, 1), slice(&in_memory, 0), slice(&in_memory, 1), slice(&on_disk, 2)] {
        match few.cached().unwrap() {
            Some(Piece::Bytes(bytes)) => assert_eq!(bytes, few.read_blocking().unwrap()),
            cached => assert!(cached.is_none(), "{cached:?}"),
        }
        assert!(matches!(few.load().unwrap(), Piece::Bytes(bytes) if bytes.len() == few.len()));
    }
}

#[test]
fn timestamps_are_found_in_every_codec_and_after_a_restart() {
    let disk = Disk::new(small_segments());
    let (dir, mut log) = disk.create();
    let mut memory = memory_log(small_segments());
    // Batch n holds the timestamps 10n, 10n + 5 and 10n + 3.
    for n in 0..60_i64 {
        let mut builder = BatchBuilder::new(0);
        for delta in [0, 5, 3] {
            builder.record_at(START_MS + 10 * n + delta, None, Some(&[b'x'; 60]), &[]);
        }
        builder.compression(Compression::from_id((n % 5) as u8).unwrap());
        append(&mut log, &builder.build());
        append(&mut memory, &builder.build());
    }
    let log = disk.restart_cleanly((dir, log)).1;
    for log in [&log, &memory] {
        let find = |ms| {
            log.offset_for_timestamp(START_MS + ms).unwrap().map(|found| (found.timestamp - START_MS, found.offset))
        };
        assert_eq!(find(-1_000_000), Some((0, 0)));
        for n in 0..60_i64 {
            assert_eq!(find(10 * n), Some((10 * n, 3 * n)));
            assert_eq!(find(10 * n + 1), Some((10 * n + 5, 3 * n + 1)));
            assert_eq!(find(10 * n + 4), Some((10 * n + 5, 3 * n + 1)));
        }
        assert_eq!(find(596), None);
        let max = log.offset_of_max_timestamp().unwrap().unwrap();
        assert_eq!((max.timestamp, max.offset, max.leader_epoch), (START_MS + 595, 178, Some(0)));
    }
}

#[test]
fn a_follower_takes_batches_as_they_are() {
    let mut leader = memory_log(LogConfig::default());
    for n in 0..4 {
        leader.append_as_leader(&batch(2, 10, n), n as i32, AppendOrigin::Client, at(0)).unwrap();
    }
    let bytes = leader.read(0, 10_000, i64::MAX, true).unwrap().read_blocking().unwrap();
    let disk = Disk::new(LogConfig::default());
    let mut follower = disk.create().1;
    let cut = bytes.slice(..bytes.len() - 1);
    let info = follower.append_as_follower(&cut, i32::MAX, at(0)).unwrap();
    assert_eq!((info.first_offset, info.last_offset, follower.log_end_offset()), (0, 5, 6));
    assert!(matches!(follower.append_as_follower(&cut, i32::MAX, at(0)), Err(AppendError::UnexpectedOffset { .. })));
    let rest = leader.read(6, 10_000, i64::MAX, true).unwrap().read_blocking().unwrap();
    follower.append_as_follower(&rest, i32::MAX, at(0)).unwrap();
    assert_eq!(follower.append_as_follower(&Bytes::new(), i32::MAX, at(0)).unwrap().first_offset, 8);
    assert_eq!(read_all(&follower, 0, 10_000), read_all(&leader, 0, 10_000));
    for epoch in 0..4 {
        assert_eq!(follower.end_offset_for_epoch(epoch), leader.end_offset_for_epoch(epoch));
    }
    let mut damaged = rest.to_vec();
    damaged[70] ^= 1;
    assert!(matches!(
        follower.append_as_follower(&Bytes::from(damaged), i32::MAX, at(0)),
        Err(AppendError::CorruptMessage(_))
    ));
}

#[test]
fn truncation_forgets_records_producers_and_epochs() {
    let disk = Disk::new(small_segments());
    let (dir, mut log) = disk.create();
    for n in 0..60 {
        log.append_as_leader(&idempotent(7, 0, n * 2, 2), n / 20, AppendOrigin::Client, at(0)).unwrap();
    }
    log.truncate_to(50, at(0)).unwrap();
    assert_eq!((log.log_end_offset(), log.latest_epoch()), (50, Some(1)));
    let check = |log: &mut Log| {
        assert!(matches!(
            log.append_as_leader(&idempotent(7, 0, 52, 2), 1, AppendOrigin::Client, at(0)),
            Err(AppendError::OutOfOrderSequenceNumber(_))
        ));
        assert_eq!(read_all(log, 0, 10_000).len(), 25);
    };
    check(&mut log);
    let (dir, mut log) = disk.restart_after_crash((dir, log));
    check(&mut log);
    append(&mut log, &idempotent(7, 0, 50, 2));
    log.truncate_fully_and_start_at(900, at(0)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.latest_epoch()), (900, 900, None));
    let (_dir, mut log) = disk.restart_after_crash((dir, log));
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (900, 900));
    assert_eq!(append(&mut log, &idempotent(7, 0, 5, 2)).first_offset, 900);
}

#[test]
fn segments_roll_by_size_time_and_full_indexes() {
    let segments_after = |config: LogConfig, times: &[i64]| {
        let mut log = memory_log(LogConfig { message_timestamp_after_max_ms: i64::MAX, ..config });
        for &ms in times {
            append(&mut log, &batch(1, 100, ms));
        }
        log.segment_count()
    };
    let config = LogConfig::default();
    assert_eq!(segments_after(config.clone(), &[0; 9]), 1);
    assert_eq!(segments_after(LogConfig { segment_bytes: 400, ..config.clone() }, &[0; 9]), 5);
    assert_eq!(segments_after(LogConfig { segment_ms: 10, ..config.clone() }, &[0, 10, 11, 12, 21, 22]), 3);
    let config = LogConfig { segment_index_bytes: 36, index_interval_bytes: 0, ..config };
    assert_eq!(segments_after(config, &[0, 1, 2, 3, 4, 5, 6, 7]), 3, "three time index entries, one of them reserved");
}

#[test]
fn a_lying_timestamp_at_the_last_offset_ends_the_search() {
    let bytes = BatchBuilder::new(START_MS).base_offset(i64::MAX).record(None, None).build();
    let mut header = RecordBatch::parse(&bytes).unwrap().header;
    header.max_timestamp = START_MS + 100;
    header.crc = header.compute_crc(&bytes[HEADER_SIZE..]);
    let mut log = memory_log(LogConfig::default());
    log.append_as_follower(&[&header.to_bytes(), &bytes[HEADER_SIZE..]].concat().into(), i32::MAX, at(0)).unwrap();
    assert_eq!(log.offset_for_timestamp(START_MS + 50).unwrap(), None);
}
