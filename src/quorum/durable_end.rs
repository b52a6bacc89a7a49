//! How far the metadata log is known to be on the disk, in a file beside it: what tells damage from a torn write.
//!
//! Both look the same in the log: bytes that are no frame, with nothing behind them. But a write that a crash has torn
//! was never acknowledged, and bytes before the durable end were. The file is written after each fsync of the log and
//! before anyone hears of it, and is itself synced only where that costs nothing: at a stop, and before the log is
//! rewritten. So it never says too much. It says all after the death of the process, and after a power loss at least
//! what was true when the system last wrote back its memory, half a minute before as a rule: within that time alone
//! damage of the last entries is taken for a torn write.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file's name, beside the log's.
const FILE_NAME: &str = "durable-end";

/// The digits of a position. The file has always the same size and lies in one sector, which a disk writes whole.
const DIGITS: usize = 20;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The log's bytes before this position were on the disk.
    Bytes(u64),
    /// There is no file: the log is new, of an older version, or somebody gives up what may be lost.
    Missing,
    /// The file itself is damaged.
    Damaged,
}

/// The open file. Positions of a log that was rewritten meanwhile do not count.
#[derive(Debug)]
pub(super) struct DurableEnd {
    path: PathBuf,
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct Noted {
    /// `None` once it could not be written: it says too little then, which is safe.
    file: Option<File>,
    end: u64,
    generation: u64,
}

/// Where the file of the log at `log_path` is.
pub(super) fn path_beside(log_path: &Path) -> PathBuf {
    log_path.with_file_name(FILE_NAME)
}

/// Reads the file beside the log at `log_path`, and changes nothing.
pub(super) fn read(log_path: &Path) -> io::Result<Known> {
    match std::fs::read(path_beside(log_path)) {
        Ok(bytes) => Ok(decode(&bytes).map_or(Known::Damaged, Known::Bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Known::Missing),
        Err(error) => Err(error),
    }
}

impl DurableEnd {
    /// Opens or makes the file beside the log at `log_path`.
    pub(super) fn open(log_path: &Path, known: Known) -> Self {
        let path = path_beside(log_path);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = opened.inspect_err(|error| warn(&path, error)).ok();
        let end = if let Known::Bytes(end) = known { end } else { 0 };
        Self { path, noted: Mutex::new(Noted { file, end, generation: 0 }) }
    }

    /// Which log the positions belong to that are taken now.
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Notes that the bytes before `end` are on the disk, of the log that was there at `generation`.
    pub(super) fn note(&self, generation: u64, end: u64) {
        let mut noted = self.lock();
        if noted.generation == generation && end > noted.end {
            noted.end = end;
            self.write(&mut noted, false);
        }
    }

    /// Vouches for nothing any more, durably: the log is about to be replaced by another one.
    pub(super) fn forget(&self) {
        let mut noted = self.lock();
        noted.end = 0;
        noted.generation += 1;
        self.write(&mut noted, true);
    }

    /// Makes what was noted survive a power loss.
    pub(super) fn sync(&self) {
        let noted = self.lock();
        if let Some(Err(error)) = noted.file.as_ref().map(File::sync_data) {
            warn(&self.path, &error);
        }
    }

    fn write(&self, noted: &mut Noted, sync: bool) {
        let Some(file) = &noted.file else { return };
        let written = file.write_all_at(&encode(noted.end), 0);
        if let Err(error) = written.and_then(|()| if sync { file.sync_data() } else { Ok(()) }) {
            warn(&self.path, &error);
            noted.file = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn(path: &Path, error: &io::Error) {
    let file = path.display();
    tracing::warn!(%file, %error, "the metadata log's durable end is not noted: damage may be taken for a torn write");
}

/// The position and the CRC-32C of its digits, as text.
fn encode(end: u64) -> Vec<u8> {
    let digits = format!("{end:0DIGITS$}");
    format!("{digits} {:08x}\n", crc32c::crc32c(digits.as_bytes())).into_bytes()
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(bytes.get(..DIGITS)?).ok()?;
    let end = digits.parse().ok()?;
    (encode(end) == bytes).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_and_damage_is_noticed() {
        for end in [0, 8, 4_711, u64::MAX] {
            let bytes = encode(end);
            assert_eq!((bytes.len(), decode(&bytes)), (30, Some(end)));
            for flipped in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[flipped / 8] ^= 1 << (flipped % 8);
                assert_eq!(decode(&damaged), None, "bit {flipped}");
            }
            assert_eq!(decode(&bytes[..29]), None);
        }
    }

    #[test]
    fn what_belongs_to_a_log_that_is_gone_is_not_noted() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        assert_eq!(read(&log).unwrap(), Known::Missing);
        let end = DurableEnd::open(&log, Known::Missing);
        let old = end.generation();
        end.note(old, 100);
        end.note(old, 50);
        assert_eq!(read(&log).unwrap(), Known::Bytes(100), "it does not go back");
        end.forget();
        end.note(old, 200);
        assert_eq!(read(&log).unwrap(), Known::Bytes(0));
        end.note(end.generation(), 20);
        assert_eq!(read(&log).unwrap(), Known::Bytes(20));
    }
}
