//! The Configs APIs, at every version: what is told of each kind of resource, and what is wrong with a question.

use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};

use crate::broker::{Broker, Client, text};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_TOPIC_EXCEPTION: i16 = 17;
const INVALID_REQUEST: i16 = 42;

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const BROKER_LOGGER: i8 = 8;
pub(crate) const CLIENT_METRICS: i8 = 16;
pub(crate) const GROUP: i8 = 32;

/// The numbers of the sources.
pub(crate) const OF_TOPIC: i8 = 1;
pub(crate) const OF_FILE: i8 = 4;
pub(crate) const OF_TABLE: i8 = 5;

fn resource(resource_type: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()))
}

/// What version 4 tells of one resource, with synonyms and documentation.
pub(crate) async fn describe(
    client: &mut Client,
    resource_type: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource(resource_type, name, keys)])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    client.ask(4, &request).await.results.remove(0)
}

/// The value of one key, and the number of its source.
pub(crate) async fn value(client: &mut Client, resource_type: i8, name: &str, key: &str) -> (Option<String>, i8) {
    let mut found = describe(client, resource_type, name, Some(&[key])).await;
    assert_eq!((found.error_code, found.configs.len()), (0, 1), "{key} of {name}");
    let config = found.configs.remove(0);
    (config.value.map(|value| value.to_string()), config.config_source)
}

fn one<'a>(result: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
    result.configs.iter().find(|config| config.name.as_str() == name).expect(name)
}

#[tokio::test]
async fn describe_configs_at_every_version() {
    let broker = Broker::with(&[("log.segment.bytes", "2000000")]).await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("cleanup.policy", "compact"), ("retention.ms", "5")]).await;
    for version in 1..=4 {
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource(TOPIC, "t", None), resource(BROKER, "1", Some(&["num.partitions"]))])
            .with_include_synonyms(true);
        let answer = client.ask(version, &request).await;
        let [topic, of_broker] = answer.results.as_slice() else { panic!("{answer:?}") };
        assert_eq!((topic.error_code, topic.resource_type, topic.resource_name.as_str()), (0, TOPIC, "t"));
        assert_eq!(topic.configs.len(), 33);
        let policy = one(topic, "cleanup.policy");
        assert_eq!((policy.value.as_deref(), policy.config_source), (Some("compact"), OF_TOPIC));
        let synonyms: Vec<_> = policy.synonyms.iter().map(|one| (one.name.as_str(), one.source)).collect();
        assert_eq!(synonyms, [("cleanup.policy", OF_TOPIC), ("log.cleanup.policy", OF_TABLE)]);
        let segment = one(topic, "segment.bytes");
        assert_eq!((segment.value.as_deref(), segment.config_source), (Some("2000000"), OF_FILE));
        // Neither types nor documentation before version 3.
        assert_eq!(policy.config_type, if version >= 3 { 7 } else { 0 });
        assert!(policy.documentation.as_deref().unwrap_or_default().is_empty());
        let names: Vec<_> = of_broker.configs.iter().map(|config| config.name.as_str()).collect();
        assert_eq!(names, ["num.partitions"]);
        assert!(of_broker.configs[0].read_only && !of_broker.configs[0].is_sensitive);
    }
    broker.stop().await;
}

#[tokio::test]
async fn synonyms_and_documentation_are_told_when_they_are_asked_for() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let told = describe(&mut client, BROKER, "1", Some(&["message.max.bytes"])).await;
    assert!(told.configs[0].documentation.as_deref().is_some_and(|doc| doc.contains("largest record batch")));
    assert_eq!((told.configs[0].synonyms.len(), told.configs[0].read_only), (1, false));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource(BROKER, "1", None)]);
    let told = client.ask(4, &request).await.results.remove(0);
    assert!(told.configs.len() > 180, "{}", told.configs.len());
    assert!(told.configs.iter().all(|config| config.documentation.is_none() && config.synonyms.is_empty()));
    broker.stop().await;
}

#[tokio::test]
async fn every_kind_of_resource_is_described() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    assert_eq!(describe(&mut client, BROKER, "", None).await.configs, []);
    assert_eq!(value(&mut client, BROKER, "1", "node.id").await, (Some("1".to_owned()), OF_TABLE));
    let group = describe(&mut client, GROUP, "g", Some(&["consumer.session.timeout.ms"])).await;
    assert_eq!((group.configs.len(), group.configs[0].value.as_deref()), (1, Some("45000")));
    assert_eq!(describe(&mut client, GROUP, "g", None).await.configs.len(), 10);
    let metrics = describe(&mut client, CLIENT_METRICS, "s", None).await;
    let names: Vec<_> = metrics.configs.iter().map(|config| config.name.as_str()).collect();
    assert_eq!(names, ["interval.ms", "match", "metrics"]);
    assert_eq!(describe(&mut client, BROKER_LOGGER, "1", None).await.error_code, 0);
    // Keys that nobody knows are not told of, and neither is an error.
    assert_eq!(describe(&mut client, GROUP, "g", Some(&["no.such.key"])).await.configs, []);
    broker.stop().await;
}

#[tokio::test]
async fn a_resource_that_cannot_be_described_says_why() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let cases = [
        (TOPIC, "missing", UNKNOWN_TOPIC_OR_PARTITION, ""),
        (TOPIC, "", INVALID_TOPIC_EXCEPTION, "Topic name is invalid: the empty string is not allowed"),
        (TOPIC, "a b", INVALID_TOPIC_EXCEPTION, "Topic name is invalid: 'a b' contains"),
        (BROKER, "one", INVALID_REQUEST, "Broker id must be an integer, but it is: one"),
        (BROKER, "2", INVALID_REQUEST, "Unexpected broker id, expected 1 or empty string, but received 2"),
        (BROKER_LOGGER, "", INVALID_REQUEST, "Broker id must not be empty"),
        (BROKER_LOGGER, "2", INVALID_REQUEST, "Unexpected broker id, expected 1 but received 2"),
        (CLIENT_METRICS, "", INVALID_REQUEST, "Client metrics subscription name must not be empty"),
        (GROUP, "", INVALID_REQUEST, "Group name must not be empty"),
        (3, "x", INVALID_REQUEST, "Unknown resource type 3"),
    ];
    for (resource_type, name, code, message) in cases {
        let told = describe(&mut client, resource_type, name, None).await;
        assert_eq!((told.error_code, told.resource_type, told.resource_name.as_str()), (code, resource_type, name));
        assert!(told.error_message.as_deref().unwrap_or_default().starts_with(message), "{:?}", told.error_message);
        assert_eq!(told.configs, []);
    }
    // Each resource has its own answer, also one that is asked for twice, unless one is of no known type.
    let ask = |types: &[i8]| {
        let resources = types.iter().map(|resource_type| resource(*resource_type, "1", Some(&[]))).collect();
        DescribeConfigsRequest::default().with_resources(resources)
    };
    let codes = |results: Vec<DescribeConfigsResult>| results.into_iter().map(|one| one.error_code).collect::<Vec<_>>();
    assert_eq!(codes(client.ask(4, &ask(&[TOPIC, BROKER, BROKER])).await.results), [UNKNOWN_TOPIC_OR_PARTITION, 0, 0]);
    assert_eq!(codes(client.ask(4, &ask(&[BROKER, 3])).await.results), [INVALID_REQUEST; 2]);
    broker.stop().await;
}
