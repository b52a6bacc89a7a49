//! What remains of single batches.

use super::*;
use crate::protocol::compression::Decompressor;
use crate::protocol::record_batch::{BatchError, HEADER_SIZE, TimestampType};

const DAY_MS: i64 = 86_400_000;

fn filter_at<'a>(map: &'a OffsetMap, now_ms: i64, last: &'a HashMap<i64, LastRecord>) -> BatchFilter<'a> {
    BatchFilter {
        map,
        now_ms,
        delete_retention_ms: DAY_MS,
        upper_bound_offset: i64::MAX,
        last_records_of_active_producers: last,
        compression: None,
        max_message_bytes: LIMIT,
        decompressed_limit: LIMIT,
    }
}

fn parse(bytes: &Bytes) -> RecordBatch {
    RecordBatch::parse(bytes).unwrap()
}

fn run(filter: &BatchFilter<'_>, bytes: &Bytes) -> (Filtered, FilterCounts) {
    let mut counts = FilterCounts::default();
    let mut transactions = CleanedTransactionMetadata::default();
    let mut decompressor = Decompressor::default();
    let filtered = filter.filter(&parse(bytes), &mut transactions, &mut decompressor, &mut counts);
    (filtered.unwrap(), counts)
}

fn rewritten(filter: &BatchFilter<'_>, bytes: &Bytes) -> RecordBatch {
    match run(filter, bytes).0 {
        Filtered::Rewritten(batch) => {
            assert_eq!(parse(&batch.bytes), batch);
            batch.verify_crc().unwrap();
            batch
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_of_latest_records_is_not_touched() {
    let mut map = map_of(9, &[("a", 10), ("b", 11)]);
    map.update_latest_offset(12);
    for codec in CODECS {
        let mut builder = batch_builder(10, &[("a", Some("1")), ("b", Some("2")), ("never in the map", Some("3"))]);
        let (filtered, counts) = run(&filter_at(&map, 0, &nobody()), &builder.compression(codec).build());
        assert_eq!(filtered, Filtered::Unchanged, "{codec:?}");
        assert_eq!((counts.messages_read, counts.messages_retained), (3, 3));
    }
}

#[test]
fn superseded_records_go_and_the_others_stay_what_they_were() {
    let mut map = map_of(9, &[("a", 10), ("b", 20), ("c", 12)]);
    map.update_latest_offset(12);
    for (codec, timestamp_type) in
        CODECS.into_iter().flat_map(|codec| [(codec, TimestampType::CreateTime), (codec, TimestampType::LogAppendTime)])
    {
        let mut builder = BatchBuilder::new(0);
        builder.base_offset(9).leader_epoch(4).producer(7, 2, 50).compression(codec).timestamp_type(timestamp_type);
        builder.record_at(900, Some(b"b"), Some(b"old"), &[]);
        builder.record_at(500, Some(b"a"), Some(b"1"), &[(b"header", None), (b"header", Some(b"x"))]);
        builder.record_at(7_000, Some(b"b"), Some(b"old"), &[]);
        builder.record_at(600, Some(b"c"), Some("x".repeat(70_000).as_bytes()), &[]);
        builder.record_at(550, Some(b"b"), Some(b"behind what the map knows"), &[]);
        builder.record_at(8_000, Some(b"b"), Some(b"and so is this"), &[]);
        let original = parse(&builder.build());
        let kept = rewritten(&filter_at(&map, 0, &nobody()), &original.bytes);
        let expected: Vec<_> =
            records_of(&original).into_iter().filter(|record| ![9, 11].contains(&record.offset)).collect();
        assert_eq!(records_of(&kept), expected, "{codec:?} {timestamp_type:?}");
        let (old, new) = (original.header, kept.header);
        assert_eq!(
            BatchHeader { length: old.length, crc: old.crc, base_timestamp: 0, record_count: 6, ..new },
            BatchHeader { base_timestamp: 0, ..old }
        );
        let first_timestamp = if timestamp_type == TimestampType::CreateTime { 500 } else { old.max_timestamp };
        assert_eq!((new.record_count, new.base_timestamp, new.last_sequence()), (4, first_timestamp, 55));
    }
}

#[test]
fn the_max_timestamp_is_that_of_the_records_that_stay() {
    let map = map_of(9, &[("a", 2), ("b", 1)]);
    let kept =
        rewritten(&filter_at(&map, 0, &nobody()), &batch(0, &[("b", Some("1")), ("b", Some("2")), ("b", Some("3"))]));
    assert_eq!((kept.header.max_timestamp, kept.header.base_timestamp), (1_002, 1_001));
    let filtered = run(&filter_at(&map, 0, &nobody()), &batch(0, &[("b", Some("1"))])).0;
    assert_eq!(filtered, Filtered::Dropped);
}

#[test]
fn records_without_a_key_go_and_are_counted() {
    let mut map = map_of(9, &[]);
    map.update_latest_offset(1);
    let mut builder = BatchBuilder::new(5);
    builder.record(None, Some(b"x")).record(Some(b""), Some(b"y")).record(None, Some(b"not judged yet"));
    let mut counts = FilterCounts::default();
    let filter = filter_at(&map, 0, &HashMap::new()).filter(
        &parse(&builder.build()),
        &mut CleanedTransactionMetadata::default(),
        &mut Decompressor::default(),
        &mut counts,
    );
    let Ok(Filtered::Rewritten(kept)) = filter else { panic!("{filter:?}") };
    assert_eq!(records_of(&kept).iter().map(|record| record.offset).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(
        counts,
        FilterCounts { messages_read: 3, messages_retained: 2, tombstones_retained: 0, invalid_messages: 1 }
    );
}

#[test]
fn a_tombstone_gets_a_horizon_and_goes_at_it() {
    let map = map_of(9, &[("a", 0), ("b", 1)]);
    for codec in CODECS {
        let original = parse(&batch_builder(0, &[("a", Some("1")), ("b", None)]).compression(codec).build());
        let first = rewritten(&filter_at(&map, 5_000, &nobody()), &original.bytes);
        assert_eq!(first.header.delete_horizon(), Some(5_000 + DAY_MS));
        assert_eq!(records_of(&first), records_of(&original), "with their timestamps");
        assert_eq!(first.header.max_timestamp, original.header.max_timestamp);
        let before = run(&filter_at(&map, 5_000 + DAY_MS - 1, &nobody()), &first.bytes);
        assert_eq!((before.0, before.1.tombstones_retained), (Filtered::Unchanged, 1));
        let last = rewritten(&filter_at(&map, 5_000 + DAY_MS, &nobody()), &first.bytes);
        assert_eq!(records_of(&last), records_of(&original)[..1]);
        assert_eq!(last.header.delete_horizon(), Some(5_000 + DAY_MS), "as Kafka's builder leaves it");
    }
}

#[test]
fn a_superseded_tombstone_goes_at_once() {
    let map = map_of(9, &[("a", 7)]);
    assert_eq!(run(&filter_at(&map, 0, &nobody()), &batch(0, &[("a", None)])).0, Filtered::Dropped);
}

#[test]
fn an_active_producers_last_batch_stays_empty() {
    let map = map_of(9, &[("a", 9)]);
    let mut builder = batch_builder(4, &[("a", Some("1")), ("a", Some("2"))]);
    let bytes = builder.producer(7, 1, 30).compression(Compression::Gzip).build();
    let last = |offset, epoch| HashMap::from([(7, LastRecord { last_data_offset: offset, producer_epoch: epoch })]);
    let (active, other) = (last(Some(5), 1), last(Some(4), 1));
    let (filtered, _) = run(&filter_at(&map, 0, &active), &bytes);
    let Filtered::Empty(empty) = filtered else { panic!("{filtered:?}") };
    assert_eq!((parse(&empty.bytes), empty.bytes.len()), (empty.clone(), HEADER_SIZE));
    empty.verify_crc().unwrap();
    let header = empty.header;
    assert_eq!((header.base_offset, header.last_offset(), header.last_sequence()), (4, 5, 31));
    assert_eq!((header.producer_id, header.producer_epoch, header.partition_leader_epoch), (7, 1, 3));
    assert_eq!(
        (header.record_count, header.base_timestamp, header.max_timestamp, header.attributes),
        (0, -1, 1_001, 0)
    );
    assert_eq!(run(&filter_at(&map, 0, &active), &empty.bytes).0, Filtered::Empty(empty.clone()), "again");
    assert_eq!(run(&filter_at(&map, 0, &other), &empty.bytes).0, Filtered::Dropped);
    assert_eq!(run(&filter_at(&map, 0, &other), &bytes).0, Filtered::Dropped);
}

#[test]
fn the_last_batch_of_the_range_stays_empty() {
    let map = map_of(9, &[("a", 9)]);
    let last = nobody();
    let filter = BatchFilter { upper_bound_offset: 6, ..filter_at(&map, 0, &last) };
    assert!(matches!(run(&filter, &batch(4, &[("a", Some("1")), ("a", None)])).0, Filtered::Empty(_)));
    assert_eq!(run(&filter, &batch(4, &[("a", Some("1"))])).0, Filtered::Dropped);
}

#[test]
fn aborted_data_goes_unread_and_its_marker_after_it() {
    let mut map = map_of(9, &[]);
    map.update_latest_offset(100);
    let aborted = AbortedTxn { producer_id: 7, first_offset: 0, last_offset: 2, last_stable_offset: 0 };
    let data = batch_builder(0, &[("a", Some("1"))]).producer(7, 0, 0).transactional().build();
    let abort = marker(2, 1_000, 7, 0, false);
    let last = nobody();
    let clean = |now_ms: i64, batches: &[&Bytes]| -> Vec<Filtered> {
        let filter = filter_at(&map, now_ms, &last);
        let mut transactions = CleanedTransactionMetadata::default();
        transactions.add_aborted([aborted]);
        let mut one = |bytes: &&Bytes| {
            let mut counts = FilterCounts::default();
            filter.filter(&parse(bytes), &mut transactions, &mut Decompressor::default(), &mut counts).unwrap()
        };
        batches.iter().map(&mut one).collect()
    };
    assert_eq!(clean(0, &[&data, &abort]), [Filtered::Dropped, Filtered::Unchanged]);
    let Some(Filtered::Rewritten(with_horizon)) = clean(5, &[&abort]).pop() else { panic!() };
    assert_eq!(with_horizon.header.delete_horizon(), Some(5 + DAY_MS));
    assert_eq!(records_of(&with_horizon), records_of(&parse(&abort)));
    assert!(with_horizon.header.is_control() && with_horizon.header.is_transactional());
    assert_eq!(clean(4 + DAY_MS, &[&with_horizon.bytes]), [Filtered::Unchanged]);
    assert_eq!(clean(5 + DAY_MS, &[&with_horizon.bytes]), [Filtered::Dropped]);
    let late = clean(5 + DAY_MS, &[&data, &with_horizon.bytes]);
    assert_eq!(late, [Filtered::Dropped, Filtered::Unchanged], "not before all data has gone");
}

#[test]
fn a_marker_that_is_all_that_is_known_of_a_producer_stays_empty() {
    let map = map_of(9, &[]);
    let last = |producer_epoch| HashMap::from([(7, LastRecord { last_data_offset: None, producer_epoch })]);
    let (own, other) = (last(3), last(4));
    let marker = marker(2, 1_000, 7, 3, true);
    let with_horizon = rewritten(&filter_at(&map, 5, &own), &marker);
    let (filtered, _) = run(&filter_at(&map, 5 + DAY_MS, &own), &with_horizon.bytes);
    let Filtered::Empty(empty) = filtered else { panic!("{filtered:?}") };
    assert!(empty.header.is_control());
    assert_eq!((empty.header.producer_epoch, empty.header.delete_horizon()), (3, None));
    assert_eq!(run(&filter_at(&map, 5 + DAY_MS, &other), &with_horizon.bytes).0, Filtered::Dropped);
    assert_eq!(run(&filter_at(&map, 5 + DAY_MS, &other), &empty.bytes).0, Filtered::Dropped);
}

#[test]
fn a_key_in_several_chunks_is_found() {
    let key = "k".repeat(300_000);
    let map = map_of(9, &[(&key, 5), ("a", 6)]);
    for codec in CODECS {
        let bytes =
            batch_builder(4, &[(&key, Some("old")), (&key, Some("new")), ("a", Some("1"))]).compression(codec).build();
        let kept = rewritten(&filter_at(&map, 0, &nobody()), &bytes);
        assert_eq!(records_of(&kept), records_of(&parse(&bytes))[1..], "{codec:?}");
    }
}

#[test]
fn a_batch_that_is_written_anew_follows_the_topics_codec_unless_it_becomes_too_large() {
    let map = map_of(9, &[("a", 1)]);
    let large = "x".repeat(1_000);
    let last = nobody();
    let bytes = batch_builder(0, &[("a", Some("old")), ("a", Some(&large))]).compression(Compression::Zstd).build();
    let own = filter_at(&map, 0, &last);
    let codec = |filter: &BatchFilter<'_>| rewritten(filter, &bytes).header.compression().unwrap();
    assert_eq!(codec(&own), Compression::Zstd);
    for target in CODECS {
        assert_eq!(codec(&BatchFilter { compression: Some(target), ..own }), target);
    }
    let tight = BatchFilter { compression: Some(Compression::None), max_message_bytes: 500, ..own };
    assert_eq!(codec(&tight), Compression::Zstd);
    let untouched = batch_builder(1, &[("a", Some("1"))]).compression(Compression::Gzip).build();
    assert_eq!(run(&BatchFilter { compression: Some(Compression::Lz4), ..own }, &untouched).0, Filtered::Unchanged);
}

#[test]
fn a_damaged_batch_is_an_error_and_changes_nothing() {
    let map = map_of(9, &[("a", 1)]);
    let mut bytes = batch_builder(0, &[("a", Some("old"))]).producer(7, 0, 0).transactional().build().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let mut transactions = CleanedTransactionMetadata::default();
    let last = nobody();
    let mut judge = |bytes: &Bytes| {
        let (mut decompressor, mut counts) = (Decompressor::default(), FilterCounts::default());
        filter_at(&map, 0, &last).filter(&parse(bytes), &mut transactions, &mut decompressor, &mut counts)
    };
    assert!(matches!(judge(&Bytes::from(bytes)), Err(BatchError::InvalidCrc { .. })));
    let Ok(Filtered::Rewritten(marker)) = judge(&marker(2, 1_000, 7, 0, true)) else { panic!() };
    assert!(marker.header.delete_horizon().is_some(), "no data of the transaction was seen");
}

#[test]
fn a_bomb_is_an_error() {
    let map = map_of(9, &[("a", 1)]);
    let bomb = "x".repeat(2 * LIMIT);
    let bytes = batch_builder(0, &[("a", Some(&bomb))]).compression(Compression::Zstd).build();
    let mut counts = FilterCounts::default();
    let filtered = filter_at(&map, 0, &nobody()).filter(
        &parse(&bytes),
        &mut CleanedTransactionMetadata::default(),
        &mut Decompressor::default(),
        &mut counts,
    );
    assert!(matches!(filtered, Err(BatchError::Compression(_))));
}
