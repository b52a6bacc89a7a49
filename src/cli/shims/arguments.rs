//! What the flags of Kafka's tools have in common (joptsimple, `CommandDefaultOptions`).

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ErrorKind};

use super::super::Failure;
use super::super::connection::{runtime, settings};
use crate::client::{ClientError, ClusterClient};

/// Kafka's `default.api.timeout.ms`.
const API_TIMEOUT: Duration = Duration::from_mins(1);

/// Reads a tool's arguments; a long option may be shortened as long as it is the only one that begins so, as with
/// joptsimple. Otherwise what is wrong is told on stderr, as Kafka tells it, and the tool ends with 1; with 0 after
/// `--help` or `--version`.
pub(super) fn parse<T: Parser>(name: &'static str, arguments: Vec<OsString>) -> Result<T, ExitCode> {
    let whole = std::iter::once(OsString::from(name)).chain(arguments);
    let command = T::command().name(name).infer_long_args(true).args_override_self(true);
    let matched = command.clone().try_get_matches_from(whole).and_then(|matches| T::from_arg_matches(&matches));
    matched.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            drop(error.print());
            ExitCode::SUCCESS
        }
        _ => {
            let mut command = command;
            eprintln!("{}\n{}", wording(&error), command.render_help());
            ExitCode::FAILURE
        }
    })
}

/// An error of the arguments in joptsimple's words.
fn wording(error: &clap::Error) -> String {
    let named = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let argument = named(ContextKind::InvalidArg);
    let flag = argument.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-').to_owned();
    match error.kind() {
        ErrorKind::UnknownArgument => format!("{flag} is not a recognized option"),
        ErrorKind::MissingRequiredArgument => format!("Missing required argument \"[{flag}]\""),
        ErrorKind::InvalidValue if named(ContextKind::InvalidValue).is_empty() => {
            format!("Option {flag} requires an argument")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            format!("Cannot parse argument '{}' of option {flag}", named(ContextKind::InvalidValue))
        }
        _ => error.to_string().trim_end().to_owned(),
    }
}

/// Connects to `bootstrap` as the tool of that name, and lets `tool` ask.
pub(super) fn with_client<T>(
    bootstrap: &str,
    client_id: &str,
    tool: impl AsyncFnOnce(&mut ClusterClient) -> Result<T, ClientError>,
) -> Result<T, Failure> {
    let settings = settings(bootstrap, API_TIMEOUT, client_id).map_err(|what| Failure { what, hint: None })?;
    runtime()?.block_on(async {
        let mut client = ClusterClient::connect(settings).await?;
        Ok(tool(&mut client).await?)
    })
}
