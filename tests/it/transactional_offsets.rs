//! Offsets that are part of transactions, over the wire.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, TxnOffsetCommitRequest,
    offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
};

use crate::broker::{Broker, Client, group_id, text, topic_name};
use crate::restart::Mortal;
use crate::server::within;
use crate::transactions::{Identity, end, init};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const OFFSET_METADATA_TOO_LARGE: i16 = 12;
const ILLEGAL_GENERATION: i16 = 22;
const INVALID_GROUP_ID: i16 = 24;
const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_REQUEST: i16 = 42;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const UNSTABLE_OFFSET_COMMIT: i16 = 88;
const TRANSACTION_ABORTABLE: i16 = 120;

/// The newest version whose clients add partitions to their transactions themselves, and the one of those that do not.
const V1: i16 = 4;
const V2: i16 = 5;

fn request(producer: Identity, group: &str, offsets: &[(i32, i64)]) -> TxnOffsetCommitRequest {
    let partition = |&(partition, offset): &(i32, i64)| {
        TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("note")))
    };
    let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name("t"));
    TxnOffsetCommitRequest::default()
        .with_transactional_id(text(producer.id).into())
        .with_group_id(group_id(group))
        .with_producer_id(producer.producer_id.into())
        .with_producer_epoch(producer.epoch)
        .with_topics(vec![topic.with_partitions(offsets.iter().map(partition).collect())])
}

/// The error code of each partition, by index.
async fn ask(client: &mut Client, version: i16, request: &TxnOffsetCommitRequest) -> BTreeMap<i32, i16> {
    let topics = client.ask(version, request).await.topics;
    let partitions = topics.into_iter().flat_map(|topic| topic.partitions);
    partitions.map(|partition| (partition.partition_index, partition.error_code)).collect()
}

/// Commits one offset in a transaction; the error code.
async fn commit(client: &mut Client, version: i16, producer: Identity, group: &str, at: (i32, i64)) -> i16 {
    ask(client, version, &request(producer, group, &[at])).await[&at.0]
}

async fn commit_plain(client: &mut Client, group: &str, (partition, offset): (i32, i64)) {
    let partition =
        OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default().with_group_id(group_id(group)).with_generation_id_or_member_epoch(-1);
    assert_eq!(client.ask(8, &request.with_topics(vec![topic])).await.topics[0].partitions[0].error_code, 0);
}

async fn delete(client: &mut Client, group: &str, partition: i32) {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
    let topic = OffsetDeleteRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]);
    assert_eq!(client.ask(0, &request).await.error_code, 0);
}

async fn add_offsets(client: &mut Client, version: i16, producer: Identity, group: &str) -> i16 {
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(text(producer.id).into())
        .with_producer_id(producer.producer_id.into())
        .with_producer_epoch(producer.epoch)
        .with_group_id(group_id(group));
    client.ask(version, &request).await.error_code
}

/// The offset of a partition, or the error code, at one of the versions with one group or with several.
async fn fetch_at(client: &mut Client, version: i16, group: &str, partition: i32, stable: bool) -> Result<i64, i16> {
    let request = OffsetFetchRequest::default().with_require_stable(stable);
    let (offset, code) = if version >= 8 {
        let topic = OffsetFetchRequestTopics::default().with_name(topic_name("t"));
        let topic = topic.with_partition_indexes(vec![partition]);
        let group = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(Some(vec![topic]));
        let mut group = client.ask(version, &request.with_groups(vec![group])).await.groups.remove(0);
        assert_eq!(group.error_code, 0);
        let partition = group.topics.remove(0).partitions.remove(0);
        (partition.committed_offset, partition.error_code)
    } else {
        let topic = OffsetFetchRequestTopic::default().with_name(topic_name("t"));
        let topics = Some(vec![topic.with_partition_indexes(vec![partition])]);
        let request = request.with_group_id(group_id(group)).with_topics(topics);
        let mut response = client.ask(version, &request).await;
        assert_eq!(response.error_code, 0);
        let partition = response.topics.remove(0).partitions.remove(0);
        (partition.committed_offset, partition.error_code)
    };
    if code == 0 { Ok(offset) } else { Err(code).inspect_err(|_| assert_eq!(offset, -1)) }
}

async fn fetch(client: &mut Client, group: &str, partition: i32) -> Result<i64, i16> {
    fetch_at(client, 9, group, partition, true).await
}

/// The offset, once it is stable: markers are on their way when a transaction's end is answered.
async fn stable(client: &mut Client, group: &str, partition: i32) -> i64 {
    let stable = async {
        loop {
            match fetch(client, group, partition).await {
                Ok(offset) => return offset,
                Err(code) => assert_eq!(code, UNSTABLE_OFFSET_COMMIT),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(stable).await
}

async fn start() -> (Broker, Client) {
    let broker = Broker::start().await;
    let (mut client, _) = broker.client_with_topic("t", 3).await;
    client.find_coordinator("g").await;
    (broker, client)
}

#[tokio::test]
async fn a_transaction_takes_offsets_with_it_at_every_version() {
    let (broker, mut client) = start().await;
    let mut before = -1;
    for version in 0..=V1 {
        let producer = init(&mut client, "x").await;
        let expected = if version == V1 { TRANSACTION_ABORTABLE } else { INVALID_TXN_STATE };
        assert_eq!(commit(&mut client, version, producer, "g", (0, 7)).await, expected, "v{version}");
        for commits in [false, true] {
            let offset = 100 * i64::from(version) + i64::from(commits);
            assert_eq!(add_offsets(&mut client, version.min(4), producer, "g").await, 0);
            assert_eq!(commit(&mut client, version, producer, "g", (0, offset)).await, 0, "v{version}");
            assert_eq!(fetch(&mut client, "g", 0).await, Err(UNSTABLE_OFFSET_COMMIT));
            end(&mut client, 3, producer, commits).await.unwrap();
            before = if commits { offset } else { before };
            assert_eq!(stable(&mut client, "g", 0).await, before, "v{version}");
        }
    }
    let mut producer = init(&mut client, "y").await;
    for commits in [false, true, true] {
        before = if commits { before + 1 } else { before };
        let offset = if commits { before } else { 9_999 };
        assert_eq!(commit(&mut client, V2, producer, "g", (0, offset)).await, 0);
        assert_eq!(commit(&mut client, V2, producer, "g", (0, offset)).await, 0, "it is open now");
        producer = end(&mut client, 5, producer, commits).await.unwrap();
        assert_eq!(stable(&mut client, "g", 0).await, before);
    }
    broker.stop().await;
}

#[tokio::test]
async fn who_asks_for_stable_offsets_waits_for_open_transactions_at_every_version() {
    let (broker, mut client) = start().await;
    let producer = init(&mut client, "x").await;
    commit_plain(&mut client, "g", (0, 1)).await;
    assert_eq!(commit(&mut client, V2, producer, "g", (0, 2)).await, 0);
    assert_eq!(commit(&mut client, V2, producer, "g", (1, 3)).await, 0);
    for version in 1..=9 {
        assert_eq!(fetch_at(&mut client, version, "g", 0, false).await, Ok(1), "v{version}");
        assert_eq!(fetch_at(&mut client, version, "g", 1, false).await, Ok(-1), "v{version}");
    }
    for version in 7..=9 {
        for partition in [0, 1] {
            let fetched = fetch_at(&mut client, version, "g", partition, true).await;
            assert_eq!(fetched, Err(UNSTABLE_OFFSET_COMMIT), "v{version}");
        }
        assert_eq!(fetch_at(&mut client, version, "g", 2, true).await, Ok(-1), "v{version}");
        assert_eq!(fetch_at(&mut client, version, "other", 0, true).await, Ok(-1), "v{version}");
    }
    commit_plain(&mut client, "g", (0, 4)).await;
    assert_eq!(fetch(&mut client, "g", 0).await, Err(UNSTABLE_OFFSET_COMMIT));
    end(&mut client, 5, producer, true).await.unwrap();
    assert_eq!((stable(&mut client, "g", 0).await, stable(&mut client, "g", 1).await), (4, 3));
    broker.stop().await;
}

#[tokio::test]
async fn what_cannot_be_committed_is_refused_partition_by_partition() {
    let (broker, mut client) = start().await;
    let producer = init(&mut client, "x").await;
    let nobody = Identity { id: "", ..producer };
    assert_eq!(commit(&mut client, V1, nobody, "g", (0, 1)).await, INVALID_REQUEST);
    for version in [0, 2, 3, V1, V2] {
        if version < V2 {
            assert_eq!(add_offsets(&mut client, 3, producer, "g").await, 0);
        }
        let mut several = request(producer, "g", &[(0, 1), (7, 1), (1, 2)]);
        several.topics[0].partitions[2].committed_metadata = Some("m".repeat(4_097).into());
        let told = ask(&mut client, version, &several).await;
        let expected = [(0, 0), (1, OFFSET_METADATA_TOO_LARGE), (7, UNKNOWN_TOPIC_OR_PARTITION)];
        assert_eq!(told, BTreeMap::from(expected), "v{version}");
        let mut elsewhere = request(producer, "g", &[(0, 1)]);
        elsewhere.topics[0].name = topic_name("nowhere");
        assert_eq!(ask(&mut client, version, &elsewhere).await[&0], UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(commit(&mut client, version, producer, "", (0, 1)).await, INVALID_GROUP_ID);
        assert_eq!(commit(&mut client, version, nobody, "g", (0, 1)).await, 0, "it is open here: nobody is asked");
        let fenced = Identity { epoch: producer.epoch - 1, ..producer };
        assert_eq!(commit(&mut client, version, fenced, "g", (0, 1)).await, INVALID_PRODUCER_EPOCH, "v{version}");
        let unknown = Identity { producer_id: producer.producer_id + 1, ..producer };
        assert_eq!(commit(&mut client, version, unknown, "g", (0, 1)).await, INVALID_PRODUCER_ID_MAPPING, "v{version}");
        if version >= 3 {
            let member = request(producer, "g", &[(0, 1)]).with_member_id(text("m")).with_generation_id(1);
            assert_eq!(ask(&mut client, version, &member).await[&0], UNKNOWN_MEMBER_ID, "v{version}");
        }
    }
    let mut member = request(producer, "new", &[(0, 1)]).with_member_id(text("m")).with_generation_id(1);
    assert_eq!(ask(&mut client, V2, &member).await[&0], ILLEGAL_GENERATION);
    member.topics.clear();
    assert!(ask(&mut client, V2, &member).await.is_empty());
    broker.stop().await;
}

#[tokio::test]
async fn a_transaction_goes_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mortal = Mortal::on(directory.path()).await;
    let (mut client, _) = mortal.broker.client_with_topic("t", 3).await;
    client.find_coordinator("g").await;
    let (one, two) = (init(&mut client, "one").await, init(&mut client, "two").await);
    commit_plain(&mut client, "g", (0, 1)).await;
    assert_eq!(commit(&mut client, V2, one, "g", (0, 2)).await, 0);
    assert_eq!(commit(&mut client, V2, one, "g", (1, 3)).await, 0);
    assert_eq!(commit(&mut client, V2, two, "g", (2, 4)).await, 0);
    commit_plain(&mut client, "g", (1, 5)).await;
    mortal.kill().await;
    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    client.find_coordinator("g").await;
    for partition in 0..3 {
        assert_eq!(fetch(&mut client, "g", partition).await, Err(UNSTABLE_OFFSET_COMMIT));
    }
    assert_eq!(fetch_at(&mut client, 9, "g", 0, false).await, Ok(1));
    let one = within(async {
        loop {
            match end(&mut client, 5, one, true).await {
                Ok(next) => return next,
                // It is loading yet.
                Err(code) => assert_eq!(code, 14),
            }
        }
    })
    .await;
    end(&mut client, 5, two, false).await.unwrap();
    for (partition, offset) in [(0, 2), (1, 5), (2, -1)] {
        assert_eq!(stable(&mut client, "g", partition).await, offset);
    }
    assert_eq!(commit(&mut client, V2, one, "g", (2, 6)).await, 0, "the next one begins");
    broker.stop().await;
}

fn size(directory: &Path) -> u64 {
    let partition = directory.join("__consumer_offsets-0");
    let names = std::fs::read_dir(&partition).unwrap().map(|entry| entry.unwrap().path());
    let logs = names.filter(|name| name.extension().is_some_and(|extension| extension == "log"));
    logs.map(|name| std::fs::metadata(name).map_or(0, |metadata| metadata.len())).sum()
}

/// Whatever the cleaner removes (what later commits supersede, what was aborted, markers with nothing left to end), the
/// offsets are those that were committed last.
#[tokio::test]
async fn offsets_of_transactions_survive_compaction() {
    let directory = tempfile::tempdir().unwrap();
    let pairs = [("log.cleaner.backoff.ms", "20"), ("offsets.topic.num.partitions", "1")];
    let mortal = Mortal::with(directory.path(), &pairs).await;
    let (mut client, _) = mortal.broker.client_with_topic("t", 3).await;
    client.find_coordinator("g").await;
    let settings = [
        ("internal.segment.bytes", "2000"),
        ("index.interval.bytes", "200"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("delete.retention.ms", "0"),
    ];
    for (key, value) in settings {
        crate::alter_configs::set(&mut client, crate::configs::TOPIC, "__consumer_offsets", key, value).await;
    }
    let mut producer = init(&mut client, "x").await;
    // What is committed last: partition 0 by a transaction, 1 outside of any, 2 not at all, for it is deleted.
    for round in 0..60_i64 {
        commit_plain(&mut client, "g", (0, 10 * round)).await;
        assert_eq!(commit(&mut client, V2, producer, "g", (0, 10 * round + 1)).await, 0);
        assert_eq!(commit(&mut client, V2, producer, "g", (1, 10 * round + 2)).await, 0);
        assert_eq!(commit(&mut client, V2, producer, "g", (2, 10 * round + 3)).await, 0);
        commit_plain(&mut client, "g", (1, 10 * round + 4)).await;
        producer = end(&mut client, 5, producer, true).await.unwrap();
        stable(&mut client, "g", 0).await;
        for partition in 0..3 {
            assert_eq!(commit(&mut client, V2, producer, "g", (partition, 9_999)).await, 0);
        }
        producer = end(&mut client, 5, producer, false).await.unwrap();
        stable(&mut client, "g", 0).await;
        delete(&mut client, "g", 2).await;
    }
    let expected = [(0, 591), (1, 594), (2, -1)];
    // Sixty rounds were more than 60 kB, of which the markers alone were 9 kB. A marker goes in a later cleaning than its
    // transaction, and there is none without something to clean.
    let cleaned = async {
        while size(directory.path()) > 7_000 {
            commit_plain(&mut client, "other", (0, 1)).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(cleaned).await;
    for (partition, offset) in expected {
        assert_eq!(stable(&mut client, "g", partition).await, offset);
    }
    assert_eq!(commit(&mut client, V2, producer, "g", (0, 1_000)).await, 0);
    mortal.kill().await;
    let broker = Broker::configured(&[&[("log.dirs", directory.path().to_str().unwrap())], &pairs[..]].concat()).await;
    let mut client = broker.client().await;
    client.find_coordinator("g").await;
    assert_eq!(fetch(&mut client, "g", 0).await, Err(UNSTABLE_OFFSET_COMMIT), "the open one is not cleaned away");
    for (partition, offset) in expected {
        assert_eq!(fetch_at(&mut client, 9, "g", partition, false).await, Ok(offset));
    }
    broker.stop().await;
}
