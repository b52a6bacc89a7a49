//! How many connections there may be, which may change while they are there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;

/// The bounds on the number of connections of one server; shared by its listeners and by whoever may change them.
#[derive(Debug)]
pub struct ConnectionLimits {
    slots: Arc<Semaphore>,
    size: Mutex<Size>,
    max_per_ip: AtomicUsize,
}

#[derive(Debug)]
struct Size {
    /// How many connections there may be.
    max: usize,
    /// How many there are beyond that since the bound was lowered; their slots go with them.
    surplus: usize,
}

impl ConnectionLimits {
    pub(super) fn new(limits: &Limits) -> Self {
        let max = limits.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(max)),
            size: Mutex::new(Size { max, surplus: 0 }),
            max_per_ip: AtomicUsize::new(limits.max_connections_per_ip),
        }
    }

    /// Goes by `max.connections` and `max.connections.per.ip` of `limits` from now on. Connections that there are stay.
    pub fn set(&self, limits: &Limits) {
        self.max_per_ip.store(limits.max_connections_per_ip, Ordering::Relaxed);
        let max = limits.max_connections.min(Semaphore::MAX_PERMITS);
        let mut size = self.lock_size();
        if max >= size.max {
            let more = max - size.max;
            let kept = more.min(size.surplus);
            size.surplus -= kept;
            self.slots.add_permits(more - kept);
        } else {
            let fewer = size.max - max;
            size.surplus += fewer - self.slots.forget_permits(fewer);
        }
        size.max = max;
    }

    /// How many connections one address may have.
    pub(super) fn max_per_ip(&self) -> usize {
        self.max_per_ip.load(Ordering::Relaxed)
    }

    /// Waits until there may be one more connection.
    pub(super) async fn take_slot(self: &Arc<Self>) -> Option<Slot> {
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        Some(Slot { limits: Arc::clone(self), permit: Some(permit) })
    }

    fn lock_size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among all; it is given back, or taken away, when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    limits: Arc<ConnectionLimits>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut size = self.limits.lock_size();
        if size.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            size.surplus -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_connections: usize) -> Limits {
        Limits { max_connections, max_connections_per_ip: max_connections, ..Limits::default() }
    }

    fn is_full(limits: &ConnectionLimits) -> bool {
        limits.slots.available_permits() == 0
    }

    #[tokio::test]
    async fn a_bound_that_is_lowered_takes_the_slots_of_those_that_leave() {
        let bound = Arc::new(ConnectionLimits::new(&limits(3)));
        let mut slots = Vec::new();
        for _ in 0..3 {
            slots.push(bound.take_slot().await.unwrap());
        }
        bound.set(&limits(1));
        slots.truncate(1);
        assert!(is_full(&bound), "a slot came back although there are as many connections as there may be");
        slots.clear();
        assert_eq!((bound.slots.available_permits(), bound.max_per_ip()), (1, 1));
        bound.set(&limits(4));
        assert_eq!(bound.slots.available_permits(), 4);
    }

    #[tokio::test]
    async fn a_bound_that_is_raised_again_keeps_who_is_there() {
        let bound = Arc::new(ConnectionLimits::new(&limits(2)));
        let slots = [bound.take_slot().await.unwrap(), bound.take_slot().await.unwrap()];
        bound.set(&limits(1));
        bound.set(&limits(3));
        assert_eq!(bound.slots.available_permits(), 1);
        drop(slots);
        assert_eq!(bound.slots.available_permits(), 3);
    }
}
