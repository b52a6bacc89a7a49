//! A whole broker whose time is moved by hand: eight days pass in a moment, and everything happens that they bring.

use std::time::Duration;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeProducersRequest, OffsetFetchRequest};
use klamm::clock::Clock;
use klamm::protocol::record_batch::BatchBuilder;

use crate::broker::{Broker, Client, Topic, group_id, long_poll};
use crate::groups;
use crate::server::within;

const NOW_MS: i64 = 1_800_000_000_000;
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
const MEMBER_ID_REQUIRED: i16 = 79;

/// Looks again and again until `found` says so: what time brings is done by other tasks.
async fn until(mut found: impl AsyncFnMut() -> bool) {
    let look = async {
        while !found().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(look).await;
}

fn batch(timestamp_ms: i64) -> BatchBuilder {
    let mut builder = BatchBuilder::new(timestamp_ms);
    builder.record(None, Some(b"value"));
    builder
}

async fn committed(client: &mut Client) -> i64 {
    let topic =
        OffsetFetchRequestTopic::default().with_name(crate::broker::topic_name("t")).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_group_id(group_id("g")).with_topics(Some(vec![topic]));
    client.ask(7, &request).await.topics[0].partitions[0].committed_offset
}

async fn active_producers(client: &mut Client, topic: &Topic) -> usize {
    let topic = TopicRequest::default().with_name(topic.name.clone()).with_partition_indexes(vec![0]);
    let response = client.ask(0, &DescribeProducersRequest::default().with_topics(vec![topic])).await;
    response.topics[0].partitions[0].active_producers.len()
}

#[tokio::test]
async fn eight_days_take_what_was_kept_for_seven() {
    let clock = Clock::manual(NOW_MS);
    let broker = Broker::at(&clock, &[]).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.find_coordinator("g").await;
    let written = client.produce(&topic, 0, batch(NOW_MS).producer(7, 0, 0).build()).await;
    assert_eq!((written.error_code, written.base_offset), (0, 0));
    assert_eq!(client.ask(8, &groups::commit("g", None, 0)).await.topics[0].partitions[0].error_code, 0);
    assert_eq!((committed(&mut client).await, active_producers(&mut client, &topic).await), (42, 1));

    // Six days: only the producer is forgotten, whose time is one day.
    clock.advance(6 * DAY);
    let mut client = broker.client().await;
    until(async || active_producers(&mut client, &topic).await == 0).await;
    assert_eq!((client.offset(&topic, 0, -2).await, committed(&mut client).await), (0, 42));

    clock.advance(2 * DAY);
    let mut client = broker.client().await;
    until(async || client.offset(&topic, 0, -2).await == 1).await;
    until(async || committed(&mut client).await == -1).await;
    // What is written now is kept.
    let now_ms = NOW_MS + 8 * DAY.as_millis() as i64;
    assert_eq!(client.produce(&topic, 0, batch(now_ms).build()).await.base_offset, 1);
    clock.advance(6 * DAY);
    let mut client = broker.client().await;
    assert_eq!(client.offset(&topic, 0, -2).await, 1);
    broker.stop().await;
}

#[tokio::test]
async fn a_member_that_is_not_heard_of_leaves_when_its_session_ends() {
    let clock = Clock::manual(NOW_MS);
    let broker = Broker::at(&clock, &[]).await;
    let (mut client, _) = broker.client_with_topic("t", 1).await;
    client.find_coordinator("g").await;
    let refused = client.ask(5, &groups::join(5, "g", "")).await;
    assert_eq!(refused.error_code, MEMBER_ID_REQUIRED);
    let joining = groups::join(5, "g", &refused.member_id);
    let moved = clock.clone();
    let joined = tokio::join!(client.ask(5, &joining), async move {
        // The coordinator waits for other members, as long as the clock stands still.
        tokio::time::sleep(Duration::from_millis(50)).await;
        moved.advance(Duration::from_secs(1));
    });
    assert_eq!((joined.0.error_code, joined.0.generation_id), (0, 1));
    let members = async |client: &mut Client| {
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id("g")]);
        client.ask(5, &request).await.groups[0].members.len()
    };
    assert_eq!(members(&mut client).await, 1);
    clock.advance(Duration::from_secs(9));
    assert_eq!(members(&mut client).await, 1);
    clock.advance(MINUTE);
    until(async || members(&mut client).await == 0).await;
    broker.stop().await;
}

#[tokio::test]
async fn whoever_waits_is_woken_by_the_clock() {
    let clock = Clock::manual(NOW_MS);
    let broker = Broker::at(&clock, &[]).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let mut idle = broker.client().await;
    idle.ask(0, &kafka_protocol::messages::ApiVersionsRequest::default()).await;
    let poll = long_poll(&topic, &[(0, 0)], 1, 300_000);
    let moved = clock.clone();
    let (answer, ()) = tokio::join!(client.ask(crate::broker::FETCH, &poll), async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        moved.advance(5 * MINUTE);
    });
    assert_eq!(answer.responses[0].partitions[0].error_code, 0);
    // Ten minutes without a word close a connection.
    clock.advance(6 * MINUTE);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let nothing = kafka_protocol::messages::MetadataRequest::default().with_topics(Some(Vec::new()));
    assert!(within(idle.0.call_at(7, &nothing)).await.is_err(), "it is still open");
    broker.stop().await;
}

#[tokio::test]
async fn a_wall_clock_that_jumps_expires_no_member() {
    const HOUR_MS: i64 = 3_600_000;
    let clock = Clock::manual(NOW_MS);
    let broker = Broker::at(&clock, &[]).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.find_coordinator("g").await;
    let refused = client.ask(5, &groups::join(5, "g", "")).await;
    let joining = groups::join(5, "g", &refused.member_id);
    let moved = clock.clone();
    let (joined, ()) = tokio::join!(client.ask(5, &joining), async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        moved.advance(Duration::from_secs(1));
    });
    assert_eq!(joined.error_code, 0);
    let syncing = groups::sync(3, "g", &joined);
    for jump_ms in [HOUR_MS, -2 * HOUR_MS, 30 * HOUR_MS] {
        clock.jump(jump_ms);
        // A moment of real time for whoever would be wrongly woken.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(client.ask(3, &syncing).await.error_code, 0, "after a jump by {jump_ms} ms");
        let written = client.produce(&topic, 0, batch(clock.now().timestamp_ms).build()).await;
        assert_eq!(written.error_code, 0);
    }
    broker.stop().await;
}
