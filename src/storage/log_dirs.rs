//! All log directories of a broker: whose they are together, which of them has a log, which takes the next one, and which
//! have failed (Kafka's `LogManager`; KIP-112).
//!
//! A directory that fails, or that cannot be opened, is offline until the next start, and the others go on. Only the one
//! with the metadata log must work.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::directory_identity::{self, LogDirOptions};
use super::found_logs::FoundLogs;
use super::log::Log;
use super::log_dir::{LoadedLogs, LogDir};
use super::meta_properties::MetaProperties;
use super::survey::LogDirError;
use super::{LogConfig, StorageError, format_uuid};
use crate::clock::Now;
use crate::config::DataDirectories;
use crate::ids::{TopicPartition, Uuid};

/// What was found in a log directory.
pub type FoundDirectory = (Arc<LogDir>, FoundLogs);

/// The log directories, in the order of the configuration; never none.
#[derive(Debug)]
pub struct LogDirs {
    dirs: Vec<Arc<LogDir>>,
    /// The one with the metadata log: one of them, or one beside them.
    metadata: Arc<LogDir>,
}

impl LogDirs {
    /// This one alone.
    pub fn of(log_dir: LogDir) -> Self {
        let log_dir = Arc::new(log_dir);
        Self { metadata: Arc::clone(&log_dir), dirs: vec![log_dir] }
    }

    /// Opens all of them, whose descriptors for segments are shared out evenly. One that the system does not let us use is
    /// offline, as long as it is not that of the metadata log and another one works.
    ///
    /// # Errors
    /// Before anything is changed: [`LogDirError::Foreign`], [`LogDirError::Unidentified`] and
    /// [`LogDirError::SameDirectory`] where the directories do not belong together. [`LogDirError::Locked`],
    /// [`LogDirError::Storage`].
    pub fn open(directories: &DataDirectories, options: &LogDirOptions) -> Result<Self, LogDirError> {
        let mut options = options.clone();
        options.max_open_files = (options.max_open_files / directories.log_dirs.len().max(1)).max(1);
        let mut unusable: HashMap<&Path, StorageError> = HashMap::new();
        let mut known: Vec<(&Path, MetaProperties)> = Vec::new();
        for path in directories.all() {
            match directory_identity::peek(path, &options) {
                Err(LogDirError::Storage(error)) if *path != directories.metadata => {
                    unusable.insert(path, error);
                }
                identity => known.extend(identity?.map(|identity| (path.as_path(), identity))),
            }
        }
        options.cluster_id = Some(agree(&known, options.cluster_id.take())?);
        let metadata = Arc::new(LogDir::open(&directories.metadata, &options)?);
        let mut dirs = Vec::with_capacity(directories.log_dirs.len());
        for path in &directories.log_dirs {
            if *path == directories.metadata {
                dirs.push(Arc::clone(&metadata));
                continue;
            }
            let opened = match unusable.remove(path.as_path()) {
                Some(error) => Err(LogDirError::Storage(error)),
                None => LogDir::open_beside(path, &options),
            };
            dirs.push(Arc::new(match opened {
                Err(LogDirError::Storage(error)) => LogDir::unusable(path, &options, &error.to_string()),
                opened => opened?,
            }));
        }
        if dirs.iter().all(|dir| dir.is_offline()) {
            return Err(LogDirError::NoneUsable);
        }
        Ok(Self { dirs, metadata })
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<LogDir>] {
        &self.dirs
    }

    /// Those that work.
    pub fn online(&self) -> impl Iterator<Item = &Arc<LogDir>> {
        self.dirs.iter().filter(|dir| !dir.is_offline())
    }

    /// How many do not work.
    pub fn offline_count(&self) -> usize {
        self.dirs.len() - self.online().count()
    }

    /// Whether the broker cannot go on: all have failed, or that of the metadata log.
    pub fn have_failed(&self) -> bool {
        self.metadata.is_offline() || self.online().next().is_none()
    }

    /// The first one.
    fn first(&self) -> &Arc<LogDir> {
        let Some(first) = self.dirs.first() else { unreachable!("there is always a log directory") };
        first
    }

    /// The id of the cluster to which they belong.
    pub fn cluster_id(&self) -> &str {
        self.metadata.cluster_id()
    }

    /// The broker epoch under which the broker last stopped cleanly; -1 unless all directories work and agree on it
    /// (`LogManager.readBrokerEpochFromCleanShutdownFiles`).
    pub fn previous_broker_epoch(&self) -> i64 {
        let mut epochs = self.dirs.iter().map(|dir| dir.previous_broker_epoch().filter(|_| !dir.is_offline()));
        let first = epochs.next().flatten();
        first.filter(|first| epochs.all(|epoch| epoch == Some(*first))).unwrap_or(-1)
    }

    /// Makes `cluster_id` that of all of them, durably: they were made before it was known.
    ///
    /// # Errors
    /// What the disk says.
    pub fn adopt_cluster_id(&self, cluster_id: &str) -> Result<(), StorageError> {
        let others = self.online().filter(|dir| !Arc::ptr_eq(dir, &self.metadata));
        // The one with the metadata is the last: what it says is what the others are held to.
        others.chain([&self.metadata]).try_for_each(|dir| dir.adopt_cluster_id(cluster_id))
    }

    /// The id of the directory with the metadata log.
    pub fn metadata_directory_id(&self) -> Uuid {
        self.metadata.directory_id()
    }

    /// The ids of those that work. One from before directories had ids gets one for this run.
    pub fn directory_ids(&self) -> Vec<Uuid> {
        let id = |dir: &Arc<LogDir>| Some(dir.directory_id()).filter(|id| !id.is_nil()).unwrap_or_else(Uuid::new_v4);
        self.online().map(id).collect()
    }

    /// The one in which the log is.
    pub fn dir_of(&self, log: &Log) -> &Arc<LogDir> {
        self.dirs.iter().find(|dir| dir.holds(log)).unwrap_or_else(|| self.first())
    }

    /// Those that work, in the order in which a new log is tried to be made: the one with the fewest logs first
    /// (`LogManager.nextLogDirs`).
    fn by_count(&self) -> Vec<&Arc<LogDir>> {
        let mut online: Vec<_> = self.online().collect();
        online.sort_by_key(|dir| dir.log_count());
        online
    }

    /// Whether the checkpoint files of any of them have a line about the partition; see [`LogDir::is_checkpointed`].
    pub fn are_checkpointed(&self, topic_partition: &TopicPartition) -> bool {
        self.online().any(|dir| dir.is_checkpointed(topic_partition))
    }

    /// Makes an empty log in the directory with the fewest logs, or, where that cannot be, in the next one.
    ///
    /// # Errors
    /// What the last of them said.
    pub fn create_log(
        &self,
        topic_partition: &TopicPartition,
        topic_id: Uuid,
        config: &LogConfig,
        now: Now,
    ) -> Result<Log, StorageError> {
        let create = |dir: &Arc<LogDir>| dir.create_log(topic_partition, topic_id, config.clone(), now);
        let online = self.by_count();
        // One that is offline says why.
        let mut created = create(online.first().copied().unwrap_or_else(|| self.first()));
        for dir in online.iter().skip(1) {
            if created.is_ok() {
                break;
            }
            created = create(dir);
        }
        created
    }

    /// Fails where a log may be in a directory that does not work, so that none must be made in its place.
    pub fn check_complete(&self) -> Result<(), StorageError> {
        self.dirs.iter().try_for_each(|dir| dir.check_online())
    }

    /// What is there to load; nothing is changed. A directory that cannot be listed is offline, if others work.
    pub fn find_logs(&self) -> Result<Vec<FoundDirectory>, StorageError> {
        let mut found = Vec::with_capacity(self.dirs.len());
        for dir in &self.dirs {
            let logs = dir.find_logs();
            found.push((Arc::clone(dir), self.unless_tolerable(dir, logs)?.unwrap_or_default()));
        }
        Ok(found)
    }

    /// Loads what was found, as [`LogDir::load`] does: the directories side by side, each with so many threads. One whose
    /// logs cannot be read is offline, if others work.
    pub fn load(
        &self,
        found: Vec<FoundDirectory>,
        config_for: &(dyn Fn(&str) -> LogConfig + Sync),
        threads: usize,
        now: Now,
    ) -> Result<LoadedLogs, StorageError> {
        let (dirs, found): (Vec<_>, Vec<_>) = found.into_iter().filter(|(dir, _)| !dir.is_offline()).unzip();
        // A broker among others in one process may have a log of its own.
        let subscriber = tracing::dispatcher::get_default(Clone::clone);
        let loaded: Vec<_> = thread::scope(|scope| {
            let load = |(dir, found): (&Arc<LogDir>, FoundLogs)| {
                let (dir, subscriber) = (Arc::clone(dir), subscriber.clone());
                let load = move || dir.load(found, config_for, threads, now);
                scope.spawn(move || tracing::dispatcher::with_default(&subscriber, load))
            };
            let loading: Vec<_> = dirs.iter().zip(found).map(load).collect();
            loading
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut all = LoadedLogs::default();
        for (dir, loaded) in dirs.iter().zip(loaded) {
            let LoadedLogs { logs, futures, missing } = self.unless_tolerable(dir, loaded)?.unwrap_or_default();
            all.logs.extend(logs);
            all.futures.extend(futures);
            all.missing.extend(missing);
        }
        // A checkpoint may still speak of a log that another directory has by now.
        let there: HashSet<_> = all.logs.iter().map(|loaded| &loaded.topic_partition).collect();
        all.missing.retain(|partition, _| !there.contains(partition));
        Ok(all)
    }

    /// `None` where the system did not let us use `dir`, which is offline then, and the broker can do without.
    fn unless_tolerable<T>(
        &self,
        dir: &Arc<LogDir>,
        result: Result<T, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        let error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        let others_work = self.online().any(|other| !Arc::ptr_eq(other, dir));
        if !error.is_fatal() || !others_work || Arc::ptr_eq(dir, &self.metadata) {
            return Err(error);
        }
        dir.mark_offline(&error.to_string());
        Ok(None)
    }

    /// Deletes a log, as [`LogDir::delete_log`] does.
    pub fn delete_log(&self, log: Log, now: Now) -> Result<(), StorageError> {
        let dir = Arc::clone(self.dir_of(&log));
        dir.delete_log(log, now)
    }

    /// Ends the move by which `replaced` has given way to a log in `to`: has its files removed once that is sure to stay.
    /// Blocks on an fsync.
    pub fn finish_move(&self, replaced: Log, to: &LogDir, now: Now) -> Result<(), StorageError> {
        to.sync()?;
        self.dir_of(&replaced).clone().doom_replaced(replaced, now);
        Ok(())
    }

    /// Frees the decompressors that no batch has needed since the last call.
    pub fn give_back_unused_decompressors(&self) {
        self.dirs.iter().for_each(|dir| dir.give_back_unused_decompressors());
    }
}

/// The cluster's id, on which all directories agree that know one; a random one where none does.
fn agree(known: &[(&Path, MetaProperties)], wanted: Option<String>) -> Result<String, LogDirError> {
    let mut ids: HashMap<Uuid, &Path> = HashMap::new();
    let ours = wanted.or_else(|| known.first().map(|(_, identity)| identity.cluster_id.clone()));
    for (path, identity) in known {
        if let Some(ours) = ours.as_ref().filter(|ours| **ours != identity.cluster_id) {
            let (theirs, ours) = (format!("cluster {}", identity.cluster_id), format!("cluster {ours}"));
            return Err(LogDirError::Foreign { path: path.to_path_buf(), theirs, ours });
        }
        let other = identity.directory_id.and_then(|id| Some((id, ids.insert(id, path)?)));
        if let Some((id, other)) = other {
            let (path, other, id) = (path.to_path_buf(), other.to_path_buf(), format_uuid(id));
            return Err(LogDirError::SameDirectory { path, other, id });
        }
    }
    Ok(ours.unwrap_or_else(|| format_uuid(Uuid::new_v4())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(cluster_id: &str, directory_id: u128) -> MetaProperties {
        let cluster_id = cluster_id.to_owned();
        MetaProperties { node_id: 1, cluster_id, directory_id: Some(Uuid::from_u128(directory_id)) }
    }

    #[test]
    fn directories_agree_about_their_cluster_and_differ_in_their_ids() {
        let (one, two) = (Path::new("/one"), Path::new("/two"));
        let same = [(one, identity("c", 1)), (two, identity("c", 2))];
        assert_eq!(agree(&same, None).unwrap(), "c");
        assert_eq!(agree(&same, Some("c".to_owned())).unwrap(), "c");
        assert_eq!(agree(&[], Some("d".to_owned())).unwrap(), "d");
        assert_eq!(agree(&[], None).unwrap().len(), 22);
        let refused = |known: &[(&Path, MetaProperties)], wanted: Option<&str>| {
            agree(known, wanted.map(str::to_owned)).unwrap_err().to_string()
        };
        assert_eq!(refused(&same, Some("d")), "the data directory /one belongs to cluster c, not to cluster d");
        let other = [(one, identity("c", 1)), (two, identity("d", 2))];
        assert_eq!(refused(&other, None), "the data directory /two belongs to cluster d, not to cluster c");
        let copied = [(one, identity("c", 1)), (two, identity("c", 1))];
        assert!(refused(&copied, None).contains("/one and /two have the same directory.id"));
    }
}
