//! How `kafka-console-consumer` prints the records of `__consumer_offsets`
//! (`org.apache.kafka.tools.consumer.OffsetsMessageFormatter` and `GroupMetadataMessageFormatter`). Pure.
//!
//! The fields are those of Kafka's message definitions, in their order, as far as the value's version has them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::records::encoding::to_base64;
use crate::protocol::coordinator_records::{
    CoordinatorRecord, GroupMetadataKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};
use crate::protocol::record_batch::Record;

/// Which records are printed; all others are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CoordinatorRecords {
    /// Committed offsets.
    Offsets,
    /// Classic groups.
    Groups,
}

impl CoordinatorRecords {
    /// Adds a record to what is printed: one JSON object, which no newline ends. The error is an exception of Java's.
    pub(super) fn write(self, record: &Record, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(key) = &record.key else { return Ok(()) };
        let decoded = CoordinatorRecord::decode(key, record.value.as_deref()).map_err(|error| {
            format!("java.lang.RuntimeException: Could not read record at offset {} due to: {error}", record.offset)
        })?;
        let version = |bytes: &Bytes| bytes.first_chunk().copied().map(i16::from_be_bytes).unwrap_or_default();
        let value_version = record.value.as_ref().map(version).unwrap_or_default();
        let (data, value) = match (self, decoded) {
            (Self::Offsets, Some(CoordinatorRecord::OffsetCommit { key, value })) => {
                (offset_key(&key), value.map(|value| offset_value(&value, value_version)))
            }
            (Self::Groups, Some(CoordinatorRecord::GroupMetadata { key, value })) => {
                (group_key(&key), value.map(|value| group_value(&value, value_version)))
            }
            _ => return Ok(()),
        };
        let value = value.map(|data| json!({ "version": value_version, "data": data }));
        let shown = json!({ "key": { "type": version(key), "data": data }, "value": value });
        out.extend_from_slice(shown.to_string().as_bytes());
        Ok(())
    }
}

fn offset_key(key: &OffsetCommitKey) -> Value {
    json!({ "group": &*key.group, "topic": &*key.topic, "partition": key.partition })
}

fn offset_value(value: &OffsetCommitValue, version: i16) -> Value {
    let fields = [
        ("offset", json!(value.offset), true),
        ("leaderEpoch", json!(value.leader_epoch), version >= 3),
        ("metadata", json!(&*value.metadata), true),
        ("commitTimestamp", json!(value.commit_timestamp_ms), true),
        ("expireTimestamp", json!(value.expire_timestamp_ms.unwrap_or(-1)), version == 1),
    ];
    object(fields)
}

fn group_key(key: &GroupMetadataKey) -> Value {
    json!({ "group": &*key.group })
}

fn group_value(value: &GroupMetadataValue, version: i16) -> Value {
    let fields = [
        ("protocolType", json!(&*value.protocol_type), true),
        ("generation", json!(value.generation), true),
        ("protocol", json!(value.protocol.as_deref()), true),
        ("leader", json!(value.leader.as_deref()), true),
        ("currentStateTimestamp", json!(value.current_state_timestamp_ms), version >= 2),
        ("members", value.members.iter().map(|member| member_value(member, version)).collect(), true),
    ];
    object(fields)
}

fn member_value(member: &MemberMetadata, version: i16) -> Value {
    let fields = [
        ("memberId", json!(&*member.member_id), true),
        ("groupInstanceId", json!(member.group_instance_id.as_deref()), version >= 3),
        ("clientId", json!(&*member.client_id), true),
        ("clientHost", json!(&*member.client_host), true),
        ("rebalanceTimeout", json!(member.rebalance_timeout_ms), version >= 1),
        ("sessionTimeout", json!(member.session_timeout_ms), true),
        ("subscription", json!(to_base64(&member.subscription, true)), true),
        ("assignment", json!(to_base64(&member.assignment, true)), true),
    ];
    object(fields)
}

/// An object of those fields that are there.
fn object<const N: usize>(fields: [(&str, Value, bool); N]) -> Value {
    fields.into_iter().filter(|(_, _, is_there)| *is_there).map(|(name, value, _)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(records: CoordinatorRecords, record: &CoordinatorRecord) -> String {
        let encoded = record.encode().unwrap();
        let record = Record { offset: 7, timestamp: 0, key: Some(encoded.key), value: encoded.value, headers: vec![] };
        let mut out = Vec::new();
        records.write(&record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn commit(expire_timestamp_ms: Option<i64>) -> CoordinatorRecord {
        let value = OffsetCommitValue {
            offset: 3,
            leader_epoch: 1,
            metadata: "note".into(),
            commit_timestamp_ms: 5,
            expire_timestamp_ms,
        };
        let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 2 };
        CoordinatorRecord::OffsetCommit { key, value: Some(value) }
    }

    #[test]
    fn offsets_are_shown_as_their_version_has_them() {
        let key = r#"{"key":{"type":1,"data":{"group":"g","topic":"t","partition":2}},"value":"#;
        let value = r#"{"version":3,"data":{"offset":3,"leaderEpoch":1,"metadata":"note","commitTimestamp":5}}}"#;
        assert_eq!(shown(CoordinatorRecords::Offsets, &commit(None)), format!("{key}{value}"));
        let value = r#"{"version":1,"data":{"offset":3,"metadata":"note","commitTimestamp":5,"expireTimestamp":9}}}"#;
        assert_eq!(shown(CoordinatorRecords::Offsets, &commit(Some(9))), format!("{key}{value}"));
        assert_eq!(shown(CoordinatorRecords::Groups, &commit(None)), "");
        let CoordinatorRecord::OffsetCommit { key: of, .. } = commit(None) else { unreachable!() };
        let gone = CoordinatorRecord::OffsetCommit { key: of, value: None };
        assert_eq!(shown(CoordinatorRecords::Offsets, &gone), format!("{key}null}}"));
    }

    #[test]
    fn groups_are_shown_with_their_members() {
        let member = MemberMetadata {
            member_id: "m-1".into(),
            group_instance_id: None,
            client_id: "m".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 2,
            session_timeout_ms: 1,
            subscription: Bytes::from_static(b"ab"),
            assignment: Bytes::new(),
        };
        let value = GroupMetadataValue {
            protocol_type: "consumer".into(),
            generation: 4,
            protocol: Some("range".into()),
            leader: None,
            current_state_timestamp_ms: 6,
            members: vec![member],
        };
        let key = GroupMetadataKey { group: "g".into() };
        let record = CoordinatorRecord::GroupMetadata { key, value: Some(value) };
        let expected = concat!(
            r#"{"key":{"type":2,"data":{"group":"g"}},"value":{"version":3,"data":{"protocolType":"consumer","generation":4,"#,
            r#""protocol":"range","leader":null,"currentStateTimestamp":6,"members":[{"memberId":"m-1","groupInstanceId":null,"#,
            r#""clientId":"m","clientHost":"/127.0.0.1","rebalanceTimeout":2,"sessionTimeout":1,"subscription":"YWI=","#,
            r#""assignment":""}]}}}"#,
        );
        assert_eq!(shown(CoordinatorRecords::Groups, &record), expected);
        assert_eq!(shown(CoordinatorRecords::Offsets, &record), "");
    }

    #[test]
    fn what_is_no_record_of_a_coordinator_is_told_or_passed_over() {
        let written = |key: Option<&'static [u8]>| {
            let record =
                Record { offset: 7, timestamp: 0, key: key.map(Bytes::from_static), value: None, headers: vec![] };
            let mut out = Vec::new();
            CoordinatorRecords::Offsets.write(&record, &mut out).map(|()| out.len())
        };
        assert_eq!((written(None), written(Some(&[0, 9, 1]))), (Ok(0), Ok(0)));
        let error = written(Some(&[0])).expect_err("half a version");
        assert!(error.starts_with("java.lang.RuntimeException: Could not read record at offset 7 due to: "), "{error}");
    }
}
