//! `CreateTopics`: Kafka's checks in Kafka's order.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Controller, MAX_PARTITIONS_PER_REQUEST, MutationQuota, Refusal, placement};
use crate::config::BrokerConfig;
use crate::ids::{CLUSTER_METADATA_TOPIC, NodeId, TopicName, Uuid};
use crate::metadata::{MetadataRecord, PartitionImage, TopicRecord, topic_name};
use crate::protocol::ErrorCode;

/// Topics shall be.
#[derive(Debug, Clone)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
    /// Only tell what would happen.
    pub validate_only: bool,
    /// `num.partitions`, where a topic has -1.
    pub default_partitions: i32,
    /// `default.replication.factor`, where a topic has -1.
    pub default_replication_factor: i16,
    /// Where the round robin of placement starts.
    pub seed: u64,
    /// What the client may still create.
    pub quota: MutationQuota,
}

impl CreateTopics {
    /// `topics`, with the broker's defaults for what they leave open.
    ///
    /// The seed is the first topic's id, so that the leaders of topics with few partitions are spread as well.
    pub fn with_defaults(config: &BrokerConfig, topics: Vec<NewTopic>) -> Self {
        Self {
            seed: topics.first().map_or(0, |topic| topic.id.as_u64_pair().0),
            topics,
            validate_only: false,
            default_partitions: config.num_partitions,
            default_replication_factor: i16::try_from(config.default_replication_factor).unwrap_or(i16::MAX),
            quota: MutationQuota::default(),
        }
    }
}

/// One topic to create.
#[derive(Debug, Clone)]
pub struct NewTopic {
    /// Its name, unchecked.
    pub name: TopicName,
    /// A fresh id.
    pub id: Uuid,
    /// How many partitions, or -1.
    pub partitions: i32,
    /// How many replicas each, or -1.
    pub replication_factor: i16,
    /// Its replicas, where whoever asks places them; then the two numbers above are -1.
    pub assignments: Vec<PartitionAssignment>,
    /// Its configuration, or why that is invalid.
    pub configs: Result<BTreeMap<String, String>, Refusal>,
}

/// Where one partition shall be.
#[derive(Debug, Clone)]
pub struct PartitionAssignment {
    /// The partition's index.
    pub partition: i32,
    /// Its replicas, the preferred leader first.
    pub brokers: Vec<NodeId>,
}

/// What became of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCreation {
    /// The name as it was given.
    pub name: TopicName,
    /// The topic, or why there is none.
    pub result: Result<TopicCreated, Refusal>,
}

/// A topic that was created, or could be where only that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCreated {
    /// Its id.
    pub id: Uuid,
    /// Its number of partitions.
    pub partitions: i32,
    /// Its number of replicas.
    pub replication_factor: i16,
    /// Its configuration overrides.
    pub configs: BTreeMap<String, String>,
}

impl Controller {
    pub(super) fn create_topics(&self, request: CreateTopics, records: &mut Vec<MetadataRecord>) -> Vec<TopicCreation> {
        if let Err(refusal) = check_size(&request) {
            let refuse = |topic: NewTopic| TopicCreation { name: topic.name, result: Err(refusal.clone()) };
            return request.topics.into_iter().map(refuse).collect();
        }
        let mut times: HashMap<TopicName, usize> = HashMap::new();
        for topic in &request.topics {
            *times.entry(TopicName::clone(&topic.name)).or_default() += 1;
        }
        let mut results = Vec::with_capacity(times.len());
        let mut created = Vec::new();
        let mut quota = request.quota;
        for topic in &request.topics {
            if times.get(&topic.name) == Some(&1) {
                let result = self.create_topic(topic, &request, &mut quota, &mut created);
                results.push(TopicCreation { name: TopicName::clone(&topic.name), result });
            }
        }
        let mut duplicates = HashSet::new();
        for topic in request.topics {
            if times.get(&topic.name) != Some(&1) && duplicates.insert(TopicName::clone(&topic.name)) {
                let refusal = Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name.");
                results.push(TopicCreation { name: topic.name, result: Err(refusal) });
            }
        }
        if !request.validate_only {
            records.append(&mut created);
        }
        results
    }

    fn create_topic(
        &self,
        topic: &NewTopic,
        request: &CreateTopics,
        quota: &mut MutationQuota,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<TopicCreated, Refusal> {
        self.check_name(&topic.name)?;
        let configs = topic.configs.clone()?;
        let partitions = if topic.assignments.is_empty() {
            self.place_partitions(topic, request)?
        } else {
            self.assigned_partitions(topic)?
        };
        quota.take(partitions.len())?;
        let created = TopicCreated {
            id: topic.id,
            partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
            replication_factor: partitions.first().map_or(0, |first| first.replicas.len() as i16),
            configs: configs.clone(),
        };
        let topic_id = topic.id;
        records.push(TopicRecord::Topic { name: TopicName::clone(&topic.name), id: topic_id }.into());
        for (key, value) in configs {
            records.push(TopicRecord::TopicConfig { topic_id, key, value: Some(value) }.into());
        }
        for (partition, state) in (0..).zip(partitions) {
            records.push(TopicRecord::Partition { topic_id, partition, state }.into());
        }
        Ok(created)
    }

    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        if self.image.topic(name).is_some() {
            let message = format!("Topic '{name}' already exists.");
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, message));
        }
        if name == CLUSTER_METADATA_TOPIC {
            let message = format!("Creation of internal topic {name} is prohibited.");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        if let Some(reason) = topic_name::reason_invalid(name) {
            let message = format!("Topic name is invalid: {reason}");
            return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
        }
        if topic_name::has_collision_characters(name)
            && let Some(other) = self.collisions.get(topic_name::collision_form(name).as_ref())
        {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
        }
        Ok(())
    }

    fn place_partitions(&self, topic: &NewTopic, request: &CreateTopics) -> Result<Vec<PartitionImage>, Refusal> {
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        }
        if topic.partitions < -1 || topic.partitions == 0 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        }
        let factor = or_default(topic.replication_factor, request.default_replication_factor);
        let partitions = partition_count(topic, request.default_partitions);
        let placed = placement::place(&self.image, partitions, usize::try_from(factor).unwrap_or(0), request.seed);
        let placed = placed.map_err(|refusal| {
            let message = format!("Unable to replicate the partition {factor} time(s): {}", refusal.message);
            Refusal::new(refusal.code, message)
        })?;
        Ok(placed.into_iter().filter_map(|replicas| self.new_partition(replicas)).collect())
    }

    fn assigned_partitions(&self, topic: &NewTopic) -> Result<Vec<PartitionImage>, Refusal> {
        let refuse = |code, message: String| Err(Refusal::new(code, message));
        if topic.replication_factor != -1 {
            let message = "A manual partition assignment was specified, but replication factor was not set to -1.";
            return refuse(ErrorCode::InvalidRequest, message.to_owned());
        }
        if topic.partitions != -1 {
            let message = "A manual partition assignment was specified, but numPartitions was not set to -1.";
            return refuse(ErrorCode::InvalidRequest, message.to_owned());
        }
        let mut partitions = BTreeMap::new();
        let mut factor = None;
        for PartitionAssignment { partition, brokers } in &topic.assignments {
            if partitions.contains_key(partition) {
                let message = format!("Found multiple manual partition assignments for partition {partition}");
                return refuse(ErrorCode::InvalidReplicaAssignment, message);
            }
            self.check_assignment(brokers, factor)?;
            factor = Some(brokers.len());
            partitions.insert(*partition, self.assigned_partition(*partition, brokers)?);
        }
        if !partitions.keys().copied().eq((0..).take(partitions.len())) {
            let message = "partitions should be a consecutive 0-based integer sequence";
            return refuse(ErrorCode::InvalidReplicaAssignment, message.to_owned());
        }
        Ok(partitions.into_values().collect())
    }

    pub(super) fn assigned_partition(&self, partition: i32, brokers: &[NodeId]) -> Result<PartitionImage, Refusal> {
        self.new_partition(brokers.to_vec()).ok_or_else(|| {
            let message = format!(
                "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
                 controlled shutdown."
            );
            Refusal::new(ErrorCode::InvalidReplicaAssignment, message)
        })
    }

    /// Whether `brokers` can be the replicas of one partition, of which each has `factor`.
    pub(super) fn check_assignment(&self, brokers: &[NodeId], factor: Option<usize>) -> Result<(), Refusal> {
        let refuse = |reason: String| {
            let message = format!("The manual partition assignment includes {reason}");
            Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message))
        };
        if brokers.is_empty() {
            return refuse("an empty replica list.".to_owned());
        }
        let mut sorted = brokers.to_vec();
        sorted.sort_unstable();
        let mut previous = None;
        for broker in sorted {
            if self.image.broker(broker).is_none() {
                return refuse(format!("broker {broker}, but no such broker is registered."));
            }
            if previous.replace(broker) == Some(broker) {
                return refuse(format!("the broker {broker} more than once."));
            }
        }
        match factor {
            Some(factor) if factor != brokers.len() => refuse(format!(
                "a partition with {} replica(s), but this is not consistent with previous partitions, which have \
                 {factor} replica(s).",
                brokers.len()
            )),
            _ => Ok(()),
        }
    }

    /// A partition at its start, led by the first of its replicas that may lead; `None` where none may.
    pub(super) fn new_partition(&self, replicas: Vec<NodeId>) -> Option<PartitionImage> {
        let isr: Vec<_> = replicas.iter().copied().filter(|id| self.is_active(*id)).collect();
        let leader = *isr.first()?;
        Some(PartitionImage { replicas, isr, leader, ..PartitionImage::default() })
    }
}

/// Refuses a request for more partitions than one batch of records shall hold, before anything is allocated for them.
fn check_size(request: &CreateTopics) -> Result<(), Refusal> {
    let total: usize = request.topics.iter().map(|topic| partition_count(topic, request.default_partitions)).sum();
    if total > MAX_PARTITIONS_PER_REQUEST {
        return Err(too_many_partitions());
    }
    Ok(())
}

pub(super) fn too_many_partitions() -> Refusal {
    Refusal::new(ErrorCode::PolicyViolation, "Excessively large number of partitions per request.")
}

fn partition_count(topic: &NewTopic, default: i32) -> usize {
    match topic.assignments.len() {
        0 => usize::try_from(or_default(topic.partitions, default)).unwrap_or(0),
        assigned => assigned,
    }
}

fn or_default<N: From<i8> + PartialEq>(value: N, default: N) -> N {
    if value == N::from(-1) { default } else { value }
}
