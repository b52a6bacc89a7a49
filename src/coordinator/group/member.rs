//! One member of a classic group.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::coordinator_records::MemberMetadata;
use crate::state_machine::ReplyTo;

use super::request::{JoinRequest, MemberId, Protocol};
use super::response::{DescribedMember, JoinedMember};

/// A member; its id is its key in the group.
///
/// Of these fields a record remembers the identity, the timeouts, the metadata of the chosen protocol and the
/// assignment. The rest belongs to a rebalance under way and is lost with the machine.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) group_instance_id: Option<Arc<str>>,
    client_id: Arc<str>,
    client_host: Arc<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// The `JoinGroup` request that waits for the rebalance to gather everyone.
    pub(super) awaiting_join: Option<ReplyTo>,
    /// The `SyncGroup` request that waits for the leader's assignment.
    pub(super) awaiting_sync: Option<ReplyTo>,
    /// Whether it has not yet been told its id: such a client cannot send heartbeats.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn new(request: &JoinRequest) -> Self {
        Self {
            group_instance_id: request.group_instance_id.clone(),
            client_id: Arc::clone(&request.client_id),
            client_host: Arc::clone(&request.client_host),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
        }
    }

    /// The member as a record tells it; of its protocols only the one that was chosen is known.
    pub(super) fn from_record(record: &MemberMetadata, protocol: &Arc<str>) -> Self {
        let rebalance_timeout_ms = match record.rebalance_timeout_ms {
            -1 => record.session_timeout_ms,
            timeout_ms => timeout_ms,
        };
        Self {
            group_instance_id: record.group_instance_id.clone(),
            client_id: Arc::clone(&record.client_id),
            client_host: Arc::clone(&record.client_host),
            rebalance_timeout_ms,
            session_timeout_ms: record.session_timeout_ms,
            protocols: vec![Protocol { name: Arc::clone(protocol), metadata: record.subscription.clone() }],
            assignment: record.assignment.clone(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        }
    }

    pub(super) fn to_record(&self, member_id: &MemberId, protocol: &str, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: Arc::clone(member_id),
            group_instance_id: self.group_instance_id.clone(),
            client_id: Arc::clone(&self.client_id),
            client_host: Arc::clone(&self.client_host),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    pub(super) fn is_static(&self) -> bool {
        self.group_instance_id.is_some()
    }

    /// The metadata for `protocol`; empty where the member does not support it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|supported| &*supported.name == protocol);
        found.map(|supported| supported.metadata.clone()).unwrap_or_default()
    }

    /// The first of its protocols that everyone supports.
    pub(super) fn vote(&self, candidates: &BTreeSet<&Arc<str>>) -> Option<&Arc<str>> {
        self.protocols.iter().map(|supported| &supported.name).find(|name| candidates.contains(name))
    }

    /// Whether its silence is explained: it waits for us. A new member's is not, since its client may be gone.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// Takes over what a newer `JoinGroup` of the same member says.
    pub(super) fn update(&mut self, request: &JoinRequest) {
        self.protocols.clone_from(&request.protocols);
        self.rebalance_timeout_ms = request.rebalance_timeout_ms;
        self.session_timeout_ms = request.session_timeout_ms;
    }

    pub(super) fn joined(&self, member_id: &MemberId, protocol: &str) -> JoinedMember {
        JoinedMember {
            member_id: Arc::clone(member_id),
            group_instance_id: self.group_instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }

    pub(super) fn described(&self, member_id: &MemberId, protocol: &str) -> DescribedMember {
        DescribedMember {
            member_id: Arc::clone(member_id),
            group_instance_id: self.group_instance_id.clone(),
            client_id: Arc::clone(&self.client_id),
            client_host: Arc::clone(&self.client_host),
            metadata: self.metadata(protocol),
            assignment: self.assignment.clone(),
        }
    }
}
