//! A log directory: the partitions' directories in it, whose it is, and whether it still works.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::checkpoint::{self, KnownOffsets};
use super::decompressors::Decompressors;
use super::dir_state::DirState;
use super::directory_identity::{LogDirOptions, identify, lock};
use super::found_logs::FoundLogs;
use super::load_request::LoadRequest;
use super::log::Log;
use super::log_place::LogPlace;
use super::meta_properties::{self, MetaProperties};
use super::survey::{LogDirError, METADATA_DIRECTORY};
use super::{LogConfig, StorageError, files, format_uuid, partition_dir, recovery};
use crate::clock::{Monotonic, Now};
use crate::ids::{TopicPartition, Uuid};

pub(super) const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// A partition found in a log directory.
#[derive(Debug)]
pub struct LoadedLog {
    /// Whose log it is.
    pub topic_partition: TopicPartition,
    /// The topic's id; nil when `partition.metadata` is missing or damaged.
    pub topic_id: Uuid,
    /// The high watermark at the last checkpoint; 0 when there is none.
    pub high_watermark: i64,
    /// The recovered log.
    pub log: Log,
}

/// What a log directory held.
#[derive(Debug, Default)]
pub struct LoadedLogs {
    /// The logs.
    pub logs: Vec<LoadedLog>,
    /// Logs that are to take the place of their partition's one.
    pub futures: Vec<LoadedLog>,
    /// What the checkpoint files say of partitions whose directory is not there.
    pub missing: HashMap<TopicPartition, KnownOffsets>,
}

/// One partition's line in each checkpoint file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointEntry {
    /// Whose offsets they are.
    pub topic_partition: TopicPartition,
    /// [`Log::recovery_point`].
    pub recovery_point: i64,
    /// [`Log::log_start_offset`].
    pub log_start_offset: i64,
    /// The partition's high watermark.
    pub high_watermark: i64,
    /// [`Log::cleaner_offset`]; a log without one has no line.
    pub cleaner_offset: Option<i64>,
}

/// An open log directory, or the absence of one in memory mode. While it lives, no other process can open it.
#[derive(Debug)]
pub struct LogDir {
    /// `None` in memory mode.
    on_disk: Option<OnDisk>,
    identity: MetaProperties,
    /// The cluster's id, where it was learned after the directory was opened.
    adopted_cluster_id: OnceLock<String>,
    decompressors: Decompressors,
}

#[derive(Debug)]
struct OnDisk {
    state: Arc<DirState>,
    had_clean_shutdown: bool,
    /// What the marker of the clean stop says of the broker's registration then.
    previous_broker_epoch: Option<i64>,
    /// Held for its lock; none where the directory could not be opened.
    lock: Option<File>,
    delete_delay: Duration,
    /// Directories of deleted logs, and when they are removed; the first is due first.
    doomed: Mutex<VecDeque<(PathBuf, Monotonic)>>,
    /// Of which partitions the checkpoint files have a line.
    checkpointed: Mutex<HashSet<TopicPartition>>,
}

impl OnDisk {
    fn doom(&self, directories: Vec<PathBuf>, now: Now) {
        let due = now.monotonic.saturating_add(self.delete_delay);
        lock_of(&self.doomed).extend(directories.into_iter().map(|directory| (directory, due)));
    }

    fn note_checkpointed<'a>(&self, partitions: impl Iterator<Item = &'a TopicPartition>) {
        *lock_of(&self.checkpointed) = partitions.cloned().collect();
    }
}

fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogDir {
    /// Opens `path`, creating it if need be: takes the lock, and reads or writes `meta.properties`. Blocks for the
    /// disk when the directory is new.
    pub fn open(path: &Path, options: &LogDirOptions) -> Result<Self, LogDirError> {
        // First, so that a crash in between leaves no identity that `Survey::check` refuses.
        let make_metadata = || {
            let metadata = path.join(METADATA_DIRECTORY);
            fs::create_dir_all(&metadata).map_err(StorageError::io("cannot create", &metadata))
        };
        Self::open_after(path, options, make_metadata)
    }

    /// The same of a directory that has no part in the metadata.
    pub(super) fn open_beside(path: &Path, options: &LogDirOptions) -> Result<Self, LogDirError> {
        Self::open_after(path, options, || Ok(()))
    }

    fn open_after(
        path: &Path,
        options: &LogDirOptions,
        before_identity: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<Self, LogDirError> {
        fs::create_dir_all(path).map_err(StorageError::io("cannot create the data directory", path))?;
        let lock = lock(path)?;
        let identity = identify(path, options, before_identity)?;
        let on_disk = OnDisk {
            state: Arc::new(DirState::new(path, options.max_open_files)),
            had_clean_shutdown: path.join(CLEAN_SHUTDOWN_FILE).exists(),
            previous_broker_epoch: previous_broker_epoch(path),
            lock: Some(lock),
            delete_delay: options.delete_delay,
            doomed: Mutex::default(),
            checkpointed: Mutex::default(),
        };
        Ok(Self {
            on_disk: Some(on_disk),
            identity,
            adopted_cluster_id: OnceLock::new(),
            decompressors: Decompressors::default(),
        })
    }

    /// One that could not be opened, and is offline for `reason` until the next start.
    pub(super) fn unusable(path: &Path, options: &LogDirOptions, reason: &str) -> Self {
        let state = Arc::new(DirState::new(path, options.max_open_files));
        state.mark_offline(reason);
        let on_disk = OnDisk {
            state,
            had_clean_shutdown: false,
            previous_broker_epoch: None,
            lock: None,
            delete_delay: options.delete_delay,
            doomed: Mutex::default(),
            checkpointed: Mutex::default(),
        };
        let identity = MetaProperties { node_id: options.node_id, cluster_id: String::new(), directory_id: None };
        Self {
            on_disk: Some(on_disk),
            identity,
            adopted_cluster_id: OnceLock::new(),
            decompressors: Decompressors::default(),
        }
    }

    /// A log directory that is nowhere: its logs are kept in memory and vanish with it.
    pub fn memory() -> Self {
        let cluster_id = format_uuid(Uuid::new_v4());
        let identity = MetaProperties { node_id: 0, cluster_id, directory_id: Some(Uuid::new_v4()) };
        Self { on_disk: None, identity, adopted_cluster_id: OnceLock::new(), decompressors: Decompressors::default() }
    }

    /// The id of the cluster to which it belongs.
    pub fn cluster_id(&self) -> &str {
        self.adopted_cluster_id.get().unwrap_or(&self.identity.cluster_id)
    }

    /// Makes `cluster_id` its cluster's, durably.
    pub(super) fn adopt_cluster_id(&self, cluster_id: &str) -> Result<(), StorageError> {
        if self.cluster_id() == cluster_id {
            return Ok(());
        }
        if let Some(path) = self.path() {
            let identity = MetaProperties { cluster_id: cluster_id.to_owned(), ..self.identity.clone() };
            files::replace_durably(&path.join(meta_properties::FILE_NAME), identity.to_text().as_bytes())?;
        }
        // A cluster is joined once in a process's life.
        drop(self.adopted_cluster_id.set(cluster_id.to_owned()));
        Ok(())
    }

    /// The directory's own id (KIP-858); nil when it was made by a Kafka that had none.
    pub fn directory_id(&self) -> Uuid {
        self.identity.directory_id.unwrap_or_default()
    }

    /// Where it is; `None` in memory mode.
    pub fn path(&self) -> Option<&Path> {
        self.on_disk.as_ref().map(|on_disk| on_disk.state.path.as_path())
    }

    /// Its path as clients are told it; `None` in memory mode.
    pub fn absolute_path(&self) -> Option<String> {
        let path = self.path()?;
        Some(std::path::absolute(path).as_deref().unwrap_or(path).display().to_string())
    }

    /// The broker epoch under which the last stop was a clean one (KIP-966); `None` after any other stop.
    pub fn previous_broker_epoch(&self) -> Option<i64> {
        self.on_disk.as_ref()?.previous_broker_epoch
    }

    /// Whether the log is in it; in memory mode, none is in any.
    pub fn holds(&self, log: &Log) -> bool {
        match (&self.on_disk, &log.place) {
            (Some(on_disk), Some(place)) => Arc::ptr_eq(&on_disk.state, &place.state),
            _ => false,
        }
    }

    /// How large the volume is on which it is, and how much of it can be used, in bytes; `None` in memory mode. May wait
    /// for the volume.
    pub fn space(&self) -> Result<Option<(u64, u64)>, StorageError> {
        let Some(on_disk) = &self.on_disk else { return Ok(None) };
        let state = &on_disk.state;
        state.space().map(Some).map_err(StorageError::io("cannot ask about", &state.path))
    }

    /// Whether the last process that had it stopped cleanly.
    pub fn had_clean_shutdown(&self) -> bool {
        self.on_disk.as_ref().is_none_or(|on_disk| on_disk.had_clean_shutdown)
    }

    /// Why it is offline, if it is.
    pub fn offline_reason(&self) -> Option<Arc<str>> {
        self.on_disk.as_ref().and_then(|on_disk| on_disk.state.offline_reason())
    }

    /// Whether an earlier failure took it offline.
    pub fn is_offline(&self) -> bool {
        self.on_disk.as_ref().is_some_and(|on_disk| on_disk.state.is_offline())
    }

    /// The error with which an offline one answers.
    pub(super) fn check_online(&self) -> Result<(), StorageError> {
        self.on_disk.as_ref().map_or(Ok(()), |on_disk| on_disk.state.check_online())
    }

    /// How many logs are in it; 0 in memory mode.
    pub(super) fn log_count(&self) -> usize {
        self.on_disk.as_ref().map_or(0, |on_disk| on_disk.state.log_count())
    }

    /// Takes it offline: nothing is appended to its logs any more.
    pub fn mark_offline(&self, reason: &str) {
        if let Some(on_disk) = &self.on_disk {
            on_disk.state.mark_offline(reason);
        }
    }

    /// What is there to load; nothing is changed. Nothing is in one that is offline.
    pub fn find_logs(&self) -> Result<FoundLogs, StorageError> {
        self.path().filter(|_| !self.is_offline()).map_or(Ok(FoundLogs::default()), FoundLogs::in_directory)
    }

    /// Loads what was found, in the same order, by so many threads; recovers the logs that need it, and says every second
    /// how far it is. What an interrupted deletion left is deleted as if that had happened now. Blocks for as long as
    /// reading the unflushed segments takes.
    pub fn load(
        &self,
        found: FoundLogs,
        config_for: &dyn Fn(&str) -> LogConfig,
        threads: usize,
        now: Now,
    ) -> Result<LoadedLogs, StorageError> {
        let Some(on_disk) = &self.on_disk else { return Ok(LoadedLogs::default()) };
        let dir = &on_disk.state.path;
        if on_disk.had_clean_shutdown {
            // From here on, a crash is one; a power loss must not bring the marker back.
            files::remove_if_exists(&dir.join(CLEAN_SHUTDOWN_FILE))?;
            files::sync_dir(dir)?;
        }
        let mut checkpoints = checkpoint::read_all(dir);
        on_disk.doom(found.doomed, now);
        on_disk.note_checkpointed(checkpoints.keys());
        if !on_disk.had_clean_shutdown && on_disk.state.files.are_few_for(found.logs.len()) {
            // Files are closed again while others are recovered, each after an fsync.
            self.write_back();
        }
        let mut request = |topic_partition: TopicPartition, topic_id: Uuid, dir: PathBuf| {
            let known = checkpoints.remove(&topic_partition).unwrap_or_default();
            LoadRequest {
                config: config_for(&topic_partition.topic),
                log_start_offset: known.log_start_offset,
                recovery_point: known.recovery_point,
                high_watermark: known.high_watermark,
                cleaner_offset: known.cleaner_offset,
                had_clean_shutdown: on_disk.had_clean_shutdown,
                dir,
                topic_partition,
                topic_id,
                state: on_disk.state.clone(),
                decompressors: self.decompressors.clone(),
                now,
            }
        };
        let path = |topic_partition: &TopicPartition| dir.join(topic_partition.to_string());
        let current = found.logs.into_iter().map(|log| (path(&log.topic_partition), log));
        let current = current.map(|(path, log)| (log.topic_partition, log.topic_id, path));
        let futures = found.futures.into_iter().map(|future| (future.topic_partition, future.topic_id, future.path));
        let (mut requests, futures): (Vec<_>, Vec<_>) = (current.collect(), futures.collect());
        let first_future = requests.len();
        requests.extend(futures);
        let requests = requests.into_iter().map(|(partition, topic_id, path)| request(partition, topic_id, path));
        let requests: Vec<_> = requests.collect();
        let logs = recovery::load_all(&requests, threads)?.into_iter().zip(requests).map(|(log, request)| LoadedLog {
            topic_partition: request.topic_partition,
            topic_id: request.topic_id,
            high_watermark: request.high_watermark,
            log,
        });
        let mut logs: Vec<_> = logs.collect();
        let futures = logs.split_off(first_future);
        let loaded = LoadedLogs { logs, futures, missing: checkpoints };
        on_disk.state.files.warn_if_few_for(loaded.logs.len());
        Ok(loaded)
    }

    /// Makes an empty log. Nothing is synced: the first flush of the log sees to its directory, too.
    pub fn create_log(
        &self,
        topic_partition: &TopicPartition,
        topic_id: Uuid,
        config: LogConfig,
        now: Now,
    ) -> Result<Log, StorageError> {
        self.new_log(topic_partition, topic_id, config, partition_dir::create, now)
    }

    /// Makes an empty log that is to take the place of the partition's one in another log directory.
    pub fn create_future_log(
        &self,
        topic_partition: &TopicPartition,
        topic_id: Uuid,
        config: LogConfig,
        now: Now,
    ) -> Result<Log, StorageError> {
        self.new_log(topic_partition, topic_id, config, partition_dir::create_future, now)
    }

    fn new_log(
        &self,
        topic_partition: &TopicPartition,
        topic_id: Uuid,
        config: LogConfig,
        create: fn(&Arc<DirState>, &TopicPartition, Uuid) -> Result<LogPlace, StorageError>,
        now: Now,
    ) -> Result<Log, StorageError> {
        let place = match &self.on_disk {
            Some(on_disk) => {
                on_disk.state.check_online()?;
                Some(on_disk.state.observe(create(&on_disk.state, topic_partition, topic_id))?)
            }
            None => None,
        };
        Ok(Log::new(topic_partition.clone(), topic_id, config, place, self.decompressors.clone(), now))
    }

    /// Deletes a log: its directory is renamed to `<topic>-<partition>.<uuid>-delete`, as Kafka does, so that it is gone
    /// at once, whatever it holds. See [`LogDir::remove_deleted`].
    pub fn delete_log(&self, log: Log, now: Now) -> Result<(), StorageError> {
        let (Some(on_disk), Some(place)) = (&self.on_disk, log.place) else { return Ok(()) };
        let renamed = partition_dir::rename(&place.dir, &log.topic_partition, partition_dir::DELETE_SUFFIX);
        if renamed.is_err() && on_disk.state.is_gone(&place.dir) {
            let (partition, dir) = (&log.topic_partition, place.dir.display());
            tracing::warn!(%partition, %dir, "the directory of a deleted log was gone already: somebody else has removed it");
            return Ok(());
        }
        on_disk.doom(vec![place.state.observe(renamed)?], now);
        Ok(())
    }

    /// Whether [`LogDir::remove_deleted`] has anything to do, now or later.
    pub fn has_deleted(&self) -> bool {
        self.on_disk.as_ref().is_some_and(|on_disk| !lock_of(&on_disk.doomed).is_empty())
    }

    /// Makes the names of the directories in it survive a power loss. Blocks on an fsync.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        let Some(on_disk) = &self.on_disk else { return Ok(()) };
        on_disk.state.observe(files::sync_dir(&on_disk.state.path))
    }

    /// Has the files removed of a log that has given way, whose directory has a deleted one's name already.
    pub(super) fn doom_replaced(&self, replaced: Log, now: Now) {
        if let (Some(on_disk), Some(place)) = (&self.on_disk, replaced.into_place()) {
            on_disk.doom(vec![place.dir], now);
        }
    }

    /// Removes the files of one deleted log whose delay is over, and says whether there was one. May block for long. What
    /// is not removed before a stop is removed after the next start.
    pub fn remove_deleted(&self, now: Now) -> Result<bool, StorageError> {
        let Some(on_disk) = &self.on_disk else { return Ok(false) };
        let due = lock_of(&on_disk.doomed).pop_front_if(|(_, due)| *due <= now.monotonic);
        let Some((directory, _)) = due else { return Ok(false) };
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::io("cannot remove", &directory)(error))
            }
            _ => Ok(true),
        }
    }

    /// Whether the checkpoint files have a line about the partition: a new log must not be made before one about an older
    /// log of that name is gone, for which it would be taken after a crash.
    pub fn is_checkpointed(&self, topic_partition: &TopicPartition) -> bool {
        self.on_disk.as_ref().is_some_and(|on_disk| lock_of(&on_disk.checkpointed).contains(topic_partition))
    }

    /// Takes a log out of use that is not loaded; see [`LogDir::set_aside`].
    pub fn set_aside_unloaded(&self, topic_partition: &TopicPartition) -> Result<(), StorageError> {
        let Some(path) = self.path() else { return Ok(()) };
        partition_dir::set_aside(&path.join(topic_partition.to_string()), topic_partition)
    }

    /// Takes a log out of use and keeps its records for whoever wants to look at them: its directory is renamed to
    /// `<topic>-<partition>.<uuid>-stray`, as Kafka does, which no start loads.
    pub fn set_aside(&self, log: Log) -> Result<(), StorageError> {
        let Some(place) = log.place else { return Ok(()) };
        let renamed = partition_dir::set_aside(&place.dir, &log.topic_partition);
        place.state.observe(renamed)
    }

    /// Has the system write back everything that its file system holds, in one go: the fsyncs of many logs, which must
    /// follow and which notice errors, then find little left to do. Blocks, for the data of other programs on the same
    /// file system, too. Does nothing where there is no such call.
    pub fn write_back(&self) {
        #[cfg(target_os = "linux")]
        if let Some(on_disk) = &self.on_disk
            && let Some(lock) = &on_disk.lock
            && let Err(error) = rustix::fs::syncfs(lock)
        {
            tracing::warn!(%error, "the file system could not be written back in one go");
        }
    }

    /// Frees the decompressors that no batch has needed since the last call.
    pub fn give_back_unused_decompressors(&self) {
        self.decompressors.give_back_unused();
    }

    /// Replaces the checkpoint files. Blocks for the disk when anything has changed.
    pub fn write_checkpoints(&self, entries: &[CheckpointEntry]) -> Result<(), StorageError> {
        let Some(on_disk) = &self.on_disk else { return Ok(()) };
        on_disk.state.check_online()?;
        let dir = &on_disk.state.path;
        let recovery_points = entries.iter().map(|entry| (&entry.topic_partition, entry.recovery_point));
        let high_watermarks = entries.iter().map(|entry| (&entry.topic_partition, entry.high_watermark));
        let log_start_offsets = entries.iter().map(|entry| (&entry.topic_partition, entry.log_start_offset));
        // As in Kafka, a log that begins where its first segment does needs no entry; most begin at 0.
        let log_start_offsets = log_start_offsets.filter(|(_, log_start_offset)| *log_start_offset > 0);
        let written = checkpoint::write(dir, checkpoint::RECOVERY_POINT_FILE, recovery_points)
            .and_then(|()| checkpoint::write(dir, checkpoint::HIGH_WATERMARK_FILE, high_watermarks))
            .and_then(|()| checkpoint::write(dir, checkpoint::LOG_START_OFFSET_FILE, log_start_offsets));
        on_disk.state.observe(written)?;
        self.write_cleaner_checkpoint(entries)?;
        on_disk.note_checkpointed(entries.iter().map(|entry| &entry.topic_partition));
        Ok(())
    }

    /// Replaces `cleaner-offset-checkpoint`: after a log was compacted. Blocks for the disk when anything has changed.
    pub fn write_cleaner_checkpoint(&self, entries: &[CheckpointEntry]) -> Result<(), StorageError> {
        let Some(on_disk) = &self.on_disk else { return Ok(()) };
        on_disk.state.check_online()?;
        let offsets: Vec<_> =
            entries.iter().filter_map(|entry| Some((&entry.topic_partition, entry.cleaner_offset?))).collect();
        let dir = &on_disk.state.path;
        if offsets.is_empty() && !dir.join(checkpoint::CLEANER_OFFSET_FILE).exists() {
            return Ok(());
        }
        on_disk.state.observe(checkpoint::write(dir, checkpoint::CLEANER_OFFSET_FILE, offsets.into_iter()))
    }

    /// Ends a clean stop, after all logs were flushed and closed: writes the checkpoints and the marker that lets the
    /// next start skip recovery, with the epoch under which this broker was registered (-1 for none).
    pub fn close(&self, entries: &[CheckpointEntry], broker_epoch: i64) -> Result<(), StorageError> {
        self.write_checkpoints(entries)?;
        let Some(on_disk) = &self.on_disk else { return Ok(()) };
        let marker = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
        files::replace_durably(&on_disk.state.path.join(CLEAN_SHUTDOWN_FILE), marker.as_bytes())
    }
}

/// What the marker of a clean stop in `directory` says; nothing where it cannot be read, as in Kafka.
fn previous_broker_epoch(directory: &Path) -> Option<i64> {
    let marker: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.join(CLEAN_SHUTDOWN_FILE)).ok()?).ok()?;
    marker.get("brokerEpoch")?.as_i64()
}
