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
