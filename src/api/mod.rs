//! One file per Kafka API: authorise, validate, call below, shape the answer.
//!
//! THE TABLE below is the only list of what is served. Dispatch, version checks, frame limits and ApiVersions follow
//! from it. Adding an API is one new file with a `handle` function, its `mod` line, and one row.
//!
//! Handlers never see bytes, sockets or files.

pub mod api_versions;
pub mod authorized_operations;
pub mod context;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_groups;
pub mod describe_topic_partitions;
mod dispatch;
pub mod error;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
mod owned;
mod partition_outcomes;
mod partition_view;
pub mod produce;
pub mod reply;
pub mod sync_group;

pub use context::RequestContext;
pub use dispatch::{Dispatcher, Session};
pub use error::ApiError;
pub use reply::Reply;

use kafka_protocol::protocol::Request;

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
}

impl Api {
    /// The row of `key`, or `None` where that API is not served.
    pub fn of(key: i16) -> Option<&'static Self> {
        APIS.iter().find(|api| api.key == key)
    }

    /// Whether requests of `version` are served.
    pub fn serves(&self, version: i16) -> bool {
        (self.min_version..=self.max_version).contains(&version)
    }
}

// Unlike Kafka, which allows `socket.request.max.bytes` to every API, only requests with records may be that large: a
// byte on the wire can become a hundred in memory, and no honest request of the others comes near these limits.

/// For requests of a few fields.
pub const SMALL: usize = 64 * 1024;
/// For requests that list topics, partitions, members or groups.
pub const LISTS: usize = 16 * 1024 * 1024;
/// For requests with records: bounded by `socket.request.max.bytes` alone.
pub const RECORDS: usize = usize::MAX;

/// Expands the rows `Request min..=max [advertised from min], LIMIT => module [encoded by function];` into [`APIS`]
/// and into the dispatch to `module::handle`.
macro_rules! api_table {
    ($($request:ident $min:literal ..= $max:literal $(advertised from $advertised:literal)?, $limit:ident
        => $module:ident $(encoded by $encode:path)?;)*) => {
        /// Every API that is served, in the order of the keys.
        pub const APIS: &[Api] = &[$(Api {
            key: <kafka_protocol::messages::$request as Request>::KEY,
            min_version: $min,
            max_version: $max,
            advertised_min_version: api_table!(@first $($advertised,)? $min),
            max_request_bytes: $limit,
        },)*];

        /// Hands `call` to the handler of the API `key`, which must be in the table at the call's version.
        async fn route(key: i16, call: dispatch::Call<'_>) -> Result<crate::network::Handled, ApiError> {
            $(if key == <kafka_protocol::messages::$request as Request>::KEY {
                let request = call.decode::<kafka_protocol::messages::$request>()?;
                let reply = $module::handle(call.broker, call.context, request).await?;
                return call.answer(reply, api_table!(@encode $($encode)?));
            })*
            Err(ApiError::close("the API is not in the table"))
        }
    };
    (@first $advertised:literal, $min:literal) => { $advertised };
    (@first $min:literal) => { $min };
    (@encode $encode:path) => { $encode };
    (@encode) => { crate::protocol::response::encode_response };
}

// The versions are those of Kafka 4.1. Produce is advertised from 0 because librdkafka otherwise turns compression
// off (KAFKA-18659), as Kafka does.
api_table! {
    ProduceRequest 3..=13 advertised from 0, RECORDS => produce;
    FetchRequest 4..=18, LISTS => fetch encoded by crate::protocol::fetch_response::encode_fetch_response;
    ListOffsetsRequest 1..=10, LISTS => list_offsets;
    MetadataRequest 0..=13, LISTS => metadata;
    OffsetCommitRequest 2..=9, LISTS => offset_commit;
    OffsetFetchRequest 1..=9, LISTS => offset_fetch;
    FindCoordinatorRequest 0..=6, LISTS => find_coordinator;
    JoinGroupRequest 0..=9, LISTS => join_group;
    HeartbeatRequest 0..=4, SMALL => heartbeat;
    LeaveGroupRequest 0..=5, LISTS => leave_group;
    SyncGroupRequest 0..=5, LISTS => sync_group;
    DescribeGroupsRequest 0..=6, LISTS => describe_groups;
    ListGroupsRequest 0..=5, SMALL => list_groups;
    ApiVersionsRequest 0..=4, SMALL => api_versions;
    CreateTopicsRequest 2..=7, LISTS => create_topics;
    DeleteTopicsRequest 1..=6, LISTS => delete_topics;
    InitProducerIdRequest 0..=5, SMALL => init_producer_id;
    OffsetForLeaderEpochRequest 2..=4, LISTS => offset_for_leader_epoch;
    CreatePartitionsRequest 0..=3, LISTS => create_partitions;
    DeleteGroupsRequest 0..=2, LISTS => delete_groups;
    OffsetDeleteRequest 0..=0, LISTS => offset_delete;
    DescribeClusterRequest 0..=2, SMALL => describe_cluster;
    DescribeTopicPartitionsRequest 0..=0, LISTS => describe_topic_partitions;
}
