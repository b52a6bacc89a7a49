//! `klamm group delete`.

use std::process::ExitCode;

use clap::Args;

use super::super::Failure;
use super::super::connection::ConnectionArguments;
use super::super::print::print;
use super::failure;

#[derive(Debug, Args)]
pub(super) struct DeleteGroupsArguments {
    /// The groups.
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
}

pub(super) fn run(arguments: &DeleteGroupsArguments, connection: &ConnectionArguments) -> Result<ExitCode, Failure> {
    connection.run(async |client| {
        let mut failures = Vec::new();
        for group_id in &arguments.groups {
            match client.delete_group(group_id).await {
                Ok(()) => print(&format!("group {group_id} is deleted\n")),
                Err(error) => failures.push(failure(client, group_id, error).await),
            }
        }
        for failure in &failures {
            eprintln!("{failure}");
        }
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}
