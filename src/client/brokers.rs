//! The brokers of a cluster: the APIs that each serves, those that do not serve at the moment, and those that will not
//! come back (ApiVersions, DescribeCluster, `UnregisterBroker`).

use kafka_protocol::messages::{ApiVersionsRequest, DescribeClusterRequest, UnregisterBrokerRequest};
use kafka_protocol::protocol::StrBytes;

use super::{BrokerDescription, ClientError, ClusterClient, To};
use crate::ids::NodeId;

/// An API that a broker serves: its key, and the oldest and the newest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedApi {
    /// Kafka's number for it.
    pub key: i16,
    /// The oldest version that is served.
    pub oldest: i16,
    /// The newest version that is served.
    pub newest: i16,
}

impl ClusterClient {
    /// The APIs that a broker serves, by key.
    pub async fn served_apis(&mut self, broker: NodeId) -> Result<Vec<ServedApi>, ClientError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("klamm"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let response = self.ask(To::Broker(broker), &request).await?;
        ClientError::check(response.error_code, None)?;
        let served = |api: &kafka_protocol::messages::api_versions_response::ApiVersion| ServedApi {
            key: api.api_key,
            oldest: api.min_version,
            newest: api.max_version,
        };
        let mut apis: Vec<_> = response.api_keys.iter().map(served).collect();
        apis.sort_by_key(|api| api.key);
        Ok(apis)
    }

    /// The brokers, each with whether it is fenced, that is, registered but not served by; those that are come only with
    /// `with_fenced` (KIP-1073).
    pub async fn brokers_and_fences(
        &mut self,
        with_fenced: bool,
    ) -> Result<Vec<(BrokerDescription, bool)>, ClientError> {
        let request = DescribeClusterRequest::default().with_include_fenced_brokers(with_fenced);
        let response = self.ask(To::Any, &request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let described = response.brokers.into_iter().map(|broker| {
            let is_fenced = broker.is_fenced;
            (BrokerDescription::from(broker), is_fenced)
        });
        let mut brokers: Vec<_> = described.collect();
        brokers.sort_by_key(|(broker, _)| broker.id);
        Ok(brokers)
    }

    /// Has the cluster forget a broker that will not come back.
    pub async fn unregister_broker(&mut self, broker: NodeId) -> Result<(), ClientError> {
        let request = UnregisterBrokerRequest::default().with_broker_id(broker.into());
        self.retry(async |client| {
            let response = client.ask(To::Controller, &request).await?;
            ClientError::check(response.error_code, response.error_message.as_deref())
        })
        .await
    }
}
