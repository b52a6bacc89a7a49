//! `klamm healthcheck`: whether a broker answers, for containers and scripts.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kafka_protocol::messages::MetadataRequest;

use super::connection::runtime;
use super::failure::Failures;
use super::print::print;
use super::sources::{configuration, environment};
use super::{Failure, StartArguments};
use crate::config::{Config, Listener};
use crate::network::channel::{Channel, ChannelError};

/// Which broker to ask.
#[derive(Debug, Args)]
pub(super) struct HealthcheckArguments {
    /// The address of the broker [default: what --config and the environment have a broker here listen on].
    #[arg(long, short, value_name = "HOST:PORT")]
    bootstrap_server: Option<String>,
    /// How long to wait for an answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    timeout_ms: u64,
    /// The configuration file that the broker was started with.
    #[arg(long, value_name = "FILE", env = "KLAMM_CONFIG", value_delimiter = ',')]
    config: Vec<String>,
}

/// Asks for ApiVersions and Metadata: a broker that answers both serves clients.
pub(super) fn run(arguments: &HealthcheckArguments) -> Result<ExitCode, Failures> {
    let address = match &arguments.bootstrap_server {
        Some(address) => address.clone(),
        None => own_address(&arguments.config)?,
    };
    let asked = runtime()?
        .block_on(async { tokio::time::timeout(Duration::from_millis(arguments.timeout_ms), ask(&address)).await });
    match asked {
        Ok(Ok(node)) => {
            print(&format!("{address} is healthy: {node}\n"));
            Ok(ExitCode::SUCCESS)
        }
        Ok(Err(error)) => Err(unhealthy(&address, &error.to_string()).into()),
        Err(_) => Err(unhealthy(&address, &format!("no answer within {} ms", arguments.timeout_ms)).into()),
    }
}

fn unhealthy(address: &str, reason: &str) -> Failure {
    let hint = Some("klamm starts a broker; --bootstrap-server HOST:PORT asks another one".to_owned());
    Failure { what: format!("{address} is not healthy: {reason}"), hint }
}

async fn ask(address: &str) -> Result<String, ChannelError> {
    let mut client = Channel::connect(address, "klamm-healthcheck").await?;
    // No topic, from version 1 on.
    let metadata = client.call(&MetadataRequest::default().with_topics(Some(Vec::new()))).await?;
    let cluster = metadata.cluster_id.as_ref().map_or("unknown", |id| id.as_str());
    let brokers = metadata.brokers.len();
    Ok(format!("{brokers} {}, cluster {cluster}", if brokers == 1 { "broker" } else { "brokers" }))
}

/// Where a broker that was started with these files, and in this environment, is reached from its own machine.
fn own_address(files: &[String]) -> Result<String, Failures> {
    let arguments = StartArguments { config: files.to_vec(), ..StartArguments::default() };
    let config: Config = configuration(&arguments, &environment())?;
    Ok(config.listeners.first().map_or_else(|| "localhost:9092".to_owned(), near))
}

fn near(listener: &Listener) -> String {
    if listener.bind.is_any_address() { format!("localhost:{}", listener.bind.port) } else { listener.bind.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_on_every_interface_is_asked_on_this_one() {
        let near = |listeners: &str| near(&Config::with(&[("listeners", listeners)]).unwrap().listeners[0]);
        assert_eq!(near("PLAINTEXT://:19092"), "localhost:19092");
        assert_eq!(near("PLAINTEXT://0.0.0.0:1"), "localhost:1");
        assert_eq!(near("PLAINTEXT://10.0.0.1:9092"), "10.0.0.1:9092");
    }

    #[test]
    fn nobody_there_is_told_with_what_to_try() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = HealthcheckArguments {
            bootstrap_server: Some(format!("127.0.0.1:{port}")),
            timeout_ms: 2_000,
            config: Vec::new(),
        };
        let failure = run(&arguments).expect_err("somebody answered").to_string();
        assert!(failure.contains("is not healthy: Connection refused"), "{failure}");
    }
}
