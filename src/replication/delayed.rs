//! Where requests wait for a partition to move on: a produce for the high watermark, a long poll for records.
//!
//! A waiter registers before it looks, so that no wake-up between the look and the wait is lost. Waking costs only the
//! waiters of the partition that moved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The waiters of one partition.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<Registered>);

#[derive(Debug, Default)]
struct Registered {
    next_ticket: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Waiters {
    /// Wakes everyone who waits now; each looks again and may register anew.
    pub fn wake(&self) {
        let waiting = {
            let mut registered = self.lock();
            if registered.waiting.is_empty() {
                return;
            }
            std::mem::take(&mut registered.waiting)
        };
        for notify in waiting.into_values() {
            notify.notify_one();
        }
    }

    fn register(&self, notify: Arc<Notify>) -> u64 {
        let mut registered = self.lock();
        let ticket = registered.next_ticket;
        registered.next_ticket += 1;
        registered.waiting.insert(ticket, notify);
        ticket
    }

    /// The map is whole after every statement, so a panic elsewhere while it was locked has not spoilt it.
    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Someone whose waiters can be joined; a partition.
pub trait Awaited: Send + Sync {
    /// The waiters that are woken whenever the state moves on.
    fn waiters(&self) -> &Waiters;
}

/// One request's wait on any number of partitions; gives up its places when dropped.
pub struct Wait<P: Awaited> {
    notify: Arc<Notify>,
    places: Vec<(Arc<P>, u64)>,
}

impl<P: Awaited> Wait<P> {
    /// Registers with each of `partitions`. Look at their state after this, then call [`Wait::woken`].
    pub fn register(partitions: impl IntoIterator<Item = Arc<P>>) -> Self {
        let notify = Arc::new(Notify::new());
        let places = partitions
            .into_iter()
            .map(|partition| {
                let ticket = partition.waiters().register(Arc::clone(&notify));
                (partition, ticket)
            })
            .collect();
        Self { notify, places }
    }

    /// Completes once any of the partitions has moved on since [`Wait::register`].
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl<P: Awaited> Drop for Wait<P> {
    fn drop(&mut self) {
        for (partition, ticket) in &self.places {
            partition.waiters().lock().waiting.remove(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Place(Waiters);

    impl Awaited for Place {
        fn waiters(&self) -> &Waiters {
            &self.0
        }
    }

    #[tokio::test]
    async fn a_wake_between_registering_and_waiting_is_not_lost() {
        let (first, second) = (Arc::new(Place::default()), Arc::new(Place::default()));
        let wait = Wait::register([Arc::clone(&first), Arc::clone(&second)]);
        second.0.wake();
        tokio::time::timeout(Duration::from_secs(5), wait.woken()).await.expect("was woken");
    }

    #[tokio::test]
    async fn a_dropped_wait_leaves_nothing_behind() {
        let place = Arc::new(Place::default());
        drop(Wait::register([Arc::clone(&place)]));
        assert!(place.0.lock().waiting.is_empty());
    }
}
