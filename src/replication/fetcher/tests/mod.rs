//! Followers that fetch for real, from leaders in the same process.

mod cluster;

use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, eventually};

use super::fetcher_id;
use crate::ids::TopicPartition;
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::{BatchBuilder, BatchHeader};
use crate::replication::hosted_partition::AppendRequest;
use crate::replication::partition::RequiredAcks;

/// For a follower that is not waited for as soon as it does not fetch.
const SOON_BEHIND: (&str, &str) = ("replica.lag.time.max.ms", "5");

#[test]
fn partitions_are_spread_as_kafka_spreads_them() {
    let id = |partition| fetcher_id(&TopicPartition::new("orders", partition), 4);
    // "orders".hashCode() is -1008770331, and 31 times that, modulo 2^32, is -1207109189.
    assert_eq!([0, 1, 2, 3].map(id), [1, 0, 3, 2]);
    assert_eq!(fetcher_id(&TopicPartition::new("orders", 7), 1), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_the_high_watermark_reach_every_follower() {
    let cluster = Cluster::of(3, &[]);
    for value in ["a", "b", "c"] {
        cluster.append(1, value);
    }
    cluster.agree(&[1, 2, 3]).await;
    assert_eq!(cluster.offsets(3), (0, 3, 3));
    cluster.append(1, "d");
    cluster.agree(&[1, 2, 3]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_of_all_wait_for_the_followers() {
    let cluster = Cluster::of(2, &[]);
    cluster.agree(&[1, 2]).await;
    cluster.cut_off(2);
    let appended = cluster.try_append(1, "a", RequiredAcks::All).unwrap();
    assert!(!appended.committed);
    let (replica, clock) = (cluster.replica(1), cluster.node(1).clock().clone());
    let wait = Arc::clone(&replica).acknowledged_to(appended.leader_epoch, 1, &clock, Duration::from_millis(100));
    assert_eq!(wait.await, Err(ErrorCode::RequestTimedOut));
    cluster.rejoin(2);
    let wait = replica.acknowledged_to(appended.leader_epoch, 1, &clock, Duration::from_secs(20));
    assert_eq!(wait.await, Ok(()));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deposed_leader_has_alone_is_truncated_by_epoch() {
    let cluster = Cluster::of(2, &[]);
    for value in ["a", "b"] {
        cluster.append(1, value);
    }
    cluster.agree(&[1, 2]).await;
    // 1 does not hear that 2 leads, and takes records that nobody else gets.
    cluster.cut_off(1);
    cluster.deafen(1);
    cluster.append(1, "lost");
    cluster.append(1, "too");
    cluster.publish(|state| {
        state.isr = vec![2];
        state.leader = 2;
        state.leader_epoch += 1;
    });
    cluster.append(2, "kept");
    assert_eq!(cluster.offsets(1), (0, 4, 2));
    cluster.rejoin(1);
    cluster.undeafen(1);
    cluster.grant_isr_changes();
    cluster.agree(&[2, 1]).await;
    assert_eq!(cluster.offsets(1), (0, 3, 3));
    eventually("1 is in sync again", || cluster.isr() == [2, 1]).await;
    cluster.stop().await;
}

/// KAFKA-10706, KAFKA-6361: elections without records, between replicas whose ends differ.
#[tokio::test(flavor = "multi_thread")]
async fn elections_without_records_leave_the_logs_the_same() {
    let cluster = Cluster::of(3, &[]);
    cluster.append(1, "a");
    cluster.agree(&[1, 2, 3]).await;
    cluster.cut_off(3);
    for leader in [2, 1, 2, 2, 1, 2] {
        cluster.elect(leader);
    }
    cluster.append(2, "b");
    cluster.elect(1);
    cluster.rejoin(3);
    eventually("3 follows 1", || cluster.offsets(3) == cluster.offsets(1)).await;
    cluster.append(1, "c");
    cluster.agree(&[1, 2, 3]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_lags_leaves_the_in_sync_replicas_and_comes_back() {
    let cluster = Cluster::of(2, &[("replica.lag.time.max.ms", "100")]);
    cluster.grant_isr_changes();
    cluster.append(1, "a");
    cluster.agree(&[1, 2]).await;
    cluster.cut_off(2);
    cluster.append(1, "b");
    eventually("2 is behind for long enough", || {
        cluster.node(1).shrink_isrs();
        cluster.isr() == [1]
    })
    .await;
    eventually("1 alone commits", || cluster.offsets(1) == (0, 2, 2)).await;
    cluster.rejoin(2);
    eventually("2 is in sync again", || cluster.isr() == [1, 2]).await;
    cluster.agree(&[1, 2]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_follower_begins_with_the_batch_in_which_its_leaders_log_starts() {
    let cluster = Cluster::of(2, &[SOON_BEHIND]);
    cluster.cut_off(2);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut builder = BatchBuilder::new(1_000);
    let batch = builder.record(None, Some(b"a")).record(None, Some(b"b")).record(None, Some(b"c")).build();
    let request = AppendRequest::by_client(&batch, RequiredAcks::Leader);
    cluster.replica(1).append(&request, cluster.node(1).clock().now()).unwrap();
    cluster.publish(|state| state.isr = vec![1]);
    assert_eq!(cluster.replica(1).delete_records(2), Ok(2));
    cluster.rejoin(2);
    eventually("2 has the batch", || cluster.offsets(2).1 == 3).await;
    assert_eq!(cluster.offsets(2), (2, 3, 3));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_behind_what_was_deleted_begins_anew() {
    let cluster = Cluster::of(2, &[SOON_BEHIND]);
    cluster.append(1, "a");
    cluster.agree(&[1, 2]).await;
    cluster.cut_off(2);
    tokio::time::sleep(Duration::from_millis(20)).await;
    cluster.publish(|state| state.isr = vec![1]);
    for value in ["b", "c", "d"] {
        cluster.append(1, value);
    }
    cluster.replica(1).delete_records(3).unwrap();
    cluster.rejoin(2);
    eventually("2 has what is left", || cluster.offsets(2) == (3, 4, 4)).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_records_reaches_the_followers_and_waits_for_them() {
    let cluster = Cluster::of(2, &[]);
    for value in ["a", "b", "c"] {
        cluster.append(1, value);
    }
    cluster.agree(&[1, 2]).await;
    assert_eq!(cluster.replica(1).delete_records(2), Ok(2));
    let clock = cluster.node(1).clock().clone();
    let deleted = cluster.replica(1).deleted_to(2, move || clock.monotonic());
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), deleted).await, Ok(Ok(2)));
    assert_eq!(cluster.offsets(2), (2, 3, 3));
    cluster.stop().await;
}

/// KAFKA-18723: a leader that has just lost its leadership may answer with what its successor wrote.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_a_newer_epoch_are_not_appended() {
    let cluster = Cluster::of(2, &[]);
    cluster.append(1, "a");
    cluster.append(1, "b");
    cluster.cut_off(2);
    let log = cluster.log_of(1);
    let mut bytes = log.to_vec();
    let first = BatchHeader::parse(&log).unwrap().size_in_bytes();
    // The epoch lies outside of the checksum.
    bytes[first + 12..first + 16].copy_from_slice(&5_i32.to_be_bytes());
    let replica = cluster.replica(2);
    replica.with_log(|log| log.truncate_fully_and_start_at(0, cluster.node(2).clock().now())).unwrap().unwrap();
    let appended =
        replica.with_log(|log| log.append_as_follower(&bytes.into(), 0, cluster.node(2).clock().now()).unwrap());
    assert_eq!(appended.map(|info| info.last_offset), Some(0));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_taken_away_is_not_fetched_any_more() {
    let cluster = Cluster::of(3, &[]);
    cluster.append(1, "a");
    cluster.agree(&[1, 2, 3]).await;
    let gone = cluster.replica(3);
    cluster.publish(|state| {
        state.replicas = vec![1, 2];
        state.isr = vec![1, 2];
    });
    cluster.append(1, "b");
    cluster.agree(&[1, 2]).await;
    assert_eq!(gone.offsets(-1).err(), Some(ErrorCode::UnknownTopicOrPartition));
    // And back, without a new leader epoch: it is known as a replica at once.
    cluster.publish(|state| state.replicas = vec![1, 2, 3]);
    cluster.agree(&[1, 2, 3]).await;
    cluster.stop().await;
}
