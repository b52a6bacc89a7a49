//! What happened to topics between two images.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{TopicName, Uuid};

/// What one record did to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicChange {
    /// It came into being.
    Created(Uuid),
    /// It got a partition, or one of its partitions or its configuration changed.
    Changed(Uuid),
    /// It is gone; this was its name.
    Deleted(Uuid, TopicName),
}

/// What happened to topics from one image to a later one. Each topic is in one place at most: one that was created has
/// not also changed, and one that was created and deleted in between never was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicsDelta {
    created: BTreeSet<Uuid>,
    changed: BTreeSet<Uuid>,
    deleted: BTreeMap<Uuid, TopicName>,
}

impl TopicsDelta {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        let Self { created, changed, deleted } = self;
        created.is_empty() && changed.is_empty() && deleted.is_empty()
    }

    /// The topics that are new.
    pub fn created(&self) -> impl ExactSizeIterator<Item = Uuid> {
        self.created.iter().copied()
    }

    /// The topics that were there before and are not what they were.
    pub fn changed(&self) -> impl ExactSizeIterator<Item = Uuid> {
        self.changed.iter().copied()
    }

    /// The topics that are gone. Another topic may have the name by now.
    pub fn deleted(&self) -> impl ExactSizeIterator<Item = (Uuid, &TopicName)> {
        self.deleted.iter().map(|(id, name)| (*id, name))
    }

    /// Takes in what happened next.
    pub(super) fn note(&mut self, change: TopicChange) {
        match change {
            TopicChange::Created(id) => drop(self.created.insert(id)),
            TopicChange::Changed(id) if self.created.contains(&id) => {}
            TopicChange::Changed(id) => drop(self.changed.insert(id)),
            TopicChange::Deleted(id, _) if self.created.remove(&id) => {}
            TopicChange::Deleted(id, name) => {
                self.changed.remove(&id);
                self.deleted.insert(id, name);
            }
        }
    }

    /// Takes in all that happened after this.
    pub(super) fn extend(&mut self, later: Self) {
        let Self { created, changed, deleted } = later;
        let created = created.into_iter().map(TopicChange::Created);
        let changed = changed.into_iter().map(TopicChange::Changed);
        let deleted = deleted.into_iter().map(|(id, name)| TopicChange::Deleted(id, name));
        for change in created.chain(changed).chain(deleted) {
            self.note(change);
        }
    }
}
