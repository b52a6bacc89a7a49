//! Request bodies, read without trust.
//!
//! The crate's decoders reserve room for as many array elements as a length on the wire claims, so that five bytes
//! can ask for 150 GB, and a failed allocation aborts the whole process. [`Guard`] stands between the two: it is the
//! buffer that the decoders read from, and it withholds every number that could be such a length and is larger than
//! what is left of the frame. Nothing here depends on the allocator.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

use super::DecodeError;

/// How many numbers, strings and byte fields one request may consist of. The smallest of them take one or two bytes on
/// the wire and, with the struct around them, about 80 in memory, so this caps a request's decoded size near 100 MB
/// whatever its frame's size. A commit of 250,000 offsets stays below.
const MAX_FIELDS: usize = 1024 * 1024;

/// How far a varint may exceed the bytes that are left: it may be the number of a tagged field, and those are small.
const TOLERATED: usize = 1024;

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
/// has none, text that is not UTF-8, or more fields than any honest request has.
pub fn decode_request<R: Decodable>(body: Bytes, api_version: i16) -> Result<Decoded<R>, DecodeError> {
    let mut guard = Guard::new(body.clone());
    let message = R::decode(&mut guard, api_version).map_err(|error| malformed(&error))?;
    if !guard.withheld {
        return Ok(Decoded { message, surplus: guard.bytes.len() });
    }
    // The decoder read to the end without the numbers that were withheld, so none of them was a length.
    drop(message);
    let mut bytes = body;
    let message = R::decode(&mut bytes, api_version).map_err(|error| malformed(&error))?;
    Ok(Decoded { message, surplus: bytes.len() })
}

fn malformed(error: &impl ToString) -> DecodeError {
    DecodeError::Malformed(error.to_string())
}

/// A buffer that never lets a decoder see a length larger than the bytes that are left.
///
/// A 32-bit integer may be a length or a plain value, and the buffer cannot tell which. A large one is replaced by
/// `i32::MIN`: as a length that is an error in every decoder, as a value it changes nothing about what is read next,
/// so that the message can be decoded again without the guard. Unsigned varints are lengths and tag numbers only and
/// are refused when too large.
struct Guard {
    bytes: Bytes,
    fields_left: usize,
    withheld: bool,
    /// The bytes read one by one just before, as long as they say that their varint goes on.
    varint: [u8; 4],
    varint_length: usize,
}

impl Guard {
    fn new(bytes: Bytes) -> Self {
        Self { bytes, fields_left: MAX_FIELDS, withheld: false, varint: [0; 4], varint_length: 0 }
    }

    fn refuse(&self, requested: usize) -> TryGetError {
        TryGetError { requested, available: self.bytes.len() }
    }

    fn count_field(&mut self) -> Result<(), TryGetError> {
        self.varint_length = 0;
        self.fields_left = self.fields_left.checked_sub(1).ok_or_else(|| self.refuse(usize::MAX))?;
        Ok(())
    }

    /// Takes `byte` as the next one of a varint. Booleans are read in the same way and might run into the varint behind
    /// them, so every suffix of the run is looked at as if the varint began there.
    fn check_varint(&mut self, byte: u8) -> Result<(), TryGetError> {
        let run = self.varint.get(..self.varint_length).unwrap_or_default();
        let mut value = u64::from(byte & 0x7f);
        let mut largest = value;
        for earlier in run.iter().rev() {
            value = value << 7 | u64::from(earlier & 0x7f);
            largest = largest.max(value);
        }
        if largest > (self.bytes.len() + TOLERATED) as u64 {
            return Err(self.refuse(largest as usize));
        }
        if byte < 0x80 {
            return self.count_field();
        }
        match self.varint.get_mut(self.varint_length) {
            Some(next) => *next = byte,
            None => return Err(self.refuse(usize::MAX)),
        }
        self.varint_length += 1;
        Ok(())
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
        self.varint_length = 0;
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        self.check_varint(byte)?;
        Ok(byte)
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.count_field()?;
        let value = self.bytes.try_get_i32()?;
        if usize::try_from(value).is_ok_and(|length| length > self.bytes.len()) {
            self.withheld = true;
            return Ok(i32::MIN);
        }
        Ok(value)
    }
}

impl ByteBuf for Guard {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.varint_length = 0;
        self.bytes.split_to(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        if self.count_field().is_err() || size > self.bytes.len() {
            return Err(NotEnoughBytesError);
        }
        Ok(self.get_bytes(size))
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::{FetchRequest, MetadataRequest};
    use kafka_protocol::protocol::Encodable;

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
        assert!(decode_request::<MetadataRequest>(body.freeze(), 1).is_err());
    }

    #[test]
    fn a_varint_cannot_hide_behind_a_boolean() {
        let mut guard = Guard::new(Bytes::from_static(b"\x80\x80\x80\x80\x80\x0f"));
        assert!((0..6).any(|_| guard.try_get_u8().is_err()));
        let mut guard = Guard::new(Bytes::from_static(b"\xff\xff\xff\xff\x0f"));
        assert!((0..5).any(|_| guard.try_get_u8().is_err()));
    }
}
