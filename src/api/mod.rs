//! One file per Kafka API: authorise, validate, call below, shape the answer.
//!
//! THE TABLE below is the only list of what is served. Dispatch, version checks, frame limits, authorisation and
//! ApiVersions follow from it. Adding an API is one new file with a `handle` function, its `mod` line, and one row:
//!
//! ```text
//! Request min..=max [advertised from min], LIMIT, DEMAND, Place => module [encoded by function];
//! ```
//!
//! - `LIMIT` is the longest frame: [`SMALL`], [`SENTENCES`], [`LISTS`] or [`RECORDS`].
//! - `DEMAND` is what Kafka authorises, as an [`Authorization`]: `Nothing`; `Each(Operation, ResourceType)`, where the
//!   handler asks [`RequestContext::authorize`] for each resource that the request names; or `Once(Operation)`, which is
//!   asked on the cluster before the handler. The module of such a row has, beside `handle`, a
//!   `pub fn refuse(request: &Request, code: ErrorCode) -> Response`: the answer when it is not allowed.
//! - `Place` is `Broker`, or `Controller` for what brokers forward to the controller, or `Quorum` for what nodes ask of
//!   the controller for themselves: at its own listener, and nowhere else is there such an API.
//!
//! The response type must stand in [`throttle_time`] and in [`response_errors`], where what clients may be answered already
//! does.
//!
//! Handlers never see bytes, sockets or files.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod add_raft_voter;
pub mod allocate_producer_ids;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod alter_user_scram_credentials;
pub mod api_versions;
mod asked_configs;
pub mod authorization;
pub mod broker_heartbeat;
mod broker_loggers;
pub mod broker_registration;
mod config_changes;
mod config_resource;
mod config_rules;
pub mod context;
pub mod controller_listener;
pub mod create_acls;
pub mod create_delegation_token;
pub mod create_partitions;
pub mod create_topics;
mod deadline;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_delegation_token;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
mod dispatch;
pub mod elect_leaders;
pub mod end_txn;
pub mod envelope;
pub mod error;
pub mod expire_delegation_token;
pub mod fetch;
pub mod find_coordinator;
mod forwarding;
pub mod heartbeat;
pub mod http;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
mod leader_endpoints;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
mod mutations;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
mod offsets_to_commit;
mod owned;
mod partition_outcomes;
mod partition_view;
pub mod produce;
mod raft_voter;
pub mod remove_raft_voter;
pub mod renew_delegation_token;
mod repeated;
pub mod reply;
mod requester;
mod response_errors;
mod session;
pub mod sync_group;
pub mod throttle_time;
mod throttling;
mod told_address;
mod transactional;
pub mod txn_offset_commit;
pub mod unregister_broker;
pub mod update_features;
pub mod write_txn_markers;

pub use authorization::Authorization;
pub use context::RequestContext;
pub use dispatch::Dispatcher;
pub use error::ApiError;
pub use reply::Reply;
pub use session::Session;
pub use told_address::ToldAddress;

use kafka_protocol::protocol::Request;

use crate::metrics::RequestMetrics;
use crate::security::{Operation, ResourceType};

/// Where an API does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the broker that is asked.
    Broker,
    /// On the controller; brokers forward the request to it.
    Controller,
    /// On the controller, which is asked by other nodes at its own listener. To clients there is no such API.
    Quorum,
}

/// What the table says about one API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// The number that request headers carry.
    pub key: i16,
    /// The oldest version that is served.
    pub min_version: i16,
    /// The newest version that is served.
    pub max_version: i16,
    /// The oldest version that ApiVersions claims; below `min_version` only where clients need the lie.
    pub advertised_min_version: i16,
    /// The longest frame that is read, in bytes, besides `socket.request.max.bytes`.
    pub max_request_bytes: usize,
    /// What must be allowed.
    pub authorization: Authorization,
    /// Where it does its work.
    pub place: Place,
}

impl Api {
    /// The row of `key`, or `None` where that API is not served.
    pub fn of(key: i16) -> Option<&'static Self> {
        APIS.get(Self::place(key)?)
    }

    /// The place of `key`'s row in [`APIS`].
    fn place(key: i16) -> Option<usize> {
        let place = PLACES.get(usize::try_from(key).ok()?)?;
        (*place != NO_PLACE).then_some(usize::from(*place))
    }

    /// What is counted of the requests of each row, in the order of the rows; nothing yet.
    pub fn request_metrics() -> impl Iterator<Item = RequestMetrics> {
        APIS.iter().map(|api| RequestMetrics::new(api.min_version..=api.max_version))
    }

    /// Whether requests of `version` are served.
    pub fn serves(&self, version: i16) -> bool {
        (self.min_version..=self.max_version).contains(&version)
    }
}

/// The rows of the APIs that there are for clients.
pub fn client_apis() -> impl Iterator<Item = &'static Api> {
    APIS.iter().filter(|api| api.place != Place::Quorum)
}

/// Kafka's API keys are below this.
const KEYS_END: usize = 128;
const NO_PLACE: u8 = u8::MAX;

/// The places of the rows by their keys, so that no request looks for its row.
const PLACES: [u8; KEYS_END] = {
    let mut places = [NO_PLACE; KEYS_END];
    let mut place = 0;
    while place < APIS.len() {
        places[APIS[place].key as usize] = place as u8;
        place += 1;
    }
    places
};

// Unlike Kafka, which allows `socket.request.max.bytes` to every API, only requests with records may be that large: a
// byte on the wire can become a hundred in memory, and no honest request of the others comes near these limits.

/// For requests of a few fields.
pub const SMALL: usize = 64 * 1024;
/// For requests that list partitions, each of which is answered with a sentence.
pub const SENTENCES: usize = 1024 * 1024;
/// For requests that list topics, partitions, members or groups.
pub const LISTS: usize = 16 * 1024 * 1024;
/// For requests with records: bounded by `socket.request.max.bytes` alone.
pub const RECORDS: usize = usize::MAX;

/// Expands the rows (see the top of this file) into [`APIS`] and into the dispatch to `module::handle`.
macro_rules! api_table {
    ($($request:ident $min:literal ..= $max:literal $(advertised from $advertised:literal)?, $limit:ident,
        $demand:ident $(($($demanded:ident),+))?, $place:ident => $module:ident $(encoded by $encode:path)?;)*) => {
        /// Every API that is served, in the order of the keys.
        pub const APIS: &[Api] = &[$(Api {
            key: <kafka_protocol::messages::$request as Request>::KEY,
            min_version: $min,
            max_version: $max,
            advertised_min_version: api_table!(@first $($advertised,)? $min),
            max_request_bytes: $limit,
            authorization: api_table!(@demand $demand $($($demanded)+)?),
            place: Place::$place,
        },)*];

        /// Hands `call` to the handler of the API `key`, which must be in the table at the call's version.
        async fn route(key: i16, call: dispatch::Call<'_>) -> Result<crate::network::Handled, ApiError> {
            $(if key == <kafka_protocol::messages::$request as Request>::KEY {
                let request = call.decode::<kafka_protocol::messages::$request>()?;
                let reply = api_table!(@call $demand ($($($demanded)+)?) $module, call, request);
                return call.answer(reply, api_table!(@encode $($encode)?));
            })*
            Err(ApiError::close("the API is not in the table"))
        }
    };
    (@first $advertised:literal, $min:literal) => { $advertised };
    (@first $min:literal) => { $min };
    (@demand Nothing) => { Authorization::Nothing };
    (@demand Once $operation:ident) => { Authorization::Once(Operation::$operation) };
    (@demand Each $operation:ident $resource:ident) => {
        Authorization::Each(Operation::$operation, ResourceType::$resource)
    };
    (@call Nothing () $module:ident, $call:ident, $request:ident) => {
        $module::handle($call.broker, &$call.admit(), $request).await?
    };
    (@call Each ($operation:ident $resource:ident) $module:ident, $call:ident, $request:ident) => {
        $module::handle($call.broker, &$call.admit(), $request).await?
    };
    (@call Once ($operation:ident) $module:ident, $call:ident, $request:ident) => {
        match $call.ask(Operation::$operation) {
            Ok(context) => $module::handle($call.broker, &context, $request).await?,
            Err(code) => Reply::Ready($module::refuse(&$request, code)),
        }
    };
    (@encode $encode:path) => { $encode };
    (@encode) => { crate::protocol::response::encode_response };
}

// The versions are those of Kafka 4.1. Produce is advertised from 0 because librdkafka otherwise turns compression
// off (KAFKA-18659), as Kafka does.
api_table! {
    ProduceRequest 3..=13 advertised from 0, RECORDS, Each(Write, Topic), Broker => produce;
    FetchRequest 4..=18, LISTS, Each(Read, Topic), Broker
        => fetch encoded by crate::protocol::fetch_response::encode_fetch_response;
    ListOffsetsRequest 1..=10, LISTS, Each(Describe, Topic), Broker => list_offsets;
    MetadataRequest 0..=13, LISTS, Each(Describe, Topic), Broker => metadata;
    OffsetCommitRequest 2..=9, LISTS, Each(Read, Group), Broker => offset_commit;
    OffsetFetchRequest 1..=9, LISTS, Each(Describe, Group), Broker => offset_fetch;
    FindCoordinatorRequest 0..=6, LISTS, Each(Describe, Group), Broker => find_coordinator;
    JoinGroupRequest 0..=9, LISTS, Each(Read, Group), Broker => join_group;
    HeartbeatRequest 0..=4, SMALL, Each(Read, Group), Broker => heartbeat;
    LeaveGroupRequest 0..=5, LISTS, Each(Read, Group), Broker => leave_group;
    SyncGroupRequest 0..=5, LISTS, Each(Read, Group), Broker => sync_group;
    DescribeGroupsRequest 0..=6, LISTS, Each(Describe, Group), Broker => describe_groups;
    ListGroupsRequest 0..=5, SMALL, Each(Describe, Group), Broker => list_groups;
    ApiVersionsRequest 0..=4, SMALL, Nothing, Broker => api_versions;
    CreateTopicsRequest 2..=7, LISTS, Each(Create, Topic), Controller => create_topics;
    DeleteTopicsRequest 1..=6, LISTS, Each(Delete, Topic), Controller => delete_topics;
    DeleteRecordsRequest 0..=2, LISTS, Each(Delete, Topic), Broker => delete_records;
    InitProducerIdRequest 0..=5, SMALL, Each(Write, TransactionalId), Broker => init_producer_id;
    OffsetForLeaderEpochRequest 2..=4, LISTS, Each(Describe, Topic), Broker => offset_for_leader_epoch;
    AddPartitionsToTxnRequest 0..=5, LISTS, Each(Write, TransactionalId), Broker => add_partitions_to_txn;
    AddOffsetsToTxnRequest 0..=4, SMALL, Each(Write, TransactionalId), Broker => add_offsets_to_txn;
    EndTxnRequest 0..=5, SMALL, Each(Write, TransactionalId), Broker => end_txn;
    WriteTxnMarkersRequest 1..=1, LISTS, Each(Alter, Cluster), Broker => write_txn_markers;
    TxnOffsetCommitRequest 0..=5, LISTS, Each(Write, TransactionalId), Broker => txn_offset_commit;
    DescribeAclsRequest 1..=3, SMALL, Once(Describe), Broker => describe_acls;
    CreateAclsRequest 1..=3, LISTS, Once(Alter), Controller => create_acls;
    DeleteAclsRequest 1..=3, LISTS, Once(Alter), Controller => delete_acls;
    DescribeConfigsRequest 1..=4, LISTS, Each(DescribeConfigs, Topic), Broker => describe_configs;
    AlterConfigsRequest 0..=2, LISTS, Each(AlterConfigs, Topic), Controller => alter_configs;
    AlterReplicaLogDirsRequest 1..=2, LISTS, Once(Alter), Broker => alter_replica_log_dirs;
    DescribeLogDirsRequest 1..=4, LISTS, Once(Describe), Broker => describe_log_dirs;
    CreatePartitionsRequest 0..=3, LISTS, Each(Alter, Topic), Controller => create_partitions;
    CreateDelegationTokenRequest 1..=3, SMALL, Each(CreateTokens, User), Controller => create_delegation_token;
    RenewDelegationTokenRequest 1..=2, SMALL, Nothing, Controller => renew_delegation_token;
    ExpireDelegationTokenRequest 1..=2, SMALL, Nothing, Controller => expire_delegation_token;
    DescribeDelegationTokenRequest 1..=3, LISTS, Each(Describe, DelegationToken), Broker => describe_delegation_token;
    DeleteGroupsRequest 0..=2, LISTS, Each(Delete, Group), Broker => delete_groups;
    ElectLeadersRequest 0..=2, SENTENCES, Each(Alter, Cluster), Controller => elect_leaders;
    IncrementalAlterConfigsRequest 0..=1, LISTS, Each(AlterConfigs, Topic), Controller => incremental_alter_configs;
    AlterPartitionReassignmentsRequest 0..=1, SENTENCES, Once(Alter), Controller => alter_partition_reassignments;
    ListPartitionReassignmentsRequest 0..=0, SENTENCES, Once(Describe), Controller => list_partition_reassignments;
    OffsetDeleteRequest 0..=0, LISTS, Each(Delete, Group), Broker => offset_delete;
    DescribeClientQuotasRequest 0..=1, SENTENCES, Once(DescribeConfigs), Broker => describe_client_quotas;
    AlterClientQuotasRequest 0..=1, LISTS, Once(AlterConfigs), Controller => alter_client_quotas;
    DescribeUserScramCredentialsRequest 0..=0, SENTENCES, Once(Describe), Broker => describe_user_scram_credentials;
    AlterUserScramCredentialsRequest 0..=0, SENTENCES, Once(Alter), Controller => alter_user_scram_credentials;
    DescribeQuorumRequest 0..=2, SMALL, Once(Describe), Controller => describe_quorum;
    AlterPartitionRequest 2..=3, LISTS, Once(ClusterAction), Quorum => alter_partition;
    UpdateFeaturesRequest 0..=2, SMALL, Once(Alter), Controller => update_features;
    EnvelopeRequest 0..=0, LISTS, Once(ClusterAction), Quorum => envelope;
    DescribeClusterRequest 0..=2, SMALL, Each(Describe, Cluster), Broker => describe_cluster;
    DescribeProducersRequest 0..=0, SENTENCES, Each(Read, Topic), Broker => describe_producers;
    BrokerRegistrationRequest 0..=4, LISTS, Once(ClusterAction), Quorum => broker_registration;
    BrokerHeartbeatRequest 0..=1, SMALL, Once(ClusterAction), Quorum => broker_heartbeat;
    UnregisterBrokerRequest 0..=0, SMALL, Once(Alter), Controller => unregister_broker;
    DescribeTransactionsRequest 0..=0, LISTS, Each(Describe, TransactionalId), Broker => describe_transactions;
    ListTransactionsRequest 0..=2, LISTS, Each(Describe, TransactionalId), Broker => list_transactions;
    AllocateProducerIdsRequest 0..=0, SMALL, Once(ClusterAction), Quorum => allocate_producer_ids;
    ListConfigResourcesRequest 0..=1, SMALL, Each(DescribeConfigs, Cluster), Broker => list_config_resources;
    DescribeTopicPartitionsRequest 0..=0, LISTS, Each(Describe, Topic), Broker => describe_topic_partitions;
    AddRaftVoterRequest 0..=0, SMALL, Once(Alter), Controller => add_raft_voter;
    RemoveRaftVoterRequest 0..=0, SMALL, Once(Alter), Controller => remove_raft_voter;
}
