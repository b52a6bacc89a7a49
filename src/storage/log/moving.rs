//! A move to another log directory as the logs see it (KIP-113): what the future log takes over beside the records, and how
//! it takes the place of the current one.
//!
//! The future log is in `<topic>-<partition>.<uuid>-future` until it is whole. Then two directories are renamed, each in a
//! log directory of its own, and the first renaming is on the disk before the second is begun: the current log to
//! `-delete`, the future one to the partition's name. A crash between them leaves a future log without a current one but
//! with a deleted one, which tells the next start to do the rest.
//!
//! Unlike Kafka, which renames the future log first: a crash between leaves it two logs of one partition, on which it does
//! not start.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::Log;
use crate::clock::Now;
use crate::storage::aborted_transactions::AbortedTransactions;
use crate::storage::leader_epoch::LeaderEpochs;
use crate::storage::log_place::LogPlace;
use crate::storage::producer_state::ProducerState;
use crate::storage::segment::Segment;
use crate::storage::{LogConfig, StorageError, files, partition_dir, transaction_index};

/// What a log has beside its records: the settings, the log start offset, the leader epochs, the producers, the aborted
/// transactions, and how far it is clean.
#[derive(Debug)]
pub struct Heritage {
    config: Arc<LogConfig>,
    log_start_offset: i64,
    epochs: LeaderEpochs,
    last_append_ms: i64,
    cleaner_offset: Option<i64>,
    producers: ProducerState,
    aborted: AbortedTransactions,
}

impl Log {
    /// Goes on at `offset`, behind its end, where the log that it is a copy of has no records up to there.
    pub fn skip_to(&mut self, offset: i64, now: Now) -> Result<(), StorageError> {
        self.check_online()?;
        let rolled = self.roll_at(offset, now.timestamp_ms);
        self.observe(rolled)?;
        self.log_end_offset = self.log_end_offset.max(offset);
        Ok(())
    }

    /// What is not in its records and moves with them.
    pub fn heritage(&self) -> Heritage {
        Heritage {
            config: Arc::clone(&self.config),
            log_start_offset: self.log_start_offset,
            epochs: self.epochs.clone(),
            last_append_ms: self.last_append_ms,
            cleaner_offset: self.cleaner_offset,
            producers: self.producers.clone(),
            aborted: self.aborted.clone(),
        }
    }

    /// Takes over what is not in the records from the log of which it is a copy. Doing it again costs little. A flush must
    /// follow.
    pub fn inherit(&mut self, heritage: Heritage) -> Result<(), StorageError> {
        self.check_online()?;
        let inherited = self.take_over(heritage);
        self.observe(inherited)
    }

    fn take_over(&mut self, heritage: Heritage) -> Result<(), StorageError> {
        self.config = heritage.config;
        self.increment_log_start_offset(heritage.log_start_offset)?;
        self.epochs = heritage.epochs;
        self.write_epochs_of_records()?;
        self.last_append_ms = heritage.last_append_ms;
        self.cleaner_offset = heritage.cleaner_offset;
        self.truncate_cleaner_offset();
        self.producers = heritage.producers;
        if let Some(place) = &mut self.place {
            // One at this offset knows only the producers of the records that were copied.
            let end = self.log_end_offset;
            place.snapshots.remove_if(|offset| offset == end)?;
            place.snapshots.take(end, &self.producers)?;
        }
        if self.aborted != heritage.aborted {
            self.aborted = heritage.aborted;
            self.write_aborted()?;
        }
        Ok(())
    }

    /// Writes the transaction indexes of all segments, each with the transactions whose markers are in it.
    fn write_aborted(&self) -> Result<(), StorageError> {
        let Some(place) = &self.place else { return Ok(()) };
        let bases: Vec<_> = self.segments.iter().map(Segment::base_offset).collect();
        for (index, base) in bases.iter().enumerate() {
            let next = bases.get(index + 1).copied().unwrap_or(i64::MAX);
            let bytes = transaction_index::encode_transaction_index(&self.aborted.with_markers(*base..next));
            if !bytes.is_empty() {
                files::replace_durably(&files::offset_file(&place.dir, *base, files::TXN_INDEX_SUFFIX), &bytes)?;
            }
        }
        Ok(())
    }

    /// Lets `future`, which has all that is in `self` and has as much of it on the disk, take its place: each is the other one
    /// afterwards, and the directory of the one that has given way is a deleted one's. Waits for one fsync of a directory.
    /// The caller syncs the new log's directory before it removes the old one's files.
    ///
    /// # Errors
    /// Both are as they were, unless their directories have failed.
    pub fn give_way_to(&mut self, future: &mut Self) -> Result<(), StorageError> {
        self.exchange_names(future)?;
        std::mem::swap(self, future);
        Ok(())
    }

    fn exchange_names(&mut self, future: &mut Self) -> Result<(), StorageError> {
        self.check_online()?;
        future.check_online()?;
        let (Some(old), Some(new)) = (&self.place, &future.place) else { return Ok(()) };
        let dir = new.state.path.join(self.topic_partition.to_string());
        let doomed = partition_dir::rename(&old.dir, &self.topic_partition, partition_dir::DELETE_SUFFIX);
        let doomed = old.state.observe(doomed)?;
        old.state.observe(files::sync_dir(&old.state.path))?;
        let renamed = fs::rename(&new.dir, &dir).map_err(StorageError::io("cannot rename", &new.dir));
        if let Err(error) = new.state.observe(renamed) {
            fs::rename(&doomed, &old.dir).unwrap_or_else(|undoing| {
                // Only a start can find it.
                old.state.mark_offline(&format!("cannot rename {}: {undoing}", doomed.display()));
            });
            return Err(error);
        }
        self.relocate(doomed);
        future.relocate(dir);
        Ok(())
    }

    /// Has its files in `dir` from now on, where they are already.
    fn relocate(&mut self, dir: PathBuf) {
        for segment in &mut self.segments {
            segment.relocate(&dir);
        }
        for (path, _) in &mut self.deleted_files {
            files::move_to(path, &dir);
        }
        let Some(place) = &mut self.place else { return };
        place.snapshots.relocate(&dir);
        place.dir_changes += 1;
        place.dir = dir;
    }

    /// The directory of a log that has given way, to be removed, and the log directory in which it is.
    pub(in crate::storage) fn into_place(self) -> Option<LogPlace> {
        self.place
    }
}
