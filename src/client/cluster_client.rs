//! A client that knows a cluster: which brokers there are, and how to reach each.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::time::Duration;

use kafka_protocol::messages::metadata_response::MetadataResponse;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::{Instant, sleep, timeout};

use super::ClientError;
use crate::config::{FromValue, HostPort};
use crate::ids::NodeId;
use crate::network::channel::{Channel, ChannelError};

/// The pause before a question is put again (Kafka's `retry.backoff.ms`).
pub(super) const RETRY_BACKOFF: Duration = Duration::from_millis(100);

/// FindCoordinator's word for groups.
const GROUP_KEY_TYPE: i8 = 0;

/// How a client finds its cluster and how patient it is.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The brokers to begin with, tried in their order (Kafka's `bootstrap.servers`); not empty.
    pub bootstrap: Vec<HostPort>,
    /// The name that brokers know the client by (`client.id`).
    pub client_id: String,
    /// How long one answer is waited for (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// How long a question is put again while brokers say that it may be answered later (`default.api.timeout.ms`).
    pub api_timeout: Duration,
}

/// Whom a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Any broker: the one that was reached first.
    Any,
    /// The broker that the metadata names as the controller; any of them forwards.
    Controller,
    /// The broker with this node id.
    Broker(NodeId),
}

/// A client of one cluster. One question at a time; a connection for each broker that was asked something.
#[derive(Debug)]
pub struct ClusterClient {
    settings: ClientSettings,
    /// The connection to a bootstrap address, and that address.
    entry: Option<(HostPort, Channel)>,
    channels: HashMap<NodeId, Channel>,
    brokers: HashMap<NodeId, HostPort>,
    controller: Option<NodeId>,
}

impl ClusterClient {
    /// Connects to the first bootstrap address that answers, and learns the cluster's brokers from it.
    pub async fn connect(settings: ClientSettings) -> Result<Self, ClientError> {
        let mut client =
            Self { settings, entry: None, channels: HashMap::new(), brokers: HashMap::new(), controller: None };
        client.refresh().await?;
        Ok(client)
    }

    /// The settings that the client was made with.
    pub fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// How long a broker may take over one question, as requests tell it.
    pub(super) fn request_timeout_ms(&self) -> i32 {
        i32::try_from(self.settings.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// From now on, questions are put again for so long (`default.api.timeout.ms`).
    pub fn set_api_timeout(&mut self, api_timeout: Duration) {
        self.settings.api_timeout = api_timeout;
    }

    /// The node ids of the brokers, in their order.
    pub fn broker_ids(&self) -> Vec<NodeId> {
        let mut ids: Vec<_> = self.brokers.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Where a broker is that the metadata, or an answer about a coordinator, has named.
    pub fn address_of(&self, broker: NodeId) -> Result<HostPort, ClientError> {
        let missing = || ClientError::NoBroker(format!("broker {broker} is not in the cluster's metadata"));
        self.brokers.get(&broker).cloned().ok_or_else(missing)
    }

    /// Sends a request at the newest version that both sides speak, and awaits the answer; error codes in it are the
    /// caller's to look at.
    pub async fn ask<R: Request>(&mut self, to: To, request: &R) -> Result<R::Response, ClientError> {
        self.ask_at_most(to, i16::MAX, request).await
    }

    /// As [`ClusterClient::ask`], at version `newest` or below: for requests whose later versions name things in
    /// another way, such as topics by their ids.
    pub async fn ask_at_most<R: Request>(
        &mut self,
        to: To,
        newest: i16,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        self.ask_within(to, newest, self.settings.request_timeout, request).await
    }

    /// As [`ClusterClient::ask_at_most`], with a time of its own: for requests that brokers hold back, such as a fetch
    /// or a join.
    pub async fn ask_within<R: Request>(
        &mut self,
        to: To,
        newest: i16,
        waited: Duration,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let (address, channel) = self.channel(to).await?;
        let answer = within(&address, waited, channel.call_at_most(newest, request)).await;
        if answer.as_ref().is_err_and(|error| !error.is_unserved()) {
            // What else arrives there belongs to a question that nobody asks any more.
            self.forget(to);
        }
        answer
    }

    /// Puts a question until it is answered with something that a later one would not better, or the time is up.
    /// Between two attempts the brokers are asked for anew.
    pub async fn retry<T>(
        &mut self,
        mut attempt: impl AsyncFnMut(&mut Self) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + self.settings.api_timeout;
        loop {
            match attempt(self).await {
                Err(error) if error.is_retriable() && Instant::now() + RETRY_BACKOFF < deadline => {
                    sleep(RETRY_BACKOFF).await;
                    match self.refresh().await {
                        Err(error) if !error.is_retriable() => return Err(error),
                        // The next attempt finds out whether it matters.
                        Ok(()) | Err(_) => {}
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// The broker that coordinates a group.
    pub async fn group_coordinator(&mut self, group_id: &str) -> Result<NodeId, ClientError> {
        self.retry(async |client| client.find_coordinator(group_id).await).await
    }

    /// As [`ClusterClient::group_coordinator`], asked once.
    pub(super) async fn find_coordinator(&mut self, group_id: &str) -> Result<NodeId, ClientError> {
        let key = StrBytes::from_string(group_id.to_owned());
        // Version 4 asks for several at once (KIP-699), which has a form of its own.
        let request = FindCoordinatorRequest::default().with_key(key).with_key_type(GROUP_KEY_TYPE);
        let response = self.ask_at_most(To::Any, 3, &request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        self.brokers.insert(response.node_id.0, address(&response.host, response.port));
        Ok(response.node_id.0)
    }

    /// Learns anew which brokers there are.
    async fn refresh(&mut self) -> Result<(), ClientError> {
        // No topic, from version 1 on.
        self.ask_for_metadata(&MetadataRequest::default().with_topics(Some(Vec::new()))).await?;
        Ok(())
    }

    /// Asks any broker for metadata, and keeps what it says of the brokers.
    pub(super) async fn ask_for_metadata(
        &mut self,
        request: &MetadataRequest,
    ) -> Result<MetadataResponse, ClientError> {
        let response = match self.ask(To::Any, request).await {
            // The connection may have been closed since the last question; a new one decides.
            Err(ClientError::Broken { reason: ChannelError::Io(_), .. }) => self.ask(To::Any, request).await?,
            outcome => outcome?,
        };
        ClientError::check(response.error_code, None)?;
        let brokers: HashMap<NodeId, HostPort> =
            (response.brokers.iter()).map(|broker| (broker.node_id.0, address(&broker.host, broker.port))).collect();
        // A broker that has moved is not where its connection leads.
        self.channels.retain(|id, _| brokers.get(id).is_some_and(|now| self.brokers.get(id) == Some(now)));
        self.brokers = brokers;
        self.controller = Some(response.controller_id.0).filter(|id| *id >= 0);
        Ok(response)
    }

    fn forget(&mut self, to: To) {
        match self.node(to) {
            Some(node) => drop(self.channels.remove(&node)),
            None => self.entry = None,
        }
    }

    /// The node that a request goes to; none where the entry will do.
    fn node(&self, to: To) -> Option<NodeId> {
        match to {
            To::Any => None,
            To::Controller => self.controller,
            To::Broker(node) => Some(node),
        }
    }

    async fn channel(&mut self, to: To) -> Result<(HostPort, &mut Channel), ClientError> {
        let Some(node) = self.node(to) else { return self.entry().await };
        let address = self.address_of(node)?;
        let channel = match self.channels.entry(node) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => vacant.insert(open(&address, &self.settings).await?),
        };
        Ok((address, channel))
    }

    async fn entry(&mut self) -> Result<(HostPort, &mut Channel), ClientError> {
        if self.entry.is_none() {
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in &self.settings.bootstrap {
                match open(address, &self.settings).await {
                    Ok(channel) => {
                        self.entry = Some((address.clone(), channel));
                        break;
                    }
                    Err(ClientError::Unreachable { reason, .. }) => last = reason,
                    Err(other) => last = io::Error::other(other.to_string()),
                }
            }
            if self.entry.is_none() {
                return Err(ClientError::Unreachable { address: joined(&self.settings.bootstrap), reason: last });
            }
        }
        match &mut self.entry {
            Some((address, channel)) => Ok((address.clone(), channel)),
            None => Err(ClientError::NoBroker("no broker was reached".to_owned())),
        }
    }
}

async fn open(address: &HostPort, settings: &ClientSettings) -> Result<Channel, ClientError> {
    let connecting = Channel::connect((address.host.as_str(), address.port), &settings.client_id);
    within(address, settings.request_timeout, connecting).await.map_err(|error| match error {
        ClientError::Broken { address, reason: ChannelError::Io(reason) } => {
            ClientError::Unreachable { address, reason }
        }
        other => other,
    })
}

async fn within<T>(
    address: &HostPort,
    waited: Duration,
    answer: impl Future<Output = Result<T, ChannelError>>,
) -> Result<T, ClientError> {
    match timeout(waited, answer).await {
        Ok(answer) => answer.map_err(|reason| ClientError::Broken { address: address.to_string(), reason }),
        Err(_) => Err(ClientError::TimedOut { address: address.to_string(), waited }),
    }
}

fn address(host: &StrBytes, port: i32) -> HostPort {
    HostPort { host: host.to_string(), port: u16::try_from(port).unwrap_or_default() }
}

fn joined(addresses: &[HostPort]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Reads `host:port`, or several by commas; the error says what is wrong with which.
pub fn bootstrap_addresses(text: &str) -> Result<Vec<HostPort>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let addresses: Vec<_> = parts.map(HostPort::from_value).collect::<Result<_, _>>()?;
    match addresses.iter().find(|address| address.host.is_empty() || address.port == 0) {
        Some(address) => Err(format!("\"{address}\" is not of the form host:port")),
        None if addresses.is_empty() => Err(format!("\"{text}\" names no broker")),
        None => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_addresses_are_lists_of_hosts_with_ports() {
        let read = |text: &str| bootstrap_addresses(text).map(|addresses| joined(&addresses));
        assert_eq!(read("a:1, [::1]:2,").as_deref(), Ok("a:1,[::1]:2"));
        for wrong in ["", " , ", "localhost", ":9092", "a:0", "a:99999"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
