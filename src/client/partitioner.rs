//! Which partition a record goes to, as the Java producer decides it. Pure.

/// Murmur2 as Kafka's clients compute it, by which records with one key stay together whatever program sends them.
fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mixed = |word: u32| {
        let word = word.wrapping_mul(MULTIPLIER);
        (word ^ (word >> 24)).wrapping_mul(MULTIPLIER)
    };
    let (words, rest) = data.as_chunks::<4>();
    let mut hash = SEED ^ (data.len() as u32);
    for word in words {
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    (hash ^ (hash >> 15)).cast_signed()
}

/// The partition of `count` that records with `key` are in.
pub fn partition_for_key(key: &[u8], count: i32) -> i32 {
    (murmur2(key) & i32::MAX) % count.max(1)
}

/// Spreads records without a key: a partition gets some bytes in a row, so that batches fill, and then the next one
/// (KIP-480).
#[derive(Debug, Clone)]
pub(super) struct StickyPartitioner {
    sticky_bytes: usize,
    current: usize,
    bytes: usize,
}

impl StickyPartitioner {
    /// Stays with a partition for `sticky_bytes` bytes, beginning with the `first`.
    pub(super) fn new(sticky_bytes: usize, first: usize) -> Self {
        Self { sticky_bytes, current: first, bytes: 0 }
    }

    /// The partition, one of `available`, of a record of `size` bytes; `None` if there is none.
    pub(super) fn next_partition(&mut self, available: &[i32], size: usize) -> Option<i32> {
        if self.bytes >= self.sticky_bytes {
            (self.current, self.bytes) = (self.current.wrapping_add(1), 0);
        }
        self.bytes = self.bytes.saturating_add(size.max(1));
        available.get(self.current.checked_rem(available.len())?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_kafkas() {
        // The values are those of Kafka's own test of its function.
        let cases: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (data, hash) in cases {
            assert_eq!(murmur2(data), hash, "{data:?}");
        }
        let partitions = [1, 3, 4, 6].map(|count| partition_for_key(b"user-10", count));
        assert_eq!(partitions, [0, 2, 2, 2]);
    }

    #[test]
    fn records_without_a_key_stay_together_for_a_batch() {
        let mut sticky = StickyPartitioner::new(100, 7);
        let chosen: Vec<_> = (0..8).map(|_| sticky.next_partition(&[0, 1, 5], 50)).collect();
        assert_eq!(chosen, [1, 1, 5, 5, 0, 0, 1, 1].map(Some));
        assert_eq!(sticky.next_partition(&[], 1), None);
    }
}
