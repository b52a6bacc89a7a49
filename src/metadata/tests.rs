//! Images, deltas and the encoding together.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::kind::RecordKind;
use super::*;
use crate::ids::Uuid;

fn partition(leader: i32) -> PartitionImage {
    PartitionImage {
        replicas: vec![1, 2, 3],
        isr: vec![1, 2],
        leader,
        leader_epoch: 0,
        partition_epoch: 0,
        ..PartitionImage::default()
    }
}

fn led_by(leader: i32) -> PartitionChange {
    PartitionChange { isr: Some(vec![leader]), leader: Some(leader), ..PartitionChange::default() }
}

fn whole_change() -> PartitionChange {
    PartitionChange {
        isr: Some(Vec::new()),
        leader: Some(-1),
        elr: Some(vec![2, 3]),
        last_known_elr: Some(vec![1]),
        leader_recovery_state: Some(LeaderRecoveryState::Recovering),
    }
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
        in_controlled_shutdown: true,
        log_dirs: vec![Uuid::from_u128(5)],
    };
    let gone = BrokerRegistration { id: 2, ..broker.clone() };
    let user = Some(EntityName::Named("alice".into()));
    let entity = QuotaEntity { user, client_id: Some(EntityName::Default), ip: None };
    let (salt, key) = (Arc::from(&b"salt"[..]), Arc::from(&b"key"[..]));
    let credential = ScramCredential { salt, stored_key: Arc::clone(&key), server_key: key, iterations: 4096 };
    vec![
        ClusterRecord::ClusterId("cluster".into()).into(),
        FeatureRecord::FeatureLevel { name: "metadata.version".into(), level: 27 }.into(),
        BrokerRecord::RegisterBroker(broker).into(),
        BrokerRecord::BrokerChange { id: 1, epoch: 4, fenced: false, in_controlled_shutdown: false }.into(),
        BrokerRecord::BrokerChange { id: 1, epoch: 4, fenced: false, in_controlled_shutdown: true }.into(),
        BrokerRecord::UsedBrokerEpoch { epoch: 9 }.into(),
        TopicRecord::Topic { name: "orders".into(), id: topic_id }.into(),
        TopicRecord::TopicConfig { topic_id, key: "retention.ms".into(), value: Some("5".into()) }.into(),
        TopicRecord::TopicConfig { topic_id, key: "segment.ms".into(), value: None }.into(),
        TopicRecord::Partition { topic_id, partition: 0, state: partition(1) }.into(),
        TopicRecord::Partition { topic_id, partition: 1, state: partition(2) }.into(),
        TopicRecord::PartitionChange { topic_id, partition: 1, change: led_by(3) }.into(),
        TopicRecord::PartitionChange { topic_id, partition: 0, change: whole_change() }.into(),
        ProducerIdsRecord::ProducerIds { broker_id: 1, broker_epoch: 4, next_producer_id: 1000 }.into(),
        ConfigRecord::Config { resource: ConfigResource::Broker(None), key: "a".into(), value: Some("b".into()) }
            .into(),
        QuotaRecord::ClientQuota { entity, key: QuotaKey::ProducerByteRate, value: Some(1.5.into()) }.into(),
        ScramRecord::UserScramCredential { user: "alice".into(), mechanism: ScramMechanism::Sha512, credential }.into(),
        ScramRecord::RemoveUserScramCredential { user: "alice".into(), mechanism: ScramMechanism::Sha512 }.into(),
        BrokerRecord::RegisterBroker(gone).into(),
        BrokerRecord::UnregisterBroker { id: 2, epoch: 4 }.into(),
        TopicRecord::Topic { name: "gone".into(), id: Uuid::from_u128(8) }.into(),
        TopicRecord::RemoveTopic { topic_id: Uuid::from_u128(8) }.into(),
    ]
}

fn image_of(records: &[MetadataRecord]) -> MetadataImage {
    let mut image = MetadataImage::default();
    (image.offset, image.controller_epoch) = (12, 3);
    for record in records {
        image.replay(record).unwrap();
    }
    image
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
    assert_eq!((&**image.cluster_id(), image.next_producer_id(), image.offset), ("cluster", 1000, 12));
    assert_eq!(topic.configs.iter().collect::<Vec<_>>(), [(&"retention.ms".to_owned(), &"5".to_owned())]);
    let changed = image.partition("orders", 1).unwrap();
    assert_eq!((changed.leader, changed.leader_epoch, changed.partition_epoch), (3, 1, 1));
    assert_eq!(image.alive_brokers().map(|broker| broker.id).collect::<Vec<_>>(), [1]);
    assert!(image.topic("gone").is_none() && image.partition("orders", -1).is_none());
}

#[test]
fn a_copy_is_left_alone_and_shares_what_did_not_change() {
    let before = image_of(&one_of_each());
    let mut after = before.clone();
    after.replay(&TopicRecord::Topic { name: "new".into(), id: Uuid::from_u128(10) }.into()).unwrap();
    assert!(before.topic("new").is_none() && after.topic("new").is_some());
    assert!(Arc::ptr_eq(before.topic("orders").unwrap(), after.topic("orders").unwrap()));
}

#[test]
fn records_that_do_not_fit_are_refused() {
    let mut image = image_of(&one_of_each());
    let unknown = Uuid::from_u128(99);
    let topic_id = Uuid::from_u128(7);
    let before = image.clone();
    let records: [MetadataRecord; 6] = [
        TopicRecord::RemoveTopic { topic_id: unknown }.into(),
        TopicRecord::Topic { name: "orders".into(), id: unknown }.into(),
        TopicRecord::Topic { name: "new".into(), id: topic_id }.into(),
        TopicRecord::Partition { topic_id, partition: 3, state: partition(1) }.into(),
        TopicRecord::PartitionChange { topic_id, partition: -1, change: led_by(1) }.into(),
        BrokerRecord::BrokerChange { id: 1, epoch: 3, fenced: true, in_controlled_shutdown: false }.into(),
    ];
    for record in records {
        assert!(image.replay(&record).is_err(), "{record:?}");
    }
    assert_eq!(image, before);
}

#[test]
fn records_survive_their_encoding() {
    let records = one_of_each();
    for kind in RecordKind::ALL {
        assert!(records.iter().any(|record| record.kind() == *kind), "{kind:?}");
        assert_eq!(RecordKind::from_byte(*kind as u8), Some(*kind));
    }
    let bytes = encoded(&records);
    let mut rest = &bytes[..];
    assert_eq!(decode_records(&mut rest), Ok(records));
    assert!(rest.is_empty());
}

/// What this program wrote before is in the logs of those who upgrade.
#[test]
fn the_bytes_of_a_record_stay_as_they_are() {
    let topic_id = Uuid::from_u128(7);
    let state = PartitionImage {
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 2,
        partition_epoch: 3,
        ..PartitionImage::default()
    };
    let bytes = encoded(&[
        TopicRecord::Topic { name: "t".into(), id: topic_id }.into(),
        TopicRecord::Partition { topic_id, partition: 0, state }.into(),
    ]);
    let id = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let topic = [&[0, 0, 0, 23, 5, 0, 0, 0, 0, 1, b't'][..], &id].concat();
    let nodes = [0, 0, 0, 1, 0, 0, 0, 1];
    let numbers = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    let partition = [&[0, 0, 0, 50, 6, 0][..], &id, &[0; 4], &nodes, &nodes, &numbers].concat();
    assert_eq!(bytes, [&[0, 0, 0, 2][..], &topic, &partition].concat());
}

/// Bytes of the first version of each record that has another one by now.
#[test]
fn records_of_the_first_version_are_still_read() {
    let id = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let registration = [
        &[0, 0, 0, 41, 3, 0][..],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4][..],
        &id,
        &[0, 0, 0, 0],
        &[1, 0, 0, 0, 1, b'a', 0],
    ];
    let fenced = [&[0, 0, 0, 15, 4, 0][..], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 1]];
    let changed = [&[0, 0, 0, 36, 7, 0][..], &id, &[0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, 2]];
    let bytes = [&[0, 0, 0, 3][..], &registration.concat(), &fenced.concat(), &changed.concat()].concat();
    let broker = BrokerRegistration {
        id: 1,
        epoch: 4,
        incarnation: Uuid::from_u128(7),
        rack: Some("a".into()),
        ..BrokerRegistration::default()
    };
    let records = vec![
        BrokerRecord::RegisterBroker(broker).into(),
        BrokerRecord::BrokerChange { id: 1, epoch: 4, fenced: true, in_controlled_shutdown: false }.into(),
        TopicRecord::PartitionChange { topic_id: Uuid::from_u128(7), partition: 0, change: led_by(2) }.into(),
    ];
    assert_eq!(encoded(&records), bytes);
    assert_eq!(decode_records(&mut &bytes[..]), Ok(records));
}

#[test]
fn an_epoch_stays_used_when_its_broker_is_gone() {
    let mut image = image_of(&one_of_each());
    assert_eq!(image.last_broker_epoch(), 9);
    image.replay(&BrokerRecord::UnregisterBroker { id: 1, epoch: 4 }.into()).unwrap();
    let again = image_of(&image.to_records());
    assert_eq!((again.last_broker_epoch(), again.brokers().len()), (9, 0));
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
    assert_eq!(decode_records(&mut &unknown[..]), Err(MetadataDecodeError::Unknown(200, 0)));
}

/// Few ids, so that records are about the same things.
fn id() -> impl Strategy<Value = Uuid> + use<> {
    (1..6_u128).prop_map(Uuid::from_u128)
}

fn name() -> impl Strategy<Value = Arc<str>> + use<> {
    "[a-e]{0,2}".prop_map(Into::into)
}

fn registration() -> impl Strategy<Value = BrokerRegistration> {
    let endpoint = (name(), name(), any::<u16>(), name()).prop_map(|(listener, host, port, protocol)| Endpoint {
        listener,
        host,
        port,
        protocol,
    });
    let state = (any::<bool>(), any::<bool>(), vec(id(), 0..3));
    (0..4, 0..3_i64, id(), vec(endpoint, 0..3), option::of(name()), state).prop_map(
        |(id, epoch, incarnation, listeners, rack, (fenced, in_controlled_shutdown, log_dirs))| BrokerRegistration {
            id,
            epoch,
            incarnation,
            listeners,
            rack,
            fenced,
            in_controlled_shutdown,
            log_dirs,
        },
    )
}

fn partition_state() -> impl Strategy<Value = PartitionImage> {
    let nodes = || vec(0..4, 0..3);
    (nodes(), nodes(), -1..4, 0..9, 0..9, (nodes(), nodes(), recovery_state())).prop_map(
        |(replicas, isr, leader, leader_epoch, partition_epoch, (elr, last_known_elr, leader_recovery_state))| {
            PartitionImage {
                replicas,
                isr,
                leader,
                leader_epoch,
                partition_epoch,
                elr,
                last_known_elr,
                leader_recovery_state,
            }
        },
    )
}

fn recovery_state() -> impl Strategy<Value = LeaderRecoveryState> {
    prop_oneof![Just(LeaderRecoveryState::Recovered), Just(LeaderRecoveryState::Recovering)]
}

fn partition_change() -> impl Strategy<Value = PartitionChange> {
    let nodes = || option::of(vec(0..4, 0..3));
    (nodes(), option::of(-1..4), nodes(), nodes(), option::of(recovery_state())).prop_map(
        |(isr, leader, elr, last_known_elr, leader_recovery_state)| PartitionChange {
            isr,
            leader,
            elr,
            last_known_elr,
            leader_recovery_state,
        },
    )
}

fn resource() -> impl Strategy<Value = ConfigResource> {
    prop_oneof![
        option::of(0..3).prop_map(ConfigResource::Broker),
        name().prop_map(ConfigResource::ClientMetrics),
        name().prop_map(ConfigResource::Group),
    ]
}

fn entity() -> impl Strategy<Value = QuotaEntity> {
    let part = || option::of(option::of(name()).prop_map(EntityName::from));
    (part(), part(), part()).prop_map(|(user, client_id, ip)| QuotaEntity { user, client_id, ip })
}

fn mechanism() -> impl Strategy<Value = ScramMechanism> {
    prop_oneof![Just(ScramMechanism::Sha256), Just(ScramMechanism::Sha512)]
}

/// Any record of that kind.
fn record(kind: RecordKind) -> BoxedStrategy<MetadataRecord> {
    let value = || option::of("[a-c]{0,2}");
    match kind {
        RecordKind::ClusterId => name().prop_map(|id| ClusterRecord::ClusterId(id).into()).boxed(),
        RecordKind::FeatureLevel => {
            (name(), 0..3_i16).prop_map(|(name, level)| FeatureRecord::FeatureLevel { name, level }.into()).boxed()
        }
        RecordKind::RegisterBroker => {
            registration().prop_map(|broker| BrokerRecord::RegisterBroker(broker).into()).boxed()
        }
        RecordKind::BrokerChange => (0..4, 0..3_i64, any::<bool>(), any::<bool>())
            .prop_map(|(id, epoch, fenced, in_controlled_shutdown)| {
                BrokerRecord::BrokerChange { id, epoch, fenced, in_controlled_shutdown }.into()
            })
            .boxed(),
        RecordKind::Topic => (name(), id()).prop_map(|(name, id)| TopicRecord::Topic { name, id }.into()).boxed(),
        RecordKind::Partition => (id(), 0..2, partition_state())
            .prop_map(|(topic_id, partition, state)| TopicRecord::Partition { topic_id, partition, state }.into())
            .boxed(),
        RecordKind::PartitionChange => (id(), 0..2, partition_change())
            .prop_map(|(topic_id, partition, change)| {
                TopicRecord::PartitionChange { topic_id, partition, change }.into()
            })
            .boxed(),
        RecordKind::RemoveTopic => id().prop_map(|topic_id| TopicRecord::RemoveTopic { topic_id }.into()).boxed(),
        RecordKind::TopicConfig => (id(), "[a-c]", value())
            .prop_map(|(topic_id, key, value)| TopicRecord::TopicConfig { topic_id, key, value }.into())
            .boxed(),
        RecordKind::UnregisterBroker => {
            (0..4, 0..3_i64).prop_map(|(id, epoch)| BrokerRecord::UnregisterBroker { id, epoch }.into()).boxed()
        }
        RecordKind::UsedBrokerEpoch => {
            (0..5_i64).prop_map(|epoch| BrokerRecord::UsedBrokerEpoch { epoch }.into()).boxed()
        }
        RecordKind::Config => (resource(), "[a-c]", value())
            .prop_map(|(resource, key, value)| ConfigRecord::Config { resource, key, value }.into())
            .boxed(),
        RecordKind::ClientQuota => (entity(), proptest::sample::select(&QuotaKey::ALL[..]), option::of(any::<f64>()))
            .prop_map(|(entity, key, value)| {
                QuotaRecord::ClientQuota { entity, key, value: value.map(Into::into) }.into()
            })
            .boxed(),
        RecordKind::UserScramCredential => (name(), mechanism(), vec(any::<u8>(), 0..4), any::<i32>())
            .prop_map(|(user, mechanism, bytes, iterations)| {
                let (salt, stored_key, server_key) = (Arc::from(&bytes[..]), Arc::from(&*bytes), Arc::from(&*bytes));
                let credential = ScramCredential { salt, stored_key, server_key, iterations };
                ScramRecord::UserScramCredential { user, mechanism, credential }.into()
            })
            .boxed(),
        RecordKind::RemoveUserScramCredential => (name(), mechanism())
            .prop_map(|(user, mechanism)| ScramRecord::RemoveUserScramCredential { user, mechanism }.into())
            .boxed(),
        RecordKind::ProducerIds => (-1..4, -1..9_i64, any::<i64>())
            .prop_map(|(broker_id, broker_epoch, next_producer_id)| {
                ProducerIdsRecord::ProducerIds { broker_id, broker_epoch, next_producer_id }.into()
            })
            .boxed(),
    }
}

/// Any records, of which some may not fit.
fn records() -> impl Strategy<Value = Vec<MetadataRecord>> {
    let kinds: Vec<_> = RecordKind::ALL.iter().map(|kind| record(*kind)).collect();
    vec(proptest::strategy::Union::new(kinds), 0..60)
}

/// Takes in what fits of `records`, and answers what it did. No topic gets an id that is in `used`.
fn change(image: &mut MetadataImage, records: &[MetadataRecord], used: &mut BTreeSet<Uuid>) -> MetadataDelta {
    let mut delta = MetadataDelta::default();
    for record in records {
        if let MetadataRecord::Topics(TopicRecord::Topic { id, .. }) = record
            && !used.insert(*id)
        {
            continue;
        }
        if let Ok(change) = image.replay(record) {
            delta.note(change);
        }
    }
    delta
}

proptest! {
    #[test]
    fn an_image_written_as_records_and_replayed_is_the_same_image(records in records()) {
        let mut image = MetadataImage::default();
        change(&mut image, &records, &mut BTreeSet::new());
        let bytes = encoded(&image.to_records());
        let mut again = MetadataImage::default();
        for record in decode_records(&mut &bytes[..]).unwrap() {
            again.replay(&record).unwrap();
        }
        prop_assert_eq!(again, image);
    }

    #[test]
    fn a_delta_names_whatever_is_not_the_same(first in records(), second in records(), third in records()) {
        let (mut before, mut used) = (MetadataImage::default(), BTreeSet::new());
        change(&mut before, &first, &mut used);
        let mut after = before.clone();
        let mut delta = change(&mut after, &second, &mut used);
        delta.extend(change(&mut after, &third, &mut used));
        let compared = after.changed_since(&before);
        prop_assert!(delta.topics().created().eq(compared.topics().created()));
        prop_assert!(delta.topics().deleted().eq(compared.topics().deleted()));
        // A record may have set what was set already, or set it back: a delta may name more, but never less.
        let mut both = delta.clone();
        both.extend(compared);
        prop_assert_eq!(both, delta);
        prop_assert!(after.changed_since(&after).is_empty());
    }
}
