//! Groups: which there are, and what each is doing (ListGroups, DescribeGroups, KIP-848).

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, GroupId, LeaveGroupRequest,
    ListGroupsRequest, consumer_group_describe_response, describe_groups_response, leave_group_request,
};
use kafka_protocol::protocol::{Request, StrBytes};

use super::{ClientError, ClusterClient, To};
use crate::config::HostPort;
use crate::ids::{NodeId, TopicPartition};
use crate::protocol::ErrorCode;

/// The protocol type of consumers; a group that only holds offsets has none.
const CONSUMER: &str = "consumer";
/// What the coordinator is told of a member's removal.
const REMOVAL: &str = "the member was removed by an administrator";
/// How a group of KIP-848 tells a member that speaks the classic protocol, and one that does not.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

/// A group as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub group_id: String,
    /// What its members call what they do, such as `consumer` or `connect`; empty where it never had members.
    pub protocol_type: String,
    /// Its state, such as `Stable`; brokers before Kafka 2.6 do not tell.
    pub state: Option<String>,
    /// `classic` or `consumer`, in whichever case the broker prefers; brokers before Kafka 3.8 do not tell.
    pub group_type: Option<String>,
}

impl GroupListing {
    /// Whether consumers are in it, or at least their offsets.
    pub fn is_of_consumers(&self) -> bool {
        self.protocol_type.is_empty() || self.protocol_type == CONSUMER
    }
}

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group_id: String,
    /// The broker that coordinates it.
    pub coordinator: NodeId,
    /// Where that broker is.
    pub coordinator_address: HostPort,
    /// What its members call what they do, such as `consumer`.
    pub protocol_type: String,
    /// Its state, such as `Stable`.
    pub state: String,
    /// How partitions are assigned, such as `range`; empty without members.
    pub assignor: String,
    /// The epochs of the group and of its target assignment, of groups that have them (KIP-848).
    pub epochs: Option<(i32, i32)>,
    /// Its members, in the coordinator's order.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`, of a static member.
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// The partitions that it has. None where the group assigns anything else.
    pub assignment: Vec<TopicPartition>,
    /// Its epoch and the partitions that it shall have, in groups that have epochs (KIP-848).
    pub target: Option<(i32, Vec<TopicPartition>)>,
    /// Whether it speaks the protocol of KIP-848, in groups that know.
    pub is_upgraded: Option<bool>,
}

/// Members to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberToRemove {
    /// A member by its id.
    Dynamic(String),
    /// A static member by its `group.instance.id`.
    Static(String),
}

impl GroupMember {
    /// How the member is named to be removed: a static one by what stays the same when it returns.
    pub fn to_remove(&self) -> MemberToRemove {
        match &self.instance_id {
            Some(instance_id) => MemberToRemove::Static(instance_id.clone()),
            None => MemberToRemove::Dynamic(self.member_id.clone()),
        }
    }
}

impl ClusterClient {
    /// The groups of all brokers by id: only those in one of `states` and of one of `types`, where any are given.
    pub async fn list_groups(&mut self, states: &[&str], types: &[&str]) -> Result<Vec<GroupListing>, ClientError> {
        let wire = |words: &[&str]| words.iter().map(|word| StrBytes::from_string((*word).to_owned())).collect();
        let request = ListGroupsRequest::default().with_states_filter(wire(states)).with_types_filter(wire(types));
        let mut groups = BTreeMap::new();
        for broker in self.broker_ids() {
            let listed = self.retry(async |client| {
                let response = client.ask(To::Broker(broker), &request).await?;
                ClientError::check(response.error_code, None)?;
                Ok(response.groups)
            });
            for group in listed.await? {
                let told = |text: &StrBytes| Some(text.to_string()).filter(|text| !text.is_empty());
                let listing = GroupListing {
                    group_id: group.group_id.to_string(),
                    protocol_type: group.protocol_type.to_string(),
                    state: told(&group.group_state),
                    group_type: told(&group.group_type),
                };
                groups.insert(listing.group_id.clone(), listing);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// A group and its members. It is asked for as a group of KIP-848 first, and then as a classic one, as Kafka's
    /// admin client does; brokers before Kafka 4.0 answer for a group that is not there with the state `Dead`.
    pub async fn describe_group(&mut self, group_id: &str) -> Result<GroupDescription, ClientError> {
        match self.describe_consumer_group(group_id).await {
            Err(error) if error.is_unserved() || error.code() == Some(ErrorCode::GroupIdNotFound) => {
                self.describe_classic_group(group_id).await
            }
            outcome => outcome,
        }
    }

    async fn describe_consumer_group(&mut self, group_id: &str) -> Result<GroupDescription, ClientError> {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![wire_group(group_id)]);
        let described = self.ask_coordinator(group_id, i16::MAX, &request, |mut response| {
            let group = response.groups.pop().ok_or_else(|| not_told(group_id))?;
            ClientError::check(group.error_code, group.error_message.as_deref())?;
            Ok(group)
        });
        let (coordinator, group) = described.await?;
        Ok(GroupDescription {
            group_id: group_id.to_owned(),
            coordinator,
            coordinator_address: self.address_of(coordinator)?,
            protocol_type: CONSUMER.to_owned(),
            state: group.group_state.to_string(),
            assignor: group.assignor_name.to_string(),
            epochs: Some((group.group_epoch, group.assignment_epoch)),
            members: group.members.iter().map(consumer_member).collect(),
        })
    }

    async fn describe_classic_group(&mut self, group_id: &str) -> Result<GroupDescription, ClientError> {
        let request = DescribeGroupsRequest::default().with_groups(vec![wire_group(group_id)]);
        let described = self.ask_coordinator(group_id, i16::MAX, &request, |mut response| {
            let group = response.groups.pop().ok_or_else(|| not_told(group_id))?;
            ClientError::check(group.error_code, group.error_message.as_deref())?;
            Ok(group)
        });
        let (coordinator, group) = described.await?;
        Ok(GroupDescription {
            group_id: group_id.to_owned(),
            coordinator,
            coordinator_address: self.address_of(coordinator)?,
            protocol_type: group.protocol_type.to_string(),
            state: group.group_state.to_string(),
            assignor: group.protocol_data.to_string(),
            epochs: None,
            members: group.members.iter().map(|member| classic_member(member, &group.protocol_type)).collect(),
        })
    }

    /// Deletes a group with its offsets; it must have no members.
    pub async fn delete_group(&mut self, group_id: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![wire_group(group_id)]);
        let deleted = self.ask_coordinator(group_id, i16::MAX, &request, |response| {
            let result = response.results.first().ok_or_else(|| not_told(group_id))?;
            ClientError::check(result.error_code, None)
        });
        deleted.await.map(|_| ())
    }

    /// Removes members from a group (KIP-345), each with what came of it; those that live join again.
    pub async fn remove_members(
        &mut self,
        group_id: &str,
        members: &[MemberToRemove],
    ) -> Result<Vec<(MemberToRemove, Result<(), ErrorCode>)>, ClientError> {
        let identity = |member: &MemberToRemove| {
            let named = leave_group_request::MemberIdentity::default().with_reason(Some(REMOVAL.to_owned().into()));
            match member {
                MemberToRemove::Dynamic(id) => named.with_member_id(id.clone().into()),
                MemberToRemove::Static(id) => named.with_group_instance_id(Some(id.clone().into())),
            }
        };
        let request = LeaveGroupRequest::default()
            .with_group_id(wire_group(group_id))
            .with_members(members.iter().map(identity).collect());
        let left = self.ask_coordinator(group_id, i16::MAX, &request, |response| {
            ClientError::check(response.error_code, None)?;
            Ok(response.members)
        });
        let (_, answers) = left.await?;
        let outcomes = answers.iter().map(|answer| {
            let member = match &answer.group_instance_id {
                Some(id) => MemberToRemove::Static(id.to_string()),
                None => MemberToRemove::Dynamic(answer.member_id.to_string()),
            };
            (member, ErrorCode::try_from_code(answer.error_code).map_or(Ok(()), Err))
        });
        Ok(outcomes.collect())
    }

    /// Asks the coordinator of a group; `read` takes what is wanted out of the answer, or the error that it holds. While
    /// that may be answered later, the coordinator is looked for anew.
    pub(super) async fn ask_coordinator<R: Request, T>(
        &mut self,
        group_id: &str,
        newest: i16,
        request: &R,
        read: impl Fn(R::Response) -> Result<T, ClientError>,
    ) -> Result<(NodeId, T), ClientError> {
        self.retry(async |client| {
            let coordinator = client.find_coordinator(group_id).await?;
            let response = client.ask_at_most(To::Broker(coordinator), newest, request).await?;
            Ok((coordinator, read(response)?))
        })
        .await
    }
}

/// A group's id as messages hold it.
pub(super) fn wire_group(group_id: &str) -> GroupId {
    StrBytes::from_string(group_id.to_owned()).into()
}

fn not_told(group_id: &str) -> ClientError {
    ClientError::NoBroker(format!("the coordinator does not speak of group {group_id}"))
}

fn consumer_member(member: &consumer_group_describe_response::Member) -> GroupMember {
    let partitions = |assignment: &consumer_group_describe_response::Assignment| -> Vec<TopicPartition> {
        let topics = assignment.topic_partitions.iter();
        topics.flat_map(|topic| of_topic(topic.topic_name.as_str(), topic.partitions.iter().copied())).collect()
    };
    GroupMember {
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: partitions(&member.assignment),
        target: Some((member.member_epoch, partitions(&member.target_assignment))),
        is_upgraded: match member.member_type {
            CLASSIC_MEMBER => Some(false),
            CONSUMER_MEMBER => Some(true),
            _ => None,
        },
    }
}

fn classic_member(member: &describe_groups_response::DescribedGroupMember, protocol_type: &str) -> GroupMember {
    let assignment = (protocol_type == CONSUMER).then(|| assigned_partitions(&member.member_assignment));
    GroupMember {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        // What a member was assigned is for its leader to encode; bytes that are no assignment assign nothing.
        assignment: assignment.flatten().unwrap_or_default(),
        target: None,
        is_upgraded: None,
    }
}

fn of_topic(topic: &str, partitions: impl Iterator<Item = i32>) -> Vec<TopicPartition> {
    partitions.map(|partition| TopicPartition::new(topic, partition)).collect()
}

/// The partitions of a `ConsumerProtocolAssignment`, or `None` where the bytes are no such thing. All versions begin like
/// version 0: the version as an int16, an array of topic names with arrays of partitions, user data.
fn assigned_partitions(assignment: &Bytes) -> Option<Vec<TopicPartition>> {
    let mut rest = &assignment[..];
    let _version = rest.try_get_i16().ok()?;
    let topics = rest.try_get_i32().ok()?;
    let mut assigned = Vec::new();
    for _ in 0..topics {
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        let name = std::str::from_utf8(name).ok()?;
        rest = after;
        for _ in 0..rest.try_get_i32().ok()? {
            assigned.push(TopicPartition::new(name, rest.try_get_i32().ok()?));
        }
    }
    Some(assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_whatever_follows_it() {
        let bytes = b"\0\x01\0\0\0\x02\0\x01b\0\0\0\x01\0\0\0\x07\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff";
        let expected = [("b", 7), ("a", 0), ("a", 1)].map(|(topic, partition)| TopicPartition::new(topic, partition));
        assert_eq!(assigned_partitions(&Bytes::from_static(bytes)), Some(expected.to_vec()));
    }

    #[test]
    fn anything_else_assigns_nothing() {
        for bytes in [&b""[..], b"all", b"\0\0\x7f\xff\xff\xff", b"\0\0\0\0\0\x01\0\x01a\x7f\xff\xff\xff\0\0\0\0"] {
            assert_eq!(assigned_partitions(&Bytes::from_static(bytes)), None, "{bytes:?}");
        }
    }
}
