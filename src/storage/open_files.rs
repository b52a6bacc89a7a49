//! How many segment files are open, and which of them is closed for another one.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::StorageError;

/// So many files are looked at for the best one to close, at each of the three demands on it. More would make opening a
/// file slow where hundreds of thousands are open.
const LOOKS: usize = 256;

/// Which files may be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// Those that nobody has used of late and that need no fsync.
    IdleAndSynced,
    /// Those that need no fsync.
    Synced,
    /// All that nobody is using.
    Any,
}

/// A file that can be closed for another one, and opened again later.
pub(super) trait Closable: fmt::Debug + Send + Sync {
    /// Closes it if that is allowed, after an fsync if need be, and says whether it was open; `None` when it stays open.
    fn close(self: Arc<Self>, closing: Closing) -> Result<Option<bool>, StorageError>;
}

/// The open segment files of one log directory: no more than a bound, as long as it can be kept.
///
/// The files form a ring. Whoever needs room takes them from its front: one that was used since it was last looked at
/// goes to the back once more, so that, about, the least recently used one is closed. A file whose bytes may not have
/// reached the disk is closed only when there is no other, and after an fsync: a file that is opened again may not tell
/// of a write that failed in between.
#[derive(Debug)]
pub(super) struct OpenFiles {
    max: usize,
    open: AtomicUsize,
    ring: Mutex<VecDeque<Weak<dyn Closable>>>,
}

/// An open file; counted until nobody has it any more.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: File,
    files: Arc<OpenFiles>,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.files.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl OpenFiles {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, open: AtomicUsize::new(0), ring: Mutex::default() })
    }

    /// Whether not even the active segments of `partitions` partitions can be open together.
    pub(super) fn are_few_for(&self, partitions: usize) -> bool {
        partitions > self.max
    }

    /// Says so.
    pub(super) fn warn_if_few_for(&self, partitions: usize) {
        if self.are_few_for(partitions) {
            tracing::warn!(
                partitions,
                files = self.max,
                "the limit of open files (ulimit -n) is small for so many partitions: their files are closed and opened \
                 again, and synced before that if they were written to"
            );
        }
    }

    /// Whether the next file to be opened needs another one closed.
    pub(super) fn is_full(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.max
    }

    /// Counts `file`, which is `of`'s.
    pub(super) fn admit(self: &Arc<Self>, of: Weak<dyn Closable>, file: File) -> Arc<OpenFile> {
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        let mut ring = self.lock();
        if ring.len() > 2 * open + LOOKS {
            // Logs were deleted whose files were open.
            ring.retain(|file| file.strong_count() > 0);
        }
        ring.push_back(of);
        drop(ring);
        Arc::new(OpenFile { file, files: Arc::clone(self) })
    }

    /// Closes files until there is room for one more, or until those that are open are all in use; then the bound is
    /// passed by those that are in use at the same moment.
    pub(super) fn make_room(&self) -> Result<(), StorageError> {
        while self.is_full() && self.close_one()? {}
        Ok(())
    }

    /// Closes one file; false if all are in use. May wait for an fsync.
    pub(super) fn close_one(&self) -> Result<bool, StorageError> {
        for demand in [Closing::IdleAndSynced, Closing::Synced, Closing::Any] {
            let looks = self.lock().len().min(LOOKS);
            for _ in 0..looks {
                let Some(candidate) = self.lock().pop_front() else { break };
                // The ring is not locked here: there may be an fsync.
                let Some(file) = candidate.upgrade() else { continue };
                match file.close(demand)? {
                    Some(true) => return Ok(true),
                    // It was closed before.
                    Some(false) => {}
                    None => self.lock().push_back(candidate),
                }
            }
        }
        Ok(false)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Weak<dyn Closable>>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
