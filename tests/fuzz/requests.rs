//! Every request type of the protocol, and what to do with arbitrary bytes for it; shared by the tests and the fuzz
//! targets.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, VersionRange};
use klamm::protocol::request::decode_request;
use klamm::protocol::response::encode_response;

/// One request type, its message types taken away.
pub(crate) struct RequestType {
    pub(crate) name: &'static str,
    pub(crate) key: i16,
    pub(crate) versions: VersionRange,
    /// Whether a body decodes at a version; it must come back, quickly, whatever the bytes are.
    pub(crate) decodes: fn(Bytes, i16) -> bool,
    /// The default request's body, where the version can express it.
    pub(crate) default_body: fn(i16) -> Option<Bytes>,
    /// Whether the default response has a form at a version.
    pub(crate) default_response_encodes: fn(i16) -> bool,
    /// Reads a response behind its correlation id: how many bytes are left behind it, or why it is none.
    pub(crate) read_response: fn(Bytes, i16) -> Result<usize, String>,
}

macro_rules! request_types {
    ($($request:ident)*) => {
        /// All of them, in the order of their keys.
        pub(crate) const REQUEST_TYPES: &[RequestType] = &[$(RequestType {
            name: stringify!($request),
            key: <messages::$request as Request>::KEY,
            versions: <messages::$request as Message>::VERSIONS,
            decodes: |body, version| decode_request::<messages::$request>(body, version).is_ok(),
            default_body: |version| {
                let mut body = BytesMut::new();
                messages::$request::default().encode(&mut body, version).ok()?;
                Some(body.freeze())
            },
            default_response_encodes: |version| {
                let response = <messages::$request as Request>::Response::default();
                encode_response(0, version, &response).is_ok()
            },
            read_response: |mut bytes, version| {
                type Response = <messages::$request as Request>::Response;
                if Response::header_version(version) >= 1 && bytes.try_get_u8() != Ok(0) {
                    return Err("the header has tagged fields".to_owned());
                }
                Response::decode(&mut bytes, version).map_err(|error| error.to_string())?;
                Ok(bytes.len())
            },
        },)*];
    };
}

request_types! {
    ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest OffsetCommitRequest OffsetFetchRequest
    FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
    DescribeGroupsRequest ListGroupsRequest SaslHandshakeRequest ApiVersionsRequest CreateTopicsRequest
    DeleteTopicsRequest DeleteRecordsRequest InitProducerIdRequest OffsetForLeaderEpochRequest
    AddPartitionsToTxnRequest AddOffsetsToTxnRequest EndTxnRequest WriteTxnMarkersRequest TxnOffsetCommitRequest
    DescribeAclsRequest CreateAclsRequest DeleteAclsRequest DescribeConfigsRequest AlterConfigsRequest
    AlterReplicaLogDirsRequest DescribeLogDirsRequest SaslAuthenticateRequest CreatePartitionsRequest
    CreateDelegationTokenRequest RenewDelegationTokenRequest ExpireDelegationTokenRequest
    DescribeDelegationTokenRequest DeleteGroupsRequest ElectLeadersRequest IncrementalAlterConfigsRequest
    AlterPartitionReassignmentsRequest ListPartitionReassignmentsRequest OffsetDeleteRequest
    DescribeClientQuotasRequest AlterClientQuotasRequest DescribeUserScramCredentialsRequest
    AlterUserScramCredentialsRequest VoteRequest BeginQuorumEpochRequest EndQuorumEpochRequest DescribeQuorumRequest
    AlterPartitionRequest UpdateFeaturesRequest EnvelopeRequest FetchSnapshotRequest DescribeClusterRequest
    DescribeProducersRequest BrokerRegistrationRequest BrokerHeartbeatRequest UnregisterBrokerRequest
    DescribeTransactionsRequest ListTransactionsRequest AllocateProducerIdsRequest ConsumerGroupHeartbeatRequest
    ConsumerGroupDescribeRequest ControllerRegistrationRequest GetTelemetrySubscriptionsRequest PushTelemetryRequest
    AssignReplicasToDirsRequest ListConfigResourcesRequest DescribeTopicPartitionsRequest ShareGroupHeartbeatRequest
    ShareGroupDescribeRequest ShareFetchRequest ShareAcknowledgeRequest AddRaftVoterRequest RemoveRaftVoterRequest
    UpdateRaftVoterRequest InitializeShareGroupStateRequest ReadShareGroupStateRequest WriteShareGroupStateRequest
    DeleteShareGroupStateRequest ReadShareGroupStateSummaryRequest DescribeShareGroupOffsetsRequest
    AlterShareGroupOffsetsRequest DeleteShareGroupOffsetsRequest
}
