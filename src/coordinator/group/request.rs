//! What a group coordinator is asked.
//!
//! Everything is owned: a handler copies out of the request's frame what the machine may keep. Versions of the wire
//! do not reach here; where one matters, the handler says what follows from it.

use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{ProducerIdAndEpoch, TopicName, Uuid};
use crate::protocol::control_records::EndTransactionMarker;

/// A group's id.
pub type GroupId = Arc<str>;

/// A member's id; empty where a client has none yet.
pub type MemberId = Arc<str>;

/// One question to the machine that holds the group.
#[derive(Debug, Clone)]
pub enum GroupRequest {
    /// To become, or to stay, a member; answered when the rebalance has gathered its members.
    Join(JoinRequest),
    /// To hear one's assignment, or as the leader to give everyone's; answered when the leader has.
    Sync(SyncRequest),
    /// To stay alive.
    Heartbeat(MemberRequest),
    /// To remove members.
    Leave(LeaveRequest),
    /// To store offsets.
    CommitOffsets(CommitOffsetsRequest),
    /// To store offsets when, and if, a transaction is committed.
    CommitTransactionalOffsets(CommitTransactionalOffsetsRequest),
    /// To end a transaction in this machine's partition.
    CompleteTransaction(CompleteTransaction),
    /// To read stored offsets.
    FetchOffsets(FetchOffsetsRequest),
    /// To remove stored offsets.
    DeleteOffsets(DeleteOffsetsRequest),
    /// To describe a group.
    Describe(DescribeRequest),
    /// To list the groups of this machine.
    List(ListRequest),
    /// To delete an empty group with its offsets.
    Delete(DeleteRequest),
    /// To forget the offsets of topics that were deleted.
    TopicsDeleted {
        /// Their names.
        topics: Vec<TopicName>,
    },
}

/// Who asks: a member in its generation.
#[derive(Debug, Clone)]
pub struct MemberRequest {
    /// The group.
    pub group_id: GroupId,
    /// The member; empty where the client is none.
    pub member_id: MemberId,
    /// The `group.instance.id` of a static member (KIP-345).
    pub group_instance_id: Option<Arc<str>>,
    /// The generation it believes to be in; -1 where the client is no member.
    pub generation_id: i32,
}

/// A protocol that a joining member can follow, in the order of its preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// The assignor's name, for consumers.
    pub name: Arc<str>,
    /// What the leader needs to know of the member; opaque (for consumers, the subscription).
    pub metadata: Bytes,
}

/// `JoinGroup`.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// The group.
    pub group_id: GroupId,
    /// The member; empty for a new one.
    pub member_id: MemberId,
    /// The `group.instance.id` of a static member (KIP-345).
    pub group_instance_id: Option<Arc<str>>,
    /// The request header's client id.
    pub client_id: Arc<str>,
    /// The client's address, in the form of Java's `InetAddress`: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// How long the member may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for the member, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect` ...
    pub protocol_type: Arc<str>,
    /// What the member can follow, its favourite first.
    pub protocols: Vec<Protocol>,
    /// A fresh random id: the machine has no randomness of its own, and a new member's id is made from it.
    pub new_member_uuid: Uuid,
    /// Whether a new dynamic member must first learn its id and join again with it (v4+, KIP-394).
    pub requires_known_member_id: bool,
    /// Whether the leader can be told to skip its assignment (v9+, KIP-814).
    pub supports_skipping_assignment: bool,
}

/// `SyncGroup`.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// Who asks.
    pub member: MemberRequest,
    /// The protocol type it believes in, if it says (v5+).
    pub protocol_type: Option<Arc<str>>,
    /// The protocol it believes in, if it says (v5+).
    pub protocol_name: Option<Arc<str>>,
    /// From the leader: every member's assignment; opaque.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// `LeaveGroup`.
#[derive(Debug, Clone)]
pub struct LeaveRequest {
    /// The group.
    pub group_id: GroupId,
    /// The members to remove.
    pub members: Vec<MemberIdentity>,
}

/// A member as named by `LeaveGroup`: an administrator names a static member by its instance id alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberIdentity {
    /// The member; empty where only the instance id is given.
    pub member_id: MemberId,
    /// The `group.instance.id` of a static member.
    pub group_instance_id: Option<Arc<str>>,
}

/// `OffsetCommit`.
#[derive(Debug, Clone)]
pub struct CommitOffsetsRequest {
    /// Who asks.
    pub member: MemberRequest,
    /// How long to keep the offsets, in milliseconds, where the client chose (v2-4).
    pub retention_ms: Option<i64>,
    /// The offsets, by topic.
    pub topics: Vec<(TopicName, Vec<OffsetToCommit>)>,
}

/// `TxnOffsetCommit`. Whether there is such a transaction is asked elsewhere.
#[derive(Debug, Clone)]
pub struct CommitTransactionalOffsetsRequest {
    /// Whose transaction it is.
    pub producer: ProducerIdAndEpoch,
    /// Who asks; nobody, where the client is older than version 3.
    pub member: MemberRequest,
    /// The offsets, by topic.
    pub topics: Vec<(TopicName, Vec<OffsetToCommit>)>,
}

/// `WriteTxnMarkers`, for the partition of one machine: what the producer's transaction wrote there counts, or it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompleteTransaction {
    /// Whose transaction it was.
    pub producer: ProducerIdAndEpoch,
    /// How it ended.
    pub marker: EndTransactionMarker,
}

/// One partition's offset to commit.
#[derive(Debug, Clone)]
pub struct OffsetToCommit {
    /// The partition's index.
    pub partition: i32,
    /// The offset of the next record to read.
    pub offset: i64,
    /// The leader epoch of the last record read, or -1.
    pub leader_epoch: i32,
    /// Free text of the client; empty where it gave none.
    pub metadata: Arc<str>,
}

/// `OffsetFetch`, for one group.
#[derive(Debug, Clone)]
pub struct FetchOffsetsRequest {
    /// The group.
    pub group_id: GroupId,
    /// The partitions, by topic; `None` for all that have an offset.
    pub topics: Option<Vec<(TopicName, Vec<i32>)>>,
    /// Whether an offset that a transaction is about to replace is of no use (KIP-447).
    pub require_stable: bool,
}

/// `OffsetDelete`.
#[derive(Debug, Clone)]
pub struct DeleteOffsetsRequest {
    /// The group.
    pub group_id: GroupId,
    /// The partitions, by topic.
    pub topics: Vec<(TopicName, Vec<i32>)>,
}

/// `DescribeGroups`, for one group.
#[derive(Debug, Clone)]
pub struct DescribeRequest {
    /// The group.
    pub group_id: GroupId,
}

/// `DeleteGroups`, for one group.
#[derive(Debug, Clone)]
pub struct DeleteRequest {
    /// The group.
    pub group_id: GroupId,
}

/// `ListGroups`; an empty filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Names of states, in any case (v4+).
    pub states: Vec<String>,
    /// Names of group types, in any case (v5+).
    pub types: Vec<String>,
}
