//! From an offset to a batch and from a position to an offset: the index says where to begin, the batches where it is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{BatchPosition, Segment};
use crate::protocol::record_batch::BatchHeader;
use crate::storage::{LogConfig, StorageError};

impl Segment {
    /// The first batch that ends at `offset` or later.
    pub(in crate::storage) fn find(&self, offset: i64) -> Result<Option<BatchPosition>, StorageError> {
        if self.recent.front().is_some_and(|first| first.base_offset <= offset) {
            let index = self.recent.partition_point(|batch| batch.last_offset < offset);
            return Ok(self.recent.get(index).copied());
        }
        self.find_from(self.search_start(offset), |header| header.last_offset() >= offset)
    }

    /// The first offset behind `position`, if that can be told; a batch may lie across it.
    pub(in crate::storage) fn offset_behind(&self, position: u64) -> Option<i64> {
        let mut at = self.offset_index.position_before(position).ok()?;
        while let Some(header) = self.header_at(at).ok()? {
            if at >= position {
                return Some(header.base_offset);
            }
            at += header.size_in_bytes() as u64;
        }
        None
    }

    /// The first batch at `position` or behind it that `wanted` accepts.
    pub(super) fn find_from(
        &self,
        mut position: u64,
        wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<BatchPosition>, StorageError> {
        while let Some(header) = self.header_at(position)? {
            let (base_offset, last_offset, size) = (header.base_offset, header.last_offset(), header.size_in_bytes());
            if wanted(&header) {
                return Ok(Some(BatchPosition { base_offset, last_offset, position, size }));
            }
            position += size as u64;
        }
        Ok(None)
    }

    /// Where to begin looking for `offset`. An index entry counts only if a batch is where it says; else the index is
    /// damaged, is rebuilt, and the search begins at the front.
    pub(in crate::storage) fn search_start(&self, offset: i64) -> u64 {
        let name = self.data.name();
        let entry = self.offset_index.lookup(offset);
        let entry = entry.map_err(StorageError::io("cannot read the index of", Path::new(&*name)));
        match entry {
            Ok(entry) if entry.position == 0 => return 0,
            Ok(entry) if entry.offset <= offset => {
                let header = self.header_at(entry.position);
                let fits = |header: &BatchHeader| {
                    (self.base_offset..=entry.offset).contains(&header.base_offset)
                        && header.last_offset() <= entry.offset
                };
                if matches!(header, Ok(Some(header)) if fits(&header)) {
                    return entry.position;
                }
                tracing::warn!(segment = %name, ?entry, "a damaged index is not used, and rebuilt");
            }
            Ok(entry) => tracing::warn!(segment = %name, ?entry, "a damaged index is not used, and rebuilt"),
            Err(error) => tracing::warn!(segment = %name, %error, "an unreadable index is rebuilt"),
        }
        self.rebuild_index_files();
        0
    }

    /// Writes index files anew from the batches' headers; indexes in memory are rebuilt when they are written. A
    /// failure only means that the next search is long, too.
    pub(super) fn rebuild_index_files(&self) {
        self.is_index_damaged.store(true, Ordering::Relaxed);
        let (Some(file), false) = (self.file(), self.offset_index.is_in_memory()) else { return };
        let config = LogConfig { index_interval_bytes: self.index_interval_bytes, ..LogConfig::default() };
        let mut copy = Self::existing_file(Arc::clone(file), self.base_offset, self.size, 0, &config);
        copy.rebuild_indexes();
        if let Err(error) = copy.seal() {
            tracing::warn!(%error, "an index could not be rebuilt");
        }
    }
}
