//! The quotas of clients (`DescribeClientQuotas`, `AlterClientQuotas`, KIP-546).

use std::sync::Arc;

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::EntryData as DescribedEntry;
use kafka_protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};
use kafka_protocol::protocol::StrBytes;

use super::{ClientError, ClusterClient, To};
use crate::metadata::{EntityName, QuotaEntity};

/// Which entities of one type are meant; the discriminants are Kafka's numbers (`MatchType`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaMatch {
    /// The one of that name, or the default.
    One(EntityName),
    /// All of them.
    Any,
}

impl ClusterClient {
    /// The quotas of the entities that consist of exactly the given types, such as `user` and `client-id`: each with its
    /// values by name.
    pub async fn describe_client_quotas(
        &mut self,
        components: &[(&str, QuotaMatch)],
    ) -> Result<Vec<(QuotaEntity, Vec<(String, f64)>)>, ClientError> {
        let request = DescribeClientQuotasRequest::default()
            .with_components(components.iter().map(component).collect())
            .with_strict(true);
        self.retry(async |client| {
            let response = client.ask(To::Any, &request).await?;
            ClientError::check(response.error_code, response.error_message.as_deref())?;
            Ok(response.entries.unwrap_or_default().into_iter().map(described).collect())
        })
        .await
    }

    /// Sets quotas of one entity, and removes those that come without a value.
    pub async fn alter_client_quotas(
        &mut self,
        entity: &QuotaEntity,
        changes: &[(String, Option<f64>)],
    ) -> Result<(), ClientError> {
        let parts = entity.parts().map(|(entity_type, name)| {
            EntityData::default()
                .with_entity_type(StrBytes::from_static_str(entity_type))
                .with_entity_name(name.name().map(text))
        });
        let operations = changes.iter().map(|(key, value)| {
            OpData::default().with_key(text(key)).with_value(value.unwrap_or_default()).with_remove(value.is_none())
        });
        let entry = EntryData::default().with_entity(parts.collect()).with_ops(operations.collect());
        let request = AlterClientQuotasRequest::default().with_entries(vec![entry]);
        self.retry(async |client| {
            let response = client.ask(To::Controller, &request).await?;
            response
                .entries
                .iter()
                .try_for_each(|entry| ClientError::check(entry.error_code, entry.error_message.as_deref()))
        })
        .await
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn component((entity_type, matched): &(&str, QuotaMatch)) -> ComponentData {
    // The numbers are Kafka's: 0 is a name, 1 the default, 2 all that are named.
    let (match_type, name) = match matched {
        QuotaMatch::One(EntityName::Named(name)) => (0, Some(text(name))),
        QuotaMatch::One(EntityName::Default) => (1, None),
        QuotaMatch::Any => (2, None),
    };
    ComponentData::default().with_entity_type(text(entity_type)).with_match_type(match_type).with_match(name)
}

fn described(entry: DescribedEntry) -> (QuotaEntity, Vec<(String, f64)>) {
    let mut entity = QuotaEntity::default();
    for part in entry.entity {
        let name = Some(EntityName::from(part.entity_name.map(|name| Arc::from(name.as_str()))));
        match part.entity_type.as_str() {
            "user" => entity.user = name,
            "client-id" => entity.client_id = name,
            "ip" => entity.ip = name,
            // A type that a later Kafka may bring; its entity is shown by the parts that are known.
            _ => {}
        }
    }
    (entity, entry.values.into_iter().map(|value| (value.key.to_string(), value.value)).collect())
}
