//! `kafka-storage` (`kafka.tools.StorageTool`).
//!
//! Unlike Kafka, a broker of ours makes its directory when it starts; formatting one before gives it its identity and
//! nothing else. Features, releases and controllers are checked and have no effect, and SCRAM credentials are refused.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::super::print::print;
use super::super::sources::{environment, file_alone};
use super::arguments::{failed, parse_subcommands};
use super::asking::read_properties;
use super::storage_checks::{QuorumFlags, check_features, check_release, directory_kind, exception};
use crate::config::{Config, Storage, java_properties};
use crate::ids::Uuid;
use crate::storage::{LogDirOptions, LogDirs, format_uuid};

/// The release whose metadata Klamm writes, as Kafka names it.
const METADATA_VERSION: &str = "4.1-IV1";
/// Nothing but one small file is opened.
const MOST_OPEN_FILES: usize = 16;
const META_PROPERTIES: &str = "meta.properties";

/// The Kafka storage tool.
#[derive(Debug, Parser)]
struct StorageOptions {
    #[command(subcommand)]
    command: StorageAction,
}

#[derive(Debug, Subcommand)]
enum StorageAction {
    /// Get information about the log directories on this node.
    Info {
        /// The configuration file to use.
        #[arg(short, long, value_name = "CONFIG")]
        config: String,
    },
    /// Format the log directories on this node.
    Format(FormatArguments),
    /// Print a random UUID.
    RandomUuid,
}

#[derive(Debug, Args)]
struct FormatArguments {
    /// The configuration file to use.
    #[arg(short, long, value_name = "CONFIG")]
    config: String,
    /// The cluster ID to use.
    #[arg(short = 't', long, value_name = "CLUSTER_ID")]
    cluster_id: String,
    /// Skip directories that are formatted already rather than fail.
    #[arg(short = 'g', long)]
    ignore_formatted: bool,
    /// A SCRAM credential; not served.
    #[arg(short = 'S', long, value_name = "ADD_SCRAM")]
    add_scram: Vec<String>,
    /// The release whose features are to hold; has no effect.
    #[arg(short, long, value_name = "RELEASE_VERSION")]
    release_version: Option<String>,
    /// A feature's level, as feature=level; has no effect.
    #[arg(short, long, value_name = "FEATURE")]
    feature: Vec<String>,
    /// A controller that is a quorum by itself, which every node is at first.
    #[arg(short, long, conflicts_with_all = ["no_initial_controllers", "initial_controllers"])]
    standalone: bool,
    /// A server that learns the quorum from others; has no effect.
    #[arg(short = 'N', long, conflicts_with = "initial_controllers")]
    no_initial_controllers: bool,
    /// The controllers of the first quorum; has no effect.
    #[arg(short = 'I', long, value_name = "INITIAL_CONTROLLERS")]
    initial_controllers: Option<String>,
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: StorageOptions = match parse_subcommands("kafka-storage", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let done = match options.command {
        StorageAction::RandomUuid => Ok((format!("{}\n", random_uuid()), true)),
        StorageAction::Info { config } => configured(&config).map(|config| info(&directories(&config))),
        StorageAction::Format(arguments) => format_as_told(&arguments).map(|text| (text, true)),
    };
    match done {
        Ok((text, is_good)) => {
            print(&text);
            if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => failed(&message),
    }
}

/// Kafka's ids never begin with a dash, which would be taken for a flag.
fn random_uuid() -> String {
    let ids = std::iter::repeat_with(|| format_uuid(Uuid::new_v4()));
    ids.take(1000).find(|id| !id.starts_with('-')).unwrap_or_default()
}

fn configured(file: &str) -> Result<Config, String> {
    file_alone(file, &environment()).map_err(|failures| failures.to_string())
}

/// The directories for the data, sorted; none where it is kept in memory.
fn directories(config: &Config) -> Vec<PathBuf> {
    match &config.storage {
        Storage::Disk(directories) => {
            let mut all: Vec<_> = directories.all().into_iter().cloned().collect();
            all.sort_unstable();
            all
        }
        Storage::Memory => Vec::new(),
    }
}

fn format_as_told(arguments: &FormatArguments) -> Result<String, String> {
    let config = configured(&arguments.config)?;
    let properties = read_properties(&arguments.config).map_err(|failure| failure.what)?;
    format(&config, &properties.into_iter().collect(), arguments)
}

fn format(
    config: &Config,
    properties: &BTreeMap<String, String>,
    arguments: &FormatArguments,
) -> Result<String, String> {
    arguments.release_version.as_deref().map_or(Ok(()), check_release)?;
    check_features(&arguments.feature, properties, arguments.release_version.is_some())?;
    let flags = QuorumFlags {
        standalone: arguments.standalone,
        no_initial_controllers: arguments.no_initial_controllers,
        initial_controllers: arguments.initial_controllers.as_deref(),
    };
    let kind = directory_kind(properties, config.node_id, flags)?;
    if !arguments.add_scram.is_empty() {
        return Err(
            "--add-scram is not served: kafka-configs --alter --user NAME adds credentials to a broker that runs"
                .to_owned(),
        );
    }
    let Storage::Disk(directories) = &config.storage else { return Ok("No directories specified.\n".to_owned()) };
    let paths = self::directories(config);
    let (unreadable, readable): (Vec<_>, Vec<_>) =
        paths.iter().partition(|directory| directory.exists() && !directory.is_dir());
    let (formatted, empty): (Vec<_>, Vec<_>) =
        readable.into_iter().partition(|directory| directory.join(META_PROPERTIES).is_file());
    for directory in &formatted {
        let file = directory.join(META_PROPERTIES);
        let identity = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        is_ours(directory, &identity, config.node_id, &arguments.cluster_id)?;
    }
    if let Some(first) = formatted.first().filter(|_| !arguments.ignore_formatted) {
        return Err(format!(
            "Log directory {} is already formatted. Use --ignore-formatted to ignore this directory and format the others.",
            first.display()
        ));
    }
    for directory in &unreadable {
        print(&format!("I/O error trying to read log directory {}. Ignoring...\n", directory.display()));
    }
    if empty.is_empty() {
        return if formatted.is_empty() {
            Err("No available log directories to format.".to_owned())
        } else {
            Ok("All of the log directories are already formatted.\n".to_owned())
        };
    }
    let options = LogDirOptions {
        node_id: config.node_id,
        cluster_id: Some(arguments.cluster_id.clone()),
        max_open_files: MOST_OPEN_FILES,
        delete_delay: Duration::ZERO,
    };
    LogDirs::open(directories, &options).map_err(|error| error.to_string())?;
    let line = |directory: &&PathBuf| {
        let kind = if **directory == directories.metadata { kind } else { "data directory" };
        format!("Formatting {kind} {} with metadata.version {METADATA_VERSION}.\n", directory.display())
    };
    Ok(empty.iter().map(line).collect())
}

/// Whether what stands in a directory's `meta.properties` is the identity that it is to have.
fn is_ours(directory: &Path, identity: &str, node_id: i32, cluster_id: &str) -> Result<(), String> {
    let identity: BTreeMap<_, _> = java_properties(identity).into_iter().collect();
    let file = directory.join(META_PROPERTIES);
    let file = file.display();
    let other = |key, ours: &str| identity.get(key).filter(|theirs| *theirs != ours);
    let message = if let Some(theirs) = other("cluster.id", cluster_id) {
        format!("Invalid cluster.id in: {file}. Expected {cluster_id}, but read {theirs}")
    } else if let Some(theirs) = other("node.id", &node_id.to_string()) {
        format!(
            "Stored node id {theirs} doesn't match previous node id {node_id} in {file}. If you moved your data, make sure your \
             configured node id matches. If you intend to create a new node, you should remove all data in your data directories."
        )
    } else {
        return Ok(());
    };
    Err(exception("java.lang.RuntimeException", &message))
}

/// What is told of the directories, and whether all is well with them.
fn info(directories: &[PathBuf]) -> (String, bool) {
    if directories.is_empty() {
        return ("No directories specified.\n".to_owned(), true);
    }
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut metadata: Option<BTreeMap<String, String>> = None;
    for directory in directories {
        let path = directory.display();
        if !directory.is_dir() {
            let problem = if directory.exists() { "is not a directory" } else { "does not exist" };
            problems.push(format!("{path} {problem}"));
            continue;
        }
        found.push(path.to_string());
        let Ok(text) = std::fs::read_to_string(directory.join(META_PROPERTIES)) else {
            problems.push(format!("{path} is not formatted."));
            continue;
        };
        let properties: BTreeMap<_, _> = java_properties(&text).into_iter().collect();
        let first = metadata.get_or_insert_with(|| properties.clone());
        let differs = |key: &str| first.get(key) != properties.get(key);
        if differs("cluster.id") {
            problems.push("Mismatched cluster IDs between storage directories.".to_owned());
        } else if differs("node.id") {
            problems.push("Mismatched node IDs between storage directories.".to_owned());
        }
    }
    let mut text = listed("Found log directory", "Found log directories", &found);
    if let Some(metadata) = metadata {
        let pairs: Vec<_> = metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        text = [text, format!("Found metadata: {{{}}}\n\n", pairs.join(", "))].concat();
    }
    text += &listed("Found problem", "Found problems", &problems);
    (text, problems.is_empty())
}

/// The lines under their heading; nothing where there are none.
fn listed(heading_of_one: &str, heading: &str, lines: &[String]) -> String {
    let heading = match lines.len() {
        0 => return String::new(),
        1 => heading_of_one,
        _ => heading,
    };
    format!("{heading}:\n  {}\n\n", lines.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(directory: &Path) -> Config {
        Config::with(&[("log.dirs", directory.to_str().unwrap()), ("klamm.storage.kind", "disk")]).unwrap()
    }

    fn arguments(line: &str) -> FormatArguments {
        let options = StorageOptions::try_parse_from(format!("t format -c f {line}").split(' ')).expect(line);
        let StorageAction::Format(arguments) = options.command else { panic!("{line} formats nothing") };
        arguments
    }

    #[test]
    fn a_directory_is_formatted_once() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data");
        let config = configuration(&directory);
        assert!(!info(std::slice::from_ref(&directory)).1, "it does not exist");
        let cluster = "5L6g3nShT-eMCtK--X86sw";
        let formatted = |line: &str| format(&config, &BTreeMap::new(), &arguments(line));
        let text = formatted(&format!("-t {cluster} --standalone")).unwrap();
        assert!(text.starts_with("Formatting dynamic metadata voter directory"), "{text}");
        let (text, is_good) = info(std::slice::from_ref(&directory));
        assert!(is_good && text.contains(&format!("Found metadata: {{cluster.id={cluster}, ")), "{text}");
        let again = formatted(&format!("-t {cluster}")).expect_err("it is formatted");
        assert!(again.contains("is already formatted"), "{again}");
        let again = formatted(&format!("-t {cluster} -g"));
        assert_eq!(again.as_deref(), Ok("All of the log directories are already formatted.\n"));
        let other = formatted("-t 6L6g3nShT-eMCtK--X86sw -g").expect_err("another cluster's");
        assert!(other.contains("Invalid cluster.id in") && other.ends_with(&format!("but read {cluster}")), "{other}");
        std::fs::write(parent.path().join("file"), "").unwrap();
        let file = format(&configuration(&parent.path().join("file")), &BTreeMap::new(), &arguments("-t x"));
        assert_eq!(file, Err("No available log directories to format.".to_owned()));
    }

    #[test]
    fn several_directories_are_formatted_together() {
        let parent = tempfile::tempdir().unwrap();
        let paths = ["one", "two"].map(|name| parent.path().join(name));
        let named = paths.each_ref().map(|path| path.to_str().unwrap()).join(",");
        let config = Config::with(&[("log.dirs", &named), ("klamm.storage.kind", "disk")]).unwrap();
        let formatted = |line: &str| format(&config, &BTreeMap::new(), &arguments(line)).unwrap();
        let cluster = "5L6g3nShT-eMCtK--X86sw";
        let text = formatted(&format!("-t {cluster} --standalone"));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("Formatting dynamic metadata voter directory "), "{text}");
        assert!(lines[1].starts_with(&format!("Formatting data directory {} with", paths[1].display())), "{text}");
        assert!(paths[0].join("metadata").is_dir() && !paths[1].join("metadata").exists());
        let (text, is_good) = info(&paths);
        assert!(is_good && text.starts_with("Found log directories:\n"), "{text}");
        std::fs::write(paths[1].join(META_PROPERTIES), "version=1\nnode.id=1\ncluster.id=other\n").unwrap();
        let (text, is_good) = info(&paths);
        assert!(!is_good && text.contains("Mismatched cluster IDs between storage directories."), "{text}");
        std::fs::remove_dir_all(&paths[1]).unwrap();
        assert_eq!(formatted(&format!("-t {cluster} -g")).lines().count(), 1);
    }

    #[test]
    fn ids_are_kafkas() {
        let id = random_uuid();
        assert_eq!(id.len(), 22);
        assert!(crate::storage::parse_uuid(&id).is_some() && !id.starts_with('-'));
    }
}
