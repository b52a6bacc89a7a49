//! When this node leads, and what it may say then.
//!
//! What was decided in one leadership is never proposed in another: between the two, others may have decided.

use std::future::Future;
use std::pin::pin;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal};
use openraft::impls::ProgressResponder;
use openraft::metrics::RaftServerMetrics;
use openraft::vote::RaftLeaderId;
use openraft::{RaftMetrics, ReadPolicy};

use super::types::{MetadataRecords, Types, term};
use super::{MetadataQuorum, controller_epoch};
use crate::ids::NodeId;
use crate::metadata::MetadataRecord;
use crate::protocol::ErrorCode;

/// One leadership of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QuorumLeadership {
    pub(super) term: u64,
}

/// Why a leadership is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Another term has begun.
    Deposed,
    /// The consensus engine has ended; there will be no other leadership.
    Stopped,
}

impl MetadataQuorum {
    /// Waits until this node leads and its image holds everything that was decided before: the first entry of its term is
    /// applied. Waits for ever where the engine has ended.
    pub(super) async fn next_leadership(&self) -> QuorumLeadership {
        let mut watched = self.raft.server_metrics();
        loop {
            let led = led_term(&watched.borrow_watched());
            if let Some(term) = led {
                let leadership = QuorumLeadership { term };
                if self.is_image_of(leadership).await {
                    return leadership;
                }
            }
            if watched.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits for the first entry of the term; whether the leadership has lasted that long.
    async fn is_image_of(&self, leadership: QuorumLeadership) -> bool {
        let is_applied =
            |metrics: &RaftMetrics<Types>| metrics.last_applied.as_ref().map(term) >= Some(leadership.term);
        let wait = self.raft.wait(None);
        tokio::select! {
            biased;
            applied = wait.metrics(is_applied, "the first entry of the term") => applied.is_ok() && self.leads(leadership),
            _ = self.end_of(leadership) => false,
        }
    }

    /// Does `work` while this node is the controller, anew each time that it becomes it. Work that is done before that is
    /// over is not done again. Completes when it can never become it again.
    pub async fn while_leading<F: Future<Output = ()>>(&self, work: impl Fn() -> F) {
        loop {
            let leadership = self.next_leadership().await;
            let mut end = pin!(self.end_of(leadership));
            let over = tokio::select! {
                biased;
                over = &mut end => over,
                () = work() => end.await,
            };
            if over == Over::Stopped {
                return;
            }
        }
    }

    /// Completes when `leadership` is over, as far as is known here.
    pub(super) fn end_of(&self, leadership: QuorumLeadership) -> impl Future<Output = Over> + Send + use<> {
        let mut watched = self.raft.server_metrics();
        async move {
            while led_term(&watched.borrow_watched()) == Some(leadership.term) {
                if watched.changed().await.is_err() {
                    return Over::Stopped;
                }
            }
            Over::Deposed
        }
    }

    /// Whether `leadership` lasts, as far as is known here.
    pub(super) fn leads(&self, leadership: QuorumLeadership) -> bool {
        led_term(&self.raft.server_metrics().borrow_watched()) == Some(leadership.term)
    }

    /// Why this node answers nothing: it does not lead, or its log cannot be written any more.
    pub(super) fn refusal(&self) -> ErrorCode {
        match &self.raft.metrics().borrow_watched().running_state {
            Ok(()) | Err(Fatal::Stopped) => ErrorCode::NotController,
            Err(_) => ErrorCode::KafkaStorageError,
        }
    }

    /// As [`MetadataQuorum::propose`], but appends nothing unless `leadership` lasts.
    pub(super) async fn propose_in(
        &self,
        leadership: QuorumLeadership,
        records: Vec<MetadataRecord>,
    ) -> Result<i64, ErrorCode> {
        let (responder, written) = ProgressResponder::complete_only();
        let write = self.raft.write(MetadataRecords(records.into())).responder(responder);
        let unwritable = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "the metadata log cannot be written");
            ErrorCode::KafkaStorageError
        };
        write.with_leader(leadership.term).await.map_err(|error| unwritable(&error))?;
        match written.await.map_err(|error| unwritable(&error))? {
            Ok(written) => Ok(written.log_id.index.cast_signed()),
            Err(ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_)) => {
                Err(ErrorCode::NotController)
            }
            Err(error) => Err(unwritable(&error)),
        }
    }

    /// Makes sure that nobody else has decided anything since `leadership` began, and answers the offset of an image that
    /// holds all that was decided in it. `NotController` where a majority does not say so.
    pub(super) async fn confirm(&self, leadership: QuorumLeadership) -> Result<i64, ErrorCode> {
        if !self.is_alone_in(leadership) {
            let read = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
            let read = read.map_err(|error| {
                tracing::debug!(%error, "a majority of the quorum does not confirm that this node leads");
                ErrorCode::NotController
            })?;
            if term(read.read_log_id().log_id()) != leadership.term {
                return Err(ErrorCode::NotController);
            }
        }
        Ok(self.image().offset)
    }

    /// Whether this node leads and needs nobody to go on: it is the only voter.
    fn is_alone_in(&self, leadership: QuorumLeadership) -> bool {
        let watched = self.raft.server_metrics();
        let metrics = watched.borrow_watched();
        led_term(&metrics) == Some(leadership.term) && metrics.membership_config.voter_ids().eq([metrics.id])
    }

    /// The node that leads the quorum, and so is the controller, as far as this node knows.
    pub fn controller_id(&self) -> Option<NodeId> {
        self.raft.server_metrics().borrow_watched().current_leader
    }

    /// Waits until a leader is known, and the image holds all that this node has ever had in its image before, and all that
    /// was decided before that leadership: until then nothing follows from what is not in the image. Waits for ever where
    /// the engine has ended.
    pub async fn caught_up(&self) {
        let opened_at = self.opened_at;
        let has_caught_up = |metrics: &RaftMetrics<Types>| {
            let applied = metrics.last_applied.as_ref();
            // What was in the log and is no longer was never committed.
            let behind = opened_at.min(metrics.last_log_index);
            metrics.current_leader.is_some()
                && metrics.vote.is_committed()
                && applied.map(term) == Some(metrics.current_term)
                && applied.map(|applied| applied.index) >= behind
        };
        if self.raft.wait(None).metrics(has_caught_up, "the metadata up to a leadership").await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        *self.raft.node_id()
    }

    /// The ids of the voters that the log knows; none while it knows nothing.
    pub fn voter_ids(&self) -> Vec<NodeId> {
        self.raft.voter_ids().collect()
    }

    /// The controller epoch: the term of the last leader that this node knows a majority has voted for; -1 where it knows of
    /// none. It never goes back while the node runs, and an election that nobody has won does not raise it.
    pub fn epoch(&self) -> i32 {
        let vote = self.raft.server_metrics().borrow_watched().vote;
        let elected = if vote.is_committed() { controller_epoch(vote.leader_id().term()) } else { -1 };
        let known = elected.max(self.image().controller_epoch);
        self.epoch.fetch_max(known, std::sync::atomic::Ordering::Relaxed).max(known)
    }
}

/// The term that this node leads in.
fn led_term(metrics: &RaftServerMetrics<Types>) -> Option<u64> {
    let leader = metrics.vote.leader_id();
    (metrics.vote.is_committed() && *leader.node_id() == metrics.id).then(|| leader.term())
}
