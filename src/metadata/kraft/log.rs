//! The newest snapshot and the log behind it, record by record.

use bytes::Bytes;

use super::cluster::KraftCluster;
use crate::protocol::kraft_records::{KraftControlRecord, KraftRecord, KraftRecordError};
use crate::protocol::record_batch::{BatchError, RecordBatch, batches};

/// The most that a batch may unpack to. Kafka's metadata batches are of 8 MiB at most, and never compressed.
const BATCH_LIMIT: usize = 64 << 20;

/// The files of Kafka's metadata log, as they lie on the disk.
#[derive(Debug, Clone, Default)]
pub struct KraftLog {
    /// The newest snapshot, and the offset up to which it reaches.
    pub snapshot: Option<(i64, Bytes)>,
    /// The log's segments by their first offsets, ordered.
    pub segments: Vec<(i64, Bytes)>,
    /// Where the log ended when it was closed, if that is known.
    pub closed_at: Option<i64>,
}

/// Why the metadata cannot be read. Each is a part of a sentence about the metadata log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KraftLogError {
    /// A batch is not whole, or not what was written.
    #[error("the batch at offset {offset} is damaged: {reason}")]
    Batch {
        /// Where it should begin.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// A record cannot be read, or fits nothing that came before it.
    #[error("the record at offset {offset}: {reason}")]
    Record {
        /// Its offset.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// The snapshot's last record is missing.
    #[error("the snapshot at offset {0} is not whole")]
    Snapshot(i64),
    /// Neither a snapshot nor a log from its beginning is there.
    #[error("the records from offset {0} on are missing")]
    Missing(i64),
}

impl KraftLog {
    /// The cluster that snapshot and log amount to. A transaction that is still open at the end never was, as for Kafka's
    /// own controller, which aborts it when it starts (KIP-868).
    ///
    /// All of the log counts: only a log of a quorum of one, which is known afterwards, is committed up to its end.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn replay(&self) -> Result<KraftCluster, KraftLogError> {
        let mut replay = Replay::default();
        if let Some((end_offset, bytes)) = &self.snapshot {
            replay.snapshot(*end_offset, bytes)?;
        }
        let covered = replay.next_offset;
        let first = self.segments.first().map_or(i64::MAX, |(base_offset, _)| *base_offset);
        if first > covered {
            return Err(KraftLogError::Missing(covered));
        }
        replay.next_offset = first;
        for (_, bytes) in &self.segments {
            replay.segment(bytes, covered)?;
        }
        if replay.next_offset < covered || self.closed_at.is_some_and(|end| replay.next_offset < end) {
            return Err(KraftLogError::Missing(replay.next_offset));
        }
        let Replay { cluster, before_transaction, .. } = replay;
        Ok(before_transaction.map_or(cluster, |before| *before))
    }
}

/// How far the reading has come.
#[derive(Default)]
struct Replay {
    cluster: KraftCluster,
    /// What an abort leads back to.
    before_transaction: Option<Box<KraftCluster>>,
    next_offset: i64,
}

impl Replay {
    /// Takes a snapshot in, whose offsets count its own records.
    fn snapshot(&mut self, end_offset: i64, bytes: &Bytes) -> Result<(), KraftLogError> {
        let mut is_whole = false;
        self.each_batch(bytes, |replay, batch| {
            is_whole = replay.batch(batch, 0)?;
            Ok(())
        })?;
        self.next_offset = end_offset;
        if is_whole { Ok(()) } else { Err(KraftLogError::Snapshot(end_offset)) }
    }

    /// Takes in what a segment has from the offset `covered` on.
    fn segment(&mut self, bytes: &Bytes, covered: i64) -> Result<(), KraftLogError> {
        self.each_batch(bytes, |replay, batch| replay.batch(batch, covered).map(|_| ()))
    }

    fn each_batch(
        &mut self,
        bytes: &Bytes,
        mut take: impl FnMut(&mut Self, &RecordBatch) -> Result<(), KraftLogError>,
    ) -> Result<(), KraftLogError> {
        let mut found = batches(bytes);
        for batch in found.by_ref() {
            let damaged = |reason: String| KraftLogError::Batch { offset: self.next_offset, reason };
            let told = |error: BatchError| damaged(error.to_string());
            let batch = batch.map_err(told)?;
            batch.verify_crc().map_err(told)?;
            if batch.header.base_offset != self.next_offset {
                return Err(damaged(format!("it begins at offset {}", batch.header.base_offset)));
            }
            self.next_offset = batch.header.next_offset();
            take(self, &batch)?;
        }
        if found.rest().is_empty() {
            Ok(())
        } else {
            Err(KraftLogError::Batch { offset: self.next_offset, reason: "it is cut short".to_owned() })
        }
    }

    /// Takes in the records from the offset `covered` on; whether the last one ends a snapshot.
    fn batch(&mut self, batch: &RecordBatch, covered: i64) -> Result<bool, KraftLogError> {
        let base_offset = batch.header.base_offset;
        let damaged = |error: BatchError| KraftLogError::Batch { offset: base_offset, reason: error.to_string() };
        let mut is_footer = false;
        for record in batch.records(BATCH_LIMIT).map_err(damaged)? {
            let record = record.map_err(damaged)?;
            let offset = record.offset;
            if offset < covered {
                continue;
            }
            let wrong = |reason: String| KraftLogError::Record { offset, reason };
            let unreadable = |error: KraftRecordError| wrong(error.to_string());
            let value = record.value.unwrap_or_default();
            if batch.header.is_control() {
                let control = KraftControlRecord::read(&record.key.unwrap_or_default(), &value).map_err(unreadable)?;
                is_footer = control == KraftControlRecord::SnapshotFooter;
                self.cluster.replay_control(control);
            } else {
                self.record(KraftRecord::read(&value).map_err(unreadable)?).map_err(wrong)?;
            }
        }
        Ok(is_footer)
    }

    fn record(&mut self, record: KraftRecord) -> Result<(), String> {
        match record {
            KraftRecord::BeginTransaction { .. } => {
                if self.before_transaction.replace(Box::new(self.cluster.clone())).is_some() {
                    return Err("a transaction begins inside another one".to_owned());
                }
                Ok(())
            }
            KraftRecord::EndTransaction {} => {
                self.before_transaction.take().map(|_| ()).ok_or_else(|| "a transaction ends that is none".to_owned())
            }
            KraftRecord::AbortTransaction { .. } => {
                let before = self.before_transaction.take().ok_or("a transaction is aborted that is none")?;
                self.cluster = *before;
                Ok(())
            }
            change => self.cluster.replay(change),
        }
    }
}
