//! The records of Apache Kafka's own metadata log (`KRaft`), read to take its cluster over.
//!
//! A record's value is a frame version, a type and a version, each an unsigned varint, and then the fields in the compact
//! encodings of KIP-482. The table below is Kafka 4.1's, field by field. Fields that nobody here needs begin with `_`.
//! A type, a version or a tagged field that the table does not know is an error, for to pass over a change would make a
//! different cluster of it. Source: `common/metadata/*.json`, and `MetadataRecordSerde`; for control records
//! `LeaderChangeMessage` and `VotersRecord`.

use std::sync::Arc;

use crate::ids::Uuid;

/// The only frame version that there has been since Kafka 3.0.
const FRAME_VERSION: u32 = 1;

/// The types of control records in the metadata log (`ControlRecordType`).
const LEADER_CHANGE: i16 = 2;
const SNAPSHOT_HEADER: i16 = 3;
const SNAPSHOT_FOOTER: i16 = 4;
const KRAFT_VERSION: i16 = 5;
const KRAFT_VOTERS: i16 = 6;

/// Why bytes are not a record that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KraftRecordError {
    #[error("a metadata record has frame version {0}")]
    UnknownFrame(u32),
    #[error("metadata records of type {0} are unknown")]
    UnknownType(u32),
    #[error("version {version} of the metadata record {record} is unknown")]
    UnknownVersion { record: &'static str, version: u32 },
    #[error("the tagged field {tag} of the metadata record {record} is unknown")]
    UnknownTag { record: &'static str, tag: u32 },
    #[error("control records of type {0} are unknown in a metadata log")]
    UnknownControl(i16),
    #[error("a metadata record is malformed ({0})")]
    Malformed(&'static str),
}

/// One type of a field. A tuple is a structure of several, which has tagged fields of its own.
trait KraftField: Sized {
    /// Takes the field from the front of `bytes`; `None` where they are something else.
    fn read(bytes: &mut &[u8]) -> Option<Self>;
}

/// Declares the records: their numbers, their newest versions, and their fields in order, some only since a version; then
/// the tagged fields with what they are when they are not there.
macro_rules! kraft_records {
    ($($key:literal $record:ident 0..=$newest:literal {
        $($field:ident: $type:ty $(, since $since:literal)?;)*
        $(#$tag:literal $tagged:ident: $tagged_type:ty = $default:expr;)*
    })*) => {
        /// A change of Kafka's metadata.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) enum KraftRecord {
            $($record { $($field: $type,)* $($tagged: $tagged_type,)* },)*
        }

        fn read_fields(key: u32, version: u32, bytes: &mut &[u8]) -> Result<KraftRecord, KraftRecordError> {
            match key {
                $($key => {
                    const RECORD: &str = stringify!($record);
                    if version > $newest {
                        return Err(KraftRecordError::UnknownVersion { record: RECORD, version });
                    }
                    $(let $field = if is_there(version, &[$($since)?]) {
                        <$type>::read(bytes).ok_or(KraftRecordError::Malformed(RECORD))?
                    } else {
                        <$type>::default()
                    };)*
                    $(let mut $tagged: $tagged_type = $default;)*
                    read_tagged(bytes, RECORD, |tag, value| match tag {
                        $($tag => read_whole(value).map(|read| {
                            $tagged = read;
                            true
                        }),)*
                        _ => {
                            let _unread = value;
                            Some(false)
                        }
                    })?;
                    Ok(KraftRecord::$record { $($field,)* $($tagged,)* })
                })*
                _ => Err(KraftRecordError::UnknownType(key)),
            }
        }
    };
}

/// Whether a field that came with the version `since`, if with any, is in a record of `version`.
fn is_there(version: u32, since: &[u32]) -> bool {
    since.iter().all(|since| version >= *since)
}

/// A listener: name, host, port, security protocol.
type KraftEndpoint = (Arc<str>, Arc<str>, u16, i16);

/// A feature: name, and the lowest and highest level.
type FeatureRange = (Arc<str>, i16, i16);

kraft_records! {
    0 RegisterBroker 0..=3 {
        broker_id: i32;
        is_migrating_zk_broker: bool, since 2;
        _incarnation_id: Uuid;
        _broker_epoch: i64;
        _end_points: Vec<KraftEndpoint>;
        _features: Vec<FeatureRange>;
        _rack: Option<Arc<str>>;
        _fenced: bool;
        _in_controlled_shutdown: bool, since 1;
        #0 log_dirs: Vec<Uuid> = Vec::new();
    }
    1 UnregisterBroker 0..=0 { broker_id: i32; _broker_epoch: i64; }
    2 Topic 0..=0 { name: Arc<str>; topic_id: Uuid; }
    3 Partition 0..=2 {
        partition_id: i32;
        topic_id: Uuid;
        replicas: Vec<i32>;
        isr: Vec<i32>;
        removing_replicas: Vec<i32>;
        adding_replicas: Vec<i32>;
        leader: i32;
        leader_epoch: i32;
        partition_epoch: i32;
        directories: Vec<Uuid>, since 1;
        #0 _leader_recovery_state: i8 = 0;
        #1 _eligible_leader_replicas: Option<Vec<i32>> = None;
        #2 _last_known_elr: Option<Vec<i32>> = None;
    }
    4 Config 0..=0 { resource_type: i8; resource_name: Arc<str>; name: Arc<str>; value: Option<Arc<str>>; }
    5 PartitionChange 0..=2 {
        partition_id: i32;
        topic_id: Uuid;
        #0 isr: Option<Vec<i32>> = None;
        #1 leader: i32 = NO_LEADER_CHANGE;
        #2 replicas: Option<Vec<i32>> = None;
        #3 removing_replicas: Option<Vec<i32>> = None;
        #4 adding_replicas: Option<Vec<i32>> = None;
        #5 _leader_recovery_state: i8 = -1;
        #6 _eligible_leader_replicas: Option<Vec<i32>> = None;
        #7 _last_known_elr: Option<Vec<i32>> = None;
        #8 directories: Option<Vec<Uuid>> = None;
    }
    7 FenceBroker 0..=0 { _id: i32; _epoch: i64; }
    8 UnfenceBroker 0..=0 { _id: i32; _epoch: i64; }
    9 RemoveTopic 0..=0 { topic_id: Uuid; }
    10 DelegationToken 0..=0 {
        _owner: Arc<str>;
        _requester: Arc<str>;
        _renewers: Vec<Arc<str>>;
        _issue_timestamp: i64;
        _max_timestamp: i64;
        _expiration_timestamp: i64;
        token_id: Arc<str>;
    }
    11 UserScramCredential 0..=0 {
        name: Arc<str>;
        mechanism: i8;
        salt: Arc<[u8]>;
        stored_key: Arc<[u8]>;
        server_key: Arc<[u8]>;
        iterations: i32;
    }
    12 FeatureLevel 0..=0 { name: Arc<str>; feature_level: i16; }
    14 ClientQuota 0..=0 { entity: Vec<(Arc<str>, Option<Arc<str>>)>; key: Arc<str>; value: f64; remove: bool; }
    15 ProducerIds 0..=0 { _broker_id: i32; _broker_epoch: i64; next_producer_id: i64; }
    17 BrokerRegistrationChange 0..=2 {
        broker_id: i32;
        _broker_epoch: i64;
        #0 _fenced: i8 = 0;
        #1 _in_controlled_shutdown: i8 = 0;
        #2 log_dirs: Vec<Uuid> = Vec::new();
    }
    18 AccessControlEntry 0..=0 {
        id: Uuid;
        _resource_type: i8;
        _resource_name: Arc<str>;
        _pattern_type: i8;
        _principal: Arc<str>;
        _host: Arc<str>;
        _operation: i8;
        _permission_type: i8;
    }
    19 RemoveAccessControlEntry 0..=0 { id: Uuid; }
    20 NoOp 0..=0 {}
    21 ZkMigrationState 0..=0 { state: i8; }
    22 RemoveUserScramCredential 0..=0 { name: Arc<str>; mechanism: i8; }
    23 BeginTransaction 0..=0 { #0 _name: Option<Arc<str>> = None; }
    24 EndTransaction 0..=0 {}
    25 AbortTransaction 0..=0 { #0 _reason: Option<Arc<str>> = None; }
    26 RemoveDelegationToken 0..=0 { token_id: Arc<str>; }
    27 RegisterController 0..=0 {
        controller_id: i32;
        _incarnation_id: Uuid;
        _zk_migration_ready: bool;
        _end_points: Vec<KraftEndpoint>;
        _features: Vec<FeatureRange>;
    }
    28 ClearElr 0..=0 { _topic_name: Arc<str>; }
}

/// What the field `leader` of a partition's change is where the leader did not change.
pub(crate) const NO_LEADER_CHANGE: i32 = -2;

impl KraftRecord {
    /// Reads a record's value.
    pub(crate) fn read(mut value: &[u8]) -> Result<Self, KraftRecordError> {
        const FRAME: KraftRecordError = KraftRecordError::Malformed("frame");
        let bytes = &mut value;
        let frame = varint(bytes).ok_or(FRAME)?;
        if frame != FRAME_VERSION {
            return Err(KraftRecordError::UnknownFrame(frame));
        }
        let (key, version) = (varint(bytes).ok_or(FRAME)?, varint(bytes).ok_or(FRAME)?);
        let record = read_fields(key, version, bytes)?;
        if bytes.is_empty() { Ok(record) } else { Err(KraftRecordError::Malformed("it goes on behind its fields")) }
    }
}

/// What the quorum itself has written into its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KraftControlRecord {
    /// A leadership began: the leader and the voters.
    LeaderChange { leader_id: i32, voters: Vec<i32> },
    /// The begin of a snapshot.
    SnapshotHeader,
    /// The end of a snapshot; without it, it is not whole.
    SnapshotFooter,
    /// The version of the protocol among the voters.
    KraftVersion,
    /// The voters (KIP-853).
    Voters(Vec<i32>),
}

/// A voter in [`KraftControlRecord::Voters`]: its id, its directory's id, its listeners, and the versions that it knows.
type Voter = (i32, Uuid, Vec<(Arc<str>, Arc<str>, u16)>, (i16, i16));

impl KraftControlRecord {
    /// Reads a record of a control batch.
    pub(crate) fn read(mut key: &[u8], mut value: &[u8]) -> Result<Self, KraftRecordError> {
        const MALFORMED: KraftRecordError = KraftRecordError::Malformed("control record");
        let _version = i16::read(&mut key).ok_or(MALFORMED)?;
        let control_type = i16::read(&mut key).ok_or(MALFORMED)?;
        match control_type {
            LEADER_CHANGE => Self::read_leader_change(&mut value).ok_or(MALFORMED),
            SNAPSHOT_HEADER => Ok(Self::SnapshotHeader),
            SNAPSHOT_FOOTER => Ok(Self::SnapshotFooter),
            KRAFT_VERSION => Ok(Self::KraftVersion),
            KRAFT_VOTERS => {
                let _version = i16::read(&mut value).ok_or(MALFORMED)?;
                let voters = Vec::<Voter>::read(&mut value).ok_or(MALFORMED)?;
                Ok(Self::Voters(voters.into_iter().map(|(id, ..)| id).collect()))
            }
            other => Err(KraftRecordError::UnknownControl(other)),
        }
    }

    fn read_leader_change(value: &mut &[u8]) -> Option<Self> {
        let (version, leader_id) = (i16::read(value)?, i32::read(value)?);
        let voters = match version {
            0 => Vec::<(i32,)>::read(value)?.into_iter().map(|(id,)| id).collect(),
            // Voters have directory ids since version 1 (KIP-853).
            _ => Vec::<(i32, Uuid)>::read(value)?.into_iter().map(|(id, _)| id).collect(),
        };
        Some(Self::LeaderChange { leader_id, voters })
    }
}

fn take<'a>(bytes: &mut &'a [u8], size: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(size)?;
    *bytes = rest;
    Some(taken)
}

/// An unsigned varint of 32 bits at most.
fn varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = u8::read(bytes)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok();
        }
    }
    None
}

/// A length as it is written: plus one, and 0 for null.
fn length_plus_one(bytes: &mut &[u8]) -> Option<usize> {
    varint(bytes).map(|length| length as usize)
}

/// Gives the tagged fields at the end of a record to `read`, which answers whether it knows the tag.
fn read_tagged(
    bytes: &mut &[u8],
    record: &'static str,
    mut read: impl FnMut(u32, &[u8]) -> Option<bool>,
) -> Result<(), KraftRecordError> {
    let malformed = KraftRecordError::Malformed(record);
    for _ in 0..varint(bytes).ok_or(malformed)? {
        let tag = varint(bytes).ok_or(malformed)?;
        let size = varint(bytes).ok_or(malformed)?;
        let value = take(bytes, size as usize).ok_or(malformed)?;
        if !read(tag, value).ok_or(malformed)? {
            return Err(KraftRecordError::UnknownTag { record, tag });
        }
    }
    Ok(())
}

/// A field that is all there is.
fn read_whole<T: KraftField>(mut bytes: &[u8]) -> Option<T> {
    T::read(&mut bytes).filter(|_| bytes.is_empty())
}

/// Passes over the tagged fields at the end of a structure inside a record.
fn pass_over_tags(bytes: &mut &[u8]) -> Option<()> {
    for _ in 0..varint(bytes)? {
        varint(bytes)?;
        let size = varint(bytes)? as usize;
        take(bytes, size)?;
    }
    Some(())
}

macro_rules! number_fields {
    ($($number:ty),*) => {$(
        impl KraftField for $number {
            fn read(bytes: &mut &[u8]) -> Option<Self> {
                let bytes = take(bytes, size_of::<Self>())?;
                Some(Self::from_be_bytes(bytes.try_into().ok()?))
            }
        }
    )*};
}

number_fields!(u8, i8, i16, u16, i32, i64, f64);

macro_rules! structures {
    ($(($($field:ident),*))*) => {$(
        impl<$($field: KraftField),*> KraftField for ($($field,)*) {
            fn read(bytes: &mut &[u8]) -> Option<Self> {
                let structure = ($($field::read(bytes)?,)*);
                pass_over_tags(bytes)?;
                Some(structure)
            }
        }
    )*};
}

structures! { (A) (A, B) (A, B, C) (A, B, C, D) }

impl KraftField for bool {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        u8::read(bytes).map(|byte| byte != 0)
    }
}

impl KraftField for Uuid {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self::from_bytes(take(bytes, 16)?.try_into().ok()?))
    }
}

impl KraftField for Option<Arc<str>> {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let Some(length) = length_plus_one(bytes)?.checked_sub(1) else { return Some(None) };
        std::str::from_utf8(take(bytes, length)?).ok().map(|text| Some(text.into()))
    }
}

impl KraftField for Arc<str> {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Option::read(bytes)?
    }
}

impl KraftField for Arc<[u8]> {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let length = length_plus_one(bytes)?.checked_sub(1)?;
        take(bytes, length).map(Into::into)
    }
}

impl<T: KraftField> KraftField for Option<Vec<T>> {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let Some(length) = length_plus_one(bytes)?.checked_sub(1) else { return Some(None) };
        // No capacity from the length: each item takes a byte at least, and ends the reading where there is none.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(T::read(bytes)?);
        }
        Some(Some(items))
    }
}

impl<T: KraftField> KraftField for Vec<T> {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Option::read(bytes)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_field_by_field() {
        let id = [7; 16];
        let topic = [&[1, 2, 0, 4][..], b"abc", &id, &[0]].concat();
        let expected = KraftRecord::Topic { name: "abc".into(), topic_id: Uuid::from_bytes(id) };
        assert_eq!(KraftRecord::read(&topic), Ok(expected));
        // PartitionChange of partition 1 without a leader (-1): tag 1, four bytes.
        let change = [&[1, 5, 2, 0, 0, 0, 1][..], &id, &[1, 1, 4, 255, 255, 255, 255]].concat();
        let Ok(KraftRecord::PartitionChange { partition_id: 1, isr: None, leader: -1, replicas: None, .. }) =
            KraftRecord::read(&change)
        else {
            panic!("{:?}", KraftRecord::read(&change));
        };
        // The directories came with version 1 of Partition.
        let partition = |version: u8, directories: &[u8]| {
            let numbers = [[0; 4], [0, 0, 0, 3], [0, 0, 0, 5]].concat();
            let nodes = [2, 0, 0, 0, 1];
            [&[1, 3, version, 0, 0, 0, 2][..], &id, &nodes, &nodes, &[1, 1], &numbers, directories, &[0]].concat()
        };
        for (bytes, count) in [(partition(0, &[]), 0), (partition(1, &[&[2][..], &id].concat()), 1)] {
            match KraftRecord::read(&bytes) {
                Ok(KraftRecord::Partition { partition_id: 2, leader: 0, leader_epoch: 3, directories, .. }) => {
                    assert_eq!(directories.len(), count);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_the_table_does_not_know_is_an_error() {
        let cases: [(&[u8], KraftRecordError); 7] = [
            (&[0, 20, 0, 0], KraftRecordError::UnknownFrame(0)),
            (&[1, 29, 0, 0], KraftRecordError::UnknownType(29)),
            (&[1, 20, 1, 0], KraftRecordError::UnknownVersion { record: "NoOp", version: 1 }),
            (&[1, 20, 0, 1, 9, 0], KraftRecordError::UnknownTag { record: "NoOp", tag: 9 }),
            (&[1, 20, 0, 0, 0], KraftRecordError::Malformed("it goes on behind its fields")),
            (&[1, 2, 0, 4, b'a'], KraftRecordError::Malformed("Topic")),
            (&[], KraftRecordError::Malformed("frame")),
        ];
        for (bytes, error) in cases {
            assert_eq!(KraftRecord::read(bytes), Err(error));
        }
        assert_eq!(KraftControlRecord::read(&[0, 0, 0, 9], &[]), Err(KraftRecordError::UnknownControl(9)));
    }

    #[test]
    fn a_leader_change_names_the_voters_in_both_versions() {
        let key = [0, 0, 0, 2];
        let first = [&[0, 0][..], &[0, 0, 0, 3], &[3, 0, 0, 0, 3, 0, 0, 0, 0, 4, 0], &[1, 0]].concat();
        let expected = KraftControlRecord::LeaderChange { leader_id: 3, voters: vec![3, 4] };
        assert_eq!(KraftControlRecord::read(&key, &first), Ok(expected));
        let second = [&[0, 1][..], &[0, 0, 0, 3], &[2, 0, 0, 0, 3], &[9; 16], &[0, 1, 0]].concat();
        let expected = KraftControlRecord::LeaderChange { leader_id: 3, voters: vec![3] };
        assert_eq!(KraftControlRecord::read(&key, &second), Ok(expected));
    }

    #[test]
    fn no_damage_panics() {
        let id = [7; 16];
        let change = [&[1, 5, 2, 0, 0, 0, 1][..], &id, &[2, 0, 5, 2, 0, 0, 0, 1, 1, 4, 255, 255, 255, 255]].concat();
        assert!(KraftRecord::read(&change).is_ok());
        for end in 0..change.len() {
            assert!(KraftRecord::read(&change[..end]).is_err(), "{end}");
        }
        for position in 0..change.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = change.clone();
                damaged[position] = value;
                let _ = KraftRecord::read(&damaged);
            }
        }
    }
}
