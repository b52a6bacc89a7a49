//! The finalized features and their levels (KIP-584).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::BufMut;

use super::error::DecodeError;
use super::fields::{put_string, short, string};
use super::kind::Kind;

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
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::FeatureLevel { .. } => Kind::FeatureLevel,
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

    pub(super) fn decode_feature_level(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::FeatureLevel { name: string(bytes)?.into(), level: short(bytes)? })
    }
}
