//! `klamm topic produce`: sends records, from the arguments or from stdin, and says where they went.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use tokio::sync::mpsc::error::TryRecvError;

use super::super::Failure;
use super::super::connection::ConnectionArguments;
use super::super::output::{OutputArguments, OutputFormat, Rows};
use super::super::print::print;
use super::super::records::input::pieces_of_stdin;
use super::super::records::json::from_json;
use super::super::records::line_format::LineFormat;
use super::super::time::now_ms;
use crate::client::{ClusterClient, Delivery, NewRecord, Producer, ProducerSettings};
use crate::metadata::topic_name;
use crate::protocol::compression::Compression;

/// What `--help` shows.
const EXAMPLES: &str = "\
Examples:
  klamm topic produce payments -k user-10 '{\"amount\": 42}'
  klamm topic produce payments -f '%k:%v' < lines.txt
  klamm topic consume payments -o :end -f json | klamm topic produce copy --json
  klamm topic produce users -k user-10 --tombstone";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProduceArguments {
    /// The topic; one that is missing is created, unless the broker has auto.create.topics.enable=false.
    topic: String,
    /// The values, one for each record; without any, each line of stdin is a record.
    #[arg(value_name = "VALUE")]
    values: Vec<String>,
    /// The key of the records; those with the same key go to the same partition.
    #[arg(long, short)]
    key: Option<String>,
    /// A header of the records; can be repeated.
    #[arg(long, short = 'H', value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The partition, whatever the key is [default: by the key; any without one].
    #[arg(long, short, value_name = "N")]
    partition: Option<i32>,
    /// How the records are compressed: none, gzip, snappy, lz4 or zstd.
    #[arg(long, short = 'z', value_name = "CODEC", default_value = "none", value_parser = codec)]
    compression: Compression,
    /// Send a record without a value, which deletes its key from a compacted topic.
    #[arg(long, requires = "key", conflicts_with_all = ["values", "json", "format"])]
    tombstone: bool,
    /// Each value, or line, is a record as klamm topic consume -f json prints it.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// How each line is taken apart, such as '%k:%v': %k is the key, %v the value, %p the partition, and %d the timestamp
    /// in milliseconds.
    #[arg(long, short, conflicts_with = "values")]
    format: Option<String>,
    #[command(flatten)]
    output: OutputArguments,
}

fn header(argument: &str) -> Result<(String, String), String> {
    match argument.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, such as trace=123".to_owned()),
    }
}

/// Reads the name of a codec.
pub(in crate::cli) fn codec(name: &str) -> Result<Compression, String> {
    Compression::from_name(name).ok_or_else(|| "there are none, gzip, snappy, lz4 and zstd".to_owned())
}

pub(super) fn run(arguments: &ProduceArguments, connection: &ConnectionArguments) -> Result<ExitCode, Failure> {
    if let Some(reason) = topic_name::reason_invalid(&arguments.topic) {
        return Err(Failure { what: format!("no topic can have this name: {reason}"), hint: None });
    }
    let format = LineFormat::parse(arguments.format.as_deref().unwrap_or("%v"))
        .map_err(|what| Failure { what: format!("--format: {what}"), hint: None })?;
    connection.run(async |client| {
        let settings = ProducerSettings { compression: arguments.compression, ..ProducerSettings::default() };
        let topic = arguments.topic.as_str().into();
        let mut sending = Sending {
            producer: Producer::open(client, &topic, settings).await?,
            output: arguments.output.output,
            rows: Rows::new(&["topic", "partition", "offset"]),
        };
        if arguments.tombstone {
            sending
                .send(client, &arguments.completed(NewRecord { timestamp_ms: now_ms(), ..NewRecord::default() }))
                .await?;
        } else if arguments.values.is_empty() {
            sending.send_stdin(client, arguments, &format).await?;
        } else {
            for value in &arguments.values {
                let record = arguments.record(value.clone().into(), None)?;
                sending.send(client, &record).await?;
            }
        }
        sending.finish(client).await
    })?;
    Ok(ExitCode::SUCCESS)
}

impl ProduceArguments {
    /// The record that a value or a line stands for.
    fn record(&self, text: Bytes, format: Option<&LineFormat>) -> Result<NewRecord, Failure> {
        let record = match format {
            _ if self.json => from_json(&text, now_ms()),
            Some(format) => format.read(&text, now_ms()),
            None => Ok(NewRecord { value: Some(text), timestamp_ms: now_ms(), ..NewRecord::default() }),
        };
        record.map(|record| self.completed(record)).map_err(|what| Failure { what, hint: None })
    }

    /// What the record does not say itself is as the arguments say.
    fn completed(&self, mut record: NewRecord) -> NewRecord {
        record.key = record.key.or_else(|| self.key.clone().map(Bytes::from));
        record.partition = record.partition.or(self.partition);
        let headers = self.header.iter().map(|(name, value)| (name.clone().into(), Some(value.clone().into())));
        record.headers.extend(headers);
        record
    }
}

/// Records on their way, and what is said of it.
struct Sending {
    producer: Producer,
    output: OutputFormat,
    rows: Rows,
}

impl Sending {
    async fn send(&mut self, client: &mut ClusterClient, record: &NewRecord) -> Result<(), Failure> {
        let delivered = self.producer.send(client, record).await?;
        self.tell(&delivered);
        Ok(())
    }

    /// Sends a record for each piece of stdin; those that come at once go together.
    async fn send_stdin(
        &mut self,
        client: &mut ClusterClient,
        arguments: &ProduceArguments,
        format: &LineFormat,
    ) -> Result<(), Failure> {
        if io::stdin().is_terminal() {
            eprintln!("Each line is a record of {}; Ctrl-D ends.", arguments.topic);
        }
        let unreadable = |error: io::Error| Failure { what: format!("stdin cannot be read: {error}"), hint: None };
        let mut pieces = pieces_of_stdin(format.delimiter().to_vec()).map_err(unreadable)?;
        for number in 1.. {
            let piece = match pieces.try_recv() {
                Ok(piece) => Some(piece),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    self.flush(client).await?;
                    pieces.recv().await
                }
            };
            let Some(piece) = piece else { break };
            match arguments.record(piece.map_err(unreadable)?.into(), Some(format)) {
                Ok(record) => self.send(client, &record).await?,
                Err(failure) => {
                    // What was read before is not lost.
                    self.flush(client).await?;
                    return Err(Failure { what: format!("line {number}: {}", failure.what), ..failure });
                }
            }
        }
        Ok(())
    }

    async fn flush(&mut self, client: &mut ClusterClient) -> Result<(), Failure> {
        let delivered = self.producer.flush(client).await?;
        self.tell(&delivered);
        Ok(())
    }

    fn tell(&mut self, delivered: &[Delivery]) {
        let topic = &self.producer.topic().name;
        if self.output != OutputFormat::Table {
            for one in delivered {
                self.rows.push([(**topic).into(), one.partition.into(), one.offset.into()]);
            }
            return;
        }
        let line = |one: &Delivery| match one.offset {
            Some(offset) => format!("{topic}-{} offset {offset}\n", one.partition),
            None => format!("{topic}-{} already there\n", one.partition),
        };
        print(&delivered.iter().map(line).collect::<String>());
    }

    async fn finish(mut self, client: &mut ClusterClient) -> Result<(), Failure> {
        self.flush(client).await?;
        if self.output == OutputFormat::Table { Ok(()) } else { self.rows.print(self.output) }
    }
}
