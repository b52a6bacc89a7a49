//! Moves between directories of one broker without a server: every step, and a crash after each.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::clock::Clock;
use crate::config::{Config, DataDirectories};
use crate::ids::Uuid;
use crate::metadata::{MetadataDelta, MetadataImage, MetadataRecord, PartitionImage, TopicRecord};
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::BatchBuilder;
use crate::replication::hosted_partition::AppendRequest;
use crate::replication::ownership::KnownTopics;
use crate::replication::partition::RequiredAcks;
use crate::storage::{LogDirOptions, LogDirs};

const NOW_MS: i64 = 1_800_000_000_000;
const TOPIC: Uuid = Uuid::from_u128(7);

/// Directories `a`, `b` and `c`, and what the metadata says: one topic `t` with one partition.
struct Disks {
    dir: TempDir,
    image: MetadataImage,
}

impl Disks {
    fn new() -> Self {
        let mut image = MetadataImage::default();
        for record in Self::records() {
            image.replay(&record).unwrap();
        }
        Self { dir: tempfile::tempdir().unwrap(), image }
    }

    fn records() -> [MetadataRecord; 2] {
        let state = PartitionImage {
            replicas: vec![1],
            isr: vec![1],
            leader: 1,
            leader_epoch: 3,
            partition_epoch: 0,
            ..PartitionImage::default()
        };
        let topic = TopicRecord::Topic { name: "t".into(), id: TOPIC };
        [topic, TopicRecord::Partition { topic_id: TOPIC, partition: 0, state }].map(MetadataRecord::from)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a start finds; a crash is simply to drop what was there before.
    fn open(&self) -> Arc<ReplicaManager> {
        let log_dirs = ["a", "b", "c"].map(|name| self.path(name));
        let directories = DataDirectories { metadata: log_dirs[0].clone(), log_dirs: log_dirs.to_vec() };
        let options = LogDirOptions { node_id: 1, cluster_id: None, max_open_files: 300, delete_delay: Duration::ZERO };
        let config = Arc::new(Config::with(&[("log.segment.bytes", "1048576")]).unwrap());
        let dirs = Arc::new(LogDirs::open(&directories, &options).unwrap());
        let removed = HashSet::new();
        let known = KnownTopics { image: &self.image, removed: &removed };
        let replicas = ReplicaManager::open(1, Clock::manual(NOW_MS), config, dirs, known).unwrap();
        let (mut image, mut delta) = (MetadataImage::default(), MetadataDelta::default());
        for record in Self::records() {
            delta.note(image.replay(&record).unwrap());
        }
        replicas.apply(&delta, &image);
        Arc::new(replicas)
    }

    fn alter(&self, replicas: &ReplicaManager, name: &str) -> Result<(), ErrorCode> {
        replicas.alter_log_dir("t", 0, self.path(name).to_str().unwrap())
    }

    /// The partition's directories in `name`, without their unique parts.
    fn found(&self, name: &str) -> Vec<String> {
        let names =
            fs::read_dir(self.path(name)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names
            .filter(|name| name.starts_with("t-0"))
            .map(|name| name.split_once('.').map_or(name.clone(), |(_, unique)| unique[32..].to_owned()))
            .collect();
        names.sort();
        names
    }

    /// The directory in `name` whose name ends in `suffix`.
    fn directory(&self, name: &str, suffix: &str) -> PathBuf {
        let paths = fs::read_dir(self.path(name)).unwrap().map(|entry| entry.unwrap().path());
        let is_it = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().ends_with(suffix);
        paths.into_iter().find(is_it).unwrap()
    }
}

fn hosted(replicas: &ReplicaManager) -> Arc<HostedPartition> {
    replicas.partition("t", 0).unwrap()
}

fn append(replicas: &ReplicaManager, records: &Bytes) -> Result<i64, String> {
    let appended =
        hosted(replicas).append(&AppendRequest::by_client(records, RequiredAcks::All), replicas.clock().now());
    appended.map(|appended| appended.info.first_offset).map_err(|error| error.to_string())
}

/// A large batch of an idempotent producer.
fn batch(sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(NOW_MS);
    builder.producer(9, 0, sequence).record(Some(b"key"), Some(&vec![7; 300_000])).build()
}

/// All bytes of the log, and where it starts and ends.
fn contents(replicas: &ReplicaManager) -> (Vec<u8>, i64, i64) {
    let read = |log: &mut Log| {
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let (mut bytes, mut offset) = (Vec::new(), start);
        while offset < end {
            let slice = log.read(offset, PIECE, end, true).unwrap().read_blocking().unwrap();
            let batches: Vec<_> = crate::protocol::record_batch::batches(&slice).filter_map(Result::ok).collect();
            offset = batches.last().unwrap().header.next_offset();
            for batch in &batches {
                bytes.extend_from_slice(&batch.bytes);
            }
        }
        (bytes, start, end)
    };
    hosted(replicas).with_log(read).unwrap()
}

/// Moves until nothing is to be moved.
fn finish(replicas: &Arc<ReplicaManager>) {
    let (mover, stop) = (ReplicaMover::new(Arc::clone(replicas)), CancellationToken::new());
    let is_over = (0..1_000).any(|_| matches!(mover.move_all(&stop), Next::Idle));
    assert!(is_over, "it does not end");
}

/// Does one step.
fn step(replicas: &Arc<ReplicaManager>) {
    let next = ReplicaMover::new(Arc::clone(replicas)).move_all(&CancellationToken::new());
    assert!(matches!(next, Next::GoOn), "{next:?}");
}

fn is_caught_up(replicas: &ReplicaManager) -> bool {
    hosted(replicas).future_size_and_lag().is_some_and(|(_, lag)| lag == 0)
}

#[test]
fn a_replica_moves_with_all_that_it_has() {
    let disks = Disks::new();
    let replicas = disks.open();
    (0..12).for_each(|sequence| assert_eq!(append(&replicas, &batch(sequence)), Ok(i64::from(sequence))));
    let partition = hosted(&replicas);
    partition.delete_records(2).unwrap();
    let (before, producers) = (contents(&replicas), partition.producers().unwrap());
    let epochs = |replicas: &ReplicaManager| hosted(replicas).end_offset_for_epoch(3, -1);
    assert_eq!((disks.found("a"), disks.alter(&replicas, "b")), (vec!["t-0".to_owned()], Ok(())));
    assert_eq!((disks.found("b"), disks.alter(&replicas, "b")), (vec!["-future".to_owned()], Ok(())));
    step(&replicas);
    assert_eq!(append(&replicas, &batch(12)), Ok(12), "it is served");
    finish(&replicas);
    assert_eq!((disks.found("a"), disks.found("b")), (vec!["-delete".to_owned()], vec!["t-0".to_owned()]));
    assert_eq!(append(&replicas, &batch(12)), Ok(12), "a duplicate is known");
    let after = contents(&replicas);
    assert_eq!((after.0[..before.0.len()] == before.0, after.1, after.2), (true, 2, 13));
    assert_eq!(partition.producers().unwrap().len(), producers.len());
    assert_eq!((epochs(&replicas), partition.offsets(-1).unwrap().high_watermark), (Ok(Some((3, 13))), 13));
    assert_eq!(append(&replicas, &batch(13)), Ok(13));
    let checkpoint = |name: &str| fs::read_to_string(disks.path(name).join("log-start-offset-checkpoint")).unwrap();
    assert_eq!((checkpoint("a"), checkpoint("b")), ("0\n0\n".to_owned(), "0\n1\nt 0 2\n".to_owned()));
    while replicas.remove_deleted_log() {}
    assert!(disks.found("a").is_empty());
    // After a clean stop and after a crash all of it is there.
    let after = contents(&replicas);
    replicas.close(1).unwrap();
    drop((partition, replicas));
    for _ in 0..2 {
        let replicas = disks.open();
        assert!(contents(&replicas) == after);
        assert_eq!(append(&replicas, &batch(13)), Ok(13), "a duplicate is known");
        assert_eq!(epochs(&replicas), Ok(Some((3, 14))));
    }
}

/// Leaves on the disk what a crash after the step leaves: each is called on what the one before has left.
type CrashStep = fn(&Disks, &Arc<ReplicaManager>);

#[test]
fn a_move_survives_a_crash_after_each_of_its_steps() {
    let copied: CrashStep = |_, replicas| {
        while !is_caught_up(replicas) {
            step(replicas);
        }
    };
    let steps: [(&str, CrashStep); 6] = [
        ("nothing is copied", |disks, replicas| disks.alter(replicas, "b").unwrap()),
        ("a piece is copied", |_, replicas| step(replicas)),
        ("all is copied", copied),
        ("the current log is deleted", |disks, _| {
            let deleted = format!("t-0.{}-delete", Uuid::from_u128(1).simple());
            fs::rename(disks.path("a/t-0"), disks.path("a").join(deleted)).unwrap();
        }),
        ("the future log has the name", |disks, _| {
            fs::rename(disks.directory("b", "-future"), disks.path("b/t-0")).unwrap();
        }),
        ("the deleted log is gone", |disks, _| fs::remove_dir_all(disks.directory("a", "-delete")).unwrap()),
    ];
    for last in 0..steps.len() {
        let disks = Disks::new();
        let replicas = disks.open();
        (0..10).for_each(|sequence| assert_eq!(append(&replicas, &batch(sequence)), Ok(i64::from(sequence))));
        let before = contents(&replicas);
        let (name, _) = steps[last];
        steps[..=last].iter().for_each(|(_, step)| step(&disks, &replicas));
        drop(replicas);
        let replicas = disks.open();
        assert!(contents(&replicas) == before, "{name}");
        assert_eq!(append(&replicas, &batch(9)), Ok(9), "{name}: a duplicate is known");
        finish(&replicas);
        assert_eq!(disks.found("b"), ["t-0"], "{name}");
        assert!(disks.found("a").iter().all(|found| found == "-delete"), "{name}");
        assert_eq!(append(&replicas, &batch(10)), Ok(10), "{name}");
        drop(replicas);
        let replicas = disks.open();
        assert_eq!(contents(&replicas).2, 11, "{name}");
    }
}

#[test]
fn a_move_may_be_directed_elsewhere_or_given_up() {
    let disks = Disks::new();
    let replicas = disks.open();
    (0..6).for_each(|sequence| assert!(append(&replicas, &batch(sequence)).is_ok()));
    let before = contents(&replicas);
    disks.alter(&replicas, "b").unwrap();
    step(&replicas);
    disks.alter(&replicas, "c").unwrap();
    assert_eq!((disks.found("b"), disks.found("c")), (vec!["-delete".to_owned()], vec!["-future".to_owned()]));
    step(&replicas);
    // Two of one partition, as a power loss leaves them: one goes on.
    fs::rename(disks.directory("b", "-delete"), disks.path("b").join(format!("t-0.{}-future", TOPIC.simple())))
        .unwrap();
    drop(replicas);
    let replicas = disks.open();
    let futures = [disks.found("b"), disks.found("c")].concat();
    assert_eq!(futures.iter().filter(|found| *found == "-future").count(), 1, "{futures:?}");
    // Back to where it is.
    disks.alter(&replicas, "a").unwrap();
    assert!(hosted(&replicas).future().is_none());
    finish(&replicas);
    assert!(contents(&replicas) == before);
    assert_eq!(
        [disks.found("a"), disks.found("b"), disks.found("c")].concat().iter().filter(|name| *name == "t-0").count(),
        1
    );
    assert_eq!(replicas.alter_log_dir("t", 0, "/nowhere"), Err(ErrorCode::LogDirNotFound));
    assert_eq!(
        replicas.alter_log_dir("u", 0, disks.path("b").to_str().unwrap()),
        Err(ErrorCode::UnknownTopicOrPartition)
    );
}

#[test]
fn a_topic_may_be_deleted_while_it_moves() {
    let disks = Disks::new();
    let replicas = disks.open();
    append(&replicas, &batch(0)).unwrap();
    disks.alter(&replicas, "b").unwrap();
    let (mut image, mut delta) = (disks.image.clone(), MetadataDelta::default());
    delta.note(image.replay(&TopicRecord::RemoveTopic { topic_id: TOPIC }.into()).unwrap());
    replicas.apply(&delta, &image);
    assert_eq!((disks.found("a"), disks.found("b")), (vec!["-delete".to_owned()], vec!["-delete".to_owned()]));
    finish(&replicas);
}

#[test]
fn a_copy_without_its_original_is_kept_and_not_served() {
    let disks = Disks::new();
    let replicas = disks.open();
    (0..6).for_each(|sequence| assert!(append(&replicas, &batch(sequence)).is_ok()));
    disks.alter(&replicas, "b").unwrap();
    step(&replicas);
    drop(replicas);
    fs::remove_dir_all(disks.path("a/t-0")).unwrap();
    let replicas = disks.open();
    assert_eq!(disks.found("b"), ["-stray"]);
    assert_eq!(contents(&replicas).2, 0);
    assert!(first_log(&disks.directory("b", "-stray")).exists());
}

fn first_log(dir: &Path) -> PathBuf {
    dir.join("00000000000000000000.log")
}

#[test]
fn movers_keep_to_their_rate() {
    let disks = Disks::new();
    let replicas = disks.open();
    (0..6).for_each(|sequence| assert!(append(&replicas, &batch(sequence)).is_ok()));
    let rate = [("replica.alter.log.dirs.io.max.bytes.per.second".to_owned(), "100000".to_owned())];
    let config = replicas.config().with_dynamic(BTreeMap::from(rate), BTreeMap::new()).unwrap();
    replicas.reconfigure(&Arc::new(config), &disks.image);
    disks.alter(&replicas, "b").unwrap();
    let next = ReplicaMover::new(Arc::clone(&replicas)).move_all(&CancellationToken::new());
    let Next::Wait(until) = next else { panic!("it does not wait") };
    let wait = until.saturating_sub(replicas.clock().monotonic());
    assert!((Duration::from_secs(2)..Duration::from_secs(20)).contains(&wait), "{wait:?}");
}
