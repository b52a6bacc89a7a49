//! What committed offsets cost: how many are taken in a second, and how long a start with many of them takes.
//!
//!     commits rate CONNECTIONS PIPELINED SECONDS
//!     commits start COMMITS GROUPS COMMITS_PER_BATCH [SECONDS_FOR_THE_CLEANER]
//!
//! Broker and clients share this process. One partition of `__consumer_offsets` holds everything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    CreateTopicsRequest, FindCoordinatorRequest, GroupId, OffsetCommitRequest, OffsetFetchRequest, TopicName,
    create_topics_request::CreatableTopic,
};
use kafka_protocol::protocol::StrBytes;
use klamm::clock::Clock;
use klamm::config::Config;
use klamm::ids::GROUP_METADATA_TOPIC;
use klamm::protocol::coordinator_records::{CoordinatorRecord, OffsetCommitKey, OffsetCommitValue};
use klamm::protocol::record_batch::BatchBuilder;
use klamm::replication::hosted_partition::AppendRequest;
use klamm::server::Server;

mod wire;

use wire::{Client, Outcome, frame};

/// As in the program that is shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let work = async {
        match words.as_slice() {
            ["rate", connections, pipelined, seconds] => {
                rate(connections.parse()?, pipelined.parse()?, Duration::from_secs(seconds.parse()?)).await
            }
            ["start", commits, groups, per_batch] => {
                start(commits.parse()?, groups.parse()?, per_batch.parse()?, 0).await
            }
            ["start", commits, groups, per_batch, seconds] => {
                start(commits.parse()?, groups.parse()?, per_batch.parse()?, seconds.parse()?).await
            }
            _ => Err(
                "usage: commits rate CONNECTIONS PIPELINED SECONDS | start COMMITS GROUPS COMMITS_PER_BATCH [SECONDS]"
                    .into(),
            ),
        }
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Starts on `data`, with a topic and the coordinator ready.
async fn serve(data: &str) -> Outcome<(Server, Client)> {
    let pairs = [
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("log.dirs", data),
        ("offsets.topic.num.partitions", "1"),
        ("offsets.retention.minutes", "1000000"),
    ];
    let server = Server::start(Config::with(&pairs)?).await?;
    let client = Client::connect(server.listeners()[0].1).await?;
    Ok((server, client))
}

async fn prepare(client: &mut Client) -> Outcome<()> {
    let topic = CreatableTopic::default().with_name(topic()).with_num_partitions(1).with_replication_factor(1);
    let create = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    client.ask(5, &create).await?;
    let find = FindCoordinatorRequest::default().with_key("group-0".to_owned().into());
    while client.ask(3, &find).await?.error_code != 0 {}
    while client.ask(8, &commit(0)).await?.topics[0].partitions[0].error_code != 0 {}
    Ok(())
}

/// Each connection commits for a group of its own.
async fn rate(connections: usize, pipelined: usize, duration: Duration) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let (server, mut client) = serve(directory.path().to_str().ok_or("a strange name")?).await?;
    prepare(&mut client).await?;
    let (address, begin, cpu) = (server.listeners()[0].1, Instant::now(), cpu_seconds()?);
    let mut tasks = tokio::task::JoinSet::new();
    for group in 0..connections {
        tasks.spawn(async move {
            let mut client = Client::connect(address).await?;
            let frames = frame(8, &commit(group))?.repeat(pipelined);
            let (mut done, mut refused) = (0_usize, 0_usize);
            while begin.elapsed() < duration {
                // The answer of version 8 ends in its one error code and the tag section.
                client
                    .pipeline(&frames, pipelined, |answer| {
                        refused += usize::from(!answer.ends_with(&[0, 0, 0, 0, 0]));
                    })
                    .await?;
                done += pipelined;
            }
            Outcome::Ok((done, refused))
        });
    }
    let (mut commits, mut refused) = (0, 0);
    for outcome in tasks.join_all().await {
        let (done, bad) = outcome?;
        commits += done;
        refused += bad;
    }
    let (elapsed, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    println!(
        "{connections} connections, {pipelined} pipelined: {:.0} commits/s, {:.1} CPU µs each with the client's, {refused} refused",
        commits as f64 / elapsed,
        cpu * 1e6 / commits as f64,
    );
    server.stop().await?;
    Ok(())
}

/// Writes the commits as a coordinator does, leaves the cleaner so much time, and starts on what is there then.
async fn start(commits: usize, groups: usize, per_batch: usize, cleaner_seconds: u64) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().to_str().ok_or("a strange name")?;
    let (server, mut client) = serve(data).await?;
    prepare(&mut client).await?;
    let (clock, hosted) = (Clock::system(), server.broker().replicas.partition(GROUP_METADATA_TOPIC, 0)?);
    for first in (0..commits).step_by(per_batch) {
        let now = clock.now();
        let mut batch = BatchBuilder::new(now.timestamp_ms);
        for number in first..commits.min(first + per_batch) {
            let encoded = record(number, groups, now.timestamp_ms).encode()?;
            batch.record(Some(&encoded.key), encoded.value.as_deref());
        }
        hosted.append(&AppendRequest::by_coordinator(&batch.build(), -1), now).map_err(|error| format!("{error:?}"))?;
    }
    tokio::time::sleep(Duration::from_secs(cleaner_seconds)).await;
    drop((hosted, client));
    server.stop().await?;
    let mut size = 0;
    for entry in std::fs::read_dir(directory.path().join("__consumer_offsets-0"))? {
        size += entry?.metadata()?.len();
    }
    for _ in 0..5 {
        let (begin, cpu) = (Instant::now(), cpu_seconds()?);
        let (server, mut client) = serve(data).await?;
        let started = begin.elapsed();
        let offset = loop {
            let answer = client.ask(6, &fetch(groups - 1)).await?;
            if answer.error_code == 0 {
                break answer.topics[0].partitions[0].committed_offset;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        println!(
            "{commits} commits of {groups} groups, {per_batch} in a batch, {} MB: {:.0} ms from the start to offset {offset} ({:.0} ms until it listened), {:.0} ms of CPU",
            size / 1_000_000,
            begin.elapsed().as_secs_f64() * 1e3,
            started.as_secs_f64() * 1e3,
            (cpu_seconds()? - cpu) * 1e3,
        );
        drop(client);
        server.stop().await?;
    }
    Ok(())
}

fn record(number: usize, groups: usize, timestamp_ms: i64) -> CoordinatorRecord {
    let group = Arc::from(group(number % groups));
    CoordinatorRecord::OffsetCommit {
        key: OffsetCommitKey { group, topic: "t".into(), partition: 0 },
        value: Some(OffsetCommitValue {
            offset: number as i64,
            leader_epoch: -1,
            metadata: "".into(),
            commit_timestamp_ms: timestamp_ms,
            expire_timestamp_ms: None,
        }),
    }
}

/// What this process has had of the processors, in seconds.
fn cpu_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn commit(group_number: usize) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(42);
    let topics = vec![OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition])];
    OffsetCommitRequest::default()
        .with_group_id(GroupId(group(group_number).into()))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics)
}

fn fetch(group_number: usize) -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![0]);
    OffsetFetchRequest::default().with_group_id(GroupId(group(group_number).into())).with_topics(Some(vec![topic]))
}

fn group(number: usize) -> String {
    format!("group-{number}")
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}
