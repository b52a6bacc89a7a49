//! A segment that a cleaning writes, until it takes the place of others.
//!
//! Its files are named after what would become of them in a crash (Kafka's `LocalLog.replaceSegments`): `.cleaned` ones
//! are removed by the next start, `.swap` ones replace every segment in their range of offsets. In memory mode there are no
//! files, and the rest is the same.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;

use super::cleaner::AbortedTxn;
use super::dir_state::DirState;
use super::log_file::{LogFile, WriteError};
use super::segment::{Home, Segment};
use super::transaction_index::encode_transaction_index;
use super::{LogConfig, StorageError, files};
use crate::protocol::record_batch::BatchHeader;

/// So many bytes of batches are gathered before they are written.
const WRITE_BUFFER: usize = 256 * 1024;

/// Where a cleaning writes: a partition's directory, or memory.
#[derive(Debug, Clone)]
pub struct CleaningPlace(Option<(PathBuf, Arc<DirState>)>);

impl CleaningPlace {
    pub(super) fn new(home: Option<Home<'_>>) -> Self {
        Self(home.map(|(dir, state)| (dir.to_path_buf(), Arc::clone(state))))
    }

    /// Begins a segment. What an aborted cleaning has left of one with this base offset is removed.
    pub fn begin_segment(&self, base_offset: i64, config: &LogConfig) -> Result<CleanedSegment, StorageError> {
        let segment = match &self.0 {
            None => Segment::new(None, base_offset, config, 0),
            Some((dir, state)) => {
                state.check_online()?;
                for suffix in files::SEGMENT_SUFFIXES {
                    files::remove_if_exists(&file(dir, base_offset, suffix, files::CLEANED_SUFFIX))?;
                }
                let path = file(dir, base_offset, files::LOG_SUFFIX, files::CLEANED_SUFFIX);
                let log = LogFile::new(path, Arc::clone(state));
                log.ensure_open()?;
                Segment::existing_file(log, base_offset, 0, 0, config)
            }
        };
        Ok(CleanedSegment { place: self.clone(), segment, buffer: Vec::new(), headers: Vec::new() })
    }

    /// Makes what was renamed survive a power loss. Blocks for the disk.
    pub fn sync(&self) -> Result<(), StorageError> {
        let Some((dir, state)) = &self.0 else { return Ok(()) };
        let opened = File::open(dir).map_err(StorageError::io("cannot open", dir))?;
        let synced = opened.sync_all().map_err(StorageError::io("cannot sync", dir));
        // Unlike other failures, none of an fsync passes by itself: not even that of a full disk.
        synced.inspect_err(|error| state.mark_offline(&error.to_string()))
    }

    fn observe<T>(&self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        match &self.0 {
            Some((_, state)) => state.observe(result),
            None => result,
        }
    }
}

/// `<20 digits><kind><state>` in `dir`.
fn file(dir: &Path, base_offset: i64, kind: &str, state: &str) -> PathBuf {
    files::with_suffix(&files::offset_file(dir, base_offset, kind), state)
}

/// A segment that is being written. Nobody else sees it.
#[derive(Debug)]
#[must_use = "it is on the disk once it is finished, and is removed when it is discarded"]
pub struct CleanedSegment {
    place: CleaningPlace,
    segment: Segment,
    buffer: Vec<u8>,
    /// Those of the batches in `buffer`.
    headers: Vec<BatchHeader>,
}

impl CleanedSegment {
    /// The offset in its name.
    pub fn base_offset(&self) -> i64 {
        self.segment.base_offset()
    }

    /// Adds a batch, in the order of the offsets.
    pub fn append(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<(), StorageError> {
        self.buffer.extend_from_slice(bytes);
        self.headers.push(*header);
        if self.buffer.len() >= WRITE_BUFFER { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StorageError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.segment.append(&self.buffer, &Bytes::new(), &self.headers, 0);
        self.buffer.clear();
        self.headers.clear();
        let failure = |failed: WriteError| match failed {
            WriteError::Undone(error) | WriteError::Torn(error) => error,
        };
        self.place.observe(written.map_err(failure))
    }

    /// Completes it with its indexes, also that of the `aborted` transactions whose markers it holds, and has it on the disk.
    /// `modified_ms` becomes the time of its last change: that of the last segment that it replaces, which retention may go
    /// by. Blocks for the disk.
    pub fn finish(mut self, aborted: Vec<AbortedTxn>, modified_ms: i64) -> Result<FinishedSegment, StorageError> {
        if let Err(error) = self.complete(&encode_transaction_index(&aborted), modified_ms) {
            // On a full disk it would only take space away.
            self.discard();
            return Err(error);
        }
        let Self { place, segment, .. } = self;
        Ok(FinishedSegment { place, segment, aborted, suffix: files::CLEANED_SUFFIX })
    }

    fn complete(&mut self, transaction_index: &[u8], modified_ms: i64) -> Result<(), StorageError> {
        self.write()?;
        self.segment.set_modified_ms(modified_ms);
        let written = write_files(&self.place, &mut self.segment, transaction_index, modified_ms);
        self.place.observe(written)?;
        self.place.sync()
    }

    /// Removes it.
    pub fn discard(self) {
        remove(&self.place, self.segment.base_offset(), files::CLEANED_SUFFIX);
    }
}

fn write_files(
    place: &CleaningPlace,
    segment: &mut Segment,
    transaction_index: &[u8],
    modified_ms: i64,
) -> Result<(), StorageError> {
    let (Some((dir, state)), Some(log)) = (&place.0, segment.file().cloned()) else { return Ok(()) };
    let base_offset = segment.base_offset();
    let of_kind = |kind| file(dir, base_offset, kind, files::CLEANED_SUFFIX);
    let modified = UNIX_EPOCH + Duration::from_millis(u64::try_from(modified_ms).unwrap_or(0));
    log.lend()?.file.set_modified(modified).map_err(StorageError::io("cannot write", &log.path()))?;
    log.sync()?;
    let (offset_index, time_index) = (of_kind(files::INDEX_SUFFIX), of_kind(files::TIME_INDEX_SUFFIX));
    segment.write_indexes_to(&offset_index, &time_index)?;
    let mut beside = vec![offset_index, time_index];
    if !transaction_index.is_empty() {
        let path = of_kind(files::TXN_INDEX_SUFFIX);
        files::replace(&path, transaction_index)?;
        beside.push(path);
    }
    for path in beside {
        let opened = File::open(&path).map_err(StorageError::io("cannot open", &path))?;
        let synced = opened.sync_all().map_err(StorageError::io("cannot sync", &path));
        synced.inspect_err(|error| state.mark_offline(&error.to_string()))?;
    }
    Ok(())
}

fn remove(place: &CleaningPlace, base_offset: i64, state: &str) {
    let Some((dir, _)) = &place.0 else { return };
    let paths = files::SEGMENT_SUFFIXES.map(|kind| file(dir, base_offset, kind, state));
    files::remove_files(&paths);
}

/// A segment that is whole and on the disk, under a name that does not count yet.
#[derive(Debug)]
#[must_use = "it takes its place, or is to be discarded"]
pub struct FinishedSegment {
    place: CleaningPlace,
    segment: Segment,
    /// The aborted transactions whose markers it holds.
    aborted: Vec<AbortedTxn>,
    /// What its files' names end with.
    suffix: &'static str,
}

impl FinishedSegment {
    /// The offset in its name.
    pub(super) fn base_offset(&self) -> i64 {
        self.segment.base_offset()
    }

    /// From here on, a crash completes the swap. When it fails, nothing is left of it.
    pub(super) fn rename_to_swap(mut self) -> Result<Self, StorageError> {
        let renamed = self.rename(files::SWAP_SUFFIX);
        if let Err(error) = renamed {
            for suffix in [files::SWAP_SUFFIX, files::CLEANED_SUFFIX] {
                remove(&self.place, self.segment.base_offset(), suffix);
            }
            return Err(error);
        }
        self.suffix = files::SWAP_SUFFIX;
        Ok(self)
    }

    /// Takes its own name, once those that it replaces have given theirs up; with it come the aborted transactions whose
    /// markers it holds.
    pub(super) fn take_place(self) -> Result<(Segment, Vec<AbortedTxn>), StorageError> {
        self.rename("")?;
        let Some((dir, state)) = self.place.0 else { return Ok((self.segment, self.aborted)) };
        let path = files::offset_file(&dir, self.segment.base_offset(), files::LOG_SUFFIX);
        Ok((self.segment.moved_to(LogFile::existing(path, state)), self.aborted))
    }

    /// The `.log` first, so that a crash in between finds whole what it completes: what is still called `.cleaned` undoes the
    /// swap, and an index that is still called `.swap` is only renamed.
    fn rename(&self, suffix: &str) -> Result<(), StorageError> {
        let Some((dir, state)) = &self.place.0 else { return Ok(()) };
        let base_offset = self.segment.base_offset();
        for kind in files::SEGMENT_SUFFIXES {
            if kind == files::TXN_INDEX_SUFFIX && self.aborted.is_empty() {
                continue;
            }
            let (old, new) = (file(dir, base_offset, kind, self.suffix), file(dir, base_offset, kind, suffix));
            let renamed = std::fs::rename(&old, &new).map_err(StorageError::io("cannot rename", &old));
            state.observe(renamed)?;
        }
        Ok(())
    }

    /// Removes it; not what another cleaning may have written meanwhile.
    pub fn discard(self) {
        remove(&self.place, self.segment.base_offset(), self.suffix);
    }
}
