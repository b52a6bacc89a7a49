//! `DescribeClientQuotas` (key 48): the limits that are set, by a filter on whom they are for (KIP-546).

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::metadata::{QuotaEntity, QuotaKey, QuotaValue};
use crate::protocol::ErrorCode;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// What an entity must have of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Match {
    /// This name.
    Exact(String),
    /// The default.
    Default,
    /// Any name, or the default.
    Specified,
}

/// What a request asks for, by types.
type Filter = BTreeMap<String, Match>;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: DescribeClientQuotasRequest,
) -> Result<Reply<DescribeClientQuotasResponse>, ApiError> {
    Ok(Reply::Ready(match filter(&request.components) {
        Ok(filter) => {
            let image = broker.image();
            let quotas = image.all_quotas().filter(|(entity, _)| matches(entity, &filter, request.strict));
            let entries = quotas.map(|(entity, limits)| entry(entity, limits)).collect();
            DescribeClientQuotasResponse::default().with_error_message(None).with_entries(Some(entries))
        }
        Err((code, message)) => failed(code, message),
    }))
}

/// The answer to who may not describe quotas.
pub fn refuse(_request: &DescribeClientQuotasRequest, code: ErrorCode) -> DescribeClientQuotasResponse {
    failed(code, code.to_string())
}

fn failed(code: ErrorCode, message: String) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(message)))
        .with_entries(None)
}

/// Kafka's checks in Kafka's order, component by component.
fn filter(components: &[ComponentData]) -> Result<Filter, (ErrorCode, String)> {
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, message));
    let mut filter = Filter::new();
    for component in components {
        let entity_type = component.entity_type.as_str();
        if entity_type.is_empty() {
            return invalid("Invalid empty entity type.".to_owned());
        }
        if filter.contains_key(entity_type) {
            return invalid(format!("Entity type {entity_type} cannot appear more than once in the filter."));
        }
        if ![USER, CLIENT_ID, IP].contains(&entity_type) {
            return Err((ErrorCode::UnsupportedVersion, format!("Unsupported entity type {entity_type}")));
        }
        let wanted = match (component.match_type, &component._match) {
            (0, Some(name)) => Match::Exact(name.to_string()),
            (0, None) => {
                return invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned());
            }
            (1, None) => Match::Default,
            (2, None) => Match::Specified,
            (1 | 2, Some(_)) => {
                let name = if component.match_type == 1 { "DEFAULT" } else { "SPECIFIED" };
                return invalid(format!("Request specified MATCH_TYPE_{name}, but also specified a match string."));
            }
            (unknown, _) => return invalid(format!("Unknown match type {unknown}")),
        };
        filter.insert(entity_type.to_owned(), wanted);
    }
    if filter.contains_key(IP) && filter.len() > 1 {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId \
             filter component."
                .to_owned(),
        );
    }
    Ok(filter)
}

/// Whether the entity has all that is asked for, and, where the request is strict, nothing else.
fn matches(entity: &QuotaEntity, filter: &Filter, is_strict: bool) -> bool {
    let parts: BTreeMap<_, _> = entity.parts().collect();
    let has = |(entity_type, wanted): (&String, &Match)| {
        parts.get(entity_type.as_str()).is_some_and(|name| match wanted {
            Match::Exact(wanted) => name.name() == Some(wanted),
            Match::Default => name.name().is_none(),
            Match::Specified => true,
        })
    };
    (!is_strict || parts.len() == filter.len()) && filter.iter().all(has)
}

fn entry(entity: &QuotaEntity, limits: &BTreeMap<QuotaKey, QuotaValue>) -> EntryData {
    let parts = entity.parts().map(|(entity_type, name)| {
        EntityData::default()
            .with_entity_type(StrBytes::from_static_str(entity_type))
            .with_entity_name(name.name().map(message_text))
    });
    let values = limits.iter().map(|(key, limit)| {
        ValueData::default().with_key(StrBytes::from_static_str(key.name())).with_value(limit.get())
    });
    EntryData::default().with_entity(parts.collect()).with_values(values.collect())
}
