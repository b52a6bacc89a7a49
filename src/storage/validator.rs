//! What batches must be to be appended, and how a leader changes their headers: Kafka's checks, in Kafka's order, with
//! Kafka's answers. Pure.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::decompressors::Decompressors;
use super::recompression::recompress;
use super::{AppendError, CompressionType, LogConfig, RecordError};
use crate::ids::LeaderEpoch;
use crate::protocol::compression::Compression;
use crate::protocol::record_batch::{
    BatchHeader, HEADER_SIZE, LOG_OVERHEAD, NO_TIMESTAMP, RecordBatch, RecordHead, TimestampType, batches,
    visit_raw_records,
};

/// How many single records an error message names.
const RECORDS_IN_MESSAGE: usize = 3;

/// How many single records an answer names: a small compressed batch can hold a hundred million that are at fault.
const MOST_RECORD_ERRORS: usize = 10_000;

/// Who wants to append, and therefore how much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    Client,
    /// This broker's own coordinators, which have no sequence numbers.
    Coordinator,
    /// Another replica, which has checked it.
    Replication,
}

/// A batch ready to be written: its final header, and the records behind it.
#[derive(Debug)]
pub(super) struct ValidBatch {
    pub(super) header: BatchHeader,
    pub(super) payload: Bytes,
}

/// Where, when and for whom a batch is appended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placement {
    pub(super) base_offset: i64,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) origin: AppendOrigin,
    /// The wall clock, milliseconds since the Unix epoch.
    pub(super) now_ms: i64,
}

/// What was learned by looking at each record.
struct RecordFacts {
    max_timestamp: i64,
    /// Whether the offsets are those that the header promises.
    is_consecutive: bool,
}

/// Checks the one batch in `records`, and every record in it, and gives it its offset, its leader epoch, its right max
/// timestamp and, if the topic says so, its timestamp. Bytes behind it that are too few for another batch are dropped,
/// as Kafka does.
pub(super) fn validate(
    records: &Bytes,
    place: Placement,
    config: &LogConfig,
    decompressors: &Decompressors,
) -> Result<ValidBatch, AppendError> {
    let batch = single_batch(records)?;
    check_envelope(&batch, place, config)?;
    let codec = batch.header.compression()?;
    if place.origin == AppendOrigin::Client {
        check_client_header(&batch.header)?;
    }
    let target = target_codec(config, codec, &batch.header);
    let mut checks = RecordChecks::new(&batch.header, place, config);
    if codec == Compression::None && target == Compression::None {
        visit_raw_records(batch.payload(), batch.header.record_count, |record| checks.visit(record.head()))?;
        let facts = checks.into_facts()?;
        return Ok(finish(&batch, None, facts.max_timestamp, place, config));
    }
    decompressors.with(|decompressor| {
        let mut reader = batch.reader(decompressor, config.decompressed_limit())?;
        while let Some(head) = reader.next_head()? {
            checks.visit(head);
        }
        let facts = checks.into_facts()?;
        // Unlike Kafka, which passes over what it would need for that and answers `UNKNOWN_SERVER_ERROR`, the offsets of
        // old clients that count wrong are made right.
        if target == codec && facts.is_consecutive {
            return Ok(finish(&batch, None, facts.max_timestamp, place, config));
        }
        let payload = recompress(&batch, target, decompressor, config)?;
        Ok(finish(&batch, Some((target, payload)), facts.max_timestamp, place, config))
    })
}

/// Checks batches that another replica has validated: their checksums, and that their offsets increase from
/// `log_end_offset` on. Returns their headers; an incomplete batch at the end is left out.
pub(super) fn validate_replicated(records: &Bytes, log_end_offset: i64) -> Result<Vec<BatchHeader>, AppendError> {
    let mut headers = Vec::new();
    for batch in batches(records) {
        let batch = batch?;
        batch.verify_crc()?;
        headers.push(batch.header);
    }
    let is_ordered = |one: &BatchHeader, next: &BatchHeader| one.last_offset() < next.base_offset;
    if !headers.is_sorted_by(is_ordered) || headers.iter().any(|header| header.last_offset_delta < 0) {
        return Err(AppendError::OffsetsOutOfOrder);
    }
    match headers.first().map(|header| header.base_offset) {
        Some(first_offset) if first_offset < log_end_offset => {
            Err(AppendError::UnexpectedOffset { first_offset, log_end_offset })
        }
        _ => Ok(headers),
    }
}

fn single_batch(records: &Bytes) -> Result<RecordBatch, AppendError> {
    let mut found = batches(records);
    let batch = match found.next() {
        Some(batch) => batch?,
        None => return Err(AppendError::invalid("there must be a record batch for each partition")),
    };
    match found.next() {
        None => Ok(batch),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(_)) => Err(AppendError::invalid("there must be exactly one record batch for each partition")),
    }
}

fn check_envelope(batch: &RecordBatch, place: Placement, config: &LogConfig) -> Result<(), AppendError> {
    let base_offset = batch.header.base_offset;
    if place.origin == AppendOrigin::Client && base_offset != 0 {
        return Err(AppendError::invalid(format!(
            "the base offset of the record batch should be 0, but it is {base_offset}"
        )));
    }
    let (size, max) = (batch.bytes.len(), config.max_message_bytes as usize);
    if size > max {
        return Err(AppendError::MessageTooLarge { size, max });
    }
    Ok(batch.verify_crc()?)
}

fn check_client_header(header: &BatchHeader) -> Result<(), AppendError> {
    let (count, last) = (header.record_count, header.last_offset_delta);
    let message = if last < 0 {
        format!("the record batch has an invalid offset range: its last offset delta is {last}")
    } else if count <= 0 {
        format!("invalid number of records in the record batch: {count}")
    } else if i64::from(last) + 1 != i64::from(count) {
        format!("the record batch's last offset delta {last} does not fit its number of records {count}")
    } else if header.is_control() {
        "clients are not allowed to write control records".to_owned()
    } else if header.has_producer_id() && header.base_sequence < 0 {
        format!("invalid sequence number {} with producer id {}", header.base_sequence, header.producer_id)
    } else {
        return Ok(());
    };
    Err(AppendError::invalid(message))
}

/// The codec in which the records are to be stored. Control records are never compressed.
fn target_codec(config: &LogConfig, codec: Compression, header: &BatchHeader) -> Compression {
    match config.compression_type {
        CompressionType::Codec(target) if !header.is_control() => target,
        _ => codec,
    }
}

/// Checks records in their order.
struct RecordChecks<'a> {
    header: &'a BatchHeader,
    place: Placement,
    config: &'a LogConfig,
    /// A record of the producer's time within these bounds, with a key if the topic needs one, has no fault: most records
    /// are compared with two numbers. What does not pass may still be right.
    faultless: RangeInclusive<i64>,
    index: i32,
    facts: RecordFacts,
    errors: RecordErrors,
}

impl<'a> RecordChecks<'a> {
    fn new(header: &'a BatchHeader, place: Placement, config: &'a LogConfig) -> Self {
        let oldest = place.now_ms.saturating_sub(config.message_timestamp_before_max_ms);
        let newest = place.now_ms.saturating_add(config.message_timestamp_after_max_ms);
        let is_create_time = header.timestamp_type() == TimestampType::CreateTime;
        Self {
            header,
            place,
            config,
            faultless: if is_create_time { oldest..=newest } else { RangeInclusive::new(1, 0) },
            index: 0,
            facts: RecordFacts { max_timestamp: NO_TIMESTAMP, is_consecutive: true },
            errors: RecordErrors::default(),
        }
    }

    #[inline]
    fn visit(&mut self, record: RecordHead) {
        let timestamp = record.timestamp(self.header);
        self.facts.max_timestamp = self.facts.max_timestamp.max(timestamp);
        self.facts.is_consecutive &= record.offset_delta == self.index;
        if !self.faultless.contains(&timestamp) || (self.config.compact && !record.has_key) {
            self.errors.check(self.index, record, self.header, self.place, self.config);
        }
        self.index = self.index.wrapping_add(1);
    }

    fn into_facts(self) -> Result<RecordFacts, AppendError> {
        self.errors.into_result().map(|()| self.facts)
    }
}

/// The records at fault. One of them fails the whole batch.
#[derive(Default)]
struct RecordErrors {
    /// The first of them.
    records: Vec<RecordError>,
    count: usize,
    has_invalid_timestamp: bool,
}

impl RecordErrors {
    #[cold]
    fn check(
        &mut self,
        batch_index: i32,
        record: RecordHead,
        header: &BatchHeader,
        place: Placement,
        config: &LogConfig,
    ) {
        let timestamp = record.timestamp(header);
        let message = if config.compact && !record.has_key {
            "a compacted topic cannot accept a message without a key".to_owned()
        } else if config.message_timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP {
            if !is_out_of_range(timestamp, place.now_ms, config) {
                return;
            }
            self.has_invalid_timestamp = true;
            let oldest = place.now_ms.wrapping_sub(config.message_timestamp_before_max_ms);
            let newest = place.now_ms.wrapping_add(config.message_timestamp_after_max_ms);
            format!("timestamp {timestamp} of the message is out of range, it should be within [{oldest}, {newest}]")
        } else if header.timestamp_type() == TimestampType::LogAppendTime {
            self.has_invalid_timestamp = true;
            "a producer must not set the timestamp type to LogAppendTime".to_owned()
        } else {
            return;
        };
        self.count += 1;
        // Unlike Kafka, which names every record at fault, an answer stays smaller than the request.
        if self.records.len() < MOST_RECORD_ERRORS {
            self.records.push(RecordError { batch_index, message });
        }
    }

    fn into_result(self) -> Result<(), AppendError> {
        let Self { records: record_errors, count, has_invalid_timestamp } = self;
        if record_errors.is_empty() {
            return Ok(());
        }
        if has_invalid_timestamp {
            let message = "one or more records have been rejected due to an invalid timestamp".to_owned();
            return Err(AppendError::InvalidTimestamp { message, record_errors });
        }
        let shown = record_errors.iter().take(RECORDS_IN_MESSAGE);
        let shown: Vec<_> = shown.map(|error| format!("record {}: {}", error.batch_index, error.message)).collect();
        let message = format!("{count} records have been rejected, at most three are shown: {}", shown.join("; "));
        Err(AppendError::InvalidRecord { message, record_errors })
    }
}

/// The differences wrap, as in Kafka: a timestamp of -2^63 is in the future.
fn is_out_of_range(timestamp: i64, now_ms: i64, config: &LogConfig) -> bool {
    let age_ms = now_ms.wrapping_sub(timestamp);
    timestamp != NO_TIMESTAMP
        && (age_ms > config.message_timestamp_before_max_ms
            || age_ms.wrapping_neg() > config.message_timestamp_after_max_ms)
}

/// Patches the header: of the batch as it came, or in front of the payload that was made of it in another codec. Offset
/// and leader epoch lie outside of the checksum.
fn finish(
    batch: &RecordBatch,
    recompressed: Option<(Compression, Bytes)>,
    max_timestamp: i64,
    place: Placement,
    config: &LogConfig,
) -> ValidBatch {
    let mut header = batch.header;
    header.base_offset = place.base_offset;
    header.partition_leader_epoch = place.leader_epoch;
    header.set_timestamp_type(config.message_timestamp_type);
    header.max_timestamp = match config.message_timestamp_type {
        TimestampType::CreateTime => max_timestamp,
        TimestampType::LogAppendTime => place.now_ms,
    };
    let is_recompressed = recompressed.is_some();
    let payload = match recompressed {
        None => batch.bytes.slice(HEADER_SIZE..),
        Some((codec, payload)) => {
            header.set_compression(codec);
            header.length = (HEADER_SIZE - LOG_OVERHEAD).saturating_add(payload.len()) as i32;
            payload
        }
    };
    let covered = |header: &BatchHeader| (header.attributes, header.max_timestamp);
    if is_recompressed || covered(&header) != covered(&batch.header) {
        header.crc = header.compute_crc(&payload);
    }
    ValidBatch { header, payload }
}
