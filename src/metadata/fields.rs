//! The fields of records as bytes.
//!
//! Numbers are big-endian, a string or list has a u32 length in front, an option a u8 that is 0 or 1. Reading is guarded:
//! a length from the bytes allocates nothing that the bytes at hand do not fill.

use bytes::{Buf, BufMut};

use super::error::MetadataDecodeError;
use crate::ids::{NodeId, Uuid};

pub(super) fn put_nodes(nodes: &[NodeId], buffer: &mut Vec<u8>) {
    buffer.put_u32(length(nodes.len()));
    for node in nodes {
        buffer.put_i32(*node);
    }
}

pub(super) fn nodes(bytes: &mut &[u8]) -> Result<Vec<NodeId>, MetadataDecodeError> {
    list(bytes, int)
}

pub(super) fn put_string(string: &str, buffer: &mut Vec<u8>) {
    put_byte_string(string.as_bytes(), buffer);
}

pub(super) fn string<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, MetadataDecodeError> {
    std::str::from_utf8(byte_string(bytes)?).map_err(|_| MetadataDecodeError::InvalidField)
}

pub(super) fn put_byte_string(bytes: &[u8], buffer: &mut Vec<u8>) {
    buffer.put_u32(length(bytes.len()));
    buffer.put_slice(bytes);
}

pub(super) fn byte_string<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], MetadataDecodeError> {
    let size = number(bytes)? as usize;
    let (string, rest) = bytes.split_at_checked(size).ok_or(MetadataDecodeError::Truncated)?;
    *bytes = rest;
    Ok(string)
}

pub(super) fn put_option<T: ?Sized>(option: Option<&T>, buffer: &mut Vec<u8>, put: impl FnOnce(&T, &mut Vec<u8>)) {
    buffer.put_u8(u8::from(option.is_some()));
    if let Some(value) = option {
        put(value, buffer);
    }
}

pub(super) fn option<T>(
    bytes: &mut &[u8],
    value: impl FnOnce(&mut &[u8]) -> Result<T, MetadataDecodeError>,
) -> Result<Option<T>, MetadataDecodeError> {
    if flag(bytes)? { value(bytes).map(Some) } else { Ok(None) }
}

/// A list whose items take at least one byte each, so that its count cannot make it grow beyond the bytes at hand.
pub(super) fn list<T>(
    bytes: &mut &[u8],
    item: impl Fn(&mut &[u8]) -> Result<T, MetadataDecodeError>,
) -> Result<Vec<T>, MetadataDecodeError> {
    (0..number(bytes)?).map(|_| item(bytes)).collect()
}

/// Lengths are those of things in memory that passed the limits on requests, far below 2^32.
pub(super) fn length(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

pub(super) fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], MetadataDecodeError> {
    let (array, rest) = bytes.split_first_chunk().ok_or(MetadataDecodeError::Truncated)?;
    *bytes = rest;
    Ok(*array)
}

pub(super) fn flag(bytes: &mut &[u8]) -> Result<bool, MetadataDecodeError> {
    match array(bytes)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(MetadataDecodeError::InvalidField),
    }
}

pub(super) fn uuid(bytes: &mut &[u8]) -> Result<Uuid, MetadataDecodeError> {
    array(bytes).map(Uuid::from_bytes)
}

pub(super) fn port(bytes: &mut &[u8]) -> Result<u16, MetadataDecodeError> {
    bytes.try_get_u16().map_err(|_| MetadataDecodeError::Truncated)
}

pub(super) fn number(bytes: &mut &[u8]) -> Result<u32, MetadataDecodeError> {
    array(bytes).map(u32::from_be_bytes)
}

pub(super) fn short(bytes: &mut &[u8]) -> Result<i16, MetadataDecodeError> {
    array(bytes).map(i16::from_be_bytes)
}

pub(super) fn int(bytes: &mut &[u8]) -> Result<i32, MetadataDecodeError> {
    array(bytes).map(i32::from_be_bytes)
}

pub(super) fn long(bytes: &mut &[u8]) -> Result<i64, MetadataDecodeError> {
    array(bytes).map(i64::from_be_bytes)
}
