//! Replica managers for the tests of whoever uses one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::ReplicaManager;
use crate::clock::Clock;
use crate::config::Config;
use crate::ids::Uuid;
use crate::metadata::{MetadataDelta, MetadataImage, MetadataRecord, PartitionImage, TopicRecord};
use crate::protocol::ErrorCode;
use crate::replication::ownership::KnownTopics;
use crate::storage::{LogDir, LogDirOptions, LogDirs};

/// Metadata in which partition 0 of each of these topics, which is its only one, is in that state.
fn topics_with(topics: &[&str], state: &PartitionImage) -> (MetadataImage, MetadataDelta) {
    let (mut image, mut delta) = (MetadataImage::default(), MetadataDelta::default());
    for (index, topic) in (1..).zip(topics) {
        let id = Uuid::from_u128(index);
        let partition = TopicRecord::Partition { topic_id: id, partition: 0, state: state.clone() };
        for record in [TopicRecord::Topic { name: (*topic).into(), id }, partition] {
            delta.note(image.replay(&MetadataRecord::from(record)).unwrap());
        }
    }
    (image, delta)
}

impl ReplicaManager {
    /// One that leads partition 0 of each of these topics, of which it is the only replica; their logs may be in `log_dir` already.
    ///
    /// # Panics
    /// On what no test gives it.
    pub fn leading(topics: &[&str], log_dir: LogDir, clock: &Clock, config: &[(&str, &str)]) -> Arc<Self> {
        let state = PartitionImage {
            replicas: vec![1],
            isr: vec![1],
            leader: 1,
            leader_epoch: 0,
            partition_epoch: 0,
            ..PartitionImage::default()
        };
        let (image, delta) = topics_with(topics, &state);
        let (removed, config) = (HashSet::new(), Arc::new(Config::with(config).unwrap()));
        let known = KnownTopics { image: &image, removed: &removed };
        let replicas = Self::open(1, clock.clone(), config, Arc::new(LogDirs::of(log_dir)), known).unwrap();
        replicas.apply(&delta, &image);
        Arc::new(replicas)
    }
}

#[test]
fn kafka_13198_a_replica_that_is_another_brokers_now_is_given_up() {
    let replicas = ReplicaManager::leading(&["moved", "kept"], LogDir::memory(), &Clock::manual(0), &[]);
    let hosted = replicas.partition("moved", 0).unwrap();
    hosted.with_log(|log| log.truncate_fully_and_start_at(7, replicas.clock().now())).unwrap().unwrap();
    let elsewhere = PartitionImage {
        replicas: vec![2],
        isr: vec![2],
        leader: 2,
        leader_epoch: 1,
        partition_epoch: 1,
        ..PartitionImage::default()
    };
    let (image, delta) = topics_with(&["moved"], &elsewhere);
    replicas.apply(&delta, &image);
    let partition = replicas.partition("moved", 0);
    assert_eq!(partition.err(), Some(ErrorCode::NotLeaderOrFollower), "it is known where it is");
    assert_eq!(hosted.offsets(-1).err(), Some(ErrorCode::UnknownTopicOrPartition), "its log is gone");
    assert!(replicas.partition("kept", 0).is_ok());
    // When it comes back, it begins with nothing.
    let back = PartitionImage { replicas: vec![2, 1], leader_epoch: 2, partition_epoch: 2, ..elsewhere };
    let (image, delta) = topics_with(&["moved"], &back);
    replicas.apply(&delta, &image);
    let hosted = replicas.partition("moved", 0).unwrap();
    assert_eq!(hosted.offsets(-1).err(), Some(ErrorCode::NotLeaderOrFollower));
    assert_eq!(hosted.with_log(|log| log.log_end_offset()), Some(0));
}

#[test]
fn kafka_14616_a_topic_that_was_made_anew_while_its_broker_was_away_begins_with_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let options = LogDirOptions { node_id: 1, cluster_id: None, max_open_files: 10, delete_delay: Duration::ZERO };
    let open = || LogDir::open(directory.path(), &options).unwrap();
    drop(ReplicaManager::leading(&["again"], open(), &Clock::manual(0), &[]));
    let state = PartitionImage { replicas: vec![1], isr: vec![1], leader: 1, ..PartitionImage::default() };
    let (known, _) = topics_with(&["again"], &state);
    // The first topic has another id in this one.
    let (image, delta) = topics_with(&["other", "again"], &state);
    let (removed, config) = (HashSet::new(), Arc::new(Config::with(&[]).unwrap()));
    let known = KnownTopics { image: &known, removed: &removed };
    let log_dirs = Arc::new(LogDirs::of(open()));
    let replicas = ReplicaManager::open(1, Clock::manual(0), config, log_dirs, known).unwrap();
    replicas.apply(&delta, &image);
    assert_eq!(replicas.partition("again", 0).unwrap().topic_id(), Uuid::from_u128(2));
    let left = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let strays = left.filter(|name| name.to_string_lossy().ends_with("-stray")).count();
    assert_eq!(strays, 1, "and what the former topic held is kept");
}
