//! `kafka-cluster` (`org.apache.kafka.tools.ClusterTool`).

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgGroup, Args, Parser, Subcommand};

use super::super::print::print;
use super::arguments::{failed, parse_subcommands};
use super::asking::{Asking, ToolFailure};
use crate::client::{BrokerDescription, ClusterClient};

/// The Kafka cluster tool.
#[derive(Debug, Parser)]
struct ClusterOptions {
    #[command(subcommand)]
    command: ClusterAction,
}

#[derive(Debug, Subcommand)]
enum ClusterAction {
    /// Get information about the ID of a cluster.
    ClusterId(ClusterConnection),
    /// Unregister a broker.
    Unregister {
        #[command(flatten)]
        connection: ClusterConnection,
        /// The ID of the broker to unregister.
        #[arg(short, long, value_name = "ID")]
        id: i32,
    },
    /// List endpoints.
    ListEndpoints {
        #[command(flatten)]
        connection: ClusterConnection,
        /// Whether fenced brokers are listed as well.
        #[arg(long)]
        include_fenced_brokers: bool,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("connection").required(true).args(["bootstrap_server", "bootstrap_controller"]))]
struct ClusterConnection {
    /// Host/port pairs to use for establishing the connection to the cluster.
    #[arg(short, long, value_name = "BOOTSTRAP_SERVER")]
    bootstrap_server: Option<String>,
    /// Host/port pairs to use for establishing the connection to the controllers.
    #[arg(short = 'C', long, value_name = "BOOTSTRAP_CONTROLLER")]
    bootstrap_controller: Option<String>,
    /// A property file with settings of the client.
    #[arg(short, long, value_name = "CONFIG")]
    config: Option<String>,
}

impl ClusterConnection {
    fn run<T>(&self, tool: impl AsyncFnOnce(&mut ClusterClient) -> Result<T, ToolFailure>) -> Result<T, ToolFailure> {
        let Some(bootstrap) = &self.bootstrap_server else {
            return Err(ToolFailure::told("controllers have no listener of their own: use --bootstrap-server"));
        };
        let properties_file = self.config.as_deref();
        Asking { bootstrap, properties_file, client_id: "kafka-cluster", waits: true }.run(tool)
    }
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: ClusterOptions = match parse_subcommands("kafka-cluster", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    match answer(&options.command) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(ToolFailure::Asked(error)) if error.code().is_some() => failed(&error.as_exception()),
        Err(failure) => failed(&failure.to_string()),
    }
}

fn answer(action: &ClusterAction) -> Result<String, ToolFailure> {
    match action {
        ClusterAction::ClusterId(connection) => {
            let cluster = connection.run(async |client| Ok(client.describe_cluster().await?))?;
            Ok(format!("Cluster ID: {}\n", cluster.id))
        }
        ClusterAction::Unregister { connection, id } => {
            connection.run(async |client| Ok(client.unregister_broker(*id).await?))?;
            Ok(format!("Broker {id} is no longer registered.\n"))
        }
        ClusterAction::ListEndpoints { connection, include_fenced_brokers } => {
            let brokers =
                connection.run(async |client| Ok(client.brokers_and_fences(*include_fenced_brokers).await?))?;
            Ok(endpoints(&brokers))
        }
    }
}

/// The brokers in columns, as wide as the widest host and rack need.
fn endpoints(brokers: &[(BrokerDescription, bool)]) -> String {
    if brokers.is_empty() {
        return "No endpoints found.\n".to_owned();
    }
    let rack = |broker: &BrokerDescription| broker.rack.clone().unwrap_or_else(|| "null".to_owned());
    let widest = |width: &dyn Fn(&BrokerDescription) -> usize, least: usize| {
        brokers.iter().map(|(broker, _)| width(broker)).max().unwrap_or_default().max(least)
    };
    let host_width = widest(&|broker| broker.host.len(), 100);
    let rack_width = widest(&|broker| rack(broker).len(), 10);
    let row = |id: &str, host: &str, port: &str, rack: &str, state: &str, kind: &str| {
        format!("{id:<10} {host:<host_width$} {port:<10} {rack:<rack_width$} {state:<15} {kind:<15}\n")
    };
    let mut text = row("ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE");
    for (broker, is_fenced) in brokers {
        let state = if *is_fenced { "fenced" } else { "unfenced" };
        let (id, port) = (broker.id.to_string(), broker.port.to_string());
        text.push_str(&row(&id, &broker.host, &port, &rack(broker), state, "broker"));
    }
    text
}
