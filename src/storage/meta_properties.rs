//! `meta.properties`: whose log directory it is.

use std::collections::HashMap;

use super::{format_uuid, parse_uuid};
use crate::ids::{NodeId, Uuid};

pub(super) const FILE_NAME: &str = "meta.properties";

/// The identity that Kafka (version 1 of the file, since `KRaft`) writes into each log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "these are the file's keys")]
pub(super) struct MetaProperties {
    pub(super) node_id: NodeId,
    pub(super) cluster_id: String,
    /// Kafka 3.7 and later (KIP-858).
    pub(super) directory_id: Option<Uuid>,
}

impl MetaProperties {
    /// The file's text, a Java properties file.
    pub(super) fn to_text(&self) -> String {
        let directory_id = self.directory_id.map(|id| format!("directory.id={}\n", format_uuid(id)));
        let directory_id = directory_id.unwrap_or_default();
        format!("version=1\nnode.id={}\ncluster.id={}\n{directory_id}", self.node_id, self.cluster_id)
    }

    /// Reads the file's text; the error says what is wrong with it.
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
        let properties: HashMap<_, _> = lines.filter_map(|line| line.split_once('=')).collect();
        let property =
            |key: &str| properties.get(key).map(|value| value.trim()).ok_or_else(|| format!("{key} is missing"));
        match property("version")? {
            "1" => {}
            version => return Err(format!("version {version} is not supported")),
        }
        let node_id = property("node.id")?;
        let cluster_id = property("cluster.id")?;
        if cluster_id.is_empty() {
            return Err("cluster.id is empty".to_owned());
        }
        let directory_id =
            property("directory.id").ok().map(|text| parse_uuid(text).ok_or("directory.id is not a uuid"));
        Ok(Self {
            node_id: node_id.parse().map_err(|_| format!("node.id {node_id} is not a number"))?,
            cluster_id: cluster_id.to_owned(),
            directory_id: directory_id.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_file_is_read_and_ours_comes_back() {
        let text = "#\n#Thu Jan 01 00:00:00 UTC 1970\ncluster.id=4L6g3nShT-eMCtK--X86sw\ndirectory.id=AAAAAAAAAAAAAAAAAAAAZQ\nnode.id=3\nversion=1\n";
        let properties = MetaProperties::from_text(text).unwrap();
        assert_eq!((properties.node_id, &*properties.cluster_id), (3, "4L6g3nShT-eMCtK--X86sw"));
        assert_eq!(properties.directory_id, Some(Uuid::from_u128(101)));
        assert_eq!(MetaProperties::from_text(&properties.to_text()), Ok(properties));
    }

    #[test]
    fn damage_is_named() {
        for (text, complaint) in [
            ("", "version is missing"),
            ("version=0\nbroker.id=1\n", "version 0 is not supported"),
            ("version=1\ncluster.id=x\n", "node.id is missing"),
            ("version=1\nnode.id=x\ncluster.id=x\n", "node.id x is not a number"),
            ("version=1\nnode.id=1\ncluster.id=\n", "cluster.id is empty"),
            ("version=1\nnode.id=1\ncluster.id=x\ndirectory.id=?\n", "directory.id is not a uuid"),
        ] {
            assert_eq!(MetaProperties::from_text(text), Err(complaint.to_owned()));
        }
    }
}
