//! One machine's task: its mailbox, its timers, and the replies that wait.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{mpsc, oneshot};

use crate::clock::{Alarm, Clock, Now};
use crate::coordinator::machine::CoordinatorMachine;
use crate::protocol::ErrorCode;
use crate::replication::hosted_partition::HostedPartition;
use crate::state_machine::{Effects, ReplyTo, StateMachine};

/// Requests handled before their replies are released together.
const BURST: usize = 256;

pub(super) type MachineAnswer<M> = Result<<M as StateMachine>::Response, ErrorCode>;

pub(super) struct Envelope<M: StateMachine> {
    pub(super) request: M::Request,
    /// Where the answer goes; nobody waits for one to tidings.
    pub(super) answer: Option<oneshot::Sender<MachineAnswer<M>>>,
}

/// One machine with what it needs to act.
pub(super) struct Actor<M: CoordinatorMachine> {
    pub(super) machine: M,
    pub(super) hosted: Arc<HostedPartition>,
    pub(super) clock: Clock,
    waiting: HashMap<ReplyTo, oneshot::Sender<MachineAnswer<M>>>,
    next_reply_to: u64,
    pub(super) last_appended: i64,
    pub(super) unflushed: bool,
    /// Replies to give once everything up to `last_appended` is committed.
    ready: VecDeque<(ReplyTo, M::Response)>,
}

impl<M: CoordinatorMachine> Actor<M> {
    /// A machine as it is, which sees nothing before it has loaded.
    pub(super) fn new(machine: M, hosted: Arc<HostedPartition>, clock: Clock) -> Self {
        Self {
            machine,
            hosted,
            clock,
            waiting: HashMap::new(),
            next_reply_to: 0,
            last_appended: -1,
            unflushed: false,
            ready: VecDeque::new(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Envelope<M>>) {
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

    async fn release_replies(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let outcome = self.committed().await;
        while let Some((reply_to, response)) = self.ready.pop_front() {
            self.answer(reply_to, outcome.map(|()| response));
        }
    }

    fn answer(&mut self, reply_to: ReplyTo, answer: MachineAnswer<M>) {
        if let Some(sender) = self.waiting.remove(&reply_to) {
            // A receiver that is gone is a client that has disconnected; the decision stands all the same.
            drop(sender.send(answer));
        }
    }
}
