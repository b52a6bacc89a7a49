//! Row B32 of the bad-input matrix: idempotent producers over the wire.

use bytes::Bytes;
use kafka_protocol::messages::InitProducerIdRequest;

use crate::broker::{Broker, Client, Topic, builder, produce};

const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;

pub(crate) async fn new_producer_id(client: &mut Client) -> i64 {
    let response = client.ask(4, &InitProducerIdRequest::default().with_transactional_id(None)).await;
    assert_eq!(response.error_code, 0);
    response.producer_id.0
}

pub(crate) fn numbered(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Bytes {
    builder(values).producer(id, epoch, sequence).build()
}

/// Produces at `version`; the answer is the error code, or the offset.
async fn send(client: &mut Client, version: i16, topic: &Topic, records: Bytes) -> Result<i64, i16> {
    let response = client.ask(version, &produce(topic, 0, records)).await;
    let answer = &response.responses[0].partition_responses[0];
    if answer.error_code == 0 { Ok(answer.base_offset) } else { Err(answer.error_code) }
}

/// What is sent, its epoch, its first sequence number, its values, and the answer.
type Step = (&'static str, i16, i32, &'static [&'static str], Result<i64, i16>);

#[tokio::test]
async fn b32_each_batch_is_stored_once_and_in_order() {
    let broker = Broker::start().await;
    for version in 3..=13 {
        let (mut client, topic) = broker.client_with_topic(&format!("t{version}"), 1).await;
        let id = new_producer_id(&mut client).await;
        let gap = Err(OUT_OF_ORDER_SEQUENCE_NUMBER);
        let steps: &[Step] = &[
            ("the first", 0, 0, &["a", "b"], Ok(0)),
            ("the first again", 0, 0, &["a", "b"], Ok(0)),
            ("the next", 0, 2, &["c"], Ok(2)),
            ("a gap", 0, 4, &["x"], gap),
            ("a part of the first", 0, 0, &["a"], gap),
            ("further", 0, 3, &["d"], Ok(3)),
            ("further", 0, 4, &["e"], Ok(4)),
            ("further", 0, 5, &["f"], Ok(5)),
            ("the first of the last five", 0, 0, &["a", "b"], Ok(0)),
            ("a sixth", 0, 6, &["g"], Ok(6)),
            ("older than the last five", 0, 0, &["a", "b"], gap),
            ("the oldest of five", 0, 2, &["c"], Ok(2)),
            ("a new epoch that does not begin at 0", 1, 7, &["x"], gap),
            ("a new epoch", 1, 0, &["h"], Ok(7)),
            ("an old epoch", 0, 7, &["x"], Err(INVALID_PRODUCER_EPOCH)),
        ];
        for (what, epoch, sequence, values, expected) in steps {
            let records = numbered(id, *epoch, *sequence, values);
            assert_eq!(send(&mut client, version, &topic, records).await, *expected, "{what}, v{version}");
        }
        assert_eq!(client.read(&topic, 0, 0).await, ["a", "b", "c", "d", "e", "f", "g", "h"], "v{version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn b32_sequences_wrap_and_unknown_producers_begin_anywhere() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let last = i32::MAX;
    for (id, epoch, sequence, values, expected) in [
        (1_000, 0, 77, &["unknown, and not at 0"][..], Ok(0)),
        (1_000, 0, 78, &["goes on"], Ok(1)),
        (2_000, 0, last, &["the last number"], Ok(2)),
        (2_000, 0, 0, &["wrapped"], Ok(3)),
        (3_000, 0, last, &["wraps", "inside"], Ok(4)),
        (3_000, 0, 1, &["behind"], Ok(6)),
        (3_000, 0, last, &["wraps", "inside"], Ok(4)),
        (4_000, i16::MAX, 0, &["the last epoch"], Ok(7)),
    ] {
        let records = numbered(id, epoch, sequence, values);
        assert_eq!(send(&mut client, 9, &topic, records).await, expected, "{values:?}");
    }
    broker.stop().await;
}

/// Retries that overtake each other on several connections are stored once all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b32_retries_on_other_connections_get_the_same_offset() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let id = new_producer_id(&mut client).await;
    for sequence in 0..20 {
        let records = numbered(id, 0, sequence, &["once"]);
        let mut sent = Vec::new();
        for _ in 0..4 {
            let (mut client, topic, records) = (broker.client().await, topic.clone(), records.clone());
            sent.push(tokio::spawn(async move { send(&mut client, 12, &topic, records).await }));
        }
        for answer in sent {
            assert_eq!(answer.await.unwrap(), Ok(i64::from(sequence)));
        }
    }
    assert_eq!(client.offset(&topic, 0, -1).await, 20);
    broker.stop().await;
}
