//! What people type who have used another program, and where it is here.

use clap::error::{ContextKind, ContextValue};

/// Words that are no argument here, and what was probably wanted.
const HABITS: &[(&str, &str)] = &[
    ("--port", "--listen localhost:PORT says where to listen"),
    ("-p", "--listen localhost:PORT says where to listen"),
    ("--host", "--listen HOST:PORT says where to listen"),
    ("--bootstrap-server", "a broker is started here; --listen HOST:PORT says where it listens"),
    ("--log-dirs", "--data-dir DIR says where data is kept"),
    ("--dir", "--data-dir DIR says where data is kept"),
    ("--override", "--set KEY=VALUE overrides a key"),
    ("--daemon", "it runs until a signal; a shell's & or a service manager keeps it in the background"),
    ("version", "klamm --version"),
    ("stop", "Ctrl-C in its terminal, or kill with its process id, stops a broker"),
    ("run", "klamm start, or klamm alone"),
    ("server", "klamm start, or klamm alone"),
    ("broker", "klamm start, or klamm alone"),
];

/// Adds to an error of the arguments what may have been wanted.
pub(super) fn with_hint(mut error: clap::Error) -> clap::Error {
    let given =
        [ContextKind::InvalidArg, ContextKind::InvalidSubcommand].into_iter().find_map(|kind| match error.get(kind) {
            Some(ContextValue::String(given)) => Some(given.clone()),
            _ => None,
        });
    if let Some(hint) = given.and_then(|given| hint_for(&given)) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

fn hint_for(given: &str) -> Option<String> {
    let name = given.split_once('=').map_or(given, |(name, _)| name);
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
        assert_eq!(hint_for("--port=9093").as_deref(), Some("--listen localhost:PORT says where to listen"));
        assert_eq!(hint_for("version").as_deref(), Some("klamm --version"));
        let file = hint_for("conf/server.properties");
        assert_eq!(file.as_deref(), Some("klamm --config conf/server.properties starts with a configuration file"));
        assert_eq!(hint_for("--lisen"), None);
    }
}
