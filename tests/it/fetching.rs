//! How Fetch waits, what it bounds, and rows B37, B39 and B54 of the bad-input matrix.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kafka_protocol::messages::{DeleteTopicsRequest, FetchRequest, MetadataRequest};
use kafka_protocol::protocol::Request;
use klamm::network::channel::Ticket;
use klamm::protocol::compression::Compression;
use klamm::protocol::record_batch::batches;

use crate::broker::{Broker, Client, FETCH, Topic, batch, builder, fetch, fetched, long_poll, produce, records};
use crate::server::{until, within};

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
const INVALID_FETCH_SESSION_EPOCH: i16 = 71;
const FETCH_SESSION_TOPIC_ID_ERROR: i16 = 106;
const UNKNOWN_TOPIC_ID: i16 = 100;
const INCONSISTENT_TOPIC_ID: i16 = 103;

/// Longer than any test may take: a poll that comes back was woken.
const FOR_EVER_MS: i32 = i32::MAX;

/// A connection with a long poll on it, which has reached the broker.
async fn polling(broker: &Broker, request: &FetchRequest) -> (Client, Ticket<FetchRequest>) {
    let mut client = broker.client().await;
    let ticket = client.0.send(FETCH, request).await.unwrap();
    (client, ticket)
}

/// Waits until the requests that were sent have been taken up: an in-process broker needs no more than a moment.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn answer<R: Request>(client: &mut Client, ticket: Ticket<R>) -> R::Response {
    within(client.0.receive(ticket)).await.unwrap()
}

async fn delete(client: &mut Client, topic: &Topic) {
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(vec![topic.name.clone()]);
    assert_eq!(client.ask(5, &request).await.responses[0].error_code, 0);
}

#[tokio::test]
async fn a_long_poll_returns_when_records_arrive() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    for isolation_level in [0, 1] {
        let offset = client.offset(&topic, 1, -1).await;
        let poll = long_poll(&topic, &[(0, 0), (1, offset)], 1, FOR_EVER_MS).with_isolation_level(isolation_level);
        let (mut consumer, ticket) = polling(&broker, &poll).await;
        settle().await;
        client.append(&topic, 1, &["late"]).await;
        let response = answer(&mut consumer, ticket).await;
        assert_eq!(fetched(&response), [(0, 0, vec![]), (1, 0, vec!["late".to_owned()])]);
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_long_poll_waits_for_as_many_bytes_as_it_wants() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    let size = batch(&["first"]).len() as i32;
    let (mut consumer, ticket) = polling(&broker, &long_poll(&topic, &[(0, 0), (1, 0)], size + 1, FOR_EVER_MS)).await;
    settle().await;
    client.append(&topic, 0, &["first"]).await;
    let early = tokio::time::timeout(Duration::from_millis(100), consumer.0.receive(ticket)).await;
    assert!(early.is_err(), "one batch is not enough");
    let (mut consumer, ticket) = polling(&broker, &long_poll(&topic, &[(0, 0), (1, 0)], size + 1, FOR_EVER_MS)).await;
    settle().await;
    client.append(&topic, 1, &["second"]).await;
    let response = answer(&mut consumer, ticket).await;
    assert_eq!(fetched(&response), [(0, 0, vec!["first".to_owned()]), (1, 0, vec!["second".to_owned()])]);
    broker.stop().await;
}

#[tokio::test]
async fn a_long_poll_ends_with_its_time_and_an_error_of_the_log_does_not_wait() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    client.append(&topic, 0, &["a"]).await;
    for version in [4, 12, 18] {
        let started = Instant::now();
        let response = client.ask(version, &long_poll(&topic, &[(0, 1)], 1, 100)).await;
        assert!(started.elapsed() >= Duration::from_millis(100), "v{version} {:?}", started.elapsed());
        assert_eq!(fetched(&response), [(0, 0, vec![])], "v{version}");
        // What there is comes at the end of the wait, although it is less than was wanted.
        let response = client.ask(version, &long_poll(&topic, &[(0, 0)], 10_000, 50)).await;
        assert_eq!(fetched(&response), [(0, 0, vec!["a".to_owned()])], "v{version}");
        let response = client.ask(version, &long_poll(&topic, &[(1, 0), (0, 9)], 1, FOR_EVER_MS)).await;
        assert_eq!(fetched(&response), [(1, 0, vec![]), (0, OFFSET_OUT_OF_RANGE, vec![])], "v{version}");
        client.ask(version, &long_poll(&topic, &[(0, 1)], 0, FOR_EVER_MS)).await;
        client.ask(version, &long_poll(&topic, &[(0, 1)], 1, 0)).await;
        client.ask(version, &long_poll(&topic, &[(0, 1)], i32::MIN, i32::MIN)).await;
    }
    broker.stop().await;
}

/// What the metadata does not know is answered last, and does not end the wait for the rest, unless there is no rest.
#[tokio::test]
async fn an_unknown_partition_does_not_end_a_wait() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let gone = client.create_topic("gone", 1, &[]).await;
    delete(&mut client, &gone).await;
    for version in [4, 7, 12, 13, 18] {
        let unknown_topic = if version < 13 { UNKNOWN_TOPIC_OR_PARTITION } else { UNKNOWN_TOPIC_ID };
        let mut poll = long_poll(&gone, &[(0, 0)], 1, FOR_EVER_MS);
        let started = Instant::now();
        assert_eq!(fetched(&client.ask(version, &poll).await), [(0, unknown_topic, vec![])], "v{version}");
        assert!(started.elapsed() < Duration::from_secs(5), "v{version}: there is nothing to wait for");
        let end = client.offset(&topic, 0, -1).await;
        poll.topics.extend(fetch(&topic, &[(7, 0), (0, end)]).topics);
        let expected =
            |values: Vec<String>| [(0, 0, values), (0, unknown_topic, vec![]), (7, UNKNOWN_TOPIC_OR_PARTITION, vec![])];
        let started = Instant::now();
        let response = client.ask(version, &poll.clone().with_max_wait_ms(100)).await;
        assert!(started.elapsed() >= Duration::from_millis(100), "v{version} {:?}", started.elapsed());
        assert_eq!(fetched(&response), expected(vec![]), "v{version}");
        let mut consumer = broker.client().await;
        let ticket = consumer.0.send(version, &poll).await.unwrap();
        settle().await;
        client.append(&topic, 0, &["late"]).await;
        assert_eq!(fetched(&answer(&mut consumer, ticket).await), expected(vec!["late".to_owned()]), "v{version}");
    }
    broker.stop().await;
}

/// A consumer with two topics, one of which goes: its session tells it so with every answer, none of which comes early.
/// The session knows the topic by the name that it had for the id, and its successor for another one.
#[tokio::test]
async fn a_session_with_a_deleted_topic_keeps_waiting() {
    let broker = Broker::start().await;
    for version in [7, 12, 13, 18] {
        let (mut client, topic) = broker.client_with_topic(&format!("t{version}"), 1).await;
        let gone = client.create_topic("gone", 1, &[]).await;
        let mut poll = long_poll(&topic, &[(0, 0)], 1, 100).with_session_epoch(0);
        poll.topics.extend(fetch(&gone, &[(0, 0)]).topics);
        let session_id = client.ask(version, &poll).await.session_id;
        delete(&mut client, &gone).await;
        let mut epoch = 0;
        let mut next = |max_wait_ms| {
            epoch += 1;
            let nothing_new = long_poll(&topic, &[], 1, max_wait_ms).with_topics(vec![]);
            nothing_new.with_session_id(session_id).with_session_epoch(epoch)
        };
        // The first answer may be the one in which the broker's log says that it has gone.
        client.ask(version, &next(100)).await;
        for _ in 0..3 {
            let started = Instant::now();
            let response = client.ask(version, &next(100)).await;
            assert!(started.elapsed() >= Duration::from_millis(100), "v{version} {:?}", started.elapsed());
            assert_eq!(fetched(&response), [(0, UNKNOWN_TOPIC_OR_PARTITION, vec![])], "v{version}");
        }
        let successor = client.create_topic("gone", 1, &[]).await;
        client.append(&successor, 0, &["new"]).await;
        let response = client.ask(version, &next(FOR_EVER_MS)).await;
        let expected = if version < 13 { (0, 0, vec!["new".to_owned()]) } else { (0, INCONSISTENT_TOPIC_ID, vec![]) };
        assert_eq!(fetched(&response), [expected], "v{version}");
        delete(&mut client, &successor).await;
    }
    broker.stop().await;
}

/// Many records are sent from their files, few are not; an incremental answer leaves partitions out.
#[tokio::test]
async fn records_from_files_and_from_memory_arrive_in_one_answer() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let (mut client, topic) = broker.client_with_topic("t", 5).await;
    let (few, many) = ("few".to_owned(), "many".repeat(25_000));
    for (partition, value) in [(0, &many), (2, &few), (4, &many)] {
        client.append(&topic, partition, &[value]).await;
    }
    let offsets = [(0, 0), (1, 0), (2, 0), (3, 9), (4, 0)];
    let (full, session_id) = {
        let response = client.ask(18, &fetch(&topic, &offsets).with_session_epoch(0)).await;
        (fetched(&response), response.session_id)
    };
    let expected = [
        (0, 0, vec![many.clone()]),
        (1, 0, vec![]),
        (2, 0, vec![few.clone()]),
        (3, OFFSET_OUT_OF_RANGE, vec![]),
        (4, 0, vec![many.clone()]),
    ];
    assert_eq!(full, expected);
    client.append(&topic, 1, &[&few]).await;
    let moved_on = fetch(&topic, &[(0, 1), (3, 0)]).with_session_id(session_id).with_session_epoch(1);
    let mut incremental = fetched(&client.ask(18, &moved_on).await);
    incremental.sort();
    assert_eq!(incremental, [(1, 0, vec![few.clone()]), (2, 0, vec![few]), (3, 0, vec![]), (4, 0, vec![many])]);
    broker.stop().await;
}

/// B37: a wait of 25 days is given up with its connection, and neither it nor others hold up a stop.
#[tokio::test]
async fn b37_a_wait_ends_with_its_connection() {
    let broker = Broker::start().await;
    let (_client, topic) = broker.client_with_topic("t", 1).await;
    let partition = broker.0.broker().replicas.partition("t", 0).unwrap();
    let holders = || Arc::strong_count(&partition);
    let idle = holders();
    let mut polls = Vec::new();
    for _ in 0..20 {
        polls.push(polling(&broker, &long_poll(&topic, &[(0, 0)], 1, FOR_EVER_MS)).await);
    }
    until(|| holders() >= idle + 20).await;
    drop(polls);
    until(|| holders() == idle).await;
    drop(partition);
    broker.stop().await;
}

/// Three batches in one partition, and one each in two others.
async fn with_batches(broker: &Broker) -> (Client, Topic, usize) {
    let (mut client, topic) = broker.client_with_topic("t", 3).await;
    for (partition, value) in [(0, "a"), (0, "b"), (0, "c"), (1, "d"), (2, "e")] {
        client.append(&topic, partition, &[value]).await;
    }
    (client, topic, batch(&["a"]).len())
}

#[tokio::test]
async fn b37_sizes_are_honoured_and_progress_is_made() {
    let broker = Broker::start().await;
    let (mut client, topic, size) = with_batches(&broker).await;
    let size = size as i32;
    // Of all partitions, of each partition, and how many bytes then come of each.
    let cases = [
        (50 << 20, 1 << 20, [3 * size, size, size]),
        (i32::MAX, i32::MAX, [3 * size, size, size]),
        (50 << 20, 2 * size, [2 * size, size, size]),
        (50 << 20, 2 * size + 5, [2 * size, size, size]),
        (50 << 20, 1, [size, 0, 0]),
        (50 << 20, 0, [size, 0, 0]),
        (4 * size, i32::MAX, [3 * size, size, 0]),
        (1, i32::MAX, [size, 0, 0]),
        (0, i32::MAX, [size, 0, 0]),
        (-1, i32::MAX, [size, 0, 0]),
        (i32::MIN, i32::MIN, [size, 0, 0]),
    ];
    for version in [4, 12, 18] {
        for (max_bytes, partition_max_bytes, expected) in cases {
            let mut request = fetch(&topic, &[(0, 0), (1, 0), (2, 0)]).with_max_bytes(max_bytes);
            for partition in &mut request.topics[0].partitions {
                partition.partition_max_bytes = partition_max_bytes;
            }
            let response = client.ask(version, &request).await;
            let whole = |bytes: &bytes::Bytes| batches(bytes).map(|batch| batch.unwrap().bytes.len() as i32).sum();
            let got: Vec<i32> =
                response.responses[0].partitions.iter().map(|data| data.records.as_ref().map_or(0, whole)).collect();
            assert_eq!(got, expected, "v{version} {max_bytes} {partition_max_bytes}");
        }
    }
    // Half a batch is no progress: the first one comes whole even where it is larger than everything asked for.
    let large = "x".repeat(300_000);
    let offset = client.append(&topic, 2, &[&large]).await;
    let response = client.ask(FETCH, &fetch(&topic, &[(2, offset)]).with_max_bytes(1)).await;
    assert_eq!(records(&response.responses[0].partitions[0])[0].1.len(), large.len());
    broker.stop().await;
}

/// What is left of an older segment may be less than is wanted, and no append adds to it.
#[tokio::test]
async fn a_poll_of_an_older_segment_does_not_wait_for_more() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 1, &[("segment.bytes", "1048576")]).await;
    let value = "x".repeat(700_000);
    for _ in 0..2 {
        client.append(&topic, 0, &[&value]).await;
    }
    let response = client.ask(FETCH, &long_poll(&topic, &[(0, 0)], 2 << 20, FOR_EVER_MS)).await;
    assert_eq!(fetched(&response), [(0, 0, vec![value.clone()])]);
    let started = Instant::now();
    let response = client.ask(FETCH, &long_poll(&topic, &[(0, 1)], 2 << 20, 100)).await;
    assert!(started.elapsed() >= Duration::from_millis(100), "the newest segment may still grow");
    assert_eq!(fetched(&response), [(0, 0, vec![value])]);
    broker.stop().await;
}

/// B37: what the broker allows at most holds for clients that ask for more.
#[tokio::test]
async fn b37_fetch_max_bytes_bounds_every_answer() {
    let broker = Broker::with(&[("fetch.max.bytes", "1024")]).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    for _ in 0..30 {
        client.append(&topic, 0, &["x".repeat(100).as_str()]).await;
    }
    let response = client.ask(FETCH, &long_poll(&topic, &[(0, 0)], i32::MAX, FOR_EVER_MS)).await;
    let found = records(&response.responses[0].partitions[0]).len();
    assert!((1..=10).contains(&found), "{found}");
    broker.stop().await;
}

/// As since Kafka 4.0: a client that is too old to know zstd is given the records all the same.
#[tokio::test]
async fn every_version_reads_a_topic_of_zstd() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for compression_type in ["zstd", "producer"] {
        let topic = client.create_topic(compression_type, 1, &[("compression.type", compression_type)]).await;
        let zstd = builder(&["a"]).compression(Compression::Zstd).build();
        for (offset, records) in [batch(&["a"]), zstd].into_iter().enumerate() {
            assert_eq!(client.produce(&topic, 0, records).await.base_offset, offset as i64);
        }
        for version in 4..=18 {
            let response = client.ask(version, &fetch(&topic, &[(0, 0)])).await;
            let expected = [(0, 0, vec!["a".to_owned(), "a".to_owned()])];
            assert_eq!(fetched(&response), expected, "v{version} {compression_type}");
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn b37_offsets_that_are_not_there() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.append(&topic, 0, &["a", "b", "c"]).await;
    for offset in [-1, -2, i64::MIN, 4, i64::MAX] {
        let found = client.fetch(&topic, 0, offset).await;
        assert_eq!((found.error_code, found.high_watermark), (OFFSET_OUT_OF_RANGE, -1), "{offset}");
    }
    // Inside a batch the whole batch comes; at the end nothing does.
    assert_eq!(client.read(&topic, 0, 1).await, ["a", "b", "c"]);
    assert!(client.read(&topic, 0, 3).await.is_empty());
    broker.stop().await;
}

#[tokio::test]
async fn b37_any_negative_epoch_is_none() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.append(&topic, 0, &["a"]).await;
    for epoch in [-1, -2, i32::MIN] {
        for version in [9, 12, 18] {
            let mut request = fetch(&topic, &[(0, 0)]);
            let partition = &mut request.topics[0].partitions[0];
            partition.current_leader_epoch = epoch;
            partition.last_fetched_epoch = if version < 12 { -1 } else { epoch };
            let response = client.ask(version, &request).await;
            assert_eq!(fetched(&response), [(0, 0, vec!["a".to_owned()])], "v{version} {epoch}");
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn b37_a_fetch_of_nothing_is_a_normal_request() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    for version in 4..=18 {
        let nothing = FetchRequest::default().with_min_bytes(1).with_max_wait_ms(FOR_EVER_MS);
        assert!(client.ask(version, &nothing).await.responses.is_empty(), "v{version}");
        let no_partition = fetch(&topic, &[]).with_min_bytes(1).with_max_wait_ms(FOR_EVER_MS);
        let response = client.ask(version, &no_partition).await;
        assert!(fetched(&response).is_empty(), "v{version}");
        // B17: a partition that is named twice is read as it is named last.
        let twice = client.ask(version, &fetch(&topic, &[(0, 99), (0, 0)])).await;
        assert_eq!(fetched(&twice), [(0, 0, vec![])], "v{version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn b39_sessions_that_are_not_there() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let in_session = |id, epoch| fetch(&topic, &[(0, 0)]).with_session_id(id).with_session_epoch(epoch);
    for version in 7..=18 {
        for id in [1, -1, i32::MAX, i32::MIN, 0] {
            let refused = client.ask(version, &in_session(id, 1)).await;
            assert_eq!((refused.error_code, refused.session_id), (FETCH_SESSION_ID_NOT_FOUND, 0), "v{version} {id}");
            assert!(refused.responses.is_empty());
        }
        let session = client.ask(version, &in_session(0, 0)).await.session_id;
        for epoch in [2, 7, i32::MAX, -2, i32::MIN] {
            let refused = client.ask(version, &in_session(session, epoch)).await;
            assert_eq!(refused.error_code, INVALID_FETCH_SESSION_EPOCH, "v{version} {epoch}");
        }
        let other_naming = if version < 13 { 13 } else { 12 };
        let refused = client.ask(other_naming, &in_session(session, 1)).await;
        assert_eq!(refused.error_code, FETCH_SESSION_TOPIC_ID_ERROR, "v{version}");
        assert_eq!(client.ask(version, &in_session(session, 1)).await.error_code, 0, "v{version}");
    }
    broker.stop().await;
}

/// B39: sessions of clients that never come back are bounded; who gets none is served all the same.
#[tokio::test]
async fn b39_sessions_are_bounded() {
    let broker = Broker::with(&[("max.incremental.fetch.session.cache.slots", "10")]).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.append(&topic, 0, &["a"]).await;
    let mut opened = 0;
    for _ in 0..500 {
        let response = client.ask(FETCH, &fetch(&topic, &[(0, 0)]).with_session_epoch(0)).await;
        assert_eq!(fetched(&response), [(0, 0, vec!["a".to_owned()])]);
        opened += usize::from(response.session_id != 0);
    }
    assert_eq!((opened, broker.0.broker().lock_fetch_sessions().len()), (10, 10));
    broker.stop().await;
}

/// Every waiter of a partition is answered by one append, and soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_append_wakes_five_hundred_waiters() {
    const WAITERS: usize = 500;
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    let partition = broker.0.broker().replicas.partition("t", 0).unwrap();
    let idle = Arc::strong_count(&partition);
    let mut polls = Vec::with_capacity(WAITERS);
    for _ in 0..WAITERS {
        polls.push(polling(&broker, &long_poll(&topic, &[(0, 0)], 1, FOR_EVER_MS)).await);
    }
    until(|| Arc::strong_count(&partition) >= idle + WAITERS).await;
    // Another partition's records concern none of them.
    client.append(&topic, 1, &["elsewhere"]).await;
    assert_eq!(Arc::strong_count(&partition), idle + WAITERS);
    let started = Instant::now();
    client.append(&topic, 0, &["wake"]).await;
    for (mut consumer, ticket) in polls {
        let response = answer(&mut consumer, ticket).await;
        assert_eq!(fetched(&response), [(0, 0, vec!["wake".to_owned()])]);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(partition);
    broker.stop().await;
}

#[tokio::test]
async fn b54_a_topic_goes_while_it_is_waited_for() {
    let broker = Broker::start().await;
    for (version, expected) in [(12, UNKNOWN_TOPIC_OR_PARTITION), (13, UNKNOWN_TOPIC_ID), (18, UNKNOWN_TOPIC_ID)] {
        let (mut client, topic) = broker.client_with_topic("t", 1).await;
        let mut consumer = broker.client().await;
        let poll = long_poll(&topic, &[(0, 0)], 1, FOR_EVER_MS);
        let ticket = consumer.0.send(version, &poll).await.unwrap();
        settle().await;
        delete(&mut client, &topic).await;
        let response = answer(&mut consumer, ticket).await;
        let code = response.responses[0].partitions[0].error_code;
        assert!([UNKNOWN_TOPIC_OR_PARTITION, expected].contains(&code), "v{version} {code}");
        let response = consumer.ask(version, &poll).await;
        assert_eq!(response.responses[0].partitions[0].error_code, expected, "v{version}");
    }
    broker.stop().await;
}

/// B54: appends and deletions of one topic at once, its successor of the same name included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b54_a_topic_goes_while_it_is_written_to() {
    let broker = Broker::start().await;
    let (mut admin, first) = broker.client_with_topic("t", 1).await;
    let mut producer = broker.client().await;
    let (name, over) = (first.clone(), Arc::new(AtomicBool::new(false)));
    let is_over = Arc::clone(&over);
    let writing = tokio::spawn(async move {
        let mut appended = 0;
        // In the end there is a topic, so that something is appended at last.
        while appended == 0 || !is_over.load(Ordering::Relaxed) {
            let response = producer.ask(12, &produce(&name, 0, batch(&["a"]))).await;
            let code = response.responses[0].partition_responses[0].error_code;
            assert!([0, UNKNOWN_TOPIC_OR_PARTITION].contains(&code), "{code}");
            appended += usize::from(code == 0);
        }
    });
    for _ in 0..20 {
        delete(&mut admin, &first).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let next = admin.create_topic("t", 1, &[]).await;
        assert_ne!(next.id, first.id);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    over.store(true, Ordering::Relaxed);
    within(writing).await.unwrap();
    // The first topic's id stays unknown, whatever bears its name now.
    let response = admin.ask(13, &produce(&first, 0, batch(&["a"]))).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, UNKNOWN_TOPIC_ID);
    admin.ask(9, &MetadataRequest::default()).await;
    broker.stop().await;
}
