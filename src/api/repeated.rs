//! What a request names more than once.

use std::collections::HashSet;
use std::hash::Hash;

/// Each of `named` that comes more than once.
pub(super) fn repeated<T: Eq + Hash + Copy>(named: impl Iterator<Item = T>) -> HashSet<T> {
    let mut seen = HashSet::new();
    named.filter(|one| !seen.insert(*one)).collect()
}
