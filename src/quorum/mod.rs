//! The metadata log: durable, and applied to the published image of each node of the quorum.
//!
//! Consensus is openraft's; the log's encoding and files are ours. A single node is a quorum of one by the same code. Several
//! nodes [meet](meeting) before they begin a log, and then reach each other by a [`Transport`]: [`TcpTransport`], or a
//! simulated network. A node is known by its id and by the directory of its metadata, so that one that has lost its log
//! neither votes nor is written to as what it was.
//! Promises: a proposal that succeeded is durable and in the published image; the controller epoch is openraft's term and
//! grows with each leadership; an image, once published, never changes. Knows nothing of what the records mean.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::OptionFuture;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{BasicNode, Config, Raft, SnapshotPolicy};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use self::encoding::invalid;
use self::image_machine::{ImageMachine, SnapshotStore};
use self::log_store::{LogStore, WeakLogStore};
use self::network::{NoPeers, Peers, directory_of, node_in};
use self::published::Published;
use self::rpc::{PeerRequest, PeerResponse, VoterKey, decode_request, encode_response};
use self::types::{MetadataRecords, Snapshot, Types};
use crate::clock::Clock;
use crate::ids::{NodeId, Uuid};
use crate::metadata::{MetadataImage, MetadataRecord};
use crate::protocol::ErrorCode;

pub use self::door::QuorumDoor;
pub use self::hello::Hello;
pub use self::network::Transport;
pub use self::own_thread::QuorumThread;
pub use self::probe::{ProbeOutcome, Prober};
pub use self::published::MetadataChanges;
pub use self::tcp::TcpTransport;

mod door;
pub mod driver;
mod durable_end;
mod elections;
mod encoding;
mod forming;
mod hello;
mod image_machine;
mod leadership;
mod log_file;
mod log_store;
pub mod meeting;
mod network;
mod own_thread;
mod probe;
mod published;
mod rpc;
#[cfg(test)]
mod simulation_tests;
mod tcp;
#[cfg(test)]
mod tests;
mod types;

/// How long the first leadership may take before the start is given up. A quorum of one needs a few milliseconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Nobody hears the heartbeats of a quorum of one, and it elects itself without waiting; but the engine looks at its timers
/// five times in each interval, and each look wakes three threads.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// How long a snapshot may be on its way to another node. It is sent in one message.
const SNAPSHOT_TIMEOUT_MS: u64 = 10_000;

/// How many entries a message carries at most: 5,000 records each, half a megabyte, stay below [`tcp::MAX_MESSAGE`].
const MAX_ENTRIES_IN_A_MESSAGE: u64 = 100;

/// How long answers to other nodes may take once a stop has begun.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Entries that stay in the log after a snapshot, for followers that are a little behind.
const ENTRIES_KEPT: u64 = 1_000;

/// Who votes in a log that is new. A log that has begun tells that itself, and then this is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formation {
    /// This node alone; it leads at once.
    Alone,
    /// These nodes, each with its directory, of which this one is the first that has the log. No other node may found, or
    /// there are two quorums.
    Found(BTreeMap<NodeId, Uuid>),
    /// Whoever the nodes say that have the log: this one waits to hear of them.
    Join,
}

/// Where and how the metadata log lives.
#[derive(Debug, Clone)]
pub struct QuorumOptions {
    /// This node.
    pub node_id: NodeId,
    /// The id of the directory that this node's metadata is in; the others know the node by it, too.
    pub directory_id: Uuid,
    /// The cluster's id; nodes of another cluster are refused.
    pub cluster_id: Arc<str>,
    /// The directory of the log and its snapshots, made if missing; `None` keeps both in memory.
    pub directory: Option<PathBuf>,
    /// After how many log entries a snapshot is taken and the log cut.
    pub entries_between_snapshots: u64,
    /// Who votes, if the log is new.
    pub formation: Formation,
    /// How often the leader is heard of. It may write for six times as long without having been heard of.
    pub heartbeat_interval: Duration,
}

impl QuorumOptions {
    /// The log of `node_id` in `directory`, of which it is the only voter, with a snapshot every 10,000 entries and a
    /// heartbeat every 5 s.
    pub fn new(node_id: NodeId, directory: Option<PathBuf>) -> Self {
        Self {
            node_id,
            directory_id: Uuid::nil(),
            cluster_id: Arc::default(),
            directory,
            entries_between_snapshots: 10_000,
            formation: Formation::Alone,
            heartbeat_interval: HEARTBEAT_INTERVAL,
        }
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
    /// The voters have not found together in time.
    #[error("the metadata quorum was not formed: {0}")]
    NotFormed(String),
    /// The log is not that of the voters that are configured.
    #[error("the metadata log has the voters {log}, and controller.quorum.voters names {configured}")]
    OtherVoters {
        /// The ids of those in the log.
        log: String,
        /// The ids of those in the configuration.
        configured: String,
    },
}

/// This node's part in the quorum.
#[derive(Debug)]
pub struct MetadataQuorum {
    raft: Raft<Types, ImageMachine>,
    cluster_id: Arc<str>,
    me: VoterKey,
    /// The index of the last entry that the log had when it was opened.
    opened_at: Option<u64>,
    clock: Clock,
    published: Arc<Published>,
    log: WeakLogStore,
    epoch: AtomicI32,
    flusher: Mutex<Option<JoinHandle<()>>>,
    /// Shortens elections, where there can be any.
    hastening: Mutex<Option<JoinHandle<()>>>,
    /// The answers under way.
    answering: TaskTracker,
}

impl MetadataQuorum {
    /// Opens or creates the log of a node that can reach no other one; see [`MetadataQuorum::open_with`].
    pub async fn open(options: QuorumOptions) -> Result<Self, QuorumError> {
        // On the heap: the engine's futures within those of whoever opens are deeper than the compiler follows.
        Box::pin(Self::open_with(options, Arc::new(NoPeers), Clock::system())).await
    }

    /// Opens or creates the log. Where this node is the only voter, returns once it leads and its image holds everything
    /// committed; else at once, with an image that may be old: the others, whom `transport` reaches, may be away. `clock` tells
    /// how long they take to answer.
    pub async fn open_with(
        options: QuorumOptions,
        transport: Arc<dyn Transport>,
        clock: Clock,
    ) -> Result<Self, QuorumError> {
        let me = options.node_id;
        let published = Arc::new(Published::new());
        let (log_store, machine, flusher) = open_files(&options, &published).map_err(|source| QuorumError::Files {
            directory: options.directory.clone().unwrap_or_default(),
            source,
        })?;
        let log = log_store.downgrade();
        let config = Arc::new(raft_config(&options).validate().map_err(start_error)?);
        let key = VoterKey { id: me, directory_id: options.directory_id };
        let (cluster_id, reached) = (Arc::clone(&options.cluster_id), transport.reached());
        let peers = Peers { cluster_id, me: key, transport, clock: clock.clone() };
        let raft = Raft::new(me, config, peers, log_store, machine).await.map_err(start_error)?;
        let is_founder = matches!(options.formation, Formation::Found(_));
        let hastening =
            reached.map(|reached| tokio::spawn(elections::hasten(raft.clone(), is_founder, reached, clock.clone())));
        let opened_at = raft.metrics().borrow_watched().last_log_index;
        let quorum = Self {
            raft,
            cluster_id: options.cluster_id,
            me: key,
            opened_at,
            clock,
            published,
            log,
            epoch: AtomicI32::new(-1),
            flusher: Mutex::new(Some(flusher)),
            hastening: Mutex::new(hastening),
            answering: TaskTracker::new(),
        };
        if let Err(error) = quorum.begin(me, options.formation).await {
            quorum.shutdown().await;
            return Err(error);
        }
        Ok(quorum)
    }

    /// Founds the quorum where that is this node's to do. A quorum of one waits for no election timeout.
    async fn begin(&self, me: NodeId, formation: Formation) -> Result<(), QuorumError> {
        if self.raft.is_initialized().await.map_err(start_error)? {
            if !self.raft.voter_ids().eq([me]) {
                return Ok(());
            }
            self.raft.trigger().elect(false).await.map_err(start_error)?;
        } else {
            let voters = match formation {
                Formation::Alone => BTreeMap::from([(me, BasicNode::new(""))]),
                Formation::Found(voters) => {
                    voters.into_iter().map(|(id, directory)| (id, node_in(directory))).collect()
                }
                Formation::Join => return Ok(()),
            };
            let is_alone = voters.keys().eq([&me]);
            // This begins an election by itself.
            self.raft.initialize(voters).await.map_err(start_error)?;
            if !is_alone {
                return Ok(());
            }
        }
        self.raft.wait(Some(START_TIMEOUT)).current_leader(me, "a quorum of one").await.map_err(start_error)?;
        self.raft.wait_for_recovery(Some(START_TIMEOUT)).await.map_err(start_error)?;
        Ok(())
    }

    /// Answers a request that another node's [`Transport`] has brought here. An error where it cannot be read, is for
    /// another node, or comes from a node that is not what the log knows it as; then nothing has happened.
    pub async fn answer(&self, request: Bytes) -> io::Result<Bytes> {
        let (route, request) = decode_request(&self.cluster_id, self.me, &request)?;
        self.check_sender(route.from)?;
        let _answering = self.answering.token();
        if self.answering.is_closed() {
            return Err(io::Error::other("the node is stopping"));
        }
        let response = match request {
            PeerRequest::Append(append) => self.raft.append_entries(append).await.map(PeerResponse::Append),
            PeerRequest::Vote(vote) => self.raft.vote(vote).await.map(PeerResponse::Vote),
            PeerRequest::PreVote(vote) => self.raft.pre_vote(vote).await.map(PeerResponse::Vote),
            PeerRequest::Snapshot(vote, snapshot) => {
                let installed = self.raft.install_full_snapshot(vote, snapshot).await;
                installed.map(PeerResponse::Snapshot).map_err(RaftError::Fatal)
            }
            PeerRequest::TransferLeader(transfer) => {
                let heard = self.raft.handle_transfer_leader(transfer).await;
                heard.map(PeerResponse::TransferLeader).map_err(RaftError::Fatal)
            }
        };
        let response = response.unwrap_or_else(|error| PeerResponse::Failed(error.to_string()));
        Ok(encode_response(&route.back(), &response))
    }

    /// Whoever has not learned yet who belongs to the quorum believes what the others say.
    fn check_sender(&self, from: VoterKey) -> io::Result<()> {
        let watched = self.raft.server_metrics();
        let membership = Arc::clone(&watched.borrow_watched().membership_config);
        if membership.nodes().next().is_none() {
            return Ok(());
        }
        match membership.get_node(&from.id).map(directory_of) {
            Some(known) if known == from.directory_id => Ok(()),
            Some(known) => Err(invalid(format!("{from} is not what it was: the quorum knows it by directory {known}"))),
            None => Err(invalid(format!("{from} does not belong to the quorum"))),
        }
    }

    /// What this node says of itself to others, where it has said `before` until its log was open.
    pub(crate) fn hello(&self, before: &Hello) -> Hello {
        let watched = self.raft.metrics();
        let metrics = watched.borrow_watched();
        let nodes = metrics.membership_config.nodes();
        Hello {
            cluster_id: Some(Arc::clone(&self.cluster_id)),
            is_empty: metrics.last_log_index.is_none() && metrics.last_applied.is_none() && metrics.current_term == 0,
            directories: nodes.map(|(id, node)| (*id, directory_of(node))).collect(),
            ..before.clone()
        }
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
            epoch: controller_epoch(metrics.current_term),
            high_watermark: metrics.local_committed.as_ref().map_or(0, |committed| end(committed.index)),
            voters: metrics.membership_config.voter_ids().map(|id| (id, log_end_offset(id))).collect(),
        }
    }

    /// Completes when the metadata log cannot be written any more, or was shut down.
    pub async fn failed(&self) {
        // Ends with an error where the engine has ended, which is the same news.
        drop(self.raft.wait(None).metrics(|metrics| metrics.running_state.is_err(), "a failure").await);
    }

    /// Hands the leadership over, where there is somebody to take it, and stops every task; a proposal under way fails, and
    /// so does every later one.
    pub async fn shutdown(&self) {
        elections::hand_over(&self.raft, &self.clock).await;
        self.halt().await;
    }

    /// Stops every task, and tells nobody.
    async fn halt(&self) {
        self.answering.close();
        if self.clock.timeout(DRAIN_TIMEOUT, self.answering.wait()).await.is_err() {
            tracing::debug!("other nodes still waited for answers");
        }
        let hastening = self.hastening.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(hastening) = hastening {
            hastening.abort();
            // It ends as cancelled, which is no news.
            drop(hastening.await);
        }
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "the metadata quorum did not stop cleanly");
        }
        let flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = OptionFuture::from(flusher).await {
            tracing::error!(%error, "the metadata log's flush task failed");
        }
    }
}

/// Whether the log in `directory` has not begun: there is no vote, no entry and no snapshot. Changes nothing.
pub fn is_new(directory: &Path) -> io::Result<bool> {
    Ok(!image_machine::snapshot_path(directory).try_exists()? && !log_file::has_begun(&log_store::log_path(directory))?)
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
    let snapshot = snapshots.load()?.map(|Snapshot { meta, .. }| meta);
    let (log_store, flusher) = LogStore::open(directory, options.node_id, snapshot.as_ref())?;
    Ok((log_store, ImageMachine::new(Arc::clone(published), snapshots), flusher))
}

fn raft_config(options: &QuorumOptions) -> Config {
    let heartbeat_interval = u64::try_from(options.heartbeat_interval.as_millis()).unwrap_or(u64::MAX / 32);
    let election_timeout_max = 6 * heartbeat_interval;
    Config {
        cluster_name: "klamm".to_owned(),
        heartbeat_interval,
        election_timeout_min: 3 * heartbeat_interval,
        election_timeout_max,
        // Without it, a leader that a majority no longer hears keeps the others from electing one (openraft #2080).
        quorum_loss_probe_interval: Some(2 * election_timeout_max),
        // One message holds that many; see the bound on its size.
        max_payload_entries: MAX_ENTRIES_IN_A_MESSAGE,
        install_snapshot_timeout: SNAPSHOT_TIMEOUT_MS,
        enable_pre_vote: Some(true),
        // Each start shall be a new controller epoch.
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.entries_between_snapshots),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT.min(options.entries_between_snapshots / 2),
        ..Config::default()
    }
}

/// A term as a controller epoch.
fn controller_epoch(term: u64) -> i32 {
    i32::try_from(term).unwrap_or(i32::MAX)
}

fn start_error(error: impl std::fmt::Display) -> QuorumError {
    QuorumError::Start(error.to_string())
}
