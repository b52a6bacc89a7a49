//! What remains of one batch: Kafka's `RecordFilter` and `MemoryRecords.filterTo`.

use std::collections::HashMap;
use std::io::{self, Write};

use bytes::Bytes;

use super::super::recompression::Bounded;
use super::offset_map::{KeyHash, OffsetMap};
use super::transactions::CleanedTransactionMetadata;
use crate::protocol::compression::{Compression, CompressionError, Compressor, Decompressor};
use crate::protocol::control_records::ControlRecordType;
use crate::protocol::record_batch::{
    BatchError, BatchHeader, HEADER_SIZE, LOG_OVERHEAD, NO_TIMESTAMP, RecordBatch, RecordHead, TimestampType,
    raw_records,
};

/// The records that one word of [`Judged::kept`] is about.
const BITS: i32 = u64::BITS.cast_signed();

/// The last that an active producer has written to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRecord {
    /// The last offset of its last batch of data; `None` when only a marker is known of it.
    pub last_data_offset: Option<i64>,
    /// Its current epoch.
    pub producer_epoch: i16,
}

/// By what batches are judged in one cleaning.
#[derive(Debug, Clone, Copy)]
pub struct BatchFilter<'a> {
    /// The latest offset of each key of the dirty part.
    pub map: &'a OffsetMap,
    /// When the cleaning began, milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// The offset at which what is cleaned ends: [`super::LogToClean::first_uncleanable_offset`].
    pub upper_bound_offset: i64,
    /// By producer id. What the log knew when the cleaning began, or later.
    pub last_records_of_active_producers: &'a HashMap<i64, LastRecord>,
    /// The topic's `compression.type` for batches that are written anew; `None` for a batch's own.
    ///
    /// Unlike Kafka, where a batch is always compressed as it was, a batch that is written anyway follows a topic whose
    /// codec has changed, unless it would become too large by that.
    pub compression: Option<Compression>,
    /// `max.message.bytes`: what a batch must not exceed when its codec changes.
    pub max_message_bytes: usize,
    /// How many bytes a batch may decompress to.
    pub decompressed_limit: usize,
}

/// What remains of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filtered {
    /// All of it.
    Unchanged,
    /// Some of its records, or all of them with a delete horizon.
    Rewritten(RecordBatch),
    /// Its header, which says how far the log goes, and what the last sequence number of its producer was.
    Empty(RecordBatch),
    /// Nothing.
    Dropped,
}

/// What was seen of the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilterCounts {
    /// Records that were read.
    pub messages_read: u64,
    /// Records that were kept.
    pub messages_retained: u64,
    /// Tombstones among them.
    pub tombstones_retained: u64,
    /// Records without a key, which are dropped.
    pub invalid_messages: u64,
}

/// How a batch as a whole is judged.
#[derive(Debug, Clone, Copy)]
struct BatchVerdict {
    /// It stays even when none of its records does.
    stays_empty: bool,
    /// None of its records stays.
    discards_records: bool,
    /// It is a marker of whose transaction nothing is left.
    is_marker_of_empty_transaction: bool,
}

/// What was learned of a batch's records.
#[derive(Debug)]
struct Judged {
    /// A bit for each record, the lowest first: whether it stays.
    kept: Vec<u64>,
    count: i32,
    retained: i32,
    tombstones: i32,
    invalid: i32,
    first_timestamp: i64,
    max_timestamp: i64,
}

impl BatchFilter<'_> {
    /// Judges a batch and its records. Batches must come in the order of their offsets, each of them once.
    ///
    /// # Errors
    /// When the batch is damaged. It was not judged then.
    pub fn filter(
        &self,
        batch: &RecordBatch,
        transactions: &mut CleanedTransactionMetadata,
        decompressor: &mut Decompressor,
        counts: &mut FilterCounts,
    ) -> Result<Filtered, BatchError> {
        // Unlike Kafka, which gives damaged records a right checksum when it writes the rest of their batch, a batch that
        // is not what was appended is left alone.
        batch.verify_crc()?;
        let verdict = self.judge_batch(&batch.header, control_record_type(batch)?, transactions);
        if verdict.discards_records {
            counts.messages_read += u64::try_from(batch.header.record_count).unwrap_or(0);
            return Ok(empty_or_dropped(&batch.header, verdict.stays_empty));
        }
        let judged = self.judge_records(batch, decompressor)?;
        counts.add(&judged);
        if judged.retained == 0 {
            return Ok(empty_or_dropped(&batch.header, verdict.stays_empty));
        }
        let needs_horizon = (judged.tombstones > 0 || verdict.is_marker_of_empty_transaction)
            && batch.header.delete_horizon().is_none();
        if judged.retained == judged.count && !needs_horizon {
            return Ok(Filtered::Unchanged);
        }
        let new_horizon = needs_horizon.then(|| self.now_ms.saturating_add(self.delete_retention_ms));
        self.rewrite(batch, &judged, new_horizon, decompressor).map(Filtered::Rewritten)
    }

    /// `marker` is only looked at when it is a control batch.
    fn judge_batch(
        &self,
        header: &BatchHeader,
        marker: Option<ControlRecordType>,
        transactions: &mut CleanedTransactionMetadata,
    ) -> BatchVerdict {
        let can_discard = if header.is_control() {
            transactions.on_control_batch_read(header, marker)
        } else {
            transactions.on_batch_read(header)
        };
        // A marker goes as a tombstone does: it stays for a while after it has become superfluous.
        let discards_records = can_discard && (!header.is_control() || self.is_past_delete_horizon(header));
        let is_end_of_range = header.next_offset() == self.upper_bound_offset;
        let stays_empty = is_end_of_range || self.is_last_of_its_producer(header);
        let is_marker_of_empty_transaction = can_discard && header.is_control();
        BatchVerdict { stays_empty, discards_records, is_marker_of_empty_transaction }
    }

    /// Whether the batch holds the last sequence number of a producer that is active, or, where nothing but a marker is
    /// left of it, its epoch.
    fn is_last_of_its_producer(&self, header: &BatchHeader) -> bool {
        let last = self.last_records_of_active_producers.get(&header.producer_id);
        header.has_producer_id()
            && last.is_some_and(|last| match last.last_data_offset {
                Some(offset) => header.last_offset() == offset,
                None => header.is_control() && header.producer_epoch == last.producer_epoch,
            })
    }

    fn is_past_delete_horizon(&self, header: &BatchHeader) -> bool {
        header.delete_horizon().is_some_and(|horizon| horizon <= self.now_ms)
    }

    fn judge_records(&self, batch: &RecordBatch, decompressor: &mut Decompressor) -> Result<Judged, BatchError> {
        let header = &batch.header;
        let retains_tombstones = !self.is_past_delete_horizon(header);
        let mut judged = Judged::default();
        let mut reader = batch.reader(decompressor, self.decompressed_limit)?;
        loop {
            let mut hasher = self.map.hasher();
            let Some(head) = reader.next_record(|piece| hasher.write(piece))? else { return Ok(judged) };
            let offset = head.offset(header);
            let stays = if header.is_control() || offset > self.map.latest_offset() {
                true
            } else if head.has_key {
                (head.has_value || retains_tombstones) && self.is_latest(hasher.finish(), offset)
            } else {
                judged.invalid = judged.invalid.saturating_add(1);
                false
            };
            judged.note(header, head, stays);
        }
    }

    /// Whether no later record has this key, as far as the map knows.
    fn is_latest(&self, key: KeyHash, offset: i64) -> bool {
        self.map.get(key).is_none_or(|latest| offset >= latest)
    }

    fn rewrite(
        &self,
        batch: &RecordBatch,
        judged: &Judged,
        new_horizon: Option<i64>,
        decompressor: &mut Decompressor,
    ) -> Result<RecordBatch, BatchError> {
        let header = retained_header(&batch.header, judged, new_horizon);
        let limit = self.decompressed_limit;
        let own = batch.header.compression()?;
        let target = self.compression.filter(|target| *target != own && !header.is_control());
        if let Some(target) = target {
            let largest = batch.bytes.len().max(self.max_message_bytes).min(limit);
            match write_retained(batch, &judged.kept, header, target, decompressor, [limit, largest]) {
                Err(BatchError::Compression(CompressionError::TooLarge(_))) => {}
                written => return written,
            }
        }
        write_retained(batch, &judged.kept, header, own, decompressor, [limit, limit])
    }
}

impl Default for Judged {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            count: 0,
            retained: 0,
            tombstones: 0,
            invalid: 0,
            first_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }
}

impl Judged {
    fn note(&mut self, header: &BatchHeader, head: RecordHead, stays: bool) {
        let bit = self.count % BITS;
        if bit == 0 {
            self.kept.push(0);
        }
        self.count = self.count.saturating_add(1);
        if !stays {
            return;
        }
        if let Some(word) = self.kept.last_mut() {
            *word |= 1 << bit;
        }
        let timestamp = head.timestamp(header);
        if self.retained == 0 {
            self.first_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.retained += 1;
        self.tombstones += i32::from(!head.has_value);
    }
}

impl FilterCounts {
    fn add(&mut self, judged: &Judged) {
        let number = |count: i32| u64::from(count.unsigned_abs());
        self.messages_read += number(judged.count);
        self.messages_retained += number(judged.retained);
        self.tombstones_retained += number(judged.tombstones);
        self.invalid_messages += number(judged.invalid);
    }
}

/// What a control batch says; `None` for other batches and for an empty one.
pub(super) fn control_record_type(batch: &RecordBatch) -> Result<Option<ControlRecordType>, BatchError> {
    if !batch.header.is_control() || batch.header.record_count == 0 {
        return Ok(None);
    }
    // Control batches are never compressed.
    let record = raw_records(batch.payload(), batch.header.record_count).next().transpose()?;
    let key = record.and_then(|record| record.key).ok_or("a control record has no key")?;
    ControlRecordType::parse(key).map(Some)
}

fn empty_or_dropped(header: &BatchHeader, stays_empty: bool) -> Filtered {
    if !stays_empty {
        return Filtered::Dropped;
    }
    let header = header.emptied();
    Filtered::Empty(RecordBatch { header, bytes: Bytes::copy_from_slice(&header.to_bytes()) })
}

/// The header of the records that stay, but for length, codec and checksum. As Kafka's builder makes it: offsets, last
/// offset delta, sequence and producer are the batch's, timestamps are those of the records.
fn retained_header(old: &BatchHeader, judged: &Judged, new_horizon: Option<i64>) -> BatchHeader {
    let mut header = *old;
    header.record_count = judged.retained;
    if old.timestamp_type() == TimestampType::CreateTime {
        header.max_timestamp = judged.max_timestamp;
    }
    match new_horizon {
        Some(horizon) => header.set_delete_horizon(horizon),
        None if old.delete_horizon().is_some() => {}
        None => header.base_timestamp = judged.first_timestamp,
    }
    header
}

/// Writes the records of `batch` that stay behind `header`, compressed with `codec`; what is read may have `limit` bytes,
/// what is written `largest`.
fn write_retained(
    batch: &RecordBatch,
    kept: &[u64],
    mut header: BatchHeader,
    codec: Compression,
    decompressor: &mut Decompressor,
    [limit, largest]: [usize; 2],
) -> Result<RecordBatch, BatchError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::FileTooLarge => BatchError::Compression(CompressionError::TooLarge(largest)),
        _ => BatchError::Compression(CompressionError::Malformed(codec, error.to_string())),
    };
    let sink = Bounded { bytes: vec![0; HEADER_SIZE], max: largest };
    let mut compressor = Compressor::new(codec, sink, None).map_err(failed)?;
    let mut reader = batch.reader(decompressor, limit)?;
    let old = batch.header;
    for word in kept {
        for bit in 0..BITS {
            if word & (1 << bit) == 0 {
                // Behind the last record there is nothing to pass over.
                reader.next_head()?;
                continue;
            }
            let rebased = |(timestamp_delta, offset_delta)| {
                let timestamp = match old.timestamp_type() {
                    TimestampType::CreateTime => old.base_timestamp.wrapping_add(timestamp_delta),
                    TimestampType::LogAppendTime => old.max_timestamp,
                };
                (timestamp.wrapping_sub(header.base_timestamp), offset_delta)
            };
            reader.copy_next(rebased, |piece| compressor.write_all(piece).map_err(failed))?;
        }
    }
    let mut bytes = compressor.finish().map_err(failed)?.bytes;
    header.set_compression(codec);
    header.length = i32::try_from(bytes.len() - LOG_OVERHEAD)
        .map_err(|_| BatchError::Compression(CompressionError::TooLarge(largest)))?;
    let (front, payload) = bytes.split_at_mut(HEADER_SIZE);
    header.crc = header.compute_crc(payload);
    front.copy_from_slice(&header.to_bytes());
    Ok(RecordBatch { header, bytes: Bytes::from(bytes) })
}
