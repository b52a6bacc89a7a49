//! The listener of the controllers: the quorum's own requests, and Kafka's APIs once there is a broker to serve them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{Dispatcher, SMALL, Session};
use crate::clock::Monotonic;
use crate::network::{Answer, Asked, Endpoints, Handled, Service};
use crate::protocol::header::peek_api;
use crate::quorum::QuorumDoor;

/// Serves a controller listener. It is open before the broker is: the metadata, without which there is no broker, comes by it.
#[derive(Debug)]
pub struct ControllerListener {
    door: Arc<QuorumDoor>,
    dispatcher: OnceLock<Dispatcher>,
}

/// What is remembered of a connection: where it runs, and the broker's session once it has asked the broker something.
#[derive(Debug)]
pub struct ControllerSession {
    endpoints: Endpoints,
    session: Option<Session>,
}

impl ControllerListener {
    /// Serves the quorum alone, through `door`.
    pub fn new(door: Arc<QuorumDoor>) -> Self {
        Self { door, dispatcher: OnceLock::new() }
    }

    /// Has `dispatcher` serve Kafka's APIs from here on.
    pub fn serve(&self, dispatcher: Dispatcher) {
        // There is one broker in a node's life.
        drop(self.dispatcher.set(dispatcher));
    }
}

impl Service for ControllerListener {
    type Session = ControllerSession;

    fn open(&self, endpoints: Endpoints) -> ControllerSession {
        ControllerSession { endpoints, session: None }
    }

    fn frame_limit(&self, session: &ControllerSession, start: [u8; 4]) -> usize {
        if let Some(limit) = QuorumDoor::frame_limit(peek_api(start).0) {
            return limit;
        }
        let broker = self.dispatcher.get().zip(session.session.as_ref());
        broker.map_or(SMALL, |(dispatcher, session)| dispatcher.frame_limit(session, start))
    }

    async fn handle(&self, session: &mut ControllerSession, frame: Bytes) -> Handled {
        let is_quorums =
            frame.first_chunk::<4>().is_some_and(|start| QuorumDoor::frame_limit(peek_api(*start).0).is_some());
        if is_quorums {
            let door = Arc::clone(&self.door);
            // Owed, so that a vote that waits for the disk holds up no heartbeat behind it.
            return Handled::Owed(Box::pin(async move {
                let answered = door.answer(frame).await;
                answered.map(Answer::from).map_err(|error| error.to_string().into())
            }));
        }
        let Some(dispatcher) = self.dispatcher.get() else {
            return Handled::close("there is no broker yet to serve it");
        };
        let session = session.session.get_or_insert_with(|| dispatcher.open(session.endpoints.clone()));
        dispatcher.handle(session, frame).await
    }

    fn answered(&self, asked: Asked, now: Monotonic) {
        if let Some(dispatcher) = self.dispatcher.get() {
            dispatcher.answered(asked, now);
        }
    }
}
