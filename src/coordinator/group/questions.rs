//! What a group coordinator is asked, each with its own answer.

use super::GroupCoordinator;
use super::request::{
    CommitOffsetsRequest, CommitTransactionalOffsetsRequest, CompleteTransaction, DeleteOffsetsRequest, DeleteRequest,
    DescribeRequest, FetchOffsetsRequest, GroupRequest, JoinRequest, LeaveRequest, ListRequest, MemberIdentity,
    MemberRequest, SyncRequest,
};
use super::response::{
    DescribedGroup, FetchedOffset, GroupResponse, JoinResponse, ListedGroup, PartitionErrors, SyncResponse,
};
use crate::ids::TopicName;
use crate::protocol::ErrorCode;
use crate::state_machine::questions;

questions! { GroupCoordinator:
    JoinRequest => GroupRequest::Join, GroupResponse::Join: JoinResponse;
    SyncRequest => GroupRequest::Sync, GroupResponse::Sync: Result<SyncResponse, ErrorCode>;
    MemberRequest => GroupRequest::Heartbeat, GroupResponse::Heartbeat: Result<(), ErrorCode>;
    LeaveRequest => GroupRequest::Leave, GroupResponse::Leave: Vec<(MemberIdentity, Option<ErrorCode>)>;
    CommitOffsetsRequest => GroupRequest::CommitOffsets,
        GroupResponse::CommitOffsets: Result<PartitionErrors, ErrorCode>;
    CommitTransactionalOffsetsRequest => GroupRequest::CommitTransactionalOffsets,
        GroupResponse::CommitTransactionalOffsets: Result<PartitionErrors, ErrorCode>;
    CompleteTransaction => GroupRequest::CompleteTransaction, GroupResponse::CompleteTransaction: ();
    FetchOffsetsRequest => GroupRequest::FetchOffsets,
        GroupResponse::FetchOffsets: Vec<(TopicName, Vec<FetchedOffset>)>;
    DeleteOffsetsRequest => GroupRequest::DeleteOffsets,
        GroupResponse::DeleteOffsets: Result<PartitionErrors, ErrorCode>;
    DescribeRequest => GroupRequest::Describe, GroupResponse::Describe: Option<DescribedGroup>;
    ListRequest => GroupRequest::List, GroupResponse::List: Vec<ListedGroup>;
    DeleteRequest => GroupRequest::Delete, GroupResponse::Delete: Result<(), ErrorCode>;
}
