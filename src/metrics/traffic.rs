//! What producers and consumers move, by topic and in all: Kafka's `BrokerTopicMetrics`.

use std::sync::Arc;

use super::counters::Counter;

/// Declares the counters of [`TopicTraffic`], and how each is counted for a topic and for all of them.
macro_rules! topic_counters {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// What was moved, of one topic or of all.
        #[derive(Debug, Default)]
        pub struct TopicTraffic { $($(#[$doc])* pub $field: Counter,)* }

        impl Traffic {
            $($(#[$doc])* pub fn $field(&self, more: u64) {
                self.of_topic.$field.add(more);
                self.of_all.$field.add(more);
            })*
        }
    };
}

topic_counters! {
    /// Records that were appended.
    messages_in,
    /// Bytes of the batches that were appended.
    bytes_in,
    /// Bytes of records that were given to consumers.
    bytes_out,
    /// Bytes of batches that were too large or damaged.
    bytes_rejected,
    /// Appends that were asked for, each for one partition.
    produce_requests,
    /// Reads that were asked for, each of one partition.
    fetch_requests,
    /// Appends that failed by what Kafka does not know as the client's or the metadata's fault.
    failed_produce_requests,
    /// Reads that failed by a fault of the broker.
    failed_fetch_requests,
}

/// One topic's counters beside those of all topics of its broker; shared by the topic's partitions.
///
/// A topic that is deleted takes its own counters along, and the others keep what it has moved.
#[derive(Debug, Default)]
pub struct Traffic {
    of_topic: TopicTraffic,
    of_all: Arc<TopicTraffic>,
}

impl Traffic {
    /// Of a topic of which nothing was counted yet.
    pub fn new(of_all: Arc<TopicTraffic>) -> Self {
        Self { of_topic: TopicTraffic::default(), of_all }
    }

    /// What was moved of the topic alone.
    pub fn of_topic(&self) -> &TopicTraffic {
        &self.of_topic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_topics_keep_what_a_deleted_one_has_moved() {
        let of_all: Arc<TopicTraffic> = Arc::default();
        let (kept, deleted) = (Traffic::new(Arc::clone(&of_all)), Traffic::new(Arc::clone(&of_all)));
        kept.bytes_in(5);
        deleted.bytes_in(7);
        drop(deleted);
        assert_eq!((kept.of_topic().bytes_in.value(), of_all.bytes_in.value()), (5, 12));
    }
}
