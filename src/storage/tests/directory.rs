//! The log directory: identity, lock, checkpoints, creation and deletion, failures.

use super::*;

#[test]
fn a_directory_belongs_to_one_process_one_node_and_one_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let first = LogDir::open(dir.path(), &options()).unwrap();
    assert_eq!(first.cluster_id(), "the-cluster");
    assert!(matches!(LogDir::open(dir.path(), &options()), Err(LogDirError::Locked(_))));
    let directory_id = first.directory_id();
    drop(first);
    let open = |node_id, cluster_id: Option<&str>| {
        let cluster_id = cluster_id.map(str::to_owned);
        LogDir::open(dir.path(), &LogDirOptions { node_id, cluster_id, ..options() })
    };
    assert_eq!(open(1, None).unwrap().directory_id(), directory_id);
    assert!(matches!(open(2, None), Err(LogDirError::Foreign { .. })));
    assert!(matches!(open(1, Some("another")), Err(LogDirError::Foreign { .. })));
    std::fs::write(dir.path().join("meta.properties"), "").unwrap();
    assert!(matches!(open(1, None), Err(LogDirError::Unidentified { .. })));
    std::fs::write(dir.path().join("meta.properties"), [0xff, 0xfe]).unwrap();
    assert!(matches!(open(1, None), Err(LogDirError::Unidentified { .. })));
    std::fs::remove_file(dir.path().join("meta.properties")).unwrap();
    std::fs::create_dir(dir.path().join("orders-0")).unwrap();
    assert!(matches!(open(1, None), Err(LogDirError::Unidentified { .. })), "data without an owner is not taken over");
}

#[test]
fn files_are_kafkas() {
    let disk = Disk::new(small_segments());
    let (dir, mut log) = disk.create();
    for n in 0..12 {
        append(&mut log, &idempotent(7, 0, n * 10, 10));
    }
    Disk::stop((dir, log));
    let expected = [
        "00000000000000000000.index",
        "00000000000000000000.log",
        "00000000000000000000.timeindex",
        "00000000000000000110.index",
        "00000000000000000110.log",
        "00000000000000000110.snapshot",
        "00000000000000000110.timeindex",
        "00000000000000000120.snapshot",
        "leader-epoch-checkpoint",
        "partition.metadata",
    ];
    assert_eq!(disk.files(), expected);
    let text = |name: &str| std::fs::read_to_string(disk.dir.path().join(name)).unwrap();
    assert_eq!(text("orders-0/partition.metadata"), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAABQ");
    assert_eq!(text("orders-0/leader-epoch-checkpoint"), "0\n1\n0 0\n");
    assert_eq!(text("recovery-point-offset-checkpoint"), "0\n1\norders 0 120\n");
    assert_eq!(text("replication-offset-checkpoint"), "0\n1\norders 0 120\n");
    assert_eq!(text("log-start-offset-checkpoint"), "0\n0\n");
    assert_eq!(text(".kafka_cleanshutdown"), "{\"version\":0,\"brokerEpoch\":7}");
    let dir = LogDir::open(disk.dir.path(), &options()).unwrap();
    let loaded = load(&dir, &small_segments()).unwrap().remove(0);
    assert!(dir.had_clean_shutdown() && !disk.dir.path().join(".kafka_cleanshutdown").exists());
    assert_eq!((loaded.topic_id, loaded.high_watermark, loaded.log.log_end_offset()), (Uuid::from_u128(5), 120, 120));
    assert_eq!(loaded.log.recovery_point(), 120);
}

/// Ten thousand partitions start and stop in a second only if nothing is written for them.
#[test]
fn a_leadership_without_records_writes_nothing() {
    let disk = Disk::new(LogConfig::default());
    let epochs = || std::fs::read_to_string(disk.partition_dir().join("leader-epoch-checkpoint"));
    let (dir, mut log) = disk.create();
    log.begin_epoch(3);
    assert_eq!(log.latest_epoch(), Some(3));
    Disk::stop((dir, log));
    assert!(epochs().is_err());
    let (dir, mut log) = disk.start();
    assert_eq!(log.latest_epoch(), None);
    log.begin_epoch(4);
    log.append_as_leader(&batch(2, 10, 0), 4, AppendOrigin::Client, at(0)).unwrap();
    assert_eq!(epochs().unwrap(), "0\n1\n4 0\n");
    let (dir, mut log) = disk.restart_after_crash((dir, log));
    log.begin_epoch(5);
    Disk::stop((dir, log));
    assert_eq!(epochs().unwrap(), "0\n1\n4 0\n");
    let (_dir, mut log) = disk.start();
    log.begin_epoch(6);
    assert_eq!((log.epoch_for_offset(1), log.latest_epoch()), (Some(4), Some(6)));
    log.append_as_leader(&batch(2, 10, 0), 6, AppendOrigin::Client, at(0)).unwrap();
    assert_eq!(epochs().unwrap(), "0\n2\n4 0\n6 2\n");
}

#[test]
fn an_unused_log_costs_a_directory_and_one_file() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    assert_eq!(disk.files(), ["partition.metadata"]);
    assert!(log.flush_task().unwrap().is_none());
    log.close().unwrap();
    assert_eq!(disk.files(), ["partition.metadata"]);
    let (_dir, mut log) = disk.restart_after_crash((dir, log));
    assert_eq!(append(&mut log, &batch(1, 1, 0)).first_offset, 0);
}

/// `monotonic` after a start.
fn later(monotonic: Duration) -> Now {
    Now { monotonic, ..at(0) }
}

/// The directories of deleted logs.
fn doomed(disk: &Disk) -> Vec<String> {
    let names =
        std::fs::read_dir(disk.dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with("-delete") && name != "x-delete").collect()
}

#[test]
fn a_deleted_log_is_gone_at_once_and_its_files_after_the_delay() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    append(&mut log, &batch(1, 1, 0));
    dir.delete_log(log, at(0)).unwrap();
    assert!(!disk.partition_dir().exists());
    let [name] = &doomed(&disk)[..] else { panic!("{:?}", doomed(&disk)) };
    assert!(name.starts_with("orders-0.") && name.len() == "orders-0.".len() + 32 + "-delete".len(), "{name}");
    // The name is free, and what is deleted next is due later.
    let second = dir.create_log(&orders(), Uuid::from_u128(6), LogConfig::default(), at(0)).unwrap();
    dir.delete_log(second, later(Duration::from_millis(1))).unwrap();
    assert!(!dir.remove_deleted(later(DELETE_DELAY / 2)).unwrap());
    assert!(dir.remove_deleted(later(DELETE_DELAY)).unwrap());
    assert!(!dir.remove_deleted(later(DELETE_DELAY)).unwrap());
    assert_eq!(doomed(&disk).len(), 1);
    assert!(dir.remove_deleted(later(DELETE_DELAY * 2)).unwrap() && doomed(&disk).is_empty());
}

#[test]
fn a_deletion_that_was_interrupted_is_finished_after_the_next_start() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    append(&mut log, &batch(1, 1, 0));
    dir.delete_log(log, at(0)).unwrap();
    drop(dir);
    // Half of another one, of which not everything is left.
    let half = disk.dir.path().join("orders-0.0123456789abcdef0123456789abcdef-delete");
    std::fs::create_dir(&half).unwrap();
    for foreign in ["lost+found", "x-delete", "__cluster_metadata-0", "-1", "topic--1"] {
        std::fs::create_dir(disk.dir.path().join(foreign)).unwrap();
    }
    let dir = LogDir::open(disk.dir.path(), &options()).unwrap();
    let loaded = load(&dir, &LogConfig::default()).unwrap();
    let names: Vec<_> = loaded.iter().map(|loaded| loaded.topic_partition.to_string()).collect();
    assert_eq!(names, ["topic--1"]);
    assert!(!dir.remove_deleted(at(0)).unwrap() && doomed(&disk).len() == 2);
    while dir.remove_deleted(later(DELETE_DELAY)).unwrap() {}
    assert!(doomed(&disk).is_empty() && disk.dir.path().join("__cluster_metadata-0").exists());
    assert!(disk.dir.path().join("x-delete").exists());
}

#[test]
fn the_name_of_a_deleted_log_fits_into_a_directory() {
    let disk = Disk::new(LogConfig::default());
    let dir = LogDir::open(disk.dir.path(), &options()).unwrap();
    let longest = TopicPartition::new("t".repeat(249), 99_999);
    let log = dir.create_log(&longest, Uuid::from_u128(5), LogConfig::default(), at(0)).unwrap();
    dir.delete_log(log, at(0)).unwrap();
    let [name] = &doomed(&disk)[..] else { panic!("{:?}", doomed(&disk)) };
    assert!(name.len() == 255 && name.contains("t-99999."), "{name}");
    assert!(dir.remove_deleted(later(DELETE_DELAY)).unwrap());
}

#[test]
fn the_checkpoints_are_known_by_their_lines() {
    let disk = Disk::new(LogConfig::default());
    let (dir, log) = disk.create();
    assert!(!dir.is_checkpointed(&orders()));
    dir.write_checkpoints(&[checkpoint_of(&log)]).unwrap();
    let (dir, log) = disk.restart_after_crash((dir, log));
    assert!(dir.is_checkpointed(&orders()));
    dir.delete_log(log, at(0)).unwrap();
    assert!(dir.is_checkpointed(&orders()), "the line is still there");
    dir.write_checkpoints(&[]).unwrap();
    assert!(!dir.is_checkpointed(&orders()));
}

#[test]
fn f10_a_failed_write_takes_the_directory_offline_before_the_next_append() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    // Writes to this device fail, and so does cutting them off again.
    std::os::unix::fs::symlink("/dev/full", disk.partition_dir().join("00000000000000000000.log")).unwrap();
    let other = dir.create_log(&TopicPartition::new("other", 3), Uuid::nil(), LogConfig::default(), at(0));
    let mut other = other.unwrap();
    append(&mut other, &batch(1, 1, 0));
    let offer = |log: &mut Log| log.append_as_leader(&batch(1, 1, 0), 0, AppendOrigin::Client, at(0));
    assert!(matches!(offer(&mut log), Err(AppendError::Storage(StorageError::Io { .. }))));
    assert!(dir.is_offline());
    for log in [&mut log, &mut other] {
        assert!(matches!(offer(log), Err(AppendError::Storage(StorageError::Offline { .. }))));
    }
    assert_eq!(log.log_end_offset(), 0);
    assert_eq!(read_all(&other, 0, 1000).len(), 1, "what is there can be read");
    assert!(dir.create_log(&TopicPartition::new("third", 0), Uuid::nil(), LogConfig::default(), at(0)).is_err());
}

#[test]
fn a_recovery_point_only_moves_when_a_flush_has_run() {
    let disk = Disk::new(small_segments());
    let (_dir, mut log) = disk.create();
    let mut rolled = 0;
    for _ in 0..20 {
        rolled += usize::from(append(&mut log, &batch(2, 100, 0)).rolled);
    }
    assert_eq!((rolled, log.recovery_point(), log.unflushed_messages()), (log.segment_count() - 1, 0, 40));
    let size = log.active().size();
    assert!(!log.roll_from(size + 1, at(0)).unwrap(), "the active segment is smaller");
    let task = log.flush_rolled_task().unwrap().unwrap();
    append(&mut log, &batch(2, 100, 0));
    log.flushed(task.run().unwrap(), at(0));
    assert!(log.recovery_point() > 0 && log.unflushed_messages() > 2);
    assert!(log.flush_rolled_task().unwrap().is_none());
    assert!(!log.is_flush_due(at(i64::MAX / 2)));
    log.set_config(LogConfig { flush_ms: 1_000, ..small_segments() });
    let jumped = |forward_ms: i64, later: Now| Now { timestamp_ms: later.timestamp_ms + forward_ms, ..later };
    assert!(!log.is_flush_due(jumped(1 << 40, at(999))), "the wall clock flushes nothing early");
    assert!(log.is_flush_due(jumped(-(1 << 40), at(1_000))), "nor late");
    log.set_config(LogConfig { flush_messages: 3, ..small_segments() });
    assert!(log.is_flush_due(at(0)));
    let task = log.flush_task().unwrap().unwrap();
    log.flushed(task.run().unwrap(), at(0));
    assert_eq!(log.unflushed_messages(), 0);
    append(&mut log, &batch(2, 100, 0));
    let task = log.flush_task().unwrap().unwrap();
    log.truncate_to(40, at(0)).unwrap();
    append(&mut log, &batch(4, 100, 0));
    log.flushed(task.run().unwrap(), at(0));
    assert_eq!((log.recovery_point(), log.log_end_offset()), (40, 44), "other records are there now");
}

#[test]
fn no_name_leads_out_of_the_directory() {
    let disk = Disk::new(LogConfig::default());
    let dir = LogDir::open(disk.dir.path(), &options()).unwrap();
    for name in ["../x", "a/b", "/etc/x", "x\0y"] {
        let topic_partition = TopicPartition::new(name, 0);
        assert!(dir.create_log(&topic_partition, Uuid::nil(), LogConfig::default(), at(0)).is_err());
    }
}

#[test]
fn a_compacted_topic_loses_nothing_to_retention() {
    let disk =
        Disk::new(LogConfig { compact: true, delete: false, retention_ms: 1, retention_bytes: 1, ..small_segments() });
    let (_dir, mut log) = disk.create();
    for _ in 0..20 {
        append(&mut log, &batch(2, 100, 0));
    }
    assert_eq!(log.delete_old_segments(40, at(1 << 40)).unwrap(), 0);
    log.increment_log_start_offset(25).unwrap();
    assert!(log.delete_old_segments(40, at(1 << 40)).unwrap() > 0);
    assert_eq!(log.log_start_offset(), 25);
}
