//! Our own client sends and reads records, alone and in groups; also past answers that get lost or lie.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::client::{
    ClientError, ClusterClient, Consumer, ConsumerSettings, FetchedRecord, GroupConsumer, GroupSettings, NewRecord,
    OffsetReset, Producer, ProducerSettings,
};
use klamm::ids::TopicPartition;
use klamm::protocol::ErrorCode;
use klamm::protocol::compression::Compression;

use crate::broker::Broker;
use crate::client::{client_at, client_of};
use crate::middleman::{Middleman, Spoil};
use crate::server::within;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const WAIT: Duration = Duration::from_millis(200);

fn record(key: Option<&'static str>, value: Option<&'static str>) -> NewRecord {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    NewRecord { key: key.map(bytes), value: value.map(bytes), timestamp_ms: 1_700_000_000_000, ..NewRecord::default() }
}

async fn producer(client: &mut ClusterClient, topic: &str, settings: ProducerSettings) -> Producer {
    within(Producer::open(client, &topic.into(), settings)).await.unwrap()
}

/// Everything from `positions` on, until nothing has come for [`WAIT`].
async fn read_all(client: &mut ClusterClient, settings: ConsumerSettings, topic: &str) -> Vec<(i32, FetchedRecord)> {
    let mut consumer = Consumer::new(settings);
    let described = within(client.topics(&[topic.into()])).await.unwrap().remove(0).1.unwrap();
    consumer.assign(described.partitions.iter().map(|one| (TopicPartition::new(topic, one.index), 0)));
    let mut records = Vec::new();
    loop {
        let fetched = within(consumer.poll(client, WAIT)).await.unwrap();
        if fetched.iter().all(|partition| partition.records.is_empty()) {
            return records;
        }
        for partition in fetched {
            assert_eq!(consumer.positions()[&partition.partition], partition.position);
            let index = partition.partition.partition;
            records.extend(partition.records.into_iter().map(|record| (index, record)));
        }
    }
}

fn values(records: &[(i32, FetchedRecord)]) -> Vec<String> {
    let text = |record: &FetchedRecord| String::from_utf8(record.record.value.clone().unwrap().to_vec()).unwrap();
    records.iter().map(|(_, record)| text(record)).collect()
}

#[tokio::test]
async fn records_come_back_as_they_were_sent_with_every_codec() {
    let broker = Broker::with(&[("klamm.create.topics", "payments:3:1")]).await;
    let mut client = client_of(&broker).await;
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for (at, compression) in codecs.into_iter().enumerate() {
        let settings = ProducerSettings { compression, ..ProducerSettings::default() };
        let mut producer = producer(&mut client, "payments", settings).await;
        let mut sent = record(Some("user-10"), Some("42"));
        sent.headers = vec![("a".into(), Some("1".into())), ("a".into(), None)];
        within(producer.send(&mut client, &sent)).await.unwrap();
        within(producer.send(&mut client, &record(Some("user-10"), None))).await.unwrap();
        let delivered = within(producer.flush(&mut client)).await.unwrap();
        let places: Vec<_> = delivered.iter().map(|one| (one.partition, one.offset)).collect();
        let first = 2 * at as i64;
        assert_eq!(places, [(2, Some(first)), (2, Some(first + 1))], "{compression:?}");
    }
    let records = read_all(&mut client, ConsumerSettings::default(), "payments").await;
    assert_eq!(records.len(), 2 * codecs.len());
    for (at, pair) in records.chunks(2).enumerate() {
        let [(2, first), (2, second)] = pair else { panic!("{pair:?}") };
        assert_eq!(first.batch.compression(), Ok(codecs[at]));
        assert_eq!(first.record.key.as_deref(), Some(&b"user-10"[..]));
        assert_eq!(first.record.headers, [("a".into(), Some("1".into())), ("a".into(), None)]);
        assert_eq!((first.record.timestamp, second.record.value.as_ref()), (1_700_000_000_000, None));
    }
    broker.stop().await;
}

#[tokio::test]
async fn records_without_a_key_are_spread_and_a_topic_is_created() {
    let broker = Broker::with(&[("num.partitions", "3")]).await;
    let mut client = client_of(&broker).await;
    let mut producer =
        producer(&mut client, "made", ProducerSettings { batch_bytes: 100, ..ProducerSettings::default() }).await;
    let mut delivered = Vec::new();
    for _ in 0..30 {
        delivered.extend(within(producer.send(&mut client, &record(None, Some("a value")))).await.unwrap());
    }
    delivered.extend(within(producer.flush(&mut client)).await.unwrap());
    assert_eq!(delivered.len(), 30);
    for partition in 0..3 {
        let own = delivered.iter().filter(|one| one.partition == partition).count();
        assert!((5..=15).contains(&own), "{own} of 30 in {partition}");
    }
    let wrong = NewRecord { partition: Some(3), ..record(None, None) };
    let error = within(producer.send(&mut client, &wrong)).await.expect_err("there is no partition 3").to_string();
    assert_eq!(error, "made has no partition 3; it has 3, which are counted from 0");
    broker.stop().await;
}

#[tokio::test]
async fn what_a_broker_refuses_is_told_and_is_no_hindrance() {
    let broker = Broker::with(&[("klamm.create.topics", "small:1:1"), ("message.max.bytes", "300")]).await;
    let mut client = client_of(&broker).await;
    let mut producer = producer(&mut client, "small", ProducerSettings::default()).await;
    let large = NewRecord { value: Some(vec![7; 1_000].into()), ..NewRecord::default() };
    within(producer.send(&mut client, &large)).await.unwrap();
    let error = within(producer.flush(&mut client)).await.expect_err("it is too large");
    assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge), "{error}");
    assert!(error.to_string().starts_with("small-0: "), "{error}");
    within(producer.send(&mut client, &record(None, Some("fits")))).await.unwrap();
    within(producer.flush(&mut client)).await.unwrap();
    assert_eq!(values(&read_all(&mut client, ConsumerSettings::default(), "small").await), ["fits"]);
    broker.stop().await;
}

/// A broker that is reached through somebody who spoils the first `times` answers to an API.
async fn spoiled(api_key: i16, times: usize, spoil: Spoil) -> (Broker, ClusterClient, impl Fn() -> usize) {
    let middleman = Middleman::bind().await;
    let port = middleman.port;
    let advertised = format!("PLAINTEXT://127.0.0.1:{port}");
    let broker = Broker::with(&[("klamm.create.topics", "t:1:1"), ("advertised.listeners", &advertised)]).await;
    let count = middleman.start(broker.port(), api_key, times, spoil);
    let client = client_at(port).await;
    (broker, client, move || count.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_record() {
    let (broker, mut client, lost) = spoiled(PRODUCE, 2, |_| None).await;
    let mut producer = producer(&mut client, "t", ProducerSettings::default()).await;
    for value in ["a", "b"] {
        within(producer.send(&mut client, &record(None, Some(value)))).await.unwrap();
        within(producer.flush(&mut client)).await.unwrap();
    }
    assert_eq!(lost(), 2);
    assert_eq!(values(&read_all(&mut client, ConsumerSettings::default(), "t").await), ["a", "b"]);
    broker.stop().await;
}

/// Sends a record past somebody who does this to the answers to fetches, and reads it.
async fn read_past(times: usize, spoil: Spoil) -> Result<usize, ClientError> {
    let (broker, mut client, _) = spoiled(FETCH, times, spoil).await;
    let mut producer = producer(&mut client, "t", ProducerSettings::default()).await;
    within(producer.send(&mut client, &record(None, Some("a value")))).await.unwrap();
    within(producer.flush(&mut client)).await.unwrap();
    let mut consumer = Consumer::new(ConsumerSettings::default());
    consumer.assign([(TopicPartition::new("t", 0), 0)]);
    let mut read = Ok(0);
    while matches!(read, Ok(0)) {
        let fetched = within(consumer.poll(&mut client, WAIT)).await;
        read = fetched.map(|fetched| fetched.iter().map(|partition| partition.records.len()).sum());
    }
    broker.stop().await;
    read
}

#[tokio::test]
async fn a_lost_fetch_is_asked_for_again() {
    assert_eq!(read_past(3, |_| None).await.unwrap(), 1);
}

#[tokio::test]
async fn damaged_answers_are_errors_and_nothing_else() {
    let flipped = read_past(9, |mut answer| {
        let at = answer.windows(7).position(|bytes| bytes == b"a value")?;
        answer[at] ^= 1;
        Some(answer)
    });
    let error = flipped.await.expect_err("a damaged batch was read");
    assert_eq!(error.code(), Some(ErrorCode::CorruptMessage), "{error}");
    let cut = read_past(9, |answer| Some(answer[..answer.len() - 20].to_vec())).await;
    assert!(matches!(cut, Err(ClientError::Broken { .. })), "{cut:?}");
    let nothing = read_past(9, |answer| Some(answer[..4].to_vec())).await;
    assert!(matches!(nothing, Err(ClientError::Broken { .. })), "{nothing:?}");
}

#[tokio::test]
async fn an_offset_out_of_range_is_told_or_put_right() {
    let broker = Broker::with(&[("klamm.create.topics", "t:1:1")]).await;
    let mut client = client_of(&broker).await;
    let mut producer = producer(&mut client, "t", ProducerSettings::default()).await;
    within(producer.send(&mut client, &record(None, Some("a")))).await.unwrap();
    within(producer.flush(&mut client)).await.unwrap();
    let here = TopicPartition::new("t", 0);
    for (reset, position) in [(OffsetReset::Earliest, 0), (OffsetReset::Latest, 1)] {
        let mut consumer = Consumer::new(ConsumerSettings { reset, ..ConsumerSettings::default() });
        consumer.assign([(here.clone(), 99)]);
        assert!(within(consumer.poll(&mut client, WAIT)).await.unwrap().is_empty());
        assert_eq!(consumer.positions()[&here], position);
    }
    let mut consumer = Consumer::new(ConsumerSettings::default());
    consumer.assign([(here, 99)]);
    let error = within(consumer.poll(&mut client, WAIT)).await.expect_err("it is out of range");
    assert_eq!(error.to_string(), "t-0 has no offset 99");
    broker.stop().await;
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_record_or_with_its_time() {
    let broker = Broker::with(&[("klamm.create.topics", "t:1:1")]).await;
    let (mut client, mut other) = (client_of(&broker).await, client_of(&broker).await);
    let mut consumer = Consumer::new(ConsumerSettings::default());
    consumer.assign([(TopicPartition::new("t", 0), 0)]);
    let began = Instant::now();
    let idle = within(consumer.poll(&mut client, WAIT)).await.unwrap();
    assert!(idle[0].records.is_empty() && idle[0].high_watermark == 0 && began.elapsed() >= WAIT, "{idle:?}");
    let mut producer = producer(&mut other, "t", ProducerSettings::default()).await;
    let (fetched, ()) = tokio::join!(within(consumer.poll(&mut client, Duration::from_secs(8))), async {
        within(producer.send(&mut other, &record(None, Some("a")))).await.unwrap();
        within(producer.flush(&mut other)).await.unwrap();
    });
    assert_eq!(fetched.unwrap()[0].records.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    broker.stop().await;
}

fn group_consumer(topic: &str) -> GroupConsumer {
    let settings = ConsumerSettings { reset: OffsetReset::Earliest, ..ConsumerSettings::default() };
    GroupConsumer::new(GroupSettings::new("g"), [topic.into()], settings, true)
}

/// Polls until `wanted` records have come and marks them as done; how many of each partition.
async fn consume(group: &mut GroupConsumer, client: &mut ClusterClient, wanted: usize) -> BTreeMap<i32, usize> {
    let mut read = BTreeMap::new();
    while read.values().sum::<usize>() < wanted {
        for partition in within(group.poll(client, WAIT)).await.unwrap() {
            *read.entry(partition.partition.partition).or_default() += partition.records.len();
            group.mark(&partition.partition, partition.read_up_to(partition.position));
        }
    }
    read.retain(|_, count| *count > 0);
    read
}

#[tokio::test]
async fn a_group_shares_partitions_and_remembers_where_it_is() {
    let broker = Broker::with(&[("klamm.create.topics", "t:3:1"), ("group.initial.rebalance.delay.ms", "0")]).await;
    let (mut one, mut two) = (client_of(&broker).await, client_of(&broker).await);
    let mut producer = producer(&mut one, "t", ProducerSettings::default()).await;
    for at in 0..9 {
        let sent = NewRecord { partition: Some(at % 3), ..record(None, Some("v")) };
        within(producer.send(&mut one, &sent)).await.unwrap();
    }
    within(producer.flush(&mut one)).await.unwrap();
    let mut first = group_consumer("t");
    assert_eq!(consume(&mut first, &mut one, 9).await, BTreeMap::from([(0, 3), (1, 3), (2, 3)]));
    // The second joins, which the first hears of with its next heartbeat; until both know, both go on.
    let mut second = group_consumer("t");
    let joined = async {
        while second.positions().is_empty() {
            within(second.poll(&mut two, WAIT)).await.unwrap();
        }
    };
    let shared = async {
        // Who gets two of the three depends on names that are chosen at random.
        while first.positions().len() == 3 {
            within(first.poll(&mut one, WAIT)).await.unwrap();
        }
    };
    tokio::join!(joined, shared);
    let of = |group: &GroupConsumer| group.positions().clone().into_iter().map(|(one, at)| (one.partition, at));
    assert!(
        of(&first).chain(of(&second)).eq([(0, 3), (1, 3), (2, 3)])
            || of(&second).chain(of(&first)).eq([(0, 3), (1, 3), (2, 3)])
    );
    within(second.close(&mut two)).await.unwrap();
    within(first.close(&mut one)).await.unwrap();
    let sent = NewRecord { partition: Some(1), ..record(None, Some("new")) };
    within(producer.send(&mut one, &sent)).await.unwrap();
    within(producer.flush(&mut one)).await.unwrap();
    let mut later = group_consumer("t");
    assert_eq!(consume(&mut later, &mut one, 1).await, BTreeMap::from([(1, 1)]));
    within(later.seek_to_beginning(&mut one)).await.unwrap();
    assert_eq!(consume(&mut later, &mut one, 10).await, BTreeMap::from([(0, 3), (1, 4), (2, 3)]));
    within(later.close(&mut one)).await.unwrap();
    let committed = within(one.committed_offsets("g")).await.unwrap();
    let committed: Vec<_> = committed.values().map(|at| (at.offset, at.leader_epoch)).collect();
    assert_eq!(committed, [(3, Some(0)), (4, Some(0)), (3, Some(0))]);
    broker.stop().await;
}

#[tokio::test]
async fn a_group_that_begins_at_the_end_remembers_it_although_nothing_came() {
    let broker = Broker::with(&[("klamm.create.topics", "t:1:1"), ("group.initial.rebalance.delay.ms", "0")]).await;
    let mut client = client_of(&broker).await;
    let mut producer = producer(&mut client, "t", ProducerSettings::default()).await;
    let mut send = async |client: &mut ClusterClient, value| {
        within(producer.send(client, &record(None, Some(value)))).await.unwrap();
        within(producer.flush(client)).await.unwrap();
    };
    send(&mut client, "old").await;
    let settings = ConsumerSettings { reset: OffsetReset::Latest, ..ConsumerSettings::default() };
    let mut idle = GroupConsumer::new(GroupSettings::new("g"), ["t".into()], settings, true);
    assert!(within(idle.poll(&mut client, WAIT)).await.unwrap().iter().all(|fetched| fetched.records.is_empty()));
    within(idle.close(&mut client)).await.unwrap();
    send(&mut client, "new").await;
    let mut later = group_consumer("t");
    assert_eq!(consume(&mut later, &mut client, 1).await, BTreeMap::from([(0, 1)]));
    within(later.close(&mut client)).await.unwrap();
    broker.stop().await;
}
