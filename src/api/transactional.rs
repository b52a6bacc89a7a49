//! What the APIs of transactional producers share.

use std::future::Future;
use std::sync::Arc;

use super::deadline::soon;
use crate::broker::Broker;
use crate::coordinator::transaction::TransactionCoordinator;
use crate::coordinator::transaction::request::{ProducerRefusal, TransactionalId};
use crate::ids::ProducerIdAndEpoch;
use crate::protocol::ErrorCode;
use crate::state_machine::Question;

/// The longest transactional id that a record can hold, in bytes.
const LONGEST_ID: usize = i16::MAX as usize;

/// Puts a question to the coordinator of `id`, now; the future waits for the answer. An empty id is refused, whoever it would
/// belong to.
///
/// Unlike Kafka, which answers `UNKNOWN_SERVER_ERROR` to an id that no record can hold, that is refused as well.
pub(super) fn ask<Q: Question<TransactionCoordinator>>(
    broker: &Broker,
    id: &str,
    question: Q,
) -> impl Future<Output = Result<Q::Answer, ErrorCode>> + Send + use<Q> {
    let answer = (1..=LONGEST_ID).contains(&id.len()).then(|| broker.transactions.enqueue(id, question));
    async move { answer.ok_or(ErrorCode::InvalidRequest)?.await }
}

/// The same, and once more with a fresh producer id where the coordinator needs one.
pub(super) fn ask_for_producer<Q>(
    broker: &Broker,
    id: &TransactionalId,
    question: impl Fn(Option<i64>) -> Q + Send + 'static,
) -> impl Future<Output = Result<ProducerIdAndEpoch, ErrorCode>> + Send + 'static
where
    Q: Question<TransactionCoordinator, Answer = Result<ProducerIdAndEpoch, ProducerRefusal>> + 'static,
{
    let answer = ask(broker, id, question(None));
    let (transactions, producer_ids) = (broker.transactions.clone(), Arc::clone(&broker.producer_ids));
    let (clock, id) = (broker.clock.clone(), Arc::clone(id));
    async move {
        let mut answer = answer.await?;
        if answer == Err(ProducerRefusal::NeedsProducerId) {
            let new_producer_id = soon(&clock, ErrorCode::CoordinatorLoadInProgress, producer_ids.next()).await?;
            answer = transactions.enqueue(&id, question(Some(new_producer_id))).await?;
        }
        answer.map_err(|refusal| match refusal {
            ProducerRefusal::Error(code) => code,
            // It has got one.
            ProducerRefusal::NeedsProducerId => ErrorCode::CoordinatorNotAvailable,
        })
    }
}

/// The error as the client knows it: some are older than `PRODUCER_FENCED` (KIP-588).
pub(super) fn known_error(code: ErrorCode, knows_fenced: bool) -> ErrorCode {
    if code == ErrorCode::ProducerFenced && !knows_fenced { ErrorCode::InvalidProducerEpoch } else { code }
}
