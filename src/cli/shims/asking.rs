//! How Kafka's tools ask a cluster: with the settings of `--command-config`, and with patience.
//!
//! Unlike Kafka, they ask brokers only, without TLS and SASL: `--bootstrap-controller` and other security protocols are
//! refused.

use std::time::{Duration, Instant};

use super::super::Failure;
use super::super::connection::{runtime, settings};
use crate::client::{ClientError, ClientSettings, ClusterClient};
use crate::config::java_properties;

/// Kafka's `default.api.timeout.ms`.
const API_TIMEOUT: Duration = Duration::from_mins(1);
/// The pause before a cluster that nobody answers for is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// Why a tool of Kafka's fails.
#[derive(Debug)]
pub(super) enum ToolFailure {
    /// Something that the tool itself finds wrong.
    Told(String),
    /// Something that came of asking the cluster.
    Asked(ClientError),
}

impl ToolFailure {
    /// What the tool itself finds wrong.
    pub(super) fn told(message: impl Into<String>) -> Self {
        Self::Told(message.into())
    }
}

impl std::fmt::Display for ToolFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Told(message) => formatter.write_str(message),
            Self::Asked(error) => error.fmt(formatter),
        }
    }
}

impl From<ClientError> for ToolFailure {
    fn from(error: ClientError) -> Self {
        Self::Asked(error)
    }
}

impl From<Failure> for ToolFailure {
    fn from(failure: Failure) -> Self {
        Self::Told(failure.what)
    }
}

/// How a tool gets to its cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    /// The brokers to begin with (`--bootstrap-server`), whatever the properties say of them.
    pub(super) bootstrap: &'a str,
    /// A file of properties (`--command-config`).
    pub(super) properties_file: Option<&'a str>,
    /// What brokers know the tool by, unless the properties say otherwise.
    pub(super) client_id: &'a str,
    /// Whether a cluster that nobody answers for is asked again until the time is up, as Kafka's tools do: scripts wait
    /// with them for a broker that starts.
    pub(super) waits: bool,
}

impl Asking<'_> {
    /// Connects, and lets `tool` ask.
    pub(super) fn run<T>(
        self,
        tool: impl AsyncFnOnce(&mut ClusterClient) -> Result<T, ToolFailure>,
    ) -> Result<T, ToolFailure> {
        let properties = self.properties_file.map(read_properties).transpose()?.unwrap_or_default();
        let settings = settings_from(self.bootstrap, self.client_id, &properties)?;
        runtime()?.block_on(async {
            let mut client =
                if self.waits { connected(settings).await? } else { ClusterClient::connect(settings).await? };
            tool(&mut client).await
        })
    }
}

/// A client, as soon as somebody answers.
async fn connected(settings: ClientSettings) -> Result<ClusterClient, ClientError> {
    let deadline = Instant::now() + settings.api_timeout;
    let mut has_told = false;
    loop {
        match ClusterClient::connect(settings.clone()).await {
            Err(error @ ClientError::Unreachable { .. }) if Instant::now() + PAUSE < deadline => {
                if !std::mem::replace(&mut has_told, true) {
                    eprintln!("WARN {error}; trying again for {} s", settings.api_timeout.as_secs());
                }
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// The pairs of a Java properties file.
pub(super) fn read_properties(file: &str) -> Result<Vec<(String, String)>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::unreadable(file, &error))?;
    Ok(java_properties(&text))
}

fn settings_from(
    bootstrap: &str,
    client_id: &str,
    properties: &[(String, String)],
) -> Result<ClientSettings, ToolFailure> {
    let mut settings = settings(bootstrap, API_TIMEOUT, client_id).map_err(ToolFailure::Told)?;
    for (key, value) in properties {
        let duration = || {
            let wrong = || format!("Invalid value {value} for configuration {key}: Not a number of type INT");
            value.parse().map(Duration::from_millis).map_err(|_| ToolFailure::Told(wrong()))
        };
        match key.as_str() {
            "client.id" => settings.client_id.clone_from(value),
            "request.timeout.ms" => settings.request_timeout = duration()?,
            "default.api.timeout.ms" => settings.api_timeout = duration()?,
            "security.protocol" if !value.eq_ignore_ascii_case("PLAINTEXT") => {
                return Err(ToolFailure::Told(format!("{key}={value} is not served: these tools know PLAINTEXT only")));
            }
            key if key.starts_with("ssl.") || key.starts_with("sasl.") => {
                eprintln!("WARN {key} has no effect: these tools know PLAINTEXT only");
            }
            _ => {}
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<ClientSettings, String> {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        settings_from("h:1", "tool", &pairs).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_file_of_properties_says_who_asks_and_how_patiently() {
        let given = [("client.id", "ci"), ("request.timeout.ms", "500"), ("bootstrap.servers", "other:2")];
        let settings = read(&given).unwrap();
        assert_eq!((settings.client_id.as_str(), settings.request_timeout), ("ci", Duration::from_millis(500)));
        assert_eq!((settings.bootstrap[0].host.as_str(), settings.api_timeout), ("h", API_TIMEOUT));
        assert!(read(&[("request.timeout.ms", "soon")]).is_err());
    }

    #[test]
    fn security_that_is_not_served_is_not_passed_over() {
        let error = read(&[("security.protocol", "SASL_SSL")]).expect_err("no TLS here");
        assert!(error.starts_with("security.protocol=SASL_SSL is not served"), "{error}");
        assert!(read(&[("security.protocol", "plaintext"), ("ssl.truststore.type", "PEM")]).is_ok());
    }
}
