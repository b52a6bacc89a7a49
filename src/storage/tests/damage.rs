//! Torn tails, flipped bits, leftovers of crashes (rows F4 to F8 and F22 of the fault table).

use std::fs;

use super::*;

const FIRST: &str = "00000000000000000000.log";

/// A small generator with a seed of its own: the same damage in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// Fills a partition with `count` batches of a producer in epochs of ten batches, and stops as told.
pub(super) fn filled(config: LogConfig, count: i32, clean: bool) -> Disk {
    let disk = Disk::new(config);
    let (dir, mut log) = disk.create();
    for n in 0..count {
        log.append_as_leader(&idempotent(7, 0, n * 2, 2), n / 10, AppendOrigin::Client, at(0)).unwrap();
    }
    if clean {
        Disk::stop((dir, log));
    }
    disk
}

/// Everything that recovery must bring back: the log's ends, its batches, epochs' ends and offsets of timestamps.
pub(super) type Facts = (i64, i64, Vec<RecordBatch>, Vec<Option<(i32, i64)>>, Vec<Option<i64>>);

pub(super) fn facts(log: &mut Log) -> Facts {
    let epochs = (0..12).map(|epoch| log.end_offset_for_epoch(epoch)).collect();
    let times = (-1..13).map(|n| log.offset_for_timestamp(START_MS + n * 10).unwrap().map(|found| found.offset));
    (log.log_start_offset(), log.log_end_offset(), read_all(log, log.log_start_offset(), 700), epochs, times.collect())
}

#[test]
fn f4_a_tail_torn_or_zeroed_at_any_byte_is_cut_at_the_last_whole_batch() {
    let disk = filled(LogConfig::default(), 3, false);
    let path = disk.partition_dir().join(FIRST);
    let whole = fs::read(&path).unwrap();
    let batch_size = whole.len() / 3;
    for cut in 0..whole.len() {
        for fill in [None, Some(0), Some(0xa5)] {
            let mut torn = whole.clone();
            match fill {
                None => torn.truncate(cut),
                Some(byte) => torn[cut..].fill(byte),
            }
            // A fill byte may happen to be the right one.
            let intact = torn.iter().zip(&whole).take_while(|(torn, whole)| torn == whole).count();
            fs::write(&path, &torn).unwrap();
            let (_dir, mut log) = disk.start();
            let batches = (intact / batch_size) as i64;
            assert_eq!(log.log_end_offset(), batches * 2, "cut at {cut}, filled with {fill:?}");
            assert_eq!(fs::metadata(&path).unwrap().len(), (batches as usize * batch_size) as u64);
            let next = append(&mut log, &idempotent(7, 0, batches as i32 * 2, 2));
            assert_eq!(next.first_offset, batches * 2, "the producer goes on where the log does");
        }
    }
}

#[test]
fn f5_a_flipped_bit_below_the_recovery_point_is_right_or_an_error_but_never_a_gap() {
    let disk = filled(small_segments(), 60, true);
    let expected = {
        let (dir, log) = disk.start();
        let all = read_all(&log, 0, 700);
        Disk::stop((dir, log));
        all
    };
    let path = disk.partition_dir().join(FIRST);
    let whole = fs::read(&path).unwrap();
    let marker = disk.dir.path().join(".kafka_cleanshutdown");
    let marker_text = fs::read(&marker).unwrap();
    let mut random = Random(5);
    let batch_size = expected[0].bytes.len();
    for _ in 0..300 {
        let flipped = random.below(whole.len());
        // The base offset is outside of every checksum, as in Kafka.
        if flipped % batch_size < 8 {
            continue;
        }
        let mut damaged = whole.clone();
        damaged[flipped] ^= 1 << random.below(8);
        fs::write(&path, &damaged).unwrap();
        fs::write(&marker, &marker_text).unwrap();
        let (dir, log) = disk.start();
        assert_eq!(log.log_end_offset(), 120);
        for expected in &expected {
            let offset = expected.header.base_offset;
            let Ok(slice) = log.read(offset, 1, i64::MAX, true) else { continue };
            let bytes = slice.read_blocking().unwrap();
            match RecordBatch::parse(&bytes) {
                Ok(read) if read.verify_crc().is_ok() => {
                    assert_eq!(read.bytes[16..], expected.bytes[16..], "flipped {flipped}, at {offset}");
                    assert_eq!(read.header.base_offset, offset);
                }
                _ => {}
            }
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), whole.len() as u64, "nothing is deleted");
        drop((dir, log));
    }
}

#[test]
fn f6_f7_damaged_or_missing_derived_files_change_nothing() {
    for clean in [true, false] {
        let pristine = filled(small_segments(), 60, clean);
        let copy = Disk::new(small_segments());
        let restored = || {
            copy_dir(pristine.dir.path(), copy.dir.path());
            &copy
        };
        let expected = facts(&mut restored().start().1);
        assert_eq!((expected.1, expected.2.len()), (120, 60));
        let derived: Vec<_> = pristine
            .files()
            .into_iter()
            .filter(|name| !name.contains(".log") && name != "partition.metadata")
            .collect();
        let mut random = Random(u64::from(clean));
        for round in 0..400 {
            let disk = restored();
            let name =
                if round < derived.len() * 3 { &derived[round / 3] } else { &derived[random.below(derived.len())] };
            damage(
                &disk.partition_dir(),
                name,
                &derived,
                if round < derived.len() * 3 { round % 3 } else { 3 + random.below(3) },
                &mut random,
            );
            let (dir, mut log) = disk.start();
            assert!(facts(&mut log) == expected, "round {round}: {name}");
            let again = append(&mut log, &idempotent(7, 0, 118, 2));
            assert_eq!((again.first_offset, again.duplicate), (118, true), "round {round}: {name}");
            append(&mut log, &idempotent(7, 0, 120, 2));
            assert_eq!(disk.restart_after_crash((dir, log)).1.log_end_offset(), 122);
        }
    }
}

fn damage(dir: &Path, name: &str, others: &[String], how: usize, random: &mut Random) {
    let path = dir.join(name);
    let mut bytes = fs::read(&path).unwrap();
    match how {
        0 => return fs::remove_file(&path).unwrap(),
        1 => bytes.clear(),
        2 => bytes.truncate(bytes.len() / 2),
        3 if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            // A digit of the epoch checkpoint that becomes another digit cannot be told from a true one.
            bytes[at] ^= if name.contains("epoch") { 0x80 } else { 1 << random.below(8) };
        }
        4 => {
            let suffix = name.rsplit('.').next().unwrap();
            let alike: Vec<_> =
                others.iter().filter(|other| other.ends_with(suffix) && !name.ends_with("checkpoint")).collect();
            if !alike.is_empty() && !suffix.contains("snapshot") {
                bytes = fs::read(dir.join(alike[random.below(alike.len())])).unwrap();
            }
        }
        _ => bytes.iter_mut().for_each(|byte| *byte = 0),
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn f7_checkpoints_may_vanish() {
    let disk = filled(small_segments(), 60, true);
    for name in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint", ".kafka_cleanshutdown"] {
        fs::remove_file(disk.dir.path().join(name)).unwrap();
    }
    let (_dir, mut log) = disk.start();
    assert_eq!(facts(&mut log).2.len(), 60);
    assert_eq!(log.recovery_point(), 0);
}

/// A start that the checkpoint puts behind the log's end hid the epoch, and the next start found it.
#[test]
fn an_epochs_start_is_where_its_batches_are() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    for (epoch, count) in [(0, 2), (1, 3)] {
        log.append_as_leader(&batch(count, 10, 0), epoch, AppendOrigin::Client, at(0)).unwrap();
    }
    drop((dir, log));
    fs::write(disk.partition_dir().join("leader-epoch-checkpoint"), "0\n2\n0 0\n1 56\n").unwrap();
    let mut running = disk.start();
    for _ in 0..2 {
        let log = &running.1;
        assert_eq!((log.latest_epoch(), log.epoch_for_offset(1), log.epoch_for_offset(2)), (Some(1), Some(0), Some(1)));
        assert_eq!(log.end_offset_for_epoch(0), Some((0, 2)));
        running = disk.restart_after_crash(running);
    }
}

#[test]
fn epochs_begin_where_they_did_before_compaction() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    for (epoch, base_offset) in [(1_i32, 0_i64), (3, 30)] {
        let mut bytes = batch(2, 10, 0).to_vec();
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
        log.append_as_follower(&Bytes::from(bytes), i32::MAX, at(0)).unwrap();
    }
    drop((dir, log));
    // What was between the two batches belonged to epochs 1, 2 and 3.
    fs::write(disk.partition_dir().join("leader-epoch-checkpoint"), "0\n3\n1 0\n2 10\n3 20\n").unwrap();
    let (_dir, log) = disk.start();
    let ends = [1, 2, 3].map(|epoch| log.end_offset_for_epoch(epoch));
    assert_eq!(ends, [Some((1, 10)), Some((2, 20)), Some((3, 32))]);
}

#[test]
fn a_log_that_lost_its_records_forgets_their_epochs_at_once() {
    let disk = Disk::new(LogConfig::default());
    let (dir, mut log) = disk.create();
    append(&mut log, &batch(2, 10, 0));
    drop((dir, log));
    let path = |offset: i64| disk.partition_dir().join(format!("{offset:020}.log"));
    // Batches that do not belong into the segment are cut off.
    fs::rename(path(0), path(100)).unwrap();
    let (dir, log) = disk.start();
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.latest_epoch()), (100, 100, None));
    let (_dir, log) = disk.restart_cleanly((dir, log));
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.latest_epoch()), (100, 100, None));
}

#[test]
fn f8_leftovers_of_interrupted_work_are_finished_or_undone() {
    let disk = filled(small_segments(), 60, true);
    let dir = disk.partition_dir();
    let (_, mut log) = disk.start();
    let expected = facts(&mut log);
    let second = log.segments[1].base_offset();
    drop(log);
    let file = |offset: i64, suffix: &str| dir.join(format!("{offset:020}{suffix}"));
    // A roll that made an empty segment, a deletion, a cleaning that did not end, a split that did not end.
    fs::write(file(120, ".log"), b"").unwrap();
    fs::write(file(0, ".log.deleted"), b"old").unwrap();
    fs::write(file(second, ".log.cleaned"), b"half").unwrap();
    fs::write(file(second, ".index.cleaned"), b"half").unwrap();
    fs::copy(file(second, ".log"), file(second + 2, ".log.swap")).unwrap();
    fs::write(file(999, ".index"), b"orphan").unwrap();
    fs::write(dir.join("leader-epoch-checkpoint.tmp"), b"half").unwrap();
    fs::write(dir.join("notes.txt"), b"foreign").unwrap();
    let (_, mut log) = disk.start();
    assert_eq!(facts(&mut log), expected);
    drop(log);
    for name in disk.files() {
        let is_leftover = [".deleted", ".cleaned", ".swap", ".tmp"].iter().any(|suffix| name.ends_with(suffix));
        assert!(!is_leftover && !name.starts_with("00000000000000000999"), "{name}");
    }
    assert!(dir.join("notes.txt").exists());
    // A swap that replaced the first two segments by one, at every point of its renames.
    let merged = [fs::read(file(0, ".log")).unwrap(), fs::read(file(second, ".log")).unwrap()].concat();
    for removed in 0..2 {
        fs::write(file(0, ".log.swap"), &merged).unwrap();
        if removed > 0 {
            fs::remove_file(file(0, ".log")).unwrap();
        }
        let (_, mut log) = disk.start();
        assert_eq!(facts(&mut log), expected);
        assert!(!file(second, ".log").exists());
    }
    // A missing first segment is what deletion leaves.
    fs::remove_file(file(0, ".log")).unwrap();
    let (_, log) = disk.start();
    assert!(log.log_start_offset() > second);
}

#[test]
fn f3_unflushed_records_that_a_power_loss_took_leave_no_hole() {
    let disk = filled(small_segments(), 60, false);
    let (_, log) = disk.start();
    let bases: Vec<_> = (0..log.segments.len()).map(|index| log.segments[index].base_offset()).collect();
    assert!(bases.len() > 2, "{bases:?}");
    let (expected, end) = (read_all(&log, 0, 700), bases[1]);
    drop(log);
    // The directory's entries were on the disk, and the newer segment's bytes before the older one's.
    let emptied = disk.partition_dir().join(format!("{end:020}.log"));
    fs::write(&emptied, b"").unwrap();
    let (_dir, mut log) = disk.start();
    assert_eq!(log.log_end_offset(), end);
    let kept = read_all(&log, 0, 700);
    assert_eq!(kept, expected[..kept.len()], "what is left is a prefix");
    let next = append(&mut log, &idempotent(7, 0, i32::try_from(end).unwrap(), 2));
    assert_eq!(next.first_offset, end, "the producer goes on where the log does");
}

#[test]
fn f22_recovery_interrupted_anywhere_is_recovery() {
    let disk = filled(small_segments(), 60, false);
    let last = disk.files().into_iter().rfind(|name| name.contains(".log")).unwrap();
    let path = disk.partition_dir().join(last);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let first = facts(&mut disk.start().1);
    assert_eq!(first.1, 118);
    for _ in 0..3 {
        assert_eq!(facts(&mut disk.start().1), first);
    }
}

#[test]
fn a_message_of_an_older_format_is_not_taken_for_a_torn_tail() {
    let disk = filled(LogConfig::default(), 3, false);
    let path = disk.partition_dir().join(FIRST);
    let mut bytes = fs::read(&path).unwrap();
    let first = bytes.len() / 3;
    bytes[16] = 1;
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[16..first]);
    bytes[12..16].copy_from_slice(&crc.sum().to_be_bytes());
    fs::write(&path, &bytes).unwrap();
    let dir = LogDir::open(disk.dir.path(), &options()).unwrap();
    assert!(matches!(load(&dir, &LogConfig::default()), Err(StorageError::Corrupt { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn recovery_does_not_read_what_is_flushed() {
    let disk = filled(small_segments(), 60, true);
    fs::remove_file(disk.dir.path().join(".kafka_cleanshutdown")).unwrap();
    // Damage that a scan from the front would notice.
    let path = disk.partition_dir().join(FIRST);
    let mut bytes = fs::read(&path).unwrap();
    bytes[70] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (_dir, log) = disk.start();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 120));
}

/// Overwrites the base offset, which no checksum covers, of the `index`th batch in the file.
fn renumber(path: &Path, index: usize, base_offset: i64) {
    let mut bytes = fs::read(path).unwrap();
    let size = RecordBatch::parse(&Bytes::from(bytes.clone())).unwrap().bytes.len();
    bytes[index * size..][..8].copy_from_slice(&base_offset.to_be_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_batch_in_the_next_segments_range_ends_the_log() {
    for base_offset in [3, 1000, i64::MAX - 5] {
        let disk = filled(small_segments(), 60, false);
        renumber(&disk.partition_dir().join(FIRST), 2, base_offset);
        let (_dir, log) = disk.start();
        assert_eq!((log.log_end_offset(), read_all(&log, 0, 700).len()), (4, 2), "{base_offset}");
    }
}

#[test]
fn offsets_out_of_order_in_the_last_segment_are_noticed_after_a_clean_stop() {
    let disk = filled(LogConfig::default(), 6, true);
    renumber(&disk.partition_dir().join(FIRST), 4, 2);
    let (_dir, mut log) = disk.start();
    assert_eq!(log.log_end_offset(), 8);
    assert_eq!(append(&mut log, &idempotent(7, 0, 8, 2)).first_offset, 8);
}
