//! Names and small writes: what all files of a log directory share.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::StorageError;

pub(super) const LOG_SUFFIX: &str = ".log";
pub(super) const INDEX_SUFFIX: &str = ".index";
pub(super) const TIME_INDEX_SUFFIX: &str = ".timeindex";
pub(super) const TXN_INDEX_SUFFIX: &str = ".txnindex";
pub(super) const SNAPSHOT_SUFFIX: &str = ".snapshot";
pub(super) const DELETED_SUFFIX: &str = ".deleted";
pub(super) const CLEANED_SUFFIX: &str = ".cleaned";
pub(super) const SWAP_SUFFIX: &str = ".swap";

/// The kinds of file that together are one segment.
pub(super) const SEGMENT_SUFFIXES: [&str; 4] = [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX];

/// `<20 digits><suffix>` in `dir`: Kafka's name for whatever begins at `offset`.
pub(super) fn offset_file(dir: &Path, offset: i64, suffix: &str) -> PathBuf {
    dir.join(format!("{offset:020}{suffix}"))
}

/// The offset in a name such as [`offset_file`] makes, when it ends in `suffix`.
pub(super) fn offset_of(name: &str, suffix: &str) -> Option<i64> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// The names of the regular files in `dir`, sorted.
pub(super) fn file_names(dir: &Path) -> Result<Vec<String>, StorageError> {
    let cannot_list = |error| StorageError::io("cannot list", dir)(error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot_list)? {
        let entry = entry.map_err(cannot_list)?;
        // Names that are not UTF-8 are not Kafka's, and foreign files are none of our business.
        if let (true, Ok(name)) = (entry.file_type().map_err(cannot_list)?.is_file(), entry.file_name().into_string()) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes entries added to, or renamed in, `dir` survive a power loss.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StorageError::io("cannot sync", dir))
}

/// Replaces the content of `path` in one step, so that a crash of the process leaves the old or the new content. A
/// power loss may still undo or damage it, until the file and its directory are synced.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    replace_with(path, content, false)
}

/// Replaces the content of `path` in one step that survives a power loss: written, synced, renamed, directory synced.
pub(super) fn replace_durably(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    replace_with(path, content, true)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn replace_with(path: &Path, content: &[u8], sync: bool) -> Result<(), StorageError> {
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = PathBuf::from(tmp);
    let write = || -> io::Result<()> {
        let mut file = File::create(&tmp)?;
        file.write_all(content)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&tmp, path)
    };
    write().map_err(|error| {
        // A half-written file on a full disk only takes space away.
        let _ = fs::remove_file(&tmp);
        StorageError::io("cannot write", path)(error)
    })
}

/// Removes a file that may be gone already.
pub(super) fn remove_if_exists(path: &Path) -> Result<(), StorageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StorageError::io("cannot remove", path)(error)),
        _ => Ok(()),
    }
}

/// Renames a file that may be gone already; says whether it was there.
pub(super) fn rename_if_exists(from: &Path, to: &Path) -> Result<bool, StorageError> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::io("cannot rename", from)(error)),
    }
}

/// Has `path` be in `dir`, by the same name.
pub(super) fn move_to(path: &mut PathBuf, dir: &Path) {
    let moved = path.file_name().map(|name| dir.join(name));
    path.clone_from(&moved.unwrap_or_default());
}

/// `path` with `suffix` behind it.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes files that a log has given up ([`super::Log::take_deleted_files`]). Large files take long: call it where
/// blocking is allowed. What cannot be removed is removed at the next start.
pub fn remove_files(paths: &[PathBuf]) {
    for path in paths {
        if let Err(error) = remove_if_exists(path) {
            tracing::warn!(%error, "a deleted segment's file stays until the next start");
        }
    }
}
