//! `CreateTopics` (key 19), as brokers ask it for themselves: internal topics, and those that come to be by being asked for.
//!
//! Ids, defaults and the seed of the placement are the controller's to choose, and quotas are counted where the client is.

use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest, CreateTopicsResponse};

use super::{PATIENCE, WireQuestion, error, text};
use crate::controller::{CreateTopics, NewTopic, Refusal, TopicCreated, TopicCreation};
use crate::protocol::ErrorCode;

impl WireQuestion for CreateTopics {
    type Wire = CreateTopicsRequest;

    fn to_wire(&self, _version: i16) -> CreateTopicsRequest {
        CreateTopicsRequest::default()
            .with_timeout_ms(i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX))
            .with_validate_only(self.validate_only)
            .with_topics(self.topics.iter().map(|topic| wire_topic(self, topic)).collect())
    }

    fn from_wire(response: CreateTopicsResponse) -> Result<Vec<TopicCreation>, ErrorCode> {
        let is_elsewhere = |topic: &CreatableTopicResult| topic.error_code == ErrorCode::NotController.code();
        if response.topics.iter().any(is_elsewhere) {
            return Err(ErrorCode::NotController);
        }
        Ok(response.topics.into_iter().map(creation).collect())
    }
}

fn wire_topic(request: &CreateTopics, topic: &NewTopic) -> CreatableTopic {
    let is_placed = !topic.assignments.is_empty();
    let assignments = topic.assignments.iter().map(|assignment| {
        CreatableReplicaAssignment::default()
            .with_partition_index(assignment.partition)
            .with_broker_ids(assignment.brokers.iter().copied().map(BrokerId).collect())
    });
    let configs = topic
        .configs
        .iter()
        .flatten()
        .map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value))));
    // The asking broker's defaults count, as they do where it is the controller itself.
    let (partitions, replication_factor) = match (topic.partitions, topic.replication_factor) {
        told if is_placed => told,
        (partitions, factor) => (
            if partitions == -1 { request.default_partitions } else { partitions },
            if factor == -1 { request.default_replication_factor } else { factor },
        ),
    };
    CreatableTopic::default()
        .with_name(text(&topic.name).into())
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
        .with_assignments(assignments.collect())
        .with_configs(configs.collect())
}

fn creation(topic: CreatableTopicResult) -> TopicCreation {
    let result = match error(topic.error_code) {
        Err(code) => {
            let message = topic.error_message.map_or_else(|| code.to_string(), |message| message.to_string());
            Err(Refusal::new(code, message))
        }
        Ok(()) => Ok(TopicCreated {
            id: topic.topic_id,
            partitions: topic.num_partitions,
            replication_factor: topic.replication_factor,
            configs: topic
                .configs
                .into_iter()
                .flatten()
                .filter_map(|config| Some((config.name.to_string(), config.value?.to_string())))
                .collect(),
        }),
    };
    TopicCreation { name: topic.name.as_str().into(), result }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kafka_protocol::protocol::{Encodable, Message};

    use super::*;
    use crate::config::BrokerConfig;
    use crate::controller::PartitionAssignment;
    use crate::ids::Uuid;

    fn topic(name: &str, partitions: i32, assignments: Vec<PartitionAssignment>) -> NewTopic {
        let configs = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        NewTopic {
            name: name.into(),
            id: Uuid::from_u128(1),
            partitions,
            replication_factor: -1,
            assignments,
            configs: Ok(configs),
        }
    }

    #[test]
    fn the_asking_brokers_defaults_are_told_unless_replicas_are_placed() {
        let placed = vec![PartitionAssignment { partition: 0, brokers: vec![2, 3] }];
        let topics = vec![topic("open", 50, Vec::new()), topic("placed", -1, placed)];
        let create = CreateTopics {
            default_replication_factor: 3,
            ..CreateTopics::with_defaults(&BrokerConfig::default(), topics)
        };
        let request = create.to_wire(7);
        let told: Vec<_> = request
            .topics
            .iter()
            .map(|topic| (topic.num_partitions, topic.replication_factor, topic.assignments.len()))
            .collect();
        assert_eq!(told, [(50, 3, 0), (-1, -1, 1)]);
        assert_eq!(request.topics[0].configs[0].value.as_deref(), Some("compact"));
        let versions = <CreateTopicsRequest as Message>::VERSIONS;
        for version in versions.min.max(4)..=versions.max {
            create.to_wire(version).compute_size(version).expect("has a form at every version that knows defaults");
        }
    }

    #[test]
    fn topics_and_refusals_come_back_and_a_controller_that_is_none_is_asked_elsewhere() {
        let result = |name: &str, code: i16| {
            CreatableTopicResult::default()
                .with_name(text(name).into())
                .with_error_code(code)
                .with_error_message(None)
                .with_topic_id(Uuid::from_u128(7))
                .with_num_partitions(2)
                .with_replication_factor(3)
        };
        let exists = ErrorCode::TopicAlreadyExists;
        let response = |results| CreateTopicsResponse::default().with_topics(results);
        let answer =
            CreateTopics::from_wire(response(vec![result("a", 0), result("b", exists.code())])).expect("an answer");
        let created = answer[0].result.as_ref().expect("created");
        assert_eq!((created.id, created.partitions, created.replication_factor), (Uuid::from_u128(7), 2, 3));
        assert_eq!(answer[1].result.as_ref().map_err(|refusal| refusal.code).err(), Some(exists));
        let elsewhere = CreateTopics::from_wire(response(vec![result("a", ErrorCode::NotController.code())]));
        assert_eq!(elsewhere, Err(ErrorCode::NotController));
    }
}
