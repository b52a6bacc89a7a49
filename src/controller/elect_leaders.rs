//! `ElectLeaders`: partitions get a leader because somebody asks for it (KIP-183, KIP-460).

use super::election::{Election, NO_LEADER, Proposal};
use super::partition_changes::change_of;
use super::{Controller, MAX_PARTITIONS_PER_REQUEST, Refusal};
use crate::ids::TopicName;
use crate::metadata::{MetadataRecord, topic_name};
use crate::protocol::ErrorCode;

/// Partitions shall have a leader.
#[derive(Debug, Clone)]
pub struct ElectLeaders {
    /// Whom the leader is chosen from.
    pub election: ElectionType,
    /// The topics with the indexes of their partitions, or every partition there is.
    pub topics: Option<Vec<(TopicName, Vec<i32>)>>,
}

/// Which replicas may become leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica, if it is in sync.
    Preferred,
    /// Any replica that is alive where none that is in sync is: what the others have and it has not is lost.
    Unclean,
}

/// What became of one topic's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadersElected {
    /// The topic.
    pub name: TopicName,
    /// Each partition's index, and why it has no new leader where it has none. Where every partition was asked for,
    /// those that need no election are left out.
    pub partitions: Vec<(i32, Result<(), Refusal>)>,
}

impl Controller {
    /// One result per topic, in the request's order, or by name where every topic was asked for; or a refusal of a
    /// request with too many elections for one batch of records.
    pub(super) fn elect_leaders(
        &self,
        request: ElectLeaders,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<Vec<LeadersElected>, Refusal> {
        let mut changes = Vec::new();
        let mut elect = |name: &TopicName, partition| {
            (partition, self.elect_leader(name, partition, request.election, &mut changes))
        };
        let is_told = |(_, result): &(i32, Result<(), Refusal>)| {
            result.as_ref().err().is_none_or(|refusal| refusal.code != ErrorCode::ElectionNotNeeded)
        };
        let results = match request.topics {
            Some(topics) => topics
                .into_iter()
                .map(|(name, partitions)| {
                    let partitions = partitions.into_iter().map(|partition| elect(&name, partition)).collect();
                    LeadersElected { name, partitions }
                })
                .collect(),
            None => self
                .image
                .topics()
                .map(|topic| {
                    let indexes = (0..).take(topic.partitions.len());
                    let partitions = indexes.map(|partition| elect(&topic.name, partition)).filter(is_told).collect();
                    LeadersElected { name: TopicName::clone(&topic.name), partitions }
                })
                .collect(),
        };
        if changes.len() > MAX_PARTITIONS_PER_REQUEST {
            let message = "Unable to perform excessively large batch operation.";
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
        records.append(&mut changes);
        Ok(results)
    }

    fn elect_leader(
        &self,
        topic: &str,
        partition: i32,
        election: ElectionType,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Refusal> {
        let unknown = |message| Refusal::new(ErrorCode::UnknownTopicOrPartition, message);
        let image = self.image.topic(topic);
        let image = image.ok_or_else(|| unknown(format!("No such topic as {}", topic_name::in_a_sentence(topic))))?;
        let state =
            image.partition(partition).ok_or_else(|| unknown(format!("No such partition as {topic}-{partition}")))?;
        let (is_needless, unavailable) = match election {
            ElectionType::Preferred => {
                let message = "The preferred leader was not available.";
                (state.replicas.first() == Some(&state.leader), (ErrorCode::PreferredLeaderNotAvailable, message))
            }
            ElectionType::Unclean => {
                let message = "Eligible topic partition leaders are not available.";
                (state.leader != NO_LEADER, (ErrorCode::EligibleLeadersNotAvailable, message))
            }
        };
        if is_needless {
            let message = "Leader election not needed for topic partition.";
            return Err(Refusal::new(ErrorCode::ElectionNotNeeded, message));
        }
        let election = match election {
            ElectionType::Preferred => Election::Preferred,
            ElectionType::Unclean => Election::Unclean,
        };
        let proposal = Proposal { election, ..self.proposal(image, state) };
        let change = proposal.change(|id| self.is_active(id));
        let change = change.ok_or_else(|| Refusal::new(unavailable.0, unavailable.1))?;
        records.push(change_of(image.id, partition, change));
        Ok(())
    }
}
