//! The controller's records, told in lines.

use klamm::metadata::{
    BrokerRecord, ClusterRecord, ConfigRecord, FeatureRecord, MetadataRecord, PartitionChange, ProducerIdsRecord,
    QuotaRecord, ScramRecord, TopicRecord,
};

use super::controller::tell_state;

pub(super) fn tell_record(record: &MetadataRecord) -> String {
    match record {
        MetadataRecord::Cluster(ClusterRecord::ClusterId(id)) => format!("ClusterId {id}"),
        MetadataRecord::Features(FeatureRecord::FeatureLevel { name, level }) => {
            format!("FeatureLevel {name}={level}")
        }
        MetadataRecord::Brokers(record) => tell_broker_record(record),
        MetadataRecord::Topics(record) => tell_topic_record(record),
        MetadataRecord::Configs(ConfigRecord::Config { resource, key, value }) => {
            format!("Config {resource:?} {key}={}", value.as_deref().unwrap_or("(removed)"))
        }
        MetadataRecord::Quotas(QuotaRecord::ClientQuota { entity, key, value }) => {
            let entity: Vec<_> =
                entity.parts().map(|(kind, name)| format!("{kind}:{}", name.name().unwrap_or("-"))).collect();
            let value = value.map_or("(removed)".to_owned(), |value| value.get().to_string());
            format!("ClientQuota {} {}={value}", entity.join(" "), key.name())
        }
        MetadataRecord::ScramCredentials(ScramRecord::UserScramCredential { user, mechanism, credential }) => {
            format!("UserScramCredential {user} {mechanism:?} iterations={}", credential.iterations)
        }
        MetadataRecord::ScramCredentials(ScramRecord::RemoveUserScramCredential { user, mechanism }) => {
            format!("RemoveUserScramCredential {user} {mechanism:?}")
        }
        MetadataRecord::ProducerIds(ProducerIdsRecord::ProducerIds { broker_id, broker_epoch, next_producer_id }) => {
            format!("ProducerIds broker={broker_id} epoch={broker_epoch} next={next_producer_id}")
        }
    }
}

fn tell_broker_record(record: &BrokerRecord) -> String {
    match record {
        BrokerRecord::RegisterBroker(broker) => {
            format!(
                "RegisterBroker {} epoch={} rack={:?} fenced={}",
                broker.id, broker.epoch, broker.rack, broker.fenced
            )
        }
        BrokerRecord::BrokerChange { id, epoch, fenced, in_controlled_shutdown } => {
            let stopping = if *in_controlled_shutdown { " in controlled shutdown" } else { "" };
            format!("BrokerChange {id} epoch={epoch} fenced={fenced}{stopping}")
        }
        BrokerRecord::UsedBrokerEpoch { epoch } => format!("UsedBrokerEpoch {epoch}"),
        BrokerRecord::UnregisterBroker { id, epoch } => format!("UnregisterBroker {id} epoch={epoch}"),
    }
}

fn tell_topic_record(record: &TopicRecord) -> String {
    match record {
        TopicRecord::Topic { name, id } => format!("Topic {} {name}", id.as_u128()),
        TopicRecord::Partition { topic_id, partition, state } => {
            format!("Partition {}-{partition} {}", topic_id.as_u128(), tell_state(state))
        }
        TopicRecord::PartitionChange { topic_id, partition, change } => {
            format!("PartitionChange {}-{partition}{}", topic_id.as_u128(), tell_change(change))
        }
        TopicRecord::RemoveTopic { topic_id } => format!("RemoveTopic {}", topic_id.as_u128()),
        TopicRecord::TopicConfig { topic_id, key, value } => {
            format!("TopicConfig {} {key}={}", topic_id.as_u128(), value.as_deref().unwrap_or("(removed)"))
        }
    }
}

/// What changes, each with a space in front.
fn tell_change(change: &PartitionChange) -> String {
    let PartitionChange { isr, leader, elr, last_known_elr, leader_recovery_state } = change;
    let isr = isr.as_ref().map(|isr| format!(" isr={isr:?}"));
    let leader = leader.map(|leader| format!(" leader={leader}"));
    let elr = elr.as_ref().map(|elr| format!(" elr={elr:?}"));
    let last_known = last_known_elr.as_ref().map(|last_known| format!(" last-known={last_known:?}"));
    let recovery = leader_recovery_state.map(|state| format!(" {state:?}"));
    [isr, leader, elr, last_known, recovery].into_iter().flatten().collect()
}
