//! Creates the topics that the configuration asks for.

use crate::broker::Broker;
use crate::config::{Config, InitialTopic};
use crate::controller::{CreateTopics, NewTopic, Refusal};
use crate::ids::Uuid;
use crate::protocol::ErrorCode;

/// Creates what is not there yet. Of one that cannot be created the log tells why; it is no reason not to start.
pub(super) async fn create_initial_topics(broker: &Broker) {
    let config = broker.config.snapshot();
    let topics: Vec<NewTopic> = config.initial_topics.iter().map(|topic| new_topic(&config, topic)).collect();
    if topics.is_empty() {
        return;
    }
    let created = match broker.controller.create_topics(CreateTopics::with_defaults(&config.broker, topics)).await {
        Ok(created) => created,
        Err(code) => {
            tracing::warn!(%code, "the topics of klamm.create.topics could not be created");
            return;
        }
    };
    let applied = broker.topics_applied(&created).await;
    for topic in created.response {
        match topic.result {
            Ok(created) => tracing::info!(topic = %topic.name, partitions = created.partitions, "created a topic"),
            Err(refusal) if refusal.code == ErrorCode::TopicAlreadyExists => {}
            Err(refusal) => {
                tracing::warn!(topic = %topic.name, reason = %refusal.message, "a topic of klamm.create.topics could not be created");
            }
        }
    }
    if let Err(code) = applied {
        tracing::warn!(%code, "the topics of klamm.create.topics are not served yet");
    }
}

fn new_topic(config: &Config, topic: &InitialTopic) -> NewTopic {
    let given = topic.configs.iter().map(|(key, value)| (key.as_str(), Some(value.as_str())));
    let configs = match config.validate_topic(given) {
        Ok(()) => Ok(topic.configs.clone()),
        Err(error) => Err(Refusal::new(ErrorCode::InvalidConfig, error.to_string())),
    };
    NewTopic {
        name: topic.name.as_str().into(),
        id: Uuid::new_v4(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        assignments: Vec::new(),
        configs,
    }
}
