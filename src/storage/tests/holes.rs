//! Records that are gone: from where on, what is said of it, and what stays.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex};

use super::damage::filled;
use super::*;

/// A log that is kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `work` gives, and the warnings and errors that it logs.
fn logged<T>(work: impl FnOnce() -> T) -> (T, String) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    let result = tracing::subscriber::with_default(subscriber, work);
    (result, String::from_utf8(lines.0.lock().unwrap().clone()).unwrap())
}

/// How the last process ended, and how much of it is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Clean,
    /// Killed with everything flushed.
    Flushed,
    /// Killed with nothing flushed.
    Unflushed,
}

fn ended(end: End, config: LogConfig) -> Disk {
    let disk = filled(config, 60, end != End::Unflushed);
    if end == End::Flushed {
        fs::remove_file(disk.dir.path().join(".kafka_cleanshutdown")).unwrap();
    }
    disk
}

/// The `.log` files, by base offset.
fn segments(disk: &Disk) -> Vec<(i64, PathBuf)> {
    let names = disk.files().into_iter().filter(|name| name.contains(".log"));
    names.map(|name| (name[..20].parse().unwrap(), disk.partition_dir().join(name))).collect()
}

/// The first offsets of the batches that a consumer gets that goes on wherever it can.
fn readable(log: &Log) -> Vec<i64> {
    let (mut offset, mut found) = (log.log_start_offset(), Vec::new());
    while offset < log.log_end_offset() {
        let slice = log.read(offset, 1_000, i64::MAX, true).unwrap();
        let bytes = slice.read_blocking().unwrap();
        for batch in batches(&bytes).map_while(Result::ok) {
            assert!(batch.verify_crc().is_ok() && batch.header.base_offset >= offset);
            offset = batch.header.next_offset();
            found.push(batch.header.base_offset);
        }
        assert!(!bytes.is_empty(), "it does not go on at {offset}");
    }
    found
}

fn all_but(gone: std::ops::Range<i64>) -> Vec<i64> {
    (0..60).map(|n| n * 2).filter(|offset| !gone.contains(offset)).collect()
}

/// Where the directory has put what it does not load.
fn set_aside(disk: &Disk) -> Vec<String> {
    let entries = fs::read_dir(disk.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let strays = entries.filter(|path| path.to_str().unwrap().ends_with("-stray"));
    let mut names: Vec<_> = strays.flat_map(|stray| super::super::files::file_names(&stray).unwrap()).collect();
    names.retain(|name| name.contains(".log"));
    names
}

#[test]
fn reading_goes_on_behind_a_closed_segment_that_was_cut() {
    for end in [End::Clean, End::Flushed] {
        let whole = ended(end, small_segments());
        let closed = segments(&whole)[1].clone();
        let (base, next) = (closed.0, segments(&whole)[2].0);
        let size = fs::metadata(&closed.1).unwrap().len();
        let batch_size = size * 2 / (next - base) as u64;
        let disk = Disk::new(small_segments());
        for cut in (0..size).step_by(23).chain([batch_size, size - 1]) {
            copy_dir(whole.dir.path(), disk.dir.path());
            let path = disk.partition_dir().join(closed.1.file_name().unwrap());
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
            let ((_dir, mut log), lines) = logged(|| disk.start());
            let from = base + (cut / batch_size) as i64 * 2;
            let expected =
                format!("ERROR klamm::storage::holes: the records at offsets {from} to {} are gone", next - 1);
            assert!(lines.contains(&expected) && lines.contains("orders-0"), "{end:?}, {cut}: {lines}");
            assert_eq!(readable(&log), all_but(from..next), "{end:?}, {cut}");
            assert_eq!(append(&mut log, &batch(2, 10, 0)).first_offset, 120);
            assert_eq!(fs::metadata(&path).unwrap().len(), cut, "what is left of it stays");
            assert!(set_aside(&disk).is_empty());
        }
    }
}

#[test]
fn reading_goes_on_behind_a_segment_that_is_missing() {
    for end in [End::Clean, End::Flushed] {
        let whole = ended(end, small_segments());
        let segments = segments(&whole);
        for (index, (from, path)) in segments.iter().enumerate() {
            let disk = Disk::new(small_segments());
            copy_dir(whole.dir.path(), disk.dir.path());
            fs::remove_file(disk.partition_dir().join(path.file_name().unwrap())).unwrap();
            let (from, to) = (*from, segments.get(index + 1).map_or(120, |next| next.0));
            let ((_dir, mut log), lines) = logged(|| disk.start());
            let expected = format!("ERROR klamm::storage::holes: the records at offsets {from} to {} are gone", to - 1);
            assert_eq!(lines.matches("ERROR").count(), 1, "{lines}");
            assert!(lines.contains(&expected), "{end:?}, {index}: {lines}");
            assert_eq!(readable(&log), all_but(from..to), "{end:?}, {index}");
            let next = append(&mut log, &batch(2, 10, 0)).first_offset;
            assert_eq!(next, if to == 120 { from } else { 120 });
        }
    }
}

#[test]
fn junk_behind_a_closed_segment_takes_nothing_with_it() {
    for end in [End::Clean, End::Flushed, End::Unflushed] {
        for junk in [&[7; 5][..], &[0; 100], &[0xff; 300]] {
            let disk = ended(end, small_segments());
            let path = segments(&disk)[1].1.clone();
            let sound = fs::read(&path).unwrap();
            fs::write(&path, [&sound, junk].concat()).unwrap();
            let ((dir, log), lines) = logged(|| disk.start());
            assert_eq!(readable(&log), all_but(0..0), "{end:?}");
            assert!(lines.contains(" WARN ") && !lines.contains("ERROR"), "{end:?}: {lines}");
            drop((dir, log));
            assert_eq!(readable(&disk.start().1), all_but(0..0), "{end:?}");
        }
    }
}

/// Of what was not flushed a power loss leaves any part. What comes behind a hole was not promised, and is kept aside.
#[test]
fn a_hole_in_what_was_not_flushed_ends_the_log_and_the_rest_is_set_aside() {
    for cut in [Some(0), Some(300), None] {
        let disk = ended(End::Unflushed, small_segments());
        let segments = segments(&disk);
        match cut {
            Some(cut) => fs::OpenOptions::new().write(true).open(&segments[1].1).unwrap().set_len(cut).unwrap(),
            None => fs::remove_file(&segments[1].1).unwrap(),
        }
        let ((dir, log), lines) = logged(|| disk.start());
        let ends_at = log.log_end_offset();
        assert!(ends_at < segments[2].0 && ends_at >= segments[1].0, "{cut:?}");
        assert_eq!(readable(&log), all_but(ends_at..120));
        assert!(lines.contains(&format!("the records from offset {ends_at} on are gone")), "{cut:?}: {lines}");
        let kept = set_aside(&disk);
        for (_, path) in &segments[2..] {
            assert!(kept.iter().any(|name| path.ends_with(name)), "{cut:?}: {kept:?}");
        }
        drop((dir, log));
        let ((_dir, log), lines) = logged(|| disk.start());
        assert_eq!((log.log_end_offset(), &*lines), (ends_at, ""), "the next start finds nothing wrong");
    }
}

#[test]
fn a_damaged_end_that_had_been_flushed_is_cut_with_a_copy_and_a_word() {
    let disk = ended(End::Flushed, LogConfig::default());
    let path = disk.partition_dir().join("00000000000000000000.log");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let ((_dir, log), lines) = logged(|| disk.start());
    let end = log.log_end_offset();
    assert!(
        end < 120
            && lines.contains(&format!("ERROR klamm::storage::holes: the records at offsets {end} to 119 are gone")),
        "{lines}"
    );
    assert_eq!(set_aside(&disk), ["00000000000000000000.log"]);
}

#[test]
fn what_was_acknowledged_and_not_flushed_is_counted_when_it_is_gone() {
    let disk = filled(LogConfig::default(), 60, false);
    let entry = CheckpointEntry {
        topic_partition: orders(),
        recovery_point: 0,
        log_start_offset: 0,
        high_watermark: 120,
        cleaner_offset: None,
    };
    LogDir::open(disk.dir.path(), &options()).unwrap().write_checkpoints(&[entry]).unwrap();
    let path = disk.partition_dir().join("00000000000000000000.log");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let (_, lines) = logged(|| disk.start());
    assert!(lines.contains("WARN klamm::storage::holes: the records at offsets 118 to 119 are gone"), "{lines}");
    assert!(!lines.contains("ERROR"), "{lines}");
}

/// Compaction leaves gaps, within segments and between them, also in a topic that is not compacted any more.
#[test]
fn gaps_of_compaction_are_no_loss() {
    for compact in [true, false] {
        for clean in [true, false] {
            let disk = Disk::new(LogConfig { compact, ..small_segments() });
            let (dir, mut log) = disk.create();
            for n in 0..40_i64 {
                let mut bytes = batch(2, 100, 0).to_vec();
                bytes[..8].copy_from_slice(&(n * 7).to_be_bytes());
                log.append_as_follower(&Bytes::from(bytes), i32::MAX, at(0)).unwrap();
            }
            assert!(log.segment_count() > 3);
            if clean {
                Disk::stop((dir, log));
            } else {
                drop((dir, log));
            }
            let ((_dir, log), lines) = logged(|| disk.start());
            assert_eq!(
                (log.log_end_offset(), readable(&log).len(), &*lines),
                (39 * 7 + 2, 40, ""),
                "{compact} {clean}"
            );
        }
    }
}
