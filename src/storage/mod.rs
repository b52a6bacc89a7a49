//! One partition's log, as files that Apache Kafka's tools can read, or in memory; and the directories in which the logs of a
//! broker are.
//!
//! Synchronous: nothing here waits for a task, and everything that may block says so. A [`Log`] is a plain `&mut self`
//! object; the lock around it, and the threads that flush it, belong to the floors above. Promises:
//! - the client's bytes are not copied on their way into a file, and batches are never re-encoded unless the topic
//!   asks for another codec, or the records of a compressed batch do not have the offsets that its header says;
//! - compressed batches are read in bounded memory, however much they hold;
//! - recovery reads only from the segment with the recovery point on, and whatever can be derived from the `.log` files is
//!   rebuilt from them;
//! - once a write or an fsync has failed, its log directory is offline and nothing more is appended to any of the logs in
//!   it;
//! - bytes from disk never panic.
//!
//! It must not know requests, replicas, high watermarks (other than as an argument) or the cluster.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod aborted_transactions;
mod checkpoint;
mod cleaned_segment;
pub mod cleaner;
mod decompressors;
mod dir_state;
mod directory_identity;
mod error;
mod files;
mod found_logs;
mod holes;
mod index_file;
mod kafka_directory;
mod kafka_uuid;
mod leader_epoch;
mod load_request;
mod loader;
mod log;
mod log_config;
mod log_dir;
mod log_dirs;
mod log_file;
mod log_place;
mod log_slice;
mod meta_properties;
mod offset_index;
mod open_files;
mod partition_dir;
mod producer_snapshot;
mod producer_state;
mod recompression;
mod recovery;
mod retention;
mod room;
mod segment;
mod segment_data;
mod segment_tail;
mod survey;
#[cfg(test)]
mod tests;
mod time_index;
mod transaction_index;
mod validator;
mod verification;

pub use checkpoint::KnownOffsets;
pub use cleaned_segment::{CleanedSegment, CleaningPlace, FinishedSegment};
pub use directory_identity::LogDirOptions;
pub use error::{AppendError, ReadError, RecordError, StorageError};
pub use files::remove_files;
pub use found_logs::{FoundFuture, FoundLog, FoundLogs};
pub use kafka_directory::{KafkaDirectory, KafkaPartition};
pub use kafka_uuid::{format_uuid, parse_uuid};
pub use log::{
    AppendInfo, AppendTask, CleaningBasis, FlushTask, Flushed, Heritage, Log, LogCleaning, ReplicaAppendTask,
    SegmentToClean, TimestampOffset, WrittenAppend, WrittenReplicaAppend,
};
pub use log_config::{CompressionType, LogConfig};
pub use log_dir::{CheckpointEntry, LoadedLog, LoadedLogs, LogDir};
pub use log_dirs::{FoundDirectory, LogDirs};
pub use log_slice::LogSlice;
pub use producer_state::ActiveProducer;
pub use survey::{LogDirError, METADATA_DIRECTORY, Survey};
pub use validator::AppendOrigin;
pub use verification::{BatchToVerify, VerificationGuard};
