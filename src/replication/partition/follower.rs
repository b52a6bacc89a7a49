//! What a follower does with what its leader answers, one partition at a time (Kafka's `AbstractFetcherThread` from Fetch
//! version 12 on, in which a leader tells of a history that is not its own).
//!
//! Inputs are answers, what became of the log, and the time; each yields at most one [`FollowerStep`] for whoever holds the
//! log, who then tells what the log has become. The high watermark is [`Partition`](super::Partition)'s.

use std::time::Duration;

use crate::clock::Monotonic;
use crate::ids::LeaderEpoch;
use crate::protocol::ErrorCode;

/// The first pause after a leader that does not know yet that it leads, or that we follow: its metadata is on the way.
///
/// Unlike Kafka, which pauses for `replica.fetch.backoff.ms` at once; that is most of the time that its partitions take to
/// change their leader. Here each pause is twice the one before, up to that.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// What a fetch asks with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPosition {
    /// The leader epoch that we know of.
    pub leader_epoch: LeaderEpoch,
    /// The end of our log.
    pub fetch_offset: i64,
    /// The epoch of the last record before that, or -1.
    pub last_fetched_epoch: LeaderEpoch,
}

/// What a follower's log is, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerLog {
    /// Its first offset.
    pub log_start_offset: i64,
    /// The offset behind its last record.
    pub log_end_offset: i64,
    /// What is known as committed.
    pub high_watermark: i64,
    /// The last leader epoch that it knows of, if it knows of any.
    pub latest_epoch: Option<LeaderEpoch>,
}

impl FollowerLog {
    fn is_empty(&self) -> bool {
        self.log_start_offset == self.log_end_offset
    }

    fn last_fetched_epoch(&self) -> LeaderEpoch {
        self.latest_epoch.unwrap_or(-1)
    }
}

/// What a leader has answered for the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderAnswer {
    /// Where our log left the leader's: an epoch of the leader's and its end offset there. No records come with it.
    pub diverging: Option<(LeaderEpoch, i64)>,
    /// The base offset of the first batch that came, if any came.
    pub first_offset: Option<i64>,
}

/// An offset of its log that the leader is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderOffset {
    /// Its end.
    Latest,
    /// Its start.
    Earliest,
}

/// Why records that came were not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowerAppendError {
    /// They are damaged, which may be the fault of the way or of a leader's log that was just changing.
    Corrupt,
    /// Our log cannot take anything.
    Storage,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowerStep {
    /// Nothing.
    None,
    /// Append the records, up to the first batch of an epoch above `newest_epoch`: of those another leader will tell
    /// (KAFKA-18723). Then tell [`ReplicaFetch::appended`] or [`ReplicaFetch::append_failed`].
    Append {
        /// The newest epoch that records may have.
        newest_epoch: LeaderEpoch,
        /// Where the log, which is empty, must begin first: its leader's starts inside a batch.
        start_at: Option<i64>,
    },
    /// Truncate the log, then tell [`ReplicaFetch::restarted`].
    Truncate {
        /// What is to be its end.
        offset: i64,
        /// Whether records go that were committed. That is so only after an unclean election, or when the leader has lost
        /// its disk: somebody must know of it.
        loses_committed: bool,
    },
    /// Empty the log and begin it at this offset, then tell [`ReplicaFetch::restarted`].
    TruncateFully {
        /// Its start and its end.
        offset: i64,
    },
    /// Ask the leader, in the epoch of the position, then tell [`ReplicaFetch::listed`].
    Ask(LeaderOffset),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Fetching,
    /// Until somebody tells what has become of the last step.
    Acting,
    Delayed(Monotonic),
    /// Until the next leader epoch.
    Failed,
}

/// How one partition follows its leader.
#[derive(Debug, Clone)]
pub struct ReplicaFetch {
    position: FetchPosition,
    readiness: Readiness,
    /// `replica.fetch.backoff.ms`.
    backoff: Duration,
    /// What the next leader that is not ready costs.
    next_pause: Duration,
}

impl ReplicaFetch {
    /// Begins to follow in `leader_epoch`; the log may have to be truncated first: without any leader epoch, nothing tells
    /// how far it agrees with the leader's, beyond what is committed.
    pub fn new(leader_epoch: LeaderEpoch, log: &FollowerLog, backoff: Duration) -> (Self, FollowerStep) {
        let position = FetchPosition {
            leader_epoch,
            fetch_offset: log.log_end_offset,
            last_fetched_epoch: log.last_fetched_epoch(),
        };
        let mut fetch =
            Self { position, readiness: Readiness::Fetching, backoff, next_pause: FIRST_PAUSE.min(backoff) };
        let step = if log.latest_epoch.is_none() && log.high_watermark < log.log_end_offset {
            fetch.readiness = Readiness::Acting;
            FollowerStep::Truncate { offset: log.high_watermark, loses_committed: false }
        } else {
            FollowerStep::None
        };
        (fetch, step)
    }

    /// Follows in a newer epoch. The same one again changes nothing: what is under way goes on, and what has failed stays so.
    pub fn follow(&mut self, leader_epoch: LeaderEpoch, log: &FollowerLog) -> FollowerStep {
        if leader_epoch <= self.position.leader_epoch {
            return FollowerStep::None;
        }
        let step;
        (*self, step) = Self::new(leader_epoch, log, self.backoff);
        step
    }

    /// What to fetch now, if anything.
    pub fn position(&self, now: Monotonic) -> Option<FetchPosition> {
        let is_ready = match self.readiness {
            Readiness::Fetching => true,
            Readiness::Delayed(until) => until <= now,
            Readiness::Acting | Readiness::Failed => false,
        };
        is_ready.then_some(self.position)
    }

    /// When it may fetch again, where it pauses.
    pub fn delayed_until(&self) -> Option<Monotonic> {
        match self.readiness {
            Readiness::Delayed(until) => Some(until),
            Readiness::Fetching | Readiness::Acting | Readiness::Failed => None,
        }
    }

    /// Whether it waits for another leader epoch.
    pub fn has_failed(&self) -> bool {
        self.readiness == Readiness::Failed
    }

    /// Takes the answer to a fetch that went out from `sent`. It counts only if nothing has changed since (KAFKA-7786,
    /// KAFKA-8012, KAFKA-13207). `own_end` tells where an epoch ended in our log: the greatest known epoch that is not above
    /// it, and its end offset.
    pub fn answered(
        &mut self,
        sent: &FetchPosition,
        answer: Result<LeaderAnswer, ErrorCode>,
        log: &FollowerLog,
        own_end: impl FnOnce(LeaderEpoch) -> Option<(LeaderEpoch, i64)>,
        now: Monotonic,
    ) -> FollowerStep {
        if self.position(now) != Some(*sent) {
            return FollowerStep::None;
        }
        if log.log_end_offset != sent.fetch_offset {
            self.restarted(log);
            return FollowerStep::None;
        }
        match answer {
            Ok(answer) => {
                self.next_pause = FIRST_PAUSE.min(self.backoff);
                self.readiness = Readiness::Acting;
                match answer.diverging {
                    Some(leader_end) => truncation(leader_end, log, own_end),
                    None => self.append(&answer, log),
                }
            }
            Err(ErrorCode::OffsetOutOfRange) => {
                self.readiness = Readiness::Acting;
                FollowerStep::Ask(LeaderOffset::Latest)
            }
            Err(code) => {
                self.refused(code, now);
                FollowerStep::None
            }
        }
    }

    fn append(&self, answer: &LeaderAnswer, log: &FollowerLog) -> FollowerStep {
        let start_at = answer.first_offset.filter(|first| log.is_empty() && *first < log.log_end_offset);
        FollowerStep::Append { newest_epoch: self.position.leader_epoch, start_at }
    }

    fn refused(&mut self, code: ErrorCode, now: Monotonic) {
        match code {
            // The leader is ahead of our metadata, which will tell.
            ErrorCode::FencedLeaderEpoch => self.readiness = Readiness::Failed,
            ErrorCode::UnknownLeaderEpoch | ErrorCode::NotLeaderOrFollower => {
                self.readiness = Readiness::Delayed(now + self.next_pause);
                self.next_pause = (self.next_pause * 2).min(self.backoff);
            }
            _ => self.back_off(now),
        }
    }

    /// Pauses, because the connection broke or the leader has refused everything.
    pub fn back_off(&mut self, now: Monotonic) {
        if !self.has_failed() {
            self.readiness = Readiness::Delayed(now + self.backoff);
        }
    }

    /// Records were appended, up to the last of the log `log` is now; `last_epoch` is that of the last batch that came, if any
    /// came: an empty answer takes nothing back of what is known (KAFKA-15510).
    pub fn appended(&mut self, log: &FollowerLog, last_epoch: Option<LeaderEpoch>) {
        self.position.fetch_offset = log.log_end_offset;
        self.position.last_fetched_epoch = last_epoch.unwrap_or(self.position.last_fetched_epoch);
        self.resume();
    }

    /// Records were not appended. What is damaged is fetched again; other partitions go on either way.
    pub fn append_failed(&mut self, error: FollowerAppendError, now: Monotonic) {
        match error {
            FollowerAppendError::Corrupt => self.back_off(now),
            FollowerAppendError::Storage => self.readiness = Readiness::Failed,
        }
    }

    /// The log was truncated, and goes on from where it ends now.
    pub fn restarted(&mut self, log: &FollowerLog) {
        self.position.fetch_offset = log.log_end_offset;
        self.position.last_fetched_epoch = log.last_fetched_epoch();
        self.resume();
    }

    fn resume(&mut self) {
        if !self.has_failed() {
            self.readiness = Readiness::Fetching;
        }
    }

    /// Takes the answer to [`FollowerStep::Ask`], which went out from `sent`. A leader that ends before us has lost records by
    /// an unclean election; one that begins behind our end has deleted what we lack.
    pub fn listed(
        &mut self,
        sent: &FetchPosition,
        asked: LeaderOffset,
        answer: Result<i64, ErrorCode>,
        log: &FollowerLog,
        now: Monotonic,
    ) -> FollowerStep {
        if self.position != *sent || self.readiness != Readiness::Acting {
            return FollowerStep::None;
        }
        match (answer, asked) {
            (Ok(end), LeaderOffset::Latest) if end < log.log_end_offset => truncate(end, log),
            (Ok(_), LeaderOffset::Latest) => FollowerStep::Ask(LeaderOffset::Earliest),
            (Ok(start), LeaderOffset::Earliest) if start > log.log_end_offset => {
                FollowerStep::TruncateFully { offset: start }
            }
            (Ok(_), LeaderOffset::Earliest) => {
                self.restarted(log);
                FollowerStep::None
            }
            (Err(code), _) => {
                self.refused(code, now);
                FollowerStep::None
            }
        }
    }

    /// Where we are, whether we may fetch or not.
    pub fn current_position(&self) -> FetchPosition {
        self.position
    }
}

/// By epochs alone, never by the high watermark (KIP-101). Where we do not know the leader's epoch, we go back to the end of
/// the one before it that we know, and the next fetch finds out more.
fn truncation(
    (leader_epoch, leader_end): (LeaderEpoch, i64),
    log: &FollowerLog,
    own_end: impl FnOnce(LeaderEpoch) -> Option<(LeaderEpoch, i64)>,
) -> FollowerStep {
    truncate(
        match own_end(leader_epoch) {
            Some((epoch, end)) if epoch == leader_epoch => end.min(leader_end),
            Some((_, end)) => end,
            None => leader_end,
        },
        log,
    )
}

fn truncate(offset: i64, log: &FollowerLog) -> FollowerStep {
    let offset = offset.min(log.log_end_offset);
    FollowerStep::Truncate { offset, loses_committed: offset < log.high_watermark }
}

/// Where a follower's log is to begin when its leader's begins at `leader_start`: never later than what is committed, as far as
/// the follower knows.
pub fn following_log_start(leader_start: i64, log: &FollowerLog) -> i64 {
    leader_start.min(log.high_watermark).max(log.log_start_offset)
}
