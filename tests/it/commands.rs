//! The commands that work with topics and configs, as programs: what they print, and how they end.

use std::process::Command;

use crate::broker::Broker;

/// What a program printed to stdout and stderr, and its exit code.
struct Ran {
    out: String,
    err: String,
    code: Option<i32>,
}

/// Runs `klamm` with the words of `line`, asking `broker`.
async fn klamm(broker: &Broker, line: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klamm"));
    let address = format!("127.0.0.1:{}", broker.port());
    command.args(line.replace("{broker}", &address).split(' ')).env("KLAMM_BROKERS", address);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { out: text(output.stdout), err: text(output.stderr), code: output.status.code() }
}

#[tokio::test]
async fn topics_are_made_described_changed_and_deleted() {
    let broker = Broker::start().await;
    let ran = klamm(&broker, "topic create orders -p 2 -c retention.ms=60000 -o json").await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("\"partitions\": 2"), "{}", ran.out);
    let ran = klamm(&broker, "topic describe orders").await;
    assert!(ran.out.contains("PARTITIONS   2"), "{}", ran.out);
    assert!(ran.out.contains("retention.ms  60000  topic"), "{}", ran.out);
    let ran = klamm(&broker, "topic alter orders -p 3 --unset retention.ms --set cleanup.policy=compact").await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ran = klamm(&broker, "topic describe orders -o yaml").await;
    assert!(ran.out.contains("cleanup.policy: compact") && !ran.out.contains("retention.ms"), "{}", ran.out);
    let ran = klamm(&broker, "topic delete orders").await;
    assert_eq!((ran.out.as_str(), ran.code), ("NAME    STATUS\norders  deleted\n", Some(0)));
    broker.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_with_a_topic_comes_with_what_to_try() {
    let broker = Broker::with(&[("klamm.create.topics", "orders:1:1")]).await;
    for (line, told, code) in [
        ("topic describe ordrs", "klamm: there is no topic ordrs\n  try: did you mean \"orders\"?\n", 1),
        ("topic delete zzzzz", "klamm topic list names those that are there", 1),
        ("topic alter orders --set retention.m=1", "did you mean \"retention.ms\"?", 1),
        ("topic alter orders", "required arguments were not provided", 2),
        ("topic create orders", "there is a topic orders already", 1),
        ("topics", "tip: klamm topic list", 2),
        ("cluster config --broker 9", "there is no broker 9", 1),
        ("cluster config --set log.retention.m=5", "brokers have no config log.retention.m", 1),
    ] {
        let ran = klamm(&broker, line).await;
        assert!(ran.err.contains(told), "{line}: {}", ran.err);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{line}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn kafkas_tools_are_there_by_their_own_names() {
    let broker = Broker::with(&[("klamm.create.topics", "orders:1:1")]).await;
    let ran = klamm(&broker, "kafka-topics --bootstrap-server {broker} --list").await;
    assert_eq!((ran.out.as_str(), ran.code), ("orders\n", Some(0)));
    let ran = klamm(&broker, "kafka-topics.sh --bootstrap-server {broker} --describe --topic missing").await;
    let told = "Error while executing topic command : Topic 'missing' does not exist as expected\n";
    assert_eq!((ran.out.as_str(), ran.code), (told, Some(1)));
    let ran = klamm(&broker, "kafka-cluster cluster-id -b {broker}").await;
    assert!(ran.out.starts_with("Cluster ID: "), "{}", ran.out);
    broker.stop().await;
}
