//! All listeners and connections of one broker: accepted, counted, and ended in order.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Ending, SharedServer, serve};
use super::connection_limits::{ConnectionLimits, Slot};
use super::{BoundListener, Endpoints, Limits, LogLimit, Service};
use crate::clock::Clock;

/// How long no connection is accepted after the system had no file handle or memory for one.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The tasks of all listeners and connections; [`SocketServer::stop`] awaits them.
#[derive(Debug)]
pub struct SocketServer {
    tasks: TaskTracker,
    stopping: CancellationToken,
    aborting: CancellationToken,
    addresses: Addresses,
    limits: Arc<ConnectionLimits>,
    clock: Clock,
}

impl SocketServer {
    /// Begins to accept connections on `listeners` and has `service` answer their requests. Within a runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch a listener's socket.
    pub fn start<S: Service>(
        listeners: Vec<BoundListener>,
        service: Arc<S>,
        limits: Limits,
        clock: Clock,
    ) -> io::Result<Self> {
        let server = Self {
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            aborting: CancellationToken::new(),
            addresses: Addresses::default(),
            limits: Arc::new(ConnectionLimits::new(&limits)),
            clock: clock.clone(),
        };
        let shared = Arc::new(SharedServer { service, limits, clock });
        let log_limit = Arc::new(Mutex::default());
        for listener in listeners {
            let acceptor = Acceptor {
                socket: TcpListener::from_std(listener.socket)?,
                name: listener.name,
                shared: Arc::clone(&shared),
                limits: Arc::clone(&server.limits),
                addresses: server.addresses.clone(),
                log_limit: Arc::clone(&log_limit),
                tasks: server.tasks.clone(),
                stopping: server.stopping.clone(),
                aborting: server.aborting.clone(),
            };
            server.tasks.spawn(async move { acceptor.run().await });
        }
        Ok(server)
    }

    /// The bounds on the number of connections, to be changed while there are some.
    pub fn connection_limits(&self) -> Arc<ConnectionLimits> {
        Arc::clone(&self.limits)
    }

    /// How many connections there are.
    pub fn connection_count(&self) -> usize {
        self.addresses.lock().values().sum()
    }

    /// Takes no more connections and requests, lets requests in flight be answered `within` that time, then drops what
    /// is left. No task remains when this returns.
    pub async fn stop(self, within: Duration) {
        self.stopping.cancel();
        self.tasks.close();
        if self.clock.timeout(within, self.tasks.wait()).await.is_err() {
            self.aborting.cancel();
            self.tasks.wait().await;
        }
    }
}

/// A server that is dropped without having been stopped ends its tasks, without awaiting them.
impl Drop for SocketServer {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.aborting.cancel();
    }
}

/// One listener's loop.
struct Acceptor<S> {
    socket: TcpListener,
    name: Arc<str>,
    shared: Arc<SharedServer<S>>,
    limits: Arc<ConnectionLimits>,
    addresses: Addresses,
    log_limit: Arc<Mutex<LogLimit>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    aborting: CancellationToken,
}

impl<S: Service> Acceptor<S> {
    async fn run(self) {
        self.stopping.run_until_cancelled(self.accept_all()).await;
    }

    async fn accept_all(&self) {
        loop {
            // Beyond `max.connections` they wait in the listener's backlog, as with Kafka.
            let Some(slot) = self.limits.take_slot().await else { return };
            match self.socket.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer, slot),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    if let Some(suppressed) = allowed(&self.log_limit, &self.shared.clock) {
                        let listener = &self.name;
                        tracing::error!(%listener, %error, suppressed, "cannot accept connections for a moment");
                    }
                    self.shared.clock.sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, slot: Slot) {
        let (peer, ip) = (canonical(peer), peer.ip().to_canonical());
        let Some(place) = self.addresses.take_place(ip, self.limits.max_per_ip()) else {
            let reason = "its address has max.connections.per.ip of them".into();
            return log_ending(&self.log_limit, &self.shared.clock, peer, &Ending::Notable(reason));
        };
        // A connection that is gone already fails at its first read.
        let Ok(local) = stream.local_addr() else { return };
        let _ = stream.set_nodelay(true);
        let endpoints = Endpoints { listener: Arc::clone(&self.name), peer, local: canonical(local) };
        let connection = self.connection(stream, endpoints);
        self.tasks.spawn(async move {
            connection.await;
            drop((place, slot));
        });
    }

    fn connection(&self, stream: TcpStream, endpoints: Endpoints) -> impl Future<Output = ()> + Send + use<S> {
        let (shared, log_limit) = (Arc::clone(&self.shared), Arc::clone(&self.log_limit));
        let (stopping, aborting) = (self.stopping.child_token(), self.aborting.child_token());
        async move {
            let peer = endpoints.peer;
            if let Some(ending) = aborting.run_until_cancelled(serve(&shared, stream, endpoints, stopping)).await {
                log_ending(&log_limit, &shared.clock, peer, &ending);
            }
        }
    }
}

/// A client of IPv4 on a socket for both families is a client of IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Errors of `accept` that say nothing about the next connection.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn log_ending(log_limit: &Mutex<LogLimit>, clock: &Clock, peer: SocketAddr, ending: &Ending) {
    match ending {
        Ending::Usual(reason) => tracing::debug!(%peer, "closed a connection: {reason}"),
        Ending::Notable(reason) => {
            if let Some(suppressed) = allowed(log_limit, clock) {
                tracing::info!(%peer, suppressed, "closed a connection: {reason}");
            }
        }
    }
}

/// Whether one more line may be written, as [`LogLimit::allow`].
fn allowed(log_limit: &Mutex<LogLimit>, clock: &Clock) -> Option<u64> {
    log_limit.lock().unwrap_or_else(PoisonError::into_inner).allow(clock.monotonic())
}

/// How many connections each address has.
#[derive(Debug, Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more connection of `ip` until the place is dropped, unless it has `max` of them.
    fn take_place(&self, ip: IpAddr, max: usize) -> Option<CountedAddress> {
        let mut counts = self.lock();
        let count = counts.entry(ip).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(CountedAddress { addresses: self.clone(), ip })
    }
}

/// A connection's place in the count.
struct CountedAddress {
    addresses: Addresses,
    ip: IpAddr,
}

impl Drop for CountedAddress {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock();
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}
