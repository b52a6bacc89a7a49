//! `klamm topic delete`. It does not ask: who names a topic means it, and rpk and Kafka's tool do not ask either.

use std::process::ExitCode;

use clap::Args;

use super::super::Failure;
use super::super::connection::ConnectionArguments;
use super::super::output::{OutputFormat, Rows};
use super::failure;
use crate::ids::TopicName;

#[derive(Debug, Args)]
pub(super) struct DeleteTopicsArguments {
    /// The topics.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<TopicName>,
}

pub(super) fn run(
    arguments: &DeleteTopicsArguments,
    connection: &ConnectionArguments,
    output: OutputFormat,
) -> Result<ExitCode, Failure> {
    let (rows, failures) = connection.run(async |client| {
        let (mut rows, mut failures) = (Rows::new(&["name", "status"]), Vec::new());
        for (name, outcome) in client.delete_topics(&arguments.names).await?.0 {
            match outcome {
                Ok(()) => rows.push([name.as_ref().into(), "deleted".into()]),
                Err(error) => failures.push(failure(client, &name, error).await),
            }
        }
        Ok((rows, failures))
    })?;
    super::print_outcomes(&rows, &failures, output)
}
