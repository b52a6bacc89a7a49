//! The APIs of the cluster at every version that is served: elections, reassignments, the quorum and its voters, and a
//! cluster of many partitions page by page.

use std::collections::BTreeSet;

use kafka_protocol::messages::add_raft_voter_request::Listener;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::{
    AddRaftVoterRequest, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    DescribeQuorumRequest, DescribeTopicPartitionsRequest, ElectLeadersRequest, ElectLeadersResponse,
    ListPartitionReassignmentsRequest, RemoveRaftVoterRequest,
};
use klamm::ids::Uuid;

use crate::broker::{Broker, Client, text, topic_name};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const REQUEST_TIMED_OUT: i16 = 7;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_REQUEST: i16 = 42;
const ELECTION_NOT_NEEDED: i16 = 84;
const NO_REASSIGNMENT_IN_PROGRESS: i16 = 85;
const INCONSISTENT_CLUSTER_ID: i16 = 104;

fn election(topics: &[(&str, &[i32])]) -> ElectLeadersRequest {
    let topic = |(name, partitions): &(&str, &[i32])| {
        TopicPartitions::default().with_topic(topic_name(name)).with_partitions(partitions.to_vec())
    };
    ElectLeadersRequest::default()
        .with_topic_partitions(Some(topics.iter().map(topic).collect()))
        .with_timeout_ms(10_000)
}

/// `topic-partition: error` for each result, in order.
fn elected(response: &ElectLeadersResponse) -> Vec<(String, i16)> {
    let topics = response.replica_election_results.iter();
    let partitions = topics.flat_map(|topic| topic.partition_result.iter().map(move |result| (topic, result)));
    partitions
        .map(|(topic, result)| {
            assert_eq!(result.error_message.is_some(), result.error_code != 0);
            (format!("{}-{}", topic.topic.as_str(), result.partition_id), result.error_code)
        })
        .collect()
}

#[tokio::test]
async fn leaders_that_lead_already_need_no_election() {
    let broker = Broker::start().await;
    let (mut client, _) = broker.client_with_topic("t", 2).await;
    let unknown =
        [("t-0", ELECTION_NOT_NEEDED), ("t-7", UNKNOWN_TOPIC_OR_PARTITION), ("x-0", UNKNOWN_TOPIC_OR_PARTITION)];
    let unknown = unknown.map(|(name, code)| (name.to_owned(), code));
    for version in 0..=2 {
        let response = client.ask(version, &election(&[("t", &[0, 7]), ("x", &[0])])).await;
        assert_eq!((elected(&response), response.error_code), (unknown.to_vec(), 0), "v{version}");
        let twice = client.ask(version, &election(&[("t", &[1, 1]), ("t", &[1])])).await;
        assert_eq!(elected(&twice), vec![("t-1".to_owned(), ELECTION_NOT_NEEDED); 3], "v{version}");
        let all = client.ask(version, &election(&[]).with_topic_partitions(None)).await;
        let told: Vec<_> = all.replica_election_results.iter().map(|topic| topic.partition_result.len()).collect();
        assert_eq!(told, [0], "v{version}: those that need none are left out");
        assert_eq!(elected(&client.ask(version, &election(&[])).await), [], "v{version}");
    }
    // One long name, and a sentence about it for each of many partitions.
    let request = election(&[(&"x".repeat(32_000), &vec![0; 50_000])]);
    let response = client.ask(2, &request).await;
    let results = &response.replica_election_results[0].partition_result;
    assert_eq!((results.len(), results[0].error_code), (50_000, UNKNOWN_TOPIC_OR_PARTITION));
    assert!(results.iter().all(|result| result.error_message.as_ref().is_some_and(|message| message.len() < 300)));
    for version in 1..=2 {
        let unclean = client.ask(version, &election(&[("t", &[0])]).with_election_type(1)).await;
        assert_eq!(elected(&unclean), [("t-0".to_owned(), ELECTION_NOT_NEEDED)], "v{version}");
        let strange = client.ask(version, &election(&[("t", &[0])]).with_election_type(2)).await;
        assert_eq!((elected(&strange)[0].1, strange.error_code), (INVALID_REQUEST, INVALID_REQUEST), "v{version}");
    }
    for version in 0..=2 {
        let late = client.ask(version, &election(&[("t", &[0])]).with_timeout_ms(-1)).await;
        let expected = (REQUEST_TIMED_OUT, if version == 0 { 0 } else { REQUEST_TIMED_OUT });
        assert_eq!((elected(&late)[0].1, late.error_code), expected, "v{version}");
    }
    broker.stop().await;
}

fn reassignment(topics: &[(&str, i32, Option<&[i32]>)]) -> AlterPartitionReassignmentsRequest {
    let topic = |&(name, partition, brokers): &(&str, i32, Option<&[i32]>)| {
        let replicas = brokers.map(|brokers| brokers.iter().map(|id| (*id).into()).collect());
        let partition = ReassignablePartition::default().with_partition_index(partition).with_replicas(replicas);
        ReassignableTopic::default().with_name(topic_name(name)).with_partitions(vec![partition])
    };
    AlterPartitionReassignmentsRequest::default()
        .with_topics(topics.iter().map(topic).collect())
        .with_timeout_ms(10_000)
}

fn reassigned(response: &AlterPartitionReassignmentsResponse) -> Vec<i16> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

#[tokio::test]
async fn replicas_stay_where_they_are() {
    let broker = Broker::start().await;
    let (mut client, _) = broker.client_with_topic("t", 2).await;
    let cases: [(&str, i32, Option<&[i32]>, i16); 8] = [
        ("t", 0, Some(&[1]), 0),
        ("t", 0, Some(&[]), INVALID_REPLICA_ASSIGNMENT),
        ("t", 0, Some(&[1, 1]), INVALID_REPLICA_ASSIGNMENT),
        ("t", 0, Some(&[1, 2]), INVALID_REPLICA_ASSIGNMENT),
        ("t", 0, None, NO_REASSIGNMENT_IN_PROGRESS),
        ("t", 2, Some(&[1]), UNKNOWN_TOPIC_OR_PARTITION),
        ("t", -1, None, UNKNOWN_TOPIC_OR_PARTITION),
        ("x", 0, Some(&[1]), UNKNOWN_TOPIC_OR_PARTITION),
    ];
    for version in 0..=1 {
        let asked = cases.map(|(name, partition, brokers, _)| (name, partition, brokers));
        let response = client.ask(version, &reassignment(&asked)).await;
        assert_eq!(reassigned(&response), cases.map(|(.., code)| code), "v{version}");
        assert_eq!(response.error_code, 0, "v{version}");
        let twice = client.ask(version, &reassignment(&[("t", 0, Some(&[1])), ("t", 0, Some(&[1]))])).await;
        assert_eq!(reassigned(&twice), [0, 0], "v{version}");
        let late = client.ask(version, &reassignment(&[("t", 0, Some(&[1]))]).with_timeout_ms(0)).await;
        assert_eq!((late.error_code, reassigned(&late)), (REQUEST_TIMED_OUT, vec![REQUEST_TIMED_OUT]), "v{version}");
    }
    let topic = ListPartitionReassignmentsTopics::default().with_name(topic_name("t")).with_partition_indexes(vec![0]);
    for topics in [None, Some(vec![topic.clone(), topic]), Some(vec![])] {
        let listed = client.ask(0, &ListPartitionReassignmentsRequest::default().with_topics(topics)).await;
        assert_eq!((listed.error_code, listed.topics.len()), (0, 0));
    }
    broker.stop().await;
}

fn quorum(topic: &str, partitions: &[i32]) -> TopicData {
    let partitions = partitions.iter().map(|index| PartitionData::default().with_partition_index(*index));
    TopicData::default().with_topic_name(topic_name(topic)).with_partitions(partitions.collect())
}

#[tokio::test]
async fn the_quorum_grows_with_the_metadata() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let mut high_watermark = 0;
    for version in 0..=2 {
        client.create_topic(&format!("t{version}"), 1, &[]).await;
        let request = DescribeQuorumRequest::default().with_topics(vec![quorum("__cluster_metadata", &[0])]);
        let response = client.ask(version, &request).await;
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.leader_id.0, partition.observers.len()), (0, 1, 0), "v{version}");
        assert!(partition.leader_epoch > 0 && partition.high_watermark > high_watermark, "v{version}: {partition:?}");
        high_watermark = partition.high_watermark;
        let [voter] = partition.current_voters.as_slice() else { panic!("one voter: {partition:?}") };
        assert_eq!((voter.replica_id.0, voter.log_end_offset), (1, high_watermark), "v{version}");
        assert_eq!(voter.last_fetch_timestamp > 1_700_000_000_000, version >= 1, "v{version}");
        assert_eq!(voter.last_caught_up_timestamp, voter.last_fetch_timestamp, "v{version}");
        let nodes: Vec<_> = response.nodes.iter().map(|node| node.node_id.0).collect();
        assert_eq!(nodes, if version >= 2 { vec![1] } else { vec![] }, "v{version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn only_the_metadata_log_has_a_quorum() {
    let broker = Broker::start().await;
    let (mut client, _) = broker.client_with_topic("t", 1).await;
    let log = "__cluster_metadata";
    let questions = [
        vec![],
        vec![quorum(log, &[])],
        vec![quorum(log, &[1])],
        vec![quorum(log, &[0, 0])],
        vec![quorum(log, &[0]), quorum(log, &[0])],
        vec![quorum("t", &[0])],
        vec![quorum("x", &[-1])],
    ];
    for version in 0..=2 {
        for topics in &questions {
            let response = client.ask(version, &DescribeQuorumRequest::default().with_topics(topics.clone())).await;
            assert_eq!((response.error_code, response.nodes.len()), (0, 0), "v{version} {topics:?}");
            assert_eq!(response.topics.len(), topics.len(), "v{version} {topics:?}");
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            let mut codes = partitions.map(|partition| partition.error_code);
            assert!(codes.all(|code| code == UNKNOWN_TOPIC_OR_PARTITION), "v{version} {topics:?}");
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn voters_neither_join_nor_leave() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let (directory, own) = (Uuid::from_u128(7), broker.0.broker().image().cluster_id().to_string());
    let cases = [
        (2, directory, None, UNSUPPORTED_VERSION),
        (1, directory, Some(own.as_str()), UNSUPPORTED_VERSION),
        (2, directory, Some("another"), INCONSISTENT_CLUSTER_ID),
        (2, Uuid::nil(), None, INVALID_REQUEST),
        (-1, directory, None, INVALID_REQUEST),
    ];
    let listener = Listener::default().with_name(text("CONTROLLER")).with_host(text("h")).with_port(9);
    for (id, directory, cluster, code) in cases {
        let joins = AddRaftVoterRequest::default()
            .with_voter_id(id)
            .with_voter_directory_id(directory)
            .with_cluster_id(cluster.map(text))
            .with_listeners(vec![listener.clone()]);
        let response = client.ask(0, &joins).await;
        assert_eq!((response.error_code, response.error_message.is_some()), (code, true), "{joins:?}");
        let leaves = RemoveRaftVoterRequest::default()
            .with_voter_id(id)
            .with_voter_directory_id(directory)
            .with_cluster_id(cluster.map(text));
        let response = client.ask(0, &leaves).await;
        assert_eq!((response.error_code, response.error_message.is_some()), (code, true), "{leaves:?}");
        let unreachable = client.ask(0, &joins.with_listeners(vec![])).await;
        let expected = if code == UNSUPPORTED_VERSION { INVALID_REQUEST } else { code };
        assert_eq!(unreachable.error_code, expected);
    }
    broker.stop().await;
}

/// Follows the cursor to the end; the number of pages and everything that was on them.
async fn pages(client: &mut Client, topics: &[&str], limit: i32) -> (usize, BTreeSet<(String, i32)>) {
    let topics: Vec<_> = topics.iter().map(|name| TopicRequest::default().with_name(topic_name(name))).collect();
    let (mut cursor, mut seen, mut count) = (None::<Cursor>, BTreeSet::new(), 0);
    loop {
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(topics.clone())
            .with_response_partition_limit(limit)
            .with_cursor(cursor.take());
        let response = client.ask(0, &request).await;
        count += 1;
        for topic in &response.topics {
            for partition in &topic.partitions {
                assert_eq!((topic.error_code, partition.error_code, partition.leader_id.0), (0, 0, 1));
                let name = topic.name.as_ref().unwrap().to_string();
                assert!(seen.insert((name, partition.partition_index)), "{topic:?} twice");
            }
        }
        match response.next_cursor {
            None => return (count, seen),
            Some(next) => {
                let (name, index) = (next.topic_name, next.partition_index);
                cursor = Some(Cursor::default().with_topic_name(name).with_partition_index(index));
            }
        }
    }
}

#[tokio::test]
async fn ten_thousand_partitions_are_described_page_by_page() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for (name, partitions) in [("a", 1), ("big", 6_999), ("many", 3_000)] {
        client.create_topic(name, partitions, &[]).await;
    }
    // Kafka's own limit, `max.request.partition.size.limit`, is 2,000; more is not answered at once, and less is.
    let (count, seen) = pages(&mut client, &[], 100_000).await;
    assert_eq!((count, seen.len()), (5, 10_000));
    assert_eq!(pages(&mut client, &["many", "a"], 2_000).await.0, 2);
    assert_eq!(pages(&mut client, &["many"], 1_500).await.0, 2);
    let (count, seen) = pages(&mut client, &["a", "many"], 1_501).await;
    assert_eq!((count, seen.len()), (2, 3_001));
    broker.stop().await;
    let broker = Broker::with(&[("max.request.partition.size.limit", "7")]).await;
    let (mut client, _) = broker.client_with_topic("t", 15).await;
    assert_eq!(pages(&mut client, &[], 2_000).await.0, 3);
    broker.stop().await;
}
