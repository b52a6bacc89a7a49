//! WriteTxnMarkers (key 27): a transaction coordinator, or an administrator in its place, has the leader of partitions write
//! how transactions ended.

use futures_util::future::join_all;
use indexmap::IndexMap;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::owned::owned;
use super::partition_outcomes::PartitionOutcomes;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::ids::{ProducerIdAndEpoch, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::control_records::{EndTransactionMarker, TransactionResult};
use crate::security::{Operation, Resource};

/// Serves one request: markers are written in its order, and answered when all are committed.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: WriteTxnMarkersRequest,
) -> Result<Reply<WriteTxnMarkersResponse>, ApiError> {
    let allowed = context
        .authorize(Operation::Alter, Resource::CLUSTER)
        .or_else(|_| context.authorize(Operation::ClusterAction, Resource::CLUSTER));
    if let Err(denied) = allowed {
        let denied = partitions(&request).map(|(producer_id, _, partition)| (producer_id, partition, Err(denied)));
        return Ok(Reply::Ready(shape(denied)));
    }
    let outcomes = partitions(&request).map(|(producer_id, marker, partition)| {
        let result = if marker.transaction_result { TransactionResult::Commit } else { TransactionResult::Abort };
        let producer = ProducerIdAndEpoch { producer_id, producer_epoch: marker.producer_epoch };
        let marker = EndTransactionMarker { result, coordinator_epoch: marker.coordinator_epoch };
        let written = broker.write_marker(&partition, producer, marker);
        async move { (producer_id, partition, written.await) }
    });
    let outcomes = join_all(outcomes.collect::<Vec<_>>());
    Ok(Reply::owed(async move { shape(outcomes.await.into_iter()) }))
}

/// Each partition of each marker, with the producer id of that.
fn partitions(request: &WriteTxnMarkersRequest) -> impl Iterator<Item = (i64, &WritableTxnMarker, TopicPartition)> {
    request.markers.iter().flat_map(|marker| {
        marker.topics.iter().flat_map(move |topic| {
            let name = owned(&topic.name);
            topic.partition_indexes.iter().map(move |&partition| {
                (marker.producer_id.0, marker, TopicPartition { topic: name.clone(), partition })
            })
        })
    })
}

/// Several markers of one producer are answered together, as in Kafka.
fn shape(outcomes: impl Iterator<Item = (i64, TopicPartition, Result<(), ErrorCode>)>) -> WriteTxnMarkersResponse {
    let mut producers: IndexMap<i64, PartitionOutcomes> = IndexMap::new();
    for (producer_id, partition, outcome) in outcomes {
        let code = outcome.err().map_or(0, |code| code.code());
        let partitions = producers.entry(producer_id).or_default();
        partitions.add(&partition.topic, std::iter::once((partition.partition, code)));
    }
    let partition =
        |(index, code)| WritableTxnMarkerPartitionResult::default().with_partition_index(index).with_error_code(code);
    let topic = |(name, partitions): (_, Vec<_>)| {
        WritableTxnMarkerTopicResult::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(partition).collect())
    };
    let markers = producers.into_iter().map(|(producer_id, partitions)| {
        WritableTxnMarkerResult::default()
            .with_producer_id(ProducerId(producer_id))
            .with_topics(partitions.into_topics().map(topic).collect())
    });
    WriteTxnMarkersResponse::default().with_markers(markers.collect())
}
