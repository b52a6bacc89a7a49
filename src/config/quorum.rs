//! The syntax of `controller.quorum.voters`.

use std::fmt;

use super::listener::HostPort;
use super::value::FromValue;
use crate::ids::NodeId;

/// One node that votes in the metadata quorum, and where the others reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumVoter {
    /// Its `node.id`.
    pub id: NodeId,
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port of its controller listener.
    pub port: u16,
}

/// As in the configuration: `id@host:port`.
impl fmt::Display for QuorumVoter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.id, HostPort { host: self.host.clone(), port: self.port })
    }
}

impl FromValue for QuorumVoter {
    fn from_value(text: &str) -> Result<Self, String> {
        let unreadable = || format!("\"{text}\" is not of the form id@host:port");
        let (id, address) = text.split_once('@').ok_or_else(unreadable)?;
        let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        let id = id.parse().ok().filter(|_| is_number).ok_or_else(|| format!("\"{id}\" is not a node id"))?;
        let HostPort { host, port } = HostPort::from_value(address)?;
        if host.is_empty() {
            return Err(unreadable());
        }
        if port == 0 {
            return Err(format!("\"{text}\" has port 0, by which nobody can reach it"));
        }
        Ok(Self { id, host, port })
    }
}

/// All voters, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct VoterList(pub(super) Vec<QuorumVoter>);

impl FromValue for VoterList {
    fn from_value(text: &str) -> Result<Self, String> {
        let mut voters: Vec<QuorumVoter> = Vec::new();
        for element in text.split(',').map(str::trim).filter(|element| !element.is_empty()) {
            let voter = QuorumVoter::from_value(element)?;
            if let Some(other) = voters.iter().find(|other| other.id == voter.id) {
                return Err(format!("{other} and {voter} have the same node id"));
            }
            if let Some(other) = voters.iter().find(|other| (&other.host, other.port) == (&voter.host, voter.port)) {
                return Err(format!("{other} and {voter} are the same address"));
            }
            voters.push(voter);
        }
        voters.sort_by_key(|voter| voter.id);
        Ok(Self(voters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_are_read_in_the_order_of_their_ids() {
        let VoterList(voters) = VoterList::from_value(" 3@c:9093,1@[::1]:9093, 2@10.0.0.2:19093,").unwrap();
        let texts: Vec<_> = voters.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["1@[::1]:9093", "2@10.0.0.2:19093", "3@c:9093"]);
        assert_eq!(VoterList::from_value(""), Ok(VoterList::default()));
    }

    #[test]
    fn what_is_no_list_of_voters_is_refused_with_the_reason() {
        for (text, reason) in [
            ("a:9093", "not of the form id@host:port"),
            ("1@:9093", "not of the form id@host:port"),
            ("x@a:9093", "\"x\" is not a node id"),
            ("-1@a:9093", "\"-1\" is not a node id"),
            ("4294967296@a:9093", "is not a node id"),
            ("1@a", "not of the form host:port"),
            ("1@a:70000", "is not a port between 0 and 65535"),
            ("1@a:0", "port 0"),
            ("1@a:1,1@b:1", "1@a:1 and 1@b:1 have the same node id"),
            ("1@a:1,2@a:1", "the same address"),
        ] {
            let error = VoterList::from_value(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
