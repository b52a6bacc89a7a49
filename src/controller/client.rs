//! The controller's questions with their own answers, over the runtime's one kind of request.

use super::{
    AllocateProducerIds, AlterPartitionReassignments, Controller, ControllerRequest, ControllerResponse,
    CreatePartitions, CreateTopics, DeleteTopics, ElectLeaders, LeadersElected, PartitionsCreated, ProducerIdsBlock,
    Refusal, RegisterBroker, TopicCreation, TopicDeletion, TopicReassigned,
};
use crate::protocol::ErrorCode;
use crate::quorum::driver::{Client, Committed};

/// Submits requests to the controller.
pub type ControllerClient = Client<Controller>;

impl ControllerClient {
    /// See [`ControllerRequest::RegisterBroker`].
    pub async fn register_broker(&self, request: RegisterBroker) -> Result<Committed<Result<i64, Refusal>>, ErrorCode> {
        match self.submit(ControllerRequest::RegisterBroker(request)).await?.parts() {
            (ControllerResponse::BrokerRegistered(response), image_offset) => Ok(Committed { response, image_offset }),
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// See [`ControllerRequest::CreateTopics`].
    pub async fn create_topics(&self, request: CreateTopics) -> Result<Committed<Vec<TopicCreation>>, ErrorCode> {
        match self.submit(ControllerRequest::CreateTopics(request)).await?.parts() {
            (ControllerResponse::TopicsCreated(response), image_offset) => Ok(Committed { response, image_offset }),
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// See [`ControllerRequest::DeleteTopics`].
    pub async fn delete_topics(&self, request: DeleteTopics) -> Result<Committed<Vec<TopicDeletion>>, ErrorCode> {
        match self.submit(ControllerRequest::DeleteTopics(request)).await?.parts() {
            (ControllerResponse::TopicsDeleted(response), image_offset) => Ok(Committed { response, image_offset }),
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// See [`ControllerRequest::CreatePartitions`].
    pub async fn create_partitions(
        &self,
        request: CreatePartitions,
    ) -> Result<Committed<Vec<PartitionsCreated>>, ErrorCode> {
        match self.submit(ControllerRequest::CreatePartitions(request)).await?.parts() {
            (ControllerResponse::PartitionsCreated(response), image_offset) => Ok(Committed { response, image_offset }),
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// See [`ControllerRequest::ElectLeaders`].
    pub async fn elect_leaders(
        &self,
        request: ElectLeaders,
    ) -> Result<Committed<Result<Vec<LeadersElected>, Refusal>>, ErrorCode> {
        match self.submit(ControllerRequest::ElectLeaders(request)).await?.parts() {
            (ControllerResponse::LeadersElected(response), image_offset) => Ok(Committed { response, image_offset }),
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// See [`ControllerRequest::AlterPartitionReassignments`].
    pub async fn alter_partition_reassignments(
        &self,
        request: AlterPartitionReassignments,
    ) -> Result<Committed<Vec<TopicReassigned>>, ErrorCode> {
        match self.submit(ControllerRequest::AlterPartitionReassignments(request)).await?.parts() {
            (ControllerResponse::PartitionsReassigned(response), image_offset) => {
                Ok(Committed { response, image_offset })
            }
            _ => Err(ErrorCode::UnknownServerError),
        }
    }

    /// See [`ControllerRequest::AllocateProducerIds`].
    pub async fn allocate_producer_ids(&self, request: AllocateProducerIds) -> Result<ProducerIdsBlock, ErrorCode> {
        match self.submit(ControllerRequest::AllocateProducerIds(request)).await?.response {
            ControllerResponse::ProducerIdsAllocated(block) => block,
            _ => Err(ErrorCode::UnknownServerError),
        }
    }
}

impl<R> Committed<R> {
    fn parts(self) -> (R, i64) {
        (self.response, self.image_offset)
    }
}
