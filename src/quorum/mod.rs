//! The metadata log: durable, and applied to the published image; one node so far.
//!
//! Consensus is openraft's; the log's encoding and files are ours. A single node is a quorum of one by the same code.
//! Promises: a proposal that succeeded is durable and in the published image; the controller epoch is openraft's term and
//! grows with each leadership; an image, once published, never changes. Knows nothing of what the records mean.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::OptionFuture;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{BasicNode, Config, Raft, SnapshotPolicy};
use tokio::task::JoinHandle;

use self::image_machine::{ImageMachine, SnapshotStore};
use self::log_store::{LogStore, WeakLogStore};
use self::network::NoPeers;
use self::published::Published;
use self::types::{MetadataRecords, Snapshot, Types};
use crate::ids::NodeId;
use crate::metadata::{MetadataImage, MetadataRecord};
use crate::protocol::ErrorCode;

pub use self::published::MetadataChanges;

pub mod driver;
mod durable_end;
mod encoding;
mod image_machine;
mod log_file;
mod log_store;
mod network;
mod published;
#[cfg(test)]
mod tests;
mod types;

/// How long the first leadership may take before the start is given up. A quorum of one needs a few milliseconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Nobody hears the heartbeats of a quorum of one, and it elects itself without waiting; but the engine looks at its timers
/// five times in each interval, and each look wakes three threads.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// Entries that stay in the log after a snapshot, for followers that are a little behind.
const ENTRIES_KEPT: u64 = 1_000;

/// Where and how the metadata log lives.
#[derive(Debug, Clone)]
pub struct QuorumOptions {
    /// This node.
    pub node_id: NodeId,
    /// The directory of the log and its snapshots, made if missing; `None` keeps both in memory.
    pub directory: Option<PathBuf>,
    /// After how many log entries a snapshot is taken and the log cut.
    pub entries_between_snapshots: u64,
    /// How often the leader is heard of. It may write for four times as long without having been heard of.
    pub heartbeat_interval: Duration,
}

impl QuorumOptions {
    /// The log of `node_id` in `directory`, with a snapshot every 10,000 entries and a heartbeat every 5 s.
    pub fn new(node_id: NodeId, directory: Option<PathBuf>) -> Self {
        Self { node_id, directory, entries_between_snapshots: 10_000, heartbeat_interval: HEARTBEAT_INTERVAL }
    }
}

/// The quorum as one of its nodes sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumState {
    /// The node that leads, as far as this one knows.
    pub leader_id: Option<NodeId>,
    /// The term of that leadership, or of the search for one: the controller epoch.
    pub epoch: i32,
    /// The offset behind the last entry that is committed.
    pub high_watermark: i64,
    /// The voters, each with the offset behind its last entry, where that is known here.
    pub voters: Vec<(NodeId, Option<i64>)>,
}

/// Why the metadata log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum QuorumError {
    /// Its files could not be read or written, or are damaged.
    #[error("{source}")]
    Files {
        /// Where they are; empty for memory.
        directory: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The consensus engine did not start.
    #[error("the metadata quorum did not start: {0}")]
    Start(String),
}

/// This node's part in the quorum.
#[derive(Debug)]
pub struct MetadataQuorum {
    raft: Raft<Types, ImageMachine>,
    published: Arc<Published>,
    log: WeakLogStore,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

impl MetadataQuorum {
    /// Opens or creates the log, and returns once this node leads and its image holds everything committed.
    pub async fn open(options: QuorumOptions) -> Result<Self, QuorumError> {
        let node_id = options.node_id;
        let published = Arc::new(Published::new());
        let (log_store, machine, flusher) = open_files(&options, &published).map_err(|source| QuorumError::Files {
            directory: options.directory.clone().unwrap_or_default(),
            source,
        })?;
        let log = log_store.downgrade();
        let config = Arc::new(raft_config(&options).validate().map_err(start_error)?);
        let raft = Raft::new(node_id, config, NoPeers, log_store, machine).await.map_err(start_error)?;
        let quorum = Self { raft, published, log, flusher: Mutex::new(Some(flusher)) };
        if let Err(error) = quorum.lead(node_id).await {
            quorum.shutdown().await;
            return Err(error);
        }
        Ok(quorum)
    }

    /// Makes this node the leader at once: a quorum of one waits for no election timeout.
    async fn lead(&self, node_id: NodeId) -> Result<(), QuorumError> {
        if self.raft.is_initialized().await.map_err(start_error)? {
            self.raft.trigger().elect(false).await.map_err(start_error)?;
        } else {
            // This begins an election by itself.
            let voters = BTreeMap::from([(node_id, BasicNode::new(""))]);
            self.raft.initialize(voters).await.map_err(start_error)?;
        }
        self.raft.wait(Some(START_TIMEOUT)).current_leader(node_id, "a quorum of one").await.map_err(start_error)?;
        self.raft.wait_for_recovery(Some(START_TIMEOUT)).await.map_err(start_error)?;
        Ok(())
    }

    /// The newest image.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.published.image()
    }

    /// The batches of records that the log still holds, the oldest first: what the newest image follows from, except for
    /// what a snapshot has replaced.
    pub fn logged_records(&self) -> Vec<Arc<[MetadataRecord]>> {
        self.log.records()
    }

    /// Follows the image, from the empty one on.
    pub fn subscribe(&self) -> MetadataChanges {
        self.published.subscribe()
    }

    /// Appends `records` as one atomic batch, and returns its offset once they are durable and in the published image.
    ///
    /// `NotController` where another node leads, `KafkaStorageError` where the log cannot be written any more; in both
    /// cases whether the records will be part of the metadata is not known.
    pub async fn propose(&self, records: Vec<MetadataRecord>) -> Result<i64, ErrorCode> {
        match self.raft.client_write(MetadataRecords(records.into())).await {
            Ok(written) => Ok(written.log_id.index.cast_signed()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_))) => {
                Err(ErrorCode::NotController)
            }
            Err(error) => {
                tracing::error!(%error, "the metadata log cannot be written");
                Err(ErrorCode::KafkaStorageError)
            }
        }
    }

    /// The node that leads the quorum, and so is the controller, as far as this node knows.
    pub fn controller_id(&self) -> Option<NodeId> {
        self.raft.server_metrics().borrow_watched().current_leader
    }

    /// The controller epoch: the term of the leadership that this node knows of.
    pub fn epoch(&self) -> i32 {
        i32::try_from(self.raft.server_metrics().borrow_watched().vote.leader_id.term).unwrap_or(i32::MAX)
    }

    /// The quorum at this moment.
    pub fn state(&self) -> QuorumState {
        let watched = self.raft.metrics();
        let metrics = watched.borrow_watched();
        let end = |index: u64| index.saturating_add(1).cast_signed();
        let log_end_offset = |id: NodeId| {
            if id == metrics.id {
                return metrics.last_log_index.map(end);
            }
            let matched = metrics.replication.as_ref()?.get(&id)?.as_ref()?;
            Some(end(matched.index))
        };
        QuorumState {
            leader_id: metrics.current_leader,
            epoch: i32::try_from(metrics.current_term).unwrap_or(i32::MAX),
            high_watermark: metrics.local_committed.as_ref().map_or(0, |committed| end(committed.index)),
            voters: metrics.membership_config.voter_ids().map(|id| (id, log_end_offset(id))).collect(),
        }
    }

    /// Completes when the metadata log cannot be written any more, or was shut down.
    pub async fn failed(&self) {
        // Ends with an error where the engine has ended, which is the same news.
        drop(self.raft.wait(None).metrics(|metrics| metrics.running_state.is_err(), "a failure").await);
    }

    /// Stops every task; a proposal under way fails, and so does every later one.
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "the metadata quorum did not stop cleanly");
        }
        let flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = OptionFuture::from(flusher).await {
            tracing::error!(%error, "the metadata log's flush task failed");
        }
    }
}

/// Whether the log in `directory`, or its snapshot, holds any metadata record. Changes nothing; a directory that is not
/// there holds none. What is too damaged to tell counts as metadata, for [`MetadataQuorum::open`] to complain about.
pub fn has_metadata(directory: &Path) -> io::Result<bool> {
    Ok(image_machine::snapshot_path(directory).try_exists()? || log_file::has_records(&log_store::log_path(directory))?)
}

fn open_files(
    options: &QuorumOptions,
    published: &Arc<Published>,
) -> io::Result<(LogStore, ImageMachine, JoinHandle<()>)> {
    let directory = options.directory.as_deref();
    directory.map_or(Ok(()), std::fs::create_dir_all)?;
    let snapshots = Arc::new(SnapshotStore::new(directory));
    let (voters, covered) = match snapshots.load()? {
        Some(Snapshot { meta, .. }) => (meta.last_membership.voter_ids().collect(), meta.last_log_id),
        None => (BTreeSet::from([options.node_id]), None),
    };
    let (log_store, flusher) = LogStore::open(directory, voters, covered)?;
    Ok((log_store, ImageMachine::new(Arc::clone(published), snapshots), flusher))
}

fn raft_config(options: &QuorumOptions) -> Config {
    let heartbeat_interval = u64::try_from(options.heartbeat_interval.as_millis()).unwrap_or(u64::MAX / 4);
    Config {
        cluster_name: "klamm".to_owned(),
        heartbeat_interval,
        election_timeout_min: 2 * heartbeat_interval,
        election_timeout_max: 4 * heartbeat_interval,
        enable_pre_vote: Some(true),
        // Each start shall be a new controller epoch.
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.entries_between_snapshots),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT.min(options.entries_between_snapshots / 2),
        ..Config::default()
    }
}

fn start_error(error: impl std::fmt::Display) -> QuorumError {
    QuorumError::Start(error.to_string())
}
