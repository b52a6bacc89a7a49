//! What a broker knows after it was stopped, and after it died; and brokers that share a process, a directory, a port.

use std::collections::BTreeMap;
use std::path::Path;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{DeleteTopicsRequest, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest};
use klamm::protocol::compression::Compression;
use klamm::server::{Server, StartError};
use tokio::runtime::Runtime;

use crate::broker::{Broker, Client, Topic, builder, config, fetch, fetched, group_id, text};
use crate::producers::{new_producer_id, numbered};
use crate::server::{until, within};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const FENCED_LEADER_EPOCH: i16 = 74;

/// The file that says that a directory was closed in peace.
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// A broker with a runtime of its own, with which it can be killed: nothing of it gets to clean up.
pub(crate) struct Mortal {
    pub(crate) broker: Broker,
    runtime: Runtime,
}

impl Mortal {
    pub(crate) async fn on(directory: &Path) -> Self {
        Self::with(directory, &[]).await
    }

    /// The same with more configuration.
    pub(crate) async fn with(directory: &Path, pairs: &[(&str, &str)]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = config(&[&[("log.dirs", directory.to_str().unwrap())], pairs].concat());
        let server = within(runtime.spawn(Server::start(config))).await.unwrap().unwrap();
        Self { broker: Broker(server), runtime }
    }

    /// Ends all its tasks wherever they are.
    pub(crate) async fn kill(self) {
        let Self { broker, runtime } = self;
        let end = tokio::task::spawn_blocking(move || {
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
            drop(broker);
        });
        within(end).await.unwrap();
    }
}

/// Commits an offset of group `g`.
async fn commit(client: &mut Client, topic: &Topic, partition: i32, offset: i64) {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default().with_name(topic.name.clone()).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(group_id("g"))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    assert_eq!(client.ask(8, &commit).await.topics[0].partitions[0].error_code, 0);
}

/// What group `g` has committed, or -1.
async fn committed(client: &mut Client, topic: &Topic, partition: i32) -> i64 {
    client.find_coordinator("g").await;
    let topic =
        OffsetFetchRequestTopic::default().with_name(topic.name.clone()).with_partition_indexes(vec![partition]);
    let request = OffsetFetchRequest::default().with_group_id(group_id("g")).with_topics(Some(vec![topic]));
    let response = client.ask(7, &request.with_require_stable(true)).await;
    assert_eq!(response.error_code, 0);
    response.topics[0].partitions[0].committed_offset
}

async fn delete(client: &mut Client, topic: &Topic) {
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(vec![topic.name.clone()]);
    assert_eq!(client.ask(5, &request).await.responses[0].error_code, 0);
}

/// What a client has done with a broker, and must find again.
struct Story {
    topic: Topic,
    compressed: Topic,
    deleted: Topic,
    producer_id: i64,
    /// How often the broker was started.
    starts: i32,
    appended: Vec<String>,
}

impl Story {
    async fn begin(client: &mut Client) -> Self {
        let topic = client.create_topic("kept", 2, &[("max.message.bytes", "5000")]).await;
        let compressed = client.create_topic("compressed", 1, &[]).await;
        let deleted = client.create_topic("deleted", 1, &[]).await;
        client.append(&deleted, 0, &["gone"]).await;
        delete(client, &deleted).await;
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let records = builder(&["x", "y"]).compression(codec).build();
            assert_eq!(client.produce(&compressed, 0, records).await.error_code, 0);
        }
        let producer_id = new_producer_id(client).await;
        client.find_coordinator("g").await;
        Self { topic, compressed, deleted, producer_id, starts: 1, appended: Vec::new() }
    }

    fn sequence(&self) -> i32 {
        self.appended.len() as i32
    }

    /// Appends one more record and commits the offset behind it.
    async fn go_on(&mut self, client: &mut Client) {
        let value = format!("start {} record {}", self.starts, self.appended.len());
        let records = numbered(self.producer_id, 0, self.sequence(), &[&value]);
        let answer = client.produce(&self.topic, 1, records).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, self.appended.len() as i64));
        self.appended.push(value);
        commit(client, &self.topic, 1, self.appended.len() as i64).await;
    }

    async fn assert_found(&self, client: &mut Client) {
        let metadata = client.ask(12, &MetadataRequest::default().with_topics(None)).await;
        let ids: BTreeMap<_, _> =
            metadata.topics.iter().map(|topic| (topic.name.clone().unwrap().to_string(), topic.topic_id)).collect();
        assert_eq!(ids["kept"], self.topic.id);
        assert_eq!(ids.keys().collect::<Vec<_>>(), ["__consumer_offsets", "compressed", "kept"]);
        let kept = metadata.topics.iter().find(|topic| topic.topic_id == self.topic.id).unwrap();
        let epochs: Vec<_> = kept.partitions.iter().map(|partition| partition.leader_epoch).collect();
        assert_eq!(epochs, [2 * (self.starts - 1); 2], "a leadership ends and one begins with every start");

        assert_eq!(client.read(&self.topic, 1, 0).await, self.appended);
        assert_eq!(client.read(&self.compressed, 0, 0).await, ["x", "y"].repeat(4));
        assert_eq!(client.fetch(&self.deleted, 0, 0).await.error_code, UNKNOWN_TOPIC_OR_PARTITION);
        let mut stale = fetch(&self.topic, &[(1, 0)]);
        stale.topics[0].partitions[0].current_leader_epoch = self.starts - 2;
        if self.starts > 1 {
            assert_eq!(fetched(&client.ask(12, &stale).await)[0].1, FENCED_LEADER_EPOCH);
        }

        let offsets = [committed(client, &self.topic, 0).await, committed(client, &self.topic, 1).await];
        assert_eq!(offsets, [-1, self.appended.len() as i64]);
    }

    /// The producer's last batch is known, a gap is one, and its configuration is the topic's still.
    async fn assert_producer_is_known(&self, client: &mut Client) {
        let last = numbered(self.producer_id, 0, self.sequence() - 1, &[self.appended.last().unwrap()]);
        let again = client.produce(&self.topic, 1, last).await;
        assert_eq!((again.error_code, again.base_offset), (0, self.appended.len() as i64 - 1));
        let gap = numbered(self.producer_id, 0, self.sequence() + 1, &["gap"]);
        assert_eq!(client.produce(&self.topic, 1, gap).await.error_code, OUT_OF_ORDER_SEQUENCE_NUMBER);
        let large = builder(&["x".repeat(6_000).as_str()]).build();
        assert_eq!(client.produce(&self.topic, 0, large).await.error_code, 10);
        assert!(new_producer_id(client).await > self.producer_id, "an id is given out once");
    }
}

/// Starts, looks, writes and ends a broker several times; `ends_cleanly` says how.
async fn live_through(ends_cleanly: &[bool]) {
    let directory = tempfile::tempdir().unwrap();
    let mut story: Option<Story> = None;
    for clean in ends_cleanly {
        let mortal = Mortal::on(directory.path()).await;
        let mut client = mortal.broker.client().await;
        match &mut story {
            Some(story) => {
                story.starts += 1;
                story.assert_found(&mut client).await;
                story.assert_producer_is_known(&mut client).await;
            }
            none => *none = Some(Story::begin(&mut client).await),
        }
        let story = story.as_mut().unwrap();
        for _ in 0..7 {
            story.go_on(&mut client).await;
        }
        story.assert_found(&mut client).await;
        let marker = directory.path().join(CLEAN_SHUTDOWN);
        assert!(!marker.exists(), "while it runs nothing is closed");
        if *clean {
            mortal.broker.stop().await;
            mortal.runtime.shutdown_background();
        } else {
            mortal.kill().await;
        }
        assert_eq!(marker.exists(), *clean);
    }
}

#[tokio::test]
async fn a_stopped_broker_finds_everything_again() {
    live_through(&[true, true, true, true]).await;
}

#[tokio::test]
async fn a_killed_broker_finds_everything_again() {
    live_through(&[false, false, true, false, true]).await;
}

/// A topic's successor of the same name inherits nothing: no records, no offsets, no id.
#[tokio::test]
async fn a_topic_made_anew_starts_empty_and_stays_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = None;
    for start in 0..3 {
        let mortal = Mortal::on(directory.path()).await;
        let mut client = mortal.broker.client().await;
        if let Some(last) = &last {
            assert_eq!(client.read(last, 0, 0).await, ["b"], "start {start}");
            assert_eq!(committed(&mut client, last, 0).await, 1, "start {start}");
            delete(&mut client, last).await;
        }
        client.find_coordinator("g").await;
        for values in [&["a", "a"][..], &["b"]] {
            let topic = client.create_topic("t", 1, &[]).await;
            assert!(last.replace(topic.clone()).is_none_or(|before: Topic| before.id != topic.id));
            assert_eq!(client.offset(&topic, 0, -1).await, 0, "start {start}");
            assert_eq!(committed(&mut client, &topic, 0).await, -1, "start {start}");
            client.append(&topic, 0, values).await;
            commit(&mut client, &topic, 0, values.len() as i64).await;
            if values.len() > 1 {
                delete(&mut client, &topic).await;
            }
        }
        mortal.kill().await;
    }
    let at_once = [("log.dirs", directory.path().to_str().unwrap()), ("log.segment.delete.delay.ms", "0")];
    let broker = Broker(within(Server::start(config(&at_once))).await.unwrap());
    let names = || std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    until(|| !names().any(|name| name.to_string_lossy().contains("-delete"))).await;
    broker.stop().await;
}

/// A crash after a topic's deletion was committed, and before its directory was renamed: the next start frees the name, and
/// keeps the records as Kafka keeps a stray's.
#[tokio::test]
async fn a_deletion_that_a_crash_has_cut_short_is_finished_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let directories = |end: &str| -> Vec<String> {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("gone-0") && name.ends_with(end)).collect()
    };
    let mortal = Mortal::on(directory.path()).await;
    let (mut client, gone) = mortal.broker.client_with_topic("gone", 1).await;
    let kept = client.create_topic("kept", 1, &[]).await;
    for topic in [&gone, &kept] {
        client.append(topic, 0, &["old"]).await;
    }
    delete(&mut client, &gone).await;
    until(|| directories("-delete").len() == 1).await;
    mortal.kill().await;
    let renamed = directory.path().join(&directories("-delete")[0]);
    std::fs::rename(renamed, directory.path().join("gone-0")).unwrap();

    let broker = Broker::on(directory.path()).await;
    assert_eq!((directories("gone-0"), directories("-stray").len()), (vec![], 1));
    let stray = directory.path().join(&directories("-stray")[0]);
    assert!(std::fs::metadata(stray.join("00000000000000000000.log")).unwrap().len() > 0, "the records are kept");
    let mut client = broker.client().await;
    assert_eq!(client.read(&kept, 0, 0).await, ["old"]);
    let anew = client.create_topic("gone", 1, &[]).await;
    assert_eq!(client.append(&anew, 0, &["new"]).await, 0);
    broker.stop().await;

    let broker = Broker::on(directory.path()).await;
    assert_eq!(broker.client().await.read(&anew, 0, 0).await, ["new"]);
    assert_eq!(directories("-stray").len(), 1, "and no start looks at them again");
    broker.stop().await;
}

#[tokio::test]
async fn two_brokers_in_one_process_know_nothing_of_each_other() {
    let (one, other) = (Broker::start().await, Broker::start().await);
    assert_ne!(one.port(), other.port());
    let (mut client, topic) = one.client_with_topic("t", 1).await;
    client.append(&topic, 0, &["here"]).await;
    let mut elsewhere = other.client().await;
    let all = MetadataRequest::default().with_topics(None);
    let (here, there) = (client.ask(9, &all).await, elsewhere.ask(9, &all).await);
    assert_eq!((here.topics.len(), there.topics.len()), (1, 0));
    assert_ne!(here.cluster_id, there.cluster_id);
    one.stop().await;
    let topic = elsewhere.create_topic("t", 1, &[]).await;
    elsewhere.append(&topic, 0, &["there"]).await;
    assert_eq!(elsewhere.read(&topic, 0, 0).await, ["there"]);
    other.stop().await;
}

#[tokio::test]
async fn a_second_broker_on_the_same_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let again = || config(&[("log.dirs", directory.path().to_str().unwrap())]);
    let refused = within(Server::start(again())).await.err().unwrap();
    assert!(matches!(refused, StartError::DataDirectory(_)), "{refused}");
    assert!(refused.to_string().contains(directory.path().to_str().unwrap()), "{refused}");
    client.append(&topic, 0, &["not disturbed"]).await;
    broker.stop().await;
    let broker = Broker(within(Server::start(again())).await.unwrap());
    assert_eq!(broker.client().await.read(&topic, 0, 0).await, ["not disturbed"]);
    broker.stop().await;
}

#[tokio::test]
async fn a_broker_with_another_node_id_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    Broker::on(directory.path()).await.stop().await;
    let other = config(&[("log.dirs", directory.path().to_str().unwrap()), ("node.id", "7")]);
    let refused = within(Server::start(other)).await.err().unwrap();
    assert!(matches!(refused, StartError::DataDirectory(_)), "{refused}");
    Broker::on(directory.path()).await.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_and_no_data_is_touched() {
    let broker = Broker::start().await;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let listener = format!("PLAINTEXT://127.0.0.1:{}", broker.port());
    let taken = [("log.dirs", data.to_str().unwrap()), ("listeners", &listener)];
    let refused = within(Server::start(klamm::config::Config::with(&taken).unwrap())).await.err().unwrap();
    assert!(matches!(refused, StartError::AddressTaken { .. }), "{refused}");
    assert!(refused.to_string().contains(&broker.port().to_string()), "{refused}");
    assert!(!data.exists());
    broker.stop().await;
}

/// Every start that fails lets go of what it had opened, so that the next one succeeds.
#[tokio::test]
async fn a_damaged_identity_is_refused_and_nothing_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.append(&topic, 0, &["kept"]).await;
    broker.stop().await;
    let meta = directory.path().join("meta.properties");
    let sound = std::fs::read(&meta).unwrap();
    for damaged in [&b""[..], b"node.id=\n", b"version=1\nnode.id=abc\n", b"\xff\xfe\0"] {
        std::fs::write(&meta, damaged).unwrap();
        let start = Server::start(config(&[("log.dirs", directory.path().to_str().unwrap())]));
        let refused = within(start).await.err().unwrap();
        assert!(refused.to_string().contains("meta.properties"), "{refused}");
        assert_eq!(std::fs::read(&meta).unwrap(), damaged, "nothing is written over it");
    }
    std::fs::write(&meta, sound).unwrap();
    let broker = Broker::on(directory.path()).await;
    assert_eq!(broker.client().await.read(&topic, 0, 0).await, ["kept"]);
    broker.stop().await;
}
