//! `klamm topic consume`: reads records and prints them.

use std::pin::pin;
use std::process::ExitCode;

use clap::Args;

use super::super::Failure;
use super::super::connection::ConnectionArguments;
use super::super::interrupt::interrupted;
use super::super::records::format::FORMAT_HELP;
use super::super::records::offsets::{OFFSETS_HELP, OffsetPlace, OffsetRange};
use super::super::records::reading::{Ended, POLL, PrintedAs, RecordPrinter, Slice, offsets_at, read, slices};
use super::super::time::now_ms;
use crate::client::{ClusterClient, ConsumerSettings, EARLIEST, GroupConsumer, GroupSettings, LATEST, OffsetReset};
use crate::ids::{TopicName, TopicPartition};

/// What `--help` shows.
const EXAMPLES: &str = "\
Examples:
  klamm topic consume orders                           everything, and then what comes
  klamm topic consume orders -o :end -f json           everything until now, as JSON
  klamm topic consume orders -o -5 -n 5                the last 5 of each partition, 5 in all
  klamm topic consume orders -o @-1h:end               the last hour
  klamm topic consume orders -g billing                as a member of the group billing
  klamm topic consume orders -f '%p/%o %k: %v\\n'       partition, offset, key and value";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{OFFSETS_HELP}\n\n{FORMAT_HELP}"))]
pub(super) struct ConsumeArguments {
    /// The topics.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Where to begin, and where to stop: start, end, +N, -N, N, N:M, :end, @-1h, @-1h:end and others (--help tells more).
    #[arg(long, short, value_name = "OFFSETS", default_value = "start", allow_hyphen_values = true, value_parser = offsets)]
    offset: OffsetRange,
    /// Stop after so many records [default: at Ctrl-C, or where --offset ends].
    #[arg(long, short, value_name = "N")]
    num: Option<u64>,
    /// Only these partitions, separated by commas.
    #[arg(long, short, value_name = "N,...", value_delimiter = ',', conflicts_with = "group")]
    partitions: Vec<i32>,
    /// Read as a member of this group: its members share the partitions, and it goes on where it has committed.
    #[arg(long, short)]
    group: Option<String>,
    /// How a record is printed: json for one line of JSON each, or a format such as '%k %v\n' (--help tells more).
    #[arg(long, short, default_value = "%v\\n", value_parser = PrintedAs::parse)]
    format: PrintedAs,
    /// Leave out records of transactions that are open or were aborted.
    #[arg(long)]
    read_committed: bool,
}

/// Reads the argument of `--offset`.
fn offsets(text: &str) -> Result<OffsetRange, String> {
    OffsetRange::parse(text, now_ms())
}

pub(super) fn run(arguments: &ConsumeArguments, connection: &ConnectionArguments) -> Result<ExitCode, Failure> {
    let mut printer = RecordPrinter::new(arguments.format.clone(), arguments.num);
    let settings = ConsumerSettings { read_committed: arguments.read_committed, ..ConsumerSettings::default() };
    let topics: Vec<TopicName> = arguments.topics.iter().map(|name| name.as_str().into()).collect();
    let ended = connection.run(async |client| {
        if let Some(group) = &arguments.group {
            return read_as_member(client, group, &topics, arguments.offset, settings, &mut printer).await;
        }
        let slices = slices(client, &topics, &arguments.partitions, arguments.offset, arguments.read_committed).await?;
        let interrupt = interrupted();
        if let Some(hint) = waiting_hint(&slices) {
            eprintln!("{hint}");
        }
        // Retention may remove what was to be read.
        let settings = ConsumerSettings { reset: OffsetReset::Earliest, ..settings };
        Ok(read(client, &slices, settings, &mut printer, interrupt).await?)
    })?;
    tell_end(ended, &printer);
    Ok(ExitCode::SUCCESS)
}

/// Says how much was read, where somebody has waited for it.
pub(super) fn tell_end(ended: Ended, printer: &RecordPrinter) {
    if ended == Ended::Interrupted {
        eprintln!("consumed {} records", printer.count());
    }
}

/// What is said when nothing is there to be read yet, which is where beginners are lost.
fn waiting_hint(slices: &[Slice]) -> Option<String> {
    let waits = slices.iter().any(|slice| slice.end.is_none());
    if slices.iter().any(|slice| slice.start < slice.end.unwrap_or(slice.extent.latest)) {
        return None;
    }
    let older: i64 = slices.iter().map(|slice| slice.extent.latest - slice.extent.earliest).sum();
    let older = match older {
        0 => String::new(),
        1 => " 1 record is older: -o start reads it.".to_owned(),
        older => format!(" {older} records are older: -o start reads them."),
    };
    Some(if waits {
        format!("nothing to read yet; waiting for new records, Ctrl-C stops.{older}")
    } else {
        format!("nothing to read there.{older}")
    })
}

async fn read_as_member(
    client: &mut ClusterClient,
    group: &str,
    topics: &[TopicName],
    offset: OffsetRange,
    settings: ConsumerSettings,
    printer: &mut RecordPrinter,
) -> Result<Ended, Failure> {
    let reset = match offset {
        OffsetRange { start: OffsetPlace::AfterStart(0), end: None } => OffsetReset::Earliest,
        OffsetRange { start: OffsetPlace::BeforeEnd(0), end: None } => OffsetReset::Latest,
        _ => {
            let what = "a group goes on where it is: with --group, --offset is start or end, where it has not been yet";
            return Err(Failure {
                what: what.to_owned(),
                hint: Some("klamm group reset moves a group to any offset or time".to_owned()),
            });
        }
    };
    let settings = ConsumerSettings { reset, ..settings };
    let mut consumer = GroupConsumer::new(GroupSettings::new(group), topics.iter().cloned(), settings, true);
    let mut interrupt = pin!(interrupted());
    let mut has_told = false;
    let ended = loop {
        if printer.is_done() {
            break Ended::Complete;
        }
        let fetched = tokio::select! {
            fetched = consumer.poll(client, POLL) => fetched?,
            () = &mut interrupt => break Ended::Interrupted,
        };
        for fetched in &fetched {
            let done = printer.print(fetched, None);
            consumer.mark(&fetched.partition, fetched.read_up_to(done));
        }
        if !has_told && printer.count() == 0 {
            has_told = true;
            let older = records_behind(client, &consumer).await?;
            eprintln!("nothing to read yet for {group}; waiting for new records, Ctrl-C stops.");
            if older > 0 {
                eprintln!(
                    "It is behind {older} older records: klamm group reset {group} --to-earliest has them read again."
                );
            }
        }
    };
    consumer.close(client).await?;
    Ok(ended)
}

/// How many records lie in front of where the group is.
async fn records_behind(client: &mut ClusterClient, consumer: &GroupConsumer) -> Result<i64, Failure> {
    let partitions: Vec<TopicPartition> = consumer.positions().keys().cloned().collect();
    let latest = offsets_at(client, &partitions, Some(LATEST), false).await?;
    let earliest = offsets_at(client, &partitions, Some(EARLIEST), false).await?;
    Ok(latest.iter().zip(&earliest).map(|(latest, earliest)| latest - earliest).sum())
}

#[cfg(test)]
mod tests {
    use super::super::super::records::offsets::Extent;
    use super::*;

    fn slice(start: i64, end: Option<i64>, earliest: i64, latest: i64) -> Slice {
        let extent = Extent { earliest, latest, since_start: None, since_end: None };
        Slice { partition: TopicPartition::new("t", 0), start, end, extent }
    }

    #[test]
    fn whoever_waits_at_the_end_is_told_of_what_is_older() {
        let hint = |slices: &[Slice]| waiting_hint(slices).unwrap_or_default();
        let at_the_end = [slice(9, None, 2, 9), slice(0, None, 0, 0)];
        let waiting = "nothing to read yet; waiting for new records, Ctrl-C stops.";
        assert_eq!(hint(&at_the_end), format!("{waiting} 7 records are older: -o start reads them."));
        assert_eq!(hint(&[slice(0, None, 0, 0)]), waiting);
        assert_eq!(hint(&[slice(3, Some(3), 2, 3)]), "nothing to read there. 1 record is older: -o start reads it.");
        assert_eq!(waiting_hint(&[slice(9, None, 2, 9), slice(0, None, 0, 1)]), None);
    }
}
