//! One queue for all that follows the metadata.
//!
//! Each change of the metadata comes as a delta and the image that it leads to, and everyone who must act on it has one
//! call in [`MetadataFollowers::apply`], in the order in which they depend on each other. Nobody compares images, and nobody
//! misses a change.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::live_config::LiveConfig;
use super::quotas::Quotas;
use crate::clock::Beat;
use crate::coordinator::group::GroupCoordinator;
use crate::coordinator::runtime::CoordinatorRuntime;
use crate::coordinator::transaction::TransactionCoordinator;
use crate::ids::NodeId;
use crate::metadata::{ConfigResource, MetadataDelta, MetadataImage};
use crate::quorum::MetadataChanges;
use crate::replication::replica_manager::ReplicaManager;

/// How often logs are tried again that could not be opened: a client that is told of a storage error asks again soon.
const REOPEN_BEAT: Duration = Duration::from_secs(1);

/// Who follows the metadata, and how far they have come.
pub struct MetadataFollowers {
    node_id: NodeId,
    config: Arc<LiveConfig>,
    replicas: Arc<ReplicaManager>,
    groups: CoordinatorRuntime<GroupCoordinator>,
    transactions: CoordinatorRuntime<TransactionCoordinator>,
    quotas: Arc<Quotas>,
    applied_offset: watch::Sender<i64>,
}

impl fmt::Debug for MetadataFollowers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MetadataFollowers")
            .field("applied_offset", &self.applied_offset)
            .finish_non_exhaustive()
    }
}

impl MetadataFollowers {
    /// Those that have seen nothing yet.
    pub fn new(
        node_id: NodeId,
        config: Arc<LiveConfig>,
        replicas: Arc<ReplicaManager>,
        groups: CoordinatorRuntime<GroupCoordinator>,
        transactions: CoordinatorRuntime<TransactionCoordinator>,
        quotas: Arc<Quotas>,
    ) -> Self {
        Self { node_id, config, replicas, groups, transactions, quotas, applied_offset: watch::Sender::new(-1) }
    }

    /// The offset of the newest metadata image that all follow.
    pub fn applied_offset(&self) -> watch::Receiver<i64> {
        self.applied_offset.subscribe()
    }

    /// Has everyone follow `changes` until `stop` is cancelled, and opens meanwhile what could not be opened.
    pub async fn run(self: Arc<Self>, mut changes: MetadataChanges, stop: CancellationToken) {
        let mut beat = self.replicas.clock().beat(REOPEN_BEAT);
        let mut last = Arc::default();
        while let Some(change) = stop.run_until_cancelled(next(&mut changes, &mut beat)).await {
            let followers = Arc::clone(&self);
            // Opening and creating logs waits for the disk.
            let applied = match change {
                Some((delta, image)) => {
                    last = Arc::clone(&image);
                    tokio::task::spawn_blocking(move || followers.apply(&delta, &image))
                }
                None if self.replicas.offline_is_due() => {
                    let image = Arc::clone(&last);
                    tokio::task::spawn_blocking(move || followers.open_offline(&image))
                }
                None => continue,
            };
            if let Err(panic) = applied.await {
                tracing::error!(%panic, "following the metadata panicked; partitions may be missing");
            }
        }
    }

    /// Opens what could not be opened, as far as it can be now. Blocks.
    fn open_offline(&self, image: &MetadataImage) {
        if self.replicas.open_offline() {
            self.groups.follow_opened(image);
            self.transactions.follow_opened(image);
        }
    }

    /// Has everyone follow one step. Blocks.
    fn apply(&self, delta: &MetadataDelta, image: &MetadataImage) {
        // What a topic leaves to the broker must be known before its partitions are opened.
        let is_ours = |resource: &ConfigResource| match resource {
            ConfigResource::Broker(id) => id.is_none_or(|id| id == self.node_id),
            ConfigResource::Topic(_) | ConfigResource::ClientMetrics(_) | ConfigResource::Group(_) => false,
        };
        if delta.configs().any(is_ours) {
            self.config.follow(image, &self.replicas);
        }
        self.replicas.apply(delta, image);
        // A coordinator needs its partition.
        self.groups.apply(delta, image);
        self.transactions.apply(delta, image);
        self.quotas.apply(delta, image);
        self.applied_offset.send_replace(image.offset);
    }
}

/// The next change, or a beat.
async fn next(changes: &mut MetadataChanges, beat: &mut Beat) -> Option<(MetadataDelta, Arc<MetadataImage>)> {
    tokio::select! {
        change = changes.next() => Some(change),
        () = beat.next() => None,
    }
}
