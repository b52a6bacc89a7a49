//! All log directories of a broker: which of them has a log, and which takes the next one (Kafka's `LogManager`).

use std::sync::Arc;

use super::found_logs::FoundLogs;
use super::log::Log;
use super::log_dir::{LoadedLogs, LogDir};
use super::{LogConfig, StorageError};
use crate::clock::Now;

/// What was found in a log directory.
pub type FoundDirectory = (Arc<LogDir>, FoundLogs);

/// The log directories, in the order of the configuration; never none.
#[derive(Debug)]
pub struct LogDirs {
    dirs: Vec<Arc<LogDir>>,
}

impl LogDirs {
    /// This one alone.
    pub fn of(log_dir: LogDir) -> Self {
        Self { dirs: vec![Arc::new(log_dir)] }
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<LogDir>] {
        &self.dirs
    }

    /// The first one.
    fn first(&self) -> &Arc<LogDir> {
        let Some(first) = self.dirs.first() else { unreachable!("there is always a log directory") };
        first
    }

    /// The id of the cluster to which they belong.
    pub fn cluster_id(&self) -> &str {
        self.first().cluster_id()
    }

    /// The one in which the log is.
    pub fn dir_of(&self, log: &Log) -> &Arc<LogDir> {
        self.dirs.iter().find(|dir| dir.holds(log)).unwrap_or_else(|| self.first())
    }

    /// The one in which the next log is to be made.
    pub fn next(&self) -> &Arc<LogDir> {
        self.first()
    }

    /// What is there to load; nothing is changed.
    pub fn find_logs(&self) -> Result<Vec<FoundDirectory>, StorageError> {
        self.dirs.iter().map(|dir| Ok((Arc::clone(dir), dir.find_logs()?))).collect()
    }

    /// Loads what was found, as [`LogDir::load`] does, with so many threads for each directory.
    pub fn load(
        &self,
        found: Vec<FoundDirectory>,
        config_for: &dyn Fn(&str) -> LogConfig,
        threads: usize,
        now: Now,
    ) -> Result<LoadedLogs, StorageError> {
        let mut all = LoadedLogs::default();
        for (dir, found) in found {
            let LoadedLogs { logs, missing } = dir.load(found, config_for, threads, now)?;
            all.logs.extend(logs);
            all.missing.extend(missing);
        }
        Ok(all)
    }

    /// Deletes a log, as [`LogDir::delete_log`] does.
    pub fn delete_log(&self, log: Log, now: Now) -> Result<(), StorageError> {
        let dir = Arc::clone(self.dir_of(&log));
        dir.delete_log(log, now)
    }

    /// Frees the decompressors that no batch has needed since the last call.
    pub fn give_back_unused_decompressors(&self) {
        self.dirs.iter().for_each(|dir| dir.give_back_unused_decompressors());
    }
}
