//! AlterConfigs, IncrementalAlterConfigs and ListConfigResources, at every version: what changes, what is refused, and
//! what acts at once and is still there after the broker died.

use std::path::Path;
use std::time::Duration;

use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    AlterConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest, alter_configs_request as legacy,
};
use klamm::protocol::compression::Compression;
use klamm::server::Server;

use crate::broker::{Broker, Client, Topic, batch, config, text};
use crate::configs::{
    BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, OF_FILE, OF_TABLE, OF_TOPIC, TOPIC, describe, value,
};
use crate::restart::Mortal;
use crate::server::within;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC_EXCEPTION: i16 = 17;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// The numbers of the sources that only a running broker has.
const OF_THIS_BROKER: i8 = 2;
const OF_ALL_BROKERS: i8 = 3;
const OF_SUBSCRIPTION: i8 = 7;
const OF_GROUP: i8 = 8;

/// A key, what is done to it, and its value.
type Operation<'a> = (&'a str, i8, Option<&'a str>);

fn resource(resource_type: i8, name: &str, operations: &[Operation<'_>]) -> AlterConfigsResource {
    let config = |(key, operation, value): &Operation<'_>| {
        AlterableConfig::default().with_name(text(key)).with_config_operation(*operation).with_value(value.map(text))
    };
    AlterConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(name))
        .with_configs(operations.iter().map(config).collect())
}

async fn alter_all(client: &mut Client, resources: Vec<AlterConfigsResource>) -> Vec<(i16, String)> {
    let answer = client.ask(1, &IncrementalAlterConfigsRequest::default().with_resources(resources)).await;
    let told =
        |message: Option<kafka_protocol::protocol::StrBytes>| message.map_or_else(String::new, |text| text.to_string());
    answer.responses.into_iter().map(|one| (one.error_code, told(one.error_message))).collect()
}

async fn alter(client: &mut Client, resource_type: i8, name: &str, operations: &[Operation<'_>]) -> (i16, String) {
    alter_all(client, vec![resource(resource_type, name, operations)]).await.remove(0)
}

/// Sets one key, which must work.
pub(crate) async fn set(client: &mut Client, resource_type: i8, name: &str, key: &str, value: &str) {
    assert_eq!(alter(client, resource_type, name, &[(key, SET, Some(value))]).await, (0, String::new()), "{key}");
}

#[tokio::test]
async fn every_operation_at_every_version() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("retention.ms", "5")]).await;
    for version in 0..=1 {
        let operations = [
            ("retention.ms", DELETE, None),
            ("segment.ms", SET, Some("7")),
            ("cleanup.policy", APPEND, Some("compact")),
        ];
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource(TOPIC, "t", &operations)]);
        let validated = client.ask(version, &request.clone().with_validate_only(true)).await;
        assert_eq!((validated.responses[0].error_code, &validated.responses[0].error_message), (0, &None));
        assert_eq!(value(&mut client, TOPIC, "t", "retention.ms").await, (Some("5".to_owned()), OF_TOPIC));
        let altered = client.ask(version, &request).await;
        assert_eq!(altered.responses[0].error_code, 0, "{altered:?}");
        assert_eq!((altered.responses[0].resource_type, altered.responses[0].resource_name.as_str()), (TOPIC, "t"));
        assert_eq!(value(&mut client, TOPIC, "t", "retention.ms").await, (Some("604800000".to_owned()), OF_TABLE));
        assert_eq!(value(&mut client, TOPIC, "t", "segment.ms").await, (Some("7".to_owned()), OF_TOPIC));
        assert_eq!(
            value(&mut client, TOPIC, "t", "cleanup.policy").await,
            (Some("delete,compact".to_owned()), OF_TOPIC)
        );
        let taken = alter(&mut client, TOPIC, "t", &[("cleanup.policy", SUBTRACT, Some("compact"))]).await;
        assert_eq!(taken.0, 0);
        assert_eq!(value(&mut client, TOPIC, "t", "cleanup.policy").await, (Some("delete".to_owned()), OF_TOPIC));
        let back = [("retention.ms", SET, Some("5")), ("segment.ms", DELETE, None), ("cleanup.policy", DELETE, None)];
        assert_eq!(alter(&mut client, TOPIC, "t", &back).await.0, 0);
    }
    broker.stop().await;
}

#[tokio::test]
async fn the_older_api_takes_away_what_it_does_not_name() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("retention.ms", "5")]).await;
    for version in 0..=2 {
        let config = legacy::AlterableConfig::default().with_name(text("segment.ms")).with_value(Some(text("7")));
        let resource = |configs| {
            legacy::AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text("t"))
                .with_configs(configs)
        };
        let request = |configs| AlterConfigsRequest::default().with_resources(vec![resource(configs)]);
        assert_eq!(client.ask(version, &request(vec![config])).await.responses[0].error_code, 0);
        assert_eq!(value(&mut client, TOPIC, "t", "segment.ms").await, (Some("7".to_owned()), OF_TOPIC));
        assert_eq!(value(&mut client, TOPIC, "t", "retention.ms").await.1, OF_TABLE);
        assert_eq!(client.ask(version, &request(vec![])).await.responses[0].error_code, 0);
        assert_eq!(value(&mut client, TOPIC, "t", "segment.ms").await.1, OF_TABLE);
        let missing = legacy::AlterableConfig::default().with_name(text("segment.ms")).with_value(None);
        let refused = client.ask(version, &request(vec![missing])).await.responses.remove(0);
        assert_eq!(refused.error_code, INVALID_REQUEST);
        let logger = resource(vec![]).with_resource_type(BROKER_LOGGER);
        let refused = client.ask(version, &AlterConfigsRequest::default().with_resources(vec![logger])).await;
        assert_eq!(refused.responses[0].error_code, INVALID_REQUEST);
    }
    broker.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_by_resource() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let of_topic = |operation| resource(TOPIC, "t", &[operation]);
    let cases: Vec<(AlterConfigsResource, i16, &str)> = vec![
        (of_topic(("retention", SET, Some("1"))), INVALID_CONFIG, "Unknown topic config name: retention"),
        (
            of_topic(("retention.ms", SET, Some("x"))),
            INVALID_CONFIG,
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (
            of_topic(("retention.ms", SET, Some("-2"))),
            INVALID_CONFIG,
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        ),
        (of_topic(("retention.ms", SET, None)), INVALID_REQUEST, "Null value not supported for : retention.ms"),
        (
            of_topic(("retention.ms", APPEND, Some("1"))),
            INVALID_CONFIG,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (of_topic(("retention.ms", 9, Some("1"))), INVALID_REQUEST, "Unknown operations type 9"),
        (
            resource(TOPIC, "t", &[("segment.ms", SET, Some("1")); 2]),
            INVALID_REQUEST,
            "Error due to duplicate config keys",
        ),
        (
            resource(TOPIC, "missing", &[("segment.ms", SET, Some("1"))]),
            UNKNOWN_TOPIC_OR_PARTITION,
            "The topic 'missing' does not exist.",
        ),
        (resource(TOPIC, "", &[]), INVALID_REQUEST, "Default topic resources are not allowed."),
        (resource(TOPIC, "a b", &[]), INVALID_TOPIC_EXCEPTION, "Topic name is invalid"),
        (resource(BROKER, "x", &[]), INVALID_REQUEST, "Node id must be an integer, but it is: x"),
        (resource(BROKER, "2", &[]), INVALID_REQUEST, "Unexpected broker id, expected 1, but received 2"),
        (
            resource(BROKER, "1", &[("num.partitions", SET, Some("2"))]),
            INVALID_REQUEST,
            "Cannot update these configs dynamically: Set(num.partitions)",
        ),
        (
            resource(BROKER, "", &[("message.max.bytes", SET, Some("-1"))]),
            INVALID_REQUEST,
            "Invalid value -1 for configuration message.max.bytes: Value must be at least 0",
        ),
        (
            resource(BROKER, "1", &[("message.max.bytes", APPEND, Some("1"))]),
            INVALID_CONFIG,
            "Config value append is not allowed for config key: message.max.bytes",
        ),
        (resource(GROUP, "", &[]), INVALID_REQUEST, "Default group resources are not allowed."),
        (
            resource(GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("1"))]),
            INVALID_CONFIG,
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        ),
        (
            resource(CLIENT_METRICS, "s", &[("interval.ms", SET, Some("1"))]),
            INVALID_REQUEST,
            "Invalid value 1 for interval.ms",
        ),
        (
            resource(CLIENT_METRICS, "s", &[("nothing", SET, Some("1"))]),
            INVALID_REQUEST,
            "Unknown client metrics configuration: nothing",
        ),
        (
            resource(BROKER_LOGGER, "1", &[("kafka.server", SET, Some("INFO"))]),
            INVALID_CONFIG,
            "Logger kafka.server does not exist!",
        ),
        (resource(BROKER_LOGGER, "2", &[]), INVALID_REQUEST, "Unexpected node id. Expected 1, but received 2"),
        (resource(3, "t", &[]), INVALID_REQUEST, "Unknown resource type 3"),
    ];
    for (resource, code, message) in &cases {
        let told = alter_all(&mut client, vec![resource.clone()]).await.remove(0);
        assert_eq!(told.0, *code, "{resource:?}: {}", told.1);
        assert!(told.1.starts_with(message), "{}", told.1);
    }
    // One that is refused does not keep the others from what they ask, and nothing of it is kept.
    let good = resource(GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))]);
    let bad = resource(TOPIC, "t", &[("segment.ms", SET, Some("7")), ("retention.ms", SET, Some("x"))]);
    let told = alter_all(&mut client, vec![bad, good.clone()]).await;
    assert_eq!((told[0].0, told[1].0), (INVALID_CONFIG, 0));
    assert_eq!(value(&mut client, TOPIC, "t", "segment.ms").await.1, OF_TABLE);
    assert_eq!(
        value(&mut client, GROUP, "g", "consumer.session.timeout.ms").await,
        (Some("50000".to_owned()), OF_GROUP)
    );
    let twice = alter_all(&mut client, vec![good.clone(), good]).await;
    assert!(
        twice.iter().all(|told| *told == (INVALID_REQUEST, "Each resource must appear at most once.".to_owned())),
        "{twice:?}"
    );
    broker.stop().await;
}

/// The lists of a subscription can only be set as a whole: as in Kafka, adding is for the keys of topics and brokers.
#[tokio::test]
async fn nothing_is_added_to_the_lists_of_client_metrics() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    set(&mut client, CLIENT_METRICS, "s", "metrics", "a.").await;
    for (operation, name) in [(APPEND, "APPEND"), (SUBTRACT, "SUBTRACT")] {
        let told = alter(&mut client, CLIENT_METRICS, "s", &[("metrics", operation, Some("a."))]).await;
        let message = format!("Can't {name} to key metrics because its type is not LIST.");
        assert_eq!(told, (INVALID_CONFIG, message));
    }
    assert_eq!(value(&mut client, CLIENT_METRICS, "s", "metrics").await, (Some("a.".to_owned()), OF_SUBSCRIPTION));
    broker.stop().await;
}

#[tokio::test]
async fn a_brokers_configuration_changes_while_it_runs() {
    let broker = Broker::with(&[("message.max.bytes", "2000")]).await;
    let (mut client, topic) = broker.client_with_topic("t", 1).await;
    let large = || batch(&["x".repeat(1_000).as_str()]);
    assert_eq!(value(&mut client, BROKER, "1", "message.max.bytes").await, (Some("2000".to_owned()), OF_FILE));
    set(&mut client, BROKER, "", "message.max.bytes", "500").await;
    assert_eq!(value(&mut client, BROKER, "1", "message.max.bytes").await, (Some("500".to_owned()), OF_ALL_BROKERS));
    assert_eq!(value(&mut client, TOPIC, "t", "max.message.bytes").await, (Some("500".to_owned()), OF_ALL_BROKERS));
    assert_eq!(client.produce(&topic, 0, large()).await.error_code, MESSAGE_TOO_LARGE);
    set(&mut client, BROKER, "1", "message.max.bytes", "3000").await;
    assert_eq!(value(&mut client, BROKER, "1", "message.max.bytes").await, (Some("3000".to_owned()), OF_THIS_BROKER));
    assert_eq!(client.produce(&topic, 0, large()).await.error_code, 0);
    let all = describe(&mut client, BROKER, "", None).await;
    let all: Vec<_> =
        all.configs.iter().map(|one| (one.name.as_str(), one.value.as_deref(), one.config_source)).collect();
    assert_eq!(all, [("message.max.bytes", Some("500"), OF_ALL_BROKERS)]);
    // What a topic says of itself is stronger.
    set(&mut client, TOPIC, "t", "max.message.bytes", "400").await;
    assert_eq!(client.produce(&topic, 0, large()).await.error_code, MESSAGE_TOO_LARGE);
    assert_eq!(alter(&mut client, TOPIC, "t", &[("max.message.bytes", DELETE, None)]).await.0, 0);
    assert_eq!(alter(&mut client, BROKER, "1", &[("message.max.bytes", DELETE, None)]).await.0, 0);
    assert_eq!(alter(&mut client, BROKER, "", &[("message.max.bytes", DELETE, None)]).await.0, 0);
    assert_eq!(value(&mut client, BROKER, "1", "message.max.bytes").await, (Some("2000".to_owned()), OF_FILE));
    assert_eq!(client.produce(&topic, 0, large()).await.error_code, 0);
    // A key that nobody knows is kept, as in Kafka, and told of as a secret.
    set(&mut client, BROKER, "1", "my.own.key", "x").await;
    assert_eq!(value(&mut client, BROKER, "1", "my.own.key").await, (None, OF_THIS_BROKER));
    broker.stop().await;
}

#[tokio::test]
async fn what_was_changed_is_still_there_after_the_broker_died() {
    let directory = tempfile::tempdir().unwrap();
    let mortal = Mortal::on(directory.path()).await;
    let mut client = mortal.broker.client().await;
    let topic = client.create_topic("t", 1, &[]).await;
    set(&mut client, TOPIC, "t", "retention.ms", "86400000").await;
    set(&mut client, BROKER, "", "log.segment.bytes", "2000000").await;
    set(&mut client, BROKER, "1", "message.max.bytes", "500").await;
    set(&mut client, GROUP, "g", "consumer.session.timeout.ms", "50000").await;
    set(&mut client, CLIENT_METRICS, "s", "interval.ms", "1000").await;
    mortal.kill().await;
    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    let expected = [
        (TOPIC, "t", "retention.ms", "86400000", OF_TOPIC),
        (TOPIC, "t", "segment.bytes", "2000000", OF_ALL_BROKERS),
        (BROKER, "1", "message.max.bytes", "500", OF_THIS_BROKER),
        (GROUP, "g", "consumer.session.timeout.ms", "50000", OF_GROUP),
        (CLIENT_METRICS, "s", "interval.ms", "1000", OF_SUBSCRIPTION),
    ];
    for (resource_type, name, key, text, source) in expected {
        assert_eq!(value(&mut client, resource_type, name, key).await, (Some(text.to_owned()), source), "{key}");
    }
    let refused = client.produce(&topic, 0, batch(&["x".repeat(1_000).as_str()])).await;
    assert_eq!(refused.error_code, MESSAGE_TOO_LARGE);
    broker.stop().await;
}

/// A broker on `directory` that looks every `interval` milliseconds for segments to delete.
async fn retaining(directory: &Path, interval: &str) -> Broker {
    let path = directory.to_str().unwrap();
    let config = config(&[("log.dirs", path), ("log.retention.check.interval.ms", interval)]);
    Broker(within(Server::start(config)).await.unwrap())
}

/// That the log goes by the settings that the test below makes: a limit, a codec, and a size of segments of which each takes
/// one of the records that are appended.
async fn assert_new_settings_act(client: &mut Client, topic: &Topic, directory: &Path) {
    let segments = || {
        let entries = std::fs::read_dir(directory.join("t-0")).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "log")).count()
    };
    let before = segments();
    for _ in 0..2 {
        let appended = client.append(topic, 0, &[&digits(600_000)]).await;
        let stored = client.fetch(topic, 0, appended).await.records.unwrap();
        assert_eq!(stored[22] & 7, Compression::Lz4 as u8, "the codec, in the batch's attributes");
    }
    assert!(segments() > before, "segment.bytes");
    let refused = client.produce(topic, 0, batch(&[&digits(900_000)])).await;
    assert_eq!(refused.error_code, MESSAGE_TOO_LARGE);
}

/// So many digits that no codec makes half of.
fn digits(count: usize) -> String {
    let mut text = String::new();
    for number in 1_u64.. {
        text += &number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_string();
        if text.len() >= count {
            break;
        }
    }
    text
}

#[tokio::test]
async fn a_topics_settings_act_on_its_open_log_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let broker = retaining(directory.path(), "10").await;
    let mut client = broker.client().await;
    let topic = client.create_topic("t", 1, &[]).await;
    // Under the settings of the start, all this goes into one segment, as it is.
    let appended = client.append(&topic, 0, &[&digits(900_000)]).await;
    assert_eq!(client.fetch(&topic, 0, appended).await.records.unwrap()[22] & 7, 0);
    client.append(&topic, 0, &[&digits(600_000)]).await;
    for (key, value) in [("max.message.bytes", "750000"), ("compression.type", "lz4"), ("segment.bytes", "1048576")] {
        set(&mut client, TOPIC, "t", key, value).await;
    }
    assert_new_settings_act(&mut client, &topic, directory.path()).await;
    assert_eq!(client.offset(&topic, 0, -2).await, 0, "nothing is old");
    broker.stop().await;

    let broker = retaining(directory.path(), "300000").await;
    let mut client = broker.client().await;
    assert_new_settings_act(&mut client, &topic, directory.path()).await;
    broker.stop().await;

    let broker = retaining(directory.path(), "10").await;
    let mut client = broker.client().await;
    set(&mut client, TOPIC, "t", "retention.ms", "1").await;
    assert_all_expires(&mut client, &topic).await;
    broker.stop().await;
    let broker = retaining(directory.path(), "10").await;
    let mut client = broker.client().await;
    client.append(&topic, 0, &["soon gone"]).await;
    assert_all_expires(&mut client, &topic).await;
    broker.stop().await;
}

async fn assert_all_expires(client: &mut Client, topic: &Topic) {
    let end = client.offset(topic, 0, -1).await;
    let expiry = async {
        while client.offset(topic, 0, -2).await < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(expiry).await;
}

#[tokio::test]
async fn list_config_resources_at_every_version() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    set(&mut client, GROUP, "g", "consumer.session.timeout.ms", "50000").await;
    set(&mut client, CLIENT_METRICS, "s", "interval.ms", "1000").await;
    let list = |types: &[i8]| ListConfigResourcesRequest::default().with_resource_types(types.to_vec());
    let names = |answer: kafka_protocol::messages::ListConfigResourcesResponse| {
        assert_eq!(answer.error_code, 0);
        let names = answer.config_resources.into_iter().map(|one| (one.resource_type, one.resource_name.to_string()));
        names.collect::<Vec<_>>()
    };
    let owned = |pairs: &[(i8, &str)]| pairs.iter().map(|(one, name)| (*one, (*name).to_owned())).collect::<Vec<_>>();
    assert_eq!(names(client.ask(0, &list(&[])).await), owned(&[(CLIENT_METRICS, "s")]));
    let all = [(GROUP, "g"), (CLIENT_METRICS, "s"), (BROKER_LOGGER, "1"), (BROKER, "1"), (TOPIC, "t")];
    assert_eq!(names(client.ask(1, &list(&[])).await), owned(&all));
    assert_eq!(names(client.ask(1, &list(&[TOPIC, BROKER])).await), owned(&[(BROKER, "1"), (TOPIC, "t")]));
    assert_eq!(client.ask(1, &list(&[3])).await.error_code, UNSUPPORTED_VERSION);
    broker.stop().await;
}
