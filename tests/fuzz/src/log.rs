//! A partition on a file system in memory, and all that can be asked of its log.

use std::path::Path;

use bytes::Bytes;
use klamm::clock::{Clock, Now};
use klamm::ids::TopicPartition;
use klamm::protocol::record_batch::{BatchBuilder, RecordBatch, batches};
use klamm::storage::{CheckpointEntry, Log, LogConfig, LogDir, LogDirError, LogDirOptions, StorageError};

/// The time at which everything happens, in milliseconds since the Unix epoch.
pub const NOW_MS: i64 = 1_700_000_000_000;

/// Timestamps around those of the seeds' records, and the ends of the range.
const TIMESTAMPS: [i64; 6] = [i64::MIN, -1, 0, NOW_MS, NOW_MS + 1, i64::MAX];

/// How many epochs are asked for.
const EPOCHS: i32 = 8;

/// One reading of a clock that stands still.
pub fn now() -> Now {
    Clock::manual(NOW_MS).now()
}

/// The partition.
pub fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

/// Small segments and many index entries, so that little data has much structure.
pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 400,
        index_interval_bytes: 100,
        file_delete_delay_ms: 0,
        max_message_bytes: 64 * 1024,
        ..LogConfig::default()
    }
}

/// A place for a data directory: in memory where the system has such a place.
pub fn temporary_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory can be made")
}

/// Opens the data directory of node 1.
pub fn open(path: &Path) -> Result<LogDir, LogDirError> {
    let options = LogDirOptions {
        node_id: 1,
        cluster_id: None,
        max_open_files: 100,
        delete_delay: std::time::Duration::ZERO,
    };
    LogDir::open(path, &options)
}

/// Loads the partition in `dir`; `None` when it has no directory.
pub fn load(dir: &LogDir) -> Result<Option<Log>, StorageError> {
    let loaded = dir.load(dir.find_logs()?, &|_| config(), 1, now())?;
    Ok(loaded.logs.into_iter().find(|loaded| loaded.topic_partition == orders()).map(|loaded| loaded.log))
}

/// Two records of an idempotent producer.
pub fn batch(sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(NOW_MS + i64::from(sequence));
    builder.producer(7, 0, sequence).record(Some(b"key"), Some(b"value")).record(None, None).build()
}

/// What can be known of a log.
#[derive(Debug, PartialEq)]
pub struct Facts {
    /// The log start offset and the log end offset.
    pub offsets: (i64, i64),
    /// Everything that can be read.
    pub batches: Vec<RecordBatch>,
    epochs: Vec<Option<(i32, i64)>>,
    timestamps: Vec<Option<i64>>,
    producers: usize,
}

/// Asks a log everything there is; what cannot be answered for damage counts as `None`. Idle producers are forgotten
/// first, as they are by a start.
pub fn facts(log: &mut Log) -> Facts {
    log.expire_producers(now());
    let timestamps = TIMESTAMPS.map(|timestamp| log.offset_for_timestamp(timestamp)).into_iter();
    let latest = log.offset_of_max_timestamp();
    Facts {
        offsets: (log.log_start_offset(), log.log_end_offset()),
        batches: read(log),
        epochs: (-1..EPOCHS).map(|epoch| log.end_offset_for_epoch(epoch)).collect(),
        timestamps: timestamps.chain([latest]).map(|found| Some(found.ok()??.offset)).collect(),
        producers: log.producer_count(),
    }
}

/// Reads from the log start offset on, until the end or damage.
fn read(log: &Log) -> Vec<RecordBatch> {
    const READ_SIZE: usize = 300;
    let (mut offset, mut all) = (log.log_start_offset(), Vec::new());
    while offset < log.log_end_offset() {
        let Ok(slice) = log.read(offset, READ_SIZE, i64::MAX, true) else { break };
        let Ok(bytes) = slice.read_blocking() else { break };
        let read: Vec<_> = batches(&bytes).map_while(Result::ok).collect();
        let Some(next) = read.last().map(|last| last.header.next_offset()).filter(|&next| next > offset) else { break };
        all.extend(read);
        offset = next;
    }
    all
}

/// Stops as the broker does: everything is flushed and the next start needs no recovery.
pub fn stop(dir: &LogDir, log: &mut Log) -> Result<(), StorageError> {
    if let Some(task) = log.flush_task()? {
        let flushed = task.run()?;
        log.flushed(flushed, now());
    }
    log.close()?;
    let entry = CheckpointEntry {
        topic_partition: orders(),
        recovery_point: log.recovery_point(),
        log_start_offset: log.log_start_offset(),
        high_watermark: log.log_end_offset(),
        cleaner_offset: log.cleaner_offset(),
    };
    dir.close(&[entry], 1)
}

/// Two records without a producer.
pub fn coordinators_batch() -> Bytes {
    BatchBuilder::new(NOW_MS).record(Some(b"key"), Some(b"value")).record(None, None).build()
}
