//! Runs one coordinator machine per partition of an internal topic that this broker leads.
//!
//! Each machine has a task and a bounded mailbox, so it needs no lock and sees its requests in order. The task loads the
//! partition by replaying it, then appends what the machine decides, replays it, and lets replies leave once their
//! records are committed. A burst of requests shares one wait for the disk where `flush.messages` asks for it. While a
//! machine loads, requests to it are told so at once, and tidings wait for it.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::machine::CoordinatorMachine;
use crate::clock::{Alarm, Clock, Now};
use crate::ids::{NodeId, TopicName};
use crate::metadata::{MetadataDelta, MetadataImage};
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::{BatchBuilder, batches};
use crate::replication::hosted_partition::{HostedPartition, PartitionAppendError, ReadRequest};
use crate::replication::partition::RequiredAcks;
use crate::replication::replica_manager::ReplicaManager;
use crate::state_machine::{Effects, Question, ReplyTo, StateMachine};
use crate::storage::{self, AppendOrigin};

/// Requests that may wait for one machine; more are refused as "not available", which clients retry.
const MAILBOX_CAPACITY: usize = 10_000;

/// Room that tidings have besides; more hold up whoever brings them. A machine that has loaded takes them as they come,
/// and so only one that is loading for long makes anybody wait.
const TIDINGS_CAPACITY: usize = 1_000;

/// Requests handled before their replies are released together.
const BURST: usize = 256;

/// Bytes of the log read at a time while loading.
const LOAD_CHUNK_BYTES: usize = 1 << 20;

/// Records that are written together fill a batch up to this size, half of the default `max.message.bytes`.
const BATCH_BYTES: usize = 512 << 10;

/// The most that one batch of an internal topic may decompress to while loading.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// How long a reply waits for its records to be committed, as `offsets.commit.timeout.ms`.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

type MachineAnswer<M> = Result<<M as StateMachine>::Response, ErrorCode>;

struct Envelope<M: StateMachine> {
    request: M::Request,
    /// Where the answer goes; nobody waits for one to tidings.
    answer: Option<oneshot::Sender<MachineAnswer<M>>>,
}

struct SharedRuntime<M: CoordinatorMachine> {
    topic: &'static str,
    node_id: NodeId,
    clock: Clock,
    replicas: Arc<ReplicaManager>,
    new_machine: Box<dyn Fn() -> M + Send + Sync>,
    mailboxes: RwLock<Mailboxes<M>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Mailboxes<M: StateMachine> {
    /// How many partitions the internal topic had when this broker first saw it; 0 while it does not exist. As in Kafka,
    /// it is by that number that a key finds its partition until the next start, also where the topic is enlarged.
    partition_count: i32,
    by_partition: HashMap<i32, Mailbox<M>>,
}

impl<M: StateMachine> Mailboxes<M> {
    fn partition_for(&self, key: &str) -> Option<i32> {
        (self.partition_count > 0).then(|| super::partition_for(key, self.partition_count))
    }
}

impl<M: StateMachine> Default for Mailboxes<M> {
    fn default() -> Self {
        Self { partition_count: 0, by_partition: HashMap::new() }
    }
}

/// The way to one machine: one queue, so that a commit to a topic that follows its namesake's deletion is not taken for
/// one to that.
struct Mailbox<M: StateMachine> {
    envelopes: mpsc::Sender<Envelope<M>>,
    /// Whether the machine has loaded; closed, like the queue, where it cannot.
    loaded: watch::Receiver<bool>,
}

impl<M: StateMachine> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self { envelopes: self.envelopes.clone(), loaded: self.loaded.clone() }
    }
}

impl<M: StateMachine> Mailbox<M> {
    /// What a client asks; refused when as many questions wait as may.
    fn post(&self, request: M::Request) -> Result<oneshot::Receiver<MachineAnswer<M>>, ErrorCode> {
        if self.envelopes.is_closed() {
            return Err(ErrorCode::NotCoordinator);
        }
        if !*self.loaded.borrow() {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        if self.envelopes.capacity() <= TIDINGS_CAPACITY {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let (answer, receiver) = oneshot::channel();
        self.envelopes.try_send(Envelope { request, answer: Some(answer) }).map_err(|refused| match refused {
            TrySendError::Full(_) => ErrorCode::CoordinatorNotAvailable,
            TrySendError::Closed(_) => ErrorCode::NotCoordinator,
        })?;
        Ok(receiver)
    }

    /// What the machine is told and nobody waits for; blocks while there is no room, so that nothing is lost.
    fn tell(&self, tidings: M::Request) {
        // A machine that is gone has nothing to hear.
        drop(self.envelopes.blocking_send(Envelope { request: tidings, answer: None }));
    }
}

/// A handle on the machines; clones share them.
pub struct CoordinatorRuntime<M: CoordinatorMachine>(Arc<SharedRuntime<M>>);

impl<M: CoordinatorMachine> Clone for CoordinatorRuntime<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: CoordinatorMachine> CoordinatorRuntime<M> {
    /// No machine runs until [`CoordinatorRuntime::apply`] has seen the partitions of `topic`.
    pub fn new(
        topic: &'static str,
        node_id: NodeId,
        clock: Clock,
        replicas: Arc<ReplicaManager>,
        new_machine: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(SharedRuntime {
            topic,
            node_id,
            clock,
            replicas,
            new_machine: Box::new(new_machine),
            mailboxes: RwLock::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// Starts and stops machines so that they follow the leaderships in `image`, which the replicas already follow, and
    /// tells them which topics are gone. Blocks while a machine has more to hear than it may keep.
    pub fn apply(&self, delta: &MetadataDelta, image: &MetadataImage) {
        let deleted: Vec<_> = delta.topics().deleted().map(|(_, name)| TopicName::clone(name)).collect();
        if deleted.iter().any(|name| **name == *self.0.topic) {
            // The next topic of that name is another log.
            *self.write_mailboxes() = Mailboxes::default();
        }
        if !deleted.is_empty() {
            self.tell_all(|| M::topics_deleted(&deleted));
        }
        let own = image.topic(self.0.topic).map(|topic| topic.id);
        let mut moved = delta.topics().created().chain(delta.topics().changed());
        if deleted.iter().any(|name| **name == *self.0.topic) || moved.any(|id| Some(id) == own) {
            self.follow_leaderships(image);
        }
    }

    /// Has every machine of this broker hear the same; none misses it, whatever it is busy with.
    fn tell_all(&self, tidings: impl Fn() -> Option<M::Request>) {
        for (mailbox, tidings) in self.all_mailboxes().into_iter().filter_map(|mailbox| Some((mailbox, tidings()?))) {
            mailbox.tell(tidings);
        }
    }

    fn read_mailboxes(&self) -> RwLockReadGuard<'_, Mailboxes<M>> {
        self.0.mailboxes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_mailboxes(&self) -> RwLockWriteGuard<'_, Mailboxes<M>> {
        self.0.mailboxes.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow_leaderships(&self, image: &MetadataImage) {
        let partitions = image.topic(self.0.topic).map(|topic| topic.partitions.as_slice()).unwrap_or_default();
        let mut mailboxes = self.write_mailboxes();
        if mailboxes.partition_count == 0 {
            mailboxes.partition_count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        }
        for (partition, state) in (0_i32..).zip(partitions) {
            if state.leader != self.0.node_id {
                // The machine stops when its mailbox has no sender left.
                mailboxes.by_partition.remove(&partition);
            } else if !mailboxes.by_partition.contains_key(&partition)
                && let Ok(hosted) = self.0.replicas.partition(self.0.topic, partition)
            {
                mailboxes.by_partition.insert(partition, self.spawn(hosted));
            }
        }
    }

    fn spawn(&self, hosted: Arc<HostedPartition>) -> Mailbox<M> {
        let (envelopes, inbox) = mpsc::channel(MAILBOX_CAPACITY + TIDINGS_CAPACITY);
        let (has_loaded, loaded) = watch::channel(false);
        let actor = Actor {
            machine: (self.0.new_machine)(),
            hosted,
            clock: self.0.clock.clone(),
            waiting: HashMap::new(),
            next_reply_to: 0,
            last_appended: -1,
            unflushed: false,
            ready: VecDeque::new(),
        };
        let stop = self.0.stop.clone();
        self.0.tasks.spawn(async move {
            // A load looks after `stop` itself: it runs on a thread that dropping its future would leave behind.
            if let Some(actor) = actor.load(stop.clone()).await {
                has_loaded.send_replace(true);
                stop.run_until_cancelled(actor.run(inbox)).await;
            }
        });
        Mailbox { envelopes, loaded }
    }

    /// The partition of the internal topic that `key` (a group id) belongs to: Kafka's `abs(hashCode) % partitions`.
    pub fn partition_for(&self, key: &str) -> Option<i32> {
        self.read_mailboxes().partition_for(key)
    }

    /// Puts `question` into the mailbox of the machine responsible for `key`, now; the future waits for the answer.
    ///
    /// Errors: [`ErrorCode::NotCoordinator`], [`ErrorCode::CoordinatorLoadInProgress`],
    /// [`ErrorCode::CoordinatorNotAvailable`], or what the append ended in.
    pub fn enqueue<Q: Question<M>>(
        &self,
        key: &str,
        question: Q,
    ) -> impl Future<Output = Result<Q::Answer, ErrorCode>> + Send + use<Q, M> {
        let request = question.into_request();
        let mailboxes = self.read_mailboxes();
        let mailbox = mailboxes.partition_for(key).and_then(|partition| mailboxes.by_partition.get(&partition));
        wait::<M, Q>(mailbox.map_or(Err(ErrorCode::NotCoordinator), |mailbox| mailbox.post(request)))
    }

    /// Asks every machine of this broker the same; answers in the order of their partitions.
    pub fn enqueue_all<Q: Question<M> + Clone>(
        &self,
        question: &Q,
    ) -> impl Future<Output = Vec<Result<Q::Answer, ErrorCode>>> + Send + use<Q, M> {
        let mailboxes = self.all_mailboxes();
        let posted = mailboxes.iter().map(|mailbox| wait::<M, Q>(mailbox.post(question.clone().into_request())));
        futures_util::future::join_all(posted.collect::<Vec<_>>())
    }

    /// Completes when every machine of this moment has loaded, or cannot.
    pub async fn loaded(&self) {
        for mut mailbox in self.all_mailboxes() {
            drop(mailbox.loaded.wait_for(|loaded| *loaded).await);
        }
    }

    /// In the order of their partitions.
    fn all_mailboxes(&self) -> Vec<Mailbox<M>> {
        let mut partitions: Vec<(i32, Mailbox<M>)> = {
            let mailboxes = self.read_mailboxes();
            mailboxes.by_partition.iter().map(|(&partition, mailbox)| (partition, mailbox.clone())).collect()
        };
        partitions.sort_by_key(|(partition, _)| *partition);
        partitions.into_iter().map(|(_, mailbox)| mailbox).collect()
    }

    /// Stops every machine and waits until their tasks are gone.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.write_mailboxes().by_partition.clear();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

/// A machine that is gone gives no answer, and none gives another question's.
async fn wait<M: StateMachine, Q: Question<M>>(
    posted: Result<oneshot::Receiver<MachineAnswer<M>>, ErrorCode>,
) -> Result<Q::Answer, ErrorCode> {
    let response = posted?.await.unwrap_or(Err(ErrorCode::NotCoordinator))?;
    Q::answer(response).ok_or(ErrorCode::NotCoordinator)
}

/// One machine with what it needs to act.
struct Actor<M: CoordinatorMachine> {
    machine: M,
    hosted: Arc<HostedPartition>,
    clock: Clock,
    waiting: HashMap<ReplyTo, oneshot::Sender<MachineAnswer<M>>>,
    next_reply_to: u64,
    last_appended: i64,
    unflushed: bool,
    /// Replies to give once everything up to `last_appended` is committed.
    ready: VecDeque<(ReplyTo, M::Response)>,
}

impl<M: CoordinatorMachine> Actor<M> {
    async fn run(mut self, mut inbox: mpsc::Receiver<Envelope<M>>) {
        let mut alarm = Alarm::new(self.clock.clone());
        loop {
            let deadline = self.machine.next_deadline();
            let due = poll_fn(|context| match deadline {
                Some(deadline) => alarm.poll(deadline, context).map(drop),
                None => Poll::Pending,
            });
            tokio::select! {
                envelope = inbox.recv() => match envelope {
                    Some(envelope) => self.take_burst(envelope, &mut inbox),
                    None => return,
                },
                () = due => self.decide(M::handle_timeout),
            }
            self.release_replies().await;
        }
    }

    fn take_burst(&mut self, first: Envelope<M>, inbox: &mut mpsc::Receiver<Envelope<M>>) {
        self.handle(first);
        for _ in 1..BURST {
            let Ok(envelope) = inbox.try_recv() else { return };
            self.handle(envelope);
        }
    }

    fn handle(&mut self, Envelope { request, answer }: Envelope<M>) {
        let reply_to = ReplyTo(self.next_reply_to);
        self.next_reply_to += 1;
        if let Some(answer) = answer {
            self.waiting.insert(reply_to, answer);
        }
        self.decide(|machine, now, effects| machine.handle(request, reply_to, now, effects));
    }

    /// Lets the machine decide, makes its records durable and replays them, and keeps its replies.
    fn decide(&mut self, decide: impl FnOnce(&mut M, Now, &mut Effects<M>)) {
        let now = self.clock.now();
        let mut effects = Effects::new();
        decide(&mut self.machine, now, &mut effects);
        match self.append(&effects.records, now) {
            Ok(()) => self.ready.extend(effects.replies),
            Err(code) => {
                for (reply_to, _) in effects.replies {
                    self.answer(reply_to, Err(code));
                }
            }
        }
    }

    /// Appends and replays `records`.
    ///
    /// Unlike Kafka, which refuses what does not fit into one batch, the records of a large decision (a commit for
    /// thousands of partitions, the end of a group that has as many) are written as several.
    fn append(&mut self, records: &[M::Record], now: Now) -> Result<(), ErrorCode> {
        let mut unwritten = records;
        while !unwritten.is_empty() {
            let batch = first_batch::<M>(unwritten, now)?;
            let appended = self
                .hosted
                .append(&batch.build(), RequiredAcks::All, AppendOrigin::Coordinator, now)
                .map_err(|error| coordinator_error(&error, &self.hosted))?;
            self.last_appended = appended.info.last_offset;
            self.unflushed |= appended.needs_flush;
            let (written, rest) = unwritten.split_at(batch.record_count() as usize);
            for record in written {
                self.machine.replay(record);
            }
            unwritten = rest;
        }
        Ok(())
    }

    async fn release_replies(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let outcome = self.committed().await;
        while let Some((reply_to, response)) = self.ready.pop_front() {
            self.answer(reply_to, outcome.map(|()| response));
        }
    }

    /// Waits until everything appended so far is committed, and on disk where that was asked for.
    async fn committed(&mut self) -> Result<(), ErrorCode> {
        if self.last_appended < 0 {
            return Ok(());
        }
        if std::mem::take(&mut self.unflushed) {
            let flushed = Arc::clone(&self.hosted).flushed_to(self.last_appended + 1, self.clock.now()).await;
            flushed.map_err(|_| ErrorCode::NotCoordinator)?;
        }
        let end_offset = self.last_appended + 1;
        let committed = Arc::clone(&self.hosted).committed_to(end_offset, &self.clock, COMMIT_TIMEOUT).await;
        committed.map_err(|code| match code {
            ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
            _ => ErrorCode::NotCoordinator,
        })
    }

    fn answer(&mut self, reply_to: ReplyTo, answer: MachineAnswer<M>) {
        if let Some(sender) = self.waiting.remove(&reply_to) {
            // A receiver that is gone is a client that has disconnected; the decision stands all the same.
            drop(sender.send(answer));
        }
    }

    /// Replays the partition on a thread of its own. `None` if `stop` comes first, or, with an ERROR, if the partition
    /// cannot be read and stays without a coordinator.
    async fn load(mut self, stop: CancellationToken) -> Option<Self> {
        let load = tokio::task::spawn_blocking(move || match self.replay_log(&stop) {
            _ if stop.is_cancelled() => None,
            Ok(()) => {
                self.machine.loaded(self.clock.now());
                Some(self)
            }
            Err(reason) => {
                let partition = self.hosted.topic_partition();
                tracing::error!(%partition, %reason, "the coordinator's partition cannot be loaded");
                None
            }
        });
        load.await.ok().flatten()
    }

    /// Stops early, its work unfinished, once `stop` is cancelled.
    fn replay_log(&mut self, stop: &CancellationToken) -> Result<(), String> {
        let offsets = self.hosted.offsets(-1).map_err(|code| code.to_string())?;
        let mut fetch_offset = offsets.log_start_offset;
        while fetch_offset < offsets.high_watermark && !stop.is_cancelled() {
            let request = ReadRequest {
                fetch_offset,
                max_bytes: LOAD_CHUNK_BYTES,
                min_one: true,
                current_leader_epoch: -1,
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
    fn replay_bytes(&mut self, bytes: &Bytes, start: i64) -> Result<i64, String> {
        let mut next = start;
        for batch in batches(bytes) {
            // The chunk may end within a batch, which the next one brings whole.
            let Ok(batch) = batch else { break };
            if batch.header.last_offset() < start {
                continue;
            }
            next = batch.header.next_offset();
            if batch.header.is_control() {
                continue;
            }
            for record in batch.records(MAX_BATCH_BYTES).map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                let Some(key) = record.key else { continue };
                match M::decode(&key, record.value.as_deref()) {
                    Ok(Some(known)) => self.machine.replay(&known),
                    Ok(None) => {}
                    Err(error) => {
                        let (partition, offset) = (self.hosted.topic_partition(), record.offset);
                        tracing::error!(%partition, offset, %error, "skipped a coordinator's record that cannot be read");
                    }
                }
            }
        }
        Ok(next)
    }
}

/// As many of `records` as one batch shall hold, and at least one.
fn first_batch<M: CoordinatorMachine>(records: &[M::Record], now: Now) -> Result<BatchBuilder, ErrorCode> {
    let mut batch = BatchBuilder::new(now.timestamp_ms);
    for record in records {
        let encoded = M::encode(record).map_err(|error| {
            tracing::error!(%error, "a coordinator's record cannot be written");
            ErrorCode::CoordinatorNotAvailable
        })?;
        let size = encoded.key.len() + encoded.value.as_deref().map_or(0, <[u8]>::len);
        if batch.record_count() > 0 && batch.uncompressed_size() + size > BATCH_BYTES {
            break;
        }
        batch.record(Some(&encoded.key), encoded.value.as_deref());
    }
    Ok(batch)
}

/// What a client of a coordinator is told of a failed append, as in Kafka's `CoordinatorPartitionWriter` callers.
fn coordinator_error(error: &PartitionAppendError, hosted: &HostedPartition) -> ErrorCode {
    match error {
        PartitionAppendError::Refused(
            ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut | ErrorCode::UnknownTopicOrPartition,
        ) => ErrorCode::CoordinatorNotAvailable,
        PartitionAppendError::Refused(_) => ErrorCode::NotCoordinator,
        PartitionAppendError::Log(
            storage::AppendError::MessageTooLarge { .. } | storage::AppendError::RecordListTooLarge { .. },
        ) => {
            // One record alone is too large: no fault of ours, and no use in asking again.
            tracing::warn!(%error, "a coordinator's record is larger than its topic allows");
            ErrorCode::UnknownServerError
        }
        PartitionAppendError::Log(storage::AppendError::Storage(error)) => {
            hosted.log_storage_error("appending a coordinator's record", error);
            ErrorCode::NotCoordinator
        }
        PartitionAppendError::Log(error) => {
            tracing::error!(%error, "a coordinator's record could not be appended");
            ErrorCode::NotCoordinator
        }
    }
}
