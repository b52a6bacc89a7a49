//! What a row of the table lets be done, and the proof that it was asked.

use std::net::IpAddr;
use std::sync::Arc;

use crate::protocol::ErrorCode;
use crate::security::{Authorizer, Operation, Principal, Resource, ResourceType};

/// What answers say of the allowed operations where the client did not ask for them.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

/// What must be allowed before an API does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    /// Nothing: whoever is connected may ask.
    Nothing,
    /// One operation on the whole cluster, asked before the handler; the handler's module says how it refuses.
    Once(Operation),
    /// An operation on each resource that a request names: the handler asks [`super::RequestContext::authorize`].
    Each(Operation, ResourceType),
}

/// The proof that what a row demands was asked, and the way to ask for more. Without one no [`super::RequestContext`] is
/// made, and no handler is called.
#[derive(Debug, Clone)]
pub struct Authorized {
    principal: Arc<Principal>,
    host: IpAddr,
    authorizer: Arc<dyn Authorizer>,
}

impl Authorized {
    /// For a row that demands [`Authorization::Nothing`], or [`Authorization::Each`], of which the handler asks.
    pub(super) fn unasked(principal: &Arc<Principal>, host: IpAddr, authorizer: &Arc<dyn Authorizer>) -> Self {
        Self { principal: Arc::clone(principal), host, authorizer: Arc::clone(authorizer) }
    }

    /// For a row that demands [`Authorization::Once`]: `self`, if that is allowed.
    ///
    /// Errors: [`ErrorCode::ClusterAuthorizationFailed`].
    pub(super) fn once(self, operation: Operation) -> Result<Self, ErrorCode> {
        self.authorize(operation, Resource::CLUSTER).map(|()| self)
    }

    /// Whom the connection speaks for.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Who decides.
    pub(super) fn authorizer(&self) -> &Arc<dyn Authorizer> {
        &self.authorizer
    }

    /// Whether the principal may do `operation` with `resource`.
    ///
    /// Errors: the resource's authorisation error.
    pub fn authorize(&self, operation: Operation, resource: Resource<'_>) -> Result<(), ErrorCode> {
        if self.authorizer.allows(&self.principal, self.host, operation, resource) {
            Ok(())
        } else {
            Err(authorization_failed(resource.resource_type))
        }
    }

    /// All that the principal may do with `resource`, as the bit field that answers carry (KIP-430): bit `n` is the
    /// operation with Kafka's code `n`.
    pub fn operations(&self, resource: Resource<'_>) -> i32 {
        let allowed =
            |operation: &&Operation| self.authorizer.allows(&self.principal, self.host, **operation, resource);
        let operations = resource.resource_type.operations().iter().filter(allowed);
        operations.fold(0, |bits, operation| bits | 1 << *operation as i32)
    }
}

fn authorization_failed(resource_type: ResourceType) -> ErrorCode {
    match resource_type {
        ResourceType::Topic => ErrorCode::TopicAuthorizationFailed,
        ResourceType::Group => ErrorCode::GroupAuthorizationFailed,
        ResourceType::Cluster => ErrorCode::ClusterAuthorizationFailed,
        ResourceType::TransactionalId => ErrorCode::TransactionalIdAuthorizationFailed,
        ResourceType::DelegationToken | ResourceType::User => ErrorCode::DelegationTokenAuthorizationFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::AllowEverything;

    /// Allows what reads, to whoever is on this machine.
    #[derive(Debug)]
    struct OnlyReading;

    impl Authorizer for OnlyReading {
        fn allows(&self, _: &Principal, host: IpAddr, operation: Operation, _: Resource<'_>) -> bool {
            host.is_loopback() && matches!(operation, Operation::Read | Operation::Describe)
        }
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn unasked(authorizer: impl Authorizer + 'static) -> Authorized {
        let authorizer: Arc<dyn Authorizer> = Arc::new(authorizer);
        Authorized::unasked(&Arc::new(Principal::anonymous()), HERE, &authorizer)
    }

    #[test]
    fn what_is_asked_once_is_asked_of_the_cluster() {
        assert!(unasked(OnlyReading).once(Operation::Describe).is_ok());
        let denied = unasked(OnlyReading).once(Operation::Alter).map(drop);
        assert_eq!(denied, Err(ErrorCode::ClusterAuthorizationFailed));
        assert!(unasked(AllowEverything).once(Operation::Alter).is_ok());
    }

    #[test]
    fn each_resource_has_its_own_error() {
        let authorized = unasked(OnlyReading);
        for (resource_type, error) in [
            (ResourceType::Topic, ErrorCode::TopicAuthorizationFailed),
            (ResourceType::Group, ErrorCode::GroupAuthorizationFailed),
            (ResourceType::Cluster, ErrorCode::ClusterAuthorizationFailed),
            (ResourceType::TransactionalId, ErrorCode::TransactionalIdAuthorizationFailed),
            (ResourceType::DelegationToken, ErrorCode::DelegationTokenAuthorizationFailed),
            (ResourceType::User, ErrorCode::DelegationTokenAuthorizationFailed),
        ] {
            let resource = Resource { resource_type, name: "a" };
            assert_eq!(authorized.authorize(Operation::Write, resource), Err(error));
            assert_eq!(authorized.authorize(Operation::Read, resource), Ok(()));
        }
    }

    #[test]
    fn the_operations_of_a_resource_are_kafkas_bits() {
        let all = unasked(AllowEverything);
        let topic = Resource { resource_type: ResourceType::Topic, name: "t" };
        let group = Resource { resource_type: ResourceType::Group, name: "g" };
        let bits = [topic, group, Resource::CLUSTER].map(|resource| all.operations(resource));
        assert_eq!(bits, [0b1101_1111_1000, 0b1101_0100_1000, 0b1_1111_1010_0000]);
        let some = unasked(OnlyReading);
        assert_eq!(some.operations(topic), 1 << 3 | 1 << 8);
    }
}
