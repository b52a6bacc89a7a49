//! Rows B16 and B41 to B43 of the bad-input matrix: what members and committers may not send.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest, TopicName,
};

use crate::broker::{Broker, Client, Topic, group_id, text, topic_name};
use crate::server::within;

const UNKNOWN_SERVER_ERROR: i16 = -1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const OFFSET_METADATA_TOO_LARGE: i16 = 12;
const ILLEGAL_GENERATION: i16 = 22;
const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
const INVALID_GROUP_ID: i16 = 24;
const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_SESSION_TIMEOUT: i16 = 26;
const INVALID_REQUEST: i16 = 42;
const GROUP_ID_NOT_FOUND: i16 = 69;
const MEMBER_ID_REQUIRED: i16 = 79;
const GROUP_MAX_SIZE_REACHED: i16 = 81;

/// A member of one protocol that its client names.
fn join(group: &str, protocol: &str, member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text(protocol))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\0"));
    JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

/// Versions at which a new member is taken in at once, and is told to come back with its id.
const JOIN: i16 = 3;
const JOIN_WITH_ID: i16 = 5;

async fn join_alone(client: &mut Client, group: &str) -> JoinGroupResponse {
    let joined = client.ask(JOIN, &join(group, "range", "")).await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    joined
}

fn commit(group: &str, topic: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

async fn commit_code(client: &mut Client, version: i16, request: &OffsetCommitRequest) -> i16 {
    client.ask(version, request).await.topics[0].partitions[0].error_code
}

async fn committed(client: &mut Client, group: &str, topic: &TopicName) -> i64 {
    let topic = OffsetFetchRequestTopic::default().with_name(topic.clone()).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(Some(vec![topic]));
    client.ask(7, &request).await.topics[0].partitions[0].committed_offset
}

async fn broker_with_coordinator(pairs: &[(&str, &str)]) -> (Broker, Client, Topic) {
    let broker = Broker::with(pairs).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.find_coordinator("g").await;
    (broker, client, topic)
}

#[tokio::test]
async fn b16_lists_of_no_groups_and_no_topics() {
    let (broker, mut client, _) = broker_with_coordinator(&[]).await;
    for version in 0..=6 {
        assert!(client.ask(version, &DescribeGroupsRequest::default()).await.groups.is_empty(), "v{version}");
    }
    for version in 0..=2 {
        assert!(client.ask(version, &DeleteGroupsRequest::default()).await.results.is_empty(), "v{version}");
    }
    for version in 2..=9 {
        let nothing = commit("g", "t", 0, 0).with_topics(vec![]);
        assert!(client.ask(version, &nothing).await.topics.is_empty(), "v{version}");
        let mut no_partition = commit("g", "t", 0, 0);
        no_partition.topics[0].partitions.clear();
        let response = client.ask(version, &no_partition).await;
        assert!(response.topics.iter().all(|topic| topic.partitions.is_empty()), "v{version}");
    }
    for version in 1..=7 {
        let nothing = OffsetFetchRequest::default().with_group_id(group_id("g")).with_topics(Some(vec![]));
        assert!(client.ask(version, &nothing).await.topics.is_empty(), "v{version}");
    }
    for version in 8..=9 {
        assert!(client.ask(version, &OffsetFetchRequest::default()).await.groups.is_empty(), "v{version}");
    }
    for version in 3..=5 {
        let leave = LeaveGroupRequest::default().with_group_id(group_id("g"));
        assert!(client.ask(version, &leave).await.members.is_empty(), "v{version}");
    }
    let delete = OffsetDeleteRequest::default().with_group_id(group_id("g"));
    assert_eq!(client.ask(0, &delete).await.error_code, GROUP_ID_NOT_FOUND);
    broker.stop().await;
}

#[tokio::test]
async fn b41_groups_that_cannot_be_joined() {
    let (broker, mut client, _) = broker_with_coordinator(&[]).await;
    let taken = join_alone(&mut client, "taken").await;
    let sync = SyncGroupRequest::default().with_group_id(group_id("taken")).with_generation_id(1);
    client.ask(3, &sync.with_member_id(taken.member_id)).await;
    let other_type = join("taken", "range", "").with_protocol_type(text("connect"));
    let no_protocols = join("g", "range", "").with_protocols(vec![]);
    let large = vec![0; 15 << 20];
    let mut large_metadata = join("g", "range", "");
    large_metadata.protocols[0].metadata = large.into();
    let cases = [
        ("no group id", join("", "range", ""), INVALID_GROUP_ID),
        ("a session of 1 ms", join("g", "range", "").with_session_timeout_ms(1), INVALID_SESSION_TIMEOUT),
        ("a session of a day", join("g", "range", "").with_session_timeout_ms(86_400_000), INVALID_SESSION_TIMEOUT),
        ("a negative session", join("g", "range", "").with_session_timeout_ms(-1), INVALID_SESSION_TIMEOUT),
        ("no protocols", no_protocols, INCONSISTENT_GROUP_PROTOCOL),
        ("no protocol type", join("g", "range", "").with_protocol_type(text("")), INCONSISTENT_GROUP_PROTOCOL),
        ("another protocol type", other_type, INCONSISTENT_GROUP_PROTOCOL),
        ("no protocol in common", join("taken", "other", ""), INCONSISTENT_GROUP_PROTOCOL),
        ("metadata of 15 MiB", large_metadata, INVALID_REQUEST),
        ("an unknown member of no group", join("g2", "range", "nobody"), UNKNOWN_MEMBER_ID),
        ("an unknown member", join("taken", "range", "nobody"), UNKNOWN_MEMBER_ID),
    ];
    for (what, request, expected) in cases {
        for version in 1..=9 {
            let answer = client.ask(version, &request).await;
            assert_eq!((answer.error_code, answer.generation_id), (expected, -1), "{what}, v{version}");
            assert!(answer.members.is_empty(), "{what}, v{version}");
        }
    }
    // More than the API's frames may be closes the connection.
    let mut larger = join("g", "range", "");
    larger.protocols[0].metadata = vec![0; 17 << 20].into();
    let refused = client.0.call_at(JOIN, &larger).await;
    assert!(refused.is_err());
    broker.stop().await;
}

/// B41: what no record of `__consumer_offsets` can hold is refused for good, and harms nobody else.
#[tokio::test]
async fn b41_groups_too_large_for_their_record() {
    let (broker, mut client, _) = broker_with_coordinator(&[]).await;
    let mut request = join("g", "range", "");
    request.protocols[0].metadata = vec![0; (1 << 20) - 5].into();
    let joined = client.ask(JOIN, &request).await;
    assert_eq!(joined.error_code, 0);
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"assignment"));
    let sync = SyncGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id)
        .with_assignments(vec![assignment]);
    assert_eq!(client.ask(3, &sync).await.error_code, UNKNOWN_SERVER_ERROR);
    join_alone(&mut client, "h").await;
    broker.stop().await;
}

#[tokio::test]
async fn b41_members_and_generations_that_are_not_there() {
    let (broker, mut client, _) = broker_with_coordinator(&[]).await;
    let member_id = join_alone(&mut client, "g").await.member_id;
    let cases = [
        ("g", "nobody", 1, UNKNOWN_MEMBER_ID),
        ("g", "", 1, UNKNOWN_MEMBER_ID),
        ("g", member_id.as_str(), 0, ILLEGAL_GENERATION),
        ("g", member_id.as_str(), 2, ILLEGAL_GENERATION),
        ("g", member_id.as_str(), -1, ILLEGAL_GENERATION),
        ("nowhere", "nobody", 1, UNKNOWN_MEMBER_ID),
    ];
    for (group, member, generation, expected) in cases {
        for version in 0..=4 {
            let heartbeat = HeartbeatRequest::default()
                .with_group_id(group_id(group))
                .with_member_id(text(member))
                .with_generation_id(generation);
            let answer = client.ask(version, &heartbeat).await;
            assert_eq!(answer.error_code, expected, "Heartbeat v{version} {group} {member} {generation}");
            let sync = SyncGroupRequest::default()
                .with_group_id(group_id(group))
                .with_member_id(text(member))
                .with_generation_id(generation);
            let answer = client.ask(version, &sync).await;
            assert_eq!(answer.error_code, expected, "SyncGroup v{version} {group} {member} {generation}");
            assert!(answer.assignment.is_empty());
        }
    }
    for version in 0..=2 {
        let leave = LeaveGroupRequest::default().with_group_id(group_id("g")).with_member_id(text("nobody"));
        assert_eq!(client.ask(version, &leave).await.error_code, UNKNOWN_MEMBER_ID, "LeaveGroup v{version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn b42_a_group_is_not_larger_than_it_may_be() {
    let (broker, mut client, _) =
        broker_with_coordinator(&[("group.max.size", "2"), ("group.initial.rebalance.delay.ms", "10")]).await;
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut other = broker.client().await;
        let ticket = other.0.send(JOIN, &join("g", "range", "")).await.unwrap();
        others.push((other, ticket));
    }
    for (mut other, ticket) in others {
        assert_eq!(within(other.0.receive(ticket)).await.unwrap().error_code, 0);
    }
    for version in 1..=9 {
        let answer = client.ask(version, &join("g", "range", "")).await;
        assert_eq!(answer.error_code, GROUP_MAX_SIZE_REACHED, "v{version}");
    }
    broker.stop().await;
}

/// B42: clients that ask for a member id and never come back are counted, and forgotten after their session timeout.
#[tokio::test]
async fn b42_members_that_never_come_back_are_bounded_and_expire() {
    const MOST: usize = 10_000;
    let pairs = [("group.min.session.timeout.ms", "1"), ("group.max.session.timeout.ms", "600000")];
    let (broker, mut client, _) = broker_with_coordinator(&pairs).await;
    let mut codes = std::collections::BTreeMap::new();
    for _ in 0..(MOST + 500) / 500 {
        let mut tickets = Vec::new();
        let request = join("g", "range", "").with_session_timeout_ms(600_000);
        for _ in 0..500 {
            tickets.push(client.0.send(JOIN_WITH_ID, &request).await.unwrap());
        }
        for ticket in tickets {
            *codes.entry(client.0.receive(ticket).await.unwrap().error_code).or_insert(0) += 1;
        }
    }
    assert_eq!(codes, [(MEMBER_ID_REQUIRED, MOST), (GROUP_MAX_SIZE_REACHED, 500)].into());
    let brief = join("brief", "range", "").with_session_timeout_ms(20);
    let id = client.ask(JOIN_WITH_ID, &brief).await.member_id;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let late = client.ask(JOIN_WITH_ID, &brief.with_member_id(id)).await;
    assert_eq!(late.error_code, UNKNOWN_MEMBER_ID);
    broker.stop().await;
}

#[tokio::test]
async fn b43_commits_that_cannot_be_stored() {
    let (broker, mut client, topic) = broker_with_coordinator(&[]).await;
    let with_metadata = |length: usize| {
        let mut request = commit("g", "t", 0, 7);
        request.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(length)));
        request
    };
    for version in 2..=9 {
        assert_eq!(commit_code(&mut client, version, &with_metadata(4_097)).await, OFFSET_METADATA_TOO_LARGE);
        assert_eq!(commit_code(&mut client, version, &with_metadata(4_096)).await, 0, "v{version}");
        for (topic, partition) in [("nowhere", 0), ("t", 1), ("t", -1), ("", 0), ("../x", 0)] {
            let code = commit_code(&mut client, version, &commit("g", topic, partition, 7)).await;
            assert_eq!(code, UNKNOWN_TOPIC_OR_PARTITION, "v{version} {topic} {partition}");
        }
        // Kafka stores offsets as they are, negative ones too.
        assert_eq!(commit_code(&mut client, version, &commit("g", "t", 0, -5)).await, 0, "v{version}");
        assert_eq!(committed(&mut client, "g", &topic.name).await, -5);
    }
    broker.stop().await;
}

/// Kafka refuses a commit that does not fit into one batch; here it is written as several, and found again.
#[tokio::test]
async fn b43_commits_of_thousands_of_partitions() {
    const PARTITIONS: i32 = 9_000;
    let (broker, mut client, _) = broker_with_coordinator(&[("offset.metadata.max.bytes", "200")]).await;
    let large = client.create_topic("large", PARTITIONS, &[]).await;
    let mut request = commit("g", "large", 0, 7);
    request.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(200)));
    let one = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = (0..PARTITIONS).map(|index| one.clone().with_partition_index(index)).collect();
    let response = client.ask(8, &request).await;
    assert!(response.topics[0].partitions.iter().all(|partition| partition.error_code == 0));
    let topic =
        OffsetFetchRequestTopic::default().with_name(large.name).with_partition_indexes((0..PARTITIONS).collect());
    let fetch = OffsetFetchRequest::default().with_group_id(group_id("g")).with_topics(Some(vec![topic]));
    let response = client.ask(7, &fetch).await;
    assert!(response.topics[0].partitions.iter().all(|partition| partition.committed_offset == 7));
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id("g")]);
    assert_eq!(client.ask(2, &delete).await.results[0].error_code, 0);
    let response = client.ask(7, &fetch).await;
    assert!(response.topics[0].partitions.iter().all(|partition| partition.committed_offset == -1));
    broker.stop().await;
}

#[tokio::test]
async fn b43_commits_by_those_who_are_no_members() {
    let (broker, mut client, topic) = broker_with_coordinator(&[]).await;
    let member_id = join_alone(&mut client, "g").await.member_id;
    let by = |member: &str, generation| {
        commit("g", "t", 0, 7).with_member_id(text(member)).with_generation_id_or_member_epoch(generation)
    };
    for version in 2..=9 {
        let cases = [
            ("an unknown member", by("nobody", 1), UNKNOWN_MEMBER_ID),
            ("an old generation", by(&member_id, 0), ILLEGAL_GENERATION),
            ("a generation to come", by(&member_id, 2), ILLEGAL_GENERATION),
            ("a plain consumer", by("", -1), UNKNOWN_MEMBER_ID),
        ];
        for (what, request, expected) in cases {
            assert_eq!(commit_code(&mut client, version, &request).await, expected, "{what}, v{version}");
        }
    }
    assert_eq!(committed(&mut client, "g", &topic.name).await, -1, "nothing was stored");
    broker.stop().await;
}
