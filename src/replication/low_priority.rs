//! Threads for work that can wait: they give way to those that serve clients.

use std::thread;

use tokio::runtime::Handle;

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

/// Does `work`, which blocks, on a thread of its own: one that has given way cannot be given its claim back. A thread of the
/// runtime waits for it, so that the runtime does not end before, and the work may wait for the runtime's clock.
pub(super) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LowPriorityError> {
    let (name, runtime) = (name.to_owned(), Handle::current());
    let worked = tokio::task::spawn_blocking(move || {
        let thread = thread::Builder::new().name(name).spawn(move || {
            let _runtime = runtime.enter();
            if let Err(error) = rustix::process::nice(NICENESS) {
                tracing::debug!(%error, "a thread works with full priority");
            }
            work()
        })?;
        // The panic has been printed.
        thread.join().map_err(|_| LowPriorityError::Panicked)
    });
    match worked.await {
        Ok(outcome) => outcome,
        // The runtime ends, and with it whoever waits here.
        Err(ended) if ended.is_cancelled() => std::future::pending().await,
        Err(_) => Err(LowPriorityError::Panicked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_work_may_wait_for_the_clock() {
        let clock = crate::clock::Clock::system();
        let wait = move || Handle::current().block_on(clock.sleep(std::time::Duration::from_millis(1)));
        run("waits", wait).await.unwrap();
    }

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
