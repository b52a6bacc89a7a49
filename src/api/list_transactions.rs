//! ListTransactions (key 66): the transactional ids that this broker coordinates (KIP-664, KIP-994, KIP-1152).

use kafka_protocol::messages::list_transactions_response::TransactionState as ListedState;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse, ProducerId};
use kafka_protocol::protocol::StrBytes;
use regex::{Regex, RegexBuilder};

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::transaction::request::{ListTransactions, ListedTransaction};
use crate::protocol::ErrorCode;
use crate::protocol::transaction_records::TransactionState;
use crate::security::{Operation, Resource};

/// The most memory that a client's expression may take once it is compiled, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// Serves one request. Ids that the client may not see are left out, without an error.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: ListTransactionsRequest,
) -> Result<Reply<ListTransactionsResponse>, ApiError> {
    let pattern = match request.transactional_id_pattern.as_deref().filter(|text| !text.is_empty()).map(pattern) {
        None => None,
        Some(Ok(pattern)) => Some(pattern),
        Some(Err(code)) => return Ok(Reply::Ready(ListTransactionsResponse::default().with_error_code(code.code()))),
    };
    let (states, unknown) = states(&request.state_filters);
    let list = ListTransactions {
        producer_ids: request.producer_id_filters.iter().map(|id| id.0).collect(),
        states: (!request.state_filters.is_empty()).then_some(states),
        longer_than_ms: Some(request.duration_filter).filter(|duration_ms| *duration_ms >= 0),
        pattern,
    };
    let answers = broker.transactions.enqueue_all(&list);
    let context = context.clone();
    Ok(Reply::owed(async move {
        let response = ListTransactionsResponse::default().with_unknown_state_filters(unknown);
        match all(answers.await) {
            Ok(listed) => {
                let may_see = |listed: &&ListedTransaction| {
                    let id = Resource::transactional_id(&listed.transactional_id);
                    context.authorize(Operation::Describe, id).is_ok()
                };
                response.with_transaction_states(listed.iter().filter(may_see).map(shape).collect())
            }
            Err(code) => response.with_error_code(code.code()),
        }
    }))
}

/// An expression that matches whole ids.
fn pattern(text: &str) -> Result<Regex, ErrorCode> {
    let compiled = |text: &str| {
        let compiled = RegexBuilder::new(text).size_limit(PATTERN_BYTES).build();
        compiled.map_err(|_| ErrorCode::InvalidRegularExpression)
    };
    // By itself, too: what closes the group would not be an expression.
    compiled(text).and_then(|_| compiled(&format!("^(?:{text})$")))
}

/// The states that are asked for, and those of them that nobody knows.
fn states(filters: &[StrBytes]) -> (Vec<TransactionState>, Vec<StrBytes>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for filter in filters {
        match TransactionState::ALL.into_iter().find(|state| state.name() == filter.as_str()) {
            Some(state) => known.push(state),
            None => unknown.push(message_text(filter)),
        }
    }
    (known, unknown)
}

/// One partition that cannot answer makes the whole list an error; one that has just moved away has no transactions.
fn all(answers: Vec<Result<Vec<ListedTransaction>, ErrorCode>>) -> Result<Vec<ListedTransaction>, ErrorCode> {
    let mut all = Vec::new();
    for answer in answers {
        match answer {
            Ok(mut listed) => all.append(&mut listed),
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => return Err(code),
        }
    }
    Ok(all)
}

fn shape(listed: &ListedTransaction) -> ListedState {
    ListedState::default()
        .with_transactional_id(message_text(&listed.transactional_id).into())
        .with_producer_id(ProducerId(listed.producer_id))
        .with_transaction_state(message_text(listed.state.name()))
}
