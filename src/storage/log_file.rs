//! A segment's `.log` file: opened when it is needed, closed when its descriptor is needed for another.
//!
//! What an fsync says of a file holds for the descriptor that it is called on: on Linux one that was opened after a
//! write has failed may be told nothing, once the file's pages have left the memory. So the descriptor that was written
//! to stays open until an fsync on it has succeeded, and a failure of any fsync takes the log directory offline.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use super::dir_state::DirState;
use super::open_files::{Closable, Closing, OpenFile};
use super::{StorageError, files};

/// See the module.
#[derive(Debug)]
pub(super) struct LogFile {
    /// Where it is now: a deleted file is renamed, and read on by those who have a range of it. Locked after `open`.
    path: Mutex<PathBuf>,
    /// Its first path as text, for errors.
    name: Arc<str>,
    state: Arc<DirState>,
    /// Locked for as long as a call that uses it takes, other than an append and an fsync for a flush.
    open: Mutex<Option<Arc<OpenFile>>>,
    /// Whether the file was made; it is not made a second time.
    is_made: AtomicBool,
    /// Whether it may hold bytes that are not on the disk; changes under the lock of `open`.
    has_unsynced: AtomicBool,
    /// Whether it was used since somebody thought of closing it.
    was_used: AtomicBool,
}

impl LogFile {
    /// A file that is made when it is first needed.
    pub(super) fn new(path: PathBuf, state: Arc<DirState>) -> Arc<Self> {
        Self::with(path, state, false)
    }

    /// A file that is there.
    pub(super) fn existing(path: PathBuf, state: Arc<DirState>) -> Arc<Self> {
        Self::with(path, state, true)
    }

    fn with(path: PathBuf, state: Arc<DirState>, is_made: bool) -> Arc<Self> {
        Arc::new(Self {
            name: path.to_string_lossy().into(),
            path: Mutex::new(path),
            state,
            open: Mutex::default(),
            is_made: is_made.into(),
            has_unsynced: false.into(),
            was_used: false.into(),
        })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Renames the file so that the next start removes it; its new path if it was there. Who has it goes on with it,
    /// whatever gets its old name; and no other deleted file has its new one.
    pub(super) fn rename_to_deleted(&self) -> Result<Option<PathBuf>, StorageError> {
        // Nobody opens it meanwhile by a path that is not its own any more.
        let _slot = self.slot();
        let mut path = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        let mut deleted = files::with_suffix(&path, files::DELETED_SUFFIX);
        let mut number = 1;
        while deleted.exists() {
            deleted = files::with_suffix(&path, &format!(".{number}{}", files::DELETED_SUFFIX));
            number += 1;
        }
        let was_there = files::rename_if_exists(&path, &deleted)?;
        path.clone_from(&deleted);
        Ok(was_there.then_some(deleted))
    }

    /// Has the file in `dir` from now on, where somebody has moved it.
    pub(super) fn relocate(&self, dir: &Path) {
        let _slot = self.slot();
        files::move_to(&mut self.path.lock().unwrap_or_else(PoisonError::into_inner), dir);
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Notes that what is in it may not be on the disk, whoever has written it.
    pub(super) fn mark_unsynced(&self) {
        let _slot = self.slot();
        self.has_unsynced.store(true, Ordering::Relaxed);
    }

    fn failure(&self, action: &'static str) -> impl FnOnce(io::Error) -> StorageError {
        StorageError::io(action, Path::new(&*self.name))
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<OpenFile>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file, and makes it if it is new.
    pub(super) fn ensure_open(self: &Arc<Self>) -> Result<(), StorageError> {
        self.using(|_| ())
    }

    /// Runs `work`, which does not wait for an fsync, on the open file.
    fn using<T>(self: &Arc<Self>, work: impl FnOnce(&Arc<OpenFile>) -> T) -> Result<T, StorageError> {
        self.was_used.store(true, Ordering::Relaxed);
        let mut slot = self.slot();
        if let Some(open) = &*slot {
            return Ok(work(open));
        }
        Ok(work(slot.insert(self.open()?)))
    }

    /// The file for a reader that keeps it open for as long as it likes.
    pub(super) fn lend(self: &Arc<Self>) -> Result<Arc<OpenFile>, StorageError> {
        self.using(Arc::clone)
    }

    /// Whether a file may be kept open for long: not while each descriptor is needed.
    pub(super) fn may_be_lent(&self) -> bool {
        !self.state.files.is_full()
    }

    #[cold]
    fn open(self: &Arc<Self>) -> Result<Arc<OpenFile>, StorageError> {
        self.state.files.make_room()?;
        let opened = match self.open_file() {
            // The others of the process have taken more than they should: one of ours makes room, if there is one.
            Err(error) if StorageError::is_shortage(&error) && self.state.files.close_one()? => self.open_file(),
            opened => opened,
        };
        let file = opened.map_err(self.failure("cannot open"))?;
        self.is_made.store(true, Ordering::Relaxed);
        let unowned: Weak<Self> = Arc::downgrade(self);
        Ok(self.state.files.admit(unowned, file))
    }

    fn open_file(&self) -> io::Result<File> {
        let is_new = !self.is_made.load(Ordering::Relaxed);
        OpenOptions::new().read(true).append(true).create(is_new).open(self.path())
    }

    /// Appends `front` and `rest` behind the first `size` bytes. See [`WriteError`]. Readers do not wait for it: a disk that
    /// hangs holds it up.
    pub(super) fn append(self: &Arc<Self>, size: u64, front: &[u8], rest: &[u8]) -> Result<(), WriteError> {
        let opened = self.using(|open| {
            self.has_unsynced.store(true, Ordering::Relaxed);
            Arc::clone(open)
        });
        let open = opened.map_err(WriteError::Undone)?;
        let written = write_all(&open.file, front, rest).map_err(|error| {
            let undone = open.file.set_len(size);
            let error = self.failure("cannot write")(error);
            if undone.is_ok() { WriteError::Undone(error) } else { WriteError::Torn(error) }
        });
        // An fsync meanwhile has taken the note away, and need not have seen all of the write. Until here nobody has closed
        // the file: it is not only in the slot.
        self.mark_unsynced();
        drop(open);
        written
    }

    /// Cuts off everything from `size` on.
    pub(super) fn truncate(self: &Arc<Self>, size: u64) -> Result<(), StorageError> {
        let truncated = self.using(|open| {
            self.has_unsynced.store(true, Ordering::Relaxed);
            open.file.set_len(size)
        })?;
        truncated.map_err(self.failure("cannot truncate"))
    }

    /// Reads what one call gives.
    pub(super) fn read_at(self: &Arc<Self>, buffer: &mut [u8], position: u64) -> Result<usize, StorageError> {
        self.reading(|file| file.read_at(buffer, position))?.map_err(self.failure("cannot read"))
    }

    /// Runs `read` until no signal interrupts it.
    pub(super) fn reading<T>(
        self: &Arc<Self>,
        mut read: impl FnMut(&File) -> io::Result<T>,
    ) -> Result<io::Result<T>, StorageError> {
        self.using(|open| {
            loop {
                match read(&open.file) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        })
    }

    /// Waits until everything that was written so far is on the disk; at once when it is there already. A file that is
    /// gone needs no fsync. A failed one takes the log directory offline.
    pub(super) fn sync(self: &Arc<Self>) -> Result<(), StorageError> {
        let open = {
            let mut slot = self.slot();
            if !self.has_unsynced.load(Ordering::Relaxed) {
                return Ok(());
            }
            let open = match &*slot {
                Some(open) => Arc::clone(open),
                None if !self.path().exists() => return Ok(()),
                None => Arc::clone(slot.insert(self.open()?)),
            };
            self.has_unsynced.store(false, Ordering::Relaxed);
            open
        };
        // The slot is not locked: appends go on. The file stays open, because it is not only in the slot.
        self.sync_opened(&open)
    }

    fn sync_opened(&self, open: &OpenFile) -> Result<(), StorageError> {
        let synced = open.file.sync_data().map_err(self.failure("cannot sync"));
        // Unlike other failures, none of an fsync passes by itself: not even that of a full disk.
        synced.inspect_err(|error| self.state.mark_offline(&error.to_string()))
    }
}

impl Closable for LogFile {
    fn close(self: Arc<Self>, closing: Closing) -> Result<Option<bool>, StorageError> {
        let mut slot = match self.open.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let Some(open) = &*slot else { return Ok(Some(false)) };
        let was_used = self.was_used.swap(false, Ordering::Relaxed);
        let has_unsynced = self.has_unsynced.load(Ordering::Relaxed);
        // Besides the segment and the caller, readers and flushes that have not begun may hold the file. They can open it
        // again, unless it is deleted meanwhile.
        let is_wanted = was_used || Arc::strong_count(&self) > 2;
        let stays = match closing {
            Closing::IdleAndSynced => is_wanted || has_unsynced,
            Closing::Synced => has_unsynced,
            Closing::Any => false,
        };
        if stays || Arc::strong_count(open) > 1 {
            return Ok(None);
        }
        if has_unsynced {
            self.sync_opened(open)?;
            self.has_unsynced.store(false, Ordering::Relaxed);
        }
        *slot = None;
        Ok(Some(true))
    }
}

/// Why an append to a segment failed.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The segment is as it was.
    Undone(StorageError),
    /// The segment ends in part of a batch.
    Torn(StorageError),
}

fn write_all(mut file: &File, front: &[u8], rest: &[u8]) -> io::Result<()> {
    let mut slices = [IoSlice::new(front), IoSlice::new(rest)];
    let mut slices = &mut slices[..];
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut slices, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
