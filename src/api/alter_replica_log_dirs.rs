//! AlterReplicaLogDirs (key 34): moves replicas between log directories (KIP-113). The answer says that a move has begun.

use std::sync::Arc;

use indexmap::IndexMap;
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, TopicName};

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::protocol::ErrorCode;
use crate::replication::replica_manager::ReplicaManager;

/// The longest name of a directory.
const MAX_NAME: usize = 255;

/// What a directory's name has beside the topic while its replica moves: `-`, the partition, `.`, an id, `-future`.
const FUTURE_NAME: usize = 1 + 1 + 32 + "-future".len();

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: AlterReplicaLogDirsRequest,
) -> Result<Reply<AlterReplicaLogDirsResponse>, ApiError> {
    let replicas = Arc::clone(&broker.replicas);
    // Files are made and deleted.
    let altered = tokio::task::spawn_blocking(move || {
        answer(&request, |topic, index, directory| alter(&replicas, topic, index, directory))
    });
    Ok(Reply::Ready(altered.await.map_err(|_| ApiError::close("altering log directories panicked"))?))
}

/// The answer to who may not alter the cluster.
pub fn refuse(request: &AlterReplicaLogDirsRequest, code: ErrorCode) -> AlterReplicaLogDirsResponse {
    answer(request, |_, _, _| Err(code))
}

/// Kafka's checks in Kafka's order.
fn alter(replicas: &ReplicaManager, topic: &str, index: i32, directory: &str) -> Result<(), ErrorCode> {
    if topic.len() + index.to_string().len() + FUTURE_NAME > MAX_NAME {
        return Err(ErrorCode::InvalidTopicException);
    }
    replicas.alter_log_dir(topic, index, directory).map_err(|code| match code {
        // The name that this error had when the API was made.
        ErrorCode::NotLeaderOrFollower => ErrorCode::ReplicaNotAvailable,
        code => code,
    })
}

/// What `alter` says of each partition; one that is named twice shall be where it was named last.
fn answer(
    request: &AlterReplicaLogDirsRequest,
    alter: impl Fn(&str, i32, &str) -> Result<(), ErrorCode>,
) -> AlterReplicaLogDirsResponse {
    let mut wanted: IndexMap<&TopicName, IndexMap<i32, &str>> = IndexMap::new();
    for directory in &request.dirs {
        for topic in &directory.topics {
            let partitions = topic.partitions.iter().map(|&index| (index, directory.path.as_str()));
            wanted.entry(&topic.name).or_default().extend(partitions);
        }
    }
    let topics = wanted.into_iter().filter(|(_, partitions)| !partitions.is_empty()).map(|(name, partitions)| {
        let partition = |(index, directory)| {
            let code = alter(name, index, directory).map_or_else(|code| code.code(), |()| 0);
            AlterReplicaLogDirPartitionResult::default().with_partition_index(index).with_error_code(code)
        };
        AlterReplicaLogDirTopicResult::default()
            .with_topic_name(name.clone())
            .with_partitions(partitions.into_iter().map(partition).collect())
    });
    AlterReplicaLogDirsResponse::default().with_results(topics.collect())
}
