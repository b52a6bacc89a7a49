//! `AlterClientQuotas` (key 49): limits are set and removed (KIP-546).

use kafka_protocol::messages::alter_client_quotas_request::EntryData as Alteration;
use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;

use super::owned::{message_option, message_text, owned, owned_option};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::{AlterClientQuotas, QuotaAlteration, QuotasAltered};
use crate::protocol::ErrorCode;

/// Serves one request; answers once this broker holds clients to the new limits.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: AlterClientQuotasRequest,
) -> Result<Reply<AlterClientQuotasResponse>, ApiError> {
    let alter = AlterClientQuotas {
        alterations: request.entries.iter().map(alteration).collect(),
        validate_only: request.validate_only,
    };
    Ok(Reply::Ready(match alter_and_wait(broker, alter).await {
        Ok(entries) => AlterClientQuotasResponse::default().with_entries(entries),
        Err((code, message)) => failed(&request, code, &message),
    }))
}

async fn alter_and_wait(broker: &Broker, alter: AlterClientQuotas) -> Result<Vec<EntryData>, (ErrorCode, String)> {
    let told = |code: ErrorCode| (code, code.to_string());
    let altered = broker.controller.alter_client_quotas(alter).await.map_err(told)?;
    broker.replicas_applied(altered.image_offset).await.map_err(told)?;
    let results = altered.response.map_err(|refusal| (refusal.code, refusal.message))?;
    Ok(results.into_iter().map(entry).collect())
}

/// The answer to who may not change quotas.
pub fn refuse(request: &AlterClientQuotasRequest, code: ErrorCode) -> AlterClientQuotasResponse {
    failed(request, code, &code.to_string())
}

fn failed(request: &AlterClientQuotasRequest, code: ErrorCode, message: &str) -> AlterClientQuotasResponse {
    let entry = |alteration: &Alteration| {
        let entity = alteration.entity.iter().map(|part| {
            EntityData::default()
                .with_entity_type(message_text(&part.entity_type))
                .with_entity_name(part.entity_name.as_deref().map(message_text))
        });
        EntryData::default()
            .with_entity(entity.collect())
            .with_error_code(code.code())
            .with_error_message(Some(message_text(message)))
    };
    AlterClientQuotasResponse::default().with_entries(request.entries.iter().map(entry).collect())
}

fn alteration(entry: &Alteration) -> QuotaAlteration {
    let part = |part: &kafka_protocol::messages::alter_client_quotas_request::EntityData| {
        (owned(&part.entity_type), owned_option(part.entity_name.as_ref()))
    };
    QuotaAlteration {
        entity: entry.entity.iter().map(part).collect(),
        operations: entry.ops.iter().map(|op| (op.key.to_string(), (!op.remove).then_some(op.value))).collect(),
    }
}

fn entry(altered: QuotasAltered) -> EntryData {
    let entity = altered.entity.iter().map(|(entity_type, name)| {
        EntityData::default()
            .with_entity_type(message_text(entity_type))
            .with_entity_name(message_option(name.as_ref()))
    });
    let entry = EntryData::default().with_entity(entity.collect());
    match altered.result {
        // Kafka says nothing where it says "no error".
        Ok(()) => entry.with_error_message(None),
        Err(refusal) => {
            entry.with_error_code(refusal.code.code()).with_error_message(Some(StrBytes::from_string(refusal.message)))
        }
    }
}
