//! Bytes as Kafka writes them, both versions, round trips, and damaged records.

use proptest::prelude::*;

use super::*;

fn unhex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn partitions(named: &[(&str, i32)]) -> BTreeSet<TopicPartition> {
    named.iter().map(|(topic, partition)| TopicPartition::new(*topic, *partition)).collect()
}

fn value() -> TransactionLogValue {
    TransactionLogValue {
        producer_id: 7,
        previous_producer_id: NO_PRODUCER_ID,
        next_producer_id: NO_PRODUCER_ID,
        producer_epoch: 3,
        timeout_ms: 60_000,
        state: TransactionState::Ongoing,
        partitions: partitions(&[("t", 0), ("t", 2), ("u", 1)]),
        last_update_ms: 1_001,
        start_ms: 1_000,
        client_transaction_version: 0,
    }
}

fn record(value: Option<TransactionLogValue>) -> TransactionRecord {
    TransactionRecord { transactional_id: "x".into(), value }
}

const KEY: &str = "0000 0001 78";

fn decode(bytes: &str) -> Result<TransactionLogValue, CoordinatorRecordError> {
    TransactionRecord::decode(&unhex(KEY), Some(&unhex(bytes))).map(|record| record.unwrap().value.unwrap())
}

/// The log of `__transaction_state` in `tests/fixtures/kafka-4.1-data.clean.tar.gz`: a commit, then an abort.
#[test]
fn what_kafka_4_1_wrote_is_read_and_written_again_to_the_byte() {
    let topic = "02 0e 7472616e73616374696f6e616c 02 00000000 00";
    let log = [
        (TransactionState::Empty, "00".to_owned(), "000001a21b0a2940", "ffffffffffffffff"),
        (TransactionState::Ongoing, topic.to_owned(), "000001a21b0a294f", "000001a21b0a294f"),
        (TransactionState::PrepareCommit, topic.to_owned(), "000001a21b0a2968", "000001a21b0a294f"),
        (TransactionState::CompleteCommit, "01".to_owned(), "000001a21b0a296d", "000001a21b0a294f"),
        (TransactionState::Ongoing, topic.to_owned(), "000001a21b0a299e", "000001a21b0a299e"),
        (TransactionState::PrepareAbort, topic.to_owned(), "000001a21b0a29a7", "000001a21b0a299e"),
        (TransactionState::CompleteAbort, "01".to_owned(), "000001a21b0a29a9", "000001a21b0a299e"),
    ];
    let key = unhex("0000 0007 66697874757265");
    for (state, topics, updated, started) in log {
        let text = format!("0001 0000000000000004 0000 0000ea60 {:02x} {topics} {updated} {started} 00", state as i8);
        let bytes = unhex(&text);
        let read = TransactionRecord::decode(&key, Some(&bytes)).unwrap().unwrap();
        assert_eq!(&*read.transactional_id, "fixture");
        let value = read.value.as_ref().unwrap();
        assert_eq!((value.producer_id, value.producer_epoch, value.timeout_ms), (4, 0, 60_000));
        assert_eq!((value.state, value.client_transaction_version), (state, 0));
        let added = if topics.len() > 2 { partitions(&[("transactional", 0)]) } else { BTreeSet::new() };
        assert_eq!(value.partitions, added);
        let written = read.encode().unwrap();
        assert_eq!((&written.key[..], &written.value.unwrap()[..]), (&key[..], &bytes[..]));
    }
}

#[test]
fn both_versions_are_read() {
    let fields = "0000000000000007 0003 0000ea60 01";
    let topics = "00000002 0001 74 00000002 00000000 00000002 0001 75 00000001 00000001";
    let times = "00000000000003e9 00000000000003e8";
    assert_eq!(decode(&format!("0000 {fields} {topics} {times}")), Ok(value()));
    let topics = "03 02 74 03 00000000 00000002 00 02 75 02 00000001 00";
    assert_eq!(decode(&format!("0001 {fields} {topics} {times} 00")), Ok(value()));
    let tagged = "03 00 08 0000000000000005 01 08 0000000000000009 02 02 0002";
    let second =
        TransactionLogValue { previous_producer_id: 5, next_producer_id: 9, client_transaction_version: 2, ..value() };
    assert_eq!(decode(&format!("0001 {fields} {topics} {times} {tagged}")), Ok(second.clone()));
    assert_eq!(
        &record(Some(second)).encode().unwrap().value.unwrap()[..],
        unhex(&format!("0001 {fields} {topics} {times} {tagged}"))
    );
    // A field of a later version is skipped.
    assert_eq!(decode(&format!("0001 {fields} {topics} {times} 01 03 02 0007")), Ok(value()));
}

#[test]
fn before_there_is_a_transaction_its_partitions_are_null() {
    let empty = TransactionLogValue {
        state: TransactionState::Empty,
        partitions: BTreeSet::new(),
        start_ms: NO_START,
        ..value()
    };
    let bytes = "0000000000000007 0003 0000ea60 00";
    assert_eq!(decode(&format!("0000 {bytes} ffffffff 00000000000003e9 ffffffffffffffff")), Ok(empty.clone()));
    let written = record(Some(empty)).encode().unwrap().value.unwrap();
    assert_eq!(&written[..], unhex(&format!("0001 {bytes} 00 00000000000003e9 ffffffffffffffff 00")));
}

#[test]
fn a_tombstone_has_a_key_only_and_other_keys_are_skipped() {
    let written = record(None).encode().unwrap();
    assert_eq!((&written.key[..], &written.value), (&unhex(KEY)[..], &None));
    assert_eq!(TransactionRecord::decode(&written.key, None), Ok(Some(record(None))));
    assert_eq!(TransactionRecord::decode(&unhex("0001 0001 78"), None), Ok(None));
}

#[test]
fn what_cannot_be_is_refused() {
    assert_eq!(decode("0002"), Err(CoordinatorRecordError::UnknownVersion(2)));
    assert_eq!(decode("0001 0000000000000007 0003 0000ea60 08"), Err(CoordinatorRecordError::UnknownState(8)));
    assert_eq!(decode("0001 0000000000000007 0003 0000ea60 ff"), Err(CoordinatorRecordError::UnknownState(-1)));
    let head = "0000000000000007 0003 0000ea60 01";
    assert_eq!(decode(&format!("0000 {head} 7fffffff")), Err(CoordinatorRecordError::Truncated));
    assert_eq!(decode(&format!("0001 {head} 02 02 74 ffffffff07")), Err(CoordinatorRecordError::Truncated));
    let times = "00000000000003e9 00000000000003e8";
    assert_eq!(decode(&format!("0001 {head} 01 {times} 01 02 04 00000002")), Err(CoordinatorRecordError::BadLength));
    let long = TransactionRecord { transactional_id: "x".repeat(32_768).into(), value: None };
    assert_eq!(long.encode(), Err(CoordinatorRecordError::TooLong));
}

#[test]
fn states_go_by_kafka_s_numbers_and_names() {
    for (number, state) in (0_i8..).zip(TransactionState::ALL) {
        assert_eq!(state as i8, number);
        assert_eq!(TransactionState::from_name(state.name()), Some(state));
        assert_eq!(TransactionState::from_number(number), Ok(state));
    }
    assert_eq!(TransactionState::from_name("ongoing"), None, "Kafka compares them to the letter");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        ids in any::<[i64; 3]>(), epoch in any::<i16>(), timeout_ms in any::<i32>(), state in 1_usize..8, times in any::<[i64; 2]>(),
        version in any::<i16>(), named in prop::collection::btree_set((".{0,9}", any::<i32>()), 0..6),
    ) {
        let value = TransactionLogValue {
            producer_id: ids[0], previous_producer_id: ids[1], next_producer_id: ids[2], producer_epoch: epoch, timeout_ms,
            state: TransactionState::ALL[state],
            partitions: named.iter().map(|(topic, partition)| TopicPartition::new(topic.as_str(), *partition)).collect(),
            last_update_ms: times[0], start_ms: times[1], client_transaction_version: version,
        };
        let written = record(Some(value.clone())).encode().unwrap();
        prop_assert_eq!(TransactionRecord::decode(&written.key, written.value.as_deref()), Ok(Some(record(Some(value)))));
    }

    #[test]
    fn no_bytes_panic(key in any::<Vec<u8>>(), version in -1i16..3, value in any::<Vec<u8>>()) {
        let value = [&version.to_be_bytes()[..], &value].concat();
        let _ = TransactionRecord::decode(&key, Some(&value));
        let _ = TransactionRecord::decode(&unhex(KEY), Some(&value));
    }
}
