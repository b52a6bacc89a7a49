//! A cleaning's result takes its place: at once, after a crash at any step, or not at all.

use std::sync::Arc;

use super::*;
use crate::storage::open_files::{Closable, Closing};

/// Sixty batches of two records in segments of 2,000 bytes.
fn filled(config: &LogConfig) -> (Disk, (LogDir, Log)) {
    let disk = Disk::new(LogConfig { compact: true, ..config.clone() });
    let (dir, mut log) = disk.create();
    for n in 0..60 {
        append(&mut log, &batch(2, 40, n * 10));
    }
    assert!(log.segment_count() > 4);
    (disk, (dir, log))
}

/// What a cleaning could make of the first `count` segments: every third batch is kept.
fn every_third(log: &Log, count: usize) -> (FinishedSegment, Vec<i64>) {
    let cleaning = log.begin_cleaning();
    let segments = &cleaning.sources[..count];
    let replaced: Vec<_> = segments.iter().map(|segment| segment.base_offset).collect();
    let mut cleaned = cleaning.place.begin_segment(replaced[0], log.config()).unwrap();
    for segment in segments {
        let bytes = segment.read(0, usize::MAX).unwrap();
        for batch in batches(&bytes).map(Result::unwrap).filter(|batch| batch.header.base_offset % 6 == 2) {
            cleaned.append(&batch.header, &batch.bytes).unwrap();
        }
    }
    let modified_ms = segments.last().unwrap().modified_ms;
    (cleaned.finish(Vec::new(), modified_ms).unwrap(), replaced)
}

fn swap(log: &mut Log, count: usize) -> Vec<i64> {
    let (finished, replaced) = every_third(log, count);
    assert!(log.begin_swap(finished, &replaced, log.begin_cleaning().basis).unwrap());
    log.begin_cleaning().place.sync().unwrap();
    assert!(log.finish_swap(at(0)).unwrap());
    replaced
}

fn offsets(log: &Log) -> Vec<i64> {
    read_all(log, log.log_start_offset(), 700).iter().map(|batch| batch.header.base_offset).collect()
}

/// What remains when every third batch before `end` is kept.
fn cleaned_to(end: i64) -> Vec<i64> {
    (0..120).step_by(2).filter(|offset| *offset >= end || offset % 6 == 2).collect()
}

#[test]
fn a_cleaned_segment_takes_the_place_of_others_and_every_lookup_knows_its_holes() {
    for in_memory in [false, true] {
        let (disk, running) = filled(&small_segments());
        let (mut dir, mut log) = if in_memory {
            let dir = LogDir::memory();
            let mut log = dir.create_log(&orders(), Uuid::from_u128(5), disk.config.clone(), at(0)).unwrap();
            for n in 0..60 {
                append(&mut log, &batch(2, 40, n * 10));
            }
            (dir, log)
        } else {
            running
        };
        let end = log.segments[3].base_offset();
        let (before, size) = (log.segment_count(), log.size());
        swap(&mut log, 3);
        for restarted in [false, true] {
            assert_eq!((log.segment_count(), log.log_start_offset(), log.log_end_offset()), (before - 2, 0, 120));
            assert!(log.size() < size);
            let expected = cleaned_to(end);
            assert_eq!(offsets(&log), expected);
            for offset in 0..120 {
                let first = read_all(&log, offset, 1).first().map(|batch| batch.header.base_offset);
                let wanted = expected.iter().copied().find(|base_offset| base_offset + 1 >= offset);
                assert_eq!(first, wanted, "from {offset}");
                // The batches of this log lie 10 ms apart.
                let time = START_MS + offset / 2 * 10;
                let found = log.offset_for_timestamp(time).unwrap().map(|found| found.offset);
                let wanted = expected.iter().copied().find(|base_offset| base_offset / 2 * 10 + START_MS >= time);
                assert_eq!(found, wanted, "at {time}");
            }
            for upper_bound in 0..120 {
                let bytes = log.read(0, usize::MAX, upper_bound, true).unwrap().read_blocking().unwrap();
                assert!(batches(&bytes).all(|batch| batch.unwrap().header.last_offset() < upper_bound));
            }
            assert_eq!(log.offset_of_max_timestamp().unwrap().unwrap().offset, 118);
            if restarted || in_memory {
                break;
            }
            (dir, log) = disk.restart_after_crash((dir, log));
        }
        drop(dir);
    }
}

#[test]
fn a_crash_at_any_step_of_a_swap_leaves_the_log_as_it_was_or_cleaned() {
    let (disk, (dir, mut log)) = filled(&small_segments());
    drop(dir);
    let (everything, end) = (offsets(&log), log.segments[3].base_offset());
    let (finished, replaced) = every_third(&log, 3);
    let partition = disk.partition_dir();
    let files = |state: &str, kinds: &[&str], offsets: &[i64], to: &str| -> Vec<(String, String)> {
        let pairs = offsets.iter().flat_map(|offset| kinds.iter().map(move |kind| format!("{offset:020}{kind}")));
        pairs.map(|name| (format!("{name}{state}"), format!("{name}{to}"))).collect()
    };
    let kinds = [".log", ".index", ".timeindex"];
    let to_swap = files(".cleaned", &kinds, &replaced[..1], ".swap");
    let mut to_place = files("", &kinds, &replaced, ".deleted");
    to_place.extend(files(".swap", &kinds, &replaced[..1], ""));
    let check = |renames: &[(String, String)], done: usize, is_cleaned: bool| {
        let copy = Disk::new(disk.config.clone());
        copy_dir(disk.dir.path(), copy.dir.path());
        for (from, to) in &renames[..done] {
            std::fs::rename(copy.partition_dir().join(from), copy.partition_dir().join(to)).unwrap();
        }
        for _ in 0..2 {
            let (_dir, log) = copy.start();
            let wanted = if is_cleaned { cleaned_to(end) } else { everything.clone() };
            assert_eq!(offsets(&log), wanted, "after {done} of {renames:?}");
            assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 120));
        }
        let is_leftover = |name: &String| [".cleaned", ".swap", ".deleted"].iter().any(|end| name.ends_with(end));
        assert_eq!(copy.files().into_iter().find(is_leftover), None);
    };
    for done in 0..=to_swap.len() {
        check(&to_swap, done, done == to_swap.len());
    }
    assert!(log.begin_swap(finished, &replaced, log.begin_cleaning().basis).unwrap());
    for done in 0..=to_place.len() {
        check(&to_place, done, true);
    }
    // These are the steps that a swap takes.
    let before = disk.files();
    assert!(log.finish_swap(at(0)).unwrap());
    let mut expected: Vec<_> = before
        .into_iter()
        .filter(|name| !replaced[1..].iter().any(|offset| *name == format!("{offset:020}.snapshot")))
        .map(|name| to_place.iter().find(|(from, _)| *from == name).map_or(name.clone(), |(_, to)| to.clone()))
        .collect();
    expected.sort_unstable();
    assert_eq!(disk.files(), expected);
    assert!(partition.join(".swap").metadata().is_err());
}

#[test]
fn a_reader_goes_on_with_what_it_has() {
    let (disk, (dir, mut log)) = filled(&LogConfig { file_delete_delay_ms: 100, ..small_segments() });
    let (opened, unopened) = (log.read(0, 1_500, i64::MAX, true).unwrap(), log.read(0, 1_500, i64::MAX, true).unwrap());
    let before = opened.read_blocking().unwrap();
    let old = Arc::clone(log.segments[0].file().unwrap());
    swap(&mut log, 3);
    assert_eq!(opened.read_blocking().unwrap(), before);
    // A range of a file that was closed, and is opened again, is not one of another file that has got its name.
    drop(opened);
    assert_eq!(old.close(Closing::Any).unwrap(), Some(true));
    assert_eq!(unopened.read_blocking().unwrap(), before);
    // Nor is it one of another file that is deleted after it.
    swap(&mut log, 2);
    assert_eq!(unopened.read_blocking().unwrap(), before);
    let deleted = log.take_deleted_files(at(99));
    assert!(deleted.is_empty());
    let deleted = log.take_deleted_files(at(100));
    assert_eq!(deleted.len(), 9 + 6, "{deleted:?}");
    remove_files(&deleted);
    assert_eq!(disk.files().into_iter().find(|name| name.contains(".deleted")), None);
    drop((dir, log));
    assert_eq!(disk.start().1.log_end_offset(), 120);
}

#[test]
fn a_swap_that_does_not_fit_any_more_leaves_nothing() {
    type Change = fn(&mut Log);
    let cases: [(&str, Change); 5] = [
        ("a truncation", |log| log.truncate_to(110, at(0)).unwrap()),
        ("a truncation of everything", |log| log.truncate_fully_and_start_at(500, at(0)).unwrap()),
        ("a deletion", |log| {
            log.increment_log_start_offset(log.segments[1].base_offset()).unwrap();
            assert_eq!(log.delete_segments_before_start(120, at(0)).unwrap(), 1);
        }),
        ("another policy", |log| log.set_config(LogConfig { compact: false, ..log.config().clone() })),
        ("another cleaning", |log| drop(swap(log, 2))),
    ];
    for (what, change) in cases {
        for has_begun in [false, true] {
            if has_begun && what == "another policy" {
                continue;
            }
            let (disk, (dir, mut log)) = filled(&small_segments());
            let (finished, replaced) = every_third(&log, 3);
            let basis = log.begin_cleaning().basis;
            if has_begun {
                assert!(log.begin_swap(finished, &replaced, basis).unwrap());
                change(&mut log);
                assert!(!log.finish_swap(at(0)).unwrap(), "{what}");
            } else {
                change(&mut log);
                assert!(!log.begin_swap(finished, &replaced, basis).unwrap(), "{what}");
            }
            let is_leftover =
                |name: &String| [files::CLEANED_SUFFIX, files::SWAP_SUFFIX].iter().any(|suffix| name.ends_with(suffix));
            assert_eq!(disk.files().into_iter().find(is_leftover), None, "{what}");
            let kept = offsets(&log);
            drop((dir, log));
            assert_eq!(offsets(&disk.start().1), kept, "{what}");
        }
    }
}

#[test]
fn a_segment_of_which_nothing_remains_is_kept_empty() {
    let (disk, (dir, mut log)) = filled(&small_segments());
    let replaced: Vec<_> = log.begin_cleaning().sources.iter().take(2).map(|segment| segment.base_offset).collect();
    let cleaned = log.begin_cleaning().place.begin_segment(0, log.config()).unwrap();
    let finished = cleaned.finish(Vec::new(), START_MS).unwrap();
    assert!(log.begin_swap(finished, &replaced, log.begin_cleaning().basis).unwrap());
    assert!(log.finish_swap(at(0)).unwrap());
    let kept = offsets(&log);
    let mut running = (dir, log);
    for _ in 0..2 {
        running = disk.restart_cleanly(running);
        let log = &running.1;
        assert_eq!((log.log_start_offset(), log.segments[0].size(), log.segments[0].modified_ms()), (0, 0, START_MS));
        assert_eq!(offsets(log), kept);
    }
    let log = disk.restart_after_crash(running).1;
    assert_eq!(offsets(&log), kept);
}

#[test]
fn the_cleaner_offset_is_written_down_and_not_beyond_a_truncation() {
    let (disk, (dir, mut log)) = filled(&small_segments());
    let path = disk.dir.path().join("cleaner-offset-checkpoint");
    dir.write_checkpoints(&[checkpoint_of(&log)]).unwrap();
    assert!(!path.exists(), "nothing was compacted");
    log.set_cleaner_offset(60);
    dir.write_cleaner_checkpoint(&[checkpoint_of(&log)]).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\norders 0 60\n");
    let (dir, mut log) = disk.restart_after_crash((dir, log));
    assert_eq!(log.cleaner_offset(), Some(60));
    log.truncate_to(30, at(0)).unwrap();
    assert_eq!(log.cleaner_offset(), Some(log.active().base_offset()));
    log.truncate_fully_and_start_at(10, at(0)).unwrap();
    assert_eq!(log.cleaner_offset(), Some(10));
    dir.delete_log(log, at(0)).unwrap();
    dir.write_checkpoints(&[]).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n0\n");
}
