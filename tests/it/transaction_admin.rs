//! Transactions as administrators see them, and the markers that they write in place of a coordinator.

use std::time::Duration;

use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse, WriteTxnMarkersRequest};
use kafka_protocol::protocol::StrBytes;
use klamm::clock::Clock;
use klamm::protocol::control_records::TransactionResult;

use crate::broker::{Broker, text, topic_name};
use crate::transactions::{V2, add, init, markers};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_REGULAR_EXPRESSION: i16 = 128;

/// The ids of a list with their states.
fn listed(response: &ListTransactionsResponse) -> Vec<(String, String)> {
    assert_eq!(response.error_code, 0);
    let states = response.transaction_states.iter();
    let mut listed: Vec<_> =
        states.map(|state| (state.transactional_id.to_string(), state.transaction_state.to_string())).collect();
    listed.sort();
    listed
}

#[tokio::test]
async fn transactions_are_listed_at_every_version() {
    let clock = Clock::manual(1_700_000_000_000);
    let broker = Broker::at(&clock, &[]).await;
    let (mut client, _topic) = broker.client_with_topic("t", 1).await;
    let nothing = client.ask(2, &ListTransactionsRequest::default()).await;
    assert_eq!(listed(&nothing), []);
    let (old, young) = (init(&mut client, "old").await, init(&mut client, "young").await);
    init(&mut client, "idle").await;
    assert_eq!(add(&mut client, V2, old, &[("t", 0)]).await, [0]);
    clock.advance(Duration::from_secs(5));
    assert_eq!(add(&mut client, V2, young, &[("t", 0)]).await, [0]);
    let (idle, old_one, young_one) = (("idle", "Empty"), ("old", "Ongoing"), ("young", "Ongoing"));
    let all = ListTransactionsRequest::default();
    let in_states = |states: &[&str]| all.clone().with_state_filters(states.iter().copied().map(text).collect());
    let pattern = |pattern: &str| all.clone().with_transactional_id_pattern(Some(text(pattern)));
    let cases = [
        (0, all.clone(), vec![idle, old_one, young_one]),
        (0, in_states(&["Ongoing"]), vec![old_one, young_one]),
        (0, in_states(&["Empty", "Odd"]), vec![idle]),
        (0, in_states(&["Odd"]), vec![]),
        (0, all.clone().with_producer_id_filters(vec![old.producer_id.into(), 77.into()]), vec![old_one]),
        // An id without a transaction counts as one that began before all time.
        (1, all.clone().with_duration_filter(4_999), vec![idle, old_one]),
        (1, all.clone().with_duration_filter(5_000), vec![idle]),
        (2, pattern("o.*"), vec![old_one]),
        (2, pattern(".*l.*"), vec![idle, old_one]),
        (2, pattern("ol"), vec![]),
        (2, pattern("idle|young"), vec![idle, young_one]),
        (2, pattern(""), vec![idle, old_one, young_one]),
    ];
    for (first, request, expected) in cases {
        for version in first..=2 {
            let response = client.ask(version, &request).await;
            let expected: Vec<_> = expected.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect();
            assert_eq!(listed(&response), expected, "v{version} {request:?}");
            let unknown: Vec<_> = response.unknown_state_filters.iter().map(StrBytes::as_str).collect();
            let is_odd = request.state_filters.iter().any(|state| state.as_str() == "Odd");
            assert_eq!(unknown, if is_odd { vec!["Odd"] } else { vec![] });
        }
    }
    for invalid in ["(", "a)|(b", "a{100000}{100000}"] {
        let response = client.ask(2, &pattern(invalid)).await;
        assert_eq!(response.error_code, INVALID_REGULAR_EXPRESSION, "{invalid}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn an_administrator_writes_markers() {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    let marker = |producer_id: i64, epoch, commits, partitions: &[(&str, i32)]| {
        let topic = |&(name, partition): &(&str, i32)| {
            WritableTxnMarkerTopic::default().with_name(topic_name(name)).with_partition_indexes(vec![partition])
        };
        WritableTxnMarker::default()
            .with_producer_id(producer_id.into())
            .with_producer_epoch(epoch)
            .with_transaction_result(commits)
            .with_coordinator_epoch(4)
            .with_topics(partitions.iter().map(topic).collect())
    };
    let markers_to_write = vec![
        marker(7, 1, true, &[("t", 0), ("t", 1)]),
        marker(8, 0, false, &[("t", 0), ("u", 0)]),
        marker(7, 2, false, &[("t", 0)]),
    ];
    let response = client.ask(1, &WriteTxnMarkersRequest::default().with_markers(markers_to_write)).await;
    let told: Vec<_> = response
        .markers
        .iter()
        .map(|marker| {
            let topics = marker.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter().map(|one| (one.partition_index, one.error_code));
                (topic.name.to_string(), partitions.collect::<Vec<_>>())
            });
            (marker.producer_id.0, topics.collect::<Vec<_>>())
        })
        .collect();
    let of_seven = vec![("t".to_owned(), vec![(0, 0), (1, 0), (0, 0)])];
    let of_eight = vec![("t".to_owned(), vec![(0, 0)]), ("u".to_owned(), vec![(0, UNKNOWN_TOPIC_OR_PARTITION)])];
    assert_eq!(told, [(7, of_seven), (8, of_eight)]);
    let (commit, abort) = (TransactionResult::Commit, TransactionResult::Abort);
    assert_eq!(markers(&mut client, &topic, 0).await, [(commit, 7, 1, 4), (abort, 8, 0, 4), (abort, 7, 2, 4)]);
    assert_eq!(markers(&mut client, &topic, 1).await, [(commit, 7, 1, 4)]);
    let empty = client.ask(1, &WriteTxnMarkersRequest::default()).await;
    assert!(empty.markers.is_empty());
    broker.stop().await;
}
