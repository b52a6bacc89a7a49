//! `.snapshot`: the producers as they were at one offset, so that a start need not read the whole log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::producer_state::{BatchMetadata, ProducerEntry, ProducerState};
use super::{StorageError, files};
use crate::protocol::record_batch::crc_of;
use bytes::{Buf, BufMut};

const VERSION: i16 = 1;
/// Version and checksum; the checksum covers what follows.
const HEADER_SIZE: usize = 6;
const ENTRY_SIZE: usize = 46;

/// The snapshot files of one partition's directory.
#[derive(Debug)]
pub(super) struct ProducerSnapshots {
    dir: PathBuf,
    offsets: BTreeSet<i64>,
}

impl ProducerSnapshots {
    /// Knows the snapshots among `names`, the files of `dir`.
    pub(super) fn new(dir: &Path, names: &[String]) -> Self {
        let offsets = names.iter().filter_map(|name| files::offset_of(name, files::SNAPSHOT_SUFFIX)).collect();
        Self { dir: dir.to_path_buf(), offsets }
    }

    /// Writes a snapshot of `producers` as of `offset`, unless there is one; it is not synced.
    pub(super) fn take(&mut self, offset: i64, producers: &ProducerState) -> Result<(), StorageError> {
        if offset > self.offsets.last().copied().unwrap_or(0) {
            files::replace(&self.path(offset), &encode(producers))?;
            self.offsets.insert(offset);
        }
        Ok(())
    }

    /// Fills `producers` from the newest intact snapshot and says as of which offset; removes damaged ones.
    pub(super) fn load(&mut self, producers: &mut ProducerState) -> Result<Option<i64>, StorageError> {
        while let Some(&offset) = self.offsets.last() {
            let path = self.path(offset);
            if let Some(entries) = std::fs::read(&path).ok().and_then(|bytes| decode(&bytes)) {
                for (id, entry) in entries {
                    producers.restore(id, entry);
                }
                return Ok(Some(offset));
            }
            tracing::warn!(path = %path.display(), "a damaged producer snapshot is removed");
            self.remove_if(|known| known == offset)?;
        }
        Ok(None)
    }

    /// Fills `producers` from the newest intact snapshot that is not beyond `offset`, and says as of which one.
    pub(super) fn load_at(&self, offset: i64, producers: &mut ProducerState) -> Option<i64> {
        self.offsets.range(..=offset).rev().find_map(|&offset| {
            let entries = decode(&std::fs::read(self.path(offset)).ok()?)?;
            for (id, entry) in entries {
                producers.restore(id, entry);
            }
            Some(offset)
        })
    }

    /// Removes the snapshots at all offsets that `unwanted` accepts.
    pub(super) fn remove_if(&mut self, unwanted: impl Fn(i64) -> bool) -> Result<(), StorageError> {
        for offset in self.offsets.clone().into_iter().filter(|&offset| unwanted(offset)) {
            files::remove_if_exists(&self.path(offset))?;
            self.offsets.remove(&offset);
        }
        Ok(())
    }

    /// Removes the snapshots that belong to no segment, except the newest when it is newer than all segments: that
    /// one is from a clean stop.
    pub(super) fn remove_strays(&mut self, base_offsets: &BTreeSet<i64>) -> Result<(), StorageError> {
        let (newest, last_base) = (self.offsets.last().copied(), base_offsets.last().copied());
        self.remove_if(|offset| !base_offsets.contains(&offset) && (Some(offset) != newest || Some(offset) < last_base))
    }

    /// Has the snapshots in `dir` from now on, where somebody has moved them.
    pub(super) fn relocate(&mut self, dir: &Path) {
        self.dir = dir.to_path_buf();
    }

    /// The files of snapshots in the given range of offsets.
    pub(super) fn paths(&self, range: impl std::ops::RangeBounds<i64>) -> impl Iterator<Item = PathBuf> {
        self.offsets.range(range).map(|&offset| self.path(offset))
    }

    fn path(&self, offset: i64) -> PathBuf {
        files::offset_file(&self.dir, offset, files::SNAPSHOT_SUFFIX)
    }
}

fn encode(producers: &ProducerState) -> Vec<u8> {
    let entries = producers.entries();
    let mut body = Vec::with_capacity(4 + entries.len() * ENTRY_SIZE);
    body.put_i32(entries.len() as i32);
    for (id, entry) in entries {
        let last = entry.batches.back();
        body.put_i64(id);
        body.put_i16(entry.epoch);
        body.put_i32(entry.last_sequence());
        body.put_i64(last.map_or(-1, |batch| batch.last_offset));
        body.put_i32(last.map_or(0, |batch| batch.offset_delta));
        body.put_i64(entry.last_timestamp);
        body.put_i32(entry.coordinator_epoch);
        body.put_i64(entry.transaction_first_offset.unwrap_or(-1));
    }
    let mut bytes = Vec::with_capacity(HEADER_SIZE + body.len());
    bytes.put_i16(VERSION);
    bytes.put_u32(crc_of(&body, &[]));
    bytes.put_slice(&body);
    bytes
}

/// Whether a snapshot of these bytes, if it is sound, has a transaction that is neither committed nor aborted.
pub(super) fn has_open_transaction(bytes: &[u8]) -> bool {
    decode(bytes).is_some_and(|entries| entries.iter().any(|(_, entry)| entry.transaction_first_offset.is_some()))
}

/// Reads what [`encode`] wrote; `None` when it is anything else.
fn decode(bytes: &[u8]) -> Option<Vec<(i64, ProducerEntry)>> {
    let (mut header, mut body) = bytes.split_at_checked(HEADER_SIZE)?;
    if header.try_get_i16().ok()? != VERSION || header.try_get_u32().ok()? != crc_of(body, &[]) {
        return None;
    }
    let count = usize::try_from(body.try_get_i32().ok()?).ok()?;
    if body.len() != count.checked_mul(ENTRY_SIZE)? {
        return None;
    }
    (0..count).map(|_| decode_entry(&mut body)).collect()
}

fn decode_entry(body: &mut &[u8]) -> Option<(i64, ProducerEntry)> {
    let id = body.try_get_i64().ok()?;
    let epoch = body.try_get_i16().ok()?;
    let last_sequence = body.try_get_i32().ok()?;
    let last_offset = body.try_get_i64().ok()?;
    let offset_delta = body.try_get_i32().ok()?;
    let last_timestamp = body.try_get_i64().ok()?;
    let coordinator_epoch = body.try_get_i32().ok()?;
    let transaction_first_offset = Some(body.try_get_i64().ok()?).filter(|&offset| offset >= 0);
    let batch = BatchMetadata { last_sequence, last_offset, offset_delta, timestamp: last_timestamp };
    let batches = (last_offset >= 0).then_some(batch).into_iter().collect();
    Some((id, ProducerEntry { epoch, coordinator_epoch, last_timestamp, transaction_first_offset, batches }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::record_batch::{BatchBuilder, BatchHeader};

    fn producers() -> ProducerState {
        let mut producers = ProducerState::default();
        for (id, sequence) in [(1, 0), (2, 7), (2, 9)] {
            let mut builder = BatchBuilder::new(5);
            let bytes = builder.producer(id, 3, sequence).base_offset(40).record(None, None).record(None, None).build();
            producers.append(&BatchHeader::parse(&bytes).unwrap());
        }
        producers
    }

    #[test]
    fn a_snapshot_keeps_the_last_batch_of_each_producer() {
        let dir = tempfile::tempdir().unwrap();
        let mut snapshots = ProducerSnapshots::new(dir.path(), &[]);
        snapshots.take(0, &producers()).unwrap();
        snapshots.take(42, &producers()).unwrap();
        let names = files::file_names(dir.path()).unwrap();
        assert_eq!(names, ["00000000000000000042.snapshot"]);
        let mut loaded = ProducerState::default();
        assert_eq!(ProducerSnapshots::new(dir.path(), &names).load(&mut loaded).unwrap(), Some(42));
        let mut sequences: Vec<_> =
            loaded.entries().map(|(id, entry)| (id, entry.epoch, entry.last_sequence())).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, [(1, 3, 1), (2, 3, 10)]);
    }

    #[test]
    fn a_damaged_snapshot_gives_way_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut snapshots = ProducerSnapshots::new(dir.path(), &[]);
        for offset in [10, 20] {
            snapshots.take(offset, &producers()).unwrap();
        }
        let newest = files::offset_file(dir.path(), 20, files::SNAPSHOT_SUFFIX);
        let intact = std::fs::read(&newest).unwrap();
        for at in 0..intact.len() {
            let mut damaged = intact.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged), None, "bit flip at {at}");
            assert_eq!(decode(&intact[..at]), None, "cut at {at}");
        }
        std::fs::write(&newest, b"").unwrap();
        assert_eq!(snapshots.load(&mut ProducerState::default()).unwrap(), Some(10));
        assert!(!newest.exists());
    }

    #[test]
    fn strays_go_but_not_the_one_of_a_clean_stop() {
        let dir = tempfile::tempdir().unwrap();
        let mut snapshots = ProducerSnapshots::new(dir.path(), &[]);
        for offset in [5, 10, 15, 20, 25] {
            snapshots.take(offset, &producers()).unwrap();
        }
        snapshots.remove_strays(&BTreeSet::from([0, 10, 20])).unwrap();
        assert_eq!(snapshots.offsets, BTreeSet::from([10, 20, 25]));
    }
}
