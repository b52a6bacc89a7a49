//! Kafka's own tools by their own names: the program that is called `kafka-topics` or `kafka-topics.sh` takes the flags
//! of Apache Kafka's, prints what it prints and ends with its exit code. `klamm kafka-topics` is the same, without a link.
//!
//! Two tools of Kafka's distributions are among them, since containers are started and awaited with them: Confluent's `cub`
//! and Redpanda's `rpk`, each in small part.
//!
//! Each file is one tool. What they ask the cluster, they ask with the same client as `klamm`'s own commands.

mod arguments;
mod asking;
mod broker_api_versions;
mod client_properties;
mod cluster;
mod configs;
mod console_consumer;
mod console_options;
mod console_producer;
mod consumer_groups;
mod coordinator_formatter;
mod cub;
mod groups;
mod java;
mod line_reader;
mod message_formatter;
mod offset_shell;
mod rpk;
mod storage;
mod storage_checks;
mod tool_properties;
mod topic_filter;
mod topics;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// One of Kafka's tools.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shim {
    /// Its name, without `.sh`.
    name: &'static str,
    /// Runs it with the arguments after its name.
    run: fn(Vec<OsString>) -> ExitCode,
}

/// Every tool that we stand in for.
const SHIMS: &[Shim] = &[
    Shim { name: "kafka-broker-api-versions", run: broker_api_versions::run },
    Shim { name: "kafka-cluster", run: cluster::run },
    Shim { name: "kafka-configs", run: configs::run },
    Shim { name: "kafka-console-consumer", run: console_consumer::run },
    Shim { name: "kafka-console-producer", run: console_producer::run },
    Shim { name: "kafka-consumer-groups", run: consumer_groups::run },
    Shim { name: "kafka-get-offsets", run: offset_shell::run },
    Shim { name: "kafka-groups", run: groups::run },
    Shim { name: "kafka-storage", run: storage::run },
    Shim { name: "kafka-topics", run: topics::run },
];

/// Tools of Kafka's distributions.
const FOREIGN_SHIMS: &[Shim] = &[Shim { name: "cub", run: cub::run }, Shim { name: "rpk", run: rpk::run }];

/// The names of Kafka's.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SHIMS.iter().map(|shim| shim.name)
}

/// The tool, and its arguments, that a command line means: by the program's name, or by the first argument.
pub(super) fn find(arguments: &[OsString]) -> Option<(Shim, Vec<OsString>)> {
    let named = |name: &OsStr| {
        let file = std::path::Path::new(name).file_name()?.to_str()?;
        let name = file.strip_suffix(".sh").unwrap_or(file);
        SHIMS.iter().chain(FOREIGN_SHIMS).find(|shim| shim.name == name).copied()
    };
    let found = (0..2).find_map(|at| Some((named(arguments.get(at)?)?, at + 1)));
    found.map(|(shim, rest)| (shim, arguments.get(rest..).unwrap_or_default().to_vec()))
}

impl Shim {
    /// Runs the tool.
    pub(super) fn run(self, arguments: Vec<OsString>) -> ExitCode {
        (self.run)(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_meant_by_the_programs_name_or_by_the_first_argument() {
        let found = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            find(&words).map(|(shim, rest)| (shim.name, rest.len()))
        };
        assert_eq!(found("/opt/kafka/bin/kafka-cluster.sh cluster-id"), Some(("kafka-cluster", 1)));
        assert_eq!(found("klamm kafka-cluster"), Some(("kafka-cluster", 0)));
        assert_eq!(found("klamm topic kafka-cluster"), None);
        assert_eq!(found("klamm"), None);
    }
}
