//! Who may replace or delete a partition's closed segments: one at a time, and nobody once the log is let go of.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Whether the partition is being cleaned.
#[derive(Debug, Default)]
enum CleaningPhase {
    #[default]
    Idle,
    /// Until the turn is given back, or earlier if the token is cancelled.
    Running(CancellationToken),
    /// The log is gone, or about to be.
    Closed,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct CleaningTurns {
    turn: Mutex<()>,
    phase: Mutex<CleaningPhase>,
    is_uncleanable: AtomicBool,
}

/// The right to clean a partition. Only a thread that may block takes it.
#[derive(Debug)]
pub(super) struct CleaningTurn<'a> {
    turns: &'a CleaningTurns,
    /// Cancelled when somebody wants to have the log.
    pub(super) stop: CancellationToken,
    _turn: MutexGuard<'a, ()>,
}

impl Drop for CleaningTurn<'_> {
    fn drop(&mut self) {
        let mut phase = self.turns.phase();
        if matches!(*phase, CleaningPhase::Running(_)) {
            *phase = CleaningPhase::Idle;
        }
    }
}

impl CleaningTurns {
    fn phase(&self) -> MutexGuard<'_, CleaningPhase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn to clean, which ends early when `stop` is cancelled; `None` when somebody else has it.
    pub(super) fn begin(&self, stop: &CancellationToken) -> Option<CleaningTurn<'_>> {
        let turn = self.try_segments()?;
        let mut phase = self.phase();
        if matches!(*phase, CleaningPhase::Closed) {
            return None;
        }
        let stop = stop.child_token();
        *phase = CleaningPhase::Running(stop.clone());
        Some(CleaningTurn { turns: self, stop, _turn: turn })
    }

    /// The turn to delete segments; `None` when they are being cleaned.
    pub(super) fn try_segments(&self) -> Option<MutexGuard<'_, ()>> {
        match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    /// Ends the cleaning, if there is one, and lets none begin any more. Blocks until it has noticed.
    pub(super) fn close(&self) {
        if let CleaningPhase::Running(stop) = std::mem::replace(&mut *self.phase(), CleaningPhase::Closed) {
            stop.cancel();
        }
        drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Fences the partition off from cleaners, until the next start.
    pub(super) fn mark_uncleanable(&self) {
        self.is_uncleanable.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_uncleanable(&self) -> bool {
        self.is_uncleanable.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cleans_until_the_log_is_wanted() {
        let (turns, stop) = (CleaningTurns::default(), CancellationToken::new());
        let turn = turns.begin(&stop).expect("nobody else has it");
        assert!(turns.begin(&stop).is_none() && turns.try_segments().is_none());
        drop(turn);
        let turn = turns.begin(&stop).expect("it was given back");
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| turns.close());
            while !turn.stop.is_cancelled() {
                std::thread::yield_now();
            }
            assert!(!closing.is_finished(), "it waits");
            drop(turn);
        });
        assert!(turns.begin(&stop).is_none(), "the log is gone");
        assert!(!stop.is_cancelled());
    }
}
