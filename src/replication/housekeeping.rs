//! The chores that time brings: flushing, checkpoints, retention and lagging followers, each on its own beat.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::low_priority;
use super::replica_manager::ReplicaManager;
use crate::config::BrokerConfig;

/// What decompressors keep is given back when it was not needed for this long, at most twice as long.
const DECOMPRESSORS_UNUSED: Duration = Duration::from_secs(10);

/// How often deleted logs and segments are looked for whose delay is over. No thread is woken where there are none, which
/// is nearly always.
const REMOVAL_BEAT: Duration = Duration::from_millis(500);

/// The name of the thread that removes their files.
const REMOVER: &str = "klamm-remover";

/// How often each chore is done.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// `log.flush.scheduler.interval.ms`, at most; closed segments are looked for at this beat too.
    pub flush: Duration,
    /// The shorter of `log.flush.offset.checkpoint.interval.ms` and `replica.high.watermark.checkpoint.interval.ms`.
    pub checkpoint: Duration,
    /// `log.retention.check.interval.ms`.
    pub retention: Duration,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_expiration: Duration,
    /// Half of `replica.lag.time.max.ms`.
    pub isr_check: Duration,
}

/// The configured beats; none is shorter than a millisecond.
impl From<&BrokerConfig> for Schedule {
    fn from(config: &BrokerConfig) -> Self {
        let at_least_a_millisecond = |value: i64| Duration::from_millis(u64::try_from(value.max(1)).unwrap_or(1));
        let checkpoint = config
            .replica_high_watermark_checkpoint_interval_ms
            .min(i64::from(config.log_flush_offset_checkpoint_interval_ms));
        Self {
            flush: at_least_a_millisecond(config.log_flush_scheduler_interval_ms).min(Duration::from_secs(1)),
            checkpoint: at_least_a_millisecond(checkpoint),
            retention: at_least_a_millisecond(config.log_retention_check_interval_ms),
            producer_expiration: at_least_a_millisecond(i64::from(config.producer_id_expiration_check_interval_ms)),
            isr_check: at_least_a_millisecond(config.replica_lag_time_max_ms / 2),
        }
    }
}

/// Does the chores until `stop` is cancelled. Each run blocks on files and therefore has a thread of its own.
pub async fn run(replicas: Arc<ReplicaManager>, schedule: Schedule, stop: CancellationToken) {
    tokio::join!(
        every(schedule.flush, &stop, &replicas, ReplicaManager::flush_due),
        every(schedule.checkpoint, &stop, &replicas, ReplicaManager::write_checkpoints),
        every(schedule.retention, &stop, &replicas, ReplicaManager::delete_old_segments),
        every(schedule.producer_expiration, &stop, &replicas, ReplicaManager::expire_producers),
        check_isrs(schedule.isr_check, &replicas, &stop),
        remove_deleted_logs(&replicas, &stop),
        remove_deleted_segments(&replicas, &stop),
        every(DECOMPRESSORS_UNUSED, &stop, &replicas, ReplicaManager::give_back_unused_decompressors),
    );
}

/// Looks for followers that have fallen behind, once there is any follower.
async fn check_isrs(period: Duration, replicas: &Arc<ReplicaManager>, stop: &CancellationToken) {
    if stop.run_until_cancelled(replicas.has_followers()).await.is_some() {
        every(period, stop, replicas, ReplicaManager::shrink_isrs).await;
    }
}

/// Removes the files of deleted segments.
async fn remove_deleted_segments(replicas: &Arc<ReplicaManager>, stop: &CancellationToken) {
    let mut beat = replicas.clock().beat(REMOVAL_BEAT);
    while stop.run_until_cancelled(beat.next()).await.is_some() {
        if replicas.has_deleted_segments() {
            let replicas = Arc::clone(replicas);
            if let Err(error) = low_priority::run(REMOVER, move || replicas.remove_deleted_segments()).await {
                tracing::error!(%error, "removing deleted segments failed");
            }
        }
    }
}

/// Removes the files of deleted logs, one log after the other, so that a stop waits for one of them at most.
async fn remove_deleted_logs(replicas: &Arc<ReplicaManager>, stop: &CancellationToken) {
    let mut beat = replicas.clock().beat(REMOVAL_BEAT);
    while stop.run_until_cancelled(beat.next()).await.is_some() {
        while replicas.has_deleted_logs() && !stop.is_cancelled() {
            let replicas = Arc::clone(replicas);
            match low_priority::run(REMOVER, move || replicas.remove_deleted_log()).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "removing a deleted log failed");
                    break;
                }
            }
        }
    }
}

async fn every(period: Duration, stop: &CancellationToken, replicas: &Arc<ReplicaManager>, chore: fn(&ReplicaManager)) {
    let mut beat = replicas.clock().beat(period);
    while stop.run_until_cancelled(beat.next()).await.is_some() {
        let replicas = Arc::clone(replicas);
        if let Err(panic) = tokio::task::spawn_blocking(move || chore(&replicas)).await {
            tracing::error!(%panic, "a chore panicked; it will be tried again at its next beat");
        }
    }
}
