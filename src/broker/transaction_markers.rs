//! Takes markers, which tell how transactions ended, to the leaders of their partitions.
//!
//! A transaction coordinator says where markers have to be written, and waits to hear that they are. Each transaction that
//! is ending has a task here, which tries until all are written, or until the coordinator's leadership is over: another
//! machine then says the same again. Partitions that other brokers lead are theirs to write to, who are asked by
//! [`marker_requests`](super::marker_requests). There are never more tasks than transactions that the coordinators hold in memory.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Broker;
use super::marker_requests::{BrokerMarkers, MarkerRequests};
use crate::coordinator::group::request::CompleteTransaction;
use crate::coordinator::transaction::request::{MarkersWritten, TransactionalId, WriteMarkers};
use crate::ids::{GROUP_METADATA_TOPIC, NodeId, ProducerIdAndEpoch, TopicPartition};
use crate::metadata::MetadataImage;
use crate::network::node_connections::Pauses;
use crate::protocol::ErrorCode;
use crate::protocol::control_records::EndTransactionMarker;
use crate::replication::hosted_partition::{AppendRequest, Appended, HostedPartition, PartitionAppendError};
use crate::storage;

/// Markers of one transaction that are written here at a time, so that one with many partitions leaves others their turn.
const MARKERS_AT_A_TIME: usize = 64;

/// Tasks that have ended are looked for once there are twice as many as were left the last time, and so many at least.
const TASKS_KEPT: usize = 64;

/// Writes what comes to `inbox`, until `stop` is cancelled; leaves no task behind.
pub async fn run(broker: Arc<Broker>, mut inbox: UnboundedReceiver<WriteMarkers>, stop: CancellationToken) {
    let requests = Arc::new(MarkerRequests::new(Arc::clone(&broker)));
    let mut deliveries = Deliveries { requests, tasks: HashMap::new(), swept_at: TASKS_KEPT };
    while let Some(Some(message)) = stop.run_until_cancelled(inbox.recv()).await {
        deliveries.begin(&broker, message);
    }
    deliveries.end().await;
}

/// The tasks that write markers, by their transactional ids.
struct Deliveries {
    requests: Arc<MarkerRequests>,
    tasks: HashMap<TransactionalId, JoinHandle<()>>,
    swept_at: usize,
}

impl Deliveries {
    fn begin(&mut self, broker: &Arc<Broker>, message: WriteMarkers) {
        if self.tasks.len() >= self.swept_at {
            self.tasks.retain(|_, task| !task.is_finished());
            self.swept_at = TASKS_KEPT.max(self.tasks.len() * 2);
        }
        let transactional_id = Arc::clone(&message.transactional_id);
        let predecessor = self.tasks.remove(&transactional_id);
        let delivery = MarkerDelivery { broker: Arc::clone(broker), requests: Arc::clone(&self.requests), message };
        let task = tokio::spawn(delivery.run(predecessor));
        self.tasks.insert(transactional_id, task);
    }

    async fn end(self) {
        self.tasks.values().for_each(JoinHandle::abort);
        for task in self.tasks.into_values() {
            // It was told to end, or has ended.
            drop(task.await);
        }
        self.requests.end().await;
    }
}

/// The markers of one transaction on their way.
struct MarkerDelivery {
    broker: Arc<Broker>,
    requests: Arc<MarkerRequests>,
    message: WriteMarkers,
}

impl MarkerDelivery {
    /// Until all are written. Its id's last task ends first, which may be asked the same by a machine that is gone: no
    /// marker of it may come when the next transaction has begun.
    async fn run(self, predecessor: Option<JoinHandle<()>>) {
        if let Some(predecessor) = predecessor {
            predecessor.abort();
            drop(predecessor.await);
        }
        let message = &self.message;
        let mut pauses = Pauses::new();
        let mut missing = message.partitions.clone();
        while self.broker.transactions.is_elected(&message.transactional_id, message.coordinator_epoch) {
            let is_first = missing.len() == message.partitions.len();
            let tried = self.write_all(missing).await;
            if let Some((partition, code)) = tried.failure.filter(|_| is_first) {
                let (transactional_id, markers) = (&message.transactional_id, tried.missing.len());
                tracing::info!(%transactional_id, markers, %partition, %code, "markers of a transaction have to wait");
            }
            missing = tried.missing;
            self.tell(tried.written).await;
            if missing.is_empty() {
                return;
            }
            self.broker.clock.sleep(pauses.next_pause()).await;
        }
    }

    /// Has the coordinator hear where markers are written. It may be loading yet, or have too much to hear.
    async fn tell(&self, partitions: Vec<TopicPartition>) {
        let WriteMarkers { transactional_id, marking, coordinator_epoch, .. } = &self.message;
        let written = MarkersWritten {
            transactional_id: Arc::clone(transactional_id),
            marking: *marking,
            coordinator_epoch: *coordinator_epoch,
            partitions,
        };
        let transactions = &self.broker.transactions;
        let mut pauses = Pauses::new();
        while !written.partitions.is_empty() && transactions.is_elected(transactional_id, *coordinator_epoch) {
            if transactions.enqueue(transactional_id, written.clone()).await.is_ok() {
                return;
            }
            self.broker.clock.sleep(pauses.next_pause()).await;
        }
    }

    /// Tries once; other brokers at the same time.
    async fn write_all(&self, partitions: Vec<TopicPartition>) -> Tried {
        let by_leader = by_leader(&self.broker.image(), partitions);
        let writes = by_leader.into_iter().map(|(leader, partitions)| async move {
            let outcomes = match leader {
                Leader::Deleted => vec![Ok(()); partitions.len()],
                Leader::At(id) if id == self.broker.node_id => self.write_here(&partitions).await,
                Leader::At(id) if id >= 0 => self.write_there(id, &partitions).await,
                Leader::At(_) => vec![Err(ErrorCode::LeaderNotAvailable); partitions.len()],
            };
            partitions.into_iter().zip(outcomes)
        });
        let mut tried = Tried::default();
        for (partition, outcome) in join_all(writes).await.into_iter().flatten() {
            match outcome {
                // Unlike Kafka, which writes no more markers of that transaction then, so that it never ends: a newer
                // epoch of the producer has ended it there.
                Ok(()) | Err(ErrorCode::InvalidProducerEpoch) => tried.written.push(partition),
                Err(code) => {
                    tried.failure.get_or_insert_with(|| (partition.clone(), code));
                    tried.missing.push(partition);
                }
            }
        }
        tried
    }

    async fn write_here(&self, partitions: &[TopicPartition]) -> Vec<Result<(), ErrorCode>> {
        let mut outcomes = Vec::with_capacity(partitions.len());
        for some in partitions.chunks(MARKERS_AT_A_TIME) {
            let written =
                some.iter().map(|partition| self.broker.write_marker(partition, self.message.producer, self.marker()));
            outcomes.extend(join_all(written).await);
        }
        outcomes
    }

    async fn write_there(&self, id: NodeId, partitions: &[TopicPartition]) -> Vec<Result<(), ErrorCode>> {
        let (producer, marker) = (self.message.producer, self.marker());
        let markers = BrokerMarkers { producer, marker, partitions: partitions.to_vec() };
        let outcomes = self.requests.send(id, markers).await;
        outcomes.unwrap_or_else(|_| vec![Err(ErrorCode::NetworkException); partitions.len()])
    }

    fn marker(&self) -> EndTransactionMarker {
        EndTransactionMarker { result: self.message.result, coordinator_epoch: self.message.coordinator_epoch }
    }
}

/// What has become of markers.
#[derive(Default)]
struct Tried {
    written: Vec<TopicPartition>,
    missing: Vec<TopicPartition>,
    /// The first of the latter, and why.
    failure: Option<(TopicPartition, ErrorCode)>,
}

/// Who leads a partition, or -1; unless there is no such partition any more, where there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Leader {
    At(NodeId),
    Deleted,
}

fn by_leader(image: &MetadataImage, partitions: Vec<TopicPartition>) -> BTreeMap<Leader, Vec<TopicPartition>> {
    let mut by_leader: BTreeMap<Leader, Vec<TopicPartition>> = BTreeMap::new();
    for partition in partitions {
        let state = image.partition(&partition.topic, partition.partition);
        let leader = state.map_or(Leader::Deleted, |state| Leader::At(state.leader));
        by_leader.entry(leader).or_default().push(partition);
    }
    by_leader
}

impl Broker {
    /// Writes the marker that ends a producer's transaction in a partition that this broker leads, now; the future waits
    /// until it is committed, for `request.timeout.ms`.
    ///
    /// Errors: those of `WriteTxnMarkers` for the partition.
    pub fn write_marker(
        &self,
        partition: &TopicPartition,
        producer: ProducerIdAndEpoch,
        marker: EndTransactionMarker,
    ) -> impl Future<Output = Result<(), ErrorCode>> + Send + use<> {
        if *partition.topic == *GROUP_METADATA_TOPIC {
            // The group coordinator must see it among what it writes itself.
            let completed = self.groups.enqueue_in(partition.partition, CompleteTransaction { producer, marker });
            return completed.map(|completed| completed.map_err(marker_error)).left_future();
        }
        let appended = self.append_marker(partition, producer, marker);
        let timeout_ms = self.config.load().broker.request_timeout_ms;
        let deadline = self.clock.monotonic() + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        let clock = self.clock.clone();
        let committed = async move {
            let (hosted, appended) = appended?;
            let end_offset = appended.info.last_offset + 1;
            if appended.needs_flush {
                let flushed = clock.timeout_at(deadline, Arc::clone(&hosted).flushed_to(end_offset, clock.now())).await;
                flushed.unwrap_or(Err(ErrorCode::RequestTimedOut))?;
            }
            if !appended.committed {
                let timeout = deadline.saturating_sub(clock.monotonic());
                hosted.acknowledged_to(appended.leader_epoch, end_offset, &clock, timeout).await?;
            }
            Ok(())
        };
        committed.right_future()
    }

    fn append_marker(
        &self,
        partition: &TopicPartition,
        producer: ProducerIdAndEpoch,
        marker: EndTransactionMarker,
    ) -> Result<(Arc<HostedPartition>, Appended), ErrorCode> {
        let hosted = self.replicas.partition(&partition.topic, partition.partition)?;
        let now = self.clock.now();
        let batch = marker.batch(producer, now.timestamp_ms);
        match hosted.append(&AppendRequest::by_coordinator(&batch, -1), now) {
            Ok(appended) => Ok((hosted, appended)),
            Err(error) => Err(append_error(error, &hosted)),
        }
    }
}

/// What a transaction coordinator is told of a marker that a group coordinator did not write: it does not expect to hear of
/// another kind of coordinator.
fn marker_error(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator => {
            ErrorCode::NotLeaderOrFollower
        }
        code => code,
    }
}

/// What a transaction coordinator is told of a marker that could not be appended.
fn append_error(error: PartitionAppendError, hosted: &HostedPartition) -> ErrorCode {
    use storage::AppendError::{InvalidProducerEpoch, Storage, TransactionCoordinatorFenced};
    match error {
        PartitionAppendError::Refused(code) => code,
        PartitionAppendError::Log(InvalidProducerEpoch(_)) => ErrorCode::InvalidProducerEpoch,
        PartitionAppendError::Log(TransactionCoordinatorFenced(_)) => ErrorCode::TransactionCoordinatorFenced,
        PartitionAppendError::Log(Storage(error)) => {
            hosted.log_storage_error("appending a transaction's marker", &error);
            ErrorCode::KafkaStorageError
        }
        PartitionAppendError::Log(error) => {
            let partition = hosted.topic_partition();
            tracing::error!(%partition, %error, "a transaction's marker could not be appended");
            ErrorCode::UnknownServerError
        }
    }
}
