//! What the flags of Kafka's tools have in common. Most tools read them with joptsimple (`CommandDefaultOptions`), some
//! with argparse4j; both are told apart by how they complain.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, Command, Parser};

use super::super::print::print;

/// What `--version` prints: the release of Kafka that these tools take the place of.
const KAFKA_VERSION: &str = "4.1.2";
/// How wide Kafka's help is, and its first column at most.
const HELP_WIDTH: usize = 80;
const OPTION_WIDTH: usize = 38;

/// How a tool complains of its arguments; Kafka's tools do not agree.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Complaints {
    /// Whether it is told how the tool is called where an option is unknown or lacks its value.
    pub(super) with_usage: bool,
    /// What stands in front of what is said of an option that is unknown.
    pub(super) unknown_option: &'static str,
    /// What stands in front of a value that is no number.
    pub(super) wrong_value: &'static str,
}

/// Reads the arguments of a tool that uses joptsimple. An option must be written out. What is wrong is told on stderr;
/// also the help goes there, and ends the tool with 1 as well, as Kafka has it.
pub(super) fn parse<T: Parser>(name: &'static str, arguments: Vec<OsString>) -> Result<T, ExitCode> {
    parse_with(name, arguments, Complaints::default())
}

/// As [`parse`], for a tool that complains in its own way.
pub(super) fn parse_with<T: Parser>(
    name: &'static str,
    arguments: Vec<OsString>,
    complaints: Complaints,
) -> Result<T, ExitCode> {
    let command = T::command().name(name).disable_help_flag(true).args_override_self(true);
    if arguments.is_empty() || arguments.iter().any(|argument| argument == "--help") {
        return Err(usage::<T>(&command.get_about().map(ToString::to_string).unwrap_or_default()));
    }
    if arguments.iter().any(|argument| argument == "--version") {
        print(&format!("{KAFKA_VERSION}\n"));
        return Err(ExitCode::SUCCESS);
    }
    let whole = std::iter::once(OsString::from(name)).chain(arguments);
    let matched = command.try_get_matches_from(whole).and_then(|matches| T::from_arg_matches(&matches));
    matched.map_err(|error| match error.kind() {
        ErrorKind::MissingRequiredArgument => usage::<T>(&wording(&error)),
        ErrorKind::ValueValidation => failed(&format!("{}{}", complaints.wrong_value, wording(&error))),
        _ if complaints.with_usage => usage::<T>(&wording(&error)),
        ErrorKind::UnknownArgument => failed(&format!("{}{}", complaints.unknown_option, wording(&error))),
        _ => failed(&wording(&error)),
    })
}

/// Reads the arguments of a tool that uses argparse4j: a long option may be shortened as long as it is the only one that
/// begins so. What is wrong is told on stderr, after the usage, and ends the tool with 1; help ends it with 0.
pub(super) fn parse_subcommands<T: Parser>(name: &'static str, arguments: Vec<OsString>) -> Result<T, ExitCode> {
    let whole = std::iter::once(OsString::from(name)).chain(arguments);
    let command = T::command().name(name).infer_long_args(true).args_override_self(true);
    let matched = command.clone().try_get_matches_from(whole).and_then(|matches| T::from_arg_matches(&matches));
    matched.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print(&usage_first(&error.to_string()));
            ExitCode::SUCCESS
        }
        _ => {
            let said = error.to_string();
            let reason = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let usage = said.lines().find_map(|line| line.strip_prefix("Usage: ")).map(str::to_owned);
            let usage = usage.unwrap_or_else(|| format!("{name} [-h] COMMAND ..."));
            failed(&format!("usage: {usage}\n{name}: error: {reason}"))
        }
    })
}

/// The help of clap as argparse4j has it: it begins with how the tool is called.
fn usage_first(help: &str) -> String {
    let is_usage = |line: &&str| line.starts_with("Usage: ");
    match help.lines().find(is_usage) {
        Some(usage) => {
            let rest: Vec<_> = help.lines().filter(|line| !is_usage(line)).collect();
            format!("usage: {}\n\n{}\n", usage.trim_start_matches("Usage: "), rest.join("\n"))
        }
        None => help.to_owned(),
    }
}

/// Tells on stderr why a tool fails, and ends it with 1.
pub(super) fn failed(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

/// Tells on stderr what is wrong, and then how the tool is called; ends it with 1.
pub(super) fn usage<T: Parser>(message: &str) -> ExitCode {
    failed(&format!("{message}\n{}", help(&T::command())))
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

/// The options in two columns, as joptsimple prints them.
fn help(command: &Command) -> String {
    let mut rows =
        vec![("Option".to_owned(), "Description".to_owned()), ("------".to_owned(), "-----------".to_owned())];
    let mut options: Vec<_> = command.get_arguments().filter(|argument| argument.get_long().is_some()).collect();
    options.sort_by_key(|argument| argument.get_long());
    rows.extend(
        options
            .into_iter()
            .map(|argument| (spelling(argument), argument.get_help().map(ToString::to_string).unwrap_or_default())),
    );
    let widest = rows.iter().map(|(option, _)| option.len()).max().unwrap_or_default().min(OPTION_WIDTH);
    let mut help = String::new();
    for (option, description) in rows {
        let (left, right) = (wrapped(&option, widest), wrapped(&description, HELP_WIDTH - widest - 2));
        for line in 0..left.len().max(right.len()) {
            let cell = |lines: &[String]| lines.get(line).cloned().unwrap_or_default();
            help.push_str(format!("{:widest$}  {}", cell(&left), cell(&right)).trim_end());
            help.push('\n');
        }
    }
    help.trim_end().to_owned()
}

/// An option with the kind of its value: `--topic <String: topic>`.
fn spelling(argument: &Arg) -> String {
    let long = argument.get_long().unwrap_or_default();
    let value = argument.get_value_names().and_then(|names| names.first());
    match value.filter(|_| argument.get_action().takes_values()) {
        Some(value) => format!("--{long} <{value}>"),
        None => format!("--{long}"),
    }
}

/// `text` in lines of at most `width` characters, the later ones set in by two; a word that is longer has a line to itself.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let is_full = lines.last().is_some_and(|line| !line.trim().is_empty() && line.len() + 1 + word.len() > width);
        if is_full {
            lines.push("  ".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            if !line.trim().is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Sends things.
    #[derive(Debug, Parser)]
    struct Options {
        /// The topic to send to, which is described at some length so that it needs more than a single line.
        #[arg(long, value_name = "String: topic")]
        topic: Option<String>,
        /// Say nothing.
        #[arg(long)]
        quiet: bool,
    }

    #[test]
    fn options_are_shown_in_two_columns() {
        let expected = "Option                   Description\n\
                        ------                   -----------\n\
                        --quiet                  Say nothing\n\
                        --topic <String: topic>  The topic to send to, which is described at some length\n\
                        \x20                          so that it needs more than a single line";
        assert_eq!(help(&Options::command().disable_help_flag(true)), expected);
    }

    #[test]
    fn help_begins_with_how_the_tool_is_called() {
        let help = "Sends things\n\nUsage: tool [OPTIONS]\n\nOptions:\n  -h  Help\n";
        assert_eq!(usage_first(help), "usage: tool [OPTIONS]\n\nSends things\n\n\nOptions:\n  -h  Help\n");
        assert_eq!(usage_first("4.1\n"), "4.1\n");
    }

    #[test]
    fn complaints_are_in_the_words_of_joptsimple() {
        let complaint = |line: &str| {
            let command = Options::command().disable_help_flag(true);
            wording(&command.try_get_matches_from(line.split(' ')).expect_err(line))
        };
        assert_eq!(complaint("tool --top a"), "top is not a recognized option");
        assert_eq!(complaint("tool --topic"), "Option topic requires an argument");
        let options: Options = parse("tool", vec!["--topic=a".into(), "--quiet".into()]).unwrap();
        assert_eq!((options.topic.as_deref(), options.quiet), (Some("a"), true));
        assert!(parse::<Options>("tool", Vec::new()).is_err());
    }
}
