//! `AlterClientQuotas`: Kafka's `ClientQuotaControlManager` (KIP-546).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Controller, MAX_RECORDS_PER_REQUEST, Refusal};
use crate::metadata::{EntityName, MetadataRecord, QuotaEntity, QuotaKey, QuotaRecord};
use crate::protocol::ErrorCode;

/// Quotas shall change, those of each entity by themselves.
#[derive(Debug, Clone)]
pub struct AlterClientQuotas {
    /// What shall change.
    pub alterations: Vec<QuotaAlteration>,
    /// Only tell what would happen.
    pub validate_only: bool,
}

/// Whom quotas are for, unchecked: types with names, where no name means the default. A type is there once, as in the map
/// that Kafka makes of it.
pub type UncheckedEntity = BTreeMap<Arc<str>, Option<Arc<str>>>;

/// The change of one entity's quotas.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaAlteration {
    /// Whom they are for.
    pub entity: UncheckedEntity,
    /// The keys with their new limits; none removes the quota.
    pub operations: Vec<(String, Option<f64>)>,
}

/// What became of one entity's quotas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotasAltered {
    /// Whom they are for.
    pub entity: UncheckedEntity,
    /// Nothing, or why they stay as they are.
    pub result: Result<(), Refusal>,
}

impl Controller {
    /// One result per entity, in the order in which they came first; or the error that concerns them all.
    pub(super) fn alter_client_quotas(
        &self,
        request: AlterClientQuotas,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<Vec<QuotasAltered>, Refusal> {
        let mut results: Vec<QuotasAltered> = Vec::with_capacity(request.alterations.len());
        let mut altered = Vec::new();
        for QuotaAlteration { entity, operations } in request.alterations {
            let known = results.iter_mut().find(|result| result.entity == entity);
            let mut limits = BTreeMap::new();
            let mut is_repeated = known.is_some();
            for (key, limit) in operations {
                is_repeated |= limits.contains_key(&key);
                limits.entry(key).or_insert(limit);
            }
            // Kafka says the same of a key that is repeated as of an entity that is.
            let result = if is_repeated {
                Err(invalid(format!("Ignoring duplicate entity {}", told(&entity))))
            } else {
                self.alter_quotas_of(&entity, &limits, &mut altered)
            };
            match known {
                Some(known) => known.result = result,
                None => results.push(QuotasAltered { entity, result }),
            }
        }
        if altered.len() > MAX_RECORDS_PER_REQUEST {
            return Err(Refusal::too_many_records());
        }
        if !request.validate_only {
            records.append(&mut altered);
        }
        Ok(results)
    }

    fn alter_quotas_of(
        &self,
        entity: &UncheckedEntity,
        limits: &BTreeMap<String, Option<f64>>,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Refusal> {
        let entity = checked(entity)?;
        let none = BTreeMap::new();
        let current = self.image.quotas(&entity).unwrap_or(&none);
        let mut altered = Vec::new();
        for (name, limit) in limits {
            let key = QuotaKey::from_name(name).filter(|key| is_key_of(*key, &entity));
            let value = match limit {
                None if key.is_some_and(|key| current.contains_key(&key)) => None,
                // There is nothing to remove, which Kafka asks of before it looks at the key.
                None => continue,
                Some(limit) => {
                    let key = key.ok_or_else(|| invalid(format!("Invalid configuration key {name}")))?;
                    check_limit(key, *limit)?;
                    Some((*limit).into())
                }
            };
            if let Some(key) = key.filter(|key| current.get(key).copied() != value) {
                altered.push(QuotaRecord::ClientQuota { entity: entity.clone(), key, value }.into());
            }
        }
        records.append(&mut altered);
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// The entity in the form in which Kafka's message has it.
fn told(entity: &UncheckedEntity) -> String {
    let told = |(entity_type, name): (&Arc<str>, &Option<Arc<str>>)| {
        format!("{entity_type}={}", name.as_deref().unwrap_or("null"))
    };
    format!("ClientQuotaEntity(entries={{{}}})", entity.iter().map(told).collect::<Vec<_>>().join(", "))
}

/// Checks types, names and their combination, in Kafka's order.
///
/// Unlike Kafka, an `ip` is an address: a host name is refused, and no resolver is asked for it.
fn checked(unchecked: &UncheckedEntity) -> Result<QuotaEntity, Refusal> {
    if unchecked.is_empty() {
        return Err(invalid("Invalid empty client quota entity"));
    }
    let mut entity = QuotaEntity::default();
    for (entity_type, name) in unchecked {
        let part = match &**entity_type {
            "user" => &mut entity.user,
            "client-id" => &mut entity.client_id,
            "ip" => &mut entity.ip,
            _ => return Err(invalid(format!("Unhandled client quota entity type: {entity_type}"))),
        };
        if name.as_deref() == Some("") {
            return Err(invalid(format!("Empty {entity_type} not supported")));
        }
        *part = Some(EntityName::from(name.clone()));
    }
    let Some(ip) = &entity.ip else { return Ok(entity) };
    if entity.user.is_some() || entity.client_id.is_some() {
        return Err(invalid("Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId"));
    }
    match ip.name() {
        Some(ip) if ip.parse::<IpAddr>().is_err() => {
            Err(invalid(format!("{ip} is not a valid IP or resolvable host.")))
        }
        _ => Ok(entity),
    }
}

/// Whether `entity` can have that quota.
fn is_key_of(key: QuotaKey, entity: &QuotaEntity) -> bool {
    match key {
        QuotaKey::ConnectionCreationRate => entity.ip.is_some(),
        QuotaKey::ProducerByteRate
        | QuotaKey::ConsumerByteRate
        | QuotaKey::RequestPercentage
        | QuotaKey::ControllerMutationRate => entity.ip.is_none(),
    }
}

fn check_limit(key: QuotaKey, limit: f64) -> Result<(), Refusal> {
    let name = key.name();
    // Unlike Kafka, what is not a number at all is refused here as well: nothing could be held to it.
    if limit <= 0.0 || limit.is_nan() {
        return Err(invalid(format!("Quota {name} must be greater than 0")));
    }
    let (most, integer) = match key {
        QuotaKey::RequestPercentage | QuotaKey::ControllerMutationRate => return Ok(()),
        QuotaKey::ProducerByteRate | QuotaKey::ConsumerByteRate => (i64::MAX as f64, "a LONG"),
        QuotaKey::ConnectionCreationRate => (f64::from(i32::MAX), "an INT"),
    };
    if limit > most {
        return Err(invalid(format!("Proposed value for {name} is too large for {integer}.")));
    }
    if limit % 1.0 > 1e-6 { Err(invalid(format!("{name} cannot be a fractional value."))) } else { Ok(()) }
}
