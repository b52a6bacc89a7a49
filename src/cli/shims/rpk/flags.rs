//! The command line of `rpk`.

/// The words of a command, and its flags in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Flags {
    /// What is no flag.
    pub(super) words: Vec<String>,
    given: Vec<(String, String)>,
}

impl Flags {
    /// Takes flags as `--flag value`, `--flag=value` and `--flag`. Which of them rpk has is not known here, since it hands
    /// those that it does not have on to Redpanda.
    pub(super) fn read(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut flags = Self::default();
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let name = argument.trim_start_matches('-');
            if name.len() == argument.len() {
                flags.words.push(argument);
            } else if let Some((name, value)) = name.split_once('=') {
                flags.given.push((name.to_owned(), value.to_owned()));
            } else {
                let value = arguments.next_if(|next| !next.starts_with('-'));
                flags.given.push((name.to_owned(), value.unwrap_or_default()));
            }
        }
        flags
    }

    /// Every value of a flag.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.given.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a flag that was given last.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_in_all_their_spellings() {
        let line = "redpanda start --check=false --smp 1 --overprovisioned --set a.b=c --set d=e -X brokers=h:1";
        let flags = Flags::read(line.split(' ').map(str::to_owned));
        assert_eq!(flags.words, ["redpanda", "start"]);
        assert_eq!(flags.all("set"), ["a.b=c", "d=e"]);
        assert_eq!(
            (flags.last("check"), flags.last("smp"), flags.last("overprovisioned")),
            (Some("false"), Some("1"), Some(""))
        );
        assert_eq!((flags.last("X"), flags.last("memory")), (Some("brokers=h:1"), None));
    }
}
