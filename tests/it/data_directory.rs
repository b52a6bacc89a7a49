//! Directories that a broker does not start on, and leaves as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use klamm::server::{Server, StartError};
use klamm::storage::LogDirError;

use crate::broker::{Broker, config};
use crate::server::within;

#[path = "../fixtures/unpack.rs"]
pub(crate) mod unpack;

/// When everything below a directory was last changed, and what the files hold.
pub(crate) type Tree = BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)>;

pub(crate) fn tree(directory: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        let content = metadata.is_file().then(|| std::fs::read(&path).unwrap());
        if metadata.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        tree.insert(path, (metadata.modified().unwrap(), content));
    }
    tree
}

/// The refusal to start on `directory`, which must be as it was before.
pub(crate) async fn refusal(directory: &Path) -> LogDirError {
    let before = tree(directory);
    let start = Server::start(config(&[("log.dirs", directory.to_str().unwrap())]));
    let refused = within(start).await.err().unwrap();
    assert!(tree(directory) == before, "something was changed by: {refused}");
    assert!(refused.hint().unwrap().contains("touched"), "{refused}");
    match refused {
        StartError::DataDirectory(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_directory_of_kafka_without_its_metadata_is_refused_and_not_touched() {
    for name in ["clean", "killed"] {
        let directory = tempfile::tempdir().unwrap();
        let archive = format!("{}/tests/fixtures/kafka-4.1-data.{name}.tar.gz", env!("CARGO_MANIFEST_DIR"));
        unpack::unpack(Path::new(&archive), directory.path());
        // As a broker's directory that has no part in the metadata, and with a metadata log of ours beside Kafka's.
        let (metadata, ours) = (directory.path().join("__cluster_metadata-0"), directory.path().join("metadata"));
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::rename(&metadata, elsewhere.path().join("metadata")).unwrap();
        let refused = refusal(directory.path()).await;
        assert!(matches!(refused, LogDirError::MetadataMissing { .. }), "{refused}");
        assert!(refused.to_string().contains("meta.properties and 1"), "{refused}");
        std::fs::rename(elsewhere.path().join("metadata"), &metadata).unwrap();
        std::fs::create_dir(&ours).unwrap();
        assert!(matches!(refusal(directory.path()).await, LogDirError::Kafkas { .. }));
        std::fs::write(ours.join("log"), "klamm-m\x01").unwrap();
        assert!(matches!(refusal(directory.path()).await, LogDirError::Kafkas { .. }));
    }
}

#[tokio::test]
async fn our_own_directory_without_its_metadata_log_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::on(directory.path()).await;
    let (mut client, topic) = broker.client_with_topic("t", 2).await;
    client.append(&topic, 0, &["kept"]).await;
    broker.stop().await;
    let metadata = directory.path().join("metadata");
    let log = metadata.join("log");
    let sound = std::fs::read(&log).unwrap();
    // Empty, and cut in the first record: nothing of the metadata is left in either.
    for damaged in [&b""[..], &sound[..8], &sound[..40]] {
        std::fs::write(&log, damaged).unwrap();
        let refused = refusal(directory.path()).await;
        assert!(refused.to_string().contains("meta.properties and 2 partitions (t-0, t-1), but"), "{refused}");
    }
    std::fs::remove_file(&log).unwrap();
    assert!(matches!(refusal(directory.path()).await, LogDirError::MetadataMissing { .. }));
    std::fs::remove_dir_all(&metadata).unwrap();
    assert!(matches!(refusal(directory.path()).await, LogDirError::MetadataMissing { .. }));
    std::fs::create_dir(&metadata).unwrap();
    std::fs::write(&log, &sound).unwrap();
    let broker = Broker::on(directory.path()).await;
    assert_eq!(broker.client().await.read(&topic, 0, 0).await, ["kept"]);
    broker.stop().await;
}

/// A first start may be cut short anywhere; the next one is then the first.
#[tokio::test]
async fn a_first_start_that_was_cut_short_is_begun_again() {
    let whole = tempfile::tempdir().unwrap();
    Broker::on(whole.path()).await.stop().await;
    let identity = std::fs::read(whole.path().join("meta.properties")).unwrap();
    let steps: [&dyn Fn(&Path); 4] = [
        &|path| std::fs::write(path.join(".lock"), "").unwrap(),
        &|path| std::fs::create_dir(path.join("metadata")).unwrap(),
        &|path| std::fs::write(path.join("meta.properties"), &identity).unwrap(),
        &|path| std::fs::write(path.join("metadata/log"), "klamm-m\x01").unwrap(),
    ];
    for done in 0..=steps.len() {
        let directory = tempfile::tempdir().unwrap();
        for step in &steps[..done] {
            step(directory.path());
        }
        let broker = Broker::on(directory.path()).await;
        broker.client_with_topic("t", 1).await;
        broker.stop().await;
        let broker = Broker::on(directory.path()).await;
        broker.stop().await;
    }
}
