//! A log directory that Apache Kafka has left: what is in it, looked at without touching anything, and the one step that
//! makes it ours.
//!
//! Our metadata log is written into [`KafkaDirectory::staging`], inside Kafka's metadata directory, where Kafka passes over
//! it; then [`KafkaDirectory::install`] gives that directory our name. So a crash at any moment leaves Kafka's directory or
//! ours, Kafka's metadata log is kept beside ours, and giving it its own name back is the way back.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::directory_identity::{LOCK_FILE, LogDirOptions, existing_identity, lock};
use super::log_dir::CLEAN_SHUTDOWN_FILE;
use super::survey::{KAFKA_METADATA_DIRECTORY, LogDirError, METADATA_DIRECTORY};
use super::{StorageError, checkpoint, files, partition_dir, producer_snapshot};
use crate::ids::{TopicPartition, Uuid};
use crate::protocol::record_batch::{BatchHeader, HEADER_SIZE};

/// Where our metadata log is made, inside of Kafka's.
const STAGING_DIRECTORY: &str = "taking-over";
/// The suffix of the snapshots of Kafka's metadata.
const CHECKPOINT_SUFFIX: &str = ".checkpoint";

/// What lies in a directory of Kafka's.
#[derive(Debug)]
pub struct KafkaDirectory {
    path: PathBuf,
    /// Held while something is changed.
    lock: Option<File>,
    /// `cluster.id`.
    pub cluster_id: String,
    /// `directory.id`; none before Kafka 3.7.
    pub directory_id: Option<Uuid>,
    /// Whether Kafka was stopped and did not crash.
    pub was_stopped_cleanly: bool,
    /// The partitions, sorted by name.
    pub partitions: Vec<KafkaPartition>,
    /// Directories of replicas that are on their way to another log directory.
    pub moving: Vec<String>,
    /// The newest snapshot of the metadata, and the offset up to which it reaches.
    pub metadata_snapshot: Option<(i64, Bytes)>,
    /// The segments of the metadata log by their first offsets, ordered.
    pub metadata_segments: Vec<(i64, Bytes)>,
    /// Where the metadata log ended when it was closed, if that was written down.
    pub metadata_closed_at: Option<i64>,
}

/// One partition's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaPartition {
    /// Whose it is, by its name.
    pub topic_partition: TopicPartition,
    /// The topic's id; nil where `partition.metadata` does not tell.
    pub topic_id: Uuid,
    /// Whether one of its transactions is neither committed nor aborted.
    pub has_open_transaction: bool,
    /// Why its log is not what Kafka had when it stopped, if it is not.
    pub damage: Option<String>,
}

impl KafkaDirectory {
    /// Looks at the directory `path`, and changes nothing.
    ///
    /// # Errors
    /// [`LogDirError::Locked`] while Kafka runs on it; [`LogDirError::Unidentified`], [`LogDirError::Foreign`] for another
    /// node's or cluster's; [`LogDirError::Storage`] where something in it cannot be read.
    pub fn survey(path: &Path, options: &LogDirOptions) -> Result<Self, LogDirError> {
        if is_locked_by_kafka(path)? {
            return Err(LogDirError::Locked(path.to_path_buf()));
        }
        let missing = || LogDirError::Unidentified { path: path.to_path_buf(), reason: "it is missing".to_owned() };
        let identity = existing_identity(path, options)?.ok_or_else(missing)?;
        let metadata = path.join(KAFKA_METADATA_DIRECTORY);
        let names = files::file_names(&metadata)?;
        let read = |name: &String| {
            let file = metadata.join(name);
            fs::read(&file).map(Bytes::from).map_err(StorageError::io("cannot read", &file))
        };
        let newest = names.iter().filter_map(|name| Some((checkpoint_offset(name)?, name))).max();
        let segments = names.iter().filter_map(|name| Some((files::offset_of(name, files::LOG_SUFFIX)?, name)));
        let segments = segments.map(|(base_offset, name)| Ok((base_offset, read(name)?)));
        let (partitions, moving) = partitions(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            lock: None,
            cluster_id: identity.cluster_id,
            directory_id: identity.directory_id,
            was_stopped_cleanly: path.join(CLEAN_SHUTDOWN_FILE).exists(),
            partitions,
            moving,
            metadata_snapshot: newest.map(|(offset, name)| Ok::<_, StorageError>((offset, read(name)?))).transpose()?,
            metadata_segments: segments.collect::<Result<_, StorageError>>()?,
            metadata_closed_at: names.iter().filter_map(|name| files::offset_of(name, files::SNAPSHOT_SUFFIX)).max(),
        })
    }

    /// Where our metadata log is to be made, in a directory that is not there. From here on nobody else takes over.
    ///
    /// # Errors
    /// [`LogDirError::Locked`] where another process has the directory; [`LogDirError::Storage`] where what an interrupted
    /// attempt has left there cannot be removed.
    pub fn staging(&mut self) -> Result<PathBuf, LogDirError> {
        self.lock = Some(lock(&self.path)?);
        let staging = self.path.join(KAFKA_METADATA_DIRECTORY).join(STAGING_DIRECTORY);
        match fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::io("cannot remove", &staging)(error).into())
            }
            _ => Ok(staging),
        }
    }

    /// Makes the directory ours: what is in [`Self::staging`] takes its place beside Kafka's metadata log, whose directory
    /// becomes ours in one step that survives a power loss. The directory can then be opened as ours.
    ///
    /// # Errors
    /// What the disk says; the directory is Kafka's then.
    pub fn install(&mut self) -> Result<(), LogDirError> {
        let (from, to) = (self.path.join(KAFKA_METADATA_DIRECTORY), self.path.join(METADATA_DIRECTORY));
        let staging = from.join(STAGING_DIRECTORY);
        // An earlier take-over, from which somebody went back, has left its own.
        files::remove_if_exists(&from.join("snapshot"))?;
        for name in files::file_names(&staging)? {
            files::rename_if_exists(&staging.join(&name), &from.join(&name))?;
        }
        fs::remove_dir(&staging).map_err(StorageError::io("cannot remove", &staging))?;
        files::sync_dir(&from)?;
        fs::rename(&from, &to).map_err(StorageError::io("cannot rename", &from))?;
        files::sync_dir(&self.path)?;
        self.lock = None;
        Ok(())
    }
}

/// Whether a Kafka that runs has the directory: Java locks a file by fcntl, of which [`lock`] knows nothing.
fn is_locked_by_kafka(path: &Path) -> Result<bool, StorageError> {
    let file = path.join(LOCK_FILE);
    let opened = match File::options().read(true).write(true).open(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(StorageError::io("cannot open", &file))?,
    };
    match rustix::fs::fcntl_lock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(false),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(true),
        Err(error) => Err(StorageError::io("cannot lock", &file)(error.into())),
    }
}

/// The offset in the name `<20 digits of an offset>-<10 digits of an epoch>.checkpoint`.
fn checkpoint_offset(name: &str) -> Option<i64> {
    let (offset, epoch) = name.strip_suffix(CHECKPOINT_SUFFIX)?.split_once('-')?;
    let is_epoch = epoch.len() == 10 && epoch.bytes().all(|byte| byte.is_ascii_digit());
    if is_epoch { files::offset_of(offset, "") } else { None }
}

/// The partitions' directories in `path`, and the names of those that are being moved.
fn partitions(path: &Path) -> Result<(Vec<KafkaPartition>, Vec<String>), StorageError> {
    let cannot_list = |error| StorageError::io("cannot list", path)(error);
    let known = checkpoint::read_all(path);
    let (mut partitions, mut moving) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(path).map_err(cannot_list)? {
        let entry = entry.map_err(cannot_list)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.ends_with(partition_dir::FUTURE_SUFFIX) {
            moving.push(name);
        } else if let Some(topic_partition) = partition_dir::parse_name(&name) {
            let flushed = known.get(&topic_partition).map(|known| known.recovery_point);
            partitions.push(partition(&entry.path(), topic_partition, flushed)?);
        }
    }
    partitions.sort_by(|left, right| left.topic_partition.cmp(&right.topic_partition));
    moving.sort_unstable();
    Ok((partitions, moving))
}

/// Looks at the partition in `dir`, which was flushed up to the offset `flushed`.
fn partition(
    dir: &Path,
    topic_partition: TopicPartition,
    flushed: Option<i64>,
) -> Result<KafkaPartition, StorageError> {
    let names = files::file_names(dir)?;
    let newest = |suffix: &str| names.iter().filter_map(|name| files::offset_of(name, suffix)).max();
    let snapshot = newest(files::SNAPSHOT_SUFFIX)
        .and_then(|offset| fs::read(files::offset_file(dir, offset, files::SNAPSHOT_SUFFIX)).ok());
    let damage = match (newest(files::LOG_SUFFIX), flushed) {
        (None, _) => Some("it has no segment".to_owned()),
        (_, None) => Some(format!("{} does not name it", checkpoint::RECOVERY_POINT_FILE)),
        (Some(base_offset), Some(flushed)) => {
            let path = files::offset_file(dir, base_offset, files::LOG_SUFFIX);
            match end_offset(&path, base_offset).map_err(StorageError::io("cannot read", &path))? {
                Ok(end) if end == flushed => None,
                Ok(end) => Some(format!("its log ends at offset {end}, and ended at {flushed} when Kafka stopped")),
                Err(position) => Some(format!("no whole batch is at byte {position} of {}", path.display())),
            }
        }
    };
    Ok(KafkaPartition {
        topic_partition,
        topic_id: partition_dir::read_topic_id(dir),
        has_open_transaction: snapshot.is_some_and(|bytes| producer_snapshot::has_open_transaction(&bytes)),
        damage,
    })
}

/// The offset behind the last batch of a segment, by the batches' headers; or the byte at which no whole batch is.
fn end_offset(path: &Path, base_offset: i64) -> io::Result<Result<i64, u64>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let (mut position, mut next_offset) = (0, base_offset);
    while position < size {
        let mut header = [0; HEADER_SIZE];
        file.seek(SeekFrom::Start(position))?;
        let header = match file.read_exact(&mut header) {
            Ok(()) => BatchHeader::parse(&header).ok(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        let end = header.map(|header| (position + header.size_in_bytes() as u64, header));
        match end.filter(|(end, header)| *end <= size && header.base_offset >= next_offset) {
            Some((end, header)) => (position, next_offset) = (end, header.next_offset()),
            None => return Ok(Err(position)),
        }
    }
    Ok(Ok(next_offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_snapshots_of_the_metadata_have_an_offset() {
        let name = "00000000000000000046-0000000001.checkpoint";
        assert_eq!(checkpoint_offset(name), Some(46));
        for other in [
            "00000000000000000046-0000000001.checkpoint.deleted",
            "00000000000000000046-0000000001-123.checkpoint.part",
            "00000000000000000046.checkpoint",
            "46-1.checkpoint",
            "bootstrap.checkpoint",
        ] {
            assert_eq!(checkpoint_offset(other), None, "{other}");
        }
    }
}
