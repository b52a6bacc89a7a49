//! `cub`, Confluent's utility belt, as far as compose files use it to wait for a broker.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};

use super::super::Failure;
use super::super::connection::describe_cluster;
use super::arguments::parse_subcommands;

/// How long to wait before the brokers are counted again.
const PAUSE: Duration = Duration::from_millis(200);

/// Wait for what a container needs.
#[derive(Debug, Parser)]
struct CubOptions {
    #[command(subcommand)]
    command: CubAction,
}

#[derive(Debug, Subcommand)]
enum CubAction {
    /// Check if Kafka is ready.
    KafkaReady(KafkaReady),
    /// Wait for nothing: there is no `ZooKeeper`, and scripts that wait for one go on.
    ZkReady { ignored: Vec<String> },
}

#[derive(Debug, Args)]
struct KafkaReady {
    /// Brokers to begin with, by commas.
    #[arg(short, long = "bootstrap_broker_list", default_value = "localhost:9092")]
    bootstrap: String,
    /// Passed over: there is no `ZooKeeper`.
    #[arg(short, long = "zookeeper_connect")]
    zookeeper: Option<String>,
    /// Passed over.
    #[arg(short, long)]
    config: Option<String>,
    /// Passed over.
    #[arg(short, long = "security_protocol")]
    security_protocol: Option<String>,
    /// How many brokers to wait for.
    expected_brokers: usize,
    /// How long, in seconds.
    timeout: u64,
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: CubOptions = match parse_subcommands("cub", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let CubAction::KafkaReady(wanted) = options.command else { return ExitCode::SUCCESS };
    match wait(&wanted, Instant::now() + Duration::from_secs(wanted.timeout)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Counts the brokers until there are enough; why not, when the time is over.
fn wait(wanted: &KafkaReady, deadline: Instant) -> Result<(), Failure> {
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let reason = match describe_cluster(&wanted.bootstrap, rest, "cub").map(|cluster| cluster.brokers.len()) {
            Ok(brokers) if brokers >= wanted.expected_brokers => return Ok(()),
            Ok(brokers) => {
                let what = format!("{brokers} of {} brokers are there", wanted.expected_brokers);
                Failure { what, hint: None }
            }
            Err(failure) => failure,
        };
        if rest <= PAUSE {
            return Err(reason);
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines_of_compose_files_are_read() {
        let read = |line: &str| parse_subcommands::<CubOptions>("cub", line.split(' ').map(OsString::from).collect());
        let Ok(CubOptions { command: CubAction::KafkaReady(wanted) }) = read("kafka-ready -b broker:29092 1 40") else {
            panic!("not read")
        };
        assert_eq!((wanted.bootstrap.as_str(), wanted.expected_brokers, wanted.timeout), ("broker:29092", 1, 40));
        assert!(read("zk-ready zookeeper:2181 40").is_ok());
        assert!(read("sr-ready schema-registry 8081 40").is_err());
    }

    #[test]
    fn nobody_there_is_told_when_the_time_is_over() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let wanted = KafkaReady {
            bootstrap: format!("127.0.0.1:{port}"),
            zookeeper: None,
            config: None,
            security_protocol: None,
            expected_brokers: 1,
            timeout: 0,
        };
        let failure = wait(&wanted, Instant::now() + PAUSE).expect_err("somebody answered").to_string();
        assert!(failure.contains("Connection refused"), "{failure}");
    }
}
