//! The follower's side of an incremental fetch session (KIP-227; Kafka's `FetchSessionHandler`). Pure.

use std::collections::BTreeMap;

use crate::protocol::ErrorCode;
use crate::replication::fetch_session::NO_SESSION;
use crate::replication::followed::TopicIdPartition;
use crate::replication::partition::follower::FetchPosition;

/// The epoch that asks for a new session, and ends the one that is named.
const INITIAL_EPOCH: i32 = 0;

/// What a leader is asked for of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AskedPartition {
    pub(super) position: FetchPosition,
    /// The first offset of our log.
    pub(super) log_start_offset: i64,
}

/// A request, as far as the session has a say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionFetch {
    pub(super) session_id: i32,
    pub(super) epoch: i32,
    /// What the leader does not know yet.
    pub(super) partitions: Vec<(TopicIdPartition, AskedPartition)>,
    /// What it is not to read any more.
    pub(super) forgotten: Vec<TopicIdPartition>,
}

/// What the leader of some partitions knows of what we want.
#[derive(Debug)]
pub(super) struct LeaderSession {
    id: i32,
    /// That of the next request.
    epoch: i32,
    /// What was asked for last, also by the requests before.
    asked: BTreeMap<TopicIdPartition, AskedPartition>,
}

impl Default for LeaderSession {
    fn default() -> Self {
        Self { id: NO_SESSION, epoch: INITIAL_EPOCH, asked: BTreeMap::new() }
    }
}

impl LeaderSession {
    /// The next request, for `wanted` in all. An epoch or a fetched epoch that has changed is a change, too (KAFKA-9338).
    pub(super) fn next_fetch(&mut self, wanted: BTreeMap<TopicIdPartition, AskedPartition>) -> SessionFetch {
        let before = std::mem::replace(&mut self.asked, wanted);
        let is_full = self.epoch == INITIAL_EPOCH;
        let is_news = |key: &TopicIdPartition, asked: &AskedPartition| is_full || before.get(key) != Some(asked);
        let partitions = self.asked.iter().filter(|(key, asked)| is_news(key, asked));
        let gone = before.keys().filter(|key| !is_full && !self.asked.contains_key(key));
        SessionFetch {
            session_id: self.id,
            epoch: self.epoch,
            partitions: partitions.map(|(key, asked)| (*key, *asked)).collect(),
            forgotten: gone.copied().collect(),
        }
    }

    /// What was asked for of a partition that an answer speaks of.
    pub(super) fn asked(&self, key: TopicIdPartition) -> Option<&AskedPartition> {
        self.asked.get(&key)
    }

    /// Takes what the answer as a whole says.
    pub(super) fn answered(&mut self, result: Result<i32, ErrorCode>) {
        match result {
            // The leader has no room for a session.
            Ok(NO_SESSION) => *self = Self { asked: std::mem::take(&mut self.asked), ..Self::default() },
            Ok(session_id) => {
                self.id = session_id;
                self.epoch = self.epoch.checked_add(1).unwrap_or(INITIAL_EPOCH + 1);
            }
            Err(ErrorCode::FetchSessionIdNotFound) => *self = Self::default(),
            Err(_) => self.failed(),
        }
    }

    /// Nobody knows whether the last request was taken: the next one names everything, and ends the session.
    pub(super) fn failed(&mut self) {
        self.epoch = INITIAL_EPOCH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uuid;

    fn key(partition: i32) -> TopicIdPartition {
        TopicIdPartition { topic_id: Uuid::from_u128(1), partition }
    }

    fn asked(fetch_offset: i64, leader_epoch: i32, last_fetched_epoch: i32) -> AskedPartition {
        AskedPartition {
            position: FetchPosition { leader_epoch, fetch_offset, last_fetched_epoch },
            log_start_offset: 0,
        }
    }

    fn fetch(session: &mut LeaderSession, wanted: &[(i32, AskedPartition)]) -> (i32, i32, Vec<i32>, Vec<i32>) {
        let wanted = wanted.iter().map(|(partition, asked)| (key(*partition), *asked)).collect();
        let SessionFetch { session_id, epoch, partitions, forgotten } = session.next_fetch(wanted);
        let named = partitions.iter().map(|(key, _)| key.partition).collect();
        (session_id, epoch, named, forgotten.iter().map(|key| key.partition).collect())
    }

    #[test]
    fn only_what_has_changed_is_named_again() {
        let mut session = LeaderSession::default();
        let (zero, one) = (asked(5, 1, 1), asked(7, 1, 1));
        assert_eq!(fetch(&mut session, &[(0, zero), (1, one)]), (0, 0, vec![0, 1], vec![]));
        session.answered(Ok(77));
        assert_eq!(fetch(&mut session, &[(0, asked(9, 1, 1)), (1, one)]), (77, 1, vec![0], vec![]));
        session.answered(Ok(77));
        assert_eq!(session.asked(key(1)), Some(&one), "it is fetched as it was asked for before");
        // Kafka has forgotten these once (KAFKA-9338).
        assert_eq!(fetch(&mut session, &[(0, asked(9, 2, 1)), (1, asked(7, 1, 0))]), (77, 2, vec![0, 1], vec![]));
        session.answered(Ok(77));
        assert_eq!(fetch(&mut session, &[(1, asked(7, 1, 0)), (2, one)]), (77, 3, vec![2], vec![0]));
    }

    #[test]
    fn a_session_that_may_be_out_of_step_begins_anew() {
        let wanted = [(0, asked(5, 1, 1))];
        let mut session = LeaderSession::default();
        fetch(&mut session, &wanted);
        session.answered(Ok(77));
        session.failed();
        assert_eq!(fetch(&mut session, &wanted), (77, 0, vec![0], vec![]), "the old one is ended");
        session.answered(Ok(78));
        session.answered(Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(fetch(&mut session, &wanted), (78, 0, vec![0], vec![]));
        session.answered(Err(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(fetch(&mut session, &wanted), (0, 0, vec![0], vec![]));
        session.answered(Ok(NO_SESSION));
        assert_eq!(fetch(&mut session, &wanted), (0, 0, vec![0], vec![]), "without a session everything is named");
    }
}
