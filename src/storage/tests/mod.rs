//! Logs as a whole: what goes in comes out, after restarts and damage, too.

mod cleaning;
mod damage;
mod directory;
mod failures;
mod fixtures;
mod holes;
mod model;
mod mutations;
mod open_files;
mod reading;
mod transactions;
mod validation;
mod verification;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::clock::{Clock, Now};
use crate::ids::{TopicPartition, Uuid};
use crate::protocol::record_batch::{BatchBuilder, RecordBatch, batches};

const START_MS: i64 = 1_700_000_000_000;
const DELETE_DELAY: Duration = Duration::from_millis(50);

fn at(ms: i64) -> Now {
    let mut now = Clock::manual(0).now();
    now.timestamp_ms = START_MS + ms;
    now.monotonic = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    now
}

fn options() -> LogDirOptions {
    LogDirOptions {
        node_id: 1,
        cluster_id: Some("the-cluster".to_owned()),
        max_open_files: 1_000,
        delete_delay: DELETE_DELAY,
    }
}

/// A batch of `count` records with values of `size` bytes, at `START_MS + ms`.
fn batch(count: usize, size: usize, ms: i64) -> Bytes {
    let mut builder = BatchBuilder::new(START_MS + ms);
    for index in 0..count {
        builder.record(Some(format!("key-{index}").as_bytes()), Some(&vec![b'v'; size]));
    }
    builder.build()
}

fn idempotent(id: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(START_MS + i64::from(sequence));
    builder.producer(id, epoch, sequence);
    for _ in 0..count {
        builder.record(None, Some(b"value"));
    }
    builder.build()
}

/// Of a log to which transactions come without their coordinator.
fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 2_000,
        index_interval_bytes: 200,
        file_delete_delay_ms: 0,
        transaction_partition_verification_enable: false,
        ..LogConfig::default()
    }
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn append(log: &mut Log, records: &Bytes) -> AppendInfo {
    log.append_as_leader(records, 0, AppendOrigin::Client, at(0)).unwrap()
}

/// All batches from `offset` on, read in pieces of `max_bytes`.
fn read_all(log: &Log, mut offset: i64, max_bytes: usize) -> Vec<RecordBatch> {
    let mut all = Vec::new();
    while offset < log.log_end_offset() {
        let slice = log.read(offset, max_bytes, i64::MAX, true).unwrap();
        let bytes = slice.read_blocking().unwrap();
        let read: Vec<_> = batches(&bytes).map(Result::unwrap).collect();
        assert!(!read.is_empty(), "nothing at {offset}");
        offset = read.last().unwrap().header.next_offset();
        all.extend(read);
    }
    all
}

/// A partition in a temporary directory that can be stopped and started.
struct Disk {
    dir: tempfile::TempDir,
    config: LogConfig,
}

impl Disk {
    fn new(config: LogConfig) -> Self {
        // In memory where the system has a place for it: these tests sync thousands of times.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { dir: dir.unwrap(), config }
    }

    fn partition_dir(&self) -> PathBuf {
        self.dir.path().join("orders-0")
    }

    fn create(&self) -> (LogDir, Log) {
        let dir = LogDir::open(self.dir.path(), &options()).unwrap();
        let log = dir.create_log(&orders(), Uuid::from_u128(5), self.config.clone(), at(0)).unwrap();
        (dir, log)
    }

    fn start(&self) -> (LogDir, Log) {
        let dir = LogDir::open(self.dir.path(), &options()).unwrap();
        let mut loaded = load(&dir, &self.config).unwrap();
        (dir, loaded.pop().unwrap().log)
    }

    /// What `kill -9` leaves is simply the files as they are.
    fn restart_after_crash(&self, (dir, log): (LogDir, Log)) -> (LogDir, Log) {
        drop((dir, log));
        self.start()
    }

    fn stop((dir, mut log): (LogDir, Log)) {
        if let Some(task) = log.flush_task().unwrap() {
            let flushed = task.run().unwrap();
            log.flushed(flushed, at(0));
        }
        log.close().unwrap();
        dir.close(&[checkpoint_of(&log)], 7).unwrap();
    }

    fn restart_cleanly(&self, running: (LogDir, Log)) -> (LogDir, Log) {
        Self::stop(running);
        self.start()
    }

    fn files(&self) -> Vec<String> {
        super::files::file_names(&self.partition_dir()).unwrap()
    }
}

fn load(dir: &LogDir, config: &LogConfig) -> Result<Vec<LoadedLog>, StorageError> {
    Ok(dir.load(dir.find_logs()?, &|_| config.clone(), 2, at(0))?.logs)
}

fn checkpoint_of(log: &Log) -> CheckpointEntry {
    CheckpointEntry {
        topic_partition: log.topic_partition().clone(),
        recovery_point: log.recovery_point(),
        log_start_offset: log.log_start_offset(),
        high_watermark: log.log_end_offset(),
        cleaner_offset: log.cleaner_offset(),
    }
}

fn copy_dir(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
