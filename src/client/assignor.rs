//! Who reads which partitions of a group's topics, as the member that leads the group decides it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{TopicName, TopicPartition};

/// A way to share partitions out; every member of a group must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assignor {
    /// Of each topic, a run of neighbours for each member (Kafka's `RangeAssignor`).
    Range,
    /// Of all topics together, one after the other in turns (Kafka's `RoundRobinAssignor`).
    RoundRobin,
}

/// The topics of each member, by member id.
pub(super) type Subscriptions = BTreeMap<String, BTreeSet<TopicName>>;

/// The partitions of each member, by member id.
pub(super) type Assignments = BTreeMap<String, Vec<TopicPartition>>;

impl Assignor {
    /// Every way that we know, the one we like best first.
    pub(super) const ALL: [Self; 2] = [Self::Range, Self::RoundRobin];

    /// Its name among a group's members.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }

    /// The way of this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Shares the partitions of topics, of which `counts` says how many there are, out to their subscribers.
    pub(super) fn assign(self, subscriptions: &Subscriptions, counts: &BTreeMap<TopicName, i32>) -> Assignments {
        let mut assignments: Assignments = subscriptions.keys().map(|member| (member.clone(), Vec::new())).collect();
        match self {
            Self::Range => {
                for (topic, count) in counts {
                    let members: Vec<_> = subscribers(subscriptions, topic).collect();
                    for partition in 0..*count {
                        let owner = owner_in_range(partition, *count, members.len());
                        give(&mut assignments, members.get(owner).copied(), topic, partition);
                    }
                }
            }
            Self::RoundRobin => {
                let mut turns = subscriptions.keys().cycle();
                for (topic, count) in counts.iter().filter(|(topic, _)| subscribers(subscriptions, topic).count() > 0) {
                    for partition in 0..*count {
                        let next = turns.find(|member| subscriptions[*member].contains(topic));
                        give(&mut assignments, next, topic, partition);
                    }
                }
            }
        }
        assignments
    }
}

fn subscribers<'a>(subscriptions: &'a Subscriptions, topic: &TopicName) -> impl Iterator<Item = &'a String> {
    subscriptions.iter().filter(|(_, topics)| topics.contains(topic)).map(|(member, _)| member)
}

fn give(assignments: &mut Assignments, member: Option<&String>, topic: &TopicName, partition: i32) {
    if let Some(partitions) = member.and_then(|member| assignments.get_mut(member)) {
        partitions.push(TopicPartition { topic: TopicName::clone(topic), partition });
    }
}

/// Which of `members` has a partition of `count`: the first ones have one more where they cannot have the same number.
fn owner_in_range(partition: i32, count: i32, members: usize) -> usize {
    let (partition, count) = (partition.unsigned_abs() as usize, count.unsigned_abs() as usize);
    let Some(each) = count.checked_div(members) else { return 0 };
    let larger = count % members;
    let in_larger = larger * (each + 1);
    if partition < in_larger { partition / (each + 1) } else { larger + (partition - in_larger) / each.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(assignor: Assignor, members: &[(&str, &[&str])], counts: &[(&str, i32)]) -> Vec<String> {
        let subscriptions = members
            .iter()
            .map(|(id, topics)| ((*id).to_owned(), topics.iter().map(|topic| TopicName::from(*topic)).collect()))
            .collect();
        let counts = counts.iter().map(|(topic, count)| (TopicName::from(*topic), *count)).collect();
        let text = |(member, partitions): (&String, &Vec<TopicPartition>)| {
            let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
            format!("{member}: {}", names.join(" "))
        };
        assignor.assign(&subscriptions, &counts).iter().map(text).collect()
    }

    #[test]
    fn a_range_is_a_run_of_neighbours_of_each_topic() {
        // The example of Kafka's documentation of its RangeAssignor.
        let assigned_ranges =
            assigned(Assignor::Range, &[("a", &["t", "u"]), ("b", &["t", "u"])], &[("t", 3), ("u", 3)]);
        assert_eq!(assigned_ranges, ["a: t-0 t-1 u-0 u-1", "b: t-2 u-2"]);
        let few = assigned(Assignor::Range, &[("a", &["t"]), ("b", &["t"]), ("c", &["u"])], &[("t", 1), ("u", 5)]);
        assert_eq!(few, ["a: t-0", "b: ", "c: u-0 u-1 u-2 u-3 u-4"]);
        let seven = assigned(Assignor::Range, &[("a", &["t"]), ("b", &["t"]), ("c", &["t"])], &[("t", 7)]);
        assert_eq!(seven, ["a: t-0 t-1 t-2", "b: t-3 t-4", "c: t-5 t-6"]);
    }

    #[test]
    fn round_robin_goes_in_turns_and_past_those_who_did_not_subscribe() {
        // The two examples of Kafka's documentation of its RoundRobinAssignor.
        let same = assigned(Assignor::RoundRobin, &[("a", &["t", "u"]), ("b", &["t", "u"])], &[("t", 3), ("u", 3)]);
        assert_eq!(same, ["a: t-0 t-2 u-1", "b: t-1 u-0 u-2"]);
        let members: [(&str, &[&str]); 3] = [("a", &["t"]), ("b", &["t", "u"]), ("c", &["t", "u", "v"])];
        let different = assigned(Assignor::RoundRobin, &members, &[("t", 1), ("u", 2), ("v", 3)]);
        assert_eq!(different, ["a: t-0", "b: u-0", "c: u-1 v-0 v-1 v-2"]);
    }

    #[test]
    fn topics_without_subscribers_and_groups_without_topics_are_no_trouble() {
        for assignor in Assignor::ALL {
            assert_eq!(assigned(assignor, &[("a", &[])], &[("t", 2)]), ["a: "]);
            assert!(assigned(assignor, &[], &[("t", 2)]).is_empty());
            assert_eq!(Assignor::from_name(assignor.name()), Some(assignor));
        }
    }
}
