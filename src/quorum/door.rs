//! Where other nodes of the quorum come in: what their frames ask, and what they are told.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{BufMut, Bytes};

use super::tcp::{ANSWERED, HELLO_KEY, MAX_MESSAGE, MAX_SMALL_MESSAGE, RAFT_KEY, REFUSED};
use super::{Hello, MetadataQuorum};
use crate::clock::Clock;
use crate::network::LogLimit;
use crate::protocol::frame::Frame;
use crate::protocol::header::RequestHeader;

/// Answers the quorum's own requests, which have API keys that Kafka does not have; before the quorum is open, greetings
/// alone.
#[derive(Debug)]
pub struct QuorumDoor {
    own: Hello,
    quorum: OnceLock<Arc<MetadataQuorum>>,
    refusals: Mutex<LogLimit>,
    clock: Clock,
}

impl QuorumDoor {
    /// The door of a node that greets as `own` until its quorum is open; `clock` paces the log.
    pub fn new(own: Hello, clock: Clock) -> Self {
        Self { own, quorum: OnceLock::new(), refusals: Mutex::default(), clock }
    }

    /// From here on `quorum` answers.
    pub fn open(&self, quorum: Arc<MetadataQuorum>) {
        // There is one quorum in a node's life.
        drop(self.quorum.set(quorum));
    }

    /// The longest frame of requests with this key; `None` where they are not the quorum's.
    pub fn frame_limit(api_key: i16) -> Option<usize> {
        match api_key {
            RAFT_KEY => Some(MAX_MESSAGE),
            HELLO_KEY => Some(MAX_SMALL_MESSAGE),
            _ => None,
        }
    }

    /// The answer to a request with one of the quorum's keys: `frame` is without its length.
    ///
    /// # Errors
    /// The frame cannot be read.
    pub async fn answer(&self, mut frame: Bytes) -> io::Result<Frame> {
        let unreadable = |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
        let header = RequestHeader::decode(&mut frame).map_err(|error| unreadable(&error))?;
        let answered = match header.api_key {
            HELLO_KEY => Hello::decode(&frame).map(|_| self.hello().encode()),
            _ => match self.quorum.get() {
                Some(quorum) => quorum.answer(frame).await,
                None => Err(io::Error::other("the metadata log is not open yet")),
            },
        };
        Ok(match answered {
            Ok(body) => framed(header.correlation_id, ANSWERED, &body),
            Err(error) => {
                self.log_refusal(&error);
                framed(header.correlation_id, REFUSED, error.to_string().as_bytes())
            }
        })
    }

    /// What this node says of itself now.
    fn hello(&self) -> Hello {
        self.quorum.get().map_or_else(|| self.own.clone(), |quorum| quorum.hello(&self.own))
    }

    fn log_refusal(&self, error: &io::Error) {
        let now = self.clock.monotonic();
        let allowed = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).allow(now);
        match allowed {
            Some(suppressed) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(suppressed, "refused a message of the metadata quorum: {error}");
            }
            _ => tracing::debug!("refused a message of the metadata quorum: {error}"),
        }
    }
}

fn framed(correlation_id: i32, outcome: u8, body: &[u8]) -> Frame {
    let mut frame = Vec::with_capacity(9 + body.len());
    frame.put_i32(i32::try_from(5 + body.len()).unwrap_or(i32::MAX));
    frame.put_i32(correlation_id);
    frame.put_u8(outcome);
    frame.put_slice(body);
    Frame::new(frame.into())
}
