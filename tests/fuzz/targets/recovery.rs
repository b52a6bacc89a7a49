//! Any bytes as the files of a partition: loading them ends, with a log or an error, and a log that was loaded works.
//!
//! The first byte says whether the last stop was clean and whether checksums are mended; the rest are files.

#![no_main]

use klamm::storage::{AppendOrigin, Log};
use klamm_fuzz::files;
use klamm_fuzz::log::{self, Facts, facts, now};
use klamm_fuzz::names::{CLEAN_SHUTDOWN, PARTITION, RECOVERY_POINTS};
use libfuzzer_sys::fuzz_target;

/// Log end offsets from here on are no real log's; what is appended there may run out of numbers.
const LAST_OFFSETS: i64 = i64::MAX - 1000;

fuzz_target!(|input: &[u8]| {
    let Some((&flags, input)) = input.split_first() else { return };
    let mut content = files::unpack(PARTITION, input);
    if flags & 1 != 0 {
        files::mend(&mut content);
    }
    let was_clean = flags & 2 != 0;
    if was_clean {
        content.insert(CLEAN_SHUTDOWN, Vec::new());
    }
    let dir = log::temporary_dir();
    content.insert("meta.properties", b"version=1\nnode.id=1\ncluster.id=c\n".to_vec());
    files::write(dir.path(), &content);
    let Some(mut log) = load(dir.path()) else { return };
    let first = facts(&mut log);
    // Only from a stop that was not clean, and without a recovery point, is everything read and checked.
    let is_checked = !was_clean && !content.contains_key(RECOVERY_POINTS);
    if is_checked {
        assert_whole(&first);
    }
    let was_appended = append(&mut log, is_checked);
    let before = facts(&mut log);
    drop(log);
    if !is_checked {
        return;
    }
    assert!(was_appended || first.offsets.1 >= LAST_OFFSETS);
    let mut log = load(dir.path()).expect("what was loaded once is loaded again");
    assert_eq!(facts(&mut log), before, "a crash and a start changed the log");
    drop(log);
    let opened = log::open(dir.path()).expect("the directory is free");
    let mut log = log::load(&opened).expect("it was loaded before").expect("it is there");
    log::stop(&opened, &mut log).expect("a log can be stopped");
    drop((log, opened));
    let mut log = load(dir.path()).expect("what was loaded once is loaded again");
    assert_eq!(facts(&mut log), before, "a stop and a start changed the log");
});

/// The loaded log; `None` when there is none, or the files are such that an error is the answer.
fn load(path: &std::path::Path) -> Option<Log> {
    let opened = log::open(path).expect("the directory is nobody else's");
    log::load(&opened).ok()?
}

/// Everything up to the log end offset can be read, and is intact and in order.
fn assert_whole(facts: &Facts) {
    let (start, end) = facts.offsets;
    assert!(start <= end);
    let ends = facts.batches.iter().map(|batch| (batch.header.base_offset, batch.header.last_offset()));
    let mut next = i64::MIN;
    for (base_offset, last_offset) in ends {
        assert!(next <= base_offset && base_offset <= last_offset, "batches are out of order");
        next = last_offset.saturating_add(1);
    }
    assert!(facts.batches.iter().all(|batch| batch.verify_crc().is_ok()));
    // A last segment without batches ends the log at its base offset.
    assert!(next <= end, "the log ends at {end}, its batches at {next}");
}

/// Appends a batch, which can then be read; a log that was not checked may refuse.
fn append(log: &mut Log, is_checked: bool) -> bool {
    let end = log.log_end_offset();
    if end >= LAST_OFFSETS {
        return false;
    }
    let epoch = log.latest_epoch().unwrap_or(0).max(0);
    let batch = log::coordinators_batch();
    match log.append_as_leader(&batch, epoch, AppendOrigin::Coordinator, now()) {
        Ok(info) => {
            assert_eq!((info.first_offset, log.log_end_offset()), (end, end + 2));
            let slice = log.read(end, usize::MAX, i64::MAX, true).expect("what was appended is in range");
            let read = slice.read_blocking().expect("what was appended can be read");
            assert!(read.ends_with(&batch[17..]), "what was appended is not what is read");
            true
        }
        Err(error) if is_checked => panic!("nothing can be appended: {error}"),
        Err(_) => false,
    }
}
