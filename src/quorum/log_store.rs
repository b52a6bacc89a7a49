//! The log store that openraft writes to: votes and entries, in memory and, unless the broker lives in memory, in a file.
//!
//! In a quorum of one nobody else learns of a vote or of the entry that opens a term, and neither carries metadata; so
//! they become durable with the next records instead of by an fsync of their own. That makes a start cost one fsync. Only
//! the membership in the log makes a quorum one of one: a node that knows of no membership may have joined a larger one.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::vote::RaftLeaderId;
use openraft::{LogState, OptionalSend, RaftLogReader};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::encoding::{LogFrame, invalid};
use super::log_file::{MetadataLogFile, SyncHandle};
use super::types::{LogEntry, LogId, Payload, SnapshotMeta, Types, Vote, term};
use crate::ids::NodeId;
use crate::metadata::MetadataRecord;

#[cfg(test)]
#[path = "log_store_tests.rs"]
mod tests;

/// A handle on the store; clones share it.
#[derive(Debug, Clone)]
pub(super) struct LogStore {
    inner: Arc<Mutex<Inner>>,
    flushes: mpsc::UnboundedSender<Flush>,
}

/// An append that waits for its turn to be reported done.
struct Flush {
    callback: IOFlushed<Types>,
    must_sync: bool,
}

#[derive(Debug)]
struct Inner {
    contents: Contents,
    file: Option<MetadataLogFile>,
}

/// What the frames amount to.
#[derive(Debug)]
struct Contents {
    vote: Option<Vote>,
    purged: Option<LogId>,
    /// Their indexes follow each other.
    entries: VecDeque<LogEntry>,
    me: NodeId,
    /// The voters since each index that the log still has; those of the snapshot have index `None`.
    memberships: Vec<(Option<u64>, BTreeSet<NodeId>)>,
}

impl LogStore {
    /// Opens the log of the node `me` in `directory`, or an empty one in memory. `snapshot` tells what the snapshot covers,
    /// and the voters that count until the log tells others.
    ///
    /// The task that is returned ends when the last handle is gone.
    pub(super) fn open(
        directory: Option<&Path>,
        me: NodeId,
        snapshot: Option<&SnapshotMeta>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let mut contents = Contents { vote: None, purged: None, entries: VecDeque::new(), me, memberships: Vec::new() };
        let file = directory
            .map(|directory| MetadataLogFile::open(log_path(directory), |frame| contents.replay(frame)))
            .transpose()?;
        // Behind the frames, because one that tells of a purge forgets what it does not know.
        let covered = snapshot.map(|meta| (None, meta.last_membership.voter_ids().collect()));
        contents.memberships.splice(..0, covered);
        contents.check(snapshot.and_then(|meta| meta.last_log_id))?;
        let inner = Arc::new(Mutex::new(Inner { contents, file }));
        let (sender, requests) = mpsc::unbounded_channel();
        let flusher = tokio::spawn(flush(Arc::clone(&inner), requests));
        Ok((Self { inner, flushes: sender }, flusher))
    }

    /// A handle that does not keep the store open.
    pub(super) fn downgrade(&self) -> WeakLogStore {
        WeakLogStore(Arc::downgrade(&self.inner))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    async fn write(&self, frame: LogFrame) -> io::Result<()> {
        let handle = {
            let mut inner = self.lock();
            inner.write(vec![frame])?;
            if inner.contents.is_alone() { None } else { inner.sync_handle() }
        };
        sync(handle).await
    }
}

/// Looks at a store as long as others have it open.
#[derive(Debug)]
pub(super) struct WeakLogStore(Weak<Mutex<Inner>>);

impl WeakLogStore {
    /// The batches of records in the log, the oldest first.
    pub(super) fn records(&self) -> Vec<Arc<[MetadataRecord]>> {
        let Some(inner) = self.0.upgrade() else { return Vec::new() };
        let inner = lock(&inner);
        let records = inner.contents.entries.iter().filter_map(|entry| match &entry.payload {
            Payload::Normal(records) => Some(Arc::clone(&records.0)),
            Payload::Blank | Payload::Membership(_) => None,
        });
        records.collect()
    }
}

/// The file of the votes and entries.
pub(super) fn log_path(directory: &Path) -> PathBuf {
    directory.join("log")
}

impl Inner {
    fn write(&mut self, frames: Vec<LogFrame>) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.append(&frames)?;
        }
        for frame in frames {
            self.contents.replay(frame);
        }
        Ok(())
    }

    fn sync_handle(&mut self) -> Option<SyncHandle> {
        self.file.as_mut().map(MetadataLogFile::sync_handle)
    }
}

impl Contents {
    fn replay(&mut self, frame: LogFrame) {
        match frame {
            LogFrame::Vote(vote) => self.vote = Some(vote),
            LogFrame::Entry(entry) => {
                if let Payload::Membership(membership) = &entry.payload {
                    self.memberships.push((Some(entry.log_id.index), membership.voter_ids().collect()));
                }
                self.entries.push_back(entry);
            }
            LogFrame::TruncateFrom(index) => {
                self.entries.truncate(self.position(index));
                self.memberships.retain(|(since, _)| *since < Some(index));
            }
            LogFrame::Purged(log_id) => self.purge(log_id),
        }
    }

    fn purge(&mut self, log_id: LogId) {
        if self.last_log_id() < Some(log_id) {
            // The snapshot of another node has taken the log's place, and who votes in it is not known here.
            self.memberships.clear();
        }
        self.entries.drain(..self.position(log_id.index.saturating_add(1)));
        let covered = self.memberships.iter().rposition(|(since, _)| *since <= Some(log_id.index));
        self.memberships.drain(..covered.unwrap_or(0));
        self.purged = Some(log_id);
    }

    /// Where the first entry is that has this index or a later one.
    fn position(&self, index: u64) -> usize {
        self.entries.partition_point(|entry| entry.log_id.index < index)
    }

    /// The entries whose indexes are within `range`.
    fn range(&self, range: &impl RangeBounds<u64>) -> impl Iterator<Item = &LogEntry> {
        let start = match range.start_bound() {
            Bound::Included(start) => self.position(*start),
            Bound::Excluded(start) => self.position(start.saturating_add(1)),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => self.position(end.saturating_add(1)),
            Bound::Excluded(end) => self.position(*end),
            Bound::Unbounded => self.entries.len(),
        };
        self.entries.range(start..end.max(start))
    }

    /// Fails where entries are missing or out of order. Intact frames can still not belong together: the snapshot that
    /// has what was purged may be lost, or be of another log.
    fn check(&self, snapshot: Option<LogId>) -> io::Result<()> {
        if self.purged > snapshot {
            return Err(invalid("the metadata log goes on from a snapshot that is not there"));
        }
        let mut last = self.purged;
        for entry in &self.entries {
            let index = last.map_or(0, |last| last.index.saturating_add(1));
            if entry.log_id.index != index || last.is_some_and(|last| term(&entry.log_id) < term(&last)) {
                return Err(invalid(format!("entry {index} of the metadata log is missing")));
            }
            last = Some(entry.log_id);
        }
        let voted = self.vote.map(|vote| vote.leader_id().term());
        if voted < last.max(snapshot).map(|last| term(&last)) {
            return Err(invalid("the vote of the metadata log's last term is missing"));
        }
        Ok(())
    }

    /// Whether this node is the only voter, and nothing in the log says that it was otherwise: an entry that made it the
    /// only one must itself be durable before anything is left to chance.
    fn is_alone(&self) -> bool {
        let mut known = self.memberships.iter().peekable();
        known.peek().is_some() && known.all(|(_, voters)| voters.iter().eq([&self.me]))
    }

    fn last_log_id(&self) -> Option<LogId> {
        self.entries.back().map(|entry| entry.log_id).or(self.purged)
    }

    /// The frames that lead to these contents.
    fn frames(&self) -> Vec<LogFrame> {
        let vote = self.vote.map(LogFrame::Vote);
        let purged = self.purged.map(LogFrame::Purged);
        vote.into_iter().chain(purged).chain(self.entries.iter().cloned().map(LogFrame::Entry)).collect()
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reports appends done in their order, with one fsync for all that waited meanwhile.
async fn flush(inner: Arc<Mutex<Inner>>, mut requests: mpsc::UnboundedReceiver<Flush>) {
    let mut waiting = Vec::new();
    while requests.recv_many(&mut waiting, usize::MAX).await > 0 {
        let must_sync = waiting.iter().any(|request| request.must_sync);
        let handle = if must_sync { lock(&inner).sync_handle() } else { None };
        let result = sync(handle).await.map_err(|error| error.to_string());
        for request in waiting.drain(..) {
            request.callback.io_completed(result.clone().map_err(io::Error::other));
        }
    }
    if let Some(file) = &lock(&inner).file {
        file.close();
    }
}

async fn sync(handle: Option<SyncHandle>) -> io::Result<()> {
    match handle {
        Some(handle) => spawn_blocking(move || handle.sync()).await.map_err(io::Error::other)?,
        None => Ok(()),
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<LogEntry>> {
        Ok(self.lock().contents.range(&range).cloned().collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.lock().contents.vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let inner = self.lock();
        Ok(LogState { last_purged_log_id: inner.contents.purged, last_log_id: inner.contents.last_log_id() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.write(LogFrame::Vote(*vote)).await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        let carries_records = entries.iter().any(|entry| matches!(entry.payload, Payload::Normal(_)));
        let must_sync = {
            let mut inner = self.lock();
            inner.write(entries.into_iter().map(LogFrame::Entry).collect())?;
            carries_records || !inner.contents.is_alone()
        };
        let flush = Flush { callback, must_sync };
        self.flushes.send(flush).map_err(|_| io::Error::other("the metadata log's flush task is gone"))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        self.write(LogFrame::TruncateFrom(last_log_id.map_or(0, |log_id| log_id.index + 1))).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let inner = Arc::clone(&self.inner);
        let purge = move || {
            let mut inner = lock(&inner);
            inner.contents.replay(LogFrame::Purged(log_id));
            let frames = inner.contents.frames();
            inner.file.as_mut().map_or(Ok(()), |file| file.rewrite(&frames))
        };
        spawn_blocking(purge).await.map_err(io::Error::other)?
    }
}
