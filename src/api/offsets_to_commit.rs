//! What OffsetCommit and TxnOffsetCommit share: which of the partitions may be committed, and what became of each.

use kafka_protocol::messages::TopicName;

use super::RequestContext;
use super::owned::owned;
use super::partition_outcomes::PartitionOutcomes;
use crate::coordinator::group::request::OffsetToCommit;
use crate::coordinator::group::response::PartitionErrors;
use crate::ids;
use crate::metadata::MetadataImage;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// One partition of a request.
pub(super) trait PartitionToCommit {
    /// Its index.
    fn index(&self) -> i32;

    /// What the coordinator is to store.
    fn offset(&self) -> OffsetToCommit;
}

/// The same error for every partition.
pub(super) fn refuse_all<'a, P: PartitionToCommit + 'a>(
    topics: impl Iterator<Item = (&'a TopicName, &'a [P])>,
    error: ErrorCode,
    outcomes: &mut PartitionOutcomes,
) {
    for (topic, partitions) in topics {
        outcomes.add(topic, partitions.iter().map(|partition| (partition.index(), error.code())));
    }
}

/// The offsets of partitions that exist and whose topic may be read; the others are answered at once.
pub(super) fn existing<'a, P: PartitionToCommit + 'a>(
    image: &MetadataImage,
    context: &RequestContext,
    topics: impl Iterator<Item = (&'a TopicName, &'a [P])>,
    outcomes: &mut PartitionOutcomes,
) -> Vec<(ids::TopicName, Vec<OffsetToCommit>)> {
    let mut found = Vec::new();
    for (topic, partitions) in topics {
        if let Err(denied) = context.authorize(Operation::Read, Resource::topic(topic)) {
            refuse_all(std::iter::once((topic, partitions)), denied, outcomes);
            continue;
        }
        let exists = |partition: &&P| image.partition(topic, partition.index()).is_some();
        let (known, unknown): (Vec<_>, Vec<_>) = partitions.iter().partition(exists);
        let code = ErrorCode::UnknownTopicOrPartition.code();
        if !unknown.is_empty() || image.topic(topic).is_none() {
            outcomes.add(topic, unknown.into_iter().map(|partition| (partition.index(), code)));
        }
        if !known.is_empty() {
            found.push((owned(topic), known.into_iter().map(P::offset).collect()));
        }
    }
    found
}

/// The partitions that the coordinator is asked to store, to be answered one by one.
pub(super) struct PartitionsToAnswer(Vec<(ids::TopicName, Vec<i32>)>);

impl PartitionsToAnswer {
    /// Those of `topics`.
    pub(super) fn of(topics: &[(ids::TopicName, Vec<OffsetToCommit>)]) -> Self {
        let partitions = |offsets: &[OffsetToCommit]| offsets.iter().map(|offset| offset.partition).collect();
        Self(topics.iter().map(|(topic, offsets)| (topic.clone(), partitions(offsets))).collect())
    }

    /// Adds what became of each.
    pub(super) fn answered(self, answer: Result<PartitionErrors, ErrorCode>, outcomes: &mut PartitionOutcomes) {
        match answer {
            Ok(topics) => {
                for (topic, partitions) in topics {
                    let code = |error: Option<ErrorCode>| error.map_or(0, |error| error.code());
                    outcomes.add(&topic, partitions.into_iter().map(|(index, error)| (index, code(error))));
                }
            }
            Err(error) => {
                for (topic, partitions) in self.0 {
                    outcomes.add(&topic, partitions.into_iter().map(|index| (index, error.code())));
                }
            }
        }
    }
}
