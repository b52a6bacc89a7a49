//! Our own client against a broker of ours.

use std::time::Duration;

use klamm::client::{ClientError, ClientSettings, ClusterClient, EARLIEST, LATEST, bootstrap_addresses};
use klamm::ids::TopicPartition;
use klamm::protocol::ErrorCode;

use crate::broker::Broker;
use crate::server::within;

/// A client of `broker`.
pub(crate) async fn client_of(broker: &Broker) -> ClusterClient {
    client_at(broker.port()).await
}

/// A client of what listens at `port`.
pub(crate) async fn client_at(port: u16) -> ClusterClient {
    let settings = ClientSettings {
        bootstrap: bootstrap_addresses(&format!("127.0.0.1:{port}")).unwrap(),
        client_id: "it".to_owned(),
        request_timeout: Duration::from_secs(5),
        api_timeout: Duration::from_secs(5),
    };
    within(ClusterClient::connect(settings)).await.unwrap()
}

#[tokio::test]
async fn a_cluster_and_its_topics_are_described() {
    let broker = Broker::with(&[("klamm.create.topics", "payments:3:1")]).await;
    let mut client = client_of(&broker).await;
    let cluster = within(client.describe_cluster()).await.unwrap();
    assert_eq!((cluster.brokers.len(), cluster.brokers[0].port), (1, i32::from(broker.port())));
    assert_eq!(cluster.controller, Some(1));
    let topics = within(client.all_topics()).await.unwrap();
    assert_eq!(topics.len(), 1);
    assert_eq!((topics[0].name.as_ref(), topics[0].partitions.len()), ("payments", 3));
    let asked = within(client.topics(&["missing".into(), "payments".into()])).await.unwrap();
    assert_eq!(asked[0], ("missing".into(), Err(ErrorCode::UnknownTopicOrPartition)));
    assert_eq!(asked[1], ("payments".into(), Ok(topics[0].clone())));
    broker.stop().await;
}

#[tokio::test]
async fn offsets_are_listed_by_the_leaders() {
    let broker = Broker::with(&[("klamm.create.topics", "payments:1:1")]).await;
    let mut client = client_of(&broker).await;
    let (here, missing) = (TopicPartition::new("payments", 0), TopicPartition::new("payments", 7));
    let listed = within(client.list_offsets(&[(here.clone(), EARLIEST)], false)).await.unwrap();
    assert_eq!(listed[&here].unwrap().offset, 0);
    client = {
        let mut settings = client.settings().clone();
        settings.api_timeout = Duration::from_millis(300);
        within(ClusterClient::connect(settings)).await.unwrap()
    };
    let wanted = [(here.clone(), LATEST), (missing.clone(), LATEST)];
    let listed = within(client.list_offsets(&wanted, false)).await.unwrap();
    assert_eq!(listed[&here].unwrap().offset, 0);
    assert_eq!(listed[&missing], Err(ErrorCode::UnknownTopicOrPartition));
    broker.stop().await;
}

#[tokio::test]
async fn a_lost_connection_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let mut client = client_of(&broker).await;
    let port = broker.port();
    broker.stop().await;
    let error = within(client.all_topics()).await.expect_err("nobody is there");
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    let listeners = format!("PLAINTEXT://127.0.0.1:{port}");
    let again = Broker::with(&[("listeners", &listeners)]).await;
    assert!(within(client.all_topics()).await.unwrap().is_empty());
    again.stop().await;
}
