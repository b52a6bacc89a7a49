//! Every partition that this broker hosts, kept in step with the metadata image.
//!
//! The manager finds partitions; what happens to one of them is in [`super::hosted_partition`], and what time brings to all of
//! them in `chores`.

mod chores;
mod directories;
mod moves;
mod replicas;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

pub use directories::DescribedLogDir;
use replicas::OtherReplicas;

use super::claims::{claim, warn_of_missing};
use super::cleaner_metrics::CleanerMetrics;
use super::disk_turns::DiskTurns;
use super::hosted_partition::{HostedPartition, PartitionSurroundings};
use super::ownership::KnownTopics;
use super::partition::brokers::BrokerStates;
use super::partition::{IsrConfig, Moment, Partition, PartitionState};
use super::storage_errors::StorageErrors;
use crate::clock::{Clock, Now};
use crate::config::{BrokerConfig, Config, TopicConfig};
use crate::ids::{NO_TOPIC_ID, NodeId, TopicName, TopicPartition, Uuid};
use crate::metadata::{MetadataDelta, MetadataImage, PartitionImage, TopicImage};
use crate::metrics::{ReplicationMetrics, TopicTraffic, Traffic};
use crate::protocol::ErrorCode;
use crate::storage::{KnownOffsets, LoadedLog, LoadedLogs, Log, LogConfig, LogDirError, LogDirs, StorageError};

/// For more logs that were written to than this it pays to have the whole file system written back before their fsyncs.
const MANY_UNFLUSHED: usize = 100;

/// One place in a topic's list of partitions.
#[derive(Clone)]
enum PartitionSlot {
    /// Another broker's, or not there yet.
    Elsewhere,
    Hosted(Arc<HostedPartition>),
    /// Ours, but its log could not be opened.
    Offline(Arc<OfflinePartition>),
}

/// What it takes to try again to open a log.
struct OfflinePartition {
    topic_id: Uuid,
    image: PartitionImage,
    configs: BTreeMap<String, String>,
    /// Why it could not be opened; said once.
    reason: String,
    /// Whether it may be in a directory that does not work, so that only the next start can tell.
    is_unreachable: bool,
}

/// A topic of which partitions may be hosted.
#[derive(Clone)]
struct HostedTopic {
    slots: Vec<PartitionSlot>,
    traffic: Arc<Traffic>,
}

/// Logs found on disk that no image has named yet. One lock, so that changes are applied one after the other.
struct Unclaimed {
    logs: HashMap<TopicPartition, LoadedLog>,
    /// Logs to which partitions were moving.
    futures: HashMap<TopicPartition, LoadedLog>,
    /// What is known of partitions whose directories are not there.
    missing: HashMap<TopicPartition, KnownOffsets>,
    /// Whether the change was applied after which what is left belongs to no topic, and is gone.
    is_told: bool,
    /// Whether the next change is that one.
    judges_strays: bool,
    /// Whether a log of another topic of the same name was set aside.
    has_former: bool,
}

/// Hosts partitions; shared by handlers, coordinators and housekeeping.
pub struct ReplicaManager {
    node_id: NodeId,
    clock: Clock,
    config: ArcSwap<Config>,
    log_dirs: Arc<LogDirs>,
    topics: RwLock<HashMap<TopicName, HostedTopic>>,
    traffic: Arc<TopicTraffic>,
    metrics: Arc<ReplicationMetrics>,
    unclaimed: Mutex<Unclaimed>,
    /// Whether any log could not be opened.
    has_offline: AtomicBool,
    checkpointing: Mutex<()>,
    deleting_records: Arc<tokio::sync::Mutex<()>>,
    /// Held by who begins a move or gives one up.
    altering: Mutex<()>,
    /// Told of each move that begins.
    moves_begun: watch::Sender<()>,
    /// Where segments were deleted whose files are still there.
    with_deleted_segments: Mutex<Vec<Arc<HostedPartition>>>,
    storage_errors: Arc<StorageErrors>,
    cleaner_metrics: CleanerMetrics,
    /// Told of each change of `config`.
    reconfigured: watch::Sender<()>,
    disk_turns: Arc<DiskTurns>,
    /// What the last image says of the brokers.
    brokers: Arc<ArcSwap<BrokerStates>>,
    others: OtherReplicas,
    /// How many log directories have failed, as far as housekeeping has noticed.
    failed_dirs: AtomicUsize,
    /// Whether so much of them has failed that the broker cannot go on.
    failed: watch::Sender<bool>,
}

impl ReplicaManager {
    /// Opens the logs in `log_dirs`; they are hosted once an image names them.
    ///
    /// Errors: [`LogDirError::UnknownPartitions`], before anything is changed, where `known` does not know a partition that
    /// is there; [`LogDirError::Storage`].
    pub fn open(
        node_id: NodeId,
        clock: Clock,
        config: Arc<Config>,
        log_dirs: Arc<LogDirs>,
        known: KnownTopics<'_>,
    ) -> Result<Self, LogDirError> {
        let found = log_dirs.find_logs()?;
        let found = claim(found, known, node_id, log_dirs.check_complete().is_ok())?;
        let config_for = |topic: &str| {
            let configs = known.image.topic(topic).map(|topic| config.topic(&topic.configs));
            LogConfig::new(&config.broker, configs.as_ref().unwrap_or(&config.topic_defaults))
        };
        let threads = usize::try_from(config.broker.num_recovery_threads_per_data_dir).unwrap_or(1);
        let LoadedLogs { logs, futures, missing } = log_dirs.load(found, &config_for, threads, clock.now())?;
        let by_partition = |logs: Vec<LoadedLog>| {
            logs.into_iter().map(|loaded| (loaded.topic_partition.clone(), loaded)).collect::<HashMap<_, _>>()
        };
        let (logs, futures) = (by_partition(logs), by_partition(futures));
        Ok(Self {
            node_id,
            storage_errors: Arc::new(StorageErrors::new(clock.clone())),
            clock,
            config: ArcSwap::new(config),
            log_dirs,
            topics: RwLock::default(),
            traffic: Arc::default(),
            metrics: Arc::default(),
            unclaimed: Mutex::new(Unclaimed {
                logs,
                futures,
                missing,
                is_told: false,
                judges_strays: true,
                has_former: false,
            }),
            has_offline: AtomicBool::new(false),
            checkpointing: Mutex::new(()),
            deleting_records: Arc::default(),
            altering: Mutex::new(()),
            moves_begun: watch::Sender::new(()),
            with_deleted_segments: Mutex::default(),
            cleaner_metrics: CleanerMetrics::default(),
            reconfigured: watch::Sender::new(()),
            disk_turns: Arc::new(DiskTurns::of_this_runtime()),
            brokers: Arc::default(),
            others: OtherReplicas::default(),
            failed_dirs: AtomicUsize::new(0),
            failed: watch::Sender::new(false),
        })
    }

    /// The clock that records, chores and delays go by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What holds now of the broker's configuration.
    pub(super) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Notices changes of the configuration.
    pub(super) fn reconfigured(&self) -> watch::Receiver<()> {
        self.reconfigured.subscribe()
    }

    /// What is told of the cleaners.
    pub fn cleaner_metrics(&self) -> &CleanerMetrics {
        &self.cleaner_metrics
    }

    /// Finds a partition.
    ///
    /// Errors: [`ErrorCode::UnknownTopicOrPartition`], [`ErrorCode::KafkaStorageError`].
    pub fn partition(&self, topic: &str, partition: i32) -> Result<Arc<HostedPartition>, ErrorCode> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(partition).ok().and_then(|index| topics.get(topic)?.slots.get(index));
        match place {
            Some(PartitionSlot::Hosted(hosted)) if !hosted.is_offline() => Ok(Arc::clone(hosted)),
            Some(PartitionSlot::Hosted(_) | PartitionSlot::Offline(_)) => Err(ErrorCode::KafkaStorageError),
            Some(PartitionSlot::Elsewhere) => Err(ErrorCode::NotLeaderOrFollower),
            None => Err(ErrorCode::UnknownTopicOrPartition),
        }
    }

    /// Finds a partition of the topic with that id, and not of another one of the same name that is about to come or go.
    ///
    /// Errors: as [`ReplicaManager::partition`], and [`ErrorCode::UnknownTopicOrPartition`] for another topic's.
    pub fn partition_of(&self, topic: &str, topic_id: Uuid, partition: i32) -> Result<Arc<HostedPartition>, ErrorCode> {
        let hosted = self.partition(topic, partition)?;
        if hosted.topic_id() == topic_id { Ok(hosted) } else { Err(ErrorCode::UnknownTopicOrPartition) }
    }

    /// What was moved of all topics.
    pub fn traffic(&self) -> &TopicTraffic {
        &self.traffic
    }

    /// What was moved of each topic that is here, in no order.
    pub fn traffic_by_topic(&self) -> Vec<(TopicName, Arc<Traffic>)> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.iter().map(|(name, topic)| (TopicName::clone(name), Arc::clone(&topic.traffic))).collect()
    }

    /// What is moved of one topic; who has one of its partitions need not ask.
    pub fn traffic_of(&self, topic: &str) -> Option<Arc<Traffic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic).map(|topic| Arc::clone(&topic.traffic))
    }

    /// Counts an append that has not found its partition, if it had one to find.
    pub fn count_missed_append(&self, topic: &str, code: ErrorCode) {
        if code != ErrorCode::UnknownTopicOrPartition {
            self.traffic_of(topic).inspect(|traffic| traffic.produce_requests(1));
        }
    }

    /// Where errors that the partitions' logs answer requests with are logged.
    pub fn storage_errors(&self) -> &Arc<StorageErrors> {
        &self.storage_errors
    }

    /// Completes within a second when all log directories have failed, or that of the metadata.
    pub async fn failed(&self) {
        // The sender lives as long as this.
        drop(self.failed.subscribe().wait_for(|failed| *failed).await);
    }

    /// Every hosted partition, in no order.
    pub fn partitions(&self) -> Vec<Arc<HostedPartition>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics
            .values()
            .flat_map(|topic| &topic.slots)
            .filter_map(|place| match place {
                PartitionSlot::Hosted(hosted) => Some(Arc::clone(hosted)),
                PartitionSlot::Elsewhere | PartitionSlot::Offline(_) => None,
            })
            .collect()
    }

    /// Brings the hosted partitions in step with what `delta` names and `image` shows: opens, creates, changes and deletes
    /// logs. The first delta leads from the empty image. Blocks on files.
    pub fn apply(&self, delta: &MetadataDelta, image: &MetadataImage) {
        let mut unclaimed = self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner);
        let topics = delta.topics();
        let brokers_changed = self.note_brokers(image);
        // First what is gone, whose name another topic may have by now.
        for (_, name) in topics.deleted() {
            self.delete_topic(name);
        }
        for topic in topics.created().chain(topics.changed()).filter_map(|id| image.topic_by_id(id)) {
            self.apply_topic(topic, &mut unclaimed);
        }
        if brokers_changed {
            let now = self.clock.now();
            self.partitions().iter().for_each(|partition| partition.brokers_changed(now));
        }
        if unclaimed.judges_strays {
            self.judge_strays(&mut unclaimed, image);
        }
    }

    /// Judges what no image has named only once [`ReplicaManager::caught_up`] says so: called before the first change, by a
    /// broker that is not alone in its quorum. What such a broker knows at its start may be old, and not name what it has
    /// (KAFKA-14616, KAFKA-13127).
    pub fn await_catch_up(&self) {
        self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner).judges_strays = false;
    }

    /// Everything up to this broker's own registration is applied, and `image`, the last one that was, names what it shall
    /// host. Blocks on files.
    pub fn caught_up(&self, image: &MetadataImage) {
        let mut unclaimed = self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner);
        unclaimed.judges_strays = true;
        self.judge_strays(&mut unclaimed, image);
    }

    /// Sets aside, once, what no topic of `image` wants.
    fn judge_strays(&self, unclaimed: &mut Unclaimed, image: &MetadataImage) {
        if std::mem::replace(&mut unclaimed.is_told, true) {
            return;
        }
        let is_gone = |partition: &TopicPartition| image.partition(&partition.topic, partition.partition).is_none();
        let strays: Vec<_> = unclaimed.logs.extract_if(|partition, _| is_gone(partition)).collect();
        self.set_strays_aside(strays);
        // It will never be as large again.
        unclaimed.logs.shrink_to_fit();
        self.tell_unreachable();
        unclaimed.futures.drain().for_each(|(_, future)| self.delete_future_log(future.log));
        self.moves_begun.send_replace(());
        if !std::mem::take(&mut unclaimed.missing).is_empty() || unclaimed.has_former {
            // What the checkpoints say of a log that is gone must not be taken for the one that is made in its place.
            self.write_checkpoints();
        }
    }

    /// A log that no topic wants is what a crash has left of a deletion after it was committed, or of a
    /// replica that is another broker's now. As in Kafka (`LogManager.isStrayKraftReplica`) it gives its name free, so that
    /// no later topic meets it, and keeps its records.
    fn set_strays_aside(&self, strays: Vec<(TopicPartition, LoadedLog)>) {
        for (partition, stray) in strays {
            if let Err(error) = self.log_dirs.dir_of(&stray.log).set_aside(stray.log) {
                tracing::error!(%partition, %error, "a log that belongs to no topic stays where it is");
            }
        }
    }

    /// Whether [`ReplicaManager::open_offline`] has anything to do.
    pub fn offline_is_due(&self) -> bool {
        self.has_offline.load(Ordering::Relaxed) && !self.log_dirs.have_failed()
    }

    /// Tries again to open the logs that could not be opened; says whether one could. Blocks on files.
    pub fn open_offline(&self) -> bool {
        let mut unclaimed = self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_offline.store(false, Ordering::Relaxed);
        let mut any = false;
        for (partition, offline, traffic) in self.offline_partitions() {
            let opened = self.host(&partition, &offline, &traffic, &mut unclaimed);
            if matches!(opened, PartitionSlot::Hosted(_)) {
                tracing::info!(%partition, "the partition's log could be opened at last");
                any = true;
            }
            let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
            let index = usize::try_from(partition.partition).unwrap_or(usize::MAX);
            if let Some(slot) = topics.get_mut(&partition.topic).and_then(|topic| topic.slots.get_mut(index)) {
                *slot = opened;
            }
        }
        any
    }

    fn offline_partitions(&self) -> Vec<(TopicPartition, Arc<OfflinePartition>, Arc<Traffic>)> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let mut offline = Vec::new();
        for (name, topic) in &*topics {
            for (index, slot) in (0_i32..).zip(&topic.slots) {
                if let PartitionSlot::Offline(partition) = slot
                    && !partition.is_unreachable
                {
                    let topic_partition = TopicPartition::new(Arc::clone(name), index);
                    offline.push((topic_partition, Arc::clone(partition), Arc::clone(&topic.traffic)));
                }
            }
        }
        offline
    }

    /// Goes by `config` from now on: every hosted partition takes over what its topic, as `image` has it, leaves to the broker.
    pub fn reconfigure(&self, config: &Arc<Config>, image: &MetadataImage) {
        self.config.store(Arc::clone(config));
        let now = self.clock.now();
        for hosted in self.partitions() {
            if let Some(topic) = image.topic_by_id(hosted.topic_id()) {
                let topic = config.topic(&topic.configs);
                let log_config = LogConfig::new(&config.broker, &topic);
                hosted.configure(log_config, isr_config(&config.broker, &topic), now);
            }
        }
        self.reconfigured.send_replace(());
    }

    fn apply_topic(&self, topic: &TopicImage, unclaimed: &mut Unclaimed) {
        let (broker, now) = (self.config.load(), self.clock.now());
        let config = broker.topic(&topic.configs);
        let known = {
            let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
            topics.get(&topic.name).cloned()
        };
        let mut known = known.unwrap_or_else(|| HostedTopic {
            slots: Vec::new(),
            traffic: Arc::new(Traffic::new(Arc::clone(&self.traffic))),
        });
        known.slots.resize(topic.partitions.len().max(known.slots.len()), PartitionSlot::Elsewhere);
        let mut given_up = Vec::new();
        for ((index, image), place) in (0_i32..).zip(&topic.partitions).zip(&mut known.slots) {
            if !image.replicas.contains(&self.node_id) {
                if !matches!(place, PartitionSlot::Elsewhere) {
                    given_up.push(std::mem::replace(place, PartitionSlot::Elsewhere));
                }
                continue;
            }
            match place {
                PartitionSlot::Hosted(hosted) => {
                    let log_config = LogConfig::new(&broker.broker, &config);
                    hosted.apply(state_of(image), log_config, isr_config(&broker.broker, &config), now);
                    self.note_leader(hosted, image);
                }
                PartitionSlot::Offline(offline) if offline.is_unreachable => {}
                PartitionSlot::Elsewhere | PartitionSlot::Offline(_) => {
                    let wanted = OfflinePartition {
                        topic_id: topic.id,
                        image: image.clone(),
                        configs: topic.configs.clone(),
                        reason: String::new(),
                        is_unreachable: false,
                    };
                    let topic_partition = TopicPartition::new(Arc::clone(&topic.name), index);
                    *place = self.host(&topic_partition, &wanted, &known.traffic, unclaimed);
                }
            }
        }
        self.topics.write().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(&topic.name), known);
        // Nobody finds them any more.
        self.delete_partitions(given_up);
    }

    /// Opens the partition's log, or makes it.
    ///
    /// Unlike Kafka, which takes the log directory offline where a partition's directory cannot be made, for whatever
    /// reason: without file handles, or room, this partition alone is, until there are some. In both the topic is there as
    /// soon as the metadata says so, and that is what its creator is told.
    fn host(
        &self,
        topic_partition: &TopicPartition,
        wanted: &OfflinePartition,
        traffic: &Arc<Traffic>,
        unclaimed: &mut Unclaimed,
    ) -> PartitionSlot {
        let now = self.clock.now();
        let OfflinePartition { topic_id, image, configs, reason, .. } = wanted;
        let broker = self.config.load();
        let config = broker.topic(configs);
        match self.open_log(topic_partition, wanted, &config, unclaimed, now) {
            Ok((mut log, known_high_watermark)) => {
                let state = state_of(image);
                if state.leader == self.node_id {
                    log.begin_epoch(state.leader_epoch);
                }
                let log_end_offset = log.log_end_offset();
                let high_watermark = known_high_watermark.max(log.log_start_offset());
                let isr_config = isr_config(&broker.broker, &config);
                let mut partition = Partition::new(self.node_id, isr_config, log_end_offset, high_watermark);
                let moment = Moment { now: now.monotonic, brokers: &*self.brokers };
                partition.apply(state, log_end_offset, &moment);
                let surroundings = PartitionSurroundings {
                    log_dir: Arc::clone(self.log_dirs.dir_of(&log)),
                    traffic: Arc::clone(traffic),
                    metrics: Arc::clone(&self.metrics),
                    storage_errors: Arc::clone(&self.storage_errors),
                    disk_turns: Arc::clone(&self.disk_turns),
                    brokers: Arc::clone(&self.brokers),
                };
                let future = unclaimed.futures.remove(topic_partition).map(|future| future.log);
                let future = future.and_then(|future| self.future_of(&log, future));
                let hosted = HostedPartition::new(partition, log, *topic_id, surroundings);
                if let Some(future) = future {
                    self.resume_move(&hosted, future);
                }
                let hosted = Arc::new(hosted);
                self.note_leader(&hosted, image);
                PartitionSlot::Hosted(hosted)
            }
            Err(error) => {
                let is_unreachable = !unclaimed.is_told && matches!(error, StorageError::Offline { .. });
                let (error, advice) = (error.to_string(), error.advice());
                if error != *reason && !is_unreachable {
                    tracing::error!(partition = %topic_partition, %error,
                        "the partition's log cannot be opened; this is tried again every second, and clients are told \
                         KAFKA_STORAGE_ERROR until then: {advice}");
                }
                self.has_offline.fetch_or(!is_unreachable, Ordering::Relaxed);
                let (topic_id, image, configs, reason) = (*topic_id, image.clone(), configs.clone(), error);
                let offline = OfflinePartition { topic_id, image, configs, reason, is_unreachable };
                PartitionSlot::Offline(Arc::new(offline))
            }
        }
    }

    /// A topic may have been deleted, and another one of its name made, while this broker was away: what is left of the
    /// former one makes room (KAFKA-14616).
    fn set_former_aside(&self, topic_partition: &TopicPartition, topic_id: Uuid, unclaimed: &mut Unclaimed) {
        let is_other = |loaded: &LoadedLog| ![topic_id, NO_TOPIC_ID].contains(&loaded.log.topic_id());
        if unclaimed.logs.get(topic_partition).is_some_and(is_other)
            && let Some(former) = unclaimed.logs.remove(topic_partition)
        {
            unclaimed.has_former = true;
            self.set_strays_aside(vec![(topic_partition.clone(), former)]);
        }
    }

    /// The partition's log and the high watermark that was last written down for it.
    fn open_log(
        &self,
        topic_partition: &TopicPartition,
        wanted: &OfflinePartition,
        config: &TopicConfig,
        unclaimed: &mut Unclaimed,
        now: Now,
    ) -> Result<(Log, i64), StorageError> {
        let topic_id = wanted.topic_id;
        let config = LogConfig::new(&self.config.load().broker, config);
        self.set_former_aside(topic_partition, topic_id, unclaimed);
        if let Some(mut loaded) = unclaimed.logs.remove(topic_partition) {
            let adopted = loaded.log.adopt_topic_id(topic_id);
            if let Err(error) = adopted {
                unclaimed.logs.insert(topic_partition.clone(), loaded);
                return Err(error);
            }
            loaded.log.set_config(config);
            return Ok((loaded.log, loaded.high_watermark));
        }
        if unclaimed.is_told {
            if self.log_dirs.are_checkpointed(topic_partition) {
                self.write_checkpoints();
            }
        } else {
            self.log_dirs.check_complete()?;
        }
        let log = self.log_dirs.create_log(topic_partition, topic_id, &config, now)?;
        if !unclaimed.is_told {
            warn_of_missing(topic_partition, unclaimed.missing.get(topic_partition), wanted.image.leader_epoch);
        }
        Ok((log, 0))
    }

    fn delete_topic(&self, topic: &str) {
        let gone = self.topics.write().unwrap_or_else(PoisonError::into_inner).remove(topic);
        self.delete_partitions(gone.into_iter().flat_map(|topic| topic.slots));
    }

    /// Deletes the logs of partitions that are no longer here.
    fn delete_partitions(&self, gone: impl IntoIterator<Item = PartitionSlot>) {
        let now = self.clock.now();
        for place in gone {
            let PartitionSlot::Hosted(hosted) = place else { continue };
            self.followed().forget(&hosted);
            let is_offline = hosted.is_offline();
            let log = hosted.take_log();
            if let Some(future) = hosted.end_move() {
                self.delete_future_log(future);
            }
            if is_offline {
                // The metadata says that the topic is deleted, to the start that finds the directory again.
                drop(log);
            } else if let Some(log) = log
                && let Err(error) = self.log_dirs.delete_log(log, now)
            {
                tracing::error!(partition = %hosted.topic_partition(), %error, "deleting the log failed");
            }
        }
    }
}

fn state_of(image: &PartitionImage) -> PartitionState {
    PartitionState {
        leader: image.leader,
        leader_epoch: image.leader_epoch,
        partition_epoch: image.partition_epoch,
        replicas: image.replicas.clone(),
        isr: image.isr.clone(),
    }
}

fn isr_config(broker: &BrokerConfig, topic: &TopicConfig) -> IsrConfig {
    IsrConfig {
        min_insync_replicas: usize::try_from(topic.min_insync_replicas).unwrap_or(1),
        lag_time_max: Duration::from_millis(u64::try_from(broker.replica_lag_time_max_ms).unwrap_or(0)),
    }
}
