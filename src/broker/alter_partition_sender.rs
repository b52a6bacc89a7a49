//! Asks the controller for the in-sync replicas that leaders want (KIP-497; Kafka's `DefaultAlterPartitionManager`).
//!
//! One request is under way at a time, for all partitions. Nothing is given up before the controller has said something to
//! it: what was sent may have been made true, and only an answer or newer metadata tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::Broker;
use crate::clock::Clock;
use crate::controller::{AlterPartition, AlteredPartition, PartitionAlteration};
use crate::ids::{NodeId, Uuid};
use crate::metadata::{LeaderRecoveryState, PartitionImage};
use crate::protocol::ErrorCode;
use crate::replication::isr_changes::IsrChange;
use crate::replication::partition::isr::{AlteredIsr, IsrProposal, IsrVerdict};
use crate::replication::replica_manager::ReplicaManager;

/// The pause before the same is sent again, as in Kafka: after a request that the controller has refused, or did not get.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Sends what comes of the broker's leaders until `stop` is cancelled.
pub async fn run(broker: Arc<Broker>, stop: CancellationToken) {
    let Some(changes) = broker.replicas.take_isr_changes() else { return };
    let ask = |request| {
        let controller = broker.controller.clone();
        async move { controller.alter_partition(request).await?.response }
    };
    stop.run_until_cancelled(send_all(&broker.replicas, &broker.clock, changes, ask)).await;
}

/// Sends until nobody can ask for anything any more.
async fn send_all<A: Future<Output = Result<Vec<AlteredPartition>, ErrorCode>>>(
    replicas: &ReplicaManager,
    clock: &Clock,
    mut changes: Receiver<IsrChange>,
    ask: impl Fn(AlterPartition) -> A,
) {
    let mut waiting = WaitingChanges::default();
    while let Some(change) = next_change(&mut changes, waiting.is_empty()).await {
        for change in change.into_iter().chain(std::iter::from_fn(|| changes.try_recv().ok())) {
            if let Some(change) = waiting.put(&change.proposal.clone(), change) {
                replicas.isr_answered(&change, Err(ErrorCode::OperationNotAttempted));
            }
        }
        let request = waiting.request(replicas.node_id(), replicas.broker_epoch());
        let answered = ask(request).await.inspect_err(|code| {
            tracing::debug!(%code, "the controller does not take other in-sync replicas now");
        });
        for (change, result) in waiting.answered(answered.unwrap_or_default()) {
            if replicas.isr_answered(&change, result.map(altered)) == IsrVerdict::Retry {
                waiting.put(&change.proposal.clone(), change);
            }
        }
        if !waiting.is_empty() {
            clock.sleep(RETRY_PAUSE).await;
        }
    }
}

/// Waits for a change, unless others are to be sent again already. `None` where there will be none any more.
async fn next_change(changes: &mut Receiver<IsrChange>, may_wait: bool) -> Option<Option<IsrChange>> {
    if may_wait { changes.recv().await.map(Some) } else { Some(None) }
}

fn altered(state: PartitionImage) -> AlteredIsr {
    AlteredIsr { leader_epoch: state.leader_epoch, partition_epoch: state.partition_epoch, isr: state.isr }
}

/// Of whom a change is.
trait OfPartition {
    fn topic_id(&self) -> Uuid;
    fn partition(&self) -> i32;
}

impl OfPartition for IsrChange {
    fn topic_id(&self) -> Uuid {
        self.partition.topic_id()
    }

    fn partition(&self) -> i32 {
        self.partition.topic_partition().partition
    }
}

/// What is to be sent, and was sent and not answered; at most one change of each partition.
#[derive(Debug)]
struct WaitingChanges<C>(BTreeMap<(Uuid, i32), (IsrProposal, C)>);

impl<C> Default for WaitingChanges<C> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<C: OfPartition> WaitingChanges<C> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a change, or gives it back where one of the same partition waits already.
    fn put(&mut self, proposal: &IsrProposal, change: C) -> Option<C> {
        let key = (change.topic_id(), change.partition());
        if self.0.contains_key(&key) {
            return Some(change);
        }
        self.0.insert(key, (proposal.clone(), change));
        None
    }

    /// All of them in one request: what was sent before is the same again (KAFKA-15353).
    fn request(&self, broker_id: NodeId, broker_epoch: i64) -> AlterPartition {
        let alteration =
            |((topic_id, partition), (proposal, _)): (&(Uuid, i32), &(IsrProposal, C))| PartitionAlteration {
                topic_id: *topic_id,
                partition: *partition,
                leader_epoch: proposal.leader_epoch,
                partition_epoch: proposal.partition_epoch,
                new_isr: proposal.new_isr.clone(),
                leader_recovery_state: LeaderRecoveryState::Recovered,
            };
        AlterPartition { broker_id, broker_epoch, partitions: self.0.iter().map(alteration).collect() }
    }

    /// Takes out what was answered. What the answer passes over is sent again.
    fn answered(&mut self, answers: Vec<AlteredPartition>) -> Vec<(C, Result<PartitionImage, ErrorCode>)> {
        let answered = answers.into_iter().filter_map(|AlteredPartition { topic_id, partition, result }| {
            self.0.remove(&(topic_id, partition)).map(|(_, change)| (change, result))
        });
        answered.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl OfPartition for i32 {
        fn topic_id(&self) -> Uuid {
            Uuid::from_u128(1)
        }

        fn partition(&self) -> i32 {
            *self
        }
    }

    fn proposal(partition_epoch: i32, isr: &[NodeId]) -> IsrProposal {
        IsrProposal { leader_epoch: 3, partition_epoch, new_isr: isr.iter().map(|id| (*id, 10)).collect() }
    }

    fn refused(partition: i32) -> AlteredPartition {
        AlteredPartition { topic_id: Uuid::from_u128(1), partition, result: Err(ErrorCode::IneligibleReplica) }
    }

    #[test]
    fn a_partition_has_one_change_at_a_time_and_it_stays_what_it_was() {
        let mut waiting = WaitingChanges::default();
        assert_eq!(waiting.put(&proposal(1, &[1, 2]), 0), None);
        assert_eq!(waiting.put(&proposal(4, &[1]), 7), None);
        assert_eq!(waiting.put(&proposal(2, &[1]), 0), Some(0), "another one was sent");
        let request = waiting.request(1, 10);
        assert_eq!((request.broker_id, request.broker_epoch, request.partitions.len()), (1, 10, 2));
        assert_eq!(request.partitions[0].new_isr, [(1, 10), (2, 10)]);
        assert_eq!(waiting.request(1, 10).partitions[0].new_isr, request.partitions[0].new_isr);
    }

    #[test]
    fn what_an_answer_passes_over_is_sent_again() {
        let mut waiting = WaitingChanges::default();
        waiting.put(&proposal(1, &[1, 2]), 0);
        waiting.put(&proposal(4, &[1]), 7);
        assert_eq!(waiting.answered(vec![refused(7), refused(9)]), [(7, Err(ErrorCode::IneligibleReplica))]);
        assert_eq!(waiting.request(1, 10).partitions.len(), 1);
        assert_eq!(waiting.answered(Vec::new()), []);
        assert!(!waiting.is_empty());
    }
}
