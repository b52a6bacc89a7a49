//! Records: the variable-length part of a batch.

use bytes::Bytes;

use super::{BatchError, BatchHeader, TimestampType};

/// A header of a record: its key and value.
pub type RecordHeader = (Bytes, Option<Bytes>);

/// One record, its offset and timestamp absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The record's offset in its partition.
    pub offset: i64,
    /// Milliseconds since the Unix epoch; -1 for none.
    pub timestamp: i64,
    /// What partitioning and compaction go by.
    pub key: Option<Bytes>,
    /// The content; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In the producer's order; keys may repeat.
    pub headers: Vec<RecordHeader>,
}

/// One record as it lies in the batch: nothing is copied, everything is relative to the batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Added to the base timestamp gives the timestamp.
    pub timestamp_delta: i64,
    /// Added to the base offset gives the offset.
    pub offset_delta: i32,
    /// The key's bytes.
    pub key: Option<&'a [u8]>,
    /// The value's bytes.
    pub value: Option<&'a [u8]>,
    header_count: i32,
    headers: &'a [u8],
}

/// What must be known of a record to append it, to find it or to compact it: neither key, nor value, nor headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    /// Added to the base timestamp gives the timestamp.
    pub timestamp_delta: i64,
    /// Added to the base offset gives the offset.
    pub offset_delta: i32,
    /// Whether there is a key, be it an empty one.
    pub has_key: bool,
    /// Whether there is a value, be it an empty one; a record without one is a tombstone.
    pub has_value: bool,
}

/// Iterates over the `count` records in `payload` (decompressed) without allocating. Records that are malformed, too
/// few or too many end it with an error.
pub fn raw_records(payload: &[u8], count: i32) -> RawRecords<'_> {
    RawRecords { rest: payload, left: count, failed: count < 0 }
}

/// Calls `visit` with what [`raw_records`] would give. Nothing is moved on the way, so that looking at one field of each
/// record costs a few nanoseconds.
///
/// # Errors
/// Where the records are malformed, too few or too many; those in front of it were visited.
pub fn visit_raw_records<'a>(
    payload: &'a [u8],
    count: i32,
    mut visit: impl FnMut(RawRecord<'a>),
) -> Result<(), BatchError> {
    let mut rest = payload;
    for _ in 0..count {
        let record;
        (record, rest) = read_record(rest).map_err(BatchError::InvalidRecord)?;
        visit(record);
    }
    if count < 0 || (count > 0 && !rest.is_empty()) { Err(WRONG_COUNT) } else { Ok(()) }
}

pub(super) const WRONG_COUNT: BatchError = BatchError::InvalidRecord("the number of records is not the declared one");

/// See [`raw_records`].
#[derive(Debug, Clone)]
pub struct RawRecords<'a> {
    rest: &'a [u8],
    left: i32,
    failed: bool,
}

impl<'a> Iterator for RawRecords<'a> {
    type Item = Result<RawRecord<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            self.failed = false;
            self.left = 0;
            self.rest = &[];
            return Some(Err(WRONG_COUNT));
        }
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        match read_record(self.rest) {
            Ok((record, rest)) => {
                self.rest = rest;
                self.failed = self.left == 0 && !rest.is_empty();
                Some(Ok(record))
            }
            Err(reason) => {
                self.left = 0;
                Some(Err(BatchError::InvalidRecord(reason)))
            }
        }
    }
}

/// Iterates over a batch's records as owned values.
#[derive(Debug, Clone)]
pub struct Records {
    header: BatchHeader,
    payload: Bytes,
    /// The payload's bytes already read.
    position: usize,
    left: i32,
}

impl Records {
    pub(super) fn new(header: BatchHeader, payload: Bytes) -> Self {
        Self { header, payload, position: 0, left: header.record_count }
    }

    /// The decompressed records' bytes.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.payload.get(self.position..).unwrap_or_default();
        let mut raw_records = raw_records(rest, self.left);
        let record = match raw_records.next()? {
            Ok(raw) => raw.to_record(&self.header, &self.payload),
            Err(error) => Err(error),
        };
        self.position = self.payload.len() - raw_records.rest.len();
        self.left = match (&record, raw_records.failed) {
            (Err(_), _) => 0,
            // The next call finds a negative count and reports the surplus.
            (_, true) => -1,
            _ => raw_records.left,
        };
        Some(record)
    }
}

impl RecordHead {
    /// The timestamp of this record in a batch with `header`; milliseconds since the Unix epoch. A sum that no number
    /// can hold wraps, as in Kafka.
    #[inline]
    pub fn timestamp(&self, header: &BatchHeader) -> i64 {
        match header.timestamp_type() {
            TimestampType::CreateTime => header.base_timestamp.wrapping_add(self.timestamp_delta),
            TimestampType::LogAppendTime => header.max_timestamp,
        }
    }

    /// The offset of this record in a batch with `header`; saturates at the ends of the number range.
    pub fn offset(&self, header: &BatchHeader) -> i64 {
        header.base_offset.saturating_add(i64::from(self.offset_delta))
    }
}

impl RawRecord<'_> {
    /// What is in front of the key, and whether there are key and value.
    #[inline]
    pub fn head(&self) -> RecordHead {
        let Self { timestamp_delta, offset_delta, key, value, .. } = *self;
        RecordHead { timestamp_delta, offset_delta, has_key: key.is_some(), has_value: value.is_some() }
    }

    /// The owned record; its bytes are slices of `payload`, in which this record must lie.
    fn to_record(self, header: &BatchHeader, payload: &Bytes) -> Result<Record, BatchError> {
        let mut headers = Vec::new();
        let mut rest = self.headers;
        for _ in 0..self.header_count {
            let (key, value);
            ((key, value), rest) = read_header(rest).map_err(BatchError::InvalidRecord)?;
            headers.push((payload.slice_ref(key), value.map(|value| payload.slice_ref(value))));
        }
        Ok(Record {
            offset: self.head().offset(header),
            timestamp: self.head().timestamp(header),
            key: self.key.map(|key| payload.slice_ref(key)),
            value: self.value.map(|value| payload.slice_ref(value)),
            headers,
        })
    }
}

/// The bytes that a number of 32 bits may take.
pub(super) const MAX_VARINT_SIZE: u32 = 5;
/// The bytes that a number of 64 bits may take.
pub(super) const MAX_VARLONG_SIZE: u32 = 10;

/// What is wrong with a record, as [`BatchError::InvalidRecord`] says it: small, so that reading a number costs little.
pub(super) type Malformed = &'static str;

/// What was read, and the bytes behind it. The readers below take and give slices by value, so that all of them together
/// become one loop that keeps its place in a register.
type Parsed<'a, T> = Result<(T, &'a [u8]), Malformed>;

#[expect(clippy::inline_always, reason = "a record given back through memory takes a quarter longer to check")]
#[inline(always)]
pub(super) fn read_record(bytes: &[u8]) -> Parsed<'_, RawRecord<'_>> {
    let (size, bytes) = read_varint(bytes)?;
    let size = usize::try_from(size).map_err(|_| "negative size")?;
    let (body, rest) = bytes.split_at_checked(size).ok_or("the record goes on behind the batch")?;
    Ok((read_body(body)?, rest))
}

#[expect(clippy::inline_always, reason = "as for `read_record`")]
#[inline(always)]
fn read_body(body: &[u8]) -> Result<RawRecord<'_>, Malformed> {
    // The record's own attributes are unused.
    let (_, body) = take(body, 1)?;
    let (timestamp_delta, body) = read_varlong(body)?;
    let (offset_delta, body) = read_varint(body)?;
    let (key, body) = read_nullable(body)?;
    let (value, body) = read_nullable(body)?;
    let (header_count, headers) = read_varint(body)?;
    if header_count != 0 || !headers.is_empty() {
        check_headers(header_count, headers)?;
    }
    Ok(RawRecord { timestamp_delta, offset_delta, key, value, header_count, headers })
}

/// Checks that `headers` are `count` headers and nothing else.
fn check_headers(count: i32, mut headers: &[u8]) -> Result<(), Malformed> {
    if count < 0 {
        return Err("negative number of headers");
    }
    for _ in 0..count {
        (_, headers) = read_header(headers)?;
    }
    if headers.is_empty() { Ok(()) } else { Err("the record is shorter than its size") }
}

fn read_header(bytes: &[u8]) -> Parsed<'_, (&[u8], Option<&[u8]>)> {
    let (key, bytes) = read_nullable(bytes)?;
    let key = key.ok_or("negative size of a header's key")?;
    let (value, bytes) = read_nullable(bytes)?;
    Ok(((key, value), bytes))
}

#[inline]
fn read_nullable(bytes: &[u8]) -> Parsed<'_, Option<&[u8]>> {
    let (size, bytes) = read_varint(bytes)?;
    match usize::try_from(size) {
        Ok(size) => take(bytes, size).map(|(taken, rest)| (Some(taken), rest)),
        Err(_) => Ok((None, bytes)),
    }
}

#[inline]
fn take(bytes: &[u8], size: usize) -> Parsed<'_, &[u8]> {
    bytes.split_at_checked(size).ok_or("a field goes on behind the record")
}

#[inline]
fn read_varint(bytes: &[u8]) -> Parsed<'_, i32> {
    let (raw, rest) = read_unsigned(bytes, MAX_VARINT_SIZE)?;
    Ok((unzigzag_varint(raw), rest))
}

#[inline]
fn read_varlong(bytes: &[u8]) -> Parsed<'_, i64> {
    let (raw, rest) = read_unsigned(bytes, MAX_VARLONG_SIZE)?;
    Ok((unzigzag(raw), rest))
}

/// The signed number of 32 bits.
#[inline]
pub(super) fn unzigzag_varint(raw: u64) -> i32 {
    let raw = raw as u32;
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}

/// The signed number of 64 bits.
#[inline]
pub(super) fn unzigzag(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}

/// Reads seven bits per byte, the lowest first, from at most `max_bytes` bytes. Most numbers have one or two.
#[inline]
fn read_unsigned(bytes: &[u8], max_bytes: u32) -> Parsed<'_, u64> {
    match *bytes {
        [one, ref rest @ ..] if one < 0x80 => Ok((u64::from(one), rest)),
        [one, two, ref rest @ ..] if two < 0x80 => Ok((u64::from(two) << 7 | u64::from(one & 0x7f), rest)),
        _ => read_long_unsigned(bytes, max_bytes),
    }
}

#[cold]
#[inline(never)]
fn read_long_unsigned(mut bytes: &[u8], max_bytes: u32) -> Parsed<'_, u64> {
    let value = collect_unsigned(max_bytes, || {
        let (&byte, rest) = bytes.split_first().ok_or("a number is truncated")?;
        bytes = rest;
        Ok::<_, Malformed>(byte)
    })?;
    Ok((value, bytes))
}

/// Puts a number together from single bytes.
pub(super) fn collect_unsigned<E: From<Malformed>>(
    max_bytes: u32,
    mut next_byte: impl FnMut() -> Result<u8, E>,
) -> Result<u64, E> {
    let mut value = 0;
    for index in 0..max_bytes {
        let byte = next_byte()?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is too long".into())
}
