//! The one shape of everything that decides: a machine decides, and a log remembers.
//!
//! A machine takes a request and the time and returns data: records to remember and replies to give. Its hard state
//! changes only in [`StateMachine::replay`], so that recovery, fail-over and normal operation are the same code. A
//! runtime (I/O, elsewhere) appends the records, replays them, and lets the replies and messages leave once the log is
//! committed up to what they depend on.

use crate::clock::{Monotonic, Now};

/// Names the request that a reply answers; the runtime that handed it out knows who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyTo(pub u64);

/// What a machine wants done, in order.
#[derive(Debug)]
pub struct Effects<M: StateMachine + ?Sized> {
    /// To be appended and replayed.
    pub records: Vec<M::Record>,
    /// Whether the records make sense only together, so that they have to be in one batch, however it ends; they are
    /// refused where it would be too large. A machine clears it where each record stands for itself.
    pub is_atomic: bool,
    /// To be given once `records`, and all earlier ones, are committed.
    pub replies: Vec<(ReplyTo, M::Response)>,
    /// To be told to others then, in order; who that is, and how they are reached, is not the machine's to know.
    pub messages: Vec<M::Message>,
}

impl<M: StateMachine + ?Sized> Effects<M> {
    /// No effects yet.
    pub fn new() -> Self {
        Self { records: Vec::new(), is_atomic: true, replies: Vec::new(), messages: Vec::new() }
    }

    /// Appends one record.
    pub fn record(&mut self, record: M::Record) {
        self.records.push(record);
    }

    /// Answers the request `reply_to`.
    pub fn reply(&mut self, reply_to: ReplyTo, response: M::Response) {
        self.replies.push((reply_to, response));
    }

    /// Tells others.
    pub fn message(&mut self, message: M::Message) {
        self.messages.push(message);
    }
}

impl<M: StateMachine + ?Sized> Default for Effects<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// A synchronous, pure decider: no clock, no randomness, no files, no sockets, no locks.
pub trait StateMachine {
    /// What it can be asked.
    type Request;
    /// What it answers.
    type Response;
    /// What it remembers.
    type Record;
    /// What it tells others, such as the leaders of partitions; `Infallible` where it tells nobody anything. The outcome
    /// comes back as a request.
    type Message;

    /// Decides on one request. A reply may be given now or, from a later call, when something else happened.
    fn handle(&mut self, request: Self::Request, reply_to: ReplyTo, now: Now, effects: &mut Effects<Self>);

    /// Does whatever has become due by `now`; does nothing when called early.
    fn handle_timeout(&mut self, now: Now, effects: &mut Effects<Self>);

    /// When [`StateMachine::handle_timeout`] must next be called, if ever.
    fn next_deadline(&self) -> Option<Monotonic>;

    /// Takes one remembered record into the state; the only place where hard state changes.
    fn replay(&mut self, record: &Self::Record);
}

/// What a machine can be asked, with the type of the answer: its clients deal in questions, so that none has to think of
/// an answer to another one.
pub trait Question<M: StateMachine + ?Sized> {
    /// What the machine answers.
    type Answer: Send;

    /// The question among all that the machine can be asked.
    fn into_request(self) -> M::Request;

    /// The answer among all that the machine gives; `None` in one to another question, which no machine gives.
    fn answer(response: M::Response) -> Option<Self::Answer>;
}

/// The questions to a machine: each type, the variant of the request that holds it, and that of the response with the
/// answer's type.
macro_rules! questions {
    ($machine:ty: $($question:ty => $request:path, $response:path: $answer:ty;)+) => {$(
        impl $crate::state_machine::Question<$machine> for $question {
            type Answer = $answer;

            fn into_request(self) -> <$machine as $crate::state_machine::StateMachine>::Request {
                $request(self)
            }

            fn answer(response: <$machine as $crate::state_machine::StateMachine>::Response) -> Option<$answer> {
                if let $response(answer) = response { Some(answer) } else { None }
            }
        }
    )+};
}
pub(crate) use questions;
