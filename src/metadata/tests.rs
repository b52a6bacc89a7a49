//! Images, deltas and the encoding together.

use std::sync::Arc;

use super::*;
use crate::ids::Uuid;

fn partition(leader: i32) -> PartitionImage {
    PartitionImage { replicas: vec![1, 2, 3], isr: vec![1, 2], leader, leader_epoch: 0, partition_epoch: 0 }
}

fn one_of_each() -> Vec<MetadataRecord> {
    let topic_id = Uuid::from_u128(7);
    let endpoint =
        Endpoint { listener: "PLAINTEXT".into(), host: "localhost".into(), port: 9092, protocol: "PLAINTEXT".into() };
    let broker = BrokerRegistration {
        id: 1,
        epoch: 4,
        incarnation: Uuid::from_u128(9),
        listeners: vec![endpoint],
        rack: Some("a".into()),
        fenced: true,
    };
    vec![
        MetadataRecord::ClusterId("cluster".into()),
        MetadataRecord::FeatureLevel { name: "metadata.version".into(), level: 27 },
        MetadataRecord::RegisterBroker(broker),
        MetadataRecord::BrokerChange { id: 1, epoch: 4, fenced: false },
        MetadataRecord::Topic { name: "orders".into(), id: topic_id },
        MetadataRecord::TopicConfig { topic_id, key: "retention.ms".into(), value: Some("5".into()) },
        MetadataRecord::TopicConfig { topic_id, key: "segment.ms".into(), value: None },
        MetadataRecord::Partition { topic_id, partition: 0, state: partition(1) },
        MetadataRecord::Partition { topic_id, partition: 1, state: partition(2) },
        MetadataRecord::PartitionChange { topic_id, partition: 1, isr: Some(vec![3]), leader: Some(3) },
        MetadataRecord::ProducerIds { broker_id: 1, broker_epoch: 4, next_producer_id: 1000 },
        MetadataRecord::Topic { name: "gone".into(), id: Uuid::from_u128(8) },
        MetadataRecord::RemoveTopic { topic_id: Uuid::from_u128(8) },
    ]
}

fn image_of(records: &[MetadataRecord]) -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::default());
    for record in records {
        delta.replay(record).unwrap();
    }
    delta.apply(12, 3)
}

fn encoded(records: &[MetadataRecord]) -> Vec<u8> {
    let mut buffer = Vec::new();
    encode_records(records, &mut buffer);
    buffer
}

#[test]
fn records_make_an_image() {
    let image = image_of(&one_of_each());
    let topic = image.topic_by_id(Uuid::from_u128(7)).unwrap();
    assert_eq!(image.topics().len(), 1);
    assert_eq!((&*image.cluster_id, image.next_producer_id(), image.offset), ("cluster", 1000, 12));
    assert_eq!(topic.configs.iter().collect::<Vec<_>>(), [(&"retention.ms".to_owned(), &"5".to_owned())]);
    let changed = image.partition("orders", 1).unwrap();
    assert_eq!((changed.leader, changed.leader_epoch, changed.partition_epoch), (3, 1, 1));
    assert_eq!(image.alive_brokers().map(|broker| broker.id).collect::<Vec<_>>(), [1]);
    assert!(image.topic("gone").is_none() && image.partition("orders", -1).is_none());
}

#[test]
fn a_snapshot_of_an_image_leads_back_to_it() {
    let image = image_of(&one_of_each());
    assert_eq!(image_of(&image.to_records()), image);
}

#[test]
fn a_delta_leaves_its_image_alone_and_shares_what_did_not_change() {
    let before = image_of(&one_of_each());
    let mut delta = MetadataDelta::new(&before);
    delta.replay(&MetadataRecord::Topic { name: "new".into(), id: Uuid::from_u128(10) }).unwrap();
    let after = delta.apply(13, 3);
    assert!(before.topic("new").is_none() && after.topic("new").is_some());
    assert!(Arc::ptr_eq(before.topic("orders").unwrap(), after.topic("orders").unwrap()));
    assert!(!before.same_topics(&after));
    assert!(MetadataDelta::new(&after).apply(14, 3).same_topics(&after));
}

#[test]
fn records_that_do_not_fit_are_refused() {
    let mut image = image_of(&one_of_each());
    let unknown = Uuid::from_u128(99);
    let topic_id = Uuid::from_u128(7);
    let before = image.clone();
    for record in [
        MetadataRecord::RemoveTopic { topic_id: unknown },
        MetadataRecord::Topic { name: "orders".into(), id: unknown },
        MetadataRecord::Partition { topic_id, partition: 3, state: partition(1) },
        MetadataRecord::PartitionChange { topic_id, partition: -1, isr: None, leader: None },
        MetadataRecord::BrokerChange { id: 1, epoch: 3, fenced: true },
    ] {
        assert!(image.replay(&record).is_err(), "{record:?}");
    }
    assert_eq!(image, before);
}

#[test]
fn records_survive_their_encoding() {
    let records = one_of_each();
    let bytes = encoded(&records);
    let mut rest = &bytes[..];
    assert_eq!(decode_records(&mut rest), Ok(records));
    assert!(rest.is_empty());
}

#[test]
fn no_damage_to_encoded_records_panics() {
    let bytes = encoded(&one_of_each());
    for end in 0..bytes.len() {
        assert!(decode_records(&mut &bytes[..end]).is_err());
    }
    for position in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position] = value;
            let _ = decode_records(&mut &damaged[..]);
        }
    }
}

#[test]
fn a_type_from_the_future_is_an_error() {
    let unknown = [0, 0, 0, 1, 0, 0, 0, 2, 200, 0];
    assert_eq!(decode_records(&mut &unknown[..]), Err(DecodeError::Unknown(200, 0)));
}
