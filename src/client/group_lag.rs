//! How far a group is behind: what each member has, what was committed, and where partitions end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::groups::{GroupDescription, GroupMember};
use super::{ClientError, ClusterClient, CommittedOffset, LATEST};
use crate::ids::TopicPartition;

/// A partition that a member of a group has, or that the group has committed an offset of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPartition {
    /// Which partition.
    pub partition: TopicPartition,
    /// What the group committed last.
    pub committed: Option<CommittedOffset>,
    /// The high watermark; none while nobody leads the partition, or when it is gone.
    pub end: Option<i64>,
    /// The member that has it, as an index into [`GroupDescription::members`].
    pub member: Option<usize>,
}

impl GroupPartition {
    /// How many records are still to be read.
    pub fn lag(&self) -> Option<i64> {
        Some(self.end? - self.committed.as_ref()?.offset)
    }
}

impl ClusterClient {
    /// The partitions of a group as Kafka's tool orders them: members with more partitions first, each with its
    /// partitions by name, and at last those that nobody has.
    pub async fn group_partitions(&mut self, group: &GroupDescription) -> Result<Vec<GroupPartition>, ClientError> {
        let committed = self.committed_offsets(&group.group_id).await?;
        let rows = rows(&group.members, &committed);
        let partitions: BTreeSet<_> = rows.iter().map(|(one, _)| one.clone()).collect();
        let ends = self.ends(&partitions.into_iter().collect::<Vec<_>>()).await?;
        let rows = rows.into_iter().map(|(partition, member)| GroupPartition {
            committed: committed.get(&partition).cloned(),
            end: ends.get(&partition).copied(),
            partition,
            member,
        });
        Ok(rows.collect())
    }

    /// The high watermarks of those partitions that somebody leads.
    async fn ends(&mut self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, i64>, ClientError> {
        let leaders = self.leaders(partitions).await?;
        let led = leaders.into_iter().filter(|(_, leader)| leader.is_ok());
        let wanted: Vec<_> = led.map(|(partition, _)| (partition, LATEST)).collect();
        let listed = self.list_offsets(&wanted, false).await?;
        Ok(listed.into_iter().filter_map(|(partition, listed)| Some((partition, listed.ok()?.offset))).collect())
    }
}

fn rows(
    members: &[GroupMember],
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Vec<(TopicPartition, Option<usize>)> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    let assigned_to = |member: usize| members.get(member).map_or(&[][..], |member| &member.assignment);
    order.sort_by_key(|member| std::cmp::Reverse(assigned_to(*member).len()));
    let mut rows = Vec::new();
    for member in order {
        let assigned: BTreeSet<_> = assigned_to(member).iter().cloned().collect();
        rows.extend(assigned.into_iter().map(|partition| (partition, Some(member))));
    }
    let assigned: BTreeSet<_> = rows.iter().map(|(partition, _)| partition.clone()).collect();
    rows.extend(committed.keys().filter(|one| !assigned.contains(one)).map(|one| (one.clone(), None)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn member(partitions: &[i32]) -> GroupMember {
        GroupMember {
            member_id: String::new(),
            instance_id: None,
            client_id: String::new(),
            host: String::new(),
            assignment: partitions.iter().map(|partition| t(*partition)).collect(),
            target: None,
            is_upgraded: None,
        }
    }

    #[test]
    fn members_with_more_come_first_and_what_nobody_has_comes_last() {
        let committed = CommittedOffset { offset: 3, leader_epoch: None, metadata: String::new() };
        let committed = BTreeMap::from([(t(0), committed.clone()), (t(9), committed)]);
        let rows = rows(&[member(&[0]), member(&[2, 1]), member(&[])], &committed);
        assert_eq!(rows, [(t(1), Some(1)), (t(2), Some(1)), (t(0), Some(0)), (t(9), None)]);
    }

    #[test]
    fn there_is_no_lag_without_a_commit_or_an_end() {
        let committed = Some(CommittedOffset { offset: 3, leader_epoch: None, metadata: String::new() });
        let row = GroupPartition { partition: t(0), committed, end: Some(5), member: None };
        assert_eq!(row.lag(), Some(2));
        assert_eq!(GroupPartition { end: None, ..row.clone() }.lag(), None);
        assert_eq!(GroupPartition { committed: None, ..row }.lag(), None);
    }
}
