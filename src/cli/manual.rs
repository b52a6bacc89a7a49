//! What is made of the commands' definitions: manual pages, and the page of all commands.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};

use super::Failure;
use super::print::print;
use super::shims;

/// The width of the page's lines.
const WIDTH: usize = 100;

/// Write the manual pages, a file for each command, into a directory.
#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// The directory, which is created if it is missing.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run(arguments: &ManArguments, command: Command) -> Result<ExitCode, Failure> {
    let directory = &arguments.directory;
    let failed = |error| Failure { what: format!("{}: {error}", directory.display()), hint: None };
    write_pages(command, directory).map_err(failed)?;
    print(&format!(
        "the manual pages are in {}; man -l {} reads one\n",
        directory.display(),
        directory.join("klamm.1").display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn write_pages(command: Command, directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(without_environment(command).disable_help_subcommand(true), directory)
}

/// The page of all commands in Markdown: what `--help` says of each, and the names of Kafka's tools.
pub(super) fn page(command: Command) -> String {
    let mut command = without_environment(command).term_width(WIDTH).disable_help_subcommand(true);
    command.build();
    let tools: Vec<_> = shims::names().map(|name| format!("- `{name}`\n")).collect();
    let mut text = format!(
        "# The command line\n\n\
         Derived from the definitions of the commands by `tests/generated.rs`; do not edit. `klamm man DIR` writes the same \
         as manual\npages, and `klamm completion SHELL` teaches a shell to complete it.\n\n\
         ## Kafka's tools\n\n\
         A link to the program with one of these names, with or without `.sh`, takes the flags of Apache Kafka 4.1's tool, \
         prints\nwhat it prints and ends with its exit status. `klamm NAME` does the same without a link, and `NAME --help` \
         lists its flags.\n\n{}",
        tools.concat()
    );
    append(&mut command, "", &mut text);
    text
}

fn append(command: &mut Command, above: &str, text: &mut String) {
    let name = format!("{above}{}", command.get_name());
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let help = help.join("\n");
    for part in ["\n## ", &name, "\n\n```text\n", help.trim_end(), "\n```\n"] {
        text.push_str(part);
    }
    let above = format!("{name} ");
    for below in command.get_subcommands_mut() {
        append(below, &above, text);
    }
}

/// The command without the values that variables happen to have here.
fn without_environment(command: Command) -> Command {
    command.mut_args(|argument| argument.hide_env_values(true)).mut_subcommands(without_environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(command: &Command, above: &str, found: &mut Vec<String>) {
        let name = format!("{above}{}", command.get_name());
        command.get_subcommands().for_each(|below| names(below, &format!("{name}-"), found));
        found.push(name + ".1");
    }

    #[test]
    fn every_command_has_a_manual_page() {
        let directory = tempfile::tempdir().unwrap();
        write_pages(super::super::command(), directory.path()).unwrap();
        let mut expected = Vec::new();
        names(&super::super::command(), "", &mut expected);
        assert!(expected.len() > 10, "{expected:?}");
        for name in expected {
            let page = std::fs::read_to_string(directory.path().join(&name)).expect(&name);
            assert!(page.contains(".SH SYNOPSIS"), "{name}");
        }
    }

    #[test]
    fn every_command_and_argument_says_what_it_is() {
        fn check(command: &Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&super::super::command());
    }
}
