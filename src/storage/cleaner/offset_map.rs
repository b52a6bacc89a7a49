//! The latest offset of each key, in bounded memory: Kafka's `SkimpyOffsetMap`.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::CleanerError;

/// A slot: a key's hash, and its offset plus one; the latter is 0 where the slot is empty.
type KeySlot = [u64; 3];

/// What stands for a key in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(u64, u64);

/// Hashes one key, given in one piece or several.
#[derive(Debug, Clone, Copy)]
pub struct KeyHasher(SipHasher13);

/// Where each key was last seen. Keys are not kept, only 128 bits that stand for them: two keys of 10 billion collide
/// with a probability below 10^-18, as with Kafka's MD5.
///
/// Unlike Kafka, whose MD5 lets a producer make two keys that are one to the cleaner, the hash is SipHash-1-3 with a key
/// that nobody outside knows; it also takes a tenth of the time.
#[derive(Debug)]
pub struct OffsetMap {
    slots: Vec<KeySlot>,
    len: usize,
    max_len: usize,
    hasher: KeyHasher,
    latest_offset: i64,
}

impl OffsetMap {
    /// A map that takes `memory` bytes, of which `load_factor` (`log.cleaner.io.buffer.load.factor`) may be used. The
    /// memory is the system's until it is touched, so that a map of few keys is small. `hash_key` must be random.
    ///
    /// # Errors
    /// [`CleanerError::OffsetMapTooSmall`] when that is too little for even one key.
    pub fn new(memory: usize, load_factor: f64, hash_key: [u8; 16]) -> Result<Self, CleanerError> {
        let slots = memory / size_of::<KeySlot>();
        let max_len = (slots as f64 * load_factor.clamp(0.0, 1.0)) as usize;
        // An empty slot must remain, where a search ends.
        let max_len = max_len.min(slots.saturating_sub(1));
        if max_len == 0 {
            return Err(CleanerError::OffsetMapTooSmall { memory });
        }
        let hasher = KeyHasher(SipHasher13::new_with_key(&hash_key));
        Ok(Self { slots: vec![KeySlot::default(); slots], len: 0, max_len, hasher, latest_offset: -1 })
    }

    /// To hash a key with, for this map.
    pub fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// Remembers the latest offset of a key, which must not be negative; `false`, and nothing is done, when the map is
    /// full. As in Kafka, it is full for the keys that it holds, too.
    pub fn put(&mut self, key: KeyHash, offset: i64) -> bool {
        if self.len >= self.max_len {
            return false;
        }
        let index = self.position_of(key);
        if let Some(slot) = self.slots.get_mut(index) {
            self.len += usize::from(slot[2] == 0);
            *slot = [key.0, key.1, offset.cast_unsigned().wrapping_add(1)];
        }
        self.latest_offset = offset;
        true
    }

    /// The latest offset of a key.
    pub fn get(&self, key: KeyHash) -> Option<i64> {
        let slot = self.slots.get(self.position_of(key))?;
        slot[2].checked_sub(1).map(u64::cast_signed)
    }

    /// The last offset that the map knows of, whether there was a key at it or not; -1 at first. The records behind it
    /// are not to be judged by this map.
    pub fn latest_offset(&self) -> i64 {
        self.latest_offset
    }

    /// Says that everything up to this offset was seen.
    pub fn update_latest_offset(&mut self, offset: i64) {
        self.latest_offset = offset;
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The share of the memory that keys take, from 0 to 1.
    pub fn utilization(&self) -> f64 {
        self.len as f64 / self.slots.len() as f64
    }

    /// The key's slot, or the empty one where it belongs. Probing is linear: the slots of a search lie in neighbouring
    /// cache lines.
    fn position_of(&self, key: KeyHash) -> usize {
        // The hash as a fraction of one, times the number of slots.
        let start = ((u128::from(key.0) * self.slots.len() as u128) >> u64::BITS) as usize;
        let is_right = |slot: &KeySlot| slot[2] == 0 || (slot[0] == key.0 && slot[1] == key.1);
        let (front, back) = self.slots.split_at_checked(start).unwrap_or_default();
        match back.iter().position(is_right) {
            Some(distance) => start + distance,
            None => front.iter().position(is_right).unwrap_or(self.slots.len()),
        }
    }
}

impl KeyHasher {
    /// Takes in more of the key.
    #[inline]
    pub fn write(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    /// What stands for the key.
    #[inline]
    pub fn finish(&self) -> KeyHash {
        let hash = self.0.finish128();
        KeyHash(hash.h1, hash.h2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn hash(map: &OffsetMap, key: &[u8]) -> KeyHash {
        let mut hasher = map.hasher();
        hasher.write(key);
        hasher.finish()
    }

    #[test]
    fn a_map_for_no_key_is_refused_and_says_what_to_raise() {
        for (memory, load_factor) in [(0, 1.0), (24, 1.0), (47, 0.9), (1000, 0.0), (1000, f64::NAN)] {
            let error = OffsetMap::new(memory, load_factor, [0; 16]).unwrap_err();
            assert_eq!(error, CleanerError::OffsetMapTooSmall { memory });
            assert!(error.to_string().contains("increase log.cleaner.dedupe.buffer.size"));
        }
        assert!(OffsetMap::new(48, 0.9, [0; 16]).is_ok());
    }

    #[test]
    fn a_full_map_takes_no_key_and_forgets_none() {
        let mut map = OffsetMap::new(24 * 100, 0.9, [7; 16]).unwrap();
        for offset in 0..90_i64 {
            assert!(map.put(hash(&map, &offset.to_be_bytes()), offset), "{offset}");
        }
        assert!((map.utilization() - 0.9).abs() < 1e-9);
        assert!(!map.put(hash(&map, &91_i64.to_be_bytes()), 91));
        assert!(!map.put(hash(&map, &5_i64.to_be_bytes()), 92), "nor a new offset of one that it has");
        assert_eq!(map.latest_offset(), 89);
        for offset in 0..90_i64 {
            assert_eq!(map.get(hash(&map, &offset.to_be_bytes())), Some(offset));
        }
        assert_eq!(map.get(hash(&map, b"another")), None);
    }

    #[test]
    fn the_hash_depends_on_its_key_and_not_on_the_pieces() {
        let (one, other) = (OffsetMap::new(100, 0.9, [1; 16]).unwrap(), OffsetMap::new(100, 0.9, [2; 16]).unwrap());
        let key: Vec<u8> = (0..100).collect();
        assert_ne!(hash(&one, &key), hash(&other, &key));
        for at in 0..key.len() {
            let mut hasher = one.hasher();
            hasher.write(&key[..at]);
            hasher.write(&key[at..]);
            assert_eq!(hasher.finish(), hash(&one, &key), "{at}");
        }
        assert_ne!(hash(&one, b""), hash(&one, b"\0"));
    }

    #[test]
    fn a_search_goes_on_at_the_front() {
        let mut map = OffsetMap::new(24 * 4, 1.0, [0; 16]).unwrap();
        let at_the_end = |low| KeyHash(u64::MAX, low);
        for offset in 0..3 {
            assert!(map.put(at_the_end(offset), offset.cast_signed()));
        }
        assert_eq!([0, 1, 2, 3].map(|low| map.get(at_the_end(low))), [Some(0), Some(1), Some(2), None]);
    }

    proptest! {
        #[test]
        fn it_is_a_map(puts in proptest::collection::vec((0..50_u8, 0..1_000_000_i64), 0..200)) {
            let mut map = OffsetMap::new(24 * 60, 1.0, [3; 16]).unwrap();
            let mut model = HashMap::new();
            for (key, offset) in puts {
                prop_assert!(map.put(hash(&map, &[key]), offset));
                model.insert(key, offset);
                prop_assert_eq!(map.latest_offset(), offset);
            }
            prop_assert_eq!(map.len(), model.len());
            for key in 0..60 {
                prop_assert_eq!(map.get(hash(&map, &[key])), model.get(&key).copied());
            }
        }
    }
}
