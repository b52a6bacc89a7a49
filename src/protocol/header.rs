//! The request header, versions 1 and 2, read without trust.
//!
//! The crate's own header decoder panics on frames shorter than four bytes and keeps unknown tagged fields; this one
//! does neither. It also reads the header of versions and keys that are not served, because the answer to an
//! unsupported ApiVersions, and the log line about any other, need what stands in it.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ApiKey;

use super::DecodeError;

/// Key, version and correlation id: what every header starts with.
const FIXED_SIZE: usize = 8;

/// What precedes the body of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API is asked; not necessarily one that exists.
    pub api_key: i16,
    /// In which version; not necessarily one that exists.
    pub api_version: i16,
    /// What the answer must repeat.
    pub correlation_id: i32,
    /// A slice of the frame; `None` where the client sends null. Kafka does not insist on UTF-8 here.
    pub client_id: Option<Bytes>,
}

impl RequestHeader {
    /// Reads the header and advances `frame` to the body.
    ///
    /// # Errors
    /// When the frame ends before the header does, or a length in it is negative or reaches past the end.
    pub fn decode(frame: &mut Bytes) -> Result<Self, DecodeError> {
        if frame.len() < FIXED_SIZE {
            return Err(DecodeError::TooShort(frame.len()));
        }
        let api_key = frame.get_i16();
        let api_version = frame.get_i16();
        let correlation_id = frame.get_i32();
        let client_id = nullable_string(frame)?;
        if is_flexible(api_key, api_version) {
            skip_tagged_fields(frame)?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }
}

/// The API key and version that a frame starts with, from its first four bytes.
pub fn peek_api(start: [u8; 4]) -> (i16, i16) {
    let [key_high, key_low, version_high, version_low] = start;
    (i16::from_be_bytes([key_high, key_low]), i16::from_be_bytes([version_high, version_low]))
}

fn is_flexible(api_key: i16, api_version: i16) -> bool {
    ApiKey::try_from(api_key).is_ok_and(|api| api.request_header_version(api_version) >= 2)
}

fn nullable_string(frame: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
    match frame.try_get_i16().map_err(|error| malformed(&error))? {
        -1 => Ok(None),
        length => take(frame, i64::from(length)).map(Some),
    }
}

/// Advances `frame` behind the tagged fields that it starts with: what requests' headers end with, and what stands in
/// responses' behind the correlation id.
///
/// # Errors
/// When the frame ends before they do.
pub fn skip_tagged_fields(frame: &mut Bytes) -> Result<(), DecodeError> {
    for _ in 0..unsigned_varint(frame)? {
        let _tag = unsigned_varint(frame)?;
        let size = unsigned_varint(frame)?;
        take(frame, i64::from(size))?;
    }
    Ok(())
}

fn take(frame: &mut Bytes, length: i64) -> Result<Bytes, DecodeError> {
    match usize::try_from(length) {
        Ok(length) if length <= frame.len() => Ok(frame.split_to(length)),
        _ => Err(malformed(&format_args!("a length of {length} with {} bytes left", frame.len()))),
    }
}

fn unsigned_varint(frame: &mut Bytes) -> Result<u32, DecodeError> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = frame.try_get_u8().map_err(|error| malformed(&error))?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(malformed(&"a varint longer than five bytes"))
}

fn malformed(reason: &dyn std::fmt::Display) -> DecodeError {
    DecodeError::Malformed(format!("request header: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(frame: &'static [u8]) -> Result<(RequestHeader, Bytes), DecodeError> {
        let mut frame = Bytes::from_static(frame);
        RequestHeader::decode(&mut frame).map(|header| (header, frame))
    }

    #[test]
    fn frames_too_short_for_a_header_are_refused_at_every_length() {
        let frame = b"\x00\x12\x00\x03\x00\x00\x00\x07\x00\x01c\x00";
        for length in 0..frame.len() {
            assert!(decode(&frame[..length]).is_err(), "{length} bytes");
        }
        let (header, body) = decode(frame).expect("complete");
        assert_eq!((header.api_key, header.api_version, header.correlation_id), (18, 3, 7));
        assert_eq!((header.client_id.as_deref(), body.len()), (Some(&b"c"[..]), 0));
    }

    #[test]
    fn null_and_non_utf8_client_ids_are_accepted_and_other_negative_lengths_are_not() {
        let (header, _) = decode(b"\x00\x03\x00\x00\x00\x00\x00\x07\xff\xff").expect("null client id");
        assert_eq!(header.client_id, None);
        let (header, _) = decode(b"\x00\x03\x00\x00\x00\x00\x00\x07\x00\x01\xff").expect("any bytes");
        assert_eq!(header.client_id.as_deref(), Some(&b"\xff"[..]));
        assert!(decode(b"\x00\x03\x00\x00\x00\x00\x00\x07\xff\xfe").is_err());
    }

    #[test]
    fn tagged_fields_are_skipped_and_hostile_ones_refused() {
        let (_, body) = decode(b"\x00\x12\x00\x03\x00\x00\x00\x07\xff\xff\x02\x05\x01x\x05\x00BODY").expect("two tags");
        assert_eq!(&body[..], b"BODY");
        assert!(decode(b"\x00\x12\x00\x03\x00\x00\x00\x07\xff\xff\x01\x05\xff\xff\xff\xff\x0f").is_err());
        assert!(decode(b"\x00\x12\x00\x03\x00\x00\x00\x07\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn headers_of_unknown_keys_and_versions_are_read() {
        let (header, _) = decode(b"\x03\xe8\x00\x00\x00\x00\x00\x07\x00\x01c").expect("key 1000");
        assert_eq!(header.api_key, 1000);
        let (header, body) = decode(b"\x00\x12\x00\x63\x00\x00\x00\x07\x00\x01c\x00rest").expect("ApiVersions v99");
        assert_eq!((header.api_version, &body[..]), (99, &b"rest"[..]));
        let (header, _) = decode(b"\x00\x12\xff\xff\x00\x00\x00\x07\x00\x01c").expect("negative version");
        assert_eq!(header.api_version, -1);
    }
}
