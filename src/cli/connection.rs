//! What every command that asks a broker has in common: which broker, how long, and what is said when nobody is there.

use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::client::{ClientError, ClientSettings, ClusterClient, ClusterDescription, bootstrap_addresses};

/// Where a broker is if nothing says otherwise.
const DEFAULT_BOOTSTRAP: &str = "localhost:9092";
/// The default of the shell.
const VARIABLE: &str = "KLAMM_BROKERS";
/// Kafka's own name for a default of the shell; ours is stronger.
const KAFKAS_VARIABLE: &str = "KAFKA_BOOTSTRAP_SERVERS";

/// What `--help` says of `--bootstrap-server`.
const BOOTSTRAP_HELP: &str = "Addresses of brokers, separated by commas; one is enough to find the others \
                              [default: what KAFKA_BOOTSTRAP_SERVERS says, else localhost:9092]";

/// Which brokers to ask, and how long to wait.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionArguments {
    #[arg(help = BOOTSTRAP_HELP, long, short, visible_alias = "brokers", value_name = "HOST:PORT", env = VARIABLE, global = true)]
    bootstrap_server: Option<String>,
    /// How long to wait for an answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 30_000, global = true)]
    timeout_ms: u64,
}

impl ConnectionArguments {
    /// Whether anything says where a broker is; else it is where it is by default.
    pub(super) fn names_a_broker(&self) -> bool {
        self.bootstrap_server.is_some() || std::env::var_os(KAFKAS_VARIABLE).is_some()
    }

    /// The settings of a client that is known as `client_id`.
    pub(super) fn settings(&self, client_id: &str) -> Result<ClientSettings, Failure> {
        let given = self.bootstrap_server.clone().unwrap_or_else(kafkas_bootstrap);
        settings(&given, Duration::from_millis(self.timeout_ms), client_id).map_err(|what| Failure {
            what: format!("--bootstrap-server: {what}"),
            hint: Some(format!("--bootstrap-server {DEFAULT_BOOTSTRAP}")),
        })
    }

    /// Connects as `klamm` and lets `command` ask.
    pub(super) fn run<T>(
        &self,
        command: impl AsyncFnOnce(&mut ClusterClient) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let settings = self.settings("klamm")?;
        runtime()?.block_on(async {
            let mut client = ClusterClient::connect(settings).await?;
            command(&mut client).await
        })
    }
}

/// Where brokers are if a command line does not say it.
pub(super) fn default_bootstrap() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| kafkas_bootstrap())
}

fn kafkas_bootstrap() -> String {
    std::env::var(KAFKAS_VARIABLE).unwrap_or_else(|_| DEFAULT_BOOTSTRAP.to_owned())
}

/// The settings for `bootstrap`, which is `host:port`, or several by commas.
pub(super) fn settings(bootstrap: &str, timeout: Duration, client_id: &str) -> Result<ClientSettings, String> {
    Ok(ClientSettings {
        bootstrap: bootstrap_addresses(bootstrap)?,
        client_id: client_id.to_owned(),
        request_timeout: timeout,
        api_timeout: timeout,
    })
}

/// What `bootstrap` says of its cluster, if it answers within `timeout`.
pub(super) fn describe_cluster(
    bootstrap: &str,
    timeout: Duration,
    client_id: &str,
) -> Result<ClusterDescription, Failure> {
    let settings = settings(bootstrap, timeout, client_id).map_err(|what| Failure { what, hint: None })?;
    runtime()?.block_on(async {
        let mut client = ClusterClient::connect(settings).await?;
        Ok(client.describe_cluster().await?)
    })
}

/// What asks and waits; one thread is enough for it.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure { what: format!("no runtime could be started: {error}"), hint: None })
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let hint = match &error {
            ClientError::Unreachable { .. } => {
                Some("klamm starts a broker; --bootstrap-server HOST:PORT asks another one".to_owned())
            }
            ClientError::TimedOut { .. } => {
                Some("is it a Kafka broker that listens there? --timeout-ms MS waits longer".to_owned())
            }
            ClientError::Broken { .. } => Some("is it a Kafka broker that listens there, without TLS?".to_owned()),
            ClientError::Refused { .. } | ClientError::NoBroker(_) => None,
        };
        Self { what: error.to_string(), hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_there_is_told_with_what_to_try() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = ConnectionArguments { bootstrap_server: Some(format!("127.0.0.1:{port}")), timeout_ms: 2_000 };
        let failure = arguments.run(async |_| Ok(())).expect_err("somebody answered").to_string();
        let refused = format!("klamm: 127.0.0.1:{port}: Connection refused\n  try: klamm starts a broker");
        assert!(failure.starts_with(&refused), "{failure}");
    }

    #[test]
    fn an_address_without_a_port_is_told() {
        let arguments = ConnectionArguments { bootstrap_server: Some("localhost".to_owned()), timeout_ms: 1 };
        let failure = arguments.settings("t").expect_err("no port").to_string();
        assert!(failure.contains("--bootstrap-server: \"localhost\" is not of the form host:port"), "{failure}");
    }
}
