//! Whether a log directory works: what the directory, its logs and their files all know.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::StorageError;
use super::open_files::OpenFiles;
use super::room::Room;

/// Whether a log directory works, shared by the directory and all its logs.
#[derive(Debug)]
pub(super) struct DirState {
    pub(super) path: PathBuf,
    pub(super) files: Arc<OpenFiles>,
    offline: OnceLock<Arc<str>>,
    room: Room,
    /// How many logs are in the directory.
    logs: AtomicUsize,
}

/// A log that counts as one of its log directory's while this lives.
#[derive(Debug)]
pub(super) struct CountedLog(Arc<DirState>);

impl CountedLog {
    pub(super) fn of(state: &Arc<DirState>) -> Self {
        state.logs.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for CountedLog {
    fn drop(&mut self) {
        self.0.logs.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DirState {
    pub(super) fn new(path: &Path, max_open_files: usize) -> Self {
        let files = OpenFiles::new(max_open_files);
        let logs = AtomicUsize::new(0);
        Self { path: path.to_path_buf(), files, offline: OnceLock::new(), room: Room::default(), logs }
    }

    /// Takes the directory offline, for good.
    pub(super) fn mark_offline(&self, reason: &str) {
        if self.offline.set(reason.into()).is_ok() {
            tracing::error!(path = %self.path.display(), reason,
                "the log directory is offline: what is in it is not served until it is put right and the broker started again");
        }
    }

    /// How many logs are in it.
    pub(super) fn log_count(&self) -> usize {
        self.logs.load(Ordering::Relaxed)
    }

    pub(super) fn is_offline(&self) -> bool {
        self.offline.get().is_some()
    }

    /// Why it is offline, if it is.
    pub(super) fn offline_reason(&self) -> Option<Arc<str>> {
        self.offline.get().cloned()
    }

    pub(super) fn check_online(&self) -> Result<(), StorageError> {
        match self.offline.get() {
            None => Ok(()),
            Some(reason) => {
                Err(StorageError::Offline { path: self.path.to_string_lossy().into(), reason: reason.clone() })
            }
        }
    }

    /// Whether somebody has removed a partition's directory, or a file in it, while the log directory itself is there.
    pub(super) fn is_gone(&self, path: &Path) -> bool {
        self.path.is_dir() && !path.exists()
    }

    /// The bytes of the volume, and those that can be used. May wait for the volume.
    pub(super) fn space(&self) -> io::Result<(u64, u64)> {
        let volume = rustix::fs::statvfs(&self.path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
        Ok((bytes(volume.f_blocks), bytes(volume.f_bavail)))
    }

    /// Fails where a client's records of `size` bytes would take the last room, by which the volume can be freed: the
    /// deletion of topics and records is written down first, and commits go on for a while.
    ///
    /// Unlike Kafka, which fills its disk to the last byte and then halts.
    pub(super) fn take_room(&self, size: usize) -> Result<(), StorageError> {
        if self.room.take(size, || self.space().ok()) {
            return Ok(());
        }
        let full = io::Error::new(io::ErrorKind::StorageFull, "No space left on device, but for a small reserve");
        Err(StorageError::io("cannot append to a log in", &self.path)(full))
    }

    /// Takes the directory offline if `result`, of something that writes, is a failure that does not pass by itself. A
    /// partition's directory that was removed fails that partition alone: nothing is wrong with the disk.
    pub(super) fn observe<T>(&self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        if let Err(error) = &result
            && error.is_fatal()
            && !error.missing_path().is_some_and(|path| path.parent().is_some_and(|dir| self.is_gone(dir)))
        {
            self.mark_offline(&error.to_string());
        }
        result
    }
}
