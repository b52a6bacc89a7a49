//! The room that clients' records leave on a volume for whatever frees some again.

use std::sync::atomic::{AtomicI64, Ordering};

/// Of each volume this part stays free, in one by how many, ...
const RESERVED_PART: u64 = 64;

/// ... and so many bytes at most: some thousand deletions of topics in the metadata log, some checkpoints, and a while of
/// commits.
const MAX_RESERVED: u64 = 16 << 20;

/// So many bytes are taken without asking how much is free: others may be writing to the volume too.
const MAX_UNASKED: u64 = 16 << 20;

/// How many bytes clients' records may take before somebody looks again how much is free.
#[derive(Debug, Default)]
pub(super) struct Room {
    unasked: AtomicI64,
}

impl Room {
    /// Takes `size` bytes; false where they would leave too few. `space` tells the bytes of the volume and those that are
    /// free; where it cannot, the write itself will fail or not.
    pub(super) fn take(&self, size: usize, space: impl FnOnce() -> Option<(u64, u64)>) -> bool {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        if self.unasked.fetch_sub(size, Ordering::Relaxed) >= size {
            return true;
        }
        let Some((total, free)) = space() else { return true };
        let room = free.saturating_sub(reserved(total));
        // The nearer the end, the more often it is looked at.
        let unasked = i64::try_from((room / 2).min(MAX_UNASKED)).unwrap_or(i64::MAX);
        self.unasked.store(unasked - size, Ordering::Relaxed);
        i64::try_from(room).is_ok_and(|room| room >= size)
    }
}

fn reserved(total: u64) -> u64 {
    (total / RESERVED_PART).min(MAX_RESERVED)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn records_are_taken_until_only_the_reserve_is_left() {
        let (total, free, asked) = (64 << 20, Cell::new(30_u64 << 20), Cell::new(0));
        let space = || {
            asked.set(asked.get() + 1);
            Some((total, free.get()))
        };
        let room = Room::default();
        let mut taken = 0_u64;
        while room.take(10_000, space) {
            free.set(free.get() - 10_000);
            taken += 10_000;
        }
        let expected = (30 << 20) - (total / RESERVED_PART);
        assert!((expected - 10_000..=expected).contains(&taken), "{taken} of {expected}");
        assert!(asked.get() < 50, "asked {} times", asked.get());
        free.set(30 << 20);
        assert!(room.take(10_000, space), "there is room again");
    }

    #[test]
    fn what_cannot_be_asked_refuses_nothing() {
        assert!(Room::default().take(1 << 30, || None));
    }

    #[test]
    fn the_reserve_of_a_large_volume_is_small() {
        assert_eq!(reserved(10 << 40), MAX_RESERVED);
        assert_eq!(reserved(64 << 20), 1 << 20);
    }
}
