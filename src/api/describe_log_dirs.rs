//! DescribeLogDirs (key 35): the log directories, and how large the partitions in them are (KIP-113, KIP-827).

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::ids::TopicPartition;
use crate::protocol::ErrorCode;
use crate::replication::replica_manager::DescribedLogDir;

/// `total_bytes` and `usable_bytes` where there is no volume.
const UNKNOWN_VOLUME_BYTES: i64 = -1;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: DescribeLogDirsRequest,
) -> Result<Reply<DescribeLogDirsResponse>, ApiError> {
    let named: Option<HashSet<TopicPartition>> = request.topics.map(|topics| {
        let partitions = |topic: &kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic| {
            let name: Arc<str> = topic.topic.as_str().into();
            topic.partitions.iter().map(|&index| TopicPartition::new(Arc::clone(&name), index)).collect::<Vec<_>>()
        };
        topics.iter().flat_map(partitions).collect()
    });
    let replicas = Arc::clone(&broker.replicas);
    // Asking a volume for its space may wait for it.
    let described = tokio::task::spawn_blocking(move || {
        replicas.describe_log_dirs().into_iter().map(|directory| describe(directory, named.as_ref())).collect()
    });
    let results = described.await.map_err(|_| ApiError::close("describing the log directories panicked"))?;
    Ok(Reply::Ready(DescribeLogDirsResponse::default().with_results(results)))
}

/// The answer to who may not see the cluster.
pub fn refuse(_request: &DescribeLogDirsRequest, code: ErrorCode) -> DescribeLogDirsResponse {
    DescribeLogDirsResponse::default().with_error_code(code.code())
}

fn describe(directory: DescribedLogDir, named: Option<&HashSet<TopicPartition>>) -> DescribeLogDirsResult {
    let DescribedLogDir { path, space, partitions, futures } = directory;
    let result = DescribeLogDirsResult::default().with_log_dir(message_text(&path));
    let space = match space {
        Ok(space) => space,
        Err(code) => return result.with_error_code(code.code()),
    };
    let (total, usable) = space.unwrap_or((UNKNOWN_VOLUME_BYTES, UNKNOWN_VOLUME_BYTES));
    let mut topics: IndexMap<Arc<str>, Vec<DescribeLogDirsPartition>> = IndexMap::new();
    let current = partitions.into_iter().map(|hosted| (hosted, false));
    let mut all: Vec<_> = current.chain(futures.into_iter().map(|hosted| (hosted, true))).collect();
    all.retain(|(hosted, _)| named.is_none_or(|named| named.contains(hosted.topic_partition())));
    all.sort_unstable_by(|(one, _), (other, _)| one.topic_partition().cmp(other.topic_partition()));
    for (hosted, is_future) in all {
        // A replica that leads, or follows as far as anybody may read, has no lag; a partition that was deleted meanwhile
        // has no size.
        let known = if is_future { hosted.future_size_and_lag() } else { hosted.size_and_lag() };
        let Some((size, offset_lag)) = known else { continue };
        let TopicPartition { topic, partition } = hosted.topic_partition();
        let described = DescribeLogDirsPartition::default()
            .with_partition_index(*partition)
            .with_partition_size(i64::try_from(size).unwrap_or(i64::MAX))
            .with_offset_lag(offset_lag)
            .with_is_future_key(is_future);
        topics.entry(Arc::clone(topic)).or_default().push(described);
    }
    let topic = |(name, partitions): (Arc<str>, _)| {
        DescribeLogDirsTopic::default().with_name(TopicName(message_text(&name))).with_partitions(partitions)
    };
    result.with_topics(topics.into_iter().map(topic).collect()).with_total_bytes(total).with_usable_bytes(usable)
}
