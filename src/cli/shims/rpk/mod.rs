//! `rpk`, Redpanda's tool, as far as test containers and health checks use it: `rpk redpanda start` starts this broker with
//! what the flags and Redpanda's own files say, `rpk cluster health` asks one.
//!
//! Only Kafka's protocol is served: no schema registry, no HTTP proxy, no admin API; flags for them are passed over.

mod flags;
mod node;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use self::flags::Flags;
use self::node::Node;
use super::super::connection::describe_cluster;
use super::super::failure::Failures;
use super::super::print::print;
use super::super::{Failure, StartArguments, start};
use crate::client::ClusterDescription;

/// Where Redpanda's containers have the file of their node; the one of the cluster is beside it.
const NODE_FILE: &str = "/etc/redpanda/redpanda.yaml";
const CLUSTER_FILE: &str = ".bootstrap.yaml";
/// How long a container that has the one file may take to get the other, and a broker to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// What test containers wait for, in the order in which Redpanda says it.
const READY_LINES: [&str; 2] = ["Started Kafka API server", "Successfully started Redpanda!"];
const USAGE: &str = "rpk redpanda start, or rpk cluster health; klamm --help for what else there is";

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let words = arguments.into_iter().map(|word| word.to_string_lossy().into_owned());
    let flags = Flags::read(words);
    let command: Vec<&str> = flags.words.iter().map(String::as_str).collect();
    let result = match command[..] {
        ["redpanda", "start"] => start_broker(&flags),
        ["cluster", "health"] => health(&flags).map_err(Failures::from),
        _ => Err(Failures::from(Failure {
            what: format!("rpk {}: only a small part of rpk is here", command.join(" ")),
            hint: Some(USAGE.to_owned()),
        })),
    };
    result.unwrap_or_else(|failures| {
        eprintln!("{failures}");
        failures.exit_code()
    })
}

fn failure(what: String) -> Failure {
    Failure { what, hint: None }
}

fn node_file(flags: &Flags) -> &Path {
    Path::new(flags.last("config").unwrap_or(NODE_FILE))
}

/// What Redpanda's files say, and the flags over them.
fn node(flags: &Flags) -> Result<Node, Failure> {
    let path = node_file(flags);
    let mut node = Node::default();
    for file in [path.to_owned(), path.with_file_name(CLUSTER_FILE)] {
        match std::fs::read_to_string(&file) {
            Ok(text) => node.read(&text).map_err(|reason| failure(format!("{}: {reason}", file.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failure(format!("{} cannot be read: {error}", file.display()))),
        }
    }
    node.apply(flags).map_err(|reason| failure(format!("rpk redpanda start: {reason}")))?;
    Ok(node)
}

/// Waits for the file of the node, if that of the cluster is there: Testcontainers for Node brings it after the script that
/// needs it, and Redpanda takes longer to look for it than we do.
fn await_node_file(path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    let is_empty = || std::fs::metadata(path).map_or(true, |file| file.len() == 0);
    while path.with_file_name(CLUSTER_FILE).exists() && is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn start_broker(flags: &Flags) -> Result<ExitCode, Failures> {
    let begun = Instant::now();
    await_node_file(node_file(flags));
    let node = node(flags)?;
    let config = std::env::var("KLAMM_CONFIG").unwrap_or_default();
    let arguments = StartArguments {
        config: config.split(',').filter(|file| !file.is_empty()).map(str::to_owned).collect(),
        set: node.keys(),
        ready_line: READY_LINES.map(str::to_owned).to_vec(),
        ..StartArguments::default()
    };
    start::run(&arguments, begun)
}

/// Asks one broker, and says what it says as `rpk` does.
fn health(flags: &Flags) -> Result<ExitCode, Failure> {
    let given = flags.last("brokers").or_else(|| flags.last("X").and_then(|option| option.strip_prefix("brokers=")));
    let address = match given {
        Some(address) => address.to_owned(),
        None => node(flags)?.reachable_at(),
    };
    print(&overview(&describe_cluster(&address, PATIENCE, "rpk")?));
    Ok(ExitCode::SUCCESS)
}

fn overview(cluster: &ClusterDescription) -> String {
    let nodes: Vec<String> = cluster.brokers.iter().map(|broker| broker.id.to_string()).collect();
    let controller = cluster.controller.map_or("-1".to_owned(), |id| id.to_string());
    format!(
        "CLUSTER HEALTH OVERVIEW\n\
         =======================\n\
         Healthy:                          {}\n\
         Controller ID:                    {controller}\n\
         All nodes:                        [{}]\n",
        cluster.controller.is_some(),
        nodes.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::BrokerDescription;

    #[test]
    fn a_cluster_with_a_controller_is_healthy_in_the_words_that_scripts_look_for() {
        let broker = |id| BrokerDescription { id, host: "h".to_owned(), port: 1, rack: None };
        let mut cluster =
            ClusterDescription { id: "c".to_owned(), controller: Some(1), brokers: vec![broker(1), broker(2)] };
        let healthy = overview(&cluster);
        assert!(healthy.contains("\nHealthy:                          true\n"), "{healthy}");
        assert!(healthy.contains("[1 2]"), "{healthy}");
        cluster.controller = None;
        assert!(overview(&cluster).contains("Healthy:                          false\n"));
    }

    #[test]
    fn files_that_are_not_there_say_nothing_and_broken_ones_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("redpanda.yaml");
        let flags = Flags::read([format!("--config={}", path.display())]);
        assert_eq!(node(&flags).unwrap(), Node::default());
        std::fs::write(&path, "redpanda: {node_id: 7}\n").unwrap();
        std::fs::write(directory.path().join(CLUSTER_FILE), "enable_sasl: true\n").unwrap();
        let refused = node(&flags).expect_err("SASL is not served").to_string();
        assert!(refused.contains(".bootstrap.yaml: enable_sasl: SASL and ACLs are not served yet"), "{refused}");
    }
}
