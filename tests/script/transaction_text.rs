//! The effects of the transaction coordinator as text.

use std::collections::BTreeSet;

use klamm::coordinator::transaction::TransactionResponse;
use klamm::coordinator::transaction::request::{DescribedTransaction, ProducerRefusal, WriteMarkers};
use klamm::ids::{ProducerIdAndEpoch, TopicPartition};
use klamm::protocol::ErrorCode;
use klamm::protocol::transaction_records::{TransactionLogValue, TransactionRecord};

use super::group_text::{error_text, seconds_text};

/// None for what nobody waits for.
pub(crate) fn response_text(response: &TransactionResponse) -> Option<String> {
    let text = match response {
        TransactionResponse::InitProducer(result) => format!("init {}", producer_result(*result)),
        TransactionResponse::AddPartitions(partitions) => {
            let text = |(partition, error): &(TopicPartition, Option<ErrorCode>)| {
                format!("{}/{}: {}", partition.topic, partition.partition, error.map_or("ok".into(), error_text))
            };
            format!("partitions {}", partitions.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        TransactionResponse::AddOffsets(result) => {
            format!("offsets {}", result.err().map_or("ok".into(), error_text))
        }
        TransactionResponse::End(result) => format!("end {}", producer_result(*result)),
        TransactionResponse::MarkersWritten => return None,
        TransactionResponse::Describe(Ok(described)) => format!("describe {}", describe_text(described)),
        TransactionResponse::Describe(Err(error)) => format!("describe {}", error_text(*error)),
        TransactionResponse::List(listed) => {
            let text = |id: &klamm::coordinator::transaction::request::ListedTransaction| {
                format!("{} {} {}", id.transactional_id, id.producer_id, id.state.name())
            };
            format!("list [{}]", listed.iter().map(text).collect::<Vec<_>>().join(", "))
        }
    };
    Some(text)
}

fn producer_result(result: Result<ProducerIdAndEpoch, ProducerRefusal>) -> String {
    match result {
        Ok(producer) => producer_text(producer),
        Err(ProducerRefusal::Error(error)) => error_text(error),
        Err(ProducerRefusal::NeedsProducerId) => "needs a producer id".to_owned(),
    }
}

fn producer_text(producer: ProducerIdAndEpoch) -> String {
    format!("{}/{}", producer.producer_id, producer.producer_epoch)
}

fn describe_text(described: &DescribedTransaction) -> String {
    format!(
        "{} {} timeout={}s{} [{}]",
        described.state.name(),
        producer_text(described.producer),
        f64::from(described.timeout_ms) / 1_000.0,
        start_text(described.start_ms),
        partitions_text(&described.partitions.iter().cloned().collect()),
    )
}

fn start_text(start_ms: i64) -> String {
    if start_ms == -1 { String::new() } else { format!(" since={}", seconds_text(start_ms)) }
}

fn partitions_text(partitions: &BTreeSet<TopicPartition>) -> String {
    partitions
        .iter()
        .map(|partition| format!("{}/{}", partition.topic, partition.partition))
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn markers_text(markers: &WriteMarkers) -> String {
    format!(
        "tell leaders {}: {:?} {} coordinator-epoch={} [{}]",
        markers.transactional_id,
        markers.result,
        producer_text(markers.producer),
        markers.coordinator_epoch,
        partitions_text(&markers.partitions.iter().cloned().collect()),
    )
}

pub(crate) fn record_text(record: &TransactionRecord) -> String {
    match &record.value {
        Some(value) => format!("write {}: {}", record.transactional_id, value_text(value)),
        None => format!("forget {}", record.transactional_id),
    }
}

fn value_text(value: &TransactionLogValue) -> String {
    let id = |name, id: i64| if id == -1 { String::new() } else { format!(" {name}={id}") };
    let version = value.client_transaction_version;
    format!(
        "{} {}/{}{}{} timeout={}s updated={}{}{} [{}]",
        value.state.name(),
        value.producer_id,
        value.producer_epoch,
        id("previous", value.previous_producer_id),
        id("next", value.next_producer_id),
        f64::from(value.timeout_ms) / 1_000.0,
        seconds_text(value.last_update_ms),
        start_text(value.start_ms),
        if version == 0 { String::new() } else { format!(" v{version}") },
        partitions_text(&value.partitions),
    )
}
