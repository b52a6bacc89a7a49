//! The options of `kafka-consumer-groups`, and which of them go together (`ConsumerGroupCommandOptions`).

use clap::Parser;

/// This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset consumer group offsets.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kafka's tool")]
pub(super) struct ConsumerGroupOptions {
    /// The server(s) to connect to. REQUIRED for all options except for --validate-regex.
    #[arg(long, value_name = "String: server to connect to")]
    pub(super) bootstrap_server: Option<String>,
    /// The group to act on; can be repeated.
    #[arg(long, value_name = "String: consumer group")]
    pub(super) group: Vec<String>,
    /// A topic, or topic1:0,1,2 for some of its partitions, whose offsets are reset or deleted; can be repeated.
    #[arg(long, value_name = "String: topic")]
    pub(super) topic: Vec<String>,
    /// All topics that the group has committed offsets of.
    #[arg(long)]
    pub(super) all_topics: bool,
    /// List all consumer groups.
    #[arg(long)]
    pub(super) list: bool,
    /// Describe groups and how far they are behind.
    #[arg(long)]
    pub(super) describe: bool,
    /// Apply to all consumer groups.
    #[arg(long)]
    pub(super) all_groups: bool,
    /// Delete whole groups with their offsets.
    #[arg(long)]
    pub(super) delete: bool,
    /// How long to wait for the cluster. (default: 30000)
    #[arg(long, value_name = "Long: timeout (ms)", default_value_t = 30_000, hide_default_value = true)]
    pub(super) timeout: u64,
    /// A file of properties for the client.
    #[arg(long, value_name = "String: command config property file")]
    pub(super) command_config: Option<String>,
    /// Reset offsets of groups without members: with --execute, or only show them with --dry-run (the default) or
    /// --export. Where to is one of --to-datetime, --by-duration, --to-earliest, --to-latest, --shift-by, --from-file,
    /// --to-current, --to-offset; of what, --topic or --all-topics.
    #[arg(long)]
    pub(super) reset_offsets: bool,
    /// Delete offsets of one group for topics.
    #[arg(long)]
    pub(super) delete_offsets: bool,
    /// Only show what would be reset.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do reset.
    #[arg(long)]
    pub(super) execute: bool,
    /// Print the new offsets as CSV.
    #[arg(long)]
    pub(super) export: bool,
    /// Reset to an offset.
    #[arg(long, value_name = "Long: offset", allow_negative_numbers = true)]
    pub(super) to_offset: Option<i64>,
    /// Reset to the offsets in a CSV file.
    #[arg(long, value_name = "String: path to CSV file")]
    pub(super) from_file: Option<String>,
    /// Reset to a time. Format: 'YYYY-MM-DDThh:mm:ss.sss'
    #[arg(long, value_name = "String: datetime")]
    pub(super) to_datetime: Option<String>,
    /// Reset to a time before now, such as PT1H30M.
    #[arg(long, value_name = "String: duration")]
    pub(super) by_duration: Option<String>,
    /// Reset to the earliest offset.
    #[arg(long)]
    pub(super) to_earliest: bool,
    /// Reset to the latest offset.
    #[arg(long)]
    pub(super) to_latest: bool,
    /// Reset to the current offset.
    #[arg(long)]
    pub(super) to_current: bool,
    /// Shift the current offset by n, which may be negative.
    #[arg(long, value_name = "Long: number-of-offsets", allow_negative_numbers = true)]
    pub(super) shift_by: Option<i64>,
    /// Describe the members of the group.
    #[arg(long)]
    pub(super) members: bool,
    /// Describe more.
    #[arg(long)]
    pub(super) verbose: bool,
    /// Describe the partitions of the group with its lag; what --describe does alone.
    #[arg(long)]
    pub(super) offsets: bool,
    /// Describe the state of the group; with --list, print states, or list only the groups in these.
    #[arg(long, value_name = "String", num_args = 0..=1, default_missing_value = "")]
    pub(super) state: Option<String>,
    /// With --list, print types, or list only the groups of these.
    #[arg(long = "type", value_name = "String", num_args = 0..=1, default_missing_value = "")]
    pub(super) group_type: Option<String>,
    /// Say whether a regular expression is valid for RE2.
    #[arg(long, value_name = "String: regex")]
    pub(super) validate_regex: Option<String>,
    /// Passed over, as joptsimple does.
    #[arg(hide = true)]
    rest: Vec<String>,
}

impl ConsumerGroupOptions {
    /// Where offsets are reset to: each option, and whether it is given.
    fn scenarios(&self) -> [(&'static str, bool); 8] {
        [
            ("to-offset", self.to_offset.is_some()),
            ("to-datetime", self.to_datetime.is_some()),
            ("by-duration", self.by_duration.is_some()),
            ("to-earliest", self.to_earliest),
            ("to-latest", self.to_latest),
            ("to-current", self.to_current),
            ("shift-by", self.shift_by.is_some()),
            ("from-file", self.from_file.is_some()),
        ]
    }

    /// What joptsimple says of options that need another one.
    pub(super) fn unavailable(&self) -> Option<String> {
        let told = |name| Some(format!("Option(s) [{name}] are unavailable given other options on the command line"));
        let of_describe = [("members", self.members), ("verbose", self.verbose), ("offsets", self.offsets)];
        match of_describe.into_iter().find(|(_, is_given)| *is_given && !self.describe) {
            Some((name, _)) => told(name),
            None if self.state.is_some() && !self.describe && !self.list => told("state"),
            None if self.group_type.is_some() && !self.list => told("type"),
            None => None,
        }
    }

    /// Refuses options that do not go together, in Kafka's order.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.validate_regex.is_none() && self.bootstrap_server.is_none() {
            return Err("Missing required argument \"[bootstrap-server]\"".to_owned());
        }
        if self.describe {
            self.check_describe()?;
        }
        let has_groups = !self.group.is_empty() || self.all_groups;
        if self.delete && !has_groups {
            return Err("Option [delete] takes one of these options: [all-groups], [group]".to_owned());
        }
        if self.delete && !self.topic.is_empty() {
            let refused = "The consumer does not support topic-specific offset deletion from a consumer group.";
            return Err(refused.to_owned());
        }
        if self.delete_offsets && (self.group.is_empty() || self.topic.is_empty()) {
            return Err("Option [delete-offsets] takes the following options: [topic], [group]".to_owned());
        }
        if self.reset_offsets {
            self.check_reset(has_groups)?;
        }
        let clash = |one, other| Err(format!("Option \"[{one}]\" can't be used with option \"[{other}]\""));
        if !self.group.is_empty() && self.all_groups {
            return clash("group", "all-groups");
        }
        if !self.group.is_empty() && self.list {
            return clash("group", "list");
        }
        if !self.topic.is_empty() && (self.list || self.describe) {
            return clash("topic", if self.list { "list" } else { "describe" });
        }
        self.check_action()
    }

    fn check_describe(&self) -> Result<(), String> {
        if self.group.is_empty() && !self.all_groups {
            return Err("Option [describe] takes one of these options: [all-groups], [group]".to_owned());
        }
        let parts = [self.members, self.offsets, self.state.is_some()];
        if parts.into_iter().filter(|is_given| *is_given).count() > 1 {
            return Err(
                "Option [describe] takes at most one of these options: [members], [offsets], [state]".to_owned()
            );
        }
        match self.state.as_deref() {
            None | Some("") => Ok(()),
            Some(_) => Err("Option [describe] does not take a value for [state]".to_owned()),
        }
    }

    fn check_reset(&self, has_groups: bool) -> Result<(), String> {
        if self.dry_run && self.execute {
            return Err("Option [reset-offsets] only accepts one of [execute] and [dry-run]".to_owned());
        }
        if !self.dry_run && !self.execute {
            eprintln!(
                "WARN: No action will be performed as the --execute option is missing. In a future major release, the \
                 default behavior of this command will be to prompt the user before executing the reset rather than doing \
                 a dry run. You should add the --dry-run option explicitly if you are scripting this command and want to \
                 keep the current default behavior without prompting."
            );
        }
        if !has_groups {
            return Err("Option [reset-offsets] takes one of these options: [all-groups], [group]".to_owned());
        }
        let mut given = self.scenarios().into_iter().filter(|(_, is_given)| *is_given);
        match (given.next(), given.next()) {
            (Some((one, _)), Some((other, _))) => {
                Err(format!("Option \"[{one}]\" can't be used with option \"[{other}]\""))
            }
            _ => Ok(()),
        }
    }

    fn check_action(&self) -> Result<(), String> {
        let actions = [
            ("--list", self.list),
            ("--describe", self.describe),
            ("--delete", self.delete),
            ("--reset-offsets", self.reset_offsets),
            ("--delete-offsets", self.delete_offsets),
            ("--validate-regex", self.validate_regex.is_some()),
        ];
        if actions.into_iter().filter(|(_, is_given)| *is_given).count() == 1 {
            return Ok(());
        }
        let names = actions.map(|(name, _)| name).join(", ");
        Err(format!("Command must include exactly one action: {names}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a command line that makes no sense.
    fn refusal(line: &str) -> String {
        let words = ["tool", "--bootstrap-server", "h:1"].into_iter().chain(line.split(' '));
        let options = ConsumerGroupOptions::try_parse_from(words).expect(line);
        options.unavailable().map_or_else(|| options.check(), Err).expect_err(line)
    }

    #[test]
    fn options_that_do_not_go_together_are_refused_in_kafkas_words() {
        for (line, expected) in [
            ("--describe --list", "Option [describe] takes one of these options: [all-groups], [group]"),
            ("--describe --state stable --group g", "Option [describe] does not take a value for [state]"),
            ("--describe --group g --all-groups", "Option \"[group]\" can't be used with option \"[all-groups]\""),
            ("--list --group g", "Option \"[group]\" can't be used with option \"[list]\""),
            ("--list --members", "Option(s) [members] are unavailable given other options on the command line"),
            ("--delete-offsets --group g", "Option [delete-offsets] takes the following options: [topic], [group]"),
            (
                "--reset-offsets --dry-run --group g --to-latest --to-earliest",
                "Option \"[to-earliest]\" can't be used with option \"[to-latest]\"",
            ),
            (
                "--group g",
                "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, \
                 --delete-offsets, --validate-regex",
            ),
        ] {
            assert_eq!(refusal(line), expected, "{line}");
        }
    }

    #[test]
    fn a_state_may_have_a_value_or_none() {
        let read = |line: &str| {
            let words = ["tool", "--bootstrap-server", "h:1"].into_iter().chain(line.split(' '));
            ConsumerGroupOptions::try_parse_from(words).expect(line)
        };
        assert_eq!(read("--list --state").state.as_deref(), Some(""));
        assert_eq!(read("--list --state Stable,Empty").state.as_deref(), Some("Stable,Empty"));
        let shifted = read("--reset-offsets --execute --group g --shift-by -3 --topic t passed-over");
        assert_eq!((shifted.shift_by, shifted.check()), (Some(-3), Ok(())));
    }
}
