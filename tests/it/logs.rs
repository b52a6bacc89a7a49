//! The administration of logs: records deleted, directories described, replicas moved, producers told of.

use std::path::Path;

use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::{
    AlterReplicaLogDirsRequest, DeleteRecordsRequest, DescribeLogDirsRequest, DescribeProducersRequest,
};
use klamm::protocol::record_batch::BatchBuilder;

use crate::broker::{Broker, Client, Topic, text, topic_name};

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_TOPIC_EXCEPTION: i16 = 17;
const POLICY_VIOLATION: i16 = 44;
const LOG_DIR_NOT_FOUND: i16 = 57;

/// (partition, low watermark, error code) of each partition in the answer, in order.
async fn delete(client: &mut Client, version: i16, topic: &str, wanted: &[(i32, i64)]) -> Vec<(i32, i64, i16)> {
    let partition = |&(index, offset): &(i32, i64)| {
        DeleteRecordsPartition::default().with_partition_index(index).with_offset(offset)
    };
    let topic = DeleteRecordsTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(wanted.iter().map(partition).collect());
    let request = DeleteRecordsRequest::default().with_timeout_ms(10_000).with_topics(vec![topic]);
    let response = client.ask(version, &request).await;
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|result| (result.partition_index, result.low_watermark, result.error_code)).collect()
}

fn log_files(directory: &Path) -> usize {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "log")).count()
}

#[tokio::test]
async fn deleted_records_are_gone_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 2, &[("segment.bytes", "1048576")]).await;
    let half_a_segment = "x".repeat(500_000);
    for _ in 0..10 {
        client.append(&topic, 0, &[&half_a_segment]).await;
    }
    assert_eq!(log_files(&directory.path().join("t-0")), 5);
    assert_eq!(delete(&mut client, 0, "t", &[(0, 5)]).await, [(0, 5, 0)]);
    // On the disk before the answer, and so are whole segments gone.
    let checkpoint = || std::fs::read_to_string(directory.path().join("log-start-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint(), "0\n1\nt 0 5\n");
    assert_eq!(log_files(&directory.path().join("t-0")), 3);
    assert_eq!((client.offset(&topic, 0, -2).await, client.offset(&topic, 0, -1).await), (5, 10));
    assert_eq!(client.fetch(&topic, 0, 4).await.error_code, OFFSET_OUT_OF_RANGE);
    // What is gone already stays so, and is no error.
    assert_eq!(delete(&mut client, 1, "t", &[(0, 3)]).await, [(0, 5, 0)]);
    assert_eq!(delete(&mut client, 2, "t", &[(0, 6), (1, 0)]).await, [(0, 6, 0), (1, 0, 0)]);
    broker.stop().await;
    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    assert_eq!(client.offset(&topic, 0, -2).await, 6);
    assert_eq!(delete(&mut client, 2, "t", &[(0, -1)]).await, [(0, 10, 0)]);
    assert_eq!((checkpoint(), client.offset(&topic, 0, -2).await), ("0\n1\nt 0 10\n".to_owned(), 10));
    assert_eq!(client.append(&topic, 0, &["goes on"]).await, 10);
    assert_eq!(client.read(&topic, 0, 10).await, ["goes on"]);
    broker.stop().await;
}

#[tokio::test]
async fn what_retention_lets_go_besides_waits_for_its_time() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 1, &[("segment.bytes", "1048576"), ("retention.ms", "1")]).await;
    let half_a_segment = "x".repeat(500_000);
    for _ in 0..6 {
        client.append(&topic, 0, &[&half_a_segment]).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    assert_eq!(delete(&mut client, 2, "t", &[(0, 3)]).await, [(0, 3, 0)]);
    // As the answer said: by time alone all of it could go.
    assert_eq!(client.offset(&topic, 0, -2).await, 3);
    broker.stop().await;
}

#[tokio::test]
async fn records_that_cannot_be_deleted() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.find_coordinator("g").await;
    client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    client.create_topic("both", 1, &[("cleanup.policy", "compact,delete")]).await;
    client.append(&topic, 0, &["a", "b", "c"]).await;
    for version in 0..=2 {
        for (name, partition, offset, code) in [
            ("unknown", 0, 0, UNKNOWN_TOPIC_OR_PARTITION),
            ("t", 1, 0, UNKNOWN_TOPIC_OR_PARTITION),
            ("t", -1, 0, UNKNOWN_TOPIC_OR_PARTITION),
            ("t", 0, 4, OFFSET_OUT_OF_RANGE),
            ("t", 0, -2, OFFSET_OUT_OF_RANGE),
            ("t", 0, i64::MAX, OFFSET_OUT_OF_RANGE),
            ("t", 0, i64::MIN, OFFSET_OUT_OF_RANGE),
            ("compacted", 0, -1, POLICY_VIOLATION),
            ("compacted", 0, -2, POLICY_VIOLATION),
            ("__consumer_offsets", 0, 0, INVALID_TOPIC_EXCEPTION),
            ("__consumer_offsets", 1_000, 0, UNKNOWN_TOPIC_OR_PARTITION),
        ] {
            let answered = delete(&mut client, version, name, &[(partition, offset)]).await;
            assert_eq!(answered, [(partition, -1, code)], "{name} {offset} v{version}");
        }
    }
    assert_eq!(delete(&mut client, 2, "both", &[(0, -1)]).await, [(0, 0, 0)]);
    // The last of two wishes counts, and one that cannot be fulfilled does not touch the other partitions.
    assert_eq!(delete(&mut client, 2, "t", &[(0, 3), (7, 1), (0, 2)]).await, [(0, 2, 0), (7, -1, 3)]);
    assert_eq!(client.read(&topic, 0, 2).await.last().unwrap(), "c");
    assert_eq!(delete(&mut client, 2, "t", &[]).await, []);
    broker.stop().await;
}

async fn log_dirs(client: &mut Client, version: i16, topics: Option<&[(&str, &[i32])]>) -> DescribeLogDirsResult {
    let topics = topics.map(|topics| {
        let topic = |&(name, partitions): &(&str, &[i32])| {
            DescribableLogDirTopic::default().with_topic(topic_name(name)).with_partitions(partitions.to_vec())
        };
        topics.iter().map(topic).collect()
    });
    let mut response = client.ask(version, &DescribeLogDirsRequest::default().with_topics(topics)).await;
    assert_eq!((response.error_code, response.results.len()), (0, 1));
    response.results.remove(0)
}

/// (topic, partition, size) of all partitions.
fn sizes(result: &DescribeLogDirsResult) -> Vec<(String, i32, i64)> {
    let of = |topic: &kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsTopic| {
        let name = topic.name.to_string();
        let size = move |partition: &kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsPartition| {
            assert_eq!((partition.offset_lag, partition.is_future_key), (0, false));
            (name.clone(), partition.partition_index, partition.partition_size)
        };
        topic.partitions.iter().map(size).collect::<Vec<_>>()
    };
    result.topics.iter().flat_map(of).collect()
}

#[tokio::test]
async fn a_log_directory_is_described_with_the_sizes_of_its_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let (mut client, topic) = broker.client_with_topic("b", 2).await;
    client.create_topic("a", 1, &[]).await;
    client.append(&topic, 1, &["some", "records"]).await;
    let size = std::fs::metadata(directory.path().join("b-1/00000000000000000000.log")).unwrap().len() as i64;
    let of = |topic: &str, partition, size| (topic.to_owned(), partition, size);
    for version in 1..=4 {
        let all = log_dirs(&mut client, version, None).await;
        assert_eq!((&*all.log_dir, all.error_code), (directory.path().to_str().unwrap(), 0));
        assert_eq!(sizes(&all), [of("a", 0, 0), of("b", 0, 0), of("b", 1, size)]);
        assert!(if version < 4 {
            all.total_bytes == -1
        } else {
            0 < all.usable_bytes && all.usable_bytes <= all.total_bytes
        });
        let some = log_dirs(&mut client, version, Some(&[("b", &[1, 1, 9, -1]), ("unknown", &[0]), ("b", &[1])])).await;
        assert_eq!(sizes(&some), [of("b", 1, size)]);
        assert!(log_dirs(&mut client, version, Some(&[])).await.topics.is_empty());
    }
    broker.stop().await;
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("m", 1).await;
    client.append(&topic, 0, &["in memory"]).await;
    let all = log_dirs(&mut client, 4, None).await;
    assert_eq!((&*all.log_dir, all.total_bytes, all.usable_bytes), ("memory", -1, -1));
    assert!(sizes(&all)[0].2 > 0);
    broker.stop().await;
}

/// (topic, partition, error code) of all that is asked to be in the directory `path`.
async fn move_to(client: &mut Client, version: i16, wanted: &[(&str, &str, &[i32])]) -> Vec<(String, i32, i16)> {
    let directory = |&(path, name, partitions): &(&str, &str, &[i32])| {
        let topic = AlterReplicaLogDirTopic::default().with_name(topic_name(name)).with_partitions(partitions.to_vec());
        AlterReplicaLogDir::default().with_path(text(path)).with_topics(vec![topic])
    };
    let request = AlterReplicaLogDirsRequest::default().with_dirs(wanted.iter().map(directory).collect());
    let response = client.ask(version, &request).await;
    let results = response.results.iter().flat_map(|topic| {
        topic.partitions.iter().map(|result| (topic.topic_name.to_string(), result.partition_index, result.error_code))
    });
    results.collect()
}

#[tokio::test]
async fn a_replica_stays_in_the_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let broker = Broker::on(directory.path()).await;
    let (mut client, _) = broker.client_with_topic("t", 2).await;
    let long = "x".repeat(220);
    let of = |topic: &str, partition, code| (topic.to_owned(), partition, code);
    for version in 1..=2 {
        assert_eq!(move_to(&mut client, version, &[(path, "t", &[0, 1])]).await, [of("t", 0, 0), of("t", 1, 0)]);
        for (directory, name, partition, code) in [
            ("/nowhere", "t", 0, LOG_DIR_NOT_FOUND),
            ("", "t", 0, LOG_DIR_NOT_FOUND),
            ("/nowhere", "unknown", 0, LOG_DIR_NOT_FOUND),
            (path, "unknown", 0, UNKNOWN_TOPIC_OR_PARTITION),
            (path, "t", 2, UNKNOWN_TOPIC_OR_PARTITION),
            (path, "t", -1, UNKNOWN_TOPIC_OR_PARTITION),
            ("/nowhere", &long, 0, INVALID_TOPIC_EXCEPTION),
        ] {
            let answered = move_to(&mut client, version, &[(directory, name, &[partition])]).await;
            assert_eq!(answered, [of(name, partition, code)], "{directory} v{version}");
        }
        let twice = [("/nowhere", "t", &[0, 1][..]), (path, "t", &[0, 0])];
        assert_eq!(move_to(&mut client, version, &twice).await, [of("t", 0, 0), of("t", 1, LOG_DIR_NOT_FOUND)]);
        assert_eq!(move_to(&mut client, version, &[]).await, []);
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_partition_tells_of_its_producers() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    for (producer_id, epoch, sequence) in [(9, 0, 0), (7, 3, 0), (9, 0, 2)] {
        let mut builder = BatchBuilder::new(1_700_000_000_000 + i64::from(sequence));
        builder.producer(producer_id, epoch, sequence).record(None, Some(b"a")).record(None, Some(b"b"));
        assert_eq!(client.produce(&topic, 0, builder.build()).await.error_code, 0);
    }
    let of = |name: &str, partitions: &[i32]| {
        TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(partitions.to_vec())
    };
    let topics = vec![of("t", &[0, 1, 2, -1, 0]), of("unknown", &[0]), of("not/valid", &[0, 1]), of("t", &[])];
    let response = client.ask(0, &DescribeProducersRequest::default().with_topics(topics)).await;
    let names: Vec<_> = response.topics.iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["t", "unknown", "not/valid", "t"]);
    let partitions = &response.topics[0].partitions;
    let codes: Vec<_> = partitions.iter().map(|partition| (partition.partition_index, partition.error_code)).collect();
    assert_eq!(codes, [(0, 0), (1, 0), (2, 3), (-1, 3), (0, 0)]);
    assert_eq!((&partitions[0], partitions[1].active_producers.len()), (&partitions[4], 0));
    let known = partitions[0].active_producers.iter().map(|producer| {
        assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
        (producer.producer_id.0, producer.producer_epoch, producer.last_sequence, producer.last_timestamp)
    });
    let known: Vec<_> = known.collect();
    assert_eq!(known, [(7, 3, 1, 1_700_000_000_000), (9, 0, 3, 1_700_000_000_002)]);
    assert_eq!(partitions[2].error_message, None);
    let unknown = &response.topics[1].partitions[0];
    assert_eq!(unknown.error_message.as_deref(), Some("This server does not host this topic-partition."));
    let invalid: Vec<_> = response.topics[2].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(invalid, [INVALID_TOPIC_EXCEPTION; 2]);
    assert!(response.topics[3].partitions.is_empty());
    broker.stop().await;
}

/// A topic's name is free at once, and its files go in the background.
#[tokio::test]
async fn a_deleted_topics_files_go_after_the_delay() {
    let directory = tempfile::tempdir().unwrap();
    let with = |delay: &str| {
        crate::broker::config(&[
            ("log.dirs", directory.path().to_str().unwrap()),
            ("log.segment.delete.delay.ms", delay),
        ])
    };
    let doomed = || {
        let names =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("t-") && name.ends_with("-delete")).count()
    };
    let start = |delay: &'static str| async move { Broker(klamm::server::Server::start(with(delay)).await.unwrap()) };
    let broker = start("60000").await;
    let (mut client, topic) = broker.client_with_topic("t", 3).await;
    client.append(&topic, 0, &["old"]).await;
    delete_topic(&mut client, &topic).await;
    assert_eq!((doomed(), directory.path().join("t-0").exists()), (3, false));
    let again = client.create_topic("t", 1, &[]).await;
    assert_eq!(client.append(&again, 0, &["new"]).await, 0);
    broker.stop().await;
    assert_eq!(doomed(), 3, "a stop does not wait for the delay");
    let broker = start("200").await;
    let mut client = broker.client().await;
    assert_eq!(client.read(&again, 0, 0).await, ["new"]);
    delete_topic(&mut client, &again).await;
    crate::server::until(|| doomed() == 0).await;
    broker.stop().await;
}

async fn delete_topic(client: &mut Client, topic: &Topic) {
    let request = kafka_protocol::messages::DeleteTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_topic_names(vec![topic.name.clone()]);
    assert_eq!(client.ask(5, &request).await.responses[0].error_code, 0);
}
