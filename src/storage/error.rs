//! What can go wrong with a log, in mechanical terms; `api/error.rs` gives the Kafka error codes.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::protocol::compression::CompressionError;
use crate::protocol::record_batch::BatchError;

/// The file system failed, or what it gave back is damaged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// A system call failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried, as in "cannot write".
        action: &'static str,
        /// The file or directory.
        path: Arc<str>,
        /// The operating system's answer.
        source: Arc<io::Error>,
    },
    /// An earlier failure took the log directory offline; only a restart brings it back.
    #[error("log directory {path} is offline: {reason}")]
    Offline {
        /// The log directory.
        path: Arc<str>,
        /// What failed.
        reason: Arc<str>,
    },
    /// Bytes in a file are not what was written there.
    #[error("{path} is corrupt at position {position}: {detail}")]
    Corrupt {
        /// The file.
        path: Arc<str>,
        /// The byte at which the damage shows.
        position: u64,
        /// What is wrong.
        detail: Arc<str>,
    },
}

impl StorageError {
    /// Wraps a failed system call; for use with `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path: path.into(), source: Arc::new(source) }
    }

    /// Whether, where something was to be written, the log directory cannot be trusted any more. A full disk and too
    /// many open files pass by themselves, and damage in one segment says nothing about the others.
    pub(super) fn is_fatal(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        !self.is_full() && !Self::is_shortage(source)
    }

    /// Whether the volume has no room, or its user no more of it.
    fn is_full(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// What whoever runs the broker can do about it, as the end of a line in the log.
    pub fn advice(&self) -> &'static str {
        match self {
            _ if self.is_full() => {
                "free some space, or delete topics or records, or lower retention.bytes: producing goes on by itself then"
            }
            Self::Io { source, .. } if Self::is_shortage(source) => {
                "raise the limit of open files (ulimit -n): what failed is tried again"
            }
            Self::Io { .. } | Self::Offline { .. } => {
                "look at the disk and the system's log; a new start recovers what is on the disk"
            }
            Self::Corrupt { .. } => "the file is damaged: what lies at that position cannot be read",
        }
    }

    /// Whether the failure passes by itself: the disk is full, or too many files are open.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Io { .. }) && !self.is_fatal()
    }

    /// The file or directory that is not there, where that is the failure.
    pub(super) fn missing_path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => Some(Path::new(&**path)),
            _ => None,
        }
    }

    /// Whether there was no descriptor for one more file.
    pub(super) fn is_shortage(error: &io::Error) -> bool {
        [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
            .iter()
            .any(|shortage| error.raw_os_error() == Some(shortage.raw_os_error()))
    }
}

/// One record of a rejected batch, as Produce v8 reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// The record's place in the batch, from 0.
    pub batch_index: i32,
    /// What is wrong with it.
    pub message: String,
}

/// Why records were not appended. Nothing was written, unless it is a [`StorageError`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// A checksum or a length does not fit the bytes (`CORRUPT_MESSAGE`).
    #[error("{0}")]
    CorruptMessage(String),
    /// The batch, or some of its records, break a rule (`INVALID_RECORD`).
    #[error("{message}")]
    InvalidRecord {
        /// For the client.
        message: String,
        /// The records at fault, when single ones are.
        record_errors: Vec<RecordError>,
    },
    /// A timestamp is too far from the broker's clock, or the producer claims the broker gave it (`INVALID_TIMESTAMP`).
    #[error("{message}")]
    InvalidTimestamp {
        /// For the client.
        message: String,
        /// The records at fault.
        record_errors: Vec<RecordError>,
    },
    /// The batch is larger than `max.message.bytes` (`MESSAGE_TOO_LARGE`).
    #[error("the record batch of {size} bytes exceeds max.message.bytes ({max})")]
    MessageTooLarge {
        /// The batch's bytes; of one that is compressed anew, which is given up when it grows too large, one more than
        /// the limit.
        size: usize,
        /// The configured limit.
        max: usize,
    },
    /// The batch is larger than a segment may be (`RECORD_LIST_TOO_LARGE`).
    #[error("the record batch of {size} bytes exceeds segment.bytes ({max})")]
    RecordListTooLarge {
        /// The batch's bytes.
        size: usize,
        /// The configured limit.
        max: usize,
    },
    /// Codecs 5 to 7 do not exist (`UNSUPPORTED_COMPRESSION_TYPE`).
    #[error("unknown compression codec {0}")]
    UnsupportedCompressionType(u8),
    /// The producer's sequence number does not follow its last one (`OUT_OF_ORDER_SEQUENCE_NUMBER`).
    #[error("{0}")]
    OutOfOrderSequenceNumber(String),
    /// A newer instance of the producer has written already (`INVALID_PRODUCER_EPOCH`).
    #[error("{0}")]
    InvalidProducerEpoch(String),
    /// A batch outside of a transaction while the producer has one open (`INVALID_TXN_STATE`).
    #[error("{0}")]
    InvalidTxnState(String),
    /// A newer transaction coordinator has ended a transaction of the producer (`TRANSACTION_COORDINATOR_FENCED`).
    #[error("{0}")]
    TransactionCoordinatorFenced(String),
    /// Replicated batches are not in the order of their offsets.
    #[error("the offsets of the replicated batches do not increase")]
    OffsetsOutOfOrder,
    /// A replicated batch begins before the log's end.
    #[error("the replicated batch begins at offset {first_offset}, before the log end offset {log_end_offset}")]
    UnexpectedOffset {
        /// Where the batch begins.
        first_offset: i64,
        /// Where the log ends.
        log_end_offset: i64,
    },
    /// Nothing is wrong with the records (`KAFKA_STORAGE_ERROR`).
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl AppendError {
    /// An [`AppendError::InvalidRecord`] that concerns the batch as a whole.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidRecord { message: message.into(), record_errors: Vec::new() }
    }
}

impl From<BatchError> for AppendError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Truncated
            | BatchError::InvalidLength(_)
            | BatchError::InvalidMagic(_)
            | BatchError::InvalidCrc { .. } => Self::CorruptMessage(error.to_string()),
            BatchError::UnsupportedMagic(_) | BatchError::InvalidRecord(_) => Self::invalid(error.to_string()),
            BatchError::Compression(error) => error.into(),
        }
    }
}

impl From<CompressionError> for AppendError {
    /// Unlike Kafka, which throws inside where compressed data is damaged and answers `UNKNOWN_SERVER_ERROR`, with which
    /// clients send the same bytes again: the record is invalid, and stays so.
    fn from(error: CompressionError) -> Self {
        match error {
            CompressionError::UnknownCodec(codec) => Self::UnsupportedCompressionType(codec),
            CompressionError::TooLarge(_) | CompressionError::Malformed(..) => Self::invalid(error.to_string()),
        }
    }
}

/// Why nothing can be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The log does not hold the offset (`OFFSET_OUT_OF_RANGE`).
    #[error("offset {offset} is not in the log's range {log_start_offset}..={log_end_offset}")]
    OutOfRange {
        /// What was asked for.
        offset: i64,
        /// The log's first offset.
        log_start_offset: i64,
        /// The offset behind the log's last.
        log_end_offset: i64,
    },
    /// The file system failed or the segment is damaged (`KAFKA_STORAGE_ERROR`).
    #[error(transparent)]
    Storage(#[from] StorageError),
}
