//! The producer ids that this broker may give out, by blocks that the controller allots to it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::controller::{AllocateProducerIds, ControllerClient};
use crate::ids::NodeId;
use crate::protocol::ErrorCode;
use crate::quorum::MetadataQuorum;

/// Gives out producer ids, none of them twice.
pub struct ProducerIdGenerator {
    broker_id: NodeId,
    metadata: Arc<MetadataQuorum>,
    controller: ControllerClient,
    block: Mutex<Range<i64>>,
}

impl fmt::Debug for ProducerIdGenerator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProducerIdGenerator").field("broker_id", &self.broker_id).finish_non_exhaustive()
    }
}

impl ProducerIdGenerator {
    /// Those of a broker, by its registration; it asks for the first block when somebody needs one.
    pub fn new(broker_id: NodeId, metadata: Arc<MetadataQuorum>, controller: ControllerClient) -> Self {
        Self { broker_id, metadata, controller, block: Mutex::default() }
    }

    /// The next producer id that no other producer of this cluster has.
    pub async fn next(&self) -> Result<i64, ErrorCode> {
        let mut block = self.block.lock().await;
        if let Some(id) = block.next() {
            return Ok(id);
        }
        let broker_epoch = self.metadata.image().broker(self.broker_id).map_or(-1, |own| own.epoch);
        let request = AllocateProducerIds { broker_id: self.broker_id, broker_epoch };
        let allocated = self.controller.allocate_producer_ids(request).await?.response?;
        *block = allocated.first..allocated.first.saturating_add(allocated.length);
        block.next().ok_or(ErrorCode::CoordinatorNotAvailable)
    }
}
