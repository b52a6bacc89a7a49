//! Fixed byte vectors of every version, round trips, and damaged records.

use proptest::prelude::*;

use super::*;

fn text(value: &str) -> Arc<str> {
    value.into()
}

fn unhex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn offset_commit(value: Option<OffsetCommitValue>) -> CoordinatorRecord {
    CoordinatorRecord::OffsetCommit { key: OffsetCommitKey { group: text("g"), topic: text("t"), partition: 7 }, value }
}

fn committed() -> OffsetCommitValue {
    OffsetCommitValue {
        offset: 42,
        leader_epoch: 5,
        metadata: text("m"),
        commit_timestamp_ms: 1_000,
        expire_timestamp_ms: None,
    }
}

fn group() -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: text("consumer"),
        generation: 3,
        protocol: Some(text("range")),
        leader: Some(text("a")),
        current_state_timestamp_ms: 1_000,
        members: vec![MemberMetadata {
            member_id: text("a"),
            group_instance_id: Some(text("i")),
            client_id: text("c"),
            client_host: text("/h"),
            rebalance_timeout_ms: 2,
            session_timeout_ms: 1,
            subscription: Bytes::from_static(b"\x01"),
            assignment: Bytes::from_static(b"\x02\x03"),
        }],
    }
}

fn group_record(value: Option<GroupMetadataValue>) -> CoordinatorRecord {
    CoordinatorRecord::GroupMetadata { key: GroupMetadataKey { group: text("g") }, value }
}

const OFFSET_KEY: &str = "0001 0001 67 0001 74 00000007";
const GROUP_KEY: &str = "0002 0001 67";

fn decode(key: &str, value: &str) -> Result<Option<CoordinatorRecord>, CoordinatorRecordError> {
    CoordinatorRecord::decode(&unhex(key), Some(&unhex(value)))
}

#[test]
fn an_offset_commit_is_written_as_kafka_4_1_writes_it() {
    let encoded = offset_commit(Some(committed())).encode().unwrap();
    assert_eq!(&encoded.key[..], unhex(OFFSET_KEY));
    assert_eq!(&encoded.value.unwrap()[..], unhex("0003 000000000000002a 00000005 0001 6d 00000000000003e8"));
}

#[test]
fn an_offset_commit_with_an_expire_timestamp_is_written_as_version_1() {
    let value = OffsetCommitValue { expire_timestamp_ms: Some(2_000), ..committed() };
    let encoded = offset_commit(Some(value)).encode().unwrap();
    assert_eq!(&encoded.value.unwrap()[..], unhex("0001 000000000000002a 0001 6d 00000000000003e8 00000000000007d0"));
}

#[test]
fn every_version_of_an_offset_commit_is_read() {
    let plain = OffsetCommitValue { leader_epoch: -1, ..committed() };
    let expiring = OffsetCommitValue { expire_timestamp_ms: Some(2_000), ..plain.clone() };
    let cases = [
        ("0000 000000000000002a 0001 6d 00000000000003e8", plain.clone()),
        ("0001 000000000000002a 0001 6d 00000000000003e8 00000000000007d0", expiring),
        ("0001 000000000000002a 0001 6d 00000000000003e8 ffffffffffffffff", plain.clone()),
        ("0002 000000000000002a 0001 6d 00000000000003e8", plain),
        ("0003 000000000000002a 00000005 0001 6d 00000000000003e8", committed()),
        ("0004 000000000000002a 00000005 02 6d 00000000000003e8 00", committed()),
        // The topic id that Kafka 4.2 adds as tagged field 0 is skipped.
        (
            "0004 000000000000002a 00000005 02 6d 00000000000003e8 01 00 10 000102030405060708090a0b0c0d0e0f",
            committed(),
        ),
    ];
    for (bytes, value) in cases {
        assert_eq!(decode(OFFSET_KEY, bytes), Ok(Some(offset_commit(Some(value)))), "{bytes}");
        let old_key = OFFSET_KEY.replacen("0001", "0000", 1);
        assert!(matches!(decode(&old_key, bytes), Ok(Some(CoordinatorRecord::OffsetCommit { .. }))));
    }
}

#[test]
fn a_group_is_written_as_kafka_4_1_writes_it() {
    let encoded = group_record(Some(group())).encode().unwrap();
    assert_eq!(&encoded.key[..], unhex(GROUP_KEY));
    let expected = "0003 0008 636f6e73756d6572 00000003 0005 72616e6765 0001 61 00000000000003e8 00000001
        0001 61 0001 69 0001 63 0002 2f68 00000002 00000001 00000001 01 00000002 0203";
    assert_eq!(&encoded.value.unwrap()[..], unhex(expected));
}

#[test]
fn every_version_of_a_group_is_read() {
    let mut oldest = group();
    oldest.current_state_timestamp_ms = -1;
    oldest.members[0].group_instance_id = None;
    oldest.members[0].rebalance_timeout_ms = -1;
    let mut first = oldest.clone();
    first.members[0].rebalance_timeout_ms = 2;
    let mut second = first.clone();
    second.current_state_timestamp_ms = 1_000;
    let head = "0008 636f6e73756d6572 00000003 0005 72616e6765 0001 61";
    let tail = "00000001 00000001 01 00000002 0203";
    let cases = [
        (format!("0000 {head} 00000001 0001 61 0001 63 0002 2f68 {tail}"), oldest),
        (format!("0001 {head} 00000001 0001 61 0001 63 0002 2f68 00000002 {tail}"), first),
        (format!("0002 {head} 00000000000003e8 00000001 0001 61 0001 63 0002 2f68 00000002 {tail}"), second),
        (
            "0004 09 636f6e73756d6572 00000003 06 72616e6765 02 61 00000000000003e8 02
             02 61 02 69 02 63 03 2f68 00000002 00000001 02 01 03 0203 00 00"
                .to_owned(),
            group(),
        ),
    ];
    for (bytes, value) in cases {
        assert_eq!(decode(GROUP_KEY, &bytes), Ok(Some(group_record(Some(value)))), "{bytes}");
    }
}

#[test]
fn an_empty_group_has_neither_protocol_nor_leader() {
    let empty = GroupMetadataValue { protocol: None, leader: None, members: Vec::new(), ..group() };
    let record = group_record(Some(empty));
    let encoded = record.encode().unwrap();
    assert_eq!(
        &encoded.value.as_ref().unwrap()[..],
        unhex("0003 0008 636f6e73756d6572 00000003 ffff ffff 00000000000003e8 00000000")
    );
    assert_eq!(CoordinatorRecord::decode(&encoded.key, encoded.value.as_deref()), Ok(Some(record)));
}

#[test]
fn tombstones_have_a_key_only() {
    for record in [offset_commit(None), group_record(None)] {
        let encoded = record.encode().unwrap();
        assert_eq!(encoded.value, None);
        assert_eq!(CoordinatorRecord::decode(&encoded.key, None), Ok(Some(record)));
    }
}

#[test]
fn keys_of_other_versions_are_skipped_and_values_of_other_versions_are_errors() {
    assert_eq!(decode("0003 0001 67", "ffff"), Ok(None));
    assert_eq!(decode("7fff", ""), Ok(None));
    assert_eq!(decode(GROUP_KEY, "0005 00"), Err(CoordinatorRecordError::UnknownVersion(5)));
    assert_eq!(decode(OFFSET_KEY, "ffff"), Err(CoordinatorRecordError::UnknownVersion(-1)));
}

#[test]
fn a_hostile_count_or_length_reserves_nothing() {
    let head = "0003 0001 63 00000003 ffff ffff 00000000000003e8";
    assert_eq!(decode(GROUP_KEY, &format!("{head} 7fffffff")), Err(CoordinatorRecordError::Truncated));
    assert_eq!(decode(GROUP_KEY, &format!("{head} fffffffe")), Err(CoordinatorRecordError::BadLength));
    assert_eq!(decode("0002 7fff 67", "0003"), Err(CoordinatorRecordError::Truncated));
    assert_eq!(decode("0002 0001 ff", "0003"), Err(CoordinatorRecordError::NotUtf8));
    assert_eq!(decode(OFFSET_KEY, "0004 000000000000002a 00000005 ffffffffff"), Err(CoordinatorRecordError::BadLength));
}

#[test]
fn a_string_that_does_not_fit_is_refused() {
    let mut value = committed();
    value.metadata = "x".repeat(32_768).into();
    assert_eq!(offset_commit(Some(value)).encode(), Err(CoordinatorRecordError::TooLong));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        offset in any::<i64>(), epoch in any::<i32>(), metadata in ".{0,20}", at in any::<i64>(), generation in any::<i32>(),
        names in prop::collection::vec((".{0,9}", any::<Vec<u8>>()), 0..4),
    ) {
        let committed = OffsetCommitValue {
            offset, leader_epoch: epoch, metadata: metadata.as_str().into(), commit_timestamp_ms: at, expire_timestamp_ms: None,
        };
        let mut value = group();
        value.generation = generation;
        let first = value.members.remove(0);
        value.members = names.iter().map(|(name, bytes)| MemberMetadata {
            member_id: name.as_str().into(), assignment: bytes.clone().into(), ..first.clone()
        }).collect();
        for record in [offset_commit(Some(committed)), group_record(Some(value))] {
            let encoded = record.encode().unwrap();
            prop_assert_eq!(CoordinatorRecord::decode(&encoded.key, encoded.value.as_deref()), Ok(Some(record)));
        }
    }

    #[test]
    fn no_bytes_panic(key_version in -1i16..4, key in any::<Vec<u8>>(), version in -1i16..6, value in any::<Vec<u8>>()) {
        let key = [&key_version.to_be_bytes()[..], &key].concat();
        let value = [&version.to_be_bytes()[..], &value].concat();
        let _ = CoordinatorRecord::decode(&key, Some(&value));
        let _ = CoordinatorRecord::decode(&unhex(GROUP_KEY), Some(&value));
        let _ = CoordinatorRecord::decode(&unhex(OFFSET_KEY), Some(&value));
    }
}
