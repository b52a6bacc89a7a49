//! Bad batches and repeated ones (rows B20 to B32 of the fault table).

use super::*;
use crate::protocol::compression::{Compression, compress};
use crate::protocol::record_batch::{BatchHeader, HEADER_SIZE, NO_TIMESTAMP, TimestampType};

fn offer(config: LogConfig, records: &Bytes) -> Result<AppendInfo, AppendError> {
    let mut log = LogDir::memory().create_log(&orders(), Uuid::nil(), config, at(0)).unwrap();
    let result = log.append_as_leader(records, 0, AppendOrigin::Client, at(0));
    assert_eq!(log.log_end_offset() > 0, result.is_ok());
    result
}

fn rejected(records: &Bytes) -> AppendError {
    offer(LogConfig::default(), records).unwrap_err()
}

/// The batch with its header changed and the checksum made right again.
fn patched(records: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = BatchHeader::parse(records).unwrap();
    change(&mut header);
    header.crc = header.compute_crc(&records[HEADER_SIZE..]);
    Bytes::from([&header.to_bytes()[..], &records[HEADER_SIZE..]].concat())
}

fn with_byte(records: &Bytes, at: usize, byte: u8) -> Bytes {
    let mut bytes = records.to_vec();
    bytes[at] = byte;
    Bytes::from(bytes)
}

macro_rules! assert_rejected {
    ($records:expr, $pattern:pat) => {
        let error = rejected($records);
        assert!(matches!(error, $pattern), "{error:?}");
    };
}

#[test]
fn b20_to_b25_what_is_not_one_sound_batch_is_refused() {
    let good = batch(3, 10, 0);
    offer(LogConfig::default(), &good).unwrap();
    assert_rejected!(&with_byte(&good, 70, 0), AppendError::CorruptMessage(_));
    assert_rejected!(&with_byte(&good, 11, 48), AppendError::CorruptMessage(_));
    assert_rejected!(&with_byte(&good, 16, 9), AppendError::CorruptMessage(_));
    assert_rejected!(&with_byte(&good, 16, 1), AppendError::InvalidRecord { .. });
    assert_rejected!(&Bytes::new(), AppendError::InvalidRecord { .. });
    assert_rejected!(&good.slice(..good.len() - 1), AppendError::InvalidRecord { .. });
    assert_rejected!(&Bytes::from([&good[..], &good[..]].concat()), AppendError::InvalidRecord { .. });
    let changes: [fn(&mut BatchHeader); 9] = [
        |header| header.base_offset = 1,
        |header| header.last_offset_delta = 1,
        |header| header.last_offset_delta = -1,
        |header| header.record_count = 0,
        |header| header.record_count = -1,
        |header| (header.record_count, header.last_offset_delta) = (4, 3),
        |header| (header.record_count, header.last_offset_delta) = (2, 1),
        BatchHeader::set_control,
        |header| (header.producer_id, header.base_sequence) = (5, -1),
    ];
    for change in changes {
        assert_rejected!(&patched(&good, change), AppendError::InvalidRecord { .. });
    }
}

#[test]
fn b26_sizes_are_bounded() {
    let good = batch(3, 10, 0);
    let size = good.len() as u32;
    let max = |max_message_bytes| LogConfig { max_message_bytes, ..LogConfig::default() };
    assert!(offer(max(size), &good).is_ok());
    assert!(matches!(offer(max(size - 1), &good), Err(AppendError::MessageTooLarge { .. })));
    let segment = |segment_bytes| LogConfig { segment_bytes, ..LogConfig::default() };
    assert!(offer(segment(size), &good).is_ok());
    assert!(matches!(offer(segment(size - 1), &good), Err(AppendError::RecordListTooLarge { .. })));
}

#[test]
fn b27_a_codec_that_does_not_exist_is_refused() {
    let records = patched(&batch(1, 1, 0), |header| header.attributes |= 5);
    assert_rejected!(&records, AppendError::UnsupportedCompressionType(5));
}

/// One batch of the bytes `payload`, which claims to be `count` records in a codec.
fn with_payload(codec: Compression, count: i32, payload: &[u8]) -> Bytes {
    let bytes = Bytes::from([&batch(1, 1, 0)[..HEADER_SIZE], payload].concat());
    patched(&bytes, |header| {
        header.set_compression(codec);
        header.length = (HEADER_SIZE - 12 + payload.len()) as i32;
        (header.record_count, header.last_offset_delta) = (count, count - 1);
    })
}

fn codecs() -> impl Iterator<Item = Compression> {
    (1..5).map(|id| Compression::from_id(id).unwrap())
}

/// The records of a batch, uncompressed.
fn payload_of(records: &Bytes) -> Bytes {
    records.slice(HEADER_SIZE..)
}

#[test]
fn b28_compressed_data_that_holds_no_records_is_refused() {
    let good = payload_of(&batch(3, 10, 0));
    for codec in codecs() {
        let whole = compress(codec, &good).unwrap();
        offer(LogConfig::default(), &with_payload(codec, 3, &whole)).unwrap();
        let mut bad = vec![
            ("garbage", with_payload(codec, 3, &[0xa5; 40])),
            ("nothing", with_payload(codec, 3, &[])),
            ("no records", with_payload(codec, 3, &compress(codec, &[]).unwrap())),
            ("other content", with_payload(codec, 3, &compress(codec, b"garbage").unwrap())),
            ("too few records", with_payload(codec, 4, &whole)),
            ("too many records", with_payload(codec, 2, &whole)),
            (
                "bytes behind the records",
                with_payload(codec, 3, &compress(codec, &[&good[..], b"x"].concat()).unwrap()),
            ),
            ("a record cut short", with_payload(codec, 3, &compress(codec, &good[..good.len() - 1]).unwrap())),
            ("the middle of it", with_payload(codec, 3, &whole[..whole.len() / 2])),
        ];
        if codec != Compression::Snappy {
            // What Snappy's framing has at its end belongs to the last record.
            bad.push(("the end is missing", with_payload(codec, 3, &whole[..whole.len() - 1])));
        }
        for (what, records) in bad {
            let error = offer(LogConfig::default(), &records);
            assert!(matches!(error, Err(AppendError::InvalidRecord { .. })), "{codec:?}, {what}: {error:?}");
        }
    }
}

#[test]
fn b29_much_that_compresses_well_is_appended_and_found_again() {
    let mut builder = BatchBuilder::new(START_MS);
    builder.record_at(START_MS, None, Some(&vec![0; 40 << 20]), &[]);
    builder.record_at(START_MS + 7, Some(b"k"), None, &[]);
    for codec in codecs() {
        let records = builder.compression(codec).build();
        let config = LogConfig { max_message_bytes: 4 << 20, ..LogConfig::default() };
        let mut log = LogDir::memory().create_log(&orders(), Uuid::nil(), config, at(0)).unwrap();
        append(&mut log, &records);
        let found = log.offset_for_timestamp(START_MS + 1).unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp), (1, START_MS + 7), "{codec:?}");
        // Compressed anew, it is given up as soon as it is too large.
        let uncompressed = CompressionType::Codec(Compression::None);
        let config = LogConfig { max_message_bytes: 4 << 20, compression_type: uncompressed, ..LogConfig::default() };
        assert!(matches!(offer(config, &records), Err(AppendError::MessageTooLarge { .. })), "{codec:?}");
    }
}

#[test]
fn a_compressed_header_is_made_right_from_the_records() {
    for id in 0..5 {
        let codec = Compression::from_id(id).unwrap();
        let mut builder = BatchBuilder::new(START_MS);
        for ms in [0, 30, 20, 10] {
            builder.record_at(START_MS + ms, None, Some(b"x"), &[]);
        }
        let honest = builder.compression(codec).build();
        for claimed in [NO_TIMESTAMP, 0, START_MS, START_MS + 30, START_MS + 1_000_000_000] {
            let records = patched(&honest, |header| header.max_timestamp = claimed);
            let mut log = LogDir::memory().create_log(&orders(), Uuid::nil(), LogConfig::default(), at(0)).unwrap();
            assert_eq!(append(&mut log, &records).max_timestamp, START_MS + 30);
            let stored = read_all(&log, 0, 10_000).remove(0);
            stored.verify_crc().unwrap();
            assert_eq!(stored.header.max_timestamp, START_MS + 30);
            assert_eq!(payload_of(&stored.bytes), payload_of(&records), "only the header is changed");
            let found = |ms| log.offset_for_timestamp(START_MS + ms).unwrap().map(|found| found.offset);
            assert_eq!([0, 5, 30, 31].map(found), [Some(0), Some(1), Some(1), None], "{codec:?} {claimed}");
            assert_eq!(log.offset_of_max_timestamp().unwrap().unwrap().offset, 1);
        }
    }
}

#[test]
fn compressed_offsets_are_made_consecutive() {
    // A record of its own has the offset delta 0.
    let lone = payload_of(&batch(1, 100_000, 0));
    for codec in codecs() {
        let records = with_payload(codec, 3, &compress(codec, &[&lone[..]; 3].concat()).unwrap());
        let mut log = LogDir::memory().create_log(&orders(), Uuid::nil(), LogConfig::default(), at(0)).unwrap();
        append(&mut log, &records);
        let stored = read_all(&log, 0, 10_000).remove(0);
        stored.verify_crc().unwrap();
        assert_eq!(stored.header.compression().unwrap(), codec);
        let read: Vec<_> = stored.records(1 << 20).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1, 2]);
        let value = vec![b'v'; 100_000];
        assert!(read.iter().all(|record| record.value.as_ref() == Some(&Bytes::from(value.clone()))));
    }
}

#[test]
fn no_answer_names_more_records_than_a_bound() {
    let lone = payload_of(&BatchBuilder::new(START_MS).record(None, None).build());
    let count = 20_000;
    let records =
        with_payload(Compression::Zstd, count, &compress(Compression::Zstd, &lone.repeat(count as usize)).unwrap());
    let compacted = LogConfig { compact: true, ..LogConfig::default() };
    match offer(compacted, &records) {
        Err(AppendError::InvalidRecord { message, record_errors }) => {
            assert!(message.starts_with("20000 records"), "{message}");
            assert_eq!(record_errors.len(), 10_000);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn b30_a_compacted_topic_needs_keys_whatever_the_codec() {
    for id in 0..5 {
        let mut builder = BatchBuilder::new(START_MS);
        builder.record(Some(b"k"), None).record(None, Some(b"v")).record(None, None);
        let records = builder.compression(Compression::from_id(id).unwrap()).build();
        assert!(offer(LogConfig::default(), &records).is_ok());
        let compacted = LogConfig { compact: true, ..LogConfig::default() };
        match offer(compacted, &records) {
            Err(AppendError::InvalidRecord { record_errors, .. }) => {
                assert_eq!(record_errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [1, 2]);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn b31_timestamps_far_from_now_are_refused_record_by_record() {
    let hour = 3_600_000;
    for id in 0..5 {
        let timestamps = |list: &[i64]| {
            let mut builder = BatchBuilder::new(0);
            for ms in list {
                builder.record_at(*ms, None, None, &[]);
            }
            builder.compression(Compression::from_id(id).unwrap()).build()
        };
        let check = |before, list: &[i64]| {
            let config = LogConfig { message_timestamp_before_max_ms: before, ..LogConfig::default() };
            match offer(config, &timestamps(list)) {
                Ok(_) => vec![],
                Err(AppendError::InvalidTimestamp { record_errors, .. }) => {
                    record_errors.iter().map(|error| error.batch_index).collect()
                }
                other => panic!("{other:?}"),
            }
        };
        assert!(check(i64::MAX, &[0, -1, START_MS + hour]).is_empty());
        assert_eq!(check(i64::MAX, &[0, START_MS + hour + 1, i64::MAX / 2]), [1, 2]);
        assert_eq!(check(i64::MAX, &[i64::MIN]), [0], "as far in the future as it can be, to Kafka");
        assert!(check(i64::MAX, &[-2, START_MS - i64::MAX]).is_empty());
        assert_eq!(check(hour, &[START_MS - hour - 1, START_MS, START_MS - hour]), [0]);
    }
    let claims = patched(&batch(1, 1, 0), |header| header.set_timestamp_type(TimestampType::LogAppendTime));
    let config = LogConfig { message_timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() };
    assert!(matches!(offer(config, &claims), Err(AppendError::InvalidTimestamp { .. })));
    let info = offer(LogConfig::default(), &claims).unwrap();
    assert_eq!(info.log_append_time_ms, -1, "the claim is dropped where the producer's time counts");
}

#[test]
fn b32_an_idempotent_batch_is_accepted_once() {
    let disk = Disk::new(small_segments());
    let mut running = disk.create();
    for n in 0..20 {
        append(&mut running.1, &idempotent(7, 1, n * 2, 2));
    }
    for round in 0..3 {
        let log = &mut running.1;
        let again = append(log, &idempotent(7, 1, 38, 2));
        assert_eq!((again.first_offset, again.last_offset, again.duplicate), (38, 39, true));
        let offer = |log: &mut Log, epoch, sequence| {
            log.append_as_leader(&idempotent(7, epoch, sequence, 2), 0, AppendOrigin::Client, at(0))
        };
        assert!(matches!(offer(log, 1, 41), Err(AppendError::OutOfOrderSequenceNumber(_))));
        assert!(matches!(offer(log, 0, 40), Err(AppendError::InvalidProducerEpoch(_))));
        assert_eq!(log.log_end_offset(), 40);
        running = if round == 0 { disk.restart_after_crash(running) } else { disk.restart_cleanly(running) };
    }
    assert_eq!(append(&mut running.1, &idempotent(7, 1, 40, 2)).first_offset, 40);
    assert_eq!(
        append(&mut running.1, &idempotent(8, 0, 999, 2)).first_offset,
        42,
        "an unknown producer may begin anywhere"
    );
}

#[test]
fn a_topic_with_its_own_codec_stores_every_batch_in_it() {
    for from in 0..5 {
        for to in 0..5 {
            let (from, to) = (Compression::from_id(from).unwrap(), Compression::from_id(to).unwrap());
            let mut builder = BatchBuilder::new(START_MS);
            builder.producer(4, 2, 9).compression(from);
            for n in 0..50_u8 {
                builder.record_at(
                    START_MS + i64::from(n),
                    Some(&[n]),
                    Some(&[n; 30]),
                    &[(b"h", None), (b"h", Some(b"twice"))],
                );
            }
            let config = LogConfig { compression_type: CompressionType::Codec(to), ..LogConfig::default() };
            let mut log = LogDir::memory().create_log(&orders(), Uuid::nil(), config, at(0)).unwrap();
            append(&mut log, &builder.build());
            let stored = read_all(&log, 0, 100_000).remove(0);
            stored.verify_crc().unwrap();
            assert_eq!(stored.header.compression().unwrap(), to);
            assert_eq!(
                (stored.header.producer_id, stored.header.producer_epoch, stored.header.base_sequence),
                (4, 2, 9)
            );
            let original = RecordBatch::parse(&builder.build()).unwrap();
            let records = |batch: &RecordBatch| batch.records(100_000).unwrap().map(Result::unwrap).collect::<Vec<_>>();
            assert_eq!(records(&stored), records(&original));
        }
    }
}
