//! What the log says about clients that stumble.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, JoinGroupRequest, ListOffsetsRequest, MetadataRequest, OffsetFetchRequest,
    ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use klamm::network::channel::{Channel, encode_request};
use klamm::protocol::record_batch::BatchBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::ask;
use crate::program::Program;

const METADATA: i16 = 9;

/// What clients ask first.
fn brokers_only() -> MetadataRequest {
    MetadataRequest::default().with_topics(Some(Vec::new()))
}

#[tokio::test]
async fn a_client_that_cannot_go_where_it_is_told_is_named_with_the_setting_that_mends_it() {
    let program = Program::start("127.0.0.1", &["--set", "advertised.listeners=PLAINTEXT://kafka.invalid:1"]);
    for _ in 0..20 {
        let mut channel = program.channel().await;
        assert_eq!(ask(&mut channel, METADATA, &brokers_only()).await.brokers[0].port, 1);
    }
    let line = program.wait_for("is told to connect to kafka.invalid:1 and does not");
    assert!(line.contains("KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:1 "), "{line}");
    assert_eq!(program.logged("is told to connect").len(), 1);
}

/// An address of this machine that is no loopback one, if it has any. Nothing is sent: the system only picks it.
fn address_on_a_network() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().unwrap().ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[tokio::test]
async fn a_client_elsewhere_that_is_told_localhost_is_named() {
    let Some(elsewhere) = address_on_a_network() else { return };
    let program = Program::start("0.0.0.0", &["--set", "advertised.listeners=PLAINTEXT://localhost:1"]);
    // From there to a loopback address it is, for the broker, a client of another machine.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(elsewhere, 0)).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], program.port).into()).await.unwrap();
    let frame = encode_request(1, &StrBytes::from_static_str("elsewhere"), METADATA, &brokers_only()).unwrap();
    stream.write_all(&frame).await.unwrap();
    assert!(stream.read_i32().await.unwrap() > 0);
    let line = program.wait_for("is told to connect to localhost:1, which to it is its own machine");
    assert!(line.contains(&format!("a client at {elsewhere} ")), "{line}");
}

fn payments() -> TopicName {
    TopicName(StrBytes::from_static_str("payments"))
}

/// Creates the topic and writes `records` into it.
async fn produce(channel: &mut Channel, records: usize) {
    let topic = MetadataRequestTopic::default().with_name(Some(payments()));
    ask(channel, METADATA, &MetadataRequest::default().with_topics(Some(vec![topic]))).await;
    let mut batch = BatchBuilder::new(1);
    for _ in 0..records {
        batch.record(None, Some(b"a payment"));
    }
    let batch = batch.build();
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    let data = TopicProduceData::default().with_name(payments()).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![data]);
    assert_eq!(ask(channel, 9, &request).await.responses[0].partition_responses[0].error_code, 0);
}

/// Has a consumer of `group` begin at the end, as one does that has not been told otherwise.
async fn begin_at_the_end(channel: &mut Channel, group: &'static str) {
    let group = GroupId(StrBytes::from_static_str(group));
    ask(channel, 3, &FindCoordinatorRequest::default().with_key(group.0.clone())).await;
    let protocol =
        JoinGroupRequestProtocol::default().with_name("range".into()).with_metadata(Bytes::from_static(b"m"));
    let join = JoinGroupRequest::default().with_group_id(group.clone()).with_protocol_type("consumer".into());
    let join = join.with_session_timeout_ms(10_000).with_rebalance_timeout_ms(10_000).with_protocols(vec![protocol]);
    assert_eq!(ask(channel, 3, &join).await.error_code, 0);
    let asked = OffsetFetchRequestTopic::default().with_name(payments()).with_partition_indexes(vec![0]);
    let offsets = OffsetFetchRequest::default().with_group_id(group).with_topics(Some(vec![asked]));
    assert_eq!(ask(channel, 5, &offsets).await.topics[0].partitions[0].committed_offset, -1);
    let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(payments()).with_partitions(vec![partition]);
    let ends = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    assert_eq!(ask(channel, 5, &ends).await.topics[0].partitions[0].error_code, 0);
}

#[tokio::test]
async fn a_group_that_begins_at_the_end_of_a_topic_with_records_is_named_once() {
    let program = Program::start("127.0.0.1", &[]);
    let mut channel = program.channel().await;
    produce(&mut channel, 3).await;
    begin_at_the_end(&mut channel, "payments-processor").await;
    begin_at_the_end(&mut program.channel().await, "billing").await;
    program.wait_for("group billing starts at the end of payments (3 older records are skipped); to replay: ");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(program.logged("group payments-processor starts at the end of payments (3 older").len(), 1);
}
