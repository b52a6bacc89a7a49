//! `--delete` and `--delete-offsets`.

use std::collections::BTreeMap;

use super::super::super::group::selection::TopicSelection;
use super::super::super::print::print;
use super::options::ConsumerGroupOptions;
use super::{GroupFailure, chosen, print_error};
use crate::client::{ClientError, ClusterClient, KafkaException};
use crate::ids::TopicPartition;
use crate::protocol::ErrorCode;

/// In place of a partition, where a topic is not known.
const NO_PARTITION: i32 = -1;

pub(super) async fn groups(client: &mut ClusterClient, options: &ConsumerGroupOptions) -> Result<(), GroupFailure> {
    let (mut deleted, mut kept) = (Vec::new(), Vec::new());
    for group_id in chosen(client, options).await? {
        match client.delete_group(&group_id).await {
            Ok(()) => deleted.push(format!("'{group_id}'")),
            Err(error) => {
                let why = error.as_exception();
                kept.push(format!("* Group '{group_id}' could not be deleted due to: {why}\n"));
            }
        }
    }
    let deleted = deleted.join(", ");
    if kept.is_empty() {
        print(&format!("Deletion of requested consumer groups ({deleted}) was successful.\n"));
        return Ok(());
    }
    print_error("Deletion of some consumer groups failed:");
    print(&kept.concat());
    if !deleted.is_empty() {
        print(&format!("\nThese consumer groups were deleted successfully: {deleted}\n"));
    }
    Ok(())
}

pub(super) async fn offsets(client: &mut ClusterClient, options: &ConsumerGroupOptions) -> Result<(), GroupFailure> {
    let group_id = options.group.last().map(String::as_str).unwrap_or_default();
    let mut outcomes: BTreeMap<TopicPartition, Option<String>> = BTreeMap::new();
    let mut partitions = Vec::new();
    for topic in &options.topic {
        let selection: TopicSelection = topic.parse().map_err(GroupFailure::Usage)?;
        partitions.extend(selection.named());
        let Some(topic) = selection.whole() else { continue };
        match client.all_partitions(std::slice::from_ref(&topic)).await {
            Ok(all) => partitions.extend(all),
            Err(error) => drop(outcomes.insert(TopicPartition::new(topic, NO_PARTITION), Some(error.as_exception()))),
        }
    }
    partitions.sort();
    partitions.dedup();
    let top = match client.delete_offsets(group_id, &partitions).await {
        Ok(deleted) => {
            let mut first = None;
            for (one, outcome) in deleted {
                let error = outcome.err().map(|code| ClientError::Refused { code, message: None });
                first = first.or_else(|| error.as_ref().and_then(ClientError::code));
                outcomes.insert(one, error.map(|error| error.as_exception()));
            }
            first
        }
        Err(error) => {
            outcomes.extend(partitions.into_iter().map(|one| (one, Some(error.as_exception()))));
            Some(error.code().unwrap_or(ErrorCode::UnknownServerError))
        }
    };
    print_summary(group_id, top);
    print(&table(&outcomes));
    Ok(())
}

fn print_summary(group_id: &str, error: Option<ErrorCode>) {
    match error {
        None => print(&format!("Request succeeded for deleting offsets from group {group_id}.\n")),
        Some(
            code @ (ErrorCode::InvalidGroupId
            | ErrorCode::GroupIdNotFound
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::NonEmptyGroup),
        ) => print_error(KafkaException::of(code).message),
        Some(
            ErrorCode::GroupSubscribedToTopic
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::UnknownTopicOrPartition,
        ) => print_error("Encountered some partition-level error, see the follow-up details."),
        Some(code) => print_error(&format!("Encountered some unknown error: {code}")),
    }
}

fn table(outcomes: &BTreeMap<TopicPartition, Option<String>>) -> String {
    let widest = outcomes.keys().map(|one| one.topic.len()).fold(15, usize::max);
    let row = |topic: &str, partition: &str, status: &str| format!("\n{topic:widest$} {partition:10} {status:15}");
    let mut rows: Vec<_> = outcomes.iter().collect();
    rows.sort_by_key(|(one, _)| format!("{}{}", one.topic, one.partition));
    let mut text = row("TOPIC", "PARTITION", "STATUS");
    for (one, error) in rows {
        let partition = if one.partition < 0 { "-".to_owned() } else { one.partition.to_string() };
        let status = error.as_ref().map_or_else(|| "Successful".to_owned(), |error| format!("Error: {error}"));
        text += &row(&one.topic, &partition, &status);
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_its_outcome() {
        let one = |partition| TopicPartition::new("t", partition);
        let outcomes = BTreeMap::from([(one(0), None), (one(NO_PARTITION), Some("why".to_owned()))]);
        let expected = format!("\n{:15} {:10} {:15}\n", "TOPIC", "PARTITION", "STATUS")
            + &format!("{:15} {:10} {:15}\n{:15} {:10} {:15}\n", "t", "-", "Error: why", "t", "0", "Successful");
        assert_eq!(table(&outcomes), expected);
    }
}
