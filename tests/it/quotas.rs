//! Quotas: who is above one is told to wait and is not read from meanwhile; nobody else waits.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest,
    MetadataRequest,
};
use klamm::controller::{AlterClientQuotas, QuotaAlteration};
use klamm::metadata::QuotaKey;

use crate::broker::{Broker, FETCH, PRODUCE, Topic, builder, fetch, fetched, new_topic, produce, topic_name};
use crate::server::within;

/// Two samples of a second: the first request of a client counts as if it had taken one second.
const WINDOW: &[(&str, &str)] = &[("quota.window.num", "2"), ("quota.window.size.seconds", "1")];

/// Bytes per second.
const QUOTA: f64 = 50_000.0;

/// One batch with so many bytes of value.
fn batch_of(size: usize) -> Bytes {
    builder(&["k".repeat(size).as_str()]).build()
}

/// Defines a quota of a client id; the clients of the tests have the id `it`. It is in force when this returns.
async fn define(broker: &Broker, key: QuotaKey, client_id: &str, bound: f64) {
    let alteration = QuotaAlteration {
        entity: [("client-id".into(), Some(client_id.into()))].into(),
        operations: vec![(key.name().to_owned(), Some(bound))],
    };
    let request = AlterClientQuotas { alterations: vec![alteration], validate_only: false };
    let broker = broker.0.broker();
    let altered = within(broker.controller.alter_client_quotas(request)).await.unwrap();
    assert_eq!(altered.response.unwrap()[0].result, Ok(()));
    within(broker.replicas_applied(altered.image_offset)).await.unwrap();
}

fn produce_of(topic: &Topic, size: usize) -> kafka_protocol::messages::ProduceRequest {
    produce(topic, 0, batch_of(size))
}

#[tokio::test]
async fn a_producer_above_its_quota_is_answered_at_once_and_then_muted() {
    let broker = Broker::with(WINDOW).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    define(&broker, QuotaKey::ProducerByteRate, "somebody else", 1.0).await;
    let response = client.ask(PRODUCE, &produce_of(&topic, 80_000)).await;
    assert_eq!(response.throttle_time_ms, 0, "it has no quota");

    define(&broker, QuotaKey::ProducerByteRate, "it", QUOTA).await;
    let started = Instant::now();
    let response = client.ask(PRODUCE, &produce_of(&topic, 70_000)).await;
    let throttle_time = Duration::from_millis(u64::try_from(response.throttle_time_ms).unwrap());
    // 70 KB in one second are 0.4 s too much.
    assert!((350..600).contains(&throttle_time.as_millis()), "{throttle_time:?}");
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0, "it was appended all the same");
    assert!(started.elapsed() < throttle_time, "the answer does not wait");
    let mut other = broker.client().await;
    other.ask(0, &ApiVersionsRequest::default()).await;
    assert!(started.elapsed() < throttle_time, "another connection is not held up");
    client.ask(0, &ApiVersionsRequest::default()).await;
    assert!(started.elapsed() >= throttle_time, "the next request is read when the time is over");
    broker.stop().await;
}

#[tokio::test]
async fn a_producer_without_answers_is_muted_as_well() {
    let broker = Broker::with(WINDOW).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    define(&broker, QuotaKey::ProducerByteRate, "it", QUOTA).await;
    let started = Instant::now();
    let ticket = client.0.send(PRODUCE, &produce_of(&topic, 70_000).with_acks(0)).await.unwrap();
    client.ask(0, &ApiVersionsRequest::default()).await;
    assert!(started.elapsed() >= Duration::from_millis(350), "{:?}", started.elapsed());
    drop(ticket);
    broker.stop().await;
}

#[tokio::test]
async fn a_consumer_above_its_quota_of_requests_gets_no_records() {
    let broker = Broker::with(WINDOW).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    assert_eq!(client.produce(&topic, 0, batch_of(100)).await.error_code, 0);
    let request = fetch(&topic, &[(0, 0)]).with_session_epoch(-1);
    assert_eq!(fetched(&client.ask(FETCH, &request).await)[0].2.len(), 1);
    define(&broker, QuotaKey::RequestPercentage, "it", 0.000_1).await;
    let response = client.ask(FETCH, &request).await;
    assert!(response.throttle_time_ms > 0);
    assert_eq!((response.error_code, response.responses.len()), (0, 0));
    broker.stop().await;
}

#[tokio::test]
async fn a_consumer_above_its_quota_gets_nothing_until_its_rate_has_come_down() {
    let broker = Broker::with(WINDOW).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    for _ in 0..4 {
        assert_eq!(client.produce(&topic, 0, batch_of(20_000)).await.error_code, 0);
    }
    define(&broker, QuotaKey::ConsumerByteRate, "it", QUOTA).await;
    for (version, is_by_session) in [(FETCH, false), (18, true)] {
        // A session's first request, and then the one that goes on with it.
        let mut request = fetch(&topic, &[(0, 0)]).with_session_epoch(if is_by_session { 0 } else { -1 });
        request.topics[0].partitions[0].partition_max_bytes = 42_000;
        let response = client.ask(version, &request).await;
        assert_eq!((response.error_code, response.throttle_time_ms), (0, 0), "v{version}");
        assert_eq!(fetched(&response)[0].2.len(), 2, "v{version}: two of the four fit");
        let session_id = response.session_id;
        let again = if is_by_session {
            assert_ne!(session_id, 0);
            FetchRequest::default().with_max_bytes(50 << 20).with_session_id(session_id).with_session_epoch(1)
        } else {
            request
        };
        let started = Instant::now();
        let response = client.ask(version, &again).await;
        let throttle_time = Duration::from_millis(u64::try_from(response.throttle_time_ms).unwrap());
        assert!((300..1_000).contains(&throttle_time.as_millis()), "v{version}: {throttle_time:?}");
        assert_eq!((response.error_code, response.session_id, response.responses.len()), (0, session_id, 0));
        assert!(started.elapsed() < throttle_time, "v{version}: the answer does not wait");
        // Which the client is not charged for: once its window is over it reads on, and its session is as it was.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let again = if is_by_session { again.with_session_epoch(2) } else { again };
        let response = client.ask(version, &again).await;
        assert_eq!((response.error_code, response.throttle_time_ms), (0, 0), "v{version}");
        assert_eq!(fetched(&response)[0].2.len(), 2, "v{version}");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn one_fetch_is_no_larger_than_the_quota_of_a_window() {
    let broker = Broker::with(WINDOW).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    for _ in 0..4 {
        assert_eq!(client.produce(&topic, 0, batch_of(20_000)).await.error_code, 0);
    }
    define(&broker, QuotaKey::ConsumerByteRate, "it", QUOTA).await;
    let response = client.ask(FETCH, &fetch(&topic, &[(0, 0)])).await;
    assert_eq!((response.throttle_time_ms, fetched(&response)[0].2.len()), (0, 2), "80 KB are there");
    broker.stop().await;
}

#[tokio::test]
async fn the_time_of_requests_has_a_quota_and_is_never_waited_for_longer_than_a_sample() {
    let broker = Broker::with(WINDOW).await;
    let mut client = broker.client().await;
    assert_eq!(client.ask(4, &MetadataRequest::default()).await.throttle_time_ms, 0);
    define(&broker, QuotaKey::RequestPercentage, "it", 0.000_001).await;
    let started = Instant::now();
    let response = client.ask(4, &MetadataRequest::default()).await;
    assert_eq!(response.throttle_time_ms, 1_000);
    client.ask(0, &ApiVersionsRequest::default()).await;
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    broker.stop().await;
}

#[tokio::test]
async fn a_client_is_slowed_to_its_quota_while_another_is_not() {
    let broker = Broker::with(WINDOW).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let quota = 200_000.0;
    define(&broker, QuotaKey::ProducerByteRate, "it", quota).await;
    // A window's worth is free at first, here that of a second.
    let request = produce_of(&topic, 40_000);
    while client.ask(PRODUCE, &request).await.throttle_time_ms == 0 {}
    let (started, mut sent) = (Instant::now(), 0);
    let other = klamm::network::channel::Channel::connect(("127.0.0.1", broker.port()), "other").await.unwrap();
    let mut other = crate::broker::Client(other);
    let mut slowest = Duration::ZERO;
    while started.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        assert_eq!(other.ask(PRODUCE, &request).await.throttle_time_ms, 0);
        slowest = slowest.max(asked.elapsed());
        client.ask(PRODUCE, &request).await;
        sent += 40_000;
    }
    let rate = f64::from(sent) / started.elapsed().as_secs_f64();
    assert!((0.75 * quota..1.25 * quota).contains(&rate), "{rate} bytes per second");
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    broker.stop().await;
}

#[tokio::test]
async fn partitions_are_created_and_deleted_within_a_quota() {
    const THROTTLING_QUOTA_EXCEEDED: i16 = 89;
    // Two samples of a second are the burst.
    let window = [("controller.quota.window.num", "2"), ("controller.quota.window.size.seconds", "1")];
    let broker = Broker::with(&window).await;
    let mut client = broker.client().await;
    define(&broker, QuotaKey::ControllerMutationRate, "it", 2.0).await;
    let topics = ["a", "b", "c"].map(|name| new_topic(name, 3, 1)).to_vec();
    let started = Instant::now();
    let response = client.ask(7, &CreateTopicsRequest::default().with_topics(topics)).await;
    let codes: Vec<_> = response.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [0, 0, THROTTLING_QUOTA_EXCEEDED], "four may be created, and the one that exceeds them");
    let message = response.topics[2].error_message.as_ref().unwrap();
    assert_eq!(message.as_str(), "The throttling quota has been exceeded.");
    let throttle_time = Duration::from_millis(u64::try_from(response.throttle_time_ms).unwrap());
    assert!((800..=1_000).contains(&throttle_time.as_millis()), "two too many, at two per second: {throttle_time:?}");
    client.ask(0, &ApiVersionsRequest::default()).await;
    assert!(started.elapsed() >= throttle_time);

    // Older clients do not know the error: what they ask is done, and they wait.
    let grown = CreatePartitionsTopic::default().with_name(topic_name("a")).with_count(7).with_assignments(None);
    let response =
        client.ask(2, &CreatePartitionsRequest::default().with_timeout_ms(10_000).with_topics(vec![grown])).await;
    assert_eq!(response.results[0].error_code, 0);
    assert!(response.throttle_time_ms > 0, "{}", response.throttle_time_ms);
    let mut other = crate::broker::Client(
        klamm::network::channel::Channel::connect(("127.0.0.1", broker.port()), "it").await.unwrap(),
    );
    let gone = DeleteTopicState::default().with_name(Some(topic_name("b")));
    let response =
        other.ask(6, &DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topics(vec![gone.clone()])).await;
    assert_eq!(response.responses[0].error_code, THROTTLING_QUOTA_EXCEEDED);
    let names = vec![topic_name("b"), topic_name("nowhere")];
    let mut third = crate::broker::Client(
        klamm::network::channel::Channel::connect(("127.0.0.1", broker.port()), "somebody else").await.unwrap(),
    );
    let response = third.ask(4, &DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(names)).await;
    assert_eq!(response.throttle_time_ms, 0, "who has no quota does not wait");
    broker.stop().await;
}

#[tokio::test]
async fn topics_that_are_created_by_being_asked_for_are_within_the_quota_as_well() {
    const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    let window = [("controller.quota.window.num", "2"), ("controller.quota.window.size.seconds", "1")];
    let broker = Broker::with(&window).await;
    let mut client = broker.client().await;
    define(&broker, QuotaKey::ControllerMutationRate, "it", 1.0).await;
    let asked = |name: &str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let topics = ["a", "b", "c", "d"].map(asked).to_vec();
    let request = MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(true);
    let response = client.ask(8, &request).await;
    let codes: Vec<_> = response.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [0, 0, 0, UNKNOWN_TOPIC_OR_PARTITION], "two may be created, and the one that exceeds them");
    assert_eq!(response.throttle_time_ms, 0);
    broker.stop().await;
}

#[tokio::test]
async fn a_quota_is_still_in_force_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let (_, topic) = broker.client_with_topic("t", 1).await;
    define(&broker, QuotaKey::ProducerByteRate, "it", 1_000.0).await;
    broker.stop().await;
    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    let response = client.ask(PRODUCE, &produce_of(&topic, 20_000)).await;
    assert!(response.throttle_time_ms > 9_000, "20 s worth in a window of 10 s: {}", response.throttle_time_ms);
    broker.stop().await;
}
