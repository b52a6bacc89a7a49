//! Waiting until what was appended is committed.

use std::sync::Arc;
use std::time::Duration;

use super::HostedPartition;
use crate::clock::Clock;
use crate::ids::LeaderEpoch;
use crate::protocol::ErrorCode;
use crate::replication::delayed::Wait;
use crate::replication::partition::Partition;

impl HostedPartition {
    /// Waits until everything before `offset`, which was the log's end in `leader_epoch`, is committed.
    ///
    /// Errors: [`ErrorCode::RequestTimedOut`], or what became of the partition or its leadership meanwhile.
    pub async fn committed_to(
        self: Arc<Self>,
        leader_epoch: LeaderEpoch,
        offset: i64,
        clock: &Clock,
        timeout: Duration,
    ) -> Result<(), ErrorCode> {
        let committed = self.committed(leader_epoch, offset);
        clock.timeout(timeout, committed).await.unwrap_or(Err(ErrorCode::RequestTimedOut))
    }

    /// The same, however long that takes.
    ///
    /// Errors: what became of the partition or its leadership meanwhile.
    pub async fn committed(self: Arc<Self>, leader_epoch: LeaderEpoch, offset: i64) -> Result<(), ErrorCode> {
        self.until(|partition| partition.is_committed(leader_epoch, offset)).await
    }

    /// Waits until everything before `offset` is committed, as [`HostedPartition::committed_to`], for who asks that
    /// `min.insync.replicas` have it.
    ///
    /// Errors: the same, and [`ErrorCode::NotEnoughReplicasAfterAppend`].
    pub async fn acknowledged_to(
        self: Arc<Self>,
        leader_epoch: LeaderEpoch,
        offset: i64,
        clock: &Clock,
        timeout: Duration,
    ) -> Result<(), ErrorCode> {
        let acknowledged = self.until(|partition| partition.is_acknowledged(leader_epoch, offset));
        clock.timeout(timeout, acknowledged).await.unwrap_or(Err(ErrorCode::RequestTimedOut))
    }

    async fn until(self: Arc<Self>, is_so: impl Fn(&Partition) -> Result<bool, ErrorCode>) -> Result<(), ErrorCode> {
        loop {
            let wait = Wait::register([Arc::clone(&self)]);
            if self.with(|hosted| is_so(&hosted.partition))? {
                return Ok(());
            }
            wait.woken().await;
        }
    }
}
