//! Kafka's metadata, from a fixture's bytes and from records made here.

use std::path::Path;

use bytes::Bytes;

use super::*;
use crate::ids::Uuid;
use crate::metadata::{ConfigResource, EntityName, MetadataImage, QuotaEntity, QuotaKey, ScramMechanism};
use crate::protocol::kraft_records::{KraftControlRecord, KraftRecord};
use crate::protocol::record_batch::BatchBuilder;
use crate::unpack;

const DIRECTORY: Uuid = Uuid::from_u128(1_000);

/// The metadata log of the fixture, with its snapshots, oldest first; and the directory's id.
fn fixture() -> (KraftLog, Vec<(i64, Bytes)>, Option<Uuid>) {
    let directory = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    unpack::unpack(&root.join("kafka-4.1-data.clean.tar.gz"), directory.path());
    let metadata = directory.path().join("__cluster_metadata-0");
    let mut snapshots: Vec<(i64, Bytes)> = std::fs::read_dir(&metadata)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "checkpoint"))
        .map(|path| {
            let end_offset = path.file_name().unwrap().to_str().unwrap()[..20].parse().unwrap();
            (end_offset, std::fs::read(&path).unwrap().into())
        })
        .collect();
    snapshots.sort();
    let segment = std::fs::read(metadata.join("00000000000000000000.log")).unwrap();
    let log = KraftLog { snapshot: None, segments: vec![(0, segment.into())], closed_at: Some(207) };
    let properties = std::fs::read_to_string(directory.path().join("meta.properties")).unwrap();
    let id = properties.lines().find_map(|line| line.strip_prefix("directory.id=")).unwrap();
    (log, snapshots, Some(uuid_of(id)))
}

/// The uuid of 22 characters of URL-safe base64.
fn uuid_of(text: &str) -> Uuid {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits: Vec<_> = text.chars().map(|character| alphabet.find(character).unwrap() as u128).collect();
    Uuid::from_u128(digits[..21].iter().fold(0, |bits, digit| bits << 6 | digit) << 2 | digits[21] >> 4)
}

fn taken_over(log: &KraftLog, directory_id: Option<Uuid>) -> TakenOver {
    log.replay().unwrap().take_over(1, directory_id, "the-cluster").unwrap()
}

/// `config` lines, as the fixture's list of what Kafka has said has them.
fn configs(image: &MetadataImage) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell =
        |kind: &str, name: &str, key: &str, value: &str| lines.push(format!("config {kind} {name} {key} {value}"));
    for topic in image.topics() {
        topic.configs.iter().for_each(|(key, value)| tell("topics", &topic.name, key, value));
    }
    for resource in image.configured_resources() {
        let (kind, name) = match resource {
            ConfigResource::Broker(None) => ("brokers", "-".to_owned()),
            ConfigResource::Broker(Some(id)) => ("brokers", id.to_string()),
            ConfigResource::Group(name) => ("groups", name.to_string()),
            ConfigResource::ClientMetrics(name) => ("client-metrics", name.to_string()),
            ConfigResource::Topic(_) => unreachable!(),
        };
        image.configs(resource).unwrap().iter().for_each(|(key, value)| tell(kind, &name, key, value));
    }
    lines.sort_unstable();
    lines
}

#[test]
fn a_cluster_of_kafka_becomes_ours() {
    let (log, snapshots, directory_id) = fixture();
    let TakenOver { image, left_out_features } = taken_over(&log, directory_id);
    let expected = include_str!("../../../tests/fixtures/kafka-4.1-data.expected.txt");
    let clean = expected.split("\ndirectory ").nth(1).unwrap();
    let mut told: Vec<_> = clean.lines().filter(|line| line.starts_with("config ")).map(str::to_owned).collect();
    told.sort_unstable();
    // Internal topics have configs, too, and the list does not tell of them.
    let ours: Vec<_> = configs(&image).into_iter().filter(|line| !line.starts_with("config topics __")).collect();
    assert_eq!(ours, told);
    let partitions: Vec<_> = image.topics().map(|topic| format!("{} {}", topic.name, topic.partitions.len())).collect();
    assert_eq!(
        partitions,
        [
            "__consumer_offsets 2",
            "__transaction_state 1",
            "appended 1",
            "compacted 1",
            "compressed 1",
            "enlarged 3",
            "plain 2",
            "segments 1",
            "torn 1",
            "transactional 1",
            "trimmed 1"
        ]
    );
    assert!(image.topics().flat_map(|topic| &topic.partitions).all(|state| state.isr == [1] && state.replicas == [1]));
    assert_eq!((&**image.cluster_id(), image.brokers().len()), ("the-cluster", 0));
    assert_eq!(image.features().collect::<Vec<_>>(), [("metadata.version", 27), ("transaction.version", 2)]);
    assert!(left_out_features.contains(&"group.version=1".to_owned()), "{left_out_features:?}");
    assert!(image.next_producer_id() >= 1_000);
    let ann = Some(EntityName::Named("ann".into()));
    let entity = QuotaEntity { user: ann, client_id: Some(EntityName::Default), ip: None };
    let quotas = image.quotas(&entity).unwrap();
    assert_eq!(quotas[&QuotaKey::RequestPercentage].get().to_bits(), 12.5_f64.to_bits());
    assert_eq!((quotas.len(), image.all_quotas().len()), (2, 2));
    assert_eq!(image.scram_credential("ann", ScramMechanism::Sha256).unwrap().iterations, 4_096);
    assert_eq!(image.scram_credentials().len(), 1);
    // Every snapshot and the log behind it amount to what the whole log does.
    assert!(snapshots.len() > 5);
    for snapshot in snapshots {
        let with_snapshot = KraftLog { snapshot: Some(snapshot), ..log.clone() };
        assert_eq!(taken_over(&with_snapshot, directory_id).image, image);
    }
}

#[test]
fn a_damaged_log_is_an_error_and_never_another_cluster() {
    let (log, snapshots, directory_id) = fixture();
    let image = taken_over(&log, directory_id).image;
    let (end_offset, snapshot) = snapshots.last().unwrap().clone();
    let log = KraftLog { snapshot: Some((end_offset, snapshot.clone())), ..log };
    let segment = log.segments[0].1.clone();
    let with = |snapshot: Bytes, segment: Bytes| KraftLog {
        snapshot: Some((end_offset, snapshot)),
        segments: vec![(0, segment)],
        ..log.clone()
    };
    let flipped = |bytes: &Bytes, at: usize| {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1;
        Bytes::from(damaged)
    };
    let is_sound = |log: KraftLog| match log.replay() {
        // The leader epoch of a batch lies outside of its checksum, and nobody here reads it.
        Ok(cluster) => cluster.take_over(1, directory_id, "the-cluster").unwrap().image == image,
        Err(_) => true,
    };
    for at in (0..snapshot.len()).step_by(3) {
        assert!(is_sound(with(flipped(&snapshot, at), segment.clone())), "{at}");
    }
    for at in (0..segment.len()).step_by(17) {
        assert!(is_sound(with(snapshot.clone(), flipped(&segment, at))), "{at}");
    }
    for end in (0..segment.len()).step_by(11) {
        assert!(with(snapshot.clone(), segment.slice(..end)).replay().is_err(), "{end}");
    }
    for end in 0..snapshot.len() {
        assert!(with(snapshot.slice(..end), segment.clone()).replay().is_err(), "{end}");
    }
    assert_eq!(KraftLog::default().replay().unwrap_err(), KraftLogError::Missing(0));
    let behind = KraftLog { segments: vec![(end_offset + 1, Bytes::new())], ..log.clone() };
    assert_eq!(behind.replay().unwrap_err(), KraftLogError::Missing(end_offset));
    let before = KraftLog { segments: vec![(0, Bytes::new())], ..log };
    assert_eq!(before.replay().unwrap_err(), KraftLogError::Missing(0));
}

/// The metadata log that holds these values, each in a batch of its own.
fn log_of(values: &[&[u8]]) -> KraftLog {
    let batches: Vec<u8> = (0..)
        .zip(values)
        .flat_map(|(offset, &value)| BatchBuilder::new(0).base_offset(offset).record(None, Some(value)).build())
        .collect();
    KraftLog { segments: vec![(0, batches.into())], ..KraftLog::default() }
}

/// Records, and the features that they amount to or what is wrong with them.
type Transactions<'a> = (&'a [&'a [u8]], Result<&'a [&'a str], &'a str>);

#[test]
fn an_aborted_or_open_transaction_never_was() {
    const BEGIN: &[u8] = &[1, 23, 0, 0];
    const END: &[u8] = &[1, 24, 0, 0];
    const ABORT: &[u8] = &[1, 25, 0, 0];
    let feature = |name: u8| [1, 12, 0, 2, name, 0, 1, 0];
    let (a, b, unknown) = (feature(b'a'), feature(b'b'), [1_u8, 99, 0, 0]);
    let cases: [Transactions; 7] = [
        (&[&a, BEGIN, &b, END], Ok(&["a=1", "b=1"])),
        (&[&a, BEGIN, &b, ABORT], Ok(&["a=1"])),
        (&[&a, BEGIN, &b], Ok(&["a=1"])),
        (&[BEGIN, &b, ABORT, &a], Ok(&["a=1"])),
        (&[BEGIN, BEGIN], Err("the record at offset 1: a transaction begins inside another one")),
        (&[&a, END], Err("the record at offset 1: a transaction ends that is none")),
        (&[&unknown], Err("the record at offset 0: metadata records of type 99 are unknown")),
    ];
    for (values, expected) in cases {
        let replayed = log_of(values).replay().map(|mut cluster| {
            sound(&mut cluster);
            cluster.take_over(1, Some(DIRECTORY), "c").unwrap().left_out_features
        });
        match expected {
            Ok(features) => assert_eq!(replayed.unwrap(), features, "{values:?}"),
            Err(reason) => assert_eq!(replayed.unwrap_err().to_string(), reason),
        }
    }
}

/// Makes a cluster that can be taken over of an empty one.
fn sound(cluster: &mut KraftCluster) {
    let level = KraftRecord::FeatureLevel { name: "metadata.version".into(), feature_level: 25 };
    for record in [level, broker(1, &[DIRECTORY]), topic("t", 1), partition(1, 0, &[1])] {
        cluster.replay(record).unwrap();
    }
    cluster.replay_control(KraftControlRecord::LeaderChange { leader_id: 1, voters: vec![1] });
}

fn broker(broker_id: i32, log_dirs: &[Uuid]) -> KraftRecord {
    KraftRecord::RegisterBroker {
        broker_id,
        is_migrating_zk_broker: false,
        _incarnation_id: Uuid::from_u128(7),
        _broker_epoch: 4,
        _end_points: Vec::new(),
        _features: Vec::new(),
        _rack: None,
        _fenced: false,
        _in_controlled_shutdown: false,
        log_dirs: log_dirs.to_vec(),
    }
}

fn topic(name: &str, id: u128) -> KraftRecord {
    KraftRecord::Topic { name: name.into(), topic_id: Uuid::from_u128(id) }
}

fn partition(topic: u128, partition_id: i32, replicas: &[i32]) -> KraftRecord {
    KraftRecord::Partition {
        partition_id,
        topic_id: Uuid::from_u128(topic),
        replicas: replicas.to_vec(),
        isr: Vec::new(),
        removing_replicas: Vec::new(),
        adding_replicas: Vec::new(),
        leader: -1,
        leader_epoch: 4,
        partition_epoch: 9,
        directories: vec![DIRECTORY; replicas.len()],
        _leader_recovery_state: 0,
        _eligible_leader_replicas: Some(replicas.to_vec()),
        _last_known_elr: None,
    }
}

fn change(topic: u128, leader: i32, adding: Option<&[i32]>, directories: Option<&[Uuid]>) -> KraftRecord {
    KraftRecord::PartitionChange {
        partition_id: 0,
        topic_id: Uuid::from_u128(topic),
        isr: None,
        leader,
        replicas: None,
        removing_replicas: None,
        adding_replicas: adding.map(Into::into),
        _leader_recovery_state: -1,
        _eligible_leader_replicas: None,
        _last_known_elr: None,
        directories: directories.map(Into::into),
    }
}

#[test]
fn a_partition_keeps_its_epochs_and_its_only_replica_is_in_sync() {
    let mut cluster = KraftCluster::default();
    sound(&mut cluster);
    cluster.replay(change(1, 1, None, None)).unwrap();
    cluster.replay(change(1, -2, None, None)).unwrap();
    let image = cluster.take_over(1, Some(DIRECTORY), "c").unwrap().image;
    let state = image.partition("t", 0).unwrap();
    assert_eq!((state.leader, state.leader_epoch, state.partition_epoch, &state.isr[..]), (1, 5, 11, &[1][..]));
}

#[test]
fn a_removed_topic_takes_its_configs_along() {
    let mut cluster = KraftCluster::default();
    sound(&mut cluster);
    let config = |value: &str| KraftRecord::Config {
        resource_type: 2,
        resource_name: "t".into(),
        name: "retention.ms".into(),
        value: Some(value.into()),
    };
    cluster.replay(config("5")).unwrap();
    cluster.replay(KraftRecord::RemoveTopic { topic_id: Uuid::from_u128(1) }).unwrap();
    assert!(cluster.replay(config("6")).is_err());
    assert!(cluster.replay(change(1, 1, None, None)).is_err());
    cluster.replay(topic("t", 2)).unwrap();
    cluster.replay(partition(2, 0, &[1])).unwrap();
    let image = cluster.take_over(1, Some(DIRECTORY), "c").unwrap().image;
    assert_eq!((image.topics().len(), image.topic("t").unwrap().configs.len()), (1, 0));
}

#[test]
fn what_cannot_be_taken_over_is_named() {
    let acl = KraftRecord::AccessControlEntry {
        id: Uuid::from_u128(5),
        _resource_type: 2,
        _resource_name: "t".into(),
        _pattern_type: 3,
        _principal: "User:ann".into(),
        _host: "*".into(),
        _operation: 3,
        _permission_type: 3,
    };
    let token = KraftRecord::DelegationToken {
        _owner: "User:ann".into(),
        _requester: "User:ann".into(),
        _renewers: Vec::new(),
        _issue_timestamp: 0,
        _max_timestamp: 0,
        _expiration_timestamp: 0,
        token_id: "x".into(),
    };
    let quota = KraftRecord::ClientQuota { entity: Vec::new(), key: "new_rate".into(), value: 1.0, remove: false };
    let feature = |level| KraftRecord::FeatureLevel { name: "metadata.version".into(), feature_level: level };
    let controller = KraftRecord::RegisterController {
        controller_id: 3_000,
        _incarnation_id: Uuid::from_u128(7),
        _zk_migration_ready: false,
        _end_points: Vec::new(),
        _features: Vec::new(),
    };
    let other = Uuid::from_u128(2_000);
    let cases = [
        (vec![acl], "access control lists (1 entries)"),
        (vec![token], "1 delegation tokens"),
        (vec![quota], "the quota new_rate is unknown here"),
        (vec![feature(28)], "metadata.version is 28, and 7 to 27 are known"),
        (vec![feature(0)], "metadata.version is 0"),
        (vec![broker(2, &[]), broker(3, &[]), broker(4, &[]), broker(5, &[])], "registered (2, 3, 4 and 1 more)"),
        (vec![KraftRecord::UnregisterBroker { broker_id: 1, _broker_epoch: 4 }], "broker 1 is not registered"),
        (vec![broker(1, &[DIRECTORY, other])], "broker 1 has 2 log directories"),
        (vec![broker(1, &[other])], "or another one than this"),
        (vec![controller], "other controllers have a part in the metadata (3000)"),
        (vec![KraftRecord::ZkMigrationState { state: 1 }], "a migration from ZooKeeper is not finished"),
        (vec![topic("u", 2), partition(2, 0, &[1, 2])], "u-0 have replicas on other brokers"),
        (vec![change(1, -2, Some(&[2]), None)], "t-0 are being reassigned"),
        (vec![change(1, -2, None, Some(&[other]))], "t-0 are in another log directory"),
        (vec![topic("u", 2), partition(2, 1, &[1])], "u are topics that lack partitions"),
        (vec![topic("u", 2)], "u are topics that lack partitions"),
    ];
    for (records, expected) in cases {
        let mut cluster = KraftCluster::default();
        sound(&mut cluster);
        for record in records {
            cluster.replay(record).unwrap();
        }
        let obstacles = cluster.take_over(1, Some(DIRECTORY), "c").unwrap_err();
        assert!(obstacles.len() == 1 && obstacles[0].contains(expected), "{expected}: {obstacles:?}");
        assert!(obstacles[0].contains(": "), "it does not say what to do: {obstacles:?}");
    }
    let mut cluster = KraftCluster::default();
    sound(&mut cluster);
    cluster.replay_control(KraftControlRecord::Voters(vec![1, 2]));
    assert!(cluster.take_over(1, Some(DIRECTORY), "c").unwrap_err()[0].contains("in the metadata (2)"));
}
