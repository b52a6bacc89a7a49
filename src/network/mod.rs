//! Listeners, connections and frames: bytes between sockets and whoever answers them.
//!
//! Promises: requests of a connection are handled one after the other, and their answers leave in the order of the
//! requests; memory is touched only as bytes arrive; every queue, frame and wait has a bound in [`Limits`];
//! every task is owned and awaited. It must not know what is in a frame: a [`Service`] does.

mod byte_stream;
pub mod channel;
mod connection;
mod connection_limits;
mod gateways;
mod input;
mod limits;
mod listener;
mod log_limit;
pub mod node_connections;
mod output;
mod socket_server;

pub use connection_limits::ConnectionLimits;
pub use gateways::Gateways;
pub use limits::Limits;
pub use listener::{BindError, BoundListener};
pub use log_limit::LogLimit;
pub use socket_server::SocketServer;

use std::borrow::Cow;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Monotonic;
use crate::protocol::frame::Frame;

/// Why a connection is closed, as the end of a sentence in the log.
pub type CloseReason = Cow<'static, str>;

/// What follows an answer; what stands later here is graver.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Then {
    /// The next request.
    #[default]
    Next,
    /// No request is read for so long from now on, while answers still leave: the client is throttled (KIP-219).
    Mute(Duration),
    /// The end of the connection, once every answer before it and the answer itself have left.
    Close(CloseReason),
}

/// An answer on its way to the client.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its bytes.
    pub frame: Frame,
    /// What follows it; it begins when the answer is complete, not when the client has taken it.
    pub then: Then,
}

/// An answer that nothing in particular follows.
impl From<Frame> for Answer {
    fn from(frame: Frame) -> Self {
        Self { frame, then: Then::Next }
    }
}

/// An answer that completes later. Dropped unfinished when its connection ends first.
pub type OwedAnswer = Pin<Box<dyn Future<Output = Result<Answer, CloseReason>> + Send>>;

/// What became of a request once the ordered part of its work is done.
pub enum Handled {
    /// The request has no answer.
    NoAnswer(Then),
    /// The answer is here.
    Ready(Answer),
    /// The answer will come; the next request is handled meanwhile.
    Owed(OwedAnswer),
}

impl Handled {
    /// No answer; the connection ends, once the answers before this request have left.
    pub fn close(reason: impl Into<CloseReason>) -> Self {
        Self::NoAnswer(Then::Close(reason.into()))
    }
}

/// Where a connection runs.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address.
    pub local: SocketAddr,
}

/// A request of which the answer is on its way.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The first bytes of its frame.
    pub start: [u8; 4],
    /// When the last of its bytes had been read.
    pub arrived: Monotonic,
}

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// What it remembers of one connection.
    type Session: Send + Sync;

    /// A connection was accepted.
    fn open(&self, endpoints: Endpoints) -> Self::Session;

    /// The longest frame, in bytes, that is read of a request whose frame starts with `start`.
    fn frame_limit(&self, session: &Self::Session, start: [u8; 4]) -> usize;

    /// Handles one request: `frame` without its length prefix. The connection's next request waits until this returns.
    fn handle(&self, session: &mut Self::Session, frame: Bytes) -> impl Future<Output = Handled> + Send;

    /// The answer to a request was written to the socket, whole, at `now`.
    fn answered(&self, _asked: Asked, _now: Monotonic) {}
}
