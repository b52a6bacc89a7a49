//! Writes the inputs from which the fuzz targets start, one directory per target: `seeds DIRECTORY`.
//!
//! All of them are what the broker or a client would write, so that mutations begin inside of the formats.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::Request;
use klamm::ids::Uuid;
use klamm::metadata::{LeaderRecoveryState, PartitionChange, 
    BrokerRecord, BrokerRegistration, ClusterRecord, ConfigRecord, ConfigResource, Endpoint, EntityName, FeatureRecord,
    MetadataRecord, PartitionImage, ProducerIdsRecord, QuotaEntity, QuotaKey, QuotaRecord, ScramCredential,
    ScramMechanism, ScramRecord, TopicRecord, encode_records,
};
use klamm::protocol::compression::Compression;
use klamm::protocol::coordinator_records::{
    CoordinatorRecord, GroupMetadataKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};
use klamm::protocol::record_batch::BatchBuilder;
use klamm::storage::{AppendOrigin, LogDir};
use klamm_fuzz::log::{self, NOW_MS, batch, now, orders};
use klamm_fuzz::names::{CHECKPOINTS, METADATA_RECORDS, PARTITION};
use klamm_fuzz::{files, quorum};
// Everything here is built with coverage counters, which libFuzzer's runtime defines.
use libfuzzer_sys as _;

#[path = "../requests.rs"]
#[expect(dead_code, reason = "the integration tests use more of it")]
mod requests;

use requests::REQUEST_TYPES;

/// How many batches a seed's partition has: three segments of them.
const BATCHES: i32 = 10;

/// The first byte of an input of files whose checksums are mended.
const MENDED: u8 = 1;

/// The part of the first byte by which batches keep their codec.
const KEPT: u8 = 14;

fn main() {
    let dir = std::env::args().nth(1).expect("usage: seeds DIRECTORY");
    let write = |target: &str, seeds: Vec<Vec<u8>>| {
        let dir = Path::new(&dir).join(target);
        fs::create_dir_all(&dir).expect("directories can be made");
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(dir.join(format!("seed-{number}")), seed).expect("files can be written");
        }
        println!("{} seeds for {target}", seeds.len());
    };
    write("requests", requests());
    write("batches", batches());
    write("recovery", recovery());
    write("checkpoints", checkpoints());
    write("coordinator_records", coordinator_records());
}

/// Every type's default at every version, and requests that say something.
fn requests() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, request) in REQUEST_TYPES.iter().enumerate() {
        for version in request.versions.min..=request.versions.max {
            if let Some(body) = (request.default_body)(version) {
                seeds.push(request_input(number, version - request.versions.min, &body));
            }
        }
    }
    telling_requests(&mut seeds);
    for (number, request) in REQUEST_TYPES.iter().enumerate() {
        seeds.extend(CLAIMS.map(|claim| {
            let body = [claim, &[0; CLAIMING_SIZE]].concat();
            request_input(number, request.versions.max - request.versions.min, &body)
        }));
    }
    seeds
}

/// Lengths of 4,000 elements, in both encodings, and the size of a body that might just hold them.
const CLAIMS: [&[u8]; 2] = [b"\0\0\x0f\xa0", b"\xa1\x1f"];
const CLAIMING_SIZE: usize = 16 * 1024;

fn request_input(number: usize, version: i16, body: &[u8]) -> Vec<u8> {
    let number = u8::try_from(number).expect("there are fewer request types");
    let version = u8::try_from(version).expect("there are fewer versions");
    [&[number, version], body].concat()
}

/// Requests with one of everything in them.
fn telling_requests(seeds: &mut Vec<Vec<u8>>) {
    use kafka_protocol::messages::{
        FetchRequest, JoinGroupRequest, MetadataRequest, OffsetCommitRequest, ProduceRequest, create_topics_request,
        fetch_request, join_group_request, metadata_request, offset_commit_request, produce_request,
    };
    let name = || kafka_protocol::protocol::StrBytes::from_static_str("orders");
    let data = produce_request::PartitionProduceData::default().with_index(0).with_records(Some(batch(0)));
    let topic = produce_request::TopicProduceData::default().with_name(name().into()).with_partition_data(vec![data]);
    at_all_versions(seeds, &ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic]));

    let partition = fetch_request::FetchPartition::default().with_fetch_offset(3).with_partition_max_bytes(1 << 20);
    let topic = fetch_request::FetchTopic::default().with_topic(name().into()).with_partitions(vec![partition; 2]);
    at_all_versions(seeds, &FetchRequest::default().with_max_wait_ms(500).with_topics(vec![topic]));

    let topic = metadata_request::MetadataRequestTopic::default().with_name(Some(name().into()));
    at_all_versions(seeds, &MetadataRequest::default().with_topics(Some(vec![topic; 3])));

    let partition = offset_commit_request::OffsetCommitRequestPartition::default().with_committed_offset(7);
    let topic = offset_commit_request::OffsetCommitRequestTopic::default()
        .with_name(name().into())
        .with_partitions(vec![partition; 2]);
    at_all_versions(seeds, &OffsetCommitRequest::default().with_group_id(name().into()).with_topics(vec![topic]));

    let protocol = join_group_request::JoinGroupRequestProtocol::default()
        .with_name(name())
        .with_metadata(Bytes::from_static(b"\0\x01\0\0\0\x01\0\x06orders\xff\xff\xff\xff"));
    at_all_versions(seeds, &JoinGroupRequest::default().with_group_id(name().into()).with_protocols(vec![protocol]));

    let config = create_topics_request::CreatableTopicConfig::default().with_name(name()).with_value(Some(name()));
    let assignment = create_topics_request::CreatableReplicaAssignment::default().with_broker_ids(vec![1.into()]);
    let topic = create_topics_request::CreatableTopic::default()
        .with_name(name().into())
        .with_configs(vec![config])
        .with_assignments(vec![assignment]);
    at_all_versions(seeds, &kafka_protocol::messages::CreateTopicsRequest::default().with_topics(vec![topic]));
}

/// The request at every version that can express it.
fn at_all_versions<R: Request>(seeds: &mut Vec<Vec<u8>>, request: &R) {
    let number = REQUEST_TYPES.iter().position(|known| known.key == R::KEY).expect("every type is listed");
    for version in R::VERSIONS.min..=R::VERSIONS.max {
        let mut body = BytesMut::new();
        if request.encode(&mut body, version).is_ok() {
            seeds.push(request_input(number, version - R::VERSIONS.min, &body));
        }
    }
}

/// Batches of every codec, of every kind of producer, with and without mended checksums.
fn batches() -> Vec<Vec<u8>> {
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let mut seeds = Vec::new();
    for codec in codecs {
        let mut builder = BatchBuilder::new(NOW_MS);
        builder.compression(codec).record_at(NOW_MS, Some(b"key"), Some(&[b'v'; 100]), &[(b"header", None)]);
        builder.record_at(NOW_MS - 5, None, Some(b"value"), &[(b"one", Some(b"1")), (b"two", Some(b"2"))]);
        let plain = builder.build();
        let idempotent = builder.producer(7, 0, 0).build();
        let transactional = builder.transactional().build();
        for flags in
            [KEPT, MENDED | KEPT, MENDED, MENDED | 8, MENDED | KEPT | 16, MENDED | KEPT | 32, MENDED | KEPT | 64]
        {
            for batch in [&plain, &idempotent, &transactional] {
                seeds.push([&[flags], &batch[..]].concat());
            }
        }
    }
    let control = BatchBuilder::new(NOW_MS)
        .producer(7, 0, -1)
        .transactional()
        .control()
        .record(Some(b"\0\0\0\x01"), Some(b"\0\0\0\0\0\x03"))
        .build();
    seeds.push([&[MENDED | KEPT], &control[..]].concat());
    seeds.push([&[MENDED | KEPT], &batch(0)[..], &batch(2)[..]].concat());
    seeds
}

/// A partition after a crash and after a stop, and parts of it.
fn recovery() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for is_clean in [false, true] {
        let files = partition(is_clean);
        assert!(files.keys().filter(|name| name.ends_with(".log")).all(|name| PARTITION.contains(&name.as_str())));
        let flags = if is_clean { 2 } else { 0 };
        let packed = files::pack(PARTITION, &files);
        seeds.extend([flags, flags | MENDED].map(|flags| [&[flags], &packed[..]].concat()));
        for kind in [".log", ".snapshot", "checkpoint"] {
            let some: BTreeMap<_, _> =
                files.iter().filter(|(name, _)| name.ends_with(kind) || name.ends_with("000.log")).collect();
            let some = some.into_iter().map(|(name, content)| (name.clone(), content.clone())).collect();
            seeds.push([&[flags | MENDED], &files::pack(PARTITION, &some)[..]].concat());
        }
        let swap = |(name, content): (&String, &Vec<u8>)| (name.replace(".log", ".log.swap"), content.clone());
        let swapped: BTreeMap<_, _> = files.iter().map(swap).collect();
        seeds.push([&[flags | MENDED], &files::pack(PARTITION, &swapped)[..]].concat());
    }
    seeds
}

/// The files of a partition of three segments.
fn partition(is_clean: bool) -> BTreeMap<String, Vec<u8>> {
    let place = log::temporary_dir();
    let dir = log::open(place.path()).expect("a new directory can be opened");
    fill(&dir, is_clean);
    drop(dir);
    files::read(place.path())
}

fn fill(dir: &LogDir, is_clean: bool) {
    let mut log = dir.create_log(&orders(), Uuid::from_u128(5), log::config(), now()).expect("a log can be made");
    for number in 0..BATCHES {
        let appended = log.append_as_leader(&batch(number * 2), number / 4, AppendOrigin::Client, now());
        appended.expect("a batch can be appended");
    }
    if is_clean {
        log::stop(dir, &mut log).expect("a log can be stopped");
    }
}

/// What a stopped broker leaves, all of it and each file alone.
fn checkpoints() -> Vec<Vec<u8>> {
    let mut all = partition(true);
    let place = log::temporary_dir();
    for count in [2, 8] {
        quorum::open_and_stop(place.path(), metadata_records()[..count].to_vec()).expect("a new log can be opened");
    }
    let metadata = files::read(place.path());
    all.extend(metadata.into_iter().map(|(name, content)| (format!("metadata/{name}"), content)));
    let mut records = Vec::new();
    encode_records(&metadata_records(), &mut records);
    all.insert(METADATA_RECORDS.to_owned(), records);
    let mut seeds = vec![[&[MENDED], &files::pack(CHECKPOINTS, &all)[..]].concat()];
    for (name, content) in all.into_iter().filter(|(name, _)| CHECKPOINTS.contains(&name.as_str())) {
        seeds.push([&[MENDED], &files::pack(CHECKPOINTS, &BTreeMap::from([(name, content)]))[..]].concat());
    }
    seeds
}

/// One record of each kind.
fn metadata_records() -> Vec<MetadataRecord> {
    let topic_id = Uuid::from_u128(5);
    let endpoint =
        Endpoint { listener: "PLAINTEXT".into(), host: "localhost".into(), port: 9092, protocol: "PLAINTEXT".into() };
    let broker = BrokerRegistration {
        id: 1,
        epoch: 1,
        incarnation: Uuid::from_u128(1),
        listeners: vec![endpoint],
        rack: Some("rack".into()),
        fenced: true,
        in_controlled_shutdown: true,
        log_dirs: vec![Uuid::from_u128(2)],
    };
    let state = PartitionImage { replicas: vec![1], isr: vec![1], leader: 1, leader_epoch: 0, partition_epoch: 0, ..PartitionImage::default() };
    let change = PartitionChange {
        isr: Some(vec![1]),
        leader: Some(1),
        elr: Some(vec![1]),
        last_known_elr: Some(vec![1]),
        leader_recovery_state: Some(LeaderRecoveryState::Recovering),
    };
    let entity = QuotaEntity { user: Some(EntityName::Named("alice".into())), ..QuotaEntity::default() };
    let key: Arc<[u8]> = Arc::from(&b"key"[..]);
    let (salt, stored_key, server_key) = (Arc::clone(&key), Arc::clone(&key), key);
    let credential = ScramCredential { salt, stored_key, server_key, iterations: 4096 };
    vec![
        ClusterRecord::ClusterId("cluster".into()).into(),
        FeatureRecord::FeatureLevel { name: "metadata.version".into(), level: 27 }.into(),
        BrokerRecord::RegisterBroker(broker).into(),
        BrokerRecord::BrokerChange { id: 1, epoch: 1, fenced: false, in_controlled_shutdown: true }.into(),
        BrokerRecord::UsedBrokerEpoch { epoch: 1 }.into(),
        TopicRecord::Topic { name: "orders".into(), id: topic_id }.into(),
        TopicRecord::Partition { topic_id, partition: 0, state }.into(),
        TopicRecord::TopicConfig { topic_id, key: "retention.ms".into(), value: Some("1000".into()) }.into(),
        TopicRecord::PartitionChange { topic_id, partition: 0, change }.into(),
        ProducerIdsRecord::ProducerIds { broker_id: 1, broker_epoch: 1, next_producer_id: 1000 }.into(),
        TopicRecord::RemoveTopic { topic_id }.into(),
        ConfigRecord::Config { resource: ConfigResource::Broker(None), key: "a".into(), value: Some("b".into()) }
            .into(),
        QuotaRecord::ClientQuota { entity, key: QuotaKey::ProducerByteRate, value: Some(1024.0.into()) }.into(),
        ScramRecord::UserScramCredential { user: "alice".into(), mechanism: ScramMechanism::Sha256, credential }.into(),
        ScramRecord::RemoveUserScramCredential { user: "alice".into(), mechanism: ScramMechanism::Sha256 }.into(),
        BrokerRecord::UnregisterBroker { id: 1, epoch: 1 }.into(),
    ]
}

/// An offset and a group, and their tombstones.
fn coordinator_records() -> Vec<Vec<u8>> {
    let key = OffsetCommitKey { group: "payments".into(), topic: "orders".into(), partition: 3 };
    let value = OffsetCommitValue {
        offset: 42,
        leader_epoch: 5,
        metadata: "metadata".into(),
        commit_timestamp_ms: NOW_MS,
        expire_timestamp_ms: None,
    };
    let expiring = OffsetCommitValue { expire_timestamp_ms: Some(NOW_MS + 1), ..value.clone() };
    let offset = |value| CoordinatorRecord::OffsetCommit { key: key.clone(), value };
    let group = |value| CoordinatorRecord::GroupMetadata { key: GroupMetadataKey { group: "payments".into() }, value };
    let records = [offset(Some(value)), offset(Some(expiring)), offset(None), group(Some(generation())), group(None)];
    let mut seeds = Vec::new();
    for record in records {
        let encoded = record.encode().expect("it is short");
        let length = u8::try_from(encoded.key.len()).expect("it is short");
        match encoded.value {
            None => seeds.push([&[255], &encoded.key[..]].concat()),
            // A value's first two bytes are its version; not all of these fit what follows.
            Some(value) => {
                seeds.extend((0..=4).map(|version| [&[length], &encoded.key[..], &[0, version], &value[2..]].concat()))
            }
        }
    }
    seeds
}

fn generation() -> GroupMetadataValue {
    let member = MemberMetadata {
        member_id: "member-1".into(),
        group_instance_id: Some("instance-1".into()),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 45_000,
        subscription: Bytes::from_static(b"\0\x01\0\0\0\x01\0\x06orders\xff\xff\xff\xff"),
        assignment: Bytes::from_static(b"\0\0\0\0\0\0"),
    };
    GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 3,
        protocol: Some("range".into()),
        leader: Some("member-1".into()),
        current_state_timestamp_ms: NOW_MS,
        members: vec![member.clone(), member],
    }
}
