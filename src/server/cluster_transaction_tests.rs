//! A transaction over partitions of three brokers: whoever leads one asks the transaction's coordinator, and that one has
//! all of them write how it ended.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, CreateTopicsRequest, EndTxnRequest, FetchRequest,
    FindCoordinatorRequest, InitProducerIdRequest, OffsetFetchRequest, ProduceRequest, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::quorum_tests::{stop, three};
use super::*;
use crate::ids::{NodeId, ProducerIdAndEpoch};
use crate::network::channel::Channel;
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::BatchBuilder;

const TOPIC: &str = "t";
const ID: &str = "mover";
const PARTITIONS: i32 = 3;
/// Kinds of coordinators.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The three, and a connection to each.
struct Brokers {
    servers: Vec<Server>,
    channels: Vec<Channel>,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Brokers {
    async fn start() -> Self {
        let servers = three().await;
        let mut channels = Vec::new();
        for server in &servers {
            channels.push(Channel::connect(server.listeners()[0].1, "test").await.expect("a connection"));
        }
        Self { servers, channels }
    }

    fn of(&mut self, id: NodeId) -> &mut Channel {
        let place = self.servers.iter().position(|server| server.broker().node_id == id).expect("one of them");
        &mut self.channels[place]
    }

    /// One leads each partition.
    async fn create_topic(&mut self) -> Vec<NodeId> {
        let topic = CreatableTopic::default()
            .with_name(text(TOPIC).into())
            .with_num_partitions(PARTITIONS)
            .with_replication_factor(1);
        let create = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
        let created = self.channels[0].call(&create).await.expect("an answer");
        assert_eq!(created.topics[0].error_code, 0);
        let mut leaders = Vec::new();
        for server in &self.servers {
            // Each has heard of it, and hosts what it leads.
            let broker = server.broker();
            for _ in 0..200 {
                if broker.image().topic(TOPIC).is_some() {
                    break;
                }
                broker.clock.sleep(Duration::from_millis(10)).await;
            }
            let image = broker.image();
            broker.replicas_applied(image.offset).await.expect("applied");
            leaders = image.topic(TOPIC).expect("known").partitions.iter().map(|at| at.leader).collect();
        }
        assert_eq!(leaders.iter().collect::<BTreeSet<_>>().len(), 3, "{leaders:?}");
        leaders
    }

    /// The coordinator of `key`, once there is one.
    async fn coordinator(&mut self, kind: i8, key: &str) -> NodeId {
        let find = FindCoordinatorRequest::default().with_key_type(kind).with_coordinator_keys(vec![text(key)]);
        for _ in 0..200 {
            let found = self.channels[0].call(&find).await.expect("an answer");
            let found = &found.coordinators[0];
            if found.error_code == 0 {
                return found.node_id.0;
            }
            assert_eq!(found.error_code, ErrorCode::CoordinatorNotAvailable.code());
            self.servers[0].broker().clock.sleep(Duration::from_millis(20)).await;
        }
        panic!("nobody coordinates {key}");
    }

    async fn init(&mut self, coordinator: NodeId) -> ProducerIdAndEpoch {
        let init = InitProducerIdRequest::default()
            .with_transactional_id(Some(text(ID).into()))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let answer = loop {
            let answer = self.of(coordinator).call(&init).await.expect("an answer");
            let is_loading =
                [ErrorCode::CoordinatorLoadInProgress, ErrorCode::ConcurrentTransactions, ErrorCode::NotCoordinator];
            if !is_loading.iter().any(|code| code.code() == answer.error_code) {
                break answer;
            }
            self.servers[0].broker().clock.sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(answer.error_code, 0);
        ProducerIdAndEpoch { producer_id: answer.producer_id.0, producer_epoch: answer.producer_epoch }
    }

    /// The error of a Produce of one record; one that asks for patience is given it.
    async fn produce(&mut self, version: i16, leader: NodeId, partition: i32, batch: &Bytes) -> i16 {
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.clone()));
        let topic = TopicProduceData::default().with_name(text(TOPIC).into()).with_partition_data(vec![data]);
        let produce = ProduceRequest::default()
            .with_transactional_id(Some(text(ID).into()))
            .with_acks(-1)
            .with_timeout_ms(5_000)
            .with_topic_data(vec![topic]);
        loop {
            let answer = self.of(leader).call_at(version, &produce).await.expect("an answer");
            let code = answer.responses[0].partition_responses[0].error_code;
            let is_ending = [ErrorCode::ConcurrentTransactions, ErrorCode::NotEnoughReplicas];
            if !is_ending.iter().any(|ending| ending.code() == code) {
                return code;
            }
            self.servers[0].broker().clock.sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(&mut self, version: i16, coordinator: NodeId, of: ProducerIdAndEpoch, commits: bool) {
        let end = EndTxnRequest::default()
            .with_transactional_id(text(ID).into())
            .with_producer_id(of.producer_id.into())
            .with_producer_epoch(of.producer_epoch)
            .with_committed(commits);
        assert_eq!(self.of(coordinator).call_at(version, &end).await.expect("an answer").error_code, 0);
    }

    /// How many transactions were aborted in the last two records of a partition, once it is decided up to `stable`.
    async fn aborted(&mut self, leader: NodeId, partition: i32, stable: i64) -> usize {
        let id = self.servers[0].broker().image().topic(TOPIC).expect("known").id;
        let fetched = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(stable - 2)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic_id(id).with_partitions(vec![fetched]);
        let fetch = FetchRequest::default().with_isolation_level(1).with_max_bytes(1 << 20).with_topics(vec![topic]);
        for _ in 0..200 {
            let answer = self.of(leader).call_at(13, &fetch).await.expect("an answer");
            let data = &answer.responses[0].partitions[0];
            assert_eq!(data.error_code, 0);
            if data.last_stable_offset == stable {
                return data.aborted_transactions.as_ref().map_or(0, Vec::len);
            }
            self.servers[0].broker().clock.sleep(Duration::from_millis(20)).await;
        }
        panic!("partition {partition} is not decided up to {stable}");
    }
}

fn batch(producer: ProducerIdAndEpoch, sequence: i32) -> Bytes {
    let mut batch = BatchBuilder::new(1);
    batch.producer(producer.producer_id, producer.producer_epoch, sequence).transactional();
    batch.record(None, Some(b"v")).build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_over_partitions_of_three_brokers_ends_everywhere() {
    let mut brokers = Brokers::start().await;
    let leaders = brokers.create_topic().await;
    let coordinator = brokers.coordinator(TRANSACTION, ID).await;
    let producer = brokers.init(coordinator).await;

    // Of version 1: a partition that was not added is refused by its leader, wherever the coordinator is.
    for (partition, leader) in (0..).zip(&leaders) {
        let code = brokers.produce(11, *leader, partition, &batch(producer, 0)).await;
        assert_eq!(code, ErrorCode::TransactionAbortable.code(), "{partition}");
    }
    let topic = AddPartitionsToTxnTopic::default().with_name(text(TOPIC).into()).with_partitions(vec![0, 1, 2]);
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(text(ID).into())
        .with_v3_and_below_producer_id(producer.producer_id.into())
        .with_v3_and_below_producer_epoch(producer.producer_epoch)
        .with_v3_and_below_topics(vec![topic]);
    let added = brokers.of(coordinator).call_at(3, &add).await.expect("an answer");
    let results = added.results_by_topic_v3_and_below[0].results_by_partition.iter();
    assert!(results.clone().all(|result| result.partition_error_code == 0), "{added:?}");
    for (partition, leader) in (0..).zip(&leaders) {
        assert_eq!(brokers.produce(11, *leader, partition, &batch(producer, 0)).await, 0, "{partition}");
    }
    brokers.end(4, coordinator, producer, true).await;
    for (partition, leader) in (0..).zip(&leaders) {
        assert_eq!(brokers.aborted(*leader, partition, 2).await, 0, "{partition}");
    }

    // Of version 2: the leaders add their partitions themselves.
    let producer = brokers.init(coordinator).await;
    for (partition, leader) in (0..).zip(&leaders) {
        assert_eq!(brokers.produce(12, *leader, partition, &batch(producer, 0)).await, 0, "{partition}");
    }
    brokers.end(5, coordinator, producer, false).await;
    for (partition, leader) in (0..).zip(&leaders) {
        assert_eq!(brokers.aborted(*leader, partition, 4).await, 1, "{partition}");
    }
    stop(brokers.servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_group_whose_coordinator_is_another_broker_become_those_of_the_transaction() {
    let mut brokers = Brokers::start().await;
    brokers.create_topic().await;
    let coordinator = brokers.coordinator(TRANSACTION, ID).await;
    let producer = brokers.init(coordinator).await;
    let mut group = String::new();
    let mut of_group = coordinator;
    for number in 0..100 {
        group = format!("g{number}");
        of_group = brokers.coordinator(GROUP, &group).await;
        if of_group != coordinator {
            break;
        }
    }
    assert_ne!(of_group, coordinator);
    brokers.servers[usize::try_from(of_group - 1).expect("an id")].broker().groups.loaded().await;

    let add = AddOffsetsToTxnRequest::default()
        .with_transactional_id(text(ID).into())
        .with_producer_id(producer.producer_id.into())
        .with_producer_epoch(producer.producer_epoch)
        .with_group_id(text(&group).into());
    assert_eq!(brokers.of(coordinator).call_at(3, &add).await.expect("an answer").error_code, 0);
    let offset = TxnOffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(17);
    let topic = TxnOffsetCommitRequestTopic::default().with_name(text(TOPIC).into()).with_partitions(vec![offset]);
    let commit = TxnOffsetCommitRequest::default()
        .with_transactional_id(text(ID).into())
        .with_group_id(text(&group).into())
        .with_producer_id(producer.producer_id.into())
        .with_producer_epoch(producer.producer_epoch)
        .with_generation_id(-1)
        .with_topics(vec![topic]);
    let committed = brokers.of(of_group).call_at(3, &commit).await.expect("an answer");
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);
    brokers.end(4, coordinator, producer, true).await;

    let asked = OffsetFetchRequestGroup::default().with_group_id(text(&group).into()).with_topics(None);
    let fetch = OffsetFetchRequest::default().with_groups(vec![asked]);
    for _ in 0..200 {
        let answer = brokers.of(of_group).call_at(8, &fetch).await.expect("an answer");
        let topics = &answer.groups[0].topics;
        if let Some(topic) = topics.first() {
            assert_eq!(topic.partitions[0].committed_offset, 17);
            return stop(brokers.servers).await;
        }
        brokers.servers[0].broker().clock.sleep(Duration::from_millis(20)).await;
    }
    panic!("the offset does not become the group's");
}
