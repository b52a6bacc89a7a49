//! Keeps waiting for a disk that hangs from taking all of the runtime's workers.
//!
//! An append into the page cache takes microseconds, and is done where it is asked for: handing it to another thread would
//! cost more than it takes. But when the disk hangs, the write waits as long, and whoever appends to the partition waits
//! with it. When no worker is left, nothing is answered any more, not even what needs no disk; so who would be the last one,
//! and still is after some tries, hands the others' work to a new thread before, and so does everybody once the disk is
//! known to hang. And the runtime leaves the sockets to one worker, whom the others do not replace while it is held up in
//! an append; so a thread wakes another one where no append ends any more.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

/// So many appends wait at once for turns; more are refused, as each takes a thread.
const MAX_WAITING: usize = 128;

/// How often a lock is tried for, others having the processor meanwhile, before a thread is made to wait for it.
const TRIES: usize = 32;

/// How long no append may end before another worker is woken; it may take twice as long until that is noticed.
const HELD_UP: Duration = Duration::from_millis(10);

/// Who may append where it is.
#[derive(Debug)]
pub(super) struct DiskTurns {
    /// How many workers may be in an append at once.
    workers: usize,
    counts: Arc<Counts>,
    /// The thread that wakes workers, where there are several.
    waker: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    appending: AtomicUsize,
    /// Those of them that are done by workers.
    on_workers: AtomicUsize,
    ended: AtomicU64,
    /// Whether none has ended of late of those that are under way.
    held_up: AtomicBool,
    /// Whether the thread sleeps until there is an append.
    sleeps: AtomicBool,
    stop: AtomicBool,
}

/// Counts an append for as long as it takes, also where it panics.
struct DiskTurn<'a>(&'a Counts);

impl Drop for DiskTurn<'_> {
    fn drop(&mut self) {
        self.0.appending.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts an append on a worker likewise.
struct WorkerClaim<'a>(&'a Counts);

impl Drop for WorkerClaim<'_> {
    fn drop(&mut self) {
        self.0.on_workers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl DiskTurns {
    /// Turns for all but one of the workers of the runtime that this is called in, and for one at least.
    pub(super) fn of_this_runtime() -> Self {
        let counts = Arc::new(Counts::default());
        let Some(runtime) = several_workers() else { return Self { workers: 1, counts, waker: None } };
        let workers = runtime.metrics().num_workers().saturating_sub(1).max(1);
        let watched = Arc::clone(&counts);
        let waker = thread::Builder::new().name("klamm-disk".into()).spawn(move || watched.wake_workers(&runtime));
        let waker = waker.inspect_err(|error| tracing::warn!(%error, "a disk that hangs may hold up everybody")).ok();
        Self { workers, counts, waker }
    }

    /// Does `work`, which may wait for the disk; `None`, and nothing is done, where too many wait already.
    pub(super) fn take<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let before = self.counts.appending.fetch_add(1, Ordering::SeqCst);
        let _turn = DiskTurn(&self.counts);
        if self.counts.sleeps.load(Ordering::SeqCst)
            && let Some(waker) = &self.waker
        {
            waker.thread().unpark();
        }
        if before >= self.workers + MAX_WAITING {
            return None;
        }
        // Most who would be the last one have only met an append that lost the processor: a new thread for each of these
        // would soon be hundreds.
        let here = self.claim().or_else(|| (0..TRIES).find_map(|_| self.claim_later()));
        Some(match here {
            Some(_claim) => work(),
            None => off_the_workers(work),
        })
    }

    /// The right to append on a worker, which all but one may have at once.
    fn claim(&self) -> Option<WorkerClaim<'_>> {
        let counts = &*self.counts;
        if counts.held_up.load(Ordering::Relaxed) {
            return None;
        }
        let more = |claimed| (claimed < self.workers).then_some(claimed + 1);
        let claimed = counts.on_workers.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more);
        claimed.ok().map(|_| WorkerClaim(counts))
    }

    fn claim_later(&self) -> Option<WorkerClaim<'_>> {
        thread::yield_now();
        self.claim()
    }
}

impl Drop for DiskTurns {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        if let Some(waker) = self.waker.take() {
            waker.thread().unpark();
            // It cannot panic, and there would be nothing to do about it.
            let _ = waker.join();
        }
    }
}

impl Counts {
    /// Wakes a worker whenever appends are under way of which none has ended for [`HELD_UP`]: whoever has nothing to do
    /// looks after the sockets.
    fn wake_workers(&self, runtime: &Handle) {
        let mut ended = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let before = std::mem::replace(&mut ended, self.ended.load(Ordering::Relaxed));
            let held_up = before == ended && self.appending.load(Ordering::SeqCst) > 0;
            self.held_up.store(held_up, Ordering::Relaxed);
            if held_up {
                runtime.spawn(async {});
            } else if before == ended {
                self.sleeps.store(true, Ordering::SeqCst);
                if self.appending.load(Ordering::SeqCst) == 0 {
                    thread::park();
                }
                self.sleeps.store(false, Ordering::SeqCst);
            }
            thread::park_timeout(HELD_UP);
        }
    }
}

/// Locks `mutex`, whose holder may be waiting for the disk.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    for _ in 0..TRIES {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
    off_the_workers(|| mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Does `work` while a new thread takes over what this worker has to do, if it is one.
fn off_the_workers<T>(work: impl FnOnce() -> T) -> T {
    // Where there is one worker only, nobody could take over.
    if several_workers().is_some() { tokio::task::block_in_place(work) } else { work() }
}

/// The runtime that this is called in, if it has workers.
fn several_workers() -> Option<Handle> {
    Handle::try_current().ok().filter(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::mpsc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::clock::Clock;

    /// A runtime of two workers, one of which no test may leave to others.
    fn two_workers() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    #[test]
    fn all_but_one_worker_may_append_and_nobody_while_the_disk_hangs() {
        let turns = DiskTurns { workers: 1, counts: Arc::default(), waker: None };
        for _ in 0..3 {
            let claim = turns.claim();
            assert!(claim.is_some() && turns.claim().is_none() && turns.claim().is_none());
        }
        turns.counts.held_up.store(true, Ordering::Relaxed);
        assert!(turns.claim().is_none());
    }

    #[test]
    fn a_worker_is_left_however_many_appends_hang() {
        let runtime = two_workers();
        let turns = runtime.block_on(async { Arc::new(DiskTurns::of_this_runtime()) });
        let mutex = Arc::new(Mutex::new(()));
        let (thaw, frozen) = mpsc::channel::<()>();
        let frozen = Arc::new(Mutex::new(frozen));
        for _ in 0..20 {
            let (turns, frozen, mutex) = (Arc::clone(&turns), Arc::clone(&frozen), Arc::clone(&mutex));
            runtime.spawn(async move {
                turns.take(|| {
                    let _held = lock(&mutex);
                    frozen.lock().unwrap_or_else(PoisonError::into_inner).recv()
                })
            });
        }
        let readers: Vec<_> = (0..20)
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                runtime.spawn(async move { drop(lock(&mutex)) })
            })
            .collect();
        let clock = Clock::system();
        let answered = runtime.spawn(async { "answered" });
        let answer = runtime.block_on(clock.timeout(std::time::Duration::from_secs(10), answered));
        assert_eq!(answer.expect("a worker is left").expect("does not panic"), "answered");
        drop(thaw);
        for reader in readers {
            runtime.block_on(reader).expect("gets the lock");
        }
    }

    /// Answers each byte with itself; the append of an `h` hangs until `frozen` ends.
    async fn echo(
        mut connection: tokio::net::TcpStream,
        turns: Arc<DiskTurns>,
        frozen: Arc<Mutex<mpsc::Receiver<()>>>,
    ) {
        let mut byte = [0];
        while AsyncReadExt::read_exact(&mut connection, &mut byte).await.is_ok() {
            if byte == *b"h" {
                turns.take(|| frozen.lock().unwrap_or_else(PoisonError::into_inner).recv());
            }
            AsyncWriteExt::write_all(&mut connection, &byte).await.unwrap();
        }
    }

    #[test]
    fn sockets_are_looked_after_while_an_append_hangs() {
        let runtime = two_workers();
        let turns = runtime.block_on(async { Arc::new(DiskTurns::of_this_runtime()) });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (thaw, frozen) = mpsc::channel();
        let frozen = Arc::new(Mutex::new(frozen));
        runtime.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(echo(connection, Arc::clone(&turns), Arc::clone(&frozen)));
            }
        });
        let connect = || std::net::TcpStream::connect(address).unwrap();
        let mut connections = [connect(), connect()];
        let mut ask = |index: usize, byte: &[u8], patience| {
            let connection = &mut connections[index];
            connection.set_read_timeout(Some(patience)).unwrap();
            connection.write_all(byte).unwrap();
            connection.read_exact(&mut [0])
        };
        let (soon, late) = (Duration::from_millis(100), Duration::from_secs(10));
        ask(0, b"?", late).unwrap();
        ask(1, b"?", late).unwrap();
        // Both connections are known, and nobody has anything to do: whoever looks after the sockets meets this alone.
        thread::sleep(soon);
        ask(0, b"h", soon).expect_err("it hangs");
        let answered = ask(1, b"?", late);
        drop(thaw);
        answered.expect("a worker looks after the sockets");
    }

    #[test]
    fn more_appends_than_may_wait_are_refused() {
        let turns = DiskTurns::of_this_runtime();
        turns.counts.appending.store(1 + MAX_WAITING, Ordering::Relaxed);
        assert_eq!(turns.take(|| ()), None);
        turns.counts.appending.store(0, Ordering::Relaxed);
        assert_eq!(turns.take(|| ()), Some(()));
        assert_eq!(turns.counts.appending.load(Ordering::Relaxed), 0);
    }
}
