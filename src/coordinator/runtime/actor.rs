//! One machine's task: its mailbox, its timers, and the replies that wait.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::config::CoordinatorRuntimeConfig;
use super::writer::{BatchWriter, Consequences, Deliver, MachineAnswer, PendingReply};
use crate::clock::{Alarm, Clock, Now};
use crate::coordinator::machine::{BatchKind, CoordinatorMachine};
use crate::ids::{LeaderEpoch, ProducerIdAndEpoch};
use crate::protocol::ErrorCode;
use crate::protocol::coordinator_records::EncodedRecord;
use crate::protocol::record_batch::{BatchBuilder, NO_SEQUENCE};
use crate::replication::hosted_partition::HostedPartition;
use crate::state_machine::{Effects, ReplyTo, StateMachine};
use crate::storage::VerificationGuard;

/// Requests that are decided before their batch is written, so that the first of them does not wait long.
const BURST: usize = 256;

/// Makes a machine that has not loaded.
pub(super) type NewMachine<M> = Arc<dyn Fn() -> M + Send + Sync>;

pub(super) struct Envelope<M: StateMachine> {
    pub(super) request: M::Request,
    /// What the first records of a transaction are to be written with.
    pub(super) guard: Option<VerificationGuard>,
    /// Where the answer goes; nobody waits for one to tidings.
    pub(super) answer: Option<oneshot::Sender<MachineAnswer<M>>>,
}

/// Why a machine no longer decides.
enum Ended {
    /// Nobody can ask it any more.
    Abandoned,
    /// It believes what the log does not say.
    Astray,
}

/// One machine with what it needs to act.
pub(super) struct Actor<M: CoordinatorMachine> {
    pub(super) machine: M,
    pub(super) hosted: Arc<HostedPartition>,
    /// The leadership in which the machine decides.
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) clock: Clock,
    new_machine: NewMachine<M>,
    writer: BatchWriter<M>,
    /// Those whose response has not been decided.
    waiting: HashMap<ReplyTo, oneshot::Sender<MachineAnswer<M>>>,
    next_reply_to: u64,
}

impl<M: CoordinatorMachine> Actor<M> {
    pub(super) fn new(
        new_machine: NewMachine<M>,
        hosted: Arc<HostedPartition>,
        leader_epoch: LeaderEpoch,
        clock: Clock,
        config: CoordinatorRuntimeConfig,
        deliver: Deliver<M>,
    ) -> Self {
        Self {
            machine: new_machine(),
            writer: BatchWriter::new(Arc::clone(&hosted), leader_epoch, config, deliver),
            hosted,
            leader_epoch,
            clock,
            new_machine,
            waiting: HashMap::new(),
            next_reply_to: 0,
        }
    }

    /// Loads the machine and drives it until `stop`, or until nobody can ask it any more; `loaded` tells whether it may
    /// be asked. It is loaded anew when a batch was refused after the machine had taken it for written.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Envelope<M>>,
        loaded: watch::Sender<bool>,
        stop: CancellationToken,
    ) {
        // A load looks after `stop` itself: it runs on a thread that dropping its future would leave behind.
        while let Some(actor) = self.load(&stop).await {
            self = actor;
            loaded.send_replace(true);
            let Some(Ended::Astray) = stop.run_until_cancelled(self.work(&mut inbox)).await else { return };
            loaded.send_replace(false);
            self.forget();
        }
    }

    async fn work(&mut self, inbox: &mut mpsc::Receiver<Envelope<M>>) -> Ended {
        let mut alarm = Alarm::new(self.clock.clone());
        let mut settling = None;
        // Loading may have led to records.
        self.writer.idle(&self.clock);
        while !self.writer.has_failed() {
            if settling.is_none() {
                settling = self.writer.settling(&self.clock).map(Box::pin);
            }
            let settled = poll_fn(|context| match &mut settling {
                Some(settling) => settling.as_mut().poll(context),
                None => Poll::Pending,
            });
            let deadline = self.machine.next_deadline().into_iter().chain(self.writer.next_deadline()).min();
            let due = poll_fn(|context| match deadline {
                Some(deadline) => alarm.poll(deadline, context).map(drop),
                None => Poll::Pending,
            });
            tokio::select! {
                biased;
                outcome = settled => {
                    settling = None;
                    self.writer.settled(outcome);
                }
                () = due => self.time_passed(inbox),
                envelope = inbox.recv() => match envelope {
                    Some(envelope) => self.take_burst(envelope, inbox),
                    None => return Ended::Abandoned,
                },
            }
            self.writer.idle(&self.clock);
        }
        Ended::Astray
    }

    /// Has the machine hear what is in its mailbox by now, and only then what is due: after a stall, a heartbeat may lie
    /// there that moves the very deadline.
    fn time_passed(&mut self, inbox: &mut mpsc::Receiver<Envelope<M>>) {
        for _ in 0..inbox.len() {
            if self.writer.has_failed() {
                return;
            }
            let Ok(envelope) = inbox.try_recv() else { break };
            self.handle(envelope);
        }
        if !self.writer.has_failed() {
            self.decide(None, M::handle_timeout);
        }
    }

    fn take_burst(&mut self, first: Envelope<M>, inbox: &mut mpsc::Receiver<Envelope<M>>) {
        self.handle(first);
        for _ in 1..BURST {
            if self.writer.has_failed() {
                return;
            }
            let Ok(envelope) = inbox.try_recv() else { return };
            self.handle(envelope);
        }
    }

    fn handle(&mut self, Envelope { request, guard, answer }: Envelope<M>) {
        let reply_to = ReplyTo(self.next_reply_to);
        self.next_reply_to += 1;
        if let Some(answer) = answer {
            self.waiting.insert(reply_to, answer);
        }
        self.decide(guard, |machine, now, effects| machine.handle(request, reply_to, now, effects));
    }

    /// Lets the machine decide, has its records written and replays them, and lets its replies and messages follow them.
    pub(super) fn decide(
        &mut self,
        guard: Option<VerificationGuard>,
        decide: impl FnOnce(&mut M, Now, &mut Effects<M>),
    ) {
        let now = self.clock.now();
        let mut effects = Effects::new();
        decide(&mut self.machine, now, &mut effects);
        let outcome = self.remember(&effects, guard, now);
        let waiting = &mut self.waiting;
        let replies = effects.replies.into_iter().filter_map(|(reply_to, response)| {
            let answer = waiting.remove(&reply_to)?;
            Some(PendingReply { answer, response })
        });
        let consequences = Consequences { replies: replies.collect(), messages: effects.messages };
        match outcome {
            Ok(()) => self.writer.follow(consequences),
            Err(code) => consequences.refuse(code),
        }
        self.writer.decided(now);
    }

    /// Adds `records` to the batches that are to be written, and replays them: what is decided next goes by them.
    fn remember(
        &mut self,
        Effects { records, is_atomic, .. }: &Effects<M>,
        guard: Option<VerificationGuard>,
        now: Now,
    ) -> Result<(), ErrorCode> {
        match records.first().map_or(BatchKind::Plain, M::batch_kind) {
            BatchKind::Plain => {}
            BatchKind::Transactional(producer) => {
                let batch = transactional_batch(producer, &encode::<M>(records)?, now);
                return self.remember_alone(records, &batch, guard, now);
            }
            BatchKind::Marker(producer, marker) => {
                return self.remember_alone(records, &marker.batch(producer, now.timestamp_ms), None, now);
            }
        }
        let encoded = encode::<M>(records)?;
        let together = if *is_atomic { records.len().max(1) } else { 1 };
        for (records, encoded) in records.chunks(together).zip(encoded.chunks(together)) {
            self.writer.add(encoded, now)?;
            for record in records {
                self.machine.replay(record);
            }
        }
        Ok(())
    }

    /// Writes `batch`, which holds `records`, at once, and only then replays them: the log may refuse a producer, and nobody
    /// need go by what it refuses.
    fn remember_alone(
        &mut self,
        records: &[M::Record],
        batch: &Bytes,
        guard: Option<VerificationGuard>,
        now: Now,
    ) -> Result<(), ErrorCode> {
        self.writer.write_alone(batch, guard, now)?;
        for record in records {
            self.machine.replay(record);
        }
        Ok(())
    }

    /// Begins anew, with a machine that has not loaded. Nobody will answer those who waited for the old one's decision:
    /// they look for the coordinator again, as when it moves.
    fn forget(&mut self) {
        let partition = self.hosted.topic_partition();
        tracing::info!(%partition, "a coordinator's batch could not be written: its state is loaded anew");
        self.machine = (self.new_machine)();
        self.writer.recovered();
        for (_, answer) in self.waiting.drain() {
            drop(answer.send(Err(ErrorCode::NotCoordinator)));
        }
    }
}

fn encode<M: CoordinatorMachine>(records: &[M::Record]) -> Result<Vec<EncodedRecord>, ErrorCode> {
    let encoded: Result<Vec<_>, _> = records.iter().map(M::encode).collect();
    encoded.map_err(|error| {
        tracing::error!(%error, "a coordinator's record cannot be written");
        ErrorCode::CoordinatorNotAvailable
    })
}

/// Coordinators do not number what they write for producers, as in Kafka.
fn transactional_batch(producer: ProducerIdAndEpoch, records: &[EncodedRecord], now: Now) -> Bytes {
    let mut batch = BatchBuilder::new(now.timestamp_ms);
    batch.producer(producer.producer_id, producer.producer_epoch, NO_SEQUENCE).transactional();
    for record in records {
        batch.record_at(now.timestamp_ms, Some(&record.key), record.value.as_deref(), &[]);
    }
    batch.build()
}
