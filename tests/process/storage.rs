//! A broker whose file handles are used up, and one that cannot close its logs.

use std::time::{Duration, Instant};

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiVersionsRequest, CreateTopicsRequest, ProduceRequest};
use klamm::network::channel::Channel;
use klamm::protocol::record_batch::BatchBuilder;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::{Process, ask, topic};

const KAFKA_STORAGE_ERROR: i16 = 56;

async fn create_topic(client: &mut Channel) {
    let one = CreatableTopic::default().with_name(topic()).with_num_partitions(1).with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_timeout_ms(30_000).with_topics(vec![one]);
    assert_eq!(ask(client, 7, &request).await.topics[0].error_code, 0);
}

/// The error code of one record's append.
async fn produce(client: &mut Channel) -> i16 {
    let records = BatchBuilder::new(1).record(None, Some(b"a value")).build();
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic_data = TopicProduceData::default().with_name(topic()).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![topic_data]);
    ask(client, 9, &request).await.responses[0].partition_responses[0].error_code
}

/// Row F15 of the fault table: what could not be opened is opened when it can be, without a restart.
#[tokio::test]
async fn a_topic_made_without_file_handles_works_once_there_are_some() {
    let data = tempfile::tempdir().unwrap();
    let broker = Process::start(data.path());
    let mut client = broker.client().await;
    // A connection that waits in the backlog could not be accepted any more.
    ask(&mut client, 0, &ApiVersionsRequest::default()).await;
    let pid = Pid::from_child(&broker.child);
    let allow = |files: Option<u64>| {
        prlimit(Some(pid), Resource::Nofile, Rlimit { current: files, maximum: Some(64) }).unwrap();
    };
    // Descriptors are given from the lowest on: none below this limit is free.
    allow(Some(3));
    create_topic(&mut client).await;
    assert_eq!(produce(&mut client).await, KAFKA_STORAGE_ERROR);
    allow(Some(64));
    let start = Instant::now();
    while produce(&mut client).await != 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "it is not tried again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_stop_that_cannot_close_its_logs_is_a_failure() {
    let data = tempfile::tempdir().unwrap();
    for breaks in [false, true] {
        let mut broker = Process::start(data.path());
        let mut client = broker.client().await;
        if !breaks {
            create_topic(&mut client).await;
        }
        assert_eq!(produce(&mut client).await, 0);
        if breaks {
            std::fs::remove_dir_all(data.path().join("many-0")).unwrap();
        }
        kill_process(Pid::from_child(&broker.child), Signal::TERM).unwrap();
        let status = broker.child.wait().unwrap();
        assert_eq!(status.code(), Some(i32::from(breaks)));
    }
}
