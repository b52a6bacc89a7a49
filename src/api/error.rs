//! Every mechanical error to Kafka's error code, in exhaustive matches, and nowhere else.

use std::borrow::Cow;

use crate::protocol::record_batch::BatchError;
use crate::protocol::{DecodeError, EncodeError, ErrorCode};
use crate::replication::hosted_partition::{self, HostedPartition};
use crate::storage::{self, RecordError, StorageError};

/// Why a handler gives no answer at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The connection is to be closed; what it says goes into the log.
    #[error("{0}")]
    Close(Cow<'static, str>),
}

impl ApiError {
    /// Closes the connection for `reason`: a phrase that ends the sentence "closed the connection: ...".
    pub fn close(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Close(reason.into())
    }
}

/// Kafka closes connections whose requests it cannot parse.
impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        Self::close(error.to_string())
    }
}

/// A response that cannot be written leaves a client waiting; a closed connection makes it try again.
impl From<EncodeError> for ApiError {
    fn from(error: EncodeError) -> Self {
        Self::close(error.to_string())
    }
}

/// Why records were not appended, as a producer is told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendFailure {
    /// The partition's error code.
    pub code: ErrorCode,
    /// More about it, where there is more.
    pub message: Option<String>,
    /// The records at fault, when single ones are.
    pub record_errors: Vec<RecordError>,
    /// The log start offset, where Kafka tells it beside the error: when the log itself found fault with the records.
    pub log_start_offset: Option<i64>,
}

impl AppendFailure {
    /// Records that break a rule.
    pub fn invalid_record(message: String) -> Self {
        Self { message: Some(message), ..ErrorCode::InvalidRecord.into() }
    }

    /// Bytes that are no record batch.
    pub fn from_batch_error(error: &BatchError) -> Self {
        let code = match error {
            BatchError::UnsupportedMagic(_) => ErrorCode::InvalidRecord,
            _ => ErrorCode::CorruptMessage,
        };
        Self { message: Some(error.to_string()), ..code.into() }
    }
}

impl From<ErrorCode> for AppendFailure {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, record_errors: Vec::new(), log_start_offset: None }
    }
}

/// What the producer is told; a failing disk is logged here, because here it is handled.
pub fn append_failure(error: hosted_partition::PartitionAppendError, hosted: &HostedPartition) -> AppendFailure {
    use storage::AppendError as Log;
    let error = match error {
        hosted_partition::PartitionAppendError::Refused(code) => return code.into(),
        hosted_partition::PartitionAppendError::Log(error) => error,
    };
    let message = Some(error.to_string());
    let (code, record_errors) = match error {
        Log::CorruptMessage(_) => (ErrorCode::CorruptMessage, Vec::new()),
        Log::InvalidRecord { record_errors, .. } => (ErrorCode::InvalidRecord, record_errors),
        Log::InvalidTimestamp { record_errors, .. } => (ErrorCode::InvalidTimestamp, record_errors),
        Log::MessageTooLarge { .. } => (ErrorCode::MessageTooLarge, Vec::new()),
        Log::RecordListTooLarge { .. } => (ErrorCode::RecordListTooLarge, Vec::new()),
        Log::UnsupportedCompressionType(_) => (ErrorCode::UnsupportedCompressionType, Vec::new()),
        Log::OutOfOrderSequenceNumber(_) => (ErrorCode::OutOfOrderSequenceNumber, Vec::new()),
        Log::InvalidProducerEpoch(_) => (ErrorCode::InvalidProducerEpoch, Vec::new()),
        Log::InvalidTxnState(_) => (ErrorCode::InvalidTxnState, Vec::new()),
        Log::TransactionCoordinatorFenced(_) => (ErrorCode::TransactionCoordinatorFenced, Vec::new()),
        // Only replicated batches carry offsets; a producer's have been refused before.
        Log::OffsetsOutOfOrder | Log::UnexpectedOffset { .. } => (ErrorCode::InvalidRecord, Vec::new()),
        // What took the directory offline was logged then.
        Log::Storage(StorageError::Offline { .. }) => (ErrorCode::KafkaStorageError, Vec::new()),
        Log::Storage(error) => {
            hosted.log_storage_error("appending to the log", &error);
            (ErrorCode::KafkaStorageError, Vec::new())
        }
    };
    let is_told_without_offset = matches!(
        code,
        ErrorCode::CorruptMessage
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::KafkaStorageError
    );
    let offsets = if is_told_without_offset { None } else { hosted.offsets(-1).ok() };
    AppendFailure { code, message, record_errors, log_start_offset: offsets.map(|offsets| offsets.log_start_offset) }
}
