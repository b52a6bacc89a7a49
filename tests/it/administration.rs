//! Quotas, SCRAM credentials, features and the end of a broker's registration at every version, with bad inputs, and over
//! a restart.

use bytes::Bytes;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::api_versions_response::FinalizedFeatureKey;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterUserScramCredentialsRequest, ApiVersionsRequest, BrokerId,
    DescribeClientQuotasRequest, DescribeUserScramCredentialsRequest, UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use klamm::metadata::ScramMechanism;

use crate::broker::{Broker, Client, text};

const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const RESOURCE_NOT_FOUND: i16 = 91;
const DUPLICATE_RESOURCE: i16 = 92;
const UNACCEPTABLE_CREDENTIAL: i16 = 93;
const INVALID_UPDATE_VERSION: i16 = 95;
const BROKER_ID_NOT_REGISTERED: i16 = 102;

type Entity<'a> = &'a [(&'static str, Option<&'static str>)];

fn alteration(entity: Entity<'_>, limits: &[(&'static str, Option<f64>)]) -> EntryData {
    let part = |(entity_type, name): &(&str, Option<&str>)| {
        EntityData::default().with_entity_type(text(entity_type)).with_entity_name(name.map(text))
    };
    let op = |(key, limit): &(&str, Option<f64>)| {
        OpData::default().with_key(text(key)).with_value(limit.unwrap_or(0.0)).with_remove(limit.is_none())
    };
    EntryData::default().with_entity(entity.iter().map(part).collect()).with_ops(limits.iter().map(op).collect())
}

async fn alter(client: &mut Client, version: i16, entries: Vec<EntryData>) -> Vec<i16> {
    let request = AlterClientQuotasRequest::default().with_entries(entries);
    let response = client.ask(version, &request).await;
    response.entries.iter().map(|entry| entry.error_code).collect()
}

fn component(entity_type: &str, match_type: i8, name: Option<&str>) -> ComponentData {
    ComponentData::default().with_entity_type(text(entity_type)).with_match_type(match_type).with_match(name.map(text))
}

/// `type:name,... key=limit ...` for each entity.
async fn describe(client: &mut Client, version: i16, components: Vec<ComponentData>, strict: bool) -> Vec<String> {
    let request = DescribeClientQuotasRequest::default().with_components(components).with_strict(strict);
    let response = client.ask(version, &request).await;
    assert_eq!((response.error_code, response.error_message), (0, None));
    let told = |entry: &kafka_protocol::messages::describe_client_quotas_response::EntryData| {
        let part = |part: &kafka_protocol::messages::describe_client_quotas_response::EntityData| {
            format!("{}:{}", part.entity_type, part.entity_name.as_deref().unwrap_or("-"))
        };
        let parts: Vec<_> = entry.entity.iter().map(part).collect();
        let limits: Vec<_> = entry.values.iter().map(|value| format!("{}={}", value.key, value.value)).collect();
        format!("{} {}", parts.join(","), limits.join(" "))
    };
    response.entries.unwrap().iter().map(told).collect()
}

#[tokio::test]
async fn quotas_are_set_found_by_filters_and_removed_at_every_version() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for version in 0..=1 {
        let entries = vec![
            alteration(&[("user", Some("alice"))], &[("producer_byte_rate", Some(1024.0))]),
            alteration(&[("user", Some("alice")), ("client-id", None)], &[("request_percentage", Some(12.5))]),
            alteration(&[("ip", None)], &[("connection_creation_rate", Some(5.0))]),
        ];
        assert_eq!(alter(&mut client, version, entries).await, [0, 0, 0]);
        let all = [
            "ip:- connection_creation_rate=5",
            "user:alice producer_byte_rate=1024",
            "user:alice,client-id:- request_percentage=12.5",
        ];
        assert_eq!(describe(&mut client, version, vec![], false).await, all);
        assert_eq!(describe(&mut client, version, vec![], true).await, Vec::<String>::new());
        let alice = || vec![component("user", 0, Some("alice"))];
        assert_eq!(describe(&mut client, version, alice(), false).await, all[1..]);
        assert_eq!(describe(&mut client, version, alice(), true).await, all[1..2]);
        let any = vec![component("user", 2, None), component("client-id", 1, None)];
        assert_eq!(describe(&mut client, version, any, true).await, all[2..]);
        let removed = vec![
            alteration(&[("user", Some("alice"))], &[("producer_byte_rate", None)]),
            alteration(&[("user", Some("alice")), ("client-id", None)], &[("request_percentage", None)]),
            alteration(&[("ip", None)], &[("connection_creation_rate", None), ("producer_byte_rate", None)]),
        ];
        assert_eq!(alter(&mut client, version, removed).await, [0, 0, 0]);
        assert_eq!(describe(&mut client, version, vec![], false).await, Vec::<String>::new());
    }
    broker.stop().await;
}

#[tokio::test]
async fn bad_quotas_are_refused_each_by_itself() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let entries = vec![
        alteration(&[], &[("producer_byte_rate", Some(1.0))]),
        alteration(&[("group", Some("g"))], &[("producer_byte_rate", Some(1.0))]),
        alteration(&[("user", Some(""))], &[("producer_byte_rate", Some(1.0))]),
        alteration(&[("user", Some("a"))], &[("nonsense", Some(1.0))]),
        alteration(&[("user", Some("b"))], &[("producer_byte_rate", Some(-1.0))]),
        alteration(&[("user", Some("c"))], &[("producer_byte_rate", Some(0.5))]),
        alteration(&[("user", Some("d"))], &[("producer_byte_rate", Some(1.0))]),
    ];
    let bad = INVALID_REQUEST;
    assert_eq!(alter(&mut client, 1, entries).await, [bad, bad, bad, bad, bad, bad, 0]);
    assert_eq!(describe(&mut client, 1, vec![], false).await, ["user:d producer_byte_rate=1"]);
    let validated = AlterClientQuotasRequest::default()
        .with_entries(vec![alteration(&[("user", Some("e"))], &[("producer_byte_rate", Some(1.0))])])
        .with_validate_only(true);
    assert_eq!(client.ask(1, &validated).await.entries[0].error_code, 0);
    assert_eq!(describe(&mut client, 1, vec![], false).await.len(), 1);
    for (components, code) in [
        (vec![component("", 0, Some("a"))], bad),
        (vec![component("user", 0, None)], bad),
        (vec![component("user", 1, Some("a"))], bad),
        (vec![component("user", 2, Some("a"))], bad),
        (vec![component("user", 3, None)], bad),
        (vec![component("user", 2, None), component("user", 2, None)], bad),
        (vec![component("user", 2, None), component("ip", 2, None)], bad),
        (vec![component("group", 2, None)], UNSUPPORTED_VERSION),
    ] {
        let request = DescribeClientQuotasRequest::default().with_components(components);
        let response = client.ask(1, &request).await;
        assert_eq!((response.error_code, response.entries), (code, None), "{request:?}");
        assert!(response.error_message.is_some());
    }
    broker.stop().await;
}

fn upsertion(user: &str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion {
    ScramCredentialUpsertion::default()
        .with_name(text(user))
        .with_mechanism(mechanism)
        .with_iterations(iterations)
        .with_salt(Bytes::from_static(b"salt"))
        .with_salted_password(Bytes::from_static(b"salted password"))
}

fn deletion(user: &str, mechanism: i8) -> ScramCredentialDeletion {
    ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(mechanism)
}

async fn alter_users(
    client: &mut Client,
    deletions: Vec<ScramCredentialDeletion>,
    upsertions: Vec<ScramCredentialUpsertion>,
) -> Vec<(String, i16)> {
    let request = AlterUserScramCredentialsRequest::default().with_deletions(deletions).with_upsertions(upsertions);
    let response = client.ask(0, &request).await;
    response.results.iter().map(|result| (result.user.to_string(), result.error_code)).collect()
}

/// `user:error:[(mechanism, iterations), ...]` for each user.
async fn describe_users(client: &mut Client, users: Option<&[&str]>) -> Vec<String> {
    let users = users.map(|users| users.iter().map(|user| UserName::default().with_name(text(user))).collect());
    let response = client.ask(0, &DescribeUserScramCredentialsRequest::default().with_users(users)).await;
    assert_eq!((response.error_code, response.error_message), (0, None));
    let told = |result: &kafka_protocol::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult| {
        let infos: Vec<_> = result.credential_infos.iter().map(|info| (info.mechanism, info.iterations)).collect();
        format!("{}:{}:{infos:?}", result.user, result.error_code)
    };
    response.results.iter().map(told).collect()
}

#[tokio::test]
async fn users_credentials_outlive_the_broker_and_hold_no_password() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    let users = vec![upsertion("alice", 1, 4096), upsertion("bob", 2, 8192), upsertion("bad", 1, 1)];
    let answered = alter_users(&mut client, vec![deletion("carol", 1)], users).await;
    let expected = [("carol", RESOURCE_NOT_FOUND), ("alice", 0), ("bob", 0), ("bad", UNACCEPTABLE_CREDENTIAL)];
    assert_eq!(answered, expected.map(|(user, code)| (user.to_owned(), code)));
    broker.stop().await;

    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    assert_eq!(describe_users(&mut client, None).await, ["alice:0:[(1, 4096)]", "bob:0:[(2, 8192)]"]);
    let some = describe_users(&mut client, Some(&["alice", "bob", "alice", "carol"])).await;
    let duplicate = format!("alice:{DUPLICATE_RESOURCE}:[]");
    assert_eq!(some, [duplicate.as_str(), "bob:0:[(2, 8192)]", &format!("carol:{RESOURCE_NOT_FOUND}:[]")]);
    let image = broker.0.broker().image();
    let kept = image.scram_credential("alice", ScramMechanism::Sha256).unwrap();
    assert_eq!((&*kept.salt, kept.stored_key.len(), kept.server_key.len()), (&b"salt"[..], 32, 32));
    let log = std::fs::read(directory.path().join("metadata").join("log")).unwrap();
    assert!(!log.windows(15).any(|window| window == b"salted password"));
    assert_eq!(alter_users(&mut client, vec![deletion("alice", 1)], vec![]).await, [("alice".to_owned(), 0)]);
    assert_eq!(describe_users(&mut client, Some(&[])).await, ["bob:0:[(2, 8192)]"]);
    broker.stop().await;
}

fn update(name: &str, level: i16, upgrade_type: i8) -> FeatureUpdateKey {
    FeatureUpdateKey::default().with_feature(text(name)).with_max_version_level(level).with_upgrade_type(upgrade_type)
}

async fn finalized(client: &mut Client) -> [(String, i16); 2] {
    let request =
        ApiVersionsRequest::default().with_client_software_name(text("test")).with_client_software_version(text("1"));
    let response = client.ask(4, &request).await;
    assert!(response.finalized_features_epoch >= 0);
    let told = |feature: &FinalizedFeatureKey| (feature.name.to_string(), feature.max_version_level);
    response.finalized_features.iter().map(told).collect::<Vec<_>>().try_into().unwrap()
}

#[tokio::test]
async fn features_go_down_and_up_and_api_versions_tells() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let levels = |level| [("metadata.version".to_owned(), level), ("transaction.version".to_owned(), 2)];
    assert_eq!(finalized(&mut client).await, levels(27));
    for version in 1..=2 {
        for (level, upgrade_type) in [(25, 2), (27, 1)] {
            let updates = vec![update("metadata.version", level, upgrade_type)];
            let validated =
                UpdateFeaturesRequest::default().with_feature_updates(updates.clone()).with_validate_only(true);
            let before = finalized(&mut client).await;
            assert_eq!(client.ask(version, &validated).await.error_code, 0);
            assert_eq!(finalized(&mut client).await, before);
            let response = client.ask(version, &UpdateFeaturesRequest::default().with_feature_updates(updates)).await;
            let results = usize::from(version == 1);
            assert_eq!((response.error_code, response.results.len()), (0, results));
            assert_eq!(finalized(&mut client).await, levels(level));
        }
        for bad in [update("metadata.version", 28, 1), update("metadata.version", 25, 1), update("nonsense", 1, 1)] {
            let response = client.ask(version, &UpdateFeaturesRequest::default().with_feature_updates(vec![bad])).await;
            assert_eq!((response.error_code, response.results.len()), (INVALID_UPDATE_VERSION, 0));
            assert!(response.error_message.unwrap().starts_with("The update failed for all features since"));
        }
    }
    let response = client.ask(0, &UpdateFeaturesRequest::default()).await;
    assert_eq!(response.error_code, 0);
    broker.stop().await;
}

#[tokio::test]
async fn a_broker_that_is_not_registered_cannot_be_unregistered() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let response = client.ask(0, &UnregisterBrokerRequest::default().with_broker_id(BrokerId(77))).await;
    assert_eq!(response.error_code, BROKER_ID_NOT_REGISTERED);
    assert_eq!(response.error_message.unwrap().as_str(), "Broker ID 77 is not currently registered");
    broker.stop().await;
}
