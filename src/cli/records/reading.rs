//! Reads partitions and prints what it reads, until it has enough or is interrupted.

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use super::format::RecordFormat;
use super::json::to_json;
use super::offsets::{Extent, OffsetPlace, OffsetRange};
use crate::cli::Failure;
use crate::client::{
    ClientError, ClusterClient, Consumer, ConsumerSettings, EARLIEST, FetchedPartition, FetchedRecord, LATEST,
};
use crate::config::closest;
use crate::ids::{TopicName, TopicPartition};
use crate::protocol::ErrorCode;

/// How long a fetch waits for records; a signal is heard at once all the same.
pub(in crate::cli) const POLL: Duration = Duration::from_millis(500);

/// What is read of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Slice {
    /// The partition.
    pub(in crate::cli) partition: TopicPartition,
    /// The first offset.
    pub(in crate::cli) start: i64,
    /// The offset that is not read any more; `None` goes on with whatever comes.
    pub(in crate::cli) end: Option<i64>,
    /// What the partition holds.
    pub(in crate::cli) extent: Extent,
}

/// How records are printed.
#[derive(Debug, Clone)]
pub(in crate::cli) enum PrintedAs {
    /// A line of JSON each.
    Json,
    /// As a format says.
    Format(RecordFormat),
}

/// Why reading has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Ended {
    /// Everything that was wanted is there.
    Complete,
    /// Ctrl-C.
    Interrupted,
}

/// Prints records up to a number of them.
#[derive(Debug)]
pub(in crate::cli) struct RecordPrinter {
    form: PrintedAs,
    limit: Option<u64>,
    count: u64,
    /// Whoever read stdout has gone.
    is_unread: bool,
}

impl PrintedAs {
    /// `json`, or a format.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        if text == "json" { Ok(Self::Json) } else { Ok(Self::Format(RecordFormat::parse(text)?)) }
    }

    /// Adds a record to what is printed.
    pub(in crate::cli) fn write(
        &self,
        partition: &FetchedPartition,
        record: &FetchedRecord,
        count: u64,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Json => {
                out.extend_from_slice(to_json(partition, record).to_string().as_bytes());
                out.push(b'\n');
            }
            Self::Format(format) => format.write(partition, record, count, out),
        }
    }
}

impl RecordPrinter {
    /// Prints at most `limit` records.
    pub(in crate::cli) fn new(form: PrintedAs, limit: Option<u64>) -> Self {
        Self { form, limit, count: 0, is_unread: false }
    }

    /// How many were printed.
    pub(in crate::cli) fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing more will be printed.
    pub(in crate::cli) fn is_done(&self) -> bool {
        self.is_unread || self.limit.is_some_and(|limit| self.count >= limit)
    }

    /// Prints what was fetched, up to the offset `end`; answers the offset behind what is printed.
    pub(in crate::cli) fn print(&mut self, fetched: &FetchedPartition, end: Option<i64>) -> i64 {
        let mut out = Vec::new();
        let mut position = fetched.position;
        for record in &fetched.records {
            if self.is_done() || end.is_some_and(|end| record.record.offset >= end) {
                position = record.record.offset;
                break;
            }
            self.count += 1;
            self.form.write(fetched, record, self.count, &mut out);
        }
        let mut stdout = io::stdout().lock();
        self.is_unread |= stdout.write_all(&out).and_then(|()| stdout.flush()).is_err();
        position
    }
}

/// The partitions of topics that are to be read, with what they hold; only those of `partitions`, if any are named.
pub(in crate::cli) async fn slices(
    client: &mut ClusterClient,
    topics: &[TopicName],
    partitions: &[i32],
    range: OffsetRange,
    read_committed: bool,
) -> Result<Vec<Slice>, Failure> {
    let mut wanted = Vec::new();
    for (name, topic) in client.topics(topics).await? {
        let topic = match topic {
            Ok(topic) => topic,
            Err(ErrorCode::UnknownTopicOrPartition) => return Err(no_such_topic(client, &name).await?),
            Err(code) => return Err(ClientError::of_one(&name, code).into()),
        };
        let count = topic.partitions.len();
        if let Some(missing) = partitions.iter().find(|one| !topic.partitions.iter().any(|there| there.index == **one))
        {
            let hint = Some(format!("it has {count}, which are counted from 0"));
            return Err(Failure { what: format!("{name} has no partition {missing}"), hint });
        }
        let indexes = topic.partitions.iter().map(|partition| partition.index);
        let indexes = indexes.filter(|index| partitions.is_empty() || partitions.contains(index));
        wanted.extend(indexes.map(|index| TopicPartition { topic: TopicName::clone(&name), partition: index }));
    }
    let extents = extents(client, &wanted, range, read_committed).await?;
    let slice = |(partition, extent): (TopicPartition, Extent)| {
        let (start, end) = range.within(extent);
        Slice { partition, start, end, extent }
    };
    Ok(wanted.into_iter().zip(extents).map(slice).collect())
}

async fn no_such_topic(client: &mut ClusterClient, name: &str) -> Result<Failure, ClientError> {
    let topics = client.all_topics().await?;
    let near = closest(name, topics.iter().map(|topic| &*topic.name));
    let hint = near.map_or_else(
        || format!("klamm topic produce {name} VALUE creates it"),
        |near| format!("did you mean \"{near}\"?"),
    );
    Ok(Failure { what: format!("there is no topic {name}"), hint: Some(hint) })
}

/// What each of `partitions` holds, in their order.
async fn extents(
    client: &mut ClusterClient,
    partitions: &[TopicPartition],
    range: OffsetRange,
    read_committed: bool,
) -> Result<Vec<Extent>, ClientError> {
    let earliest = offsets_at(client, partitions, Some(EARLIEST), false).await?;
    let latest = offsets_at(client, partitions, Some(LATEST), read_committed).await?;
    let time = |place| if let OffsetPlace::Since(timestamp) = place { Some(timestamp) } else { None };
    let since_start = offsets_at(client, partitions, time(range.start), false).await?;
    let since_end = offsets_at(client, partitions, range.end.and_then(time), false).await?;
    let known = |offsets: &[i64], at: usize| offsets.get(at).copied().filter(|offset| *offset >= 0);
    let extent = |at| Extent {
        earliest: known(&earliest, at).unwrap_or_default(),
        latest: known(&latest, at).unwrap_or_default(),
        since_start: known(&since_start, at),
        since_end: known(&since_end, at),
    };
    Ok((0..partitions.len()).map(extent).collect())
}

/// The offsets of a timestamp, or nothing without one.
pub(in crate::cli) async fn offsets_at(
    client: &mut ClusterClient,
    partitions: &[TopicPartition],
    timestamp: Option<i64>,
    read_committed: bool,
) -> Result<Vec<i64>, ClientError> {
    let Some(timestamp) = timestamp else { return Ok(Vec::new()) };
    let wanted: Vec<_> = partitions.iter().map(|one| (one.clone(), timestamp)).collect();
    let listed = client.list_offsets(&wanted, read_committed).await?;
    let offset = |one: &TopicPartition| match listed.get(one) {
        Some(Ok(listed)) => Ok(listed.offset),
        Some(Err(code)) => Err(ClientError::of_one(one, *code)),
        None => Err(ClientError::NoBroker(format!("no broker has told the offsets of {one}"))),
    };
    partitions.iter().map(offset).collect()
}

/// Reads the slices and prints them, until `interrupt` completes.
pub(in crate::cli) async fn read(
    client: &mut ClusterClient,
    slices: &[Slice],
    settings: ConsumerSettings,
    printer: &mut RecordPrinter,
    interrupt: impl Future<Output = ()>,
) -> Result<Ended, ClientError> {
    let unread = |slice: &&Slice| slice.end.is_none_or(|end| slice.start < end);
    let mut consumer = Consumer::new(settings);
    consumer.assign(slices.iter().filter(unread).map(|slice| (slice.partition.clone(), slice.start)));
    let mut interrupt = pin!(interrupt);
    while !printer.is_done() && !consumer.positions().is_empty() {
        let fetched = tokio::select! {
            fetched = consumer.poll(client, POLL) => fetched?,
            () = &mut interrupt => return Ok(Ended::Interrupted),
        };
        for fetched in &fetched {
            let end = slices.iter().find(|slice| slice.partition == fetched.partition).and_then(|slice| slice.end);
            printer.print(fetched, end);
            if end.is_some_and(|end| fetched.position >= end) {
                consumer.remove(&fetched.partition);
            }
        }
    }
    Ok(Ended::Complete)
}
