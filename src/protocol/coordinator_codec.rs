//! Reading and writing the primitive types of coordinator records: guarded, so that no bytes of a damaged log panic or
//! reserve memory that the record does not have.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// Why a coordinator record cannot be decoded or encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CoordinatorRecordError {
    /// The record ends inside a field.
    #[error("the coordinator record ends inside a field")]
    Truncated,
    /// A length is negative where it must not be, or larger than its type allows.
    #[error("a length in the coordinator record is out of range")]
    BadLength,
    /// A string is not UTF-8.
    #[error("a string in the coordinator record is not UTF-8")]
    NotUtf8,
    /// The value is of a version that is not known.
    #[error("version {0} of a coordinator record's value is not known")]
    UnknownVersion(i16),
    /// A transaction is in a state that there is not.
    #[error("{0} is no state of a transaction")]
    UnknownState(i8),
    /// A field exceeds what its type can hold on disk.
    #[error("a field is too long for a coordinator record")]
    TooLong,
}

/// Takes fields from the front of a record.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, flexible: false }
    }

    /// From here on in compact encodings and with tagged fields (KIP-482).
    pub(super) fn flexible(self, flexible: bool) -> Self {
        Self { flexible, ..self }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CoordinatorRecordError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CoordinatorRecordError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CoordinatorRecordError> {
        self.take(N)?.try_into().map_err(|_| CoordinatorRecordError::Truncated)
    }

    pub(super) fn int8(&mut self) -> Result<i8, CoordinatorRecordError> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn int16(&mut self) -> Result<i16, CoordinatorRecordError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn int32(&mut self) -> Result<i32, CoordinatorRecordError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn int64(&mut self) -> Result<i64, CoordinatorRecordError> {
        self.array().map(i64::from_be_bytes)
    }

    fn unsigned_varint(&mut self) -> Result<u32, CoordinatorRecordError> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CoordinatorRecordError::BadLength)
    }

    /// A length, or `None` for null: fixed width `N`, or a varint of the length plus one.
    fn length(
        &mut self,
        fixed: fn(&mut Self) -> Result<i32, CoordinatorRecordError>,
    ) -> Result<Option<usize>, CoordinatorRecordError> {
        if self.flexible {
            return Ok((self.unsigned_varint()? as usize).checked_sub(1));
        }
        match fixed(self)? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| CoordinatorRecordError::BadLength),
        }
    }

    pub(super) fn nullable_string(&mut self) -> Result<Option<Arc<str>>, CoordinatorRecordError> {
        let Some(length) = self.length(|reader| reader.int16().map(i32::from))? else { return Ok(None) };
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| CoordinatorRecordError::NotUtf8)?;
        Ok(Some(text.into()))
    }

    pub(super) fn string(&mut self) -> Result<Arc<str>, CoordinatorRecordError> {
        self.nullable_string()?.ok_or(CoordinatorRecordError::BadLength)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, CoordinatorRecordError> {
        let length = self.length(Self::int32)?.ok_or(CoordinatorRecordError::BadLength)?;
        Ok(Bytes::copy_from_slice(self.take(length)?))
    }

    pub(super) fn nullable_array_length(&mut self) -> Result<Option<usize>, CoordinatorRecordError> {
        self.length(Self::int32)
    }

    pub(super) fn array_length(&mut self) -> Result<usize, CoordinatorRecordError> {
        self.nullable_array_length()?.ok_or(CoordinatorRecordError::BadLength)
    }

    /// Skips tagged fields, which a reader that does not know them must do; there are none before flexible versions.
    pub(super) fn tagged_fields(&mut self) -> Result<(), CoordinatorRecordError> {
        self.visit_tagged_fields(|_, _| Ok(()))
    }

    /// Hands each tagged field to `visit`, as its tag and its bytes.
    pub(super) fn visit_tagged_fields(
        &mut self,
        mut visit: impl FnMut(u32, &[u8]) -> Result<(), CoordinatorRecordError>,
    ) -> Result<(), CoordinatorRecordError> {
        if self.flexible {
            for _ in 0..self.unsigned_varint()? {
                let tag = self.unsigned_varint()?;
                let length = self.unsigned_varint()? as usize;
                visit(tag, self.take(length)?)?;
            }
        }
        Ok(())
    }
}

/// Writes a string: its length as an int16 and its bytes.
pub(super) fn put_string(buffer: &mut BytesMut, text: &str) -> Result<(), CoordinatorRecordError> {
    let length = i16::try_from(text.len()).map_err(|_| CoordinatorRecordError::TooLong)?;
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Writes a string, or the length -1 for null.
pub(super) fn put_nullable_string(buffer: &mut BytesMut, text: Option<&str>) -> Result<(), CoordinatorRecordError> {
    if let Some(text) = text {
        return put_string(buffer, text);
    }
    buffer.extend_from_slice(&(-1i16).to_be_bytes());
    Ok(())
}

/// Writes bytes: their length as an int32 and themselves.
pub(super) fn put_bytes(buffer: &mut BytesMut, bytes: &[u8]) -> Result<(), CoordinatorRecordError> {
    let length = i32::try_from(bytes.len()).map_err(|_| CoordinatorRecordError::TooLong)?;
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(bytes);
    Ok(())
}

/// The bytes of a tagged field that is an int16.
pub(super) fn tagged_int16(bytes: &[u8]) -> Result<i16, CoordinatorRecordError> {
    bytes.try_into().map(i16::from_be_bytes).map_err(|_| CoordinatorRecordError::BadLength)
}

/// The bytes of a tagged field that is an int64.
pub(super) fn tagged_int64(bytes: &[u8]) -> Result<i64, CoordinatorRecordError> {
    bytes.try_into().map(i64::from_be_bytes).map_err(|_| CoordinatorRecordError::BadLength)
}

fn put_unsigned_varint(buffer: &mut BytesMut, mut value: u32) {
    while value > 0x7f {
        buffer.extend_from_slice(&[(value & 0x7f) as u8 | 0x80]);
        value >>= 7;
    }
    buffer.extend_from_slice(&[value as u8]);
}

/// Writes a length in its compact form, or that there is none.
pub(super) fn put_compact_length(buffer: &mut BytesMut, length: Option<usize>) -> Result<(), CoordinatorRecordError> {
    let value = length.map_or(Some(0), |length| u32::try_from(length).ok()?.checked_add(1));
    put_unsigned_varint(buffer, value.ok_or(CoordinatorRecordError::TooLong)?);
    Ok(())
}

/// Writes a string in its compact form; its bytes may be as many as in the other.
pub(super) fn put_compact_string(buffer: &mut BytesMut, text: &str) -> Result<(), CoordinatorRecordError> {
    i16::try_from(text.len()).map_err(|_| CoordinatorRecordError::TooLong)?;
    put_compact_length(buffer, Some(text.len()))?;
    buffer.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Writes tagged fields, each a tag and its bytes, in the order of their tags.
pub(super) fn put_tagged_fields(
    buffer: &mut BytesMut,
    fields: &[(u32, Vec<u8>)],
) -> Result<(), CoordinatorRecordError> {
    let count = |length| u32::try_from(length).map_err(|_| CoordinatorRecordError::TooLong);
    put_unsigned_varint(buffer, count(fields.len())?);
    for (tag, bytes) in fields {
        put_unsigned_varint(buffer, *tag);
        put_unsigned_varint(buffer, count(bytes.len())?);
        buffer.extend_from_slice(bytes);
    }
    Ok(())
}
