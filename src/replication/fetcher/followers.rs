//! What one fetcher knows of the partitions that it fetches: how far each is, and what the leader was asked for. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::session::{AskedPartition, LeaderSession, SessionFetch};
use crate::clock::Monotonic;
use crate::ids::LeaderEpoch;
use crate::protocol::ErrorCode;
use crate::replication::followed::TopicIdPartition;
use crate::replication::partition::follower::{
    FetchPosition, FollowerAppendError, FollowerLog, FollowerStep, LeaderAnswer, LeaderOffset, ReplicaFetch,
};

/// One partition.
#[derive(Debug)]
struct FollowedFetch {
    fetch: ReplicaFetch,
    log_start_offset: i64,
}

/// All partitions of one fetcher.
#[derive(Debug)]
pub(super) struct FetchedPartitions {
    /// `replica.fetch.backoff.ms`.
    backoff: Duration,
    partitions: BTreeMap<TopicIdPartition, FollowedFetch>,
    session: LeaderSession,
}

impl FetchedPartitions {
    pub(super) fn new(backoff: Duration) -> Self {
        Self { backoff, partitions: BTreeMap::new(), session: LeaderSession::default() }
    }

    /// Begins to fetch a partition, or goes on in a newer epoch.
    pub(super) fn follow(&mut self, key: TopicIdPartition, epoch: LeaderEpoch, log: &FollowerLog) -> FollowerStep {
        if let Some(partition) = self.partitions.get_mut(&key) {
            partition.log_start_offset = log.log_start_offset;
            return partition.fetch.follow(epoch, log);
        }
        let (fetch, step) = ReplicaFetch::new(epoch, log, self.backoff);
        self.partitions.insert(key, FollowedFetch { fetch, log_start_offset: log.log_start_offset });
        step
    }

    pub(super) fn forget(&mut self, key: TopicIdPartition) {
        self.partitions.remove(&key);
    }

    /// The next request, if there is anything to fetch now.
    pub(super) fn next_fetch(&mut self, now: Monotonic) -> Option<SessionFetch> {
        let asked = |(key, partition): (&TopicIdPartition, &FollowedFetch)| {
            let position = partition.fetch.position(now)?;
            Some((*key, AskedPartition { position, log_start_offset: partition.log_start_offset }))
        };
        let wanted: BTreeMap<_, _> = self.partitions.iter().filter_map(asked).collect();
        (!wanted.is_empty()).then(|| self.session.next_fetch(wanted))
    }

    /// When there may be something to fetch, while there is not.
    pub(super) fn delayed_until(&self) -> Option<Monotonic> {
        self.partitions.values().filter_map(|partition| partition.fetch.delayed_until()).min()
    }

    /// Takes what an answer as a whole says: the session, or why there is nothing for any partition. Without a session the
    /// next request begins one at once; for any other reason everything pauses.
    pub(super) fn session_answered(&mut self, result: Result<i32, ErrorCode>, now: Monotonic) {
        self.session.answered(result);
        match result {
            Ok(_) | Err(ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch) => {}
            Err(_) => self.back_off_all(now),
        }
    }

    /// The connection broke, or was not made.
    pub(super) fn disconnected(&mut self, now: Monotonic) {
        self.session.failed();
        self.back_off_all(now);
    }

    fn back_off_all(&mut self, now: Monotonic) {
        self.partitions.values_mut().for_each(|partition| partition.fetch.back_off(now));
    }

    /// Takes the answer for one partition. What was not asked for is passed over.
    pub(super) fn answered(
        &mut self,
        key: TopicIdPartition,
        answer: Result<LeaderAnswer, ErrorCode>,
        log: &FollowerLog,
        own_end: impl FnOnce(LeaderEpoch) -> Option<(LeaderEpoch, i64)>,
        now: Monotonic,
    ) -> FollowerStep {
        let (Some(asked), Some(partition)) = (self.session.asked(key), self.partitions.get_mut(&key)) else {
            return FollowerStep::None;
        };
        partition.fetch.answered(&asked.position, answer, log, own_end, now)
    }

    /// The epoch in which a partition is followed.
    pub(super) fn leader_epoch(&self, key: TopicIdPartition) -> Option<LeaderEpoch> {
        self.partitions.get(&key).map(|partition| partition.fetch.current_position().leader_epoch)
    }

    /// Where a partition is, whether it may fetch or not.
    pub(super) fn position(&self, key: TopicIdPartition) -> Option<FetchPosition> {
        self.partitions.get(&key).map(|partition| partition.fetch.current_position())
    }

    pub(super) fn appended(&mut self, key: TopicIdPartition, log: &FollowerLog, last_epoch: Option<LeaderEpoch>) {
        self.change(key, log, |fetch| fetch.appended(log, last_epoch));
    }

    pub(super) fn restarted(&mut self, key: TopicIdPartition, log: &FollowerLog) {
        self.change(key, log, |fetch| fetch.restarted(log));
    }

    fn change(&mut self, key: TopicIdPartition, log: &FollowerLog, change: impl FnOnce(&mut ReplicaFetch)) {
        if let Some(partition) = self.partitions.get_mut(&key) {
            partition.log_start_offset = log.log_start_offset;
            change(&mut partition.fetch);
        }
    }

    pub(super) fn failed(&mut self, key: TopicIdPartition, error: FollowerAppendError, now: Monotonic) {
        if let Some(partition) = self.partitions.get_mut(&key) {
            partition.fetch.append_failed(error, now);
        }
    }

    /// Takes the leader's answer to [`FollowerStep::Ask`].
    pub(super) fn listed(
        &mut self,
        key: TopicIdPartition,
        (sent, offset): (&FetchPosition, LeaderOffset),
        answer: Result<i64, ErrorCode>,
        log: &FollowerLog,
        now: Monotonic,
    ) -> FollowerStep {
        let partition = self.partitions.get_mut(&key);
        partition.map_or(FollowerStep::None, |partition| partition.fetch.listed(sent, offset, answer, log, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uuid;

    const BACKOFF: Duration = Duration::from_secs(1);

    fn key(partition: i32) -> TopicIdPartition {
        TopicIdPartition { topic_id: Uuid::from_u128(1), partition }
    }

    fn log(log_end_offset: i64) -> FollowerLog {
        FollowerLog { log_start_offset: 0, log_end_offset, high_watermark: 0, latest_epoch: Some(1) }
    }

    fn named(fetch: Option<SessionFetch>) -> Vec<i32> {
        fetch.into_iter().flat_map(|fetch| fetch.partitions).map(|(key, _)| key.partition).collect()
    }

    const NOTHING: LeaderAnswer = LeaderAnswer { diverging: None, first_offset: None };

    #[test]
    fn an_answer_counts_for_what_was_asked_for() {
        let mut fetched = FetchedPartitions::new(BACKOFF);
        assert_eq!(fetched.follow(key(0), 1, &log(5)), FollowerStep::None);
        assert_eq!(fetched.follow(key(1), 1, &log(5)), FollowerStep::None);
        assert_eq!(named(fetched.next_fetch(Duration::ZERO)), [0, 1]);
        fetched.session_answered(Ok(7), Duration::ZERO);
        // One got another leader epoch meanwhile (KAFKA-7786), and a third one was added.
        fetched.follow(key(1), 2, &log(5));
        fetched.follow(key(2), 1, &log(0));
        let append = FollowerStep::Append { newest_epoch: 1, start_at: None };
        let answer = |fetched: &mut FetchedPartitions, partition, log: &FollowerLog| {
            fetched.answered(key(partition), Ok(NOTHING), log, |_| None, Duration::ZERO)
        };
        assert_eq!(answer(&mut fetched, 0, &log(5)), append);
        assert_eq!(answer(&mut fetched, 1, &log(5)), FollowerStep::None);
        assert_eq!(answer(&mut fetched, 2, &log(0)), FollowerStep::None);
        assert_eq!(named(fetched.next_fetch(Duration::ZERO)), [1, 2], "the first one waits for its append");
        fetched.appended(key(0), &log(9), Some(1));
        assert_eq!(fetched.position(key(0)).unwrap().fetch_offset, 9);
        fetched.forget(key(0));
        assert_eq!(fetched.leader_epoch(key(0)), None);
    }

    #[test]
    fn a_broken_connection_pauses_everything_and_ends_the_session() {
        let mut fetched = FetchedPartitions::new(BACKOFF);
        fetched.follow(key(0), 1, &log(5));
        fetched.next_fetch(Duration::ZERO);
        fetched.session_answered(Ok(7), Duration::ZERO);
        assert_eq!(named(fetched.next_fetch(Duration::ZERO)), [0; 0], "the leader knows it");
        fetched.disconnected(Duration::ZERO);
        assert_eq!(fetched.next_fetch(Duration::ZERO), None);
        assert_eq!(fetched.delayed_until(), Some(BACKOFF));
        assert_eq!(named(fetched.next_fetch(BACKOFF)), [0]);
    }

    #[test]
    fn a_lost_session_is_begun_anew_without_a_pause() {
        let mut fetched = FetchedPartitions::new(BACKOFF);
        fetched.follow(key(0), 1, &log(5));
        for lost in [ErrorCode::FetchSessionIdNotFound, ErrorCode::InvalidFetchSessionEpoch] {
            fetched.next_fetch(Duration::ZERO);
            fetched.session_answered(Ok(7), Duration::ZERO);
            fetched.next_fetch(Duration::ZERO);
            fetched.session_answered(Err(lost), Duration::ZERO);
            assert_eq!(named(fetched.next_fetch(Duration::ZERO)), [0]);
        }
        fetched.session_answered(Err(ErrorCode::UnknownServerError), Duration::ZERO);
        assert_eq!(fetched.next_fetch(Duration::ZERO), None);
    }
}
