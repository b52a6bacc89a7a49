//! A member of a consumer group, as the classic protocol has it: it joins, is given partitions, says that it is still
//! there, remembers how far it is, and leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::{Instant, sleep};

use super::assignor::{Assignments, Assignor, Subscriptions};
use super::cluster_client::RETRY_BACKOFF;
use super::consumer_protocol::{read_assignment, read_subscription, write_assignment, write_subscription};
use super::metadata::wire_name;
use super::{ClientError, ClusterClient, ReadPosition, To};
use crate::ids::{NodeId, TopicName, TopicPartition};
use crate::protocol::ErrorCode;

/// How often a member says that it is there (`heartbeat.interval.ms`).
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
/// How often the leader looks whether topics have other partitions than before.
const TOPICS_INTERVAL: Duration = Duration::from_secs(10);
/// Members whose partitions are shared out among them.
const PROTOCOL_TYPE: &str = "consumer";
const NO_GENERATION: i32 = -1;

/// How a member takes part.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// The group.
    pub group_id: String,
    /// How long a member may be silent until it is taken for gone (`session.timeout.ms`).
    pub session_timeout: Duration,
    /// How long others wait for a member when partitions are shared out anew (`max.poll.interval.ms`).
    pub rebalance_timeout: Duration,
}

impl GroupSettings {
    /// Kafka's own times.
    pub fn new(group_id: impl Into<String>) -> Self {
        let (session_timeout, rebalance_timeout) = (Duration::from_secs(45), Duration::from_mins(5));
        Self { group_id: group_id.into(), session_timeout, rebalance_timeout }
    }
}

/// A member of a group.
#[derive(Debug)]
pub struct GroupMembership {
    settings: GroupSettings,
    topics: BTreeSet<TopicName>,
    coordinator: Option<NodeId>,
    member_id: StrBytes,
    generation: i32,
    /// The numbers of partitions that the last assignment was made for, if we made it.
    shared_out: Option<BTreeMap<TopicName, i32>>,
    last_heartbeat: Instant,
    topics_checked: Instant,
}

impl GroupMembership {
    /// Somebody who is not a member yet, and wants these topics.
    pub fn new(settings: GroupSettings, topics: impl IntoIterator<Item = TopicName>) -> Self {
        let now = Instant::now();
        Self {
            settings,
            topics: topics.into_iter().collect(),
            coordinator: None,
            member_id: StrBytes::default(),
            generation: NO_GENERATION,
            shared_out: None,
            last_heartbeat: now,
            topics_checked: now,
        }
    }

    /// Joins, or takes part in sharing out anew; answers the partitions that are ours.
    pub async fn join(&mut self, client: &mut ClusterClient) -> Result<Vec<TopicPartition>, ClientError> {
        let deadline = Instant::now() + self.settings.rebalance_timeout + client.settings().api_timeout;
        loop {
            match self.try_to_join(client).await {
                Ok(partitions) => {
                    self.last_heartbeat = Instant::now();
                    return Ok(partitions);
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(error) if error.code() == Some(ErrorCode::MemberIdRequired) => {}
                Err(error) => {
                    self.bear(error)?;
                    sleep(RETRY_BACKOFF).await;
                }
            }
        }
    }

    async fn try_to_join(&mut self, client: &mut ClusterClient) -> Result<Vec<TopicPartition>, ClientError> {
        // What a broker may create is created before it is shared out.
        let topics: Vec<_> = self.topics.iter().cloned().collect();
        client.topics_to_consume(&topics).await?;
        let waited = self.settings.rebalance_timeout + client.settings().request_timeout;
        let joined = self.ask(client, waited, &self.join_request()).await?;
        self.member_id = joined.member_id.clone();
        ClientError::check(joined.error_code, None)?;
        self.generation = joined.generation_id;
        let assignments = if joined.leader == joined.member_id {
            self.share_out(client, &joined).await?
        } else {
            self.shared_out = None;
            Assignments::new()
        };
        let synced = self.ask(client, waited, &self.sync_request(&joined, &assignments)).await?;
        ClientError::check(synced.error_code, None)?;
        read_assignment(synced.assignment).ok_or_else(|| inconsistent("our assignment"))
    }

    fn join_request(&self) -> JoinGroupRequest {
        let subscription = write_subscription(self.topics.iter());
        let protocols = Assignor::ALL.map(|assignor| {
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(assignor.name()))
                .with_metadata(subscription.clone())
        });
        JoinGroupRequest::default()
            .with_group_id(self.group_id())
            .with_session_timeout_ms(milliseconds(self.settings.session_timeout))
            .with_rebalance_timeout_ms(milliseconds(self.settings.rebalance_timeout))
            .with_member_id(self.member_id.clone())
            .with_protocol_type(StrBytes::from_static_str(PROTOCOL_TYPE))
            .with_protocols(protocols.into())
    }

    /// Decides who gets what.
    async fn share_out(
        &mut self,
        client: &mut ClusterClient,
        joined: &JoinGroupResponse,
    ) -> Result<Assignments, ClientError> {
        let name = joined.protocol_name.as_deref().unwrap_or_default();
        let assignor = Assignor::from_name(name).ok_or_else(|| ClientError::Refused {
            code: ErrorCode::InconsistentGroupProtocol,
            message: Some(format!("the group shares out by \"{name}\", which we do not know")),
        })?;
        let mut subscriptions = Subscriptions::new();
        for member in &joined.members {
            let topics = read_subscription(member.metadata.clone()).ok_or_else(|| inconsistent("a subscription"))?;
            subscriptions.insert(member.member_id.to_string(), topics.into_iter().collect());
        }
        let all: BTreeSet<_> = subscriptions.values().flatten().cloned().collect();
        let counts = partition_counts(client, all).await?;
        let assignments = assignor.assign(&subscriptions, &counts);
        self.shared_out = Some(counts);
        self.topics_checked = Instant::now();
        Ok(assignments)
    }

    fn sync_request(&self, joined: &JoinGroupResponse, assignments: &Assignments) -> SyncGroupRequest {
        let given = assignments.iter().map(|(member, partitions)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(StrBytes::from_string(member.clone()))
                .with_assignment(write_assignment(partitions))
        });
        SyncGroupRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_protocol_type(Some(StrBytes::from_static_str(PROTOCOL_TYPE)))
            .with_protocol_name(joined.protocol_name.clone())
            .with_assignments(given.collect())
    }

    /// Says that we are still there, if it is time to. `false` means that partitions are shared out anew, or that we
    /// were taken for gone: what was read is to be committed, and then [`GroupMembership::join`].
    pub async fn heartbeat(&mut self, client: &mut ClusterClient) -> Result<bool, ClientError> {
        let now = Instant::now();
        if now.duration_since(self.last_heartbeat) >= HEARTBEAT_INTERVAL {
            self.last_heartbeat = now;
            let request = HeartbeatRequest::default()
                .with_group_id(self.group_id())
                .with_generation_id(self.generation)
                .with_member_id(self.member_id.clone());
            let answer = match self.ask(client, client.settings().request_timeout, &request).await {
                Ok(response) => ClientError::check(response.error_code, None),
                Err(error) => Err(error),
            };
            if let Err(error) = answer {
                let has_ended = is_end_of_generation(&error);
                self.bear(error)?;
                return Ok(!has_ended);
            }
        }
        self.has_same_topics(client, now).await
    }

    /// Whether the topics that we shared out have as many partitions as they had.
    async fn has_same_topics(&mut self, client: &mut ClusterClient, now: Instant) -> Result<bool, ClientError> {
        let Some(before) = &self.shared_out else { return Ok(true) };
        if now.duration_since(self.topics_checked) < TOPICS_INTERVAL {
            return Ok(true);
        }
        self.topics_checked = now;
        match partition_counts(client, before.keys().cloned()).await {
            Ok(counts) => Ok(counts == *before),
            Err(error) if error.is_retriable() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Remembers with the group that everything in front of these positions was read.
    pub async fn commit(
        &mut self,
        client: &mut ClusterClient,
        positions: &BTreeMap<TopicPartition, ReadPosition>,
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&TopicName, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (one, position) in positions {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(one.partition)
                .with_committed_offset(position.offset)
                .with_committed_leader_epoch(position.leader_epoch.unwrap_or(-1))
                .with_committed_metadata(Some(StrBytes::default()));
            topics.entry(&one.topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            OffsetCommitRequestTopic::default().with_name(wire_name(topic)).with_partitions(partitions)
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(self.member_id.clone())
            .with_topics(topics.collect());
        self.persist(client, async |member, client| {
            // Later versions name topics by their ids.
            let coordinator = member.coordinator(client).await?;
            let response = client.ask_at_most(To::Broker(coordinator), 9, &request).await?;
            let mut codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code);
            codes.try_for_each(|code| ClientError::check(code, None))
        })
        .await
    }

    /// What the group remembers of partitions; nothing of those that it has never read.
    pub async fn committed(
        &mut self,
        client: &mut ClusterClient,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, ReadPosition>, ClientError> {
        let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
        for one in partitions {
            topics.entry(&one.topic).or_default().push(one.partition);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            OffsetFetchRequestTopic::default().with_name(wire_name(topic)).with_partition_indexes(partitions)
        });
        let request = OffsetFetchRequest::default()
            .with_group_id(self.group_id())
            .with_topics(Some(topics.collect()))
            .with_require_stable(true);
        self.persist(client, async |member, client| {
            // Later versions ask for several groups at once.
            let coordinator = member.coordinator(client).await?;
            let response = client.ask_at_most(To::Broker(coordinator), 7, &request).await?;
            ClientError::check(response.error_code, None)?;
            let mut committed = BTreeMap::new();
            for topic in &response.topics {
                for partition in &topic.partitions {
                    ClientError::check(partition.error_code, None)?;
                    if partition.committed_offset >= 0 {
                        let one = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                        let leader_epoch = Some(partition.committed_leader_epoch).filter(|epoch| *epoch >= 0);
                        committed.insert(one, ReadPosition { offset: partition.committed_offset, leader_epoch });
                    }
                }
            }
            Ok(committed)
        })
        .await
    }

    /// Leaves, so that others need not wait until we are missed.
    pub async fn leave(&mut self, client: &mut ClusterClient) -> Result<(), ClientError> {
        if self.member_id.is_empty() {
            return Ok(());
        }
        let request =
            LeaveGroupRequest::default().with_group_id(self.group_id()).with_member_id(self.member_id.clone());
        (self.member_id, self.generation) = (StrBytes::default(), NO_GENERATION);
        let coordinator = self.coordinator(client).await?;
        // Later versions have a list of members.
        let response = client.ask_at_most(To::Broker(coordinator), 2, &request).await?;
        ClientError::check(response.error_code, None)
    }

    /// Puts a question to the coordinator again while it is the wrong one, or not ready.
    async fn persist<T>(
        &mut self,
        client: &mut ClusterClient,
        mut attempt: impl AsyncFnMut(&mut Self, &mut ClusterClient) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + client.settings().api_timeout;
        loop {
            match attempt(self, client).await {
                Err(error) if error.is_retriable() && !is_end_of_generation(&error) && Instant::now() < deadline => {
                    self.bear(error)?;
                    sleep(RETRY_BACKOFF).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Draws the conclusions from an error after which we can go on; returns any other.
    fn bear(&mut self, error: ClientError) -> Result<(), ClientError> {
        match error.code() {
            Some(ErrorCode::RebalanceInProgress | ErrorCode::CoordinatorLoadInProgress) => {}
            Some(ErrorCode::IllegalGeneration) => self.generation = NO_GENERATION,
            Some(ErrorCode::UnknownMemberId) => {
                (self.member_id, self.generation) = (StrBytes::default(), NO_GENERATION);
            }
            _ if error.is_retriable() => self.coordinator = None,
            _ => return Err(error),
        }
        Ok(())
    }

    async fn coordinator(&mut self, client: &mut ClusterClient) -> Result<NodeId, ClientError> {
        if let Some(coordinator) = self.coordinator {
            return Ok(coordinator);
        }
        let coordinator = client.group_coordinator(&self.settings.group_id).await?;
        self.coordinator = Some(coordinator);
        Ok(coordinator)
    }

    async fn ask<R: Request>(
        &mut self,
        client: &mut ClusterClient,
        waited: Duration,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let coordinator = self.coordinator(client).await?;
        client.ask_within(To::Broker(coordinator), i16::MAX, waited, request).await
    }

    fn group_id(&self) -> GroupId {
        StrBytes::from_string(self.settings.group_id.clone()).into()
    }
}

/// Whether it means that partitions are shared out anew, with us or without us.
pub(super) fn is_end_of_generation(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId)
    )
}

/// How many partitions topics have; those that do not exist are left out.
async fn partition_counts(
    client: &mut ClusterClient,
    topics: impl IntoIterator<Item = TopicName>,
) -> Result<BTreeMap<TopicName, i32>, ClientError> {
    let names: Vec<_> = topics.into_iter().collect();
    let topics = client.topics(&names).await?;
    // Missing ones have no partitions, and are noticed when they do.
    let count =
        |topic: Result<super::TopicDescription, ErrorCode>| topic.map_or(0, |topic| topic.partitions.len() as i32);
    Ok(topics.into_iter().map(|(name, topic)| (name, count(topic))).collect())
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn inconsistent(what: &str) -> ClientError {
    ClientError::Refused {
        code: ErrorCode::InconsistentGroupProtocol,
        message: Some(format!("{what} in the group is not what the consumer protocol prescribes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_error_a_member_knows_who_it_still_is() {
        let mut member = GroupMembership::new(GroupSettings::new("g"), []);
        (member.member_id, member.generation, member.coordinator) = (StrBytes::from_static_str("m"), 4, Some(1));
        let mut bear = |code: ErrorCode| {
            let outcome = member.bear(ClientError::Refused { code, message: None });
            (outcome.is_ok(), member.member_id.to_string(), member.generation, member.coordinator)
        };
        assert_eq!(bear(ErrorCode::RebalanceInProgress), (true, "m".to_owned(), 4, Some(1)));
        assert_eq!(bear(ErrorCode::NotCoordinator), (true, "m".to_owned(), 4, None));
        assert_eq!(bear(ErrorCode::IllegalGeneration), (true, "m".to_owned(), -1, None));
        assert_eq!(bear(ErrorCode::UnknownMemberId), (true, String::new(), -1, None));
        assert!(!bear(ErrorCode::GroupAuthorizationFailed).0);
    }
}
