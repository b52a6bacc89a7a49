//! `kafka-consumer-groups` (`org.apache.kafka.tools.consumer.group.ConsumerGroupCommand`).
//!
//! As with Kafka's, what the options get wrong ends the tool with 1, and what goes wrong with the cluster is told and ends
//! it with 0: scripts read the text.

mod delete;
mod describe;
mod list;
mod options;
mod reset;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use super::super::print::print;
use super::arguments::{Complaints, failed, parse_with, usage};
use super::asking::Asking;
use crate::client::{ClientError, ClusterClient, GroupListing};
pub(super) use list::type_name;
use options::ConsumerGroupOptions;

/// Why the tool stops.
#[derive(Debug)]
enum GroupFailure {
    /// The options make no sense (Java's `IllegalArgumentException`): told with how to call the tool.
    Usage(String),
    /// What went wrong, as the message of Java's exception reads.
    Told(String),
    /// The same, and what Java prints of the exception itself.
    Thrown {
        /// The message.
        message: String,
        /// The first line of the stack trace.
        exception: String,
    },
}

impl GroupFailure {
    /// An error of the cluster that is the exception itself.
    fn plain(error: &ClientError) -> Self {
        Self::Thrown { message: error.to_string(), exception: error.as_exception() }
    }

    /// An error of the cluster that is the cause of an `ExecutionException`, which Java names with its class.
    fn caused(error: &ClientError) -> Self {
        let message = error.as_exception();
        Self::Thrown { exception: format!("java.util.concurrent.ExecutionException: {message}"), message }
    }

    /// An error whose `ExecutionException` is the cause of another one.
    fn wrapped(error: &ClientError) -> Self {
        let message = format!("java.util.concurrent.ExecutionException: {}", error.as_exception());
        Self::Thrown { exception: format!("java.lang.RuntimeException: {message}"), message }
    }
}

const COMPLAINTS: Complaints = Complaints {
    with_usage: false,
    unknown_option: "Exception in thread \"main\" joptsimple.UnrecognizedOptionException: ",
    wrong_value: "",
};

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: ConsumerGroupOptions = match parse_with("kafka-consumer-groups", arguments, COMPLAINTS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    if let Some(unavailable) = options.unavailable() {
        return failed(&unavailable);
    }
    if let Err(message) = options.check() {
        return usage::<ConsumerGroupOptions>(&message);
    }
    if let Some(regex) = &options.validate_regex {
        print(&validity(regex));
        return ExitCode::SUCCESS;
    }
    let asking = Asking {
        bootstrap: options.bootstrap_server.as_deref().unwrap_or_default(),
        properties_file: options.command_config.as_deref(),
        client_id: "admin-1",
        waits: true,
    };
    let ended = asking.run(async |client| {
        client.set_api_timeout(Duration::from_millis(options.timeout));
        Ok(act(client, &options).await)
    });
    match ended.unwrap_or_else(|failure| Err(GroupFailure::Told(failure.to_string()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(GroupFailure::Usage(message)) => usage::<ConsumerGroupOptions>(&message),
        Err(GroupFailure::Told(message)) => ended_by(&message),
        Err(GroupFailure::Thrown { message, exception }) => {
            let code = ended_by(&message);
            eprintln!("{exception}");
            code
        }
    }
}

async fn act(client: &mut ClusterClient, options: &ConsumerGroupOptions) -> Result<(), GroupFailure> {
    if options.list {
        list::run(client, options).await
    } else if options.describe {
        describe::run(client, options).await
    } else if options.delete {
        delete::groups(client, options).await
    } else if options.reset_offsets {
        reset::run(client, options).await
    } else {
        delete::offsets(client, options).await
    }
}

/// The groups that are meant: those of `--group`, or all of consumers.
async fn chosen(client: &mut ClusterClient, options: &ConsumerGroupOptions) -> Result<Vec<String>, GroupFailure> {
    if options.all_groups { groups_of_consumers(client).await } else { Ok(options.group.clone()) }
}

async fn groups_of_consumers(client: &mut ClusterClient) -> Result<Vec<String>, GroupFailure> {
    let listed = client.list_groups(&[], &[]).await.map_err(|error| GroupFailure::wrapped(&error))?;
    Ok(listed.into_iter().filter(GroupListing::is_of_consumers).map(|group| group.group_id).collect())
}

/// Tells what went wrong; the tool ends with 0 all the same.
fn ended_by(message: &str) -> ExitCode {
    print_error(&format!("Executing consumer group command failed due to {message}"));
    ExitCode::SUCCESS
}

fn print_error(message: &str) {
    print(&format!("\nError: {message}\n"));
}

/// What is said of a regular expression of RE2, whose syntax is that of the crate but for a few words.
fn validity(regex: &str) -> String {
    use regex_syntax::ast::ErrorKind;
    let parsed = regex_syntax::ast::parse::Parser::new().parse(regex);
    let Err(error) = parsed else { return format!("The regular expression `{regex}` is valid.\n") };
    let reason = match error.kind() {
        ErrorKind::GroupUnclosed => "missing closing )",
        ErrorKind::GroupUnopened => "unexpected )",
        ErrorKind::ClassUnclosed => "missing closing ]",
        ErrorKind::ClassRangeInvalid => "invalid character class range",
        ErrorKind::EscapeUnexpectedEof => "trailing backslash at end of expression",
        ErrorKind::EscapeUnrecognized => "invalid escape sequence",
        ErrorKind::RepetitionMissing => "missing argument to repetition operator",
        ErrorKind::RepetitionCountInvalid => "invalid repeat count",
        ErrorKind::GroupNameInvalid | ErrorKind::GroupNameDuplicate { .. } => "invalid named capture",
        ErrorKind::UnsupportedLookAround => "invalid or unsupported Perl syntax",
        other => return format!("The regular expression `{regex}` is invalid: {other}.\n"),
    };
    format!("The regular expression `{regex}` is invalid: {reason}.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_are_judged_in_the_words_of_re2() {
        assert_eq!(validity("a.*"), "The regular expression `a.*` is valid.\n");
        assert_eq!(validity("a("), "The regular expression `a(` is invalid: missing closing ).\n");
        assert_eq!(validity("[a"), "The regular expression `[a` is invalid: missing closing ].\n");
        assert_eq!(validity("*"), "The regular expression `*` is invalid: missing argument to repetition operator.\n");
    }
}
