//! The metadata log over restarts, damage and snapshots.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;
use crate::ids::Uuid;
use crate::metadata::TopicRecord;

fn topic(number: u128) -> Vec<MetadataRecord> {
    vec![TopicRecord::Topic { name: format!("topic-{number}").into(), id: Uuid::from_u128(number + 1) }.into()]
}

fn names(image: &MetadataImage) -> Vec<String> {
    image.topics().map(|topic| topic.name.to_string()).collect()
}

async fn open(directory: &Path) -> MetadataQuorum {
    MetadataQuorum::open(QuorumOptions::new(1, Some(directory.to_path_buf()))).await.unwrap()
}

#[tokio::test]
async fn in_memory_a_proposal_is_published_before_it_returns() {
    let quorum = MetadataQuorum::open(QuorumOptions::new(1, None)).await.unwrap();
    let mut changes = quorum.subscribe();
    let offset = quorum.propose(topic(0)).await.unwrap();
    assert_eq!(names(&quorum.image()), ["topic-0"]);
    assert_eq!((quorum.image().offset, quorum.image().controller_epoch), (offset, quorum.epoch()));
    let (delta, image) = changes.next().await;
    assert_eq!((delta.topics().created().len(), image.offset), (1, offset));
    assert_eq!(quorum.controller_id(), Some(1));
    quorum.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_the_image_and_raises_the_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let mut epoch = 0;
    for round in 0..3 {
        let start = Instant::now();
        let quorum = open(directory.path()).await;
        let opened = start.elapsed();
        assert_eq!(quorum.image().topics().len(), round as usize);
        assert!(quorum.epoch() > epoch);
        epoch = quorum.epoch();
        quorum.propose(topic(round)).await.unwrap();
        eprintln!("leader after {opened:?}, first proposal durable after {:?}", start.elapsed());
        quorum.shutdown().await;
    }
}

/// A log of two topics whose broker has stopped: the log's path and its bytes.
async fn two_topics(directory: &Path) -> (PathBuf, Vec<u8>) {
    let quorum = open(directory).await;
    quorum.propose(topic(0)).await.unwrap();
    quorum.propose(topic(1)).await.unwrap();
    quorum.shutdown().await;
    let log = directory.join("log");
    let bytes = std::fs::read(&log).unwrap();
    (log, bytes)
}

async fn refusal(directory: &Path) -> String {
    let opened = MetadataQuorum::open(QuorumOptions::new(1, Some(directory.to_path_buf()))).await;
    opened.unwrap_err().to_string()
}

#[tokio::test]
async fn a_torn_write_is_cut_and_the_rest_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (log, intact) = two_topics(directory.path()).await;
    // What a crash leaves of one more frame: some of it, its length with zeros behind, zeros alone.
    let more = [&[0, 0, 0, 90, 1, 2, 3, 4, 5, 6][..], &[&[0, 0, 0, 9][..], &[0; 40]].concat(), &[0; 4_096]];
    for torn in more {
        std::fs::write(&log, [&intact[..], torn].concat()).unwrap();
        let quorum = open(directory.path()).await;
        assert_eq!(names(&quorum.image()), ["topic-0", "topic-1"]);
        quorum.shutdown().await;
    }
    let quorum = open(directory.path()).await;
    quorum.propose(topic(2)).await.unwrap();
    quorum.shutdown().await;
    let quorum = open(directory.path()).await;
    assert_eq!(names(&quorum.image()), ["topic-0", "topic-1", "topic-2"]);
    quorum.shutdown().await;
}

#[tokio::test]
async fn an_acknowledged_end_that_is_cut_or_damaged_is_an_error_and_not_a_loss() {
    let directory = tempfile::tempdir().unwrap();
    let (log, intact) = two_topics(directory.path()).await;
    let mut damaged: Vec<Vec<u8>> =
        [0, 3, 8, 20, intact.len() / 2, intact.len() - 1].map(|cut| intact[..cut].to_vec()).to_vec();
    for bit in 0..20 * 8 {
        let mut flipped = intact.clone();
        let last = flipped.len() - 1 - bit / 8;
        flipped[last] ^= 1 << (bit % 8);
        damaged.push(flipped);
    }
    for bytes in &damaged {
        std::fs::write(&log, bytes).unwrap();
        let refused = refusal(directory.path()).await;
        assert!(refused.contains("had been acknowledged") && refused.contains("truncate -s"), "{refused}");
        assert_eq!(&std::fs::read(&log).unwrap(), bytes, "nothing is changed");
    }
    std::fs::remove_file(&log).unwrap();
    assert!(refusal(directory.path()).await.contains("of 0 bytes"));
    // The way out that the message tells.
    std::fs::write(&log, damaged.last().unwrap()).unwrap();
    std::fs::remove_file(directory.path().join("durable-end")).unwrap();
    let quorum = open(directory.path()).await;
    assert_eq!(names(&quorum.image()), ["topic-0"]);
    quorum.shutdown().await;
}

/// A broker of an older version has left no durable end, and a damaged one tells nothing.
#[tokio::test]
async fn without_a_durable_end_an_invalid_tail_is_cut() {
    for durable_end in [None, Some("00000000000000000001 00000000\n")] {
        let directory = tempfile::tempdir().unwrap();
        let (log, intact) = two_topics(directory.path()).await;
        std::fs::write(&log, &intact[..intact.len() - 1]).unwrap();
        match durable_end {
            None => std::fs::remove_file(directory.path().join("durable-end")).unwrap(),
            Some(text) => std::fs::write(directory.path().join("durable-end"), text).unwrap(),
        }
        let quorum = open(directory.path()).await;
        assert_eq!(names(&quorum.image()), ["topic-0"]);
        quorum.propose(topic(2)).await.unwrap();
        quorum.shutdown().await;
        let intact = std::fs::read(&log).unwrap();
        std::fs::write(&log, &intact[..intact.len() - 1]).unwrap();
        assert!(refusal(directory.path()).await.contains("had been acknowledged"), "it is noted again");
    }
}

#[tokio::test]
async fn damage_before_intact_frames_is_an_error_and_not_a_loss() {
    let directory = tempfile::tempdir().unwrap();
    let quorum = open(directory.path()).await;
    quorum.propose(topic(0)).await.unwrap();
    quorum.propose(topic(1)).await.unwrap();
    quorum.shutdown().await;
    let log = directory.path().join("log");
    let mut damaged = std::fs::read(&log).unwrap();
    damaged[20] ^= 1;
    std::fs::write(&log, damaged).unwrap();
    let error = MetadataQuorum::open(QuorumOptions::new(1, Some(directory.path().to_path_buf()))).await.unwrap_err();
    assert!(error.to_string().contains("is damaged at byte 8"), "{error}");
}

/// Waits for what the quorum does in the background.
async fn reached(condition: impl Fn() -> bool) {
    let deadline = Duration::from_secs(10);
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(deadline, poll).await.expect("it is reached within 10 s");
}

#[tokio::test]
async fn snapshots_cut_the_log_and_carry_the_image() {
    let directory = tempfile::tempdir().unwrap();
    let options =
        QuorumOptions { entries_between_snapshots: 20, ..QuorumOptions::new(1, Some(directory.path().to_path_buf())) };
    let quorum = MetadataQuorum::open(options.clone()).await.unwrap();
    for number in 0..100 {
        quorum.propose(topic(number)).await.unwrap();
    }
    let (snapshot, log) = (directory.path().join("snapshot"), directory.path().join("log"));
    // 100 entries of about 50 bytes, of which the log keeps the newest.
    reached(|| snapshot.exists() && std::fs::metadata(&log).unwrap().len() < 3_000).await;
    quorum.shutdown().await;
    let quorum = MetadataQuorum::open(options).await.unwrap();
    assert_eq!(quorum.image().topics().len(), 100);
    quorum.propose(topic(100)).await.unwrap();
    quorum.shutdown().await;
    let quorum = open(directory.path()).await;
    assert_eq!(quorum.image().topics().len(), 101);
    quorum.shutdown().await;
}

#[tokio::test]
async fn a_lost_snapshot_or_log_is_an_error_and_not_an_empty_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let options =
        QuorumOptions { entries_between_snapshots: 4, ..QuorumOptions::new(1, Some(directory.path().to_path_buf())) };
    let quorum = MetadataQuorum::open(options.clone()).await.unwrap();
    for number in 0..20 {
        quorum.propose(topic(number)).await.unwrap();
    }
    let (snapshot, log) = (directory.path().join("snapshot"), directory.path().join("log"));
    // 20 entries of about 60 bytes, of which the log keeps the newest.
    reached(|| snapshot.exists() && std::fs::metadata(&log).unwrap().len() < 700).await;
    quorum.shutdown().await;
    let bytes = std::fs::read(&snapshot).unwrap();
    std::fs::remove_file(&snapshot).unwrap();
    let error = MetadataQuorum::open(options.clone()).await.unwrap_err();
    assert!(error.to_string().contains("a snapshot that is not there"), "{error}");
    std::fs::write(&snapshot, bytes).unwrap();
    std::fs::rename(&log, directory.path().join("elsewhere")).unwrap();
    let error = MetadataQuorum::open(options.clone()).await.unwrap_err();
    assert!(error.to_string().contains("had been acknowledged"), "{error}");
    std::fs::remove_file(directory.path().join("durable-end")).unwrap();
    let error = MetadataQuorum::open(options.clone()).await.unwrap_err();
    assert!(error.to_string().contains("vote"), "{error}");
    std::fs::rename(directory.path().join("elsewhere"), &log).unwrap();
    let quorum = MetadataQuorum::open(options).await.unwrap();
    assert_eq!(quorum.image().topics().len(), 20);
    quorum.shutdown().await;
}

#[tokio::test]
async fn an_idle_leader_still_writes_after_its_lease() {
    let heartbeat_interval = Duration::from_millis(200);
    let options = QuorumOptions { heartbeat_interval, ..QuorumOptions::new(1, None) };
    let quorum = MetadataQuorum::open(options).await.unwrap();
    tokio::time::sleep(heartbeat_interval * 6).await;
    quorum.propose(topic(0)).await.unwrap();
    quorum.shutdown().await;
}
