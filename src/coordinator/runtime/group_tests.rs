//! The runtime with groups, whose offsets may be part of transactions.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::actor::Actor;
use super::{AppendLinger, CoordinatorRuntime, CoordinatorRuntimeConfig};
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::coordinator::group::request::{
    CommitOffsetsRequest, CommitTransactionalOffsetsRequest, CompleteTransaction, DeleteOffsetsRequest, DeleteRequest,
    FetchOffsetsRequest, MemberRequest, OffsetToCommit,
};
use crate::coordinator::group::{GroupCoordinator, GroupCoordinatorConfig, GroupRecord, GroupRequest};
use crate::coordinator::machine::{BatchKind, CoordinatorMachine};
use crate::ids::{GROUP_METADATA_TOPIC, ProducerIdAndEpoch, Uuid};
use crate::metadata::{MetadataDelta, MetadataImage, MetadataRecord, PartitionImage, TopicRecord};
use crate::protocol::ErrorCode;
use crate::protocol::control_records::{EndTransactionMarker, TransactionResult};
use crate::protocol::coordinator_records::EncodedRecord;
use crate::protocol::record_batch::{BatchBuilder, NO_SEQUENCE, batches};
use crate::replication::hosted_partition::{HostedPartition, ReadRequest};
use crate::replication::ownership::KnownTopics;
use crate::replication::replica_manager::ReplicaManager;
use crate::state_machine::{Effects, ReplyTo, StateMachine};
use crate::storage::{BatchToVerify, LogDir, LogDirs, VerificationGuard};

const GROUPS: [&str; 3] = ["g", "h", "i"];

/// One partition of `__consumer_offsets` on this broker, which a machine can be made for.
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
    let topic_id = Uuid::from_u128(1);
    let records = [
        TopicRecord::Topic { name: GROUP_METADATA_TOPIC.into(), id: topic_id },
        TopicRecord::Partition { topic_id, partition: 0, state },
    ];
    for record in records {
        delta.note(image.replay(&MetadataRecord::from(record)).unwrap());
    }
    replicas.apply(&delta, &image);
    (Arc::new(replicas), delta, image)
}

fn member(group: &str) -> MemberRequest {
    MemberRequest { group_id: group.into(), member_id: "".into(), group_instance_id: None, generation_id: -1 }
}

fn offset(partition: i32, offset: i64) -> OffsetToCommit {
    OffsetToCommit { partition, offset, leader_epoch: -1, metadata: "".into() }
}

fn commit(group: &str, partition: i32, at: i64) -> CommitOffsetsRequest {
    let topics = vec![("t".into(), vec![offset(partition, at)])];
    CommitOffsetsRequest { member: member(group), retention_ms: None, topics }
}

fn producer(producer_id: i64, producer_epoch: i16) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { producer_id, producer_epoch }
}

fn transactional(
    producer: ProducerIdAndEpoch,
    group: &str,
    partition: i32,
    at: i64,
) -> CommitTransactionalOffsetsRequest {
    let topics = vec![("t".into(), vec![offset(partition, at)])];
    CommitTransactionalOffsetsRequest { producer, member: member(group), topics }
}

fn complete(producer: ProducerIdAndEpoch, result: TransactionResult, coordinator_epoch: i32) -> CompleteTransaction {
    CompleteTransaction { producer, marker: EndTransactionMarker { result, coordinator_epoch } }
}

struct House {
    clock: Clock,
    replicas: Arc<ReplicaManager>,
    runtime: CoordinatorRuntime<GroupCoordinator>,
}

impl House {
    async fn start() -> Self {
        let clock = Clock::manual(0);
        let (replicas, delta, image) = replicas(&clock);
        let config =
            CoordinatorRuntimeConfig { append_linger: AppendLinger::Adaptive, ..CoordinatorRuntimeConfig::default() };
        let new_machine = || GroupCoordinator::new(GroupCoordinatorConfig::default());
        let (its_clock, its_replicas) = (clock.clone(), Arc::clone(&replicas));
        let runtime =
            CoordinatorRuntime::new(GROUP_METADATA_TOPIC, 1, its_clock, its_replicas, config, new_machine, |message| {
                match message {}
            });
        runtime.apply(&delta, &image);
        runtime.loaded().await;
        Self { clock, replicas, runtime }
    }

    fn partition(&self) -> Arc<HostedPartition> {
        self.replicas.partition(GROUP_METADATA_TOPIC, 0).unwrap()
    }

    /// What the transaction's coordinator would have been asked after.
    fn verify(&self, producer: ProducerIdAndEpoch) -> Option<VerificationGuard> {
        let batch = BatchToVerify { producer, base_sequence: NO_SEQUENCE, supports_epoch_bump: true };
        self.partition().begin_verification(batch, self.clock.now()).unwrap()
    }

    async fn commit_in_transaction(
        &self,
        producer: ProducerIdAndEpoch,
        at: i64,
        guard: Option<VerificationGuard>,
    ) -> Result<(), ErrorCode> {
        let answer = self.runtime.enqueue_verified("g", transactional(producer, "g", 0, at), guard).await??;
        assert_eq!(answer, [("t".into(), vec![(0, None)])]);
        Ok(())
    }

    /// The offset, or `None` where it is not stable.
    async fn stable(&self) -> Option<i64> {
        let topics = Some(vec![("t".into(), vec![0])]);
        let fetch = FetchOffsetsRequest { group_id: "g".into(), topics, require_stable: true };
        let fetched = self.runtime.enqueue("g", fetch).await.unwrap().remove(0).1.remove(0);
        (!fetched.is_unstable).then_some(fetched.offset)
    }

    fn log(&self) -> Vec<(i64, bool, bool, i32)> {
        let request = ReadRequest {
            fetch_offset: 0,
            max_bytes: usize::MAX,
            min_one: true,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            read_committed: false,
        };
        let bytes = self.partition().read(&request).unwrap().records.unwrap().read_blocking().unwrap();
        let header = |batch: crate::protocol::record_batch::RecordBatch| {
            let header = &batch.header;
            (header.producer_id, header.is_transactional(), header.is_control(), header.record_count)
        };
        batches(&bytes).map(|batch| header(batch.unwrap())).collect()
    }
}

#[tokio::test]
async fn a_transaction_is_written_in_batches_of_its_own_between_those_that_others_share() {
    let house = House::start().await;
    let (one, two) = (producer(7, 0), producer(8, 0));
    let (guard, other_guard) = (house.verify(one), house.verify(two));
    let asked = (
        house.runtime.enqueue("g", commit("g", 0, 1)),
        house.runtime.enqueue("g", commit("g", 1, 2)),
        house.commit_in_transaction(one, 3, guard),
        house.commit_in_transaction(two, 4, other_guard),
        house.runtime.enqueue("g", commit("g", 1, 5)),
    );
    // The future of an async function does nothing before it is looked at.
    let (first, second, third, fourth, last) = tokio::join!(asked.0, asked.1, asked.2, asked.3, asked.4);
    assert!(first.is_ok() && second.is_ok() && last.is_ok());
    assert_eq!((third, fourth), (Ok(()), Ok(())));
    assert_eq!(house.stable().await, None);
    let end = |producer, result| house.runtime.enqueue_in(0, complete(producer, result, 0));
    end(one, TransactionResult::Commit).await.unwrap();
    assert_eq!(house.stable().await, None, "another one is open");
    end(two, TransactionResult::Abort).await.unwrap();
    assert_eq!(house.stable().await, Some(3));
    assert_eq!(
        house.runtime.enqueue_in(1, complete(one, TransactionResult::Abort, 0)).await,
        Err(ErrorCode::NotCoordinator)
    );
    let plain: i32 = house.log().iter().filter(|(id, ..)| *id == -1).map(|(_, _, _, count)| count).sum();
    let others: Vec<_> = house.log().into_iter().filter(|(id, ..)| *id != -1).collect();
    assert_eq!(plain, 3);
    assert_eq!(others, [(7, true, false, 1), (8, true, false, 1), (7, true, true, 1), (8, true, true, 1)]);
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn what_the_log_refuses_of_a_producer_no_machine_goes_by() {
    let house = House::start().await;
    let (old, new) = (producer(7, 0), producer(7, 1));
    assert_eq!(house.commit_in_transaction(old, 1, None).await, Err(ErrorCode::InvalidTxnState));
    assert_eq!(house.stable().await, Some(-1));
    let guard = house.verify(old);
    house.commit_in_transaction(old, 2, guard).await.unwrap();
    house.commit_in_transaction(old, 3, None).await.expect("it is open");
    let end = |producer, epoch| house.runtime.enqueue_in(0, complete(producer, TransactionResult::Commit, epoch));
    end(new, 5).await.unwrap();
    assert_eq!(house.stable().await, Some(3));
    assert_eq!(end(old, 5).await, Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(end(new, 4).await, Err(ErrorCode::TransactionCoordinatorFenced));
    assert_eq!(house.commit_in_transaction(old, 4, guard).await, Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(house.commit_in_transaction(new, 5, guard).await, Err(ErrorCode::InvalidTxnState), "of the last one");
    assert_eq!(house.stable().await, Some(3), "it goes on at once");
    let guard = house.verify(new);
    house.commit_in_transaction(new, 6, guard).await.unwrap();
    assert_eq!(house.stable().await, None);
    house.runtime.shutdown().await;
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Commit { group: usize, partition: i32 },
    CommitInTransaction { producer: i64, group: usize, partition: i32 },
    End { producer: i64, commits: bool },
    DeleteOffset { group: usize, partition: i32 },
    DeleteGroup { group: usize },
    DeleteTopic,
    CloseBatch,
}

fn step() -> impl Strategy<Value = Step> {
    let (group, partition, producer) = (|| 0..GROUPS.len(), || 0..2_i32, || 0..3_i64);
    prop_oneof![
        6 => (group(), partition()).prop_map(|(group, partition)| Step::Commit { group, partition }),
        6 => (producer(), group(), partition())
            .prop_map(|(producer, group, partition)| Step::CommitInTransaction { producer, group, partition }),
        3 => (producer(), any::<bool>()).prop_map(|(producer, commits)| Step::End { producer, commits }),
        2 => (group(), partition()).prop_map(|(group, partition)| Step::DeleteOffset { group, partition }),
        1 => group().prop_map(|group| Step::DeleteGroup { group }),
        1 => Just(Step::DeleteTopic),
        2 => Just(Step::CloseBatch),
    ]
}

fn request(number: i64, step: Step) -> Option<GroupRequest> {
    Some(match step {
        Step::Commit { group, partition } => GroupRequest::CommitOffsets(commit(GROUPS[group], partition, number)),
        Step::CommitInTransaction { producer: id, group, partition } => {
            let commit = transactional(producer(id, 0), GROUPS[group], partition, number);
            GroupRequest::CommitTransactionalOffsets(commit)
        }
        Step::End { producer: id, commits } => {
            let result = if commits { TransactionResult::Commit } else { TransactionResult::Abort };
            GroupRequest::CompleteTransaction(complete(producer(id, 0), result, 0))
        }
        Step::DeleteOffset { group, partition } => {
            let topics = vec![("t".into(), vec![partition])];
            GroupRequest::DeleteOffsets(DeleteOffsetsRequest { group_id: GROUPS[group].into(), topics })
        }
        Step::DeleteGroup { group } => GroupRequest::Delete(DeleteRequest { group_id: GROUPS[group].into() }),
        Step::DeleteTopic => GroupRequest::TopicsDeleted { topics: vec!["t".into()] },
        Step::CloseBatch => return None,
    })
}

const NOW: Now = Now { timestamp_ms: 1_000, monotonic: std::time::Duration::ZERO };

/// A machine, and the batches that a runtime would have written.
struct Writing {
    machine: GroupCoordinator,
    open: Vec<EncodedRecord>,
    batches: Vec<Bytes>,
    end_offset: i64,
}

impl Writing {
    fn decide(&mut self, request: GroupRequest) {
        let mut effects = Effects::new();
        self.machine.handle(request, ReplyTo(0), NOW, &mut effects);
        for record in &effects.records {
            self.machine.replay(record);
        }
        let encoded = effects.records.iter().map(|record| GroupCoordinator::encode(record).unwrap());
        match effects.records.first().map_or(BatchKind::Plain, GroupCoordinator::batch_kind) {
            BatchKind::Plain => self.open.extend(encoded),
            BatchKind::Transactional(ProducerIdAndEpoch { producer_id, producer_epoch }) => {
                let mut batch = BatchBuilder::new(NOW.timestamp_ms);
                batch.producer(producer_id, producer_epoch, NO_SEQUENCE).transactional();
                for record in encoded {
                    batch.record(Some(&record.key), record.value.as_deref());
                }
                self.write(&batch.build(), 1);
            }
            BatchKind::Marker(producer, marker) => self.write(&marker.batch(producer, NOW.timestamp_ms), 1),
        }
    }

    fn close(&mut self) {
        let open = std::mem::take(&mut self.open);
        if open.is_empty() {
            return;
        }
        let mut batch = BatchBuilder::new(NOW.timestamp_ms);
        for record in &open {
            batch.record(Some(&record.key), record.value.as_deref());
        }
        self.append(&batch.build(), open.len());
    }

    fn write(&mut self, batch: &Bytes, records: usize) {
        self.close();
        self.append(batch, records);
    }

    fn append(&mut self, batch: &Bytes, records: usize) {
        let mut batch = BytesMut::from(&batch[..]);
        batch[..8].copy_from_slice(&self.end_offset.to_be_bytes());
        self.end_offset += records as i64;
        self.batches.push(batch.freeze());
    }
}

/// All offsets of all groups, stable and not, as text.
fn offsets(machine: &mut GroupCoordinator) -> Vec<String> {
    let mut told = Vec::new();
    for group in GROUPS {
        for require_stable in [false, true] {
            let mut effects = Effects::new();
            let topics = Some(vec![("t".into(), vec![0, 1])]);
            let fetch = FetchOffsetsRequest { group_id: group.into(), topics, require_stable };
            machine.handle(GroupRequest::FetchOffsets(fetch), ReplyTo(0), NOW, &mut effects);
            told.push(format!("{group}: {:?}", effects.replies));
        }
    }
    told
}

/// The same, and then what comes of every transaction that is open if it is committed in this order.
fn fate(machine: &mut GroupCoordinator, order: [i64; 3]) -> Vec<String> {
    let mut told = offsets(machine);
    for id in order {
        let marker = EndTransactionMarker { result: TransactionResult::Commit, coordinator_epoch: 0 };
        machine.replay(&GroupRecord::TransactionEnded { producer: producer(id, 0), marker });
        told.extend(offsets(machine));
    }
    told
}

fn new_actor(hosted: &Arc<HostedPartition>) -> Actor<GroupCoordinator> {
    let new_machine = || GroupCoordinator::new(GroupCoordinatorConfig::default());
    let config = CoordinatorRuntimeConfig::default();
    Actor::new(
        Arc::new(new_machine),
        Arc::clone(hosted),
        3,
        Clock::manual(0),
        config,
        Arc::new(|message| match message {}),
    )
}

#[test]
fn a_log_with_transactions_loads_in_any_pieces_as_it_was_written() {
    let (replicas, ..) = replicas(&Clock::manual(0));
    let hosted = replicas.partition(GROUP_METADATA_TOPIC, 0).unwrap();
    let orders = prop_oneof![Just([0, 1, 2]), Just([2, 1, 0]), Just([1, 2, 0])];
    let strategy = (prop::collection::vec(step(), 1..60), orders);
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) });
    let outcome = runner.run(&strategy, |(steps, order)| {
        let machine = GroupCoordinator::new(GroupCoordinatorConfig::default());
        let mut writing = Writing { machine, open: Vec::new(), batches: Vec::new(), end_offset: 0 };
        for (number, step) in (0..).zip(steps) {
            match request(number, step) {
                Some(request) => writing.decide(request),
                None => writing.close(),
            }
        }
        writing.close();
        let expected = fate(&mut writing.machine, order);
        for window in [1, 2, 5, usize::MAX] {
            let mut actor = new_actor(&hosted);
            let mut next = 0;
            for pieces in writing.batches.chunks(window.min(writing.batches.len().max(1))) {
                next = actor.replay_bytes(&Bytes::from(pieces.concat()), next).unwrap();
            }
            prop_assert_eq!(next, writing.end_offset);
            prop_assert_eq!(&fate(&mut actor.machine, order), &expected, "window {}", window);
        }
        Ok(())
    });
    outcome.unwrap();
}
