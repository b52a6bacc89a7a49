//! What the controller's log says of brokers: who is fenced and why, who is back, and how many partitions that moved.
//! Decided from one image to the next. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::controller::BrokerIsGone;
use crate::ids::NodeId;
use crate::metadata::{BrokerRegistration, MetadataDelta, MetadataImage};

/// What has been told so far.
#[derive(Debug)]
pub(super) struct BrokerNews {
    image: Arc<MetadataImage>,
    session_timeout: Duration,
    /// Who was seen to be gone, by broker, in which epoch.
    gone: BTreeMap<NodeId, BrokerIsGone>,
}

/// How partitions changed their leaders.
#[derive(Debug, Default, PartialEq, Eq)]
struct LeaderChanges {
    /// By the one that was left: how many have another leader now, and how many none.
    left: BTreeMap<NodeId, (usize, usize)>,
    /// By the one that was found for those that had none.
    found: BTreeMap<NodeId, usize>,
}

impl BrokerNews {
    /// From `image` on.
    pub(super) fn new(image: Arc<MetadataImage>, session_timeout: Duration) -> Self {
        Self { image, session_timeout, gone: BTreeMap::new() }
    }

    /// The newest image that was followed.
    pub(super) fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// A broker that was seen to be gone may be fenced next.
    pub(super) fn expect(&mut self, gone: BrokerIsGone) {
        self.gone.insert(gone.broker_id, gone);
    }

    /// What there is to say of the step to `image`, one line for each broker.
    pub(super) fn follow(&mut self, delta: &MetadataDelta, image: Arc<MetadataImage>) -> Vec<String> {
        let before = std::mem::replace(&mut self.image, image);
        let after = &self.image;
        let mut changes = leader_changes(&before, after, delta);
        let mut lines = Vec::new();
        for id in delta.brokers() {
            let (was, is) = (before.broker(id), after.broker(id));
            let left = changes.left.remove(&id).unwrap_or_default();
            let found = changes.found.remove(&id).unwrap_or_default();
            lines.extend(self.tell(id, was, is).map(|line| line + &tell_left(left) + &tell_found(found)));
        }
        let moved: usize = changes.left.values().map(|(others, none)| others + none).sum();
        if moved > 0 {
            lines.push(format!("{} changed their leaders", partitions(moved)));
        }
        lines
    }

    fn tell(&self, id: NodeId, was: Option<&BrokerRegistration>, is: Option<&BrokerRegistration>) -> Option<String> {
        let stops = |broker: &BrokerRegistration| broker.in_controlled_shutdown && !broker.fenced;
        match (was.filter(|was| !was.fenced), is) {
            (_, None) => was.map(|_| format!("broker {id} is unregistered")),
            (Some(was), Some(is)) if is.epoch != was.epoch => {
                Some(format!("broker {id} has registered again: {}", self.why_fenced(was)))
            }
            (Some(was), Some(is)) if is.fenced => {
                let why = if is.in_controlled_shutdown { "it shuts down".to_owned() } else { self.why_fenced(was) };
                Some(format!("broker {id} is fenced: {why}"))
            }
            (None, Some(is)) if !is.fenced => Some(format!("broker {id} is unfenced")),
            (Some(was), Some(is)) if !stops(was) && stops(is) => {
                Some(format!("broker {id} hands over what it leads: it shuts down"))
            }
            _ => None,
        }
    }

    fn why_fenced(&self, broker: &BrokerRegistration) -> String {
        match self.gone.get(&broker.id).filter(|gone| gone.broker_epoch == broker.epoch) {
            Some(gone) if gone.is_replaced => "another process answers in its place".to_owned(),
            Some(_) => "its process is gone".to_owned(),
            None if broker.in_controlled_shutdown => "it shuts down".to_owned(),
            None => format!("silent for {} s", self.session_timeout.as_secs_f64()),
        }
    }
}

fn leader_changes(before: &MetadataImage, after: &MetadataImage, delta: &MetadataDelta) -> LeaderChanges {
    let mut changes = LeaderChanges::default();
    let topics = delta.topics().changed().filter_map(|id| before.topic_by_id(id).zip(after.topic_by_id(id)));
    for (was, is) in topics.flat_map(|(was, is)| was.partitions.iter().zip(&is.partitions)) {
        match (was.leader, is.leader) {
            (old, new) if old == new => {}
            (-1, new) => *changes.found.entry(new).or_default() += 1,
            (old, -1) => changes.left.entry(old).or_default().1 += 1,
            (old, _) => changes.left.entry(old).or_default().0 += 1,
        }
    }
    changes
}

fn tell_left((others, none): (usize, usize)) -> String {
    let moved = if others == 0 { String::new() } else { format!("; {} got other leaders", partitions(others)) };
    let lost = if none == 0 { String::new() } else { format!("; {} have no leader", partitions(none)) };
    moved + &lost
}

fn tell_found(found: usize) -> String {
    if found == 0 { String::new() } else { format!("; it leads {} that had no leader", partitions(found)) }
}

fn partitions(count: usize) -> String {
    if count == 1 { "1 partition".to_owned() } else { format!("{count} partitions") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uuid;
    use crate::metadata::{BrokerRecord, MetadataRecord, PartitionChange, PartitionImage, TopicRecord};

    struct World {
        news: BrokerNews,
        image: MetadataImage,
    }

    impl World {
        fn new() -> Self {
            let news = BrokerNews::new(Arc::default(), Duration::from_secs(9));
            Self { news, image: MetadataImage::default() }
        }

        fn step(&mut self, records: Vec<MetadataRecord>) -> Vec<String> {
            let mut delta = MetadataDelta::default();
            for record in records {
                delta.note(self.image.replay(&record).unwrap());
            }
            self.news.follow(&delta, Arc::new(self.image.clone()))
        }
    }

    fn registration(id: NodeId, epoch: i64, fenced: bool) -> MetadataRecord {
        BrokerRecord::RegisterBroker(BrokerRegistration { id, epoch, fenced, ..BrokerRegistration::default() }).into()
    }

    fn change(id: NodeId, epoch: i64, fenced: bool, in_controlled_shutdown: bool) -> MetadataRecord {
        BrokerRecord::BrokerChange { id, epoch, fenced, in_controlled_shutdown }.into()
    }

    const TOPIC: Uuid = Uuid::from_u128(7);

    fn partition(partition: i32, leader: NodeId) -> MetadataRecord {
        let state = PartitionImage { replicas: vec![1, 2], isr: vec![1, 2], leader, ..PartitionImage::default() };
        TopicRecord::Partition { topic_id: TOPIC, partition, state }.into()
    }

    fn led_by(partition: i32, leader: NodeId) -> MetadataRecord {
        let change = PartitionChange { leader: Some(leader), ..PartitionChange::default() };
        TopicRecord::PartitionChange { topic_id: TOPIC, partition, change }.into()
    }

    fn founded() -> World {
        let mut world = World::new();
        let topic = TopicRecord::Topic { name: "t".into(), id: TOPIC }.into();
        let mut records = vec![registration(1, 1, false), registration(2, 2, false), topic];
        records.extend((0..3).map(|index| partition(index, 2)));
        assert_eq!(world.step(records), ["broker 1 is unfenced", "broker 2 is unfenced"]);
        world
    }

    #[test]
    fn a_broker_that_is_fenced_has_one_line_with_the_reason_and_what_it_led() {
        let mut world = founded();
        world.news.expect(BrokerIsGone { broker_id: 2, broker_epoch: 2, is_replaced: false });
        let told = world.step(vec![led_by(0, 1), led_by(1, 1), led_by(2, -1), change(2, 2, true, false)]);
        assert_eq!(
            told,
            ["broker 2 is fenced: its process is gone; 2 partitions got other leaders; 1 partition have no leader"]
        );
        assert_eq!(world.step(vec![registration(2, 3, true)]), Vec::<String>::new());
        let told = world.step(vec![change(2, 3, false, false), led_by(2, 2)]);
        assert_eq!(told, ["broker 2 is unfenced; it leads 1 partition that had no leader"]);
        assert_eq!(world.step(vec![change(2, 3, true, false)]), ["broker 2 is fenced: silent for 9 s"]);
    }

    #[test]
    fn a_shutdown_an_unregistration_and_elections_have_their_lines() {
        let mut world = founded();
        let told = world.step(vec![change(2, 2, false, true), led_by(0, 1), led_by(1, 1), led_by(2, 1)]);
        assert_eq!(told, ["broker 2 hands over what it leads: it shuts down; 3 partitions got other leaders"]);
        assert_eq!(world.step(vec![change(2, 2, true, true)]), ["broker 2 is fenced: it shuts down"]);
        assert_eq!(world.step(vec![led_by(0, 2), led_by(1, 2)]), ["2 partitions changed their leaders"]);
        let unregister = BrokerRecord::UnregisterBroker { id: 2, epoch: 2 }.into();
        assert_eq!(world.step(vec![unregister]), ["broker 2 is unregistered"]);
    }
}
