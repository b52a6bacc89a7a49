//! `klamm group`: consumer groups, how far they are, and where they go on.

mod delete;
mod describe;
mod list;
mod reset;
pub(super) mod selection;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use super::connection::ConnectionArguments;
use super::output::OutputArguments;
use crate::client::{ClientError, ClusterClient};
use crate::config::closest;
use crate::protocol::ErrorCode;

/// What `klamm group --help` ends with.
const EXAMPLES: &str = "\
Examples:
  klamm group list
  klamm group describe billing
  klamm group reset billing --to-earliest --dry-run
  klamm group reset billing --topic orders:0,1 --to @-1h
  klamm group delete billing";

/// Work with consumer groups.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GroupArguments {
    #[command(subcommand)]
    command: GroupCommand,
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// List groups with their types and states.
    List(list::ListGroupsArguments),
    /// Print how far groups are: members, partitions, offsets and lag.
    Describe(describe::DescribeGroupsArguments),
    /// Set where a group goes on reading; its consumers must have been stopped.
    Reset(Box<reset::ResetGroupArguments>),
    /// Delete groups with their offsets; their consumers must have been stopped.
    Delete(delete::DeleteGroupsArguments),
}

pub(super) fn run(arguments: &GroupArguments) -> Result<ExitCode, Failure> {
    let (connection, output) = (&arguments.connection, arguments.output.output);
    match &arguments.command {
        GroupCommand::List(arguments) => list::run(arguments, connection, output),
        GroupCommand::Describe(arguments) => describe::run(arguments, connection, output),
        GroupCommand::Reset(arguments) => reset::run(arguments, connection, output),
        GroupCommand::Delete(arguments) => delete::run(arguments, connection),
    }
}

/// What is said of a group that could not be asked about: one that does not exist comes with the nearest that does.
async fn failure(client: &mut ClusterClient, group_id: &str, error: ClientError) -> Failure {
    if error.code() != Some(ErrorCode::GroupIdNotFound) {
        return Failure { what: format!("group {group_id}: {error}"), hint: None };
    }
    let groups = client.list_groups(&[], &[]).await.unwrap_or_default();
    let nearest = closest(group_id, groups.iter().map(|group| group.group_id.as_str()));
    let hint = nearest
        .map_or("klamm group list names those that are there".to_owned(), |name| format!("did you mean \"{name}\"?"));
    Failure { what: format!("there is no group {group_id}"), hint: Some(hint) }
}
