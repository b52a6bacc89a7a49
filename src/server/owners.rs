//! Whose the data directories are, decided before anything in them is touched.

use std::path::{Path, PathBuf};

use super::StartError;
use crate::config::DataDirectories;
use crate::quorum;
use crate::storage::{LogDirError, METADATA_DIRECTORY, StorageError, Survey};

/// Whether the directory, which is the only one, is Apache Kafka's.
///
/// # Errors
/// Kafka's directories where there are several: the partitions of one of them would be left out.
pub(super) fn is_to_be_taken_over(directories: &DataDirectories) -> Result<bool, StartError> {
    let kafkas = surveys(directories)?.into_iter().find(|(_, survey)| survey.is_apache_kafkas());
    let count = directories.all().len();
    match kafkas {
        None => Ok(false),
        Some(_) if count == 1 => Ok(true),
        Some((path, _)) => {
            let obstacle = format!(
                "{count} data directories are configured, and a directory is taken over alone: move its partitions into one \
                 with kafka-reassign-partitions.sh, let Kafka run with that one and stop it, and name it alone in log.dirs"
            );
            Err(LogDirError::NotTakenOver { path: path.clone(), obstacles: vec![obstacle] }.into())
        }
    }
}

/// Refuses directories with Kafka's metadata beside ours, and those whose metadata log is lost or in another one.
pub(super) fn check(directories: &DataDirectories) -> Result<(), StartError> {
    let surveys = surveys(directories)?;
    let has_metadata = has_metadata(&directories.metadata)?;
    for (path, survey) in surveys.iter().filter(|(path, _)| **path != directories.metadata) {
        if survey.holds_kafkas_metadata() {
            return Err(LogDirError::Kafkas { path: (*path).clone() }.into());
        }
        if !has_metadata && (survey.holds_partitions() || self::has_metadata(path)?) {
            let (path, other) = (directories.metadata.clone(), (*path).clone());
            return Err(LogDirError::MetadataElsewhere { path, other }.into());
        }
    }
    let own = surveys.into_iter().find(|(path, _)| **path == directories.metadata);
    Ok(own.map_or(Ok(()), |(path, survey)| survey.check(path, has_metadata))?)
}

fn has_metadata(path: &Path) -> Result<bool, StartError> {
    quorum::has_metadata(&path.join(METADATA_DIRECTORY))
        .map_err(|error| StartError::Metadata { reason: error.to_string() })
}

/// What lies in each directory. One that cannot be listed is left out: the broker may do without it.
fn surveys(directories: &DataDirectories) -> Result<Vec<(&PathBuf, Survey)>, StorageError> {
    let mut surveys = Vec::new();
    for path in directories.all() {
        match Survey::of(path) {
            Err(_) if *path != directories.metadata => {}
            survey => surveys.push((path, survey?)),
        }
    }
    Ok(surveys)
}
