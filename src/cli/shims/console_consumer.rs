//! `kafka-console-consumer` (`org.apache.kafka.tools.consumer.ConsoleConsumer`).

use std::ffi::OsString;
use std::io::Write;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::super::interrupt::interrupted;
use super::super::print::print;
use super::super::records::reading::POLL;
use super::arguments::{Complaints, failed, parse_with};
use super::asking::{Asking, ToolFailure};
use super::console_options::{ConsoleConsumerOptions, ConsumePlan, Source, UNKNOWN_ERROR};
use super::topic_filter::TopicFilter;
use crate::client::{
    ClientError, ClusterClient, Consumer, FetchedPartition, GroupConsumer, GroupSettings, ReadPosition,
};
use crate::ids::{TopicName, TopicPartition};
use crate::protocol::ErrorCode;

/// The exit code of a program that Ctrl-C ended, by the shell's convention.
const INTERRUPTED: u8 = 130;
/// How Kafka's tool complains of its arguments.
const COMPLAINTS: Complaints = Complaints {
    with_usage: true,
    unknown_option: "",
    wrong_value: "Exception in thread \"main\" joptsimple.OptionArgumentConversionException: ",
};
/// What Kafka's tool says of anything that ends its reading; the exception stands in the next line.
const TERMINATING: &str = "ERROR Error processing message, terminating consumer process: ";
/// The pause before topics are looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: ConsoleConsumerOptions = match parse_with("kafka-console-consumer", arguments, COMPLAINTS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let plan = match options.plan() {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let asking = Asking {
        bootstrap: &plan.bootstrap,
        properties_file: options.properties_file(),
        client_id: &plan.client_id,
        waits: true,
    };
    let mut printed = Printed { count: 0, outcome: PrintOutcome::GoesOn };
    let asked = asking.run(async |client| {
        read(client, &plan, &mut printed).await?;
        Ok(())
    });
    if let Err(failure) = asked {
        // Kafka's tool tells what happens while it reads, and ends as if it had read all.
        let told = match &failure {
            ToolFailure::Asked(error) => error.as_exception(),
            ToolFailure::Told(what) => what.clone(),
        };
        eprintln!("{TERMINATING}\n{told}");
    }
    eprintln!("Processed a total of {} messages", printed.count);
    if plan.tells_end {
        print("shutdown_complete\n");
    }
    match printed.outcome {
        PrintOutcome::GoesOn => ExitCode::SUCCESS,
        PrintOutcome::Interrupted => ExitCode::from(INTERRUPTED),
        PrintOutcome::Failed(what) => failed(&format!("{UNKNOWN_ERROR}\n{what}")),
    }
}

/// What has come of it so far.
struct Printed {
    count: u64,
    outcome: PrintOutcome,
}

#[derive(PartialEq, Eq)]
enum PrintOutcome {
    /// Nothing stands in the way.
    GoesOn,
    /// Somebody has pressed Ctrl-C.
    Interrupted,
    /// A record could not be printed.
    Failed(String),
}

/// Where records come from.
enum RecordSource {
    Alone(Consumer),
    InGroup(Box<GroupConsumer>),
}

impl RecordSource {
    async fn poll(&mut self, client: &mut ClusterClient, wait: Duration) -> Result<Vec<FetchedPartition>, ClientError> {
        match self {
            Self::Alone(consumer) => consumer.poll(client, wait).await,
            Self::InGroup(consumer) => consumer.poll(client, wait).await,
        }
    }

    fn mark(&mut self, partition: &TopicPartition, read: ReadPosition) {
        if let Self::InGroup(consumer) = self {
            consumer.mark(partition, read);
        }
    }
}

async fn read(client: &mut ClusterClient, plan: &ConsumePlan, printed: &mut Printed) -> Result<(), ToolFailure> {
    let mut interrupt = pin!(interrupted());
    let opened = tokio::select! {
        reader = open(client, plan) => reader?,
        () = &mut interrupt => {
            printed.outcome = PrintOutcome::Interrupted;
            None
        }
    };
    let Some(mut reader) = opened else { return Ok(()) };
    let mut idle_since = Instant::now();
    while printed.outcome == PrintOutcome::GoesOn && plan.max_messages.is_none_or(|most| printed.count < most) {
        let left = plan.timeout.map_or(POLL, |timeout| timeout.saturating_sub(idle_since.elapsed()));
        let fetched = tokio::select! {
            fetched = reader.poll(client, left.clamp(Duration::from_millis(1), POLL)) => fetched?,
            () = &mut interrupt => {
                printed.outcome = PrintOutcome::Interrupted;
                break;
            }
        };
        if fetched.iter().any(|partition| !partition.records.is_empty()) {
            for partition in &fetched {
                let done = print_records(partition, plan, printed);
                reader.mark(&partition.partition, done);
            }
            idle_since = Instant::now();
        } else if plan.timeout.is_some_and(|timeout| idle_since.elapsed() > timeout) {
            tell_timeout();
            break;
        }
    }
    if let RecordSource::InGroup(consumer) = reader {
        consumer.close(client).await?;
    }
    Ok(())
}

/// `None` if no topic was found in time.
async fn open(client: &mut ClusterClient, plan: &ConsumePlan) -> Result<Option<RecordSource>, ToolFailure> {
    let topics = match &plan.source {
        Source::Partition { partition, start } => {
            let mut consumer = Consumer::new(plan.settings.clone());
            let wanted = [(partition.clone(), *start)];
            let offset = if *start >= 0 {
                *start
            } else {
                let listed = client.list_offsets(&wanted, plan.settings.read_committed).await?;
                match listed.get(partition) {
                    Some(Ok(listed)) => listed.offset,
                    Some(Err(code)) => return Err(ClientError::of_one(partition, *code).into()),
                    None => return Err(ToolFailure::told(format!("no broker has told where {partition} begins"))),
                }
            };
            consumer.assign([(partition.clone(), offset)]);
            return Ok(Some(RecordSource::Alone(consumer)));
        }
        Source::Topic(topic) => vec![valid(client, topic).await?],
        Source::Include(filter) => topics_that_fit(client, filter, plan.timeout).await?,
    };
    if topics.is_empty() {
        tell_timeout();
        return Ok(None);
    }
    let group = GroupSettings::new(plan.group.clone());
    Ok(Some(RecordSource::InGroup(Box::new(GroupConsumer::new(group, topics, plan.settings.clone(), plan.commits)))))
}

fn tell_timeout() {
    eprintln!("{TERMINATING}\norg.apache.kafka.common.errors.TimeoutException");
}

/// The topic, unless brokers find its name invalid. One that is not there may come into being by being asked for.
async fn valid(client: &mut ClusterClient, topic: &TopicName) -> Result<TopicName, ClientError> {
    let asked = client.topics_to_consume(std::slice::from_ref(topic)).await?;
    match asked.into_iter().next() {
        Some((_, Err(code @ ErrorCode::InvalidTopicException))) => {
            Err(ClientError::Refused { code, message: Some(format!("Invalid topics: [{topic}]")) })
        }
        _ => Ok(TopicName::clone(topic)),
    }
}

/// The topics that an expression means, as soon as there is one.
async fn topics_that_fit(
    client: &mut ClusterClient,
    filter: &TopicFilter,
    timeout: Option<Duration>,
) -> Result<Vec<TopicName>, ClientError> {
    let began = Instant::now();
    loop {
        let all = client.all_topics().await?.into_iter().filter(|topic| !topic.is_internal).map(|topic| topic.name);
        let topics: Vec<_> = all.filter(|topic| filter.matches(topic)).collect();
        if !topics.is_empty() || timeout.is_some_and(|timeout| began.elapsed() > timeout) {
            return Ok(topics);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Prints a partition's records; answers how far those were.
fn print_records(fetched: &FetchedPartition, plan: &ConsumePlan, printed: &mut Printed) -> ReadPosition {
    let mut out = Vec::new();
    let mut read = fetched.read_up_to(fetched.position);
    for record in &fetched.records {
        if printed.outcome != PrintOutcome::GoesOn || plan.max_messages.is_some_and(|most| printed.count >= most) {
            // Kafka's tool goes back to it by its offset alone.
            read = ReadPosition { offset: record.record.offset, leader_epoch: None };
            break;
        }
        printed.count += 1;
        if let Err(what) = plan.formatter.write(fetched, record, &mut out) {
            // What was printed before comes before what is told of it.
            write_out(&mut out, printed);
            if plan.skips_errors {
                eprintln!("ERROR Error processing message, skipping this message: \n{what}");
            } else if printed.outcome == PrintOutcome::GoesOn {
                printed.outcome = PrintOutcome::Failed(what);
            }
        }
    }
    write_out(&mut out, printed);
    read
}

fn write_out(out: &mut Vec<u8>, printed: &mut Printed) {
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(out).and_then(|()| stdout.flush()).is_err() {
        eprintln!("Unable to write to standard out, closing consumer.");
        printed.outcome = PrintOutcome::Interrupted;
    }
    out.clear();
}
