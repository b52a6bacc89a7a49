//! What leaders want of the controller, on its way there.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::hosted_partition::HostedPartition;
use super::partition::isr::IsrProposal;

/// So many changes wait at most to be sent. What is more is not attempted, and decided anew with the next fetch.
const MOST_WAITING: usize = 10_000;

/// Other in-sync replicas that a leader asks for.
#[derive(Clone)]
pub struct IsrChange {
    /// Whose they are.
    pub partition: Arc<HostedPartition>,
    /// What is asked for.
    pub proposal: IsrProposal,
}

/// The queue of them, with one receiver.
pub(super) struct IsrChanges {
    sender: mpsc::Sender<IsrChange>,
    receiver: Mutex<Option<mpsc::Receiver<IsrChange>>>,
}

impl Default for IsrChanges {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl IsrChanges {
    /// Whether there was room.
    pub(super) fn push(&self, change: IsrChange) -> bool {
        self.sender.try_send(change).is_ok()
    }

    /// The receiver, to whoever asks first.
    pub(super) fn take(&self) -> Option<mpsc::Receiver<IsrChange>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
