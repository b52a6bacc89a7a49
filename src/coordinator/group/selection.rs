//! Which protocol a classic group follows.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::classic_group::ClassicGroup;
use super::group_state::GroupState;
use super::request::Protocol;

impl ClassicGroup {
    /// Whether a member with these protocols fits: an empty group takes any, another one needs the same protocol type
    /// and one protocol that all its members support.
    pub(super) fn supports_protocols(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| self.all_members_support(&protocol.name))
    }

    /// Every member votes for its favourite among the protocols that all support; the most votes win, and of equals
    /// the one that was voted for first. `None` without members.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let (_, first) = self.members.first()?;
        let names = first.protocols.iter().map(|protocol| &protocol.name);
        let candidates: BTreeSet<_> = names.filter(|name| self.all_members_support(name)).collect();
        let mut votes: Vec<(&Arc<str>, usize)> = Vec::new();
        for vote in self.members.values().filter_map(|member| member.vote(&candidates)) {
            match votes.iter_mut().find(|(name, _)| *name == vote) {
                Some((_, count)) => *count += 1,
                None => votes.push((vote, 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        votes.iter().find(|(_, count)| *count == most).map(|(name, _)| Arc::clone(name))
    }

    fn all_members_support(&self, name: &str) -> bool {
        self.members.values().all(|member| member.protocols.iter().any(|protocol| &*protocol.name == name))
    }
}
