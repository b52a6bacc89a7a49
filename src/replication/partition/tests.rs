//! What a replica decides, step by step.

use std::time::Duration;

use super::*;

const START: Monotonic = Duration::ZERO;

fn state(leader: NodeId, leader_epoch: LeaderEpoch, isr: &[NodeId]) -> PartitionState {
    PartitionState { leader, leader_epoch, partition_epoch: leader_epoch, replicas: vec![1, 2, 3], isr: isr.to_vec() }
}

#[test]
fn a_lone_leader_commits_what_it_appends() {
    let alone = PartitionState { replicas: vec![1], ..state(1, 0, &[1]) };
    let mut partition = Partition::new(1, alone, 5, 3, START);
    assert_eq!(partition.high_watermark(), 5, "everything in the log of the only replica is committed");
    assert!(partition.appended(8));
    assert_eq!(partition.high_watermark(), 8);
    assert_eq!(partition.may_append(RequiredAcks::All, 2), Ok(()), "one replica cannot be asked for two");
}

#[test]
fn the_high_watermark_waits_for_every_in_sync_follower_and_never_goes_back() {
    let mut partition = Partition::new(1, state(1, 4, &[1, 2]), 10, 6, START);
    assert_eq!(partition.high_watermark(), 6);
    assert!(!partition.appended(12));
    assert_eq!(partition.follower_fetched(3, 12, START), Ok(false), "3 is not in sync");
    assert_eq!(partition.follower_fetched(2, 11, START), Ok(true));
    assert_eq!(partition.high_watermark(), 11);
    assert_eq!(partition.follower_fetched(2, 7, START), Ok(false));
    assert_eq!(partition.high_watermark(), 11);
    assert_eq!(partition.follower_fetched(9, 7, START), Err(ErrorCode::NotLeaderOrFollower));
}

#[test]
fn shrinking_the_in_sync_replicas_commits_what_the_rest_holds() {
    let mut partition = Partition::new(1, state(1, 4, &[1, 2]), 10, 6, START);
    let shrunk = PartitionState { partition_epoch: 5, ..state(1, 4, &[1]) };
    assert!(!partition.apply(shrunk, 10, START), "the leadership is the same one");
    assert_eq!(partition.high_watermark(), 10);
    assert_eq!(partition.may_append(RequiredAcks::All, 2), Err(ErrorCode::NotEnoughReplicas));
    assert_eq!(partition.may_append(RequiredAcks::Leader, 2), Ok(()));
}

#[test]
fn a_stale_state_is_not_taken_over() {
    let mut partition = Partition::new(1, state(1, 4, &[1]), 0, 0, START);
    assert!(!partition.apply(state(2, 3, &[2]), 0, START));
    assert!(partition.is_leader());
    assert!(!partition.apply(state(2, 5, &[2]), 0, START));
    assert_eq!(partition.may_append(RequiredAcks::Leader, 1), Err(ErrorCode::NotLeaderOrFollower));
    assert!(partition.apply(state(1, 6, &[1]), 0, START), "a new leadership of ours begins");
}

#[test]
fn clients_with_another_leader_epoch_are_told_so() {
    let partition = Partition::new(1, state(1, 4, &[1]), 0, 0, START);
    assert_eq!(partition.check_leader_epoch(-1), Ok(()));
    assert_eq!(partition.check_leader_epoch(4), Ok(()));
    assert_eq!(partition.check_leader_epoch(3), Err(ErrorCode::FencedLeaderEpoch));
    assert_eq!(partition.check_leader_epoch(-5), Err(ErrorCode::FencedLeaderEpoch));
    assert_eq!(partition.check_leader_epoch(5), Err(ErrorCode::UnknownLeaderEpoch));
}

#[test]
fn followers_leave_and_join_the_in_sync_replicas_by_lag() {
    let lag_time_max = Duration::from_secs(30);
    let mut partition = Partition::new(1, state(1, 4, &[1, 2]), 10, 10, START);
    assert_eq!(partition.follower_fetched(3, 10, START), Ok(false));
    assert_eq!(partition.caught_up_followers(), vec![3]);
    assert!(partition.lagging_followers(lag_time_max, Duration::from_secs(30)).is_empty());
    assert_eq!(partition.lagging_followers(lag_time_max, Duration::from_secs(31)), vec![2]);
    assert_eq!(partition.follower_fetched(2, 10, Duration::from_secs(31)), Ok(false));
    assert!(partition.lagging_followers(lag_time_max, Duration::from_secs(90)).is_empty(), "nothing was appended");
}
