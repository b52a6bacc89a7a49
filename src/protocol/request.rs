//! Request bodies, read without trust.
//!
//! The crate's decoders reserve room for as many array elements as a length on the wire claims, so that five bytes
//! can ask for 150 GB, and a failed allocation aborts the whole process. [`Guard`] stands between the two: it is the
//! buffer that the decoders read from, and it never lets them see an array's length that the frame cannot hold.
//! Nothing here depends on the allocator.

use std::fmt;

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

use super::DecodeError;

/// How many numbers, strings and byte fields one request may consist of. The smallest of them take one or two bytes on
/// the wire and, with the struct around them, about 80 in memory, so this caps a request's decoded size near 100 MB
/// whatever its frame's size. A commit of 250,000 offsets stays below.
const MAX_FIELDS: usize = 1024 * 1024;

/// How many elements any array may claim: room for them, at up to 200 bytes each, is reserved before they are read.
const SMALL_ARRAY: usize = 4096;
/// A longer array's elements take at least this many bytes on the wire each.
const ELEMENT_SIZE: usize = 4;
/// And no array is longer than this: 50 MB at the most.
const LARGEST_ARRAY: usize = 256 * 1024;

/// How far a varint may exceed the bytes that are left: it may be the number of a tagged field, and those are small.
const TOLERATED: usize = 1024;

/// The longest varint of 32 bits.
const VARINT_SIZE: usize = 5;

/// The varint that says that a byte field has one byte.
const LENGTH_OF_ONE: u8 = 2;

/// A request body and what the frame holds beyond it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<R> {
    /// The message; its strings and bytes are slices of the frame.
    pub message: R,
    /// Bytes left behind the body. Kafka ignores them, and so do we.
    pub surplus: usize,
}

/// Decodes a body of version `api_version` without copying its strings and bytes.
///
/// # Errors
/// When the bytes are not a message of that version: truncated, a negative or too large length, null where the schema
/// has none, text that is not UTF-8, or more fields or array elements than any honest request has.
pub fn decode_request<R: Decodable>(body: Bytes, api_version: i16) -> Result<Decoded<R>, DecodeError> {
    let mut guard = Guard::new(body.clone());
    loop {
        let decoded = R::decode(&mut guard, api_version);
        if let Some(excess) = guard.excess {
            return Err(DecodeError::Malformed(excess.to_string()));
        }
        match (decoded, guard.suspect) {
            (Ok(message), _) if !guard.withheld => return Ok(Decoded { message, surplus: guard.bytes.len() }),
            // The decoder read to the end without the numbers that were withheld, so none of them was a length.
            (Ok(_), _) => break,
            (Err(_), Some(place)) => guard = guard.again(body.clone(), place),
            (Err(error), None) => return Err(malformed(&error)),
        }
    }
    let mut bytes = body;
    let message = R::decode(&mut bytes, api_version).map_err(|error| malformed(&error))?;
    Ok(Decoded { message, surplus: bytes.len() })
}

fn malformed(error: &impl ToString) -> DecodeError {
    DecodeError::Malformed(error.to_string())
}

/// Which bound a request goes beyond. The decoder could only say that bytes are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excess {
    Fields,
    Array { elements: usize, left: usize },
}

impl fmt::Display for Excess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fields => write!(formatter, "it has more than the {MAX_FIELDS} fields that one request may have"),
            Self::Array { elements, left } if elements > left => {
                write!(formatter, "an array claims {elements} elements, and {left} bytes are left for them")
            }
            Self::Array { elements, .. } if elements > LARGEST_ARRAY => {
                write!(formatter, "an array has {elements} elements, more than the {LARGEST_ARRAY} that one may have")
            }
            Self::Array { elements, left } => write!(
                formatter,
                "an array of more than {SMALL_ARRAY} elements, here {elements} in {left} bytes, has {ELEMENT_SIZE} bytes \
                 for each at least"
            ),
        }
    }
}

/// A buffer that never lets a decoder see an array's length that is too large.
///
/// What a number is, a length or a plain value, only the decoder knows, and it asks for a byte field's bytes right
/// behind the field's length. So a number that is too large for an array is replaced:
/// - A varint, which is a length or a tag's number, by one that stands for a length of 1. If one byte is asked for
///   next, the bytes that the true length means are handed out; if anything else is, it was an array.
/// - A 32-bit integer by `i32::MIN`: as a length that is an error in every decoder, as a value it changes nothing about
///   what is read next, so that the message can be decoded again without the guard. After such an error it is decoded
///   once more, and the number at that place is treated like a varint.
struct Guard {
    bytes: Bytes,
    fields_left: usize,
    /// A number was replaced by `i32::MIN`.
    withheld: bool,
    /// The last thing read was such a number, with this many bytes behind it, and might have been a byte field's length.
    suspect: Option<usize>,
    /// Where the lengths of 32 bits are that were suspects before.
    lengths: Vec<usize>,
    /// The length in whose stead another was just given.
    owed: Option<Owed>,
    /// Such a length was not that of a byte field, or there were too many fields.
    excess: Option<Excess>,
    /// The bytes that belong to the varint that has begun.
    varint_left: usize,
}

/// A number that was replaced by a small one.
#[derive(Clone, Copy)]
struct Owed {
    number: usize,
    given: usize,
}

impl Guard {
    fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            fields_left: MAX_FIELDS,
            withheld: false,
            suspect: None,
            lengths: Vec::new(),
            owed: None,
            excess: None,
            varint_left: 0,
        }
    }

    /// A guard for another attempt, which knows what this one found out. All attempts share one allowance of fields.
    fn again(self, bytes: Bytes, length: usize) -> Self {
        let mut lengths = self.lengths;
        lengths.push(length);
        Self { fields_left: self.fields_left, lengths, ..Self::new(bytes) }
    }

    fn refuse(&self, requested: usize) -> TryGetError {
        TryGetError { requested, available: self.bytes.len() }
    }

    /// How many elements an array may have when `left` bytes are behind its length.
    fn largest_array(left: usize) -> usize {
        (left / ELEMENT_SIZE).clamp(SMALL_ARRAY, LARGEST_ARRAY)
    }

    /// Notes that something is read which is not a byte field's content.
    fn begin_read(&mut self) -> Result<(), TryGetError> {
        self.suspect = None;
        if let Some(Owed { number, given }) = self.owed.take() {
            let elements = (number + 1).saturating_sub(given);
            self.excess = Some(Excess::Array { elements, left: self.bytes.len() });
        }
        if self.excess.is_some() { Err(self.refuse(usize::MAX)) } else { Ok(()) }
    }

    fn count_field(&mut self) -> Result<(), TryGetError> {
        self.varint_left = 0;
        if let Some(left) = self.fields_left.checked_sub(1) {
            self.fields_left = left;
            return Ok(());
        }
        self.excess = Some(Excess::Fields);
        Err(self.refuse(usize::MAX))
    }

    /// Looks at the varint that may begin here; `Some` is what to read in its stead. Booleans and bytes are read in the
    /// same way: they pass unless they look like the first byte of a varint that is too large.
    fn check_varint(&mut self) -> Result<Option<u8>, TryGetError> {
        self.count_field()?;
        let ahead = self.bytes.get(..VARINT_SIZE).unwrap_or(&self.bytes);
        let Some(last) = ahead.iter().position(|byte| *byte < 0x80) else {
            // Either the frame ends here, and the decoder will notice, or the varint does not.
            return if ahead.len() < VARINT_SIZE { Ok(None) } else { Err(self.refuse(usize::MAX)) };
        };
        let bits = |value: usize, byte: &u8| value << 7 | usize::from(byte & 0x7f);
        let number = ahead.get(..=last).unwrap_or_default().iter().rev().fold(0, bits);
        let left = self.bytes.len() - last - 1;
        if number > left + TOLERATED {
            return Err(self.refuse(number));
        }
        // As a varint a length is written as one more.
        if number <= Self::largest_array(left) + 1 {
            self.varint_left = last;
            return Ok(None);
        }
        self.bytes.advance(last + 1);
        self.owed = Some(Owed { number, given: usize::from(LENGTH_OF_ONE) });
        Ok(Some(LENGTH_OF_ONE))
    }
}

impl Buf for Guard {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        // Nothing can be refused here; the next read will be, or the message at its end.
        let _ = self.begin_read();
        self.varint_left = 0;
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        self.begin_read()?;
        if self.varint_left > 0 {
            self.varint_left -= 1;
        } else if let Some(given) = self.check_varint()? {
            return Ok(given);
        }
        self.bytes.try_get_u8()
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.begin_read()?;
        self.count_field()?;
        let value = self.bytes.try_get_i32()?;
        let left = self.bytes.len();
        let Some(number) = usize::try_from(value).ok().filter(|&number| number > Self::largest_array(left).min(left))
        else {
            return Ok(value);
        };
        if self.lengths.contains(&left) {
            self.owed = Some(Owed { number, given: 1 });
            return Ok(1);
        }
        self.withheld = true;
        self.suspect = (number <= left).then_some(left);
        Ok(i32::MIN)
    }
}

impl ByteBuf for Guard {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.varint_left = 0;
        self.bytes.split_to(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        // A varint may hold a length plus one, so that one less than was given is asked for.
        let size = self.owed.take().map_or(size, |owed| (owed.number + size).saturating_sub(owed.given));
        self.begin_read().and_then(|()| self.count_field()).map_err(|_| NotEnoughBytesError)?;
        if size > self.bytes.len() { Err(NotEnoughBytesError) } else { Ok(self.get_bytes(size)) }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{FetchRequest, MetadataRequest, OffsetFetchRequest, ProduceRequest};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;

    #[test]
    fn a_length_may_be_what_is_left_and_not_more() {
        let topics = |count: i32, names: &[u8]| {
            let mut body = BytesMut::new();
            body.put_i32(count);
            body.put_slice(names);
            decode_request::<MetadataRequest>(body.freeze(), 1).map(|decoded| decoded.surplus)
        };
        assert_eq!(topics(1, b"\0\0"), Ok(0));
        assert_eq!(topics(1, b"\0\0more"), Ok(4));
        for count in [2, 3, i32::MAX, i32::MIN, -2] {
            assert!(topics(count, b"\0\0").is_err(), "{count}");
        }
    }

    #[test]
    fn large_values_that_are_no_lengths_survive() {
        for version in [4, 11, 12, 17] {
            let request = FetchRequest::default().with_max_wait_ms(i32::MAX).with_max_bytes(i32::MAX - 1);
            let mut body = BytesMut::new();
            request.encode(&mut body, version).expect("encodes");
            let decoded = decode_request::<FetchRequest>(body.freeze(), version).expect("decodes");
            assert_eq!((decoded.message, decoded.surplus), (request, 0), "version {version}");
        }
    }

    #[test]
    fn more_fields_than_any_request_has_are_refused() {
        let mut body = BytesMut::new();
        let count = MAX_FIELDS as i32;
        body.put_i32(count);
        body.put_bytes(0, 2 * MAX_FIELDS);
        let decoded = decode_request::<MetadataRequest>(body.freeze(), 1);
        assert!(decoded.is_err_and(|error| error.to_string().contains("elements")), "as an array");
        let topic = OffsetFetchRequestTopic::default().with_name(StrBytes::from_static_str("").into());
        let topics = vec![topic.with_partition_indexes(vec![0; 5]); LARGEST_ARRAY - 1];
        let request = OffsetFetchRequest::default().with_topics(Some(topics));
        let mut body = BytesMut::new();
        request.encode(&mut body, 7).expect("encodes");
        let decoded = decode_request::<OffsetFetchRequest>(body.freeze(), 7);
        assert!(decoded.is_err_and(|error| error.to_string().contains("fields")), "one by one");
    }

    #[test]
    fn a_varint_cannot_hide_behind_a_boolean() {
        let mut guard = Guard::new(Bytes::from_static(b"\x80\x80\x80\x80\x80\x0f"));
        assert!((0..6).any(|_| guard.try_get_u8().is_err()));
        let mut guard = Guard::new(Bytes::from_static(b"\xff\xff\xff\xff\x0f"));
        assert!((0..5).any(|_| guard.try_get_u8().is_err()));
    }

    #[test]
    fn an_array_cannot_claim_more_than_an_honest_one_has() {
        let cases = [
            (1, &b"\x00\x0f\xff\x00"[..], "an array has 1048320 elements, more than the 262144 that one may have"),
            (12, b"\x80\xfe\x3f", "an array has 1048319 elements, more than the 262144 that one may have"),
            (12, b"\x80\x80\x18", "an array has 393215 elements, more than the 262144 that one may have"),
        ];
        for (version, claim, expected) in cases {
            let body = [claim, &vec![0; 1024 * 1024]].concat();
            let error = decode_request::<MetadataRequest>(body.into(), version).expect_err("is refused").to_string();
            assert!(error.contains(expected), "version {version}: {error}");
        }
        let body = [&5_000_i32.to_be_bytes()[..], &[0; 12_000]].concat();
        let error = decode_request::<MetadataRequest>(body.into(), 1).expect_err("is refused").to_string();
        assert!(error.contains("here 5000 in 12000 bytes"), "{error}");
    }

    #[test]
    fn a_long_array_of_the_smallest_elements_is_read_to_its_end() {
        let topic = OffsetFetchRequestTopic::default().with_partition_indexes((0..9_000).collect());
        let request = OffsetFetchRequest::default().with_topics(Some(vec![topic]));
        for version in 5..=7 {
            let mut body = BytesMut::new();
            request.encode(&mut body, version).expect("encodes");
            let decoded = decode_request::<OffsetFetchRequest>(body.freeze(), version).expect("decodes");
            assert_eq!(decoded.message, request, "version {version}");
        }
    }

    #[test]
    fn byte_fields_may_be_as_large_as_the_frame() {
        let large = |size: usize| Bytes::from(vec![7; size]);
        for version in [3, 8, 9, 12] {
            for timeout_ms in [1000, 300_000, 2_000_000] {
                let partitions = [5_000, 800_000, 3, 0, 900_000]
                    .map(|size| PartitionProduceData::default().with_index(1 << 20).with_records(Some(large(size))));
                let topic = TopicProduceData::default()
                    .with_name(StrBytes::from_static_str("t").into())
                    .with_partition_data(partitions.into());
                let request = ProduceRequest::default().with_timeout_ms(timeout_ms).with_topic_data(vec![topic]);
                let mut body = BytesMut::new();
                request.encode(&mut body, version).expect("encodes");
                let decoded = decode_request::<ProduceRequest>(body.freeze(), version).expect("decodes");
                assert_eq!((decoded.message, decoded.surplus), (request, 0), "version {version}");
            }
        }
    }
}
