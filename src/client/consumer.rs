//! Reads partitions from given offsets on (Fetch).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use tokio::time::{Instant, sleep};

use super::cluster_client::RETRY_BACKOFF;
use super::fetched::FetchedPartition;
use super::metadata::wire_name;
use super::{ClientError, ClusterClient, EARLIEST, LATEST, To};
use crate::ids::{NodeId, TopicName, TopicPartition};
use crate::protocol::ErrorCode;

/// The last version of Fetch that names topics; later ones have their ids.
const NEWEST_BY_NAME: i16 = 12;
/// A fetch on its own, without a session (KIP-227).
const NO_SESSION: i32 = -1;

/// Where reading goes on when an offset does not exist any more (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the beginning.
    Earliest,
    /// At the end.
    Latest,
    /// Nowhere: it is an error.
    Fail,
}

impl OffsetReset {
    /// The timestamp that stands for it in ListOffsets.
    pub(super) fn timestamp(self) -> Option<i64> {
        match self {
            Self::Earliest => Some(EARLIEST),
            Self::Latest => Some(LATEST),
            Self::Fail => None,
        }
    }
}

/// How partitions are read.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Whether records of transactions that are open or aborted are left out (`isolation.level`).
    pub read_committed: bool,
    /// What is done when an offset is out of range.
    pub reset: OffsetReset,
    /// The most bytes of one answer, unless one batch is larger (`fetch.max.bytes`).
    pub max_bytes: i32,
    /// The most bytes of one partition in it (`max.partition.fetch.bytes`).
    pub partition_max_bytes: i32,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self { read_committed: false, reset: OffsetReset::Fail, max_bytes: 50 << 20, partition_max_bytes: 1 << 20 }
    }
}

/// A reader of partitions, each at its own offset.
#[derive(Debug)]
pub struct Consumer {
    settings: ConsumerSettings,
    positions: BTreeMap<TopicPartition, i64>,
    leaders: HashMap<TopicPartition, NodeId>,
    /// Since when nothing has worked, for the partitions of which that is so.
    troubled: HashMap<TopicPartition, Instant>,
    /// Leaders are asked in turns, so that a busy one does not keep others waiting.
    turn: usize,
}

/// What an answer says, by partition.
enum Outcome {
    Fetched(FetchedPartition),
    OutOfRange,
    Moved(ClientError),
}

impl Consumer {
    /// A consumer of nothing yet.
    pub fn new(settings: ConsumerSettings) -> Self {
        let (positions, leaders, troubled) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Self { settings, positions, leaders, troubled, turn: 0 }
    }

    /// Reads these partitions from these offsets on, and no others.
    pub fn assign(&mut self, positions: impl IntoIterator<Item = (TopicPartition, i64)>) {
        self.positions = positions.into_iter().collect();
        self.troubled.clear();
    }

    /// Reads a partition no further.
    pub fn remove(&mut self, partition: &TopicPartition) {
        self.positions.remove(partition);
        self.troubled.remove(partition);
    }

    /// The offsets that are read next.
    pub fn positions(&self) -> &BTreeMap<TopicPartition, i64> {
        &self.positions
    }

    /// Fetches once from each leader. The answer may be empty: after `max_wait` without records, or when leaders have
    /// changed. What may pass is waited for until the client's `api_timeout` has passed without any success.
    pub async fn poll(
        &mut self,
        client: &mut ClusterClient,
        max_wait: Duration,
    ) -> Result<Vec<FetchedPartition>, ClientError> {
        if self.positions.is_empty() {
            sleep(max_wait).await;
            return Ok(Vec::new());
        }
        self.find_leaders(client).await?;
        let by_leader = self.by_leader();
        // One question at a time: nobody may be asked to wait while somebody else has records.
        let wait = max_wait / u32::try_from(by_leader.len().max(1)).unwrap_or(u32::MAX);
        let mut fetched = Vec::new();
        for (leader, partitions) in by_leader {
            let request = self.request(&partitions, if fetched.is_empty() { wait } else { Duration::ZERO });
            let waited = wait + client.settings().request_timeout;
            match client.ask_within(To::Broker(leader), NEWEST_BY_NAME, waited, &request).await {
                Ok(response) => fetched.extend(self.take(client, &partitions, response).await?),
                Err(error) => self.trouble_for(client, &partitions, error)?,
            }
        }
        if !self.troubled.is_empty() && fetched.is_empty() {
            sleep(RETRY_BACKOFF).await;
        }
        Ok(fetched)
    }

    /// Asks for the leaders that are not known.
    async fn find_leaders(&mut self, client: &mut ClusterClient) -> Result<(), ClientError> {
        self.leaders.retain(|partition, _| self.positions.contains_key(partition));
        let unknown: Vec<_> =
            self.positions.keys().filter(|partition| !self.leaders.contains_key(partition)).cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        match client.leaders(&unknown).await {
            Ok(found) => {
                for (partition, leader) in found {
                    match leader {
                        Ok(leader) => drop(self.leaders.insert(partition, leader)),
                        Err(code) => {
                            let error = ClientError::of_one(&partition, code);
                            self.trouble_for(client, &[partition], error)?;
                        }
                    }
                }
                Ok(())
            }
            Err(error) => self.trouble_for(client, &unknown, error),
        }
    }

    /// Notes what has gone wrong with partitions; an error if it will not pass, or has not for too long.
    fn trouble_for(
        &mut self,
        client: &ClusterClient,
        partitions: &[TopicPartition],
        error: ClientError,
    ) -> Result<(), ClientError> {
        let now = Instant::now();
        let mut is_over = !error.is_retriable();
        for partition in partitions {
            self.leaders.remove(partition);
            let since = *self.troubled.entry(partition.clone()).or_insert(now);
            is_over |= now.duration_since(since) > client.settings().api_timeout;
        }
        if is_over { Err(error) } else { Ok(()) }
    }

    fn by_leader(&mut self) -> Vec<(NodeId, Vec<TopicPartition>)> {
        let mut by_leader: BTreeMap<NodeId, Vec<TopicPartition>> = BTreeMap::new();
        for partition in self.positions.keys() {
            if let Some(leader) = self.leaders.get(partition) {
                by_leader.entry(*leader).or_default().push(partition.clone());
            }
        }
        let mut by_leader: Vec<_> = by_leader.into_iter().collect();
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn.checked_rem(by_leader.len()).unwrap_or_default();
        by_leader.rotate_left(first);
        for (_, partitions) in &mut by_leader {
            let first = self.turn % partitions.len();
            partitions.rotate_left(first);
        }
        by_leader
    }

    fn request(&self, partitions: &[TopicPartition], wait: Duration) -> FetchRequest {
        let mut topics: Vec<(TopicName, Vec<FetchPartition>)> = Vec::new();
        for one in partitions {
            let fetch = FetchPartition::default()
                .with_partition(one.partition)
                .with_current_leader_epoch(-1)
                .with_fetch_offset(self.positions.get(one).copied().unwrap_or_default())
                .with_last_fetched_epoch(-1)
                .with_log_start_offset(-1)
                .with_partition_max_bytes(self.settings.partition_max_bytes);
            match topics.iter_mut().find(|(topic, _)| *topic == one.topic) {
                Some((_, partitions)) => partitions.push(fetch),
                None => topics.push((TopicName::clone(&one.topic), vec![fetch])),
            }
        }
        let topics = topics
            .into_iter()
            .map(|(topic, partitions)| FetchTopic::default().with_topic(wire_name(&topic)).with_partitions(partitions));
        FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(i32::try_from(wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(self.settings.max_bytes)
            .with_isolation_level(i8::from(self.settings.read_committed))
            .with_session_epoch(NO_SESSION)
            .with_topics(topics.collect())
    }

    /// Reads an answer, moves the positions on, and puts those right that are out of range.
    async fn take(
        &mut self,
        client: &mut ClusterClient,
        asked: &[TopicPartition],
        response: FetchResponse,
    ) -> Result<Vec<FetchedPartition>, ClientError> {
        ClientError::check(response.error_code, None)?;
        let (mut fetched, mut out_of_range) = (Vec::new(), Vec::new());
        for topic in &response.responses {
            for data in &topic.partitions {
                let partition = TopicPartition::new(topic.topic.as_str(), data.partition_index);
                let Some(position) = self.positions.get(&partition).copied() else { continue };
                if !asked.contains(&partition) {
                    continue;
                }
                match self.outcome(partition.clone(), position, data)? {
                    Outcome::Fetched(read) => {
                        self.troubled.remove(&partition);
                        self.positions.insert(partition, read.position);
                        fetched.push(read);
                    }
                    Outcome::OutOfRange => out_of_range.push(partition),
                    Outcome::Moved(error) => self.trouble_for(client, &[partition], error)?,
                }
            }
        }
        self.reset(client, out_of_range).await?;
        Ok(fetched)
    }

    fn outcome(&self, partition: TopicPartition, position: i64, data: &PartitionData) -> Result<Outcome, ClientError> {
        match ErrorCode::try_from_code(data.error_code) {
            None => {
                let damaged = partition.clone();
                FetchedPartition::read(partition, position, data, self.settings.read_committed)
                    .map(Outcome::Fetched)
                    .map_err(|error| ClientError::Refused {
                        code: ErrorCode::CorruptMessage,
                        message: Some(format!("{damaged} at offset {position}: {error}")),
                    })
            }
            Some(ErrorCode::OffsetOutOfRange) if self.settings.reset != OffsetReset::Fail => Ok(Outcome::OutOfRange),
            Some(ErrorCode::OffsetOutOfRange) => Err(ClientError::Refused {
                code: ErrorCode::OffsetOutOfRange,
                message: Some(format!("{partition} has no offset {position}")),
            }),
            Some(code) => Ok(Outcome::Moved(ClientError::of_one(&partition, code))),
        }
    }

    async fn reset(&mut self, client: &mut ClusterClient, partitions: Vec<TopicPartition>) -> Result<(), ClientError> {
        let Some(timestamp) = self.settings.reset.timestamp().filter(|_| !partitions.is_empty()) else { return Ok(()) };
        let wanted: Vec<_> = partitions.into_iter().map(|partition| (partition, timestamp)).collect();
        for (partition, listed) in client.list_offsets(&wanted, self.settings.read_committed).await? {
            let listed = listed.map_err(|code| ClientError::of_one(&partition, code))?;
            self.positions.insert(partition, listed.offset);
        }
        Ok(())
    }
}
