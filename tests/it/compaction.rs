//! Compacted topics on whole brokers: what stays of them, when, and after a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{DeleteTopicsRequest, OffsetCommitRequest, OffsetFetchRequest};
use klamm::clock::Clock;
use klamm::protocol::record_batch::{BatchBuilder, batches};

use crate::alter_configs::set;
use crate::broker::{Broker, Client, Topic, builder, group_id, topic_name};
use crate::configs::{BROKER, TOPIC};
use crate::restart::Mortal;
use crate::server::{until, within};

const NOW_MS: i64 = 1_800_000_000_000;
const INVALID_RECORD: i16 = 87;

/// Looks for logs to clean again and again.
const EAGER: [(&str, &str); 1] = [("log.cleaner.backoff.ms", "20")];

/// A topic of small segments that is cleaned whenever anything in it can be.
const SMALL: [(&str, &str); 3] =
    [("internal.segment.bytes", "2000"), ("index.interval.bytes", "200"), ("min.cleanable.dirty.ratio", "0.001")];

fn compacted() -> Vec<(&'static str, &'static str)> {
    [&SMALL[..], &[("cleanup.policy", "compact")]].concat()
}

/// Appends records one batch each; the value of each is its offset, and its key one of ten.
async fn fill(client: &mut Client, topic: &Topic, offsets: std::ops::Range<i64>, timestamp_ms: Option<i64>) {
    for offset in offsets {
        let mut batch = timestamp_ms.map_or_else(|| builder(&[]), BatchBuilder::new);
        batch.record(Some(format!("key-{}", offset % 10).as_bytes()), Some(offset.to_string().as_bytes()));
        let appended = client.produce(topic, 0, batch.build()).await;
        assert_eq!((appended.error_code, appended.base_offset), (0, offset));
    }
}

/// All records of the partition: offsets, keys and values.
async fn everything(client: &mut Client, topic: &Topic) -> Vec<(i64, String, String)> {
    let (mut offset, end) = (client.offset(topic, 0, -2).await, client.offset(topic, 0, -1).await);
    let mut found = Vec::new();
    while offset < end {
        let fetched = client.fetch(topic, 0, offset).await;
        assert_eq!(fetched.error_code, 0, "at {offset}");
        let bytes = fetched.records.unwrap_or_default();
        for batch in batches(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.records(1 << 20).unwrap().map(Result::unwrap) {
                let text = |bytes: Option<bytes::Bytes>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                found.push((record.offset, text(record.key), text(record.value)));
            }
            offset = batch.header.next_offset();
        }
        assert!(!bytes.is_empty(), "nothing at {offset}");
    }
    assert!(found.is_sorted_by(|one, next| one.0 < next.0), "a record is doubled");
    found
}

/// Checks that every record is where it was appended and that the last one of each key is there; returns how many there
/// are.
async fn assert_kept(client: &mut Client, topic: &Topic, end: i64) -> usize {
    let found = everything(client, topic).await;
    let mut last = BTreeMap::new();
    for (offset, key, value) in &found {
        assert_eq!((value, key), (&offset.to_string(), &format!("key-{}", offset % 10)));
        last.insert(key.clone(), *offset);
    }
    let expected: BTreeMap<_, _> = (0..end).map(|offset| (format!("key-{}", offset % 10), offset)).collect();
    assert_eq!(last, expected);
    assert_eq!((client.offset(topic, 0, -2).await, client.offset(topic, 0, -1).await), (0, end));
    found.len()
}

/// Waits until few records are left: those of the active segment, and the last of each key before it.
async fn cleaned(client: &mut Client, topic: &Topic, end: i64) {
    let clean = async {
        while assert_kept(client, topic, end).await > 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(clean).await;
}

fn files(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[tokio::test]
async fn the_last_record_of_each_key_stays_where_it_was_whatever_ends_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let mortal = Mortal::with(directory.path(), &EAGER).await;
    let mut client = mortal.broker.client().await;
    let topic = client.create_topic("t", 1, &compacted()).await;
    fill(&mut client, &topic, 0..300, None).await;
    cleaned(&mut client, &topic, 300).await;
    mortal.kill().await;

    let mortal = Mortal::with(directory.path(), &EAGER).await;
    let mut client = mortal.broker.client().await;
    assert!(assert_kept(&mut client, &topic, 300).await <= 50);
    fill(&mut client, &topic, 300..600, None).await;
    // Wherever the cleaner is.
    mortal.kill().await;

    let broker = Broker::configured(&[&[("log.dirs", directory.path().to_str().unwrap())], &EAGER[..]].concat()).await;
    let mut client = broker.client().await;
    cleaned(&mut client, &topic, 600).await;
    // The cleaner notes how far it has come when its last segment has taken its place.
    let checkpoint = || std::fs::read_to_string(directory.path().join("cleaner-offset-checkpoint")).unwrap_or_default();
    let noted = async {
        while !checkpoint().starts_with("0\n1\nt 0 5") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(noted).await;
    broker.stop().await;
    let leftover = files(&directory.path().join("t-0")).into_iter().find(|name| {
        let suffixes = [".cleaned", ".swap"];
        suffixes.iter().any(|suffix| name.ends_with(suffix))
    });
    assert_eq!(leftover, None);

    let broker = Broker::on(directory.path()).await;
    assert!(assert_kept(&mut broker.client().await, &topic, 600).await <= 50);
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_is_compacted_from_the_moment_on_at_which_that_is_its_policy() {
    let broker = Broker::with(&EAGER).await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 1, &SMALL).await;
    fill(&mut client, &topic, 0..200, None).await;
    let keyless = builder(&["without a key"]).build();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(assert_kept(&mut client, &topic, 200).await, 200);
    set(&mut client, TOPIC, "t", "cleanup.policy", "compact").await;
    cleaned(&mut client, &topic, 200).await;
    let refused = client.produce(&topic, 0, keyless).await;
    assert_eq!((refused.error_code, refused.record_errors.len()), (INVALID_RECORD, 1));
    assert_eq!(refused.record_errors[0].batch_index, 0);
    set(&mut client, TOPIC, "t", "cleanup.policy", "delete").await;
    let before = assert_kept(&mut client, &topic, 200).await;
    fill(&mut client, &topic, 200..300, None).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(assert_kept(&mut client, &topic, 300).await, before + 100);
    broker.stop().await;
}

#[tokio::test]
async fn a_record_escapes_compaction_no_longer_than_its_topic_says() {
    let clock = Clock::manual(NOW_MS);
    let broker = Broker::at(&clock, &[]).await;
    let mut client = broker.client().await;
    let never_by_ratio = [("min.cleanable.dirty.ratio", "1"), ("max.compaction.lag.ms", "60000")];
    let configs: Vec<_> =
        compacted().into_iter().filter(|(key, _)| !key.ends_with("ratio")).chain(never_by_ratio).collect();
    let topic = client.create_topic("t", 1, &configs).await;
    let patient = [("min.compaction.lag.ms", "120000")];
    let young = client.create_topic("young", 1, &[&compacted()[..], &patient].concat()).await;
    for topic in [&topic, &young] {
        fill(&mut client, topic, 0..200, Some(NOW_MS)).await;
    }
    // The cleaners look every fifteen seconds.
    let looked = async |seconds: u64| {
        let last_run = || broker.0.broker().replicas.cleaner_metrics().status().last_run;
        until(|| last_run() >= Duration::from_secs(seconds)).await;
    };
    clock.advance(Duration::from_secs(30));
    looked(30).await;
    for topic in [&topic, &young] {
        assert_eq!(assert_kept(&mut client, topic, 200).await, 200);
    }
    clock.advance(Duration::from_secs(31));
    cleaned(&mut client, &topic, 200).await;
    looked(61).await;
    assert_eq!(assert_kept(&mut client, &young, 200).await, 200);
    clock.advance(Duration::from_secs(61));
    cleaned(&mut client, &young, 200).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_that_is_deleted_while_it_is_cleaned_is_gone_at_once() {
    let directory = tempfile::tempdir().unwrap();
    // Slower than anybody waits.
    let slow = [("log.cleaner.io.max.bytes.per.second", "100"), EAGER[0]];
    let broker = Broker::configured(&[&[("log.dirs", directory.path().to_str().unwrap())], &slow[..]].concat()).await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 1, &compacted()).await;
    fill(&mut client, &topic, 0..100, None).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let delete = DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(vec![topic.name.clone()]);
    assert_eq!(client.ask(5, &delete).await.responses[0].error_code, 0);
    let anew = client.create_topic("t", 1, &compacted()).await;
    fill(&mut client, &anew, 0..100, None).await;
    set(&mut client, BROKER, "", "log.cleaner.io.max.bytes.per.second", "1000000000").await;
    cleaned(&mut client, &anew, 100).await;
    // A stop does not wait for a slow cleaning either.
    set(&mut client, BROKER, "", "log.cleaner.io.max.bytes.per.second", "1").await;
    fill(&mut client, &anew, 100..200, None).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    broker.stop().await;
}

async fn commit(client: &mut Client, group: &str, offset: i64) {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset)
        .with_committed_metadata(Some("m".repeat(2_000).into()));
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    assert_eq!(client.ask(8, &commit).await.topics[0].partitions[0].error_code, 0);
}

async fn committed(client: &mut Client, group: &str) -> i64 {
    client.find_coordinator(group).await;
    let topic = OffsetFetchRequestTopic::default().with_name(topic_name("t")).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(Some(vec![topic]));
    client.ask(7, &request).await.topics[0].partitions[0].committed_offset
}

#[tokio::test]
async fn what_groups_commit_does_not_grow_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let configs = [EAGER[0], ("offsets.topic.num.partitions", "1")];
    let mortal = Mortal::with(directory.path(), &configs).await;
    let (mut client, _) = mortal.broker.client_with_topic("t", 1).await;
    let groups = ["a", "b", "c"];
    client.find_coordinator("a").await;
    for offset in 0..300 {
        for group in groups {
            commit(&mut client, group, offset).await;
        }
    }
    let size = || -> u64 {
        let partition = directory.path().join("__consumer_offsets-0");
        let logs = files(&partition)
            .into_iter()
            .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "log"));
        logs.map(|name| std::fs::metadata(partition.join(name)).map_or(0, |metadata| metadata.len())).sum()
    };
    // Nine hundred commits were 1.9 MB: three are left of those in closed segments, long before one of 100 MiB is full.
    until(|| size() < 1_100_000).await;
    for group in groups {
        assert_eq!(committed(&mut client, group).await, 299);
    }
    mortal.kill().await;
    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    for group in groups {
        assert_eq!(committed(&mut client, group).await, 299);
    }
    broker.stop().await;
}
