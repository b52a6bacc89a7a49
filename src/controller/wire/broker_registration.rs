//! `BrokerRegistration` (key 62).

use std::time::Duration;

use kafka_protocol::messages::broker_registration_request::{Feature, Listener};
use kafka_protocol::messages::{BrokerId, BrokerRegistrationRequest, BrokerRegistrationResponse};

use super::{WireQuestion, error, text};
use crate::config::SecurityProtocol;
use crate::controller::{Refusal, RegisterBroker};
use crate::metadata::{Endpoint, SUPPORTED_FEATURES};
use crate::protocol::ErrorCode;

/// The first version that tells the log directories (KIP-858).
const FIRST_VERSION_WITH_LOG_DIRS: i16 = 2;
/// The first version that tells how the broker stopped (KIP-966).
const FIRST_VERSION_WITH_PREVIOUS_EPOCH: i16 = 3;
/// The first version whose features may begin at level 0.
const FIRST_VERSION_WITH_LEVEL_0: i16 = 4;

impl WireQuestion for RegisterBroker {
    type Wire = BrokerRegistrationRequest;

    /// `initial.broker.registration.timeout.ms` by default.
    const PATIENCE: Duration = Duration::from_mins(1);

    fn to_wire(&self, version: i16) -> BrokerRegistrationRequest {
        let listeners = self.listeners.iter().map(|endpoint| {
            Listener::default()
                .with_name(text(&endpoint.listener))
                .with_host(text(&endpoint.host))
                .with_port(endpoint.port)
                .with_security_protocol(SecurityProtocol::named(&endpoint.protocol).map_or(0, SecurityProtocol::id))
        });
        let told =
            SUPPORTED_FEATURES.iter().filter(|feature| feature.min_level > 0 || version >= FIRST_VERSION_WITH_LEVEL_0);
        let features = told.map(|feature| {
            Feature::default()
                .with_name(text(feature.name))
                .with_min_supported_version(feature.min_level)
                .with_max_supported_version(feature.max_level)
        });
        let request = BrokerRegistrationRequest::default()
            .with_broker_id(BrokerId(self.id))
            .with_cluster_id(text(&self.cluster_id))
            .with_incarnation_id(self.incarnation)
            .with_listeners(listeners.collect())
            .with_features(features.collect())
            .with_rack(self.rack.as_deref().map(text));
        let request = match version {
            FIRST_VERSION_WITH_LOG_DIRS.. => request.with_log_dirs(self.log_dirs.clone()),
            _ => request,
        };
        match version {
            FIRST_VERSION_WITH_PREVIOUS_EPOCH.. => request.with_previous_broker_epoch(self.previous_broker_epoch),
            _ => request,
        }
    }

    fn from_wire(response: BrokerRegistrationResponse) -> Result<Result<i64, Refusal>, ErrorCode> {
        match error(response.error_code) {
            Err(ErrorCode::NotController) => Err(ErrorCode::NotController),
            Err(code) => Ok(Err(Refusal::new(code, code.to_string()))),
            Ok(()) => Ok(Ok(response.broker_epoch)),
        }
    }
}

/// The question that a request is.
///
/// Errors: `InvalidRegistration` where a listener's protocol is none.
pub fn question(request: &BrokerRegistrationRequest) -> Result<RegisterBroker, ErrorCode> {
    let endpoint = |listener: &Listener| {
        let protocol = SecurityProtocol::of_id(listener.security_protocol).ok_or(ErrorCode::InvalidRegistration)?;
        Ok(Endpoint {
            listener: listener.name.as_str().into(),
            host: listener.host.as_str().into(),
            port: listener.port,
            protocol: protocol.to_string().into(),
        })
    };
    Ok(RegisterBroker {
        id: request.broker_id.0,
        cluster_id: request.cluster_id.as_str().into(),
        incarnation: request.incarnation_id,
        listeners: request.listeners.iter().map(endpoint).collect::<Result<_, _>>()?,
        rack: request.rack.as_deref().map(Into::into),
        log_dirs: request.log_dirs.clone(),
        previous_broker_epoch: request.previous_broker_epoch,
    })
}

/// The response to it.
pub fn response(answer: Result<i64, ErrorCode>) -> BrokerRegistrationResponse {
    match answer {
        Ok(epoch) => BrokerRegistrationResponse::default().with_broker_epoch(epoch),
        Err(code) => BrokerRegistrationResponse::default().with_error_code(code.code()).with_broker_epoch(-1),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::Encodable;

    use super::*;
    use crate::ids::Uuid;

    fn registration() -> RegisterBroker {
        let endpoint = |listener: &str, port, protocol: &str| Endpoint {
            listener: listener.into(),
            host: "h1".into(),
            port,
            protocol: protocol.into(),
        };
        RegisterBroker {
            id: 1,
            cluster_id: "c".into(),
            incarnation: Uuid::from_u128(5),
            listeners: vec![endpoint("INTERNAL", 9092, "PLAINTEXT"), endpoint("EXTERNAL", 9093, "SASL_SSL")],
            rack: Some("r".into()),
            log_dirs: vec![Uuid::from_u128(6), Uuid::from_u128(7)],
            previous_broker_epoch: 12,
        }
    }

    #[test]
    fn a_registration_arrives_as_it_was_sent_but_for_what_old_versions_cannot_say() {
        for version in 0..=4 {
            let wire = registration().to_wire(version);
            wire.compute_size(version).expect("has a form");
            let arrived = question(&wire).expect("a registration");
            let mut expected = registration();
            if version < FIRST_VERSION_WITH_LOG_DIRS {
                expected.log_dirs.clear();
            }
            if version < FIRST_VERSION_WITH_PREVIOUS_EPOCH {
                expected.previous_broker_epoch = -1;
            }
            assert_eq!(format!("{arrived:?}"), format!("{expected:?}"), "version {version}");
            assert_eq!(wire.features.iter().all(|feature| feature.min_supported_version > 0), version < 4);
        }
    }

    #[test]
    fn answers_arrive_as_they_were_sent() {
        assert_eq!(RegisterBroker::from_wire(response(Ok(3))), Ok(Ok(3)));
        let refused =
            RegisterBroker::from_wire(response(Err(ErrorCode::DuplicateBrokerRegistration))).expect("an answer");
        assert_eq!(refused.map_err(|refusal| refusal.code), Err(ErrorCode::DuplicateBrokerRegistration));
        assert_eq!(RegisterBroker::from_wire(response(Err(ErrorCode::NotController))), Err(ErrorCode::NotController));
    }

    #[test]
    fn a_protocol_that_is_none_is_refused() {
        let mut wire = registration().to_wire(4);
        wire.listeners[0].security_protocol = 9;
        assert_eq!(question(&wire).map(drop), Err(ErrorCode::InvalidRegistration));
    }
}
