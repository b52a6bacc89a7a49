//! A data directory that Apache Kafka 4.1 has written, taken over; and what is refused instead, untouched.

use std::collections::BTreeMap;
use std::path::Path;

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{ListTransactionsRequest, OffsetFetchRequest};
use klamm::protocol::record_batch::{Record, batches};
use klamm::server::{Server, StartError};
use klamm::storage::{LogDirError, format_uuid};

use crate::broker::{Broker, Client, FETCH, Topic, builder, config, fetch, group_id, topic_name};
use crate::data_directory::{refusal, unpack};
use crate::server::within;
use crate::transactions::{describe, init};

/// What Kafka's clients have found in the directory before it was stopped, line by line.
fn told(kind: &str) -> Vec<Vec<&'static str>> {
    let expected = include_str!("../fixtures/kafka-4.1-data.expected.txt");
    let clean = expected.split("\ndirectory ").nth(1).unwrap();
    clean.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|words| words[0] == kind).collect()
}

fn kafka_directory(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let archive = format!("{}/tests/fixtures/kafka-4.1-data.{name}.tar.gz", env!("CARGO_MANIFEST_DIR"));
    unpack::unpack(Path::new(&archive), directory.path());
    directory
}

/// A broker on the directory, whose records are from 2023 and stay.
async fn start(directory: &Path) -> Broker {
    let pairs =
        [("log.dirs", directory.to_str().unwrap()), ("log.retention.ms", "-1"), ("log.cleaner.enable", "false")];
    Broker(within(Server::start(config(&pairs))).await.unwrap())
}

/// All records of a partition from `offset` on, markers of transactions excepted.
async fn read_all(client: &mut Client, topic: &Topic, partition: i32, mut offset: i64) -> Vec<Record> {
    let mut found = Vec::new();
    loop {
        let data = client.fetch(topic, partition, offset).await;
        assert_eq!(data.error_code, 0);
        let bytes = data.records.unwrap_or_default();
        if bytes.is_empty() {
            return found;
        }
        for batch in batches(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            let from = offset;
            offset = batch.header.next_offset();
            if !batch.header.is_control() {
                let records = batch.records(1 << 24).unwrap().map(Result::unwrap);
                found.extend(records.filter(|record| record.offset >= from));
            }
        }
    }
}

fn topics_of(broker: &Broker) -> BTreeMap<String, Topic> {
    let image = broker.0.broker().image();
    let topics =
        image.topics().map(|topic| (topic.name.to_string(), Topic { name: topic_name(&topic.name), id: topic.id }));
    topics.collect()
}

/// Everything that the list tells of records and committed offsets is served.
async fn expect_all(broker: &Broker) {
    let (mut client, topics) = (broker.client().await, topics_of(broker));
    for words in told("partition") {
        let (topic, partition) = (&topics[words[1]], words[2].parse().unwrap());
        let (start, end): (i64, i64) = (words[3].parse().unwrap(), words[4].parse().unwrap());
        assert_eq!(client.offset(topic, partition, -2).await, start, "{words:?}");
        assert!(client.offset(topic, partition, -1).await >= end, "{words:?}");
        let text = |bytes: Option<bytes::Bytes>| bytes.map_or("-".into(), |b| String::from_utf8_lossy(&b).into_owned());
        let records = read_all(&mut client, topic, partition, start).await.into_iter();
        let found: Vec<_> = records
            .filter(|record| record.offset < end)
            .map(|record| {
                let (offset, timestamp) = (record.offset.to_string(), record.timestamp.to_string());
                [offset, timestamp, text(record.key), text(record.value)]
            })
            .collect();
        let expected: Vec<_> = told("record").into_iter().filter(|record| record[1..3] == words[1..3]).collect();
        assert_eq!(
            found.iter().map(|fields| fields.join(" ")).collect::<Vec<_>>(),
            expected.iter().map(|fields| fields[3..].join(" ")).collect::<Vec<_>>()
        );
    }
    for words in told("committed") {
        client.find_coordinator(words[1]).await;
        let partition: i32 = words[3].parse().unwrap();
        let topic =
            OffsetFetchRequestTopic::default().with_name(topic_name(words[2])).with_partition_indexes(vec![partition]);
        let request = OffsetFetchRequest::default().with_group_id(group_id(words[1])).with_topics(Some(vec![topic]));
        let answer = client.ask(7, &request).await;
        let found = &answer.topics[0].partitions[0];
        // librdkafka sends the zero at the end of its string along.
        let metadata = found.metadata.as_ref().unwrap().trim_end_matches('\0').to_owned();
        assert_eq!((found.committed_offset.to_string(), metadata), (words[4].to_owned(), words[5..].join(" ")));
    }
}

/// The coordinators know the transactional ids as Kafka's have left them, and the next producer goes on from there.
async fn expect_transactions(client: &mut Client) {
    let list = async {
        loop {
            let response = client.ask(2, &ListTransactionsRequest::default()).await;
            if response.error_code == 0 {
                return response.transaction_states;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let listed = within(list).await;
    let ids: Vec<_> = listed.iter().map(|one| one.transactional_id.as_str()).collect();
    assert_eq!(ids, ["fixture"]);
    let described = describe(client, "fixture").await;
    assert_eq!((described.error_code, described.transaction_state.as_str()), (0, "CompleteAbort"));
    let next = init(client, "fixture").await;
    assert_eq!((next.producer_id, next.epoch), (described.producer_id.0, described.producer_epoch + 1));
}

#[tokio::test]
async fn a_directory_of_kafka_is_taken_over_with_all_that_is_in_it() {
    let directory = kafka_directory("clean");
    let path = directory.path();
    let ids: BTreeMap<_, _> = told("partition")
        .iter()
        .map(|words| {
            let text =
                std::fs::read_to_string(path.join(format!("{}-{}/partition.metadata", words[1], words[2]))).unwrap();
            (words[1], text.lines().find_map(|line| line.strip_prefix("topic_id: ")).unwrap().to_owned())
        })
        .collect();
    let identity = std::fs::read_to_string(path.join("meta.properties")).unwrap();
    let broker = start(path).await;
    expect_all(&broker).await;
    let image = broker.0.broker().image();
    for (name, id) in ids {
        assert_eq!(format_uuid(image.topic(name).unwrap().id), id);
    }
    assert!(identity.contains(&format!("cluster.id={}", image.cluster_id())));
    assert_eq!(std::fs::read_to_string(path.join("meta.properties")).unwrap(), identity);
    assert_eq!(image.partition("__consumer_offsets", 1).unwrap().leader, 1);
    assert!(image.topic("gone").is_none());
    let mut configs: Vec<_> = told("config").into_iter().filter(|words| words[1] == "topics").collect();
    configs.retain(|words| image.topic(words[2]).unwrap().configs[words[3]] != words[4]);
    assert!(configs.is_empty(), "{configs:?}");
    // What is set for all brokers holds, and an idempotent producer's state is there: the log goes on.
    assert_eq!(broker.0.broker().config.load().topic_defaults.max_message_bytes, 2_000_000);
    let (mut client, topics) = (broker.client().await, topics_of(&broker));
    for words in told("partition") {
        let batch = builder(&[]).record(Some(b"key"), Some(b"appended here")).build();
        let answer = client.produce(&topics[words[1]], words[2].parse().unwrap(), batch).await;
        assert_eq!((answer.error_code, answer.base_offset.to_string()), (0, words[4].to_owned()), "{words:?}");
    }
    let headers = read_all(&mut client, &topics["plain"], 0, 0).await.remove(0).headers;
    let headers: Vec<_> = headers.into_iter().map(|(key, value)| [key, value.unwrap()].concat()).collect();
    assert_eq!(headers, [b"number0".to_vec(), b"numberagain".to_vec()]);
    // Who reads committed records is told which are not.
    let committed = fetch(&topics["transactional"], &[(0, 4)]).with_isolation_level(1);
    let answer = client.ask(FETCH, &committed).await.responses.remove(0).partitions.remove(0);
    let aborted: Vec<_> = answer.aborted_transactions.unwrap().iter().map(|one| one.first_offset).collect();
    assert_eq!(aborted, [4]);
    expect_transactions(&mut client).await;
    broker.stop().await;
    assert!(!path.join("__cluster_metadata-0").exists());
    assert!(path.join("metadata/quorum-state").exists(), "Kafka's own metadata log is kept");
    for _ in 0..2 {
        let broker = start(path).await;
        expect_all(&broker).await;
        let (mut client, topics) = (broker.client().await, topics_of(&broker));
        assert_eq!(client.read(&topics["torn"], 0, 4).await, ["appended here"]);
        broker.stop().await;
    }
}

/// A crash before the last step leaves Kafka's directory, and what is left of ours in it is in nobody's way.
#[tokio::test]
async fn a_take_over_that_was_cut_short_is_begun_again() {
    let directory = kafka_directory("clean");
    let metadata = directory.path().join("__cluster_metadata-0");
    std::fs::create_dir(metadata.join("taking-over")).unwrap();
    for name in ["taking-over/log", "log", "snapshot"] {
        std::fs::write(metadata.join(name), "of an earlier attempt").unwrap();
    }
    let broker = start(directory.path()).await;
    expect_all(&broker).await;
    broker.stop().await;
    // Whoever went back to Kafka may come again.
    std::fs::rename(directory.path().join("metadata"), &metadata).unwrap();
    let broker = start(directory.path()).await;
    expect_all(&broker).await;
    broker.stop().await;
}

/// The refusal of Kafka's directory after `change`.
async fn refused(change: impl FnOnce(&Path)) -> String {
    let directory = kafka_directory("clean");
    change(directory.path());
    match refusal(directory.path()).await {
        error @ LogDirError::NotTakenOver { .. } => error.to_string(),
        other => panic!("{other}"),
    }
}

fn cut(file: &Path, bytes: u64) {
    let size = std::fs::metadata(file).unwrap().len();
    std::fs::File::options().write(true).open(file).unwrap().set_len(size - bytes).unwrap();
}

/// What is done to a directory, and what its refusal says.
type Damage<'a> = (&'a dyn Fn(&Path), &'a str);

#[tokio::test]
async fn what_is_not_as_kafka_left_it_is_refused_and_not_touched() {
    let error = refusal(kafka_directory("killed").path()).await.to_string();
    assert!(error.contains("has not stopped cleanly"), "{error}");
    let log = "__cluster_metadata-0/00000000000000000000.log";
    let plain = "plain-0/00000000000000000000.log";
    let cases: [Damage<'_>; 10] = [
        (&|path| cut(&path.join(log), 1), "is damaged: it is cut short"),
        (&|path| std::fs::write(path.join(log), "").unwrap(), "the records from offset 0 on are missing"),
        (&|path| std::fs::remove_file(path.join(log)).unwrap(), "are missing"),
        (&|path| cut(&path.join(plain), 20), "plain-0 (no whole batch is at byte"),
        (&|path| std::fs::write(path.join(plain), "").unwrap(), "its log ends at offset 0, and ended at 30 when"),
        (&|path| std::fs::remove_file(path.join(plain)).unwrap(), "plain-0 (it has no segment)"),
        (&|path| std::fs::remove_dir_all(path.join("plain-1")).unwrap(), "partitions are missing: plain-1;"),
        (&|path| std::fs::remove_file(path.join("plain-1/partition.metadata")).unwrap(), "not of that topic: plain-1;"),
        (
            &|path| {
                std::fs::create_dir(path.join("other-0")).unwrap();
                std::fs::write(path.join("other-0/00000000000000000000.log"), "").unwrap();
            },
            "are of no topic in the metadata, or not of that topic: other-0;",
        ),
        (
            &|path| std::fs::create_dir(path.join("plain-0.0123456789abcdef0123456789abcdef-future")).unwrap(),
            "are being moved to another log directory",
        ),
    ];
    for (change, expected) in cases {
        let error = refused(change).await;
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let both = |path: &Path| {
        std::fs::remove_file(path.join(plain)).unwrap();
        std::fs::remove_dir_all(path.join("plain-1")).unwrap();
    };
    assert_eq!(refused(both).await.lines().count(), 3, "all that is wrong is told at once");
    let directory = kafka_directory("clean");
    let other = directory.path().join("meta.properties");
    std::fs::write(&other, std::fs::read_to_string(&other).unwrap().replace("node.id=1", "node.id=7")).unwrap();
    let start = Server::start(config(&[("log.dirs", directory.path().to_str().unwrap())]));
    let refused = within(start).await.err().unwrap();
    assert!(matches!(refused, StartError::DataDirectory(LogDirError::Foreign { .. })), "{refused}");
    assert!(directory.path().join("__cluster_metadata-0").exists());
}
