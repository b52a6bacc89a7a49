//! Rows B16 to B27 of the bad-input matrix: what producers may not send.

use bytes::Bytes;
use kafka_protocol::messages::{MetadataRequest, ProduceRequest};
use klamm::protocol::compression::Compression;
use klamm::protocol::record_batch::{BatchHeader, HEADER_SIZE};

use crate::broker::{Broker, Topic, batch, builder, produce};

const CORRUPT_MESSAGE: i16 = 2;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_REQUIRED_ACKS: i16 = 21;
const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
const INVALID_RECORD: i16 = 87;

/// The oldest and newest version, and those at which answers or checks changed.
const VERSIONS: [i16; 5] = [3, 7, 9, 12, 13];

/// A sound batch of two records with its header changed and its checksum made right again.
fn altered(change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let sound = batch(&["a", "b"]);
    let mut header = BatchHeader::parse(&sound).unwrap();
    change(&mut header);
    let payload = &sound[HEADER_SIZE..];
    header.crc = header.compute_crc(payload);
    [&header.to_bytes()[..], payload].concat().into()
}

/// The same bytes with some of them overwritten.
fn overwritten(bytes: &Bytes, place: usize, with: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[place..place + with.len()].copy_from_slice(with);
    bytes.into()
}

/// A message of the old format `magic` (0 or 1), as clients before 0.11 sent it.
fn legacy_message(magic: u8) -> Bytes {
    let timestamp: &[u8] = if magic == 0 { b"" } else { b"\0\0\0\0\0\0\0\x01" };
    let message = [&b"\0\0\0\0"[..], &[magic, 0], timestamp, b"\xff\xff\xff\xff\0\0\0\x01a"].concat();
    let size = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0; 8], &size[..], &message].concat().into()
}

/// Produces each batch at several versions, expects its code, and that nothing was appended.
async fn assert_refused(cases: &[(&str, Bytes, i16)]) {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    for (what, records, expected) in cases {
        for version in VERSIONS {
            let response = client.ask(version, &produce(&topic, 0, records.clone())).await;
            let answer = &response.responses[0].partition_responses[0];
            assert_eq!((answer.error_code, answer.base_offset), (*expected, -1), "{what}, v{version}");
        }
    }
    assert_eq!(client.offset(&topic, 0, -1).await, 0, "something was appended");
    broker.stop().await;
}

#[tokio::test]
async fn b16_nothing_to_append_is_a_normal_request() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    for version in 3..=13 {
        let nothing = ProduceRequest::default().with_acks(-1);
        assert_eq!(client.ask(version, &nothing).await.responses.len(), 0, "v{version}");
        let mut no_partition = produce(&topic, 0, Bytes::new());
        no_partition.topic_data[0].partition_data.clear();
        let response = client.ask(version, &no_partition).await;
        assert_eq!(response.responses.len(), 0, "v{version}");
    }
    broker.stop().await;
}

/// The matrix leaves the choice between one append and a refusal; Kafka appends what it is told last.
#[tokio::test]
async fn b17_a_partition_named_twice_is_appended_to_once() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let (mut client, topic) = broker.client_with_topic(&format!("t{version}"), 1).await;
        let mut request = produce(&topic, 0, batch(&["first"]));
        let again = produce(&topic, 0, batch(&["second"])).topic_data.remove(0);
        request.topic_data[0].partition_data.extend(again.partition_data.clone());
        request.topic_data.push(again);
        let response = client.ask(version, &request).await;
        let answers: Vec<_> = response.responses.iter().flat_map(|topic| &topic.partition_responses).collect();
        assert_eq!((answers.len(), answers[0].error_code), (1, 0), "v{version}");
        assert_eq!(client.read(&topic, 0, 0).await, ["second"], "v{version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn b18_acks_must_be_all_one_or_none() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    for version in 3..=13 {
        for acks in [2, -2, i16::MAX, i16::MIN] {
            let response = client.ask(version, &produce(&topic, 0, batch(&["a"])).with_acks(acks)).await;
            let answer = &response.responses[0].partition_responses[0];
            assert_eq!((answer.error_code, answer.base_offset), (INVALID_REQUIRED_ACKS, -1), "v{version} {acks}");
        }
    }
    assert_eq!(client.offset(&topic, 0, -1).await, 0);
    broker.stop().await;
}

#[tokio::test]
async fn b19_an_error_without_an_answer_closes_the_connection() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let unknown = Topic::unknown("nowhere");
    let cases = [
        produce(&topic, 0, altered(|header| header.base_offset = 5)),
        produce(&topic, 9, batch(&["a"])),
        produce(&unknown, 0, batch(&["a"])),
    ];
    for version in VERSIONS {
        for request in &cases {
            broker.client().await.assert_closed_by(version, &request.clone().with_acks(0)).await;
        }
        // What is right has no answer either, and the next request is served.
        let ticket = client.0.send(version, &produce(&topic, 0, batch(&["a"])).with_acks(0)).await.unwrap();
        client.ask(9, &MetadataRequest::default()).await;
        drop(ticket);
    }
    assert_eq!(client.offset(&topic, 0, -1).await, VERSIONS.len() as i64);
    broker.stop().await;
}

#[tokio::test]
async fn b20_checksums_must_be_right() {
    let sound = batch(&["a", "b"]);
    let last = sound.len() - 1;
    assert_refused(&[
        ("a flipped bit in the records", overwritten(&sound, last, b"\x01"), CORRUPT_MESSAGE),
        ("another checksum", overwritten(&sound, 17, b"\0\0\0\0"), CORRUPT_MESSAGE),
        ("a flipped bit in the header", overwritten(&sound, 25, b"\x01"), CORRUPT_MESSAGE),
    ])
    .await;
}

/// The matrix expects 2 for every wrong length. Kafka does not see a batch that is longer than the bytes that are
/// there, and so finds none.
#[tokio::test]
async fn b21_lengths_must_be_those_of_the_bytes() {
    let sound = batch(&["a", "b"]);
    let with_length = |length: i32| overwritten(&sound, 8, &length.to_be_bytes());
    assert_refused(&[
        ("length 0", with_length(0), CORRUPT_MESSAGE),
        ("a negative length", with_length(-5), CORRUPT_MESSAGE),
        ("the smallest length", with_length(i32::MIN), CORRUPT_MESSAGE),
        ("shorter than a header", with_length(48), CORRUPT_MESSAGE),
        ("a header without its records", with_length(49), CORRUPT_MESSAGE),
        ("one byte too few", with_length(sound.len() as i32 - 13), CORRUPT_MESSAGE),
        ("longer than what is there", with_length(500), INVALID_RECORD),
        ("the largest length", with_length(i32::MAX), INVALID_RECORD),
        ("a batch cut short", sound.slice(..sound.len() - 1), INVALID_RECORD),
        ("less than a header", sound.slice(..40), INVALID_RECORD),
        ("one byte", sound.slice(..1), INVALID_RECORD),
    ])
    .await;
    // What is behind a batch and too short for another is dropped, as by Kafka.
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    assert_eq!(client.produce(&topic, 0, [&sound[..], b"surplus"].concat().into()).await.error_code, 0);
    assert_eq!(client.read(&topic, 0, 0).await, ["a", "b"]);
    assert_eq!(client.append(&topic, 0, &["c"]).await, 2);
    broker.stop().await;
}

/// The matrix asks for 87 throughout; a format that nobody knows is a damaged batch to Kafka.
#[tokio::test]
async fn b22_one_batch_of_the_newest_format() {
    let sound = batch(&["a", "b"]);
    assert_refused(&[
        ("a message of format 0", legacy_message(0), INVALID_RECORD),
        ("a message of format 1", legacy_message(1), INVALID_RECORD),
        ("format 3", overwritten(&sound, 16, b"\x03"), CORRUPT_MESSAGE),
        ("format -1", overwritten(&sound, 16, b"\xff"), CORRUPT_MESSAGE),
        ("two batches", [&sound[..], &sound[..]].concat().into(), INVALID_RECORD),
        ("no batch", Bytes::new(), INVALID_RECORD),
    ])
    .await;
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let mut null = produce(&topic, 0, Bytes::new());
    null.topic_data[0].partition_data[0].records = None;
    let response = client.ask(9, &null).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, INVALID_RECORD);
    broker.stop().await;
}

#[tokio::test]
async fn b23_offsets_and_counts_must_agree() {
    let records = |header: &mut BatchHeader, last_offset_delta, record_count| {
        header.last_offset_delta = last_offset_delta;
        header.record_count = record_count;
    };
    assert_refused(&[
        ("a base offset", altered(|header| header.base_offset = 5), INVALID_RECORD),
        ("a negative base offset", altered(|header| header.base_offset = -1), INVALID_RECORD),
        ("a delta too large", altered(|header| header.last_offset_delta = 5), INVALID_RECORD),
        ("a delta too small", altered(|header| header.last_offset_delta = 0), INVALID_RECORD),
        ("a negative delta", altered(|header| header.last_offset_delta = -1), INVALID_RECORD),
        ("no records", altered(|header| records(header, -1, 0)), INVALID_RECORD),
        ("a negative count", altered(|header| records(header, -2, -1)), INVALID_RECORD),
        ("more than there are", altered(|header| records(header, 4, 5)), INVALID_RECORD),
        ("fewer than there are", altered(|header| records(header, 0, 1)), INVALID_RECORD),
        ("absurdly many", altered(|header| records(header, i32::MAX - 1, i32::MAX)), INVALID_RECORD),
    ])
    .await;
}

#[tokio::test]
async fn b24_b25_control_batches_and_producers_without_sequence() {
    let by_producer = |id, epoch, sequence| {
        let mut builder = builder(&["a"]);
        builder.producer(id, epoch, sequence).build()
    };
    assert_refused(&[
        ("a control batch", builder(&["a"]).control().build(), INVALID_RECORD),
        ("a producer id without sequence", by_producer(7, 0, -1), INVALID_RECORD),
    ])
    .await;
}

#[tokio::test]
async fn b26_batches_larger_than_the_topic_allows() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 1, &[("max.message.bytes", "1000")]).await;
    let (fits, does_not) = ("x".repeat(900), "x".repeat(1000));
    for version in VERSIONS {
        let response = client.ask(version, &produce(&topic, 0, batch(&[&does_not]))).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, MESSAGE_TOO_LARGE, "v{version}");
        let response = client.ask(version, &produce(&topic, 0, batch(&[&fits]))).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0, "v{version}");
    }
    broker.stop().await;
}

/// Beside the matrix: Kafka answers `UNKNOWN_SERVER_ERROR` to the codecs 5 to 7, with which clients send again.
#[tokio::test]
async fn b27_codecs_that_are_unknown_or_too_new_for_the_version() {
    let unknown = |codec: i16| altered(|header| header.attributes = codec);
    assert_refused(&[
        ("codec 5", unknown(5), UNSUPPORTED_COMPRESSION_TYPE),
        ("codec 7", unknown(7), UNSUPPORTED_COMPRESSION_TYPE),
    ])
    .await;
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let zstd = builder(&["a"]).compression(Compression::Zstd).build();
    for version in 3..=13 {
        let response = client.ask(version, &produce(&topic, 0, zstd.clone())).await;
        let expected = if version < 7 { UNSUPPORTED_COMPRESSION_TYPE } else { 0 };
        assert_eq!(response.responses[0].partition_responses[0].error_code, expected, "v{version}");
    }
    broker.stop().await;
}
