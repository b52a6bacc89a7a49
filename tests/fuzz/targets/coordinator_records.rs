//! Any bytes as a key and a value of `__consumer_offsets`: what is read can be written, and is read again the same.
//!
//! The first byte is the key's length, 255 standing for a tombstone of all the rest.

#![no_main]

use klamm::protocol::coordinator_records::CoordinatorRecord;
use klamm_fuzz::allocation::{Counting, peak_of};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How much memory a record may take: so many times its size, and so much for any record. A member of nothing but empty
/// strings takes twelve bytes in a record and two hundred in memory, in a list that doubles as it grows.
const RECORDS: usize = 64;
const ALLOWANCE: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((&key_length, rest)) = input.split_first() else { return };
    let (key, value) = match usize::from(key_length) {
        255 => (rest, None),
        length => rest.split_at_checked(length).map_or((rest, None), |(key, value)| (key, Some(value))),
    };
    let mut decoded = Ok(None);
    let peak = peak_of(|| decoded = CoordinatorRecord::decode(key, value));
    assert!(peak <= RECORDS * rest.len() + ALLOWANCE, "{peak} bytes for a record of {}", rest.len());
    let Ok(Some(record)) = decoded else { return };
    if let Ok(encoded) = record.encode() {
        let again = CoordinatorRecord::decode(&encoded.key, encoded.value.as_deref());
        assert_eq!(again, Ok(Some(record)));
    }
});
