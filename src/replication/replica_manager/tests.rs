//! Replica managers for the tests of whoever uses one.

use std::collections::HashSet;
use std::sync::Arc;

use super::ReplicaManager;
use crate::clock::Clock;
use crate::config::Config;
use crate::ids::Uuid;
use crate::metadata::{MetadataDelta, MetadataImage, MetadataRecord, PartitionImage, TopicRecord};
use crate::replication::ownership::KnownTopics;
use crate::storage::{LogDir, LogDirs};

impl ReplicaManager {
    /// One that leads partition 0 of each of these topics, of which it is the only replica; their logs may be in `log_dir` already.
    ///
    /// # Panics
    /// On what no test gives it.
    pub fn leading(topics: &[&str], log_dir: LogDir, clock: &Clock, config: &[(&str, &str)]) -> Arc<Self> {
        let (mut image, mut delta) = (MetadataImage::default(), MetadataDelta::default());
        let state = PartitionImage { replicas: vec![1], isr: vec![1], leader: 1, leader_epoch: 0, partition_epoch: 0 };
        for (index, topic) in (1..).zip(topics) {
            let id = Uuid::from_u128(index);
            let partition = TopicRecord::Partition { topic_id: id, partition: 0, state: state.clone() };
            for record in [TopicRecord::Topic { name: (*topic).into(), id }, partition] {
                delta.note(image.replay(&MetadataRecord::from(record)).unwrap());
            }
        }
        let (removed, config) = (HashSet::new(), Arc::new(Config::with(config).unwrap()));
        let known = KnownTopics { image: &image, removed: &removed };
        let replicas = Self::open(1, clock.clone(), config, Arc::new(LogDirs::of(log_dir)), known).unwrap();
        replicas.apply(&delta, &image);
        Arc::new(replicas)
    }
}
