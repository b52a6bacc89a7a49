//! Who joins and leaves the in-sync replicas, and what the controller answers.

use super::*;

#[test]
fn kafka_7128_a_follower_joins_when_it_has_all_of_earlier_leaderships() {
    // The high watermark is 4, the epoch began at 10.
    let mut scene = Scene::leading(&[1, 2], 1, 10, 4);
    for fetch_offset in [5, 9] {
        assert_eq!(scene.fetch(3, fetch_offset), None);
    }
    let proposal = scene.fetch(3, 10).unwrap();
    assert_eq!(proposal.new_isr, [(1, 101), (2, -1), (3, 103)], "nothing was heard of 2 in this leadership");
    assert_eq!((proposal.leader_epoch, proposal.partition_epoch), (1, 1));
}

#[test]
fn a_follower_joins_when_it_has_all_that_is_committed() {
    let mut scene = Scene::leading(&[1], 1, 10, 10);
    scene.append(5);
    assert_eq!(scene.fetch(2, 14), None);
    assert_eq!(ids(&scene.fetch(2, 15).unwrap()), [1, 2]);
    assert_eq!(scene.fetch(3, 15), None, "one change is under way");
}

#[test]
fn kip_841_and_903_only_a_broker_that_lives_and_stays_and_has_fetched_joins() {
    let cases = [
        (Some(registered(102)), 102, true),
        (Some(registered(102)), -1, true),
        (Some(registered(102)), 103, false),
        (Some(BrokerState { is_fenced: true, ..registered(102) }), 102, false),
        (Some(BrokerState { is_fenced: true, ..registered(103) }), 102, false),
        (Some(BrokerState { is_shutting_down: true, ..registered(102) }), 102, false),
        (None, 102, false),
        (None, -1, false),
    ];
    for (broker, broker_epoch, joins) in cases {
        let mut scene = Scene::leading(&[1], 1, 10, 10);
        scene.with_broker(2, broker);
        let (_, proposal) = scene.try_fetch(FollowerFetch { broker_epoch, ..scene.fetch_of(2, 10) }).unwrap();
        assert_eq!(proposal.is_some(), joins, "{broker:?} fetches as {broker_epoch}");
    }
}

#[test]
fn kafka_19996_below_the_minimum_a_follower_joins_only_if_it_keeps_up() {
    // Nothing is committed; 2 has all that is, but not what the leader has appended since.
    let mut scene = Scene::leading(&[1], 2, 10, 10);
    scene.append(1_000);
    assert_eq!(scene.fetch(2, 10), None);
    scene.append(1_000);
    assert_eq!(scene.fetch(2, 500), None);
    scene.pass(Duration::from_millis(10));
    // At the fetch before, the leader was at 2,010.
    assert_eq!(ids(&scene.fetch(2, 2_010).unwrap()), [1, 2]);
    // With enough replicas in sync, the high watermark moves, and to have reached it is enough.
    let mut scene = Scene::leading(&[1, 2], 2, 10, 10);
    scene.append(1_000);
    assert_eq!(ids(&scene.fetch(3, 10).unwrap()), [1, 2, 3]);
}

#[test]
fn a_joiner_is_waited_for_from_the_proposal_on() {
    let mut scene = Scene::leading(&[1], 1, 10, 10);
    let proposal = scene.fetch(2, 10).unwrap();
    scene.pass(LAG * 2);
    scene.append(5);
    assert_eq!(scene.partition.high_watermark(), 10, "the controller may have made it true");
    assert_eq!(scene.partition.isr(), [1], "which nobody knows yet");
    assert_eq!(
        scene.answer(&proposal, Ok(made_true(&proposal))),
        (IsrVerdict::Committed { partition_epoch: 2 }, false)
    );
    assert_eq!((scene.partition.isr(), scene.partition.partition_epoch()), (&[1, 2][..], 2));
    scene.fetch(2, 15);
    assert_eq!(scene.partition.high_watermark(), 15);
}

#[test]
fn kafka_13091_who_leaves_is_waited_for_until_it_has_left() {
    let mut scene = Scene::leading(&[1, 2], 1, 10, 4);
    scene.pass(LAG);
    assert_eq!(scene.shrink(), None, "it has the whole lag time");
    scene.pass(Duration::from_millis(1));
    let proposal = scene.shrink().unwrap();
    assert_eq!(proposal.new_isr, [(1, 101)]);
    assert_eq!(scene.shrink(), None, "one change is under way");
    assert!(!scene.append(1));
    assert_eq!(scene.partition.high_watermark(), 4);
    assert_eq!(scene.answer(&proposal, Ok(made_true(&proposal))), (IsrVerdict::Committed { partition_epoch: 2 }, true));
    assert_eq!(scene.partition.high_watermark(), 11);
}

#[test]
fn kafka_9672_who_is_in_sync_and_no_replica_leaves() {
    let mut scene = Scene::leading(&[1], 1, 10, 10);
    scene.apply(state(1, 1, 2, &[1, 7]));
    scene.append(1);
    assert_eq!(ids(&scene.shrink().unwrap()), [1]);
}

#[test]
fn each_answer_of_the_controller_has_its_meaning() {
    let kept_open = |code| (Err(code), IsrVerdict::AwaitsMetadata, true);
    let changed = |leader_epoch, partition_epoch| AlteredIsr { leader_epoch, partition_epoch, isr: vec![1, 2] };
    let cases = [
        (Ok(changed(1, 2)), IsrVerdict::Committed { partition_epoch: 2 }, false),
        // It was so already, by an earlier sending of the same.
        (Ok(changed(1, 1)), IsrVerdict::Committed { partition_epoch: 1 }, false),
        (Ok(changed(2, 2)), IsrVerdict::AwaitsMetadata, true),
        (Ok(changed(1, 0)), IsrVerdict::AwaitsMetadata, true),
        (Err(ErrorCode::IneligibleReplica), IsrVerdict::Rejected, false),
        (Err(ErrorCode::OperationNotAttempted), IsrVerdict::Rejected, false),
        kept_open(ErrorCode::UnknownTopicOrPartition),
        kept_open(ErrorCode::UnknownTopicId),
        kept_open(ErrorCode::FencedLeaderEpoch),
        kept_open(ErrorCode::InvalidUpdateVersion),
        kept_open(ErrorCode::InvalidRequest),
        kept_open(ErrorCode::NewLeaderElected),
        (Err(ErrorCode::NotController), IsrVerdict::Retry, true),
        (Err(ErrorCode::StaleBrokerEpoch), IsrVerdict::Retry, true),
        (Err(ErrorCode::UnknownServerError), IsrVerdict::Retry, true),
    ];
    for (answer, verdict, is_open) in cases {
        let mut scene = Scene::leading(&[1], 1, 10, 10);
        let proposal = scene.fetch(2, 10).unwrap();
        assert_eq!(scene.answer(&proposal, answer.clone()).0, verdict, "{answer:?}");
        assert_eq!(scene.fetch(3, 10).is_none(), is_open, "{answer:?}");
        // Whatever is open, newer metadata settles.
        scene.apply(state(1, 1, 3, &[1]));
        assert!(scene.fetch(3, 10).is_some(), "{answer:?}");
    }
}

#[test]
fn what_was_rejected_holds_nobody_up_and_may_be_proposed_again() {
    let mut scene = Scene::leading(&[1], 1, 10, 10);
    let proposal = scene.fetch(2, 10).unwrap();
    scene.append(1);
    scene.with_broker(2, Some(BrokerState { is_fenced: true, ..registered(102) }));
    assert_eq!(scene.partition.high_watermark(), 10);
    assert_eq!(scene.answer(&proposal, Err(ErrorCode::IneligibleReplica)), (IsrVerdict::Rejected, true));
    assert_eq!(scene.partition.high_watermark(), 11);
    scene.with_broker(2, Some(registered(102)));
    assert_eq!(ids(&scene.fetch(2, 11).unwrap()), [1, 2]);
}

#[test]
fn kafka_12686_and_14144_metadata_overtakes_an_answer() {
    let mut scene = Scene::leading(&[1, 3], 1, 10, 10);
    let proposal = scene.fetch(2, 10).unwrap();
    // The controller has fenced 3 meanwhile.
    scene.apply(state(1, 1, 2, &[1]));
    for answer in [Ok(made_true(&proposal)), Err(ErrorCode::IneligibleReplica), Err(ErrorCode::NotController)] {
        assert_eq!(scene.answer(&proposal, answer).0, IsrVerdict::Outdated);
        assert_eq!(scene.partition.isr(), [1]);
    }
    // An answer to what was proposed before is none to what is proposed now.
    let newer = scene.fetch(2, 10).unwrap();
    assert_ne!(newer, proposal);
    assert_eq!(scene.answer(&proposal, Ok(made_true(&proposal))).0, IsrVerdict::Outdated);
    assert_eq!(scene.answer(&newer, Ok(made_true(&newer))).0, IsrVerdict::Committed { partition_epoch: 3 });
    scene.apply(state(2, 2, 4, &[1, 2]));
    assert_eq!(scene.answer(&newer, Ok(made_true(&newer))).0, IsrVerdict::Outdated);
}

#[test]
fn metadata_that_says_what_is_known_settles_nothing() {
    let mut scene = Scene::leading(&[1], 1, 10, 10);
    let first = scene.fetch(2, 10).unwrap();
    scene.answer(&first, Ok(made_true(&first)));
    let second = scene.fetch(3, 10).unwrap();
    // The record of the first change comes after its answer, and after the second proposal.
    assert_eq!(scene.apply(state(1, 1, 2, &[1, 2])), RoleChange::None);
    scene.append(5);
    scene.fetch(2, 15);
    scene.pass(LAG * 2);
    scene.fetch(2, 15);
    assert_eq!(scene.partition.high_watermark(), 10, "3 may be in sync by now");
    assert_eq!(scene.answer(&second, Ok(made_true(&second))).0, IsrVerdict::Committed { partition_epoch: 3 });
}
