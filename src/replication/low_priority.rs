//! Threads for work that can wait: they give way to those that serve clients.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::sync::oneshot;

/// How much they give way, as the command `nice` has it by default. With less of a claim still, one that is held up with a
/// lock would hold up others for long.
const NICENESS: i32 = 10;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum LowPriorityError {
    /// No thread could be started.
    #[error("no thread could be started: {0}")]
    NoThread(#[from] std::io::Error),
    /// The work has panicked.
    #[error("it panicked")]
    Panicked,
}

/// Does `work`, which blocks, on a thread of its own: one that has given way cannot be given its claim back.
pub(super) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LowPriorityError> {
    let (done, result) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = rustix::process::nice(NICENESS) {
            tracing::debug!(%error, "a thread works with full priority");
        }
        // Whoever asked may be gone; then nobody misses the result. The panic has been printed.
        let _unheard = catch_unwind(AssertUnwindSafe(work)).map(|worked| done.send(worked));
    })?;
    result.await.map_err(|_| LowPriorityError::Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_the_work_gives_way() {
        let niceness = || rustix::process::nice(0).unwrap();
        let before = niceness();
        let during = run("gives-way", niceness).await.unwrap();
        assert_eq!((during, niceness()), ((before + NICENESS).min(19), before));
    }

    #[tokio::test]
    async fn a_panic_is_told() {
        let failed = run("panics", || assert!(thread::current().name().is_none(), "it has a name")).await;
        assert!(matches!(failed, Err(LowPriorityError::Panicked)));
    }
}
