//! What people type who have used another program, and where it is here.

use clap::error::{ContextKind, ContextValue};

/// Words that are no argument of `klamm` or `klamm start`, and what was probably wanted.
const HABITS: &[(&str, &str)] = &[
    ("--port", "--listen localhost:PORT says where to listen"),
    ("-p", "--listen localhost:PORT says where to listen"),
    ("--host", "--listen HOST:PORT says where to listen"),
    ("--log-dirs", "--data-dir DIR says where data is kept"),
    ("--dir", "--data-dir DIR says where data is kept"),
    ("--override", "--set KEY=VALUE overrides a key"),
    ("--daemon", "it runs until a signal; a shell's & or a service manager keeps it in the background"),
    (
        "--bootstrap-server",
        "klamm topic list --bootstrap-server HOST:PORT: it belongs behind a command that asks a broker; --listen HOST:PORT says where one listens",
    ),
    ("--brokers", "klamm topic list --brokers HOST:PORT: it belongs behind a command that asks a broker"),
    ("version", "klamm --version"),
    ("stop", "Ctrl-C in its terminal, or kill with its process id, stops a broker"),
    ("run", "klamm start, or klamm alone"),
    ("server", "klamm start, or klamm alone"),
    ("broker", "klamm start, or klamm alone"),
    ("brokers", "klamm cluster info"),
    ("info", "klamm cluster info"),
    ("status", "klamm healthcheck"),
    ("health", "klamm healthcheck"),
    ("topics", "klamm topic list"),
    ("list", "klamm topic list"),
    ("list-topics", "klamm topic list"),
    ("create", "klamm topic create NAME"),
    ("create-topic", "klamm topic create NAME"),
    ("describe", "klamm topic describe NAME, or klamm group describe GROUP"),
    ("describe-topic", "klamm topic describe NAME"),
    ("alter", "klamm topic alter NAME --set KEY=VALUE"),
    ("alter-topic", "klamm topic alter NAME --set KEY=VALUE"),
    ("delete", "klamm topic delete NAME"),
    ("delete-topic", "klamm topic delete NAME"),
    ("produce", "klamm topic produce NAME"),
    ("consume", "klamm topic consume NAME"),
    ("tail", "klamm topic tail NAME"),
    ("groups", "klamm group list"),
    ("consumer-groups", "klamm group list"),
    ("describe-group", "klamm group describe GROUP"),
    ("reset-offsets", "klamm group reset GROUP --to-earliest"),
];

/// Words for what `klamm topic` and `klamm group` call otherwise.
const SYNONYMS: &[(&str, &str)] = &[
    ("ls", "list"),
    ("rm", "delete"),
    ("remove", "delete"),
    ("new", "create"),
    ("add", "create"),
    ("show", "describe"),
    ("info", "describe"),
    ("edit", "alter"),
    ("update", "alter"),
    ("config", "alter"),
    ("seek", "reset"),
];

/// Adds to an error of the arguments what may have been wanted.
pub(super) fn with_hint(mut error: clap::Error) -> clap::Error {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(given)) => Some(given.clone()),
        _ => None,
    };
    let given = named(ContextKind::InvalidArg).or_else(|| named(ContextKind::InvalidSubcommand));
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    if let Some(hint) = given.and_then(|given| hint_for(command_of(&usage), &given)) {
        // Ours knows more than a likeness of letters.
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

/// The first command in a usage such as `Usage: klamm topic list [OPTIONS]`; none in that of `klamm` itself.
fn command_of(usage: &str) -> &str {
    let mut words = usage.lines().next().unwrap_or_default().split_whitespace().skip_while(|word| *word != "klamm");
    words.nth(1).filter(|word| word.chars().all(|character| character.is_ascii_lowercase())).unwrap_or_default()
}

fn hint_for(command: &str, given: &str) -> Option<String> {
    let name = given.split_once('=').map_or(given, |(name, _)| name);
    if matches!(command, "topic" | "group") {
        let (_, ours) = SYNONYMS.iter().find(|(word, _)| *word == name)?;
        return Some(format!("klamm {command} {ours}"));
    }
    if !matches!(command, "" | "start") {
        return None;
    }
    let habit = HABITS.iter().find(|(word, _)| *word == name).map(|(_, hint)| (*hint).to_owned());
    let extension = given.rsplit_once('.').map_or("", |(_, extension)| extension);
    habit.or_else(|| {
        matches!(extension, "yaml" | "yml" | "properties" | "conf")
            .then(|| format!("klamm --config {given} starts with a configuration file"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_from_elsewhere_are_met() {
        assert_eq!(hint_for("", "--port=9093").as_deref(), Some("--listen localhost:PORT says where to listen"));
        assert_eq!(hint_for("start", "-p").as_deref(), Some("--listen localhost:PORT says where to listen"));
        assert_eq!(hint_for("", "version").as_deref(), Some("klamm --version"));
        let file = hint_for("", "conf/server.properties");
        assert_eq!(file.as_deref(), Some("klamm --config conf/server.properties starts with a configuration file"));
        assert_eq!(hint_for("", "--lisen"), None);
    }

    #[test]
    fn what_is_said_of_a_broker_is_not_said_of_a_topic() {
        assert_eq!(hint_for("topic", "-p"), None);
        assert_eq!(hint_for("topic", "ls").as_deref(), Some("klamm topic list"));
        assert_eq!(hint_for("group", "seek").as_deref(), Some("klamm group reset"));
        assert_eq!(hint_for("cluster", "version"), None);
        assert_eq!(command_of("Usage: klamm topic list [OPTIONS]"), "topic");
        assert_eq!(command_of("Usage: klamm [OPTIONS]\n       klamm <COMMAND>"), "");
    }

    #[test]
    fn every_command_that_a_hint_names_exists() {
        // Those of the records come with files of their own.
        let later = ["produce", "consume", "tail"];
        let hints = HABITS.iter().map(|(_, hint)| *hint).filter(|hint| hint.starts_with("klamm "));
        for hint in hints.flat_map(|hint| hint.split(", or ")) {
            let words: Vec<_> = hint.split([' ', ':']).skip(1).take_while(|word| !word.starts_with("--")).collect();
            let mut command = &<super::super::Arguments as clap::CommandFactory>::command();
            for word in
                words.iter().filter(|word| **word != "alone" && word.chars().all(|one| one.is_ascii_lowercase()))
            {
                match command.find_subcommand(word) {
                    Some(found) => command = found,
                    None => assert!(later.contains(word), "{hint}: there is no {word}"),
                }
            }
        }
    }
}
