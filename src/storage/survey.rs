//! Whose data a directory holds: found out by looking at names alone, before anything in it is touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{StorageError, meta_properties, partition_dir};
use crate::ids::TopicPartition;

/// The directory of the metadata log, inside a log directory. Whoever makes a log directory makes it first, so that an
/// identity without it is not ours.
pub const METADATA_DIRECTORY: &str = "metadata";

/// The directory of Apache Kafka's metadata log.
pub(super) const KAFKA_METADATA_DIRECTORY: &str = "__cluster_metadata-0";

/// Why a log directory cannot be used. Each is one sentence for the person who started the broker.
#[derive(Debug, thiserror::Error)]
pub enum LogDirError {
    /// Another process has it.
    #[error("the data directory {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// It belongs to another node or cluster.
    #[error("the data directory {} belongs to {theirs}, not to {ours}", .path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        theirs: String,
        /// Who wants it.
        ours: String,
    },
    /// Whose it is cannot be told, and guessing could mix up two clusters' data.
    #[error("the data directory {} has a meta.properties that cannot be used: {reason}", .path.display())]
    Unidentified {
        /// The directory.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// Apache Kafka has written it, and it has metadata of ours, too.
    #[error(
        "the data directory {} holds two metadata logs, Apache Kafka's ({KAFKA_METADATA_DIRECTORY}) and Klamm's \
         ({METADATA_DIRECTORY})",
        .path.display()
    )]
    Kafkas {
        /// The directory.
        path: PathBuf,
    },
    /// Apache Kafka has written it, and something in it cannot be taken over.
    #[error("the data directory {} is Apache Kafka's and cannot be taken over:{}", .path.display(), listed(.obstacles))]
    NotTakenOver {
        /// The directory.
        path: PathBuf,
        /// Each is a sentence: what was found, and what to do.
        obstacles: Vec<String>,
    },
    /// It holds data that no metadata speaks of: Apache Kafka's, or our own without its metadata log.
    #[error(
        "the data directory {} holds {found}, but the metadata log, {METADATA_DIRECTORY}/log, is missing or empty",
        .path.display()
    )]
    MetadataMissing {
        /// The directory.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// Another one has data, and the metadata log is missing where it is to be.
    #[error(
        "the metadata log is missing or empty in the data directory {}, and {} has data",
        .path.display(), .other.display()
    )]
    MetadataElsewhere {
        /// Where it is to be.
        path: PathBuf,
        /// The directory with data.
        other: PathBuf,
    },
    /// One of the directories is a copy of another one.
    #[error("the data directories {} and {} have the same directory.id, {id}", .other.display(), .path.display())]
    SameDirectory {
        /// The later one.
        path: PathBuf,
        /// The earlier one.
        other: PathBuf,
        /// The id in their `meta.properties`.
        id: String,
    },
    /// A partition is in two directories (Kafka: duplicate log directories).
    #[error("the partition {partition} is in two data directories, {} and {}", .first.display(), .second.display())]
    DuplicateLog {
        /// Which one.
        partition: TopicPartition,
        /// Its directory in the one.
        first: PathBuf,
        /// Its directory in the other.
        second: PathBuf,
    },
    /// None of several could be opened; each has been told.
    #[error("none of the data directories can be used")]
    NoneUsable,
    /// It holds partitions that its metadata does not know, and has not deleted.
    #[error(
        "the data directory {} holds {} that the metadata does not know: {}; the metadata is older than they are, or damaged, \
         or somebody has put them there",
        .path.display(), count_of(.unknown.len()), some_of(.unknown)
    )]
    UnknownPartitions {
        /// The directory.
        path: PathBuf,
        /// Each partition's directory, and what is wrong with it.
        unknown: Vec<String>,
    },
    /// A system call failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The sentences on lines of their own.
fn listed(obstacles: &[String]) -> String {
    obstacles.iter().flat_map(|obstacle| ["\n  - ", obstacle.as_str()]).collect()
}

/// So many partitions are named to the person who started the broker.
const NAMED_PARTITIONS: usize = 3;

/// What lies in a directory that a broker is to start on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    has_identity: bool,
    has_metadata_directory: bool,
    has_kafka_metadata: bool,
    /// Names of partitions' directories, sorted.
    partitions: Vec<String>,
}

impl Survey {
    /// Lists `path` and changes nothing; a directory that is not there holds nothing.
    pub fn of(path: &Path) -> Result<Self, StorageError> {
        let cannot_list = |error| StorageError::io("cannot list", path)(error);
        let mut survey = Self::default();
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(survey),
            entries => entries.map_err(cannot_list)?,
        };
        for entry in entries {
            let entry = entry.map_err(cannot_list)?;
            if let Ok(name) = entry.file_name().into_string() {
                survey.note(name, entry.file_type().map_err(cannot_list)?.is_dir());
            }
        }
        survey.partitions.sort_unstable();
        Ok(survey)
    }

    fn note(&mut self, name: String, is_directory: bool) {
        match (name.as_str(), is_directory) {
            (meta_properties::FILE_NAME, false) => self.has_identity = true,
            (METADATA_DIRECTORY, true) => self.has_metadata_directory = true,
            (KAFKA_METADATA_DIRECTORY, true) => self.has_kafka_metadata = true,
            (_, true) if partition_dir::parse_name(&name).is_some() => self.partitions.push(name),
            _ => {}
        }
    }

    /// Whether the directory is Apache Kafka's, and nothing of ours is in it.
    pub fn is_apache_kafkas(&self) -> bool {
        self.has_kafka_metadata && !self.has_metadata_directory
    }

    /// Whether there are partitions in it.
    pub fn holds_partitions(&self) -> bool {
        !self.partitions.is_empty()
    }

    /// Whether Apache Kafka has kept its metadata in it.
    pub fn holds_kafkas_metadata(&self) -> bool {
        self.has_kafka_metadata
    }

    /// Decides whether a broker may start on `path`, whose metadata log holds anything or not: on nothing, on what a
    /// broker of ours has left, and on what the first start of one has left when it was cut short.
    ///
    /// Unlike Kafka, which starts without topics where its metadata log is gone, such a directory is refused: its
    /// partitions would belong to nobody, and give way to new topics of the same names.
    ///
    /// Errors: [`LogDirError::Kafkas`], [`LogDirError::MetadataMissing`], [`LogDirError::Unidentified`].
    pub fn check(&self, path: &Path, has_metadata: bool) -> Result<(), LogDirError> {
        let path = path.to_path_buf();
        if self.has_kafka_metadata {
            return Err(LogDirError::Kafkas { path });
        }
        if has_metadata && !self.has_identity {
            return Err(LogDirError::Unidentified { path, reason: "it is missing although there is data".to_owned() });
        }
        let is_half_made = self.has_metadata_directory || !self.has_identity;
        if has_metadata || (is_half_made && self.partitions.is_empty()) {
            return Ok(());
        }
        Err(LogDirError::MetadataMissing { path, found: self.found() })
    }

    /// `meta.properties and 5 partitions (a-0, a-1, b-0, ...)`.
    fn found(&self) -> String {
        let identity = self.has_identity.then(|| meta_properties::FILE_NAME.to_owned());
        let partitions = match self.partitions.len() {
            0 => None,
            count => Some(format!("{} ({})", count_of(count), some_of(&self.partitions))),
        };
        identity.into_iter().chain(partitions).collect::<Vec<_>>().join(" and ")
    }
}

fn count_of(partitions: usize) -> String {
    if partitions == 1 { "a partition".to_owned() } else { format!("{partitions} partitions") }
}

/// The first of them.
fn some_of(partitions: &[String]) -> String {
    let more = if partitions.len() > NAMED_PARTITIONS { ", ..." } else { "" };
    partitions.get(..NAMED_PARTITIONS).unwrap_or(partitions).join(", ") + more
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names, and whether each is a directory's.
    type Names<'a> = &'a [(&'a str, bool)];

    fn survey(names: Names) -> Survey {
        let mut survey = Survey::default();
        for (name, is_directory) in names {
            survey.note((*name).to_owned(), *is_directory);
        }
        survey
    }

    #[test]
    fn only_nothing_and_our_own_are_started_on() {
        const IDENTITY: (&str, bool) = ("meta.properties", false);
        const METADATA: (&str, bool) = ("metadata", true);
        const PARTITION: (&str, bool) = ("orders-0", true);
        const KAFKA: (&str, bool) = ("__cluster_metadata-0", true);
        let foreign = [("lost+found", true), (".lock", false), ("orders-0.0-stray", true), ("orders-1", false)];
        let cases: &[(Names, bool, Option<&str>)] = &[
            (&[], false, None),
            (&foreign, false, None),
            (&[METADATA], false, None),
            (&[METADATA, IDENTITY], false, None),
            (&[METADATA, IDENTITY], true, None),
            (&[METADATA, IDENTITY, PARTITION], true, None),
            (
                &[METADATA],
                true,
                Some(
                    "the data directory /d has a meta.properties that cannot be used: it is missing although there is data",
                ),
            ),
            (
                &[KAFKA, METADATA, IDENTITY, PARTITION],
                true,
                Some(
                    "the data directory /d holds two metadata logs, Apache Kafka's (__cluster_metadata-0) and Klamm's (metadata)",
                ),
            ),
            (
                &[IDENTITY],
                false,
                Some(
                    "the data directory /d holds meta.properties, but the metadata log, metadata/log, is missing or empty",
                ),
            ),
            (
                &[PARTITION],
                false,
                Some(
                    "the data directory /d holds a partition (orders-0), but the metadata log, metadata/log, is missing or empty",
                ),
            ),
            (
                &[METADATA, IDENTITY, PARTITION],
                false,
                Some(
                    "the data directory /d holds meta.properties and a partition (orders-0), but the metadata log, metadata/log, is missing or empty",
                ),
            ),
        ];
        for (names, has_metadata, expected) in cases {
            let decided = survey(names).check(Path::new("/d"), *has_metadata);
            assert_eq!(decided.map_err(|error| error.to_string()).err().as_deref(), *expected, "{names:?}");
        }
        assert!(survey(&[KAFKA, IDENTITY, PARTITION]).is_apache_kafkas());
        assert!(!survey(&[KAFKA, METADATA]).is_apache_kafkas() && !survey(&[IDENTITY, PARTITION]).is_apache_kafkas());
        let many = survey(&[("a-0", true), ("a-1", true), ("b-0", true), ("b-1", true)]);
        assert_eq!(many.found(), "4 partitions (a-0, a-1, b-0, ...)");
    }
}
