//! `WriteTxnMarkers` to other brokers, which lead partitions that markers belong in (Kafka's
//! `TransactionMarkerChannelManager`). What waits for one broker goes there together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Broker;
use crate::ids::{NodeId, ProducerIdAndEpoch, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::control_records::{EndTransactionMarker, TransactionResult};

/// Requests that are under way to one broker; what comes meanwhile gathers.
const REQUESTS_AT_A_TIME: usize = 5;

/// Markers in a request, from which on it takes no more transactions.
const MARKERS_PER_REQUEST: usize = 1_000;

/// The outcome of each marker, in order.
type MarkerOutcomes = Vec<Result<(), ErrorCode>>;

/// The markers of one transaction that belong in partitions of one broker.
#[derive(Debug, Clone)]
pub(super) struct BrokerMarkers {
    pub(super) producer: ProducerIdAndEpoch,
    pub(super) marker: EndTransactionMarker,
    pub(super) partitions: Vec<TopicPartition>,
}

/// What waits for one broker, and who waits for it.
type Waiting = (BrokerMarkers, oneshot::Sender<MarkerOutcomes>);

/// Sends markers to other brokers, by one task for each that has been sent any.
pub(super) struct MarkerRequests {
    broker: Arc<Broker>,
    senders: Mutex<HashMap<NodeId, UnboundedSender<Waiting>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl MarkerRequests {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, senders: Mutex::default(), tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Takes the markers along with the next request to the broker `id`, which is given up with the receiver.
    pub(super) fn send(&self, id: NodeId, markers: BrokerMarkers) -> oneshot::Receiver<MarkerOutcomes> {
        let (outcomes, receiver) = oneshot::channel();
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = senders.entry(id).or_insert_with(|| {
            let (sender, inbox) = mpsc::unbounded_channel();
            let sending = send_all(Arc::clone(&self.broker), id, inbox);
            let stop = self.stop.clone();
            self.tasks.spawn(async move { stop.run_until_cancelled(sending).await });
            sender
        });
        // Its task ends with this one only.
        drop(sender.send((markers, outcomes)));
        receiver
    }

    /// Leaves no task behind.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn send_all(broker: Arc<Broker>, id: NodeId, mut inbox: UnboundedReceiver<Waiting>) {
    let (mut under_way, mut held) = (FuturesUnordered::new(), None);
    loop {
        let has_room = under_way.len() < REQUESTS_AT_A_TIME;
        if has_room && let Some(first) = held.take() {
            let together = gather(first, &mut inbox, &mut held);
            under_way.push(send(&broker, id, together));
            continue;
        }
        tokio::select! {
            Some(()) = under_way.next() => {}
            first = inbox.recv(), if has_room => match first {
                Some(first) => held = Some(first),
                None => return,
            },
        }
    }
}

/// What goes into one request. An answer tells producers apart by their ids: the second one of an id is held for the next.
fn gather(first: Waiting, inbox: &mut UnboundedReceiver<Waiting>, held: &mut Option<Waiting>) -> Vec<Waiting> {
    let mut markers = first.0.partitions.len();
    let mut together = vec![first];
    while markers < MARKERS_PER_REQUEST
        && let Ok(next) = inbox.try_recv()
    {
        if next.1.is_closed() {
            continue;
        }
        if together.iter().any(|(other, _)| other.producer.producer_id == next.0.producer.producer_id) {
            *held = Some(next);
            break;
        }
        markers += next.0.partitions.len();
        together.push(next);
    }
    together
}

async fn send(broker: &Broker, id: NodeId, waiting: Vec<Waiting>) {
    let (markers, mut senders): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
    let answered = {
        let nobody_waits = join_all(senders.iter_mut().map(oneshot::Sender::closed));
        let call = broker.call_broker(id, |_| request(&markers));
        tokio::select! {
            answered = call => answered,
            _ = nobody_waits => return,
        }
    };
    let outcomes = match answered {
        Ok(response) => outcomes(&response, &markers),
        Err(code) => markers.iter().map(|markers| vec![Err(code); markers.partitions.len()]).collect(),
    };
    for (sender, outcomes) in senders.into_iter().zip(outcomes) {
        // Who does not wait any more does not want to know.
        drop(sender.send(outcomes));
    }
}

fn request(markers: &[BrokerMarkers]) -> WriteTxnMarkersRequest {
    let markers = markers.iter().map(|BrokerMarkers { producer, marker, partitions }| {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        let topic = |(name, partitions): (&str, Vec<i32>)| {
            WritableTxnMarkerTopic::default()
                .with_name(StrBytes::from_string(name.to_owned()).into())
                .with_partition_indexes(partitions)
        };
        WritableTxnMarker::default()
            .with_producer_id(ProducerId(producer.producer_id))
            .with_producer_epoch(producer.producer_epoch)
            .with_transaction_result(marker.result == TransactionResult::Commit)
            .with_coordinator_epoch(marker.coordinator_epoch)
            .with_topics(topics.into_iter().map(topic).collect())
    });
    WriteTxnMarkersRequest::default().with_markers(markers.collect())
}

/// What the answer says of each marker; what it does not name was not written.
fn outcomes(response: &WriteTxnMarkersResponse, markers: &[BrokerMarkers]) -> Vec<MarkerOutcomes> {
    let mut codes: HashMap<(i64, &str, i32), i16> = HashMap::new();
    for marker in &response.markers {
        for topic in &marker.topics {
            let of_topic = topic.partitions.iter().map(|partition| {
                ((marker.producer_id.0, topic.name.as_str(), partition.partition_index), partition.error_code)
            });
            codes.extend(of_topic);
        }
    }
    let outcome = |producer_id: i64, partition: &TopicPartition| match codes.get(&(
        producer_id,
        &*partition.topic,
        partition.partition,
    )) {
        Some(0) => Ok(()),
        Some(code) => Err(ErrorCode::try_from_code(*code).unwrap_or(ErrorCode::UnknownServerError)),
        None => Err(ErrorCode::UnknownServerError),
    };
    let of_producer = |markers: &BrokerMarkers| {
        let producer_id = markers.producer.producer_id;
        markers.partitions.iter().map(|partition| outcome(producer_id, partition)).collect()
    };
    markers.iter().map(of_producer).collect()
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::write_txn_markers_response::{
        WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    };

    use super::*;

    fn markers(producer_id: i64, partitions: &[(&str, i32)]) -> BrokerMarkers {
        BrokerMarkers {
            producer: ProducerIdAndEpoch { producer_id, producer_epoch: 3 },
            marker: EndTransactionMarker { result: TransactionResult::Commit, coordinator_epoch: 5 },
            partitions: partitions.iter().map(|&(topic, partition)| TopicPartition::new(topic, partition)).collect(),
        }
    }

    fn waiting(producer_id: i64) -> (Waiting, oneshot::Receiver<MarkerOutcomes>) {
        let (sender, receiver) = oneshot::channel();
        ((markers(producer_id, &[("a", 0)]), sender), receiver)
    }

    #[test]
    fn a_request_names_each_topic_of_a_producer_once() {
        let request = request(&[markers(7, &[("a", 1), ("b", 0), ("a", 0)])]);
        let marker = &request.markers[0];
        assert_eq!((marker.producer_id.0, marker.producer_epoch), (7, 3));
        assert_eq!((marker.transaction_result, marker.coordinator_epoch), (true, 5));
        let topics: Vec<_> =
            marker.topics.iter().map(|topic| (topic.name.as_str(), topic.partition_indexes.as_slice())).collect();
        assert_eq!(topics, [("a", [1, 0].as_slice()), ("b", &[0])]);
    }

    #[test]
    fn what_an_answer_does_not_name_was_not_written() {
        let partition =
            |index, code| WritableTxnMarkerPartitionResult::default().with_partition_index(index).with_error_code(code);
        let topic = WritableTxnMarkerTopicResult::default()
            .with_name(StrBytes::from_static_str("a").into())
            .with_partitions(vec![partition(0, 0), partition(1, ErrorCode::NotLeaderOrFollower.code())]);
        let marker = WritableTxnMarkerResult::default().with_producer_id(ProducerId(7)).with_topics(vec![topic]);
        let response = WriteTxnMarkersResponse::default().with_markers(vec![marker]);
        let asked = [markers(7, &[("a", 1), ("a", 0), ("a", 2)]), markers(8, &[("a", 0)])];
        let (unknown, moved) = (Err(ErrorCode::UnknownServerError), Err(ErrorCode::NotLeaderOrFollower));
        assert_eq!(outcomes(&response, &asked), [vec![moved, Ok(()), unknown], vec![unknown]]);
    }

    #[test]
    fn the_second_marker_of_a_producer_is_held_for_the_next_request() {
        let (sender, mut inbox) = mpsc::unbounded_channel();
        let mut receivers = Vec::new();
        for producer_id in [2, 1, 3] {
            let (waiting, receiver) = waiting(producer_id);
            sender.send(waiting).unwrap();
            receivers.push(receiver);
        }
        let ((first, _of_first), mut held) = (waiting(1), None);
        let together = gather(first, &mut inbox, &mut held);
        let ids: Vec<_> = together.iter().map(|(markers, _)| markers.producer.producer_id).collect();
        assert_eq!(ids, [1, 2]);
        assert_eq!(held.map(|(markers, _)| markers.producer.producer_id), Some(1));
        assert!(inbox.try_recv().is_ok(), "the others stay in their order");
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent() {
        let (sender, mut inbox) = mpsc::unbounded_channel();
        sender.send(waiting(2).0).unwrap();
        let ((first, _of_first), mut held) = (waiting(1), None);
        assert_eq!(gather(first, &mut inbox, &mut held).len(), 1);
        assert!(held.is_none());
    }
}
