//! The quota of partitions that clients create and delete (KIP-599), as the handlers of such requests ask for it.

use std::time::Duration;

use super::RequestContext;
use crate::broker::Broker;
use crate::broker::quotas::Meter;
use crate::controller::MutationQuota;
use crate::protocol::ErrorCode;
use crate::quota::QuotaType;

/// One request's share of its client's quota.
pub(super) struct Mutations {
    meter: Option<Meter>,
    /// Whether the client knows `THROTTLING_QUOTA_EXCEEDED`; the requests of others are carried out, and they wait.
    is_strict: bool,
}

impl Mutations {
    /// Of a client whose request knows the error from `first_strict_version` on.
    pub(super) fn new(broker: &Broker, context: &RequestContext, first_strict_version: i16) -> Self {
        let meter = context.meter(&broker.quotas, QuotaType::ControllerMutation);
        Self { meter, is_strict: context.api_version >= first_strict_version }
    }

    /// Of a client on whose behalf something is created that it did not name as a creation.
    pub(super) fn strict(broker: &Broker, context: &RequestContext) -> Self {
        Self { meter: context.meter(&broker.quotas, QuotaType::ControllerMutation), is_strict: true }
    }

    /// What the controller is to keep to.
    pub(super) fn quota(&self) -> MutationQuota {
        let meter = self.meter.as_ref().filter(|_| self.is_strict);
        meter.and_then(Meter::mutations_left).map_or_else(MutationQuota::default, MutationQuota::strict)
    }

    /// Records the partitions that were created or deleted. Returns how long the client must wait: if it knows the error,
    /// only where that was the answer to something.
    pub(super) fn settle(&self, partitions: usize, mut errors: impl Iterator<Item = ErrorCode>) -> Duration {
        let Some(meter) = &self.meter else { return Duration::ZERO };
        let throttle_time = meter.record_mutations(partitions as f64);
        let is_told = !self.is_strict || errors.any(|code| code == ErrorCode::ThrottlingQuotaExceeded);
        if is_told { throttle_time } else { Duration::ZERO }
    }
}
