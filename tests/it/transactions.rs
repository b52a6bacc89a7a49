//! Transactions over the wire: their coordinator, and the markers that it has written. Rows B45 and B46 of the bad-input
//! matrix.

use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    DescribeTransactionsRequest, EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest, InitProducerIdResponse,
};
use klamm::clock::Clock;
use klamm::coordinator::partition_for;
use klamm::ids::{TRANSACTION_STATE_TOPIC, TopicPartition};
use klamm::network::channel::Channel;
use klamm::protocol::control_records::{EndTransactionMarker, TransactionResult};
use klamm::protocol::coordinator_records::EncodedRecord;
use klamm::protocol::record_batch::{RecordBatch, batches};
use klamm::protocol::transaction_records::{self, TransactionLogValue, TransactionRecord};

use crate::broker::{Broker, Client, Topic, builder, group_id, text, topic_name};
use crate::configs::{OF_TOPIC, TOPIC};
use crate::server::within;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const NOT_COORDINATOR: i16 = 16;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const INVALID_REQUEST: i16 = 42;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const INVALID_TRANSACTION_TIMEOUT: i16 = 50;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const OPERATION_NOT_ATTEMPTED: i16 = 55;
const PRODUCER_FENCED: i16 = 90;
const TRANSACTIONAL_ID_NOT_FOUND: i16 = 105;
const TRANSACTION_ABORTABLE: i16 = 120;

/// The newest versions of transactions of version 1, and of version 2.
const V1: i16 = 3;
pub(crate) const V2: i16 = 5;

/// A producer as it believes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: &'static str,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

impl Identity {
    pub(crate) fn at(self, epoch: i16) -> Self {
        Self { epoch, ..self }
    }
}

fn init_request(id: &str) -> InitProducerIdRequest {
    InitProducerIdRequest::default().with_transactional_id(Some(text(id).into())).with_transaction_timeout_ms(60_000)
}

/// Makes a new producer of `id`, as its clients do.
pub(crate) async fn init(client: &mut Client, id: &'static str) -> Identity {
    find_coordinator(client, id).await;
    let attempts = async {
        loop {
            let InitProducerIdResponse { error_code, producer_id, producer_epoch, .. } =
                client.ask(5, &init_request(id)).await;
            match error_code {
                0 => return Identity { id, producer_id: producer_id.0, epoch: producer_epoch },
                COORDINATOR_LOAD_IN_PROGRESS | CONCURRENT_TRANSACTIONS => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                code => panic!("{id}: {code}"),
            }
        }
    };
    within(attempts).await
}

pub(crate) async fn find_coordinator(client: &mut Client, id: &str) {
    let request = FindCoordinatorRequest::default().with_key(text(id)).with_key_type(1);
    assert_eq!(client.ask(3, &request).await.error_code, 0);
}

fn topics(partitions: &[(&str, i32)]) -> Vec<AddPartitionsToTxnTopic> {
    let topic = |&(name, partition): &(&str, i32)| {
        AddPartitionsToTxnTopic::default().with_name(topic_name(name)).with_partitions(vec![partition])
    };
    partitions.iter().map(topic).collect()
}

fn transaction(producer: Identity, partitions: &[(&str, i32)]) -> AddPartitionsToTxnTransaction {
    AddPartitionsToTxnTransaction::default()
        .with_transactional_id(text(producer.id).into())
        .with_producer_id(producer.producer_id.into())
        .with_producer_epoch(producer.epoch)
        .with_topics(topics(partitions))
}

pub(crate) fn add_request(version: i16, producer: Identity, partitions: &[(&str, i32)]) -> AddPartitionsToTxnRequest {
    let request = AddPartitionsToTxnRequest::default();
    if version >= 4 {
        return request.with_transactions(vec![transaction(producer, partitions)]);
    }
    request
        .with_v3_and_below_transactional_id(text(producer.id).into())
        .with_v3_and_below_producer_id(producer.producer_id.into())
        .with_v3_and_below_producer_epoch(producer.epoch)
        .with_v3_and_below_topics(topics(partitions))
}

/// Adds partitions to a transaction; the error code of each.
pub(crate) async fn add(client: &mut Client, version: i16, producer: Identity, partitions: &[(&str, i32)]) -> Vec<i16> {
    let response = client.ask(version, &add_request(version, producer, partitions)).await;
    assert_eq!(response.error_code, 0);
    let results = response.results_by_transaction.into_iter().flat_map(|result| {
        assert_eq!(result.transactional_id.as_str(), producer.id);
        result.topic_results
    });
    let topics = results.chain(response.results_by_topic_v3_and_below);
    topics.flat_map(|topic| topic.results_by_partition).map(|result| result.partition_error_code).collect()
}

pub(crate) fn end_request(producer: Identity, commits: bool) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(text(producer.id).into())
        .with_producer_id(producer.producer_id.into())
        .with_producer_epoch(producer.epoch)
        .with_committed(commits)
}

/// Ends a transaction; who the producer is afterwards, or the error code.
pub(crate) async fn end(client: &mut Client, version: i16, producer: Identity, commits: bool) -> Result<Identity, i16> {
    let response = client.ask(version, &end_request(producer, commits)).await;
    let next = (response.producer_id.0, response.producer_epoch);
    if response.error_code != 0 || version < V2 {
        assert_eq!(next, (-1, -1));
    }
    match response.error_code {
        0 if version < V2 => Ok(producer),
        0 => Ok(Identity { producer_id: next.0, epoch: next.1, ..producer }),
        code => Err(code),
    }
}

pub(crate) async fn describe(client: &mut Client, id: &str) -> TransactionState {
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![text(id).into()]);
    client.ask(0, &request).await.transaction_states.remove(0)
}

/// Waits until the id's transaction is in `state`.
pub(crate) async fn reach(client: &mut Client, id: &str, state: &str) -> TransactionState {
    let reached = async {
        loop {
            let described = describe(client, id).await;
            if described.transaction_state.as_str() == state {
                return described;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(reached).await
}

/// The markers in a partition: how each transaction ended, of whom, and its coordinator's epoch.
pub(crate) async fn markers(
    client: &mut Client,
    topic: &Topic,
    partition: i32,
) -> Vec<(TransactionResult, i64, i16, i32)> {
    let bytes = client.fetch(topic, partition, 0).await.records.unwrap_or_default();
    let batches: Vec<_> = batches(&bytes).map(Result::unwrap).filter(|batch| batch.header.is_control()).collect();
    let marker = |batch: &RecordBatch| {
        batch.verify_crc().unwrap();
        assert!(batch.header.is_transactional());
        let marker = EndTransactionMarker::parse(batch.payload()).unwrap();
        (marker.result, batch.header.producer_id, batch.header.producer_epoch, marker.coordinator_epoch)
    };
    batches.iter().map(marker).collect()
}

#[tokio::test]
async fn the_coordinator_is_found_at_every_version_and_nobody_makes_its_topic_before() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let has_topic = || broker.0.broker().image().topic(TRANSACTION_STATE_TOPIC).is_some();
    let init = client.ask(5, &init_request("x")).await;
    assert_eq!((init.error_code, init.producer_id.0, init.producer_epoch), (NOT_COORDINATOR, -1, -1));
    assert!(!has_topic());
    let port = i32::from(broker.port());
    for version in 1..=3 {
        let request = FindCoordinatorRequest::default().with_key(text("x")).with_key_type(1);
        let found = client.ask(version, &request).await;
        assert_eq!((found.error_code, found.node_id.0, found.port), (0, 1, port), "v{version}");
    }
    for version in 4..=6 {
        let request = FindCoordinatorRequest::default().with_key_type(1);
        let found = client.ask(version, &request.with_coordinator_keys(vec![text("x"), text("y")])).await.coordinators;
        let keys: Vec<_> = found.iter().map(|each| (each.key.as_str(), each.error_code, each.port)).collect();
        assert_eq!(keys, [("x", 0, port), ("y", 0, port)], "v{version}");
    }
    assert!(has_topic());
    let resource =
        DescribeConfigsResource::default().with_resource_type(TOPIC).with_resource_name(text(TRANSACTION_STATE_TOPIC));
    let described = client.ask(4, &DescribeConfigsRequest::default().with_resources(vec![resource])).await;
    let is_of_topic = |config: &&DescribeConfigsResourceResult| config.config_source == OF_TOPIC;
    let mut configs: Vec<_> = described.results[0].configs.iter().filter(is_of_topic).collect();
    configs.sort_by_key(|config| config.name.to_string());
    let configs: Vec<_> = configs.iter().map(|config| (config.name.as_str(), config.value.as_deref())).collect();
    assert_eq!(
        configs,
        [
            ("cleanup.policy", Some("compact")),
            ("compression.type", Some("uncompressed")),
            ("min.insync.replicas", Some("1")),
            ("segment.bytes", Some("104857600")),
            ("unclean.leader.election.enable", Some("false")),
        ]
    );
    broker.stop().await;
}

#[tokio::test]
async fn b45_transactional_ids_get_producers_at_every_version() {
    let broker = Broker::with(&[("transaction.max.timeout.ms", "100000")]).await;
    let mut client = broker.client().await;
    let mut ids = Vec::new();
    for version in 0..=5 {
        let id = format!("x{version}");
        find_coordinator(&mut client, &id).await;
        for (timeout_ms, expected) in [
            (0, INVALID_TRANSACTION_TIMEOUT),
            (-1, INVALID_TRANSACTION_TIMEOUT),
            (i32::MAX, INVALID_TRANSACTION_TIMEOUT),
            (100_001, INVALID_TRANSACTION_TIMEOUT),
            (100_000, 0),
            (1, 0),
        ] {
            let response = client.ask(version, &init_request(&id).with_transaction_timeout_ms(timeout_ms)).await;
            assert_eq!(response.error_code, expected, "v{version} {timeout_ms}");
            if expected != 0 {
                assert_eq!((response.producer_id.0, response.producer_epoch), (-1, -1), "v{version}");
            } else {
                ids.push((response.producer_id.0, response.producer_epoch));
            }
        }
        assert_eq!(client.ask(version, &init_request("")).await.error_code, INVALID_REQUEST, "v{version}");
        let long = "x".repeat(i16::MAX as usize);
        assert_eq!(client.ask(version, &init_request(&long)).await.error_code, 0, "v{version}");
        if version >= 2 {
            let longer = client.ask(version, &init_request(&format!("{long}x"))).await;
            assert_eq!(longer.error_code, INVALID_REQUEST, "v{version}");
        }
        if version >= 3 {
            going_on(&mut client, version, &id).await;
        }
    }
    // The id that is as long as can be took one more.
    let expected: Vec<_> = [0, 2, 3, 4, 5, 6].into_iter().flat_map(|id| [(id, 0), (id, 1)]).collect();
    assert_eq!(ids, expected);
    broker.stop().await;
}

/// A producer that goes on after an error (KIP-360), whose epoch is 1.
async fn going_on(client: &mut Client, version: i16, id: &str) {
    let current = client.ask(version, &init_request(id)).await;
    let mut ask = async |producer_id: i64, epoch| {
        let request = init_request(id).with_producer_id(producer_id.into()).with_producer_epoch(epoch);
        let response = client.ask(version, &request).await;
        (response.error_code, response.producer_epoch)
    };
    let producer_id = current.producer_id.0;
    let fenced = if version >= 4 { PRODUCER_FENCED } else { INVALID_PRODUCER_EPOCH };
    assert_eq!(current.producer_epoch, 2, "v{version}");
    assert_eq!(ask(producer_id, 2).await, (0, 3), "v{version}");
    assert_eq!(ask(producer_id, 2).await, (0, 3), "v{version}: a retry");
    assert_eq!(ask(producer_id, 1).await, (fenced, -1), "v{version}");
    assert_eq!(ask(producer_id + 100, 3).await, (fenced, -1), "v{version}");
    assert_eq!(ask(producer_id, -1).await, (INVALID_REQUEST, -1), "v{version}");
    assert_eq!(ask(-1, 3).await, (INVALID_REQUEST, -1), "v{version}");
}

#[tokio::test]
async fn transactions_end_with_markers_at_every_version() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 3).await;
    let producer = init(&mut client, "x").await;
    let mut expected = Vec::new();
    let all = [("t", 0), ("t", 1)];
    for (commits, result) in [(true, TransactionResult::Commit), (false, TransactionResult::Abort)] {
        for version in 0..=4 {
            assert_eq!(add(&mut client, version.min(V1), producer, &all[..1]).await, [0], "v{version}");
            assert_eq!(add(&mut client, version.min(V1), producer, &all).await, [0, 0], "v{version}");
            let described = describe(&mut client, "x").await;
            assert_eq!(described.transaction_state.as_str(), "Ongoing");
            assert_eq!(end(&mut client, version, producer, commits).await, Ok(producer), "v{version}");
            let state = if commits { "CompleteCommit" } else { "CompleteAbort" };
            reach(&mut client, "x", state).await;
            assert_eq!(end(&mut client, version, producer, commits).await, Ok(producer), "v{version}: a retry");
            assert_eq!(end(&mut client, version, producer, !commits).await, Err(INVALID_TXN_STATE), "v{version}");
            expected.push((result, producer.producer_id, producer.epoch, 0));
        }
    }
    let mut current = producer;
    for (commits, result) in [(true, TransactionResult::Commit), (false, TransactionResult::Abort)] {
        assert_eq!(add(&mut client, V2, current, &all).await, [0, 0]);
        let next = current.at(current.epoch + 1);
        assert_eq!(end(&mut client, V2, current, commits).await, Ok(next));
        reach(&mut client, "x", if commits { "CompleteCommit" } else { "CompleteAbort" }).await;
        assert_eq!(end(&mut client, V2, current, commits).await, Ok(next), "a retry");
        expected.push((result, next.producer_id, next.epoch, 0));
        current = next;
    }
    for partition in 0..2 {
        assert_eq!(markers(&mut client, &topic, partition).await, expected, "partition {partition}");
    }
    assert_eq!(markers(&mut client, &topic, 2).await, []);
    broker.stop().await;
}

#[tokio::test]
async fn b46_who_is_not_the_producer_is_refused() {
    let broker = Broker::start().await;
    let (mut client, _topic) = broker.client_with_topic("t", 1).await;
    let producer = init(&mut client, "x").await;
    let partition = [("t", 0)];
    let stranger = Identity { producer_id: producer.producer_id + 100, ..producer };
    let nobody = Identity { id: "nobody", ..producer };
    for version in 0..=5 {
        let fenced = if version >= 2 { PRODUCER_FENCED } else { INVALID_PRODUCER_EPOCH };
        for (asking, expected) in [
            (producer.at(1), fenced),
            (producer.at(-1), fenced),
            (stranger, INVALID_PRODUCER_ID_MAPPING),
            (nobody, INVALID_PRODUCER_ID_MAPPING),
            (Identity { id: "", ..producer }, INVALID_REQUEST),
        ] {
            assert_eq!(add(&mut client, version, asking, &partition).await, [expected], "v{version} {asking:?}");
            assert_eq!(end(&mut client, version, asking, true).await, Err(expected), "v{version} {asking:?}");
            if version <= 4 {
                let added = add_offsets(&mut client, version, asking).await;
                assert_eq!(added, expected, "v{version} {asking:?}");
            }
        }
        let expected = [OPERATION_NOT_ATTEMPTED, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_OR_PARTITION];
        let missing = [("t", 0), ("t", 1), ("u", 0)];
        assert_eq!(add(&mut client, version, producer, &missing).await, expected, "v{version}");
        assert_eq!(end(&mut client, version, producer, true).await, Err(INVALID_TXN_STATE), "v{version}: none");
    }
    for version in 0..=V1 {
        let internal = [(TRANSACTION_STATE_TOPIC, 0)];
        assert_eq!(add(&mut client, version, producer, &internal).await, [TOPIC_AUTHORIZATION_FAILED], "v{version}");
    }
    assert_eq!(describe(&mut client, "x").await.transaction_state.as_str(), "Empty");
    assert_eq!(describe(&mut client, "nobody").await.error_code, TRANSACTIONAL_ID_NOT_FOUND);
    assert_eq!(describe(&mut client, "").await.error_code, INVALID_REQUEST);
    broker.stop().await;
}

async fn add_offsets(client: &mut Client, version: i16, producer: Identity) -> i16 {
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(text(producer.id).into())
        .with_producer_id(producer.producer_id.into())
        .with_producer_epoch(producer.epoch)
        .with_group_id(group_id("g"));
    client.ask(version, &request).await.error_code
}

#[tokio::test]
async fn offsets_become_part_of_a_transaction_before_their_topic_is_there() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let producer = init(&mut client, "x").await;
    for version in 0..=4 {
        assert_eq!(add_offsets(&mut client, version, producer).await, 0, "v{version}");
        let described = describe(&mut client, "x").await;
        let topics: Vec<_> =
            described.topics.iter().map(|topic| (topic.topic.as_str(), topic.partitions.as_slice())).collect();
        // The hash of "g" is 103.
        assert_eq!(topics, [("__consumer_offsets", &[103 % 50][..])], "v{version}");
        assert_eq!(end(&mut client, 4, producer, true).await, Ok(producer), "v{version}");
        reach(&mut client, "x", "CompleteCommit").await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn brokers_ask_for_several_transactions_at_once() {
    let broker = Broker::start().await;
    let (mut client, _topic) = broker.client_with_topic("t", 2).await;
    let (x, y) = (init(&mut client, "x").await, init(&mut client, "y").await);
    for version in 4..=5 {
        assert_eq!(add(&mut client, version, x, &[("t", 0)]).await, [0]);
        let request = AddPartitionsToTxnRequest::default().with_transactions(vec![
            transaction(x, &[("t", 0), ("t", 1)]).with_verify_only(true),
            transaction(y, &[("t", 1)]).with_verify_only(true),
            transaction(y.at(9), &[("t", 1)]).with_verify_only(true),
        ]);
        let response = client.ask(version, &request).await;
        let results = response.results_by_transaction.iter().map(|result| {
            let topics = result.topic_results.iter().flat_map(|topic| &topic.results_by_partition);
            let partitions = topics.map(|partition| (partition.partition_index, partition.partition_error_code));
            (result.transactional_id.to_string(), partitions.collect::<Vec<_>>())
        });
        let expected = [
            ("x".to_owned(), vec![(0, 0), (1, TRANSACTION_ABORTABLE)]),
            ("y".to_owned(), vec![(1, TRANSACTION_ABORTABLE)]),
            ("y".to_owned(), vec![(1, PRODUCER_FENCED)]),
        ];
        assert_eq!(results.collect::<Vec<_>>(), expected, "v{version}");
        assert_eq!(client.ask(version, &AddPartitionsToTxnRequest::default()).await.results_by_transaction, []);
    }
    broker.stop().await;
}

/// Who stopped between the decision and its end: the record alone tells that the transaction is committed.
#[tokio::test]
async fn a_decided_transaction_ends_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    let producer = init(&mut client, "x").await;
    for partitions in [&[("t", 0)][..], &[("t", 1), ("gone", 0)], &[]] {
        decide(&broker, producer, partitions).await;
    }
    broker.stop().await;

    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    find_coordinator(&mut client, "x").await;
    let mut expected = Vec::new();
    for id in ["decided-0", "decided-1", "decided-2"] {
        let described = reach(&mut client, id, "CompleteCommit").await;
        let next = (described.producer_id.0, described.producer_epoch);
        assert_eq!(next, (producer.producer_id, producer.epoch + 1));
        // The first leadership has ended, and the coordinator is in its next one.
        expected.push((TransactionResult::Commit, next.0, next.1, 2));
    }
    assert_eq!(markers(&mut client, &topic, 0).await, expected[..1]);
    assert_eq!(markers(&mut client, &topic, 1).await, expected[..1]);
    assert_eq!(add(&mut client, V2, producer, &[("t", 0)]).await, [0], "what was not decided is as it was");
    broker.stop().await;
}

/// Writes that a transaction with so many partitions is committed, as its coordinator does.
async fn decide(broker: &Broker, producer: Identity, partitions: &[(&str, i32)]) {
    let transactional_id = format!("decided-{}", partitions.len());
    let value = TransactionLogValue {
        producer_id: producer.producer_id,
        previous_producer_id: -1,
        next_producer_id: -1,
        producer_epoch: producer.epoch + 1,
        timeout_ms: 60_000,
        state: transaction_records::TransactionState::PrepareCommit,
        partitions: partitions.iter().map(|&(topic, partition)| TopicPartition::new(topic, partition)).collect(),
        last_update_ms: 1,
        start_ms: 1,
        client_transaction_version: 2,
    };
    let record = TransactionRecord { transactional_id: transactional_id.as_str().into(), value: Some(value) };
    let EncodedRecord { key, value } = record.encode().unwrap();
    let mut batch = builder(&[]);
    batch.record(Some(&key), value.as_deref());
    // That is what Kafka's own tools are called.
    let channel = Channel::connect(("127.0.0.1", broker.port()), "__admin_client").await.unwrap();
    let image = broker.0.broker().image();
    let topic = image.topic(TRANSACTION_STATE_TOPIC).unwrap();
    let partition = partition_for(&transactional_id, topic.partitions.len() as i32);
    let topic = Topic { name: topic_name(&topic.name), id: topic.id };
    assert_eq!(Client(channel).produce(&topic, partition, batch.build()).await.error_code, 0);
}

#[tokio::test]
async fn a_topic_that_is_gone_needs_no_marker() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let producer = init(&mut client, "x").await;
    assert_eq!(add(&mut client, V2, producer, &[("t", 0)]).await, [0]);
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic.name.clone()]).with_timeout_ms(5_000);
    assert_eq!(client.ask(5, &delete).await.responses[0].error_code, 0);
    end(&mut client, V2, producer, true).await.unwrap();
    reach(&mut client, "x", "CompleteCommit").await;
    broker.stop().await;
}

#[tokio::test]
async fn a_new_producer_aborts_the_old_ones_transaction() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let old = init(&mut client, "x").await;
    assert_eq!(add(&mut client, V2, old, &[("t", 0)]).await, [0]);
    let new = init(&mut client, "x").await;
    assert_eq!((new.producer_id, new.epoch), (old.producer_id, 2));
    assert_eq!(markers(&mut client, &topic, 0).await, [(TransactionResult::Abort, old.producer_id, 1, 0)]);
    assert_eq!(add(&mut client, V2, old, &[("t", 0)]).await, [PRODUCER_FENCED]);
    assert_eq!(end(&mut client, V2, old, true).await, Err(PRODUCER_FENCED));
    broker.stop().await;
}

#[tokio::test]
async fn what_takes_too_long_is_aborted_and_who_is_not_seen_for_long_is_forgotten() {
    let clock = Clock::manual(1_700_000_000_000);
    let broker = Broker::at(&clock, &[]).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let producer = init(&mut client, "x").await;
    assert_eq!(add(&mut client, V2, producer, &[("t", 0)]).await, [0]);
    clock.advance(Duration::from_secs(59));
    assert_eq!(describe(&mut client, "x").await.transaction_state.as_str(), "Ongoing");
    clock.advance(Duration::from_secs(12));
    reach(&mut client, "x", "CompleteAbort").await;
    assert_eq!(markers(&mut client, &topic, 0).await, [(TransactionResult::Abort, producer.producer_id, 1, 0)]);
    assert_eq!(end(&mut client, 4, producer, true).await, Err(PRODUCER_FENCED));
    // `transactional.id.expiration.ms`, and an hour until that is looked at; connections do not last as long.
    clock.advance(Duration::from_hours(7 * 24 + 1));
    let mut client = broker.client().await;
    let forgotten = async {
        while describe(&mut client, "x").await.error_code != TRANSACTIONAL_ID_NOT_FOUND {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(forgotten).await;
    assert!(init(&mut client, "x").await.producer_id > producer.producer_id);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_producers_have_many_transactions() {
    const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const TRANSACTIONS: i16 = 50;
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 4).await;
    let mut producers = Vec::new();
    for id in IDS {
        let mut client = broker.client().await;
        producers.push(tokio::spawn(async move {
            let mut current = init(&mut client, id).await;
            for number in 0..TRANSACTIONS {
                let partitions = [("t", 0), ("t", 1), ("t", 2), ("t", 3)];
                let added = async {
                    while add(&mut client, V2, current, &partitions).await != [0; 4] {
                        tokio::task::yield_now().await;
                    }
                };
                within(added).await;
                let next = end(&mut client, V2, current, number % 2 == 0).await.unwrap();
                assert_eq!(next, current.at(current.epoch + 1));
                current = next;
            }
            reach(&mut client, id, "CompleteAbort").await;
            current.producer_id
        }));
    }
    for producer in producers {
        let producer_id = producer.await.unwrap();
        for partition in 0..4 {
            let markers = markers(&mut client, &topic, partition).await.into_iter();
            let own: Vec<_> =
                markers.filter(|marker| marker.1 == producer_id).map(|marker| (marker.0, marker.2)).collect();
            let expected = (1..=TRANSACTIONS).map(|epoch| {
                let result = if epoch % 2 == 1 { TransactionResult::Commit } else { TransactionResult::Abort };
                (result, epoch)
            });
            assert_eq!(own, expected.collect::<Vec<_>>());
        }
    }
    broker.stop().await;
}
