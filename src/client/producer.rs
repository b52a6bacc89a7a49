//! Sends records to a topic's partitions (Produce), once each even where an answer is lost (KIP-98).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use tokio::time::{Instant, sleep};

use super::accumulator::{Accumulated, Accumulator, NewRecord};
use super::cluster_client::RETRY_BACKOFF;
use super::metadata::wire_name;
use super::partitioner::{StickyPartitioner, partition_for_key};
use super::{ClientError, ClusterClient, To, TopicDescription};
use crate::ids::{NodeId, TopicName, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::compression::Compression;
use crate::protocol::record_batch::{BatchBuilder, NO_PRODUCER_EPOCH, NO_PRODUCER_ID};

/// The last version of Produce that names topics; later ones have their ids.
const NEWEST_BY_NAME: i16 = 12;
/// Those that are in sync must have it (Kafka's `acks=all`).
const ALL: i16 = -1;

/// How records are sent.
#[derive(Debug, Clone)]
pub struct ProducerSettings {
    /// How batches are compressed.
    pub compression: Compression,
    /// The most uncompressed bytes of a batch, unless one record is larger (`batch.size`).
    pub batch_bytes: usize,
    /// Whether brokers are told what was sent before, so that a retry is not a second record (`enable.idempotence`).
    pub is_idempotent: bool,
    /// How long one record's way may take (`delivery.timeout.ms`).
    pub delivery_timeout: Duration,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            compression: Compression::None,
            batch_bytes: 16 << 10,
            is_idempotent: true,
            delivery_timeout: Duration::from_mins(2),
        }
    }
}

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The partition.
    pub partition: i32,
    /// The offset; `None` where the broker only knows that it has the record already.
    pub offset: Option<i64>,
}

/// A producer to one topic. It waits until every replica that is in sync has what was sent.
#[derive(Debug)]
pub struct Producer {
    settings: ProducerSettings,
    topic: TopicDescription,
    waiting: Accumulator,
    sticky: StickyPartitioner,
    identity: Option<Identity>,
}

/// What a broker recognises a batch by that it has already.
#[derive(Debug)]
struct Identity {
    id: i64,
    epoch: i16,
    /// Each partition's next sequence number.
    sequences: HashMap<i32, i32>,
}

/// Batches by their partitions, as they are sent; an attempt leaves those that must be sent again.
type Unsent = BTreeMap<i32, Bytes>;

impl Producer {
    /// A producer to `topic`, which a broker creates if it may.
    pub async fn open(
        client: &mut ClusterClient,
        topic: &TopicName,
        settings: ProducerSettings,
    ) -> Result<Self, ClientError> {
        let topic = client.topic_to_produce(topic).await?;
        let waiting = Accumulator::new(settings.batch_bytes, settings.compression);
        // Programs that send one record each should not all send it to partition 0.
        let first = usize::try_from(std::process::id()).unwrap_or_default();
        let sticky = StickyPartitioner::new(settings.batch_bytes, first);
        Ok(Self { settings, topic, waiting, sticky, identity: None })
    }

    /// The topic as it was when it was last asked for.
    pub fn topic(&self) -> &TopicDescription {
        &self.topic
    }

    /// Adds a record to its partition's batch, and sends what there is first if that is full; answers where what was
    /// sent went, in its order. An error is about what was sent: the record waits all the same, if it has a partition.
    pub async fn send(&mut self, client: &mut ClusterClient, record: &NewRecord) -> Result<Vec<Delivery>, ClientError> {
        let partition = self.partition_of(record)?;
        let sent =
            if self.waiting.has_room(partition, record.size()) { Ok(Vec::new()) } else { self.flush(client).await };
        self.waiting.add(partition, record);
        sent
    }

    fn partition_of(&mut self, record: &NewRecord) -> Result<i32, ClientError> {
        let count = self.topic.partitions.len() as i32;
        let chosen = match (record.partition, &record.key) {
            (Some(partition), _) => Some(partition).filter(|partition| (0..count).contains(partition)),
            (None, Some(key)) => Some(partition_for_key(key, count)),
            (None, None) => {
                let led = self.topic.partitions.iter().filter(|partition| partition.leader.is_some());
                let available: Vec<_> = led.map(|partition| partition.index).collect();
                self.sticky.next_partition(&available, record.size()).or((count > 0).then_some(0))
            }
        };
        chosen.ok_or_else(|| ClientError::Refused {
            code: ErrorCode::UnknownTopicOrPartition,
            message: Some(match record.partition {
                Some(partition) => {
                    format!(
                        "{} has no partition {partition}; it has {count}, which are counted from 0",
                        self.topic.name
                    )
                }
                None => format!("{} has no partitions", self.topic.name),
            }),
        })
    }

    /// Sends what waits, and answers where each record went, in the order in which they came. After an error it is not
    /// known which of them were appended, and none is sent again.
    pub async fn flush(&mut self, client: &mut ClusterClient) -> Result<Vec<Delivery>, ClientError> {
        let Accumulated { batches, order } = self.waiting.take();
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let sent = self.send_all(client, batches).await;
        if sent.is_err() {
            // What comes next must not be taken for a part of what went wrong.
            self.identity = None;
        }
        let offsets = sent?;
        let delivered = order.into_iter().map(|(partition, index)| {
            let base_offset = offsets.get(&partition).copied().flatten();
            Delivery { partition, offset: base_offset.map(|base_offset| base_offset.saturating_add(i64::from(index))) }
        });
        Ok(delivered.collect())
    }

    /// Sends one batch for each partition until every one is there; answers their base offsets.
    async fn send_all(
        &mut self,
        client: &mut ClusterClient,
        batches: BTreeMap<i32, BatchBuilder>,
    ) -> Result<HashMap<i32, Option<i64>>, ClientError> {
        let deadline = Instant::now() + self.settings.delivery_timeout;
        let mut unsent = self.numbered(client, batches).await?;
        let mut offsets = HashMap::new();
        loop {
            let trouble = match self.attempt(client, &mut unsent, &mut offsets).await {
                Ok(None) => return Ok(offsets),
                Ok(Some(trouble)) => trouble,
                Err(error) => error,
            };
            if !trouble.is_retriable() || Instant::now() + RETRY_BACKOFF >= deadline {
                return Err(trouble);
            }
            sleep(RETRY_BACKOFF).await;
            match client.topic_to_produce(&TopicName::clone(&self.topic.name)).await {
                Ok(topic) => self.topic = topic,
                Err(error) if error.is_retriable() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives batches the numbers by which a broker tells a retry from something new.
    async fn numbered(
        &mut self,
        client: &mut ClusterClient,
        mut batches: BTreeMap<i32, BatchBuilder>,
    ) -> Result<Unsent, ClientError> {
        if self.settings.is_idempotent && self.identity.is_none() {
            self.identity = Some(Identity::obtain(client).await?);
        }
        if let Some(identity) = &mut self.identity {
            for (partition, batch) in &mut batches {
                let sequence = identity.take_sequences(*partition, batch.record_count());
                batch.producer(identity.id, identity.epoch, sequence);
            }
        }
        Ok(batches.into_iter().map(|(partition, batch)| (partition, batch.build())).collect())
    }

    /// Sends every unsent batch to its leader once. What was appended is taken from `unsent`; `None` if that was all.
    async fn attempt(
        &self,
        client: &mut ClusterClient,
        unsent: &mut Unsent,
        offsets: &mut HashMap<i32, Option<i64>>,
    ) -> Result<Option<ClientError>, ClientError> {
        let mut by_leader: BTreeMap<NodeId, Vec<PartitionProduceData>> = BTreeMap::new();
        let mut trouble = None;
        for (partition, records) in &*unsent {
            let described = self.topic.partitions.iter().find(|described| described.index == *partition);
            match described.and_then(|described| described.leader) {
                Some(leader) => by_leader
                    .entry(leader)
                    .or_default()
                    .push(PartitionProduceData::default().with_index(*partition).with_records(Some(records.clone()))),
                None => trouble = Some(self.refused(*partition, ErrorCode::LeaderNotAvailable, None)),
            }
        }
        for (leader, data) in by_leader {
            let topic = TopicProduceData::default().with_name(wire_name(&self.topic.name)).with_partition_data(data);
            let timeout_ms = i32::try_from(client.settings().request_timeout.as_millis()).unwrap_or(i32::MAX);
            let request =
                ProduceRequest::default().with_acks(ALL).with_timeout_ms(timeout_ms).with_topic_data(vec![topic]);
            let response = client.ask_at_most(To::Broker(leader), NEWEST_BY_NAME, &request).await?;
            for answered in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
                match self.outcome(answered) {
                    Ok(base_offset) => {
                        unsent.remove(&answered.index);
                        offsets.insert(answered.index, base_offset);
                    }
                    Err(error) if error.is_retriable() => trouble = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        let unanswered = || ErrorCode::UnknownServerError;
        Ok(trouble.or_else(|| {
            unsent.keys().next().map(|partition| self.refused(*partition, unanswered(), Some("it was not answered")))
        }))
    }

    /// The base offset of a batch that was appended; `None` of one that was appended before, and nobody remembers where.
    fn outcome(&self, answered: &PartitionProduceResponse) -> Result<Option<i64>, ClientError> {
        match ErrorCode::try_from_code(answered.error_code) {
            None => Ok(Some(answered.base_offset).filter(|offset| *offset >= 0)),
            Some(ErrorCode::DuplicateSequenceNumber) => Ok(None),
            Some(code) => Err(self.refused(answered.index, code, answered.error_message.as_deref())),
        }
    }

    fn refused(&self, partition: i32, code: ErrorCode, message: Option<&str>) -> ClientError {
        let partition = TopicPartition { topic: TopicName::clone(&self.topic.name), partition };
        match message {
            Some(message) => ClientError::Refused { code, message: Some(format!("{partition}: {message}")) },
            None => ClientError::of_one(&partition, code),
        }
    }
}

impl Identity {
    async fn obtain(client: &mut ClusterClient) -> Result<Self, ClientError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX)
            .with_producer_id(NO_PRODUCER_ID.into())
            .with_producer_epoch(NO_PRODUCER_EPOCH);
        client
            .retry(async |client| {
                let response = client.ask(To::Any, &request).await?;
                ClientError::check(response.error_code, None)?;
                let (id, epoch) = (response.producer_id.0, response.producer_epoch);
                Ok(Self { id, epoch, sequences: HashMap::new() })
            })
            .await
    }

    /// The first of `count` sequence numbers, which wrap from 2^31-1 to 0.
    fn take_sequences(&mut self, partition: i32, count: i32) -> i32 {
        let next = self.sequences.entry(partition).or_default();
        let first = *next;
        *next = first.wrapping_add(count) & i32::MAX;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap_to_zero() {
        let mut identity = Identity { id: 1, epoch: 0, sequences: HashMap::from([(0, i32::MAX - 1)]) };
        assert_eq!(identity.take_sequences(0, 3), i32::MAX - 1);
        assert_eq!(identity.take_sequences(0, 1), 1);
        assert_eq!(identity.take_sequences(7, 1), 0);
    }
}
