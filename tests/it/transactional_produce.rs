//! Produce within transactions, and what readers see of it. Row B33 of the bad-input matrix.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    DeleteTopicsRequest, DescribeProducersRequest, IncrementalAlterConfigsRequest, ProduceRequest,
};
use klamm::ids::{ProducerIdAndEpoch, TopicPartition};
use klamm::protocol::control_records::{EndTransactionMarker, TransactionResult};
use klamm::protocol::record_batch::BatchBuilder;

use crate::broker::{Broker, Client, FETCH, Topic, builder, fetch, list_offsets, long_poll, produce, records, text};
use crate::server::within;
use crate::transactions::{Identity, V2, add, describe, end, find_coordinator, init, reach};

const NOT_ENOUGH_REPLICAS: i16 = 19;
const INVALID_REQUEST: i16 = 42;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
const TRANSACTION_ABORTABLE: i16 = 120;

/// The versions of Produce, and the newest one of transactions of version 1.
const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;
const V1: i16 = 11;

/// The newest EndTxn of transactions of version 1.
const END_V1: i16 = 4;

fn transactional(producer: Identity, sequence: i32, values: &[&str]) -> BatchBuilder {
    let mut batch = builder(values);
    batch.producer(producer.producer_id, producer.epoch, sequence).transactional();
    batch
}

fn request(id: Option<&str>, topic: &Topic, partition: i32, records: Bytes) -> ProduceRequest {
    produce(topic, partition, records).with_transactional_id(id.map(|id| text(id).into()))
}

/// The offset, or the error code.
fn outcome(answer: &PartitionProduceResponse) -> Result<i64, i16> {
    match answer.error_code {
        0 => Ok(answer.base_offset),
        code => {
            assert_eq!((answer.base_offset, answer.log_append_time_ms), (-1, -1));
            Err(code)
        }
    }
}

async fn ask(client: &mut Client, version: i16, request: &ProduceRequest) -> Result<i64, i16> {
    outcome(&client.ask(version, request).await.responses[0].partition_responses[0])
}

/// Produces to partition 0 as one of the producer's records.
async fn send(
    client: &mut Client,
    version: i16,
    producer: Identity,
    topic: &Topic,
    (sequence, values): (i32, &[&str]),
) -> Result<i64, i16> {
    let records = transactional(producer, sequence, values).build();
    ask(client, version, &request(Some(producer.id), topic, 0, records)).await
}

/// What a reader sees of partition 0 at this isolation level: the values without the markers, and its last stable offset.
async fn read(client: &mut Client, topic: &Topic, isolation_level: i8) -> (Vec<String>, i64) {
    let request = fetch(topic, &[(0, 0)]).with_isolation_level(isolation_level);
    let data = client.ask(FETCH, &request).await.responses.remove(0).partitions.remove(0);
    assert_eq!(data.error_code, 0);
    let values = records(&data).into_iter().map(|(_, value)| value).filter(|value| value.is_ascii());
    (values.filter(|value| !value.starts_with('\0')).collect(), data.last_stable_offset)
}

async fn latest(client: &mut Client, topic: &Topic, isolation_level: i8) -> i64 {
    let request = list_offsets(topic, 0, -1).with_isolation_level(isolation_level);
    client.ask(6, &request).await.topics[0].partitions[0].offset
}

async fn producer_state(client: &mut Client, topic: &Topic) -> ProducerState {
    let topic = TopicRequest::default().with_name(topic.name.clone()).with_partition_indexes(vec![0]);
    let mut response = client.ask(0, &DescribeProducersRequest::default().with_topics(vec![topic])).await;
    response.topics.remove(0).partitions.remove(0).active_producers.remove(0)
}

#[tokio::test]
async fn b33_who_has_no_such_transaction_writes_nothing() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let (mut client, topic) = broker.client_with_topic(&format!("t{version}"), 2).await;
        let producer = init(&mut client, "x").await;
        let batch = |producer: Identity| transactional(producer, 0, &["x"]).build();
        let stranger = Identity { producer_id: producer.producer_id + 1_000, ..producer };
        for (what, id, records, expected) in [
            ("no id", None, batch(producer), TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
            ("an empty id", Some(""), batch(producer), INVALID_REQUEST),
            ("an id that nobody has", Some("nobody"), batch(producer), INVALID_PRODUCER_ID_MAPPING),
            ("another producer", Some("x"), batch(stranger), INVALID_PRODUCER_ID_MAPPING),
            ("an older epoch", Some("x"), batch(producer.at(producer.epoch - 1)), INVALID_PRODUCER_EPOCH),
            ("a newer epoch", Some("x"), batch(producer.at(producer.epoch + 1)), INVALID_PRODUCER_EPOCH),
        ] {
            let outcome = ask(&mut client, version, &request(id, &topic, 0, records)).await;
            // An epoch of -1 is none, and its batch neither.
            assert_eq!(outcome, Err(expected), "{what}, v{version}");
        }
        let mut two = request(Some("x"), &topic, 0, batch(producer));
        let other = PartitionProduceData::default().with_index(1).with_records(Some(batch(stranger)));
        two.topic_data[0].partition_data.push(other);
        let response = client.ask(version, &two).await;
        let codes: Vec<_> = response.responses[0].partition_responses.iter().map(|answer| answer.error_code).collect();
        assert_eq!(codes, [INVALID_PRODUCER_ID_MAPPING; 2], "v{version}");
        if version <= V1 {
            let expected = if version <= 10 { INVALID_TXN_STATE } else { TRANSACTION_ABORTABLE };
            let outcome = send(&mut client, version, producer, &topic, (0, &["not added"])).await;
            assert_eq!(outcome, Err(expected), "v{version}");
        }
        assert_eq!(client.offset(&topic, 0, -1).await, 0, "v{version}");
        assert_eq!(client.offset(&topic, 1, -1).await, 0, "v{version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn b33_transactions_of_version_1_are_verified_at_every_version() {
    let broker = Broker::start().await;
    for version in 3..=V1 {
        let (mut client, topic) = broker.client_with_topic(&format!("t{version}"), 1).await;
        let producer = init(&mut client, "x").await;
        let partition = [(topic.name.as_str(), 0)];
        assert_eq!(add(&mut client, 3, producer, &partition).await, [0]);
        assert_eq!(send(&mut client, version, producer, &topic, (0, &["a", "b"])).await, Ok(0), "v{version}");
        assert_eq!(send(&mut client, version, producer, &topic, (2, &["c"])).await, Ok(2), "v{version}");
        assert_eq!(send(&mut client, version, producer, &topic, (2, &["c"])).await, Ok(2), "v{version}: a retry");
        let plain = builder(&["x"]).producer(producer.producer_id, producer.epoch, 3).build();
        let refused = ask(&mut client, version, &request(Some("x"), &topic, 0, plain)).await;
        assert_eq!(refused, Err(INVALID_TXN_STATE), "v{version}: outside of the transaction");
        assert_eq!(end(&mut client, END_V1, producer, true).await, Ok(producer));
        reach(&mut client, "x", "CompleteCommit").await;
        let finished = if version <= 10 { INVALID_TXN_STATE } else { TRANSACTION_ABORTABLE };
        assert_eq!(send(&mut client, version, producer, &topic, (3, &["x"])).await, Err(finished), "v{version}");
        assert_eq!(add(&mut client, 3, producer, &partition).await, [0]);
        assert_eq!(send(&mut client, version, producer, &topic, (3, &["d"])).await, Ok(4), "v{version}");
        assert_eq!(read(&mut client, &topic, 1).await, (vec!["a".into(), "b".into(), "c".into()], 4), "v{version}");
        assert_eq!(end(&mut client, END_V1, producer, true).await, Ok(producer));
        reach(&mut client, "x", "CompleteCommit").await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn produce_adds_its_partition_to_a_transaction_of_version_2() {
    let broker = Broker::start().await;
    for version in [12, 13] {
        let (mut client, topic) = broker.client_with_topic(&format!("t{version}"), 1).await;
        let mut producer = init(&mut client, "x").await;
        let mut offset = 0;
        // One follows the other at once: its predecessor's markers may be on their way yet.
        for commits in [true, false, true, true] {
            assert_eq!(send(&mut client, version, producer, &topic, (0, &["a", "b"])).await, Ok(offset));
            let described = describe(&mut client, "x").await;
            assert_eq!(described.transaction_state.as_str(), "Ongoing");
            assert_eq!(described.topics[0].topic, topic.name);
            assert_eq!(send(&mut client, version, producer, &topic, (2, &["c"])).await, Ok(offset + 2));
            let next = end(&mut client, V2, producer, commits).await.unwrap();
            assert_eq!(next, producer.at(producer.epoch + 1));
            reach(&mut client, "x", if commits { "CompleteCommit" } else { "CompleteAbort" }).await;
            let late = send(&mut client, version, producer, &topic, (3, &["late"])).await;
            assert_eq!(late, Err(INVALID_PRODUCER_EPOCH));
            let unsequenced = send(&mut client, version, next, &topic, (1, &["not the first"])).await;
            assert_eq!(unsequenced, Err(45));
            producer = next;
            offset += 4;
        }
        assert_eq!(end(&mut client, V2, producer, false).await.unwrap().epoch, producer.epoch + 1);
        let (values, last_stable_offset) = read(&mut client, &topic, 0).await;
        assert_eq!((values.len(), last_stable_offset >= offset), (12, true));
    }
    broker.stop().await;
}

#[tokio::test]
async fn readers_of_what_is_committed_stop_at_an_open_transaction_and_are_told_of_aborts() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let first = init(&mut client, "first").await;
    let second = init(&mut client, "second").await;
    client.append(&topic, 0, &["before"]).await;
    assert_eq!(send(&mut client, 12, first, &topic, (0, &["aborted"])).await, Ok(1));
    assert_eq!(send(&mut client, 12, second, &topic, (0, &["committed"])).await, Ok(2));
    client.append(&topic, 0, &["after"]).await;
    assert_eq!(read(&mut client, &topic, 1).await, (vec!["before".into()], 1));
    assert_eq!(read(&mut client, &topic, 0).await.0, ["before", "aborted", "committed", "after"]);
    assert_eq!((latest(&mut client, &topic, 1).await, latest(&mut client, &topic, 0).await), (1, 4));
    let known = producer_state(&mut client, &topic).await;
    assert_eq!((known.producer_id.0, known.current_txn_start_offset), (first.producer_id, 1));
    assert_eq!((known.coordinator_epoch, known.last_sequence), (-1, 0));

    end(&mut client, V2, second, true).await.unwrap();
    reach(&mut client, "second", "CompleteCommit").await;
    assert_eq!(latest(&mut client, &topic, 1).await, 1, "the older one is open");
    let mut consumer = broker.client().await;
    let poll = long_poll(&topic, &[(0, 1)], 1, 60_000).with_isolation_level(1);
    let ticket = within(consumer.0.send(FETCH, &poll)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    end(&mut client, V2, first, false).await.unwrap();
    let woken = within(consumer.0.receive(ticket)).await.unwrap().responses.remove(0).partitions.remove(0);
    reach(&mut client, "first", "CompleteAbort").await;
    assert_eq!((woken.error_code, woken.last_stable_offset), (0, 6));
    let aborted = woken.aborted_transactions.unwrap();
    let aborted: Vec<_> = aborted.iter().map(|aborted| (aborted.producer_id.0, aborted.first_offset)).collect();
    assert_eq!(aborted, [(first.producer_id, 1)]);
    assert_eq!((latest(&mut client, &topic, 1).await, latest(&mut client, &topic, 0).await), (6, 6));
    let known = producer_state(&mut client, &topic).await;
    assert_eq!((known.current_txn_start_offset, known.coordinator_epoch), (-1, 0));
    assert_eq!(known.producer_epoch, i32::from(first.epoch) + 1);
    broker.stop().await;
}

/// Whoever asks waits, and what the same connection sends meanwhile comes behind it.
#[tokio::test]
async fn the_appends_of_a_connection_keep_their_order() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let mut producer = init(&mut client, "x").await;
    for round in 0..5 {
        let mut tickets = Vec::new();
        for sequence in 0..20 {
            let value = format!("{sequence}");
            let records = transactional(producer, sequence, &[&value]).build();
            let request = request(Some("x"), &topic, 0, records);
            tickets.push(within(client.0.send(12, &request)).await.unwrap());
        }
        for (ticket, sequence) in tickets.into_iter().zip(0..) {
            let response = within(client.0.receive(ticket)).await.unwrap();
            let offset = outcome(&response.responses[0].partition_responses[0]);
            assert_eq!(offset, Ok(round * 21 + sequence), "round {round}");
        }
        producer = end(&mut client, V2, producer, true).await.unwrap();
        reach(&mut client, "x", "CompleteCommit").await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn without_acks_what_is_refused_closes_the_connection() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let producer = init(&mut client, "x").await;
    let records = transactional(producer, 0, &["x"]).build();
    for (version, id) in [(12, None), (12, Some("nobody")), (11, Some("x"))] {
        let mut other = broker.client().await;
        let ticket = within(other.0.send(version, &request(id, &topic, 0, records.clone()).with_acks(0))).await;
        assert!(within(other.0.receive(ticket.unwrap())).await.is_err(), "v{version} {id:?}");
    }
    let _unanswered = within(client.0.send(12, &request(Some("x"), &topic, 0, records).with_acks(0))).await.unwrap();
    let mut other = broker.client().await;
    let appended = async {
        while other.offset(&topic, 0, -1).await == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(appended).await;
    broker.stop().await;
}

#[tokio::test]
async fn without_verification_nobody_is_asked_about_transactions_of_version_1() {
    let broker = Broker::with(&[("transaction.partition.verification.enable", "false")]).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let producer = init(&mut client, "x").await;
    assert_eq!(send(&mut client, V1, producer, &topic, (0, &["not added"])).await, Ok(0));
    assert_eq!(describe(&mut client, "x").await.transaction_state.as_str(), "Empty");
    let other = init(&mut client, "y").await;
    assert_eq!(send(&mut client, 12, other, &topic, (0, &["added"])).await, Ok(1));
    assert_eq!(describe(&mut client, "y").await.transaction_state.as_str(), "Ongoing");
    broker.stop().await;
}

#[tokio::test]
async fn verification_changes_while_the_broker_runs() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let producer = init(&mut client, "x").await;
    let key = "transaction.partition.verification.enable";
    assert_eq!(send(&mut client, V1, producer, &topic, (0, &["a"])).await, Err(TRANSACTION_ABORTABLE));
    let config = AlterableConfig::default().with_name(text(key)).with_value(Some(text("false")));
    // 4 is a broker, and without a name all.
    let resource = AlterConfigsResource::default().with_resource_type(4).with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    assert_eq!(client.ask(1, &request).await.responses[0].error_code, 0);
    assert_eq!(send(&mut client, V1, producer, &topic, (0, &["a"])).await, Ok(0));
    broker.stop().await;
}

/// A producer whose last transaction is ending for as long as there is the topic "stuck", which takes its coordinator for a
/// fenced one. Also a topic for the next one.
async fn ending(broker: &Broker) -> (Client, Identity, Topic, Topic) {
    let (mut client, stuck) = broker.client_with_topic("stuck", 1).await;
    let other = client.create_topic("other", 1, &[]).await;
    let producer = init(&mut client, "x").await;
    let id = ProducerIdAndEpoch { producer_id: producer.producer_id, producer_epoch: producer.epoch };
    let marker = EndTransactionMarker { result: TransactionResult::Commit, coordinator_epoch: 5 };
    broker.0.broker().write_marker(&TopicPartition::new("stuck", 0), id, marker).await.unwrap();
    assert_eq!(send(&mut client, 12, producer, &stuck, (0, &["a"])).await, Ok(1));
    let next = end(&mut client, V2, producer, true).await.unwrap();
    (client, next, stuck, other)
}

#[tokio::test]
async fn while_the_last_transaction_is_ending_the_client_tries_again() {
    let broker = Broker::start().await;
    let (mut client, next, _stuck, other) = ending(&broker).await;
    for version in VERSIONS {
        let expected = if version >= 12 { CONCURRENT_TRANSACTIONS } else { NOT_ENOUGH_REPLICAS };
        assert_eq!(send(&mut client, version, next, &other, (0, &["b"])).await, Err(expected), "v{version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn until_the_last_transaction_has_ended_the_next_one_waits_a_moment() {
    let broker = Broker::with(&[("add.partitions.to.txn.retry.backoff.max.ms", "60000")]).await;
    let (mut client, next, stuck, other) = ending(&broker).await;
    let mut waiting = broker.client().await;
    let records = transactional(next, 0, &["b"]).build();
    let ticket = within(waiting.0.send(12, &request(Some("x"), &other, 0, records))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.offset(&other, 0, -1).await, 0);
    let deletion = DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(vec![stuck.name.clone()]);
    assert_eq!(client.ask(5, &deletion).await.responses[0].error_code, 0);
    let response = within(waiting.0.receive(ticket)).await.unwrap();
    assert_eq!(outcome(&response.responses[0].partition_responses[0]), Ok(0));
    broker.stop().await;
}

#[tokio::test]
async fn an_open_transaction_goes_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let producer = init(&mut client, "x").await;
    assert_eq!(send(&mut client, 12, producer, &topic, (0, &["a"])).await, Ok(0));
    broker.stop().await;

    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    assert_eq!(latest(&mut client, &topic, 1).await, 0, "it is open yet");
    assert_eq!(send(&mut client, 12, producer, &topic, (0, &["a"])).await, Ok(0), "a retry");
    assert_eq!(send(&mut client, 12, producer, &topic, (1, &["b"])).await, Ok(1));
    find_coordinator(&mut client, "x").await;
    reach(&mut client, "x", "Ongoing").await;
    end(&mut client, V2, producer, true).await.unwrap();
    reach(&mut client, "x", "CompleteCommit").await;
    assert_eq!(read(&mut client, &topic, 1).await, (vec!["a".into(), "b".into()], 3));
    broker.stop().await;
}
