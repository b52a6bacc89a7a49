//! Waits for records in several partitions, then reads them.
//!
//! Each look finds what could be sent without touching it. Only when that is enough, or time is up, are bytes made ready:
//! few are read, many stay in their file for the network to send.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::FetchResponse;

use super::super::throttle_time::ThrottleTime;
use super::super::throttling::Work;
use super::answer::{self, CurrentLeaders, Loaded};
use crate::broker::quotas::Meter;
use crate::clock::{Clock, Monotonic, Now};
use crate::ids::{NodeId, TopicName, Uuid};
use crate::planted_bugs::{PlantedBug, is_planted};
use crate::protocol::ErrorCode;
use crate::protocol::fetch_response::FetchAnswer;
use crate::replication::delayed::Wait;
use crate::replication::fetch_session::{ContextPartition, FetchContext, FetchSessionCache, PartitionRef, TopicRef};
use crate::replication::hosted_partition::{FetchingFollower, HostedPartition, LogEnd, ReadRequest, ReadResult};
use crate::replication::replica_manager::ReplicaManager;
use crate::replication::storage_errors::StorageErrors;
use crate::storage::{LogSlice, StorageError};

/// Where a partition of the request is to be read, if the metadata knows it.
pub(super) enum Target {
    /// In the log of the topic of this name and id; an error of the log ends the wait.
    Log { name: TopicName, id: Uuid },
    /// Nowhere. As in Kafka, the error is part of the answer and does not end the wait, otherwise a consumer with one
    /// deleted topic would ask for the others again and again.
    Unknown(ErrorCode),
}

impl Target {
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

/// The follower that fetches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replica {
    pub(super) id: NodeId,
    /// The registration of its broker under which it fetches, or -1 where it does not say (before KIP-903).
    pub(super) broker_epoch: i64,
}

/// A wait for the high watermarks that consumers read up to, or for the logs' ends that followers do.
enum RecordsWait {
    HighWatermark(Wait<HostedPartition>),
    LogEnd(Wait<LogEnd>),
}

impl RecordsWait {
    async fn woken(&self) {
        match self {
            Self::HighWatermark(wait) => wait.woken().await,
            Self::LogEnd(wait) => wait.woken().await,
        }
    }
}

/// Everything that a fetch needs to be answered later, by itself.
pub(super) struct LongPoll {
    pub(super) replicas: Arc<ReplicaManager>,
    pub(super) sessions: Arc<Mutex<FetchSessionCache>>,
    pub(super) clock: Clock,
    /// When the request was taken.
    pub(super) asked_at: Monotonic,
    pub(super) leaders: CurrentLeaders,
    pub(super) api_version: i16,
    pub(super) session: FetchContext,
    /// Of each partition of the session's.
    pub(super) targets: Vec<Target>,
    /// The follower that fetches, if it is no consumer.
    pub(super) replica: Option<Replica>,
    /// Measures what the client fetches, if some client has a quota.
    pub(super) meter: Option<Meter>,
    /// Measures the handler, if some client has a quota of requests.
    pub(super) work: Option<Arc<Work>>,
    pub(super) read_committed: bool,
    /// Over all partitions.
    pub(super) max_bytes: usize,
    pub(super) min_bytes: usize,
    pub(super) max_wait: Duration,
}

/// What one look over the partitions found, in the order of the targets.
struct Look {
    found: Vec<Result<ReadResult, ErrorCode>>,
    is_enough: bool,
}

impl LongPoll {
    /// The answer, if it is due at once and needs no disk.
    pub(super) fn answer_now(&self) -> Option<FetchAnswer> {
        // Once for each arrival: what has waited tells nothing new of a follower.
        let look = self.look(self.replica.is_some().then(|| self.clock.now()));
        if !look.is_enough && !self.max_wait.is_zero() {
            return None;
        }
        self.load_cached(&look.found).map(|loaded| self.respond(loaded, self.asked_at))
    }

    /// What is done from here on is waiting, and not the client's to pay for.
    pub(super) fn handler_is_done(&self) {
        if let Some(work) = &self.work {
            work.due();
        }
    }

    /// The answer, once there is enough to send or the client has waited for as long as it wanted to.
    pub(super) async fn answer_later(self) -> FetchAnswer {
        let deadline = self.asked_at + self.max_wait;
        let mut look = loop {
            // Registered before the look, so that nothing that comes after the look is missed.
            let wait = self.wait();
            let look = self.look(None);
            if look.is_enough {
                break look;
            }
            if self.clock.timeout_at(deadline, wait.woken()).await.is_err() {
                break self.look(None);
            }
        };
        if is_planted(PlantedBug::ForgetAborted) {
            look.found.iter_mut().flatten().for_each(|read| read.aborted_transactions.clear());
        }
        if let Some(loaded) = self.load_cached(&look.found) {
            return self.respond(loaded, self.clock.monotonic());
        }
        // A thread of its own, because the disk may be slow.
        let found = look.found;
        let errors = Arc::clone(self.replicas.storage_errors());
        let load_all = move || found.into_iter().map(|found| load(found, &errors)).collect::<Vec<_>>();
        let loaded = tokio::task::spawn_blocking(load_all).await;
        match loaded {
            Ok(loaded) => self.respond(loaded, self.clock.monotonic()),
            Err(panic) => {
                tracing::error!(%panic, "reading for a fetch panicked");
                self.count_failures();
                let failed = self.targets.iter().map(|_| Err(ErrorCode::KafkaStorageError)).collect();
                self.respond(failed, self.clock.monotonic())
            }
        }
    }

    fn partitions(&self) -> impl Iterator<Item = (&ContextPartition, &Target)> {
        self.session.partitions.iter().zip(&self.targets)
    }

    fn wait(&self) -> RecordsWait {
        let hosted = self.partitions().filter_map(|(partition, target)| match target {
            Target::Log { name, id } => self.partition(&partition.key, name, *id).ok(),
            Target::Unknown(_) => None,
        });
        match self.replica {
            None => RecordsWait::HighWatermark(Wait::register(hosted)),
            Some(_) => RecordsWait::LogEnd(Wait::register(hosted.map(|hosted| Arc::new(LogEnd(hosted))))),
        }
    }

    fn partition(&self, key: &PartitionRef, name: &str, id: Uuid) -> Result<Arc<HostedPartition>, ErrorCode> {
        let hosted = self.replicas.partition(name, key.partition)?;
        match key.topic {
            _ if hosted.topic_id() == id => Ok(hosted),
            TopicRef::Id(_) => Err(ErrorCode::InconsistentTopicId),
            TopicRef::Name(_) => Err(ErrorCode::UnknownTopicOrPartition),
        }
    }

    /// What could be sent now. `arrived` is the time for a follower's fetch that has just come.
    fn look(&self, arrived: Option<Now>) -> Look {
        let mut bytes = 0;
        // Whether some log has been asked: without any there is nothing to wait for.
        let mut has_log = false;
        let mut has_news = false;
        let found = self.partitions().map(|(partition, target)| match target {
            Target::Unknown(code) => Err(*code),
            Target::Log { name, id } => {
                let result = self.read(partition, name, *id, bytes, arrived);
                bytes += result.as_ref().map_or(0, |read| read.records.as_ref().map_or(0, LogSlice::len));
                // As in Kafka, a reader of an older segment does not wait for more than is left of it.
                has_news |= result.as_ref().map_or(true, |read| read.diverging.is_some() || read.is_on_older_segment);
                has_log = true;
                result
            }
        });
        let found = found.collect();
        Look { found, is_enough: !has_log || has_news || bytes >= self.min_bytes }
    }

    fn read(
        &self,
        ContextPartition { key, fetch, .. }: &ContextPartition,
        name: &str,
        id: Uuid,
        bytes_so_far: usize,
        arrived: Option<Now>,
    ) -> Result<ReadResult, ErrorCode> {
        let remaining = self.max_bytes.saturating_sub(bytes_so_far);
        let hosted = self.partition(key, name, id)?;
        let request = ReadRequest {
            fetch_offset: fetch.fetch_offset,
            max_bytes: usize::try_from(fetch.max_bytes).unwrap_or(0).min(remaining),
            min_one: bytes_so_far == 0,
            current_leader_epoch: fetch.current_leader_epoch,
            last_fetched_epoch: fetch.last_fetched_epoch,
            read_committed: self.read_committed,
        };
        let Some(Replica { id, broker_epoch }) = self.replica else { return hosted.read(&request) };
        let follower = FetchingFollower { id, broker_epoch, log_start_offset: fetch.log_start_offset };
        self.replicas.read_for_follower(&hosted, &request, &follower, arrived)
    }

    /// Makes everything that was found ready to be sent; `None` if that needs the disk.
    fn load_cached(&self, found: &[Result<ReadResult, ErrorCode>]) -> Option<Vec<Result<Loaded, ErrorCode>>> {
        let errors = self.replicas.storage_errors();
        let load = |read: &ReadResult| {
            let records = read.records.as_ref().map_or(Ok(Some(Bytes::new().into())), LogSlice::cached).transpose()?;
            let loaded = records.map(|records| Loaded { read: read.clone(), records });
            Some(loaded.map_err(|error| storage_error(&error, errors)))
        };
        found.iter().map(|found| found.as_ref().map_or_else(|&code| Some(Err(code)), load)).collect()
    }

    /// The answer with what was loaded, or an empty one that tells the client to wait.
    fn respond(&self, loaded: Vec<Result<Loaded, ErrorCode>>, now: Monotonic) -> FetchAnswer {
        let throttled = self.throttled(&loaded);
        self.count(&loaded, throttled.is_none());
        throttled.unwrap_or_else(|| self.respond_with(loaded, now))
    }

    /// Counts a read of each partition, and the records if the client is given them.
    ///
    /// Unlike Kafka, which counts a fetch that has waited as two reads, each counts once.
    fn count(&self, loaded: &[Result<Loaded, ErrorCode>], are_given: bool) {
        for (target, loaded) in self.targets.iter().zip(loaded) {
            match (loaded, target) {
                (Ok(Loaded { read, records }), _) => {
                    read.traffic.fetch_requests(1);
                    // What followers get is not what clients do.
                    if are_given && self.replica.is_none() {
                        read.traffic.bytes_out(records.len() as u64);
                    }
                }
                (Err(_), Target::Log { name, .. }) => {
                    self.replicas.traffic_of(name).inspect(|traffic| traffic.fetch_requests(1));
                }
                (Err(_), Target::Unknown(_)) => {}
            }
        }
    }

    /// Counts that reading each partition has failed for no reason that has an error code.
    fn count_failures(&self) {
        for target in &self.targets {
            if let Target::Log { name, .. } = target {
                self.replicas.traffic_of(name).inspect(|traffic| traffic.failed_fetch_requests(1));
            }
        }
    }

    /// What a client that is above its quota of bytes or of requests gets instead of records, as in Kafka: nothing, which it is not charged for.
    /// Its session stays as it was.
    ///
    /// Unlike Kafka, the bytes of records count and those around them do not.
    fn throttled(&self, loaded: &[Result<Loaded, ErrorCode>]) -> Option<FetchAnswer> {
        if self.meter.is_none() && self.work.is_none() {
            return None;
        }
        let bytes = loaded.iter().flatten().map(|loaded| loaded.records.len()).sum::<usize>() as f64;
        let of_bytes = self.meter.as_ref().map_or(Duration::ZERO, |meter| meter.record(bytes));
        let of_requests = self.work.as_ref().map_or(Duration::ZERO, |work| work.due().throttle_time());
        let throttle_time = of_bytes.max(of_requests);
        if throttle_time.is_zero() {
            return None;
        }
        if let Some(meter) = &self.meter {
            meter.unrecord(bytes);
        }
        let mut response = FetchResponse::default();
        response.set_throttle_time(throttle_time);
        if self.api_version >= super::FIRST_VERSION_WITH_SESSIONS {
            response.session_id = self.session.session_id();
        }
        Some(response.into())
    }

    fn respond_with(&self, loaded: Vec<Result<Loaded, ErrorCode>>, now: Monotonic) -> FetchAnswer {
        let outcomes: Vec<_> = loaded.iter().map(answer::outcome).collect();
        let included = {
            let fresh_id = || Uuid::new_v4().as_u128() as i32;
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.finish(&self.session, &outcomes, fresh_id, now)
        };
        let partitions = self
            .session
            .partitions
            .iter()
            .map(|partition| &partition.key)
            .zip(loaded)
            .zip(&included.included)
            .filter(|(_, included)| **included)
            .map(|(partition, _)| partition);
        let mut answer = answer::answer(partitions, self.api_version, self.read_committed, &self.leaders);
        if self.api_version >= super::FIRST_VERSION_WITH_SESSIONS {
            answer.response.session_id = included.session_id;
        }
        answer
    }
}

/// Makes what was found ready to be sent, and reads it from the disk if need be.
fn load(found: Result<ReadResult, ErrorCode>, errors: &StorageErrors) -> Result<Loaded, ErrorCode> {
    let read = found?;
    let slice = read.records.as_ref();
    let records =
        slice.map_or(Ok(Bytes::new().into()), LogSlice::load).map_err(|error| storage_error(&error, errors))?;
    Ok(Loaded { read, records })
}

/// Never "out of range", which would make a consumer reset its offset and skip records.
fn storage_error(error: &StorageError, errors: &StorageErrors) -> ErrorCode {
    errors.log("reading records", error);
    ErrorCode::KafkaStorageError
}
