//! `kafka-console-producer` (`org.apache.kafka.tools.ConsoleProducer`).

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tokio::sync::mpsc::error::TryRecvError;

use super::super::print::print;
use super::super::records::input::pieces_of_stdin;
use super::super::time::now_ms;
use super::arguments::{failed, parse, usage};
use super::asking::{Asking, ToolFailure, read_properties};
use super::line_reader::LineReader;
use super::tool_properties::ToolProperties;
use crate::client::{ClientError, ClusterClient, NewRecord, Producer, ProducerSettings};
use crate::protocol::compression::Compression;

/// This tool helps to read data from standard input and publish it to Kafka.
///
/// Unlike Kafka, it always waits for all replicas that are in sync, whatever `--request-required-acks` says, and the flags
/// that bound a Java producer's memory and times have no effect.
#[derive(Debug, Parser)]
#[command(about = "This tool helps to read data from standard input and publish it to Kafka.", long_about = None)]
struct ConsoleProducerOptions {
    /// REQUIRED: The topic name to produce messages to.
    #[arg(long, value_name = "String: topic")]
    topic: Option<String>,
    /// REQUIRED: The server(s) to connect to, in the form HOST1:PORT1,HOST2:PORT2.
    #[arg(long, value_name = "String: server to connect to")]
    bootstrap_server: Option<String>,
    /// Send each message on its own, and wait for its answer.
    #[arg(long)]
    sync: bool,
    /// The codec: none, gzip, snappy, lz4 or zstd; gzip without a value.
    #[arg(long, value_name = "String: compression-codec", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<String>,
    /// The most bytes of a batch.
    #[arg(long, value_name = "Integer: size")]
    batch_size: Option<usize>,
    /// The most bytes of a batch; stronger than --batch-size.
    #[arg(long, value_name = "Integer: memory in bytes per partition")]
    max_partition_memory_bytes: Option<usize>,
    /// Properties of the reader of lines, such as parse.key=true.
    #[arg(long, value_name = "String: prop")]
    property: Vec<String>,
    /// The same (KIP-1147).
    #[arg(long, value_name = "String: prop")]
    reader_property: Vec<String>,
    /// A file of such properties.
    #[arg(long, value_name = "String: config file")]
    reader_config: Option<String>,
    /// Properties of the producer.
    #[arg(long, value_name = "String: producer_prop")]
    producer_property: Vec<String>,
    /// The same (KIP-1147).
    #[arg(long, value_name = "String: producer_prop")]
    command_property: Vec<String>,
    /// A file of properties of the producer.
    #[arg(long = "producer.config", visible_alias = "command-config", value_name = "String: config file")]
    producer_config: Option<String>,
    /// The class that reads lines.
    #[arg(long, value_name = "String: reader_class", default_value = LINE_READER)]
    line_reader: String,
    #[command(flatten)]
    without_effect: WithoutEffect,
}

/// Flags that are taken, and change nothing here.
#[derive(Debug, clap::Args)]
struct WithoutEffect {
    /// Which acknowledgements are waited for: always all.
    #[arg(long, value_name = "String: request required acks", allow_hyphen_values = true)]
    request_required_acks: Option<String>,
    /// How often a message is sent again: until it is late.
    #[arg(long, value_name = "Integer")]
    message_send_max_retries: Option<i32>,
    /// The pause before a message is sent again.
    #[arg(long, value_name = "Long")]
    retry_backoff_ms: Option<i64>,
    /// How long a message waits for others.
    #[arg(long, value_name = "Long: timeout_ms")]
    timeout: Option<i64>,
    /// How long an answer is waited for.
    #[arg(long, value_name = "Integer: request timeout ms")]
    request_timeout_ms: Option<i32>,
    /// How long metadata is kept.
    #[arg(long, value_name = "Long: metadata expiration interval")]
    metadata_expiry_ms: Option<i64>,
    /// How long a send may block.
    #[arg(long, value_name = "Long: max block on send")]
    max_block_ms: Option<i64>,
    /// The memory for messages that wait.
    #[arg(long, value_name = "Long: total memory in bytes")]
    max_memory_bytes: Option<i64>,
    /// The size of the socket's buffer.
    #[arg(long, value_name = "Integer: size")]
    socket_buffer_size: Option<i32>,
}

const LINE_READER: &str = "org.apache.kafka.tools.LineMessageReader";

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: ConsoleProducerOptions = match parse("kafka-console-producer", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let Some(topic) = &options.topic else {
        return usage::<ConsoleProducerOptions>("Missing required argument \"[topic]\"");
    };
    let Some(bootstrap) = &options.bootstrap_server else {
        return usage::<ConsoleProducerOptions>("Missing required argument \"[bootstrap-server]\"");
    };
    if options.line_reader != LINE_READER && !options.line_reader.ends_with("$LineMessageReader") {
        return failed(&format!("java.lang.ClassNotFoundException: {}", options.line_reader));
    }
    let (reader, settings) = match options.reader_and_settings() {
        Ok(made) => made,
        Err(what) => return failed(&what),
    };
    let properties_file = options.producer_config.as_deref();
    let asking = Asking { bootstrap, properties_file, client_id: "console-producer", waits: true };
    match asking.run(async |client| send_all(client, topic, reader, settings, options.sync).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure.to_string()),
    }
}

impl ConsoleProducerOptions {
    fn reader_and_settings(&self) -> Result<(LineReader, ProducerSettings), String> {
        let read = |file: &Option<String>| {
            file.as_deref()
                .map(read_properties)
                .transpose()
                .map(Option::unwrap_or_default)
                .map_err(|failure| failure.what)
        };
        let reader_pairs = [&self.property[..], &self.reader_property].concat();
        let reader = LineReader::new(&ToolProperties::new(read(&self.reader_config)?, &reader_pairs))
            .map_err(|what| format!("org.apache.kafka.common.KafkaException: {what}"))?;
        let producer_pairs = [&self.producer_property[..], &self.command_property].concat();
        let properties = ToolProperties::new(read(&self.producer_config)?, &producer_pairs);
        let defaults = ProducerSettings::default();
        let codec = self.compression_codec.as_deref().unwrap_or("none");
        let compression = Compression::from_name(codec).ok_or_else(|| {
            format!(
                "org.apache.kafka.common.config.ConfigException: Invalid value {codec} for configuration compression.type: String \
                 must be one of: none, gzip, snappy, lz4, zstd"
            )
        })?;
        let batch_bytes = self.max_partition_memory_bytes.or(self.batch_size).unwrap_or(defaults.batch_bytes);
        let is_idempotent = properties.text("enable.idempotence").is_none_or(|value| value.trim() != "false");
        Ok((reader, ProducerSettings { compression, batch_bytes, is_idempotent, ..defaults }))
    }
}

/// Sends each line of stdin; those that come at once go together, unless each is sent on its own.
async fn send_all(
    client: &mut ClusterClient,
    topic: &str,
    mut reader: LineReader,
    settings: ProducerSettings,
    is_synchronous: bool,
) -> Result<(), ToolFailure> {
    let prompts = std::io::stdin().is_terminal();
    let unreadable = |error: std::io::Error| ToolFailure::told(format!("stdin cannot be read: {error}"));
    let mut lines = pieces_of_stdin(b"\n".to_vec()).map_err(unreadable)?;
    let mut producer = Producer::open(client, &topic.into(), settings).await?;
    loop {
        if prompts {
            print(">");
        }
        let line = match lines.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                tell(producer.flush(client).await);
                lines.recv().await
            }
        };
        let Some(line) = line else { break };
        let record = match reader.record(&line.map_err(unreadable)?, now_ms()) {
            Ok(record) => record,
            Err(what) => {
                tell(producer.flush(client).await);
                return Err(ToolFailure::told(format!("org.apache.kafka.common.KafkaException: {what}")));
            }
        };
        send(client, &mut producer, &record, is_synchronous).await?;
    }
    tell(producer.flush(client).await);
    Ok(())
}

async fn send(
    client: &mut ClusterClient,
    producer: &mut Producer,
    record: &NewRecord,
    is_synchronous: bool,
) -> Result<(), ClientError> {
    let sent = producer.send(client, record).await;
    if is_synchronous {
        sent?;
        producer.flush(client).await?;
    } else {
        tell(sent);
    }
    Ok(())
}

/// Records that could not be sent are told, and those behind them are sent all the same.
fn tell<T>(sent: Result<T, ClientError>) {
    if let Err(error) = sent {
        eprintln!("ERROR Error when sending messages: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &str) -> Result<ProducerSettings, String> {
        let words = arguments.split_whitespace().map(OsString::from).collect();
        let options: ConsoleProducerOptions = parse("kafka-console-producer", words).expect("arguments");
        options.reader_and_settings().map(|(_, settings)| settings)
    }

    #[test]
    fn a_codec_may_be_named_or_not() {
        let codec = |arguments: &str| settings(arguments).map(|settings| settings.compression);
        assert_eq!(codec("--topic t"), Ok(Compression::None));
        assert_eq!(codec("--topic t --compression-codec"), Ok(Compression::Gzip));
        assert_eq!(codec("--compression-codec zstd --topic t"), Ok(Compression::Zstd));
        assert!(
            codec("--topic t --compression-codec=rar").expect_err("no codec").contains("must be one of: none, gzip")
        );
    }

    #[test]
    fn batches_and_idempotence_are_as_the_flags_say() {
        let settings = settings(
            "--topic t --batch-size 100 --max-partition-memory-bytes 200 --producer-property enable.idempotence=false \
             --request-required-acks -1",
        );
        let settings = settings.unwrap();
        assert_eq!((settings.batch_bytes, settings.is_idempotent), (200, false));
    }
}
