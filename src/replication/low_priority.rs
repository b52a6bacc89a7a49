//! Threads for work that can wait: they give way to those that serve clients.

use std::sync::mpsc;
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

/// Blocks this thread until the runtime, whose timers are asynchronous, has waited for `awaited`; false where the runtime has
/// ended instead. A thread that waited itself would panic then.
pub(super) fn wait_for(awaited: impl Future<Output = ()> + Send + 'static) -> bool {
    let (done, is_done) = mpsc::channel();
    Handle::current().spawn(async move {
        awaited.await;
        let _ = done.send(());
    });
    // An end drops the task, and `done` with it.
    is_done.recv().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_work_may_wait_for_the_clock() {
        let clock = crate::clock::Clock::system();
        let wait = move || wait_for(async move { clock.sleep(std::time::Duration::from_millis(1)).await });
        assert!(run("waits", wait).await.unwrap());
    }

    #[test]
    fn who_waits_is_told_that_the_runtime_has_ended() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let (handle, (waits, is_waiting)) = (runtime.handle().clone(), mpsc::channel());
        let waiting = thread::spawn(move || {
            let _runtime = handle.enter();
            wait_for(async move {
                waits.send(()).unwrap();
                crate::clock::Clock::system().sleep(std::time::Duration::from_hours(1)).await;
            })
        });
        is_waiting.recv().unwrap();
        runtime.shutdown_background();
        assert!(!waiting.join().unwrap());
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
