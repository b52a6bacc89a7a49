//! DescribeCluster (key 60): the brokers and the cluster's id (KIP-700).

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::authorization::OPERATIONS_NOT_ASKED;
use super::{ApiError, Reply, RequestContext, ToldAddress};
use crate::broker::Broker;
use crate::metadata::BrokerRegistration;
use crate::protocol::ErrorCode;

/// The endpoints that a client can ask for (KIP-919).
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// The controller where none is known.
const NO_CONTROLLER: i32 = -1;

/// Serves one request.
#[expect(clippy::unused_async, reason = "the shape of a handler")]
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeClusterRequest,
) -> Result<Reply<DescribeClusterResponse>, ApiError> {
    if request.endpoint_type != BROKERS {
        return Ok(Reply::Ready(wrong_endpoint(context.api_version, request.endpoint_type)));
    }
    let image = broker.image();
    let brokers: Vec<_> = image
        .brokers()
        .filter(|broker| request.include_fenced_brokers || !broker.fenced)
        .filter_map(|registration| {
            let address = context.told_address(broker, registration.endpoint(&context.listener)?);
            Some(described(registration, address))
        })
        .collect();
    // A controller that is not among the brokers would confuse the client.
    let is_known = |id: &i32| brokers.iter().any(|broker| broker.broker_id.0 == *id);
    let controller = broker.metadata.controller_id().filter(is_known).unwrap_or(NO_CONTROLLER);
    let operations =
        if request.include_cluster_authorized_operations { context.cluster_operations() } else { OPERATIONS_NOT_ASKED };
    Ok(Reply::Ready(
        DescribeClusterResponse::default()
            .with_endpoint_type(BROKERS)
            .with_cluster_id(StrBytes::from_string(image.cluster_id().as_ref().to_owned()))
            .with_controller_id(BrokerId(controller))
            .with_brokers(brokers)
            .with_cluster_authorized_operations(operations),
    ))
}

fn described(broker: &BrokerRegistration, address: ToldAddress) -> DescribeClusterBroker {
    DescribeClusterBroker::default()
        .with_broker_id(BrokerId(broker.id))
        .with_host(address.host)
        .with_port(i32::from(address.port))
        .with_rack(broker.rack.as_ref().map(|rack| StrBytes::from_string(rack.as_ref().to_owned())))
        .with_is_fenced(broker.fenced)
}

fn wrong_endpoint(version: i16, endpoint_type: i8) -> DescribeClusterResponse {
    let (code, message) = if endpoint_type == CONTROLLERS {
        let message =
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
        (ErrorCode::MismatchedEndpointType, message.to_owned())
    } else {
        (ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {endpoint_type}"))
    };
    let code = if version == 0 { ErrorCode::InvalidRequest } else { code };
    DescribeClusterResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}
