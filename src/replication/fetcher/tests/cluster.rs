//! Several replica managers with one partition, that fetch from each other directly, and a controller that grants what it
//! is asked for.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Monotonic};
use crate::config::Config;
use crate::ids::{NodeId, Uuid};
use crate::metadata::{
    BrokerRecord, BrokerRegistration, MetadataDelta, MetadataImage, MetadataRecord, PartitionImage, TopicRecord,
};
use crate::network::channel::ChannelError;
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::BatchBuilder;
use crate::replication::delayed::Wait;
use crate::replication::fetch_session::{
    FetchContext, FetchOutcome, FetchSessionCache, PartitionFetch, PartitionRef, SessionRequest, TopicRef,
};
use crate::replication::fetcher::{LeaderConnection, Leaders, ReplicaFetchers};
use crate::replication::hosted_partition::{
    AppendRequest, Appended, FetchingFollower, HostedPartition, LogEnd, ReadRequest, ReadResult,
};
use crate::replication::ownership::KnownTopics;
use crate::replication::partition::RequiredAcks;
use crate::replication::partition::isr::AlteredIsr;
use crate::replication::replica_manager::ReplicaManager;
use crate::storage::{LogDir, LogDirs};

pub(super) const TOPIC: &str = "t";
pub(super) const TOPIC_ID: Uuid = Uuid::from_u128(1);

/// No test waits longer for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Completes when `is_so`.
pub(super) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never so: {what}"));
}

/// What a node serves its followers with.
struct LeaderSide {
    replicas: Arc<ReplicaManager>,
    sessions: Mutex<FetchSessionCache>,
}

#[derive(Clone, Default)]
struct Network {
    leaders: Arc<Mutex<BTreeMap<NodeId, Arc<LeaderSide>>>>,
    /// Who cannot be reached, and by whom nobody can be.
    cut_off: Arc<Mutex<BTreeSet<NodeId>>>,
}

struct DirectLeaders {
    network: Network,
    own: NodeId,
}

pub(super) struct DirectConnection {
    network: Network,
    leader: NodeId,
    own: NodeId,
    side: Arc<LeaderSide>,
}

fn broken() -> ChannelError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

impl Network {
    fn check(&self, nodes: [NodeId; 2]) -> Result<(), ChannelError> {
        let cut_off = self.cut_off.lock().unwrap();
        if nodes.iter().any(|node| cut_off.contains(node)) { Err(broken()) } else { Ok(()) }
    }
}

impl Leaders for DirectLeaders {
    type Connection = DirectConnection;

    async fn connect(&self, leader: NodeId, _fetcher_id: i32) -> Result<DirectConnection, ChannelError> {
        self.network.check([leader, self.own])?;
        let side = self.network.leaders.lock().unwrap().get(&leader).cloned().ok_or_else(broken)?;
        Ok(DirectConnection { network: self.network.clone(), leader, own: self.own, side })
    }
}

impl LeaderConnection for DirectConnection {
    async fn fetch(&mut self, request: &FetchRequest) -> Result<FetchResponse, ChannelError> {
        self.network.check([self.leader, self.own])?;
        let response = self.side.fetch(request).await;
        self.network.check([self.leader, self.own])?;
        Ok(response)
    }

    async fn list_offsets(&mut self, request: &ListOffsetsRequest) -> Result<ListOffsetsResponse, ChannelError> {
        self.network.check([self.leader, self.own])?;
        Ok(self.side.list_offsets(request))
    }
}

impl LeaderSide {
    /// As the api's handler does, with real sessions.
    async fn fetch(&self, request: &FetchRequest) -> FetchResponse {
        let now = self.replicas.clock().monotonic();
        let name = |_| Some(TOPIC.into());
        let context = match self.sessions.lock().unwrap().begin(session_request(request), name, now) {
            Ok(context) => context,
            Err(code) => return FetchResponse::default().with_error_code(code.code()),
        };
        let mut found = self.read(request, &context, true);
        let deadline = now + Duration::from_millis(request.max_wait_ms as u64);
        while !is_enough(&found) && self.replicas.clock().monotonic() < deadline {
            let hosted = self.replicas.partition(TOPIC, 0).into_iter().map(|hosted| Arc::new(LogEnd(hosted)));
            let wait = Wait::register(hosted);
            found = self.read(request, &context, false);
            if !is_enough(&found) {
                let _ = self.replicas.clock().timeout_at(deadline, wait.woken()).await;
                found = self.read(request, &context, false);
            }
        }
        self.respond(&context, found, now)
    }

    fn read(
        &self,
        request: &FetchRequest,
        context: &FetchContext,
        is_arrival: bool,
    ) -> Vec<Result<ReadResult, ErrorCode>> {
        let arrived = is_arrival.then(|| self.replicas.clock().now());
        let read = |key: &PartitionRef, fetch: &PartitionFetch| {
            let hosted = self.replicas.partition(TOPIC, key.partition)?;
            let read = ReadRequest {
                fetch_offset: fetch.fetch_offset,
                max_bytes: fetch.max_bytes as usize,
                min_one: true,
                current_leader_epoch: fetch.current_leader_epoch,
                last_fetched_epoch: fetch.last_fetched_epoch,
                read_committed: false,
            };
            let follower = FetchingFollower {
                id: request.replica_state.replica_id.0,
                broker_epoch: request.replica_state.replica_epoch,
                log_start_offset: fetch.log_start_offset,
            };
            self.replicas.read_for_follower(&hosted, &read, &follower, arrived)
        };
        context.partitions.iter().map(|partition| read(&partition.key, &partition.fetch)).collect()
    }

    fn respond(
        &self,
        context: &FetchContext,
        found: Vec<Result<ReadResult, ErrorCode>>,
        now: Monotonic,
    ) -> FetchResponse {
        let outcome = |found: &Result<ReadResult, ErrorCode>| match found {
            Ok(read) => FetchOutcome {
                high_watermark: read.high_watermark,
                log_start_offset: read.log_start_offset,
                has_news: read.records.is_some() || read.diverging.is_some(),
                has_records: read.records.is_some(),
            },
            Err(_) => FetchOutcome { high_watermark: -1, log_start_offset: -1, has_news: true, has_records: false },
        };
        let outcomes: Vec<_> = found.iter().map(outcome).collect();
        let answer = self.sessions.lock().unwrap().finish(context, &outcomes, || 7, now);
        let mut response = FetchResponse::default().with_session_id(answer.session_id);
        for ((partition, found), included) in context.partitions.iter().zip(found).zip(answer.included) {
            if included {
                let data = data(partition.key.partition, found);
                let topic = FetchableTopicResponse::default().with_topic_id(TOPIC_ID).with_partitions(vec![data]);
                response.responses.push(topic);
            }
        }
        response
    }

    fn list_offsets(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let asked = &request.topics[0].partitions[0];
        let found = self.replicas.partition(TOPIC, 0).and_then(|hosted| hosted.offsets(asked.current_leader_epoch));
        let answer = ListOffsetsPartitionResponse::default();
        let answer = match found {
            Ok(offsets) if asked.timestamp == -1 => answer.with_offset(offsets.log_end_offset),
            Ok(offsets) => answer.with_offset(offsets.log_start_offset),
            Err(code) => answer.with_error_code(code.code()),
        };
        let topic = ListOffsetsTopicResponse::default().with_name(request.topics[0].name.clone());
        ListOffsetsResponse::default().with_topics(vec![topic.with_partitions(vec![answer])])
    }
}

fn session_request(request: &FetchRequest) -> SessionRequest {
    let mut partitions = Vec::new();
    let key = |topic_id, partition| PartitionRef { topic: TopicRef::Id(topic_id), partition };
    for topic in &request.topics {
        for asked in &topic.partitions {
            let fetch = PartitionFetch {
                fetch_offset: asked.fetch_offset,
                max_bytes: asked.partition_max_bytes,
                current_leader_epoch: asked.current_leader_epoch,
                last_fetched_epoch: asked.last_fetched_epoch,
                log_start_offset: asked.log_start_offset,
            };
            partitions.push((key(topic.topic_id, asked.partition), fetch));
        }
    }
    let forgotten = request.forgotten_topics_data.iter();
    let forgotten =
        forgotten.flat_map(|topic| topic.partitions.iter().map(|partition| key(topic.topic_id, *partition)));
    SessionRequest {
        session_id: request.session_id,
        epoch: request.session_epoch,
        partitions,
        forgotten: forgotten.collect(),
        uses_topic_ids: true,
    }
}

fn is_enough(found: &[Result<ReadResult, ErrorCode>]) -> bool {
    found.iter().any(|found| found.as_ref().map_or(true, |read| read.records.is_some() || read.diverging.is_some()))
}

fn data(partition: i32, found: Result<ReadResult, ErrorCode>) -> PartitionData {
    let data = PartitionData::default().with_partition_index(partition);
    let read = match found {
        Ok(read) => read,
        Err(code) => return data.with_error_code(code.code()),
    };
    let records = read.records.map_or_else(Bytes::new, |slice| slice.read_blocking().unwrap());
    let mut data = data
        .with_high_watermark(read.high_watermark)
        .with_log_start_offset(read.log_start_offset)
        .with_records(Some(records));
    if let Some((epoch, end_offset)) = read.diverging {
        data.diverging_epoch = EpochEndOffset::default().with_epoch(epoch).with_end_offset(end_offset);
    }
    data
}

/// The cluster; nodes are 1, 2, ...
pub(super) struct Cluster {
    state: Arc<Mutex<PartitionImage>>,
    network: Network,
    nodes: BTreeMap<NodeId, Arc<ReplicaManager>>,
    /// Who hears nothing of new metadata.
    deaf: Mutex<BTreeSet<NodeId>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Cluster {
    /// Nodes of which all are replicas and in sync, and 1 leads in epoch 0.
    pub(super) fn of(nodes: i32, config: &[(&str, &str)]) -> Arc<Self> {
        let ids: Vec<NodeId> = (1..=nodes).collect();
        let state = PartitionImage { replicas: ids.clone(), isr: ids.clone(), leader: 1, ..PartitionImage::default() };
        let state = Arc::new(Mutex::new(state));
        let network = Network::default();
        let (stop, mut tasks) = (CancellationToken::new(), Vec::new());
        let clock = Clock::system();
        let nodes: BTreeMap<_, _> = ids.iter().map(|id| (*id, node(*id, &clock, config))).collect();
        for (id, replicas) in &nodes {
            let sessions = Mutex::new(FetchSessionCache::new(10, Duration::from_mins(2)));
            let side = Arc::new(LeaderSide { replicas: Arc::clone(replicas), sessions });
            network.leaders.lock().unwrap().insert(*id, side);
            let leaders = DirectLeaders { network: network.clone(), own: *id };
            tasks.push(tokio::spawn(ReplicaFetchers::new(Arc::clone(replicas), leaders).run(stop.clone())));
        }
        let cluster = Arc::new(Self { state, network, nodes, deaf: Mutex::default(), stop, tasks });
        cluster.publish(|_| {});
        cluster
    }

    /// Has the controller grant what leaders ask for, until the cluster is gone.
    pub(super) fn grant_isr_changes(self: &Arc<Self>) {
        for replicas in self.nodes.values() {
            let (replicas, cluster) = (Arc::clone(replicas), Arc::downgrade(self));
            let mut changes = replicas.take_isr_changes().unwrap();
            tokio::spawn(async move {
                while let Some(change) = changes.recv().await {
                    let Some(cluster) = cluster.upgrade() else { return };
                    let proposal = &change.proposal;
                    let known = cluster.state().clone();
                    let is_current = (proposal.leader_epoch, proposal.partition_epoch)
                        == (known.leader_epoch, known.partition_epoch);
                    if !is_current {
                        replicas.isr_answered(&change, Err(ErrorCode::InvalidUpdateVersion));
                        continue;
                    }
                    let isr: Vec<NodeId> = proposal.new_isr.iter().map(|(id, _)| *id).collect();
                    let altered = AlteredIsr {
                        leader_epoch: proposal.leader_epoch,
                        partition_epoch: proposal.partition_epoch + 1,
                        isr: isr.clone(),
                    };
                    replicas.isr_answered(&change, Ok(altered));
                    cluster.publish(|state| state.isr = isr);
                }
            });
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, PartitionImage> {
        self.state.lock().unwrap()
    }

    pub(super) fn isr(&self) -> Vec<NodeId> {
        self.state().isr.clone()
    }

    /// Changes the metadata, and tells everybody who hears it.
    pub(super) fn publish(&self, change: impl FnOnce(&mut PartitionImage)) {
        let mut state = self.state();
        let before = state.clone();
        change(&mut state);
        if *state != before {
            state.partition_epoch += 1;
        }
        let deaf = self.deaf.lock().unwrap().clone();
        for (id, replicas) in &self.nodes {
            if !deaf.contains(id) {
                let (image, delta) = image_of(&state, self.nodes.keys());
                replicas.apply(&delta, &image);
            }
        }
    }

    /// Has `leader` lead in a new epoch.
    pub(super) fn elect(&self, leader: NodeId) {
        self.publish(|state| {
            state.leader = leader;
            state.leader_epoch += 1;
        });
    }

    pub(super) fn cut_off(&self, node: NodeId) {
        self.network.cut_off.lock().unwrap().insert(node);
    }

    pub(super) fn rejoin(&self, node: NodeId) {
        self.network.cut_off.lock().unwrap().remove(&node);
    }

    pub(super) fn deafen(&self, node: NodeId) {
        self.deaf.lock().unwrap().insert(node);
    }

    pub(super) fn undeafen(&self, node: NodeId) {
        self.deaf.lock().unwrap().remove(&node);
        self.publish(|_| {});
    }

    pub(super) fn node(&self, id: NodeId) -> &Arc<ReplicaManager> {
        &self.nodes[&id]
    }

    pub(super) fn replica(&self, id: NodeId) -> Arc<HostedPartition> {
        self.nodes[&id].partition(TOPIC, 0).unwrap()
    }

    pub(super) fn try_append(&self, node: NodeId, value: &str, acks: RequiredAcks) -> Result<Appended, String> {
        let batch = BatchBuilder::new(1_000).record(None, Some(value.as_bytes())).build();
        let now = self.nodes[&node].clock().now();
        let appended = self.replica(node).append(&AppendRequest::by_client(&batch, acks), now);
        appended.map_err(|error| error.to_string())
    }

    pub(super) fn append(&self, node: NodeId, value: &str) -> Appended {
        self.try_append(node, value, RequiredAcks::Leader).unwrap()
    }

    /// Log start offset, log end offset, high watermark.
    pub(super) fn offsets(&self, node: NodeId) -> (i64, i64, i64) {
        let replica = self.replica(node);
        let high_watermark = replica.checkpoint_entry().unwrap().high_watermark;
        replica.with_log(|log| (log.log_start_offset(), log.log_end_offset(), high_watermark)).unwrap()
    }

    /// Everything in the log of a node.
    pub(super) fn log_of(&self, node: NodeId) -> Bytes {
        let read = |log: &mut crate::storage::Log| {
            let slice = log.read(log.log_start_offset(), usize::MAX, log.log_end_offset(), true).unwrap();
            slice.read_blocking().unwrap()
        };
        self.replica(node).with_log(read).unwrap()
    }

    /// Completes when these nodes have the same log, of which everything is committed.
    pub(super) async fn agree(&self, nodes: &[NodeId]) {
        eventually("the logs are the same", || {
            let (first, log) = (self.offsets(nodes[0]), self.log_of(nodes[0]));
            first.1 == first.2 && nodes.iter().all(|node| self.offsets(*node) == first && self.log_of(*node) == log)
        })
        .await;
    }

    /// Ends the fetchers.
    pub(super) async fn stop(self: Arc<Self>) {
        self.stop.cancel();
        eventually("the fetchers end", || self.tasks.iter().all(JoinHandle::is_finished)).await;
    }
}

fn node(id: NodeId, clock: &Clock, config: &[(&str, &str)]) -> Arc<ReplicaManager> {
    let mut all = vec![("replica.fetch.wait.max.ms", "20"), ("replica.fetch.backoff.ms", "10")];
    all.extend_from_slice(config);
    let config = Arc::new(Config::with(&all).unwrap());
    let (image, removed) = (MetadataImage::default(), HashSet::new());
    let known = KnownTopics { image: &image, removed: &removed };
    let log_dirs = Arc::new(LogDirs::of(LogDir::memory()));
    Arc::new(ReplicaManager::open(id, clock.clone(), config, log_dirs, known).unwrap())
}

fn image_of<'a>(state: &PartitionImage, nodes: impl Iterator<Item = &'a NodeId>) -> (MetadataImage, MetadataDelta) {
    let (mut image, mut delta) = (MetadataImage::default(), MetadataDelta::default());
    let broker = |id: &NodeId| BrokerRegistration {
        id: *id,
        epoch: i64::from(*id) * 10,
        incarnation: Uuid::nil(),
        listeners: Vec::new(),
        rack: None,
        fenced: false,
        in_controlled_shutdown: false,
        log_dirs: Vec::new(),
    };
    let brokers = nodes.map(|id| MetadataRecord::from(BrokerRecord::RegisterBroker(broker(id))));
    let topic = TopicRecord::Topic { name: TOPIC.into(), id: TOPIC_ID };
    let partition = TopicRecord::Partition { topic_id: TOPIC_ID, partition: 0, state: state.clone() };
    for record in brokers.chain([topic.into(), partition.into()]) {
        delta.note(image.replay(&record).unwrap());
    }
    (image, delta)
}
