//! What a group coordinator answers. Handlers shape it to the version of the wire.

use std::sync::Arc;

use bytes::Bytes;

use crate::ids::TopicName;
use crate::protocol::ErrorCode;

use super::group_state::GroupState;
use super::request::{GroupId, MemberId, MemberIdentity};

/// One answer; its variant is that of the request.
#[derive(Debug, Clone)]
pub enum GroupResponse {
    /// To a join.
    Join(JoinResponse),
    /// To a sync.
    Sync(Result<SyncResponse, ErrorCode>),
    /// To a heartbeat.
    Heartbeat(Result<(), ErrorCode>),
    /// To a leave: each member of the request, in order, and why it could not be removed.
    Leave(Vec<(MemberIdentity, Option<ErrorCode>)>),
    /// To a commit; `GROUP_ID_NOT_FOUND` where a member commits to a group that does not exist.
    CommitOffsets(Result<PartitionErrors, ErrorCode>),
    /// To a commit in a transaction; `ILLEGAL_GENERATION` where a member commits to a group that does not exist.
    CommitTransactionalOffsets(Result<PartitionErrors, ErrorCode>),
    /// The transaction has ended in this partition.
    CompleteTransaction(()),
    /// To a fetch of offsets, by topic.
    FetchOffsets(Vec<(TopicName, Vec<FetchedOffset>)>),
    /// To a deletion of offsets.
    DeleteOffsets(Result<PartitionErrors, ErrorCode>),
    /// To a description; `None` where the group does not exist.
    Describe(Option<DescribedGroup>),
    /// To a listing.
    List(Vec<ListedGroup>),
    /// To the deletion of a group.
    Delete(Result<(), ErrorCode>),
    /// To the news that topics were deleted.
    TopicsDeleted,
}

/// By topic, each partition of the request and what is wrong with it.
pub type PartitionErrors = Vec<(TopicName, Vec<(i32, Option<ErrorCode>)>)>;

/// The answer to `JoinGroup`; where `error` is set, only `member_id` may be as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinResponse {
    /// What is wrong, if anything is.
    pub error: Option<ErrorCode>,
    /// The new generation; -1 in errors.
    pub generation_id: i32,
    /// `consumer`, `connect` ...
    pub protocol_type: Option<Arc<str>>,
    /// The protocol all members agreed on.
    pub protocol_name: Option<Arc<str>>,
    /// The member that computes the assignment; empty in errors.
    pub leader: MemberId,
    /// Whether the leader must not compute a new assignment (KIP-814).
    pub skip_assignment: bool,
    /// The asking member.
    pub member_id: MemberId,
    /// For the leader: all members.
    pub members: Vec<JoinedMember>,
}

impl JoinResponse {
    /// A refusal.
    pub fn error(error: ErrorCode, member_id: MemberId) -> Self {
        Self {
            error: Some(error),
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: "".into(),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }
}

/// What the leader learns of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member.
    pub member_id: MemberId,
    /// The `group.instance.id` of a static member.
    pub group_instance_id: Option<Arc<str>>,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
}

/// The answer to `SyncGroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncResponse {
    /// `consumer`, `connect` ...
    pub protocol_type: Option<Arc<str>>,
    /// The protocol all members agreed on.
    pub protocol_name: Option<Arc<str>>,
    /// The member's part; opaque.
    pub assignment: Bytes,
}

/// A stored offset; offset -1 and leader epoch -1 where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The partition's index.
    pub partition: i32,
    /// The committed offset.
    pub offset: i64,
    /// Its leader epoch.
    pub leader_epoch: i32,
    /// Free text of the client.
    pub metadata: Arc<str>,
    /// Whether a stable offset was asked for and a transaction may be about to replace this one, which is not told then.
    pub is_unstable: bool,
}

/// A group in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Its state.
    pub state: GroupState,
    /// `consumer`, `connect` ...; empty where no member ever joined.
    pub protocol_type: Arc<str>,
    /// The chosen protocol, in a stable group; otherwise empty.
    pub protocol_name: Arc<str>,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// The member.
    pub member_id: MemberId,
    /// The `group.instance.id` of a static member.
    pub group_instance_id: Option<Arc<str>>,
    /// Its client id when it joined.
    pub client_id: Arc<str>,
    /// Where it joined from.
    pub client_host: Arc<str>,
    /// Its metadata for the chosen protocol, in a stable group; otherwise empty.
    pub metadata: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}

/// A group in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: GroupId,
    /// `consumer`, `connect` ...; empty where no member ever joined.
    pub protocol_type: Arc<str>,
    /// Its state.
    pub state: GroupState,
    /// `classic`.
    pub group_type: &'static str,
}
