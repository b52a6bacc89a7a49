//! The controller's questions with their own answers, over the runtime's one kind of request.

use super::{
    AllocateProducerIds, AlterClientQuotas, AlterConfigs, AlterPartition, AlterPartitionReassignments,
    AlterUserScramCredentials, AlteredPartition, BrokerHeartbeat, Controller, ControllerRequest, ControllerResponse,
    CreatePartitions, CreateTopics, DeleteTopics, ElectLeaders, HeartbeatAnswer, LeadersElected, PartitionsCreated,
    ProducerIdsBlock, QuotasAltered, Refusal, RegisterBroker, ScramCredentialsAltered, TopicCreation, TopicDeletion,
    TopicReassigned, UnregisterBroker, UpdateFeatures,
};
use crate::protocol::ErrorCode;
use crate::quorum::driver::{Committed, MachineClient};
use crate::state_machine::questions;

/// Puts questions to the controller.
pub type ControllerClient = MachineClient<Controller>;

/// Declares the questions, and a method for each: `name(Request) -> Response(what is in it)`.
macro_rules! controller_questions {
    ($($name:ident($request:ident) -> $response:ident($answer:ty);)*) => {
        questions! { Controller:
            $($request => ControllerRequest::$request, ControllerResponse::$response: $answer;)*
        }

        impl ControllerClient {
            $(
                #[doc = concat!("See [`ControllerRequest::", stringify!($request), "`].")]
                pub async fn $name(&self, request: $request) -> Result<Committed<$answer>, ErrorCode> {
                    self.ask(request).await
                }
            )*
        }
    };
}

controller_questions! {
    broker_heartbeat(BrokerHeartbeat) -> BrokerHeartbeatAnswered(Result<HeartbeatAnswer, Refusal>);
    alter_partition(AlterPartition) -> PartitionsAltered(Result<Vec<AlteredPartition>, ErrorCode>);
    register_broker(RegisterBroker) -> BrokerRegistered(Result<i64, Refusal>);
    unregister_broker(UnregisterBroker) -> BrokerUnregistered(Result<(), Refusal>);
    create_topics(CreateTopics) -> TopicsCreated(Vec<TopicCreation>);
    delete_topics(DeleteTopics) -> TopicsDeleted(Vec<TopicDeletion>);
    create_partitions(CreatePartitions) -> PartitionsCreated(Vec<PartitionsCreated>);
    allocate_producer_ids(AllocateProducerIds) -> ProducerIdsAllocated(Result<ProducerIdsBlock, ErrorCode>);
    elect_leaders(ElectLeaders) -> LeadersElected(Result<Vec<LeadersElected>, Refusal>);
    alter_partition_reassignments(AlterPartitionReassignments) -> PartitionsReassigned(Vec<TopicReassigned>);
    alter_configs(AlterConfigs) -> ConfigsAltered(Result<Vec<Result<(), Refusal>>, Refusal>);
    alter_client_quotas(AlterClientQuotas) -> ClientQuotasAltered(Result<Vec<QuotasAltered>, Refusal>);
    alter_user_scram_credentials(AlterUserScramCredentials)
        -> UserScramCredentialsAltered(Vec<ScramCredentialsAltered>);
    update_features(UpdateFeatures) -> FeaturesUpdated(Result<(), Refusal>);
}
