//! What batches must be to be appended, and how a leader changes their headers: Kafka's checks, in Kafka's order, with
//! Kafka's answers. Pure.

use bytes::Bytes;

use super::log::AppendOrigin;
use super::{AppendError, CompressionType, LogConfig, RecordError};
use crate::ids::LeaderEpoch;
use crate::protocol::compression::{Compression, CompressionError, decompress};
use crate::protocol::record_batch::{
    BatchBuilder, BatchError, BatchHeader, HEADER_SIZE, NO_TIMESTAMP, RawRecord, RecordBatch, TimestampType, batches,
    visit_raw_records,
};

/// How many single records an error message names.
const RECORDS_IN_MESSAGE: usize = 3;

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

/// Checks the one batch in `records` and gives it its offset, its leader epoch and, if the topic says so, its
/// timestamp. Bytes behind it that are too few for another batch are dropped, as Kafka does.
///
/// Unlike Kafka, compressed records are looked at only where the topic needs it (keys of a compacted topic, a limit
/// on old timestamps, another codec) or the header looks wrong; else the header's count and max timestamp are
/// believed. Kafka decompresses every batch.
pub(super) fn validate(records: &Bytes, place: Placement, config: &LogConfig) -> Result<ValidBatch, AppendError> {
    let batch = single_batch(records)?;
    check_envelope(&batch, place, config)?;
    let codec = batch.header.compression().map_err(|error| codec_error(&error))?;
    if place.origin == AppendOrigin::Client {
        check_client_header(&batch.header)?;
    }
    let target = target_codec(config, codec, &batch.header);
    let facts = look_at_records(&batch, codec, target, place, config)?;
    let needs_rebuild =
        target != codec || (codec != Compression::None && facts.as_ref().is_some_and(|facts| !facts.is_consecutive));
    let batch = if needs_rebuild { rebuild(&batch, target, config)? } else { batch };
    Ok(finish(&batch, facts.map(|facts| facts.max_timestamp), place, config))
}

/// Checks batches that another replica has validated: their checksums, and that their offsets increase from
/// `log_end_offset` on. Returns their headers and how many of the bytes they take; an incomplete batch at the end is
/// left out.
pub(super) fn validate_replicated(
    records: &Bytes,
    log_end_offset: i64,
) -> Result<(Vec<BatchHeader>, usize), AppendError> {
    let (mut headers, mut size) = (Vec::new(), 0);
    for batch in batches(records) {
        let batch = batch.map_err(|error| batch_error(&error))?;
        batch.verify_crc().map_err(|error| batch_error(&error))?;
        headers.push(batch.header);
        size += batch.bytes.len();
    }
    let is_ordered = |one: &BatchHeader, next: &BatchHeader| one.last_offset() < next.base_offset;
    if !headers.is_sorted_by(is_ordered) || headers.iter().any(|header| header.last_offset_delta < 0) {
        return Err(AppendError::OffsetsOutOfOrder);
    }
    match headers.first().map(|header| header.base_offset) {
        Some(first_offset) if first_offset < log_end_offset => {
            Err(AppendError::UnexpectedOffset { first_offset, log_end_offset })
        }
        _ => Ok((headers, size)),
    }
}

fn single_batch(records: &Bytes) -> Result<RecordBatch, AppendError> {
    let mut found = batches(records);
    let batch = match found.next() {
        Some(batch) => batch.map_err(|error| batch_error(&error))?,
        None => return Err(AppendError::invalid("there must be a record batch for each partition")),
    };
    match found.next() {
        None => Ok(batch),
        Some(Err(error)) => Err(batch_error(&error)),
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
    check_size(batch, config)?;
    batch.verify_crc().map_err(|error| batch_error(&error))
}

fn check_size(batch: &RecordBatch, config: &LogConfig) -> Result<(), AppendError> {
    let (size, max) = (batch.bytes.len(), config.max_message_bytes as usize);
    if size > max { Err(AppendError::MessageTooLarge { size, max }) } else { Ok(()) }
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

/// Checks each record, unless nothing asks for it.
fn look_at_records(
    batch: &RecordBatch,
    codec: Compression,
    target: Compression,
    place: Placement,
    config: &LogConfig,
) -> Result<Option<RecordFacts>, AppendError> {
    if codec == Compression::None {
        return check_records(batch.payload(), &batch.header, place, config).map(Some);
    }
    let header = &batch.header;
    let is_suspicious = header.timestamp_type() == TimestampType::LogAppendTime
        || is_out_of_range(header.max_timestamp, place.now_ms, config);
    if config.compact || config.message_timestamp_before_max_ms != i64::MAX || target != codec || is_suspicious {
        let payload = decompress(codec, batch.payload(), config.decompressed_limit());
        let payload = payload.map_err(|error| codec_error(&error))?;
        return check_records(&payload, header, place, config).map(Some);
    }
    Ok(None)
}

fn check_records(
    payload: &[u8],
    header: &BatchHeader,
    place: Placement,
    config: &LogConfig,
) -> Result<RecordFacts, AppendError> {
    let mut facts = RecordFacts { max_timestamp: NO_TIMESTAMP, is_consecutive: true };
    let mut errors = RecordErrors::default();
    let mut index = 0;
    let is_faultless = faultless(header, place, config);
    let visited = visit_raw_records(payload, header.record_count, |record| {
        let timestamp = record.timestamp(header);
        facts.max_timestamp = facts.max_timestamp.max(timestamp);
        facts.is_consecutive &= record.offset_delta == index;
        if !is_faultless(timestamp, record.key.is_some()) {
            errors.check(index, &record, header, place, config);
        }
        index += 1;
    });
    visited.map_err(|error| batch_error(&error))?;
    errors.into_result().map(|()| facts)
}

/// Decides from a record's timestamp, and whether it has a key, that nothing can be wrong with it: most records are
/// compared with two bounds. What does not pass may still be right.
fn faultless(header: &BatchHeader, place: Placement, config: &LogConfig) -> impl Fn(i64, bool) -> bool {
    let oldest = place.now_ms.saturating_sub(config.message_timestamp_before_max_ms);
    let newest = place.now_ms.saturating_add(config.message_timestamp_after_max_ms);
    let (needs_key, is_create_time) = (config.compact, header.timestamp_type() == TimestampType::CreateTime);
    move |timestamp, has_key| is_create_time && (oldest..=newest).contains(&timestamp) && (has_key || !needs_key)
}

/// The records at fault. One of them fails the whole batch.
#[derive(Default)]
struct RecordErrors {
    records: Vec<RecordError>,
    has_invalid_timestamp: bool,
}

impl RecordErrors {
    fn check(
        &mut self,
        batch_index: i32,
        record: &RawRecord<'_>,
        header: &BatchHeader,
        place: Placement,
        config: &LogConfig,
    ) {
        let timestamp = record.timestamp(header);
        let message = if config.compact && record.key.is_none() {
            "a compacted topic cannot accept a message without a key".to_owned()
        } else if config.message_timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP {
            if !is_out_of_range(timestamp, place.now_ms, config) {
                return;
            }
            self.has_invalid_timestamp = true;
            let oldest = place.now_ms.saturating_sub(config.message_timestamp_before_max_ms);
            let newest = place.now_ms.saturating_add(config.message_timestamp_after_max_ms);
            format!("timestamp {timestamp} of the message is out of range, it should be within [{oldest}, {newest}]")
        } else if header.timestamp_type() == TimestampType::LogAppendTime {
            self.has_invalid_timestamp = true;
            "a producer must not set the timestamp type to LogAppendTime".to_owned()
        } else {
            return;
        };
        self.records.push(RecordError { batch_index, message });
    }

    fn into_result(self) -> Result<(), AppendError> {
        let Self { records: record_errors, has_invalid_timestamp } = self;
        if record_errors.is_empty() {
            return Ok(());
        }
        if has_invalid_timestamp {
            let message = "one or more records have been rejected due to an invalid timestamp".to_owned();
            return Err(AppendError::InvalidTimestamp { message, record_errors });
        }
        let shown = record_errors.iter().take(RECORDS_IN_MESSAGE);
        let shown: Vec<_> = shown.map(|error| format!("record {}: {}", error.batch_index, error.message)).collect();
        let count = record_errors.len();
        let message = format!("{count} records have been rejected, at most three are shown: {}", shown.join("; "));
        Err(AppendError::InvalidRecord { message, record_errors })
    }
}

fn is_out_of_range(timestamp: i64, now_ms: i64, config: &LogConfig) -> bool {
    let age_ms = now_ms.saturating_sub(timestamp);
    timestamp != NO_TIMESTAMP
        && (age_ms > config.message_timestamp_before_max_ms
            || age_ms.saturating_neg() > config.message_timestamp_after_max_ms)
}

/// The same records with consecutive offsets and in another codec.
fn rebuild(batch: &RecordBatch, target: Compression, config: &LogConfig) -> Result<RecordBatch, AppendError> {
    let header = &batch.header;
    let mut builder = BatchBuilder::new(header.base_timestamp);
    builder.producer(header.producer_id, header.producer_epoch, header.base_sequence).compression(target);
    if header.is_transactional() {
        builder.transactional();
    }
    for record in batch.records(config.decompressed_limit()).map_err(|error| batch_error(&error))? {
        let record = record.map_err(|error| batch_error(&error))?;
        let headers: Vec<_> = record.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        builder.record_at(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    let bytes = builder.try_build().map_err(|error| codec_error(&error))?;
    let rebuilt = RecordBatch::parse(&bytes).map_err(|error| batch_error(&error))?;
    check_size(&rebuilt, config)?;
    Ok(rebuilt)
}

/// Patches the header. Offset and leader epoch lie outside of the checksum; only another timestamp changes it.
fn finish(batch: &RecordBatch, max_timestamp: Option<i64>, place: Placement, config: &LogConfig) -> ValidBatch {
    let mut header = batch.header;
    header.base_offset = place.base_offset;
    header.partition_leader_epoch = place.leader_epoch;
    let timestamp_type = config.message_timestamp_type;
    let max_timestamp = match timestamp_type {
        TimestampType::CreateTime => max_timestamp.unwrap_or(header.max_timestamp),
        TimestampType::LogAppendTime => place.now_ms,
    };
    if (timestamp_type, max_timestamp) != (header.timestamp_type(), header.max_timestamp) {
        header.set_timestamp_type(timestamp_type);
        header.max_timestamp = max_timestamp;
        header.crc = header.compute_crc(batch.payload());
    }
    ValidBatch { header, payload: batch.bytes.slice(HEADER_SIZE..) }
}

fn batch_error(error: &BatchError) -> AppendError {
    let message = error.to_string();
    match error {
        BatchError::Truncated
        | BatchError::InvalidLength(_)
        | BatchError::InvalidMagic(_)
        | BatchError::InvalidCrc { .. } => AppendError::CorruptMessage(message),
        BatchError::UnsupportedMagic(_) | BatchError::InvalidRecord(_) => AppendError::invalid(message),
        BatchError::Compression(error) => codec_error(error),
    }
}

fn codec_error(error: &CompressionError) -> AppendError {
    match error {
        CompressionError::UnknownCodec(codec) => AppendError::UnsupportedCompressionType(*codec),
        CompressionError::TooLarge(_) | CompressionError::Malformed(..) => AppendError::invalid(error.to_string()),
    }
}
