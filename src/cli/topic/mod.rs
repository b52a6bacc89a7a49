//! `klamm topic`: topics and the records in them.

use std::process::ExitCode;

use clap::{Args, Subcommand};

mod list;

use super::Failure;
use super::connection::ConnectionArguments;
use super::output::OutputArguments;

/// Work with topics.
#[derive(Debug, Args)]
pub(super) struct TopicArguments {
    #[command(subcommand)]
    command: TopicCommand,
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// Print the topics with the numbers of their partitions and replicas.
    List(list::ListArguments),
}

pub(super) fn run(arguments: &TopicArguments) -> Result<ExitCode, Failure> {
    let (connection, output) = (&arguments.connection, arguments.output.output);
    match &arguments.command {
        TopicCommand::List(arguments) => list::run(arguments, connection, output),
    }
}
