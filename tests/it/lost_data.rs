//! What is lost on the disk is said, and nothing goes with it: metadata, partitions, files, while a broker is stopped and
//! while it runs.

use std::path::{Path, PathBuf};

use kafka_protocol::messages::DeleteTopicsRequest;
use klamm::server::{Server, StartError};
use klamm::storage::LogDirError;

use crate::broker::{Broker, Topic, config};
use crate::server::{until, within};
use crate::watched::Watched;

const KAFKA_STORAGE_ERROR: i16 = 56;

fn on(directory: &Path) -> klamm::config::Config {
    config(&[("log.dirs", directory.to_str().unwrap())])
}

async fn refusal(directory: &Path) -> StartError {
    within(Server::start(on(directory))).await.err().unwrap()
}

fn copy(from: &Path, to: &Path) {
    drop(std::fs::remove_dir_all(to));
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The partitions' directories, and the sizes of what is in them.
fn partitions(directory: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() && entry.file_name() != "metadata" {
            let files = std::fs::read_dir(entry.path()).unwrap().map(Result::unwrap);
            found.extend(files.map(|file| (file.path(), file.metadata().unwrap().len())));
        }
    }
    found.sort();
    found
}

/// A stopped broker with two topics of one record each.
async fn stopped(directory: &Path) -> [Topic; 2] {
    let broker = Broker::on(directory).await;
    let mut client = broker.client().await;
    let topics = [client.create_topic("first", 1, &[]).await, client.create_topic("second", 1, &[]).await];
    for topic in &topics {
        client.append(topic, 0, &["kept"]).await;
    }
    broker.stop().await;
    topics
}

async fn assert_all_is_there(directory: &Path, topics: &[Topic]) {
    let broker = Broker::on(directory).await;
    let mut client = broker.client().await;
    for topic in topics {
        assert_eq!(client.read(topic, 0, 0).await, ["kept"]);
    }
    broker.stop().await;
}

#[tokio::test]
async fn damaged_metadata_is_refused_and_no_acknowledged_topic_vanishes() {
    let directory = tempfile::tempdir().unwrap();
    let topics = stopped(directory.path()).await;
    let log = directory.path().join("metadata/log");
    let (sound, before) = (std::fs::read(&log).unwrap(), partitions(directory.path()));
    let mut flipped = sound.clone();
    flipped[sound.len() - 3] ^= 4;
    for damaged in [&sound[..sound.len() * 3 / 4], &sound[..sound.len() - 1], &flipped] {
        std::fs::write(&log, damaged).unwrap();
        let refused = refusal(directory.path()).await;
        assert!(matches!(refused, StartError::DamagedMetadata { .. }), "{refused}");
        assert!(refused.to_string().contains("metadata/log, of") && refused.hint().unwrap().contains("restore"));
        assert!(std::fs::read(&log).unwrap() == damaged && partitions(directory.path()) == before);
    }
    // With less of it than one entry of records there is none.
    std::fs::write(&log, &sound[..sound.len() / 3]).unwrap();
    assert!(refusal(directory.path()).await.hint().unwrap().contains("restore"));
    assert_eq!(partitions(directory.path()), before);
    std::fs::write(&log, &sound).unwrap();
    assert_all_is_there(directory.path(), &topics).await;
}

/// The metadata of yesterday with the data of today: nobody may take the data for that of a deleted topic.
#[tokio::test]
async fn partitions_that_the_metadata_does_not_know_are_refused_until_somebody_decides() {
    let directory = tempfile::tempdir().unwrap();
    let (metadata, older) = (directory.path().join("metadata"), tempfile::tempdir().unwrap());
    let broker = Broker::on(directory.path()).await;
    let (mut client, first) = broker.client_with_topic("first", 1).await;
    client.append(&first, 0, &["kept"]).await;
    broker.stop().await;
    copy(&metadata, older.path());
    let broker = Broker::on(directory.path()).await;
    let (mut client, second) = broker.client_with_topic("second", 2).await;
    client.append(&second, 0, &["kept"]).await;
    broker.stop().await;

    let newer = tempfile::tempdir().unwrap();
    copy(&metadata, newer.path());
    copy(older.path(), &metadata);
    let before = partitions(directory.path());
    for _ in 0..2 {
        let refused = refusal(directory.path()).await;
        let unknown = matches!(refused, StartError::DataDirectory(LogDirError::UnknownPartitions { .. }));
        assert!(unknown && refused.to_string().contains("2 partitions"), "{refused}");
        assert!(refused.to_string().contains("second-0 (topic id "), "{refused}");
        assert!(refused.hint().unwrap().contains("-stray"));
        assert_eq!(partitions(directory.path()), before);
        assert!(directory.path().join(".kafka_cleanshutdown").exists(), "the stop was a clean one still");
    }
    copy(newer.path(), &metadata);
    assert_all_is_there(directory.path(), &[first.clone(), second]).await;
    // The other way out.
    copy(older.path(), &metadata);
    for name in ["second-0", "second-1"] {
        let path = directory.path().join(name);
        std::fs::rename(&path, directory.path().join(format!("{name}-stray"))).unwrap();
    }
    assert_all_is_there(directory.path(), &[first]).await;
    assert!(directory.path().join("second-0-stray/00000000000000000000.log").exists());
}

#[tokio::test]
async fn a_flipped_bit_in_a_topics_id_sets_no_log_aside() {
    let directory = tempfile::tempdir().unwrap();
    let topics = stopped(directory.path()).await;
    let path = directory.path().join("first-0/partition.metadata");
    let sound = std::fs::read(&path).unwrap();
    for position in [0, 9, 12, 21, 23, 30, 42] {
        let mut damaged = sound.clone();
        damaged[position] ^= 2;
        std::fs::write(&path, &damaged).unwrap();
        assert_all_is_there(directory.path(), &topics).await;
        let written = std::fs::read(&path).unwrap();
        // The version is not looked at, and the last character has bits to spare.
        let is_harmless = written == damaged && [0, 9, 42].contains(&position);
        assert!(written == sound || is_harmless, "the id is written anew: {position}");
    }
    // Another topic's directory is another matter.
    std::fs::copy(directory.path().join("second-0/partition.metadata"), &path).unwrap();
    let refused = refusal(directory.path()).await.to_string();
    assert!(refused.contains("first-0 (it says that its topic has the id "), "{refused}");
    std::fs::write(&path, &sound).unwrap();
    assert_all_is_there(directory.path(), &topics).await;
}

#[tokio::test]
async fn a_partition_that_vanished_while_the_broker_was_stopped_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = stopped(directory.path()).await;
    std::fs::remove_dir_all(directory.path().join("first-0")).unwrap();
    let broker = Watched::start(on(directory.path())).await;
    let errors = broker.logged("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    for part in ["partition=first-0", "directory is missing", "offsets 0 to 0 are gone"] {
        assert!(errors[0].contains(part), "{errors:?}");
    }
    let mut client = broker.client().await;
    assert_eq!(client.append(&first, 0, &["new"]).await, 0);
    assert_eq!(client.read(&second, 0, 0).await, ["kept"]);
    let checkpoint = std::fs::read_to_string(directory.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert!(checkpoint.contains("first 0 0\n"), "the new log has no older one's offsets: {checkpoint}");
    assert!(broker.stop().await);
    let broker = Broker::on(directory.path()).await;
    assert_eq!(broker.client().await.read(&first, 0, 0).await, ["new"]);
    broker.stop().await;
}

#[tokio::test]
async fn a_partition_removed_under_a_running_broker_takes_nothing_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = stopped(directory.path()).await;
    let broker = Watched::start(on(directory.path())).await;
    let mut client = broker.client().await;
    std::fs::remove_dir_all(directory.path().join("first-0")).unwrap();
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(vec![first.name.clone()]);
    assert_eq!(client.ask(5, &request).await.responses[0].error_code, 0);
    until(|| !broker.logged("was gone already").is_empty()).await;
    assert_eq!(client.append(&second, 0, &["more"]).await, 1);
    let again = client.create_topic("first", 1, &[]).await;
    assert_eq!(client.append(&again, 0, &["new"]).await, 0);
    assert!(broker.logged("ERROR").is_empty(), "{:?}", broker.logged("ERROR"));
    assert!(broker.stop().await);
}

/// It is written to as long as its files are open, and then it alone fails; a stop that cannot close it is none.
#[tokio::test]
async fn a_partition_that_cannot_be_closed_makes_the_stop_unclean() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = stopped(directory.path()).await;
    let broker = Watched::start(on(directory.path())).await;
    let mut client = broker.client().await;
    client.append(&first, 0, &["more"]).await;
    std::fs::remove_dir_all(directory.path().join("first-0")).unwrap();
    assert_eq!(client.append(&second, 0, &["more"]).await, 1);
    assert!(!broker.stop().await);
    assert!(!directory.path().join(".kafka_cleanshutdown").exists());
    let broker = Watched::start(on(directory.path())).await;
    assert_eq!(broker.client().await.read(&second, 0, 0).await, ["kept", "more"]);
    assert!(broker.logged("ERROR").iter().any(|line| line.contains("first-0")));
    assert!(broker.stop().await);
}

#[tokio::test]
async fn a_partition_that_could_not_be_opened_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let topics = stopped(directory.path()).await;
    // The topic's id must be written anew, and where it is written to a full device is in the way.
    let path = directory.path().join("first-0/partition.metadata");
    std::fs::write(&path, "").unwrap();
    let full = directory.path().join("first-0/partition.metadata.tmp");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let broker = Watched::start(on(directory.path())).await;
    let mut client = broker.client().await;
    // The failed attempt has removed the link.
    let code = client.fetch(&topics[0], 0, 0).await.error_code;
    assert!(code == KAFKA_STORAGE_ERROR || code == 0, "{code}");
    let errors = broker.logged("ERROR");
    for part in ["partition=first-0", "cannot be opened; this is tried again", "KAFKA_STORAGE_ERROR", "free some space"]
    {
        assert!(errors.iter().any(|line| line.contains(part)), "{part}: {errors:?}");
    }
    let served = async {
        while client.fetch(&topics[0], 0, 0).await.error_code != 0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    within(served).await;
    for topic in &topics {
        assert_eq!(client.read(topic, 0, 0).await, ["kept"]);
    }
    assert!(broker.stop().await);
}
