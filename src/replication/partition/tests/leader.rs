//! Leadership, followers' fetches, the high watermark, and who waits for it.

use super::*;

const FETCH_EVERY: Duration = Duration::from_millis(10);

#[test]
fn a_lone_leader_commits_what_it_appends() {
    let config = IsrConfig { min_insync_replicas: 2, lag_time_max: LAG };
    let (mut partition, brokers) = (Partition::new(1, config, 5, 3), BrokerStates::default());
    let moment = Moment { now: Duration::ZERO, brokers: &brokers };
    let alone = PartitionState { replicas: vec![1], ..state(1, 0, 0, &[1]) };
    assert_eq!(partition.apply(alone, 5, &moment), RoleChange::LeadsAnew);
    assert_eq!(partition.high_watermark(), 5, "everything in the log of the only replica is committed");
    assert!(partition.appended(8, &moment));
    assert_eq!(partition.high_watermark(), 8);
    assert_eq!(partition.may_append(RequiredAcks::All), Ok(()), "one replica cannot be asked for two");
}

#[test]
fn a_stale_state_is_not_taken_over() {
    let mut scene = Scene::leading(&[1], 1, 0, 0);
    assert_eq!(scene.apply(state(2, 2, 0, &[2])), RoleChange::None);
    assert_eq!(scene.apply(state(2, 0, 2, &[2])), RoleChange::None, "no epoch goes back");
    assert!(scene.partition.is_leader());
    assert_eq!(scene.apply(state(2, 2, 2, &[2])), RoleChange::FollowsAnew);
    assert_eq!(scene.partition.may_append(RequiredAcks::Leader), Err(ErrorCode::NotLeaderOrFollower));
    assert_eq!(scene.apply(state(2, 2, 3, &[2, 1])), RoleChange::None, "the fetcher goes on");
    assert_eq!(scene.apply(state(-1, 3, 4, &[2])), RoleChange::FollowsAnew);
    assert_eq!((scene.partition.leader(), scene.partition.isr()), (-1, &[][..]));
    assert_eq!(scene.apply(state(1, 4, 5, &[1])), RoleChange::LeadsAnew);
}

#[test]
fn clients_with_another_leader_epoch_are_told_so() {
    let scene = Scene::leading(&[1], 1, 0, 0);
    for (epoch, expected) in [
        (-1, Ok(())),
        (1, Ok(())),
        (0, Err(ErrorCode::FencedLeaderEpoch)),
        (-5, Err(ErrorCode::FencedLeaderEpoch)),
        (2, Err(ErrorCode::UnknownLeaderEpoch)),
    ] {
        assert_eq!(scene.partition.check_leader_epoch(epoch), expected, "{epoch}");
    }
}

#[test]
fn kafka_13837_and_14078_who_is_no_replica_is_told_after_what_it_says_of_its_leader() {
    let mut scene = Scene::leading(&[1], 1, 0, 0);
    let cases = [
        (2, 1, Ok(())),
        (2, -1, Ok(())),
        (4, 0, Err(ErrorCode::FencedLeaderEpoch)),
        (4, 2, Err(ErrorCode::UnknownLeaderEpoch)),
        (4, 1, Err(ErrorCode::UnknownLeaderEpoch)),
        (4, -1, Err(ErrorCode::NotLeaderOrFollower)),
        (1, 1, Err(ErrorCode::UnknownLeaderEpoch)),
    ];
    for (follower, epoch, expected) in cases {
        assert_eq!(scene.partition.check_follower(follower, epoch), expected, "{follower} in {epoch}");
    }
    scene.apply(state(2, 2, 2, &[2]));
    for (epoch, expected) in [
        (1, ErrorCode::FencedLeaderEpoch),
        (3, ErrorCode::UnknownLeaderEpoch),
        (2, ErrorCode::NotLeaderOrFollower),
        (-1, ErrorCode::NotLeaderOrFollower),
    ] {
        assert_eq!(scene.partition.check_follower(3, epoch), Err(expected), "{epoch}");
    }
    assert_eq!(scene.try_fetch(scene.fetch_of(3, 0)), Err(ErrorCode::NotLeaderOrFollower));
}

#[test]
fn kafka_4485_a_follower_that_is_always_one_fetch_behind_stays_in_sync() {
    let mut scene = Scene::leading(&[1, 2], 1, 0, 0);
    for fetch_offset in 0..6_000 {
        scene.append(1);
        scene.pass(FETCH_EVERY);
        assert_eq!(scene.fetch(2, fetch_offset), None);
        assert_eq!(scene.shrink(), None, "at {fetch_offset}");
    }
    // By its last fetch, it was caught up at the one before. If that was the last one, it is out after the lag time.
    scene.pass(LAG.checked_sub(FETCH_EVERY).unwrap());
    assert_eq!(scene.shrink(), None);
    scene.pass(Duration::from_millis(1));
    assert_eq!(ids(&scene.shrink().unwrap()), [1]);
}

#[test]
fn whoever_has_all_is_caught_up_however_long_ago_it_fetched() {
    let mut scene = Scene::leading(&[1, 2], 1, 5, 5);
    scene.fetch(2, 5);
    scene.pass(LAG * 10);
    assert_eq!(scene.shrink(), None, "nothing was appended");
}

#[test]
fn kafka_15221_a_fetch_of_a_brokers_former_life_counts_for_nothing() {
    let mut scene = Scene::leading(&[1, 2], 1, 10, 0);
    scene.with_broker(2, Some(registered(200)));
    assert_eq!(scene.try_fetch(scene.fetch_of(2, 10)), Err(ErrorCode::NotLeaderOrFollower));
    assert_eq!(scene.partition.high_watermark(), 0);
    let unversioned = FollowerFetch { broker_epoch: -1, ..scene.fetch_of(2, 4) };
    assert_eq!(scene.try_fetch(unversioned), Ok((true, None)), "what does not say is taken as before KIP-903");
    let newer = FollowerFetch { broker_epoch: 201, ..scene.fetch_of(2, 5) };
    assert_eq!(scene.try_fetch(newer), Ok((true, None)), "its registration is on the way here");
    assert_eq!(scene.partition.high_watermark(), 5);
}

#[test]
fn kafka_13141_a_fetch_from_another_history_tells_nothing_of_the_follower() {
    let mut scene = Scene::leading(&[1, 2], 1, 10, 3);
    let diverging = FollowerFetch { diverges: true, ..scene.fetch_of(2, 9) };
    assert_eq!(scene.try_fetch(diverging), Ok((false, None)));
    assert_eq!(scene.partition.high_watermark(), 3);
    scene.pass(LAG + FETCH_EVERY);
    assert_eq!(ids(&scene.shrink().unwrap()), [1], "nor does it show that the follower keeps up");
}

#[test]
fn the_high_watermark_waits_for_every_in_sync_follower_and_never_goes_back() {
    let mut scene = Scene::leading(&[1, 2], 1, 10, 6);
    assert!(!scene.append(2));
    for (follower, fetch_offset, high_watermark) in [(2, 11, 11), (2, 7, 11), (2, 12, 12)] {
        scene.fetch(follower, fetch_offset);
        assert_eq!(scene.partition.high_watermark(), high_watermark);
    }
    scene.apply(state(2, 2, 2, &[2]));
    assert_eq!(scene.partition.high_watermark(), 12, "who follows knows what it knew");
    scene.apply(state(1, 3, 3, &[1, 2]));
    assert_eq!(scene.partition.high_watermark(), 12);
}

#[test]
fn kafka_15583_nothing_is_committed_while_too_few_replicas_are_in_sync() {
    let mut scene = Scene::leading(&[1], 2, 10, 4);
    assert!(!scene.append(1));
    assert_eq!(scene.partition.high_watermark(), 4);
    assert_eq!(scene.partition.may_append(RequiredAcks::All), Err(ErrorCode::NotEnoughReplicas));
    assert_eq!(scene.partition.may_append(RequiredAcks::Leader), Ok(()));
    // As soon as the configuration is content, so is everybody.
    assert!(scene.configure(1));
    assert_eq!(scene.partition.high_watermark(), 11);
    assert_eq!(scene.partition.may_append(RequiredAcks::All), Ok(()));
    assert!(!scene.configure(9));
    assert_eq!(scene.partition.may_append(RequiredAcks::All), Err(ErrorCode::NotEnoughReplicas));
    scene.apply(state(1, 1, 2, &[1, 2, 3]));
    assert_eq!(scene.partition.may_append(RequiredAcks::All), Ok(()), "nine of three are three");
}

#[test]
fn the_high_watermark_waits_for_a_follower_that_keeps_up_and_may_join() {
    let mut scene = Scene::leading(&[1], 1, 10, 10);
    // Too far behind to be in sync, it has come to where the leader was.
    scene.fetch(2, 9);
    scene.append(10);
    scene.pass(FETCH_EVERY);
    assert_eq!(scene.fetch(2, 10), None);
    assert_eq!(scene.partition.high_watermark(), 20, "it was not caught up at any time yet");
    scene.pass(FETCH_EVERY);
    let joining = scene.fetch(2, 20).unwrap();
    assert_eq!(ids(&joining), [1, 2]);
    assert!(!scene.append(1), "it is waited for since");
}

#[test]
fn kafka_15021_who_cannot_join_holds_nobody_up() {
    let behind = |scene: &mut Scene| {
        // Caught up a moment ago, out of the in-sync replicas, and two records behind.
        scene.fetch(2, 10);
        scene.apply(state(1, 1, 2, &[1]));
        scene.append(2);
        assert_eq!(scene.partition.high_watermark(), 10);
    };
    let cases = [
        Some(BrokerState { is_shutting_down: true, ..registered(102) }),
        Some(BrokerState { is_fenced: true, ..registered(102) }),
        Some(registered(103)),
        None,
    ];
    for broker in cases {
        let mut scene = Scene::leading(&[1, 2], 1, 10, 10);
        behind(&mut scene);
        assert!(scene.with_broker(2, broker), "{broker:?}");
        assert_eq!(scene.partition.high_watermark(), 12);
    }
    let mut scene = Scene::leading(&[1, 2], 1, 10, 10);
    behind(&mut scene);
    assert!(!scene.with_broker(3, None), "another one does not matter");
    scene.pass(LAG + FETCH_EVERY);
    assert!(scene.append(1), "nor is anybody waited for who does not keep up");
    assert_eq!(scene.partition.high_watermark(), 13);
}

#[test]
fn a_replica_that_is_added_without_a_new_epoch_may_fetch_and_a_removed_one_may_not() {
    let mut scene = Scene::leading(&[1, 2], 1, 10, 0);
    scene.fetch(2, 7);
    let grown = PartitionState { replicas: vec![1, 2, 4], ..state(1, 1, 2, &[1, 2]) };
    assert_eq!(scene.apply(grown), RoleChange::None);
    assert_eq!(scene.partition.replicas(), [1, 2, 4]);
    assert_eq!(scene.partition.check_follower(4, 1), Ok(()));
    assert_eq!(scene.partition.check_follower(3, 1), Err(ErrorCode::UnknownLeaderEpoch));
    assert_eq!(scene.partition.high_watermark(), 7, "what is known of those who stay, stays");
    assert_eq!(ids(&scene.fetch(4, 10).unwrap()), [1, 2, 4]);
    assert_eq!(scene.try_fetch(scene.fetch_of(3, 10)), Err(ErrorCode::NotLeaderOrFollower));
}

#[test]
fn an_election_that_confirms_the_leader_forgets_no_follower() {
    let mut scene = Scene::leading(&[1, 2, 3], 1, 10, 0);
    for follower in [2, 3] {
        scene.fetch(follower, 8);
    }
    scene.pass(LAG + FETCH_EVERY);
    assert_eq!(scene.apply(state(1, 2, 2, &[1, 2])), RoleChange::LeadsAnew);
    assert_eq!(scene.partition.high_watermark(), 8);
    assert!(!scene.append(1), "2 is in sync at 8");
    assert_eq!(scene.shrink(), None, "and has the lag time to come on");
    scene.fetch(2, 11);
    assert_eq!(scene.partition.high_watermark(), 11, "3 is not in sync, and not waited for");
}

#[test]
fn a_new_leader_knows_nothing_of_its_followers() {
    for (leader, epoch) in [(Some(2), 3), (None, 3)] {
        let mut scene = Scene::leading(&[1, 2], 1, 10, 0);
        scene.fetch(2, 8);
        if let Some(leader) = leader {
            scene.apply(state(leader, 2, 2, &[1, 2]));
        }
        // Where the state in between was passed over, its epoch tells of it.
        assert_eq!(scene.apply(state(1, epoch, 3, &[1, 2])), RoleChange::LeadsAnew);
        assert!(!scene.append(1));
        assert_eq!(scene.partition.high_watermark(), 8, "2 may have truncated its log");
        scene.fetch(2, 5);
        assert_eq!(scene.partition.high_watermark(), 8);
        scene.fetch(2, 9);
        assert_eq!(scene.partition.high_watermark(), 9);
    }
}

#[test]
fn a_wait_ends_with_the_leadership_of_its_append() {
    let mut scene = Scene::leading(&[1, 2], 1, 10, 0);
    assert_eq!(scene.partition.is_acknowledged(1, 10), Ok(false));
    scene.apply(state(1, 2, 2, &[1, 2]));
    assert_eq!(scene.partition.is_acknowledged(1, 10), Ok(false), "the leader was confirmed");
    scene.fetch(2, 10);
    assert_eq!(scene.partition.is_acknowledged(1, 10), Ok(true));
    assert_eq!(scene.partition.is_acknowledged(3, 10), Err(ErrorCode::NotLeaderOrFollower));
    scene.apply(state(2, 3, 3, &[1, 2]));
    assert_eq!(scene.partition.is_acknowledged(1, 10), Err(ErrorCode::NotLeaderOrFollower));
    scene.apply(state(1, 4, 4, &[1, 2]));
    for epoch in 1..4 {
        assert_eq!(scene.partition.is_acknowledged(epoch, 10), Err(ErrorCode::NotLeaderOrFollower), "{epoch}");
        assert_eq!(scene.partition.is_committed(epoch, 10), Err(ErrorCode::NotLeaderOrFollower), "{epoch}");
    }
    assert_eq!(scene.partition.is_committed(4, 10), Ok(true));
}

#[test]
fn a_producer_is_told_that_too_few_replicas_are_left_with_its_records() {
    let mut scene = Scene::leading(&[1, 2], 2, 10, 0);
    scene.fetch(2, 10);
    scene.apply(state(1, 1, 2, &[1]));
    assert_eq!(scene.partition.is_acknowledged(1, 10), Err(ErrorCode::NotEnoughReplicasAfterAppend));
    assert_eq!(scene.partition.is_committed(1, 10), Ok(true));
    scene.append(1);
    assert_eq!(scene.partition.is_acknowledged(1, 11), Ok(false), "nothing is committed meanwhile");
    // The one that is about to join counts, as it is waited for.
    assert_eq!(ids(&scene.fetch(2, 11).unwrap()), [1, 2]);
    assert_eq!(scene.partition.is_acknowledged(1, 10), Ok(true));
}

#[test]
fn the_low_watermark_is_that_of_the_replicas_that_live() {
    let mut scene = Scene::leading(&[1, 2, 3], 1, 10, 0);
    let low = |scene: &Scene| scene.partition.low_watermark(7, &Moment { now: scene.now, brokers: &scene.brokers });
    assert_eq!(low(&scene), Some(-1), "nothing is known of the others");
    for (follower, log_start_offset) in [(2, 3), (3, 5)] {
        scene.try_fetch(FollowerFetch { log_start_offset, ..scene.fetch_of(follower, 10) }).unwrap();
    }
    assert_eq!(low(&scene), Some(3));
    scene.with_broker(2, Some(BrokerState { is_fenced: true, ..registered(102) }));
    assert_eq!(low(&scene), Some(5));
    scene.with_broker(3, None);
    assert_eq!(low(&scene), Some(7));
    scene.apply(state(2, 2, 2, &[2]));
    assert_eq!(low(&scene), None);
}

#[test]
fn kafka_9491_a_followers_high_watermark_goes_with_its_log() {
    let mut scene = Scene::leading(&[1], 1, 10, 10);
    scene.apply(state(2, 2, 2, &[2, 1]));
    let cases = [(0, 12, 5, 10), (0, 15, 20, 15), (3, 15, 14, 15), (0, 18, 16, 16)];
    for (log_start_offset, log_end_offset, told, high_watermark) in cases {
        let advances = high_watermark > scene.partition.high_watermark();
        assert_eq!(scene.partition.replicated(log_start_offset, log_end_offset, told), advances);
        assert_eq!(scene.partition.high_watermark(), high_watermark, "{told}");
    }
    scene.partition.truncated(17);
    assert_eq!(scene.partition.high_watermark(), 16);
    scene.partition.truncated(12);
    assert_eq!(scene.partition.high_watermark(), 12);
    scene.partition.truncated_fully(40);
    assert_eq!(scene.partition.high_watermark(), 40);
    scene.partition.truncated_fully(0);
    assert!(scene.partition.replicated(8, 9, 3), "what was deleted was committed");
    assert_eq!(scene.partition.high_watermark(), 8);
    scene.apply(state(1, 3, 3, &[1, 2]));
    assert!(!scene.partition.replicated(0, 50, 50), "a late answer means nothing to a leader");
}
