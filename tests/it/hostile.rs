//! Rows of the bad-input matrix that need a whole broker: every API with bodies cut short, requests that are large for
//! no reason, and connections that are used badly.

use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::ListOffsetsTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderTopic;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, DeleteGroupsRequest, DeleteTopicsRequest, DescribeAclsRequest, DescribeGroupsRequest,
    DescribeTopicPartitionsRequest, FetchRequest, FindCoordinatorRequest, GroupId, LeaveGroupRequest,
    ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use klamm::api::client_apis;

use crate::broker::{Broker, Client, batch, builder, fetch, group_id, list_offsets, produce, topic_name};
use crate::decode::requests::REQUEST_TYPES;
use crate::server::{Peer, framed, until, within};

/// A request of `key` with any body.
pub(crate) fn request(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> bytes::Bytes {
    let mut frame = BytesMut::new();
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(correlation_id);
    frame.put_slice(b"\x00\x02it");
    if ApiKey::try_from(key).unwrap().request_header_version(version) >= 2 {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    framed(&frame)
}

/// Every API, each version of it, and the body of its default request where there is one.
fn default_bodies() -> impl Iterator<Item = (i16, i16, bytes::Bytes)> {
    client_apis().flat_map(|api| {
        let request = REQUEST_TYPES.iter().find(|request| request.key == api.key).unwrap();
        let body = move |version| Some((api.key, version, (request.default_body)(version)?));
        (api.min_version..=api.max_version).filter_map(body)
    })
}

#[tokio::test]
async fn b10_bodies_cut_short_close_the_connection() {
    let broker = Broker::start().await;
    for (key, version, body) in default_bodies().filter(|(_, _, body)| !body.is_empty()) {
        let mut peer = broker.peer().await;
        peer.send(&request(key, version, 1, &body[..body.len() - 1])).await;
        peer.assert_closed().await;
    }
    broker.stop().await;
}

/// B16, B15: requests in which everything is empty or zero, with and without bytes behind them.
#[tokio::test]
async fn b16_every_default_request_is_answered_and_leaves_the_connection_usable() {
    let broker = Broker::start().await;
    broker.client().await.find_coordinator("g").await;
    // The default filter of ACLs has UNKNOWN elements, which Kafka cannot parse either.
    let answered = default_bodies().filter(|(key, ..)| *key != DescribeAclsRequest::KEY);
    for (key, version, body) in answered {
        for surplus in [&b""[..], b"surplus"] {
            let mut peer = broker.peer().await;
            peer.send(&request(key, version, 1, &[&body, surplus].concat())).await;
            peer.send(&request(18, 0, 2, b"")).await;
            let mut ids = Vec::new();
            while ids.last() != Some(&2) {
                ids.push((&peer.answer().await[..]).get_i32());
            }
            // A Produce with acks=0 has no answer.
            assert_eq!(ids, if key == 0 { vec![2] } else { vec![1, 2] }, "API {key} v{version}");
        }
    }
    broker.stop().await;
}

/// How many bytes of address space this process has.
fn address_space() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// B4: memory grows with the bytes that arrive, not with those that are announced: 20 GiB here.
#[tokio::test]
async fn b4_announced_frames_reserve_nothing() {
    let broker = Broker::start().await;
    let before = address_space();
    let mut peers = Vec::new();
    for _ in 0..200 {
        let mut peer = broker.peer().await;
        peer.send(&[&104_857_600_i32.to_be_bytes()[..], &request(0, 9, 1, b"")[4..]].concat()).await;
        peers.push(peer);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let grown = address_space().saturating_sub(before);
    assert!(grown < 4 << 30, "{} MiB", grown >> 20);
    drop(peers);
    broker.stop().await;
}

#[tokio::test]
async fn b2_socket_request_max_bytes_is_the_longest_frame() {
    let broker = Broker::with(&[("socket.request.max.bytes", "2000")]).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    assert_eq!(client.append(&topic, 0, &["x".repeat(1_700).as_str()]).await, 0);
    client.assert_closed_by(9, &produce(&topic, 0, batch(&["x".repeat(2_000).as_str()]))).await;
    broker.stop().await;
}

/// How many elements the lists of B12 have: enough that the square of it takes more than anybody's patience.
const MANY: usize = 50_000;
/// The same for groups, each of which is a question to a coordinator.
const MANY_GROUPS: usize = 10_000;

fn names() -> impl Iterator<Item = TopicName> {
    (0..MANY).map(|index| topic_name(&format!("made-up-{index}")))
}

fn groups() -> Vec<GroupId> {
    (0..MANY_GROUPS).map(|index| group_id(&format!("made-up-{index}"))).collect()
}

/// Asks; the answer comes within the tests' patience.
async fn ask<R: Request>(client: &mut Client, version: i16, request: R) {
    client.ask(version, &request).await;
}

/// B12: lists of small elements, all different. Whoever looks each of them up in a list takes too long.
#[tokio::test]
async fn b12_long_lists_of_topics_take_time_in_proportion() {
    let broker = Broker::with(&[("auto.create.topics.enable", "false")]).await;
    let mut client = broker.client().await;
    client.find_coordinator("g").await;
    let topics = names().map(|name| MetadataRequestTopic::default().with_name(Some(name))).collect();
    ask(&mut client, 12, MetadataRequest::default().with_topics(Some(topics))).await;
    let topics = names().map(|name| TopicRequest::default().with_name(name)).collect();
    ask(&mut client, 0, DescribeTopicPartitionsRequest::default().with_topics(topics).with_cursor(None)).await;
    let topics = names().map(|name| CreatableTopic::default().with_name(name)).collect();
    ask(&mut client, 7, CreateTopicsRequest::default().with_topics(topics)).await;
    let topics = names().map(|name| DeleteTopicState::default().with_name(Some(name))).collect();
    ask(&mut client, 6, DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topics(topics)).await;

    let one = produce(&crate::broker::Topic::unknown("nowhere"), 0, batch(&["a"])).topic_data.remove(0);
    let topics: Vec<TopicProduceData> = names().map(|name| one.clone().with_name(name)).collect();
    ask(&mut client, 12, ProduceRequest::default().with_acks(-1).with_topic_data(topics)).await;
    let one = fetch(&crate::broker::Topic::unknown("nowhere"), &[(0, 0)]).topics.remove(0);
    let topics = names().map(|name| one.clone().with_topic(name)).collect();
    ask(&mut client, 12, FetchRequest::default().with_session_epoch(0).with_topics(topics)).await;
    let one = list_offsets(&crate::broker::Topic::unknown("nowhere"), 0, -1).topics.remove(0);
    let topics: Vec<ListOffsetsTopic> = names().map(|name| one.clone().with_name(name)).collect();
    ask(&mut client, 9, ListOffsetsRequest::default().with_topics(topics)).await;
    let topics = names().map(|name| OffsetForLeaderTopic::default().with_topic(name)).collect();
    ask(&mut client, 4, OffsetForLeaderEpochRequest::default().with_topics(topics)).await;
    broker.stop().await;
}

#[tokio::test]
async fn b12_long_lists_for_groups_take_time_in_proportion() {
    let broker = Broker::start().await;
    let (mut client, _) = broker.client_with_topic("t", 1).await;
    client.find_coordinator("g").await;
    let group = group_id("g");
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let topic = |name| OffsetCommitRequestTopic::default().with_name(name).with_partitions(vec![partition.clone()]);
    let request = OffsetCommitRequest::default().with_group_id(group.clone()).with_generation_id_or_member_epoch(-1);
    ask(&mut client, 8, request.clone().with_topics(names().map(topic).collect())).await;
    let repeated = (0..MANY).map(|_| topic(topic_name("t"))).collect();
    ask(&mut client, 8, request.with_topics(repeated)).await;
    let topic = |name| OffsetFetchRequestTopic::default().with_name(name).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_group_id(group.clone());
    ask(&mut client, 7, request.with_topics(Some(names().map(topic).collect()))).await;
    let partition = OffsetDeleteRequestPartition::default();
    let topic = |name| OffsetDeleteRequestTopic::default().with_name(name).with_partitions(vec![partition.clone()]);
    let request = OffsetDeleteRequest::default().with_group_id(group.clone());
    ask(&mut client, 0, request.with_topics(names().map(topic).collect())).await;
    let members = names().map(|name| MemberIdentity::default().with_member_id(name.0)).collect();
    ask(&mut client, 4, LeaveGroupRequest::default().with_group_id(group).with_members(members)).await;
    let keys: Vec<StrBytes> = names().map(|name| name.0).collect();
    ask(&mut client, 5, FindCoordinatorRequest::default().with_coordinator_keys(keys)).await;
    ask(&mut client, 5, DescribeGroupsRequest::default().with_groups(groups())).await;
    ask(&mut client, 2, DeleteGroupsRequest::default().with_groups_names(groups())).await;
    broker.stop().await;
}

/// B12: one partition, named again and again.
#[tokio::test]
async fn b12_repeated_partitions_take_time_in_proportion() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.append(&topic, 0, &["x".repeat(100_000).as_str()]).await;
    let mut request = fetch(&topic, &[(0, 0)]).with_session_epoch(0);
    let partition = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = (0..MANY).map(|_| partition.clone()).collect();
    ask(&mut client, 12, request.clone()).await;
    let different = |partition| FetchPartition::default().with_partition(partition);
    request.topics[0].partitions = (0..MANY as i32).map(different).collect();
    ask(&mut client, 12, request.clone()).await;
    let topic_of_one = request.topics.remove(0).with_partitions(vec![partition]);
    request.topics = vec![topic_of_one; MANY];
    ask(&mut client, 12, request).await;
    let mut request = list_offsets(&topic, 0, -1);
    request.topics[0].partitions = vec![request.topics[0].partitions[0].clone(); MANY];
    ask(&mut client, 9, request).await;
    let mut request = produce(&topic, 0, batch(&["a"]));
    request.topic_data[0].partition_data = vec![request.topic_data[0].partition_data[0].clone(); MANY];
    ask(&mut client, 12, request).await;
    broker.stop().await;
}

/// B52: ten thousand requests are written before the first answer is read; the answers come in order all the same.
#[tokio::test]
async fn b52_pipelined_requests_are_answered_in_order() {
    const REQUESTS: i32 = 10_000;
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let Peer(stream) = broker.peer().await;
    let (reader, mut writer) = stream.into_split();
    let body = |index: i32| {
        let records = builder(&[&index.to_string()]).build();
        let mut body = BytesMut::new();
        kafka_protocol::protocol::Encodable::encode(&produce(&topic, 0, records), &mut body, 9).unwrap();
        request(0, 9, index, &body)
    };
    let requests: Vec<u8> = (0..REQUESTS).flat_map(body).collect();
    let writing = tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut writer, &requests).await.unwrap();
        writer
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut reader = tokio::io::BufReader::new(reader);
    for index in 0..REQUESTS {
        let mut answer = vec![0; within(tokio::io::AsyncReadExt::read_u32(&mut reader)).await.unwrap() as usize];
        within(tokio::io::AsyncReadExt::read_exact(&mut reader, &mut answer)).await.unwrap();
        assert_eq!((&answer[..]).get_i32(), index);
    }
    writing.await.unwrap();
    assert_eq!(client.offset(&topic, 0, -1).await, i64::from(REQUESTS));
    broker.stop().await;
}

/// B53: the limits on connections come from the configuration.
#[tokio::test]
async fn b53_limits_on_connections_are_configured() {
    let pairs = [("max.connections.per.ip", "3"), ("connections.max.idle.ms", "1000")];
    let broker = Broker::with(&pairs).await;
    let started = Instant::now();
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut peer = broker.peer().await;
        peer.send(&request(18, 0, 1, b"")).await;
        peer.answer().await;
        idle.push(peer);
    }
    broker.peer().await.assert_closed().await;
    assert!(started.elapsed() < Duration::from_millis(900), "the machine is too slow for this test");
    for mut peer in idle {
        peer.assert_closed().await;
    }
    let port = broker.port();
    until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    broker.stop().await;
}

/// B13: 50,000 tagged fields that nobody knows, one of them named twice and in no order, and a large one.
#[tokio::test]
async fn b13_unknown_tagged_fields_are_passed_over() {
    let broker = Broker::start().await;
    let mut peer = broker.peer().await;
    let metadata = b"\x01\x00\x00";
    let mut many = metadata.to_vec();
    many.put_slice(b"\xd0\x86\x03");
    // Shorter ones cannot be told from an array that claims more than the frame holds.
    (0..50_000).for_each(|_| many.put_slice(b"\x09\x02zz"));
    let mut large = metadata.to_vec();
    large.put_slice(b"\x01\x09\x80\x80\x80\x04");
    large.put_bytes(b'z', 8 << 20);
    let unordered = [&metadata[..], b"\x02\x09\x01z\x05\x01z"].concat();
    for (index, body) in [many, large, unordered].iter().enumerate() {
        peer.send(&request(3, 12, index as i32, body)).await;
        assert_eq!((&peer.answer().await[..]).get_i32(), index as i32);
    }
    let cut = [&metadata[..], b"\x01\x09\x05z"].concat();
    peer.send(&request(3, 12, 9, &cut)).await;
    peer.assert_closed().await;
    broker.stop().await;
}
