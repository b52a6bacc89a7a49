//! The runtime of the coordinators: what it answers while a machine loads, and what it never loses.

use std::sync::Arc;

use bytes::BytesMut;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::{
    CreatePartitionsRequest, DeleteGroupsRequest, DeleteTopicsRequest, MetadataRequest, OffsetCommitRequest,
    RequestHeader,
};
use kafka_protocol::protocol::Encodable;
use klamm::clock::Clock;
use klamm::coordinator::group::request::{CommitOffsetsRequest, FetchOffsetsRequest, MemberRequest, OffsetToCommit};
use klamm::coordinator::group::{GroupCoordinator, GroupCoordinatorConfig};
use klamm::coordinator::runtime::{CoordinatorRuntime, CoordinatorRuntimeConfig};
use klamm::ids::{GROUP_METADATA_TOPIC, Uuid};
use klamm::metadata::{Change, MetadataDelta, MetadataImage, TopicChange};
use klamm::protocol::ErrorCode;
use klamm::protocol::record_batch::batches;
use klamm::replication::hosted_partition::ReadRequest;

use crate::broker::{Broker, Client, group_id, topic_name};
use crate::server::{framed, within};
use crate::{alter_configs, groups};

type Groups = CoordinatorRuntime<GroupCoordinator>;

/// A broker whose group coordinators are at work.
async fn start() -> (Broker, Client) {
    let broker = Broker::start().await;
    let (mut client, _) = broker.client_with_topic("t", 1).await;
    client.find_coordinator("g").await;
    (broker, client)
}

fn commit(offset: i64) -> CommitOffsetsRequest {
    let member =
        MemberRequest { group_id: "g".into(), member_id: "".into(), group_instance_id: None, generation_id: -1 };
    let offset = OffsetToCommit { partition: 0, offset, leader_epoch: -1, metadata: "".into() };
    CommitOffsetsRequest { member, retention_ms: None, topics: vec![("t".into(), vec![offset])] }
}

/// What group `g` has committed, or -1.
async fn committed(groups: &Groups) -> Result<i64, ErrorCode> {
    let topics = Some(vec![("t".into(), vec![0])]);
    let fetched =
        within(groups.enqueue("g", FetchOffsetsRequest { group_id: "g".into(), topics, require_stable: true })).await?;
    Ok(fetched[0].1[0].offset)
}

/// Has `groups` hear that a topic `t` is gone.
fn forget_topic(groups: &Groups, image: &MetadataImage) {
    let mut delta = MetadataDelta::default();
    delta.note(Change::Topic(TopicChange::Deleted(Uuid::from_u128(1), "t".into())));
    // A thread of its own, as it has in a broker.
    std::thread::scope(|scope| scope.spawn(|| groups.apply(&delta, image)).join().unwrap());
}

/// Machines load on threads, which they are given only when this test waits for something.
#[tokio::test]
async fn a_machine_that_loads_says_so_and_misses_nothing() {
    let (broker, _client) = start().await;
    let shared = broker.0.broker();
    within(shared.groups.enqueue("g", commit(7))).await.unwrap().unwrap();
    let again = || {
        let new_machine = || GroupCoordinator::new(GroupCoordinatorConfig::default());
        let replicas = Arc::clone(&shared.replicas);
        let config = CoordinatorRuntimeConfig::default();
        let (topic, clock) = (GROUP_METADATA_TOPIC, Clock::system());
        let groups = Groups::new(topic, shared.node_id, clock, replicas, config, new_machine, |never| match never {});
        let image = shared.image();
        let topic_id = image.topic(GROUP_METADATA_TOPIC).unwrap().id;
        let mut delta = MetadataDelta::default();
        delta.note(Change::Topic(TopicChange::Created(topic_id)));
        groups.apply(&delta, &image);
        groups
    };
    let groups = again();
    assert_eq!(committed(&groups).await, Err(ErrorCode::CoordinatorLoadInProgress));
    within(groups.loaded()).await;
    assert_eq!(committed(&groups).await, Ok(7));
    groups.shutdown().await;
    assert_eq!(committed(&groups).await, Err(ErrorCode::NotCoordinator));
    let groups = again();
    forget_topic(&groups, &shared.image());
    within(groups.loaded()).await;
    assert_eq!(committed(&groups).await, Ok(-1), "it heard of the deletion while it loaded");
    groups.shutdown().await;
    broker.stop().await;
}

/// A machine gets to its mailbox only when this test waits for something.
#[tokio::test]
async fn a_full_mailbox_refuses_requests_and_takes_notices() {
    let (broker, _client) = start().await;
    let groups = &broker.0.broker().groups;
    let mut waiting = Vec::new();
    let refused = loop {
        assert!(waiting.len() < 100_000, "the mailbox has a bound");
        let mut answer = Box::pin(groups.enqueue("g", commit(7)));
        match futures_util::FutureExt::now_or_never(&mut answer) {
            None => waiting.push(answer),
            Some(refused) => break refused,
        }
    };
    assert_eq!(refused.unwrap_err(), ErrorCode::CoordinatorNotAvailable);
    forget_topic(groups, &broker.0.broker().image());
    for answer in waiting {
        within(answer).await.unwrap().unwrap();
    }
    within(groups.enqueue("g", commit(8))).await.unwrap().unwrap();
    assert_eq!(committed(groups).await, Ok(8), "what was committed behind the notice is there");
    forget_topic(groups, &broker.0.broker().image());
    assert_eq!(committed(groups).await, Ok(-1));
    broker.stop().await;
}

/// As in Kafka, `__consumer_offsets` is a topic like others to whoever administers them.
#[tokio::test]
async fn clients_create_enlarge_and_delete_the_offsets_topic() {
    let broker = Broker::start().await;
    let (mut client, _) = broker.client_with_topic("t", 1).await;
    let groups = &broker.0.broker().groups;
    for round in 0..3 {
        let topic = client.create_topic(GROUP_METADATA_TOPIC, 3, &[("cleanup.policy", "compact")]).await;
        client.find_coordinator("g").await;
        assert_eq!(committed(groups).await, Ok(-1), "round {round}: its predecessor's offsets are gone");
        within(groups.enqueue("g", commit(round))).await.unwrap().unwrap();
        let enlarged =
            CreatePartitionsTopic::default().with_name(topic.name.clone()).with_count(5).with_assignments(None);
        let enlarge = CreatePartitionsRequest::default().with_topics(vec![enlarged]).with_timeout_ms(5_000);
        assert_eq!(client.ask(3, &enlarge).await.results[0].error_code, 0);
        // Its partition is not looked for anew before the next start.
        client.find_coordinator("g").await;
        assert_eq!(committed(groups).await, Ok(round));
        let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic.name]).with_timeout_ms(5_000);
        assert_eq!(client.ask(5, &delete).await.responses[0].error_code, 0);
        assert_eq!(committed(groups).await, Err(ErrorCode::NotCoordinator));
    }
    // Without it, it is made as it is configured when it is first needed, or first named.
    let named = MetadataRequestTopic::default().with_name(Some(topic_name(GROUP_METADATA_TOPIC)));
    let metadata = MetadataRequest::default().with_topics(Some(vec![named])).with_allow_auto_topic_creation(true);
    let told = client.ask(9, &metadata).await.topics.remove(0);
    assert_eq!((told.error_code, told.is_internal, told.partitions.len()), (0, true, 50));
    client.find_coordinator("g").await;
    assert_eq!(committed(groups).await, Ok(-1));
    broker.stop().await;
}

/// How many records there are in each batch of the only partition of `__consumer_offsets`.
fn batch_sizes(broker: &Broker) -> Vec<i32> {
    let partition = broker.0.broker().replicas.partition(GROUP_METADATA_TOPIC, 0).unwrap();
    let request = ReadRequest {
        fetch_offset: 0,
        max_bytes: usize::MAX,
        min_one: true,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        read_committed: false,
    };
    let Some(slice) = partition.read(&request).unwrap().records else { return Vec::new() };
    batches(&slice.read_blocking().unwrap()).map(|batch| batch.unwrap().header.record_count).collect()
}

#[tokio::test]
async fn commits_that_are_pipelined_share_batches() {
    let broker = Broker::with(&[("offsets.topic.num.partitions", "1")]).await;
    let (mut client, _) = broker.client_with_topic("t", 1).await;
    client.find_coordinator("g").await;
    let mut body = BytesMut::new();
    RequestHeader::default().with_request_api_key(8).with_request_api_version(8).encode(&mut body, 2).unwrap();
    groups::commit("g", None, 0).encode(&mut body, 8).unwrap();
    let mut peer = broker.peer().await;
    peer.send(&framed(&body).repeat(80)).await;
    for _ in 0..80 {
        assert!(peer.answer().await.ends_with(&[0; 5]), "no error, and the tags of partition, topic and answer");
    }
    let sizes = batch_sizes(&broker);
    assert_eq!(sizes.iter().sum::<i32>(), 80);
    assert!(sizes.len() < 20, "{sizes:?}");
    broker.stop().await;
}

/// A commit for all of the topic's partitions, as long as what goes with each offset makes it.
fn commit_everything(metadata: &str) -> OffsetCommitRequest {
    let mut request = groups::commit("g", None, 0);
    let partition =
        OffsetCommitRequestPartition::default().with_committed_metadata(Some(crate::broker::text(metadata)));
    request.topics[0].partitions = (0..20).map(|index| partition.clone().with_partition_index(index)).collect();
    request
}

/// A commit and a group's deletion are as many batches as they take: each record stands for itself.
#[tokio::test]
async fn a_commit_and_a_deletion_that_no_batch_can_hold_are_several() {
    let broker = Broker::with(&[("offsets.topic.num.partitions", "1")]).await;
    let (mut client, _) = broker.client_with_topic("t", 20).await;
    let configs = [("cleanup.policy", "compact"), ("max.message.bytes", "1200")];
    client.create_topic(GROUP_METADATA_TOPIC, 1, &configs).await;
    client.find_coordinator("g").await;
    let codes = async |client: &mut Client, request: &OffsetCommitRequest| {
        let partitions = client.ask(8, request).await.topics.remove(0).partitions;
        partitions.into_iter().map(|partition| partition.error_code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&mut client, &commit_everything("")).await, [0; 20]);
    assert_eq!(batch_sizes(&broker), [20]);
    assert_eq!(codes(&mut client, &commit_everything(&"m".repeat(100))).await, [0; 20]);
    let sizes = batch_sizes(&broker);
    assert!(sizes.iter().sum::<i32>() == 40 && sizes.len() > 2, "{sizes:?}");
    alter_configs::set(&mut client, 2, GROUP_METADATA_TOPIC, "max.message.bytes", "300").await;
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id("g")]);
    assert_eq!(client.ask(2, &delete).await.results[0].error_code, 0);
    let before = sizes.len();
    let sizes = batch_sizes(&broker);
    assert_eq!(sizes.iter().sum::<i32>(), 61, "40 commits, 20 tombstones, and the group's");
    assert!(sizes.len() > before + 1, "{sizes:?}");
    broker.stop().await;
}
