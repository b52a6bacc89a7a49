//! `klamm config`: the reference of keys, and a check of a file.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;

use super::failure::Failures;
use super::print::print;
use super::sources::{configuration, environment, file_alone};
use super::{Failure, StartArguments};
use crate::config::{Config, Environment, reference};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every key with its default, type and meaning, as YAML.
    Keys,
    /// Say whether a start would accept a configuration file, or, without one, the variables of the environment.
    Check {
        /// The file: YAML, or Java properties if its name ends in .properties [default: what the environment says].
        file: Option<String>,
    },
    /// Print every value that a start with the same flags and environment would have, and where it comes from.
    Print(StartArguments),
    /// Write a short configuration file to begin with; one that is there is not overwritten.
    Init {
        /// Where to write it.
        #[arg(default_value = "klamm.yaml")]
        file: String,
    },
}

/// Origins stand in one column, unless a value is longer than this.
const WIDEST: usize = 72;

/// What `init` writes.
const FIRST_CONFIGURATION: &str = include_str!("../../config/klamm.yaml");

pub(super) fn run(command: &ConfigCommand) -> Result<ExitCode, Failures> {
    match command {
        ConfigCommand::Keys => print(&reference::yaml()),
        ConfigCommand::Check { file } => {
            let environment = environment();
            let config = file.as_ref().map_or_else(|| started(&environment), |file| file_alone(file, &environment))?;
            for line in config.passed_over().iter().chain(&config.without_effect()) {
                print(&format!("note: {line}\n"));
            }
            print(&format!("{} is fine\n", file.as_deref().unwrap_or("the environment")));
        }
        ConfigCommand::Print(arguments) => print(&printed(&configuration(arguments, &environment())?)),
        ConfigCommand::Init { file } => {
            let written = std::fs::File::create_new(file)
                .and_then(|mut created| created.write_all(FIRST_CONFIGURATION.as_bytes()));
            written.map_err(|error| Failure {
                what: format!("{file} cannot be written: {error}"),
                hint: Some("another name: klamm config init FILE".to_owned()),
            })?;
            print(&format!("{file} is written; start with it: klamm --config {file}\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a start without arguments has in this environment, which may name files.
fn started(environment: &Environment) -> Result<Config, Failures> {
    let files = environment.get("KLAMM_CONFIG").map(String::as_str).unwrap_or_default();
    let config = files.split(',').filter(|file| !file.is_empty()).map(str::to_owned).collect();
    configuration(&StartArguments { config, ..StartArguments::default() }, environment)
}

/// `name=value` in columns with the origin; secrets are hidden.
fn printed(config: &Config) -> String {
    let values = config.values();
    let width = values.iter().map(|(name, value, _)| name.len() + value.len() + 1).max().unwrap_or(0).min(WIDEST);
    values.iter().fold(String::new(), |text, (name, value, origin)| {
        format!("{text}{:width$}  # {origin}\n", format!("{name}={value}"))
    })
}
