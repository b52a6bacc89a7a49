//! The APIs of topics and of the cluster at every version, and rows B16, B17, B34 to B36, B47 and B49 of the bad-input
//! matrix.

use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeTopicPartitionsRequest, MetadataRequest,
};
use klamm::ids::Uuid;

use crate::broker::{Broker, Client, Topic, batch, fetch, list_offsets, new_topic, produce, topic_config, topic_name};
use crate::server::within;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const REQUEST_TIMED_OUT: i16 = 7;
const INVALID_TOPIC_EXCEPTION: i16 = 17;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_REPLICATION_FACTOR: i16 = 38;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const POLICY_VIOLATION: i16 = 44;
const UNKNOWN_TOPIC_ID: i16 = 100;

/// Names that no topic may have.
fn invalid_names() -> Vec<String> {
    let names = ["", ".", "..", "../x", "/", "/etc/passwd", "a/b", "a\0b", "caf\u{e9}", "a b", "a\nb", "a\\b", "%2e"];
    names.into_iter().map(str::to_owned).chain(["x".repeat(250), "x".repeat(30_000)]).collect()
}

fn metadata_topic(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

/// A question about some topics that creates none, where the version lets it say so.
fn metadata(version: i16, names: &[&str]) -> MetadataRequest {
    let topics = names.iter().map(|name| metadata_topic(name)).collect();
    MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(version < 4)
}

async fn create(client: &mut Client, topics: Vec<CreatableTopic>) -> Vec<(String, i16)> {
    let response = client.ask(7, &CreateTopicsRequest::default().with_topics(topics)).await;
    response.topics.iter().map(|topic| (topic.name.to_string(), topic.error_code)).collect()
}

async fn topic_names(client: &mut Client) -> Vec<String> {
    let response = client.ask(9, &MetadataRequest::default().with_topics(None)).await;
    let mut names: Vec<_> = response.topics.iter().map(|topic| topic.name.clone().unwrap().to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn metadata_at_every_version() {
    let broker = Broker::with(&[("auto.create.topics.enable", "false")]).await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    for version in 0..=13 {
        let response = client.ask(version, &metadata(version, &["t", "nowhere", "..", "t"])).await;
        let told: Vec<_> = response.topics.iter().map(|topic| (topic.error_code, topic.partitions.len())).collect();
        assert_eq!(told, [(0, 2), (UNKNOWN_TOPIC_OR_PARTITION, 0), (INVALID_TOPIC_EXCEPTION, 0)], "v{version}");
        let known = &response.topics[0];
        assert_eq!(known.topic_id, if version < 10 { Uuid::nil() } else { topic.id }, "v{version}");
        assert_eq!((known.name.as_ref(), known.is_internal), (Some(&topic.name), false), "v{version}");
        let partition = &known.partitions[1];
        assert_eq!((partition.partition_index, partition.leader_id.0), (1, 1), "v{version}");
        assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&vec![1.into()], &vec![1.into()]));
        assert_eq!(partition.leader_epoch, if version < 7 { -1 } else { 0 }, "v{version}");
        assert_eq!(response.brokers[0].port, i32::from(broker.port()), "v{version}");
        assert_eq!(response.cluster_id.is_some(), version >= 2, "v{version}");
        // All topics; in version 0 an empty list says so, later null does, and an empty list means none.
        let all = MetadataRequest::default().with_topics((version > 0).then_some(()).map_or(Some(vec![]), |()| None));
        assert_eq!(client.ask(version, &all).await.topics.len(), 1, "v{version}");
        if version > 0 {
            let none = MetadataRequest::default().with_topics(Some(vec![]));
            assert_eq!(client.ask(version, &none).await.topics.len(), 0, "v{version}");
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn metadata_by_topic_id() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let by_id = |id| MetadataRequestTopic::default().with_name(None).with_topic_id(id);
    let request = MetadataRequest::default().with_topics(Some(vec![by_id(topic.id), by_id(Uuid::from_u128(99))]));
    for version in 12..=13 {
        let response = client.ask(version, &request).await;
        let codes: Vec<_> = response.topics.iter().map(|topic| (topic.error_code, topic.name.is_some())).collect();
        assert_eq!(codes, [(0, true), (UNKNOWN_TOPIC_ID, false)], "v{version}");
    }
    // Before v12 an id is an error, although v10 and v11 have the field (KAFKA-13051).
    for version in 10..=11 {
        let response = client.ask(version, &request).await;
        assert_eq!(response.topics[0].error_code, INVALID_REQUEST, "v{version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn topics_are_created_enlarged_and_deleted_at_every_version() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for version in 2..=7 {
        let name = format!("t{version}");
        let request = CreateTopicsRequest::default().with_topics(vec![new_topic(&name, 2, 1)]).with_timeout_ms(1_000);
        let probe = client.ask(version, &request.clone().with_validate_only(true)).await;
        assert_eq!(probe.topics[0].error_code, 0, "v{version}");
        let response = client.ask(version, &request).await;
        let created = &response.topics[0];
        assert_eq!(created.error_code, 0, "v{version}: validating created nothing");
        let told = (created.num_partitions, created.replication_factor, created.configs.is_some());
        assert_eq!(told, if version < 5 { (-1, -1, true) } else { (2, 1, true) }, "v{version}");
        assert_eq!(created.topic_id.is_nil(), version < 7, "v{version}");
        let again = client.ask(version, &request).await;
        assert_eq!(again.topics[0].error_code, TOPIC_ALREADY_EXISTS, "v{version}");
        assert!(again.topics[0].error_message.is_some());
        for timeout_ms in [0, -1] {
            let late = request.clone().with_topics(vec![new_topic("late", 1, 1)]).with_timeout_ms(timeout_ms);
            assert_eq!(client.ask(version, &late).await.topics[0].error_code, REQUEST_TIMED_OUT, "v{version}");
        }
        let empty = client.ask(version, &CreateTopicsRequest::default()).await;
        assert!(empty.topics.is_empty(), "v{version}");
    }
    for version in 0..=3 {
        let grow = |count| CreatePartitionsTopic::default().with_name(topic_name("t2")).with_count(count);
        let grow = |count| {
            CreatePartitionsRequest::default()
                .with_timeout_ms(10_000)
                .with_topics(vec![grow(count).with_assignments(None)])
        };
        let count = 3 + i32::from(version);
        assert_eq!(client.ask(version, &grow(count)).await.results[0].error_code, 0, "v{version}");
        let refused = client.ask(version, &grow(count)).await;
        let late = client.ask(version, &grow(count + 1).with_timeout_ms(0)).await;
        assert_eq!(late.results[0].error_code, REQUEST_TIMED_OUT, "v{version}");
        assert_eq!(refused.results[0].error_code, INVALID_PARTITIONS, "v{version}");
        let topic = Topic { name: topic_name("t2"), id: Uuid::nil() };
        assert_eq!(client.append(&topic, count - 1, &["led at once"]).await, 0);
        assert!(client.ask(version, &CreatePartitionsRequest::default()).await.results.is_empty(), "v{version}");
    }
    for version in 1..=6 {
        let names = [topic_name(&format!("t{}", version + 1)), topic_name("nowhere")];
        let by_name = |name: &_| DeleteTopicState::default().with_name(Some(Clone::clone(name)));
        let request = DeleteTopicsRequest::default().with_timeout_ms(1_000);
        let request = if version < 6 {
            request.with_topic_names(names.to_vec())
        } else {
            request.with_topics(names.iter().map(by_name).collect())
        };
        let late = client.ask(version, &request.clone().with_timeout_ms(0)).await;
        assert!(late.responses.iter().all(|topic| topic.error_code == REQUEST_TIMED_OUT), "v{version}");
        let response = client.ask(version, &request).await;
        let codes: Vec<_> = response.responses.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "v{version} {codes:?}");
        assert!(codes.contains(&UNKNOWN_TOPIC_OR_PARTITION), "v{version} {codes:?}");
        assert!(client.ask(version, &DeleteTopicsRequest::default()).await.responses.is_empty(), "v{version}");
    }
    assert!(topic_names(&mut client).await.is_empty());
    broker.stop().await;
}

#[tokio::test]
async fn describe_cluster_at_every_version() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for version in 0..=2 {
        let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        let response = client.ask(version, &request).await;
        assert_eq!((response.error_code, response.controller_id.0), (0, 1), "v{version}");
        assert_eq!(response.brokers[0].port, i32::from(broker.port()));
        assert!(response.cluster_authorized_operations > 0);
    }
    for version in 1..=2 {
        for (endpoint_type, expected) in [(2, 114), (3, 115)] {
            let request = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
            assert_eq!(client.ask(version, &request).await.error_code, expected, "v{version}");
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn describe_topic_partitions_page_by_page() {
    let broker = Broker::start().await;
    let (mut client, _) = broker.client_with_topic("a", 2).await;
    client.create_topic("b", 2, &[]).await;
    let asked = |name: &str| TopicRequest::default().with_name(topic_name(name));
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(vec![asked("a"), asked("b"), asked("nowhere")])
        .with_response_partition_limit(3)
        .with_cursor(None);
    let first = client.ask(0, &request).await;
    let told: Vec<_> = first.topics.iter().map(|topic| (topic.error_code, topic.partitions.len())).collect();
    assert_eq!(told, [(0, 2), (0, 1)]);
    let next = first.next_cursor.unwrap();
    assert_eq!((next.topic_name.as_str(), next.partition_index), ("b", 1));
    let cursor = Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index);
    let second = client.ask(0, &request.with_cursor(Some(cursor))).await;
    let told: Vec<_> = second.topics.iter().map(|topic| (topic.error_code, topic.partitions.len())).collect();
    assert_eq!(told, [(0, 1), (UNKNOWN_TOPIC_OR_PARTITION, 0)]);
    assert!(second.next_cursor.is_none());
    broker.stop().await;
}

#[tokio::test]
async fn b34_names_that_no_topic_may_have() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("outer/data");
    std::fs::create_dir_all(&data).unwrap();
    let broker = Broker::on(&data).await;
    let mut client = broker.client().await;
    for name in &invalid_names() {
        let shown = name.chars().take(20).collect::<String>();
        let created = create(&mut client, vec![new_topic(name, 1, 1)]).await;
        assert_eq!(created[0].1, INVALID_TOPIC_EXCEPTION, "CreateTopics {shown:?}");
        for version in [0, 4, 9, 13] {
            let request = MetadataRequest::default().with_topics(Some(vec![metadata_topic(name)]));
            let response = client.ask(version, &request).await;
            assert_eq!(response.topics[0].error_code, INVALID_TOPIC_EXCEPTION, "Metadata v{version} {shown:?}");
        }
        let topic = Topic::unknown(name);
        assert_eq!(client.produce(&topic, 0, batch(&["a"])).await.error_code, UNKNOWN_TOPIC_OR_PARTITION, "{shown:?}");
        assert_eq!(client.fetch(&topic, 0, 0).await.error_code, UNKNOWN_TOPIC_OR_PARTITION, "{shown:?}");
        let response = client.ask(6, &list_offsets(&topic, 0, -1)).await;
        assert_eq!(response.topics[0].partitions[0].error_code, UNKNOWN_TOPIC_OR_PARTITION, "{shown:?}");
        let delete = DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(vec![topic.name.clone()]);
        let response = client.ask(5, &delete).await;
        assert_eq!(response.responses[0].error_code, UNKNOWN_TOPIC_OR_PARTITION, "DeleteTopics {shown:?}");
    }
    broker.stop().await;
    let only = |path: &std::path::Path| std::fs::read_dir(path).unwrap().count();
    assert_eq!((only(directory.path()), only(data.parent().unwrap())), (1, 1), "a path was built from a name");
}

/// The answer repeats the name in its message, which has to fit into the answer too.
#[tokio::test]
async fn b34_the_longest_names_are_refused_at_every_version() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for name in ["x".repeat(32_000), "x".repeat(32_700), "x".repeat(32_767), "\u{e9}".repeat(16_380)] {
        for version in 2..=7 {
            let request = CreateTopicsRequest::default().with_topics(vec![new_topic(&name, 1, 1)]);
            let response = client.ask(version, &request).await;
            let told = &response.topics[0];
            assert_eq!(told.error_code, INVALID_TOPIC_EXCEPTION, "v{version} {}", name.len());
            let message = told.error_message.as_ref().unwrap();
            assert!(message.contains("the length of 'x") || message.contains("the length of '\u{e9}"));
            assert!(message.len() <= 32_767, "v{version} {}", message.len());
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn b34_partitions_that_no_topic_has() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    for partition in [-1, 2, i32::MIN, i32::MAX] {
        let produced = client.ask(12, &produce(&topic, partition, batch(&["a"]))).await;
        assert_eq!(produced.responses[0].partition_responses[0].error_code, UNKNOWN_TOPIC_OR_PARTITION);
        let fetched = client.ask(16, &fetch(&topic, &[(partition, 0)])).await;
        assert_eq!(fetched.responses[0].partitions[0].error_code, UNKNOWN_TOPIC_OR_PARTITION);
        let listed = client.ask(6, &list_offsets(&topic, partition, -2)).await;
        assert_eq!(listed.topics[0].partitions[0].error_code, UNKNOWN_TOPIC_OR_PARTITION);
    }
    broker.stop().await;
}

#[tokio::test]
async fn b35_topic_ids_that_no_topic_has() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    for id in [Uuid::nil(), Uuid::from_u128(1), Uuid::from_u128(u128::MAX)] {
        let unknown = Topic { id, ..topic.clone() };
        let produced = client.ask(13, &produce(&unknown, 0, batch(&["a"]))).await;
        assert_eq!(produced.responses[0].partition_responses[0].error_code, UNKNOWN_TOPIC_ID, "Produce {id}");
        let fetched = client.ask(13, &fetch(&unknown, &[(0, 0)])).await;
        assert_eq!(fetched.responses[0].partitions[0].error_code, UNKNOWN_TOPIC_ID, "Fetch {id}");
    }
    let delete = |name: Option<&str>, id| {
        let topic = DeleteTopicState::default().with_name(name.map(topic_name)).with_topic_id(id);
        DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topics(vec![topic])
    };
    let unknown = client.ask(6, &delete(None, Uuid::from_u128(1))).await;
    assert_eq!(unknown.responses[0].error_code, UNKNOWN_TOPIC_ID);
    // By name and by id at once, and by neither.
    for request in [delete(Some("t"), topic.id), delete(None, Uuid::nil())] {
        assert_eq!(client.ask(6, &request).await.responses[0].error_code, INVALID_REQUEST);
    }
    assert_eq!(client.ask(6, &delete(None, topic.id)).await.responses[0].error_code, 0);
    broker.stop().await;
}

#[tokio::test]
async fn b36_topics_that_cannot_be() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let assigned = |brokers: &[&[i32]]| {
        let assignment = |(index, brokers): (i32, &&[i32])| {
            let brokers = brokers.iter().map(|&id| id.into()).collect();
            CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(brokers)
        };
        new_topic("t", -1, -1).with_assignments((0..).zip(brokers).map(assignment).collect())
    };
    let configured = |key, value| new_topic("t", 1, 1).with_configs(vec![topic_config(&(key, value))]);
    let cases = [
        ("no partitions", new_topic("t", 0, 1), INVALID_PARTITIONS),
        ("-2 partitions", new_topic("t", -2, 1), INVALID_PARTITIONS),
        ("10^9 partitions", new_topic("t", 1_000_000_000, 1), POLICY_VIOLATION),
        ("2^31-1 partitions", new_topic("t", i32::MAX, 1), POLICY_VIOLATION),
        ("no replicas", new_topic("t", 1, 0), INVALID_REPLICATION_FACTOR),
        ("more replicas than brokers", new_topic("t", 1, 2), INVALID_REPLICATION_FACTOR),
        ("2^15-1 replicas", new_topic("t", 1, i16::MAX), INVALID_REPLICATION_FACTOR),
        ("an unknown broker", assigned(&[&[1], &[7]]), INVALID_REPLICA_ASSIGNMENT),
        ("a broker twice", assigned(&[&[1, 1]]), INVALID_REPLICA_ASSIGNMENT),
        ("nobody", assigned(&[&[]]), INVALID_REPLICA_ASSIGNMENT),
        ("counts and assignments", assigned(&[&[1]]).with_num_partitions(1), INVALID_REQUEST),
        ("an unknown config", configured("no.such.key", "1"), INVALID_CONFIG),
        ("a config of the wrong type", configured("retention.ms", "soon"), INVALID_CONFIG),
        ("a config out of range", configured("max.message.bytes", "-1"), INVALID_CONFIG),
        ("an unknown choice", configured("cleanup.policy", "burn"), INVALID_CONFIG),
    ];
    for (what, topic, expected) in cases {
        for version in 2..=7 {
            let request = CreateTopicsRequest::default().with_topics(vec![topic.clone()]);
            let response = client.ask(version, &request).await;
            assert_eq!(response.topics[0].error_code, expected, "{what}, v{version}");
        }
    }
    assert!(topic_names(&mut client).await.is_empty());
    broker.stop().await;
}

/// B17 for CreateTopics, B36 for more partitions than one request may make in all.
#[tokio::test]
async fn b17_b36_topics_named_twice_and_too_many_of_them() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let twice = vec![new_topic("a", 1, 1), new_topic("b", 1, 1), new_topic("a", 2, 1)];
    let mut created = create(&mut client, twice).await;
    created.sort();
    assert_eq!(created, [("a".to_owned(), INVALID_REQUEST), ("b".to_owned(), 0)]);
    let many = (0..11).map(|index| new_topic(&format!("m{index}"), 1_000, 1)).collect();
    assert!(create(&mut client, many).await.iter().all(|(_, code)| *code == POLICY_VIOLATION));
    let huge = CreatePartitionsTopic::default().with_name(topic_name("b")).with_count(i32::MAX).with_assignments(None);
    let to_nobody = CreatePartitionsTopic::default()
        .with_name(topic_name("b"))
        .with_count(2)
        .with_assignments(Some(vec![CreatePartitionsAssignment::default().with_broker_ids(vec![7.into()])]));
    for (topic, expected) in [(huge, POLICY_VIOLATION), (to_nobody, INVALID_REPLICA_ASSIGNMENT)] {
        let request = CreatePartitionsRequest::default().with_timeout_ms(10_000).with_topics(vec![topic]);
        assert_eq!(client.ask(3, &request).await.results[0].error_code, expected);
    }
    assert_eq!(topic_names(&mut client).await, ["b"]);
    broker.stop().await;
}

#[tokio::test]
async fn b47_made_up_names_create_no_storm_of_topics() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let names: Vec<_> = (0..5_000).map(|index| format!("made-up-{index}")).collect();
    let topics = names.iter().map(|name| metadata_topic(name)).collect();
    let request = MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(true);
    let response = within(client.ask(9, &request)).await;
    assert_eq!(response.topics.len(), names.len(), "no name is told more often than it was asked");
    let created = response.topics.iter().filter(|topic| topic.error_code == 0).count();
    assert_eq!((created, topic_names(&mut client).await.len()), (100, 100));
    let request = request.with_allow_auto_topic_creation(false);
    let response = within(client.ask(9, &request)).await;
    assert_eq!(response.topics.iter().filter(|topic| topic.error_code == 0).count(), 100);
    assert_eq!(topic_names(&mut client).await.len(), 100);
    broker.stop().await;
}

/// The matrix asks for `DeleteRecords` as well: `logs.rs` does.
#[tokio::test]
async fn b49_internal_topics_are_protected_from_producers() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    client.find_coordinator("g").await;
    let offsets = topic_names(&mut client).await;
    assert_eq!(offsets, ["__consumer_offsets"]);
    let internal = Topic { name: topic_name(&offsets[0]), id: Uuid::nil() };
    for (name, expected) in [("__consumer_offsets", TOPIC_ALREADY_EXISTS), ("__cluster_metadata", INVALID_REQUEST)] {
        let created = create(&mut client, vec![new_topic(name, 1, 1)]).await;
        assert_eq!(created[0].1, expected, "{name}");
    }
    let delete =
        DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(vec![topic_name("__cluster_metadata")]);
    assert_eq!(client.ask(5, &delete).await.responses[0].error_code, UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(client.produce(&internal, 0, batch(&["a"])).await.error_code, INVALID_TOPIC_EXCEPTION);
    assert_eq!(topic_names(&mut client).await, offsets);
    broker.stop().await;
}
