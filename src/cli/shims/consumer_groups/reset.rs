//! `--reset-offsets`.

use std::collections::{BTreeMap, HashMap};

use super::super::super::group::selection::{TopicSelection, partitions};
use super::super::super::print::print;
use super::super::super::time::{datetime, duration, now_ms};
use super::options::ConsumerGroupOptions;
use super::{GroupFailure, chosen, print_error};
use crate::client::{ClientError, ClusterClient, CommittedOffset, OffsetTarget, PlanError, PlannedOffset};
use crate::ids::TopicPartition;
use crate::protocol::ErrorCode;

/// The new offsets of a group.
type Plan = BTreeMap<TopicPartition, PlannedOffset>;

pub(super) async fn run(client: &mut ClusterClient, options: &ConsumerGroupOptions) -> Result<(), GroupFailure> {
    let mut plans = Vec::new();
    for group_id in chosen(client, options).await? {
        let plan = reset(client, options, &group_id).await?;
        plans.push((group_id, plan));
    }
    print(&if options.export { csv(&plans, options.group.len() == 1) } else { table(&plans) });
    Ok(())
}

async fn reset(
    client: &mut ClusterClient,
    options: &ConsumerGroupOptions,
    group_id: &str,
) -> Result<Plan, GroupFailure> {
    let state = match client.describe_group(group_id).await {
        Ok(group) => group.state,
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => "Dead".to_owned(),
        Err(error) => return Err(GroupFailure::wrapped(&error)),
    };
    if !matches!(state.as_str(), "Empty" | "Dead") {
        let inactive = format!("Assignments can only be reset if the group '{group_id}' is inactive");
        print_error(&format!("{inactive}, but the current state is {state}."));
        return Ok(Plan::new());
    }
    let plan = planned(client, options, group_id).await?;
    if options.execute && !plan.is_empty() {
        let offsets = plan.iter().map(|(one, planned)| (one.clone(), planned.offset)).collect();
        let outcomes = client.alter_offsets(group_id, &offsets).await.map_err(|error| GroupFailure::plain(&error))?;
        let refused: Vec<_> = outcomes
            .iter()
            .filter(|(_, outcome)| outcome.is_err())
            .map(|(one, _)| format!("{}-{}", one.topic, one.partition))
            .collect();
        if !refused.is_empty() {
            let refused = refused.join(", ");
            return Err(GroupFailure::Told(format!(
                "Failed altering group offsets for the following partitions: [{refused}]"
            )));
        }
    }
    Ok(plan)
}

async fn planned(
    client: &mut ClusterClient,
    options: &ConsumerGroupOptions,
    group_id: &str,
) -> Result<Plan, GroupFailure> {
    let committed = client.committed_offsets(group_id).await.map_err(|error| GroupFailure::wrapped(&error))?;
    let meant = meant(client, options, &committed).await?;
    if let Some(file) = &options.from_file {
        return from_file(client, options, file, group_id).await;
    }
    let plan = client.plan_offsets(&meant, target(options)?, &committed).await.map_err(|error| match error {
        PlanError::Client(error) => GroupFailure::plain(&error),
        PlanError::NothingCommitted(_) => GroupFailure::Usage(error.to_string()),
    })?;
    for (one, _) in plan.iter().filter(|(_, planned)| planned.is_too_late) {
        let (partition, topic) = (one.partition, &one.topic);
        print(&format!(
            "\nWarn: Partition {partition} from topic {topic} is empty. Falling back to latest known offset.\n"
        ));
    }
    Ok(plan)
}

/// The partitions that are meant, whatever is done with them.
async fn meant(
    client: &mut ClusterClient,
    options: &ConsumerGroupOptions,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<Vec<TopicPartition>, GroupFailure> {
    if options.all_topics {
        return Ok(committed.keys().cloned().collect());
    }
    if options.topic.is_empty() && options.from_file.is_none() {
        let told = "One of the reset scopes should be defined: --all-topics, --topic.";
        return Err(GroupFailure::Usage(told.to_owned()));
    }
    let selections: Vec<TopicSelection> =
        options.topic.iter().map(|topic| topic.parse()).collect::<Result<_, _>>().map_err(GroupFailure::Usage)?;
    partitions(client, &selections).await.map_err(|error| GroupFailure::plain(&error))
}

fn target(options: &ConsumerGroupOptions) -> Result<OffsetTarget, GroupFailure> {
    if let Some(offset) = options.to_offset {
        return Ok(OffsetTarget::Offset(offset));
    }
    if let Some(by) = options.shift_by {
        return Ok(OffsetTarget::Shift(by));
    }
    if let Some(text) = &options.to_datetime {
        let unparseable = format!("java.text.ParseException: Unparseable date: \"{text}\"");
        return datetime(text).map(OffsetTarget::Timestamp).map_err(|_| GroupFailure::Told(unparseable));
    }
    if let Some(text) = &options.by_duration {
        let told = "Text cannot be parsed to a Duration".to_owned();
        let ago = duration(text).map_err(|_| GroupFailure::Told(told))?;
        return Ok(OffsetTarget::Timestamp(now_ms() - ago));
    }
    let flags = [
        (options.to_earliest, OffsetTarget::Earliest),
        (options.to_latest, OffsetTarget::Latest),
        (options.to_current, OffsetTarget::Current),
    ];
    flags.into_iter().find(|(is_given, _)| *is_given).map(|(_, target)| target).ok_or_else(|| {
        GroupFailure::Usage(
            "Option '[reset-offsets]' requires one of the following scenarios: [[to-offset], [from-file], \
             [to-datetime], [by-duration], [to-earliest], [to-latest], [to-current], [shift-by]]"
                .to_owned(),
        )
    })
}

/// The offsets that a file has for a group: `topic,partition,offset`, or with the group before them.
async fn from_file(
    client: &mut ClusterClient,
    options: &ConsumerGroupOptions,
    file: &str,
    group_id: &str,
) -> Result<Plan, GroupFailure> {
    let unreadable = || {
        let message = format!("java.io.IOException: Unable to read file {file}");
        GroupFailure::Thrown { exception: format!("java.lang.RuntimeException: {message}"), message }
    };
    let text = std::fs::read_to_string(file).map_err(|_| unreadable())?;
    let plans = read_csv(&text, &options.group).map_err(GroupFailure::Told)?;
    let Some(wanted) = plans.get(group_id) else {
        print_error(&format!("No reset plan for group {group_id} found."));
        return Ok(Plan::new());
    };
    client.plan_given_offsets(wanted.clone()).await.map_err(|error: ClientError| GroupFailure::wrapped(&error))
}

/// The offsets of each group in a file. Without a column for the group they are those of the only one in `groups`.
fn read_csv(text: &str, groups: &[String]) -> Result<HashMap<String, HashMap<TopicPartition, i64>>, String> {
    let mut plans: HashMap<String, HashMap<TopicPartition, i64>> = HashMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(|cell| cell.trim().trim_matches('"')).collect();
        let (group, topic, partition, offset) = match (cells.as_slice(), groups) {
            ([topic, partition, offset], [group]) => (group.as_str(), topic, partition, offset),
            ([group, topic, partition, offset], _) => (*group, topic, partition, offset),
            _ => return Err(format!("no topic, partition and offset are in the line \"{line}\"")),
        };
        let number = |text: &str| text.parse::<i64>().map_err(|_| format!("\"{text}\" is no number in \"{line}\""));
        let index = i32::try_from(number(partition)?).map_err(|_| format!("\"{partition}\" is no partition"))?;
        plans.entry(group.to_owned()).or_default().insert(TopicPartition::new(*topic, index), number(offset)?);
    }
    Ok(plans)
}

fn csv(plans: &[(String, Plan)], is_single: bool) -> String {
    let lines = plans.iter().flat_map(|(group, plan)| {
        let group = if is_single { String::new() } else { format!("{group},") };
        plan.iter().map(move |(one, planned)| format!("{group}{},{},{}\n", one.topic, one.partition, planned.offset))
    });
    lines.chain(std::iter::once("\n".to_owned())).collect()
}

fn table(plans: &[(String, Plan)]) -> String {
    if plans.is_empty() {
        return "\n".to_owned();
    }
    let group_width = plans.iter().map(|(group, _)| group.len()).fold(15, usize::max);
    let topics = plans.iter().flat_map(|(_, plan)| plan.keys());
    let topic_width = topics.map(|one| one.topic.len()).fold(15, usize::max);
    let row = |group: &str, topic: &str, partition: &str, offset: &str| {
        format!("\n{group:group_width$} {topic:topic_width$} {partition:10} {offset}")
    };
    let mut text = row("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
    for (group, plan) in plans {
        for (one, planned) in plan {
            text += &row(group, &one.topic, &one.partition.to_string(), &planned.offset.to_string());
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_printed_and_read_as_csv() {
        let t0 = TopicPartition::new("t", 0);
        let plan = Plan::from([(t0.clone(), PlannedOffset { offset: 5, is_too_late: false })]);
        let plans = [("g".to_owned(), plan)];
        assert_eq!(csv(&plans, true), "t,0,5\n\n");
        assert_eq!(csv(&plans, false), "g,t,0,5\n\n");
        let expected = HashMap::from([("g".to_owned(), HashMap::from([(t0, 5)]))]);
        assert_eq!(read_csv("t,0,5\n", &["g".to_owned()]), Ok(expected.clone()));
        assert_eq!(read_csv("g,t,0,5\n\n", &["x".to_owned(), "g".to_owned()]), Ok(expected));
        assert!(read_csv("t,0,5\n", &[]).is_err() && read_csv("t,x,5\n", &["g".to_owned()]).is_err());
    }

    #[test]
    fn a_plan_is_a_table_with_wide_columns() {
        let expected = format!("\n{:15} {:15} {:10} NEW-OFFSET\n", "GROUP", "TOPIC", "PARTITION");
        assert_eq!(table(&[("g".to_owned(), Plan::new())]), expected);
        assert_eq!(table(&[]), "\n");
    }
}
