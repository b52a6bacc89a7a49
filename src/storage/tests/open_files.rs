//! More logs than descriptors.

use super::*;

const FILES: usize = 4;
const LOGS: i32 = 20;

fn few() -> LogDirOptions {
    LogDirOptions { max_open_files: FILES, ..options() }
}

fn new_logs(dir: &LogDir, config: &LogConfig) -> Vec<Log> {
    let create = |partition| {
        dir.create_log(&TopicPartition::new("orders", partition), Uuid::from_u128(5), config.clone(), at(0)).unwrap()
    };
    (0..LOGS).map(create).collect()
}

/// How many `.log` files below `path` this process has open.
fn open_below(path: &Path) -> usize {
    let targets =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| entry.unwrap().path().read_link().ok());
    targets
        .filter(|target| target.starts_with(path) && target.extension().is_some_and(|suffix| suffix == "log"))
        .count()
}

#[test]
fn logs_beyond_the_bound_are_written_read_flushed_and_recovered() {
    let disk = Disk::new(small_segments());
    let dir = LogDir::open(disk.dir.path(), &few()).unwrap();
    let mut logs = new_logs(&dir, &disk.config);
    for round in 0..10 {
        for log in &mut logs {
            append(log, &batch(3, 100, round));
        }
        assert!(open_below(disk.dir.path()) <= FILES);
    }
    for log in &mut logs {
        assert_eq!((read_all(log, 0, 500).len(), log.segment_count() > 1), (10, true));
        let task = log.flush_task().unwrap().unwrap();
        append(log, &batch(1, 1, 0));
        log.flushed(task.run().unwrap(), at(0));
        assert_eq!((log.recovery_point(), log.log_end_offset()), (30, 31));
        log.truncate_to(30, at(0)).unwrap();
    }
    assert!(open_below(disk.dir.path()) <= FILES);
    drop((dir, logs));
    let dir = LogDir::open(disk.dir.path(), &few()).unwrap();
    let mut loaded = load(&dir, &disk.config).unwrap();
    assert!(open_below(disk.dir.path()) <= FILES);
    assert_eq!(loaded.len(), LOGS as usize);
    for LoadedLog { log, .. } in &mut loaded {
        assert_eq!((log.log_end_offset(), read_all(log, 0, 500).len()), (30, 10));
        assert_eq!(append(log, &batch(1, 1, 0)).first_offset, 30);
        let task = log.flush_task().unwrap().unwrap();
        log.flushed(task.run().unwrap(), at(0));
    }
    assert!(open_below(disk.dir.path()) <= FILES && !dir.is_offline());
}

#[test]
fn readers_that_keep_files_do_not_stop_the_others() {
    // Not in memory: there the system does not say what is cached.
    let disk = Disk { dir: tempfile::tempdir().unwrap(), config: LogConfig::default() };
    let dir = LogDir::open(disk.dir.path(), &few()).unwrap();
    let mut logs = new_logs(&dir, &disk.config);
    for log in &mut logs {
        append(log, &batch(10, 3_000, 0));
    }
    let slices: Vec<_> = logs.iter().map(|log| log.read(0, 1 << 20, i64::MAX, true).unwrap()).collect();
    // Ready to be sent, and not sent yet: ranges keep their files open, so there are only so many of them.
    let pieces: Vec<_> = slices.iter().map(|slice| slice.cached().unwrap().unwrap()).collect();
    assert!(pieces.iter().all(|piece| piece.len() > 30_000));
    let ranges = pieces.iter().filter(|piece| matches!(piece, crate::protocol::frame::Piece::File(_))).count();
    assert!(ranges <= FILES, "{ranges}");
    assert!(open_below(disk.dir.path()) <= FILES + 1);
    for log in &mut logs {
        append(log, &batch(1, 1, 0));
        assert_eq!(read_all(log, 0, 100).len(), 2);
    }
    drop(pieces);
    for (log, slice) in logs.iter_mut().zip(&slices) {
        append(log, &batch(1, 1, 0));
        assert!(slice.read_blocking().unwrap().len() > 30_000);
    }
    assert!(open_below(disk.dir.path()) <= FILES);
}

/// The error of a write that reaches the disk late is told by an fsync on the descriptor that was written to, and
/// maybe nowhere else.
#[test]
fn f11_a_file_that_cannot_be_synced_is_not_closed_in_silence() {
    let disk = Disk::new(LogConfig::default());
    let dir = LogDir::open(disk.dir.path(), &few()).unwrap();
    let mut logs = new_logs(&dir, &disk.config);
    // This device takes every write, and no fsync.
    std::os::unix::fs::symlink("/dev/null", disk.partition_dir().join("00000000000000000000.log")).unwrap();
    let mut refused = 0;
    for log in &mut logs {
        let appended = log.append_as_leader(&batch(1, 1, 0), 0, AppendOrigin::Client, at(0));
        refused += usize::from(appended.is_err());
    }
    assert_eq!(refused, LOGS as usize - FILES);
    assert!(dir.offline_reason().unwrap().contains("cannot sync"));
}

#[test]
fn a_file_that_vanished_is_not_made_again() {
    let disk = Disk::new(LogConfig::default());
    let dir = LogDir::open(disk.dir.path(), &few()).unwrap();
    let mut logs = new_logs(&dir, &disk.config);
    for log in &mut logs {
        append(log, &batch(1, 1, 0));
    }
    std::fs::remove_file(disk.partition_dir().join("00000000000000000000.log")).unwrap();
    let lost = logs[0].append_as_leader(&batch(1, 1, 0), 0, AppendOrigin::Client, at(0));
    assert!(matches!(lost, Err(AppendError::Storage(StorageError::Io { .. }))), "{lost:?}");
    assert!(dir.is_offline() && disk.files() == ["leader-epoch-checkpoint", "partition.metadata"]);
}
