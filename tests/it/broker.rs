//! Whole brokers for the tests, in memory or on a directory, and a client that panics where a test has to fail.

use std::io;
use std::path::Path;
use std::sync::{Mutex, Once};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    self, CreateTopicsRequest, FetchRequest, FetchResponse, FindCoordinatorRequest, GroupId, ListOffsetsRequest,
    OffsetFetchRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use klamm::clock::Clock;
use klamm::config::Config;
use klamm::ids::Uuid;
use klamm::network::channel;
use klamm::protocol::record_batch::{BatchBuilder, batches};
use klamm::server::{Server, Surroundings};
use tokio::net::TcpStream;

use crate::server::{Peer, within};

/// The most that a batch may unpack to here.
const DECOMPRESSED_LIMIT: usize = 16 << 20;

/// The versions of Produce and Fetch that the tests use where it does not matter which.
pub(crate) const PRODUCE: i16 = 12;
pub(crate) const FETCH: i16 = 12;

const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;

/// What was logged as an ERROR, by any broker of this process: somebody would have to look at it.
static ERRORS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ErrorLog;

impl io::Write for ErrorLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ERRORS.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn listen_to_errors() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_ansi(false);
        log.with_writer(|| ErrorLog).init();
    });
}

/// A running broker.
pub(crate) struct Broker(pub(crate) Server);

impl Broker {
    /// A broker in memory.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A broker in memory with more configuration.
    pub(crate) async fn with(pairs: &[(&str, &str)]) -> Self {
        Self::configured(&[&[("klamm.storage.kind", "memory")], pairs].concat()).await
    }

    /// A broker whose data is in `directory`.
    pub(crate) async fn on(directory: &Path) -> Self {
        Self::configured(&[("log.dirs", directory.to_str().unwrap())]).await
    }

    /// A broker in memory whose time is `clock`'s.
    pub(crate) async fn at(clock: &Clock, pairs: &[(&str, &str)]) -> Self {
        listen_to_errors();
        let surroundings = Surroundings { clock: clock.clone(), ..Surroundings::default() };
        let config = config(&[&[("klamm.storage.kind", "memory")], pairs].concat());
        Self(within(Server::start_with(config, surroundings)).await.unwrap())
    }

    /// A broker with this configuration and nothing else.
    pub(crate) async fn configured(pairs: &[(&str, &str)]) -> Self {
        listen_to_errors();
        Self(within(Server::start(config(pairs))).await.unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.listeners()[0].1.port()
    }

    /// A connection that takes any bytes.
    pub(crate) async fn peer(&self) -> Peer {
        Peer(TcpStream::connect(("127.0.0.1", self.port())).await.unwrap())
    }

    pub(crate) async fn client(&self) -> Client {
        Client(channel::Channel::connect(("127.0.0.1", self.port()), "it").await.unwrap())
    }

    /// A client, and a topic to talk about.
    pub(crate) async fn client_with_topic(&self, name: &str, partitions: i32) -> (Client, Topic) {
        let mut client = self.client().await;
        let topic = client.create_topic(name, partitions, &[]).await;
        (client, topic)
    }

    /// Checks that the broker still answers, stops it, and checks that nobody listens any more and that no broker has
    /// logged an error.
    pub(crate) async fn stop(self) {
        let port = self.port();
        let answer = self.client().await.ask(0, &messages::ApiVersionsRequest::default()).await;
        assert_eq!(answer.error_code, 0);
        within(self.0.stop()).await.unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "it still listens");
        let errors = String::from_utf8_lossy(&ERRORS.lock().unwrap()).into_owned();
        assert!(errors.is_empty(), "{errors}");
    }
}

/// What `pairs` say, on a free port of this machine.
pub(crate) fn config(pairs: &[(&str, &str)]) -> Config {
    Config::with(&[&[("listeners", "PLAINTEXT://127.0.0.1:0")], pairs].concat()).unwrap()
}

/// A topic by both its names.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    pub(crate) id: Uuid,
}

impl Topic {
    /// A topic that is none.
    pub(crate) fn unknown(name: &str) -> Self {
        Self { name: topic_name(name), id: Uuid::from_u128(99) }
    }
}

/// A connection to a broker.
pub(crate) struct Client(pub(crate) channel::Channel);

impl Client {
    /// The answer to `request`, which must come.
    pub(crate) async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        match within(self.0.call_at(version, request)).await {
            Ok(response) => response,
            Err(error) => panic!("API {} v{version}: {error}", R::KEY),
        }
    }

    /// Checks that the broker closes the connection instead of answering `request`.
    pub(crate) async fn assert_closed_by<R: Request>(mut self, version: i16, request: &R) {
        let answer = within(self.0.call_at(version, request)).await;
        assert!(answer.is_err(), "API {} v{version} is answered", R::KEY);
    }

    pub(crate) async fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let topic = new_topic(name, partitions, 1).with_configs(configs.iter().map(topic_config).collect());
        let response = self.ask(7, &CreateTopicsRequest::default().with_topics(vec![topic])).await;
        assert_eq!(response.topics[0].error_code, 0, "{name}: {:?}", response.topics[0].error_message);
        Topic { name: topic_name(name), id: response.topics[0].topic_id }
    }

    /// Appends with acks=all.
    pub(crate) async fn produce(&mut self, topic: &Topic, partition: i32, records: Bytes) -> PartitionProduceResponse {
        let mut response = self.ask(PRODUCE, &produce(topic, partition, records)).await;
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Appends one batch with these values and returns its first offset.
    pub(crate) async fn append(&mut self, topic: &Topic, partition: i32, values: &[&str]) -> i64 {
        let answer = self.produce(topic, partition, batch(values)).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        answer.base_offset
    }

    /// What one partition has from `offset` on, without waiting.
    pub(crate) async fn fetch(&mut self, topic: &Topic, partition: i32, offset: i64) -> PartitionData {
        let mut response = self.ask(FETCH, &fetch(topic, &[(partition, offset)])).await;
        response.responses.remove(0).partitions.remove(0)
    }

    /// The values in one partition from `offset` on.
    pub(crate) async fn read(&mut self, topic: &Topic, partition: i32, offset: i64) -> Vec<String> {
        let found = self.fetch(topic, partition, offset).await;
        assert_eq!(found.error_code, 0);
        records(&found).into_iter().map(|(_, value)| value).collect()
    }

    /// The first (timestamp -2) or next (-1) offset of a partition.
    pub(crate) async fn offset(&mut self, topic: &Topic, partition: i32, timestamp: i64) -> i64 {
        let response = self.ask(6, &list_offsets(topic, partition, timestamp)).await;
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
        response.topics[0].partitions[0].offset
    }

    /// Waits until `group` has a coordinator, and that has loaded.
    pub(crate) async fn find_coordinator(&mut self, group: &str) {
        let found = self.ask(3, &FindCoordinatorRequest::default().with_key(text(group))).await;
        assert_eq!(found.error_code, 0);
        let nothing = OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(Some(vec![]));
        let load = async {
            while self.0.call_at(7, &nothing).await.unwrap().error_code == COORDINATOR_LOAD_IN_PROGRESS {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within(load).await;
    }
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

pub(crate) fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

pub(crate) fn new_topic(name: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
}

pub(crate) fn topic_config((name, value): &(&str, &str)) -> CreatableTopicConfig {
    CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
}

/// One batch of records without keys.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    builder(values).build()
}

/// A batch of records of this moment, to be changed. Producers whose records are old are soon forgotten.
pub(crate) fn builder(values: &[&str]) -> BatchBuilder {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut builder = BatchBuilder::new(now.as_millis() as i64);
    for value in values {
        builder.record(None, Some(value.as_bytes()));
    }
    builder
}

pub(crate) fn produce(topic: &Topic, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(topic.name.clone())
        .with_topic_id(topic.id)
        .with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![topic])
}

/// A fetch of some partitions from some offsets on that does not wait.
pub(crate) fn fetch(topic: &Topic, partitions: &[(i32, i64)]) -> FetchRequest {
    let partition = |&(partition, offset): &(i32, i64)| {
        FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(1 << 20)
    };
    let topic = FetchTopic::default()
        .with_topic(topic.name.clone())
        .with_topic_id(topic.id)
        .with_partitions(partitions.iter().map(partition).collect());
    FetchRequest::default().with_max_bytes(50 << 20).with_topics(vec![topic])
}

/// The same, but it waits for `min_bytes`.
pub(crate) fn long_poll(topic: &Topic, partitions: &[(i32, i64)], min_bytes: i32, max_wait_ms: i32) -> FetchRequest {
    fetch(topic, partitions).with_min_bytes(min_bytes).with_max_wait_ms(max_wait_ms)
}

pub(crate) fn list_offsets(topic: &Topic, partition: i32, timestamp: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(topic.name.clone()).with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

/// The offsets and values of the records in an answer; every batch must be whole and sound.
pub(crate) fn records(data: &PartitionData) -> Vec<(i64, String)> {
    let bytes = data.records.clone().unwrap_or_default();
    let mut found = Vec::new();
    for batch in batches(&bytes) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        for record in batch.records(DECOMPRESSED_LIMIT).unwrap() {
            let record = record.unwrap();
            let value = record.value.as_deref().unwrap_or_default();
            found.push((record.offset, String::from_utf8_lossy(value).into_owned()));
        }
    }
    found
}

/// The partitions of an answer with one topic: their indexes, error codes and values.
pub(crate) fn fetched(response: &FetchResponse) -> Vec<(i32, i16, Vec<String>)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let values = |data| records(data).into_iter().map(|(_, value)| value).collect();
    partitions.map(|data| (data.partition_index, data.error_code, values(data))).collect()
}
