//! `DeleteTopics`, by name or by id.

use std::collections::BTreeMap;

use super::{Controller, MutationQuota, Refusal};
use crate::ids::{NO_TOPIC_ID, TopicName, Uuid};
use crate::metadata::{MetadataRecord, TopicRecord};
use crate::protocol::ErrorCode;

/// Topics shall be gone.
#[derive(Debug, Clone)]
pub struct DeleteTopics {
    /// The topics.
    pub topics: Vec<TopicToDelete>,
    /// What the client may still delete.
    pub quota: MutationQuota,
}

/// A topic to delete: by its name, or by its id where there is no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicToDelete {
    /// Its name.
    pub name: Option<TopicName>,
    /// Its id, or [`NO_TOPIC_ID`].
    pub id: Uuid,
}

/// What became of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDeletion {
    /// Its name, where that is known.
    pub name: Option<TopicName>,
    /// Its id, or [`NO_TOPIC_ID`].
    pub id: Uuid,
    /// Nothing, or why it stays.
    pub result: Result<(), Refusal>,
}

impl Controller {
    pub(super) fn delete_topics(&self, request: DeleteTopics, records: &mut Vec<MetadataRecord>) -> Vec<TopicDeletion> {
        let mut results = Vec::new();
        let mut quota = request.quota;
        let (names, ids) = count(request, &mut results);
        // The topics to delete, by id; a topic that was named twice in two ways is not deleted.
        let mut doomed: BTreeMap<Uuid, Option<TopicName>> = BTreeMap::new();
        for (id, times) in ids {
            match self.image.topic_by_id(id) {
                _ if times > 1 => results.push(refused(None, id, bad_request("Duplicate topic id."))),
                None => results.push(refused(None, id, unknown_id())),
                Some(topic) => {
                    doomed.insert(id, Some(TopicName::clone(&topic.name)));
                }
            }
        }
        for (name, times) in names {
            match self.image.topic(&name) {
                _ if times > 1 => results.push(refused(Some(name), NO_TOPIC_ID, bad_request("Duplicate topic name."))),
                None => results.push(refused(Some(name), NO_TOPIC_ID, Refusal::unknown_topic())),
                Some(topic) if doomed.contains_key(&topic.id) => {
                    doomed.insert(topic.id, None);
                    let refusal = bad_request("The provided topic name maps to an ID that was already supplied.");
                    results.push(refused(Some(name), topic.id, refusal));
                }
                Some(topic) => {
                    doomed.insert(topic.id, Some(name));
                }
            }
        }
        for (id, name) in doomed {
            let Some(name) = name else { continue };
            let partitions = self.image.topic_by_id(id).map_or(0, |topic| topic.partitions.len());
            let result = quota.take(partitions);
            if result.is_ok() {
                records.push(TopicRecord::RemoveTopic { topic_id: id }.into());
            }
            results.push(TopicDeletion { name: Some(name), id, result });
        }
        results
    }
}

type Times<K> = BTreeMap<K, usize>;

/// How often each name and each id was given; what names no topic, or two ways at once, is refused right away.
fn count(request: DeleteTopics, results: &mut Vec<TopicDeletion>) -> (Times<TopicName>, Times<Uuid>) {
    let (mut names, mut ids) = (BTreeMap::new(), BTreeMap::new());
    for TopicToDelete { name, id } in request.topics {
        match name {
            None if id == NO_TOPIC_ID => {
                results.push(refused(None, id, bad_request("Neither topic name nor id were specified.")));
            }
            None => *ids.entry(id).or_default() += 1,
            Some(name) if id == NO_TOPIC_ID => *names.entry(name).or_default() += 1,
            Some(name) => {
                results.push(refused(Some(name), id, bad_request("You may not specify both topic name and topic id.")));
            }
        }
    }
    (names, ids)
}

fn refused(name: Option<TopicName>, id: Uuid, refusal: Refusal) -> TopicDeletion {
    TopicDeletion { name, id, result: Err(refusal) }
}

fn bad_request(message: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn unknown_id() -> Refusal {
    Refusal::new(ErrorCode::UnknownTopicId, "This server does not host this topic ID.")
}
