//! One path of the broker, so many times, for callgrind to count: `instructions PATH TIMES`.
//!
//! Broker and client share one thread and a socket, and every request is answered before the next one is sent: two runs
//! execute the same instructions but for what clocks and hash seeds change. `scripts/bench/instructions.py` runs it.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FetchRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    OffsetCommitRequest, ProduceRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use klamm::config::Config;
use klamm::controller::{CreateTopics, MutationQuota, NewTopic};
use klamm::ids::Uuid;
use klamm::protocol::compression::Compression;
use klamm::protocol::record_batch::BatchBuilder;
use klamm::server::Server;

mod wire;

use wire::{Client, Outcome, frame};

/// As in the program that is shipped: the allocator is a part of every path.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOPIC: &str = "t";
const GROUP: &str = "g";
/// Records in a batch, of the size that most benchmarks take.
const RECORDS: usize = 100;
const RECORD_SIZE: usize = 1024;
/// Commits that are sent before the first is answered, where they are many.
const PIPELINED: usize = 100;
/// Requests before those that are counted, so that buffers have their sizes.
const WARM_UPS: usize = 50;

const MEMBER_ID_REQUIRED: i16 = 79;
const COORDINATOR_ERRORS: std::ops::RangeInclusive<i16> = 14..=16;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [path, times] = words.as_slice() else {
        return Err("usage: instructions produce|produce-lz4|produce-zstd|fetch|commit|commits|heartbeat TIMES".into());
    };
    let (path, times) = (path.as_str(), times.parse()?);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(path, times))
}

async fn run(path: &str, times: usize) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().to_str().ok_or("the temporary directory has a strange name")?;
    let pairs = [
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("log.dirs", data),
        ("group.initial.rebalance.delay.ms", "0"),
        ("offsets.topic.num.partitions", "1"),
    ];
    let server = Server::start(Config::with(&pairs)?).await?;
    create_topic(&server).await?;
    let mut client = Client::connect(server.listeners()[0].1).await?;
    let frame = client.prepare(path).await?;
    let at_once = if path == "commits" { PIPELINED } else { 1 };
    let frames = frame.repeat(at_once);
    for _ in 0..WARM_UPS + times {
        match at_once {
            1 => client.exchange(&frame).await?,
            many => client.pipeline(&frames, many, |_| ()).await?,
        }
    }
    drop(client);
    server.stop().await?;
    Ok(())
}

async fn create_topic(server: &Server) -> Outcome<()> {
    let topic = NewTopic {
        name: TOPIC.into(),
        id: Uuid::new_v4(),
        partitions: 1,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Ok(BTreeMap::new()),
    };
    let request = CreateTopics {
        topics: vec![topic],
        validate_only: false,
        default_partitions: 1,
        default_replication_factor: 1,
        seed: 0,
        quota: MutationQuota::default(),
    };
    server.broker().controller.create_topics(request).await.map_err(|code| format!("no topic: {code}"))?;
    Ok(())
}

impl Client {
    /// Does what must come before a path, and returns the request that is the path, ready to be sent many times.
    async fn prepare(&mut self, path: &str) -> Outcome<Bytes> {
        match path {
            "produce" => self.produce(Compression::None).await,
            "produce-lz4" => self.produce(Compression::Lz4).await,
            "produce-zstd" => self.produce(Compression::Zstd).await,
            "fetch" => {
                while self.ask(9, &produce(Compression::None)).await?.responses[0].partition_responses[0].error_code
                    != 0
                {}
                let fetched = self.ask(11, &fetch()).await?;
                let records = fetched.responses[0].partitions[0].records.as_ref().map_or(0, Bytes::len);
                if records < RECORDS * RECORD_SIZE { Err("nothing was fetched".into()) } else { frame(11, &fetch()) }
            }
            "commit" | "commits" => {
                self.find_coordinator().await?;
                while self.ask(8, &commit()).await?.topics[0].partitions[0].error_code != 0 {}
                frame(8, &commit())
            }
            "heartbeat" => {
                self.find_coordinator().await?;
                let heartbeat = self.join().await?;
                let code = self.ask(4, &heartbeat).await?.error_code;
                if code == 0 { frame(4, &heartbeat) } else { Err(format!("a heartbeat is answered by {code}").into()) }
            }
            _ => Err("no such path".into()),
        }
    }

    async fn produce(&mut self, codec: Compression) -> Outcome<Bytes> {
        let produce = produce(codec);
        // The partition's leader may be a moment away.
        while self.ask(9, &produce).await?.responses[0].partition_responses[0].error_code != 0 {}
        frame(9, &produce)
    }

    async fn find_coordinator(&mut self) -> Outcome<()> {
        let request = FindCoordinatorRequest::default().with_key(text(GROUP));
        while self.ask(3, &request).await?.error_code != 0 {}
        Ok(())
    }

    /// Becomes the only member of the group; returns its heartbeat.
    async fn join(&mut self) -> Outcome<HeartbeatRequest> {
        let mut joined = JoinGroupResponse::default();
        loop {
            joined = self.ask(7, &join(&joined.member_id)).await?;
            match joined.error_code {
                0 => break,
                MEMBER_ID_REQUIRED => {}
                code if COORDINATOR_ERRORS.contains(&code) => joined = JoinGroupResponse::default(),
                code => return Err(format!("the group is not joined: {code}").into()),
            }
        }
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(Bytes::from_static(b"all"));
        let sync = SyncGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(vec![assignment]);
        self.ask(5, &sync).await?;
        Ok(HeartbeatRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id))
    }
}

/// One batch of values whose compressed size is about a third: letters from a generator of fixed seed, four of each.
fn produce(codec: Compression) -> ProduceRequest {
    let mut batch = BatchBuilder::new(0);
    batch.compression(codec);
    let mut state = 1_u32;
    for _ in 0..RECORDS {
        let value: Vec<u8> = (0..RECORD_SIZE / 4)
            .flat_map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                [b'a' + (state >> 24) as u8 % 16; 4]
            })
            .collect();
        batch.record(None, Some(&value));
    }
    let data = TopicProduceData::default()
        .with_name(topic())
        .with_partition_data(vec![PartitionProduceData::default().with_records(Some(batch.build()))]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data])
}

/// The first batch: a partition's bytes are cut to what one batch holds.
fn fetch() -> FetchRequest {
    let most = i32::try_from(RECORDS * RECORD_SIZE).unwrap_or(i32::MAX);
    let partition = FetchPartition::default().with_fetch_offset(0).with_partition_max_bytes(most);
    FetchRequest::default()
        .with_session_epoch(-1)
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(i32::MAX)
        .with_topics(vec![FetchTopic::default().with_topic(topic()).with_partitions(vec![partition])])
}

/// An offset that a consumer without membership commits.
fn commit() -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(42);
    let topics = vec![OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition])];
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics)
}

fn join(member_id: &StrBytes) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        // Valgrind is slow: the member must outlive it.
        .with_session_timeout_ms(1_800_000)
        .with_rebalance_timeout_ms(1_800_000)
        .with_member_id(member_id.clone())
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn topic() -> TopicName {
    TopicName(text(TOPIC))
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}
