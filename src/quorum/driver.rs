//! Runs a [`StateMachine`] over the metadata log: the controller's runtime.
//!
//! One task owns the machine. It takes what requests are waiting, lets the machine decide on them in order, proposes all
//! their records as one batch, and answers once that is committed and published.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use futures_util::future::OptionFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::MetadataQuorum;
use crate::clock::Clock;
use crate::metadata::{MetadataImage, MetadataRecord};
use crate::protocol::ErrorCode;
use crate::state_machine::{Effects, Question, ReplyTo, StateMachine};

/// Requests that may wait; beyond, those who submit wait.
const QUEUE: usize = 1_024;

/// Requests decided on together; bounds a batch of records.
const BATCH: usize = 64;

/// A response, with the place in the metadata log where it has become true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed<R> {
    /// What the machine answered.
    pub response: R,
    /// Images with this offset or a later one contain what the response is about.
    pub image_offset: i64,
}

type AnswerSender<M> = oneshot::Sender<Result<Committed<<M as StateMachine>::Response>, ErrorCode>>;

/// Puts questions to a machine; clones ask the same one.
#[derive(Debug)]
pub struct MachineClient<M: StateMachine> {
    requests: mpsc::Sender<(M::Request, AnswerSender<M>)>,
}

impl<M: StateMachine> Clone for MachineClient<M> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone() }
    }
}

impl<M: StateMachine> MachineClient<M> {
    /// Puts `question` to the machine, and returns its answer once it is committed and published.
    ///
    /// `NotController` where this node does not lead or is stopping; other codes as of [`MetadataQuorum::propose`].
    pub async fn ask<Q: Question<M>>(&self, question: Q) -> Result<Committed<Q::Answer>, ErrorCode> {
        let (answer, answered) = oneshot::channel();
        self.requests.send((question.into_request(), answer)).await.map_err(|_| ErrorCode::NotController)?;
        let Committed { response, image_offset } = answered.await.map_err(|_| ErrorCode::NotController)??;
        // A machine that is gone gives no answer, and none gives another question's.
        let response = Q::answer(response).ok_or(ErrorCode::NotController)?;
        Ok(Committed { response, image_offset })
    }
}

/// The task that drives a machine.
#[derive(Debug)]
pub struct Driver {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Driver {
    /// Starts to drive the machine that `machine` makes of an image.
    ///
    /// It is made anew after a failed proposal, because what the machine replayed then may not be in the log.
    pub fn start<M>(
        quorum: Arc<MetadataQuorum>,
        clock: Clock,
        machine: impl Fn(&MetadataImage) -> M + Send + 'static,
    ) -> (Self, MachineClient<M>)
    where
        M: StateMachine<Record = MetadataRecord, Message = Infallible, Request: Send, Response: Send> + Send + 'static,
    {
        let (requests, received) = mpsc::channel(QUEUE);
        let (stop, stopped) = oneshot::channel();
        let run = Run { machine: machine(&quorum.image()), renew: machine, quorum, clock, answers: HashMap::new() };
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = stopped => {}
                () = run.run(received) => {}
            }
        });
        (Self { stop, task }, MachineClient { requests })
    }

    /// Stops the task; requests that are not yet answered fail with `NotController`.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the controller's task failed");
        }
    }
}

struct Run<M: StateMachine, F> {
    machine: M,
    renew: F,
    quorum: Arc<MetadataQuorum>,
    clock: Clock,
    answers: HashMap<ReplyTo, AnswerSender<M>>,
}

impl<M, F> Run<M, F>
where
    M: StateMachine<Record = MetadataRecord, Message = Infallible>,
    F: Fn(&MetadataImage) -> M,
{
    async fn run(mut self, mut requests: mpsc::Receiver<(M::Request, AnswerSender<M>)>) {
        let mut waiting = Vec::with_capacity(BATCH);
        let mut number = 0;
        loop {
            let alarm = OptionFuture::from(self.machine.next_deadline().map(|at| self.clock.sleep_until(at)));
            tokio::select! {
                received = requests.recv_many(&mut waiting, BATCH) => if received == 0 { return },
                Some(()) = alarm => {}
            }
            let mut effects = Effects::new();
            for (request, answer) in waiting.drain(..) {
                number += 1;
                self.answers.insert(ReplyTo(number), answer);
                let decided = effects.records.len();
                self.machine.handle(request, ReplyTo(number), self.clock.now(), &mut effects);
                self.replay(&effects, decided);
            }
            let decided = effects.records.len();
            self.machine.handle_timeout(self.clock.now(), &mut effects);
            self.replay(&effects, decided);
            self.commit(effects).await;
        }
    }

    /// Replays the records from `start` on: the next request sees the ones before it as done.
    fn replay(&mut self, effects: &Effects<M>, start: usize) {
        for record in effects.records.iter().skip(start) {
            self.machine.replay(record);
        }
    }

    async fn commit(&mut self, effects: Effects<M>) {
        let committed = if effects.records.is_empty() {
            Ok(self.quorum.image().offset)
        } else {
            self.quorum.propose(effects.records).await
        };
        for (reply_to, response) in effects.replies {
            if let Some(answer) = self.answers.remove(&reply_to) {
                // Whoever asked may be gone; then nobody misses the answer.
                let _unheard = answer.send(committed.map(|image_offset| Committed { response, image_offset }));
            }
        }
        if let Err(error) = committed {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: ErrorCode) {
        for (_, answer) in self.answers.drain() {
            let _unheard = answer.send(Err(error));
        }
        self.machine = (self.renew)(&self.quorum.image());
    }
}
