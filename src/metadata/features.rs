//! The finalized features and their levels (KIP-584).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::BufMut;

use super::error::MetadataDecodeError;
use super::fields::{put_string, short, string};
use super::kind::RecordKind;

/// The feature that says which records the metadata can have.
pub const METADATA_VERSION: &str = "metadata.version";

/// The feature that says which transactions the cluster has (KIP-890): from 1 on the flexible records of
/// `__transaction_state`, from 2 on an epoch of its own for each transaction.
const TRANSACTION_VERSION: &str = "transaction.version";

/// A feature that this program serves, and at which levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupportedFeature {
    /// Its name.
    pub name: &'static str,
    /// The lowest level; where it is 0, a cluster may be without the feature.
    pub min_level: i16,
    /// The highest level, which a new cluster gets.
    pub max_level: i16,
}

/// The features of Kafka 4.1 that are served. The levels of `metadata.version` are 3.3-IV3 and 4.1-IV1.
pub const SUPPORTED_FEATURES: &[SupportedFeature] = &[
    SupportedFeature { name: METADATA_VERSION, min_level: 7, max_level: 27 },
    SupportedFeature { name: TRANSACTION_VERSION, min_level: 0, max_level: 2 },
];

/// A change of features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureRecord {
    /// A feature's finalized level was set.
    FeatureLevel {
        /// The feature, such as `metadata.version`.
        name: Arc<str>,
        /// Its level; 0 removes it.
        level: i16,
    },
}

/// The levels, by name; none is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Features {
    levels: Arc<BTreeMap<Arc<str>, i16>>,
}

impl Features {
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, i16)> {
        self.levels.iter().map(|(name, level)| (&**name, *level))
    }

    pub(super) fn level(&self, name: &str) -> Option<i16> {
        self.levels.get(name).copied()
    }

    /// Answers the feature that changed.
    pub(super) fn replay(&mut self, record: &FeatureRecord) -> Arc<str> {
        match record {
            FeatureRecord::FeatureLevel { name, level: 0 } => {
                Arc::make_mut(&mut self.levels).remove(name);
                Arc::clone(name)
            }
            FeatureRecord::FeatureLevel { name, level } => {
                Arc::make_mut(&mut self.levels).insert(Arc::clone(name), *level);
                Arc::clone(name)
            }
        }
    }

    pub(super) fn to_records(&self) -> impl Iterator<Item = FeatureRecord> {
        let Self { levels } = self;
        levels.iter().map(|(name, level)| FeatureRecord::FeatureLevel { name: Arc::clone(name), level: *level })
    }

    /// The features whose levels are not what they were in `before`.
    pub(super) fn changed_since(&self, before: &Self) -> BTreeSet<Arc<str>> {
        let names = self.levels.keys().chain(before.levels.keys());
        names.filter(|name| self.levels.get(*name) != before.levels.get(*name)).cloned().collect()
    }
}

impl FeatureRecord {
    pub(super) fn kind(&self) -> RecordKind {
        match self {
            Self::FeatureLevel { .. } => RecordKind::FeatureLevel,
        }
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::FeatureLevel { name, level } => {
                put_string(name, buffer);
                buffer.put_i16(*level);
            }
        }
    }

    pub(super) fn decode_feature_level(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::FeatureLevel { name: string(bytes)?.into(), level: short(bytes)? })
    }
}
