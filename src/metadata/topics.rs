//! Topics with their partitions and configuration.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::BufMut;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use super::error::{MetadataDecodeError, ReplayError};
use super::fields::{int, option, put_option, put_string, string, uuid};
use super::kind::RecordKind;
use super::partitions::{PartitionChange, PartitionImage};
use super::topics_delta::{TopicChange, TopicsDelta};
use crate::ids::{TopicName, Uuid};

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    /// Its id: a topic that is deleted and created anew under the same name has another.
    pub id: Uuid,
    /// Its name.
    pub name: TopicName,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionImage>,
    /// The configuration keys set for it, as they were given.
    pub configs: BTreeMap<String, String>,
}

impl TopicImage {
    /// The partition with that index.
    pub fn partition(&self, index: i32) -> Option<&PartitionImage> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// Records that lead from no topic to this one.
    fn to_records(&self) -> impl Iterator<Item = TopicRecord> {
        let Self { id, name, partitions, configs } = self;
        let topic_id = *id;
        let configs = configs.iter().map(move |(key, value)| TopicRecord::TopicConfig {
            topic_id,
            key: key.clone(),
            value: Some(value.clone()),
        });
        let partitions = (0..).zip(partitions).map(move |(partition, state)| TopicRecord::Partition {
            topic_id,
            partition,
            state: state.clone(),
        });
        std::iter::once(TopicRecord::Topic { name: Arc::clone(name), id: topic_id }).chain(configs).chain(partitions)
    }
}

/// A change of topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRecord {
    /// A topic came into being; its partitions follow.
    Topic {
        /// Its name.
        name: TopicName,
        /// Its id, never used before.
        id: Uuid,
    },
    /// A partition came into being.
    Partition {
        /// The topic it belongs to.
        topic_id: Uuid,
        /// Its index: the number of partitions the topic had before.
        partition: i32,
        /// Its state.
        state: PartitionImage,
    },
    /// A partition changed; its partition epoch grows by one, and so does its leader epoch if a leader is given.
    PartitionChange {
        /// The topic it belongs to.
        topic_id: Uuid,
        /// Its index.
        partition: i32,
        /// What changes of it.
        change: PartitionChange,
    },
    /// A topic is gone, with its partitions and configuration.
    RemoveTopic {
        /// The topic.
        topic_id: Uuid,
    },
    /// A topic's configuration key was set, or removed where there is no value.
    TopicConfig {
        /// The topic.
        topic_id: Uuid,
        /// The key, such as `retention.ms`.
        key: String,
        /// The value as it was given.
        value: Option<String>,
    },
}

/// All topics. The maps are persistent: a copy shares what does not change, and a change costs the logarithm of how many
/// topics there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Topics {
    by_name: RedBlackTreeMapSync<TopicName, Arc<TopicImage>>,
    // Leads to the name and not to the topic, so that changing one partition after another in a batch does not find its
    // topic shared and copy it each time.
    by_id: HashTrieMapSync<Uuid, TopicName>,
}

impl Topics {
    pub(super) fn by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.by_name.get(name)
    }

    pub(super) fn by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.by_name(self.by_id.get(&id)?)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<TopicImage>> {
        self.by_name.values()
    }

    pub(super) fn iter_from(&self, from: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.by_name.range::<str, _>((Bound::Included(from), Bound::Unbounded)).map(|(_, topic)| topic)
    }

    /// After an error nothing has changed.
    pub(super) fn replay(&mut self, record: &TopicRecord) -> Result<TopicChange, ReplayError> {
        match record {
            TopicRecord::Topic { name, id } => self.create(name, *id),
            TopicRecord::RemoveTopic { topic_id } => self.remove(*topic_id),
            TopicRecord::Partition { topic_id, partition, state } => {
                let topic = self.topic_mut(*topic_id)?;
                if usize::try_from(*partition) != Ok(topic.partitions.len()) {
                    return Err(ReplayError::Partition(Arc::clone(&topic.name), *partition));
                }
                topic.partitions.push(state.clone());
                Ok(TopicChange::Changed(*topic_id))
            }
            TopicRecord::PartitionChange { topic_id, partition, change } => {
                let topic = self.topic_mut(*topic_id)?;
                let state = usize::try_from(*partition).ok().and_then(|index| topic.partitions.get_mut(index));
                let state = state.ok_or(ReplayError::Partition(Arc::clone(&topic.name), *partition))?;
                state.apply(change);
                Ok(TopicChange::Changed(*topic_id))
            }
            TopicRecord::TopicConfig { topic_id, key, value } => {
                let configs = &mut self.topic_mut(*topic_id)?.configs;
                match value {
                    Some(value) => configs.insert(key.clone(), value.clone()),
                    None => configs.remove(key),
                };
                Ok(TopicChange::Changed(*topic_id))
            }
        }
    }

    fn create(&mut self, name: &TopicName, id: Uuid) -> Result<TopicChange, ReplayError> {
        if self.by_name.contains_key(name) || self.by_id.contains_key(&id) {
            return Err(ReplayError::TopicExists(Arc::clone(name)));
        }
        let topic = TopicImage { id, name: Arc::clone(name), partitions: Vec::new(), configs: BTreeMap::new() };
        self.by_name.insert_mut(Arc::clone(name), Arc::new(topic));
        self.by_id.insert_mut(id, Arc::clone(name));
        Ok(TopicChange::Created(id))
    }

    fn remove(&mut self, id: Uuid) -> Result<TopicChange, ReplayError> {
        let name = self.by_id.get(&id).cloned().ok_or(ReplayError::UnknownTopic(id))?;
        self.by_id.remove_mut(&id);
        self.by_name.remove_mut(&name);
        Ok(TopicChange::Deleted(id, name))
    }

    fn topic_mut(&mut self, id: Uuid) -> Result<&mut TopicImage, ReplayError> {
        let topic = self.by_id.get(&id).and_then(|name| self.by_name.get_mut(name));
        topic.map(Arc::make_mut).ok_or(ReplayError::UnknownTopic(id))
    }

    pub(super) fn to_records(&self) -> impl Iterator<Item = TopicRecord> {
        // The ids are in the topics.
        let Self { by_name, by_id: _ } = self;
        by_name.values().flat_map(|topic| topic.to_records())
    }

    /// What happened to topics since `before`, which costs as much as there are topics.
    pub(super) fn changed_since(&self, before: &Self) -> TopicsDelta {
        let mut delta = TopicsDelta::default();
        for gone in before.iter().filter(|topic| self.by_id(topic.id).is_none()) {
            delta.note(TopicChange::Deleted(gone.id, Arc::clone(&gone.name)));
        }
        for topic in self.iter() {
            match before.by_id(topic.id) {
                None => delta.note(TopicChange::Created(topic.id)),
                Some(known) if Arc::ptr_eq(known, topic) || known == topic => {}
                Some(_) => delta.note(TopicChange::Changed(topic.id)),
            }
        }
        delta
    }
}

impl TopicRecord {
    pub(super) fn kind(&self) -> RecordKind {
        match self {
            Self::Topic { .. } => RecordKind::Topic,
            Self::Partition { .. } => RecordKind::Partition,
            Self::PartitionChange { .. } => RecordKind::PartitionChange,
            Self::RemoveTopic { .. } => RecordKind::RemoveTopic,
            Self::TopicConfig { .. } => RecordKind::TopicConfig,
        }
    }

    /// The version of the encoding.
    pub(super) fn version(&self) -> u8 {
        match self {
            Self::Partition { state, .. } => state.version(),
            Self::PartitionChange { change, .. } => change.version(),
            Self::Topic { .. } | Self::RemoveTopic { .. } | Self::TopicConfig { .. } => 0,
        }
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Topic { name, id } => {
                put_string(name, buffer);
                buffer.put_slice(id.as_bytes());
            }
            Self::Partition { topic_id, partition, state } => {
                put_partition_name(*topic_id, *partition, buffer);
                state.encode(buffer);
            }
            Self::PartitionChange { topic_id, partition, change } => {
                put_partition_name(*topic_id, *partition, buffer);
                change.encode(buffer);
            }
            Self::RemoveTopic { topic_id } => buffer.put_slice(topic_id.as_bytes()),
            Self::TopicConfig { topic_id, key, value } => {
                buffer.put_slice(topic_id.as_bytes());
                put_string(key, buffer);
                put_option(value.as_ref(), buffer, |value, buffer| put_string(value, buffer));
            }
        }
    }

    pub(super) fn decode_topic(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::Topic { name: string(bytes)?.into(), id: uuid(bytes)? })
    }

    pub(super) fn decode_partition(version: u8, bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        let (topic_id, partition) = (uuid(bytes)?, int(bytes)?);
        Ok(Self::Partition { topic_id, partition, state: PartitionImage::decode(version, bytes)? })
    }

    pub(super) fn decode_partition_change(version: u8, bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        let (topic_id, partition) = (uuid(bytes)?, int(bytes)?);
        Ok(Self::PartitionChange { topic_id, partition, change: PartitionChange::decode(version, bytes)? })
    }

    pub(super) fn decode_remove_topic(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::RemoveTopic { topic_id: uuid(bytes)? })
    }

    pub(super) fn decode_topic_config(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::TopicConfig {
            topic_id: uuid(bytes)?,
            key: string(bytes)?.to_owned(),
            value: option(bytes, |bytes| string(bytes).map(str::to_owned))?,
        })
    }
}

fn put_partition_name(topic_id: Uuid, partition: i32, buffer: &mut Vec<u8>) {
    buffer.put_slice(topic_id.as_bytes());
    buffer.put_i32(partition);
}
