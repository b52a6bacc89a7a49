//! The index of aborted transactions comes back from the batches.

use std::fs;

use super::*;
use crate::storage::cleaner::AbortedTxn;
use crate::unpack;

/// Where an entry's last stable offset begins, of which the batches of a log tell nothing wrong from nothing right.
const LAST_STABLE_OFFSET_AT: usize = 26;
pub(super) const ENTRY_SIZE: usize = 34;

fn data(id: i64) -> Bytes {
    let mut builder = BatchBuilder::new(START_MS);
    builder.producer(id, 0, 0).transactional();
    for _ in 0..3 {
        builder.record(None, Some(&[b'v'; 60]));
    }
    builder.build()
}

fn marker(id: i64, is_abort: bool) -> Bytes {
    let mut builder = BatchBuilder::new(START_MS);
    builder.producer(id, 0, -1).transactional().control();
    builder.record(Some(&[0, 0, 0, u8::from(!is_abort)]), Some(&[0, 0, 0, 0, 0, 3])).build()
}

/// Appends transactions of one producer each, every other of which is aborted once the next one has begun; returns the
/// aborted ones.
pub(super) fn append_transactions(log: &mut Log, count: i64) -> Vec<AbortedTxn> {
    let mut append = |records: &Bytes, origin| log.append_as_leader(records, 0, origin, at(0)).unwrap();
    let (mut aborted, mut begun) = (Vec::new(), Vec::new());
    for id in 100..=100 + count {
        if id < 100 + count {
            begun.push((id, append(&data(id), AppendOrigin::Client).first_offset));
        }
        if begun.len() < 2 && id < 100 + count {
            continue;
        }
        let (producer_id, first_offset) = begun.remove(0);
        let is_abort = producer_id % 2 == 0;
        let last_offset = append(&marker(producer_id, is_abort), AppendOrigin::Coordinator).last_offset;
        let last_stable_offset = begun.first().map_or(last_offset + 1, |(_, first_offset)| *first_offset);
        aborted.extend(is_abort.then_some(AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset }));
    }
    aborted
}

fn aborted(log: &Log) -> Vec<AbortedTxn> {
    log.aborted_transactions(0, i64::MAX)
}

fn indexes(disk: &Disk) -> Vec<(PathBuf, Vec<u8>)> {
    let names = disk.files().into_iter().filter(|name| name.ends_with(".txnindex"));
    names.map(|name| disk.partition_dir().join(name)).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn after_a_crash_each_segment_knows_again_which_transactions_its_markers_abort() {
    let disk = Disk::new(small_segments());
    let (dir, mut log) = disk.create();
    let expected = append_transactions(&mut log, 41);
    assert_eq!((expected.len(), log.segment_count() > 4), (21, true));
    let (dir, log) = disk.restart_after_crash((dir, log));
    assert_eq!(aborted(&log), expected);
    let written = indexes(&disk);
    let entries: usize = written.iter().map(|(_, bytes)| bytes.len() / ENTRY_SIZE).sum();
    assert_eq!((entries, written.len() > 3), (21, true), "each is in the segment of its marker");
    // A reader is told of those that it meets.
    let told = |from, upper_bound| {
        let told = log.aborted_transactions(from, upper_bound);
        told.iter().map(|transaction| transaction.producer_id).collect::<Vec<_>>()
    };
    assert_eq!(told(expected[3].first_offset, expected[3].last_offset), [expected[3].producer_id]);
    assert!(told(0, expected[0].first_offset).is_empty());
    // The files are right, and so nothing is read but they.
    let (dir, mut log) = disk.restart_cleanly((dir, log));
    assert_eq!((aborted(&log), indexes(&disk)), (expected.clone(), written));
    // What is cut off the log is not aborted any more.
    let cut = &expected[15];
    log.truncate_to(cut.last_offset, at(0)).unwrap();
    assert_eq!(aborted(&log), expected[..15]);
    let (_dir, log) = disk.restart_cleanly((dir, log));
    assert_eq!(aborted(&log), expected[..15]);
}

#[test]
fn an_entry_that_does_not_fit_the_batches_is_not_believed() {
    let disk = Disk::new(small_segments());
    let (dir, mut log) = disk.create();
    let expected = append_transactions(&mut log, 21);
    Disk::stop(disk.restart_after_crash((dir, log)));
    let copy = Disk::new(small_segments());
    let (mut damaged, undamaged) = (0, indexes(&disk));
    for (path, bytes) in &undamaged {
        let name = path.file_name().unwrap();
        for at in (0..bytes.len()).filter(|at| at % ENTRY_SIZE < LAST_STABLE_OFFSET_AT) {
            let bit = at % 8;
            copy_dir(disk.dir.path(), copy.dir.path());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            fs::write(copy.partition_dir().join(name), &flipped).unwrap();
            let (_dir, log) = copy.start();
            assert_eq!(aborted(&log), expected, "bit {bit} of byte {at} of {}", path.display());
            assert_eq!(&fs::read(copy.partition_dir().join(name)).unwrap(), bytes);
            damaged += 1;
        }
    }
    assert_eq!(damaged, 11 * LAST_STABLE_OFFSET_AT);
    // Without its other indexes a segment is read, and its missing index is found out.
    copy_dir(disk.dir.path(), copy.dir.path());
    for (path, _) in &undamaged {
        for suffix in ["index", "txnindex"] {
            fs::remove_file(copy.partition_dir().join(path.with_extension(suffix).file_name().unwrap())).unwrap();
        }
    }
    assert_eq!(aborted(&copy.start().1), expected);
    assert_eq!(indexes(&copy).len(), undamaged.len());
}

/// Kafka's index is the judge: what is rebuilt from Kafka's batches has the same bytes.
#[test]
fn what_is_rebuilt_of_kafkas_transactions_is_what_kafka_has_written() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut compared = 0;
    for name in ["clean", "killed"] {
        let dir = tempfile::tempdir().unwrap();
        unpack::unpack(&fixtures.join(format!("kafka-4.1-data.{name}.tar.gz")), dir.path());
        let folder = dir.path().join("transactional-0");
        let names = files::file_names(&folder).unwrap().into_iter().filter(|name| name.ends_with(".txnindex"));
        let written: Vec<_> = names.map(|name| (folder.join(&name), fs::read(folder.join(&name)).unwrap())).collect();
        let options = LogDirOptions { node_id: 1, cluster_id: None, max_open_files: 100, delete_delay: DELETE_DELAY };
        for (path, bytes) in &written {
            fs::write(path, [bytes.as_slice(), b"damage"].concat()).unwrap();
        }
        let loaded = load(&LogDir::open(dir.path(), &options).unwrap(), &LogConfig::default()).unwrap();
        let log = loaded.iter().find(|loaded| &*loaded.topic_partition.topic == "transactional").unwrap();
        for (path, bytes) in &written {
            assert_eq!(&fs::read(path).unwrap(), bytes, "{name}: {}", path.display());
            compared += bytes.len() / ENTRY_SIZE;
        }
        assert_eq!(aborted(&log.log).len(), written.iter().map(|(_, bytes)| bytes.len() / ENTRY_SIZE).sum::<usize>());
    }
    assert!(compared > 0);
}
