//! What the log store keeps and forgets, and when it waits for the disk.

use std::ops::Bound::{Excluded, Included, Unbounded};
use std::path::Path;

use openraft::storage::RaftLogStorageExt;
use openraft::vote::RaftLeaderId;

use super::*;
use crate::quorum::types::{LeaderId, Membership, StoredMembership};

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId::new(term, 0).to_committed(), index)
}

fn voters(term: u64, index: u64, voters: &[NodeId]) -> LogEntry {
    let membership = Membership::new_with_defaults(vec![voters.iter().copied().collect()], []);
    LogEntry { log_id: log_id(term, index), payload: Payload::Membership(membership) }
}

fn blank(term: u64, index: u64) -> LogEntry {
    LogEntry { log_id: log_id(term, index), payload: Payload::Blank }
}

fn open(directory: &Path, snapshot: Option<&SnapshotMeta>) -> LogStore {
    LogStore::open(Some(directory), 1, snapshot).unwrap().0
}

/// How many bytes of the log are known to be on the disk.
fn durable(directory: &Path) -> u64 {
    let text = std::fs::read_to_string(directory.join("durable-end")).unwrap();
    text.get(..20).map_or(0, |digits| digits.parse().unwrap())
}

/// Votes, and says whether the vote is on the disk then.
async fn votes_durably(directory: &Path, store: &mut LogStore, term: u64) -> bool {
    store.save_vote(&Vote::new(term, 1)).await.unwrap();
    durable(directory) == std::fs::metadata(log_path(directory)).unwrap().len()
}

#[tokio::test]
async fn a_vote_is_durable_unless_the_log_says_that_this_node_is_the_only_voter() {
    for (membership, is_durable) in
        [(None, true), (Some(&[1][..]), false), (Some(&[2]), true), (Some(&[1, 2, 3]), true)]
    {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path(), None);
        if let Some(membership) = membership {
            store.blocking_append([voters(0, 0, membership)]).await.unwrap();
        }
        assert_eq!(votes_durably(directory.path(), &mut store, 1).await, is_durable, "{membership:?}");
        drop(store);
        // What it finds again counts as what it was told.
        let mut store = open(directory.path(), None);
        assert_eq!(votes_durably(directory.path(), &mut store, 2).await, is_durable, "{membership:?} after a restart");
    }
}

#[tokio::test]
async fn a_membership_that_is_truncated_gives_way_to_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), None);
    store.blocking_append([voters(0, 0, &[1]), blank(1, 1)]).await.unwrap();
    assert!(!votes_durably(directory.path(), &mut store, 2).await);
    store.blocking_append([voters(1, 2, &[1, 2])]).await.unwrap();
    assert!(votes_durably(directory.path(), &mut store, 3).await);
    store.truncate_after(Some(log_id(1, 1))).await.unwrap();
    assert!(!votes_durably(directory.path(), &mut store, 4).await);
    drop(store);
    let mut store = open(directory.path(), None);
    assert!(!votes_durably(directory.path(), &mut store, 5).await, "also after a restart");
    store.blocking_append([voters(1, 2, &[1, 2]), voters(1, 3, &[1])]).await.unwrap();
    assert!(votes_durably(directory.path(), &mut store, 6).await, "as long as the log has a time with others");
}

#[tokio::test]
async fn who_votes_outlives_the_entry_that_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), None);
    store.save_vote(&Vote::new(1, 1)).await.unwrap();
    store.blocking_append([voters(0, 0, &[1]), voters(1, 1, &[1, 2]), blank(1, 2)]).await.unwrap();
    store.purge(log_id(1, 1)).await.unwrap();
    assert!(votes_durably(directory.path(), &mut store, 2).await);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut alone = open(elsewhere.path(), None);
    alone.blocking_append([voters(0, 0, &[1]), blank(1, 1)]).await.unwrap();
    alone.purge(log_id(1, 0)).await.unwrap();
    assert!(alone.lock().contents.is_alone());
    // Another node's snapshot, of a log that this one has never seen.
    alone.purge(log_id(4, 9)).await.unwrap();
    assert!(!alone.lock().contents.is_alone());
    drop(store);
    for (members, is_durable) in [(&[1, 2][..], true), (&[1], false)] {
        let Payload::Membership(membership) = voters(1, 1, members).payload else { unreachable!() };
        let last_membership = StoredMembership::new(Some(log_id(1, 1)), membership);
        let meta = SnapshotMeta { last_log_id: Some(log_id(1, 2)), last_membership };
        let store = open(directory.path(), Some(&meta));
        assert_eq!(store.lock().contents.is_alone(), !is_durable, "{members:?}");
    }
}

#[tokio::test]
async fn a_range_holds_the_entries_within_it() {
    let mut store = LogStore::open(None, 1, None).unwrap().0;
    store.blocking_append((0..10).map(|index| blank(1, index))).await.unwrap();
    store.purge(log_id(1, 3)).await.unwrap();
    store.truncate_after(Some(log_id(1, 7))).await.unwrap();
    let mut indexes = async |range: (Bound<u64>, Bound<u64>)| {
        let entries = store.try_get_log_entries(range).await.unwrap();
        entries.iter().map(|entry| entry.log_id.index).collect::<Vec<_>>()
    };
    assert_eq!(indexes((Unbounded, Unbounded)).await, [4, 5, 6, 7]);
    assert_eq!(indexes((Included(0), Excluded(6))).await, [4, 5]);
    assert_eq!(indexes((Excluded(4), Included(6))).await, [5, 6]);
    assert_eq!(indexes((Included(7), Excluded(u64::MAX))).await, [7]);
    assert_eq!(indexes((Included(8), Unbounded)).await, [0; 0]);
    assert_eq!(indexes((Included(6), Excluded(5))).await, [0; 0]);
}
