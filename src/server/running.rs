//! What of a broker runs: more with each step of a start, and all of it stopped in reverse, wherever the start has ended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::controllers::Controllers;
use crate::api::http::HttpServer;
use crate::broker::lifecycle::Heartbeats;
use crate::coordinator::group::GroupCoordinator;
use crate::coordinator::runtime::CoordinatorRuntime;
use crate::coordinator::transaction::TransactionCoordinator;
use crate::network::SocketServer;
use crate::quorum::MetadataQuorum;
use crate::quorum::driver::Driver;

/// How long requests in flight may take once a stop was asked for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The parts that have tasks, in the order in which they are started.
#[derive(Default)]
pub(super) struct Running {
    pub(super) controllers: Option<Controllers>,
    pub(super) metadata: Option<Arc<MetadataQuorum>>,
    pub(super) driver: Option<Driver>,
    pub(super) groups: Option<CoordinatorRuntime<GroupCoordinator>>,
    pub(super) transactions: Option<CoordinatorRuntime<TransactionCoordinator>>,
    pub(super) background: Option<Background>,
    pub(super) heartbeats: Option<Heartbeats>,
    pub(super) network: Option<SocketServer>,
    pub(super) http: Option<HttpServer>,
}

impl Running {
    /// While it serves and follows the metadata, others take over what it leads.
    pub(super) async fn hand_over(&mut self) {
        OptionFuture::from(self.heartbeats.take().map(Heartbeats::stop)).await;
    }

    /// Hands over what others can take, answers the requests in flight and ends every task.
    pub(super) async fn stop(mut self) {
        self.hand_over().await;
        let Self { controllers, metadata, driver, groups, transactions, background, heartbeats: _, network, http } =
            self;
        OptionFuture::from(http.map(HttpServer::stop)).await;
        OptionFuture::from(network.map(|network| network.stop(DRAIN_TIMEOUT))).await;
        OptionFuture::from(background.map(Background::stop)).await;
        OptionFuture::from(transactions.as_ref().map(CoordinatorRuntime::shutdown)).await;
        OptionFuture::from(groups.as_ref().map(CoordinatorRuntime::shutdown)).await;
        OptionFuture::from(driver.map(Driver::stop)).await;
        OptionFuture::from(metadata.as_ref().map(|metadata| metadata.shutdown())).await;
        OptionFuture::from(controllers.map(Controllers::stop)).await;
    }
}

/// The tasks besides those of the network and of the machines.
pub(super) struct Background {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Background {
    /// `tasks` end once `stop` is cancelled.
    pub(super) fn new(stop: CancellationToken, tasks: Vec<JoinHandle<()>>) -> Self {
        Self { stop, tasks }
    }

    /// One more, which ends when its token is cancelled.
    pub(super) fn spawn<F>(&mut self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.push(tokio::spawn(task(self.stop.clone())));
    }

    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(panic) = task.await {
                tracing::error!(%panic, "a background task had panicked");
            }
        }
    }
}
