//! Ctrl-C, for commands that go on until it comes.

use std::future::pending;

use tokio::signal::unix::{SignalKind, signal};

/// Completes when somebody wants the command to stop: by Ctrl-C, or by SIGTERM. From the call on, not from the first poll,
/// neither ends the process by itself, and both are heard.
pub(super) fn interrupted() -> impl Future<Output = ()> {
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        // Without handlers the signals end the process themselves.
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else { return pending().await };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
