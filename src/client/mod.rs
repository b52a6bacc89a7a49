//! Our own Kafka client: what the command line, and Kafka's tool names under it, ask brokers with.
//!
//! It is small on purpose. It has no tasks of its own and nothing in the background: a call is made, retried while
//! Kafka's error says that this helps, and answered, within the time that [`ClientSettings`] give it. It speaks to any
//! Kafka broker, ours or not, at the newest version that both sides know.
//!
//! [`ClusterClient`] knows the cluster: it connects, and brings a request to any broker, to the controller, to a leader
//! or to a coordinator. [`KafkaException`] is what Kafka's own programs call an error code. The other files add what can
//! be asked, one subject each. On it stand [`Producer`], [`Consumer`] and [`GroupConsumer`], which take it along for each
//! call, since they ask one question at a time like everybody else.
//!
//! It must not know how anything is printed, nor what arguments look like.

mod accumulator;
mod assignor;
mod brokers;
mod client_quotas;
mod cluster_client;
mod configs;
mod consumer;
mod consumer_protocol;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod describe_topics;
mod error;
mod fetched;
mod group_consumer;
mod group_lag;
mod group_offsets;
mod groups;
mod kafka_exception;
mod membership;
mod metadata;
mod offset_plan;
mod offsets;
mod outcomes;
mod partitioner;
mod producer;
mod quorum;
mod reassignments;
mod scram;

pub use accumulator::NewRecord;
pub use brokers::ServedApi;
pub use client_quotas::QuotaMatch;
pub use cluster_client::{ClientSettings, ClusterClient, To, bootstrap_addresses};
pub use configs::{ConfigChange, ConfigEntry};
pub use consumer::{Consumer, ConsumerSettings, OffsetReset};
pub use create_partitions::PartitionIncrease;
pub use create_topics::{CreatedTopic, TopicToCreate};
pub use error::ClientError;
pub use fetched::{FetchedPartition, FetchedRecord, ReadPosition};
pub use group_consumer::GroupConsumer;
pub use group_lag::GroupPartition;
pub use group_offsets::{CommittedOffset, OffsetOutcomes};
pub use groups::{GroupDescription, GroupListing, GroupMember, MemberToRemove};
pub use kafka_exception::KafkaException;
pub use membership::{GroupMembership, GroupSettings};
pub use metadata::{BrokerDescription, ClusterDescription, PartitionDescription, TopicDescription};
pub use offset_plan::{OffsetTarget, PlanError, PlannedOffset};
pub use offsets::{EARLIEST, LATEST, ListedOffset, MAX_TIMESTAMP};
pub use outcomes::ItemOutcomes;
pub use partitioner::partition_for_key;
pub use producer::{Delivery, Producer, ProducerSettings};
pub use quorum::QuorumDescription;
pub use reassignments::PartitionMove;
pub use scram::ScramPassword;
