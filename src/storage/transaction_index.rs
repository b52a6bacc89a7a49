//! `.txnindex` files: which transactions were aborted, each in the segment that holds its marker (`TransactionIndex`).
//!
//! An entry is 34 bytes: a version of two bytes (0), the producer id, the transaction's first offset, the offset of its
//! marker, and the last stable offset when that was written.

use std::io;
use std::path::Path;

use bytes::{Buf, BufMut};

use super::StorageError;
use super::cleaner::AbortedTxn;

const VERSION: i16 = 0;
const ENTRY_SIZE: usize = 34;

/// Reads a file; nothing where there is none. An entry that is cut off, or of another version, is damage.
pub(super) fn read(path: &Path) -> Result<Vec<AbortedTxn>, StorageError> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(StorageError::io("cannot read", path))?,
    };
    let damaged = |index: usize| StorageError::Corrupt {
        path: path.to_string_lossy().into(),
        position: (index * ENTRY_SIZE) as u64,
        detail: "this is no entry of a transaction index".into(),
    };
    let entries = bytes.chunks(ENTRY_SIZE).enumerate();
    entries.map(|(index, entry)| decode(entry).ok_or_else(|| damaged(index))).collect()
}

fn decode(mut entry: &[u8]) -> Option<AbortedTxn> {
    if entry.try_get_i16().ok()? != VERSION {
        return None;
    }
    Some(AbortedTxn {
        producer_id: entry.try_get_i64().ok()?,
        first_offset: entry.try_get_i64().ok()?,
        last_offset: entry.try_get_i64().ok()?,
        last_stable_offset: entry.try_get_i64().ok()?,
    })
}

/// The bytes of a `.txnindex` file with these transactions, in the order of their markers.
pub(super) fn encode_transaction_index(aborted: &[AbortedTxn]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(aborted.len() * ENTRY_SIZE);
    for transaction in aborted {
        bytes.put_i16(VERSION);
        bytes.put_i64(transaction.producer_id);
        bytes.put_i64(transaction.first_offset);
        bytes.put_i64(transaction.last_offset);
        bytes.put_i64(transaction.last_stable_offset);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_and_a_damaged_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.txnindex");
        assert_eq!(read(&path).unwrap(), []);
        let of = |producer_id| AbortedTxn { producer_id, first_offset: 3, last_offset: 9, last_stable_offset: 4 };
        let written = [of(1), of(2)];
        let bytes = encode_transaction_index(&written);
        assert_eq!(bytes.len(), 68);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap(), written);
        std::fs::write(&path, &bytes[..67]).unwrap();
        assert!(matches!(read(&path), Err(StorageError::Corrupt { position: 34, .. })));
        std::fs::write(&path, [&[0, 1], &bytes[2..]].concat()).unwrap();
        assert!(matches!(read(&path), Err(StorageError::Corrupt { position: 0, .. })));
    }
}
