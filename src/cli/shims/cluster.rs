//! `kafka-cluster` (`org.apache.kafka.tools.ClusterTool`).

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::super::print::print;
use super::arguments::{parse, with_client};

/// The Kafka cluster tool.
#[derive(Debug, Parser)]
struct ClusterOptions {
    #[command(subcommand)]
    command: ClusterAction,
}

#[derive(Debug, Subcommand)]
enum ClusterAction {
    /// Get information about the ID of a cluster.
    ClusterId {
        /// A list of host/port pairs to use for establishing the connection to the Kafka cluster.
        #[arg(short, long, value_name = "BOOTSTRAP_SERVER")]
        bootstrap_server: String,
    },
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: ClusterOptions = match parse("kafka-cluster", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let ClusterAction::ClusterId { bootstrap_server } = options.command;
    match with_client(&bootstrap_server, "kafka-cluster", async |client| client.describe_cluster().await) {
        Ok(cluster) => {
            print(&format!("Cluster ID: {}\n", cluster.id));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
