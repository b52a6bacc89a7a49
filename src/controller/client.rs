//! The controller's questions with their own answers, over the runtime's one kind of request or Kafka's own ones.

use std::sync::Arc;

use super::connections::{ControllerConnections, ControllerPlace};
use super::wire::WireQuestion;
use super::{
    AllocateProducerIds, AlterClientQuotas, AlterConfigs, AlterPartition, AlterPartitionReassignments,
    AlterUserScramCredentials, AlteredPartition, BrokerHeartbeat, BrokerIsGone, Controller, ControllerRequest,
    ControllerResponse, CreatePartitions, CreateTopics, DeleteTopics, ElectLeaders, HeartbeatAnswer, LeadersElected,
    PartitionsCreated, ProducerIdsBlock, QuotasAltered, Refusal, RegisterBroker, ScramCredentialsAltered,
    TopicCreation, TopicDeletion, TopicReassigned, UnregisterBroker, UpdateFeatures,
};
use crate::network::node_connections::Pauses;
use crate::protocol::ErrorCode;
use crate::quorum::driver::{Committed, MachineClient};
use crate::state_machine::{Question, questions};

/// Puts questions to the controller, wherever it is.
///
/// What brokers ask for themselves goes to whichever node leads the quorum. All else is a client's, and is answered in
/// the controller's own process; a request that reaches another node is forwarded whole before it is looked at.
#[derive(Debug, Clone)]
pub struct ControllerClient {
    here: MachineClient<Controller>,
    connections: Option<Arc<ControllerConnections>>,
}

impl ControllerClient {
    /// Of a quorum that has no other node: the controller is `here`.
    pub fn alone(here: MachineClient<Controller>) -> Self {
        Self { here, connections: None }
    }

    /// Of a quorum of several nodes.
    pub fn in_quorum(here: MachineClient<Controller>, connections: Arc<ControllerConnections>) -> Self {
        Self { here, connections: Some(connections) }
    }

    /// The machine in this process, which refuses with `NotController` unless it leads.
    pub fn here(&self) -> &MachineClient<Controller> {
        &self.here
    }

    /// The ways to other nodes, if the quorum has any.
    pub fn connections(&self) -> Option<&Arc<ControllerConnections>> {
        self.connections.as_ref()
    }

    async fn ask_here<Q: Question<Controller>>(&self, question: Q) -> Result<Committed<Q::Answer>, ErrorCode> {
        self.here.ask(question).await
    }

    /// Asks wherever the controller is, and again while there is none or it cannot be reached. What was asked may then be
    /// done twice; the answers of Kafka's requests allow for that.
    ///
    /// Errors: `RequestTimedOut` where there was no controller for so long as the question can wait.
    async fn ask_anywhere<Q: WireQuestion>(&self, question: Q) -> Result<Committed<Q::Answer>, ErrorCode> {
        let Some(connections) = &self.connections else { return self.here.ask(question).await };
        let asking = async {
            let mut pauses = Pauses::new();
            loop {
                match self.attempt(connections, &question).await {
                    Err(ErrorCode::NotController) => connections.clock().sleep(pauses.next_pause()).await,
                    outcome => return outcome,
                }
            }
        };
        connections.clock().timeout(Q::PATIENCE, asking).await.unwrap_or(Err(ErrorCode::RequestTimedOut))
    }

    /// Asks once; `NotController` where that may help another time.
    async fn attempt<Q: WireQuestion>(
        &self,
        connections: &ControllerConnections,
        question: &Q,
    ) -> Result<Committed<Q::Answer>, ErrorCode> {
        match connections.place().ok_or(ErrorCode::NotController)? {
            ControllerPlace::Here => self.here.ask(question.clone()).await,
            ControllerPlace::At(place) => {
                let response =
                    connections.call(&place, |version| question.to_wire(version)).await.map_err(|error| {
                        tracing::debug!(%error, ?place, "the controller cannot be asked");
                        ErrorCode::NotController
                    })?;
                // Nothing is known of where this stands in the log; whoever needs the image waits for what it looks for.
                Ok(Committed { response: Q::from_wire(response)?, image_offset: 0 })
            }
        }
    }
}

/// Declares the questions, and a method for each: `name(Request) -> Response(what is in it), ask` with `ask_here` for what
/// clients ask and `ask_anywhere` for what brokers do.
macro_rules! controller_questions {
    ($($name:ident($request:ident) -> $response:ident($answer:ty), $ask:ident;)*) => {
        questions! { Controller:
            $($request => ControllerRequest::$request, ControllerResponse::$response: $answer;)*
        }

        impl ControllerClient {
            $(
                #[doc = concat!("See [`ControllerRequest::", stringify!($request), "`].")]
                pub async fn $name(&self, request: $request) -> Result<Committed<$answer>, ErrorCode> {
                    self.$ask(request).await
                }
            )*
        }
    };
}

controller_questions! {
    register_broker(RegisterBroker) -> BrokerRegistered(Result<i64, Refusal>), ask_anywhere;
    broker_heartbeat(BrokerHeartbeat) -> BrokerHeartbeatAnswered(Result<HeartbeatAnswer, Refusal>), ask_anywhere;
    broker_is_gone(BrokerIsGone) -> GoneBrokerFenced(bool), ask_here;
    unregister_broker(UnregisterBroker) -> BrokerUnregistered(Result<(), Refusal>), ask_here;
    create_topics(CreateTopics) -> TopicsCreated(Vec<TopicCreation>), ask_anywhere;
    delete_topics(DeleteTopics) -> TopicsDeleted(Vec<TopicDeletion>), ask_here;
    create_partitions(CreatePartitions) -> PartitionsCreated(Vec<PartitionsCreated>), ask_here;
    allocate_producer_ids(AllocateProducerIds) -> ProducerIdsAllocated(Result<ProducerIdsBlock, ErrorCode>), ask_anywhere;
    alter_partition(AlterPartition) -> PartitionsAltered(Result<Vec<AlteredPartition>, ErrorCode>), ask_anywhere;
    elect_leaders(ElectLeaders) -> LeadersElected(Result<Vec<LeadersElected>, Refusal>), ask_here;
    alter_partition_reassignments(AlterPartitionReassignments) -> PartitionsReassigned(Vec<TopicReassigned>), ask_here;
    alter_configs(AlterConfigs) -> ConfigsAltered(Result<Vec<Result<(), Refusal>>, Refusal>), ask_here;
    alter_client_quotas(AlterClientQuotas) -> ClientQuotasAltered(Result<Vec<QuotasAltered>, Refusal>), ask_here;
    alter_user_scram_credentials(AlterUserScramCredentials)
        -> UserScramCredentialsAltered(Vec<ScramCredentialsAltered>), ask_here;
    update_features(UpdateFeatures) -> FeaturesUpdated(Result<(), Refusal>), ask_here;
}
