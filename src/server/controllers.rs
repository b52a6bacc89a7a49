//! How a node and the other controllers reach each other, where there are others.

use std::sync::Arc;
use std::time::Duration;

use crate::api::Dispatcher;
use crate::api::controller_listener::ControllerListener;
use crate::broker::Broker;
use crate::network::SocketServer;
use crate::quorum::{Prober, QuorumThread, TcpTransport};

/// How long answers under way may take once the quorum has stopped.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The way out, the way in, and the thread of consensus.
pub(super) struct Controllers {
    pub(super) transport: Arc<TcpTransport>,
    pub(super) prober: Arc<Prober>,
    pub(super) listener: Arc<ControllerListener>,
    pub(super) network: SocketServer,
    pub(super) thread: QuorumThread,
}

impl Controllers {
    /// Has the controller listener serve Kafka's APIs on behalf of `broker`, too.
    pub(super) fn serve(&self, broker: &Arc<Broker>) {
        self.listener.serve(Dispatcher::new(Arc::clone(broker), broker.clock.clone()));
    }

    /// Ends all of it; the quorum has stopped before.
    pub(super) async fn stop(self) {
        self.transport.stop().await;
        self.network.stop(DRAIN_TIMEOUT).await;
        self.thread.stop().await;
    }
}
