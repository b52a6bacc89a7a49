//! `klamm topic list`.

use std::process::ExitCode;

use clap::Args;

use super::super::Failure;
use super::super::connection::ConnectionArguments;
use super::super::output::{OutputFormat, Rows};

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Also internal topics, in which brokers keep their state, such as committed offsets.
    #[arg(long, short)]
    internal: bool,
}

pub(super) fn run(
    arguments: &ListArguments,
    connection: &ConnectionArguments,
    output: OutputFormat,
) -> Result<ExitCode, Failure> {
    let topics = connection.run(async |client| Ok(client.all_topics().await?))?;
    let mut rows = Rows::new(&["name", "partitions", "replicas"]);
    for topic in topics.iter().filter(|topic| arguments.internal || !topic.is_internal) {
        let replicas = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
        rows.push([topic.name.as_ref().into(), topic.partitions.len().into(), replicas.into()]);
    }
    rows.print(output)?;
    Ok(ExitCode::SUCCESS)
}
