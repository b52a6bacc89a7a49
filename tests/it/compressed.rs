//! Compressed batches: what their records say counts, whatever the header claims.

use bytes::Bytes;
use klamm::protocol::compression::{Compression, compress};
use klamm::protocol::record_batch::{BatchBuilder, BatchHeader, HEADER_SIZE, LOG_OVERHEAD, batches};

use crate::broker::{Broker, builder, list_offsets, produce};

const INVALID_TIMESTAMP: i16 = 32;
const INVALID_RECORD: i16 = 87;

const START_MS: i64 = 1_700_000_000_000;
const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// The batch with its header changed and the checksum made right again.
fn altered(records: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = BatchHeader::parse(records).unwrap();
    change(&mut header);
    let payload = &records[HEADER_SIZE..];
    header.crc = header.compute_crc(payload);
    [&header.to_bytes()[..], payload].concat().into()
}

/// A batch that claims to be two records of this moment in a codec, around any bytes.
fn around(codec: Compression, payload: &[u8]) -> Bytes {
    let header = builder(&["a", "b"]).build();
    altered(&[&header[..HEADER_SIZE], payload].concat().into(), |header| {
        header.set_compression(codec);
        header.length = (HEADER_SIZE - LOG_OVERHEAD + payload.len()) as i32;
    })
}

/// Four records with values, of which the second is the latest.
fn four_records() -> BatchBuilder {
    let mut builder = BatchBuilder::new(START_MS);
    for ms in [0, 30, 20, 10] {
        builder.record_at(START_MS + ms, None, Some(b"x"), &[]);
    }
    builder
}

/// Clients of sarama up to 1.43 leave the max timestamp out (redpanda#25769).
#[tokio::test]
async fn times_are_found_whatever_the_header_says() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for (codec, name) in CODECS.into_iter().zip(["gzip", "snappy", "lz4", "zstd"]) {
        for (claimed, index) in [-1, 0, START_MS, START_MS + 1_000_000_000].into_iter().zip(0..) {
            let topic = client.create_topic(&format!("{name}.{index}"), 1, &[]).await;
            let sent = altered(&four_records().compression(codec).build(), |header| header.max_timestamp = claimed);
            assert_eq!(client.produce(&topic, 0, sent).await.error_code, 0);
            let fetched = client.fetch(&topic, 0, 0).await.records.unwrap();
            let stored = batches(&fetched).next().unwrap().unwrap();
            stored.verify_crc().unwrap();
            assert_eq!(stored.header.max_timestamp, START_MS + 30, "{codec:?} {claimed}");
            let mut found = Vec::new();
            for ms in [0, 5, 25, 30, 31] {
                found.push(client.offset(&topic, 0, START_MS + ms).await);
            }
            assert_eq!(found, [0, 1, 1, 1, -1], "{codec:?} {claimed}");
            let latest = client.ask(7, &list_offsets(&topic, 0, -3)).await;
            let latest = &latest.topics[0].partitions[0];
            assert_eq!((latest.offset, latest.timestamp), (1, START_MS + 30), "{codec:?} {claimed}");
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn what_holds_no_records_is_refused_at_once() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let records = builder(&["a", "b"]).build().slice(HEADER_SIZE..);
    for codec in CODECS {
        let whole = compress(codec, &records).unwrap();
        let cases = [
            ("garbage", around(codec, b"garbage")),
            ("nothing", around(codec, b"")),
            ("no records", around(codec, &compress(codec, b"").unwrap())),
            ("the first half", around(codec, &whole[..whole.len() / 2])),
            ("a record cut short", around(codec, &compress(codec, &records[..records.len() - 1]).unwrap())),
            ("something behind the records", around(codec, &compress(codec, &[&records[..], b"x"].concat()).unwrap())),
            ("one record", around(codec, &compress(codec, &builder(&["a"]).build()[HEADER_SIZE..]).unwrap())),
        ];
        for (what, bad) in cases {
            // Zstandard is refused with another code before version 7.
            for version in [3, 7, 9, 13].into_iter().filter(|version| codec != Compression::Zstd || *version >= 7) {
                let response = client.ask(version, &produce(&topic, 0, bad.clone())).await;
                let answer = &response.responses[0].partition_responses[0];
                let refused = (answer.error_code, answer.base_offset);
                assert_eq!(refused, (INVALID_RECORD, -1), "{codec:?}, {what}, v{version}");
            }
        }
    }
    assert_eq!(client.offset(&topic, 0, -1).await, 0, "something was appended");
    broker.stop().await;
}

#[tokio::test]
async fn keys_and_times_are_those_of_the_records() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let compacted = client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let strict = client.create_topic("strict", 1, &[("message.timestamp.before.max.ms", "1000")]).await;
    let usual = client.create_topic("usual", 1, &[]).await;
    for codec in CODECS {
        let keyless = builder(&["a", "b"]).compression(codec).build();
        let answer = client.produce(&compacted, 0, keyless).await;
        let at_fault: Vec<_> = answer.record_errors.iter().map(|error| error.batch_index).collect();
        assert_eq!((answer.error_code, at_fault), (INVALID_RECORD, vec![0, 1]), "{codec:?}");
        let now = BatchHeader::parse(&builder(&["a"]).build()).unwrap().base_timestamp;
        let old = altered(&four_records().compression(codec).build(), |header| header.max_timestamp = now);
        assert_eq!(client.produce(&strict, 0, old).await.error_code, INVALID_TIMESTAMP, "{codec:?}");
        for early_or_late in [i64::MIN, now + 2 * 3_600_000] {
            let mut builder = BatchBuilder::new(now);
            builder.record(None, Some(b"x")).record_at(early_or_late, None, Some(b"x"), &[]);
            let claims = altered(&builder.compression(codec).build(), |header| header.max_timestamp = now);
            let answer = client.produce(&usual, 0, claims).await;
            let at_fault: Vec<_> = answer.record_errors.iter().map(|error| error.batch_index).collect();
            assert_eq!((answer.error_code, at_fault), (INVALID_TIMESTAMP, vec![1]), "{codec:?} {early_or_late}");
        }
    }
    for topic in [&compacted, &strict, &usual] {
        assert_eq!(client.offset(topic, 0, -1).await, 0, "something was appended");
    }
    broker.stop().await;
}

/// Kafka takes it, too: there is no limit on what a batch decompresses to but the size of a record.
#[tokio::test]
async fn forty_megabytes_of_zeros_are_a_record() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let mut builder = BatchBuilder::new(START_MS);
    let records = builder.record(None, Some(&vec![0; 40 << 20])).compression(Compression::Zstd).build();
    assert_eq!(client.produce(&topic, 0, records.clone()).await.error_code, 0);
    let fetched = client.fetch(&topic, 0, 0).await.records.unwrap();
    assert_eq!(fetched[HEADER_SIZE..], records[HEADER_SIZE..]);
    broker.stop().await;
}
