//! What the group coordinator's scripts print: records, replies, and the words they are made of.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use klamm::coordinator::group::response::{DescribedGroup, JoinResponse, PartitionErrors};
use klamm::coordinator::group::{GroupRecord, GroupResponse};
use klamm::protocol::ErrorCode;
use klamm::protocol::control_records::EndTransactionMarker;
use klamm::protocol::coordinator_records::{CoordinatorRecord, GroupMetadataValue, OffsetCommitValue};

/// When every script begins, in milliseconds since the Unix epoch.
pub(crate) const START_MS: i64 = 1_000_000;

pub(crate) fn response_text(response: &GroupResponse) -> String {
    match response {
        GroupResponse::Join(response) => join_text(response),
        GroupResponse::Sync(Err(error)) => format!("sync {}", error_text(*error)),
        GroupResponse::Sync(Ok(response)) => {
            let text = String::from_utf8_lossy(&response.assignment);
            format!(
                "sync {}/{} {text:?}",
                optional(response.protocol_type.as_ref()),
                optional(response.protocol_name.as_ref())
            )
        }
        GroupResponse::Heartbeat(result) => format!("heartbeat {}", result_text(*result)),
        GroupResponse::Leave(members) => {
            let each = members.iter().map(|(member, error)| {
                let name = member.group_instance_id.as_ref().unwrap_or(&member.member_id);
                format!(" {name:?}: {}", error.map_or("ok".to_owned(), error_text))
            });
            format!("leave{}", each.collect::<String>())
        }
        GroupResponse::CommitOffsets(result) => format!("commit{}", partition_errors(result)),
        GroupResponse::CommitTransactionalOffsets(result) => format!("txn-commit{}", partition_errors(result)),
        GroupResponse::CompleteTransaction(()) => "end: ok".to_owned(),
        GroupResponse::DeleteOffsets(result) => format!("delete-offsets{}", partition_errors(result)),
        GroupResponse::FetchOffsets(topics) => {
            let each = topics.iter().flat_map(|(topic, offsets)| offsets.iter().map(move |offset| (topic, offset)));
            let text = each.map(|(topic, at)| {
                if at.is_unstable {
                    return format!(" {topic}/{} is unstable", at.partition);
                }
                format!(" {topic}/{}={} epoch={} {:?}", at.partition, at.offset, at.leader_epoch, at.metadata)
            });
            format!("fetch{}", text.collect::<String>())
        }
        GroupResponse::Describe(None) => "describe: there is no such group".to_owned(),
        GroupResponse::Describe(Some(group)) => describe_text(group),
        GroupResponse::List(groups) => {
            let each = groups.iter().map(|group| {
                format!(" {} ({}, {:?}, {})", group.group_id, group.state, group.protocol_type, group.group_type)
            });
            format!("list{}", each.collect::<String>())
        }
        GroupResponse::Delete(result) => format!("delete {}", result_text(*result)),
        GroupResponse::TopicsDeleted => "topics-deleted".to_owned(),
    }
}

fn join_text(response: &JoinResponse) -> String {
    if let Some(error) = response.error {
        return format!("join {} member={:?}", error_text(error), response.member_id);
    }
    let members = response.members.iter().map(|member| {
        let instance = member.group_instance_id.as_ref().map(|id| format!("({id})")).unwrap_or_default();
        format!(" {}{instance}:{}", member.member_id, topics_text(&member.metadata))
    });
    format!(
        "join generation={} {}/{} member={} leader={}{}{}",
        response.generation_id,
        optional(response.protocol_type.as_ref()),
        optional(response.protocol_name.as_ref()),
        response.member_id,
        response.leader,
        if response.skip_assignment { " skip-assignment" } else { "" },
        members.collect::<String>()
    )
}

fn describe_text(group: &DescribedGroup) -> String {
    let members = group.members.iter().map(|member| {
        let instance = member.group_instance_id.as_ref().map(|id| format!("({id})")).unwrap_or_default();
        let assignment = String::from_utf8_lossy(&member.assignment);
        format!(" {}{instance}:{}={assignment:?}", member.member_id, topics_text(&member.metadata))
    });
    let protocols = format!("{:?}/{:?}", group.protocol_type, group.protocol_name);
    format!("describe {} {protocols}{}", group.state, members.collect::<String>())
}

pub(crate) fn record_text(record: &GroupRecord) -> String {
    match record {
        GroupRecord::Plain(record) => plain_text(record),
        GroupRecord::Transactional { producer, record } => {
            format!("{} in {}/{}", plain_text(record), producer.producer_id, producer.producer_epoch)
        }
        GroupRecord::TransactionEnded { producer, marker } => {
            let EndTransactionMarker { result, coordinator_epoch } = marker;
            let (id, epoch) = (producer.producer_id, producer.producer_epoch);
            format!("write marker {id}/{epoch}: {result:?} by {coordinator_epoch}")
        }
    }
}

fn plain_text(record: &CoordinatorRecord) -> String {
    match record {
        CoordinatorRecord::OffsetCommit { key, value } => {
            let value = value.as_ref().map_or("tombstone".to_owned(), committed_text);
            format!("write offset {} {}/{}: {value}", key.group, key.topic, key.partition)
        }
        CoordinatorRecord::GroupMetadata { key, value } => {
            format!("write group {}: {}", key.group, value.as_ref().map_or("tombstone".to_owned(), generation_text))
        }
    }
}

fn committed_text(value: &OffsetCommitValue) -> String {
    let expires = value.expire_timestamp_ms.map(|at| format!(" expires={}", seconds_text(at))).unwrap_or_default();
    let at = seconds_text(value.commit_timestamp_ms);
    format!("{} epoch={} {:?} at={at}{expires}", value.offset, value.leader_epoch, value.metadata)
}

fn generation_text(value: &GroupMetadataValue) -> String {
    let members = value.members.iter().map(|member| {
        let instance = member.group_instance_id.as_ref().map(|id| format!("({id})")).unwrap_or_default();
        let assignment = String::from_utf8_lossy(&member.assignment);
        format!(" {}{instance}:{}={assignment:?}", member.member_id, topics_text(&member.subscription))
    });
    format!(
        "generation={} {:?}/{} leader={} since={}{}",
        value.generation,
        value.protocol_type,
        optional(value.protocol.as_ref()),
        optional(value.leader.as_ref()),
        seconds_text(value.current_state_timestamp_ms),
        members.collect::<String>()
    )
}

fn partition_errors(result: &Result<PartitionErrors, ErrorCode>) -> String {
    match result {
        Err(error) => format!(" {}", error_text(*error)),
        Ok(topics) => {
            let each = topics.iter().flat_map(|(topic, errors)| errors.iter().map(move |error| (topic, error)));
            let text = each.map(|(topic, (partition, error))| {
                format!(" {topic}/{partition}: {}", error.map_or("ok".to_owned(), error_text))
            });
            text.collect()
        }
    }
}

fn result_text(result: Result<(), ErrorCode>) -> String {
    result.map_or_else(error_text, |()| "ok".to_owned())
}

/// Kafka's name of the error, and its number.
pub(crate) fn error_text(error: ErrorCode) -> String {
    let mut name = String::new();
    for letter in format!("{error:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    format!("{name}({})", error.code())
}

/// The topics of a subscription as the scripts make it.
fn topics_text(metadata: &Bytes) -> String {
    let mut rest = metadata.clone();
    if rest.len() < 6 {
        return "-".to_owned();
    }
    rest.advance(2);
    let topics = (0..rest.get_i32()).map(|_| {
        let length = rest.get_i16() as usize;
        String::from_utf8(rest.split_to(length).to_vec()).unwrap()
    });
    format!("[{}]", topics.collect::<Vec<_>>().join(","))
}

fn optional(value: Option<&Arc<str>>) -> &str {
    value.map_or("-", |text| text)
}

/// A time of the wall clock as the seconds since the script began.
pub(crate) fn seconds_text(timestamp_ms: i64) -> String {
    format!("{}s", (timestamp_ms - START_MS) as f64 / 1_000.0)
}
