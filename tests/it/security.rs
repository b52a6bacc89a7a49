//! What is authorised, and the answers to requests about ACLs and delegation tokens where there are neither.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{
    CreateAclsRequest, CreateDelegationTokenRequest, DeleteAclsRequest, DescribeAclsRequest, DescribeAclsResponse,
    DescribeDelegationTokenRequest, ExpireDelegationTokenRequest, RenewDelegationTokenRequest, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, HeaderVersion};
use klamm::api::{APIS, Authorization, Dispatcher};
use klamm::clock::Clock;
use klamm::network::channel::encode_request;
use klamm::network::{Endpoints, Handled, Service};
use klamm::protocol::frame::Piece;
use klamm::security::{Authorizer, Operation, Principal, Resource, ResourceType};

use crate::broker::{Broker, text};

const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const SECURITY_DISABLED: i16 = 54;
const DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: i16 = 64;

/// Who, from where, would do what, with what.
type Question = (String, IpAddr, Operation, ResourceType, String);

/// Allows nothing, and remembers what it was asked.
#[derive(Debug, Default)]
pub(crate) struct AllowNothing {
    asked: Mutex<Vec<Question>>,
}

impl Authorizer for AllowNothing {
    fn allows(&self, principal: &Principal, host: IpAddr, operation: Operation, resource: Resource<'_>) -> bool {
        let asked = (principal.to_string(), host, operation, resource.resource_type, resource.name.to_owned());
        self.asked.lock().unwrap().push(asked);
        false
    }
}

/// A filter of all ACLs.
pub(crate) fn describe_acls() -> DescribeAclsRequest {
    DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_pattern_type_filter(1)
        .with_operation(1)
        .with_permission_type(1)
}

fn creation() -> AclCreation {
    AclCreation::default()
        .with_resource_type(2)
        .with_resource_name(text("t"))
        .with_resource_pattern_type(3)
        .with_principal(text("User:alice"))
        .with_host(text("*"))
        .with_operation(3)
        .with_permission_type(3)
}

fn filter() -> DeleteAclsFilter {
    DeleteAclsFilter::default()
        .with_resource_type_filter(2)
        .with_pattern_type_filter(1)
        .with_operation(1)
        .with_permission_type(1)
}

#[tokio::test]
async fn a_handler_of_a_row_that_asks_once_is_not_reached_without_being_allowed() {
    let broker = Broker::start().await;
    let authorizer = Arc::new(AllowNothing::default());
    let allows_nothing: Arc<dyn Authorizer> = Arc::<AllowNothing>::clone(&authorizer);
    let dispatcher = Dispatcher::with_authorizer(Arc::clone(broker.0.broker()), Clock::system(), allows_nothing);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let mut session = dispatcher.open(Endpoints { listener: "PLAINTEXT".into(), peer: address, local: address });
    let mut frame = encode_request(1, &text("it"), 3, &describe_acls()).unwrap();
    frame.advance(4);
    let Handled::Ready(answer) = dispatcher.handle(&mut session, frame).await else { panic!("it has an answer") };
    let pieces = answer.frame.into_pieces();
    let bytes = pieces.flat_map(|piece| if let Piece::Bytes(bytes) = piece { bytes.to_vec() } else { vec![] });
    let mut bytes: Bytes = bytes.skip(4).collect();
    ResponseHeader::decode(&mut bytes, DescribeAclsResponse::header_version(3)).unwrap();
    let response = DescribeAclsResponse::decode(&mut bytes, 3).unwrap();
    assert_eq!(response.error_code, CLUSTER_AUTHORIZATION_FAILED, "the handler would say {SECURITY_DISABLED}");
    let asked = std::mem::take(&mut *authorizer.asked.lock().unwrap());
    let expected =
        ("User:ANONYMOUS".to_owned(), address.ip(), Operation::Describe, ResourceType::Cluster, "kafka-cluster".into());
    assert_eq!(asked, [expected]);
    broker.stop().await;
}

/// What everybody may ask is said here once more, so that a new row does not come to it by mistake.
#[test]
fn only_these_apis_demand_nothing() {
    let free = APIS.iter().filter(|api| api.authorization == Authorization::Nothing).map(|api| api.key);
    // ApiVersions, and tokens, which their owner and their renewers alone may renew and expire.
    assert_eq!(free.collect::<Vec<_>>(), [18, 39, 40]);
}

#[test]
fn every_demand_is_one_that_its_resource_knows() {
    for api in APIS {
        let (operation, resource_type) = match api.authorization {
            Authorization::Nothing => continue,
            Authorization::Once(operation) => (operation, ResourceType::Cluster),
            Authorization::Each(operation, resource_type) => (operation, resource_type),
        };
        assert!(resource_type.operations().contains(&operation), "key {}: {operation:?} {resource_type:?}", api.key);
    }
}

#[tokio::test]
async fn acls_are_disabled_at_every_version() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for version in 1..=3 {
        let response = client.ask(version, &describe_acls()).await;
        assert_eq!((response.error_code, response.resources.len()), (SECURITY_DISABLED, 0), "v{version}");
        assert_eq!(response.error_message, Some(text("No Authorizer is configured on the broker")));
        for count in [0, 1, 2] {
            let message = Some(text("No Authorizer is configured."));
            let request = CreateAclsRequest::default().with_creations(vec![creation(); count]);
            let results = client.ask(version, &request).await.results;
            let found: Vec<_> = results.into_iter().map(|result| (result.error_code, result.error_message)).collect();
            assert_eq!(found, vec![(SECURITY_DISABLED, message.clone()); count], "v{version}");
            let request = DeleteAclsRequest::default().with_filters(vec![filter(); count]);
            let results = client.ask(version, &request).await.filter_results;
            let found: Vec<_> = results.into_iter().map(|result| (result.error_code, result.error_message)).collect();
            assert_eq!(found, vec![(SECURITY_DISABLED, message); count], "v{version}");
        }
    }
    broker.stop().await;
}

/// Kafka cannot parse a request with the code 0, which stands for what a newer client may know.
#[tokio::test]
async fn acls_of_unknown_elements_close_the_connection() {
    let broker = Broker::start().await;
    for version in 1..=3 {
        for request in [
            describe_acls().with_resource_type_filter(0),
            describe_acls().with_pattern_type_filter(0),
            describe_acls().with_operation(0),
            describe_acls().with_permission_type(0),
        ] {
            broker.client().await.assert_closed_by(version, &request).await;
        }
        for bad in [
            creation().with_resource_type(0),
            creation().with_resource_pattern_type(0),
            creation().with_operation(0),
            creation().with_permission_type(0),
        ] {
            let request = CreateAclsRequest::default().with_creations(vec![creation(), bad]);
            broker.client().await.assert_closed_by(version, &request).await;
        }
        for bad in [
            filter().with_resource_type_filter(0),
            filter().with_pattern_type_filter(0),
            filter().with_operation(0),
            filter().with_permission_type(0),
        ] {
            let request = DeleteAclsRequest::default().with_filters(vec![filter(), bad]);
            broker.client().await.assert_closed_by(version, &request).await;
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn delegation_tokens_are_not_for_connections_without_authentication() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for version in 1..=3 {
        let mut request = CreateDelegationTokenRequest::default().with_max_lifetime_ms(-1);
        let response = client.ask(version, &request).await;
        assert_eq!(response.error_code, DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, "v{version}");
        assert_eq!((response.principal_type, response.principal_name), (text("User"), text("ANONYMOUS")));
        assert_eq!(
            (response.issue_timestamp_ms, response.expiry_timestamp_ms, response.max_timestamp_ms),
            (-1, -1, -1)
        );
        if version >= 3 {
            assert_eq!(response.token_requester_principal_name, text("ANONYMOUS"));
            request.owner_principal_type = Some(text("User"));
            request.owner_principal_name = Some(text("alice"));
            assert_eq!(client.ask(version, &request).await.principal_name, text("alice"));
        }
        let response = client.ask(version, &DescribeDelegationTokenRequest::default()).await;
        assert_eq!((response.error_code, response.tokens.len()), (DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, 0));
        let response = client.ask(version, &DescribeDelegationTokenRequest::default().with_owners(None)).await;
        assert_eq!(response.error_code, DELEGATION_TOKEN_REQUEST_NOT_ALLOWED);
    }
    for version in 1..=2 {
        let response = client.ask(version, &RenewDelegationTokenRequest::default()).await;
        assert_eq!((response.error_code, response.expiry_timestamp_ms), (DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, -1));
        let response = client.ask(version, &ExpireDelegationTokenRequest::default()).await;
        assert_eq!((response.error_code, response.expiry_timestamp_ms), (DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, -1));
    }
    broker.stop().await;
}
