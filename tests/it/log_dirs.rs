//! Several log directories: what is put where, and what happens when one of them fails (KIP-112, KIP-113).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{
    AlterReplicaLogDirsRequest, DeleteTopicsRequest, DescribeLogDirsRequest, IncrementalAlterConfigsRequest,
    MetadataRequest,
};
use klamm::config::Config;
use klamm::server::{Server, StartError};
use klamm::storage::LogDirError;
use tempfile::TempDir;

use crate::broker::{Broker, Client, Topic, batch, builder, config, text, topic_name};
use crate::data_directory::tree;
use crate::server::{until, within};
use crate::watched::Watched;

const LEADER_NOT_AVAILABLE: i16 = 5;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const KAFKA_STORAGE_ERROR: i16 = 56;
const LOG_DIR_NOT_FOUND: i16 = 57;
/// The key by which moves are throttled.
const RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// Directories `a`, `b` and `c` in one that is removed in the end; none is made yet.
struct Places(TempDir);

impl Places {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A broker with these log directories that notices soon when one of them has gone.
    fn config(&self, names: &[&str], pairs: &[(&str, &str)]) -> Config {
        let paths = names.iter().map(|name| self.path(name).display().to_string()).collect::<Vec<_>>().join(",");
        let eager = [("log.dirs", &*paths), ("replica.high.watermark.checkpoint.interval.ms", "50")];
        config(&[&eager[..], pairs].concat())
    }

    async fn broker(&self, names: &[&str]) -> Broker {
        Broker(within(Server::start(self.config(names, &[]))).await.unwrap())
    }

    /// The partitions' directories in `name`, sorted.
    fn partitions(&self, name: &str) -> Vec<String> {
        let names =
            fs::read_dir(self.path(name)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_partition = |name: &str| name.rsplit_once('-').is_some_and(|(_, number)| number.parse::<i32>().is_ok());
        let mut names: Vec<_> = names.filter(|name| is_partition(name)).collect();
        names.sort();
        names
    }

    fn properties(&self, name: &str) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.path(name).join("meta.properties")).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

async fn described(client: &mut Client) -> Vec<DescribeLogDirsResult> {
    let response = client.ask(4, &DescribeLogDirsRequest::default().with_topics(None)).await;
    assert_eq!(response.error_code, 0);
    response.results
}

/// `topic-partition` of all partitions that are told to be in a directory.
fn names(result: &DescribeLogDirsResult) -> Vec<String> {
    let of = |topic: &kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsTopic| {
        let name = topic.name.to_string();
        topic
            .partitions
            .iter()
            .map(move |partition| format!("{name}-{}", partition.partition_index))
            .collect::<Vec<_>>()
    };
    result.topics.iter().flat_map(of).collect()
}

async fn partitions(client: &mut Client, topic: &str) -> Vec<MetadataResponsePartition> {
    let response = client.ask(12, &MetadataRequest::default().with_topics(None)).await;
    let found =
        response.topics.into_iter().find(|other| other.name.as_ref().is_some_and(|name| name.as_str() == topic));
    let mut partitions = found.unwrap().partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    partitions
}

/// One record in each partition, told by its number.
async fn fill(client: &mut Client, topic: &Topic, partitions: i32) {
    for index in 0..partitions {
        client.append(topic, index, &[&index.to_string()]).await;
    }
}

async fn assert_filled(client: &mut Client, topic: &Topic, partitions: impl IntoIterator<Item = i32>) {
    for index in partitions {
        assert_eq!(client.read(topic, index, 0).await, [index.to_string()], "partition {index}");
    }
}

#[tokio::test]
async fn partitions_are_spread_and_found_again() {
    let places = Places::new();
    let broker = places.broker(&["a", "b"]).await;
    let (mut client, topic) = broker.client_with_topic("t", 5).await;
    fill(&mut client, &topic, 5).await;
    assert_eq!((places.partitions("a").len(), places.partitions("b").len()), (3, 2));
    let (a, b) = (places.properties("a"), places.properties("b"));
    assert_eq!((&a["cluster.id"], &a["node.id"]), (&b["cluster.id"], &b["node.id"]));
    assert_ne!(a["directory.id"], b["directory.id"]);
    assert!(places.path("a").join("metadata/log").exists() && !places.path("b").join("metadata").exists());
    let told = described(&mut client).await;
    assert_eq!(told.len(), 2);
    for (result, name) in told.iter().zip(["a", "b"]) {
        assert_eq!((&*result.log_dir, result.error_code), (places.path(name).to_str().unwrap(), 0));
        assert_eq!(names(result), places.partitions(name));
        assert!(0 < result.usable_bytes && result.usable_bytes <= result.total_bytes);
    }
    broker.stop().await;
    for name in ["a", "b"] {
        assert!(places.path(name).join(".kafka_cleanshutdown").exists());
        assert!(places.path(name).join("recovery-point-offset-checkpoint").exists());
    }
    // Another directory more takes the next partitions, and nothing else.
    let broker = places.broker(&["a", "b", "c"]).await;
    let mut client = broker.client().await;
    assert_filled(&mut client, &topic, 0..5).await;
    client.create_topic("u", 3, &[]).await;
    assert_eq!(["a", "b", "c"].map(|name| places.partitions(name).len()), [3, 3, 2]);
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(vec![topic.name.clone()]);
    assert_eq!(client.ask(5, &request).await.responses[0].error_code, 0);
    assert_eq!(["a", "b", "c"].map(|name| places.partitions(name).len()), [0, 1, 2]);
    broker.stop().await;
}

/// Waits until the broker has noticed that a directory is gone.
async fn until_failed(broker: &Watched) {
    until(|| broker.broker.0.broker().replicas.offline_log_dirs() == 1).await;
}

#[tokio::test]
async fn one_directory_fails_and_the_others_go_on() {
    let places = Places::new();
    let broker = Watched::start(places.config(&["a", "b"], &[])).await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 4, &[]).await;
    fill(&mut client, &topic, 4).await;
    let gone = places.partitions("b");
    assert_eq!(gone.len(), 2);
    fs::rename(places.path("b"), places.path("away")).unwrap();
    until_failed(&broker).await;
    let is_gone = |index: i32| gone.contains(&format!("t-{index}"));
    let told = partitions(&mut client, "t").await;
    for index in 0..4 {
        let (code, partition) = (client.produce(&topic, index, batch(&["x"])).await.error_code, &told[index as usize]);
        let view = (partition.error_code, partition.leader_id.0, partition.offline_replicas.len());
        if is_gone(index) {
            assert_eq!((code, view), (KAFKA_STORAGE_ERROR, (LEADER_NOT_AVAILABLE, -1, 1)));
            assert_eq!(client.fetch(&topic, index, 0).await.error_code, KAFKA_STORAGE_ERROR);
        } else {
            assert_eq!((code, view), (0, (0, 1, 0)));
        }
    }
    let results = described(&mut client).await;
    assert_eq!((results[0].error_code, names(&results[0]).len()), (0, 2));
    assert_eq!((results[1].error_code, names(&results[1]).len()), (KAFKA_STORAGE_ERROR, 0));
    // What is new goes to where it works, and a new topic takes an offline one's name.
    client.create_topic("u", 2, &[]).await;
    assert_eq!(places.partitions("a").len(), 4);
    assert!(broker.stop().await, "what has failed before is not expected to be closed");
    assert!(places.path("a").join(".kafka_cleanshutdown").exists());

    // A start without it: as it was, and no empty log takes the place of one that cannot be reached.
    fs::write(places.path("b"), "a file, which is no directory").unwrap();
    let broker = Watched::start(places.config(&["a", "b"], &[])).await;
    assert_eq!(broker.logged("ERROR").len(), 1, "{:?}", broker.logged(""));
    assert_eq!(broker.logged("partitions=2").len(), 1, "{:?}", broker.logged(""));
    let mut client = broker.client().await;
    for index in 0..4 {
        let code = client.produce(&topic, index, batch(&["y"])).await.error_code;
        assert_eq!(code, if is_gone(index) { KAFKA_STORAGE_ERROR } else { 0 });
    }
    assert!(partitions(&mut client, "t").await.iter().filter(|partition| partition.leader_id.0 == -1).count() == 2);
    assert!(broker.stop().await);
    assert_eq!(places.partitions("a").len(), 4);

    // And with it again.
    fs::remove_file(places.path("b")).unwrap();
    fs::rename(places.path("away"), places.path("b")).unwrap();
    let broker = Watched::start(places.config(&["a", "b"], &[])).await;
    let mut client = broker.client().await;
    for index in 0..4 {
        let wanted = if is_gone(index) { 1 } else { 3 };
        assert_eq!(client.read(&topic, index, 0).await.len(), wanted, "partition {index}");
        client.append(&topic, index, &["z"]).await;
    }
    assert!(broker.stop().await);
    let broker = Watched::start(places.config(&["a", "b"], &[])).await;
    assert!(broker.logged("").is_empty(), "{:?}", broker.logged(""));
    assert!(broker.stop().await);
}

#[tokio::test]
async fn a_topic_may_be_made_anew_while_the_directory_of_its_predecessor_is_away() {
    let places = Places::new();
    let broker = Watched::start(places.config(&["a", "b"], &[])).await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 2, &[]).await;
    fill(&mut client, &topic, 2).await;
    fs::rename(places.path("b"), places.path("away")).unwrap();
    until_failed(&broker).await;
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(vec![topic.name.clone()]);
    assert_eq!(client.ask(5, &request).await.responses[0].error_code, 0);
    let again = client.create_topic("t", 2, &[]).await;
    client.append(&again, 0, &["new"]).await;
    client.append(&again, 1, &["new"]).await;
    assert!(broker.stop().await);
    fs::rename(places.path("away"), places.path("b")).unwrap();
    let broker = Watched::start(places.config(&["a", "b"], &[])).await;
    let mut client = broker.client().await;
    for index in 0..2 {
        assert_eq!(client.read(&again, index, 0).await, ["new"]);
    }
    assert_eq!((places.partitions("a").len(), places.partitions("b").len()), (2, 0));
    assert!(broker.stop().await);
}

#[tokio::test]
async fn the_broker_ends_without_its_metadata_directory_or_without_any() {
    let places = Places::new();
    let broker = Watched::start(places.config(&["a", "b"], &[])).await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 2, &[]).await;
    fill(&mut client, &topic, 2).await;
    fs::rename(places.path("a"), places.path("away")).unwrap();
    assert_eq!(within(broker.broker.0.failed()).await, "the log directory has failed");
    broker.stop().await;
    fs::write(places.path("a"), "a file").unwrap();
    let refused = within(Server::start(places.config(&["a", "b"], &[]))).await.err().unwrap();
    assert!(matches!(refused, StartError::DataDirectory(LogDirError::Storage(_))), "{refused}");
}

#[tokio::test]
async fn the_metadata_may_have_a_directory_of_its_own() {
    let places = Places::new();
    let metadata = places.path("m").display().to_string();
    let config = || places.config(&["a", "b"], &[("metadata.log.dir", &metadata)]);
    let broker = Broker(within(Server::start(config())).await.unwrap());
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    fill(&mut client, &topic, 2).await;
    assert_eq!(described(&mut client).await.len(), 2);
    broker.stop().await;
    assert!(places.path("m").join("metadata/log").exists() && !places.path("a").join("metadata").exists());
    assert_eq!(places.properties("m")["cluster.id"], places.properties("a")["cluster.id"]);
    let broker = Broker(within(Server::start(config())).await.unwrap());
    assert_filled(&mut broker.client().await, &topic, 0..2).await;
    broker.stop().await;
}

/// The refusal to start on these directories, which must be as they were before.
async fn refusal(places: &Places, names: &[&str]) -> String {
    let before = tree(places.0.path());
    let refused = within(Server::start(places.config(names, &[]))).await.err().unwrap();
    assert!(tree(places.0.path()) == before, "something was changed by: {refused}");
    assert!(refused.hint().is_some(), "{refused}");
    refused.to_string()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn directories_that_do_not_belong_together_are_refused_and_not_touched() {
    let places = Places::new();
    let broker = places.broker(&["a", "b"]).await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    fill(&mut client, &topic, 2).await;
    broker.stop().await;
    places.broker(&["c"]).await.stop().await;
    assert!(refusal(&places, &["a", "c"]).await.contains("belongs to cluster"));
    // The metadata log is to be in another directory than it is.
    for names in [&["b", "a"][..], &["empty", "a", "b"]] {
        let refused = refusal(&places, names).await;
        assert!(refused.contains("the metadata log is missing or empty"), "{refused}");
    }
    let identity = places.path("b").join("meta.properties");
    let sound = fs::read(&identity).unwrap();
    fs::copy(places.path("a").join("meta.properties"), &identity).unwrap();
    assert!(refusal(&places, &["a", "b"]).await.contains("have the same directory.id"));
    fs::remove_file(&identity).unwrap();
    assert!(refusal(&places, &["a", "b"]).await.contains("it is missing although there is data"));
    fs::write(&identity, sound).unwrap();
    let [there, here] = ["b/t-1", "a/t-1"].map(|name| places.path(name));
    copy(&there, &here);
    let before = [tree(&there), tree(&here)];
    let refused = within(Server::start(places.config(&["a", "b"], &[]))).await.err().unwrap().to_string();
    assert!(refused.contains("the partition t-1 is in two data directories"), "{refused}");
    assert!(refused.contains("/a/t-1") && refused.contains("/b/t-1"), "{refused}");
    assert!([tree(&there), tree(&here)] == before);
    fs::remove_dir_all(here).unwrap();
    let broker = places.broker(&["a", "b"]).await;
    assert_filled(&mut broker.client().await, &topic, 0..2).await;
    broker.stop().await;
}

/// The error code of altering partition 0 of `topic` into the directory `name`.
async fn alter(client: &mut Client, places: &Places, topic: &str, name: &str) -> i16 {
    let partitions = AlterReplicaLogDirTopic::default().with_name(topic_name(topic)).with_partitions(vec![0]);
    let path = text(places.path(name).to_str().unwrap());
    let directory = AlterReplicaLogDir::default().with_path(path).with_topics(vec![partitions]);
    let response = client.ask(2, &AlterReplicaLogDirsRequest::default().with_dirs(vec![directory])).await;
    response.results[0].partitions[0].error_code
}

/// Waits until partition 0 of the only topic is in `name`, and nothing moves.
async fn until_moved(client: &mut Client, places: &Places, name: &str) {
    let moved = async {
        loop {
            let found: Vec<_> =
                described(client).await.into_iter().filter(|result| !result.topics.is_empty()).collect();
            if found.len() == 1 && *found[0].log_dir == *places.path(name).to_str().unwrap() {
                assert!(!found[0].topics[0].partitions[0].is_future_key);
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    within(moved).await;
}

/// Appends numbers until it is told to stop, each once, as an idempotent producer does; how many there are.
async fn produce_until(mut client: Client, topic: Topic, stop: tokio::sync::watch::Receiver<bool>) -> i32 {
    let padding = "x".repeat(2_000);
    let mut sequence = 0;
    while !*stop.borrow() {
        let value = format!("{sequence}-{padding}");
        let records = builder(&[&value]).producer(77, 0, sequence).build();
        let answer = client.produce(&topic, 0, records).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, i64::from(sequence)), "{:?}", answer.error_message);
        sequence += 1;
    }
    sequence
}

async fn assert_numbers(client: &mut Client, topic: &Topic, count: i32) {
    let mut offset = 0;
    while offset < i64::from(count) {
        let values = client.read(topic, 0, offset).await;
        assert!(!values.is_empty(), "nothing at {offset}");
        for value in values {
            assert!(value.starts_with(&format!("{offset}-")), "{offset}: {}", &value[..10]);
            offset += 1;
        }
    }
    assert_eq!(client.offset(topic, 0, -1).await, i64::from(count));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_moves_while_a_producer_runs_and_nothing_is_lost_or_doubled() {
    let places = Places::new();
    let broker = places.broker(&["a", "b", "c"]).await;
    let mut client = broker.client().await;
    // Each append is on the disk before it is acknowledged: that holds over a move, too.
    let configs = [("segment.bytes", "1048576"), ("flush.messages", "1")];
    let topic = client.create_topic("t", 1, &configs).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let producer = tokio::spawn(produce_until(broker.client().await, topic.clone(), stopped));
    until_moved(&mut client, &places, "a").await;
    for name in ["b", "c", "a", "b"] {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(alter(&mut client, &places, "t", name).await, 0);
        until_moved(&mut client, &places, name).await;
        assert_eq!(places.partitions(name), ["t-0"]);
    }
    stop.send(true).unwrap();
    let count = producer.await.unwrap();
    assert!(count > 100, "{count} appends are few");
    assert_numbers(&mut client, &topic, count).await;
    assert_eq!(alter(&mut client, &places, "t", "b").await, 0);
    assert_eq!(alter(&mut client, &places, "u", "b").await, UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(alter(&mut client, &places, "t", "nowhere").await, LOG_DIR_NOT_FOUND);
    broker.stop().await;
    assert!(places.path("b").join(".kafka_cleanshutdown").exists());
    let broker = places.broker(&["a", "b", "c"]).await;
    assert_numbers(&mut broker.client().await, &topic, count).await;
    broker.stop().await;
}

/// Of a move that a throttle holds up a client sees how far it is; a stop and a start change nothing about it.
#[tokio::test]
async fn a_move_is_seen_and_goes_on_after_a_restart() {
    let places = Places::new();
    let broker = places.broker(&["a", "b"]).await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 1, &[("segment.bytes", "1048576")]).await;
    let padding = "x".repeat(100_000);
    for number in 0..30 {
        client.append(&topic, 0, &[&format!("{number}-{padding}")]).await;
    }
    let rate = AlterableConfig::default().with_name(text(RATE)).with_value(Some(text("1000000")));
    let resource = AlterConfigsResource::default().with_resource_type(4).with_resource_name(text("1"));
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource.with_configs(vec![rate])]);
    assert_eq!(client.ask(1, &request).await.responses[0].error_code, 0);
    assert_eq!(alter(&mut client, &places, "t", "b").await, 0);
    let results = described(&mut client).await;
    let of = |result: &DescribeLogDirsResult| {
        let partition = &result.topics[0].partitions[0];
        (partition.is_future_key, partition.partition_size > 2_000_000, partition.offset_lag > 0)
    };
    assert_eq!([of(&results[0]), of(&results[1])], [(false, true, false), (true, false, true)]);
    broker.stop().await;
    let broker = places.broker(&["a", "b"]).await;
    let mut client = broker.client().await;
    until_moved(&mut client, &places, "b").await;
    assert_numbers(&mut client, &topic, 30).await;
    broker.stop().await;
}
