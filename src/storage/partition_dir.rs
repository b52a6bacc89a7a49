//! The directory of one partition: what it is called, how it comes to be, and whose it says that it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dir_state::{CountedLog, DirState};
use super::leader_epoch::LeaderEpochs;
use super::log_place::LogPlace;
use super::producer_snapshot::ProducerSnapshots;
use super::{StorageError, files, format_uuid, parse_uuid};
use crate::ids::{CLUSTER_METADATA_TOPIC, NO_TOPIC_ID, TopicPartition, Uuid};

/// Holds the topic's id.
pub(super) const METADATA_FILE: &str = "partition.metadata";
/// What a crash in the middle of writing it leaves.
const METADATA_TMP_FILE: &str = "partition.metadata.tmp";
/// Of directories that are being removed.
pub(super) const DELETE_SUFFIX: &str = "-delete";
/// Of the directories of logs that are to take the place of their partition's log in another log directory.
pub(super) const FUTURE_SUFFIX: &str = "-future";
/// Of directories that nobody wants, but whose records nobody has given up.
const STRAY_SUFFIX: &str = "-stray";

/// The longest name that file systems take.
const MAX_NAME: usize = 255;

/// The partition whose directory has this name; foreign directories, and Kafka's own metadata log, are none.
pub(super) fn parse_name(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let is_number = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    if topic.is_empty() || topic == CLUSTER_METADATA_TOPIC || !is_number {
        return None;
    }
    Some(TopicPartition::new(topic, partition.parse().ok()?))
}

/// The partition whose directory has this name, which is unique and ends in `suffix`; a topic's long name is cut in it.
pub(super) fn parse_unique_name(name: &str, suffix: &str) -> Option<TopicPartition> {
    let (partition, unique) = name.strip_suffix(suffix)?.rsplit_once('.')?;
    let is_unique = unique.len() == 32 && unique.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_unique.then(|| parse_name(partition)).flatten()
}

/// `<topic>-<partition>.<32 hex digits><suffix>`, the topic's name cut to what a directory may be called.
fn unique_name(topic_partition: &TopicPartition, suffix: &str) -> String {
    let suffix = format!("-{}.{}{suffix}", topic_partition.partition, Uuid::new_v4().simple());
    let topic: String = topic_partition.topic.chars().take(MAX_NAME - suffix.len()).collect();
    topic + &suffix
}

/// Gives the partition's directory `dir` a unique name that ends in `suffix`; returns its new path.
pub(super) fn rename(dir: &Path, topic_partition: &TopicPartition, suffix: &str) -> Result<PathBuf, StorageError> {
    let renamed = dir.with_file_name(unique_name(topic_partition, suffix));
    fs::rename(dir, &renamed).map_err(StorageError::io("cannot rename", dir))?;
    Ok(renamed)
}

/// Renames `dir`, the partition's directory or what is in its place, so that no start loads it.
pub(super) fn set_aside(dir: &Path, topic_partition: &TopicPartition) -> Result<(), StorageError> {
    let stray = rename(dir, topic_partition, STRAY_SUFFIX)?;
    tracing::warn!(partition = %topic_partition, stray = %stray.display(), "a partition's directory is set aside");
    Ok(())
}

/// Makes a directory beside the partition's directory `dir`, for files of it that no start shall load.
pub(super) fn create_stray(dir: &Path, topic_partition: &TopicPartition) -> Result<PathBuf, StorageError> {
    let stray = dir.with_file_name(unique_name(topic_partition, STRAY_SUFFIX));
    fs::create_dir(&stray).map_err(StorageError::io("cannot create", &stray))?;
    Ok(stray)
}

/// Whether any segment in `dir` holds anything.
pub(super) fn holds_records(dir: &Path) -> Result<bool, StorageError> {
    let names = files::file_names(dir)?;
    let is_filled = |name: &String| fs::metadata(dir.join(name)).is_ok_and(|metadata| metadata.len() > 0);
    Ok(names.iter().any(|name| files::offset_of(name, files::LOG_SUFFIX).is_some() && is_filled(name)))
}

/// Whether an interrupted deletion left a directory of this name.
pub(super) fn is_doomed(name: &str) -> bool {
    let unique = name.strip_suffix(DELETE_SUFFIX).and_then(|name| name.rsplit_once('.'));
    unique.is_some_and(|(_, unique)| unique.len() == 32 && unique.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Makes the directory of an empty log. Nothing is synced. The caller knows of no log there: what is in its place is
/// used when it is only half of such a directory, and set aside when it may hold records.
pub(super) fn create(
    state: &Arc<DirState>,
    topic_partition: &TopicPartition,
    topic_id: Uuid,
) -> Result<LogPlace, StorageError> {
    let dir = state.path.join(topic_partition.to_string());
    if dir.parent() != Some(&state.path) {
        // Names are checked where topics are created; this is the last line of defence.
        return Err(StorageError::io("cannot create", &dir)(io::ErrorKind::InvalidFilename.into()));
    }
    if !reuse(&dir, topic_partition)? {
        fs::create_dir(&dir).map_err(StorageError::io("cannot create", &dir))?;
    }
    fill(state, dir, topic_id)
}

/// Makes the directory of an empty log that is to take the place of the partition's one. Nothing is synced.
pub(super) fn create_future(
    state: &Arc<DirState>,
    topic_partition: &TopicPartition,
    topic_id: Uuid,
) -> Result<LogPlace, StorageError> {
    let dir = state.path.join(unique_name(topic_partition, FUTURE_SUFFIX));
    fs::create_dir(&dir).map_err(StorageError::io("cannot create", &dir))?;
    fill(state, dir, topic_id)
}

/// Puts into a log's directory what is to be in it from the beginning.
fn fill(state: &Arc<DirState>, dir: PathBuf, topic_id: Uuid) -> Result<LogPlace, StorageError> {
    write_topic_id(&dir, topic_id).inspect_err(|_| {
        // Half a directory would be loaded as a log without a topic; one with other files in it stays.
        let _ = fs::remove_dir(&dir);
    })?;
    let snapshots = ProducerSnapshots::new(&dir, &[]);
    let written_epochs = LeaderEpochs::default();
    Ok(LogPlace {
        dir,
        state: state.clone(),
        _counted: CountedLog::of(state),
        snapshots,
        written_epochs,
        dir_changes: 1,
        synced_dir_changes: 0,
    })
}

/// Whether `dir` is there and as good as new: it has nothing but what an interrupted [`create`] leaves, which the next
/// one replaces. Anything else is moved out of the way.
fn reuse(dir: &Path, topic_partition: &TopicPartition) -> Result<bool, StorageError> {
    match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::io("cannot read", dir)(error)),
        Ok(metadata) if metadata.is_dir() && is_half_made(dir)? => Ok(true),
        Ok(_) => set_aside(dir, topic_partition).map(|()| false),
    }
}

fn is_half_made(dir: &Path) -> Result<bool, StorageError> {
    let cannot_list = |error| StorageError::io("cannot list", dir)(error);
    for entry in fs::read_dir(dir).map_err(cannot_list)? {
        let entry = entry.map_err(cannot_list)?;
        let is_ours = [METADATA_FILE, METADATA_TMP_FILE].iter().any(|name| entry.file_name() == *name);
        if !is_ours || !entry.file_type().map_err(cannot_list)?.is_file() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Says in `dir` whose it is, in a file that is not synced.
pub(super) fn write_topic_id(dir: &Path, topic_id: Uuid) -> Result<(), StorageError> {
    let metadata = format!("version: 0\ntopic_id: {}", format_uuid(topic_id));
    files::replace(&dir.join(METADATA_FILE), metadata.as_bytes())
}

/// Whose `dir` says that it is; nil when it does not.
pub(super) fn read_topic_id(dir: &Path) -> Uuid {
    let parse = |text: String| text.lines().find_map(|line| parse_uuid(line.strip_prefix("topic_id: ")?.trim()));
    fs::read_to_string(dir.join(METADATA_FILE)).ok().and_then(parse).unwrap_or(NO_TOPIC_ID)
}
