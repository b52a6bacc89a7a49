//! `BrokerHeartbeat` (key 63).

use std::time::Duration;

use kafka_protocol::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerId};

use super::{WireQuestion, error};
use crate::controller::{BrokerHeartbeat, HeartbeatAnswer, Refusal};
use crate::protocol::ErrorCode;

impl WireQuestion for BrokerHeartbeat {
    type Wire = BrokerHeartbeatRequest;

    /// Whoever beats says something newer soon: half of the shortest time that a broker may be silent for by default.
    const PATIENCE: Duration = Duration::from_millis(4_500);

    fn to_wire(&self, _version: i16) -> BrokerHeartbeatRequest {
        BrokerHeartbeatRequest::default()
            .with_broker_id(BrokerId(self.broker_id))
            .with_broker_epoch(self.broker_epoch)
            .with_current_metadata_offset(self.current_metadata_offset)
            .with_want_fence(self.wants_fence)
            .with_want_shut_down(self.wants_shutdown)
    }

    fn from_wire(response: BrokerHeartbeatResponse) -> Result<Result<HeartbeatAnswer, Refusal>, ErrorCode> {
        match error(response.error_code) {
            Err(ErrorCode::NotController) => Err(ErrorCode::NotController),
            Err(code) => Ok(Err(Refusal::new(code, code.to_string()))),
            Ok(()) => Ok(Ok(HeartbeatAnswer {
                is_caught_up: response.is_caught_up,
                is_fenced: response.is_fenced,
                should_shut_down: response.should_shut_down,
            })),
        }
    }
}

/// The question that a request is.
pub fn question(request: &BrokerHeartbeatRequest) -> BrokerHeartbeat {
    BrokerHeartbeat {
        broker_id: request.broker_id.0,
        broker_epoch: request.broker_epoch,
        current_metadata_offset: request.current_metadata_offset,
        wants_fence: request.want_fence,
        wants_shutdown: request.want_shut_down,
    }
}

/// The response to it.
pub fn response(answer: Result<HeartbeatAnswer, ErrorCode>) -> BrokerHeartbeatResponse {
    let response = BrokerHeartbeatResponse::default();
    match answer {
        Ok(HeartbeatAnswer { is_caught_up, is_fenced, should_shut_down }) => {
            response.with_is_caught_up(is_caught_up).with_is_fenced(is_fenced).with_should_shut_down(should_shut_down)
        }
        Err(code) => response.with_error_code(code.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_its_answers_arrive_as_they_were_sent() {
        for (wants_fence, wants_shutdown) in [(true, false), (false, false), (false, true)] {
            let asked = BrokerHeartbeat {
                broker_id: 2,
                broker_epoch: 9,
                current_metadata_offset: 77,
                wants_fence,
                wants_shutdown,
            };
            for version in 0..=1 {
                assert_eq!(format!("{:?}", question(&asked.to_wire(version))), format!("{asked:?}"));
            }
            let answer = HeartbeatAnswer {
                is_caught_up: !wants_fence,
                is_fenced: wants_fence,
                should_shut_down: wants_shutdown,
            };
            assert_eq!(BrokerHeartbeat::from_wire(response(Ok(answer))), Ok(Ok(answer)));
        }
        let refused = BrokerHeartbeat::from_wire(response(Err(ErrorCode::StaleBrokerEpoch))).expect("an answer");
        assert_eq!(refused.map_err(|refusal| refusal.code), Err(ErrorCode::StaleBrokerEpoch));
        let elsewhere = BrokerHeartbeat::from_wire(response(Err(ErrorCode::NotController)));
        assert_eq!(elsewhere, Err(ErrorCode::NotController));
    }
}
