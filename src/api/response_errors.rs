//! Where responses carry error codes: what is counted of each answer, by the schemas of Kafka 4.1.
//!
//! Which places count is Kafka's choice (`errorCounts` of each response), with those that say "none" among them.

use kafka_protocol::messages::{AddPartitionsToTxnResponse, FindCoordinatorResponse, OffsetFetchResponse};

use crate::metrics::Errors;
use crate::protocol::fetch_response::FetchAnswer;

/// A response whose error codes can be counted.
pub(super) trait ErrorCodes {
    /// Calls `count` with the code of each place, 0 where there is no error.
    fn each_error_code(&self, count: &mut impl FnMut(i16));

    /// Counts all codes in `errors`.
    fn count_errors(&self, errors: &Errors) {
        let mut without = 0;
        self.each_error_code(&mut |code| if code == 0 { without += 1 } else { errors.count(code) });
        if without > 0 {
            errors.none(without);
        }
    }
}

/// `Response: [list.of.lists.error_code];` expands to a walk over the lists, for each path.
macro_rules! error_codes {
    ($($response:ident: $([$($path:ident).+])+;)*) => {
        $(impl ErrorCodes for kafka_protocol::messages::$response {
            fn each_error_code(&self, count: &mut impl FnMut(i16)) {
                $(error_codes!(@walk self, count, $($path).+);)+
            }
        })*
    };
    (@walk $from:expr, $count:ident, $code:ident) => { $count($from.$code) };
    (@walk $from:expr, $count:ident, $list:ident.$($rest:ident).+) => {
        for inner in &$from.$list {
            error_codes!(@walk inner, $count, $($rest).+);
        }
    };
}

// What clients, tools and nodes may be answered, whether it is served yet or not.
error_codes! {
    AddOffsetsToTxnResponse: [error_code];
    AddRaftVoterResponse: [error_code];
    AllocateProducerIdsResponse: [error_code];
    AlterClientQuotasResponse: [entries.error_code];
    AlterConfigsResponse: [responses.error_code];
    AlterPartitionResponse: [error_code] [topics.partitions.error_code];
    AlterPartitionReassignmentsResponse: [error_code] [responses.partitions.error_code];
    AlterReplicaLogDirsResponse: [results.partitions.error_code];
    AlterUserScramCredentialsResponse: [results.error_code];
    ApiVersionsResponse: [error_code];
    BrokerHeartbeatResponse: [error_code];
    BrokerRegistrationResponse: [error_code];
    ConsumerGroupDescribeResponse: [groups.error_code];
    ConsumerGroupHeartbeatResponse: [error_code];
    CreateAclsResponse: [results.error_code];
    CreateDelegationTokenResponse: [error_code];
    CreatePartitionsResponse: [results.error_code];
    CreateTopicsResponse: [topics.error_code];
    DeleteAclsResponse: [filter_results.error_code];
    DeleteGroupsResponse: [results.error_code];
    DeleteRecordsResponse: [topics.partitions.error_code];
    DeleteTopicsResponse: [responses.error_code];
    DescribeAclsResponse: [error_code];
    DescribeClientQuotasResponse: [error_code];
    DescribeClusterResponse: [error_code];
    DescribeConfigsResponse: [results.error_code];
    DescribeDelegationTokenResponse: [error_code];
    DescribeGroupsResponse: [groups.error_code];
    DescribeLogDirsResponse: [error_code] [results.error_code];
    DescribeProducersResponse: [topics.partitions.error_code];
    DescribeQuorumResponse: [error_code] [topics.partitions.error_code];
    DescribeTopicPartitionsResponse: [topics.error_code] [topics.partitions.error_code];
    DescribeTransactionsResponse: [transaction_states.error_code];
    DescribeUserScramCredentialsResponse: [results.error_code];
    ElectLeadersResponse: [error_code] [replica_election_results.partition_result.error_code];
    EndTxnResponse: [error_code];
    EnvelopeResponse: [error_code];
    ExpireDelegationTokenResponse: [error_code];
    FetchResponse: [error_code] [responses.partitions.error_code];
    GetTelemetrySubscriptionsResponse: [error_code];
    HeartbeatResponse: [error_code];
    IncrementalAlterConfigsResponse: [responses.error_code];
    InitProducerIdResponse: [error_code];
    JoinGroupResponse: [error_code];
    LeaveGroupResponse: [error_code] [members.error_code];
    ListConfigResourcesResponse: [error_code];
    ListGroupsResponse: [error_code];
    ListOffsetsResponse: [topics.partitions.error_code];
    ListPartitionReassignmentsResponse: [error_code];
    ListTransactionsResponse: [error_code];
    MetadataResponse: [topics.error_code] [topics.partitions.error_code];
    OffsetCommitResponse: [topics.partitions.error_code];
    OffsetDeleteResponse: [error_code] [topics.partitions.error_code];
    OffsetForLeaderEpochResponse: [topics.partitions.error_code];
    ProduceResponse: [responses.partition_responses.error_code];
    PushTelemetryResponse: [error_code];
    RemoveRaftVoterResponse: [error_code];
    RenewDelegationTokenResponse: [error_code];
    SaslAuthenticateResponse: [error_code];
    SaslHandshakeResponse: [error_code];
    SyncGroupResponse: [error_code];
    TxnOffsetCommitResponse: [topics.partitions.error_code];
    UnregisterBrokerResponse: [error_code];
    UpdateFeaturesResponse: [error_code] [results.error_code];
    WriteTxnMarkersResponse: [markers.topics.partitions.error_code];
}

impl ErrorCodes for FetchAnswer {
    fn each_error_code(&self, count: &mut impl FnMut(i16)) {
        self.response.each_error_code(count);
    }
}

/// Newer versions name several coordinators, or none of them; the place of older ones is then not sent.
impl ErrorCodes for FindCoordinatorResponse {
    fn each_error_code(&self, count: &mut impl FnMut(i16)) {
        if self.coordinators.is_empty() {
            count(self.error_code);
        }
        self.coordinators.iter().for_each(|coordinator| count(coordinator.error_code));
    }
}

/// Newer versions have a place of their own for an error of the request.
impl ErrorCodes for AddPartitionsToTxnResponse {
    fn each_error_code(&self, count: &mut impl FnMut(i16)) {
        if self.results_by_topic_v3_and_below.is_empty() {
            count(self.error_code);
        }
        error_codes!(@walk self, count, results_by_topic_v3_and_below.results_by_partition.partition_error_code);
        error_codes!(
            @walk self, count, results_by_transaction.topic_results.results_by_partition.partition_error_code
        );
    }
}

/// Newer versions name several groups; the places of older ones are then not sent.
impl ErrorCodes for OffsetFetchResponse {
    fn each_error_code(&self, count: &mut impl FnMut(i16)) {
        if self.groups.is_empty() {
            count(self.error_code);
        }
        error_codes!(@walk self, count, topics.partitions.error_code);
        error_codes!(@walk self, count, groups.error_code);
        error_codes!(@walk self, count, groups.topics.partitions.error_code);
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::find_coordinator_response::Coordinator;
    use kafka_protocol::messages::leave_group_response::MemberResponse;
    use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
    use kafka_protocol::messages::{LeaveGroupResponse, ProduceResponse};

    use super::*;

    fn counted(response: &impl ErrorCodes) -> Vec<(i16, u64)> {
        let errors = Errors::default();
        response.count_errors(&errors);
        errors.counts().collect()
    }

    #[test]
    fn each_place_for_a_code_counts() {
        let partitions = |codes: &[i16]| {
            let partitions = codes.iter().map(|&code| PartitionProduceResponse::default().with_error_code(code));
            TopicProduceResponse::default().with_partition_responses(partitions.collect())
        };
        let produce = ProduceResponse::default().with_responses(vec![partitions(&[0, 3]), partitions(&[0, 3, 6])]);
        assert_eq!(counted(&produce), [(0, 2), (3, 2), (6, 1)]);
        let leave = LeaveGroupResponse::default().with_members(vec![MemberResponse::default().with_error_code(25)]);
        assert_eq!(counted(&leave), [(0, 1), (25, 1)]);
    }

    #[test]
    fn a_place_that_is_not_sent_does_not_count() {
        let old = FindCoordinatorResponse::default().with_error_code(15);
        assert_eq!(counted(&old), [(15, 1)]);
        let coordinators = vec![Coordinator::default().with_error_code(15), Coordinator::default()];
        assert_eq!(counted(&FindCoordinatorResponse::default().with_coordinators(coordinators)), [(0, 1), (15, 1)]);
    }
}
