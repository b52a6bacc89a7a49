//! Which transactions of a log were aborted: what its segments' `.txnindex` files say, or, where these cannot be believed,
//! what its batches do.
//!
//! A file that is missing says that its segment holds no marker of an abort, as it does in Kafka: to be certain, every start
//! would have to read every segment. Where a segment was checked, or its other indexes are gone, too, it is read.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use super::cleaner::AbortedTxn;
use super::producer_snapshot::ProducerSnapshots;
use super::producer_state::ProducerState;
use super::segment::Segment;
use super::transaction_index::{encode_transaction_index, read};
use super::{StorageError, files};
use crate::protocol::control_records::{EndTransactionMarker, TransactionResult};
use crate::protocol::record_batch::{BatchHeader, HEADER_SIZE};

/// So many entries of a file are compared with the batches that they speak of: each may take two reads of a cold disk.
const COMPARED_ENTRIES: usize = 1_000;

/// Of segments that were checked, or whose indexes were rebuilt, whether they may hold markers; by base offset.
pub(super) type CheckedSegments = BTreeMap<i64, bool>;

/// The aborted transactions of a log, by the offsets of their markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AbortedTransactions {
    list: Vec<AbortedTxn>,
    /// Whether the index of the segment that is appended to says all it should.
    is_saved: bool,
}

impl Default for AbortedTransactions {
    fn default() -> Self {
        Self { list: Vec::new(), is_saved: true }
    }
}

impl AbortedTransactions {
    /// Reads the index of each of `segments`, which end before `log_end_offset`. What is wrong, or of a segment that was
    /// `checked`, is rebuilt from the batches and written anew.
    pub(super) fn load(
        dir: &Path,
        segments: &[Segment],
        log_end_offset: i64,
        snapshots: &ProducerSnapshots,
        checked: &CheckedSegments,
    ) -> Result<Self, StorageError> {
        let mut scan = Scan { segments, snapshots, producers: ProducerState::default(), at: None };
        let mut aborted = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let base_offset = segment.base_offset();
            let path = files::offset_file(dir, base_offset, files::TXN_INDEX_SUFFIX);
            let end = segments.get(index + 1).map_or(log_end_offset, Segment::base_offset);
            let found = match read(&path) {
                Err(StorageError::Corrupt { .. }) => None,
                found => Some(found?),
            };
            let entries = match (&found, checked.get(&base_offset)) {
                (Some(entries), None) if are_right(entries, segments, base_offset, end) => entries.clone(),
                (_, Some(false)) => Vec::new(),
                _ => scan.aborted_in(index),
            };
            write_anew(&path, found.as_deref(), &entries)?;
            aborted.extend(entries);
        }
        Ok(Self { list: aborted, is_saved: true })
    }

    /// Adds the one whose marker was just written, and writes it to the index of its segment, at `path`, unless the log has
    /// no files. What cannot be written there is with [`AbortedTransactions::save`], before the segment is closed.
    pub(super) fn push(&mut self, aborted: AbortedTxn, path: Option<&Path>) {
        self.list.push(aborted);
        let Some(path) = path.filter(|_| self.is_saved) else { return };
        let append = || {
            OpenOptions::new().create(true).append(true).open(path)?.write_all(&encode_transaction_index(&[aborted]))
        };
        if let Err(error) = append().map_err(StorageError::io("cannot write", path)) {
            tracing::warn!(%error, "a transaction index is written when its segment is closed");
            self.is_saved = false;
        }
    }

    /// Has the index of the segment that begins at `base_offset` and ends the log, at `path`, say everything.
    pub(super) fn save(&mut self, base_offset: i64, path: &Path) -> Result<(), StorageError> {
        if !self.is_saved {
            let entries = self.with_markers(base_offset..i64::MAX);
            files::replace(path, &encode_transaction_index(&entries))?;
            self.is_saved = true;
        }
        Ok(())
    }

    /// Whether any has its marker at `offset` or behind it.
    pub(super) fn has_markers_from(&self, offset: i64) -> bool {
        self.list.last().is_some_and(|aborted| aborted.last_offset >= offset)
    }

    /// Those whose markers are in this range.
    pub(super) fn with_markers(&self, range: Range<i64>) -> Vec<AbortedTxn> {
        self.list.iter().filter(|transaction| range.contains(&transaction.last_offset)).copied().collect()
    }

    /// Has those whose markers are in this range be `aborted`: what a cleaning has left of them.
    pub(super) fn replace(&mut self, range: Range<i64>, aborted: Vec<AbortedTxn>) {
        let index = |offset| self.list.partition_point(|transaction| transaction.last_offset < offset);
        self.list.splice(index(range.start)..index(range.end), aborted);
    }

    /// Those with records from `from` on and before `upper_bound`.
    pub(super) fn between(&self, from: i64, upper_bound: i64) -> impl Iterator<Item = AbortedTxn> + '_ {
        let first = self.list.partition_point(|transaction| transaction.last_offset < from);
        let open = self.list.get(first..).unwrap_or_default().iter();
        open.filter(move |transaction| transaction.first_offset < upper_bound).copied()
    }

    /// Forgets those whose markers are gone from the end; `active` is the segment that ends there now.
    pub(super) fn truncate_to(&mut self, offset: i64, active: &Segment) -> Result<(), StorageError> {
        let before = self.list.len();
        self.list.truncate(self.list.partition_point(|transaction| transaction.last_offset < offset));
        let Some(file) = active.file().filter(|_| self.list.len() < before) else { return Ok(()) };
        let first = self.list.partition_point(|transaction| transaction.last_offset < active.base_offset());
        let path = file.path().with_extension(files::TXN_INDEX_SUFFIX.trim_start_matches('.'));
        write_anew(&path, None, self.list.get(first..).unwrap_or_default())
    }

    /// Forgets those whose markers are gone from the front.
    pub(super) fn truncate_from_start(&mut self, offset: i64) {
        self.list.drain(..self.list.partition_point(|transaction| transaction.last_offset < offset));
    }
}

/// Has the file at `path`, in which `found` stands, say `entries`; without any there is none, as in Kafka. It is synced: one
/// that a power loss has emptied would be taken for right.
fn write_anew(path: &Path, found: Option<&[AbortedTxn]>, entries: &[AbortedTxn]) -> Result<(), StorageError> {
    if found == Some(entries) {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), aborted = entries.len(), "a transaction index was rebuilt");
    let written = if entries.is_empty() {
        files::remove_if_exists(path)
    } else {
        files::replace_durably(path, &encode_transaction_index(entries))
    };
    match written {
        // What it says is known until the next start at least.
        Err(error) if !error.is_fatal() => {
            tracing::warn!(%error, "a transaction index is not saved");
            Ok(())
        }
        written => written,
    }
}

/// Whether these can be the entries of the segment that begins at `base_offset`, before `end`.
fn are_right(entries: &[AbortedTxn], segments: &[Segment], base_offset: i64, end: i64) -> bool {
    let is_possible = |entry: &AbortedTxn| {
        (base_offset..end).contains(&entry.last_offset)
            && (0..entry.last_offset).contains(&entry.first_offset)
            && (0..=entry.last_offset + 1).contains(&entry.last_stable_offset)
    };
    entries.is_sorted_by(|one, next| one.last_offset < next.last_offset)
        && entries.iter().all(is_possible)
        && entries.iter().take(COMPARED_ENTRIES).all(|entry| fits_batches(entry, segments))
}

/// Whether the marker is where the entry says, and so is the first batch, if there is any: compaction may have taken it.
fn fits_batches(entry: &AbortedTxn, segments: &[Segment]) -> bool {
    let is_marker = |(segment, position, header): &(&Segment, u64, BatchHeader)| {
        let marker = marker_at(segment, *position, header);
        header.producer_id == entry.producer_id
            && marker.is_some_and(|marker| marker.result == TransactionResult::Abort)
    };
    let is_first = |(_, _, header): (&Segment, u64, BatchHeader)| {
        let is_hole = header.base_offset > entry.first_offset;
        let is_its_own = header.producer_id == entry.producer_id && header.is_transactional() && !header.is_control();
        is_hole || (header.base_offset == entry.first_offset && is_its_own)
    };
    batch_of(entry.last_offset, segments)
        .filter(|found| found.2.base_offset <= entry.last_offset)
        .is_some_and(|found| is_marker(&found))
        && batch_of(entry.first_offset, segments).is_none_or(is_first)
}

/// The first batch that ends at `offset` or later, in the segment where that lies.
fn batch_of(offset: i64, segments: &[Segment]) -> Option<(&Segment, u64, BatchHeader)> {
    let index = segments.partition_point(|segment| segment.base_offset() <= offset).checked_sub(1)?;
    let segment = segments.get(index)?;
    let position = segment.find(offset).ok().flatten()?.position;
    Some((segment, position, segment.header_at(position).ok().flatten()?))
}

/// What the control batch at `position` says; `None` for what is no marker.
fn marker_at(segment: &Segment, position: u64, header: &BatchHeader) -> Option<EndTransactionMarker> {
    if !header.is_control() {
        return None;
    }
    let batch = segment.batch_at(position, header.size_in_bytes()).ok()?;
    EndTransactionMarker::parse(batch.bytes.get(HEADER_SIZE..)?)
}

/// Reads batches' headers one segment after the other, so that a transaction's begin is known where its marker is.
struct Scan<'a> {
    segments: &'a [Segment],
    snapshots: &'a ProducerSnapshots,
    producers: ProducerState,
    /// Which segment is read next; `None` before the first one.
    at: Option<usize>,
}

impl Scan<'_> {
    /// The aborted transactions whose markers are in the segment of that index.
    fn aborted_in(&mut self, index: usize) -> Vec<AbortedTxn> {
        if self.at != Some(index) {
            let base_offset = self.segments.get(index).map_or(0, Segment::base_offset);
            self.producers.clear();
            let from = self.snapshots.load_at(base_offset, &mut self.producers).unwrap_or(0);
            let first = self.segments.partition_point(|segment| segment.base_offset() <= from).saturating_sub(1);
            for before in first..index {
                self.read(before, from);
            }
        }
        self.at = Some(index + 1);
        self.read(index, 0)
    }

    /// Takes in the transactional batches of a segment from an offset on. Damage counts as its end.
    fn read(&mut self, index: usize, from: i64) -> Vec<AbortedTxn> {
        let (mut aborted, mut position) = (Vec::new(), 0);
        let Some(segment) = self.segments.get(index) else { return aborted };
        while let Ok(Some(header)) = segment.header_at(position) {
            if header.is_transactional() && header.base_offset >= from {
                aborted.extend(self.note(segment, position, &header));
            }
            position += header.size_in_bytes() as u64;
        }
        aborted
    }

    /// Takes in a batch; the transaction that it aborts, as Kafka's `ProducerStateManager` and `UnifiedLog` tell it.
    fn note(&mut self, segment: &Segment, position: u64, header: &BatchHeader) -> Option<AbortedTxn> {
        if !header.is_control() {
            self.producers.append(header);
            return None;
        }
        let marker = marker_at(segment, position, header)?;
        let first_offset = self.producers.end_transaction(header, marker)?;
        let last_offset = header.last_offset();
        let last_stable_offset = self.producers.first_undecided_offset().unwrap_or(last_offset + 1);
        let (producer_id, is_abort) = (header.producer_id, marker.result == TransactionResult::Abort);
        is_abort.then_some(AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset })
    }
}
