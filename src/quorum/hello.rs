//! What a node says of itself to those it shall form a quorum with.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use super::encoding::{invalid, put_count};
use super::rpc::{VoterKey, put_text, put_voter, text, voter};
use crate::config::QuorumVoter;
use crate::ids::{NodeId, Uuid};

/// What all nodes of this version understand.
const VERSION: u8 = 1;

/// A node, as it is before it has a log and while it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    pub(super) node: VoterKey,
    /// Of this run of its process; its broker registers with the same.
    pub(super) incarnation: Uuid,
    /// The cluster that it belongs to, or is to belong to; `None` where any will do.
    pub(super) cluster_id: Option<Arc<str>>,
    /// Who is to vote, as it was told.
    pub(super) voters: String,
    /// Whether it has neither an entry nor a vote.
    pub(super) is_empty: bool,
    /// The directories that its log knows the voters by; none while it knows no voters.
    pub(super) directories: BTreeMap<NodeId, Uuid>,
}

impl Hello {
    /// The node `id` before it has a log, which was told of these `voters`, in the order of their ids.
    pub fn new(
        (id, directory_id): (NodeId, Uuid),
        incarnation: Uuid,
        cluster_id: Option<Arc<str>>,
        voters: &[QuorumVoter],
    ) -> Self {
        let voters: Vec<_> = voters.iter().map(ToString::to_string).collect();
        let (node, voters) = (VoterKey { id, directory_id }, voters.join(","));
        Self { node, incarnation, cluster_id, voters, is_empty: true, directories: BTreeMap::new() }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut buffer = Vec::with_capacity(256);
        buffer.put_u8(VERSION);
        put_voter(self.node, &mut buffer);
        buffer.put_u128(self.incarnation.as_u128());
        put_text(self.cluster_id.as_deref().unwrap_or_default(), &mut buffer);
        put_text(&self.voters, &mut buffer);
        buffer.put_u8(u8::from(self.is_empty));
        put_count(self.directories.len(), &mut buffer);
        for (id, directory_id) in &self.directories {
            put_voter(VoterKey { id: *id, directory_id: *directory_id }, &mut buffer);
        }
        buffer.into()
    }

    pub(super) fn decode(mut message: &[u8]) -> io::Result<Self> {
        let bytes = &mut message;
        let version = bytes.try_get_u8()?;
        if version != VERSION {
            return Err(invalid(format!("it greets in version {version}, which is not known here")));
        }
        let node = voter(bytes)?;
        let incarnation = Uuid::from_u128(bytes.try_get_u128()?);
        let cluster_id = Some(text(bytes)?).filter(|id| !id.is_empty()).map(Into::into);
        let voters = text(bytes)?.to_owned();
        let is_empty = bytes.try_get_u8()? != 0;
        let mut directories = BTreeMap::new();
        for _ in 0..bytes.try_get_u32()? {
            let VoterKey { id, directory_id } = voter(bytes)?;
            directories.insert(id, directory_id);
        }
        if !bytes.is_empty() {
            return Err(invalid("its greeting is too long"));
        }
        Ok(Self { node, incarnation, cluster_id, voters, is_empty, directories })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_comes_back_as_it_was_and_a_damaged_one_is_refused() {
        let node = VoterKey { id: 2, directory_id: Uuid::from_u128(7) };
        let mut hello = Hello {
            node,
            incarnation: Uuid::from_u128(9),
            cluster_id: Some("cluster".into()),
            voters: "1@a:1,2@b:2".to_owned(),
            is_empty: false,
            directories: [(1, Uuid::from_u128(6)), (2, Uuid::from_u128(7))].into(),
        };
        let bytes = hello.encode();
        assert_eq!(Hello::decode(&bytes).unwrap(), hello);
        for cut in 0..bytes.len() {
            assert!(Hello::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Hello::decode(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Hello::decode(&[&[2], &bytes[1..]].concat()).is_err());
        hello = Hello { cluster_id: None, is_empty: true, directories: BTreeMap::new(), ..hello };
        assert_eq!(Hello::decode(&hello.encode()).unwrap(), hello);
    }
}
