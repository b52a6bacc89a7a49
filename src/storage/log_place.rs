//! Where a log is: its directory, and what has been written there beside the segments.

use std::path::PathBuf;
use std::sync::Arc;

use super::dir_state::{CountedLog, DirState};
use super::leader_epoch::LeaderEpochs;
use super::producer_snapshot::ProducerSnapshots;
use super::segment::Home;

/// A log's directory.
#[derive(Debug)]
pub(super) struct LogPlace {
    pub(super) dir: PathBuf,
    pub(super) state: Arc<DirState>,
    /// Counts the log in the log directory.
    pub(super) _counted: CountedLog,
    pub(super) snapshots: ProducerSnapshots,
    /// What `leader-epoch-checkpoint` says.
    pub(super) written_epochs: LeaderEpochs,
    /// How often entries of the directory, or the directory itself, were changed.
    pub(super) dir_changes: u64,
    /// How many of these changes survive a power loss.
    pub(super) synced_dir_changes: u64,
}

impl LogPlace {
    /// What a segment in it needs.
    pub(super) fn home(&self) -> Home<'_> {
        (&self.dir, &self.state)
    }
}
