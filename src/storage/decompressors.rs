//! The decompressors that all logs of a directory share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::protocol::compression::Decompressor;

/// How many are kept between batches: as many threads rarely validate at once, and each keeps up to 8 MB.
const MOST_KEPT: usize = 16;

/// Lends decompressors, one for each batch that is being read, and keeps them for the next ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Decompressors(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// Taken from the end and put back there: those at the front are needed the least.
    idle: Vec<Decompressor>,
    /// How many of those at the front have not been needed since [`Decompressors::give_back_unused`].
    unused: usize,
}

impl Decompressors {
    /// Does `work` with a decompressor. What it has grown to, beyond what pays to keep, is given back.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Decompressor) -> T) -> T {
        let mut decompressor = self.take();
        let done = work(&mut decompressor);
        decompressor.shrink();
        let mut kept = self.lock();
        if kept.idle.len() < MOST_KEPT {
            kept.idle.push(decompressor);
        }
        done
    }

    /// Frees those that were not needed since the last call.
    pub(super) fn give_back_unused(&self) {
        let unused: Vec<_> = {
            let mut kept = self.lock();
            let count = kept.unused.min(kept.idle.len());
            let unused = kept.idle.drain(..count).collect();
            kept.unused = kept.idle.len();
            unused
        };
        drop(unused);
    }

    fn take(&self) -> Decompressor {
        let mut kept = self.lock();
        let taken = kept.idle.pop();
        kept.unused = kept.unused.min(kept.idle.len());
        taken.unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_given_back() {
        let decompressors = Decompressors::default();
        let idle = || decompressors.lock().idle.len();
        decompressors.with(|_| decompressors.with(|_| decompressors.with(|_| ())));
        assert_eq!(idle(), 3);
        decompressors.give_back_unused();
        assert_eq!(idle(), 3, "all of them were needed");
        decompressors.with(|_| decompressors.with(|_| ()));
        decompressors.give_back_unused();
        assert_eq!(idle(), 2);
        decompressors.give_back_unused();
        assert_eq!(idle(), 0);
        decompressors.with(|_| ());
        assert_eq!(idle(), 1);
    }

    #[test]
    fn no_more_are_kept_than_threads_are_likely() {
        fn nest(decompressors: &Decompressors, depth: usize) {
            if depth > 0 {
                decompressors.with(|_| nest(decompressors, depth - 1));
            }
        }
        let decompressors = Decompressors::default();
        nest(&decompressors, 2 * MOST_KEPT);
        assert_eq!(decompressors.lock().idle.len(), MOST_KEPT);
    }
}
