//! Compresses a batch's records anew: in the topic's own codec, or because their offsets must be made right.

use std::io::{self, ErrorKind, Write};

use bytes::Bytes;

use super::{AppendError, LogConfig};
use crate::protocol::compression::{Compression, Compressor, Decompressor};
use crate::protocol::record_batch::{HEADER_SIZE, RecordBatch};

/// What comes behind the header of a batch with the same records, compressed with `target` and with consecutive offsets.
/// The records pass through a chunk at a time; no more is kept than the topic takes.
///
/// # Errors
/// [`AppendError::MessageTooLarge`] as soon as the batch is larger than that.
pub(super) fn recompress(
    batch: &RecordBatch,
    target: Compression,
    decompressor: &mut Decompressor,
    config: &LogConfig,
) -> Result<Bytes, AppendError> {
    let max = config.max_message_bytes as usize;
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::FileTooLarge => AppendError::MessageTooLarge { size: max.saturating_add(1), max },
        _ => AppendError::invalid(format!("the records cannot be compressed: {error}")),
    };
    let sink = Bounded { bytes: Vec::new(), max: max.saturating_sub(HEADER_SIZE) };
    let mut compressor = Compressor::new(target, sink, None).map_err(failed)?;
    let mut reader = batch.reader(decompressor, config.decompressed_limit())?;
    let mut offset_delta = 0;
    while reader.copy_next(
        |(timestamp_delta, _)| (timestamp_delta, offset_delta),
        |piece| compressor.write_all(piece).map_err(failed),
    )? {
        offset_delta = offset_delta.saturating_add(1);
    }
    Ok(Bytes::from(compressor.finish().map_err(failed)?.bytes))
}

/// Takes no more than `max` bytes; [`ErrorKind::FileTooLarge`] says that there were more.
pub(super) struct Bounded {
    pub(super) bytes: Vec<u8>,
    pub(super) max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.max.saturating_sub(self.bytes.len()) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
