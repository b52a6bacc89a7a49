//! `klamm config`: the reference of keys, and a check of a file.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;
use crate::config::{Config, Settings, reference};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every key with its default, type and meaning.
    Keys,
    /// Say whether a configuration file would be accepted.
    Check {
        /// The file: YAML, or Java properties if its name ends in .properties.
        file: String,
    },
}

pub(super) fn run(command: &ConfigCommand) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Keys => print(&reference::yaml()),
        ConfigCommand::Check { file } => {
            let mut settings = Settings::default();
            read_file(&mut settings, file)?;
            Config::new(settings)?;
            print(&format!("{file} is fine\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds what a configuration file says.
pub(super) fn read_file(settings: &mut Settings, file: &str) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::unreadable(file, &error))?;
    Ok(settings.read_file(file, &text)?)
}

/// Writes to stdout; a reader that went away is not an error, unlike with `print!`, which panics.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}
