//! The group APIs over the wire, at every version: an in-process broker in memory, and one connection.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::Request;

use crate::broker::{Broker, Client, group_id, text, topic_name};

/// A broker with a topic `t` of two partitions, and a client of it.
struct Talk {
    broker: Broker,
    client: Client,
}

impl Talk {
    async fn start() -> Self {
        let broker = Broker::start().await;
        let (mut client, _) = broker.client_with_topic("t", 2).await;
        client.find_coordinator("g").await;
        Self { broker, client }
    }

    async fn ask<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        self.client.ask(version, &request).await
    }

    /// Joins `group` until the client is a member, as real clients do.
    async fn join(&mut self, version: i16, group: &str) -> JoinGroupResponse {
        let response = self.ask(version, join(version, group, "")).await;
        if response.error_code != 79 {
            return response;
        }
        self.ask(version, join(version, group, &response.member_id)).await
    }
}

fn topic() -> TopicName {
    topic_name("t")
}

pub(crate) fn join(version: i16, group: &str, member_id: &str) -> JoinGroupRequest {
    let mut metadata = BytesMut::new();
    metadata.put_slice(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff");
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(metadata.freeze());
    let request = JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_session_timeout_ms(10_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    if version > 0 { request.with_rebalance_timeout_ms(10_000) } else { request }
}

pub(crate) fn sync(version: i16, group: &str, joined: &JoinGroupResponse) -> SyncGroupRequest {
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"all"));
    let request = SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![assignment]);
    if version < 5 {
        return request;
    }
    request.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range")))
}

pub(crate) fn commit(group: &str, joined: Option<&JoinGroupResponse>, partition: i32) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(42)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(joined.map_or(-1, |joined| joined.generation_id))
        .with_member_id(joined.map_or(text(""), |joined| joined.member_id.clone()))
        .with_topics(vec![topic])
}

#[tokio::test]
async fn the_coordinator_of_a_group_is_found_at_every_version() {
    let mut talk = Talk::start().await;
    let port = i32::from(talk.broker.port());
    for version in 0..=3 {
        let found = talk.ask(version, FindCoordinatorRequest::default().with_key(text("g"))).await;
        assert_eq!((found.error_code, found.node_id.0, found.port), (0, 1, port), "v{version}");
    }
    for version in 4..=6 {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g"), text("h")]);
        let found = talk.ask(version, request).await.coordinators;
        let keys: Vec<_> = found.iter().map(|each| (each.key.as_str(), each.error_code, each.port)).collect();
        assert_eq!(keys, [("g", 0, port), ("h", 0, port)], "v{version}");
    }
    let unknown = FindCoordinatorRequest::default().with_key(text("x")).with_key_type(3);
    assert_eq!(talk.ask(3, unknown).await.error_code, 42);
    talk.broker.stop().await;
}

#[tokio::test]
async fn a_group_lives_and_dies_at_every_version() {
    let mut talk = Talk::start().await;
    for version in 0..=9 {
        let group = format!("g{version}");
        let joined = talk.join(version, &group).await;
        assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 1, 1), "v{version}");
        assert_eq!((joined.leader.clone(), joined.protocol_name.as_deref()), (joined.member_id.clone(), Some("range")));
        let sync_version = version.min(5);
        let synced = talk.ask(sync_version, sync(sync_version, &group, &joined)).await;
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"all"[..]), "v{version}");
        let heartbeat = HeartbeatRequest::default()
            .with_group_id(group_id(&group))
            .with_generation_id(1)
            .with_member_id(joined.member_id.clone());
        assert_eq!(talk.ask(version.min(4), heartbeat).await.error_code, 0, "v{version}");
        let describe = DescribeGroupsRequest::default().with_groups(vec![group_id(&group), group_id("nowhere")]);
        let described = talk.ask(version.min(6), describe).await.groups;
        assert_eq!((described[0].group_state.as_str(), described[0].members.len()), ("Stable", 1));
        assert_eq!(described[0].members[0].client_host.as_str(), "/127.0.0.1");
        let expected = if version >= 6 { 69 } else { 0 };
        assert_eq!((described[1].group_state.as_str(), described[1].error_code), ("Dead", expected), "v{version}");
        let leave = LeaveGroupRequest::default().with_group_id(group_id(&group));
        let leave = if version < 3 {
            leave.with_member_id(joined.member_id)
        } else {
            leave.with_members(vec![MemberIdentity::default().with_member_id(joined.member_id)])
        };
        assert_eq!(talk.ask(version.min(5), leave).await.error_code, 0, "v{version}");
        let listed = talk.ask(version.min(5), ListGroupsRequest::default()).await;
        assert_eq!(listed.groups.len(), 1, "v{version}");
        let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&group), group_id("nowhere")]);
        let deleted = talk.ask(version.min(2), delete).await.results;
        let codes: Vec<_> = deleted.iter().map(|result: &DeletableGroupResult| result.error_code).collect();
        assert_eq!(codes, [0, 69], "v{version}");
    }
    talk.broker.stop().await;
}

/// States may be written in any case and with spaces around them, types in any case; what is no state or type is no
/// group's, and no error.
#[tokio::test]
async fn groups_are_listed_by_state_and_type() {
    let mut talk = Talk::start().await;
    talk.ask(8, commit("simple", None, 1)).await;
    talk.join(5, "joined").await;
    let cases: [(&[&str], &[&str], &[&str]); 8] = [
        (&[], &[], &["joined", "simple"]),
        (&["Empty"], &[], &["simple"]),
        (&[" eMPTY "], &["CLASSIC"], &["simple"]),
        (&["completingrebalance", "nonsense"], &["consumer", "Classic"], &["joined"]),
        (&["Stable", "PreparingRebalance", "Dead", ""], &[], &[]),
        (&[], &[" classic"], &[]),
        (&[], &["consumer", "share", "streams", "unknown", "nonsense", ""], &[]),
        (&["Empty"], &["consumer"], &[]),
    ];
    let texts = |names: &[&str]| names.iter().map(|name| text(name)).collect::<Vec<_>>();
    for (states, types, expected) in cases {
        let request = ListGroupsRequest::default().with_states_filter(texts(states)).with_types_filter(texts(types));
        let listed = talk.ask(5, request).await;
        assert_eq!(listed.error_code, 0);
        let mut names: Vec<_> = listed.groups.iter().map(|group| group.group_id.to_string()).collect();
        names.sort();
        assert_eq!(names, expected, "{states:?} {types:?}");
        assert!(listed.groups.iter().all(|group| group.group_type.as_str() == "classic"));
    }
    let describe = DescribeGroupsRequest::default().with_groups(vec![group_id("nowhere")]);
    let described = talk.ask(6, describe).await.groups.remove(0);
    assert_eq!(described.error_message.as_deref(), Some("Group nowhere not found."));
    talk.broker.stop().await;
}

#[tokio::test]
async fn offsets_are_committed_and_fetched_at_every_version() {
    let mut talk = Talk::start().await;
    for version in 2..=9 {
        let committed = talk.ask(version, commit("g", None, 1)).await;
        assert_eq!(committed.topics[0].partitions[0].error_code, 0, "v{version}");
        let unknown = talk.ask(version, commit("g", None, 2)).await;
        assert_eq!(unknown.topics[0].partitions[0].error_code, 3, "v{version}");
        let mut member = commit("nowhere", None, 1);
        member.generation_id_or_member_epoch = 1;
        let refused = talk.ask(version, member).await;
        assert_eq!(refused.topics[0].partitions[0].error_code, if version >= 9 { 69 } else { 22 }, "v{version}");
    }
    for version in 1..=7 {
        let topics = vec![OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![0, 1])];
        let request = OffsetFetchRequest::default().with_group_id(group_id("g")).with_topics(Some(topics));
        let fetched = talk.ask(version, request).await.topics;
        let offsets: Vec<_> = fetched[0].partitions.iter().map(|each| each.committed_offset).collect();
        assert_eq!(offsets, [-1, 42], "v{version}");
    }
    for version in 8..=9 {
        let topics = OffsetFetchRequestTopics::default().with_name(topic()).with_partition_indexes(vec![1]);
        let some = OffsetFetchRequestGroup::default().with_group_id(group_id("g")).with_topics(Some(vec![topics]));
        let all = OffsetFetchRequestGroup::default().with_group_id(group_id("g")).with_topics(None);
        let fetched = talk.ask(version, OffsetFetchRequest::default().with_groups(vec![some, all])).await.groups;
        for group in &fetched {
            assert_eq!(group.topics[0].partitions[0].metadata.as_deref(), Some("note"), "v{version}");
        }
        assert_eq!(fetched.len(), 2);
    }
    let partition = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
    let topics =
        OffsetDeleteRequestTopic::default().with_name(topic()).with_partitions(vec![partition(1), partition(2)]);
    let delete = OffsetDeleteRequest::default().with_group_id(group_id("g")).with_topics(vec![topics]);
    let deleted = talk.ask(0, delete).await;
    let codes: Vec<_> =
        deleted.topics[0].partitions.iter().map(|each| (each.partition_index, each.error_code)).collect();
    assert_eq!(codes, [(2, 3), (1, 0)]);
    talk.broker.stop().await;
}

#[tokio::test]
async fn pipelined_requests_of_a_member_keep_their_order() {
    let mut talk = Talk::start().await;
    let joined = talk.join(5, "g").await;
    let synced = talk.client.0.send(3, &sync(3, "g", &joined)).await.unwrap();
    let committed = talk.client.0.send(7, &commit("g", Some(&joined), 0)).await.unwrap();
    assert_eq!(talk.client.0.receive(synced).await.unwrap().error_code, 0);
    let committed = talk.client.0.receive(committed).await.unwrap();
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);
    talk.broker.stop().await;
}

#[tokio::test]
async fn requests_without_a_group_id_or_protocol_are_refused() {
    let mut talk = Talk::start().await;
    assert_eq!(talk.ask(5, join(5, "", "")).await.error_code, 24);
    assert_eq!(talk.ask(4, HeartbeatRequest::default()).await.error_code, 24);
    assert_eq!(talk.ask(4, LeaveGroupRequest::default()).await.error_code, 24);
    assert_eq!(talk.ask(4, SyncGroupRequest::default()).await.error_code, 24);
    assert_eq!(talk.ask(5, SyncGroupRequest::default()).await.error_code, 23);
    assert_eq!(talk.ask(0, OffsetDeleteRequest::default()).await.error_code, 24);
    let mut large = join(5, "g", "");
    large.protocols[0].metadata = vec![0; 15 << 20].into();
    assert_eq!(talk.ask(5, large).await.error_code, 42);
    talk.broker.stop().await;
}
