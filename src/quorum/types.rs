//! How openraft's types are filled in.

use std::fmt;
use std::sync::Arc;

use openraft::type_config::alias;

use crate::ids::NodeId;
use crate::metadata::MetadataRecord;

/// One atomic batch of records: what one entry of the metadata log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MetadataRecords(pub(super) Arc<[MetadataRecord]>);

impl fmt::Display for MetadataRecords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} metadata records", self.0.len())
    }
}

// The standard leader id and not openraft's default: with it a term has one leader at most, so that the term can be the
// controller epoch.
openraft::declare_raft_types!(
    pub(super) Types:
        D = MetadataRecords,
        R = (),
        NodeId = NodeId,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
);

pub(super) type LogEntry = alias::EntryOf<Types>;
pub(super) type LeaderId = alias::LeaderIdOf<Types>;
pub(super) type LogId = alias::LogIdOf<Types>;
pub(super) type Membership = openraft::Membership<NodeId, openraft::BasicNode>;
pub(super) type Payload = alias::PayloadOf<Types>;
pub(super) type Snapshot = alias::SnapshotOf<Types, bytes::Bytes>;
pub(super) type SnapshotMeta = alias::SnapshotMetaOf<Types>;
pub(super) type StoredMembership = alias::StoredMembershipOf<Types>;
pub(super) type Vote = alias::VoteOf<Types>;

/// The log id's term.
pub(super) fn term(log_id: &LogId) -> u64 {
    *log_id.leader_id
}
