//! `--describe`: partitions with their lag, members, or the state.

use super::super::super::print::print;
use super::options::ConsumerGroupOptions;
use super::{GroupFailure, chosen, print_error};
use crate::client::{ClusterClient, GroupDescription, GroupMember, GroupPartition};
use crate::ids::TopicPartition;

pub(super) async fn run(client: &mut ClusterClient, options: &ConsumerGroupOptions) -> Result<(), GroupFailure> {
    let mut groups = Vec::new();
    for group_id in chosen(client, options).await? {
        groups.push(described(client, &group_id).await?);
    }
    groups.sort_by(|one, other| one.group_id.cmp(&other.group_id));
    groups.dedup_by(|one, other| one.group_id == other.group_id);
    if options.state.is_some() {
        return groups.iter().try_for_each(|group| print_state(group, options.verbose));
    }
    if options.members {
        return groups.iter().try_for_each(|group| print_members(group, options.verbose));
    }
    let mut rows = Vec::new();
    for group in &groups {
        rows.push(client.group_partitions(group).await.map_err(|error| GroupFailure::wrapped(&error))?);
    }
    groups.iter().zip(rows).try_for_each(|(group, rows)| print_offsets(group, &rows, options.verbose))
}

async fn described(client: &mut ClusterClient, group_id: &str) -> Result<GroupDescription, GroupFailure> {
    let group = client.describe_group(group_id).await.map_err(|error| GroupFailure::caused(&error))?;
    if !matches!(group.protocol_type.as_str(), "" | "consumer") {
        let kind = &group.protocol_type;
        let told = format!("java.lang.IllegalArgumentException: GroupId {group_id} is not a consumer group ({kind}).");
        return Err(GroupFailure::Told(told));
    }
    Ok(group)
}

/// Says what is to be said of a group's state, and whether there is anything to print.
fn has_news(group: &GroupDescription, rows: usize) -> Result<bool, GroupFailure> {
    let id = &group.group_id;
    match group.state.as_str() {
        "Dead" => print_error(&format!("Consumer group '{id}' does not exist.")),
        "Empty" => eprintln!("\nConsumer group '{id}' has no active members."),
        "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
            eprintln!("\nWarning: Consumer group '{id}' is rebalancing.");
        }
        "Stable" => {}
        other => {
            return Err(GroupFailure::Told(format!("Expected a valid consumer group state, but found '{other}'.")));
        }
    }
    Ok(group.state != "Dead" && rows > 0)
}

/// A value that may be missing.
fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Cells in columns: each but the last as wide as its widest, and at least as wide as `least` says.
fn columns(rows: &[Vec<String>], least: &[usize]) -> String {
    let widths: Vec<usize> = least
        .iter()
        .enumerate()
        .map(|(column, least)| {
            rows.iter().skip(1).filter_map(|row| Some(row.get(column)?.chars().count())).fold(*least, usize::max)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().enumerate().map(|(column, cell)| match widths.get(column) {
            Some(width) => format!("{cell:width$} "),
            None => cell.clone(),
        });
        padded.collect::<String>()
    };
    rows.iter().fold(String::new(), |text, row| text + "\n" + &line(row)) + "\n"
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn print_offsets(group: &GroupDescription, rows: &[GroupPartition], is_verbose: bool) -> Result<(), GroupFailure> {
    if !has_news(group, rows.len())? {
        return Ok(());
    }
    let mut lines = vec![header(&[
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ])];
    for row in rows {
        let member = row.member.and_then(|member| group.members.get(member));
        let committed = row.committed.as_ref();
        let mut line = vec![
            group.group_id.clone(),
            row.partition.topic.to_string(),
            row.partition.partition.to_string(),
            shown(committed.map(|committed| committed.offset)),
            shown(row.end),
            shown(row.lag()),
            shown(member.map(|member| &member.member_id)),
            shown(member.map(|member| &member.host)),
            shown(member.map(|member| &member.client_id)),
        ];
        if is_verbose {
            line.insert(3, shown(committed.and_then(|committed| committed.leader_epoch)));
        }
        lines.push(line);
    }
    let mut least = vec![15, 15, 10, 15, 15, 15, 15, 15];
    if is_verbose {
        least.insert(3, 15);
        for line in lines.iter_mut().take(1) {
            line.insert(3, "LEADER-EPOCH".to_owned());
        }
    }
    print(&columns(&lines, &least));
    Ok(())
}

fn print_members(group: &GroupDescription, is_verbose: bool) -> Result<(), GroupFailure> {
    has_news(group, group.members.len())?;
    let members = &group.members;
    let has_instances = members.iter().any(|member| member.instance_id.is_some());
    let is_upgraded = |wanted| members.iter().any(|member| member.is_upgraded == Some(wanted));
    let is_migrating = is_upgraded(true) && is_upgraded(false);
    let mut names = vec!["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"];
    let mut least = vec![15, 15, 15, 15, 15];
    if has_instances {
        names.insert(2, "GROUP-INSTANCE-ID");
        least.insert(2, 17);
    }
    if is_verbose {
        names.extend(["CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT"]);
        least.extend([15, 20, 15, 20]);
        names.extend(is_migrating.then_some("UPGRADED"));
    }
    let mut lines = vec![header(&names)];
    for member in members {
        let mut line = vec![
            group.group_id.clone(),
            member.member_id.clone(),
            member.host.clone(),
            member.client_id.clone(),
            member.assignment.len().to_string(),
        ];
        if has_instances {
            line.insert(2, member.instance_id.clone().unwrap_or_default());
        }
        if is_verbose {
            line.extend(assignments(group, member));
            line.extend(is_migrating.then(|| shown(member.is_upgraded)));
        }
        lines.push(line);
    }
    print(&columns(&lines, &least));
    Ok(())
}

/// What a member has and shall have, each with its epoch.
fn assignments(group: &GroupDescription, member: &GroupMember) -> [String; 4] {
    let target = member.target.as_ref();
    [
        shown(target.map(|(epoch, _)| epoch)),
        partitions(&member.assignment),
        shown(group.epochs.map(|(_, assignment)| assignment)),
        partitions(target.map_or(&[][..], |(_, partitions)| partitions)),
    ]
}

/// Partitions as `topic:0,1;topic2:0`.
fn partitions(partitions: &[TopicPartition]) -> String {
    let mut sorted: Vec<_> = partitions.iter().collect();
    sorted.sort();
    let topics = sorted.chunk_by(|one, other| one.topic == other.topic).filter_map(|topic| {
        let indexes: Vec<_> = topic.iter().map(|one| one.partition.to_string()).collect();
        Some(format!("{}:{}", topic.first()?.topic, indexes.join(",")))
    });
    let topics: Vec<_> = topics.collect();
    if topics.is_empty() { "-".to_owned() } else { topics.join(";") }
}

fn print_state(group: &GroupDescription, is_verbose: bool) -> Result<(), GroupFailure> {
    if !has_news(group, 1)? {
        return Ok(());
    }
    let coordinator = &group.coordinator_address;
    let coordinator = format!("{}:{}  ({})", coordinator.host, coordinator.port, group.coordinator);
    let assignor = Some(&group.assignor).filter(|name| !name.is_empty());
    let mut names = vec!["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE"];
    let mut line = vec![group.group_id.clone(), coordinator, shown(assignor), group.state.clone()];
    let mut least = vec![15, 25, 20, 20];
    if is_verbose {
        names.extend(["GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH"]);
        let (group_epoch, assignment_epoch) = group.epochs.unzip();
        line.extend([shown(group_epoch), shown(assignment_epoch)]);
        least.extend([15, 25]);
    }
    names.push("#MEMBERS");
    line.push(group.members.len().to_string());
    print(&columns(&[header(&names), line], &least));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_but_the_last() {
        let rows = [header(&["A-LONG-HEADER", "B", "C"]), header(&["x", "yyyy", "z"])];
        assert_eq!(columns(&rows, &[3, 2]), "\nA-LONG-HEADER B    C\nx   yyyy z\n");
    }

    #[test]
    fn partitions_are_told_by_topic() {
        let some = [("b", 1), ("a", 10), ("a", 9)].map(|(topic, index)| TopicPartition::new(topic, index));
        assert_eq!(partitions(&some), "a:9,10;b:1");
        assert_eq!(partitions(&[]), "-");
    }
}
