//! What is known of a log before it is loaded.

use std::path::PathBuf;
use std::sync::Arc;

use super::LogConfig;
use super::decompressors::Decompressors;
use super::dir_state::DirState;
use crate::clock::Now;
use crate::ids::{TopicPartition, Uuid};

/// Which directory to load, and what the checkpoints say of it.
#[derive(Clone)]
pub(super) struct LoadRequest {
    pub(super) topic_partition: TopicPartition,
    pub(super) topic_id: Uuid,
    pub(super) dir: PathBuf,
    pub(super) state: Arc<DirState>,
    pub(super) decompressors: Decompressors,
    pub(super) config: LogConfig,
    pub(super) log_start_offset: i64,
    pub(super) recovery_point: i64,
    pub(super) high_watermark: i64,
    /// `None` when the log was never compacted.
    pub(super) cleaner_offset: Option<i64>,
    pub(super) had_clean_shutdown: bool,
    pub(super) now: Now,
}

impl LoadRequest {
    /// Whether records may be missing between others because compaction has taken them, now or under earlier settings.
    pub(super) fn is_compacted(&self) -> bool {
        self.config.compact || self.cleaner_offset.is_some()
    }
}
