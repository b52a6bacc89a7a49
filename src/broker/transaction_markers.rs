//! Takes markers, which tell how transactions ended, to the leaders of their partitions.
//!
//! A transaction coordinator says where markers have to be written, and waits to hear that they are. Each transaction that
//! is ending has a task here, which tries until all are written, or until the coordinator's leadership is over: another
//! machine then says the same again. There are never more tasks than transactions that the coordinators hold in memory.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Broker;
use crate::coordinator::group::request::CompleteTransaction;
use crate::coordinator::transaction::request::{MarkersWritten, TransactionalId, WriteMarkers};
use crate::ids::{GROUP_METADATA_TOPIC, ProducerIdAndEpoch, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::control_records::EndTransactionMarker;
use crate::replication::hosted_partition::{AppendRequest, Appended, HostedPartition, PartitionAppendError};
use crate::storage;

/// The first pause before markers are tried again that could not be written, and the longest.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Markers of one transaction that are written at a time, so that one with many partitions leaves others their turn.
const MARKERS_AT_A_TIME: usize = 64;

/// Tasks that have ended are looked for once there are twice as many as were left the last time, and so many at least.
const TASKS_KEPT: usize = 64;

/// Writes what comes to `inbox`, until `stop` is cancelled; leaves no task behind.
pub async fn run(broker: Arc<Broker>, mut inbox: UnboundedReceiver<WriteMarkers>, stop: CancellationToken) {
    let mut deliveries = Deliveries { tasks: HashMap::new(), swept_at: TASKS_KEPT };
    while let Some(Some(message)) = stop.run_until_cancelled(inbox.recv()).await {
        deliveries.begin(&broker, message);
    }
    deliveries.end().await;
}

/// The tasks that write markers, by their transactional ids.
struct Deliveries {
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
        let task = tokio::spawn(deliver(Arc::clone(broker), message, predecessor));
        self.tasks.insert(transactional_id, task);
    }

    async fn end(self) {
        self.tasks.values().for_each(JoinHandle::abort);
        for task in self.tasks.into_values() {
            // It was told to end, or has ended.
            drop(task.await);
        }
    }
}

/// Writes the markers of one transaction. Its id's last task ends first, which may be asked the same by a machine that is
/// gone: no marker of it may come when the next transaction has begun.
async fn deliver(broker: Arc<Broker>, message: WriteMarkers, predecessor: Option<JoinHandle<()>>) {
    if let Some(predecessor) = predecessor {
        predecessor.abort();
        drop(predecessor.await);
    }
    let (mut pause, longest_pause) = RETRY_BACKOFF;
    let mut missing = message.partitions.clone();
    while broker.transactions.is_elected(&message.transactional_id, message.coordinator_epoch) {
        let is_first = missing.len() == message.partitions.len();
        let tried = write_all(&broker, &message, missing).await;
        if let Some((partition, code)) = tried.failure.filter(|_| is_first) {
            let (transactional_id, markers) = (&message.transactional_id, tried.missing.len());
            tracing::info!(%transactional_id, markers, %partition, %code, "markers of a transaction have to wait");
        }
        missing = tried.missing;
        tell(&broker, &message, tried.written).await;
        if missing.is_empty() {
            return;
        }
        broker.clock.sleep(pause).await;
        pause = longest_pause.min(pause * 2);
    }
}

/// Has the coordinator hear where markers are written. It may be loading yet, or have too much to hear.
async fn tell(broker: &Broker, message: &WriteMarkers, partitions: Vec<TopicPartition>) {
    let WriteMarkers { transactional_id, marking, coordinator_epoch, .. } = message;
    let written = MarkersWritten {
        transactional_id: Arc::clone(transactional_id),
        marking: *marking,
        coordinator_epoch: *coordinator_epoch,
        partitions,
    };
    let (mut pause, longest_pause) = RETRY_BACKOFF;
    while !written.partitions.is_empty() && broker.transactions.is_elected(transactional_id, *coordinator_epoch) {
        if broker.transactions.enqueue(transactional_id, written.clone()).await.is_ok() {
            return;
        }
        broker.clock.sleep(pause).await;
        pause = longest_pause.min(pause * 2);
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

async fn write_all(broker: &Broker, message: &WriteMarkers, partitions: Vec<TopicPartition>) -> Tried {
    let mut tried = Tried::default();
    let mut partitions = partitions.into_iter();
    loop {
        let some: Vec<_> = partitions.by_ref().take(MARKERS_AT_A_TIME).collect();
        if some.is_empty() {
            return tried;
        }
        let outcomes = join_all(some.iter().map(|partition| write(broker, message, partition))).await;
        for (partition, outcome) in some.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => tried.written.push(partition),
                Err(code) => {
                    tried.failure.get_or_insert_with(|| (partition.clone(), code));
                    tried.missing.push(partition);
                }
            }
        }
    }
}

/// Writes one marker, and waits until it is committed. Where there is no such partition any more, there is nothing to do.
async fn write(broker: &Broker, message: &WriteMarkers, partition: &TopicPartition) -> Result<(), ErrorCode> {
    let leader = broker.image().partition(&partition.topic, partition.partition).map(|partition| partition.leader);
    let marker = EndTransactionMarker { result: message.result, coordinator_epoch: message.coordinator_epoch };
    match leader {
        None => Ok(()),
        Some(leader) if leader != broker.node_id => Err(ErrorCode::NotLeaderOrFollower),
        Some(_) => match broker.write_marker(partition, message.producer, marker).await {
            // Unlike Kafka, which writes no more markers of that transaction then, so that it never ends: a newer epoch
            // of the producer has ended it there.
            Err(ErrorCode::InvalidProducerEpoch) => Ok(()),
            outcome => outcome,
        },
    }
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
