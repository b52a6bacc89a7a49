//! Health and metrics by HTTP.

use kafka_protocol::messages::OffsetCommitRequest;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use klamm::config::Config;
use klamm::server::{Server, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::broker::{Broker, group_id, topic_name};
use crate::server::within;

/// The whole answer to a GET of `path`.
async fn get(broker: &Broker, path: &str) -> String {
    let mut stream = TcpStream::connect(broker.0.http().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

async fn broker() -> Broker {
    Broker::with(&[("klamm.http.bind", "127.0.0.1:0")]).await
}

#[tokio::test]
async fn a_broker_tells_that_it_is_ready() {
    let broker = broker().await;
    for path in ["/healthz", "/livez", "/readyz"] {
        let answer = get(&broker, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
    }
    assert!(get(&broker, "/nowhere").await.starts_with("HTTP/1.1 404"));
    broker.stop().await;
}

#[tokio::test]
async fn metrics_have_the_names_of_kafka_exporter() {
    let broker = broker().await;
    let (mut client, topic) = broker.client_with_topic("orders", 2).await;
    client.append(&topic, 0, &["a", "b", "c"]).await;
    client.find_coordinator("kitchen").await;
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let topics = OffsetCommitRequestTopic::default().with_name(topic_name("orders")).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(group_id("kitchen"))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topics]);
    assert_eq!(client.ask(7, &commit).await.topics[0].partitions[0].error_code, 0);
    let answer = get(&broker, "/metrics").await;
    assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    for line in [
        "kafka_brokers{} 1",
        "kafka_topic_partitions{topic=\"orders\"} 2",
        "kafka_topic_partition_current_offset{topic=\"orders\",partition=\"0\"} 3",
        "kafka_topic_partition_oldest_offset{topic=\"orders\",partition=\"0\"} 0",
        "kafka_topic_partition_leader{topic=\"orders\",partition=\"1\"} 1",
        "kafka_topic_partition_in_sync_replica{topic=\"orders\",partition=\"1\"} 1",
        "kafka_topic_partition_under_replicated_partition{topic=\"orders\",partition=\"1\"} 0",
        "kafka_consumergroup_current_offset{consumergroup=\"kitchen\",topic=\"orders\",partition=\"0\"} 1",
        "kafka_consumergroup_lag{consumergroup=\"kitchen\",topic=\"orders\",partition=\"0\"} 2",
        "kafka_consumergroup_lag_sum{consumergroup=\"kitchen\",topic=\"orders\"} 2",
        "kafka_consumergroup_members{consumergroup=\"kitchen\"} 0",
        "# EOF",
    ] {
        assert!(answer.contains(&format!("\n{line}\n")), "{line} is not in\n{answer}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_does_not_hold_up_the_stop() {
    let broker = broker().await;
    let mut silent = TcpStream::connect(broker.0.http().unwrap()).await.unwrap();
    silent.write_all(b"GET /metr").await.unwrap();
    within(broker.stop()).await;
}

#[tokio::test]
async fn silent_clients_cannot_take_all_descriptors() {
    let broker = broker().await;
    let address = broker.0.http().unwrap();
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut asked = Box::pin(get(&broker, "/healthz"));
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut asked).await;
    assert!(early.is_err(), "the ninth is accepted");
    drop(silent.pop());
    assert!(asked.await.starts_with("HTTP/1.1 200"));
    broker.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let pairs =
        [("klamm.http.bind", &*address), ("listeners", "PLAINTEXT://127.0.0.1:0"), ("klamm.storage.kind", "memory")];
    let refused = Server::start(Config::with(&pairs).unwrap()).await.err().unwrap();
    assert!(matches!(&refused, StartError::AddressTaken { listener, .. } if listener == "HTTP"), "{refused}");
}
