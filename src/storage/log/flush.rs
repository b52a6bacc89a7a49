//! Making the log survive a power loss, off the partition's lock.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Log;
use crate::clock::Now;
use crate::storage::dir_state::DirState;
use crate::storage::log_file::LogFile;
use crate::storage::transaction_index::encode_transaction_index;
use crate::storage::{StorageError, files, leader_epoch, partition_dir};

/// The fsyncs that are due, to be run without the log's lock.
#[derive(Debug)]
#[must_use = "nothing is synced before `run`"]
pub struct FlushTask {
    state: Arc<DirState>,
    /// The `.log` files that may have grown.
    logs: Vec<Arc<LogFile>>,
    /// Small files beside them, and maybe the partition's directory; what is gone by now is not needed any more.
    beside: Vec<PathBuf>,
    /// The log directory, if the partition's directory in it is new. It cannot be gone.
    log_dir: Option<PathBuf>,
    flushed: Flushed,
}

/// What a [`FlushTask`] has achieved, to be told to [`Log::flushed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the recovery point moves only when the log is told"]
pub struct Flushed {
    offset: i64,
    truncations: u64,
    dir_changes: u64,
}

impl Flushed {
    /// Everything before this offset is on the disk, unless the log was truncated meanwhile.
    pub fn offset(self) -> i64 {
        self.offset
    }
}

impl FlushTask {
    /// Waits for the disk. Blocks. A failed fsync takes the log directory offline: what it could not write, a second
    /// one would not notice. Too many open files only fail this flush; all of it stays due.
    pub fn run(self) -> Result<Flushed, StorageError> {
        self.state.check_online()?;
        for log in &self.logs {
            self.state.observe(log.sync())?;
        }
        for path in &self.beside {
            match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => self.sync_opened(path, opened)?,
            }
        }
        if let Some(path) = &self.log_dir {
            self.sync_opened(path, File::open(path))?;
        }
        Ok(self.flushed)
    }

    pub(in crate::storage) fn sync_opened(&self, path: &Path, opened: io::Result<File>) -> Result<(), StorageError> {
        let file = self.state.observe(opened.map_err(StorageError::io("cannot open", path)))?;
        self.observe_sync(file.sync_all().map_err(StorageError::io("cannot sync", path)))
    }

    /// Unlike other failures, none of an fsync passes by itself: not even that of a full disk.
    fn observe_sync(&self, synced: Result<(), StorageError>) -> Result<(), StorageError> {
        synced.inspect_err(|error| self.state.mark_offline(&error.to_string()))
    }
}

impl Log {
    /// How many records a power loss could take.
    pub fn unflushed_messages(&self) -> i64 {
        self.log_end_offset - self.recovery_point
    }

    /// Whether `flush.messages` or `flush.ms` asks for a flush.
    pub fn is_flush_due(&self, now: Now) -> bool {
        let unflushed = self.unflushed_messages();
        unflushed > 0
            && (unflushed >= self.config.flush_messages
                || now.monotonic.saturating_sub(self.last_flush) >= self.config.flush_interval())
    }

    /// What must be done to flush everything that is in the log now; `None` when that is nothing.
    pub fn flush_task(&mut self) -> Result<Option<FlushTask>, StorageError> {
        self.flush_task_to(self.log_end_offset)
    }

    /// What must be done to flush the closed segments: due whenever one was closed.
    pub fn flush_rolled_task(&mut self) -> Result<Option<FlushTask>, StorageError> {
        self.flush_task_to(self.active().base_offset())
    }

    fn flush_task_to(&mut self, offset: i64) -> Result<Option<FlushTask>, StorageError> {
        if offset <= self.recovery_point {
            return Ok(None);
        }
        self.write_epochs_of_records()?;
        let first = self.segment_index(self.recovery_point);
        let Some(place) = &mut self.place else {
            self.recovery_point = offset;
            return Ok(None);
        };
        let mut logs = Vec::new();
        let mut beside = vec![place.dir.join(leader_epoch::FILE_NAME)];
        for segment in self.segments.iter().skip(first).filter(|segment| segment.base_offset() < offset) {
            if let (Some(file), Some((offset_index, time_index))) = (segment.file(), segment.index_paths()) {
                logs.push(Arc::clone(file));
                beside.extend([offset_index, time_index]);
                beside.extend(segment.transaction_index_path());
            }
        }
        beside.extend(place.snapshots.paths(self.recovery_point..=offset));
        let mut log_dir = None;
        if place.dir_changes > place.synced_dir_changes {
            beside.extend([place.dir.join(partition_dir::METADATA_FILE), place.dir.clone()]);
            log_dir = Some(place.state.path.clone());
        }
        let flushed = Flushed { offset, truncations: self.truncations, dir_changes: place.dir_changes };
        Ok(Some(FlushTask { state: place.state.clone(), logs, beside, log_dir, flushed }))
    }

    /// Notes what a [`FlushTask`] has achieved; nothing, if the log was truncated since the task was made: other
    /// records may be where those were.
    pub fn flushed(&mut self, flushed: Flushed, now: Now) {
        if flushed.truncations == self.truncations {
            self.recovery_point = self.recovery_point.max(flushed.offset);
        }
        if let Some(place) = &mut self.place {
            place.synced_dir_changes = place.synced_dir_changes.max(flushed.dir_changes);
        }
        self.last_flush = now.monotonic;
    }

    /// Has the active segment's transaction index on the disk: the next start believes it.
    fn close_aborted(&mut self) -> Result<(), StorageError> {
        let base_offset = self.active().base_offset();
        let aborted = self.aborted.with_markers(base_offset..i64::MAX);
        match self.active().transaction_index_path() {
            Some(path) if !aborted.is_empty() => {
                self.observe(files::replace_durably(&path, &encode_transaction_index(&aborted)))
            }
            _ => Ok(()),
        }
    }

    /// Writes what a clean stop leaves for the next start: leader epochs, indexes and the producers' snapshot. The records themselves
    /// must be flushed by a task before.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.check_online()?;
        self.write_epochs_of_records()?;
        if self.active().size() > 0 {
            let written = self.active_mut().write_indexes();
            self.observe(written)?;
        }
        self.close_aborted()?;
        match &mut self.place {
            Some(place) => place.snapshots.take(self.log_end_offset, &self.producers),
            None => Ok(()),
        }
    }
}
