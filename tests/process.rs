//! The program as a process of its own, where a test needs one: with a limit of open files that is not this process's.
#![cfg(test)]

#[cfg(target_os = "linux")]
#[path = "process/first_run.rs"]
mod first_run;
#[path = "process/hints.rs"]
mod hints;
#[path = "process/json_log.rs"]
mod json_log;
#[path = "process/ports.rs"]
mod ports;
#[path = "process/program.rs"]
mod program;
#[path = "process/records.rs"]
mod records;
#[cfg(target_os = "linux")]
#[path = "process/storage.rs"]
mod storage;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiVersionsRequest, CreateTopicsRequest, FetchRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use klamm::network::channel;
use klamm::protocol::record_batch::BatchBuilder;
use tokio::net::TcpStream;

const PARTITIONS: i32 = 300;
/// Beside it, what the process opens for itself: about ten.
const DESCRIPTORS: u32 = 64;

/// A broker; it is killed when it goes out of scope.
struct Process {
    child: Child,
    port: u16,
}

impl Process {
    fn start(data: &Path) -> Self {
        let broker = env!("CARGO_BIN_EXE_klamm");
        let command =
            format!("ulimit -n {DESCRIPTORS}; exec {broker} start --listen 127.0.0.1:0 --data-dir {}", data.display());
        let mut child = Command::new("sh").arg("-c").arg(command).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.find(|line| line.contains("listening")).unwrap();
        let port = listening.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        Self { child, port }
    }

    async fn client(&self) -> channel::Channel {
        channel::Channel::connect(("127.0.0.1", self.port), "process").await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn ask<R: Request>(client: &mut channel::Channel, version: i16, request: &R) -> R::Response {
    tokio::time::timeout(Duration::from_secs(30), client.call_at(version, request)).await.unwrap().unwrap()
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("many"))
}

/// Each record is in a partition of its own.
async fn produce_everywhere(client: &mut channel::Channel) {
    for partition in 0..PARTITIONS {
        let records = BatchBuilder::new(1).record(None, Some(b"a value")).build();
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
        let topic_data = TopicProduceData::default().with_name(topic()).with_partition_data(vec![data]);
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![topic_data]);
        let response = ask(client, 9, &request).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0, "{partition}");
    }
}

/// How many of the partitions answer one fetch of all with records.
async fn readable(client: &mut channel::Channel) -> usize {
    let partition = |partition| FetchPartition::default().with_partition(partition).with_partition_max_bytes(1 << 20);
    let topics =
        vec![FetchTopic::default().with_topic(topic()).with_partitions((0..PARTITIONS).map(partition).collect())];
    let request = FetchRequest::default().with_max_bytes(1 << 26).with_topics(topics);
    let response = ask(client, 12, &request).await;
    let partitions = &response.responses[0].partitions;
    partitions.iter().filter(|data| data.error_code == 0 && !data.records.as_ref().unwrap().is_empty()).count()
}

/// Programs that read the log of a container get JSON from both of its outputs, and what they wait for inside of it.
#[test]
fn a_log_in_json_is_json_alone_and_holds_what_others_wait_for() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_klamm"))
        .args(["--listen", "127.0.0.1:0", "--memory", "--ready-line", "the last line"])
        // What is passed over is logged.
        .envs([("KLAMM_LOG_FORMAT", "json"), ("KAFKA_HEAP_OPTS", "-Xmx1g")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        printed.push(line.unwrap());
        if printed.last().unwrap().contains("the last line") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let logged: Vec<_> = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
    assert!(!logged.is_empty());
    let mut messages = String::new();
    for line in printed.iter().chain(&logged) {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "target", "message"] {
            assert!(event[field].is_string(), "{field}: {line}");
        }
        messages += event["message"].as_str().unwrap();
        messages.push('\n');
    }
    for phrase in [
        "is ready\n",
        "Transitioning from RECOVERY to RUNNING.\n",
        "Kafka Server started\n",
        "[KafkaServer id=1] started\n",
    ] {
        assert!(messages.contains(phrase), "{phrase}: {messages}");
    }
}

/// `scripts/open_files.py` does so with 5,000 partitions.
#[tokio::test]
async fn many_partitions_are_served_with_few_descriptors() {
    let data = tempfile::tempdir().unwrap();
    let broker = Process::start(data.path());
    let mut client = broker.client().await;
    let many = CreatableTopic::default().with_name(topic()).with_num_partitions(PARTITIONS).with_replication_factor(1);
    let created =
        ask(&mut client, 7, &CreateTopicsRequest::default().with_timeout_ms(30_000).with_topics(vec![many])).await;
    assert_eq!(created.topics[0].error_code, 0);
    produce_everywhere(&mut client).await;
    assert_eq!(readable(&mut client).await, PARTITIONS as usize);
    drop((client, broker));
    let broker = Process::start(data.path());
    // More clients than may be there at once: those that are accepted are served.
    let mut waiting = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(broker.client().await);
    }
    for _ in 0..40 {
        waiting.push(TcpStream::connect(("127.0.0.1", broker.port)).await.unwrap());
    }
    for client in &mut clients {
        assert_eq!(ask(client, 0, &ApiVersionsRequest::default()).await.error_code, 0);
        produce_everywhere(client).await;
        assert_eq!(readable(client).await, PARTITIONS as usize);
    }
}

/// The words that bash offers for the last one of a line, which has no quotes. There is a pause of 300 ms at most.
fn offered(broker: &str, line: &str) -> Vec<String> {
    let klamm = Path::new(env!("CARGO_BIN_EXE_klamm"));
    let script = format!(
        "source <(klamm completion bash)
         COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9
         _clap_complete_klamm klamm \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let path = format!("{}:/usr/bin:/bin", klamm.parent().unwrap().display());
    let output =
        Command::new("bash").args(["-c", &script]).env("PATH", path).env("KLAMM_BROKERS", broker).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("klamm:"), "{stderr}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

#[tokio::test]
async fn bash_completes_commands_keys_and_the_names_of_the_running_broker() {
    let data = tempfile::tempdir().unwrap();
    let broker = Process::start(data.path());
    let address = format!("127.0.0.1:{}", broker.port);
    for name in ["orders", "orders.dead", "payments"] {
        let created =
            Command::new(env!("CARGO_BIN_EXE_klamm")).args(["topic", "create", name, "-b", &address]).output();
        assert!(created.unwrap().status.success());
    }
    let reset = ["group", "reset", "billing", "--create", "--topic", "orders", "--to", "start", "-b", &address];
    assert!(Command::new(env!("CARGO_BIN_EXE_klamm")).args(reset).output().unwrap().status.success());
    assert_eq!(offered(&address, "klamm topic desc"), ["describe"]);
    assert_eq!(offered(&address, "klamm topic describe ord"), ["orders", "orders.dead"]);
    assert_eq!(offered("127.0.0.1:1", &format!("klamm topic delete -b {address} pay")), ["payments"]);
    assert_eq!(offered(&address, "klamm group describe b"), ["billing"]);
    assert_eq!(offered(&address, "klamm group reset billing --topic pay"), ["payments"]);
    assert_eq!(offered(&address, "klamm topic create new --config retention.m"), ["retention.ms="]);
    // Nobody is there: silence, at once.
    drop(broker);
    let began = std::time::Instant::now();
    assert!(offered(&address, "klamm topic describe ord").is_empty());
    assert!(began.elapsed() < Duration::from_secs(5));
}
