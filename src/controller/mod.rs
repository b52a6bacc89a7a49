//! What the cluster shall be: the machine that decides on every change of the metadata.
//!
//! Requests come in with all they need (fresh ids, defaults, a seed for placement), records and answers go out. Its state
//! is an image of its own that the records change, so that it decides on what is decided, committed or not yet. Pure,
//! but for its client and the ways that it asks by; [`crate::quorum::driver`] runs it.

use std::collections::HashMap;
use std::convert::Infallible;

use self::gone_brokers::Refusals;
use self::heartbeats::Sessions;
use self::timers::ControllerTimers;
use crate::clock::{Monotonic, Now};
use crate::ids::{NodeId, TopicName};
use crate::metadata::{Change, MetadataImage, MetadataRecord, TopicChange, topic_name};
use crate::protocol::ErrorCode;
use crate::state_machine::{Effects, ReplyTo, StateMachine};

mod alter_configs;
mod alter_partition;
mod alter_partition_reassignments;
mod brokers;
mod client;
mod client_quotas;
mod connections;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod elect_leaders;
mod election;
mod features;
mod gone_brokers;
mod heartbeats;
#[cfg(test)]
mod life_cycle_tests;
mod mutation_quota;
mod partition_changes;
mod placement;
mod scram_credentials;
mod settings;
mod timers;
mod vigil;
pub mod wire;

pub use alter_configs::{AlterConfigs, ConfigAlteration, ConfigOperation, ConfigRules, ConfigsChange};
pub use alter_partition::{AlterPartition, AlteredPartition, PartitionAlteration};
pub use alter_partition_reassignments::{AlterPartitionReassignments, TopicReassigned, TopicReassignment};
pub use brokers::{AllocateProducerIds, ProducerIdsBlock, RegisterBroker, UnregisterBroker};
pub use client::ControllerClient;
pub use client_quotas::{AlterClientQuotas, QuotaAlteration, QuotasAltered, UncheckedEntity};
pub use connections::{ControllerConnections, ControllerPlace, ControllerPlaces};
pub use create_partitions::{CreatePartitions, NewPartitions, PartitionsCreated};
pub use create_topics::{CreateTopics, NewTopic, PartitionAssignment, TopicCreated, TopicCreation};
pub use delete_topics::{DeleteTopics, TopicDeletion, TopicToDelete};
pub use elect_leaders::{ElectLeaders, ElectionType, LeadersElected};
pub use features::{FeatureUpdate, UpdateFeatures, UpgradeType};
pub use gone_brokers::BrokerIsGone;
pub use heartbeats::{BrokerHeartbeat, HeartbeatAnswer};
pub use mutation_quota::MutationQuota;
pub use scram_credentials::{AlterUserScramCredentials, ScramCredentialsAltered, ScramDeletion, ScramUpsertion};
pub use settings::ControllerSettings;
pub use vigil::{Sighting, Suspect, Vigil};

/// How many partitions one request may add to the cluster, as in Kafka: it bounds a batch of records.
const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// How many records one request may write, as in Kafka.
const MAX_RECORDS_PER_REQUEST: usize = 10_000;

/// The longest string, in bytes, that an answer can hold at every version.
const LONGEST_MESSAGE: usize = i16::MAX as usize;

/// What the controller can be asked.
#[derive(Debug, Clone)]
pub enum ControllerRequest {
    /// A broker has started.
    RegisterBroker(RegisterBroker),
    /// A broker is alive.
    BrokerHeartbeat(BrokerHeartbeat),
    /// A broker's process is not there any more.
    BrokerIsGone(BrokerIsGone),
    /// Topics shall be.
    CreateTopics(CreateTopics),
    /// Topics shall be gone.
    DeleteTopics(DeleteTopics),
    /// Topics shall have more partitions.
    CreatePartitions(CreatePartitions),
    /// A broker needs producer ids.
    AllocateProducerIds(AllocateProducerIds),
    /// A leader changes its in-sync replicas.
    AlterPartition(AlterPartition),
    /// Partitions shall have a leader.
    ElectLeaders(ElectLeaders),
    /// Partitions shall have other replicas.
    AlterPartitionReassignments(AlterPartitionReassignments),
    /// A broker shall be no part of the cluster any more.
    UnregisterBroker(UnregisterBroker),
    /// Configurations shall change.
    AlterConfigs(AlterConfigs),
    /// Clients' quotas shall change.
    AlterClientQuotas(AlterClientQuotas),
    /// Users' SCRAM credentials shall change.
    AlterUserScramCredentials(AlterUserScramCredentials),
    /// The levels of features shall change.
    UpdateFeatures(UpdateFeatures),
}

/// What it answers: the variant that belongs to the request's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControllerResponse {
    /// The registration's epoch.
    BrokerRegistered(Result<i64, Refusal>),
    /// What the broker is from now on.
    BrokerHeartbeatAnswered(Result<HeartbeatAnswer, Refusal>),
    /// Whether the broker is fenced from now on.
    GoneBrokerFenced(bool),
    /// One result per topic: those asked for once in their order, then the duplicates.
    TopicsCreated(Vec<TopicCreation>),
    /// One result per topic, in no order.
    TopicsDeleted(Vec<TopicDeletion>),
    /// One result per topic: the duplicates, then the others in their order.
    PartitionsCreated(Vec<PartitionsCreated>),
    /// Ids that no other broker has.
    ProducerIdsAllocated(Result<ProducerIdsBlock, ErrorCode>),
    /// One result per partition, in the request's order; or the error that concerns the broker.
    PartitionsAltered(Result<Vec<AlteredPartition>, ErrorCode>),
    /// One result per topic; or the refusal of the whole request.
    LeadersElected(Result<Vec<LeadersElected>, Refusal>),
    /// One result per topic, in the request's order.
    PartitionsReassigned(Vec<TopicReassigned>),
    /// Nothing, or why the broker stays.
    BrokerUnregistered(Result<(), Refusal>),
    /// One result per resource, in the request's order; or the error that concerns them all.
    ConfigsAltered(Result<Vec<Result<(), Refusal>>, Refusal>),
    /// One result per entity, in the order in which they came first; or the error that concerns them all.
    ClientQuotasAltered(Result<Vec<QuotasAltered>, Refusal>),
    /// One result per user, in the order in which they came first.
    UserScramCredentialsAltered(Vec<ScramCredentialsAltered>),
    /// Nothing, or why all levels stay as they are.
    FeaturesUpdated(Result<(), Refusal>),
}

/// Why something was not done: a code, and a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's error code.
    pub code: ErrorCode,
    /// The sentence, in Kafka's words.
    pub message: String,
}

impl Refusal {
    /// Refuses with `code` because of `message`. What does not fit into an answer is cut off: a name of the greatest
    /// length, repeated in a sentence about it, would.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        Self { code, message }
    }

    /// For a request that would write more than [`MAX_RECORDS_PER_REQUEST`].
    fn too_many_records() -> Self {
        Self::new(ErrorCode::PolicyViolation, "Unable to perform excessively large batch operation.")
    }

    fn unknown_topic() -> Self {
        Self::new(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.")
    }
}

/// The controller.
#[derive(Debug)]
pub struct Controller {
    image: MetadataImage,
    own_node_id: NodeId,
    settings: ControllerSettings,
    sessions: Sessions,
    refusals: Refusals,
    timers: ControllerTimers,
    /// The topics whose names could collide with another's, by the form in which they would.
    collisions: HashMap<String, TopicName>,
}

impl Controller {
    /// A controller of the cluster that `image` shows, in the process of the broker `own_node_id`.
    pub fn new(image: &MetadataImage, own_node_id: NodeId, settings: ControllerSettings) -> Self {
        let mut controller = Self {
            image: image.clone(),
            own_node_id,
            settings,
            sessions: Sessions::new(own_node_id),
            refusals: Refusals::default(),
            timers: ControllerTimers::default(),
            collisions: HashMap::new(),
        };
        for topic in image.topics() {
            controller.remember_name(&topic.name);
        }
        controller
    }

    fn remember_name(&mut self, name: &TopicName) {
        if topic_name::has_collision_characters(name) {
            self.collisions.insert(topic_name::collision_form(name).into_owned(), TopicName::clone(name));
        }
    }

    fn forget_name(&mut self, name: &str) {
        self.collisions.remove(topic_name::collision_form(name).as_ref());
    }

    fn decide(
        &self,
        request: ControllerRequest,
        now: Monotonic,
        records: &mut Vec<MetadataRecord>,
    ) -> ControllerResponse {
        match request {
            ControllerRequest::RegisterBroker(request) => {
                ControllerResponse::BrokerRegistered(self.register_broker(request, now, records))
            }
            ControllerRequest::BrokerHeartbeat(request) => {
                ControllerResponse::BrokerHeartbeatAnswered(self.broker_heartbeat(request, records))
            }
            ControllerRequest::BrokerIsGone(request) => {
                ControllerResponse::GoneBrokerFenced(self.broker_is_gone(request, now, records))
            }
            ControllerRequest::CreateTopics(request) => {
                ControllerResponse::TopicsCreated(self.create_topics(request, records))
            }
            ControllerRequest::DeleteTopics(request) => {
                ControllerResponse::TopicsDeleted(self.delete_topics(request, records))
            }
            ControllerRequest::CreatePartitions(request) => {
                ControllerResponse::PartitionsCreated(self.create_partitions(request, records))
            }
            ControllerRequest::AllocateProducerIds(request) => {
                ControllerResponse::ProducerIdsAllocated(self.allocate_producer_ids(request, records))
            }
            ControllerRequest::AlterPartition(request) => {
                ControllerResponse::PartitionsAltered(self.alter_partition(request, records))
            }
            ControllerRequest::ElectLeaders(request) => {
                ControllerResponse::LeadersElected(self.elect_leaders(request, records))
            }
            ControllerRequest::AlterPartitionReassignments(request) => {
                ControllerResponse::PartitionsReassigned(self.alter_partition_reassignments(request))
            }
            ControllerRequest::UnregisterBroker(request) => {
                ControllerResponse::BrokerUnregistered(self.unregister_broker(request, records))
            }
            ControllerRequest::AlterConfigs(request) => {
                ControllerResponse::ConfigsAltered(self.alter_configs(&request, records))
            }
            ControllerRequest::AlterClientQuotas(request) => {
                ControllerResponse::ClientQuotasAltered(self.alter_client_quotas(request, records))
            }
            ControllerRequest::AlterUserScramCredentials(request) => {
                ControllerResponse::UserScramCredentialsAltered(self.alter_user_scram_credentials(request, records))
            }
            ControllerRequest::UpdateFeatures(request) => {
                ControllerResponse::FeaturesUpdated(self.update_features(&request, records))
            }
        }
    }
}

impl StateMachine for Controller {
    type Request = ControllerRequest;
    type Response = ControllerResponse;
    type Record = MetadataRecord;
    type Message = Infallible;

    fn handle(&mut self, request: ControllerRequest, reply_to: ReplyTo, now: Now, effects: &mut Effects<Self>) {
        self.begin(Some(&request), now.monotonic);
        let decided = effects.records.len();
        let is_by_refusal = matches!(&request, ControllerRequest::BrokerIsGone(gone) if !gone.is_replaced);
        let response = self.decide(request, now.monotonic, &mut effects.records);
        let records = effects.records.get(decided..).unwrap_or_default();
        self.end(records, now.monotonic);
        if is_by_refusal && !records.is_empty() {
            self.refusals.note(now.monotonic);
        }
        effects.reply(reply_to, response);
    }

    fn handle_timeout(&mut self, now: Now, effects: &mut Effects<Self>) {
        self.begin(None, now.monotonic);
        self.do_what_is_due(now.monotonic, effects);
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        self.next_due()
    }

    fn replay(&mut self, record: &MetadataRecord) {
        // The quorum refuses a record that does not fit and then stops; here there is nothing to add to that.
        let Ok(change) = self.image.replay(record) else { return };
        self.note(record);
        match change {
            Change::Topic(TopicChange::Created(id)) => {
                if let Some(name) = self.image.topic_by_id(id).map(|topic| TopicName::clone(&topic.name)) {
                    self.remember_name(&name);
                }
            }
            Change::Topic(TopicChange::Deleted(_, name)) => self.forget_name(&name),
            Change::Topic(TopicChange::Changed(_))
            | Change::Cluster
            | Change::Feature(_)
            | Change::Broker(_)
            | Change::BrokerEpochs
            | Change::Config(_)
            | Change::Quota(_)
            | Change::ScramCredential(_)
            | Change::ProducerIds => {}
        }
    }
}
