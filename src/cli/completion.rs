//! `klamm completion`: a shell's Tab key completes commands and flags, and the names that the running broker has.
//!
//! The script that a shell loads is short: it asks the program itself, with the words of the line, so that it never knows
//! other flags than the program. Whoever presses Tab must not wait: without an answer in time there are no names.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{StyledStr, ValueHint};
use clap::{Arg, Args, Command, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;

use super::Failure;
use super::connection::{default_bootstrap, runtime, settings};
use super::print::print;
use crate::client::{ClientError, ClusterClient};
use crate::config::{broker_keys, topic_keys};

/// The variable by which the script has the program complete a line.
const VARIABLE: &str = "KLAMM_COMPLETE";
const PROGRAM: &str = "klamm";
/// How long a broker is waited for.
const PATIENCE: Duration = Duration::from_millis(300);

/// What `klamm completion --help` ends with.
const EXAMPLES: &str = "\
Examples:
  bash        source <(klamm completion bash)                     in ~/.bashrc
  zsh         source <(klamm completion zsh)                      in ~/.zshrc
  fish        klamm completion fish | source                      in ~/.config/fish/config.fish
  powershell  klamm completion powershell | Out-String | Invoke-Expression
  elvish      eval (klamm completion elvish | slurp)              in ~/.elvish/rc.elv

Names of topics and groups are those of the broker of -b, KLAMM_BROKERS, KAFKA_BOOTSTRAP_SERVERS or localhost:9092.";

/// Print a script with which a shell completes commands, flags, and names of topics and groups.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionArguments {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// A shell that can be taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
    Elvish,
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
            Self::Elvish => "elvish",
        }
    }
}

/// Prints the script.
pub(super) fn run(arguments: &CompletionArguments) -> Result<ExitCode, Failure> {
    let name = arguments.shell.name();
    let told = |what: String| Failure { what, hint: None };
    let shells = Shells::builtins();
    let shell = shells.completer(name).ok_or_else(|| told(format!("{name} is not known")))?;
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)
        .map_err(|error| told(format!("no script can be made: {error}")))?;
    print(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}

/// Completes a line, if that is what the program is called for.
pub(super) fn answer(command: fn() -> Command, arguments: &[OsString]) -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    let completions = CompleteEnv::with_factory(|| with_names(command(), "")).var(VARIABLE).bin(PROGRAM);
    match completions.try_complete(arguments.iter().cloned(), None) {
        Ok(is_answered) => is_answered.then_some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// The command with what its arguments may be: names that the broker knows, and keys. `above` is the command over it.
fn with_names(command: Command, above: &str) -> Command {
    let name = command.get_name().to_owned();
    // What is created is not there yet.
    let is_new = name == "create";
    let subject = if above.is_empty() { name.clone() } else { above.to_owned() };
    let command = command.mut_args(|argument| match (argument.get_id().as_str(), subject.as_str()) {
        ("bootstrap_server", _) => completed_by(argument, brokers),
        ("topic" | "topics", _) => completed_by(argument, topics),
        ("name" | "names", "topic") if !is_new => completed_by(argument, topics),
        ("group" | "groups", "group") => completed_by(argument, groups),
        ("config" | "set" | "unset", "topic") => completed_by(argument, |_| keys(topic_keys(), "=")),
        ("set", _) => completed_by(argument, |_| keys(broker_keys(), "=")),
        ("config" | "file" | "ready_file", _) => argument.value_hint(ValueHint::FilePath),
        ("data_dir" | "directory", _) => argument.value_hint(ValueHint::DirPath),
        _ => argument,
    });
    let above = if name == PROGRAM { String::new() } else { subject };
    command.mut_subcommands(|below| with_names(below, &above))
}

fn completed_by(argument: Arg, candidates: fn(&str) -> Vec<(String, String)>) -> Arg {
    argument.add(ArgValueCompleter::new(move |current: &OsStr| {
        let Some(typed) = current.to_str() else { return Vec::new() };
        let candidates = candidates(typed).into_iter().filter(|(word, _)| word.starts_with(typed));
        let candidate = |(word, help): (String, String)| {
            let help = Some(StyledStr::from(help)).filter(|help| !help.to_string().is_empty());
            CompletionCandidate::new(word).help(help)
        };
        candidates.map(candidate).collect()
    }))
}

fn keys(keys: impl Iterator<Item = (&'static str, &'static str)>, after: &str) -> Vec<(String, String)> {
    // A key of topics may be the default of several keys of brokers.
    let keys: BTreeMap<_, _> = keys.collect();
    keys.into_iter().map(|(name, doc)| (format!("{name}{after}"), doc.to_owned())).collect()
}

fn topics(_typed: &str) -> Vec<(String, String)> {
    let names = asked(async |client| {
        let topics = client.all_topics().await?;
        Ok(topics.iter().filter(|topic| !topic.is_internal).map(|topic| topic.name.to_string()).collect())
    });
    names.into_iter().map(|name| (name, String::new())).collect()
}

fn groups(_typed: &str) -> Vec<(String, String)> {
    asked(async |client| {
        let groups = client.list_groups(&[], &[]).await?;
        Ok(groups.into_iter().map(|group| (group.group_id, group.state.unwrap_or_default())).collect())
    })
}

fn brokers(_typed: &str) -> Vec<(String, String)> {
    asked(async |client| {
        let brokers = client.describe_cluster().await?.brokers;
        Ok(brokers
            .iter()
            .map(|broker| (format!("{}:{}", broker.host, broker.port), format!("broker {}", broker.id)))
            .collect())
    })
}

/// What a broker says at once. Nothing otherwise, and no word of why: a message would land in the line that is typed.
fn asked<T>(question: impl AsyncFnOnce(&mut ClusterClient) -> Result<Vec<T>, ClientError>) -> Vec<T> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let bootstrap = bootstrap_in(&words).unwrap_or_else(default_bootstrap);
    let Ok(settings) = settings(&bootstrap, PATIENCE, "klamm-completion") else { return Vec::new() };
    let Ok(runtime) = runtime() else { return Vec::new() };
    let answer = runtime.block_on(async {
        let answer = async { question(&mut ClusterClient::connect(settings).await?).await };
        tokio::time::timeout(PATIENCE, answer).await
    });
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

/// The brokers that a line names; the word after the last flag may be the one that is typed.
fn bootstrap_in(words: &[OsString]) -> Option<String> {
    let mut words = words.iter().filter_map(|word| word.to_str());
    let mut found = None;
    while let Some(word) = words.next() {
        let flag = word.split_once('=').map_or(word, |(flag, _)| flag);
        if matches!(flag, "-b" | "--bootstrap-server" | "--brokers") {
            let value = word.split_once('=').map(|(_, value)| value).or_else(|| words.next());
            found = value.filter(|value| value.contains(':')).map(str::to_owned).or(found);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asked_broker_is_that_of_the_line() {
        let found = |line: &str| bootstrap_in(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(found("klamm -- klamm topic describe -b h:1 o").as_deref(), Some("h:1"));
        assert_eq!(found("klamm topic list --brokers=a:1,b:2").as_deref(), Some("a:1,b:2"));
        assert_eq!(found("klamm topic describe -b"), None);
    }

    #[test]
    fn every_shell_gets_a_script_that_asks_the_program() {
        for shell in Shell::value_variants() {
            let builtin = Shells::builtins();
            let known = builtin.completer(shell.name()).unwrap();
            let mut script = Vec::new();
            known.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script).unwrap();
            assert!(String::from_utf8(script).unwrap().contains(VARIABLE), "{}", shell.name());
        }
    }
}
