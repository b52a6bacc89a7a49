//! Records that are gone from a log although they had been written: noticed when it is loaded, and never in silence.
//!
//! What was on the disk for certain, below the recovery point, is not a crash's to take. There reading goes on behind
//! what is gone, as in Kafka, and what is damaged answers with an error. What a power loss took above it is a suffix: the
//! log ends where the first record is missing. Bytes that may be records are set aside, never removed.
//!
//! Unlike Kafka, which passes over missing segments without a word, and removes the segments behind an invalid batch.

use std::fs;
use std::path::PathBuf;

use super::leader_epoch::LeaderEpochs;
use super::load_request::LoadRequest;
use super::segment::Segment;
use super::segment_tail::Tail;
use super::{StorageError, files, partition_dir};

/// What a person can do about records that are gone.
const WAYS_OUT: &str = "stop the broker and restore the partition's directory from a copy if they are needed";

/// What becomes of a segment that a recovery has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is wrong with it, or with what follows it.
    Whole,
    /// What lies behind its last batch was never acknowledged, or holds no records, and goes.
    Cut,
    /// Records are gone that were on the disk; those behind stay.
    GoOn,
    /// Records are gone that need not have been on the disk; the log ends before them.
    End,
}

/// Decides about a segment whose batches are valid up to `next_offset`, with `invalid` bytes behind, and whose successor
/// begins at `next_base`. The last one has none: the log ends with it anyway.
pub(super) fn judge(
    next_offset: i64,
    invalid: u64,
    next_base: Option<i64>,
    recovery_point: i64,
    is_compacted: bool,
) -> Verdict {
    match next_base {
        Some(next_base) if next_offset < next_base && (invalid > 0 || !is_compacted) => {
            if next_offset < recovery_point { Verdict::GoOn } else { Verdict::End }
        }
        _ if invalid > 0 => Verdict::Cut,
        _ => Verdict::Whole,
    }
}

impl LoadRequest {
    /// Says what is missing behind the last batch of a closed segment, whose successor begins at `next_base`.
    pub(super) fn check_tail(&self, segment: &mut Segment, next_base: Option<i64>) {
        // Below the log start the records are deleted, and so will be the file.
        let Some(next_base) = next_base.filter(|next_base| *next_base > self.log_start_offset) else { return };
        let (partition, base_offset) = (&self.topic_partition, segment.base_offset());
        let dir = self.dir.display();
        match segment.find_tail(next_base, self.is_compacted()) {
            Ok(Tail::Whole) => {}
            Ok(Tail::Junk(bytes)) => {
                tracing::warn!(%partition, %dir, base_offset, bytes, "a closed segment ends in bytes that are no records; they are passed over");
            }
            Ok(Tail::Gone(from)) => {
                let to = next_base - 1;
                tracing::error!(%partition, %dir, "the records at offsets {from} to {to} are gone: the segment {base_offset:020}.log ends before them; reading goes on behind them; {WAYS_OUT}");
            }
            Ok(Tail::Damaged(from, position)) => {
                let to = next_base - 1;
                tracing::error!(%partition, %dir, "of the records at offsets {from} to {to} some cannot be read: {base_offset:020}.log is damaged at position {position}; reading them fails, here or by the client's checksum; {WAYS_OUT}, or delete the records up to {to}");
            }
            Err(error) => {
                tracing::error!(%partition, %error, "a closed segment cannot be read; reading its records is answered with KAFKA_STORAGE_ERROR");
            }
        }
    }

    /// Says what is missing before the first segment. The epochs know where the log began: they are written before
    /// retention takes a segment away.
    pub(super) fn check_start(&self, segments: &[Segment], epochs: Option<&LeaderEpochs>) {
        let (Some(first), Some(known)) = (segments.first(), epochs.and_then(LeaderEpochs::start_offset)) else {
            return;
        };
        let (from, to) = (known.max(self.log_start_offset), first.base_offset() - 1);
        if from <= to {
            let (partition, dir) = (&self.topic_partition, self.dir.display());
            tracing::error!(%partition, %dir, "the records at offsets {from} to {to} are gone: no segment holds them; reading begins behind them; {WAYS_OUT}");
        }
    }

    /// Says what is missing at the end of a log that ends at `log_end_offset`.
    pub(super) fn check_end(&self, log_end_offset: i64) {
        let (partition, dir) = (&self.topic_partition, self.dir.display());
        let to = self.recovery_point.max(self.high_watermark) - 1;
        if self.recovery_point > log_end_offset {
            tracing::error!(%partition, %dir, "the records at offsets {log_end_offset} to {to} are gone although they had been on the disk; these offsets will be given to other records; {WAYS_OUT}");
        } else if self.high_watermark > log_end_offset {
            tracing::warn!(%partition, %dir, "the records at offsets {log_end_offset} to {to} are gone: they had been acknowledged, and not flushed (flush.messages and flush.ms say when they are)");
        }
    }

    /// Ends the log with `last`, whose file goes on with `invalid` bytes: sets those and the segments behind it aside.
    pub(super) fn end_log(
        &self,
        last: &Segment,
        invalid: u64,
        behind: Vec<Segment>,
        log_end_offset: i64,
    ) -> Result<(), StorageError> {
        let stray = self.set_aside(last, invalid, behind)?;
        let (partition, dir, stray) = (&self.topic_partition, self.dir.display(), stray.display());
        tracing::error!(%partition, %dir, %stray, "the records from offset {log_end_offset} on are gone or behind others that are, and had not been flushed; the log ends there, and what was found behind it is set aside");
        Ok(())
    }

    /// Keeps a copy of the last segment before its damaged end is cut off, because that had been on the disk.
    pub(super) fn keep_copy(&self, last: &Segment, invalid: u64) -> Result<(), StorageError> {
        let stray = self.set_aside(last, invalid, Vec::new())?;
        let (partition, stray) = (&self.topic_partition, stray.display());
        tracing::warn!(%partition, %stray, bytes = invalid, "a damaged end is cut off the last segment, of which a copy is kept");
        Ok(())
    }

    fn set_aside(&self, copied: &Segment, invalid: u64, moved: Vec<Segment>) -> Result<PathBuf, StorageError> {
        let stray = partition_dir::create_stray(&self.dir, &self.topic_partition)?;
        let name = |base_offset| files::offset_file(&stray, base_offset, files::LOG_SUFFIX);
        if let (Some(file), true) = (copied.file(), invalid > 0) {
            let copy = name(copied.base_offset());
            let original = file.path();
            fs::copy(&original, &copy).map_err(StorageError::io("cannot copy", &original))?;
        }
        for segment in moved {
            let Some(file) = segment.file() else { continue };
            for suffix in files::SEGMENT_SUFFIXES {
                let extension = suffix.trim_start_matches('.');
                let to = name(segment.base_offset()).with_extension(extension);
                files::rename_if_exists(&file.path().with_extension(extension), &to)?;
            }
        }
        Ok(stray)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_on_the_disk_is_gone_on_behind_and_what_was_not_ends_the_log() {
        let cases = [
            // A last segment with a torn tail, and without one.
            ((50, 7, None, 0, false), Verdict::Cut),
            ((50, 0, None, 0, false), Verdict::Whole),
            // A closed one that is whole, and one with junk behind.
            ((50, 0, Some(50), 0, false), Verdict::Whole),
            ((50, 7, Some(50), 0, false), Verdict::Cut),
            // One that ends too early, above the recovery point and below it.
            ((50, 0, Some(60), 0, false), Verdict::End),
            ((50, 7, Some(60), 50, false), Verdict::End),
            ((50, 7, Some(60), 51, false), Verdict::GoOn),
            // Compaction may have taken the last records; what cannot be read is another matter.
            ((50, 0, Some(60), 0, true), Verdict::Whole),
            ((50, 7, Some(60), 0, true), Verdict::End),
        ];
        for ((next_offset, invalid, next_base, recovery_point, is_compacted), expected) in cases {
            assert_eq!(judge(next_offset, invalid, next_base, recovery_point, is_compacted), expected);
        }
    }
}
