//! The cleaners: `log.cleaner.threads` tasks that look for the filthiest log, compact it, and look again, or rest for
//! `log.cleaner.backoff.ms` where there is none (Kafka's `LogCleaner` and `LogCleanerManager`).
//!
//! What is worth it, and what is kept, is decided in [`crate::storage::cleaner`]; this is who does it, and when. A log that
//! cannot be cleaned is named in the log, fenced off until the next start, and keeps no other one waiting.
//!
//! Unlike Kafka, which gives up the log directory where a file cannot be read, that too is the fault of one log only. And
//! cleaners delete no segments: housekeeping does that for compacted logs as for others, when they are not being cleaned.
//! They close the active segment of `__consumer_offsets` when it is worth it, long before `offsets.topic.segment.bytes`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cleaning_turn::CleaningTurn;
use super::hosted_partition::HostedPartition;
use super::io_throttle::IoThrottle;
use super::low_priority;
use super::partition_cleaning::{self, Cleaned, CleanerLimits, CleaningContext, CleaningFailure};
use super::replica_manager::ReplicaManager;
use crate::ids::GROUP_METADATA_TOPIC;
use crate::storage::StorageError;
use crate::storage::cleaner::{CheckpointReset, CleanerError, CompactionConfig, LogToClean, filthiest};

/// As Kafka, which addresses its map by a number of 32 bits.
const MOST_MAP_BYTES: u64 = i32::MAX as u64;

/// Commits are cleaned in pieces of this size. With Kafka's segments of 100 MiB, none of which is cleaned before the next one
/// begins, the 50 partitions of `__consumer_offsets` may hold 5 GB for a few live offsets, and a start reads them all.
const COMMITS_SEGMENT_BYTES: u64 = 1 << 20;

/// See the module.
pub struct LogCleaner {
    replicas: Arc<ReplicaManager>,
    /// All cleaners' together.
    throttle: Mutex<IoThrottle>,
    /// How many tasks there are.
    workers: AtomicUsize,
}

/// A log that could be cleaned now.
struct Candidate {
    partition: Arc<HostedPartition>,
    to_clean: LogToClean,
    config: CompactionConfig,
}

impl LogCleaner {
    /// The cleaners of the partitions in `replicas`; none is at work yet.
    pub fn new(replicas: Arc<ReplicaManager>) -> Arc<Self> {
        Arc::new(Self { replicas, throttle: Mutex::default(), workers: AtomicUsize::new(0) })
    }

    /// Cleans until `stop` is cancelled; a cleaning that is under way then is given up. Follows the configuration.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut reconfigured = self.replicas.reconfigured();
        let mut tasks = JoinSet::new();
        while !stop.is_cancelled() {
            while self.workers.load(Ordering::Relaxed) < self.threads() {
                self.workers.fetch_add(1, Ordering::Relaxed);
                tasks.spawn(Arc::clone(&self).work(stop.clone()));
            }
            tokio::select! {
                () = stop.cancelled() => {}
                changed = reconfigured.changed() => if changed.is_err() { break },
                Some(_) = tasks.join_next() => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    fn threads(&self) -> usize {
        usize::try_from(self.replicas.config().broker.log_cleaner_threads).unwrap_or(0)
    }

    /// Whether there are more tasks than there shall be, of which the caller is then no longer one.
    fn is_superfluous(&self) -> bool {
        let fewer = |workers: usize| (workers > self.threads()).then(|| workers - 1);
        self.workers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }

    async fn work(self: Arc<Self>, stop: CancellationToken) {
        let mut reconfigured = self.replicas.reconfigured();
        while !stop.is_cancelled() && !self.is_superfluous() {
            reconfigured.mark_unchanged();
            let (this, ending) = (Arc::clone(&self), stop.clone());
            let cleaned = low_priority::run("klamm-cleaner", move || this.clean_filthiest(&ending)).await;
            if let Err(error) = &cleaned {
                tracing::error!(%error, "looking for a log to compact failed; it is tried again");
            }
            if cleaned.unwrap_or(false) {
                continue;
            }
            let backoff_ms = self.replicas.config().broker.log_cleaner_backoff_ms.max(1);
            let backoff = Duration::from_millis(u64::try_from(backoff_ms).unwrap_or(1));
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.replicas.clock().sleep(backoff) => {}
                // Another backoff, or another number of cleaners, counts at once.
                _ = reconfigured.changed() => {}
            }
        }
    }

    /// Cleans the log that is worth it most; whether there was one. Blocks.
    fn clean_filthiest(&self, stop: &CancellationToken) -> bool {
        let mut candidates = self.candidates();
        loop {
            let ranked = candidates.iter().map(|candidate| (&candidate.to_clean, &candidate.config));
            let Some(index) = filthiest(ranked) else { return false };
            let Candidate { partition, .. } = candidates.swap_remove(index);
            // Another cleaner may have it, or have had it since.
            let Some(turn) = partition.cleaning().begin(stop) else { continue };
            // A move that has begun since waits for the end of those cleanings alone that it sees.
            let now = self.replicas.clock().now();
            let Some((to_clean, config)) = partition.to_clean(now).filter(|_| !partition.is_moving()) else { continue };
            if to_clean.is_worthwhile(&config) {
                let is_done = self.clean_guarded(&partition, to_clean, turn);
                // The segments that were replaced, in a cleaning that failed later, too.
                self.replicas.note_deleted_segments(&partition);
                return is_done;
            }
        }
    }

    /// All compacted logs that nobody has fenced off, but for empty ones, and what there is to clean of each.
    fn candidates(&self) -> Vec<Candidate> {
        let now = self.replicas.clock().now();
        let mut candidates = Vec::new();
        for partition in self.replicas.partitions() {
            if partition.cleaning().is_uncleanable() || partition.is_offline() || partition.is_moving() {
                continue;
            }
            if *partition.topic_partition().topic == *GROUP_METADATA_TOPIC {
                partition.roll_from(COMMITS_SEGMENT_BYTES, now);
            }
            let Some((to_clean, config)) = partition.to_clean(now) else { continue };
            if let Some(reset) = to_clean.reset {
                log_reset(&partition, reset, to_clean.first_dirty_offset);
                partition.with_log(|log| log.set_cleaner_offset(to_clean.first_dirty_offset));
            }
            if to_clean.clean_bytes + to_clean.cleanable_bytes > 0 {
                candidates.push(Candidate { partition, to_clean, config });
            }
        }
        let ratios = candidates.iter().map(|candidate| candidate.to_clean.cleanable_ratio());
        let delays = candidates.iter().map(|candidate| candidate.to_clean.compaction_delay_ms);
        let metrics = self.replicas.cleaner_metrics();
        metrics.looked(ratios.fold(0.0, f64::max), delays.max().unwrap_or(0), now);
        candidates
    }

    /// A panic fences the log off as a failure does: otherwise its cleaner would do nothing but panic.
    fn clean_guarded(&self, partition: &HostedPartition, to_clean: LogToClean, turn: CleaningTurn<'_>) -> bool {
        let began = self.replicas.clock().monotonic();
        let cleaned = catch_unwind(AssertUnwindSafe(|| self.clean(partition, to_clean, &turn)));
        drop(turn);
        let name = partition.topic_partition();
        match cleaned {
            Ok(Ok(cleaned)) => {
                let took = self.replicas.clock().monotonic().saturating_sub(began);
                self.note(partition, to_clean.first_dirty_offset, cleaned, took);
                true
            }
            Ok(Err(CleaningFailure::Cleaner(CleanerError::Aborted))) => {
                tracing::debug!(partition = %name, "a cleaning was given up");
                false
            }
            Ok(Err(CleaningFailure::Cleaner(error @ CleanerError::OffsetMapTooSmall { .. }))) => {
                tracing::error!(partition = %name, %error, "a log cannot be compacted with these settings");
                false
            }
            Ok(Err(CleaningFailure::Storage(error))) if passes(partition, &error) => {
                tracing::warn!(partition = %name, %error, "a log could not be compacted; it is tried again");
                false
            }
            Ok(Err(error)) => {
                tracing::error!(partition = %name, %error, "a log cannot be compacted: it is left as it is until the next start");
                partition.cleaning().mark_uncleanable();
                true
            }
            Err(_) => {
                tracing::error!(partition = %name, "compacting a log panicked: it is left as it is until the next start");
                partition.cleaning().mark_uncleanable();
                true
            }
        }
    }

    fn clean(
        &self,
        partition: &HostedPartition,
        to_clean: LogToClean,
        turn: &CleaningTurn<'_>,
    ) -> Result<Cleaned, CleaningFailure> {
        let context = CleaningContext {
            clock: self.replicas.clock(),
            throttle: &self.throttle,
            limits: &|| self.limits(),
            stop: &turn.stop,
            reconfigured: self.replicas.reconfigured(),
        };
        let cleaned = partition_cleaning::clean(partition, to_clean, &context)?;
        self.replicas.write_cleaner_checkpoint();
        Ok(cleaned)
    }

    fn limits(&self) -> CleanerLimits {
        let config = self.replicas.config();
        let broker = &config.broker;
        let threads = u64::from(broker.log_cleaner_threads.max(1).unsigned_abs());
        let map_bytes = u64::try_from(broker.log_cleaner_dedupe_buffer_size).unwrap_or(0) / threads;
        let io_bytes = u64::try_from(broker.log_cleaner_io_buffer_size).unwrap_or(0) / threads;
        CleanerLimits {
            map_bytes: map_bytes.min(MOST_MAP_BYTES),
            load_factor: broker.log_cleaner_io_buffer_load_factor,
            // The other half is for writing.
            read_bytes: usize::try_from(io_bytes / 2).unwrap_or(0),
            bytes_per_second: broker.log_cleaner_io_max_bytes_per_second,
        }
    }

    fn note(&self, partition: &HostedPartition, from: i64, cleaned: Cleaned, took: Duration) {
        let Cleaned { end_offset, stats } = cleaned;
        self.replicas.cleaner_metrics().cleaned(&stats, took);
        let partition = partition.topic_partition();
        let (bytes_read, bytes_written) = (stats.bytes_read, stats.bytes_written);
        let (records_read, records_kept) = (stats.messages.messages_read, stats.messages.messages_retained);
        tracing::info!(%partition, from, to = end_offset, bytes_read, bytes_written, records_read, records_kept,
            seconds = took.as_secs_f64(), "compacted a log");
        if stats.messages.invalid_messages > 0 {
            tracing::warn!(%partition, records = stats.messages.invalid_messages,
                "records without a key were removed by compaction");
        }
    }
}

/// Whether a failure says nothing about this log: the disk is full, or the log directory has failed, which has been said.
fn passes(partition: &HostedPartition, error: &StorageError) -> bool {
    partition.is_offline() || error.passes()
}

fn log_reset(partition: &HostedPartition, reset: CheckpointReset, first_dirty_offset: i64) {
    let partition = partition.topic_partition();
    let (checkpoint, place) = match reset {
        CheckpointReset::BeforeLogStart { is_unexpected: false, .. } => return,
        CheckpointReset::BeforeLogStart { checkpoint, .. } => (checkpoint, "before the log's start"),
        CheckpointReset::BeyondLogEnd { checkpoint } => (checkpoint, "beyond the log's end"),
    };
    tracing::warn!(%partition, checkpoint, first_dirty_offset,
        "the cleaner's checkpoint lies {place}: all of the log counts as dirty");
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::clock::Clock;
    use crate::ids::ProducerIdAndEpoch;
    use crate::protocol::control_records::{EndTransactionMarker, TransactionResult};
    use crate::protocol::record_batch::{BatchBuilder, batches};
    use crate::replication::hosted_partition::{AppendRequest, HostedPartition, ReadRequest};
    use crate::replication::partition::RequiredAcks;
    use crate::storage::{LogDir, LogDirOptions};

    const NOW_MS: i64 = 1_800_000_000_000;

    /// Partitions of these topics, each with eight large records of one key, in segments of a mebibyte.
    fn replicas(directory: &Path, topics: &[&str]) -> Arc<ReplicaManager> {
        let config = [
            ("log.cleanup.policy", "compact"),
            ("log.segment.bytes", "1048576"),
            ("log.cleaner.min.cleanable.ratio", "0"),
        ];
        let options = LogDirOptions { node_id: 1, cluster_id: None, max_open_files: 100, delete_delay: Duration::ZERO };
        let (log_dir, clock) = (LogDir::open(directory, &options).unwrap(), Clock::manual(NOW_MS));
        let replicas = ReplicaManager::leading(topics, log_dir, &clock, &config);
        for topic in topics {
            let partition = replicas.partition(topic, 0).unwrap();
            for _ in 0..8 {
                let batch = BatchBuilder::new(NOW_MS).record(Some(b"key"), Some(&vec![7; 300_000])).build();
                partition.append(&AppendRequest::by_client(&batch, RequiredAcks::All), clock.now()).unwrap();
            }
        }
        replicas
    }

    fn size(replicas: &ReplicaManager, topic: &str) -> u64 {
        replicas.partition(topic, 0).unwrap().with_log(|log| log.size()).unwrap()
    }

    #[test]
    fn a_damaged_log_is_fenced_off_and_keeps_no_other_one_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let replicas = replicas(directory.path(), &["damaged", "good"]);
        let path = directory.path().join("damaged-0/00000000000000000000.log");
        let mut bytes = fs::read(&path).unwrap();
        bytes[1_000] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let (damaged, full) = (size(&replicas, "damaged"), size(&replicas, "good"));
        let (cleaner, stop) = (LogCleaner::new(Arc::clone(&replicas)), CancellationToken::new());
        assert!(cleaner.clean_filthiest(&stop) && cleaner.clean_filthiest(&stop));
        assert!(!cleaner.clean_filthiest(&stop), "nothing is left to be done");
        assert!(size(&replicas, "good") < full - 1_000_000);
        assert_eq!((size(&replicas, "damaged"), fs::read(&path).unwrap()), (damaged, bytes));
        let uncleanable = replicas.uncleanable();
        let [(_, partitions, cleanable)] = &uncleanable[..] else { panic!("{uncleanable:?}") };
        assert_eq!((*partitions, *cleanable > 1_000_000), (1, true));
        let leftover = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(leftover.filter(|name| name.to_string_lossy().contains("cleaned")).count(), 0);
        let checkpoint = fs::read_to_string(directory.path().join("cleaner-offset-checkpoint")).unwrap();
        assert_eq!(checkpoint, "0\n1\ngood 0 6\n");
        assert!(replicas.cleaner_metrics().status().recopy_ratio < 0.5);
    }

    #[test]
    fn a_log_is_let_alone_while_it_is_not_worth_it_and_by_whoever_does_not_have_its_turn() {
        let directory = tempfile::tempdir().unwrap();
        let replicas = replicas(directory.path(), &["t"]);
        let (cleaner, stop) = (LogCleaner::new(Arc::clone(&replicas)), CancellationToken::new());
        let partition = replicas.partition("t", 0).unwrap();
        let turn = partition.cleaning().begin(&stop).unwrap();
        assert!(!cleaner.clean_filthiest(&stop), "somebody else cleans it");
        assert_eq!(partition.delete_segments_before_start(replicas.clock().now()), 0);
        drop(turn);
        stop.cancel();
        assert!(!cleaner.clean_filthiest(&stop), "it was to stop");
        assert_eq!(partition.with_log(|log| log.cleaner_offset()), Some(None));
        assert!(cleaner.clean_filthiest(&CancellationToken::new()));
        assert!(!cleaner.clean_filthiest(&CancellationToken::new()), "it is clean");
        assert!(partition.take_log().is_some());
        assert!(!cleaner.clean_filthiest(&CancellationToken::new()), "it is gone");
    }

    #[test]
    fn the_map_is_no_larger_than_the_dirty_part_needs() {
        let limits = |map_bytes| CleanerLimits { map_bytes, load_factor: 0.9, read_bytes: 1, bytes_per_second: 1.0 };
        let to_clean = |first_dirty_offset, first_uncleanable_offset| LogToClean {
            first_dirty_offset,
            first_uncleanable_offset,
            reset: None,
            clean_bytes: 0,
            cleanable_bytes: 1,
            compaction_delay_ms: 0,
        };
        let size = partition_cleaning::map_size;
        assert!((90..160).contains(&size(&to_clean(100, 101), &limits(1 << 27))));
        let for_many = size(&to_clean(0, 900_000), &limits(1 << 27));
        assert!((24_000_000..24_000_200).contains(&for_many), "{for_many}");
        assert_eq!(size(&to_clean(0, i64::MAX), &limits(1 << 27)), 1 << 27);
    }

    /// The values that a read-committed consumer gets from the start of the log on, by Kafka's rule (`CompletedFetch`): a
    /// producer counts as aborted from the first offset that it was told, until its marker comes.
    fn read_committed(partition: &HostedPartition) -> Vec<(String, u8)> {
        let (mut offset, mut values) = (0, Vec::new());
        loop {
            let request = ReadRequest {
                fetch_offset: offset,
                max_bytes: 4 << 20,
                min_one: true,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                read_committed: true,
            };
            let read = partition.read(&request).unwrap();
            let Some(records) = read.records else { return values };
            let mut told: Vec<_> = read.aborted_transactions;
            told.sort_by_key(|aborted| aborted.first_offset);
            let (mut told, mut aborted) = (VecDeque::from(told), HashSet::new());
            let bytes = records.read_blocking().unwrap();
            for batch in batches(&bytes).map_while(Result::ok) {
                let header = batch.header;
                while told.front().is_some_and(|first| first.first_offset <= header.last_offset()) {
                    aborted.insert(told.pop_front().unwrap().producer_id);
                }
                offset = header.next_offset();
                if header.is_control() {
                    let marker = EndTransactionMarker::parse(batch.payload());
                    if marker.is_some_and(|marker| marker.result == TransactionResult::Abort) {
                        aborted.remove(&header.producer_id);
                    }
                } else if !(header.is_transactional() && aborted.contains(&header.producer_id)) {
                    let records = batch.records(1 << 24).unwrap().map(Result::unwrap);
                    values.extend(records.filter_map(|record| {
                        Some((String::from_utf8(record.key?.to_vec()).unwrap(), *record.value?.first()?))
                    }));
                }
            }
        }
    }

    #[test]
    fn what_is_committed_stays_readable_when_the_marker_of_an_abort_was_cleaned_away() {
        for in_memory in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let config = [
                ("log.cleanup.policy", "compact"),
                ("log.segment.bytes", "1048576"),
                ("log.cleaner.min.cleanable.ratio", "0"),
                ("log.cleaner.delete.retention.ms", "0"),
                ("transaction.partition.verification.enable", "false"),
            ];
            let options =
                LogDirOptions { node_id: 1, cluster_id: None, max_open_files: 100, delete_delay: Duration::ZERO };
            let log_dir = if in_memory { LogDir::memory() } else { LogDir::open(directory.path(), &options).unwrap() };
            let clock = Clock::manual(NOW_MS);
            let replicas = ReplicaManager::leading(&["t"], log_dir, &clock, &config);
            let partition = replicas.partition("t", 0).unwrap();
            let plain = |key: &str, value: u8, size: usize| {
                let batch = BatchBuilder::new(NOW_MS).record(Some(key.as_bytes()), Some(&vec![value; size])).build();
                partition.append(&AppendRequest::by_client(&batch, RequiredAcks::All), clock.now()).unwrap();
            };
            let write = |key: &str, value: u8, sequence: i32| {
                let mut builder = BatchBuilder::new(NOW_MS);
                builder.producer(7, 0, sequence).transactional().record(Some(key.as_bytes()), Some(&[value]));
                partition.append(&AppendRequest::by_client(&builder.build(), RequiredAcks::All), clock.now()).unwrap();
            };
            let end = |result| {
                let producer = ProducerIdAndEpoch { producer_id: 7, producer_epoch: 0 };
                let batch = EndTransactionMarker { result, coordinator_epoch: 0 }.batch(producer, NOW_MS);
                partition.append(&AppendRequest::by_coordinator(&batch, -1), clock.now()).unwrap();
            };
            plain("k", 1, 10);
            write("k", 2, 0);
            end(TransactionResult::Abort);
            write("b", 3, 1);
            end(TransactionResult::Commit);
            let small = |partition| {
                let mut read = read_committed(partition);
                read.retain(|(key, _)| key != "filler");
                read
            };
            let expected = [("k".to_owned(), 1), ("b".to_owned(), 3)];
            assert_eq!(small(&partition), expected, "before any cleaning");
            let (cleaner, stop) = (LogCleaner::new(Arc::clone(&replicas)), CancellationToken::new());
            for pass in 0..3 {
                for _ in 0..8 {
                    plain("filler", 7, 300_000);
                }
                assert!(cleaner.clean_filthiest(&stop), "pass {pass}");
                clock.advance(Duration::from_mins(1));
                assert_eq!(small(&partition), expected, "in memory: {in_memory}, after cleaning {pass}");
            }
        }
    }
}
