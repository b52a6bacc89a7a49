//! `kafka-console-producer` (`org.apache.kafka.tools.ConsoleProducer`).

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tokio::sync::mpsc::error::TryRecvError;

use super::super::print::print;
use super::super::records::input::pieces_of_stdin;
use super::super::time::now_ms;
use super::arguments::{Complaints, failed, parse_with, usage};
use super::asking::{Asking, ToolFailure, read_properties};
use super::client_properties::{check_numbers, config_exception};
use super::line_reader::LineReader;
use super::tool_properties::ToolProperties;
use crate::client::{ClientError, ClusterClient, NewRecord, Producer, ProducerSettings};
use crate::ids::TopicName;
use crate::protocol::ErrorCode;
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
const COMPLAINTS: Complaints = Complaints { with_usage: true, unknown_option: "", wrong_value: "" };
/// The largest record that is sent (`max.request.size`).
const MAX_REQUEST_SIZE: usize = 1 << 20;

/// What the flags and properties say.
#[derive(Debug)]
struct ProducePlan {
    reader: LineReader,
    settings: ProducerSettings,
    max_request_size: usize,
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: ConsoleProducerOptions = match parse_with("kafka-console-producer", arguments, COMPLAINTS) {
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
    let plan = match options.plan() {
        Ok(plan) => plan,
        Err(what) => return failed(&what),
    };
    let properties_file = options.producer_config.as_deref();
    let asking = Asking { bootstrap, properties_file, client_id: "console-producer", waits: true };
    match asking.run(async |client| send_all(client, &topic.as_str().into(), plan, options.sync).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure.to_string()),
    }
}

impl ConsoleProducerOptions {
    fn plan(&self) -> Result<ProducePlan, String> {
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
        check_numbers(&properties)?;
        let acks = self.without_effect.request_required_acks.as_deref().or(properties.text("acks")).unwrap_or("all");
        if !["all", "-1", "0", "1"].contains(&acks.trim()) {
            return Err(config_exception("acks", acks, "String must be one of: all, -1, 0, 1"));
        }
        let defaults = ProducerSettings::default();
        let codec = self.compression_codec.as_deref().unwrap_or("none");
        let allowed = "String must be one of: none, gzip, snappy, lz4, zstd";
        let compression =
            Compression::from_name(codec).ok_or_else(|| config_exception("compression.type", codec, allowed))?;
        let batch_bytes = self.max_partition_memory_bytes.or(self.batch_size).unwrap_or(defaults.batch_bytes);
        let is_idempotent = properties.text("enable.idempotence").is_none_or(|value| value.trim() != "false");
        let settings = ProducerSettings { compression, batch_bytes, is_idempotent, ..defaults };
        let largest = properties.text("max.request.size").and_then(|size| size.trim().parse().ok());
        Ok(ProducePlan { reader, settings, max_request_size: largest.unwrap_or(MAX_REQUEST_SIZE) })
    }
}

/// Sends each line of stdin; those that come at once go together, unless each is sent on its own.
async fn send_all(
    client: &mut ClusterClient,
    topic: &TopicName,
    plan: ProducePlan,
    is_synchronous: bool,
) -> Result<(), ToolFailure> {
    let prompts = std::io::stdin().is_terminal();
    let unreadable = |error: std::io::Error| ToolFailure::told(format!("stdin cannot be read: {error}"));
    let mut reader = plan.reader;
    let mut lines = pieces_of_stdin(b"\n".to_vec()).map_err(unreadable)?;
    let producer = Producer::open(client, topic, plan.settings).await;
    let (max_size, waiting) = (plan.max_request_size, Vec::new());
    let mut sender = Sender { topic, producer, max_size, is_synchronous, waiting };
    loop {
        if prompts {
            print(">");
        }
        let line = match lines.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                sender.flush(client).await?;
                lines.recv().await
            }
        };
        let Some(line) = line else { break };
        match reader.record(&line.map_err(unreadable)?, now_ms()) {
            Ok(record) => sender.send(client, &record).await?,
            Err(what) => {
                sender.flush(client).await?;
                return Err(ToolFailure::told(format!("org.apache.kafka.common.KafkaException: {what}")));
            }
        }
    }
    sender.flush(client).await
}

/// Sends records, and tells of those that could not be sent. Sent one by one, the first of them ends the tool; otherwise
/// those behind it are sent all the same.
struct Sender<'a> {
    topic: &'a TopicName,
    /// The producer, or why there is none: then no record can be sent.
    producer: Result<Producer, ClientError>,
    /// The largest record that is sent.
    max_size: usize,
    is_synchronous: bool,
    /// What is to be told of each record of which is not known yet whether it has arrived.
    waiting: Vec<String>,
}

impl Sender<'_> {
    async fn send(&mut self, client: &mut ClusterClient, record: &NewRecord) -> Result<(), ToolFailure> {
        let complaint = complaint(self.topic, record);
        if let Err(what) = check_size(record, self.max_size) {
            return self.tell(&[complaint], &what);
        }
        match &mut self.producer {
            Err(error) => {
                let what = exception(self.topic, error);
                self.tell(&[complaint], &what)
            }
            Ok(producer) => {
                let sent = producer.send(client, record).await.map(drop);
                let told = self.outcome(sent);
                self.waiting.push(complaint);
                told?;
                if self.is_synchronous { self.flush(client).await } else { Ok(()) }
            }
        }
    }

    async fn flush(&mut self, client: &mut ClusterClient) -> Result<(), ToolFailure> {
        let Ok(producer) = &mut self.producer else { return Ok(()) };
        let sent = producer.flush(client).await.map(drop);
        let told = self.outcome(sent);
        self.waiting.clear();
        told
    }

    /// An error is told of every record that was under way: which of them have arrived is not known.
    fn outcome(&mut self, sent: Result<(), ClientError>) -> Result<(), ToolFailure> {
        let Err(error) = sent else { return Ok(()) };
        let waiting = std::mem::take(&mut self.waiting);
        self.tell(&waiting, &exception(self.topic, &error))
    }

    fn tell(&self, complaints: &[String], what: &str) -> Result<(), ToolFailure> {
        if self.is_synchronous {
            return Err(ToolFailure::told(format!("java.util.concurrent.ExecutionException: {what}")));
        }
        for complaint in complaints {
            eprintln!("{complaint}\n{what}");
        }
        Ok(())
    }
}

/// What Kafka's producer says in front of why a record was not sent (`ErrorLoggingCallback`).
fn complaint(topic: &str, record: &NewRecord) -> String {
    let size = |bytes: &Option<bytes::Bytes>| {
        bytes.as_ref().map_or("null".to_owned(), |bytes| format!("{} bytes", bytes.len()))
    };
    let (key, value) = (size(&record.key), size(&record.value));
    format!("ERROR Error when sending message to topic {topic} with key: {key}, value: {value} with error:")
}

/// An error as the exception that Kafka's producer has for it, which does not name the partition.
fn exception(topic: &str, error: &ClientError) -> String {
    if matches!(error, ClientError::Refused { code: ErrorCode::InvalidTopicException, .. }) {
        return format!("org.apache.kafka.common.errors.InvalidTopicException: Invalid topics: [{topic}]");
    }
    let shown = error.as_exception();
    let without_partition = |message: &str| {
        let (partition, message) = message.strip_prefix(topic)?.strip_prefix('-')?.split_once(": ")?;
        partition.parse::<i32>().ok().map(|_| message.to_owned())
    };
    match shown.split_once(": ") {
        Some((class, message)) => {
            format!("{class}: {}", without_partition(message).unwrap_or_else(|| message.to_owned()))
        }
        None => shown,
    }
}

/// Whether a record is small enough, by the bound on its size that Kafka's producer goes by
/// (`AbstractRecords.estimateSizeInBytesUpperBound`).
fn check_size(record: &NewRecord, max_size: usize) -> Result<(), String> {
    // A batch's header, and the numbers in front of a record's key at their longest.
    const OVERHEAD: usize = 61 + 21;
    let varint = |number: usize| (usize::BITS - (number << 1 | 1).leading_zeros()).div_ceil(7) as usize;
    let sized = |bytes: Option<usize>| bytes.map_or(1, |length| varint(length) + length);
    let headers: usize = (record.headers.iter())
        .map(|(key, value)| sized(Some(key.len())) + sized(value.as_ref().map(bytes::Bytes::len)))
        .sum();
    let (key, value) = (record.key.as_ref().map(bytes::Bytes::len), record.value.as_ref().map(bytes::Bytes::len));
    let size = OVERHEAD + sized(key) + sized(value) + varint(record.headers.len()) + headers;
    if size <= max_size {
        return Ok(());
    }
    Err(format!(
        "org.apache.kafka.common.errors.RecordTooLargeException: The message is {size} bytes when serialized which is larger \
         than {max_size}, which is the value of the max.request.size configuration."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &str) -> Result<ProducePlan, String> {
        let words = arguments.split_whitespace().map(OsString::from).collect();
        let options: ConsoleProducerOptions =
            parse_with("kafka-console-producer", words, COMPLAINTS).expect("arguments");
        options.plan()
    }

    fn settings(arguments: &str) -> Result<ProducerSettings, String> {
        plan(arguments).map(|plan| plan.settings)
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

    #[test]
    fn values_that_a_producer_cannot_have_are_refused() {
        for wrong in
            ["--request-required-acks most", "--producer-property acks=2", "--producer-property linger.ms=soon"]
        {
            let error = plan(&format!("--topic t {wrong}")).expect_err(wrong);
            assert!(error.starts_with("org.apache.kafka.common.config.ConfigException: Invalid value"), "{error}");
        }
    }

    #[test]
    fn a_record_is_as_large_as_kafkas_producer_takes_it_for() {
        // The numbers are Kafka's: 236 is what its tool told of 150 bytes.
        let record = NewRecord { value: Some(vec![0; 150].into()), ..NewRecord::default() };
        assert_eq!(check_size(&record, 236), Ok(()));
        let error = check_size(&record, 235).expect_err("one byte more");
        assert!(error.contains("The message is 236 bytes when serialized which is larger than 235,"), "{error}");
        let headers = vec![("h".into(), Some("v".into())), ("h".into(), None)];
        let record = NewRecord { key: Some("k".into()), headers, ..NewRecord::default() };
        assert_eq!(check_size(&record, 82 + 2 + 1 + 1 + 4 + 3), Ok(()));
        assert!(check_size(&record, 82 + 2 + 1 + 1 + 4 + 2).is_err());
    }

    #[test]
    fn errors_are_the_exceptions_of_kafkas_producer() {
        let refused = |code, message: &str| ClientError::Refused { code, message: Some(message.to_owned()) };
        let told = exception("a-1", &refused(ErrorCode::MessageTooLarge, "a-1-0: too large: 5"));
        assert_eq!(told, "org.apache.kafka.common.errors.RecordTooLargeException: too large: 5");
        let told = exception("a", &refused(ErrorCode::MessageTooLarge, "a-b: too large"));
        assert_eq!(told, "org.apache.kafka.common.errors.RecordTooLargeException: a-b: too large");
        let told = exception("a/b", &refused(ErrorCode::InvalidTopicException, "whatever"));
        assert_eq!(told, "org.apache.kafka.common.errors.InvalidTopicException: Invalid topics: [a/b]");
        let record = NewRecord { key: Some("ab".into()), ..NewRecord::default() };
        let told = "ERROR Error when sending message to topic t with key: 2 bytes, value: null with error:";
        assert_eq!(complaint("t", &record), told);
    }
}
