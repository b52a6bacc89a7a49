//! The throttle time that a response tells its client: set in one place, for every type of response.
//!
//! A client that is told a throttle time waits for so long, and the broker does not read its requests meanwhile
//! (KIP-219).

use std::time::Duration;

use crate::protocol::fetch_response::FetchAnswer;

/// A response in which a throttle time can be told.
pub trait ThrottleTime {
    /// The throttle time that the response tells; 0 where its type has no field for one.
    fn throttle_time(&self) -> Duration;

    /// Has the response tell a throttle time; without effect where its type has no field for one.
    fn set_throttle_time(&mut self, time: Duration);
}

fn from_ms(milliseconds: i32) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

fn to_ms(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

macro_rules! with_throttle_time_ms {
    ($($response:ident,)*) => {
        $(impl ThrottleTime for kafka_protocol::messages::$response {
            fn throttle_time(&self) -> Duration {
                from_ms(self.throttle_time_ms)
            }

            fn set_throttle_time(&mut self, time: Duration) {
                self.throttle_time_ms = to_ms(time);
            }
        })*
    };
}

macro_rules! without_throttle_time_ms {
    ($($response:ident,)*) => {
        $(impl ThrottleTime for kafka_protocol::messages::$response {
            fn throttle_time(&self) -> Duration {
                Duration::ZERO
            }

            fn set_throttle_time(&mut self, _: Duration) {}
        })*
    };
}

// What clients, tools and nodes may be answered, whether it is served yet or not, by the schemas of Kafka 4.1.
with_throttle_time_ms! {
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, AddRaftVoterResponse, AllocateProducerIdsResponse,
    AlterClientQuotasResponse, AlterPartitionResponse, BrokerHeartbeatResponse, BrokerRegistrationResponse,
    AlterConfigsResponse, AlterPartitionReassignmentsResponse, AlterReplicaLogDirsResponse,
    AlterShareGroupOffsetsResponse, AlterUserScramCredentialsResponse, ApiVersionsResponse,
    ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatResponse, CreateAclsResponse,
    CreateDelegationTokenResponse, CreatePartitionsResponse, CreateTopicsResponse, DeleteAclsResponse,
    DeleteGroupsResponse, DeleteRecordsResponse, DeleteShareGroupOffsetsResponse, DeleteTopicsResponse,
    DescribeAclsResponse, DescribeClientQuotasResponse, DescribeClusterResponse, DescribeConfigsResponse,
    DescribeDelegationTokenResponse, DescribeGroupsResponse, DescribeLogDirsResponse, DescribeProducersResponse,
    DescribeShareGroupOffsetsResponse, DescribeTopicPartitionsResponse, DescribeTransactionsResponse,
    DescribeUserScramCredentialsResponse, ElectLeadersResponse, EndTxnResponse, ExpireDelegationTokenResponse,
    FetchResponse, FindCoordinatorResponse, GetTelemetrySubscriptionsResponse, HeartbeatResponse,
    IncrementalAlterConfigsResponse, InitProducerIdResponse, JoinGroupResponse, LeaveGroupResponse,
    ListConfigResourcesResponse, ListGroupsResponse, ListOffsetsResponse, ListPartitionReassignmentsResponse,
    ListTransactionsResponse, MetadataResponse, OffsetCommitResponse, OffsetDeleteResponse, OffsetFetchResponse,
    OffsetForLeaderEpochResponse, ProduceResponse, PushTelemetryResponse, RemoveRaftVoterResponse,
    RenewDelegationTokenResponse, ShareAcknowledgeResponse, ShareFetchResponse, ShareGroupDescribeResponse,
    ShareGroupHeartbeatResponse, SyncGroupResponse, TxnOffsetCommitResponse, UnregisterBrokerResponse,
    UpdateFeaturesResponse,
}

without_throttle_time_ms! {
    DescribeQuorumResponse, EnvelopeResponse, SaslAuthenticateResponse, SaslHandshakeResponse, WriteTxnMarkersResponse,
}

impl ThrottleTime for FetchAnswer {
    fn throttle_time(&self) -> Duration {
        self.response.throttle_time()
    }

    fn set_throttle_time(&mut self, time: Duration) {
        self.response.set_throttle_time(time);
    }
}
