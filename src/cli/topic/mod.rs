//! `klamm topic`: topics and the records in them.

use std::process::ExitCode;

use clap::{Args, Subcommand};

mod alter;
mod consume;
mod create;
mod delete;
mod describe;
mod list;
mod produce;
mod tail;

use super::Failure;
use super::connection::ConnectionArguments;
use super::output::{OutputArguments, OutputFormat, Rows};
use crate::client::{ClientError, ClusterClient};
use crate::config::closest;
use crate::protocol::ErrorCode;

/// What `klamm topic --help` ends with.
const EXAMPLES: &str = "\
Examples:
  klamm topic create orders -p 3
  klamm topic create latest -c cleanup.policy=compact
  klamm topic list -o json
  klamm topic describe orders
  klamm topic alter orders -p 6 --set retention.ms=86400000
  klamm topic produce orders -k user-10 '{\"amount\": 42}'
  klamm topic consume orders
  klamm topic delete orders";
pub(super) use produce::codec;

/// Work with topics.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopicArguments {
    #[command(subcommand)]
    command: TopicCommand,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// List topics with how many partitions and replicas each has.
    List(WithOutput<list::ListArguments>),
    /// Create topics.
    Create(WithOutput<create::CreateTopicsArguments>),
    /// Print the partitions of topics, their offsets, and the configs that differ from the defaults.
    Describe(WithOutput<describe::DescribeTopicsArguments>),
    /// Give a topic more partitions or other configs.
    Alter(WithOutput<alter::AlterTopicArguments>),
    /// Delete topics with all their records.
    Delete(WithOutput<delete::DeleteTopicsArguments>),
    /// Send records, from the arguments or from stdin.
    Produce(produce::ProduceArguments),
    /// Read records and print them: all there are, and then what comes, until Ctrl-C.
    Consume(consume::ConsumeArguments),
    /// Print the last records, and then what comes, until Ctrl-C.
    Tail(tail::TailArguments),
}

/// A command's arguments, and how its answer is printed. It is not topic's as a whole: -o means offsets in consume.
#[derive(Debug, Args)]
struct WithOutput<T: Args> {
    #[command(flatten)]
    arguments: T,
    #[command(flatten)]
    output: OutputArguments,
}

pub(super) fn run(arguments: &TopicArguments) -> Result<ExitCode, Failure> {
    let connection = &arguments.connection;
    match &arguments.command {
        TopicCommand::List(with) => list::run(&with.arguments, connection, with.output.output),
        TopicCommand::Create(with) => create::run(&with.arguments, connection, with.output.output),
        TopicCommand::Describe(with) => describe::run(&with.arguments, connection, with.output.output),
        TopicCommand::Alter(with) => alter::run(&with.arguments, connection, with.output.output),
        TopicCommand::Delete(with) => delete::run(&with.arguments, connection, with.output.output),
        TopicCommand::Produce(arguments) => produce::run(arguments, connection),
        TopicCommand::Consume(arguments) => consume::run(arguments, connection),
        TopicCommand::Tail(arguments) => tail::run(arguments, connection),
    }
}

/// What is said of a topic that could not be worked with: one that does not exist comes with the nearest that does.
pub(super) async fn failure(client: &mut ClusterClient, name: &str, error: ClientError) -> Failure {
    if error.code() != Some(ErrorCode::UnknownTopicOrPartition) {
        return Failure { what: format!("topic {name}: {error}"), hint: None };
    }
    let topics = client.all_topics().await.unwrap_or_default();
    let hint = match closest(name, topics.iter().map(|topic| topic.name.as_ref())) {
        Some(nearest) => format!("did you mean \"{nearest}\"?"),
        None => "klamm topic list names those that are there".to_owned(),
    };
    Failure { what: format!("there is no topic {name}"), hint: Some(hint) }
}

/// Prints what went well, if anything did, and tells what did not.
fn print_outcomes(rows: &Rows, failures: &[Failure], output: OutputFormat) -> Result<ExitCode, Failure> {
    if !rows.is_empty() || output != OutputFormat::Table {
        rows.print(output)?;
    }
    Ok(tell(failures))
}

/// Tells what went wrong, on stderr, and whether anything did by the exit code.
fn tell(failures: &[Failure]) -> ExitCode {
    for failure in failures {
        eprintln!("{failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
