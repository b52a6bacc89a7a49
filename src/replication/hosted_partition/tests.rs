//! What waits for a disk that hangs, and what does not.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::clock::Clock;
use crate::ids::ProducerIdAndEpoch;
use crate::protocol::control_records::{EndTransactionMarker, TransactionResult};
use crate::protocol::record_batch::BatchBuilder;
use crate::replication::partition::RequiredAcks;
use crate::replication::replica_manager::ReplicaManager;
use crate::storage::{LogDir, LogDirOptions};

/// More than a pipe holds.
const LARGE: usize = 300_000;

/// No test waits longer for what must not wait.
const PATIENCE: Duration = Duration::from_secs(20);

fn batch(size: usize) -> bytes::Bytes {
    BatchBuilder::new(1_000).record(None, Some(&vec![7; size])).build()
}

/// What `work` gives; it must not wait for the disk.
fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(PATIENCE).expect("it does not wait for the disk")
}

/// A partition whose segment is a pipe that nobody reads: what is more than the pipe holds waits, as it does for a disk that
/// hangs.
fn on_a_pipe(directory: &Path) -> (Arc<HostedPartition>, File) {
    let options = LogDirOptions { node_id: 1, cluster_id: None, max_open_files: 100, delete_delay: Duration::ZERO };
    let log_dir = LogDir::open(directory, &options).unwrap();
    let replicas = ReplicaManager::leading(&["t"], log_dir, &Clock::manual(0), &[]);
    let path = directory.join("t-0/00000000000000000000.log");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Also for writing: who opens a pipe for reading alone waits for a writer.
    let pipe = File::options().read(true).write(true).open(&path).unwrap();
    (replicas.partition("t", 0).unwrap(), pipe)
}

#[test]
fn only_who_appends_waits_for_an_append_that_hangs() {
    let directory = tempfile::tempdir().unwrap();
    let (partition, mut pipe) = on_a_pipe(directory.path());
    let append = |size| {
        let (partition, (sender, receiver)) = (Arc::clone(&partition), mpsc::channel());
        let now = Clock::manual(0).now();
        thread::spawn(move || {
            sender.send(partition.append(&AppendRequest::by_client(&batch(size), RequiredAcks::All), now).unwrap().info)
        });
        receiver
    };
    let read = |fetch_offset| {
        let partition = Arc::clone(&partition);
        let request = ReadRequest {
            fetch_offset,
            max_bytes: usize::MAX,
            min_one: true,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            read_committed: false,
        };
        soon(move || partition.read(&request).unwrap())
    };
    assert_eq!(append(10).recv_timeout(PATIENCE).unwrap().last_offset, 0);
    let size = read(0).records.unwrap().len();
    let hanging = append(LARGE);
    // It is in the write once the pipe is full; either way nobody sees anything of it.
    thread::sleep(Duration::from_millis(100));
    let waiting = append(10);
    let found = read(0);
    assert_eq!((found.high_watermark, found.records.unwrap().len()), (1, size));
    assert!(read(1).records.is_none());
    let same = Arc::clone(&partition);
    assert_eq!(soon(move || same.offsets(-1).unwrap().log_end_offset), 1);
    let same = Arc::clone(&partition);
    assert_eq!(soon(move || same.status().unwrap().log_size), size as u64);
    assert!(hanging.try_recv().is_err() && waiting.try_recv().is_err());
    // The disk goes on: each is appended once, in order.
    let drained = thread::spawn(move || {
        let mut bytes = vec![0; size + LARGE];
        pipe.read_exact(&mut bytes).unwrap();
        pipe
    });
    assert_eq!(hanging.recv_timeout(PATIENCE).unwrap().first_offset, 1);
    assert_eq!(waiting.recv_timeout(PATIENCE).unwrap().first_offset, 2);
    assert_eq!(partition.offsets(-1).unwrap().high_watermark, 3);
    drop(drained.join().unwrap());
}

#[tokio::test]
async fn an_fsync_that_nobody_waits_for_any_more_keeps_its_turn() {
    let replicas =
        ReplicaManager::leading(&["t"], LogDir::memory(), &Clock::manual(0), &[("log.flush.interval.messages", "1")]);
    let partition = replicas.partition("t", 0).unwrap();
    let now = replicas.clock().now();
    let appended = partition.append(&AppendRequest::by_client(&batch(10), RequiredAcks::All), now).unwrap();
    assert!(appended.needs_flush);
    let hanging = partition.hold_fsyncs();
    for _ in 0..3 {
        // Each asks, gives up, and asks again.
        assert_eq!(Arc::clone(&partition).flushed_to(1, now).now_or_never(), None);
        assert!(partition.flushing.try_lock().is_err(), "only the first one has a thread");
    }
    drop(hanging);
    assert_eq!(Arc::clone(&partition).flushed_to(1, now).await, Ok(()));
    assert!(!partition.has_unflushed());
}

#[test]
fn what_ended_before_a_crash_is_not_looked_at_by_every_reader_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let options = LogDirOptions { node_id: 1, cluster_id: None, max_open_files: 100, delete_delay: Duration::ZERO };
        let log_dir = LogDir::open(directory.path(), &options).unwrap();
        let config = [("transaction.partition.verification.enable", "false")];
        let replicas = ReplicaManager::leading(&["t"], log_dir, &Clock::manual(0), &config);
        replicas.partition("t", 0).unwrap()
    };
    let partition = open();
    let producer = ProducerIdAndEpoch { producer_id: 7, producer_epoch: 0 };
    let mut builder = BatchBuilder::new(1_000);
    let data = builder.producer(7, 0, 0).transactional().record(None, Some(b"value")).build();
    let marker = EndTransactionMarker { result: TransactionResult::Commit, coordinator_epoch: 0 };
    let now = Clock::manual(0).now();
    partition.append(&AppendRequest::by_client(&data, RequiredAcks::All), now).unwrap();
    partition.append(&AppendRequest::by_coordinator(&marker.batch(producer, 1_000), -1), now).unwrap();
    drop(partition);
    let partition = open();
    assert_eq!(partition.offsets(-1).unwrap().last_stable_offset, 2);
    // As if nothing were committed: whatever is still remembered would hold a reader up.
    assert_eq!(partition.with_log(|log| log.first_unstable_offset(0)), Some(None));
}

#[test]
fn an_offset_before_the_logs_start_is_out_of_range_whatever_the_histories_are() {
    let replicas = ReplicaManager::leading(&["t"], LogDir::memory(), &Clock::manual(0), &[]);
    let partition = replicas.partition("t", 0).unwrap();
    let append = || {
        let now = replicas.clock().now();
        partition.append(&AppendRequest::by_client(&batch(10), RequiredAcks::All), now).unwrap()
    };
    for _ in 0..3 {
        append();
    }
    // As if this leader knew of an epoch that the reader does not, and not of the reader's last one.
    partition.with_log(|log| log.begin_epoch(2));
    let read = |fetch_offset| {
        partition.read(&ReadRequest {
            fetch_offset,
            max_bytes: usize::MAX,
            min_one: true,
            current_leader_epoch: -1,
            last_fetched_epoch: 1,
            read_committed: false,
        })
    };
    assert_eq!(read(1).unwrap().diverging, Some((0, 3)));
    partition.delete_records(2).unwrap();
    assert_eq!(read(1).unwrap_err(), ErrorCode::OffsetOutOfRange);
    assert_eq!(read(2).unwrap().diverging, Some((0, 3)));
}

#[tokio::test]
async fn a_wait_ends_with_the_leadership_that_it_began_in() {
    let replicas = ReplicaManager::leading(&["t"], LogDir::memory(), &Clock::manual(0), &[]);
    let partition = replicas.partition("t", 0).unwrap();
    let now = replicas.clock().now();
    let config = partition.with_log(|log| log.config().clone()).unwrap();
    let isr_config = IsrConfig { min_insync_replicas: 1, lag_time_max: Duration::from_secs(30) };
    let apply = |leader, leader_epoch| {
        let state = PartitionState {
            leader,
            leader_epoch,
            partition_epoch: leader_epoch,
            replicas: vec![1, 2],
            isr: vec![1, 2],
        };
        partition.apply(state, config.clone(), isr_config, now);
    };
    apply(1, 1);
    let appended = partition.append(&AppendRequest::by_client(&batch(10), RequiredAcks::All), now).unwrap();
    assert_eq!((appended.leader_epoch, appended.committed), (1, false), "2 has not fetched it");
    let mut wait = Box::pin(Arc::clone(&partition).committed(appended.leader_epoch, 1));
    assert_eq!(wait.as_mut().now_or_never(), None);
    // Confirmed, it waits on.
    apply(1, 2);
    assert_eq!(wait.as_mut().now_or_never(), None);
    // Both come before it looks again.
    apply(2, 3);
    apply(1, 4);
    assert_eq!(wait.await, Err(ErrorCode::NotLeaderOrFollower));
    let clock = Clock::manual(0);
    let acknowledged = Arc::clone(&partition).acknowledged_to(1, 0, &clock, Duration::from_secs(1));
    assert_eq!(acknowledged.await, Err(ErrorCode::NotLeaderOrFollower));
}

#[test]
fn a_lower_minimum_of_in_sync_replicas_commits_what_waits_for_it() {
    let replicas = ReplicaManager::leading(&["t"], LogDir::memory(), &Clock::manual(0), &[]);
    let partition = replicas.partition("t", 0).unwrap();
    let now = replicas.clock().now();
    let config = partition.with_log(|log| log.config().clone()).unwrap();
    let isr_config = |min_insync_replicas| IsrConfig { min_insync_replicas, lag_time_max: Duration::from_secs(30) };
    let state = PartitionState { leader: 1, leader_epoch: 1, partition_epoch: 1, replicas: vec![1, 2], isr: vec![1] };
    partition.apply(state, config.clone(), isr_config(2), now);
    let appended = partition.append(&AppendRequest::by_client(&batch(10), RequiredAcks::Leader), now).unwrap();
    assert!(!appended.committed);
    let mut wait = Box::pin(Arc::clone(&partition).committed(1, 1));
    assert_eq!(wait.as_mut().now_or_never(), None);
    partition.configure(config, isr_config(1), now);
    assert_eq!(wait.now_or_never(), Some(Ok(())));
}
