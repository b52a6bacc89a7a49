//! The runtime with the other kind of coordinator: transactions, on `__transaction_state`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{CoordinatorRuntime, CoordinatorRuntimeConfig};
use crate::clock::Clock;
use crate::config::Config;
use crate::coordinator::transaction::request::{
    AddPartitionsRequest, ClientVersion, DescribeTransactionRequest, EndTransactionRequest, InitProducerRequest,
    MarkersWritten, ProducerRefusal, TransactionalProducer, WriteMarkers,
};
use crate::coordinator::transaction::{TransactionCoordinator, TransactionCoordinatorConfig};
use crate::ids::{ProducerIdAndEpoch, TRANSACTION_STATE_TOPIC, TopicPartition, Uuid};
use crate::metadata::{MetadataDelta, MetadataImage, MetadataRecord, PartitionImage, TopicRecord};
use crate::protocol::control_records::TransactionResult;
use crate::protocol::transaction_records::TransactionState;
use crate::replication::ownership::KnownTopics;
use crate::replication::replica_manager::ReplicaManager;
use crate::storage::{LogDir, LogDirs};

type Told = Arc<Mutex<Vec<WriteMarkers>>>;

const TOPIC_ID: Uuid = Uuid::from_u128(1);

fn runtime(replicas: &Arc<ReplicaManager>, clock: &Clock, told: &Told) -> CoordinatorRuntime<TransactionCoordinator> {
    let transactions = TransactionCoordinatorConfig {
        max_timeout_ms: 60_000,
        abort_check_interval: Duration::from_secs(10),
        id_expiration: Duration::from_hours(24),
        expiry_check_interval: Duration::from_hours(1),
    };
    let new_machine = move || TransactionCoordinator::new(transactions.clone());
    let (config, told) = (CoordinatorRuntimeConfig::default(), Arc::clone(told));
    let deliver = move |message| told.lock().unwrap().push(message);
    let (clock, replicas) = (clock.clone(), Arc::clone(replicas));
    CoordinatorRuntime::new(TRANSACTION_STATE_TOPIC, 1, clock, replicas, config, new_machine, deliver)
}

/// Replicas with one partition of `__transaction_state`, and what makes runtimes follow that.
fn replicas(clock: &Clock) -> (Arc<ReplicaManager>, MetadataDelta, MetadataImage) {
    let config = Arc::new(Config::with(&[]).unwrap());
    let (empty, removed) = (MetadataImage::default(), HashSet::new());
    let known = KnownTopics { image: &empty, removed: &removed };
    let dirs = Arc::new(LogDirs::of(LogDir::memory()));
    let replicas = ReplicaManager::open(1, clock.clone(), config, dirs, known).unwrap();
    let (mut delta, mut image) = (MetadataDelta::default(), MetadataImage::default());
    let state = PartitionImage {
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 3,
        partition_epoch: 0,
        ..PartitionImage::default()
    };
    let records = [
        TopicRecord::Topic { name: TRANSACTION_STATE_TOPIC.into(), id: TOPIC_ID },
        TopicRecord::Partition { topic_id: TOPIC_ID, partition: 0, state },
    ];
    for record in records {
        delta.note(image.replay(&MetadataRecord::from(record)).unwrap());
    }
    replicas.apply(&delta, &image);
    (Arc::new(replicas), delta, image)
}

#[tokio::test]
async fn a_transaction_is_committed_across_a_restart() {
    let (clock, told) = (Clock::manual(1_000), Told::default());
    let (replicas, delta, image) = replicas(&clock);
    let first = runtime(&replicas, &clock, &told);
    first.apply(&delta, &image);
    first.loaded().await;
    let init = |new_producer_id| InitProducerRequest {
        transactional_id: "x".into(),
        timeout_ms: 60_000,
        expected: None,
        new_producer_id,
    };
    assert_eq!(first.enqueue("x", init(None)).await, Ok(Err(ProducerRefusal::NeedsProducerId)));
    let producer = ProducerIdAndEpoch { producer_id: 7, producer_epoch: 0 };
    assert_eq!(first.enqueue("x", init(Some(7))).await, Ok(Ok(producer)));
    let producer = TransactionalProducer { transactional_id: "x".into(), producer, version: ClientVersion::Two };
    let partition = TopicPartition::new("t", 0);
    let add =
        AddPartitionsRequest { producer: producer.clone(), partitions: vec![partition.clone()], verify_only: false };
    assert_eq!(first.enqueue("x", add).await, Ok(vec![(partition.clone(), None)]));
    let end = EndTransactionRequest { producer, result: TransactionResult::Commit, new_producer_id: None };
    let next = ProducerIdAndEpoch { producer_id: 7, producer_epoch: 1 };
    assert_eq!(first.enqueue("x", end).await, Ok(Ok(next)));
    first.shutdown().await;
    clock.advance(Duration::from_secs(1));

    let second = runtime(&replicas, &clock, &told);
    second.apply(&delta, &image);
    second.loaded().await;
    let told = std::mem::take(&mut *told.lock().unwrap());
    let [before, after] = &told[..] else { panic!("{told:?}") };
    assert_eq!((after.producer, after.result, after.coordinator_epoch), (next, TransactionResult::Commit, 3));
    assert_eq!(after.partitions, [partition]);
    let state = async || {
        let described = second.enqueue("x", DescribeTransactionRequest { transactional_id: "x".into() }).await;
        described.unwrap().unwrap().state
    };
    let written = |told: &WriteMarkers| MarkersWritten {
        transactional_id: "x".into(),
        marking: told.marking,
        coordinator_epoch: told.coordinator_epoch,
        partitions: told.partitions.clone(),
    };
    second.enqueue("x", written(before)).await.unwrap();
    assert_eq!(state().await, TransactionState::PrepareCommit, "who was asked before is not who is asked now");
    second.enqueue("x", written(after)).await.unwrap();
    assert_eq!(state().await, TransactionState::CompleteCommit);
    second.shutdown().await;
}
