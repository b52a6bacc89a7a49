//! Which brokers hold a new partition: what Kafka's `StripedReplicaPlacer` promises.
//!
//! The replicas of a partition are in as many racks as there are. Each broker that may lead leads one partition in each lap
//! over all of them. The others follow by how few replicas they have, so that the leaderships of one broker have many heirs.
//!
//! Unlike Kafka, which takes the racks in turn for that, the brokers of a small rack lead no more than others.

use std::collections::BTreeMap;

use super::Refusal;
use crate::ids::NodeId;
use crate::metadata::{BrokerRegistration, MetadataImage};
use crate::protocol::ErrorCode;

/// The replicas of `partitions` new partitions, `replication_factor` each; `seed` is all the chance there is in it. Fenced
/// brokers hold replicas only where their rack has no other ones, and brokers that are about to stop none.
///
/// Refuses with Kafka's `INVALID_REPLICATION_FACTOR` where there are too few brokers. `partitions` is bounded by the
/// caller.
pub(super) fn place(
    image: &MetadataImage,
    partitions: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    let usable: Vec<_> = image.brokers().filter(|broker| !broker.in_controlled_shutdown).collect();
    if usable.iter().all(|broker| broker.fenced) {
        return refuse("All brokers are currently fenced.".to_owned());
    }
    if replication_factor > usable.len() {
        return refuse(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {} broker(s) are \
             registered.",
            usable.len()
        ));
    }
    let mut placer = Placer::new(&usable, seed);
    Ok((0..partitions).map(|_| placer.place(replication_factor)).collect())
}

/// A broker that may hold replicas.
struct ReplicaCandidate<'a> {
    id: NodeId,
    rack: Option<&'a str>,
    fenced: bool,
    /// How many replicas it was given.
    replicas: usize,
}

struct Placer<'a> {
    candidates: Vec<ReplicaCandidate<'a>>,
    /// Those who have not led in this lap, the next one last.
    leaders: Vec<NodeId>,
    chance: Chance,
}

impl<'a> Placer<'a> {
    fn new(usable: &[&'a BrokerRegistration], seed: u64) -> Self {
        let candidate = |broker: &&'a BrokerRegistration| ReplicaCandidate {
            id: broker.id,
            rack: broker.rack.as_deref(),
            fenced: broker.fenced,
            replicas: 0,
        };
        Self { candidates: usable.iter().map(candidate).collect(), leaders: Vec::new(), chance: Chance(seed) }
    }

    fn place(&mut self, replication_factor: usize) -> Vec<NodeId> {
        let mut replicas = Vec::with_capacity(replication_factor);
        let mut racks: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        while replicas.len() < replication_factor {
            let leader = if replicas.is_empty() { self.next_leader() } else { None };
            let Some(chosen) = self.choose(leader, &replicas, &racks) else { break };
            chosen.replicas += 1;
            *racks.entry(chosen.rack).or_default() += 1;
            replicas.push(chosen.id);
        }
        replicas
    }

    /// Who of those that may lead has led least, in an order of its own in each lap.
    fn next_leader(&mut self) -> Option<NodeId> {
        if self.leaders.is_empty() {
            let mut lap: Vec<_> = self.candidates.iter().filter(|candidate| !candidate.fenced).collect();
            self.chance.shuffle(&mut lap);
            self.leaders = lap.into_iter().map(|candidate| candidate.id).collect();
        }
        self.leaders.pop()
    }

    /// The leader; or one more replica, in the rack that has fewest of this partition, alive if possible, and the one that
    /// has fewest of all.
    fn choose(
        &mut self,
        leader: Option<NodeId>,
        chosen: &[NodeId],
        racks: &BTreeMap<Option<&'a str>, usize>,
    ) -> Option<&mut ReplicaCandidate<'a>> {
        if let Some(leader) = leader {
            return self.candidates.iter_mut().find(|candidate| candidate.id == leader);
        }
        let chance = &mut self.chance;
        let free = self.candidates.iter_mut().filter(|candidate| !chosen.contains(&candidate.id));
        free.min_by_key(|candidate| {
            let in_rack = racks.get(&candidate.rack).copied().unwrap_or(0);
            (in_rack, candidate.fenced, candidate.replicas, chance.next())
        })
    }
}

/// Numbers that look like chance and follow from a seed: `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, (self.next() % (end as u64 + 1)) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::BrokerRecord;

    /// Brokers from 1 on, in these racks; the second numbers say who is fenced.
    fn cluster(racks: &[(u8, bool)]) -> MetadataImage {
        let mut image = MetadataImage::default();
        for (id, (rack, fenced)) in (1..).zip(racks) {
            let rack = Some(rack.to_string().into());
            let broker = BrokerRegistration { id, rack, fenced: *fenced, ..BrokerRegistration::default() };
            image.replay(&BrokerRecord::RegisterBroker(broker).into()).unwrap();
        }
        image
    }

    proptest! {
        #[test]
        fn replicas_are_in_as_many_racks_as_there_are(
            racks in vec((0..4_u8, any::<bool>()), 1..9),
            factor in 1..6_usize,
            seed: u64,
        ) {
            let image = cluster(&racks);
            let all_racks: BTreeSet<_> = racks.iter().map(|(rack, _)| rack).collect();
            let Ok(placed) = place(&image, 20, factor, seed) else {
                prop_assert!(racks.len() < factor || racks.iter().all(|(_, fenced)| *fenced));
                return Ok(());
            };
            for replicas in placed {
                let different: BTreeSet<_> = replicas.iter().copied().collect();
                prop_assert_eq!(different.len(), factor);
                let of = |id: i32| racks[id as usize - 1];
                let used: BTreeSet<_> = replicas.iter().map(|id| of(*id).0).collect();
                prop_assert_eq!(used.len(), factor.min(all_racks.len()));
                prop_assert!(!of(replicas[0]).1, "a fenced broker leads");
            }
        }

        #[test]
        fn leaders_are_even_in_each_lap_and_have_many_heirs(
            racks in vec((0..3_u8, Just(false)), 3..8),
            factor in 2..4_usize,
            seed: u64,
        ) {
            let placed = place(&cluster(&racks), 40 * racks.len(), factor, seed).unwrap();
            let mut heirs: BTreeMap<i32, BTreeSet<i32>> = BTreeMap::new();
            for lap in placed.chunks(racks.len()) {
                let leaders: BTreeSet<_> = lap.iter().map(|replicas| replicas[0]).collect();
                prop_assert_eq!(leaders.len(), racks.len());
            }
            for replicas in &placed {
                heirs.entry(replicas[0]).or_default().insert(replicas[1]);
            }
            for (leader, heirs) in heirs {
                let rack = racks[leader as usize - 1].0;
                let elsewhere = racks.iter().filter(|(other, _)| *other != rack).count();
                let possible = if elsewhere == 0 { racks.len() - 1 } else { elsewhere };
                prop_assert!(heirs.len() >= possible.min(factor - 1), "{leader}: {heirs:?}");
            }
        }
    }
}
