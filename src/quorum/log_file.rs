//! The metadata log as one append-only file of frames.
//!
//! Votes and entries share the file, so that one fsync makes both durable and they keep their order. What was lost is told
//! from what a crash has torn by the [durable end](super::durable_end).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::durable_end::{self, DurableEnd, Known};
use super::encoding::{LogFrame, decode_frame, encode_frame, invalid, take_payload};
use super::types::{LogEntry, Payload};

/// What the file begins with: a name, and the version of the frames.
const MAGIC: &[u8; 8] = b"klamm-m\x01";

/// An open log file, its end being where the next frame goes.
#[derive(Debug)]
pub(super) struct MetadataLogFile {
    path: PathBuf,
    file: Arc<File>,
    /// Bytes appended so far.
    size: u64,
    durable_end: Arc<DurableEnd>,
    /// Whether the directory does not yet durably name the file.
    created: bool,
}

/// What [`LogFile::sync`] needs, so that it can run while others append.
#[derive(Debug, Clone)]
pub(super) struct SyncHandle {
    file: Arc<File>,
    /// The bytes that are in the file, and which of the logs it is that have had this place.
    size: u64,
    generation: u64,
    durable_end: Arc<DurableEnd>,
    directory: Option<PathBuf>,
}

impl SyncHandle {
    /// Makes durable what was appended before this call.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.directory.as_deref().map_or(Ok(()), sync_directory)?;
        self.durable_end.note(self.generation, self.size);
        Ok(())
    }
}

impl MetadataLogFile {
    /// Opens or creates the file and gives each frame in it to `replay`.
    ///
    /// A torn tail, as a crash leaves it, is cut off. Damage that intact frames follow is an error, and so is a log that
    /// ends before its durable end: what was lost there had been acknowledged. Nothing is changed then.
    ///
    /// Unlike Kafka, whose broker of a quorum of one cuts its metadata log at the first invalid batch and goes on.
    pub(super) fn open(path: PathBuf, mut replay: impl FnMut(LogFrame)) -> io::Result<Self> {
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            bytes => bytes?,
        };
        let known = durable_end::read(&path)?;
        let created = bytes.len() < MAGIC.len();
        let mut rest = if created { &bytes[..] } else { after_magic(&path, &bytes)? };
        while let Some(payload) = take_payload(&mut rest) {
            replay(decode_frame(payload)?);
        }
        let intact = bytes.len() - rest.len();
        check_loss(&path, &bytes, intact, known)?;
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        if !rest.is_empty() {
            warn_of_cut(&path, rest.len(), known);
            file.set_len(intact as u64)?;
        }
        if created {
            (&file).write_all(MAGIC)?;
        }
        let durable_end = Arc::new(DurableEnd::open(&path, known));
        Ok(Self { path, file: Arc::new(file), size: intact.max(MAGIC.len()) as u64, durable_end, created })
    }

    /// Appends frames; they are durable after a later [`SyncHandle::sync`].
    pub(super) fn append<'a>(&mut self, frames: impl IntoIterator<Item = &'a LogFrame>) -> io::Result<()> {
        let mut buffer = Vec::new();
        for frame in frames {
            encode_frame(frame, &mut buffer);
        }
        (&*self.file).write_all(&buffer)?;
        self.size += buffer.len() as u64;
        Ok(())
    }

    /// What makes the frames appended so far durable.
    pub(super) fn sync_handle(&mut self) -> SyncHandle {
        let created = std::mem::take(&mut self.created);
        SyncHandle {
            file: Arc::clone(&self.file),
            size: self.size,
            generation: self.durable_end.generation(),
            durable_end: Arc::clone(&self.durable_end),
            directory: created.then(|| self.path.parent().map(Path::to_path_buf)).flatten(),
        }
    }

    /// Replaces all frames by `frames`, durably and atomically.
    pub(super) fn rewrite<'a>(&mut self, frames: impl IntoIterator<Item = &'a LogFrame>) -> io::Result<()> {
        let mut buffer = MAGIC.to_vec();
        for frame in frames {
            encode_frame(frame, &mut buffer);
        }
        // Whatever happens from here on, a position in the old file is not taken for one in the new file.
        self.durable_end.forget();
        write_atomically(&self.path, &buffer)?;
        self.file = Arc::new(OpenOptions::new().append(true).open(&self.path)?);
        self.size = buffer.len() as u64;
        self.durable_end.note(self.durable_end.generation(), self.size);
        self.created = false;
        Ok(())
    }

    /// Makes the durable end survive a power loss, too.
    pub(super) fn close(&self) {
        self.durable_end.sync();
    }
}

fn after_magic<'a>(path: &Path, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
    bytes.strip_prefix(MAGIC).ok_or_else(|| invalid(format!("{} is not a metadata log", path.display())))
}

/// Fails if acknowledged frames are gone, of which the first `intact` bytes are not a part.
fn check_loss(path: &Path, bytes: &[u8], intact: usize, known: Known) -> io::Result<()> {
    let reason = match known {
        Known::Bytes(end) if (intact as u64) < end => {
            format!("everything before byte {end} had been acknowledged ({} says so)", durable_end_path(path))
        }
        _ if has_intact_frame(bytes.get(intact..).unwrap_or_default()) => "intact entries follow".to_owned(),
        _ => return Ok(()),
    };
    let (file, size) = (path.display(), bytes.len());
    Err(invalid(format!(
        "{file}, of {size} bytes, is damaged at byte {intact}, and this is no torn write: {reason}. To give up what was \
         decided behind it, and only then: truncate -s {intact} {file}; rm -f {}",
        durable_end_path(path)
    )))
}

fn warn_of_cut(path: &Path, bytes: usize, known: Known) {
    let file = path.display();
    match known {
        Known::Bytes(_) => {
            tracing::warn!(%file, bytes, "cut a torn write off the metadata log; it had not been acknowledged");
        }
        Known::Missing | Known::Damaged => {
            let missing = durable_end_path(path);
            tracing::warn!(%file, bytes, %missing, "cut the invalid end off the metadata log; whether it had been acknowledged cannot be told");
        }
    }
}

fn durable_end_path(path: &Path) -> String {
    durable_end::path_beside(path).display().to_string()
}

/// Whether anything is in the file, which is only read; also what is damaged.
pub(super) fn has_begun(path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        metadata => Ok(metadata?.len() > MAGIC.len() as u64),
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
