//! What our own client asks of a broker to have it changed: topics, configs, quotas, credentials.

use klamm::client::{ClusterClient, ConfigChange, PartitionIncrease, QuotaMatch, ScramPassword, TopicToCreate};
use klamm::config::{ConfigResourceType, ConfigSource};
use klamm::ids::TopicName;
use klamm::metadata::{EntityName, QuotaEntity, ScramMechanism};
use klamm::protocol::ErrorCode;

use crate::broker::Broker;
use crate::client::client_of;
use crate::server::within;

fn topic(name: &str, partitions: i32) -> TopicToCreate {
    TopicToCreate { name: name.to_owned(), partitions: Some(partitions), ..TopicToCreate::default() }
}

async fn create(client: &mut ClusterClient, topics: &[TopicToCreate]) -> Vec<Result<i32, String>> {
    let created = within(client.create_topics(topics, false)).await.unwrap();
    let outcome = |(_, outcome): (_, Result<klamm::client::CreatedTopic, klamm::client::ClientError>)| {
        outcome.map(|topic| topic.partitions).map_err(|error| error.to_string())
    };
    created.0.into_iter().map(outcome).collect()
}

#[tokio::test]
async fn topics_are_created_grow_and_are_deleted() {
    let broker = Broker::start().await;
    let mut client = client_of(&broker).await;
    let outcomes = create(&mut client, &[topic("orders", 2), topic("no/name", 1)]).await;
    assert_eq!(outcomes[0], Ok(2));
    assert!(outcomes[1].as_ref().expect_err("the name is invalid").contains("Topic name is invalid"), "{outcomes:?}");
    let outcomes = create(&mut client, &[topic("orders", 2)]).await;
    assert_eq!(outcomes, [Err("Topic 'orders' already exists.".to_owned())]);

    let increase = |total| [PartitionIncrease { topic: "orders".to_owned(), total, assignment: Vec::new() }];
    within(client.create_partitions(&increase(3))).await.unwrap().all().unwrap();
    let error = within(client.create_partitions(&increase(1))).await.unwrap().all().expect_err("fewer");
    assert_eq!(error.code(), Some(ErrorCode::InvalidPartitions));

    let names: [TopicName; 2] = ["orders".into(), "missing".into()];
    let deleted = within(client.delete_topics(&names)).await.unwrap().0;
    assert_eq!(deleted.len(), 2);
    for (name, outcome) in deleted {
        let code = outcome.err().and_then(|error| error.code());
        assert_eq!(code, (&*name == "missing").then_some(ErrorCode::UnknownTopicOrPartition), "{name}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn topics_are_described_page_by_page() {
    let broker = Broker::with(&[("klamm.create.topics", "orders:5:1,bills:1:1,a:2:1")]).await;
    let mut client = client_of(&broker).await;
    let names: [TopicName; 3] = ["orders".into(), "a".into(), "bills".into()];
    for page in [1, 2, 2000] {
        let topics = within(client.describe_topics(&names, page)).await.unwrap();
        let sizes: Vec<_> = topics.iter().map(|topic| (topic.name.as_ref(), topic.partitions.len())).collect();
        assert_eq!(sizes, [("orders", 5), ("a", 2), ("bills", 1)], "{page} at a time");
        assert_eq!(topics[0].partitions[4].eligible_leaders, Some(Vec::new()));
    }
    let error = within(client.describe_topics(&["missing".into()], 2000)).await.expect_err("it is missing");
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
    assert!(within(client.partition_moves()).await.unwrap().is_empty());
    broker.stop().await;
}

#[tokio::test]
async fn configs_are_changed_key_by_key() {
    let broker = Broker::with(&[("klamm.create.topics", "orders:1:1")]).await;
    let mut client = client_of(&broker).await;
    let changes = [
        ConfigChange::Set("retention.ms".to_owned(), "60000".to_owned()),
        ConfigChange::Set("cleanup.policy".to_owned(), "compact".to_owned()),
    ];
    within(client.alter_configs(ConfigResourceType::Topic, "orders", &changes)).await.unwrap();
    let delete = [ConfigChange::Delete("cleanup.policy".to_owned())];
    within(client.alter_configs(ConfigResourceType::Topic, "orders", &delete)).await.unwrap();
    let entries = within(client.describe_configs(ConfigResourceType::Topic, "orders", true)).await.unwrap();
    let own: Vec<_> = entries.iter().filter(|entry| entry.source == ConfigSource::Topic).collect();
    assert_eq!(own.len(), 1);
    assert_eq!((own[0].name.as_str(), own[0].value.as_deref()), ("retention.ms", Some("60000")));
    assert_eq!(own[0].synonyms[0].0.to_string(), "DYNAMIC_TOPIC_CONFIG");
    let soon = [ConfigChange::Set("retention.ms".to_owned(), "soon".to_owned())];
    let error = within(client.alter_configs(ConfigResourceType::Topic, "orders", &soon)).await.expect_err("no number");
    assert_eq!(error.code(), Some(ErrorCode::InvalidConfig));

    // A named broker answers for itself, and there is no other.
    let threads = [ConfigChange::Set("log.cleaner.threads".to_owned(), "2".to_owned())];
    within(client.alter_configs(ConfigResourceType::Broker, "1", &threads)).await.unwrap();
    let entries = within(client.describe_configs(ConfigResourceType::Broker, "1", false)).await.unwrap();
    assert!(entries.iter().any(|entry| entry.source == ConfigSource::DynamicBroker), "{entries:?}");
    assert!(entries.iter().all(|entry| entry.synonyms.is_empty()));
    let groups = [ConfigChange::Set("consumer.session.timeout.ms".to_owned(), "50000".to_owned())];
    within(client.alter_configs(ConfigResourceType::Group, "readers", &groups)).await.unwrap();
    assert_eq!(within(client.config_resources(ConfigResourceType::Group)).await.unwrap(), ["readers"]);
    broker.stop().await;
}

#[tokio::test]
async fn quotas_and_credentials_come_and_go() {
    let broker = Broker::start().await;
    let mut client = client_of(&broker).await;
    let alice = || EntityName::Named("alice".into());
    let entity = QuotaEntity { user: Some(alice()), ..QuotaEntity::default() };
    let changes = [("producer_byte_rate".to_owned(), Some(1024.0))];
    within(client.alter_client_quotas(&entity, &changes)).await.unwrap();
    for matched in [QuotaMatch::Any, QuotaMatch::One(alice())] {
        let quotas = within(client.describe_client_quotas(&[("user", matched)])).await.unwrap();
        assert_eq!(quotas, [(entity.clone(), vec![("producer_byte_rate".to_owned(), 1024.0)])]);
    }
    let default = [("user", QuotaMatch::One(EntityName::Default))];
    assert!(within(client.describe_client_quotas(&default)).await.unwrap().is_empty());
    let removed = [("producer_byte_rate".to_owned(), None)];
    within(client.alter_client_quotas(&entity, &removed)).await.unwrap();
    assert!(within(client.describe_client_quotas(&[("user", QuotaMatch::Any)])).await.unwrap().is_empty());

    let mechanism = ScramMechanism::Sha256;
    let password = [ScramPassword { mechanism, iterations: 4096, password: "secret".to_owned() }];
    within(client.alter_scram_credentials("alice", &[], &password)).await.unwrap();
    let described = within(client.describe_scram_credentials(&[])).await.unwrap().all().unwrap();
    assert_eq!(described, [("alice".to_owned(), vec![(mechanism, 4096)])]);
    within(client.alter_scram_credentials("alice", &[mechanism], &[])).await.unwrap();
    let error = within(client.alter_scram_credentials("alice", &[mechanism], &[])).await.expect_err("it is gone");
    assert_eq!(error.code(), Some(ErrorCode::ResourceNotFound));
    assert!(!format!("{password:?}").contains("secret"));
    broker.stop().await;
}

#[tokio::test]
async fn brokers_are_asked_what_they_serve() {
    let broker = Broker::start().await;
    let mut client = client_of(&broker).await;
    let apis = within(client.served_apis(1)).await.unwrap();
    assert!(apis.iter().any(|api| api.key == 18 && api.newest >= 4), "{apis:?}");
    let brokers = within(client.brokers_and_fences(true)).await.unwrap();
    assert_eq!(brokers.iter().map(|(broker, fenced)| (broker.id, *fenced)).collect::<Vec<_>>(), [(1, false)]);
    let error = within(client.unregister_broker(7)).await.expect_err("nobody is 7");
    assert_eq!(error.code(), Some(ErrorCode::BrokerIdNotRegistered));
    broker.stop().await;
}
