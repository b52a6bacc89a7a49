//! `klamm cluster`: which cluster this is, and its brokers.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use super::cluster_config;
use super::connection::ConnectionArguments;
use super::output::{OutputArguments, OutputFormat, Rows};
use super::print::print;
use crate::client::ClusterDescription;

/// Print the cluster's id and brokers, and print or change the configs of brokers.
#[derive(Debug, Args)]
pub(super) struct ClusterArguments {
    #[command(subcommand)]
    command: ClusterCommand,
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Print the cluster's id and its brokers.
    Info,
    /// Print the configs of brokers, or change them while they run.
    Config(cluster_config::ClusterConfigArguments),
}

pub(super) fn run(arguments: &ClusterArguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        ClusterCommand::Config(config) => {
            cluster_config::run(config, &arguments.connection, arguments.output.output)?;
        }
        ClusterCommand::Info => {
            let cluster = arguments.connection.run(async |client| Ok(client.describe_cluster().await?))?;
            if arguments.output.output == OutputFormat::Table {
                print(&format!("Cluster {}\n", cluster.id));
            }
            brokers(&cluster).print(arguments.output.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn brokers(cluster: &ClusterDescription) -> Rows {
    let mut rows = Rows::new(&["broker", "host", "port", "rack", "controller"]);
    for broker in &cluster.brokers {
        let is_controller = cluster.controller == Some(broker.id);
        let rack = broker.rack.clone();
        rows.push([
            broker.id.into(),
            broker.host.clone().into(),
            broker.port.into(),
            rack.into(),
            is_controller.into(),
        ]);
    }
    rows
}
