//! Which brokers' processes the controller looks at, when, and what follows from what it sees.
//!
//! A broker is looked at when the controller begins to lead, when the broker is unfenced, and when its connection comes or
//! goes; and again until it is seen to be what it is registered as.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::BrokerIsGone;
use crate::clock::Monotonic;
use crate::ids::{NodeId, Uuid};
use crate::metadata::{BrokerRegistration, MetadataImage};

/// How long until a broker is looked at again that was not seen to be there.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// Nobody listens at the broker's address.
    Nobody,
    /// The process of this incarnation answers there.
    Process(Uuid),
    /// Neither is known. Then the session's end decides.
    Nothing,
}

/// A broker that is to be looked at, as it was registered before the look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspect {
    /// The broker.
    pub id: NodeId,
    epoch: i64,
    incarnation: Uuid,
}

/// The last look at a broker.
#[derive(Debug, Clone, Copy)]
struct LastLook {
    epoch: i64,
    was_reached: bool,
    /// When it is looked at again; not by itself while a look is under way, or where all is well.
    again_at: Option<Monotonic>,
}

/// The looks of one leadership.
#[derive(Debug)]
pub struct Vigil {
    /// Those whose processes can be looked at.
    others: BTreeSet<NodeId>,
    looks: BTreeMap<NodeId, LastLook>,
}

impl Vigil {
    /// Over the brokers among `others`, none of which has been looked at. The one in the controller's own process is none
    /// of them.
    pub fn new(others: BTreeSet<NodeId>) -> Self {
        Self { others, looks: BTreeMap::new() }
    }

    /// Whom to look at now, where those in `reached` have a connection; each is to be told with [`Vigil::saw`].
    pub fn suspects(&mut self, image: &MetadataImage, reached: &BTreeSet<NodeId>, now: Monotonic) -> Vec<Suspect> {
        let is_watched =
            |id: NodeId, epoch: i64| image.broker(id).is_some_and(|broker| !broker.fenced && broker.epoch == epoch);
        self.looks.retain(|id, look| is_watched(*id, look.epoch));
        let mut suspects = Vec::new();
        for broker in image.alive_brokers().filter(|broker| self.others.contains(&broker.id)) {
            let is_reached = reached.contains(&broker.id);
            let is_due = self
                .looks
                .get(&broker.id)
                .is_none_or(|look| look.was_reached != is_reached || look.again_at.is_some_and(|at| at <= now));
            if is_due {
                let look = LastLook { epoch: broker.epoch, was_reached: is_reached, again_at: None };
                self.looks.insert(broker.id, look);
                let BrokerRegistration { id, epoch, incarnation, .. } = *broker;
                suspects.push(Suspect { id, epoch, incarnation });
            }
        }
        suspects
    }

    /// What the look at `suspect` has shown by `now`, and what the controller is to be told of it.
    pub fn saw(&mut self, suspect: Suspect, sighting: Sighting, now: Monotonic) -> Option<BrokerIsGone> {
        let Suspect { id: broker_id, epoch: broker_epoch, incarnation } = suspect;
        let look = self.looks.get_mut(&broker_id).filter(|look| look.epoch == broker_epoch)?;
        let is_replaced = matches!(sighting, Sighting::Process(found) if found != incarnation);
        let is_gone = is_replaced || sighting == Sighting::Nobody;
        let is_well = sighting == Sighting::Process(incarnation) && look.was_reached;
        if !is_well {
            // The controller may not believe it at once.
            look.again_at = Some(now.saturating_add(LOOK_INTERVAL));
        }
        is_gone.then_some(BrokerIsGone { broker_id, broker_epoch, is_replaced })
    }

    /// When somebody has to be looked at by itself.
    pub fn next_look(&self) -> Option<Monotonic> {
        self.looks.values().filter_map(|look| look.again_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::BrokerRecord;

    const NOW: Monotonic = Monotonic::ZERO;

    fn run(id: NodeId) -> Uuid {
        Uuid::from_u128(id.unsigned_abs().into())
    }

    fn register(image: &mut MetadataImage, id: NodeId, epoch: i64, fenced: bool) {
        let registration =
            BrokerRegistration { id, epoch, incarnation: run(id), fenced, ..BrokerRegistration::default() };
        image.replay(&BrokerRecord::RegisterBroker(registration).into()).unwrap();
    }

    /// Of the controller in the process of broker 1.
    fn vigil() -> Vigil {
        Vigil::new([2, 3, 4].into())
    }

    /// Brokers 1 to 3, and 4, which is fenced.
    fn image() -> MetadataImage {
        let mut image = MetadataImage::default();
        for id in 1..=4 {
            register(&mut image, id, id.into(), id == 4);
        }
        image
    }

    fn ids(suspects: &[Suspect]) -> Vec<NodeId> {
        suspects.iter().map(|suspect| suspect.id).collect()
    }

    #[test]
    fn who_is_well_is_looked_at_only_when_the_connection_changes() {
        let (image, all) = (image(), BTreeSet::from([2, 3]));
        let mut vigil = vigil();
        let suspects = vigil.suspects(&image, &all, NOW);
        assert_eq!(ids(&suspects), [2, 3], "a controller looks at everybody once");
        assert_eq!((vigil.suspects(&image, &all, NOW), vigil.next_look()), (vec![], None), "while it looks");
        for suspect in suspects {
            assert_eq!(vigil.saw(suspect, Sighting::Process(run(suspect.id)), NOW), None);
        }
        assert_eq!((vigil.suspects(&image, &all, NOW), vigil.next_look()), (vec![], None));
        let suspects = vigil.suspects(&image, &BTreeSet::from([3]), NOW);
        assert_eq!(ids(&suspects), [2]);
        // It lives, and only its connection is lost; that is looked at until it is back.
        assert_eq!(vigil.saw(suspects[0], Sighting::Process(run(2)), NOW), None);
        let later = NOW.saturating_add(LOOK_INTERVAL);
        assert_eq!(vigil.next_look(), Some(later));
        assert_eq!(ids(&vigil.suspects(&image, &BTreeSet::from([3]), later)), [2]);
        assert_eq!(ids(&vigil.suspects(&image, &all, later)), [2]);
    }

    #[test]
    fn whose_address_refuses_or_answers_as_another_run_is_gone_and_who_is_silent_is_not() {
        let mut image = image();
        let mut vigil = vigil();
        let suspects = vigil.suspects(&image, &BTreeSet::new(), NOW);
        let gone = |is_replaced| Some(BrokerIsGone { broker_id: 2, broker_epoch: 2, is_replaced });
        assert_eq!(vigil.saw(suspects[0], Sighting::Nothing, NOW), None);
        assert_eq!(vigil.saw(suspects[0], Sighting::Nobody, NOW), gone(false));
        assert_eq!(vigil.saw(suspects[0], Sighting::Process(run(7)), NOW), gone(true));
        // Until the controller has believed it.
        let later = NOW.saturating_add(LOOK_INTERVAL);
        assert_eq!(ids(&vigil.suspects(&image, &BTreeSet::new(), later)), [2]);
        register(&mut image, 2, 9, false);
        let again = vigil.suspects(&image, &BTreeSet::new(), later);
        assert_eq!(ids(&again), [2], "it has come back as another one");
        assert_eq!(vigil.saw(suspects[0], Sighting::Nobody, later), None, "what was seen is about the former one");
        register(&mut image, 2, 9, true);
        assert_eq!(vigil.suspects(&image, &BTreeSet::from([3]), NOW).len(), 1);
        assert_eq!(vigil.saw(again[0], Sighting::Nobody, later), None, "it is fenced");
    }
}
