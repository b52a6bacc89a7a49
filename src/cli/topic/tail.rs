//! `klamm topic tail`: the last records, and then whatever comes.

use std::pin::{Pin, pin};
use std::process::ExitCode;

use clap::Args;

use super::super::Failure;
use super::super::connection::ConnectionArguments;
use super::super::interrupt::interrupted;
use super::super::records::format::FORMAT_HELP;
use super::super::records::offsets::{OffsetPlace, OffsetRange};
use super::super::records::reading::{Ended, POLL, PrintedAs, RecordPrinter, Slice, read, slices};
use super::consume::tell_end;
use crate::client::{ClusterClient, Consumer, ConsumerSettings, FetchedPartition, OffsetReset};
use crate::ids::TopicName;

/// How a person likes to see a record.
const FORMAT: &str = "%d{strftime[%F %T]}  %t-%p  %o  %k  %v\\n";

#[derive(Debug, Args)]
#[command(after_long_help = FORMAT_HELP)]
pub(super) struct TailArguments {
    /// The topic.
    topic: String,
    /// How many of the last records are printed first, in order of their timestamps.
    #[arg(long, short, value_name = "N", default_value_t = 10)]
    num: u32,
    /// Only these partitions, separated by commas.
    #[arg(long, short, value_name = "N,...", value_delimiter = ',')]
    partitions: Vec<i32>,
    /// How a record is printed: json for one line of JSON each, or a format (--help tells more).
    #[arg(long, short, default_value = FORMAT, value_parser = PrintedAs::parse)]
    format: PrintedAs,
}

pub(super) fn run(arguments: &TailArguments, connection: &ConnectionArguments) -> Result<ExitCode, Failure> {
    let mut printer = RecordPrinter::new(arguments.format.clone(), None);
    let settings = ConsumerSettings { reset: OffsetReset::Earliest, ..ConsumerSettings::default() };
    let topics = [TopicName::from(arguments.topic.as_str())];
    let range = OffsetRange { start: OffsetPlace::BeforeEnd(i64::from(arguments.num)), end: None };
    let ended = connection.run(async |client| {
        let mut slices = slices(client, &topics, &arguments.partitions, range, false).await?;
        let mut interrupt = pin!(interrupted());
        let Some(last) = last_records(client, &slices, settings.clone(), interrupt.as_mut()).await? else {
            return Ok(Ended::Interrupted);
        };
        for fetched in newest(last, arguments.num as usize) {
            printer.print(&fetched, None);
        }
        if printer.count() == 0 {
            eprintln!("nothing in {} yet; waiting for new records, Ctrl-C stops.", arguments.topic);
        }
        for slice in &mut slices {
            slice.start = slice.extent.latest;
        }
        Ok(read(client, &slices, settings, &mut printer, interrupt).await?)
    })?;
    tell_end(ended, &printer);
    Ok(ExitCode::SUCCESS)
}

/// The records of the slices up to their ends of now; `None` when `interrupt` has completed.
async fn last_records(
    client: &mut ClusterClient,
    slices: &[Slice],
    settings: ConsumerSettings,
    mut interrupt: Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<Vec<FetchedPartition>>, Failure> {
    let mut consumer = Consumer::new(settings);
    let unread = slices.iter().filter(|slice| slice.start < slice.extent.latest);
    consumer.assign(unread.map(|slice| (slice.partition.clone(), slice.start)));
    let mut last = Vec::new();
    while !consumer.positions().is_empty() {
        let fetched = tokio::select! {
            fetched = consumer.poll(client, POLL) => fetched?,
            () = &mut interrupt => return Ok(None),
        };
        for mut fetched in fetched {
            let end = slices.iter().find(|slice| slice.partition == fetched.partition).map(|slice| slice.extent.latest);
            if end.is_some_and(|end| fetched.position >= end) {
                consumer.remove(&fetched.partition);
            }
            // What came after the ends were asked for is read again, in its turn.
            fetched.records.retain(|record| end.is_none_or(|end| record.record.offset < end));
            last.push(fetched);
        }
    }
    Ok(Some(last))
}

/// The newest `count` records of all, in the order of their timestamps, each in a partition's answer of its own.
fn newest(fetched: Vec<FetchedPartition>, count: usize) -> Vec<FetchedPartition> {
    let mut single: Vec<FetchedPartition> = Vec::new();
    for mut partition in fetched {
        for record in std::mem::take(&mut partition.records) {
            single.push(FetchedPartition { records: vec![record], ..partition.clone() });
        }
    }
    let timestamp = |one: &FetchedPartition| one.records.first().map(|record| record.record.timestamp);
    single.sort_by_key(timestamp);
    single.split_off(single.len().saturating_sub(count))
}

#[cfg(test)]
mod tests {
    use super::super::super::records::tests_of_records::fetched;
    use super::*;

    #[test]
    fn the_newest_records_of_all_partitions_are_in_the_order_of_their_time() {
        let (partition, sample) = fetched();
        let at = |offset: i64, timestamp: i64| {
            let mut record = sample.clone();
            (record.record.offset, record.record.timestamp) = (offset, timestamp);
            record
        };
        let one = FetchedPartition { records: vec![at(1, 10), at(2, 30)], ..partition.clone() };
        let two = FetchedPartition { records: vec![at(7, 20), at(8, 30), at(9, 40)], ..partition };
        let newest = newest(vec![one, two], 4);
        let offsets: Vec<_> = newest.iter().map(|one| one.records[0].record.offset).collect();
        assert_eq!(offsets, [7, 2, 8, 9]);
    }
}
