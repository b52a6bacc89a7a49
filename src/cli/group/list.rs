//! `klamm group list`.

use std::process::ExitCode;

use clap::Args;

use super::super::Failure;
use super::super::connection::ConnectionArguments;
use super::super::output::{OutputFormat, Rows};

#[derive(Debug, Args)]
pub(super) struct ListGroupsArguments {
    /// Only groups in this state, such as Stable (consumers read) or Empty (none do); can be repeated.
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    /// Only groups of this type, classic or consumer; can be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    group_type: Vec<String>,
}

pub(super) fn run(
    arguments: &ListGroupsArguments,
    connection: &ConnectionArguments,
    output: OutputFormat,
) -> Result<ExitCode, Failure> {
    let words = |given: &[String]| given.iter().map(|word| word.trim().to_owned()).collect::<Vec<_>>();
    let (states, types) = (words(&arguments.state), words(&arguments.group_type));
    let groups = connection.run(async |client| {
        let states: Vec<&str> = states.iter().map(String::as_str).collect();
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        Ok(client.list_groups(&states, &types).await?)
    })?;
    let mut rows = Rows::new(&["group", "state", "type", "protocol type"]);
    for group in groups {
        let protocol_type = Some(group.protocol_type).filter(|text| !text.is_empty());
        rows.push([group.group_id.into(), group.state.into(), group.group_type.into(), protocol_type.into()]);
    }
    rows.print(output)?;
    Ok(ExitCode::SUCCESS)
}
