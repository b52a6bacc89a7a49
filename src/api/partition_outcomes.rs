//! Answers about partitions that come from several places: some are known at once, others when a coordinator has spoken.

use indexmap::IndexMap;
use kafka_protocol::messages::TopicName;

use super::owned::message_text;

/// A partition's index and its error code.
pub(super) type PartitionOutcome = (i32, i16);

/// What became of the partitions of a request, by topic, in the order in which the topics were first told of.
#[derive(Default)]
pub(super) struct PartitionOutcomes(IndexMap<String, Vec<PartitionOutcome>>);

impl PartitionOutcomes {
    /// Adds to what became of `topic`, be it nothing.
    pub(super) fn add(&mut self, topic: &str, outcomes: impl Iterator<Item = PartitionOutcome>) {
        match self.0.get_mut(topic) {
            Some(known) => known.extend(outcomes),
            None => drop(self.0.insert(topic.to_owned(), outcomes.collect())),
        }
    }

    /// Each topic once.
    pub(super) fn into_topics(self) -> impl Iterator<Item = (TopicName, Vec<PartitionOutcome>)> {
        self.0.into_iter().map(|(topic, outcomes)| (TopicName(message_text(&topic)), outcomes))
    }
}
