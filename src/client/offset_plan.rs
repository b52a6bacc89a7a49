//! Where a group would go on reading: the new offsets of a reset, before anything is changed.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

use super::{ClientError, ClusterClient, CommittedOffset, EARLIEST, LATEST, TopicDescription};
use crate::ids::{TopicName, TopicPartition};
use crate::protocol::ErrorCode;

/// Where to, for each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetTarget {
    /// The log start offset.
    Earliest,
    /// The high watermark.
    Latest,
    /// The committed offset; the high watermark where nothing is committed.
    Current,
    /// This offset, or the nearest that the log has.
    Offset(i64),
    /// So many records on, or back, from the committed offset, as far as the log reaches.
    Shift(i64),
    /// The first record of this time or later, in milliseconds since the Unix epoch; the high watermark where none is
    /// that late.
    Timestamp(i64),
}

/// The offset that a reset sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedOffset {
    /// The offset of the next record to be read.
    pub offset: i64,
    /// Whether it is the end because no record is as late as was asked for.
    pub is_too_late: bool,
}

/// Why offsets cannot be planned.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The cluster could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is nothing to shift.
    #[error("Cannot shift offset for partition {}-{} since there is no current committed offset", .0.topic, .0.partition)]
    NothingCommitted(TopicPartition),
}

/// Where partitions begin and end, or what was found by a timestamp.
type OffsetOf = HashMap<TopicPartition, i64>;

impl ClusterClient {
    /// All partitions of topics; a topic that does not exist is an error.
    pub async fn all_partitions(&mut self, topics: &[TopicName]) -> Result<Vec<TopicPartition>, ClientError> {
        let mut partitions = Vec::new();
        for (name, described) in self.topics(topics).await? {
            let topic: TopicDescription = described.map_err(ClientError::refused)?;
            partitions
                .extend(topic.partitions.iter().map(|one| TopicPartition::new(TopicName::clone(&name), one.index)));
        }
        Ok(partitions)
    }

    /// The offsets that a reset of `partitions` to `target` sets; `committed` is what the group has committed. As with
    /// Kafka's tool, partitions must exist and have leaders, and offsets beyond the log are those of its bounds.
    pub async fn plan_offsets(
        &mut self,
        partitions: &[TopicPartition],
        target: OffsetTarget,
        committed: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<BTreeMap<TopicPartition, PlannedOffset>, PlanError> {
        self.check_leaders(partitions).await?;
        let at = |partition: &TopicPartition| committed.get(partition).map(|committed| committed.offset);
        let offsets: OffsetOf = match target {
            OffsetTarget::Earliest => self.offsets_at(partitions, EARLIEST).await?,
            OffsetTarget::Latest => self.offsets_at(partitions, LATEST).await?,
            OffsetTarget::Current => {
                let mut offsets = self.offsets_at(partitions, LATEST).await?;
                offsets.extend(partitions.iter().filter_map(|one| Some((one.clone(), at(one)?))));
                offsets
            }
            OffsetTarget::Timestamp(timestamp_ms) => return Ok(self.plan_by_time(partitions, timestamp_ms).await?),
            OffsetTarget::Offset(offset) => {
                let wanted = partitions.iter().map(|one| (one.clone(), offset)).collect();
                self.within_log(wanted).await?
            }
            OffsetTarget::Shift(by) => {
                let shifted = partitions.iter().map(|one| match at(one) {
                    Some(offset) => Ok((one.clone(), offset.saturating_add(by))),
                    None => Err(PlanError::NothingCommitted(one.clone())),
                });
                let wanted = shifted.collect::<Result<_, _>>()?;
                self.within_log(wanted).await?
            }
        };
        Ok(offsets.into_iter().map(|(one, offset)| (one, PlannedOffset { offset, is_too_late: false })).collect())
    }

    /// As [`ClusterClient::plan_offsets`], with an offset for each partition.
    pub async fn plan_given_offsets(
        &mut self,
        wanted: HashMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, PlannedOffset>, ClientError> {
        let offsets = self.within_log(wanted).await?;
        Ok(offsets.into_iter().map(|(one, offset)| (one, PlannedOffset { offset, is_too_late: false })).collect())
    }

    async fn plan_by_time(
        &mut self,
        partitions: &[TopicPartition],
        timestamp_ms: i64,
    ) -> Result<BTreeMap<TopicPartition, PlannedOffset>, ClientError> {
        let found = self.offsets_at(partitions, timestamp_ms).await?;
        let ends = self.offsets_at(partitions, LATEST).await?;
        let plan = found.into_iter().map(|(one, offset)| {
            let end = ends.get(&one).copied().unwrap_or(offset);
            let is_too_late = offset < 0;
            (one, PlannedOffset { offset: if is_too_late { end } else { offset }, is_too_late })
        });
        Ok(plan.collect())
    }

    async fn check_leaders(&mut self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        let leaders = self.leaders(partitions).await?;
        for (wanted, what) in
            [(ErrorCode::UnknownTopicOrPartition, "do not exist"), (ErrorCode::LeaderNotAvailable, "have no leader")]
        {
            let is_meant = |one: &&TopicPartition| leaders.get(*one) == Some(&Err(wanted));
            let names: Vec<_> =
                partitions.iter().filter(is_meant).map(|one| format!("{}-{}", one.topic, one.partition)).collect();
            if !names.is_empty() {
                let message = Some(format!("The partitions \"{}\" {what}", names.join(",")));
                return Err(ClientError::Refused { code: wanted, message });
            }
        }
        Ok(())
    }

    async fn within_log(&mut self, wanted: OffsetOf) -> Result<OffsetOf, ClientError> {
        let partitions: Vec<_> = wanted.keys().cloned().collect();
        let starts = self.offsets_at(&partitions, EARLIEST).await?;
        let ends = self.offsets_at(&partitions, LATEST).await?;
        let bounded = wanted.into_iter().map(|(one, offset)| {
            let start = starts.get(&one).copied().unwrap_or(offset);
            let end = ends.get(&one).copied().unwrap_or(offset);
            let offset = if offset > end { end } else { offset.max(start) };
            (one, offset)
        });
        Ok(bounded.collect())
    }

    async fn offsets_at(&mut self, partitions: &[TopicPartition], timestamp: i64) -> Result<OffsetOf, ClientError> {
        let wanted: Vec<_> = partitions.iter().map(|one| (one.clone(), timestamp)).collect();
        let listed = self.list_offsets(&wanted, false).await?;
        let offset = |outcome: Result<super::ListedOffset, ErrorCode>| {
            outcome.map(|listed| listed.offset).map_err(ClientError::refused)
        };
        listed.into_iter().map(|(one, outcome)| Ok((one, offset(outcome)?))).collect()
    }
}
