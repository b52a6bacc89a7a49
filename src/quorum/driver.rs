//! Runs a [`StateMachine`] over the metadata log: the controller's runtime.
//!
//! One task owns the machine, which exists only while this node leads; until then everybody is refused. It takes what
//! requests are waiting, lets the machine decide on them in order, proposes all their records as one batch, and answers
//! once that is committed and published.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::OptionFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::MetadataQuorum;
use super::leadership::{Over, QuorumLeadership};
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
    /// It is made anew for each leadership of this node, because other nodes may have decided since the last one, and after
    /// a failed proposal, because what the machine replayed then may not be in the log.
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
        let run = Run { renew: machine, quorum, clock, answers: HashMap::new(), number: 0 };
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
    renew: F,
    quorum: Arc<MetadataQuorum>,
    clock: Clock,
    answers: HashMap<ReplyTo, AnswerSender<M>>,
    /// The number of the last request.
    number: u64,
}

/// Keeps what is due back until the requests are decided on that were waiting by then. A controller that was busy has not
/// read the heartbeats that have come meanwhile, and would fence brokers that are alive (KAFKA-15019). What comes later is
/// not waited for, so that nothing that is due waits for ever.
#[derive(Debug, Default)]
struct Patience {
    /// How many requests are still to be decided on, if something is due.
    left: Option<usize>,
}

impl Patience {
    /// So many requests are decided on.
    fn note(&mut self, decided: usize) {
        self.left = self.left.map(|left| left.saturating_sub(decided));
    }

    /// Whether what is due can be done, where so many requests wait.
    fn is_over(&mut self, is_due: bool, waiting: usize) -> bool {
        if !is_due {
            self.left = None;
            return false;
        }
        let is_over = *self.left.get_or_insert(waiting) == 0;
        if is_over {
            self.left = None;
        }
        is_over
    }
}

/// Why the machine is not asked any more.
enum Rest {
    /// Nobody can ask.
    Closed,
    /// It may lead again.
    Over,
    /// It never will.
    Stopped,
}

impl<M, F> Run<M, F>
where
    M: StateMachine<Record = MetadataRecord, Message = Infallible>,
    F: Fn(&MetadataImage) -> M,
{
    async fn run(mut self, mut requests: mpsc::Receiver<(M::Request, AnswerSender<M>)>) {
        loop {
            let quorum = Arc::clone(&self.quorum);
            let leads = quorum.next_leadership();
            let Some(leadership) = refuse_until(&quorum, leads, &mut requests).await else { return };
            match self.lead(leadership, &mut requests).await {
                Rest::Over => {}
                Rest::Closed => return,
                Rest::Stopped => {
                    refuse_until(&quorum, std::future::pending::<()>(), &mut requests).await;
                    return;
                }
            }
        }
    }

    /// Lets a machine that knows everything decided so far decide, until `leadership` is over or a batch has failed.
    async fn lead(
        &mut self,
        leadership: QuorumLeadership,
        requests: &mut mpsc::Receiver<(M::Request, AnswerSender<M>)>,
    ) -> Rest {
        let mut machine = (self.renew)(&self.quorum.image());
        let mut end = pin!(self.quorum.end_of(leadership));
        let mut waiting = Vec::with_capacity(BATCH);
        let mut patience = Patience::default();
        loop {
            let alarm = OptionFuture::from(machine.next_deadline().map(|at| self.clock.sleep_until(at)));
            tokio::select! {
                biased;
                over = &mut end => return self.rest(over),
                received = requests.recv_many(&mut waiting, BATCH) => if received == 0 { return Rest::Closed },
                Some(()) = alarm => {}
            }
            let mut effects = self.decide(&mut machine, &mut waiting, &mut patience);
            let is_due = machine.next_deadline().is_some_and(|at| at <= self.clock.monotonic());
            if patience.is_over(is_due, requests.len()) {
                let decided = effects.records.len();
                machine.handle_timeout(self.clock.now(), &mut effects);
                replay(&mut machine, &effects, decided);
            }
            let has_decided = !effects.records.is_empty();
            let committed = tokio::select! {
                biased;
                committed = commit(&self.quorum, leadership, effects.records, effects.replies.is_empty()) => committed,
                over = &mut end => {
                    return self.rest(over);
                }
            };
            for (reply_to, response) in effects.replies {
                if let Some(answer) = self.answers.remove(&reply_to) {
                    // Whoever asked may be gone; then nobody misses the answer.
                    let _unheard = answer.send(committed.map(|image_offset| Committed { response, image_offset }));
                }
            }
            // Where nothing was to be written, the machine knows nothing that the log does not.
            if let (Err(error), true) = (committed, has_decided) {
                self.fail(error);
                return Rest::Over;
            }
        }
    }

    /// Lets the machine decide on what is `waiting`.
    fn decide(
        &mut self,
        machine: &mut M,
        waiting: &mut Vec<(M::Request, AnswerSender<M>)>,
        patience: &mut Patience,
    ) -> Effects<M> {
        let mut effects = Effects::new();
        patience.note(waiting.len());
        for (request, answer) in waiting.drain(..) {
            self.number += 1;
            self.answers.insert(ReplyTo(self.number), answer);
            let decided = effects.records.len();
            machine.handle(request, ReplyTo(self.number), self.clock.now(), &mut effects);
            replay(machine, &effects, decided);
        }
        effects
    }

    /// Whoever still waits is told that this node leads no longer.
    fn rest(&mut self, over: Over) -> Rest {
        self.fail(self.quorum.refusal());
        match over {
            Over::Deposed => Rest::Over,
            Over::Stopped => Rest::Stopped,
        }
    }

    fn fail(&mut self, error: ErrorCode) {
        for (_, answer) in self.answers.drain() {
            let _unheard = answer.send(Err(error));
        }
    }
}

/// Says to everybody that this node does not lead, until `leads` completes; `None` where nobody can ask any more.
async fn refuse_until<R, A, T>(
    quorum: &MetadataQuorum,
    leads: impl Future<Output = T>,
    requests: &mut mpsc::Receiver<(R, oneshot::Sender<Result<A, ErrorCode>>)>,
) -> Option<T> {
    let mut leads = pin!(leads);
    loop {
        tokio::select! {
            biased;
            led = &mut leads => return Some(led),
            request = requests.recv() => {
                let (_, answer) = request?;
                let _unheard = answer.send(Err(quorum.refusal()));
            }
        }
    }
}

/// Replays the records from `start` on: the next request sees the ones before it as done.
fn replay<M: StateMachine>(machine: &mut M, effects: &Effects<M>, start: usize) {
    for record in effects.records.iter().skip(start) {
        machine.replay(record);
    }
}

/// Makes `records` part of the log, or, where there are none, makes sure that what was decided is still what counts. Where
/// nobody is answered either, there is nothing to be sure of.
async fn commit(
    quorum: &MetadataQuorum,
    leadership: QuorumLeadership,
    records: Vec<MetadataRecord>,
    is_silent: bool,
) -> Result<i64, ErrorCode> {
    match (records.is_empty(), is_silent) {
        (false, _) => quorum.propose_in(leadership, records).await,
        (true, false) => quorum.confirm(leadership).await,
        (true, true) => Ok(quorum.image().offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_waits_for_the_requests_that_were_there_and_for_no_later_ones() {
        let mut patience = Patience::default();
        assert!(!patience.is_over(false, 0));
        assert!(patience.is_over(true, 0));
        assert!(!patience.is_over(true, 70));
        patience.note(64);
        assert!(!patience.is_over(true, 500));
        patience.note(64);
        assert!(patience.is_over(true, 500));
    }

    #[test]
    fn a_heartbeat_that_was_waiting_puts_off_what_was_due() {
        let mut patience = Patience::default();
        assert!(!patience.is_over(true, 1));
        patience.note(1);
        assert!(!patience.is_over(false, 9));
        assert!(!patience.is_over(true, 9));
    }
}
