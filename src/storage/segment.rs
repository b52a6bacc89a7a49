//! One segment: batches one after the other, and two sparse indexes that can always be rebuilt from them.

mod relocation;
mod search;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::dir_state::DirState;
use super::log_file::{LogFile, WriteError};
use super::offset_index::OffsetIndex;
use super::segment_data::{BatchScan, SegmentData};
use super::time_index::{MaxTimestamp, TimeIndex};
use super::{LogConfig, LogSlice, StorageError, files};
use crate::ids::Uuid;
use crate::protocol::record_batch::{
    BatchError, BatchHeader, HEADER_SIZE, LOG_OVERHEAD, NO_TIMESTAMP, RecordBatch, legacy_message_size,
    legacy_message_version,
};

/// How many of the last appended batches are found without a search: consumers mostly read at the end of the log.
const RECENT_BATCHES: usize = 32;

/// A batch and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchPosition {
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) position: u64,
    /// The whole batch's bytes.
    pub(super) size: usize,
}

/// What an append would add, for the decision whether it fits.
#[derive(Debug, Clone, Copy)]
pub(super) struct RollCheck {
    pub(super) size: usize,
    pub(super) max_timestamp: i64,
    pub(super) last_offset: i64,
    pub(super) now_ms: i64,
}

/// Where a segment's files are: the partition's directory, and what is known of the log directory.
pub(super) type Home<'a> = (&'a Path, &'a Arc<DirState>);

/// See the module.
#[derive(Debug)]
pub(super) struct Segment {
    base_offset: i64,
    data: SegmentData,
    size: u64,
    index_interval_bytes: u32,
    bytes_since_index_entry: u64,
    offset_index: OffsetIndex,
    time_index: TimeIndex,
    /// The largest timestamp so far, once it is known.
    max_timestamp: OnceLock<MaxTimestamp>,
    /// The max timestamp of the first batch: what rolling by time goes by.
    first_timestamp: OnceLock<i64>,
    created_ms: i64,
    modified_ms: i64,
    roll_jitter_ms: i64,
    /// An index entry was found not to fit the batches.
    is_index_damaged: AtomicBool,
    recent: VecDeque<BatchPosition>,
}

impl Segment {
    /// A new segment that begins at `base_offset`, in a partition's directory or in memory. Its file is created at the
    /// first append.
    pub(super) fn new(home: Option<Home<'_>>, base_offset: i64, config: &LogConfig, now_ms: i64) -> Self {
        let data = match home {
            Some((dir, state)) => {
                let path = files::offset_file(dir, base_offset, files::LOG_SUFFIX);
                SegmentData::File(LogFile::new(path, Arc::clone(state)))
            }
            None => SegmentData::Memory(Vec::new()),
        };
        Self {
            base_offset,
            data,
            size: 0,
            index_interval_bytes: config.index_interval_bytes,
            bytes_since_index_entry: 0,
            offset_index: OffsetIndex::new(base_offset),
            time_index: TimeIndex::new(base_offset),
            max_timestamp: OnceLock::new(),
            first_timestamp: OnceLock::new(),
            created_ms: now_ms,
            modified_ms: now_ms,
            roll_jitter_ms: jitter(config.segment_jitter_ms),
            is_index_damaged: AtomicBool::new(false),
            recent: VecDeque::new(),
        }
    }

    /// A segment whose `file` of `size` bytes was last changed at `modified_ms`. Its indexes are empty: they must
    /// be opened, or rebuilt by one of the scans.
    pub(super) fn existing_file(
        file: Arc<LogFile>,
        base_offset: i64,
        size: u64,
        modified_ms: i64,
        config: &LogConfig,
    ) -> Self {
        let data = SegmentData::File(file);
        Self { data, size, ..Self::new(None, base_offset, config, modified_ms) }
    }

    /// Uses the index files as they are; false when they must be rebuilt.
    pub(super) fn open_indexes(&mut self) -> bool {
        self.take_indexes(OffsetIndex::open, TimeIndex::open)
    }

    /// Reads the index files into memory, for appending; false when they must be rebuilt.
    pub(super) fn load_indexes(&mut self) -> bool {
        self.take_indexes(OffsetIndex::load, TimeIndex::load)
    }

    fn take_indexes(
        &mut self,
        offset_index: impl Fn(i64, &Path) -> Option<OffsetIndex>,
        time_index: impl Fn(i64, &Path) -> Option<TimeIndex>,
    ) -> bool {
        let Some((offset_path, time_path)) = self.index_paths() else { return false };
        let indexes = (offset_index(self.base_offset, &offset_path), time_index(self.base_offset, &time_path));
        let (Some(offset_index), Some(time_index)) = indexes else { return false };
        self.offset_index = offset_index;
        self.time_index = time_index;
        self.max_timestamp = OnceLock::new();
        true
    }

    pub(super) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// Bytes of batches.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The `.log` file; `None` in memory.
    pub(super) fn file(&self) -> Option<&Arc<LogFile>> {
        match &self.data {
            SegmentData::File(file) => Some(file),
            SegmentData::Memory(_) => None,
        }
    }

    pub(super) fn data(&self) -> &SegmentData {
        &self.data
    }

    /// `.index` and `.timeindex`; `None` in memory.
    pub(super) fn index_paths(&self) -> Option<(PathBuf, PathBuf)> {
        let log = self.file()?.path();
        Some((log.with_extension("index"), log.with_extension("timeindex")))
    }

    /// `.txnindex`; `None` in memory. Most segments have none.
    pub(super) fn transaction_index_path(&self) -> Option<PathBuf> {
        Some(self.file()?.path().with_extension("txnindex"))
    }

    /// Whether a new segment must begin before these batches: this one would grow too large or too old, its indexes
    /// are full, or its base offset is too far away.
    pub(super) fn should_roll(&self, check: RollCheck, config: &LogConfig) -> bool {
        let waited_ms = match self.first_timestamp.get().filter(|&&timestamp| timestamp >= 0) {
            Some(first) => check.max_timestamp.saturating_sub(*first),
            None => check.now_ms.saturating_sub(self.created_ms),
        };
        self.size + check.size as u64 > u64::from(config.segment_bytes)
            || (self.size > 0 && waited_ms > config.segment_ms.saturating_sub(self.roll_jitter_ms))
            || (self.size > 0 && self.offset_index.is_full(config.segment_index_bytes))
            || (self.size > 0 && self.time_index.is_full(config.segment_index_bytes))
            || check.last_offset.saturating_sub(self.base_offset) > i64::from(i32::MAX)
    }

    /// Writes `front` and `rest`, which together are the batches with these `headers`.
    pub(super) fn append(
        &mut self,
        front: &[u8],
        rest: &Bytes,
        headers: &[BatchHeader],
        now_ms: i64,
    ) -> Result<(), WriteError> {
        self.data.append(self.size, front, rest)?;
        self.appended(headers, now_ms);
        Ok(())
    }

    /// The file that the next batches are written to, behind so many bytes; `None` in memory.
    pub(super) fn write_target(&self) -> Option<(Arc<LogFile>, u64)> {
        self.file().map(|file| (Arc::clone(file), self.size))
    }

    /// Takes in batches that were written where [`Segment::write_target`] said.
    pub(super) fn appended(&mut self, headers: &[BatchHeader], now_ms: i64) {
        self.modified_ms = now_ms;
        for header in headers {
            self.note(header);
        }
    }

    /// Takes the batch behind the current size into the indexes and the size.
    fn note(&mut self, header: &BatchHeader) {
        let (position, size, last_offset) = (self.size, header.size_in_bytes(), header.last_offset());
        if position == 0 {
            self.first_timestamp = OnceLock::from(header.max_timestamp);
        }
        let max = self.max_timestamp.get().map_or_else(|| self.no_timestamp(), |max| *max).or_later(header);
        self.max_timestamp = OnceLock::from(max);
        if self.bytes_since_index_entry > u64::from(self.index_interval_bytes) {
            self.offset_index.append(last_offset, position);
            self.time_index.maybe_append(max);
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry += size as u64;
        self.size += size as u64;
        if self.recent.len() == RECENT_BATCHES {
            self.recent.pop_front();
        }
        self.recent.push_back(BatchPosition { base_offset: header.base_offset, last_offset, position, size });
    }

    /// The header at `position`; `None` at the segment's end. Anything else there is damage.
    pub(super) fn header_at(&self, position: u64) -> Result<Option<BatchHeader>, StorageError> {
        if position >= self.size {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_SIZE];
        let count = self.data.read_at(&mut bytes, position)?;
        let header = BatchHeader::parse(bytes.get(..count).unwrap_or_default());
        match header {
            Ok(header) if header.size_in_bytes() as u64 <= self.size - position => Ok(Some(header)),
            Ok(_) => Err(self.corrupt(position, &BatchError::Truncated)),
            Err(error) => Err(self.corrupt(position, &error)),
        }
    }

    /// The whole batch at a position that was found before.
    pub(super) fn batch_at(&self, position: u64, size: usize) -> Result<RecordBatch, StorageError> {
        let bytes = self.data.slice(position, size).read_blocking()?;
        RecordBatch::parse(&bytes).map_err(|error| self.corrupt(position, &error))
    }

    pub(super) fn corrupt(&self, position: u64, error: &BatchError) -> StorageError {
        StorageError::Corrupt { path: self.data.name(), position, detail: error.to_string().into() }
    }

    /// `len` bytes at `position`, to be read later.
    pub(super) fn slice(&self, position: u64, len: usize) -> LogSlice {
        self.data.slice(position, len)
    }

    /// The segment's largest timestamp and the last offset of its batch; [`NO_TIMESTAMP`] when it has none. The last
    /// index entry tells; the batches behind it are looked at, too, in case that entries are missing.
    pub(super) fn max_timestamp(&self) -> MaxTimestamp {
        *self.max_timestamp.get_or_init(|| {
            let indexed = self.time_index.last().ok().filter(|entry| entry.timestamp >= 0 && self.is_intact(*entry));
            let mut position = indexed.map_or(0, |entry| self.search_start(entry.offset));
            let mut max = indexed.unwrap_or_else(|| self.no_timestamp());
            while let Ok(Some(header)) = self.header_at(position) {
                max = max.or_later(&header);
                position += header.size_in_bytes() as u64;
            }
            max
        })
    }

    /// The max timestamp of the first batch: since when the segment has waited to be compacted. `None` for an empty segment
    /// and for a damaged one.
    pub(super) fn first_batch_timestamp(&self) -> Option<i64> {
        if let Some(known) = self.first_timestamp.get() {
            return Some(*known);
        }
        let first = self.header_at(0).ok().flatten()?.max_timestamp;
        Some(*self.first_timestamp.get_or_init(|| first))
    }

    /// When it was last changed; milliseconds since the Unix epoch.
    pub(super) fn modified_ms(&self) -> i64 {
        self.modified_ms
    }

    pub(super) fn set_modified_ms(&mut self, modified_ms: i64) {
        self.modified_ms = modified_ms;
    }

    fn no_timestamp(&self) -> MaxTimestamp {
        MaxTimestamp { timestamp: NO_TIMESTAMP, offset: self.base_offset }
    }

    /// The largest timestamp, or the time of the last change when no record has one: what retention goes by.
    pub(super) fn largest_timestamp(&self) -> i64 {
        let max = self.max_timestamp().timestamp;
        if max >= 0 { max } else { self.modified_ms }
    }

    /// The first batch that holds a timestamp of `timestamp` or more, at `start_offset` or later.
    pub(super) fn find_timestamp(
        &self,
        timestamp: i64,
        start_offset: i64,
    ) -> Result<Option<BatchPosition>, StorageError> {
        let indexed = self.time_index.lookup(timestamp).ok().flatten();
        let indexed = indexed.filter(|entry| entry.offset >= start_offset && self.is_intact(*entry));
        let position = self.search_start(indexed.map_or(start_offset, |entry| entry.offset));
        self.find_from(position, |header| header.max_timestamp >= timestamp && header.last_offset() >= start_offset)
    }

    /// Whether the batch that a time index entry speaks of is the one with that max timestamp.
    fn is_intact(&self, entry: MaxTimestamp) -> bool {
        let found = self.find(entry.offset);
        let header = found.ok().flatten().and_then(|batch| self.header_at(batch.position).ok().flatten());
        let is_intact = header.is_some_and(|header| header.max_timestamp == entry.timestamp);
        if !is_intact {
            tracing::warn!(segment = %self.data.name(), ?entry, "a damaged time index is rebuilt");
            self.rebuild_index_files();
        }
        is_intact
    }

    /// Checks every batch, rebuilds the indexes in memory and lets the segment end before the first invalid batch; one that
    /// reaches `end_offset`, where the next segment begins, is invalid, too. Below `recovery_point` all is on the disk and
    /// only headers are read. Calls `visit` with each valid header; returns the offset behind the last one and how many bytes
    /// of the file are left over, about which [`cut`](Self::cut) and [`end_at`](Self::end_at) decide.
    pub(super) fn recover(
        &mut self,
        recovery_point: i64,
        end_offset: i64,
        visit: &mut dyn FnMut(&BatchHeader),
    ) -> Result<(i64, u64), StorageError> {
        let size = self.forget_indexes();
        let data = std::mem::replace(&mut self.data, SegmentData::Memory(Vec::new()));
        let scanned = self.scan(BatchScan::new(&data), (size, recovery_point, end_offset), visit);
        self.data = data;
        let next_offset = scanned?;
        self.check_format(size)?;
        Ok((next_offset, size - self.size))
    }

    /// Indexes the valid ones of `size` bytes of batches; returns the offset behind them.
    fn scan(
        &mut self,
        mut batches: BatchScan,
        (size, recovery_point, end_offset): (u64, i64, i64),
        visit: &mut dyn FnMut(&BatchHeader),
    ) -> Result<i64, StorageError> {
        let mut next_offset = self.base_offset;
        while let Some(header) = batches.next(size - self.size, recovery_point)? {
            let in_order = header.base_offset >= next_offset && header.last_offset() >= header.base_offset;
            let in_range = header.last_offset() < end_offset
                && header.last_offset().saturating_sub(self.base_offset) <= i64::from(i32::MAX);
            if !in_order || !in_range {
                break;
            }
            next_offset = header.next_offset();
            self.note(&header);
            visit(&header);
        }
        Ok(next_offset)
    }

    /// Cuts off what the file holds behind the segment's end.
    pub(super) fn cut(&mut self) -> Result<(), StorageError> {
        self.data.truncate(self.size)
    }

    /// Lets the segment end at another position of its file, which is not changed.
    pub(super) fn end_at(&mut self, position: u64) {
        self.size = position;
    }

    /// Fails if the scan ended at an intact message of an older format: that is data, which must not be cut off.
    fn check_format(&self, size: u64) -> Result<(), StorageError> {
        let left = usize::try_from(size - self.size).unwrap_or(usize::MAX);
        let mut prefix = [0; LOG_OVERHEAD];
        self.data.read_at(&mut prefix, self.size)?;
        let Some(message_size) = legacy_message_size(&prefix).filter(|&message_size| message_size <= left) else {
            return Ok(());
        };
        let bytes = self.data.slice(self.size, message_size).read_blocking()?;
        match legacy_message_version(&bytes) {
            Some(version) => Err(self.corrupt(self.size, &BatchError::UnsupportedMagic(version))),
            None => Ok(()),
        }
    }

    /// Rebuilds the indexes in memory from the headers alone; what lies behind damage is not indexed and stays.
    pub(super) fn rebuild_indexes(&mut self) {
        let size = self.forget_indexes();
        loop {
            let position = std::mem::replace(&mut self.size, size);
            let header = self.header_at(position);
            self.size = position;
            let Ok(Some(header)) = header else { break };
            self.note(&header);
        }
        self.size = size;
        self.recent.clear();
    }

    /// Empties what is derived from the batches, and returns the size.
    fn forget_indexes(&mut self) -> u64 {
        self.offset_index = OffsetIndex::new(self.base_offset);
        self.time_index = TimeIndex::new(self.base_offset);
        self.max_timestamp = OnceLock::new();
        self.first_timestamp = OnceLock::new();
        self.bytes_since_index_entry = 0;
        self.recent.clear();
        std::mem::take(&mut self.size)
    }

    /// The offset behind the last batch and everything else that appending to a loaded segment needs. An error means
    /// that the segment's end is damaged.
    pub(super) fn prepare_append(&mut self) -> Result<i64, StorageError> {
        self.first_timestamp =
            self.header_at(0)?.map(|header| OnceLock::from(header.max_timestamp)).unwrap_or_default();
        let mut next_offset = self.base_offset;
        let mut position = self.search_start(i64::MAX);
        while let Some(header) = self.header_at(position)? {
            if header.base_offset < next_offset || header.last_offset_delta < 0 {
                return Err(self.corrupt(position, &BatchError::InvalidRecord("the offsets are out of order")));
            }
            next_offset = header.next_offset();
            position += header.size_in_bytes() as u64;
        }
        self.max_timestamp();
        Ok(next_offset)
    }

    /// The offset behind the last batch, found by reading all headers; damage counts as the end.
    pub(super) fn scan_next_offset(&self) -> i64 {
        let (mut next_offset, mut position) = (self.base_offset, 0);
        while let Ok(Some(header)) = self.header_at(position) {
            next_offset = header.next_offset();
            position += header.size_in_bytes() as u64;
        }
        next_offset
    }

    /// Writes the index files, the segment's largest timestamp as the last entry; the indexes stay in memory. Does
    /// nothing in memory mode.
    pub(super) fn write_indexes(&mut self) -> Result<(), StorageError> {
        let Some((offset_path, time_path)) = self.index_paths() else { return Ok(()) };
        self.write_indexes_to(&offset_path, &time_path)
    }

    /// The same, to files of other names.
    pub(super) fn write_indexes_to(&mut self, offset_path: &Path, time_path: &Path) -> Result<(), StorageError> {
        if self.offset_index.is_in_memory() {
            if self.is_index_damaged.swap(false, Ordering::Relaxed) {
                self.rebuild_indexes();
            }
            self.time_index.maybe_append(self.max_timestamp());
            self.offset_index.write(offset_path)?;
            self.time_index.write(time_path)?;
        }
        Ok(())
    }

    /// Writes the index files and searches those from now on: the segment will not be appended to any more.
    pub(super) fn seal(&mut self) -> Result<(), StorageError> {
        self.write_indexes()?;
        self.close_indexes();
        Ok(())
    }

    /// The part of [`seal`](Self::seal) that cannot fail, after the indexes were written.
    pub(super) fn close_indexes(&mut self) {
        if let Some((offset_path, time_path)) = self.index_paths() {
            self.offset_index.move_to_file(&offset_path);
            self.time_index.move_to_file(&time_path);
        }
        self.recent.clear();
    }

    /// The same segment in a file that has got another name, as its indexes have.
    pub(super) fn moved_to(mut self, file: Arc<LogFile>) -> Self {
        self.data = SegmentData::File(file);
        self.close_indexes();
        self
    }

    /// Cuts off the batch that holds `offset` and everything behind it; the segment can be appended to afterwards.
    pub(super) fn truncate_to(&mut self, offset: i64, now_ms: i64) -> Result<(), StorageError> {
        let cut = self.find(offset)?;
        if !self.offset_index.is_in_memory() && !self.load_indexes() {
            self.rebuild_indexes();
        }
        self.offset_index.truncate_to(offset);
        self.time_index.truncate_to(offset);
        if let Some(cut) = cut {
            self.data.truncate(cut.position)?;
            self.size = cut.position;
        }
        self.recent.clear();
        self.bytes_since_index_entry = 0;
        if self.size == 0 {
            self.created_ms = now_ms;
        }
        self.max_timestamp = OnceLock::new();
        self.prepare_append().map(drop)
    }

    /// Renames the segment's files so that a crash leaves nothing of it; returns the new names, to be removed later.
    pub(super) fn rename_to_deleted(&self) -> Result<Vec<PathBuf>, StorageError> {
        let Some(file) = self.file() else { return Ok(Vec::new()) };
        let mut renamed = Vec::new();
        let log = file.path();
        for suffix in files::SEGMENT_SUFFIXES {
            let path = log.with_extension(suffix.trim_start_matches('.'));
            let deleted = files::with_suffix(&path, files::DELETED_SUFFIX);
            if suffix == files::LOG_SUFFIX {
                renamed.extend(file.rename_to_deleted()?);
            } else if files::rename_if_exists(&path, &deleted)? {
                renamed.push(deleted);
            }
        }
        Ok(renamed)
    }
}

/// Up to `max_ms`, so that the segments of many partitions do not all roll at once.
fn jitter(max_ms: i64) -> i64 {
    let max_ms = u128::from(max_ms.max(0).unsigned_abs());
    if max_ms == 0 { 0 } else { i64::try_from(Uuid::new_v4().as_u128() % max_ms).unwrap_or(0) }
}
