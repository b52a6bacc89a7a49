//! From one image to the next.

use std::sync::Arc;

use super::image::{MetadataImage, PartitionImage, TopicImage, Topics};
use super::records::MetadataRecord;
use crate::ids::{NodeId, Uuid};

/// A record that does not fit the image it is replayed on: the log was not written by a correct controller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// No topic has that id.
    #[error("no topic has the id {0}")]
    UnknownTopic(Uuid),
    /// A topic has that name already.
    #[error("the topic {0} exists already")]
    TopicExists(Arc<str>),
    /// The topic has no partition with that index, or it is not the next one.
    #[error("the topic {0} cannot take a record for partition {1}")]
    Partition(Arc<str>, i32),
    /// No broker is registered under that id and epoch.
    #[error("no broker {0} with epoch {1} is registered")]
    UnknownBroker(NodeId, i64),
}

/// An image in the making.
///
/// The first change of topics copies their index once; a changed topic is copied once; everything else stays shared.
#[derive(Debug)]
pub struct MetadataDelta {
    image: MetadataImage,
}

impl MetadataDelta {
    /// No change yet.
    pub fn new(image: &MetadataImage) -> Self {
        Self { image: image.clone() }
    }

    /// Takes one record in; after an error the delta is unchanged.
    pub fn replay(&mut self, record: &MetadataRecord) -> Result<(), ReplayError> {
        self.image.replay(record)
    }

    /// The image that stands at `offset` of the log, written by the controller of `controller_epoch`.
    pub fn apply(self, offset: i64, controller_epoch: i32) -> MetadataImage {
        MetadataImage { offset, controller_epoch, ..self.image }
    }
}

impl MetadataImage {
    /// Takes one record in, in place: for an owner that changes its image all the time.
    pub fn replay(&mut self, record: &MetadataRecord) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::ClusterId(id) => self.cluster_id = Arc::clone(id),
            MetadataRecord::FeatureLevel { name, level: 0 } => {
                Arc::make_mut(&mut self.features).remove(name);
            }
            MetadataRecord::FeatureLevel { name, level } => {
                Arc::make_mut(&mut self.features).insert(Arc::clone(name), *level);
            }
            MetadataRecord::RegisterBroker(broker) => {
                Arc::make_mut(&mut self.brokers).insert(broker.id, broker.clone());
            }
            MetadataRecord::BrokerChange { id, epoch, fenced } => self.change_broker(*id, *epoch, *fenced)?,
            MetadataRecord::ProducerIds { next_producer_id, .. } => self.next_producer_id = *next_producer_id,
            _ => Arc::make_mut(&mut self.topics).replay(record)?,
        }
        Ok(())
    }

    fn change_broker(&mut self, id: NodeId, epoch: i64, fenced: bool) -> Result<(), ReplayError> {
        match Arc::make_mut(&mut self.brokers).get_mut(&id) {
            Some(broker) if broker.epoch == epoch => {
                broker.fenced = fenced;
                Ok(())
            }
            _ => Err(ReplayError::UnknownBroker(id, epoch)),
        }
    }
}

impl Topics {
    /// The records about topics; all others change nothing.
    fn replay(&mut self, record: &MetadataRecord) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::Topic { name, id } => {
                if self.by_name.contains_key(name) {
                    return Err(ReplayError::TopicExists(Arc::clone(name)));
                }
                let topic = TopicImage { id: *id, name: Arc::clone(name), partitions: vec![], configs: [].into() };
                self.by_name.insert(Arc::clone(name), Arc::new(topic));
                self.by_id.insert(*id, Arc::clone(name));
            }
            MetadataRecord::RemoveTopic { topic_id } => {
                let name = self.by_id.remove(topic_id).ok_or(ReplayError::UnknownTopic(*topic_id))?;
                self.by_name.remove(&name);
            }
            MetadataRecord::Partition { topic_id, partition, state } => {
                let topic = self.topic_mut(*topic_id)?;
                if usize::try_from(*partition) != Ok(topic.partitions.len()) {
                    return Err(ReplayError::Partition(Arc::clone(&topic.name), *partition));
                }
                topic.partitions.push(state.clone());
            }
            MetadataRecord::PartitionChange { topic_id, partition, isr, leader } => {
                let topic = self.topic_mut(*topic_id)?;
                let state = usize::try_from(*partition).ok().and_then(|index| topic.partitions.get_mut(index));
                let state = state.ok_or(ReplayError::Partition(Arc::clone(&topic.name), *partition))?;
                state.change(isr.as_deref(), *leader);
            }
            MetadataRecord::TopicConfig { topic_id, key, value } => {
                let configs = &mut self.topic_mut(*topic_id)?.configs;
                match value {
                    Some(value) => configs.insert(key.clone(), value.clone()),
                    None => configs.remove(key),
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn topic_mut(&mut self, id: Uuid) -> Result<&mut TopicImage, ReplayError> {
        let topic = self.by_id.get(&id).and_then(|name| self.by_name.get_mut(name));
        topic.map(Arc::make_mut).ok_or(ReplayError::UnknownTopic(id))
    }
}

impl PartitionImage {
    fn change(&mut self, isr: Option<&[NodeId]>, leader: Option<NodeId>) {
        if let Some(isr) = isr {
            self.isr = isr.to_vec();
        }
        if let Some(leader) = leader {
            self.leader = leader;
            self.leader_epoch += 1;
        }
        self.partition_epoch += 1;
    }
}
