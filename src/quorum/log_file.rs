//! The metadata log as one append-only file of frames.
//!
//! Votes and entries share the file, so that one fsync makes both durable and they keep their order.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::encoding::{LogFrame, decode_frame, encode_frame, invalid, take_payload};
use super::types::{LogEntry, Payload};

/// What the file begins with: a name, and the version of the frames.
const MAGIC: &[u8; 8] = b"klamm-m\x01";

/// An open log file, its end being where the next frame goes.
#[derive(Debug)]
pub(super) struct MetadataLogFile {
    path: PathBuf,
    file: Arc<File>,
    /// Whether the directory does not yet durably name the file.
    created: bool,
}

/// What [`LogFile::sync`] needs, so that it can run while others append.
#[derive(Debug, Clone)]
pub(super) struct SyncHandle {
    file: Arc<File>,
    directory: Option<PathBuf>,
}

impl SyncHandle {
    /// Makes durable what was appended before this call.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.directory.as_deref().map_or(Ok(()), sync_directory)
    }
}

impl MetadataLogFile {
    /// Opens or creates the file and gives each frame in it to `replay`.
    ///
    /// A torn tail, as a crash leaves it, is cut off. Damage that intact frames follow is an error: what was lost there
    /// had been acknowledged.
    pub(super) fn open(path: PathBuf, mut replay: impl FnMut(LogFrame)) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let created = bytes.len() < MAGIC.len();
        if created {
            file.set_len(0)?;
            file.write_all(MAGIC)?;
            return Ok(Self { path, file: Arc::new(file), created });
        }
        let mut rest =
            bytes.strip_prefix(MAGIC).ok_or_else(|| invalid(format!("{} is not a metadata log", path.display())))?;
        while let Some(payload) = take_payload(&mut rest) {
            replay(decode_frame(payload)?);
        }
        if !rest.is_empty() {
            if has_intact_frame(rest) {
                return Err(invalid(format!("{} is damaged at byte {}", path.display(), bytes.len() - rest.len())));
            }
            tracing::info!(file = %path.display(), bytes = rest.len(), "cut a torn tail off the metadata log");
            file.set_len((bytes.len() - rest.len()) as u64)?;
        }
        Ok(Self { path, file: Arc::new(file), created })
    }

    /// Appends frames; they are durable after a later [`SyncHandle::sync`].
    pub(super) fn append<'a>(&mut self, frames: impl IntoIterator<Item = &'a LogFrame>) -> io::Result<()> {
        let mut buffer = Vec::new();
        for frame in frames {
            encode_frame(frame, &mut buffer);
        }
        (&*self.file).write_all(&buffer)
    }

    /// What makes the frames appended so far durable.
    pub(super) fn sync_handle(&mut self) -> SyncHandle {
        let created = std::mem::take(&mut self.created);
        SyncHandle {
            file: Arc::clone(&self.file),
            directory: created.then(|| self.path.parent().map(Path::to_path_buf)).flatten(),
        }
    }

    /// Replaces all frames by `frames`, durably and atomically.
    pub(super) fn rewrite<'a>(&mut self, frames: impl IntoIterator<Item = &'a LogFrame>) -> io::Result<()> {
        let mut buffer = MAGIC.to_vec();
        for frame in frames {
            encode_frame(frame, &mut buffer);
        }
        write_atomically(&self.path, &buffer)?;
        self.file = Arc::new(OpenOptions::new().append(true).open(&self.path)?);
        self.created = false;
        Ok(())
    }
}

/// Whether any metadata record is in the file, which is only read; votes and memberships are none.
pub(super) fn has_records(path: &Path) -> io::Result<bool> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        bytes => bytes?,
    };
    if bytes.len() < MAGIC.len() {
        return Ok(false);
    }
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return Ok(true) };
    while let Some(payload) = take_payload(&mut rest) {
        match decode_frame(payload) {
            Ok(LogFrame::Entry(LogEntry { payload: Payload::Normal(_), .. })) | Err(_) => return Ok(true),
            Ok(_) => {}
        }
    }
    Ok(has_intact_frame(rest))
}

/// Writes a whole file so that after a crash there is either the old or the new one.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn has_intact_frame(bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|start| bytes.get(start..).is_some_and(|mut rest| take_payload(&mut rest).is_some()))
}
