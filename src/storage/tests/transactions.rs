//! A log knows which of its transactions are open and which were aborted, and its indexes come back from the batches.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::ids::ProducerIdAndEpoch;
use crate::protocol::control_records::{EndTransactionMarker, TransactionResult};
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
    log.aborted.between(0, i64::MAX).collect()
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
    assert_eq!(aborted(&log), expected, "it is known at once");
    let written = indexes(&disk);
    let (dir, log) = disk.restart_after_crash((dir, log));
    assert_eq!(aborted(&log), expected);
    assert_eq!(indexes(&disk), written, "what was written at once is right");
    let entries: usize = written.iter().map(|(_, bytes)| bytes.len() / ENTRY_SIZE).sum();
    assert_eq!((entries, written.len() > 3), (21, true), "each is in the segment of its marker");
    // A reader is told of those that it meets.
    let told = |from, upper_bound| {
        let told = log.aborted.between(from, upper_bound);
        told.map(|transaction| transaction.producer_id).collect::<Vec<_>>()
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

#[test]
fn a_segment_with_aborts_is_flushed_once_more_when_it_is_closed() {
    let disk = Disk::new(LogConfig { segment_bytes: 1 << 20, ..small_segments() });
    let (_dir, mut log) = disk.create();
    append_transactions(&mut log, 4);
    let flush = |log: &mut Log| {
        let task = log.flush_task().unwrap();
        let has_task = task.is_some();
        if let Some(task) = task {
            let flushed = task.run().unwrap();
            log.flushed(flushed, at(0));
        }
        has_task
    };
    assert_eq!([flush(&mut log), flush(&mut log)], [true, false]);
    assert!(log.roll_from(1, at(0)).unwrap());
    assert_eq!([flush(&mut log), flush(&mut log)], [true, false], "its index is one that a start believes now");
}

#[test]
fn a_reader_of_some_bytes_is_told_of_the_aborts_among_them_and_few_more() {
    for config in [small_segments(), LogConfig { segment_bytes: 1 << 20, ..small_segments() }] {
        let disk = Disk::new(config);
        let (_dir, mut log) = disk.create();
        let expected = append_transactions(&mut log, 400);
        for offset in (0..log.log_end_offset()).step_by(7) {
            let slice = log.read(offset, 1_000, i64::MAX, true).unwrap();
            let bytes = slice.read_blocking().unwrap();
            let end = batches(&bytes).map_while(Result::ok).last().unwrap().header.next_offset();
            let told = log.aborted_transactions(offset, slice.len(), log.log_end_offset());
            let met = expected.iter().filter(|aborted| aborted.last_offset >= offset && aborted.first_offset < end);
            assert!(met.clone().all(|aborted| told.contains(aborted)), "{offset}..{end}");
            assert!(told.len() <= 16.max(met.count() + 1), "{offset}..{end}: {}", told.len());
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(i64),
    End(i64, TransactionResult),
    Crash,
    StopAndStart,
    Truncate(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let producer = || 1..4_i64;
    prop_oneof![
        6 => producer().prop_map(Step::Write),
        2 => producer().prop_map(|id| Step::End(id, TransactionResult::Commit)),
        2 => producer().prop_map(|id| Step::End(id, TransactionResult::Abort)),
        1 => Just(Step::Crash),
        1 => Just(Step::StopAndStart),
        1 => (1..4_usize).prop_map(Step::Truncate),
    ]
}

/// What a log holds: whose batch, the marker it is or `None` for data, and its offsets.
#[derive(Default)]
struct Model(Vec<(i64, Option<TransactionResult>, i64, i64)>);

impl Model {
    /// Where open transactions begin, and those that were aborted.
    fn transactions(&self) -> (BTreeMap<i64, i64>, Vec<AbortedTxn>) {
        let (mut open, mut aborted) = (BTreeMap::new(), Vec::new());
        for &(producer_id, marker, first, last_offset) in &self.0 {
            let Some(result) = marker else {
                open.entry(producer_id).or_insert(first);
                continue;
            };
            let Some(first_offset) = open.remove(&producer_id) else { continue };
            let last_stable_offset = open.values().min().copied().unwrap_or(last_offset + 1);
            let is_abort = result == TransactionResult::Abort;
            aborted.extend(is_abort.then_some(AbortedTxn {
                producer_id,
                first_offset,
                last_offset,
                last_stable_offset,
            }));
        }
        (open, aborted)
    }

    fn check(&self, log: &Log) {
        let (open, expected) = self.transactions();
        let end = log.log_end_offset();
        assert_eq!(log.first_unstable_offset(end), open.values().min().copied());
        assert_eq!(aborted(log), expected);
    }

    /// While the last batch, a marker, is not committed, neither is what it has ended.
    fn check_uncommitted(&self, log: &Log) {
        let Some(&(producer_id, _, marker_offset, _)) = self.0.last() else { return };
        let before = Self(self.0[..self.0.len() - 1].to_vec()).transactions().0;
        let open = self.transactions().0;
        let expected = open.values().chain(before.get(&producer_id)).min().copied();
        assert_eq!(log.first_unstable_offset(marker_offset), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_log_knows_its_transactions_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let disk = Disk::new(LogConfig { segment_bytes: 700, ..small_segments() });
        let (mut dir, mut log) = disk.create();
        let (mut model, mut sequences) = (Model::default(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Write(id) => {
                    let sequence = sequences.entry(id).or_insert(0);
                    let mut builder = BatchBuilder::new(START_MS);
                    let records = builder.producer(id, 0, *sequence).transactional().record(None, Some(b"value")).build();
                    let info = log.append_as_leader(&records, 0, AppendOrigin::Client, at(0)).unwrap();
                    *sequence += 1;
                    model.0.push((id, None, info.first_offset, info.last_offset));
                }
                Step::End(id, result) => {
                    let marker = EndTransactionMarker { result, coordinator_epoch: 0 };
                    let marker = marker.batch(ProducerIdAndEpoch { producer_id: id, producer_epoch: 0 }, START_MS);
                    let info = log.append_as_leader(&marker, 0, AppendOrigin::Coordinator, at(0)).unwrap();
                    model.0.push((id, Some(result), info.first_offset, info.last_offset));
                    model.check_uncommitted(&log);
                    log.replicated_to(log.log_end_offset());
                }
                Step::Crash => (dir, log) = disk.restart_after_crash((dir, log)),
                Step::StopAndStart => (dir, log) = disk.restart_cleanly((dir, log)),
                Step::Truncate(batches) => {
                    let kept = model.0.len().saturating_sub(batches);
                    if let Some(&(_, _, offset, _)) = model.0.get(kept) {
                        log.truncate_to(offset, at(0)).unwrap();
                        model.0.truncate(kept);
                        for (id, sequence) in &mut sequences {
                            let written = model.0.iter().filter(|batch| batch.0 == *id && batch.1.is_none());
                            *sequence = i32::try_from(written.count()).unwrap();
                        }
                    }
                }
            }
            model.check(&log);
        }
    }
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
