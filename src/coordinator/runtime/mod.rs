//! Runs one coordinator machine per partition of an internal topic that this broker leads.
//!
//! Each machine has a task and a bounded mailbox, so it needs no lock and sees its requests in order. The task loads the
//! partition by replaying it, then lets the machine decide, adds its records to a batch, replays them, and lets replies
//! leave once their records are committed. What arrives together becomes one batch, and deciding goes on while batches
//! wait to be committed. While a machine loads, requests to it are told so at once, and tidings wait for it.
//!
//! A machine belongs to one leader epoch: a newer one ends it, also while it loads, and another is made.

mod actor;
mod config;
#[cfg(test)]
mod group_tests;
mod loader;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transaction_tests;
mod writer;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::machine::CoordinatorMachine;
use crate::clock::Clock;
use crate::ids::{LeaderEpoch, NodeId, TopicName};
use crate::metadata::{MetadataDelta, MetadataImage};
use crate::protocol::ErrorCode;
use crate::replication::hosted_partition::HostedPartition;
use crate::replication::replica_manager::ReplicaManager;
use crate::state_machine::{Question, StateMachine};
use crate::storage::VerificationGuard;
use actor::{Actor, Envelope, NewMachine};
use writer::{Deliver, MachineAnswer};

pub use config::{AppendLinger, CoordinatorRuntimeConfig};

/// Requests that may wait for one machine; more are refused as "not available", which clients retry.
const MAILBOX_CAPACITY: usize = 10_000;

/// Room that tidings have besides; more hold up whoever brings them. A machine that has loaded takes them as they come,
/// and so only one that is loading for long makes anybody wait.
const TIDINGS_CAPACITY: usize = 1_000;

struct SharedRuntime<M: CoordinatorMachine> {
    topic: &'static str,
    node_id: NodeId,
    clock: Clock,
    replicas: Arc<ReplicaManager>,
    config: CoordinatorRuntimeConfig,
    new_machine: NewMachine<M>,
    deliver: Deliver<M>,
    mailboxes: RwLock<Mailboxes<M>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Mailboxes<M: StateMachine> {
    /// How many partitions the internal topic had when this broker first saw it; 0 while it does not exist. As in Kafka,
    /// it is by that number that a key finds its partition until the next start, also where the topic is enlarged.
    partition_count: i32,
    by_partition: HashMap<i32, Tenure<M>>,
    /// The task of each partition's last machine, which may not have ended yet.
    tasks: HashMap<i32, JoinHandle<()>>,
}

/// A machine in the leadership that it was made for; dropping it resigns.
struct Tenure<M: StateMachine> {
    leader_epoch: LeaderEpoch,
    mailbox: Mailbox<M>,
    _resigned: DropGuard,
}

impl<M: StateMachine> Mailboxes<M> {
    fn partition_for(&self, key: &str) -> Option<i32> {
        (self.partition_count > 0).then(|| super::partition_for(key, self.partition_count))
    }
}

impl<M: StateMachine> Default for Mailboxes<M> {
    fn default() -> Self {
        Self { partition_count: 0, by_partition: HashMap::new(), tasks: HashMap::new() }
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
    fn post(
        &self,
        request: M::Request,
        guard: Option<VerificationGuard>,
    ) -> Result<oneshot::Receiver<MachineAnswer<M>>, ErrorCode> {
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
        self.envelopes.try_send(Envelope { request, guard, answer: Some(answer) }).map_err(
            |refused| match refused {
                TrySendError::Full(_) => ErrorCode::CoordinatorNotAvailable,
                TrySendError::Closed(_) => ErrorCode::NotCoordinator,
            },
        )?;
        Ok(receiver)
    }

    /// What the machine is told and nobody waits for; blocks while there is no room, so that nothing is lost.
    fn tell(&self, tidings: M::Request) {
        // A machine that is gone has nothing to hear.
        drop(self.envelopes.blocking_send(Envelope { request: tidings, guard: None, answer: None }));
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
    /// No machine runs until [`CoordinatorRuntime::apply`] has seen the partitions of `topic`. What machines tell others
    /// goes to `deliver`, which must not block: it tries until it succeeds, or until the leadership is over in which it
    /// was told, and brings the outcome back as a question.
    pub fn new(
        topic: &'static str,
        node_id: NodeId,
        clock: Clock,
        replicas: Arc<ReplicaManager>,
        config: CoordinatorRuntimeConfig,
        new_machine: impl Fn() -> M + Send + Sync + 'static,
        deliver: impl Fn(M::Message) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(SharedRuntime {
            topic,
            node_id,
            clock,
            replicas,
            config,
            new_machine: Arc::new(new_machine),
            deliver: Arc::new(deliver),
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

    /// Starts the machines of partitions whose logs could not be opened before.
    pub fn follow_opened(&self, image: &MetadataImage) {
        if image.topic(self.0.topic).is_some() {
            self.follow_leaderships(image);
        }
    }

    fn follow_leaderships(&self, image: &MetadataImage) {
        let partitions = image.topic(self.0.topic).map(|topic| topic.partitions.as_slice()).unwrap_or_default();
        let mut mailboxes = self.write_mailboxes();
        if mailboxes.partition_count == 0 {
            mailboxes.partition_count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        }
        for (partition, state) in (0_i32..).zip(partitions) {
            let is_ours = state.leader == self.0.node_id;
            let has_machine = mailboxes.by_partition.get(&partition);
            if is_ours && has_machine.is_some_and(|tenure| tenure.leader_epoch == state.leader_epoch) {
                continue;
            }
            // Of a leadership that was lost and won again, no machine may go on: others may have written meanwhile.
            mailboxes.by_partition.remove(&partition);
            if is_ours && let Ok(hosted) = self.0.replicas.partition(self.0.topic, partition) {
                let predecessor = mailboxes.tasks.remove(&partition);
                let (tenure, task) = self.elect(hosted, state.leader_epoch, predecessor);
                mailboxes.by_partition.insert(partition, tenure);
                mailboxes.tasks.insert(partition, task);
            }
        }
    }

    /// Makes a machine for one leadership. It loads once its predecessor is gone, so that it misses nothing of what that
    /// one may still write.
    fn elect(
        &self,
        hosted: Arc<HostedPartition>,
        leader_epoch: LeaderEpoch,
        predecessor: Option<JoinHandle<()>>,
    ) -> (Tenure<M>, JoinHandle<()>) {
        let (envelopes, inbox) = mpsc::channel(MAILBOX_CAPACITY + TIDINGS_CAPACITY);
        let (has_loaded, loaded) = watch::channel(false);
        let shared = &self.0;
        let (new_machine, deliver) = (Arc::clone(&shared.new_machine), Arc::clone(&shared.deliver));
        let actor = Actor::new(new_machine, hosted, leader_epoch, shared.clock.clone(), shared.config, deliver);
        let resigned = shared.stop.child_token();
        let tenure =
            Tenure { leader_epoch, mailbox: Mailbox { envelopes, loaded }, _resigned: resigned.clone().drop_guard() };
        let task = shared.tasks.spawn(async move {
            if let Some(predecessor) = predecessor {
                // However it ended, it ended.
                drop(predecessor.await);
            }
            actor.run(inbox, has_loaded, resigned).await;
        });
        (tenure, task)
    }

    /// The partition of the internal topic that `key` (a group id) belongs to: Kafka's `abs(hashCode) % partitions`.
    pub fn partition_for(&self, key: &str) -> Option<i32> {
        self.read_mailboxes().partition_for(key)
    }

    /// Whether the machine responsible for `key` is one of ours, and decides in the leadership `leader_epoch`.
    pub fn is_elected(&self, key: &str, leader_epoch: LeaderEpoch) -> bool {
        let mailboxes = self.read_mailboxes();
        let tenure = mailboxes.partition_for(key).and_then(|partition| mailboxes.by_partition.get(&partition));
        tenure.is_some_and(|tenure| tenure.leader_epoch == leader_epoch)
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
        self.enqueue_verified(key, question, None)
    }

    /// The same for a producer's transaction, whose records may be the first ones in that partition: `guard` is what
    /// [`HostedPartition::begin_verification`] gave out before the transaction's coordinator was asked.
    pub fn enqueue_verified<Q: Question<M>>(
        &self,
        key: &str,
        question: Q,
        guard: Option<VerificationGuard>,
    ) -> impl Future<Output = Result<Q::Answer, ErrorCode>> + Send + use<Q, M> {
        let request = question.into_request();
        let mailboxes = self.read_mailboxes();
        let tenure = mailboxes.partition_for(key).and_then(|partition| mailboxes.by_partition.get(&partition));
        wait::<M, Q>(tenure.map_or(Err(ErrorCode::NotCoordinator), |tenure| tenure.mailbox.post(request, guard)))
    }

    /// The same for the machine of that partition of the internal topic.
    pub fn enqueue_in<Q: Question<M>>(
        &self,
        partition: i32,
        question: Q,
    ) -> impl Future<Output = Result<Q::Answer, ErrorCode>> + Send + use<Q, M> {
        let request = question.into_request();
        let mailboxes = self.read_mailboxes();
        let tenure = mailboxes.by_partition.get(&partition);
        wait::<M, Q>(tenure.map_or(Err(ErrorCode::NotCoordinator), |tenure| tenure.mailbox.post(request, None)))
    }

    /// Asks every machine of this broker the same; answers in the order of their partitions.
    pub fn enqueue_all<Q: Question<M> + Clone>(
        &self,
        question: &Q,
    ) -> impl Future<Output = Vec<Result<Q::Answer, ErrorCode>>> + Send + use<Q, M> {
        let mailboxes = self.all_mailboxes();
        let posted = mailboxes.iter().map(|mailbox| wait::<M, Q>(mailbox.post(question.clone().into_request(), None)));
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
            mailboxes.by_partition.iter().map(|(&partition, tenure)| (partition, tenure.mailbox.clone())).collect()
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
