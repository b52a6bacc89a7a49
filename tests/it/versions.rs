//! The APIs of records and offsets at every version that is served: one request that succeeds and one that does not.

use kafka_protocol::messages::fetch_request::ReplicaState;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::{InitProducerIdRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};

use crate::broker::{Broker, Client, FETCH, Topic, batch, builder, fetch, fetched, list_offsets, produce, records};

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const FENCED_LEADER_EPOCH: i16 = 74;
const UNKNOWN_LEADER_EPOCH: i16 = 75;
const INVALID_RECORD: i16 = 87;
const UNKNOWN_TOPIC_ID: i16 = 100;

/// The first versions that name topics by id.
const PRODUCE_BY_ID: i16 = 13;
const FETCH_BY_ID: i16 = 13;

#[tokio::test]
async fn produce_at_every_version() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    let compacted = client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let append_time = client.create_topic("timed", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    for version in 3..=13 {
        for acks in [-1, 1] {
            let response = client.ask(version, &produce(&topic, 1, batch(&["a"])).with_acks(acks)).await;
            let answer = &response.responses[0].partition_responses[0];
            assert_eq!((answer.index, answer.error_code, answer.log_append_time_ms), (1, 0, -1), "v{version}");
            if version < PRODUCE_BY_ID {
                assert_eq!(response.responses[0].name, topic.name);
            } else {
                assert_eq!(response.responses[0].topic_id, topic.id);
            }
        }
        let response = client.ask(version, &produce(&append_time, 0, batch(&["a"]))).await;
        assert!(response.responses[0].partition_responses[0].log_append_time_ms > 1_700_000_000_000, "v{version}");

        let response = client.ask(version, &produce(&topic, 2, batch(&["a"]))).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (UNKNOWN_TOPIC_OR_PARTITION, -1), "v{version}");
        let response = client.ask(version, &produce(&Topic::unknown("nowhere"), 0, batch(&["a"]))).await;
        let expected = if version < PRODUCE_BY_ID { UNKNOWN_TOPIC_OR_PARTITION } else { UNKNOWN_TOPIC_ID };
        assert_eq!(response.responses[0].partition_responses[0].error_code, expected, "v{version}");

        // B30: from v8 on the answer says which records are at fault.
        let response = client.ask(version, &produce(&compacted, 0, batch(&["a", "b"]))).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, INVALID_RECORD, "v{version}");
        let at_fault: Vec<_> = answer.record_errors.iter().map(|error| error.batch_index).collect();
        assert_eq!(at_fault, if version < 8 { vec![] } else { vec![0, 1] }, "v{version}");
        assert_eq!(answer.error_message.is_some(), version >= 8, "v{version}");
    }
    assert_eq!(client.offset(&topic, 1, -1).await, 22);
    broker.stop().await;
}

#[tokio::test]
async fn fetch_at_every_version() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 3).await;
    client.append(&topic, 0, &["a", "b"]).await;
    client.append(&topic, 1, &["c"]).await;
    for version in 4..=18 {
        for isolation_level in [0, 1] {
            let request = fetch(&topic, &[(0, 0), (1, 0), (2, 0)]).with_isolation_level(isolation_level);
            let response = client.ask(version, &request).await;
            assert_eq!((response.error_code, response.session_id), (0, 0), "v{version}");
            let found = fetched(&response);
            let expected = [(0, 0, vec!["a", "b"]), (1, 0, vec!["c"]), (2, 0, vec![])];
            let expected = expected.map(|(index, error, values)| (index, error, values.into_iter().map(str::to_owned)));
            assert_eq!(found, expected.map(|(index, error, values)| (index, error, values.collect())), "v{version}");
            let data = &response.responses[0].partitions[0];
            let offsets = (data.high_watermark, data.last_stable_offset);
            assert_eq!(offsets, (2, 2), "v{version}");
            assert_eq!(data.aborted_transactions, (isolation_level == 1).then(Vec::new), "v{version}");
            if version < FETCH_BY_ID {
                assert_eq!(response.responses[0].topic, topic.name);
            } else {
                assert_eq!(response.responses[0].topic_id, topic.id);
            }
        }
        let unknown_topic = if version < FETCH_BY_ID { UNKNOWN_TOPIC_OR_PARTITION } else { UNKNOWN_TOPIC_ID };
        for (topic, at, expected) in [
            (&topic, (0, 3), OFFSET_OUT_OF_RANGE),
            (&topic, (0, -1), OFFSET_OUT_OF_RANGE),
            (&topic, (9, 0), UNKNOWN_TOPIC_OR_PARTITION),
            (&Topic::unknown("nowhere"), (0, 0), unknown_topic),
        ] {
            let response = client.ask(version, &fetch(topic, &[at])).await;
            let data = &response.responses[0].partitions[0];
            assert_eq!((data.error_code, data.high_watermark), (expected, -1), "v{version}");
            assert!(records(data).is_empty());
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn fetch_knows_epochs_at_every_version_that_has_them() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.append(&topic, 0, &["a"]).await;
    for version in 9..=18 {
        for (current_epoch, expected) in [(-1, 0), (0, 0), (7, UNKNOWN_LEADER_EPOCH)] {
            let mut request = fetch(&topic, &[(0, 0)]);
            request.topics[0].partitions[0].current_leader_epoch = current_epoch;
            let response = client.ask(version, &request).await;
            assert_eq!(response.responses[0].partitions[0].error_code, expected, "v{version} {current_epoch}");
        }
        // Unlike the row B38, nobody replicates from this broker yet: whoever claims to is refused and changes nothing.
        let follower = if version < 15 {
            fetch(&topic, &[(0, 0)]).with_replica_id(1.into())
        } else {
            fetch(&topic, &[(0, 0)]).with_replica_state(ReplicaState::default().with_replica_id(1.into()))
        };
        let response = client.ask(version, &follower).await;
        assert_eq!(response.responses[0].partitions[0].error_code, 6, "v{version}");
    }
    for version in 12..=18 {
        let mut request = fetch(&topic, &[(0, 1)]);
        request.topics[0].partitions[0].last_fetched_epoch = 0;
        let response = client.ask(version, &request).await;
        let data = &response.responses[0].partitions[0];
        assert_eq!((data.error_code, data.diverging_epoch.epoch), (0, -1), "v{version}");
        request.topics[0].partitions[0].last_fetched_epoch = 4;
        let response = client.ask(version, &request).await;
        assert_eq!(response.responses[0].partitions[0].error_code, OFFSET_OUT_OF_RANGE, "v{version}");
    }
    broker.stop().await;
}

/// Opens a session over partitions 0 to 2, of which only 1 has news later.
async fn session_at(client: &mut Client, topic: &Topic, version: i16) {
    let all = [(0, 0), (1, 0), (2, 0)];
    let response = client.ask(version, &fetch(topic, &all).with_session_epoch(0)).await;
    let session = response.session_id;
    assert!(session > 0 && fetched(&response).len() == 3, "v{version}");
    let incremental = |epoch| fetch(topic, &[]).with_topics(vec![]).with_session_id(session).with_session_epoch(epoch);

    let response = client.ask(version, &incremental(1)).await;
    assert_eq!((response.session_id, fetched(&response).len()), (session, 0), "v{version}: nothing has changed");
    client.append(topic, 1, &["news"]).await;
    let response = client.ask(version, &incremental(2)).await;
    assert_eq!(fetched(&response), [(1, 0, vec!["news".to_owned()])], "v{version}: only what has changed");

    let moved = fetch(topic, &[(1, 1), (9, 0)]).with_session_id(session).with_session_epoch(3);
    let response = client.ask(version, &moved).await;
    assert_eq!(fetched(&response), [(9, UNKNOWN_TOPIC_OR_PARTITION, vec![])], "v{version}: an error is news");
    let closed = client.ask(version, &incremental(-1)).await;
    assert_eq!((closed.error_code, closed.session_id), (0, 0), "v{version}");
    assert_eq!(client.ask(version, &incremental(4)).await.error_code, 70, "v{version}: the session is gone");
}

#[tokio::test]
async fn fetch_sessions_at_every_version_that_has_them() {
    let broker = Broker::start().await;
    for version in 7..=18 {
        let (mut client, topic) = broker.client_with_topic(&format!("t{version}"), 3).await;
        session_at(&mut client, &topic, version).await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn list_offsets_at_every_version() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    let mut times = builder(&[]);
    for (value, timestamp) in [(&b"a"[..], 1_000), (b"b", 3_000), (b"c", 2_000)] {
        times.record_at(timestamp, None, Some(value), &[]);
    }
    assert_eq!(client.produce(&topic, 0, times.build()).await.error_code, 0);
    // The question, the first version in which it may be asked, and the answer's timestamp and offset.
    let questions = [
        (-1, 1, (-1, 3)),
        (-2, 1, (-1, 0)),
        (-3, 7, (3_000, 1)),
        (-4, 8, (-1, 0)),
        (-5, 9, (-1, -1)),
        (0, 1, (1_000, 0)),
        (1_001, 1, (3_000, 1)),
        (3_001, 1, (-1, -1)),
        (i64::MAX, 1, (-1, -1)),
    ];
    for version in 1..=10 {
        for (timestamp, first_version, expected) in questions {
            for isolation_level in [0, 1] {
                let request = list_offsets(&topic, 0, timestamp);
                let request = if version < 2 { request } else { request.with_isolation_level(isolation_level) };
                let response = client.ask(version, &request).await;
                let found = &response.topics[0].partitions[0];
                if version < first_version {
                    assert_eq!(found.error_code, UNSUPPORTED_VERSION, "v{version} {timestamp}");
                    continue;
                }
                let answer = (found.error_code, (found.timestamp, found.offset));
                assert_eq!(answer, (0, expected), "v{version} {timestamp}");
                let knows_epoch = version >= 4 && expected.1 >= 0;
                assert_eq!(found.leader_epoch, if knows_epoch { 0 } else { -1 }, "v{version} {timestamp}");
            }
        }
        let response = client.ask(version, &list_offsets(&topic, 2, -1)).await;
        assert_eq!(response.topics[0].partitions[0].error_code, UNKNOWN_TOPIC_OR_PARTITION, "v{version}");
        let empty = client.ask(version, &ListOffsetsRequest::default().with_replica_id((-1).into())).await;
        assert!(empty.topics.is_empty());
        // B17: Kafka refuses a partition that is named twice.
        let mut twice = list_offsets(&topic, 0, -1);
        twice.topics.push(twice.topics[0].clone());
        let response = client.ask(version, &twice).await;
        let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|found| found.error_code);
        assert!(codes.eq([INVALID_REQUEST]), "v{version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn offset_for_leader_epoch_at_every_version() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.append(&topic, 0, &["a", "b"]).await;
    for version in 2..=4 {
        let mut ask = async |partition, current_leader_epoch, leader_epoch| {
            let partition = OffsetForLeaderPartition::default()
                .with_partition(partition)
                .with_current_leader_epoch(current_leader_epoch)
                .with_leader_epoch(leader_epoch);
            let topic = OffsetForLeaderTopic::default().with_topic(topic.name.clone()).with_partitions(vec![partition]);
            let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
            let request = if version < 3 { request } else { request.with_replica_id((-1).into()) };
            let found = client.ask(version, &request).await.topics.remove(0).partitions.remove(0);
            (found.error_code, found.leader_epoch, found.end_offset)
        };
        assert_eq!(ask(0, -1, 0).await, (0, 0, 2), "v{version}");
        assert_eq!(ask(0, 0, 0).await, (0, 0, 2), "v{version}");
        assert_eq!(ask(0, -1, 5).await, (0, -1, -1), "v{version}: an epoch of the future");
        assert_eq!(ask(0, 5, 0).await, (UNKNOWN_LEADER_EPOCH, -1, -1), "v{version}");
        assert_eq!(ask(1, -1, 0).await, (UNKNOWN_TOPIC_OR_PARTITION, -1, -1), "v{version}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn b40_leader_epochs_older_and_newer_than_ours() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    client.append(&topic, 0, &["a"]).await;
    broker.stop().await;
    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    for (epoch, expected) in [(0, FENCED_LEADER_EPOCH), (1, FENCED_LEADER_EPOCH), (2, 0), (3, UNKNOWN_LEADER_EPOCH)] {
        let mut request = fetch(&topic, &[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = client.ask(FETCH, &request).await;
        assert_eq!(response.responses[0].partitions[0].error_code, expected, "Fetch with epoch {epoch}");
        let mut request = list_offsets(&topic, 0, -1);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = client.ask(6, &request).await;
        assert_eq!(response.topics[0].partitions[0].error_code, expected, "ListOffsets with epoch {epoch}");
    }
    broker.stop().await;
}

/// The request of a producer without transactions.
fn idempotent() -> InitProducerIdRequest {
    InitProducerIdRequest::default().with_transactional_id(None)
}

/// B45: the timeout is looked at for a transactional id only.
#[tokio::test]
async fn init_producer_id_at_every_version() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let mut last = -1;
    for version in 0..=5 {
        for timeout_ms in [60_000, 0, -1, i32::MAX] {
            let request = idempotent().with_transaction_timeout_ms(timeout_ms);
            let response = client.ask(version, &request).await;
            assert_eq!((response.error_code, response.producer_epoch), (0, 0), "v{version} {timeout_ms}");
            assert!(response.producer_id.0 > last, "v{version}: every id is new");
            last = response.producer_id.0;
        }
    }
    for version in 3..=5 {
        let half = idempotent().with_producer_id(5.into());
        assert_eq!(client.ask(version, &half).await.error_code, INVALID_REQUEST, "v{version}");
        let whole = half.with_producer_epoch(3);
        let response = client.ask(version, &whole).await;
        assert_eq!((response.error_code, response.producer_epoch), (0, 0), "v{version}");
    }
    broker.stop().await;
}
