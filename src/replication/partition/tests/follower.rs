//! What a follower does with answers.

use super::super::follower::*;
use super::*;

const BACKOFF: Duration = Duration::from_secs(1);
const NOW: Monotonic = Duration::from_secs(100);
const LOG: FollowerLog =
    FollowerLog { log_start_offset: 3, log_end_offset: 10, high_watermark: 7, latest_epoch: Some(4) };
const EMPTY_ANSWER: LeaderAnswer = LeaderAnswer { diverging: None, first_offset: None };

fn following() -> (ReplicaFetch, FetchPosition) {
    let (fetch, step) = ReplicaFetch::new(5, &LOG, BACKOFF);
    assert_eq!(step, FollowerStep::None);
    let position = fetch.position(NOW).unwrap();
    assert_eq!(position, FetchPosition { leader_epoch: 5, fetch_offset: 10, last_fetched_epoch: 4 });
    (fetch, position)
}

/// The answer to the first fetch; no epoch is looked up in the log.
fn answered(fetch: &mut ReplicaFetch, sent: &FetchPosition, answer: Result<LeaderAnswer, ErrorCode>) -> FollowerStep {
    fetch.answered(sent, answer, &LOG, |epoch| panic!("{epoch} does not matter"), NOW)
}

fn records_at(first_offset: i64) -> LeaderAnswer {
    LeaderAnswer { first_offset: Some(first_offset), ..EMPTY_ANSWER }
}

#[test]
fn kafka_18723_records_are_appended_up_to_the_epoch_that_was_asked_in() {
    let (mut fetch, sent) = following();
    let step = answered(&mut fetch, &sent, Ok(records_at(10)));
    assert_eq!(step, FollowerStep::Append { newest_epoch: 5, start_at: None });
    assert_eq!(fetch.position(NOW), None, "not before they are");
    fetch.appended(&FollowerLog { log_end_offset: 12, latest_epoch: Some(5), ..LOG }, Some(5));
    let sent = fetch.position(NOW).unwrap();
    assert_eq!(sent, FetchPosition { leader_epoch: 5, fetch_offset: 12, last_fetched_epoch: 5 });
}

#[test]
fn kafka_15510_an_empty_answer_leaves_the_last_fetched_epoch() {
    let (mut fetch, sent) = following();
    answered(&mut fetch, &sent, Ok(EMPTY_ANSWER));
    fetch.appended(&LOG, None);
    assert_eq!(fetch.position(NOW), Some(sent));
}

#[test]
fn an_empty_log_begins_where_its_leaders_first_batch_does() {
    let log = FollowerLog { log_start_offset: 10, log_end_offset: 10, high_watermark: 10, latest_epoch: None };
    for (log, first_offset, start_at) in [(log, 8, Some(8)), (log, 10, None), (log, 12, None), (LOG, 8, None)] {
        let (mut fetch, _) = ReplicaFetch::new(5, &log, BACKOFF);
        let sent = fetch.position(NOW).unwrap();
        let step = fetch.answered(&sent, Ok(records_at(first_offset)), &log, |_| None, NOW);
        assert_eq!(step, FollowerStep::Append { newest_epoch: 5, start_at }, "{first_offset}");
    }
}

#[test]
fn kafka_7786_8012_and_13207_an_answer_to_another_position_is_dropped() {
    let (mut fetch, sent) = following();
    let others = [
        FetchPosition { leader_epoch: 4, ..sent },
        FetchPosition { fetch_offset: 9, ..sent },
        FetchPosition { last_fetched_epoch: 3, ..sent },
    ];
    for answer in [Ok(records_at(10)), Err(ErrorCode::OffsetOutOfRange), Err(ErrorCode::FencedLeaderEpoch)] {
        for other in others {
            assert_eq!(answered(&mut fetch, &other, answer), FollowerStep::None);
            assert_eq!(fetch.position(NOW), Some(sent));
        }
    }
    // Nor does one count that comes twice, or during a pause.
    answered(&mut fetch, &sent, Ok(EMPTY_ANSWER));
    assert_eq!(answered(&mut fetch, &sent, Ok(records_at(10))), FollowerStep::None);
    fetch.appended(&LOG, None);
    fetch.back_off(NOW);
    assert_eq!(answered(&mut fetch, &sent, Ok(records_at(10))), FollowerStep::None);
    assert_eq!(fetch.delayed_until(), Some(NOW + BACKOFF));
}

#[test]
fn a_log_that_has_changed_under_a_fetch_is_fetched_for_anew() {
    let (mut fetch, sent) = following();
    let log = FollowerLog { log_end_offset: 8, latest_epoch: Some(2), ..LOG };
    assert_eq!(fetch.answered(&sent, Ok(records_at(10)), &log, |_| None, NOW), FollowerStep::None);
    let position = fetch.position(NOW).unwrap();
    assert_eq!((position.fetch_offset, position.last_fetched_epoch), (8, 2));
}

#[test]
fn kip_101_and_279_a_log_is_truncated_by_epochs() {
    // (epoch and end of the leader, what our log says of that epoch) -> where ours ends then.
    let cases = [
        ((4, 9), Some((4, 10)), 9),
        ((4, 30), Some((4, 10)), 10),
        ((3, 9), Some((3, 8)), 8),
        // We have never heard of that epoch: back to the end of the one before it.
        ((3, 9), Some((2, 6)), 6),
        ((3, 5), Some((2, 6)), 6),
        // Nor of any that old.
        ((3, 9), None, 9),
        ((3, 12), None, 10),
    ];
    for (leader_end, own_end, offset) in cases {
        let (mut fetch, sent) = following();
        let answer = LeaderAnswer { diverging: Some(leader_end), ..EMPTY_ANSWER };
        let step = fetch.answered(
            &sent,
            Ok(answer),
            &LOG,
            |epoch| {
                assert_eq!(epoch, leader_end.0);
                own_end
            },
            NOW,
        );
        let loses_committed = offset < LOG.high_watermark;
        assert_eq!(step, FollowerStep::Truncate { offset, loses_committed }, "{leader_end:?} {own_end:?}");
        assert_eq!(fetch.position(NOW), None);
        fetch.restarted(&FollowerLog { log_end_offset: offset, latest_epoch: Some(2), ..LOG });
        assert_eq!(
            fetch.position(NOW),
            Some(FetchPosition { leader_epoch: 5, fetch_offset: offset, last_fetched_epoch: 2 })
        );
    }
}

#[test]
fn a_log_without_epochs_is_truncated_to_what_is_committed() {
    let log = FollowerLog { latest_epoch: None, ..LOG };
    let (mut fetch, step) = ReplicaFetch::new(5, &log, BACKOFF);
    assert_eq!(step, FollowerStep::Truncate { offset: 7, loses_committed: false });
    assert_eq!(fetch.position(NOW), None);
    fetch.restarted(&FollowerLog { log_end_offset: 7, ..log });
    assert_eq!(fetch.position(NOW), Some(FetchPosition { leader_epoch: 5, fetch_offset: 7, last_fetched_epoch: -1 }));
}

/// What follows the answers of a leader whose log has these bounds to `OFFSET_OUT_OF_RANGE`.
fn out_of_range(leader_start: i64, leader_end: i64) -> (ReplicaFetch, FollowerStep) {
    let (mut fetch, sent) = following();
    let step = answered(&mut fetch, &sent, Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(step, FollowerStep::Ask(LeaderOffset::Latest));
    assert_eq!(fetch.position(NOW), None);
    let step = match fetch.listed(&sent, LeaderOffset::Latest, Ok(leader_end), &LOG, NOW) {
        FollowerStep::Ask(LeaderOffset::Earliest) => {
            fetch.listed(&sent, LeaderOffset::Earliest, Ok(leader_start), &LOG, NOW)
        }
        step => step,
    };
    (fetch, step)
}

#[test]
fn a_fetch_out_of_range_asks_where_the_leaders_log_is() {
    let cases = [
        (0, 9, FollowerStep::Truncate { offset: 9, loses_committed: false }),
        (0, 6, FollowerStep::Truncate { offset: 6, loses_committed: true }),
        (11, 20, FollowerStep::TruncateFully { offset: 11 }),
        (10, 20, FollowerStep::None),
        (5, 20, FollowerStep::None),
        (5, 10, FollowerStep::None),
    ];
    for (leader_start, leader_end, expected) in cases {
        let (fetch, step) = out_of_range(leader_start, leader_end);
        assert_eq!(step, expected, "{leader_start} to {leader_end}");
        assert_eq!(fetch.position(NOW).is_some(), step == FollowerStep::None);
    }
    let (mut fetch, _) = out_of_range(11, 20);
    fetch.restarted(&FollowerLog { log_start_offset: 11, log_end_offset: 11, high_watermark: 11, latest_epoch: None });
    assert_eq!(fetch.position(NOW), Some(FetchPosition { leader_epoch: 5, fetch_offset: 11, last_fetched_epoch: -1 }));
}

#[test]
fn an_offset_that_cannot_be_told_is_asked_for_again_after_a_pause() {
    for asked in [LeaderOffset::Latest, LeaderOffset::Earliest] {
        let (mut fetch, sent) = following();
        answered(&mut fetch, &sent, Err(ErrorCode::OffsetOutOfRange));
        let step = fetch.listed(&sent, asked, Err(ErrorCode::LeaderNotAvailable), &LOG, NOW);
        assert_eq!((step, fetch.delayed_until()), (FollowerStep::None, Some(NOW + BACKOFF)));
        // What comes later is an answer to nobody's question.
        assert_eq!(fetch.listed(&sent, asked, Ok(0), &LOG, NOW), FollowerStep::None);
        assert_eq!(fetch.position(NOW + BACKOFF), Some(sent));
        let step = fetch.answered(&sent, Err(ErrorCode::OffsetOutOfRange), &LOG, |_| None, NOW + BACKOFF);
        assert_eq!(step, FollowerStep::Ask(LeaderOffset::Latest));
        fetch.listed(&sent, asked, Err(ErrorCode::FencedLeaderEpoch), &LOG, NOW);
        assert!(fetch.has_failed());
    }
}

#[test]
fn whoever_is_not_ready_to_lead_is_asked_again_soon_and_then_less_often() {
    let (mut fetch, sent) = following();
    let mut now = NOW;
    for (code, pause_ms) in [
        (ErrorCode::UnknownLeaderEpoch, 20),
        (ErrorCode::NotLeaderOrFollower, 40),
        (ErrorCode::UnknownLeaderEpoch, 80),
        (ErrorCode::UnknownTopicId, 1_000),
        (ErrorCode::UnknownLeaderEpoch, 160),
        (ErrorCode::UnknownLeaderEpoch, 320),
        (ErrorCode::UnknownLeaderEpoch, 640),
        (ErrorCode::UnknownLeaderEpoch, 1_000),
        (ErrorCode::UnknownLeaderEpoch, 1_000),
    ] {
        assert_eq!(fetch.answered(&sent, Err(code), &LOG, |_| None, now), FollowerStep::None);
        let until = now + Duration::from_millis(pause_ms);
        assert_eq!(fetch.delayed_until(), Some(until), "{code:?}");
        assert_eq!(fetch.position(until.checked_sub(Duration::from_millis(1)).unwrap()), None);
        now = until;
    }
    // An answer, or another epoch, begins again.
    fetch.answered(&sent, Ok(EMPTY_ANSWER), &LOG, |_| None, now);
    fetch.appended(&LOG, None);
    fetch.answered(&sent, Err(ErrorCode::NotLeaderOrFollower), &LOG, |_| None, now);
    assert_eq!(fetch.delayed_until(), Some(now + Duration::from_millis(20)));
    fetch.follow(6, &LOG);
    assert_eq!(fetch.position(now).map(|position| position.leader_epoch), Some(6));
}

#[test]
fn errors_pause_a_partition_or_stop_it_until_the_next_epoch() {
    for code in [
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::UnknownTopicId,
        ErrorCode::InconsistentTopicId,
        ErrorCode::KafkaStorageError,
        ErrorCode::UnknownServerError,
    ] {
        let (mut fetch, sent) = following();
        answered(&mut fetch, &sent, Err(code));
        assert_eq!(fetch.delayed_until(), Some(NOW + BACKOFF), "{code:?}");
    }
    let (mut fenced, sent) = following();
    answered(&mut fenced, &sent, Err(ErrorCode::FencedLeaderEpoch));
    let (mut damaged, sent) = following();
    answered(&mut damaged, &sent, Ok(records_at(10)));
    damaged.append_failed(FollowerAppendError::Corrupt, NOW);
    assert_eq!(damaged.position(NOW + BACKOFF), Some(sent), "it is fetched again");
    let (mut broken, sent) = following();
    answered(&mut broken, &sent, Ok(records_at(10)));
    broken.append_failed(FollowerAppendError::Storage, NOW);
    for failed in [&mut fenced, &mut broken] {
        assert!(failed.has_failed());
        failed.back_off(NOW);
        assert_eq!(failed.follow(5, &LOG), FollowerStep::None);
        assert_eq!(failed.position(NOW * 2), None, "the same epoch changes nothing");
        failed.follow(6, &LOG);
        assert!(failed.position(NOW).is_some());
    }
}

#[test]
fn the_same_epoch_again_restarts_nothing() {
    let (mut fetch, sent) = following();
    let log = FollowerLog { log_end_offset: 99, ..LOG };
    for epoch in [5, 4] {
        assert_eq!(fetch.follow(epoch, &log), FollowerStep::None);
        assert_eq!(fetch.position(NOW), Some(sent));
    }
    fetch.follow(6, &log);
    assert_eq!(fetch.current_position(), FetchPosition { leader_epoch: 6, fetch_offset: 99, last_fetched_epoch: 4 });
    assert_eq!(answered(&mut fetch, &sent, Ok(records_at(10))), FollowerStep::None);
}

#[test]
fn a_followers_log_starts_where_its_leaders_does_but_never_behind_what_is_committed() {
    for (leader_start, start) in [(0, 3), (3, 3), (5, 5), (7, 7), (9, 7)] {
        assert_eq!(following_log_start(leader_start, &LOG), start, "{leader_start}");
    }
}
