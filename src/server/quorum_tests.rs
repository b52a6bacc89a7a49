//! Three nodes in one process: brokers ask the controller wherever it is, and clients any broker.

use std::sync::Arc;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, ApiKey, ApiVersionsRequest, BrokerId, CreateTopicsRequest, DescribeQuorumRequest,
    MetadataRequest, UnregisterBrokerRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::*;
use crate::controller::{
    AllocateProducerIds, AlterPartition, BrokerHeartbeat, CreateTopics, NewTopic, PartitionAlteration, RegisterBroker,
};
use crate::metadata::{Endpoint, LeaderRecoveryState};
use crate::network::channel::{Channel, ChannelError};
use crate::protocol::ErrorCode;

/// One that is the controller, and one that is not.
fn controller_and_other(servers: &[Server]) -> (&Server, &Server) {
    let is_controller = |server: &&Server| server.broker().is_controller();
    let controller = servers.iter().find(is_controller).expect("a controller");
    (controller, servers.iter().find(|server| !is_controller(server)).expect("another node"))
}

pub(super) async fn stop(servers: Vec<Server>) {
    let stopping: Vec<_> = servers.into_iter().map(|server| tokio::spawn(server.stop())).collect();
    for stopped in stopping {
        stopped.await.expect("no panic").expect("a clean stop");
    }
}

fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.into(),
        id: Uuid::from_u128(7),
        partitions: 1,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Ok(std::collections::BTreeMap::new()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_asks_a_controller_that_is_another_node() {
    let servers = three().await;
    let (server, other) = controller_and_other(&servers);
    let client = other.broker().controller.clone();
    let image = server.broker().image();
    let endpoint =
        Endpoint { listener: "PLAINTEXT".into(), host: "127.0.0.1".into(), port: 9, protocol: "PLAINTEXT".into() };
    let register = RegisterBroker {
        id: 9,
        cluster_id: Arc::clone(image.cluster_id()),
        incarnation: Uuid::from_u128(2),
        listeners: vec![endpoint],
        rack: Some("r".into()),
        log_dirs: vec![Uuid::from_u128(3_000)],
        previous_broker_epoch: -1,
    };
    let registered = client.register_broker(register.clone()).await.expect("an answer");
    let broker_epoch = registered.response.expect("registered");
    assert_eq!(registered.image_offset, 0, "another node's log is not this one's");
    let image = server.broker().image();
    let known = image.broker(9).expect("known");
    assert_eq!((known.epoch, known.rack.as_deref(), &known.log_dirs), (broker_epoch, Some("r"), &register.log_dirs));
    let wrong = RegisterBroker { cluster_id: "another".into(), ..register };
    let refused = client.register_broker(wrong).await.expect("an answer").response.expect_err("another cluster");
    assert_eq!(refused.code, ErrorCode::InconsistentClusterId);

    let heartbeat = BrokerHeartbeat {
        broker_id: 9,
        broker_epoch,
        current_metadata_offset: image.offset,
        wants_fence: false,
        wants_shutdown: false,
    };
    client.broker_heartbeat(heartbeat).await.expect("an answer").response.expect("beaten");
    let stale = BrokerHeartbeat { broker_epoch: broker_epoch + 1, ..heartbeat };
    let refused = client.broker_heartbeat(stale).await.expect("an answer").response.expect_err("stale");
    assert_eq!(refused.code, ErrorCode::StaleBrokerEpoch);

    let allocate = AllocateProducerIds { broker_id: 9, broker_epoch };
    let first = client.allocate_producer_ids(allocate).await.expect("an answer").response.expect("a block");
    let second = client.allocate_producer_ids(allocate).await.expect("an answer").response.expect("a block");
    assert_eq!(second.first, first.first + first.length);

    let config = server.broker().config.snapshot();
    let create = || CreateTopics::with_defaults(&config.broker, vec![topic("t")]);
    let created = client.create_topics(create()).await.expect("an answer").response;
    let created = created[0].result.as_ref().expect("created");
    assert_eq!((created.partitions, created.replication_factor), (1, 1));
    let again = client.create_topics(create()).await.expect("an answer").response;
    assert_eq!(again[0].result.as_ref().expect_err("there already").code, ErrorCode::TopicAlreadyExists);

    let alteration = PartitionAlteration {
        topic_id: created.id,
        partition: 0,
        leader_epoch: -1,
        partition_epoch: 0,
        new_isr: vec![(1, -1)],
        leader_recovery_state: LeaderRecoveryState::Recovered,
    };
    let alter = AlterPartition { broker_id: 9, broker_epoch, partitions: vec![alteration] };
    let altered = client.alter_partition(alter).await.expect("an answer").response.expect("answers");
    assert_eq!(altered[0].result.as_ref().expect_err("stale"), &ErrorCode::FencedLeaderEpoch);
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_passes_on_what_only_the_controller_answers() {
    let servers = three().await;
    let (server, other) = controller_and_other(&servers);
    let address = other.listeners()[0].1;
    let mut client = Channel::connect(address, "test").await.expect("a connection");

    let topics = vec![
        CreatableTopic::default()
            .with_name(StrBytes::from_static_str("there").into())
            .with_num_partitions(1)
            .with_replication_factor(1),
    ];
    let create = CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(5_000);
    let created = client.call(&create).await.expect("an answer");
    assert_eq!((created.topics[0].error_code, created.topics[0].num_partitions), (0, 1));
    assert!(server.broker().image().topic("there").is_some(), "where the controller is");
    // In the answer's own version, and with what the handler there says.
    let created = client.call_at(2, &create).await.expect("an answer");
    assert_eq!(created.topics[0].error_code, ErrorCode::TopicAlreadyExists.code());
    let unregister = UnregisterBrokerRequest::default().with_broker_id(BrokerId(77));
    let refused = client.call(&unregister).await.expect("an answer");
    assert_eq!(refused.error_code, ErrorCode::BrokerIdNotRegistered.code());
    client.call(&DescribeQuorumRequest::default()).await.expect("an answer");
    // What any broker answers is answered here.
    let metadata = client.call(&MetadataRequest::default()).await.expect("an answer");
    assert_eq!(metadata.brokers.len(), 3);
    drop(client);
    stop(servers).await;
}

#[tokio::test]
async fn what_nodes_ask_of_each_other_is_not_there_for_clients() {
    let config = [("listeners", "PLAINTEXT://127.0.0.1:0"), ("klamm.storage.kind", "memory")];
    let server = Server::start(Config::with(&config).expect("it is fine")).await.expect("a broker");
    let address = server.listeners()[0].1;
    let mut client = Channel::connect(address, "test").await.expect("a connection");
    let told = client
        .call_at(
            4,
            &ApiVersionsRequest::default()
                .with_client_software_name(StrBytes::from_static_str("test"))
                .with_client_software_version(StrBytes::from_static_str("1")),
        )
        .await
        .expect("an answer");
    let inner = [
        ApiKey::AlterPartition,
        ApiKey::Envelope,
        ApiKey::BrokerRegistration,
        ApiKey::BrokerHeartbeat,
        ApiKey::AllocateProducerIds,
    ];
    assert!(told.api_keys.iter().all(|api| inner.iter().all(|inner| *inner as i16 != api.api_key)));
    let refused = client.call_at(0, &AllocateProducerIdsRequest::default()).await.expect_err("no such API");
    assert!(matches!(refused, ChannelError::Io(_)), "{refused}");
    server.stop().await.expect("a clean stop");
}

/// Ports that nobody has.
fn free_ports<const N: usize>() -> [u16; N] {
    let sockets = [(); N].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    sockets.map(|socket| socket.local_addr().expect("an address").port())
}

/// Nodes 1 to 3 in memory, as they are started.
fn three_configs() -> [Config; 3] {
    let ports: [u16; 3] = free_ports();
    let voters: Vec<_> = (1..).zip(ports).map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
    let voters = voters.join(",");
    ["1", "2", "3"].map(|id| {
        let config = [
            ("listeners", "PLAINTEXT://127.0.0.1:0"),
            ("klamm.storage.kind", "memory"),
            ("node.id", id),
            ("controller.quorum.voters", &voters),
        ];
        Config::with(&config).expect("it is fine")
    })
}

async fn started(configs: impl IntoIterator<Item = Config>) -> Vec<Server> {
    let starting: Vec<_> = configs.into_iter().map(|config| tokio::spawn(Server::start(config))).collect();
    let mut servers = Vec::new();
    for server in starting {
        servers.push(server.await.expect("no panic").expect("a broker"));
    }
    servers
}

pub(super) async fn three() -> Vec<Server> {
    started(three_configs()).await
}

/// A node whose process can be killed: a runtime of its own, which ends with all that runs on it when `end` comes.
fn start_mortal(config: Config, end: std::sync::mpsc::Receiver<()>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let server = runtime.block_on(Server::start(config)).expect("a broker");
        end.recv().expect("an end");
        drop(server);
        runtime.shutdown_background();
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_without_a_goodbye_is_fenced_long_before_its_session_ends() {
    let [first, second, mortal] = three_configs();
    let (kill, end) = std::sync::mpsc::channel();
    let mortal = start_mortal(mortal, end);
    let servers = started([first, second]).await;
    let broker = Arc::clone(servers[0].broker());
    let is_unfenced = || broker.image().alive_brokers().any(|alive| alive.id == 3);
    for _ in 0..500 {
        if is_unfenced() {
            break;
        }
        broker.clock.sleep(Duration::from_millis(20)).await;
    }
    assert!(is_unfenced(), "node 3 is part of the cluster");
    kill.send(()).expect("it lives");
    mortal.join().expect("no panic");
    let died = broker.clock.monotonic();
    while is_unfenced() && broker.clock.monotonic().saturating_sub(died) < Duration::from_secs(5) {
        broker.clock.sleep(Duration::from_millis(5)).await;
    }
    let took = broker.clock.monotonic().saturating_sub(died);
    assert!(took < Duration::from_secs(1), "it was fenced after {took:?}");
    let epoch = broker.image().broker(3).expect("it stays registered").epoch;
    assert!(epoch > 0);
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_are_one_cluster_of_which_any_broker_can_be_asked() {
    let servers = three().await;
    for server in &servers {
        let mut client = Channel::connect(server.listeners()[0].1, "test").await.expect("a connection");
        let name = format!("by-{}", server.broker().node_id);
        let topic = CreatableTopic::default()
            .with_name(StrBytes::from_string(name.clone()).into())
            .with_num_partitions(3)
            .with_replication_factor(1);
        let create = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
        let created = client.call(&create).await.expect("an answer");
        assert_eq!((created.topics[0].error_code, created.topics[0].num_partitions), (0, 3), "{name}");
        let quorum = client.call(&DescribeQuorumRequest::default()).await.expect("an answer");
        assert_eq!(quorum.error_code, 0);
        assert!(server.broker().producer_ids.next().await.is_ok(), "{name}");
    }
    let broker = servers[0].broker();
    let mut names = Vec::new();
    // The last of them may still be on its way to a broker that was not asked.
    for _ in 0..100 {
        names = broker.image().topics().map(|topic| topic.name.to_string()).collect();
        if names.len() == 3 {
            break;
        }
        broker.clock.sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(names.len(), 3, "{names:?}");
    let alive: Vec<_> = broker.image().alive_brokers().map(|broker| broker.id).collect();
    assert_eq!(alive, [1, 2, 3]);
    stop(servers).await;
}
