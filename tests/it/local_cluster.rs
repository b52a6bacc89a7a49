//! Several brokers of one cluster in this process, as a program that embeds them has them.

use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::CreateTopicsRequest;
use klamm::network::channel::Channel;
use klamm::server::{LocalCluster, LocalClusterError, Server, Surroundings};

use crate::broker::{Broker, Client, Topic, batch, config, new_topic, topic_config};
use crate::http::get_from;
use crate::server::within;

/// Three brokers on free ports.
async fn start(pairs: &[(&str, &str)]) -> LocalCluster {
    within(LocalCluster::start(&config(pairs), 3, &Surroundings::default())).await.unwrap()
}

fn port(server: &Server) -> u16 {
    server.listeners()[0].1.port()
}

async fn client(server: &Server) -> Client {
    Client(Channel::connect(("127.0.0.1", port(server)), "it").await.unwrap())
}

/// A topic with one partition that all three have, and that takes records while two are in sync.
async fn replicated_topic(servers: &[Server]) -> Topic {
    let topic = new_topic("t", 1, 3).with_configs(vec![topic_config(&("min.insync.replicas", "2"))]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let response = client(&servers[0]).await.ask(7, &request).await;
    assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
    Topic { name: response.topics[0].name.clone(), id: response.topics[0].topic_id }
}

/// The server that leads the partition, as soon as one of these does.
async fn leader(servers: &[Server]) -> &Server {
    within(async {
        loop {
            let leads = |server: &&Server| {
                let image = server.broker().image();
                image.topic("t").is_some_and(|topic| topic.partitions[0].leader == server.broker().node_id)
            };
            match servers.iter().find(leads) {
                Some(server) => return server,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
}

/// Appends with acks=all to whoever leads, again and again as a producer does until it is acknowledged.
async fn append(servers: &[Server], topic: &Topic, value: &str) {
    let records: Bytes = batch(&[value]);
    within(async {
        while client(leader(servers).await).await.produce(topic, 0, records.clone()).await.error_code != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// What the partition has, without what was appended twice because nobody heard that it was.
async fn read(servers: &[Server], topic: &Topic) -> Vec<String> {
    let mut values = client(leader(servers).await).await.read(topic, 0, 0).await;
    values.dedup();
    values
}

#[tokio::test]
async fn two_of_three_go_on_and_have_everything() {
    let mut servers = start(&[("klamm.storage.kind", "memory")]).await.into_servers();
    let topic = replicated_topic(&servers).await;
    append(&servers, &topic, "before").await;
    let leading = leader(&servers).await.broker().node_id;
    let place = servers.iter().position(|server| server.broker().node_id == leading).unwrap();
    within(servers.remove(place).stop()).await.unwrap();
    append(&servers, &topic, "after").await;
    assert_eq!(read(&servers, &topic).await, ["before", "after"]);
    assert_ne!(leader(&servers).await.broker().node_id, leading);
    // The last one has nobody to hand over to, and no quorum.
    for server in servers {
        within(server.stop()).await.unwrap();
    }
}

#[tokio::test]
async fn a_restart_finds_everything_although_the_controllers_are_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let data = [("log.dirs", directory.path().to_str().unwrap())];
    let (mut cluster_ids, mut voters) = (Vec::new(), Vec::<Vec<u16>>::new());
    let mut topic = None;
    for value in ["first", "second"] {
        // Whoever has the port of a controller meanwhile keeps it.
        let taken: Vec<_> =
            voters.last().into_iter().flatten().map(|port| TcpListener::bind(("127.0.0.1", *port))).collect();
        assert!(taken.iter().all(Result::is_ok), "{taken:?}");
        let cluster = start(&data).await;
        let servers = cluster.servers();
        if topic.is_none() {
            topic = Some(replicated_topic(servers).await);
        }
        append(servers, topic.as_ref().unwrap(), value).await;
        cluster_ids.push(servers[0].broker().image().cluster_id().to_string());
        let config = servers[0].broker().config.snapshot();
        voters.push(config.quorum_voters.iter().map(|voter| voter.port).collect::<Vec<_>>());
        if value == "second" {
            assert_eq!(read(servers, topic.as_ref().unwrap()).await, ["first", "second"]);
        }
        within(cluster.stop()).await.unwrap();
    }
    assert_eq!(cluster_ids[0], cluster_ids[1]);
    assert!(voters[0].iter().all(|port| !voters[1].contains(port)), "{voters:?}");
    let mut nodes: Vec<_> = directory.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    nodes.sort();
    assert_eq!(nodes, ["node-1", "node-2", "node-3"]);
    assert_eq!(LocalCluster::brokers_in(&config(&data).storage).map(|(_, number)| number), Some(3));
}

#[tokio::test]
async fn a_broker_whose_port_is_taken_has_another_one() {
    // Two neighbours, of which the second is somebody else's.
    let (first, _other) = std::iter::repeat_with(|| {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let first = other.local_addr().unwrap().port() - 1;
        TcpListener::bind(("127.0.0.1", first)).ok().map(|_| (first, other))
    })
    .flatten()
    .next()
    .unwrap();
    let listener = format!("PLAINTEXT://127.0.0.1:{first}");
    let pairs = [("klamm.storage.kind", "memory"), ("listeners", &listener), ("klamm.http.bind", "127.0.0.1:0")];
    let config = klamm::config::Config::with(&pairs).unwrap();
    let cluster = within(LocalCluster::start(&config, 3, &Surroundings::default())).await.unwrap();
    let servers = cluster.servers();
    assert_eq!(port(&servers[0]), first);
    assert!(![first, first + 1].contains(&port(&servers[1])));
    let image = servers[2].broker().image();
    for server in servers {
        let told = image.broker(server.broker().node_id).unwrap().listeners[0].port;
        assert_eq!(told, port(server));
    }
    assert!(servers.iter().all(|server| server.http().is_some()), "it was asked for");
    within(cluster.stop()).await.unwrap();
}

#[tokio::test]
async fn the_directory_of_one_broker_is_not_for_several() {
    let directory = tempfile::tempdir().unwrap();
    Broker::on(directory.path()).await.stop().await;
    let config = config(&[("log.dirs", directory.path().to_str().unwrap())]);
    let refused = LocalCluster::start(&config, 2, &Surroundings::default()).await.err().unwrap();
    assert!(matches!(&refused, LocalClusterError::OneBrokers { path } if path == directory.path()), "{refused}");
    assert!(!directory.path().join("node-1").exists());
}

/// What the servers tell of one metric without labels, each for itself.
async fn told(servers: &[Server], name: &str) -> Vec<u64> {
    let mut values = Vec::new();
    for server in servers {
        let text = get_from(server, "/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        values.push(line.parse().unwrap());
    }
    values
}

/// Waits until the servers tell these values.
async fn until_told(servers: &[Server], name: &str, expected: &[u64]) {
    let mut last = Vec::new();
    let patience = tokio::time::timeout(crate::server::PATIENCE, async {
        while last != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
            last = told(servers, name).await;
        }
    });
    assert!(patience.await.is_ok(), "{name}: {last:?}, and not {expected:?}");
}

/// What `klamm` prints with these words, asking all of the servers.
async fn klamm(servers: &[Server], line: &str) -> String {
    let brokers: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", port(server))).collect();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_klamm"));
    command.args(line.split(' ')).env("KLAMM_BROKERS", brokers.join(","));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_is_told_by_metrics_and_commands() {
    let pairs = [("klamm.storage.kind", "memory"), ("klamm.http.bind", "127.0.0.1:0"), ("broker.rack", "r")];
    let mut servers = start(&pairs).await.into_servers();
    let topic = replicated_topic(&servers).await;
    append(&servers, &topic, "before").await;
    let (of_manager, of_controller) = ("kafka_server_replicamanager", "kafka_controller_kafkacontroller");
    for (name, each) in [
        (format!("{of_manager}_partitioncount"), 1),
        (format!("{of_manager}_underreplicatedpartitions"), 0),
        (format!("{of_controller}_activebrokercount"), 3),
        (format!("{of_controller}_fencedbrokercount"), 0),
        (format!("{of_controller}_offlinepartitionscount"), 0),
        ("kafka_server_replicafetchermanager_maxlag".to_owned(), 0),
    ] {
        until_told(&servers, &name, &[each; 3]).await;
    }
    let one_of_three = |values: Vec<u64>| assert_eq!(values.iter().sum::<u64>(), 1, "{values:?}");
    one_of_three(told(&servers, &format!("{of_manager}_leadercount")).await);
    one_of_three(told(&servers, &format!("{of_controller}_activecontrollercount")).await);
    let table = klamm(&servers, "cluster info").await;
    assert!(
        table.contains("TOPICS  PARTITIONS  UNDER REPLICATED  OFFLINE\n1       1           0                 0"),
        "{table}"
    );

    let leading = leader(&servers).await.broker().node_id;
    let place = servers.iter().position(|server| server.broker().node_id != leading).unwrap();
    within(servers.remove(place).stop()).await.unwrap();
    until_told(&servers, &format!("{of_controller}_fencedbrokercount"), &[1; 2]).await;
    until_told(&servers, &format!("{of_controller}_activebrokercount"), &[2; 2]).await;
    let led = servers.iter().map(|server| u64::from(server.broker().node_id == leading)).collect::<Vec<_>>();
    until_told(&servers, &format!("{of_manager}_underreplicatedpartitions"), &led).await;
    until_told(&servers, &format!("{of_manager}_isrshrinks_total"), &led).await;
    until_told(&servers, &format!("{of_manager}_atminisrpartitioncount"), &led).await;
    let info: serde_json::Value = serde_json::from_str(&klamm(&servers, "cluster info -o json").await).unwrap();
    let states: Vec<_> = info["brokers"].as_array().unwrap().iter().map(|broker| &broker["state"]).collect();
    assert_eq!(states.iter().filter(|state| **state == "fenced").count(), 1, "{info}");
    assert_eq!((&info["partitions"]["under_replicated"], &info["brokers"][0]["rack"]), (&1.into(), &"r".into()));
    assert_eq!(info["voters"].as_array().map(Vec::len), Some(3));
    let under = klamm(
        &servers,
        "kafka-topics --bootstrap-server {b} --describe --under-replicated-partitions"
            .replace("{b}", &format!("127.0.0.1:{}", port(&servers[0])))
            .as_str(),
    )
    .await;
    assert!(under.contains("Topic: t\tPartition: 0"), "{under}");
    for server in servers {
        within(server.stop()).await.unwrap();
    }
}
