//! A sorted list of fixed-size entries: in memory while its segment is written to, in a file afterwards.
//!
//! A file is searched where it is, by a few small reads: nothing of it stays in memory, and there is neither a memory
//! map nor an open handle per segment. Files may be damaged; whoever uses an entry checks it against the log.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{StorageError, files};

/// So many bytes of a file cost as little to read as one entry.
const READ_AT_ONCE: u64 = 2048;

/// One entry: its bytes in the file, and the key by which the file is sorted.
pub(super) trait IndexEntry: Copy {
    /// Bytes per entry; at most 16.
    const SIZE: usize;

    fn key(&self) -> i64;
    fn encode(&self, out: &mut Vec<u8>);
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// The entries of one index of one segment.
#[derive(Debug)]
pub(super) enum SparseIndex<E> {
    Memory(Vec<E>),
    File(PathBuf),
}

impl<E: IndexEntry> SparseIndex<E> {
    /// An empty index in memory.
    pub(super) fn new() -> Self {
        Self::Memory(Vec::new())
    }

    /// Reads a whole file into memory; `None` when it cannot be this index: not there, cut in an entry, or not
    /// strictly sorted.
    pub(super) fn load(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let entries: Vec<E> = bytes.chunks(E::SIZE).map(E::decode).collect::<Option<_>>()?;
        entries.is_sorted_by(|one, next| one.key() < next.key()).then_some(Self::Memory(entries))
    }

    /// Uses a file as it is; `None` when its size or its ends show that it cannot be this index.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let count = whole_entries::<E>(&file)?;
        if let Some(last) = count.checked_sub(1) {
            let (first, last) = (read_entry::<E>(&file, 0).ok()??, read_entry::<E>(&file, last).ok()??);
            if first.key() < 0 || last.key() < first.key() || (count > 1 && last.key() == first.key()) {
                return None;
            }
        }
        Some(Self::File(path.to_path_buf()))
    }

    /// The last entry whose key is `key` or less.
    pub(super) fn floor(&self, key: i64) -> io::Result<Option<E>> {
        self.last_where(|entry| entry.key() <= key)
    }

    /// The last entry for which `is_before` holds, which it does for none behind the first for which it does not.
    pub(super) fn last_where(&self, is_before: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
        match self {
            Self::Memory(entries) => {
                let end = entries.partition_point(is_before);
                Ok(end.checked_sub(1).and_then(|index| entries.get(index)).copied())
            }
            Self::File(path) => search(&File::open(path)?, is_before),
        }
    }

    /// The last entry.
    pub(super) fn last(&self) -> io::Result<Option<E>> {
        match self {
            Self::Memory(entries) => Ok(entries.last().copied()),
            Self::File(path) => {
                let file = File::open(path)?;
                match whole_entries::<E>(&file).unwrap_or(0).checked_sub(1) {
                    Some(last) => read_entry(&file, last),
                    None => Ok(None),
                }
            }
        }
    }

    /// The entries, when they are in memory.
    pub(super) fn entries(&self) -> &[E] {
        match self {
            Self::Memory(entries) => entries,
            Self::File(_) => &[],
        }
    }

    /// Adds an entry, which must be in memory and in order.
    pub(super) fn push(&mut self, entry: E) {
        if let Self::Memory(entries) = self {
            entries.push(entry);
        }
    }

    /// Keeps the entries before the first for which `keep` is false.
    pub(super) fn retain_front(&mut self, keep: impl Fn(&E) -> bool) {
        if let Self::Memory(entries) = self {
            let end = entries.partition_point(keep);
            entries.truncate(end);
        }
    }

    /// Writes the entries to `path`; they stay in memory.
    pub(super) fn write(&self, path: &Path) -> Result<(), StorageError> {
        let mut bytes = Vec::with_capacity(self.entries().len() * E::SIZE);
        for entry in self.entries() {
            entry.encode(&mut bytes);
        }
        files::replace(path, &bytes)
    }
}

/// How many entries the file holds; `None` when it ends in the middle of one.
fn whole_entries<E: IndexEntry>(file: &File) -> Option<u64> {
    let length = file.metadata().ok()?.len();
    length.is_multiple_of(E::SIZE as u64).then_some(length / E::SIZE as u64)
}

fn read_entry<E: IndexEntry>(file: &File, index: u64) -> io::Result<Option<E>> {
    let mut bytes = [0; 16];
    let bytes = bytes.get_mut(..E::SIZE).unwrap_or_default();
    file.read_exact_at(bytes, index * E::SIZE as u64)?;
    Ok(E::decode(bytes))
}

/// Halves the file by single entries until one read takes all that is left.
fn search<E: IndexEntry>(file: &File, is_before: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
    let (mut low, mut high) = (0, whole_entries::<E>(file).unwrap_or(0));
    let mut found = None;
    while (high - low) * E::SIZE as u64 > READ_AT_ONCE {
        let middle = low + (high - low) / 2;
        match read_entry::<E>(file, middle)? {
            Some(entry) if is_before(&entry) => {
                found = Some(entry);
                low = middle + 1;
            }
            _ => high = middle,
        }
    }
    let mut bytes = [0; READ_AT_ONCE as usize];
    let left = bytes.get_mut(..(high - low) as usize * E::SIZE).unwrap_or_default();
    file.read_exact_at(left, low * E::SIZE as u64)?;
    let in_front = left.chunks_exact(E::SIZE).map_while(E::decode).take_while(is_before);
    Ok(in_front.last().or(found))
}
