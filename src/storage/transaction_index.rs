//! `.txnindex` files: which transactions were aborted, each in the segment that holds its marker (`TransactionIndex`).
//!
//! Nobody here ends a transaction yet, so that what Kafka has written is all there is, and is read once.

use std::fs;
use std::path::Path;

use bytes::Buf;

use super::{StorageError, files};

/// The version, the producer id, the first and the last offset, and the last stable offset behind the marker.
const ENTRY_SIZE: usize = 34;
const VERSION: i16 = 0;

/// A transaction whose records an application that reads committed ones does not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: i64,
    /// Its first record's offset.
    pub first_offset: i64,
    /// Its marker's offset.
    pub last_offset: i64,
}

/// The aborted transactions of a log, by the offsets of their markers.
#[derive(Debug, Clone, Default)]
pub(super) struct AbortedTransactions(Vec<AbortedTransaction>);

impl AbortedTransactions {
    /// Reads those among the files `names` of `dir`, which are sorted.
    pub(super) fn load(dir: &Path, names: &[String]) -> Result<Self, StorageError> {
        let mut aborted = Vec::new();
        for name in names.iter().filter(|name| files::offset_of(name, files::TXN_INDEX_SUFFIX).is_some()) {
            let path = dir.join(name);
            let bytes = fs::read(&path).map_err(StorageError::io("cannot read", &path))?;
            match decode(&bytes) {
                Some(entries) => aborted.extend(entries),
                None => tracing::error!(
                    path = %path.display(),
                    "a damaged transaction index is passed over: records of aborted transactions are read as if committed"
                ),
            }
        }
        Ok(Self(aborted))
    }

    /// Those with records from `from` on and before `upper_bound`.
    pub(super) fn between(&self, from: i64, upper_bound: i64) -> Vec<AbortedTransaction> {
        let first = self.0.partition_point(|transaction| transaction.last_offset < from);
        let open = self.0.iter().skip(first);
        open.filter(|transaction| transaction.first_offset < upper_bound).copied().collect()
    }
}

fn decode(bytes: &[u8]) -> Option<Vec<AbortedTransaction>> {
    let entries = bytes.chunks_exact(ENTRY_SIZE);
    if !entries.remainder().is_empty() {
        return None;
    }
    let entry = |mut bytes: &[u8]| {
        (bytes.try_get_i16().ok()? == VERSION).then_some(())?;
        Some(AbortedTransaction {
            producer_id: bytes.try_get_i64().ok()?,
            first_offset: bytes.try_get_i64().ok()?,
            last_offset: bytes.try_get_i64().ok()?,
        })
    };
    entries.map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: i16, numbers: [i64; 4]) -> Vec<u8> {
        let numbers = numbers.into_iter().flat_map(i64::to_be_bytes);
        version.to_be_bytes().into_iter().chain(numbers).collect()
    }

    #[test]
    fn a_reader_is_told_of_the_aborted_transactions_in_its_range() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["00000000000000000000.txnindex", "00000000000000000010.txnindex"].map(str::to_owned);
        std::fs::write(dir.path().join(&names[0]), [entry(0, [7, 1, 4, 5]), entry(0, [8, 2, 6, 7])].concat()).unwrap();
        std::fs::write(dir.path().join(&names[1]), entry(0, [7, 9, 12, 13])).unwrap();
        let aborted = AbortedTransactions::load(dir.path(), &names).unwrap();
        let told = |from, upper_bound| {
            aborted.between(from, upper_bound).iter().map(|one| (one.producer_id, one.first_offset)).collect::<Vec<_>>()
        };
        assert_eq!(told(0, 100), [(7, 1), (8, 2), (7, 9)]);
        assert_eq!(told(5, 9), [(8, 2)]);
        assert_eq!(told(12, 100), [(7, 9)]);
        assert!(told(13, 100).is_empty() && told(0, 1).is_empty());
    }

    #[test]
    fn a_damaged_index_is_no_index() {
        assert_eq!(decode(&entry(0, [7, 1, 4, 5])[1..]), None);
        assert_eq!(decode(&entry(1, [7, 1, 4, 5])), None);
        assert_eq!(decode(&[]), Some(Vec::new()));
    }
}
