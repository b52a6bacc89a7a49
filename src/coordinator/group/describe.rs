//! Looking at groups, and deleting them.

use std::sync::Arc;

use crate::protocol::ErrorCode;
use crate::state_machine::Effects;

use super::GroupCoordinator;
use super::group_state::GroupState;
use super::offsets::offset_tombstone;
use super::request::ListRequest;
use super::response::{DescribedGroup, ListedGroup};

/// The only type of group that there is so far; the others are those of KIP-848, KIP-932 and KIP-1071.
const CLASSIC: &str = "classic";

impl GroupCoordinator {
    /// A group in full; metadata is told of a stable group only, since before that no protocol is agreed on.
    pub(super) fn describe(&self, group_id: &str) -> Option<DescribedGroup> {
        let group = self.groups.get(group_id)?;
        let protocol = group.protocol_name.clone().filter(|_| group.state == GroupState::Stable);
        let protocol_name = protocol.unwrap_or_else(|| "".into());
        let members = group.members.iter().map(|(member_id, member)| member.described(member_id, &protocol_name));
        Some(DescribedGroup {
            state: group.state,
            protocol_type: group.protocol_type.clone().unwrap_or_else(|| "".into()),
            members: members.collect(),
            protocol_name,
        })
    }

    /// The groups that pass the filters, in no particular order.
    pub(super) fn list(&self, request: &ListRequest) -> Vec<ListedGroup> {
        // As in Kafka, a type has to be written without spaces around it. One that is unknown is no group's.
        let is_listed =
            request.types.is_empty() || request.types.iter().any(|wanted| wanted.eq_ignore_ascii_case(CLASSIC));
        let passes = |state: GroupState| {
            let is_wanted = |wanted: &String| wanted.trim().eq_ignore_ascii_case(&state.to_string());
            request.states.is_empty() || request.states.iter().any(is_wanted)
        };
        let groups = self.groups.values().filter(|group| is_listed && passes(group.state));
        let listed = groups.map(|group| ListedGroup {
            group_id: Arc::clone(&group.id),
            protocol_type: group.protocol_type.clone().unwrap_or_else(|| "".into()),
            state: group.state,
            group_type: CLASSIC,
        });
        listed.collect()
    }

    /// Deletes an empty group with its offsets, also those of transactions that have not ended.
    pub(super) fn delete(&mut self, group_id: &str, effects: &mut Effects<Self>) -> Result<(), ErrorCode> {
        let group = self.groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        if group.state != GroupState::Empty {
            return Err(ErrorCode::NonEmptyGroup);
        }
        // Unlike Kafka, which could not delete a group whose tombstones take more than one batch.
        effects.is_atomic = false;
        effects.records.extend(group.offset_tombstones());
        let pending = self.pending_offsets.partitions(group_id);
        let pending = pending.filter(|(topic, partition)| !group.has_offset(topic, *partition));
        effects.records.extend(pending.map(|(topic, partition)| offset_tombstone(&group.id, &topic, partition)));
        effects.record(group.tombstone());
        Ok(())
    }
}
