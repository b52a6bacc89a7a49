//! Reads records out of chunks, wherever one chunk ends and the next begins: keys, values and headers are checked for
//! their shape, passed over, and never put together.

use super::BatchError;
use super::builder::put_varlong;
use super::records::{
    MAX_VARINT_SIZE, MAX_VARLONG_SIZE, RecordHead, WRONG_COUNT, collect_unsigned, read_record, unzigzag,
    unzigzag_varint,
};
use crate::protocol::compression::Chunks;

/// Reads a batch's records one after the other.
///
/// Unlike Kafka, which passes over the fields of a compressed record without comparing them with the record's size, a
/// record whose size lies is an error: no consumer could read it.
pub struct RecordReader<'a> {
    chunks: Chunks<'a>,
    count: i32,
    left: i32,
    /// The front of the record that is being copied.
    front: Vec<u8>,
}

/// A record's timestamp delta and offset delta.
pub type Deltas = (i64, i32);

/// Reads one record's fields, which may not go on behind the record.
struct Body<'r, 'a> {
    chunks: &'r mut Chunks<'a>,
    left: usize,
}

impl<'a> RecordReader<'a> {
    /// A reader of the `count` records in `chunks`.
    pub(super) fn new(chunks: Chunks<'a>, count: i32) -> Self {
        Self { chunks, count, left: count, front: Vec::new() }
    }

    /// The next record; `None` behind the last one, where the content must end, too.
    ///
    /// # Errors
    /// Where the records are malformed, too few or too many, and where they cannot be decompressed. There is nothing to
    /// be read behind an error.
    #[inline]
    pub fn next_head(&mut self) -> Result<Option<RecordHead>, BatchError> {
        self.next_record(|_| ())
    }

    /// As [`RecordReader::next_head`]; gives `visit_key` the key on the way, in one piece or several.
    ///
    /// # Errors
    /// As [`RecordReader::next_head`].
    #[inline]
    pub fn next_record(&mut self, mut visit_key: impl FnMut(&[u8])) -> Result<Option<RecordHead>, BatchError> {
        if self.left <= 0 {
            return self.finish();
        }
        self.left -= 1;
        let unread = self.chunks.unread();
        match read_record(unread) {
            Ok((record, rest)) => {
                let (head, size) = (record.head(), unread.len() - rest.len());
                if let Some(key) = record.key {
                    visit_key(key);
                }
                self.chunks.consume(size);
                Ok(Some(head))
            }
            // It is malformed, or its end is in another chunk.
            Err(_) => self.read_across_chunks(visit_key).map(Some),
        }
    }

    /// Gives `emit` the next record, in pieces and as it is but for what `change` makes of its deltas; `false` behind the
    /// last one.
    ///
    /// # Errors
    /// As [`RecordReader::next_head`], and what `emit` returns.
    pub fn copy_next<E: From<BatchError>>(
        &mut self,
        change: impl FnOnce(Deltas) -> Deltas,
        mut emit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        if self.left <= 0 {
            self.finish()?;
            return Ok(false);
        }
        self.left -= 1;
        let mut body = Body::begin(&mut self.chunks)?;
        let attributes = body.next_byte()?;
        let (timestamp_delta, offset_delta) = change((body.read_varlong()?, body.read_varint()?));
        let front = &mut self.front;
        front.clear();
        front.push(attributes);
        put_varlong(front, timestamp_delta);
        put_varlong(front, i64::from(offset_delta));
        let front_size = front.len();
        put_varlong(front, front_size.saturating_add(body.left) as i64);
        let (front, size) = front.split_at(front_size);
        emit(size)?;
        emit(front)?;
        while body.left > 0 {
            let piece = body.next_piece()?;
            emit(piece)?;
            let length = piece.len();
            body.consume(length);
        }
        Ok(true)
    }

    #[cold]
    fn finish(&mut self) -> Result<Option<RecordHead>, BatchError> {
        // Kafka does not look at what an empty batch holds.
        if self.count == 0 || (self.count > 0 && self.chunks.unread().is_empty() && !self.chunks.advance()?) {
            Ok(None)
        } else {
            Err(WRONG_COUNT)
        }
    }

    #[inline(never)]
    fn read_across_chunks(&mut self, visit_key: impl FnMut(&[u8])) -> Result<RecordHead, BatchError> {
        let mut body = Body::begin(&mut self.chunks)?;
        // The record's own attributes are unused.
        body.next_byte()?;
        let timestamp_delta = body.read_varlong()?;
        let offset_delta = body.read_varint()?;
        let has_key = body.visit_nullable(visit_key)?;
        let has_value = body.skip_nullable()?;
        let header_count = body.read_varint()?;
        if header_count < 0 {
            return Err("negative number of headers".into());
        }
        for _ in 0..header_count {
            if !body.skip_nullable()? {
                return Err("negative size of a header's key".into());
            }
            body.skip_nullable()?;
        }
        if body.left > 0 {
            return Err("the record is shorter than its size".into());
        }
        Ok(RecordHead { timestamp_delta, offset_delta, has_key, has_value })
    }
}

impl<'r, 'a> Body<'r, 'a> {
    /// Reads the size in front of the record.
    fn begin(chunks: &'r mut Chunks<'a>) -> Result<Self, BatchError> {
        let mut body = Self { chunks, left: usize::MAX };
        body.left = usize::try_from(body.read_varint()?).map_err(|_| "negative size")?;
        Ok(body)
    }

    fn consume(&mut self, count: usize) {
        self.chunks.consume(count);
        self.left = self.left.saturating_sub(count);
    }

    /// What the current chunk holds of the record; never empty.
    fn next_piece(&mut self) -> Result<&[u8], BatchError> {
        if self.left == 0 {
            return Err("a field goes on behind the record".into());
        }
        if self.chunks.unread().is_empty() && !self.chunks.advance()? {
            return Err("the record goes on behind the batch".into());
        }
        let unread = self.chunks.unread();
        Ok(unread.get(..self.left).unwrap_or(unread))
    }

    fn next_byte(&mut self) -> Result<u8, BatchError> {
        let byte = self.next_piece()?.first().copied().unwrap_or_default();
        self.consume(1);
        Ok(byte)
    }

    fn read_varint(&mut self) -> Result<i32, BatchError> {
        collect_unsigned(MAX_VARINT_SIZE, || self.next_byte()).map(unzigzag_varint)
    }

    fn read_varlong(&mut self) -> Result<i64, BatchError> {
        collect_unsigned(MAX_VARLONG_SIZE, || self.next_byte()).map(unzigzag)
    }

    /// Passes over a field behind its size; whether there is one.
    fn skip_nullable(&mut self) -> Result<bool, BatchError> {
        self.visit_nullable(|_| ())
    }

    /// As [`Body::skip_nullable`]; gives `visit` the field's pieces.
    fn visit_nullable(&mut self, mut visit: impl FnMut(&[u8])) -> Result<bool, BatchError> {
        let Ok(mut size) = usize::try_from(self.read_varint()?) else { return Ok(false) };
        while size > 0 {
            let piece = self.next_piece()?;
            let piece = piece.get(..size).unwrap_or(piece);
            visit(piece);
            let length = piece.len();
            self.consume(length);
            size -= length;
        }
        Ok(true)
    }
}
