//! Recognises groups that begin at the end of a topic that has records. Pure.
//!
//! A group without a committed offset begins where its consumers say, and in most clients that is the end: whoever first
//! produces and then starts a consumer sees nothing. From here it looks like this: a consumer joins a group, learns that the
//! group has no offset for a partition, and asks for the partition's end. The last question names no group, and comes on
//! another connection, so that the client's address and id tell who asks. Tools that ask for a group's offsets and for the
//! ends, to show how far behind it is, do not join it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::clock::Monotonic;
use crate::ids::TopicName;

/// How long after the answer about the group's offsets a consumer asks for the ends of partitions, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many memberships are remembered, and how many partitions of each; of more memberships, the oldest are forgotten.
const MAX_MEMBERS: usize = 1_000;
const MAX_PARTITIONS: usize = 1_000;

/// How many groups and topics are spoken of, once each.
const MAX_HINTS: usize = 1_000;

/// A client, as far as it can be told from others: its address and its id.
pub type ClientIdentity = (IpAddr, Arc<str>);

/// A group that begins at the end of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromTheEnd {
    /// The group.
    pub group: Box<str>,
    /// The topic.
    pub topic: TopicName,
    /// The partitions for which it has no offset.
    pub partitions: Vec<i32>,
}

/// What a member of a group has learnt.
#[derive(Debug, Default)]
struct Joined {
    learnt_at: Monotonic,
    /// Partitions for which its group has no offset, by topic.
    without_offset: HashMap<TopicName, Vec<i32>>,
}

/// The machine that recognises them.
#[derive(Debug, Default)]
pub struct GroupsFromTheEnd {
    members: IndexMap<(ClientIdentity, Box<str>), Joined>,
    spoken_of: HashSet<(Box<str>, TopicName)>,
}

impl GroupsFromTheEnd {
    /// A client joins a group.
    pub fn joined(&mut self, client: ClientIdentity, group: &str) {
        let key = (client, group.into());
        self.members.shift_remove(&key);
        if self.members.len() == MAX_MEMBERS {
            self.members.shift_remove_index(0);
        }
        self.members.insert(key, Joined::default());
    }

    /// A client learns for which partitions a group has no offset.
    pub fn learnt(
        &mut self,
        client: ClientIdentity,
        group: &str,
        without: impl Iterator<Item = (TopicName, i32)>,
        now: Monotonic,
    ) {
        let Some(membership) = self.members.get_mut(&(client, group.into())) else { return };
        *membership = Joined { learnt_at: now, ..Joined::default() };
        for (topic, partition) in without.take(MAX_PARTITIONS) {
            membership.without_offset.entry(topic).or_default().push(partition);
        }
    }

    /// A client asks for the ends of `partitions` of `topic`. If that is how a group begins: which group, and for which
    /// partitions of the topic it has no offset.
    pub fn asked_for_ends(
        &mut self,
        client: &ClientIdentity,
        topic: &str,
        partitions: &[i32],
        now: Monotonic,
    ) -> Option<FromTheEnd> {
        let is_it = |membership: &Joined| {
            now <= membership.learnt_at + PATIENCE
                && membership
                    .without_offset
                    .get(topic)
                    .is_some_and(|without| partitions.iter().any(|it| without.contains(it)))
        };
        // Of several groups of one client, it is the one that has just learnt.
        let candidates =
            self.members.iter_mut().filter(|((other, _), membership)| other == client && is_it(membership));
        let ((_, group), membership) = candidates.max_by_key(|(_, membership)| membership.learnt_at)?;
        // Some clients ask for one partition after the other: all are told of at the first.
        let (topic, partitions) = membership.without_offset.remove_entry(topic)?;
        Some(FromTheEnd { group: group.clone(), topic, partitions })
    }

    /// Whether it is worth a line that this group passes over records: once for each group and topic.
    pub fn is_news(&mut self, found: &FromTheEnd) -> bool {
        self.spoken_of.len() < MAX_HINTS && self.spoken_of.insert((found.group.clone(), TopicName::clone(&found.topic)))
    }
}

impl FromTheEnd {
    /// The line for the log: so many records lie before the end, and `software` is what the client says it is.
    pub fn hint(&self, skipped: u64, software: Option<&str>) -> String {
        let Self { group, topic, .. } = self;
        let setting = match software {
            Some("kafka-python" | "aiokafka") => "auto_offset_reset='earliest'",
            Some(_) => "auto.offset.reset=earliest",
            None => "auto.offset.reset=earliest, or as the client spells it",
        };
        let records = if skipped == 1 { "1 older record is" } else { &format!("{skipped} older records are") };
        format!("group {group} starts at the end of {topic} ({records} skipped); to replay: {setting}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Duration::from_secs(100);

    fn client(id: &str) -> ClientIdentity {
        ([127, 0, 0, 1].into(), id.into())
    }

    /// A client with the id `c` joins `group` and learns about two partitions of `payments`.
    fn learn(machine: &mut GroupsFromTheEnd, group: &str, now: Monotonic) {
        machine.joined(client("c"), group);
        machine.learnt(client("c"), group, [0, 1].map(|partition| ("payments".into(), partition)).into_iter(), now);
    }

    /// The group that begins as that client asks, with the partitions that it begins with.
    fn ask(machine: &mut GroupsFromTheEnd, partitions: &[i32]) -> Option<(String, Vec<i32>)> {
        let found = machine.asked_for_ends(&client("c"), "payments", partitions, NOW + Duration::from_secs(1))?;
        Some((found.group.into(), found.partitions))
    }

    #[test]
    fn a_group_that_begins_at_the_end_is_found_with_all_its_partitions() {
        let mut machine = GroupsFromTheEnd::default();
        learn(&mut machine, "g", NOW);
        assert_eq!(ask(&mut machine, &[7]), None, "of that partition nothing was learnt");
        assert_eq!(ask(&mut machine, &[1, 7]), Some(("g".to_owned(), vec![0, 1])));
        assert_eq!(ask(&mut machine, &[0]), None, "all were told of");
    }

    #[test]
    fn it_is_news_once() {
        let mut machine = GroupsFromTheEnd::default();
        let found = |group: &str| FromTheEnd { group: group.into(), topic: "payments".into(), partitions: vec![0] };
        assert!(machine.is_news(&found("a")) && machine.is_news(&found("b")) && !machine.is_news(&found("a")));
        assert_eq!(
            found("a").hint(3, Some("kafka-python")),
            "group a starts at the end of payments (3 older records are skipped); to replay: auto_offset_reset='earliest'"
        );
        assert!(
            found("a")
                .hint(1, Some("apache-kafka-java"))
                .ends_with("(1 older record is skipped); to replay: auto.offset.reset=earliest")
        );
    }

    #[test]
    fn tools_that_do_not_join_are_passed_over() {
        let mut machine = GroupsFromTheEnd::default();
        machine.learnt(client("c"), "g", [("payments".into(), 0)].into_iter(), NOW);
        assert_eq!(ask(&mut machine, &[0]), None);
        learn(&mut machine, "g", NOW);
        assert_eq!(machine.asked_for_ends(&client("tool"), "payments", &[0], NOW), None, "it is somebody else");
        let late = NOW + PATIENCE + Duration::from_secs(1);
        assert_eq!(machine.asked_for_ends(&client("c"), "payments", &[0], late), None, "it looks at its lag");
    }

    #[test]
    fn of_several_groups_of_a_client_it_is_the_one_that_has_just_learnt() {
        let mut machine = GroupsFromTheEnd::default();
        learn(&mut machine, "first", NOW);
        learn(&mut machine, "second", NOW + Duration::from_millis(1));
        assert_eq!(ask(&mut machine, &[0]).map(|(group, _)| group).as_deref(), Some("second"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut machine = GroupsFromTheEnd::default();
        for index in 0..MAX_MEMBERS + 10 {
            let group = format!("g{index}");
            machine.joined(client("c"), &group);
            let without = (0..MAX_PARTITIONS as i32 + 10).map(|partition| ("payments".into(), partition));
            machine.learnt(client("c"), &group, without, NOW);
            machine.is_news(&FromTheEnd { group: group.into(), topic: "payments".into(), partitions: Vec::new() });
        }
        assert_eq!((machine.members.len(), machine.spoken_of.len()), (MAX_MEMBERS, MAX_HINTS));
        let partitions = |membership: &Joined| membership.without_offset.values().map(Vec::len).sum::<usize>();
        assert!(machine.members.values().all(|membership| partitions(membership) == MAX_PARTITIONS));
    }
}
