//! What fails or vanishes while it is used: a flush beside a deletion, a full disk, a directory that is in the way.

use super::*;

#[test]
fn a_flush_of_a_log_deleted_meanwhile_is_no_failure() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    append(&mut log, &batch(1, 10, 0));
    let task = log.flush_task().unwrap().unwrap();
    dir.delete_log(log).unwrap();
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
    log.assign_epoch_start(1, 3).unwrap();
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
