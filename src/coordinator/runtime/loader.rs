//! What the log remembers becomes a machine.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::actor::Actor;
use crate::coordinator::machine::CoordinatorMachine;
use crate::ids::{LeaderEpoch, ProducerIdAndEpoch};
use crate::protocol::ErrorCode;
use crate::protocol::control_records::EndTransactionMarker;
use crate::protocol::record_batch::{BatchError, BatchHeader, RecordBatch, batches, visit_raw_records};
use crate::replication::hosted_partition::{HostedPartition, ReadRequest};

/// Bytes of the log that are read, and looked through for records that later ones supersede, at a time.
const LOAD_CHUNK_BYTES: usize = 1 << 20;

/// Batches that decompress to more are not looked through together.
const DECOMPRESSED_BYTES: usize = 8 << 20;

/// The most that one batch of an internal topic may decompress to while loading.
const MAX_BATCH_BYTES: usize = 256 << 20;

impl<M: CoordinatorMachine> Actor<M> {
    /// Replays the partition on a thread of its own. `None` if `stop` comes first, if the partition is no longer ours,
    /// or, with an ERROR, if it cannot be read and stays without a coordinator.
    pub(super) async fn load(mut self, stop: &CancellationToken) -> Option<Self> {
        let end_offset = stop.run_until_cancelled(committed_end(Arc::clone(&self.hosted), self.leader_epoch)).await?;
        let stop = stop.clone();
        let load = tokio::task::spawn_blocking(move || {
            match end_offset.and_then(|end_offset| self.replay_log(end_offset, &stop)) {
                _ if stop.is_cancelled() => None,
                Ok(()) => {
                    let leader_epoch = self.leader_epoch;
                    self.decide(None, |machine, now, effects| machine.loaded(leader_epoch, now, effects));
                    Some(self)
                }
                Err(reason) => {
                    let partition = self.hosted.topic_partition();
                    let is_here = !matches!(
                        self.hosted.offsets(self.leader_epoch),
                        Err(ErrorCode::NotLeaderOrFollower
                            | ErrorCode::UnknownTopicOrPartition
                            | ErrorCode::FencedLeaderEpoch)
                    );
                    if is_here {
                        tracing::error!(%partition, %reason, "the coordinator's partition cannot be loaded");
                    }
                    None
                }
            }
        });
        load.await.ok().flatten()
    }

    /// Stops early, its work unfinished, once `stop` is cancelled.
    fn replay_log(&mut self, end_offset: i64, stop: &CancellationToken) -> Result<(), String> {
        let offsets = self.hosted.offsets(self.leader_epoch).map_err(|code| code.to_string())?;
        let mut fetch_offset = offsets.log_start_offset;
        while fetch_offset < end_offset && !stop.is_cancelled() {
            let request = ReadRequest {
                fetch_offset,
                max_bytes: LOAD_CHUNK_BYTES,
                min_one: true,
                current_leader_epoch: self.leader_epoch,
                last_fetched_epoch: -1,
                read_committed: false,
            };
            let read = self.hosted.read(&request).map_err(|code| code.to_string())?;
            let Some(slice) = read.records else { return Ok(()) };
            let bytes = slice.read_blocking().map_err(|error| error.to_string())?;
            let next = self.replay_bytes(&bytes, fetch_offset)?;
            if next == fetch_offset {
                return Err(format!("no whole batch at offset {fetch_offset}"));
            }
            fetch_offset = next;
        }
        Ok(())
    }

    /// Replays the whole batches in `bytes` from `start` on; answers the offset after them.
    pub(super) fn replay_bytes(&mut self, bytes: &Bytes, start: i64) -> Result<i64, String> {
        let mut next = start;
        let mut payloads = Vec::new();
        let mut size = 0;
        // The chunk may end within a batch, which the next one brings whole.
        for batch in batches(bytes).map_while(Result::ok) {
            if batch.header.last_offset() < start {
                continue;
            }
            next = batch.header.next_offset();
            if batch.header.is_control() || batch.header.is_transactional() {
                self.replay_newest(&std::mem::take(&mut payloads))?;
                size = 0;
                self.replay_transactional(&batch)?;
                continue;
            }
            let payload = BatchRecords::of(&batch).map_err(|error| error.to_string())?;
            size += payload.bytes.len();
            payloads.push(payload);
            if size >= DECOMPRESSED_BYTES {
                self.replay_newest(&payloads)?;
                payloads.clear();
                size = 0;
            }
        }
        self.replay_newest(&payloads)?;
        Ok(next)
    }

    /// Replays what is still worth it of some batches that follow each other.
    fn replay_newest(&mut self, payloads: &[BatchRecords]) -> Result<(), String> {
        let mut newest = Newest::default();
        for payload in payloads {
            payload.visit(|record| newest.add(record)).map_err(|error| error.to_string())?;
        }
        for record in newest.records() {
            if let Some(known) = self.decode(record) {
                self.machine.replay(&known);
            }
        }
        Ok(())
    }

    /// Replays a batch that is part of a transaction, or ends one. All of it: a later record supersedes it only if it
    /// counts, which is not known yet, and there is rarely more than one of a key.
    fn replay_transactional(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let BatchHeader { producer_id, producer_epoch, .. } = batch.header;
        let producer = ProducerIdAndEpoch { producer_id, producer_epoch };
        if batch.header.is_control() {
            let ended = EndTransactionMarker::parse(batch.payload());
            if let Some(record) = ended.and_then(|marker| M::transaction_ended(producer, marker)) {
                self.machine.replay(&record);
            }
            return Ok(());
        }
        let payload = BatchRecords::of(batch).map_err(|error| error.to_string())?;
        let replay = |record| {
            if let Some(record) = self.decode(record).and_then(|record| M::in_transaction(record, producer)) {
                self.machine.replay(&record);
            }
        };
        payload.visit(replay).map_err(|error| error.to_string())
    }

    fn decode(&self, (offset, key, value): KeyedRecord<'_>) -> Option<M::Record> {
        M::decode(key, value).unwrap_or_else(|error| {
            let partition = self.hosted.topic_partition();
            tracing::error!(%partition, offset, %error, "skipped a coordinator's record that cannot be read");
            None
        })
    }
}

/// The end of the log, once everything before it is committed: what a former leader has acknowledged may be beyond the
/// high watermark that a new one begins with.
async fn committed_end(hosted: Arc<HostedPartition>, leader_epoch: LeaderEpoch) -> Result<i64, String> {
    let end_offset = hosted.offsets(leader_epoch).map_err(|code| code.to_string())?.log_end_offset;
    let committed = hosted.committed(leader_epoch, end_offset).await;
    committed.map(|()| end_offset).map_err(|code| code.to_string())
}

/// The records of one batch, decompressed.
struct BatchRecords {
    base_offset: i64,
    record_count: i32,
    bytes: Bytes,
}

impl BatchRecords {
    fn of(batch: &RecordBatch) -> Result<Self, BatchError> {
        let bytes = batch.records(MAX_BATCH_BYTES)?.payload().clone();
        Ok(Self { base_offset: batch.header.base_offset, record_count: batch.header.record_count, bytes })
    }

    fn visit<'a>(&'a self, mut visit: impl FnMut(KeyedRecord<'a>)) -> Result<(), BatchError> {
        visit_raw_records(&self.bytes, self.record_count, |record| {
            if let Some(key) = record.key {
                visit((self.base_offset.saturating_add(i64::from(record.offset_delta)), key, record.value));
            }
        })
    }
}

/// An offset, a key, and a value or that there is none any more.
type KeyedRecord<'a> = (i64, &'a [u8], Option<&'a [u8]>);

/// The last record of each key, which are those that compaction leaves: by them a machine comes to the same state as by
/// all, and of most commits nothing but their key is looked at. As after compaction, a group that was only ever made by
/// commits, all of which are gone, is not there. Tombstones stay, which are few: they also end what waits for its
/// transaction's end.
#[derive(Default)]
struct Newest<'a> {
    /// In the order of the log; `None` where one had a value and a later one has the same key.
    records: Vec<Option<KeyedRecord<'a>>>,
    by_key: HashMap<&'a [u8], usize>,
}

impl<'a> Newest<'a> {
    fn add(&mut self, record: KeyedRecord<'a>) {
        let superseded = self.by_key.insert(record.1, self.records.len());
        let superseded = superseded.and_then(|index| self.records.get_mut(index));
        if let Some(superseded @ Some((_, _, Some(_)))) = superseded {
            *superseded = None;
        }
        self.records.push(Some(record));
    }

    fn records(self) -> impl Iterator<Item = KeyedRecord<'a>> {
        self.records.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Now;
    use crate::coordinator::group::request::{
        CommitOffsetsRequest, DeleteOffsetsRequest, DeleteRequest, FetchOffsetsRequest, MemberRequest, OffsetToCommit,
    };
    use crate::coordinator::group::{GroupCoordinator, GroupCoordinatorConfig, GroupRequest};
    use crate::state_machine::{Effects, ReplyTo, StateMachine};

    const NOW: Now = Now { timestamp_ms: 1_000, monotonic: Duration::ZERO };

    #[test]
    fn of_each_key_the_last_record_is_left_where_it_was() {
        let mut newest = Newest::default();
        let log: [(&[u8], Option<&[u8]>); 6] = [
            (b"a", Some(b"1")),
            (b"b", Some(b"1")),
            (b"a", None),
            (b"c", Some(b"1")),
            (b"b", Some(b"2")),
            (b"b", Some(b"3")),
        ];
        for (offset, (key, value)) in (10..).zip(log) {
            newest.add((offset, key, value));
        }
        let left: Vec<KeyedRecord<'_>> = newest.records().collect();
        assert_eq!(left, [(12, &b"a"[..], None), (13, b"c", Some(&b"1"[..])), (15, b"b", Some(b"3"))]);
    }

    fn member(group: &str) -> MemberRequest {
        MemberRequest { group_id: group.into(), member_id: "".into(), group_instance_id: None, generation_id: -1 }
    }

    /// What a machine is asked in the `step`th place; all kinds of decisions that write records without members.
    fn step(step: i64) -> GroupRequest {
        let (group, topic) = (["g", "h", "i"][step as usize % 3], ["t", "u"][step as usize % 2]);
        match step % 7 {
            0..=3 => {
                let partition = (step % 4) as i32;
                let offset = OffsetToCommit { partition, offset: step, leader_epoch: -1, metadata: "".into() };
                let topics = vec![(topic.into(), vec![offset])];
                GroupRequest::CommitOffsets(CommitOffsetsRequest { member: member(group), retention_ms: None, topics })
            }
            4 => GroupRequest::Delete(DeleteRequest { group_id: group.into() }),
            5 => {
                let topics = vec![(topic.into(), vec![0, 1])];
                GroupRequest::DeleteOffsets(DeleteOffsetsRequest { group_id: group.into(), topics })
            }
            _ => GroupRequest::TopicsDeleted { topics: vec![topic.into()] },
        }
    }

    /// The offsets of all groups, as text.
    fn offsets(machine: &mut GroupCoordinator) -> Vec<String> {
        let told = ["g", "h", "i"].map(|group| {
            let mut effects = Effects::new();
            let fetch = FetchOffsetsRequest { group_id: group.into(), topics: None, require_stable: true };
            machine.handle(GroupRequest::FetchOffsets(fetch), ReplyTo(0), NOW, &mut effects);
            format!("{group}: {:?}", effects.replies)
        });
        told.into()
    }

    #[test]
    fn the_last_records_make_the_same_machine_as_all() {
        let new_machine = || GroupCoordinator::new(GroupCoordinatorConfig::default());
        let (mut machine, mut log) = (new_machine(), Vec::new());
        for number in 0..200 {
            let mut effects = Effects::new();
            // Steps that do not repeat soon.
            machine.handle(step(number * number / 3), ReplyTo(0), NOW, &mut effects);
            for record in effects.records {
                machine.replay(&record);
                log.push(GroupCoordinator::encode(&record).unwrap());
            }
            for window in [1, 7, 64, usize::MAX] {
                let mut loaded = new_machine();
                for records in log.chunks(window) {
                    let mut newest = Newest::default();
                    for record in records {
                        newest.add((0, &record.key, record.value.as_deref()));
                    }
                    for (_, key, value) in newest.records() {
                        loaded.replay(&GroupCoordinator::decode(key, value).unwrap().unwrap());
                    }
                }
                assert_eq!(offsets(&mut loaded), offsets(&mut machine), "step {number}, window {window}");
            }
        }
        assert!(log.len() > 150, "{}", log.len());
    }
}
