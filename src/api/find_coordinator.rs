//! FindCoordinator (key 10): which broker coordinates a group or a transaction; one key up to version 3, several from
//! version 4 on (KIP-699).

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};

use super::deadline::soon;
use super::owned::message_text;
use super::{ApiError, Reply, RequestContext, ToldAddress};
use crate::broker::Broker;
use crate::ids::{GROUP_METADATA_TOPIC, NodeId, TRANSACTION_STATE_TOPIC};
use crate::metadata::MetadataImage;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// Kinds of coordinators.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The first version that asks for several coordinators.
const FIRST_WITH_KEYS: i16 = 4;

/// The node that stands for none.
const NO_NODE: NodeId = -1;
/// Its port.
const NO_PORT: i32 = -1;

/// What the client is told of one key.
type FoundCoordinator = Result<(NodeId, ToldAddress), ErrorCode>;

/// Serves one request. The first one for a group creates `__consumer_offsets`, the first one for a transaction
/// `__transaction_state`.
///
/// Unlike Kafka, which has the client ask again until the topic is there, the answer waits for it.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: FindCoordinatorRequest,
) -> Result<Reply<FindCoordinatorResponse>, ApiError> {
    let has_keys = context.api_version >= FIRST_WITH_KEYS;
    let keys = if has_keys { request.coordinator_keys.as_slice() } else { std::slice::from_ref(&request.key) };
    let may_ask = |key: &str| authorize(context, request.key_type, key);
    let kind = if keys.iter().any(|key| may_ask(key).is_ok()) {
        CoordinatorKind::ensured(broker, request.key_type).await
    } else {
        Err(ErrorCode::CoordinatorNotAvailable)
    };
    let image = broker.image();
    let find = |key: &str| {
        may_ask(key)?;
        kind.and_then(|kind| coordinator(broker, &image, context, kind, key))
    };
    let response = if has_keys {
        let coordinators = keys.iter().map(|key| shape(&find(key)).with_key(message_text(key)));
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    } else {
        shape_single(&find(&request.key))
    };
    Ok(Reply::Ready(response))
}

fn authorize(context: &RequestContext, key_type: i8, key: &str) -> Result<(), ErrorCode> {
    match key_type {
        GROUP => context.authorize(Operation::Describe, Resource::group(key)),
        TRANSACTION => context.authorize(Operation::Describe, Resource::transactional_id(key)),
        _ => Ok(()),
    }
}

/// A kind of coordinators whose internal topic is there.
#[derive(Debug, Clone, Copy)]
enum CoordinatorKind {
    Group,
    Transaction,
}

impl CoordinatorKind {
    /// The kind with the number `key_type`, whose topic is created if it is missing.
    async fn ensured(broker: &Broker, key_type: i8) -> Result<Self, ErrorCode> {
        let late = ErrorCode::CoordinatorNotAvailable;
        let (kind, ensured) = match key_type {
            GROUP => (Self::Group, soon(&broker.clock, late, broker.ensure_group_metadata_topic()).await),
            TRANSACTION => {
                (Self::Transaction, soon(&broker.clock, late, broker.ensure_transaction_state_topic()).await)
            }
            _ => return Err(ErrorCode::InvalidRequest),
        };
        ensured.map(|()| kind).map_err(|_| ErrorCode::CoordinatorNotAvailable)
    }
}

fn coordinator(
    broker: &Broker,
    image: &MetadataImage,
    context: &RequestContext,
    kind: CoordinatorKind,
    key: &str,
) -> FoundCoordinator {
    let (topic, index) = match kind {
        CoordinatorKind::Group => (GROUP_METADATA_TOPIC, broker.groups.partition_for(key)),
        CoordinatorKind::Transaction => (TRANSACTION_STATE_TOPIC, broker.transactions.partition_for(key)),
    };
    let index = index.ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let leader = image.partition(topic, index).and_then(|partition| image.broker(partition.leader));
    let endpoint = leader.filter(|leader| !leader.fenced).and_then(|leader| {
        let endpoint = leader.endpoint(&context.listener)?;
        Some((leader.id, context.told_address(broker, endpoint)))
    });
    endpoint.ok_or(ErrorCode::CoordinatorNotAvailable)
}

fn shape(found: &FoundCoordinator) -> Coordinator {
    let coordinator = Coordinator::default();
    match found {
        Ok((id, address)) => {
            coordinator.with_node_id(BrokerId(*id)).with_host(address.host.clone()).with_port(i32::from(address.port))
        }
        Err(error) => coordinator
            .with_node_id(BrokerId(NO_NODE))
            .with_port(NO_PORT)
            .with_error_code(error.code())
            .with_error_message(Some(message_text(&error.to_string()))),
    }
}

/// Up to version 3, where the message of success is `NONE`, as in Kafka.
fn shape_single(found: &FoundCoordinator) -> FindCoordinatorResponse {
    let coordinator = shape(found);
    let message = if found.is_ok() { Some(message_text("NONE")) } else { coordinator.error_message };
    FindCoordinatorResponse::default()
        .with_error_code(coordinator.error_code)
        .with_error_message(message)
        .with_node_id(coordinator.node_id)
        .with_host(coordinator.host)
        .with_port(coordinator.port)
}
