//! Fetching from other brokers what this one follows (Kafka's `ReplicaFetcherManager`, `AbstractFetcherThread`).
//!
//! There is one fetcher for each leader and each of `num.replica.fetchers`, with one connection, one fetch session and one
//! request at a time; partitions move between them as the metadata says, and a fetcher without partitions ends. A broker
//! that leads everything has none.
//!
//! `session`, `followers` and `requests` are pure: what is asked for, and what an answer is worth. What becomes of a log
//! is decided in [`partition::follower`](super::partition::follower). Each act on a log names the leader epoch that it is of, and one
//! that comes late is refused under the partition's lock: no order of stopping, changing and starting is needed.

mod followers;
mod leader_connection;
mod requests;
mod session;
mod task;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::followed::{Followed, TopicIdPartition};
use super::replica_manager::ReplicaManager;
use crate::ids::{NodeId, TopicPartition};
pub use leader_connection::{LeaderChannels, LeaderConnection, Leaders};
use task::{Fetcher, Inbox};

/// Which fetcher: that of this leader, with this number.
type FetcherPlace = (NodeId, i32);

/// The fetchers of a broker.
pub struct ReplicaFetchers<L: Leaders> {
    replicas: Arc<ReplicaManager>,
    leaders: Arc<L>,
    running: HashMap<FetcherPlace, RunningFetcher>,
    places: HashMap<TopicIdPartition, FetcherPlace>,
}

struct RunningFetcher {
    inbox: Arc<Inbox>,
    /// How many partitions it has.
    partitions: usize,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RunningFetcher {
    async fn stop(self) {
        self.stop.cancel();
        if let Err(panic) = self.task.await {
            tracing::error!(%panic, "a replica fetcher had panicked");
        }
    }
}

impl<L: Leaders> ReplicaFetchers<L> {
    /// None yet; for what `replicas` follows.
    pub fn new(replicas: Arc<ReplicaManager>, leaders: L) -> Self {
        Self { replicas, leaders: Arc::new(leaders), running: HashMap::new(), places: HashMap::new() }
    }

    /// Fetches until `stop` is cancelled; no task is left then.
    pub async fn run(mut self, stop: CancellationToken) {
        let replicas = Arc::clone(&self.replicas);
        while stop.run_until_cancelled(replicas.followed().changed()).await.is_some() {
            for (key, followed) in replicas.followed().take_changes() {
                self.place(key, followed);
            }
            self.stop_idle().await;
        }
        for (_, fetcher) in self.running {
            fetcher.stop().await;
        }
    }

    /// Takes a partition from the fetcher that has it, if that is another one, and tells the right one.
    fn place(&mut self, key: TopicIdPartition, followed: Option<Followed>) {
        let fetchers = self.replicas.config().broker.num_replica_fetchers;
        let place = followed
            .as_ref()
            .map(|followed| (followed.leader, fetcher_id(followed.partition.topic_partition(), fetchers)));
        if let Some(before) = self.places.get(&key).copied().filter(|before| Some(*before) != place) {
            self.places.remove(&key);
            if let Some(fetcher) = self.running.get_mut(&before) {
                fetcher.partitions -= 1;
                fetcher.inbox.put(key, None);
            }
        }
        let (Some(place), Some(followed)) = (place, followed) else { return };
        let fetcher = self.running.entry(place).or_insert_with(|| start(&self.replicas, &self.leaders, place));
        if self.places.insert(key, place).is_none() {
            fetcher.partitions += 1;
        }
        fetcher.inbox.put(key, Some(followed));
    }

    async fn stop_idle(&mut self) {
        let idle: Vec<_> = self.running.extract_if(|_, fetcher| fetcher.partitions == 0).collect();
        for (_, fetcher) in idle {
            fetcher.stop().await;
        }
    }
}

fn start<L: Leaders>(replicas: &Arc<ReplicaManager>, leaders: &Arc<L>, place: FetcherPlace) -> RunningFetcher {
    let (inbox, stop) = (Arc::<Inbox>::default(), CancellationToken::new());
    let fetcher = Fetcher::new(Arc::clone(replicas), Arc::clone(leaders), place, Arc::clone(&inbox));
    let task = tokio::spawn(fetcher.run(stop.clone()));
    RunningFetcher { inbox, partitions: 0, stop, task }
}

/// Spreads partitions over the fetchers of a leader as Kafka does.
fn fetcher_id(partition: &TopicPartition, fetchers: i32) -> i32 {
    let hash =
        partition.topic.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let spread = hash.wrapping_mul(31).wrapping_add(partition.partition);
    // Java's `Math.abs` leaves the smallest number as it is, which Kafka makes 0.
    spread.checked_abs().unwrap_or(0) % fetchers.max(1)
}
