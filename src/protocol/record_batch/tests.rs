//! Batches against the kafka-protocol crate's encoder and decoder, and against arbitrary bytes.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use proptest::prelude::*;

use super::*;
use crate::protocol::compression::{Compression, Decompressor, compress};

type Fields = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn fields() -> impl Strategy<Value = Fields> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    let headers = proptest::collection::btree_map("[a-z]{0,5}", bytes(), 0..4);
    (0..2_000_000_000_000_i64, bytes(), bytes(), headers.prop_map(|map| map.into_iter().collect()))
}

fn build(base_offset: i64, producer: Option<(i64, i16, i32)>, records: &[Fields], codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(0);
    builder.base_offset(base_offset).leader_epoch(7).compression(codec);
    if let Some((id, epoch, sequence)) = producer {
        builder.producer(id, epoch, sequence);
    }
    for (timestamp, key, value, headers) in records {
        let headers: Vec<_> = headers.iter().map(|(key, value)| (key.as_bytes(), value.as_deref())).collect();
        builder.record_at(*timestamp, key.as_deref(), value.as_deref(), &headers);
    }
    builder.build()
}

fn ours(base_offset: i64, records: &[Fields]) -> Vec<Record> {
    let to_record = |(index, (timestamp, key, value, headers)): (usize, &Fields)| Record {
        offset: base_offset + index as i64,
        timestamp: *timestamp,
        key: key.clone().map(Bytes::from),
        value: value.clone().map(Bytes::from),
        headers: headers
            .iter()
            .map(|(key, value)| (Bytes::from(key.clone()), value.clone().map(Bytes::from)))
            .collect(),
    };
    records.iter().enumerate().map(to_record).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn their_decoder_reads_what_our_builder_writes(
        records in proptest::collection::vec(fields(), 1..8), base in 0..1_i64 << 40,
        producer in proptest::option::of((0..1000_i64, 0..10_i16, 0..1000_i32)),
    ) {
        let mut bytes = build(base, producer, &records, Compression::None);
        let decoded = theirs::RecordBatchDecoder::decode(&mut bytes).unwrap();
        prop_assert_eq!(decoded.records.len(), records.len());
        for (theirs, ours) in decoded.records.iter().zip(ours(base, &records)) {
            prop_assert_eq!(theirs.offset, ours.offset);
            prop_assert_eq!(theirs.timestamp, ours.timestamp);
            prop_assert_eq!(&theirs.key, &ours.key);
            prop_assert_eq!(&theirs.value, &ours.value);
            let headers: Vec<_> = theirs.headers.iter().map(|(key, value)| (Bytes::copy_from_slice(key.as_bytes()), value.clone())).collect();
            prop_assert_eq!(headers, ours.headers);
            prop_assert_eq!(theirs.producer_id, producer.map_or(-1, |(id, _, _)| id));
            prop_assert_eq!(theirs.partition_leader_epoch, 7);
        }
    }

    #[test]
    fn we_read_what_their_encoder_writes(records in proptest::collection::vec(fields(), 1..8), base in 0..1_i64 << 40) {
        let to_theirs = |record: Record| theirs::Record {
            transactional: false, control: false, delete_horizon: false, partition_leader_epoch: 3, producer_id: 9, producer_epoch: 2,
            timestamp_type: theirs::TimestampType::Creation, offset: record.offset, sequence: (record.offset - base) as i32,
            timestamp: record.timestamp, key: record.key, value: record.value,
            headers: record.headers.into_iter().map(|(key, value)| (StrBytes::from_utf8(key).unwrap(), value)).collect::<IndexMap<_, _>>(),
        };
        let theirs: Vec<_> = ours(base, &records).into_iter().map(to_theirs).collect();
        let mut buffer = BytesMut::new();
        let options = theirs::RecordEncodeOptions { version: 2, compression: theirs::Compression::None };
        theirs::RecordBatchEncoder::encode(&mut buffer, &theirs, &options).unwrap();
        let bytes = buffer.freeze();
        let mut read = Vec::new();
        for batch in batches(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            prop_assert_eq!((batch.header.producer_id, batch.header.producer_epoch, batch.header.partition_leader_epoch), (9, 2, 3));
            read.extend(batch.records(1 << 20).unwrap().map(Result::unwrap));
        }
        prop_assert_eq!(read, ours(base, &records));
    }

    #[test]
    fn compressed_records_come_back(records in proptest::collection::vec(fields(), 1..8), codec in 0..5_u8) {
        let bytes = build(5, None, &records, Compression::from_id(codec).unwrap());
        let batch = RecordBatch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        prop_assert_eq!(batch.header.compression().unwrap().id(), codec);
        let read: Vec<_> = batch.records(1 << 20).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(read, ours(5, &records));
    }

    #[test]
    fn no_bytes_panic_and_no_flipped_bit_passes_the_checksum(
        records in proptest::collection::vec(fields(), 1..4), at in any::<prop::sample::Index>(), bit in 0..8_u32,
        noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for batch in batches(&Bytes::from(noise)).flatten() {
            if let Ok(records) = batch.records(1000) { let _ = records.count(); }
        }
        let mut bytes = build(0, None, &records, Compression::None).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        for batch in batches(&Bytes::from(bytes)).flatten() {
            prop_assert!(at < 17 || batch.verify_crc().is_err());
            if let Ok(records) = batch.records(1000) { let _ = records.count(); }
        }
    }
}

#[test]
fn a_header_is_written_as_it_was_read() {
    let bytes = build(77, Some((1, 2, 3)), &[(5, None, None, vec![])], Compression::None);
    let header = BatchHeader::parse(&bytes).unwrap();
    assert_eq!(header.to_bytes(), bytes[..HEADER_SIZE]);
    assert_eq!((header.last_offset(), header.next_offset(), header.last_sequence()), (77, 78, 3));
    assert_eq!(header.size_in_bytes(), bytes.len());
}

#[test]
fn a_sequence_wraps_to_zero() {
    let mut builder = BatchBuilder::new(0);
    builder.producer(1, 0, i32::MAX).record(None, None).record(None, None);
    assert_eq!(BatchHeader::parse(&builder.build()).unwrap().last_sequence(), 0);
}

#[test]
fn what_is_no_batch_is_told_apart() {
    let bytes = build(0, None, &[(5, None, None, vec![])], Compression::None);
    assert_eq!(BatchHeader::parse(&bytes[..60]), Err(BatchError::Truncated));
    assert_eq!(batches(&bytes.slice(..bytes.len() - 1)).count(), 0);
    let patched = |at: usize, byte: u8| {
        let mut copy = bytes.to_vec();
        copy[at] = byte;
        BatchHeader::parse(&copy).unwrap_err()
    };
    assert_eq!(patched(16, 1), BatchError::UnsupportedMagic(1));
    assert_eq!(patched(16, 3), BatchError::InvalidMagic(3));
    assert_eq!(patched(11, 48), BatchError::InvalidLength(48));
    assert_eq!(patched(11, 13), BatchError::InvalidLength(13));
    assert_eq!(patched(8, 0x80), BatchError::InvalidLength(i32::MIN + i32::from(bytes[11])));
}

#[test]
fn a_count_that_lies_is_an_error() {
    let bytes = build(0, None, &[(5, None, None, vec![]), (6, None, None, vec![])], Compression::None);
    for (count, good) in [(1, 1), (3, 2), (i32::MAX, 2), (-1, 0)] {
        let mut batch = RecordBatch::parse(&bytes).unwrap();
        batch.header.record_count = count;
        let read: Vec<_> = batch.records(100).unwrap().collect();
        assert_eq!(read.len(), good + 1, "{count}");
        assert!(read[good].is_err());
        let raw: Vec<_> = raw_records(batch.payload(), count).collect();
        assert_eq!(raw.len(), good + 1, "{count}");
    }
}

#[test]
fn no_length_of_an_old_message_is_negative() {
    let prefix = |length: i32| [&[0; 8][..], &length.to_be_bytes()].concat();
    let sizes = [i32::MIN, -1, 13, 14, i32::MAX].map(|length| legacy_message_size(&prefix(length)));
    assert_eq!(sizes, [None, None, None, Some(26), Some(i32::MAX as usize + LOG_OVERHEAD)]);
}

/// The records that a reader finds in `payload`, as they are and as they are copied, and whether that ended well.
fn read_heads(payload: &[u8], count: i32, codec: Compression) -> (Vec<RecordHead>, Vec<u8>, bool) {
    let compressed = compress(codec, payload).unwrap();
    let mut decompressor = Decompressor::default();
    let mut heads = Vec::new();
    let mut reader = RecordReader::new(decompressor.chunks(codec, &compressed, usize::MAX).unwrap(), count);
    let is_sound = loop {
        match reader.next_head() {
            Ok(Some(head)) => heads.push(head),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let mut copy = Vec::new();
    let mut reader = RecordReader::new(decompressor.chunks(codec, &compressed, usize::MAX).unwrap(), count);
    for index in 0.. {
        let copied = reader.copy_next(
            |(timestamp_delta, _)| (timestamp_delta, index),
            |piece| {
                copy.extend_from_slice(piece);
                Ok::<_, BatchError>(())
            },
        );
        match copied {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => {
                assert!(!is_sound);
                break;
            }
        }
    }
    (heads, copy, is_sound)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_reader_finds_what_iterating_does(
        records in proptest::collection::vec(fields(), 1..8), value_size in 0..200_000_usize, cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), with in any::<u8>(), more in -1..2,
    ) {
        // Snappy and LZ4 have chunks of 32 and 64 KB, and a large value makes records that span several.
        let mut records = records;
        records.insert(records.len() / 2, (5, Some(vec![1; 3]), Some(vec![2; value_size]), vec![("h".to_owned(), Some(vec![3; value_size / 2]))]));
        let bytes = build(0, None, &records, Compression::None);
        let payload = &bytes[HEADER_SIZE..];
        let mut damaged = payload.to_vec();
        let at = at.index(damaged.len());
        damaged[at] = with;
        for payload in [payload, &payload[..cut.index(payload.len())], &damaged] {
            let count = records.len() as i32 + more;
            let expected: Vec<_> = raw_records(payload, count).collect();
            let heads: Vec<_> = expected.iter().flatten().map(RawRecord::head).collect();
            for codec in [Compression::None, Compression::Snappy, Compression::Lz4, Compression::Gzip] {
                let (found, copy, is_sound) = read_heads(payload, count, codec);
                let is_expected_sound = expected.iter().all(Result::is_ok);
                prop_assert_eq!(is_sound, is_expected_sound);
                // The iterator reports a wrong count in the place of nothing, the reader behind the last record.
                prop_assert_eq!(&found, &heads);
                if is_sound && heads.iter().zip(0..).all(|(head, index)| head.offset_delta == index) {
                    prop_assert_eq!(copy, payload);
                }
            }
        }
    }
}

#[test]
fn visiting_records_finds_what_iterating_does() {
    let mut builder = BatchBuilder::new(5);
    builder.record(Some(b"key"), Some(b"value")).record(None, Some(&[1; 300])).record(None, None);
    let batch = RecordBatch::parse(&builder.build()).unwrap();
    for count in -1..5 {
        for end in 0..=batch.payload().len() {
            let payload = &batch.payload()[..end];
            let iterated: Vec<_> = raw_records(payload, count).collect();
            let mut visited = Vec::new();
            let end = visit_raw_records(payload, count, |record| visited.push(Ok(record)));
            visited.extend(end.err().map(Err));
            assert_eq!(visited, iterated, "{count} records");
        }
    }
}
