//! Which partitions this broker follows, and what has changed of that since the fetchers have looked.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::hosted_partition::HostedPartition;
use crate::ids::{LeaderEpoch, NodeId, Uuid};

/// A partition of the topic with an id: one that is created anew under the same name is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TopicIdPartition {
    pub(super) topic_id: Uuid,
    pub(super) partition: i32,
}

impl From<&HostedPartition> for TopicIdPartition {
    fn from(hosted: &HostedPartition) -> Self {
        Self { topic_id: hosted.topic_id(), partition: hosted.topic_partition().partition }
    }
}

/// A partition that is followed.
#[derive(Clone)]
pub(super) struct Followed {
    pub(super) partition: Arc<HostedPartition>,
    pub(super) leader: NodeId,
    pub(super) leader_epoch: LeaderEpoch,
}

/// All of them. There are never more changes than partitions.
#[derive(Default)]
pub(super) struct FollowedPartitions {
    state: Mutex<FollowedState>,
    changed: Notify,
}

#[derive(Default)]
struct FollowedState {
    followed: HashMap<TopicIdPartition, Followed>,
    changed: BTreeSet<TopicIdPartition>,
}

impl FollowedPartitions {
    /// The partition has that leader, which is another broker.
    pub(super) fn follow(&self, followed: Followed) {
        let key = TopicIdPartition::from(&*followed.partition);
        let mut state = self.lock();
        state.followed.insert(key, followed);
        state.changed.insert(key);
        drop(state);
        self.changed.notify_one();
    }

    /// The partition has no leader, or is led here, or is not here any more.
    pub(super) fn forget(&self, partition: &HostedPartition) {
        let key = TopicIdPartition::from(partition);
        let mut state = self.lock();
        if state.followed.remove(&key).is_some() {
            state.changed.insert(key);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// What has changed since the last call: the partitions, and what they are now; `None` for those that are not followed.
    pub(super) fn take_changes(&self) -> Vec<(TopicIdPartition, Option<Followed>)> {
        let mut state = self.lock();
        let changed = std::mem::take(&mut state.changed);
        changed.into_iter().map(|key| (key, state.followed.get(&key).cloned())).collect()
    }

    /// Completes once something has changed since this completed last.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Every statement leaves it whole.
    fn lock(&self) -> MutexGuard<'_, FollowedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
