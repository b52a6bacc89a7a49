//! `klamm bench`: how much a broker takes and gives, measured with our own client.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::sleep;

use super::Failure;
use super::connection::ConnectionArguments;
use super::output::{OutputArguments, OutputFormat, Rows};
use super::print::print;
use super::records::offsets::{OffsetPlace, OffsetRange};
use super::records::reading::{POLL, slices};
use super::time::now_ms;
use crate::client::{ClientError, ClusterClient, Consumer, ConsumerSettings, NewRecord, Producer, ProducerSettings};
use crate::ids::TopicName;
use crate::protocol::compression::Compression;

/// Measure how many records a second a broker takes and gives.
#[derive(Debug, Args)]
pub(super) struct BenchArguments {
    /// The topic; one that is missing is created. The records stay in it.
    #[arg(long, default_value = "bench")]
    topic: String,
    /// How many records are sent, and then read.
    #[arg(long, short, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    num: u64,
    /// The size of each value, in random bytes, which no codec makes smaller.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    size: u32,
    /// How many records are sent a second [default: as many as the broker takes].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: Option<u64>,
    /// The largest batch that is sent, in bytes before compression.
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 10)]
    batch_bytes: usize,
    /// How the records are compressed: none, gzip, snappy, lz4 or zstd.
    #[arg(long, short = 'z', value_name = "CODEC", default_value = "none", value_parser = super::topic::codec)]
    compression: Compression,
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// What was measured of sending, or of reading.
#[derive(Debug, Default)]
struct Measured {
    records: u64,
    bytes: u64,
    took: Duration,
    /// How long each answer took, and how many records it was for.
    latencies: Vec<(Duration, u64)>,
}

impl Measured {
    fn add(&mut self, latency: Duration, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        if records > 0 {
            self.latencies.push((latency, records));
        }
    }

    /// The latency that a part of the records, such as 0.99, did not exceed; in milliseconds.
    fn percentile_ms(&self, part: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let wanted = (self.records as f64 * part).ceil() as u64;
        let mut covered = 0;
        let found = sorted.iter().find(|(_, records)| {
            covered += records;
            covered >= wanted
        });
        found.map_or(0.0, |(latency, _)| rounded(latency.as_secs_f64() * 1e3, 1e3))
    }

    fn add_row(&self, name: &str, rows: &mut Rows) {
        let (seconds, megabytes) = (self.took.as_secs_f64().max(1e-9), self.bytes as f64 / 1e6);
        rows.push([
            name.into(),
            self.records.into(),
            rounded(seconds, 1e3).into(),
            (self.records as f64 / seconds).round().into(),
            rounded(megabytes / seconds, 1e2).into(),
            self.percentile_ms(0.5).into(),
            self.percentile_ms(0.99).into(),
            self.percentile_ms(0.999).into(),
        ]);
    }
}

fn rounded(number: f64, factor: f64) -> f64 {
    (number * factor).round() / factor
}

pub(super) fn run(arguments: &BenchArguments) -> Result<ExitCode, Failure> {
    let topic: TopicName = arguments.topic.as_str().into();
    let (sent, read) = arguments.connection.run(async |client| {
        let settings = ProducerSettings {
            compression: arguments.compression,
            batch_bytes: arguments.batch_bytes,
            ..ProducerSettings::default()
        };
        let mut producer = Producer::open(client, &topic, settings).await?;
        // What others, or an earlier run, have left there is not read.
        let end = OffsetRange { start: OffsetPlace::BeforeEnd(0), end: None };
        let starts = slices(client, &[TopicName::clone(&topic)], &[], end, false).await?;
        let sent = send(client, &mut producer, arguments).await?;
        let mut consumer = Consumer::new(ConsumerSettings::default());
        consumer.assign(starts.into_iter().map(|slice| (slice.partition, slice.start)));
        Ok((sent, read(client, &mut consumer, arguments.num).await?))
    })?;
    let mut rows = Rows::new(&["phase", "records", "seconds", "records/s", "MB/s", "p50 ms", "p99 ms", "p999 ms"]);
    sent.add_row("produce", &mut rows);
    read.add_row("consume", &mut rows);
    rows.print(arguments.output.output)?;
    if arguments.output.output == OutputFormat::Table {
        print(&explanation(arguments));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the numbers mean, so that nobody compares them with others' that mean something else.
fn explanation(arguments: &BenchArguments) -> String {
    let pace = arguments.rate.map_or("as many as go".to_owned(), |rate| format!("{rate} records a second"));
    format!(
        "\nMeasured from one process with one connection and one request at a time, {pace}: acks=all, idempotent, values of {} \
         random bytes,\nbatches of at most {} bytes, compression {}. MB/s counts values only. The latency of produce is from a \
         batch's first\nrecord to the answer, of consume from a fetch to its answer; each weighs as many as the records it was \
         for.\n",
        arguments.size,
        arguments.batch_bytes,
        arguments.compression.name(),
    )
}

fn progress(records: u64, what: &str) -> ProgressBar {
    // On stderr, and only if that is a terminal.
    let bar = ProgressBar::new(records);
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.with_message(what.to_owned())
}

async fn send(
    client: &mut ClusterClient,
    producer: &mut Producer,
    arguments: &BenchArguments,
) -> Result<Measured, ClientError> {
    let bar = progress(arguments.num, "produce");
    let mut measured = Measured::default();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let began = Instant::now();
    let mut first_of_batch = began;
    for number in 0..arguments.num {
        if let Some(rate) = arguments.rate {
            let due = began + Duration::from_secs_f64(number as f64 / rate as f64);
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                // Nothing else is due: what waits is sent rather than kept.
                let delivered = producer.flush(client).await?.len() as u64;
                measured.add(first_of_batch.elapsed(), delivered, delivered * u64::from(arguments.size));
                bar.inc(delivered);
                sleep(due.saturating_duration_since(Instant::now())).await;
                first_of_batch = Instant::now();
            }
        }
        let value = random_value(&mut random, arguments.size as usize);
        let record = NewRecord { value: Some(value), timestamp_ms: now_ms(), ..NewRecord::default() };
        let delivered = producer.send(client, &record).await?.len() as u64;
        if delivered > 0 {
            measured.add(first_of_batch.elapsed(), delivered, delivered * u64::from(arguments.size));
            bar.inc(delivered);
            first_of_batch = Instant::now();
        }
    }
    let delivered = producer.flush(client).await?.len() as u64;
    measured.add(first_of_batch.elapsed(), delivered, delivered * u64::from(arguments.size));
    measured.took = began.elapsed();
    bar.finish_and_clear();
    Ok(measured)
}

/// Values that no codec makes smaller (xorshift).
fn random_value(state: &mut u64, size: usize) -> Bytes {
    let mut value = Vec::with_capacity(size + 8);
    while value.len() < size {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        value.extend_from_slice(&state.to_le_bytes());
    }
    value.truncate(size);
    value.into()
}

async fn read(client: &mut ClusterClient, consumer: &mut Consumer, records: u64) -> Result<Measured, ClientError> {
    let bar = progress(records, "consume");
    let mut measured = Measured::default();
    let began = Instant::now();
    while measured.records < records {
        let asked = Instant::now();
        for partition in consumer.poll(client, POLL).await? {
            let values = partition.records.iter().map(|record| record.record.value.as_ref().map_or(0, Bytes::len));
            let bytes: usize = values.sum();
            measured.add(asked.elapsed(), partition.records.len() as u64, bytes as u64);
            bar.inc(partition.records.len() as u64);
        }
    }
    measured.took = began.elapsed();
    bar.finish_and_clear();
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_records_and_not_of_answers() {
        let mut measured = Measured::default();
        measured.add(Duration::from_millis(1), 98, 980);
        measured.add(Duration::from_millis(20), 1, 10);
        measured.add(Duration::from_millis(300), 1, 10);
        let shown = [0.5, 0.99, 0.999].map(|part| measured.percentile_ms(part).to_string());
        assert_eq!(shown, ["1", "20", "300"]);
        assert!(Measured::default().percentile_ms(0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn values_are_of_their_size_and_differ() {
        let mut state = 1;
        let values = [random_value(&mut state, 13), random_value(&mut state, 13)];
        assert!(values[0].len() == 13 && values[0] != values[1]);
    }
}
