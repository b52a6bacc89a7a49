//! Making the log survive a power loss, off the partition's lock.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Log;
use crate::clock::Now;
use crate::storage::log_dir::DirState;
use crate::storage::{StorageError, files, leader_epoch};

/// The fsyncs that are due, to be run without the log's lock.
#[derive(Debug)]
#[must_use = "nothing is synced before `run`"]
pub struct FlushTask {
    state: Arc<DirState>,
    /// The `.log` files that have grown.
    logs: Vec<Arc<File>>,
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
}

impl Flushed {
    /// Everything before this offset is on the disk, unless the log was truncated meanwhile.
    pub fn offset(self) -> i64 {
        self.offset
    }
}

impl FlushTask {
    /// Waits for the disk. Blocks. A failure takes the log directory offline: what an fsync could not write, a second
    /// one would not notice.
    pub fn run(self) -> Result<Flushed, StorageError> {
        self.state.check_online()?;
        let result = self.sync();
        if let Err(error) = &result {
            self.state.mark_offline(&error.to_string());
        }
        result.map(|()| self.flushed)
    }

    fn sync(&self) -> Result<(), StorageError> {
        for log in &self.logs {
            log.sync_data().map_err(StorageError::io("cannot sync a segment in", &self.state.path))?;
        }
        for path in &self.beside {
            match File::open(path).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StorageError::io("cannot sync", path)(error));
                }
                _ => {}
            }
        }
        self.log_dir.as_deref().map_or(Ok(()), files::sync_dir)
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
                || now.timestamp_ms.saturating_sub(self.last_flush_ms) >= self.config.flush_ms)
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
        let first = self.segment_index(self.recovery_point);
        let Some(place) = &mut self.place else {
            self.recovery_point = offset;
            return Ok(None);
        };
        let mut logs = Vec::new();
        let mut beside = vec![place.dir.join(leader_epoch::FILE_NAME)];
        for segment in self.segments.iter().skip(first).filter(|segment| segment.base_offset() < offset) {
            if let (Some(file), Some((offset_index, time_index))) = (segment.file(), segment.index_paths()) {
                logs.push(file.handle()?.clone());
                beside.extend([offset_index, time_index]);
            }
        }
        beside.extend(place.snapshots.paths(self.recovery_point..=offset));
        let mut log_dir = None;
        if std::mem::take(&mut place.is_dir_unsynced) {
            beside.push(place.dir.clone());
            log_dir = Some(place.state.path.clone());
        }
        let flushed = Flushed { offset, truncations: self.truncations };
        Ok(Some(FlushTask { state: place.state.clone(), logs, beside, log_dir, flushed }))
    }

    /// Notes what a [`FlushTask`] has achieved; nothing, if the log was truncated since the task was made: other
    /// records may be where those were.
    pub fn flushed(&mut self, flushed: Flushed, now: Now) {
        if flushed.truncations == self.truncations {
            self.recovery_point = self.recovery_point.max(flushed.offset);
        }
        self.last_flush_ms = now.timestamp_ms;
    }

    /// Writes what a clean stop leaves for the next start: indexes and the producers' snapshot. The records themselves
    /// must be flushed by a task before.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.check_online()?;
        if self.active().size() > 0 {
            let written = self.active_mut().write_indexes();
            self.observe(written)?;
        }
        match &mut self.place {
            Some(place) => place.snapshots.take(self.log_end_offset, &self.producers),
            None => Ok(()),
        }
    }
}
