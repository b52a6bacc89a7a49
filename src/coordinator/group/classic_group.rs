//! A classic group: its members, its generation and its offsets.
//!
//! What a record tells is hard state: the last completed generation with its members and assignments, and the offsets.
//! A rebalance under way (who has joined, who waits, the generation it is about to complete) is soft, as in Apache
//! Kafka: it is lost with the machine, and its members join again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::clock::Now;
use crate::ids::TopicName;
use crate::protocol::ErrorCode;
use crate::protocol::coordinator_records::{
    CoordinatorRecord, GroupMetadataKey, GroupMetadataValue, OffsetCommitValue,
};

use super::group_state::GroupState;
use super::member::Member;
use super::record::GroupRecord;
use super::request::{GroupId, MemberId};

/// The protocol type of consumers, whose metadata tells the topics they subscribe to.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// The grace that a group gives when its first members arrive: it is extended while more of them do.
#[derive(Debug, Clone, Copy)]
pub(super) struct InitialDelay {
    /// The delay that runs.
    pub(super) delay: Duration,
    /// How much may follow it.
    pub(super) remaining: Duration,
    /// Whether a member has arrived meanwhile.
    pub(super) new_member_added: bool,
}

/// A group and what it remembers; see the module.
#[derive(Debug, Clone)]
pub(super) struct ClassicGroup {
    pub(super) id: GroupId,
    pub(super) state: GroupState,
    /// Since when, in milliseconds since the Unix epoch; -1 where an old record does not tell.
    pub(super) state_timestamp_ms: i64,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<Arc<str>>,
    pub(super) protocol_name: Option<Arc<str>>,
    pub(super) leader: Option<MemberId>,
    pub(super) members: IndexMap<MemberId, Member>,
    static_members: HashMap<Arc<str>, MemberId>,
    /// Members that know their id and have not joined with it yet (KIP-394).
    pub(super) pending_join: HashSet<MemberId>,
    /// Members that have not asked for the assignment of this generation.
    pub(super) pending_sync: BTreeSet<MemberId>,
    /// Present while the first rebalance of an empty group gathers members.
    pub(super) initial_delay: Option<InitialDelay>,
    /// The last static member that has taken another's place without a rebalance, with more than its record tells.
    pub(super) replacement: Option<(MemberId, Member)>,
    /// Of a consumer group whose members' metadata can be read.
    subscribed_topics: Option<BTreeSet<TopicName>>,
    pub(super) offsets: BTreeMap<TopicName, BTreeMap<i32, OffsetCommitValue>>,
}

impl ClassicGroup {
    /// An empty group that has not had members; one made by a commit of offsets alone stays so (a simple group).
    pub(super) fn new(id: GroupId, timestamp_ms: i64) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            state_timestamp_ms: timestamp_ms,
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: IndexMap::new(),
            static_members: HashMap::new(),
            pending_join: HashSet::new(),
            pending_sync: BTreeSet::new(),
            initial_delay: None,
            replacement: None,
            subscribed_topics: None,
            offsets: BTreeMap::new(),
        }
    }

    /// The group as a record tells it, without its offsets.
    pub(super) fn from_record(key: &GroupMetadataKey, value: &GroupMetadataValue) -> Self {
        let mut group = Self::new(Arc::clone(&key.group), value.current_state_timestamp_ms);
        group.generation = value.generation;
        group.protocol_type = Some(&value.protocol_type).filter(|protocol_type| !protocol_type.is_empty()).cloned();
        group.protocol_name.clone_from(&value.protocol);
        group.leader.clone_from(&value.leader);
        let protocol = value.protocol.clone().unwrap_or_else(|| "".into());
        for member in &value.members {
            group.insert(Arc::clone(&member.member_id), Member::from_record(member, &protocol));
        }
        if !group.members.is_empty() {
            group.state = GroupState::Stable;
        }
        group.subscribed_topics = group.read_subscriptions();
        group
    }

    /// Becomes what a record tells, and keeps what no record tells: who waits and who is awaited, protocols that were
    /// not chosen, and the offsets, which have records of their own.
    pub(super) fn take_over(&mut self, mut recorded: Self) {
        if self.state == GroupState::PreparingRebalance {
            // The record that created the group, written as its first member joined: it tells nothing new.
            return;
        }
        for (member_id, member) in &mut recorded.members {
            if let Some(live) = self.members.get_mut(member_id) {
                if member.protocols.iter().all(|protocol| live.protocols.contains(protocol)) {
                    member.protocols = std::mem::take(&mut live.protocols);
                }
                member.awaiting_join = live.awaiting_join;
                member.awaiting_sync = live.awaiting_sync;
                member.is_new = live.is_new;
            }
        }
        if let Some((member_id, replacement)) = self.replacement.take()
            && let Some(member) = recorded.members.get_mut(&member_id)
        {
            member.protocols = replacement.protocols;
        }
        recorded.pending_join = std::mem::take(&mut self.pending_join);
        recorded.pending_sync = std::mem::take(&mut self.pending_sync);
        recorded.offsets = std::mem::take(&mut self.offsets);
        *self = recorded;
    }

    /// The record of this generation, with `assignments` instead of those the members have.
    pub(super) fn to_record(&self, assignments: Option<&HashMap<MemberId, bytes::Bytes>>) -> GroupRecord {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(member_id, member)| {
            let assignment = match assignments {
                Some(assignments) => assignments.get(member_id).cloned().unwrap_or_default(),
                None => member.assignment.clone(),
            };
            member.to_record(member_id, protocol, assignment)
        });
        GroupRecord::Plain(CoordinatorRecord::GroupMetadata {
            key: GroupMetadataKey { group: Arc::clone(&self.id) },
            value: Some(GroupMetadataValue {
                protocol_type: self.protocol_type.clone().unwrap_or_else(|| "".into()),
                generation: self.generation,
                protocol: self.protocol_name.clone(),
                leader: self.leader.clone(),
                current_state_timestamp_ms: self.state_timestamp_ms,
                members: members.collect(),
            }),
        })
    }

    /// The record that says that the group is gone.
    pub(super) fn tombstone(&self) -> GroupRecord {
        let key = GroupMetadataKey { group: Arc::clone(&self.id) };
        GroupRecord::Plain(CoordinatorRecord::GroupMetadata { key, value: None })
    }

    pub(super) fn transition_to(&mut self, state: GroupState, now: Now) {
        self.state = state;
        self.state_timestamp_ms = now.timestamp_ms;
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(super) fn static_member_id(&self, group_instance_id: &str) -> Option<&MemberId> {
        self.static_members.get(group_instance_id)
    }

    /// Whether this is a member, and not one that another with the same instance id has replaced.
    pub(super) fn validate_member(&self, member_id: &str, group_instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(group_instance_id) = group_instance_id {
            let current = self.static_member_id(group_instance_id).ok_or(ErrorCode::UnknownMemberId)?;
            if **current != *member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Takes in a member; the first one leads and decides the protocol type.
    pub(super) fn add(&mut self, member_id: MemberId, member: Member, protocol_type: &Arc<str>) {
        if self.members.is_empty() {
            self.protocol_type = Some(Arc::clone(protocol_type));
        }
        self.leader.get_or_insert_with(|| Arc::clone(&member_id));
        self.pending_join.remove(&member_id);
        self.insert(member_id, member);
    }

    fn insert(&mut self, member_id: MemberId, member: Member) {
        if let Some(group_instance_id) = &member.group_instance_id {
            self.static_members.insert(Arc::clone(group_instance_id), Arc::clone(&member_id));
        }
        self.members.insert(member_id, member);
    }

    /// Lets a member, or a pending one, go; where it led, another one leads.
    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        let removed = self.members.shift_remove(member_id);
        if let Some(group_instance_id) = removed.as_ref().and_then(|member| member.group_instance_id.as_ref()) {
            self.static_members.remove(group_instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.first().map(|(first, _)| Arc::clone(first));
        }
        self.pending_join.remove(member_id);
        self.pending_sync.remove(member_id);
        removed
    }

    /// Gives the place of a static member to `new_id`.
    pub(super) fn replace_static_member(&mut self, old_id: &str, new_id: &MemberId) {
        let Some((index, _, mut member)) = self.members.shift_remove_full(old_id) else { return };
        member.is_new = false;
        if let Some(group_instance_id) = &member.group_instance_id {
            self.static_members.insert(Arc::clone(group_instance_id), Arc::clone(new_id));
        }
        self.members.shift_insert(index, Arc::clone(new_id), member);
        if self.is_leader(old_id) {
            self.leader = Some(Arc::clone(new_id));
        }
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(Arc::clone(new_id));
        }
    }

    /// Sees to it that the leader is among those who joined; false where nobody did.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(|member| member.awaiting_join.is_some()) {
            return true;
        }
        let joined = self.members.iter().find(|(_, member)| member.awaiting_join.is_some());
        let Some((member_id, _)) = joined else { return false };
        self.leader = Some(Arc::clone(member_id));
        true
    }

    pub(super) fn has_all_members_joined(&self) -> bool {
        self.pending_join.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    /// Whether there is room for the member. While members gather, those who have arrived count, so that the last ones
    /// to rejoin an oversized group are turned away.
    pub(super) fn accepts(&self, member_id: &str, max_size: usize) -> bool {
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                let awaiting = |member: &&Member| member.awaiting_join.is_some();
                self.members.get(member_id).is_some_and(|member| awaiting(&member))
                    || self.members.values().filter(awaiting).count() < max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.members.contains_key(member_id) || self.members.len() < max_size
            }
        }
    }

    /// The longest rebalance timeout of its members.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout_ms);
        Duration::from_millis(timeouts.max().unwrap_or(0).max(0).unsigned_abs().into())
    }

    /// Begins the next generation: with members they agree on a protocol, without them the group is empty.
    pub(super) fn begin_next_generation(&mut self, now: Now) {
        self.generation = self.generation.wrapping_add(1);
        self.protocol_name = self.select_protocol();
        self.subscribed_topics = self.read_subscriptions();
        self.pending_sync.clear();
        self.initial_delay = None;
        let state = if self.members.is_empty() { GroupState::Empty } else { GroupState::CompletingRebalance };
        self.transition_to(state, now);
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether members read the topic; of a consumer group that cannot be read, every topic is assumed.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Whether it is known which topics the members read.
    pub(super) fn knows_subscriptions(&self) -> bool {
        self.subscribed_topics.is_some()
    }

    fn read_subscriptions(&self) -> Option<BTreeSet<TopicName>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_ref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.append(&mut super::subscription::subscribed_topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }
}
