//! `AlterPartition` (key 56).

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use kafka_protocol::messages::alter_partition_response::{PartitionData as PartitionAnswer, TopicData as TopicAnswer};
use kafka_protocol::messages::{AlterPartitionRequest, AlterPartitionResponse, BrokerId};

use super::{WireQuestion, error};
use crate::controller::{AlterPartition, AlteredPartition, PartitionAlteration};
use crate::ids::Uuid;
use crate::metadata::{LeaderRecoveryState, PartitionImage};
use crate::protocol::ErrorCode;

/// The first version that tells the broker epochs of the in-sync replicas (KIP-903).
const FIRST_VERSION_WITH_EPOCHS: i16 = 3;

/// That a broker's epoch is not to be looked at.
const ANY_EPOCH: i64 = -1;

impl WireQuestion for AlterPartition {
    type Wire = AlterPartitionRequest;

    fn to_wire(&self, version: i16) -> AlterPartitionRequest {
        let mut topics: BTreeMap<Uuid, Vec<PartitionData>> = BTreeMap::new();
        for alteration in &self.partitions {
            topics.entry(alteration.topic_id).or_default().push(wire_partition(alteration, version));
        }
        let topic = |(id, partitions)| TopicData::default().with_topic_id(id).with_partitions(partitions);
        AlterPartitionRequest::default()
            .with_broker_id(BrokerId(self.broker_id))
            .with_broker_epoch(self.broker_epoch)
            .with_topics(topics.into_iter().map(topic).collect())
    }

    fn from_wire(response: AlterPartitionResponse) -> Result<Result<Vec<AlteredPartition>, ErrorCode>, ErrorCode> {
        match error(response.error_code) {
            Err(ErrorCode::NotController) => return Err(ErrorCode::NotController),
            Err(code) => return Ok(Err(code)),
            Ok(()) => {}
        }
        let altered = |topic: TopicAnswer| {
            topic.partitions.into_iter().map(move |partition| AlteredPartition {
                topic_id: topic.topic_id,
                partition: partition.partition_index,
                result: error(partition.error_code).map(|()| image(&partition)),
            })
        };
        Ok(Ok(response.topics.into_iter().flat_map(altered).collect()))
    }
}

fn wire_partition(alteration: &PartitionAlteration, version: i16) -> PartitionData {
    let PartitionAlteration { partition, leader_epoch, partition_epoch, new_isr, leader_recovery_state, .. } =
        alteration;
    let data = PartitionData::default()
        .with_partition_index(*partition)
        .with_leader_epoch(*leader_epoch)
        .with_partition_epoch(*partition_epoch)
        .with_leader_recovery_state(leader_recovery_state.code());
    if version < FIRST_VERSION_WITH_EPOCHS {
        return data.with_new_isr(new_isr.iter().map(|(id, _)| BrokerId(*id)).collect());
    }
    let state =
        |(id, epoch): &(i32, i64)| BrokerState::default().with_broker_id(BrokerId(*id)).with_broker_epoch(*epoch);
    data.with_new_isr_with_epochs(new_isr.iter().map(state).collect())
}

/// What the answer tells of a partition; its replicas are not in it.
fn image(partition: &PartitionAnswer) -> PartitionImage {
    PartitionImage {
        isr: partition.isr.iter().map(|id| id.0).collect(),
        leader: partition.leader_id.0,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        leader_recovery_state: LeaderRecoveryState::from_code(partition.leader_recovery_state).unwrap_or_default(),
        ..PartitionImage::default()
    }
}

/// The question that a request of `version` is.
///
/// Errors: `InvalidRequest` where a recovery state is none.
pub fn question(request: &AlterPartitionRequest, version: i16) -> Result<AlterPartition, ErrorCode> {
    let partitions = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let leader_recovery_state =
                LeaderRecoveryState::from_code(partition.leader_recovery_state).ok_or(ErrorCode::InvalidRequest)?;
            let new_isr = if version < FIRST_VERSION_WITH_EPOCHS {
                partition.new_isr.iter().map(|id| (id.0, ANY_EPOCH)).collect()
            } else {
                partition.new_isr_with_epochs.iter().map(|state| (state.broker_id.0, state.broker_epoch)).collect()
            };
            Ok(PartitionAlteration {
                topic_id: topic.topic_id,
                partition: partition.partition_index,
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                new_isr,
                leader_recovery_state,
            })
        })
    });
    Ok(AlterPartition {
        broker_id: request.broker_id.0,
        broker_epoch: request.broker_epoch,
        partitions: partitions.collect::<Result<_, _>>()?,
    })
}

/// The response to it.
pub fn response(answer: Result<Vec<AlteredPartition>, ErrorCode>) -> AlterPartitionResponse {
    let altered = match answer {
        Ok(altered) => altered,
        Err(code) => return AlterPartitionResponse::default().with_error_code(code.code()),
    };
    let mut topics: BTreeMap<Uuid, Vec<PartitionAnswer>> = BTreeMap::new();
    for AlteredPartition { topic_id, partition, result } in altered {
        let answer = PartitionAnswer::default().with_partition_index(partition);
        topics.entry(topic_id).or_default().push(match result {
            Ok(state) => answer
                .with_leader_id(BrokerId(state.leader))
                .with_leader_epoch(state.leader_epoch)
                .with_isr(state.isr.into_iter().map(BrokerId).collect())
                .with_leader_recovery_state(state.leader_recovery_state.code())
                .with_partition_epoch(state.partition_epoch),
            Err(code) => answer.with_error_code(code.code()),
        });
    }
    let topic = |(id, partitions)| TopicAnswer::default().with_topic_id(id).with_partitions(partitions);
    AlterPartitionResponse::default().with_topics(topics.into_iter().map(topic).collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::Encodable;

    use super::*;

    fn alteration(topic: u128, partition: i32) -> PartitionAlteration {
        PartitionAlteration {
            topic_id: Uuid::from_u128(topic),
            partition,
            leader_epoch: 4,
            partition_epoch: 11,
            new_isr: vec![(1, 21), (3, ANY_EPOCH)],
            leader_recovery_state: LeaderRecoveryState::Recovering,
        }
    }

    #[test]
    fn a_question_arrives_as_it_was_sent_but_for_the_epochs_that_version_2_cannot_say() {
        let partitions = vec![alteration(1, 0), alteration(1, 2), alteration(2, 0)];
        let asked = AlterPartition { broker_id: 1, broker_epoch: 21, partitions };
        for version in 2..=3 {
            let wire = asked.to_wire(version);
            wire.compute_size(version).expect("has a form");
            let arrived = question(&wire, version).expect("a question");
            let mut expected = asked.clone();
            if version < FIRST_VERSION_WITH_EPOCHS {
                expected.partitions.iter_mut().for_each(|partition| partition.new_isr[0].1 = ANY_EPOCH);
            }
            assert_eq!(format!("{arrived:?}"), format!("{expected:?}"), "version {version}");
        }
    }

    #[test]
    fn answers_arrive_as_they_were_sent_but_for_the_replicas() {
        let state = PartitionImage {
            isr: vec![1, 3],
            leader: 1,
            leader_epoch: 4,
            partition_epoch: 12,
            ..PartitionImage::default()
        };
        let altered = |partition, result| AlteredPartition { topic_id: Uuid::from_u128(1), partition, result };
        let answer = vec![altered(0, Ok(state)), altered(1, Err(ErrorCode::IneligibleReplica))];
        assert_eq!(AlterPartition::from_wire(response(Ok(answer.clone()))), Ok(Ok(answer)));
        let old_epoch = Err(ErrorCode::StaleBrokerEpoch);
        assert_eq!(AlterPartition::from_wire(response(old_epoch.clone())), Ok(old_epoch));
        let elsewhere = AlterPartition::from_wire(response(Err(ErrorCode::NotController)));
        assert_eq!(elsewhere, Err(ErrorCode::NotController));
    }
}
