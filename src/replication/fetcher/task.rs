//! One fetcher at work: asks its leader, and does with the logs what [`FetchedPartitions`] makes of the answers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, FetchResponse, ListOffsetsResponse};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::followers::FetchedPartitions;
use super::leader_connection::{LeaderConnection, Leaders};
use super::requests::{OffsetQuestion, answer_of, fetch_request, list_offsets_request, listed_offset};
use crate::clock::Now;
use crate::ids::{LeaderEpoch, NodeId};
use crate::network::channel::ChannelError;
use crate::protocol::ErrorCode;
use crate::replication::followed::{Followed, TopicIdPartition};
use crate::replication::hosted_partition::{FollowError, HostedPartition, ReplicatedRecords};
use crate::replication::partition::follower::{FollowerAppendError, FollowerLog, FollowerStep};
use crate::replication::replica_manager::ReplicaManager;
use crate::storage::AppendError;

/// What a fetcher is to fetch from now on, or not any more.
#[derive(Default)]
pub(super) struct Inbox {
    changes: Mutex<BTreeMap<TopicIdPartition, Option<Followed>>>,
    changed: Notify,
}

impl Inbox {
    pub(super) fn put(&self, key: TopicIdPartition, followed: Option<Followed>) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).insert(key, followed);
        self.changed.notify_one();
    }

    fn take(&self) -> BTreeMap<TopicIdPartition, Option<Followed>> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One fetcher.
pub(super) struct Fetcher<L: Leaders> {
    replicas: Arc<ReplicaManager>,
    leaders: Arc<L>,
    leader: NodeId,
    id: i32,
    inbox: Arc<Inbox>,
    connection: Option<L::Connection>,
    fetched: FetchedPartitions,
    hosted: HashMap<TopicIdPartition, Arc<HostedPartition>>,
    /// Whether the last attempt to reach the leader has failed, which was said then.
    is_unreachable: bool,
    /// Whether recovery points went back that are not written down yet.
    has_truncated: bool,
}

impl<L: Leaders> Fetcher<L> {
    pub(super) fn new(
        replicas: Arc<ReplicaManager>,
        leaders: Arc<L>,
        (leader, id): (NodeId, i32),
        inbox: Arc<Inbox>,
    ) -> Self {
        let backoff_ms = replicas.config().broker.replica_fetch_backoff_ms;
        let fetched = FetchedPartitions::new(Duration::from_millis(u64::try_from(backoff_ms).unwrap_or(0)));
        Self {
            replicas,
            leaders,
            leader,
            id,
            inbox,
            connection: None,
            fetched,
            hosted: HashMap::new(),
            is_unreachable: false,
            has_truncated: false,
        }
    }

    /// Fetches until `stop` is cancelled. What is being written then is written.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.turn()).await.is_some() {}
    }

    /// One request with its answer, or a wait until there is something to ask.
    async fn turn(&mut self) {
        self.take_changes();
        self.write_truncations().await;
        let now = self.replicas.clock().monotonic();
        let Some(fetch) = self.fetched.next_fetch(now) else {
            let changed = self.inbox.changed.notified();
            match self.fetched.delayed_until() {
                Some(until) => drop(self.replicas.clock().timeout_at(until, changed).await),
                None => changed.await,
            }
            return;
        };
        let own = (self.replicas.node_id(), self.replicas.broker_epoch());
        let request = fetch_request(&fetch, own, &self.replicas.config().broker);
        match self.ask(&request).await {
            Ok(response) => {
                self.is_unreachable = false;
                self.take_answer(response).await;
            }
            Err(error) => self.disconnected(&error),
        }
    }

    fn take_changes(&mut self) {
        for (key, change) in self.inbox.take() {
            let Some(Followed { partition, leader_epoch, .. }) = change else {
                self.fetched.forget(key);
                self.hosted.remove(&key);
                continue;
            };
            // Otherwise the next change is on its way.
            if let Some(log) = partition.follower_log(leader_epoch) {
                let step = self.fetched.follow(key, leader_epoch, &log);
                self.hosted.insert(key, Arc::clone(&partition));
                self.perform(key, &partition, step, None);
            }
        }
    }

    async fn ask(&mut self, request: &FetchRequest) -> Result<FetchResponse, ChannelError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.leaders.connect(self.leader, self.id).await?),
        };
        connection.fetch(request).await
    }

    fn disconnected(&mut self, error: &ChannelError) {
        if !std::mem::replace(&mut self.is_unreachable, true) {
            tracing::warn!(leader = self.leader, %error, "records cannot be fetched from the leader; this is tried again");
        }
        self.connection = None;
        self.fetched.disconnected(self.replicas.clock().monotonic());
    }

    async fn take_answer(&mut self, response: FetchResponse) {
        let result = ErrorCode::try_from_code(response.error_code).map_or(Ok(response.session_id), Err);
        self.fetched.session_answered(result, self.replicas.clock().monotonic());
        if let Err(code) = result {
            tracing::info!(leader = self.leader, %code, "the leader refuses a fetch");
            return;
        }
        let mut questions = Vec::new();
        for topic in &response.responses {
            for data in &topic.partitions {
                let key = TopicIdPartition { topic_id: topic.topic_id, partition: data.partition_index };
                questions.extend(self.take_partition(key, data));
            }
        }
        // The frame is not needed any more.
        drop(response);
        self.ask_for_offsets(questions).await;
    }

    fn take_partition(&mut self, key: TopicIdPartition, data: &PartitionData) -> Option<OffsetQuestion> {
        let hosted = Arc::clone(self.hosted.get(&key)?);
        let log = hosted.follower_log(self.fetched.leader_epoch(key)?)?;
        let answer = answer_of(data);
        if let Err(code) = answer {
            tracing::debug!(partition = %hosted.topic_partition(), leader = self.leader, %code, "the leader refuses");
        }
        let now = self.replicas.clock().monotonic();
        let step = self.fetched.answered(key, answer, &log, |epoch| hosted.own_end_of(epoch), now);
        self.perform(key, &hosted, step, Some(data))
    }

    /// Asks where the leader's logs end and begin, of those for whom that decides.
    async fn ask_for_offsets(&mut self, mut questions: Vec<OffsetQuestion>) {
        while !questions.is_empty() {
            let request = list_offsets_request(&questions, self.replicas.node_id());
            let Some(connection) = &mut self.connection else { return };
            match connection.list_offsets(&request).await {
                Ok(response) => questions = self.take_offsets(&response, questions),
                Err(error) => return self.disconnected(&error),
            }
        }
    }

    /// Takes the answers; what else is to be asked then.
    fn take_offsets(&mut self, response: &ListOffsetsResponse, questions: Vec<OffsetQuestion>) -> Vec<OffsetQuestion> {
        let take = |question: OffsetQuestion| {
            let hosted = Arc::clone(self.hosted.get(&question.key)?);
            let log = hosted.follower_log(question.position.leader_epoch)?;
            let answer = listed_offset(response, &question);
            let now = self.replicas.clock().monotonic();
            let asked = (&question.position, question.offset);
            let step = self.fetched.listed(question.key, asked, answer, &log, now);
            self.perform(question.key, &hosted, step, None)
        };
        questions.into_iter().filter_map(take).collect()
    }

    /// Does with the log what was decided; what is to be asked for that.
    fn perform(
        &mut self,
        key: TopicIdPartition,
        hosted: &Arc<HostedPartition>,
        step: FollowerStep,
        data: Option<&PartitionData>,
    ) -> Option<OffsetQuestion> {
        let position = self.fetched.position(key)?;
        let (epoch, now) = (position.leader_epoch, self.replicas.clock().now());
        let done = match step {
            FollowerStep::None => return None,
            FollowerStep::Ask(offset) => {
                let name = hosted.topic_partition().clone();
                return Some(OffsetQuestion { key, name, position, offset });
            }
            FollowerStep::Append { newest_epoch, start_at } => {
                let appended = self.append(hosted, epoch, (newest_epoch, start_at), data, now);
                appended.map(|(log, last_epoch)| self.fetched.appended(key, &log, last_epoch))
            }
            FollowerStep::Truncate { offset, loses_committed } => {
                tell_of_truncation(hosted, offset, loses_committed, self.leader);
                self.replicas.give_up_move(hosted);
                let truncated = hosted.truncate_as_follower(epoch, offset, now);
                truncated.map(|truncated| self.restarted(key, truncated))
            }
            FollowerStep::TruncateFully { offset } => {
                tracing::info!(partition = %hosted.topic_partition(), offset, leader = self.leader,
                    "the leader has deleted what this replica lacks: its log begins anew");
                self.replicas.give_up_move(hosted);
                let truncated = hosted.restart_as_follower(epoch, offset, now);
                truncated.map(|truncated| self.restarted(key, truncated))
            }
        };
        if let Err(error) = done {
            self.failed(key, hosted, error, now);
        }
        None
    }

    fn append(
        &self,
        hosted: &HostedPartition,
        epoch: LeaderEpoch,
        (newest_epoch, start_at): (LeaderEpoch, Option<i64>),
        data: Option<&PartitionData>,
        now: Now,
    ) -> Result<(FollowerLog, Option<LeaderEpoch>), FollowError> {
        let nothing = Bytes::new();
        if let Some(offset) = start_at {
            let (_, went_back) = hosted.restart_as_follower(epoch, offset, now)?;
            if went_back {
                self.replicas.write_checkpoints();
            }
        }
        let replicated = ReplicatedRecords {
            records: data.and_then(|data| data.records.as_ref()).unwrap_or(&nothing),
            newest_epoch,
            high_watermark: data.map_or(-1, |data| data.high_watermark),
            log_start_offset: data.map_or(-1, |data| data.log_start_offset),
        };
        hosted.replicate(epoch, &replicated, now)
    }

    fn restarted(&mut self, key: TopicIdPartition, (log, went_back): (FollowerLog, bool)) {
        self.fetched.restarted(key, &log);
        self.has_truncated |= went_back;
    }

    /// Has the recovery points that went back on the disk before anything is appended.
    async fn write_truncations(&mut self) {
        if std::mem::take(&mut self.has_truncated) {
            let replicas = Arc::clone(&self.replicas);
            if let Err(panic) = tokio::task::spawn_blocking(move || replicas.write_checkpoints()).await {
                tracing::error!(%panic, "writing the checkpoints panicked");
            }
        }
    }

    fn failed(&mut self, key: TopicIdPartition, hosted: &HostedPartition, error: FollowError, now: Now) {
        let partition = hosted.topic_partition();
        let failure = match error {
            // Whoever has moved it tells.
            FollowError::Moved => return,
            FollowError::Append(AppendError::Storage(error)) => {
                hosted.log_storage_error("replicating", &error);
                // What passes by itself, as a full disk does, is tried again.
                if hosted.is_offline() { FollowerAppendError::Storage } else { FollowerAppendError::Corrupt }
            }
            FollowError::Append(error) => {
                tracing::warn!(%partition, leader = self.leader, %error, "what the leader sends cannot be appended; it is fetched again");
                FollowerAppendError::Corrupt
            }
            FollowError::Busy => FollowerAppendError::Corrupt,
        };
        self.fetched.failed(key, failure, now.monotonic);
    }
}

/// Says that records go, loudly where they were committed: that is so only after an unclean election, or when the leader
/// has lost its disk.
fn tell_of_truncation(hosted: &HostedPartition, offset: i64, loses_committed: bool, leader: NodeId) {
    let partition = hosted.topic_partition();
    if loses_committed {
        tracing::error!(%partition, offset, leader, "committed records are truncated: the leader does not have them");
    } else {
        tracing::info!(%partition, offset, leader, "records that the leader does not have are truncated");
    }
}
