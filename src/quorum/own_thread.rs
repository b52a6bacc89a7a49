//! A thread for consensus alone: a broker that is busy must not keep its node from saying in time that it is there.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread with a runtime of its own, whose tasks no others hold up. Dropping it ends it without awaiting that.
#[derive(Debug)]
pub struct QuorumThread {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl QuorumThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has none.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().thread_name("klamm-quorum-disk").build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("klamm-quorum".to_owned()).spawn(move || {
            // Whoever drops the sender means the same.
            drop(runtime.block_on(stopped));
            // What still waits for the disk holds nobody up.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop, thread })
    }

    /// Has `work` done on the thread, and what it starts as well.
    ///
    /// # Errors
    /// It has panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
        self.handle.spawn(work).await.map_err(io::Error::other)
    }

    /// Ends the thread, with whatever runs on it.
    pub async fn stop(self) {
        drop(self.stop);
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the thread of the metadata quorum had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_on_the_thread_until_it_ends() {
        let own = QuorumThread::start().unwrap();
        let name = own.run(async { std::thread::current().name().map(str::to_owned) }).await.unwrap();
        assert_eq!(name.as_deref(), Some("klamm-quorum"));
        let endless = own.handle.spawn(std::future::pending::<()>());
        own.stop().await;
        assert!(endless.await.unwrap_err().is_cancelled());
    }
}
