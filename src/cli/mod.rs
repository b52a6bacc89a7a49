//! The command line: arguments become a command, a command becomes an exit code.
//!
//! Exit codes: 0 for success, 1 for what went wrong, 2 for arguments and configurations that make no sense, 130 for a stop
//! that was cut short. An error is told in three steps: what happened, why, and what to try.

mod banner;
mod bench;
mod changes;
mod cluster;
mod cluster_banner;
mod cluster_config;
mod completion;
mod config;
mod connection;
mod demo;
mod failure;
mod group;
mod healthcheck;
mod hints;
mod interrupt;
mod logging;
mod manual;
mod output;
mod port_owner;
mod print;
mod records;
mod shims;
mod sources;
mod start;
mod time;
mod topic;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use failure::Failure;

/// What `klamm --help` begins its end with.
const EXAMPLES: &str = "\
Examples:
  klamm                                      a broker on localhost:9092, with its data in ./data
  klamm --memory --listen localhost:0        a broker for a test: nothing on disk, a free port
  klamm topic produce payments '{\"id\": 1}'   send a record
  klamm topic consume payments               read it";

/// What `--help` says of the environment.
const ENVIRONMENT: &str = "KLAMM_LOG sets from which level on is logged to stderr: error, warn, info, debug or trace, also of one \
                           part alone, such as KLAMM_LOG=warn,klamm::network=debug. KLAMM_LOG_FORMAT=json makes the log JSON. \
                           KAFKA_... sets keys as in Kafka's images: KAFKA_LOG_DIRS sets log.dirs.";

/// A broker that speaks the Kafka protocol.
#[derive(Debug, Parser)]
#[command(name = "klamm", version, about, after_help = format!("{EXAMPLES}\n\n{ENVIRONMENT}"), args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    start: StartArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the broker; what klamm does without a command.
    #[command(after_help = ENVIRONMENT)]
    Start(StartArguments),
    /// Work with topics and the records in them.
    Topic(topic::TopicArguments),
    /// Work with consumer groups: how far they are, and where they go on.
    Group(group::GroupArguments),
    /// Print the cluster's id and brokers, and print or change the configs of brokers.
    Cluster(cluster::ClusterArguments),
    /// Measure how many records a second a broker takes and gives.
    Bench(bench::BenchArguments),
    /// Watch a broker at work in this terminal: klamm demo orders.
    Demo(demo::DemoArguments),
    /// Say whether a broker answers: exit code 0 if it does, 1 if not.
    Healthcheck(healthcheck::HealthcheckArguments),
    /// Print a script with which a shell completes commands, flags, and names of topics and groups.
    Completion(completion::CompletionArguments),
    /// Write the manual pages, a file for each command, into a directory.
    Man(manual::ManArguments),
    /// Check, print or write configuration, without starting anything.
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// What a broker is started with; the environment is stronger than the file, flags are stronger still, and --set is the
/// strongest.
#[derive(Debug, Args, Default)]
struct StartArguments {
    /// The configuration file: YAML, or Java properties if its name ends in .properties. Of several, separated by commas or
    /// by repeating the flag, a later one overrides those before it.
    #[arg(long, value_name = "FILE", env = "KLAMM_CONFIG", value_delimiter = ',')]
    config: Vec<String>,
    /// Where to listen, and what clients are told to connect to; port 0 picks a free one and prints it
    /// [default: localhost:9092].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The directory for the data, or several, separated by commas [default: ./data].
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    data_dir: Option<String>,
    /// Keep all data in memory, until the process ends.
    #[arg(long)]
    memory: bool,
    /// A file that is written once clients are served, with the address that they connect to.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<String>,
    /// A line that is printed once clients are served, for a program that waits for it; can be repeated.
    #[arg(long, value_name = "TEXT")]
    ready_line: Vec<String>,
    /// The id of this broker, a number from 0 on; it has to stay the same for a data directory [default: 1].
    #[arg(long, value_name = "N")]
    node_id: Option<String>,
    /// The nodes of a cluster of several, this one among them: 1@a:9093,2@b:9093,3@c:9093 [default: this node alone].
    #[arg(long, value_name = "ID@HOST:PORT,...")]
    quorum: Option<String>,
    /// Start so many brokers of one cluster in this process, for tests and demos: nodes 1 to N, each with its data in
    /// DIR/node-ID, on the port that --listen names and those behind it, or free ones where these are taken. A topic has
    /// one replica as with one broker, unless it is created with more (klamm topic create --replicas 3) or the default is
    /// set (--set default.replication.factor=3).
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(1..=9),
        conflicts_with_all = ["node_id", "quorum"]
    )]
    brokers: Option<u8>,
    /// Set any key that `klamm config keys` lists, such as num.partitions=3; can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

fn key_and_value(argument: &str) -> Result<(String, String), String> {
    match argument.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as num.partitions=3".to_owned()),
    }
}

/// The definitions of the commands.
fn command() -> clap::Command {
    Arguments::command()
}

/// The page of all commands, `docs/cli.md`.
pub fn reference() -> String {
    manual::page(command())
}

/// Runs the program named by `arguments`, the first of which is its own name, and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // The system knows better when the process began, but only in steps of 10 ms.
    let begun = Instant::now();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = completion::answer(command, &arguments) {
        return code;
    }
    if let Some((shim, arguments)) = shims::find(&arguments) {
        return shim.run(arguments);
    }
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let error = hints::with_hint(error);
            // A closed terminal is no reason to fail in another way.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match arguments.command {
        None => start::run(&arguments.start, begun),
        Some(Command::Start(start)) => start::run(&start, begun),
        Some(Command::Topic(arguments)) => topic::run(&arguments).map_err(Into::into),
        Some(Command::Group(arguments)) => group::run(&arguments).map_err(Into::into),
        Some(Command::Cluster(arguments)) => cluster::run(&arguments).map_err(Into::into),
        Some(Command::Bench(arguments)) => bench::run(&arguments).map_err(Into::into),
        Some(Command::Demo(arguments)) => demo::run(&arguments).map_err(Into::into),
        Some(Command::Healthcheck(arguments)) => healthcheck::run(&arguments),
        Some(Command::Completion(arguments)) => completion::run(&arguments).map_err(Into::into),
        Some(Command::Man(arguments)) => manual::run(&arguments, command()).map_err(Into::into),
        Some(Command::Config(command)) => config::run(&command),
    };
    result.unwrap_or_else(|failures| {
        eprintln!("{failures}");
        failures.exit_code()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn start_is_what_happens_without_a_command() {
        let bare = parse("klamm --listen localhost:0 --memory --set a=b=c").unwrap();
        assert!(bare.command.is_none() && bare.start.memory);
        assert_eq!(bare.start.set, [("a".to_owned(), "b=c".to_owned())]);
        let Some(Command::Start(start)) = parse("klamm start --node-id 3").unwrap().command else { panic!("no start") };
        assert_eq!(start.node_id.as_deref(), Some("3"));
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        for line in ["klamm strat", "klamm --set a", "klamm --memory --data-dir x", "klamm --memory start"] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
        assert_eq!(parse("klamm --version").expect_err("it is printed").exit_code(), 0);
    }
}
