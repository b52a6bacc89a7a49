//! The cluster itself: its id.

use std::sync::Arc;

use super::error::MetadataDecodeError;
use super::fields::{put_string, string};
use super::kind::RecordKind;

/// A change of the cluster itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterRecord {
    /// The cluster got its id; once in a cluster's life.
    ClusterId(Arc<str>),
}

/// What is known of the cluster itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) id: Arc<str>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { id: Arc::from("") }
    }
}

impl Cluster {
    pub(super) fn replay(&mut self, record: &ClusterRecord) {
        match record {
            ClusterRecord::ClusterId(id) => self.id = Arc::clone(id),
        }
    }

    pub(super) fn to_records(&self) -> impl Iterator<Item = ClusterRecord> {
        let Self { id } = self;
        (!id.is_empty()).then(|| ClusterRecord::ClusterId(Arc::clone(id))).into_iter()
    }
}

impl ClusterRecord {
    pub(super) fn kind(&self) -> RecordKind {
        match self {
            Self::ClusterId(_) => RecordKind::ClusterId,
        }
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::ClusterId(id) => put_string(id, buffer),
        }
    }

    pub(super) fn decode_cluster_id(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::ClusterId(string(bytes)?.into()))
    }
}
