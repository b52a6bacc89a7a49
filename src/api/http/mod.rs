//! HTTP: whether the broker lives and is ready, and its metrics.
//!
//! `/healthz` and `/livez` answer as long as the process does. `/readyz` answers 200 when clients are served: a log
//! directory works and the coordinators have loaded; else 503 with the reason. `/metrics` answers in Prometheus's text
//! format with what [`crate::metrics`] declares: what can be read when it is asked for is read then, and costs nothing
//! until somebody scrapes. Nobody is asked who they are: the port is on the loopback interface unless it is configured
//! otherwise.

mod bounded;
mod broker_metrics;
mod exporter;
mod process;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::metrics::Exposition;
use bounded::BoundedListener;
use exporter::GroupStatus;

/// How many connections there may be at once; further ones wait to be accepted, so that scrapers cannot take the
/// descriptors that clients and segments need.
const MOST_CONNECTIONS: usize = 8;

/// How long requests under way may take once a stop was asked for.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A listener for HTTP with its task.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    clock: Clock,
}

impl HttpServer {
    /// Serves `broker` on `listener`.
    ///
    /// Errors: the listener cannot be used.
    pub fn start(listener: std::net::TcpListener, broker: Arc<Broker>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let clock = broker.clock.clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            let listener = BoundedListener::new(listener, MOST_CONNECTIONS);
            let served = axum::serve(listener, router(broker)).with_graceful_shutdown(stopped).await;
            if let Err(error) = served {
                tracing::error!(%error, "HTTP is not served any more");
            }
        });
        Ok(Self { address, stop, task, clock })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what is under way, for a moment, and ends.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if self.clock.timeout(STOP_TIMEOUT, &mut self.task).await.is_err() {
            // Whoever has opened a connection and says nothing does not hold up the stop.
            self.task.abort();
            drop(self.task.await);
        }
    }
}

fn router(broker: Arc<Broker>) -> Router {
    let alive = || async { "ok\n" };
    Router::new()
        .route("/healthz", get(alive))
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(broker)
}

async fn ready(State(broker): State<Arc<Broker>>) -> impl IntoResponse {
    if broker.replicas.have_log_dirs_failed() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the log directories are offline\n");
    }
    match broker.groups.loaded().now_or_never() {
        Some(()) => (StatusCode::OK, "ready\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the group coordinators are loading\n"),
    }
}

async fn metrics(State(broker): State<Arc<Broker>>) -> Response {
    let groups = exporter::groups(&broker).await;
    // A thread of its own: thousands of partitions take tens of milliseconds, in which no client would be served.
    match tokio::task::spawn_blocking(move || exposition(&broker, &groups)).await {
        Ok(text) => ([(header::CONTENT_TYPE, Exposition::CONTENT_TYPE)], text).into_response(),
        Err(panic) => {
            tracing::error!(%panic, "telling the metrics panicked");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Everything that can be told of this moment. Takes each partition's lock for a moment, and reads files of the system.
fn exposition(broker: &Broker, groups: &[GroupStatus]) -> String {
    let mut exposition = Exposition::new(broker.config.load().broker.klamm_metrics_per_partition);
    let image = broker.image();
    exporter::add(&mut exposition, broker, &image, groups);
    broker_metrics::add(&mut exposition, broker, &image);
    process::add(&mut exposition);
    exposition.finish()
}

/// What a metric says of something that is or is not so.
fn zero_or_one(is_so: bool) -> u8 {
    u8::from(is_so)
}
