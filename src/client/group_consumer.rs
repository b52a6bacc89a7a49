//! Reads topics as a member of a consumer group: partitions come and go, and how far it is, the group remembers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::consumer::{Consumer, ConsumerSettings};
use super::fetched::{FetchedPartition, ReadPosition};
use super::membership::{GroupMembership, GroupSettings, is_end_of_generation};
use super::{ClientError, ClusterClient, EARLIEST};
use crate::ids::{TopicName, TopicPartition};
use crate::protocol::ErrorCode;

/// How often it is remembered how far we are (`auto.commit.interval.ms`).
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// A consumer that is a member of a group. Whoever uses it polls at least every few seconds, says with
/// [`GroupConsumer::mark`] what is done, and closes it.
#[derive(Debug)]
pub struct GroupConsumer {
    member: GroupMembership,
    consumer: Consumer,
    settings: ConsumerSettings,
    is_member: bool,
    commits: bool,
    /// How far all partitions that are ours are done; those that brought nothing, too.
    done: BTreeMap<TopicPartition, ReadPosition>,
    /// Whether the group does not know that yet.
    is_news: bool,
    last_commit: Instant,
}

impl GroupConsumer {
    /// Not a member yet; the first poll joins. Without `commits` the group remembers nothing.
    pub fn new(
        group: GroupSettings,
        topics: impl IntoIterator<Item = TopicName>,
        settings: ConsumerSettings,
        commits: bool,
    ) -> Self {
        Self {
            member: GroupMembership::new(group, topics),
            consumer: Consumer::new(settings.clone()),
            settings,
            is_member: false,
            commits,
            done: BTreeMap::new(),
            is_news: false,
            last_commit: Instant::now(),
        }
    }

    /// Joins if need be, and fetches from the partitions that are ours; may answer nothing.
    pub async fn poll(
        &mut self,
        client: &mut ClusterClient,
        max_wait: Duration,
    ) -> Result<Vec<FetchedPartition>, ClientError> {
        self.keep_up(client).await?;
        self.consumer.poll(client, max_wait).await
    }

    /// As [`GroupConsumer::poll`], without fetching: for who has no time for records now, and wants to stay a member.
    pub async fn keep_up(&mut self, client: &mut ClusterClient) -> Result<(), ClientError> {
        if self.is_member && !self.member.heartbeat(client).await? {
            self.commit(client).await?;
            self.is_member = false;
        }
        if !self.is_member {
            self.join(client).await?;
        }
        if self.last_commit.elapsed() >= COMMIT_INTERVAL {
            self.commit(client).await?;
        }
        Ok(())
    }

    async fn join(&mut self, client: &mut ClusterClient) -> Result<(), ClientError> {
        let partitions = self.member.join(client).await?;
        let mut positions = self.member.committed(client, &partitions).await?;
        let unread: Vec<_> = partitions.iter().filter(|one| !positions.contains_key(one)).cloned().collect();
        if !unread.is_empty() {
            let timestamp = self.settings.reset.timestamp().ok_or_else(|| ClientError::Refused {
                code: ErrorCode::OffsetOutOfRange,
                message: Some("the group has not read all partitions before".to_owned()),
            })?;
            positions.extend(self.listed(client, &unread, timestamp).await?);
        }
        self.start_at(positions);
        self.is_member = true;
        Ok(())
    }

    /// Goes on from these positions. The group is told of them even if nothing comes: who begins at the end has to begin
    /// at the same place the next time, as with Kafka's consumer.
    fn start_at(&mut self, positions: BTreeMap<TopicPartition, ReadPosition>) {
        self.consumer.assign(positions.iter().map(|(partition, position)| (partition.clone(), position.offset)));
        (self.done, self.is_news) = (positions, true);
    }

    async fn listed(
        &self,
        client: &mut ClusterClient,
        partitions: &[TopicPartition],
        timestamp: i64,
    ) -> Result<BTreeMap<TopicPartition, ReadPosition>, ClientError> {
        let wanted: Vec<_> = partitions.iter().map(|one| (one.clone(), timestamp)).collect();
        let mut offsets = BTreeMap::new();
        for (partition, listed) in client.list_offsets(&wanted, self.settings.read_committed).await? {
            let listed = listed.map_err(|code| ClientError::of_one(&partition, code))?;
            // Nothing was read in front of it.
            offsets.insert(partition, ReadPosition { offset: listed.offset, leader_epoch: None });
        }
        Ok(offsets)
    }

    /// The partitions that are ours, and the offsets that are read next.
    pub fn positions(&self) -> &BTreeMap<TopicPartition, i64> {
        self.consumer.positions()
    }

    /// Everything of a partition in front of a position is done. Of a partition that is not ours any more nothing is
    /// noted: others have it, and read again what we did not get to say.
    pub fn mark(&mut self, partition: &TopicPartition, read: ReadPosition) {
        let Some(done) = self.done.get_mut(partition) else { return };
        // An answer without records does not say which leader epoch it is that nothing has come after.
        let is_older = done.offset == read.offset && read.leader_epoch.is_none();
        if !is_older && *done != read {
            (*done, self.is_news) = (read, true);
        }
    }

    /// Reads its partitions from their beginning on.
    pub async fn seek_to_beginning(&mut self, client: &mut ClusterClient) -> Result<(), ClientError> {
        let partitions: Vec<_> = self.positions().keys().cloned().collect();
        let beginnings = self.listed(client, &partitions, EARLIEST).await?;
        self.start_at(beginnings);
        Ok(())
    }

    /// Has the group remember what is done.
    pub async fn commit(&mut self, client: &mut ClusterClient) -> Result<(), ClientError> {
        self.last_commit = Instant::now();
        if !self.is_news || self.done.is_empty() || !self.commits {
            return Ok(());
        }
        match self.member.commit(client, &self.done).await {
            Ok(()) => {
                self.is_news = false;
                Ok(())
            }
            // Others have our partitions now, and read again what we did not get to say.
            Err(error) if is_end_of_generation(&error) => {
                self.is_member = false;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Commits, and leaves the group.
    pub async fn close(mut self, client: &mut ClusterClient) -> Result<(), ClientError> {
        let committed = self.commit(client).await;
        self.member.leave(client).await?;
        committed
    }
}
