//! Takes over a data directory that Apache Kafka has left: all checks first, and then one step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::StartError;
use crate::config::{Config, validate_client_metrics};
use crate::ids::{NodeId, TopicPartition};
use crate::metadata::kraft::{KraftLog, TakenOver, some_of};
use crate::metadata::{ConfigResource, MetadataImage};
use crate::quorum::{MetadataQuorum, QuorumOptions};
use crate::storage::{KafkaDirectory, LogDirError, LogDirOptions, METADATA_DIRECTORY};

/// Makes `path`, which is Apache Kafka's, the data directory of this broker, or refuses and leaves it as it is.
///
/// # Errors
/// [`LogDirError::NotTakenOver`] with all that stands in the way, [`LogDirError::Foreign`], and what the disk says.
pub(super) async fn take_over(path: &Path, config: &Config, options: &LogDirOptions) -> Result<(), StartError> {
    let mut directory = KafkaDirectory::survey(path, options)?;
    let taken = decide(&directory, config)
        .map_err(|obstacles| LogDirError::NotTakenOver { path: path.to_path_buf(), obstacles })?;
    let unwritten = |error: String| StartError::Metadata { reason: error };
    let options = QuorumOptions::new(config.node_id, Some(directory.staging()?));
    let quorum = MetadataQuorum::open(options).await.map_err(|error| unwritten(error.to_string()))?;
    let written = quorum.propose(taken.image.to_records()).await;
    quorum.shutdown().await;
    written.map_err(|code| unwritten(code.to_string()))?;
    directory.install()?;
    tell(path, &directory, &taken);
    Ok(())
}

/// What becomes our metadata.
///
/// # Errors
/// Everything that stands in the way, as sentences.
fn decide(directory: &KafkaDirectory, config: &Config) -> Result<TakenOver, Vec<String>> {
    if !directory.was_stopped_cleanly {
        return Err(vec![
            "Kafka runs on it, or has not stopped cleanly (.kafka_cleanshutdown is missing): start Kafka again if it crashed, \
             and stop it with kafka-server-stop.sh"
                .to_owned(),
        ]);
    }
    let log = KraftLog {
        snapshot: directory.metadata_snapshot.clone(),
        segments: directory.metadata_segments.clone(),
        closed_at: directory.metadata_closed_at,
    };
    let mut obstacles = directory_obstacles(directory);
    let cluster = match log.replay() {
        Ok(cluster) => cluster,
        Err(error) => {
            obstacles
                .push(format!("its metadata log cannot be read ({error}): restore __cluster_metadata-0 from a copy"));
            return Err(obstacles);
        }
    };
    match cluster.take_over(config.node_id, directory.directory_id, &directory.cluster_id) {
        Ok(taken) => {
            obstacles.extend(contradictions(directory, &taken.image));
            obstacles.extend(invalid_configs(config, &taken.image));
            if obstacles.is_empty() { Ok(taken) } else { Err(obstacles) }
        }
        Err(more) => {
            obstacles.extend(more);
            Err(obstacles)
        }
    }
}

/// What the partitions' directories alone say.
fn directory_obstacles(directory: &KafkaDirectory) -> Vec<String> {
    let mut obstacles = Vec::new();
    if !directory.moving.is_empty() {
        obstacles.push(format!(
            "{} are being moved to another log directory: let that finish, or cancel it with kafka-reassign-partitions.sh",
            some_of(&directory.moving)
        ));
    }
    let damaged = directory.partitions.iter().filter_map(|partition| {
        partition.damage.as_ref().map(|damage| format!("{} ({damage})", partition.topic_partition))
    });
    let damaged: Vec<_> = damaged.collect();
    if !damaged.is_empty() {
        obstacles.push(format!(
            "the logs are not what Kafka has left, of {}: copy the directory again, or have Kafka recover it and stop it",
            some_of(&damaged)
        ));
    }
    let open = directory.partitions.iter().filter(|partition| partition.has_open_transaction);
    let open: Vec<_> = open.map(|partition| partition.topic_partition.to_string()).collect();
    if !open.is_empty() {
        obstacles.push(format!(
            "transactions are open in {}, which would go on without whoever began them: have their producers finish them, or \
             abort them with kafka-transactions.sh, before Kafka stops",
            some_of(&open)
        ));
    }
    obstacles
}

/// Where the metadata and the partitions' directories do not belong together.
fn contradictions(directory: &KafkaDirectory, image: &MetadataImage) -> Vec<String> {
    let mut known = BTreeMap::new();
    for topic in image.topics() {
        for (index, _) in (0..).zip(&topic.partitions) {
            known.insert(TopicPartition::new(topic.name.clone(), index), topic.id);
        }
    }
    let strays = directory.partitions.iter();
    let strays = strays.filter(|partition| known.get(&partition.topic_partition) != Some(&partition.topic_id));
    let strays: Vec<_> = strays.map(|partition| partition.topic_partition.to_string()).collect();
    let there: BTreeSet<_> = directory.partitions.iter().map(|partition| &partition.topic_partition).collect();
    let missing = known.keys().filter(|partition| !there.contains(partition));
    let missing: Vec<_> = missing.map(ToString::to_string).collect();
    let mut obstacles = Vec::new();
    if !strays.is_empty() {
        obstacles.push(format!(
            "directories are of no topic in the metadata, or not of that topic: {}; move them elsewhere if nobody needs them",
            some_of(&strays)
        ));
    }
    if !missing.is_empty() {
        obstacles.push(format!(
            "directories of partitions are missing: {}; copy all of Kafka's directory",
            some_of(&missing)
        ));
    }
    obstacles
}

/// Configurations that this broker would not have taken from a client.
fn invalid_configs(config: &Config, image: &MetadataImage) -> Vec<String> {
    fn pairs(configs: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
        configs.iter().map(|(key, text)| (key.as_str(), text.as_str()))
    }
    let mut wrong = Vec::new();
    for topic in image.topics() {
        if let Err(error) = config.validate_topic(pairs(&topic.configs).map(|(key, text)| (key, Some(text)))) {
            wrong.push(format!("topic {} ({error})", topic.name));
        }
    }
    let none = BTreeMap::new();
    for resource in image.configured_resources() {
        let configs = image.configs(resource).unwrap_or(&none);
        let checked = match resource {
            ConfigResource::Group(_) => {
                config.validate_group(&pairs(configs).collect()).map_err(|error| error.to_string())
            }
            ConfigResource::ClientMetrics(name) => {
                validate_client_metrics(name, &pairs(configs).collect()).map_err(|error| error.to_string())
            }
            ConfigResource::Topic(_) | ConfigResource::Broker(_) => Ok(()),
        };
        wrong.extend(checked.err().map(|error| format!("{resource} ({error})")));
    }
    let dynamic = |id: Option<NodeId>| image.configs(&ConfigResource::Broker(id)).cloned().unwrap_or_default();
    if let Err(errors) = config.with_dynamic(dynamic(None), dynamic(Some(config.node_id))) {
        wrong.push(format!("the brokers ({errors})"));
    }
    if wrong.is_empty() {
        return Vec::new();
    }
    vec![format!("these configurations are not valid here: {}; change them with kafka-configs.sh", some_of(&wrong))]
}

/// One line for each kind of what is ours now.
fn tell(path: &Path, directory: &KafkaDirectory, TakenOver { image, left_out_features }: &TakenOver) {
    let (path, cluster_id) = (path.display(), &directory.cluster_id);
    tracing::info!("the data directory {path} of the cluster {cluster_id} is taken over from Apache Kafka");
    let (topics, partitions) = (image.topics().len(), directory.partitions.len());
    tracing::info!("taken over: {topics} topics with {partitions} partitions, their records and committed offsets");
    let topics_with_configs = image.topics().filter(|topic| !topic.configs.is_empty()).count();
    let others = image.configured_resources().len();
    tracing::info!(
        "taken over: the configurations of {topics_with_configs} topics, and {others} of brokers, groups and client metrics"
    );
    let (quotas, credentials) = (image.all_quotas().len(), image.scram_credentials().len());
    tracing::info!("taken over: the quotas of {quotas} entities, and {credentials} SCRAM credentials");
    tracing::info!("taken over: producer ids go on from {}", image.next_producer_id());
    if !left_out_features.is_empty() {
        tracing::info!("not taken over: the features {}, which are not served here", left_out_features.join(", "));
    }
    tracing::info!(
        "Kafka's metadata log is kept in {path}/{METADATA_DIRECTORY}; docs/moving-from-kafka.md says how to go back"
    );
}
