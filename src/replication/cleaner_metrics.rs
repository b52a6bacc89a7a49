//! What is told of the cleaners (the gauges of Kafka's `LogCleaner` and `LogCleanerManager`).
//!
//! Unlike Kafka, where some of them are a maximum over the last cleanings of all threads, they are of the last cleaning.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Monotonic, Now};
use crate::storage::cleaner::CleanerStats;

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CleanerStatus {
    /// The dirty share of the log that has most of it, when logs were looked at last; from 0 to 1.
    pub max_dirty_ratio: f64,
    /// For how long the log that has waited longest was overdue by `max.compaction.lag.ms`, then.
    pub max_compaction_delay: Duration,
    /// When that was, on the monotonic scale.
    pub last_run: Monotonic,
    /// The share of the offset map that keys took in the last cleaning; from 0 to 1.
    pub buffer_utilization: f64,
    /// The share of the bytes that were kept.
    pub recopy_ratio: f64,
    /// How long it took.
    pub clean_time: Duration,
}

/// Where cleaners tell what they did.
#[derive(Debug, Default)]
pub struct CleanerMetrics {
    status: Mutex<CleanerStatus>,
}

impl CleanerMetrics {
    /// How things stand.
    pub fn status(&self) -> CleanerStatus {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, CleanerStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn looked(&self, max_dirty_ratio: f64, max_compaction_delay_ms: i64, now: Now) {
        let mut status = self.lock();
        status.max_dirty_ratio = max_dirty_ratio;
        status.max_compaction_delay = Duration::from_millis(u64::try_from(max_compaction_delay_ms).unwrap_or(0));
        status.last_run = now.monotonic;
    }

    pub(super) fn cleaned(&self, stats: &CleanerStats, took: Duration) {
        let mut told = self.lock();
        told.buffer_utilization = stats.buffer_utilization;
        told.recopy_ratio = stats.bytes_written as f64 / stats.bytes_read.max(1) as f64;
        told.clean_time = took;
    }
}
