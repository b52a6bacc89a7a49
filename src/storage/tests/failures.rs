//! What fails or vanishes while it is used: a flush beside a deletion, a full disk, a directory that is in the way.

use super::*;

#[test]
fn a_flush_of_a_log_deleted_meanwhile_is_no_failure() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    append(&mut log, &batch(1, 10, 0));
    let task = log.flush_task().unwrap().unwrap();
    dir.delete_log(log, at(0)).unwrap();
    assert_eq!(task.run().unwrap().offset(), 1);
    assert_eq!(dir.offline_reason(), None);
    // The log directory itself must be there.
    let disk = Disk::new(LogConfig::default());
    let (_dir, mut log) = disk.create();
    append(&mut log, &batch(1, 10, 0));
    let task = log.flush_task().unwrap().unwrap();
    drop(disk);
    assert!(task.run().is_err());
}

#[test]
fn a_flush_that_cannot_open_a_file_is_due_again() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    append(&mut log, &batch(1, 10, 0));
    let too_many = || std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
    let task = log.flush_task().unwrap().unwrap();
    assert!(task.sync_opened(disk.dir.path(), Err(too_many())).is_err());
    assert!(!dir.is_offline());
    drop(task);
    let again = log.flush_task().unwrap().unwrap();
    log.flushed(again.run().unwrap(), at(0));
    append(&mut log, &batch(1, 10, 0));
    let third = log.flush_task().unwrap().unwrap();
    append(&mut log, &batch(1, 10, 0));
    log.append_as_leader(&batch(1, 10, 0), 1, AppendOrigin::Client, at(0)).unwrap();
    let fourth = log.flush_task().unwrap().unwrap();
    drop(disk);
    assert!(third.run().is_ok(), "the entries of the directories were on the disk already");
    assert!(fourth.run().is_err(), "there is a new entry");
}

#[test]
fn a_dropped_flush_leaves_the_directories_due() {
    let disk = Disk::new(LogConfig::default());
    let (_dir, mut log) = disk.create();
    append(&mut log, &batch(1, 10, 0));
    drop(log.flush_task().unwrap().unwrap());
    let again = log.flush_task().unwrap().unwrap();
    drop(disk);
    assert!(again.run().is_err(), "the log directory is synced again");
}

#[test]
fn the_first_flush_syncs_the_topics_id() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    append(&mut log, &batch(1, 10, 0));
    // A link to itself cannot be opened: whoever tries fails.
    let metadata = disk.partition_dir().join("partition.metadata");
    let kept = std::fs::read(&metadata).unwrap();
    std::fs::remove_file(&metadata).unwrap();
    std::os::unix::fs::symlink(&metadata, &metadata).unwrap();
    assert!(log.flush_task().unwrap().unwrap().run().is_err());
    assert!(dir.is_offline());
    drop((dir, log));
    std::fs::remove_file(&metadata).unwrap();
    std::fs::write(&metadata, kept).unwrap();
    assert_eq!(disk.start().1.topic_id(), Uuid::from_u128(5));
}

#[test]
fn a_log_without_a_topic_id_adopts_one_that_stays() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    append(&mut log, &batch(1, 10, 0));
    std::fs::write(disk.partition_dir().join("partition.metadata"), "").unwrap();
    let (dir, mut log) = disk.restart_after_crash((dir, log));
    assert!(log.topic_id().is_nil());
    log.adopt_topic_id(Uuid::from_u128(6)).unwrap();
    log.adopt_topic_id(Uuid::from_u128(6)).unwrap();
    assert!(log.adopt_topic_id(Uuid::from_u128(7)).is_err() && !dir.is_offline());
    let (_dir, log) = disk.restart_after_crash((dir, log));
    assert_eq!((log.topic_id(), log.log_end_offset()), (Uuid::from_u128(6), 1));
}

#[test]
fn a_log_set_aside_keeps_its_records_and_is_not_loaded() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    append(&mut log, &batch(1, 10, 0));
    let records = std::fs::read(disk.partition_dir().join("00000000000000000000.log")).unwrap();
    dir.set_aside(log).unwrap();
    let strays = strays(&disk);
    assert_eq!(std::fs::read(strays[0].join("00000000000000000000.log")).unwrap(), records);
    let log = dir.create_log(&orders(), Uuid::from_u128(6), LogConfig::default(), at(0)).unwrap();
    let (_dir, log) = disk.restart_after_crash((dir, log));
    assert_eq!((log.topic_id(), log.log_end_offset()), (Uuid::from_u128(6), 0));
    assert!(strays[0].exists());
}

/// The directories that were set aside.
fn strays(disk: &Disk) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(disk.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_str().is_some_and(|path| path.ends_with("-stray"))).collect()
}

#[test]
fn what_is_in_a_new_logs_place_is_used_or_set_aside() {
    let metadata = "partition.metadata";
    for (files, stray_count) in [
        (&[][..], 0),
        (&[metadata], 0),
        (&[metadata, "partition.metadata.tmp"], 0),
        (&[metadata, "00000000000000000000.log"], 1),
        (&["foreign"], 1),
    ] {
        let disk = Disk::new(LogConfig::default());
        let dir = LogDir::open(disk.dir.path(), &options()).unwrap();
        std::fs::create_dir(disk.partition_dir()).unwrap();
        for file in files {
            std::fs::write(disk.partition_dir().join(file), "old").unwrap();
        }
        let log = dir.create_log(&orders(), Uuid::from_u128(6), LogConfig::default(), at(0)).unwrap();
        assert_eq!(strays(&disk).len(), stray_count, "{files:?}");
        if let Some(stray) = strays(&disk).first() {
            assert!(files.iter().all(|file| std::fs::read(stray.join(file)).unwrap() == b"old"));
        }
        let (dir, log) = disk.restart_after_crash((dir, log));
        assert_eq!((log.topic_id(), log.log_end_offset()), (Uuid::from_u128(6), 0));
        assert!(!dir.is_offline());
    }
}

#[test]
fn a_log_that_cannot_be_made_leaves_no_directory() {
    let disk = Disk::new(LogConfig::default());
    // So deep that the name of the directory fits into a path and those of the files in it do not.
    let mut deep = disk.dir.path().to_path_buf();
    while deep.as_os_str().len() < 3_700 {
        deep.push("d".repeat(200));
    }
    deep.push("d".repeat(3_960 - deep.as_os_str().len()));
    let dir = LogDir::open(&deep, &options()).unwrap();
    let topic_partition = TopicPartition::new("t".repeat(120), 0);
    assert!(dir.create_log(&topic_partition, Uuid::from_u128(5), LogConfig::default(), at(0)).is_err());
    assert!(!deep.join(topic_partition.to_string()).exists());
}

#[test]
fn a_roll_on_a_full_disk_loses_and_repeats_no_offset() {
    let disk = Disk::new(small_segments());
    let (dir, mut log) = disk.create();
    append(&mut log, &idempotent(7, 0, 0, 2));
    append(&mut log, &batch(1, 1_500, 0));
    // What is written to this device does not fit; the link vanishes with the failure.
    for suffix in ["snapshot", "index"] {
        let base_offset = if suffix == "index" { 0 } else { log.log_end_offset() };
        let tmp = disk.partition_dir().join(format!("{base_offset:020}.{suffix}.tmp"));
        std::os::unix::fs::symlink("/dev/full", tmp).unwrap();
        assert!(log.append_as_leader(&batch(1, 1_500, 0), 0, AppendOrigin::Client, at(0)).is_err(), "{suffix}");
        assert!(!dir.is_offline(), "{suffix}");
        assert_eq!(disk.files().iter().filter(|name| name.contains(".log")).count(), 1, "{suffix}");
        append(&mut log, &batch(1, 1, 0));
    }
    append(&mut log, &batch(1, 1_500, 0));
    assert_eq!((log.segment_count(), log.log_end_offset()), (2, 6));
    let (_dir, mut log) = disk.restart_after_crash((dir, log));
    assert_eq!((log.log_end_offset(), read_all(&log, 0, 100).len()), (6, 5));
    assert_eq!(append(&mut log, &batch(1, 1, 0)).first_offset, 6);
}

#[test]
fn an_empty_segment_amid_the_log_ends_nothing() {
    for clean in [true, false] {
        let disk = Disk::new(LogConfig::default());
        let (dir, mut log) = disk.create();
        for _ in 0..5 {
            append(&mut log, &batch(2, 10, 0));
        }
        if clean {
            Disk::stop((dir, log));
        } else {
            drop((dir, log));
        }
        let empty = |offset: i64| disk.partition_dir().join(format!("{offset:020}.log"));
        for offset in [4, 6, 10] {
            std::fs::write(empty(offset), "").unwrap();
        }
        let (_dir, mut log) = disk.start();
        assert_eq!((log.log_end_offset(), read_all(&log, 0, 100).len()), (10, 5), "clean: {clean}");
        assert!(!empty(4).exists() && !empty(6).exists() && empty(10).exists());
        assert_eq!(append(&mut log, &batch(2, 10, 0)).first_offset, 10);
    }
}

#[test]
fn a_stale_log_start_offset_takes_no_records() {
    for clean in [true, false] {
        let disk = Disk::new(small_segments());
        let (dir, mut old) = disk.create();
        for _ in 0..50 {
            append(&mut old, &batch(2, 10, 0));
        }
        old.increment_log_start_offset(50).unwrap();
        let stale = CheckpointEntry { recovery_point: 100, ..checkpoint_of(&old) };
        dir.delete_log(old, at(0)).unwrap();
        let mut log = dir.create_log(&orders(), Uuid::from_u128(6), small_segments(), at(0)).unwrap();
        for _ in 0..10 {
            append(&mut log, &batch(2, 300, 0));
        }
        log.close().unwrap();
        if clean {
            dir.close(&[stale], 7).unwrap();
        } else {
            dir.write_checkpoints(&[stale]).unwrap();
        }
        let (dir, log) = disk.restart_after_crash((dir, log));
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 20), "clean: {clean}");
        assert_eq!((read_all(&log, 0, 100).len(), log.recovery_point()), (10, if clean { 20 } else { 0 }));
        assert_eq!(log.end_offset_for_epoch(0), Some((0, 20)));
        drop((dir, log));
    }
}

#[test]
fn a_log_without_records_begins_at_the_checkpoint() {
    let disk = Disk::new(LogConfig::default());
    let (dir, log) = disk.create();
    let entry = CheckpointEntry { log_start_offset: 50, recovery_point: 50, ..checkpoint_of(&log) };
    dir.write_checkpoints(&[entry]).unwrap();
    std::fs::write(disk.partition_dir().join("00000000000000000007.log"), "").unwrap();
    let (_dir, mut log) = disk.restart_after_crash((dir, log));
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.segment_count()), (50, 50, 1));
    assert_eq!(append(&mut log, &batch(1, 10, 0)).first_offset, 50);
}

#[test]
fn a_partition_directory_that_somebody_removes_fails_alone() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    append(&mut log, &batch(1, 10, 0));
    std::fs::remove_dir_all(disk.partition_dir()).unwrap();
    // A new epoch is written into the directory.
    assert!(log.append_as_leader(&batch(1, 10, 0), 1, AppendOrigin::Client, at(0)).is_err());
    assert!(!dir.is_offline());
    dir.delete_log(log, at(0)).unwrap();
    assert!(!dir.is_offline() && !dir.remove_deleted(at(0)).unwrap());
    let mut log = dir.create_log(&orders(), Uuid::from_u128(6), LogConfig::default(), at(0)).unwrap();
    assert_eq!(append(&mut log, &batch(1, 10, 0)).first_offset, 0);
}
