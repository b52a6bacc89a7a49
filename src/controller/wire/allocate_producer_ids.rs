//! `AllocateProducerIds` (key 67).

use kafka_protocol::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse, BrokerId, ProducerId};

use super::{WireQuestion, error};
use crate::controller::{AllocateProducerIds, ProducerIdsBlock};
use crate::protocol::ErrorCode;

impl WireQuestion for AllocateProducerIds {
    type Wire = AllocateProducerIdsRequest;

    fn to_wire(&self, _version: i16) -> AllocateProducerIdsRequest {
        let Self { broker_id, broker_epoch } = *self;
        AllocateProducerIdsRequest::default().with_broker_id(BrokerId(broker_id)).with_broker_epoch(broker_epoch)
    }

    fn from_wire(response: AllocateProducerIdsResponse) -> Result<Result<ProducerIdsBlock, ErrorCode>, ErrorCode> {
        let refused = error(response.error_code);
        if refused == Err(ErrorCode::NotController) {
            return Err(ErrorCode::NotController);
        }
        let first = response.producer_id_start.0;
        Ok(refused.map(|()| ProducerIdsBlock { first, length: response.producer_id_len.into() }))
    }
}

/// The question that a request is.
pub fn question(request: &AllocateProducerIdsRequest) -> AllocateProducerIds {
    AllocateProducerIds { broker_id: request.broker_id.0, broker_epoch: request.broker_epoch }
}

/// The response to it.
pub fn response(answer: Result<ProducerIdsBlock, ErrorCode>) -> AllocateProducerIdsResponse {
    let response = AllocateProducerIdsResponse::default();
    match answer {
        Ok(block) => response
            .with_producer_id_start(ProducerId(block.first))
            .with_producer_id_len(i32::try_from(block.length).unwrap_or(i32::MAX)),
        Err(code) => response.with_error_code(code.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_its_answers_arrive_as_they_were_sent() {
        let asked = AllocateProducerIds { broker_id: 3, broker_epoch: 17 };
        let arrived = question(&asked.to_wire(0));
        assert_eq!((arrived.broker_id, arrived.broker_epoch), (3, 17));
        for answer in [Ok(ProducerIdsBlock { first: 4_000, length: 1_000 }), Err(ErrorCode::StaleBrokerEpoch)] {
            assert_eq!(AllocateProducerIds::from_wire(response(answer)), Ok(answer));
        }
        let refused = AllocateProducerIds::from_wire(response(Err(ErrorCode::NotController)));
        assert_eq!(refused, Err(ErrorCode::NotController), "asked again elsewhere");
    }
}
