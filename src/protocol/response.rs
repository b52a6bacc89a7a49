//! Responses to frames: length prefix, response header, body, in one buffer of the exact size.

use bytes::{BufMut, BytesMut};
use kafka_protocol::protocol::{Encodable, HeaderVersion};

use super::EncodeError;
use super::frame::Frame;

/// The length prefix of every frame.
pub const LENGTH_SIZE: usize = 4;

/// Encodes a response to a request of `api_version`.
///
/// The header's version follows from the message: 1 where the response is flexible, else 0, and always 0 for
/// ApiVersions, whose reader does not yet know what the broker speaks.
///
/// # Errors
/// When a field is set that the version does not have, or the frame would exceed 2 GiB.
pub fn encode_response<T: Encodable + HeaderVersion>(
    correlation_id: i32,
    api_version: i16,
    response: &T,
) -> Result<Frame, EncodeError> {
    let size = response.compute_size(api_version).map_err(|error| EncodeError::new(api_version, &error))?;
    let mut buffer = BytesMut::with_capacity(LENGTH_SIZE + RESPONSE_HEADER_MAX_SIZE + size);
    buffer.put_i32(0);
    put_header::<T>(&mut buffer, correlation_id, api_version);
    response.encode(&mut buffer, api_version).map_err(|error| EncodeError::new(api_version, &error))?;
    put_length(&mut buffer, 0, api_version)?;
    Ok(Frame::new(buffer.freeze()))
}

/// Correlation id and an empty set of tagged fields.
pub(super) const RESPONSE_HEADER_MAX_SIZE: usize = 5;

/// Writes the response header that fits messages of type `T` at `api_version`.
pub(super) fn put_header<T: HeaderVersion>(buffer: &mut BytesMut, correlation_id: i32, api_version: i16) {
    buffer.put_i32(correlation_id);
    if T::header_version(api_version) >= 1 {
        buffer.put_u8(0);
    }
}

/// Fills in the length prefix that `buffer` starts with; `elsewhere` counts the frame's bytes outside of it.
pub(super) fn put_length(buffer: &mut BytesMut, elsewhere: usize, api_version: i16) -> Result<(), EncodeError> {
    let length = i32::try_from(buffer.len() - LENGTH_SIZE + elsewhere)
        .map_err(|_| EncodeError::new(api_version, &"the frame exceeds 2 GiB"))?;
    if let Some(prefix) = buffer.first_chunk_mut::<LENGTH_SIZE>() {
        *prefix = length.to_be_bytes();
    }
    Ok(())
}
