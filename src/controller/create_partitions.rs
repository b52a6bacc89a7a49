//! `CreatePartitions`: more partitions for topics that exist.

use std::collections::{HashMap, HashSet};

use super::create_topics::too_many_partitions;
use super::{Controller, MAX_PARTITIONS_PER_REQUEST, MutationQuota, Refusal, placement};
use crate::ids::{NodeId, TopicName};
use crate::metadata::{MetadataRecord, PartitionImage, TopicImage, TopicRecord};
use crate::protocol::ErrorCode;

/// Topics shall have more partitions.
#[derive(Debug, Clone)]
pub struct CreatePartitions {
    /// The topics.
    pub topics: Vec<NewPartitions>,
    /// Only tell what would happen.
    pub validate_only: bool,
    /// Where the round robin of placement starts.
    pub seed: u64,
    /// What the client may still create.
    pub quota: MutationQuota,
}

/// More partitions for one topic.
#[derive(Debug, Clone)]
pub struct NewPartitions {
    /// The topic.
    pub name: TopicName,
    /// How many partitions it shall have then.
    pub count: i32,
    /// The replicas of each new one, where whoever asks places them.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// What became of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionsCreated {
    /// The topic.
    pub name: TopicName,
    /// Nothing, or why it stays as it is.
    pub result: Result<(), Refusal>,
}

impl Controller {
    pub(super) fn create_partitions(
        &self,
        request: CreatePartitions,
        records: &mut Vec<MetadataRecord>,
    ) -> Vec<PartitionsCreated> {
        let mut times: HashMap<TopicName, usize> = HashMap::new();
        for topic in &request.topics {
            *times.entry(TopicName::clone(&topic.name)).or_default() += 1;
        }
        let (single, repeated): (Vec<_>, Vec<_>) =
            request.topics.into_iter().partition(|topic| times.get(&topic.name) == Some(&1));
        let mut seen = HashSet::new();
        let mut results: Vec<_> = repeated
            .into_iter()
            .filter(|topic| seen.insert(TopicName::clone(&topic.name)))
            .map(|topic| PartitionsCreated {
                name: topic.name,
                result: Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name.")),
            })
            .collect();
        let mut created = Vec::new();
        let mut quota = request.quota;
        for topic in single {
            let result = self.add_partitions(&topic, request.seed, &mut quota, &mut created);
            results.push(PartitionsCreated { name: topic.name, result });
        }
        if !request.validate_only {
            records.append(&mut created);
        }
        results
    }

    fn add_partitions(
        &self,
        request: &NewPartitions,
        seed: u64,
        quota: &mut MutationQuota,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Refusal> {
        let topic = self.image.topic(&request.name).ok_or_else(Refusal::unknown_topic)?;
        let additional = additional_partitions(topic, request)?;
        quota.take(additional)?;
        if records.len() + additional > MAX_PARTITIONS_PER_REQUEST {
            return Err(too_many_partitions());
        }
        let partitions = if let Some(assignments) = &request.assignments {
            self.assigned_additions(topic, additional, assignments)?
        } else {
            let factor = topic.partitions.first().map_or(1, |first| first.replicas.len());
            let seed = seed.wrapping_add(topic.partitions.len() as u64);
            let placed = placement::place(&self.image, additional, factor, seed)?;
            placed.into_iter().filter_map(|replicas| self.new_partition(replicas)).collect()
        };
        for (partition, state) in (topic.partitions.len() as i32..).zip(partitions) {
            records.push(TopicRecord::Partition { topic_id: topic.id, partition, state }.into());
        }
        Ok(())
    }

    fn assigned_additions(
        &self,
        topic: &TopicImage,
        additional: usize,
        assignments: &[Vec<NodeId>],
    ) -> Result<Vec<PartitionImage>, Refusal> {
        if assignments.len() != additional {
            let message = format!(
                "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        let factor = topic.partitions.first().map(|first| first.replicas.len());
        let assign = |(partition, brokers): (i32, &Vec<NodeId>)| {
            self.check_assignment(brokers, factor)?;
            self.assigned_partition(partition, brokers)
        };
        (topic.partitions.len() as i32..).zip(assignments).map(assign).collect()
    }
}

fn additional_partitions(topic: &TopicImage, request: &NewPartitions) -> Result<usize, Refusal> {
    let (name, count, has) = (&request.name, request.count, topic.partitions.len());
    match usize::try_from(count) {
        Ok(count) if count > has => Ok(count - has),
        Ok(count) if count == has => {
            let message = format!("Topic already has {has} partition(s).");
            Err(Refusal::new(ErrorCode::InvalidPartitions, message))
        }
        _ => {
            let message =
                format!("The topic {name} currently has {has} partition(s); {count} would not be an increase.");
            Err(Refusal::new(ErrorCode::InvalidPartitions, message))
        }
    }
}
