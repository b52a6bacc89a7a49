//! `klamm group reset`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;

use super::super::Failure;
use super::super::connection::ConnectionArguments;
use super::super::output::{OutputFormat, Rows};
use super::super::time::{datetime, duration, now_ms};
use super::failure;
use super::selection::{TopicSelection, partitions};
use crate::client::{ClusterClient, CommittedOffset, GroupDescription, OffsetTarget, PlanError, PlannedOffset};
use crate::ids::TopicPartition;
use crate::protocol::ErrorCode;

/// What `--help` shows.
const EXAMPLES: &str = "\
Examples:
  klamm group reset billing --to-earliest --dry-run
  klamm group reset billing --topic orders:0,1 --to @-1h
  klamm group reset billing --by-duration 2d
  klamm group reset audit --create --topic orders --to start";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ResetGroupArguments {
    /// The group.
    group: String,
    #[command(flatten)]
    target: TargetArguments,
    /// Only this topic, or some of its partitions; can be repeated [default: everything that the group has committed].
    #[arg(long, value_name = "TOPIC[:PARTITION,...]")]
    topic: Vec<TopicSelection>,
    /// Let the group be a new one, which gets its first offsets.
    #[arg(long, requires = "topic")]
    create: bool,
    /// Only print what would be changed.
    #[arg(long)]
    dry_run: bool,
}

/// Where to.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TargetArguments {
    /// To start, end, an offset, or the first record since a time: @2026-02-14T10:00, @-1h, or @ and milliseconds since 1970.
    #[arg(long, value_name = "WHERE")]
    to: Option<ResetPlace>,
    /// To the first record.
    #[arg(long)]
    to_earliest: bool,
    /// To the end.
    #[arg(long)]
    to_latest: bool,
    /// To what the group has committed; to the end where it has not.
    #[arg(long)]
    to_current: bool,
    /// To this offset, or the nearest one that there is.
    #[arg(long, value_name = "N")]
    to_offset: Option<i64>,
    /// To the first record of this time or later, in UTC unless a zone is given.
    #[arg(long, value_name = "YYYY-MM-DDTHH:MM:SS", value_parser = datetime)]
    to_datetime: Option<i64>,
    /// So many offsets forward, or back if N is negative.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To the first record that is not older than this, such as 1h30m, 2d or PT1H30M.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    by_duration: Option<i64>,
}

/// A target as `--to` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ResetPlace(OffsetTarget);

impl FromStr for ResetPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let target = match (text, text.strip_prefix('@')) {
            ("start" | "earliest", _) => OffsetTarget::Earliest,
            ("end" | "latest", _) => OffsetTarget::Latest,
            (_, Some(time)) => OffsetTarget::Timestamp(timestamp(time)?),
            _ => match text.parse() {
                Ok(offset) if offset >= 0 => OffsetTarget::Offset(offset),
                _ => return Err("expected start, end, an offset, or @ and a time, such as @-1h".to_owned()),
            },
        };
        Ok(Self(target))
    }
}

/// A time after `@`: before now, in milliseconds, or a date.
fn timestamp(text: &str) -> Result<i64, String> {
    match (text.strip_prefix('-'), text.parse::<i64>()) {
        (Some(before), _) => Ok(now_ms() - duration(before)?),
        (None, Ok(ms)) => Ok(ms),
        (None, Err(_)) => datetime(text),
    }
}

impl TargetArguments {
    /// The one that is given; clap has seen to it that there is exactly one.
    fn target(&self) -> OffsetTarget {
        let given = [
            self.to.map(|target| target.0),
            self.to_earliest.then_some(OffsetTarget::Earliest),
            self.to_latest.then_some(OffsetTarget::Latest),
            self.to_offset.map(OffsetTarget::Offset),
            self.to_datetime.map(OffsetTarget::Timestamp),
            self.shift_by.map(OffsetTarget::Shift),
            self.by_duration.map(|ago| OffsetTarget::Timestamp(now_ms() - ago)),
        ];
        given.into_iter().flatten().next().unwrap_or(OffsetTarget::Current)
    }
}

pub(super) fn run(
    arguments: &ResetGroupArguments,
    connection: &ConnectionArguments,
    output: OutputFormat,
) -> Result<ExitCode, Failure> {
    let (committed, plan) = connection.run(async |client| {
        check_idle(client, arguments).await?;
        let committed = client.committed_offsets(&arguments.group).await?;
        let partitions = match arguments.topic.as_slice() {
            [] => committed.keys().cloned().collect(),
            topics => partitions(client, topics).await?,
        };
        if partitions.is_empty() {
            let what = format!("group {} has committed nothing", arguments.group);
            return Err(Failure { what, hint: Some("--topic TOPIC says what to set".to_owned()) });
        }
        let plan = client.plan_offsets(&partitions, arguments.target.target(), &committed).await?;
        if !arguments.dry_run {
            execute(client, &arguments.group, &plan).await?;
        }
        Ok((committed, plan))
    })?;
    rows(&committed, &plan).print(output)?;
    for (one, planned) in plan.iter().filter(|(_, planned)| planned.is_too_late) {
        eprintln!("{}:{} has no record that late; {} is its end", one.topic, one.partition, planned.offset);
    }
    if arguments.dry_run {
        eprintln!("Nothing is changed: --dry-run.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a group with members, which would go on from where they are, and one that is not there.
async fn check_idle(client: &mut ClusterClient, arguments: &ResetGroupArguments) -> Result<(), Failure> {
    match client.describe_group(&arguments.group).await {
        Ok(group) if group.members.is_empty() => Ok(()),
        Ok(group) => Err(in_use(&group)),
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) && arguments.create => Ok(()),
        Err(error) => Err(failure(client, &arguments.group, error).await),
    }
}

fn in_use(group: &GroupDescription) -> Failure {
    let members = group.members.iter().map(|member| {
        format!("\n  {} (client {} at {})", member.member_id, member.client_id, member.host.trim_start_matches('/'))
    });
    let what = format!(
        "group {} has members, which would go on from where they are:{}",
        group.group_id,
        members.collect::<String>()
    );
    Failure { what, hint: Some("stop them, and reset again".to_owned()) }
}

async fn execute(
    client: &mut ClusterClient,
    group: &str,
    plan: &BTreeMap<TopicPartition, PlannedOffset>,
) -> Result<(), Failure> {
    let offsets = plan.iter().map(|(one, planned)| (one.clone(), planned.offset)).collect();
    let outcomes = client.alter_offsets(group, &offsets).await?;
    let refused = outcomes.iter().find_map(|(one, outcome)| Some((one, outcome.err()?)));
    match refused {
        None => Ok(()),
        Some((one, code)) => {
            let why = crate::client::KafkaException::of(code).message;
            Err(Failure { what: format!("{}:{} of group {group}: {why}", one.topic, one.partition), hint: None })
        }
    }
}

fn rows(committed: &BTreeMap<TopicPartition, CommittedOffset>, plan: &BTreeMap<TopicPartition, PlannedOffset>) -> Rows {
    let mut rows = Rows::new(&["topic", "partition", "before", "after", "change"]);
    for (one, planned) in plan {
        let before = committed.get(one).map(|committed| committed.offset);
        let change = before.map(|before| planned.offset - before);
        let topic = one.topic.as_ref().into();
        rows.push([topic, one.partition.into(), before.into(), planned.offset.into(), change.into()]);
    }
    rows
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Client(error) => error.into(),
            PlanError::NothingCommitted(_) => {
                Self { what: error.to_string(), hint: Some("--to-earliest or --to-latest".to_owned()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        reset: ResetGroupArguments,
    }

    fn target(line: &str) -> Option<OffsetTarget> {
        let words = ["reset", "g"].into_iter().chain(line.split(' '));
        Some(Line::try_parse_from(words).ok()?.reset.target.target())
    }

    #[test]
    fn a_target_is_spelled_as_by_kafkas_tool_or_as_by_rpk() {
        for (line, expected) in [
            ("--to-earliest", OffsetTarget::Earliest),
            ("--to start", OffsetTarget::Earliest),
            ("--to-latest", OffsetTarget::Latest),
            ("--to end", OffsetTarget::Latest),
            ("--to-current", OffsetTarget::Current),
            ("--to-offset 5", OffsetTarget::Offset(5)),
            ("--to 5", OffsetTarget::Offset(5)),
            ("--shift-by -3", OffsetTarget::Shift(-3)),
            ("--to-datetime 1970-01-02T00:00:00.000", OffsetTarget::Timestamp(86_400_000)),
            ("--to @1970-01-02", OffsetTarget::Timestamp(86_400_000)),
            ("--to @1700000000000", OffsetTarget::Timestamp(1_700_000_000_000)),
        ] {
            assert_eq!(target(line), Some(expected), "{line}");
        }
        let ago = |line| match target(line) {
            Some(OffsetTarget::Timestamp(at)) => now_ms() - at,
            other => panic!("{line}: {other:?}"),
        };
        assert!((3_600_000..3_660_000).contains(&ago("--to @-1h")));
        assert!((3_600_000..3_660_000).contains(&ago("--by-duration PT1H")));
    }

    #[test]
    fn there_is_exactly_one_target() {
        for line in ["--dry-run", "--to-earliest --to-latest", "--to beginning", "--to -5", "--to-earliest --create"] {
            assert_eq!(target(line), None, "{line}");
        }
    }
}
