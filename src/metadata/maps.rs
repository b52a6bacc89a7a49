//! What the aspects' maps have in common.

use std::collections::BTreeSet;

use rpds::RedBlackTreeMapSync;

/// The keys whose values are not the same in both maps, or that are in one of them only.
pub(super) fn changed_keys<K: Clone + Ord, V: PartialEq>(
    before: &RedBlackTreeMapSync<K, V>,
    after: &RedBlackTreeMapSync<K, V>,
) -> BTreeSet<K> {
    if before.ptr_eq(after) {
        return BTreeSet::new();
    }
    let keys = before.keys().chain(after.keys());
    keys.filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}
