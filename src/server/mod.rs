//! Builds the floors of one broker bottom-up, and stops them in reverse; several brokers of one process are as many of it,
//! started and stopped together.

#[cfg(test)]
mod cluster_transaction_tests;
mod controllers;
mod descriptors;
mod initial_topics;
mod joining;
mod local_cluster;
mod owners;
mod quorum_start;
#[cfg(test)]
mod quorum_tests;
mod running;
mod sockets;
mod start_error;
mod take_over;
#[cfg(test)]
mod tests;
mod told_addresses;

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;

use crate::api::http::HttpServer;
use crate::api::{Api, Dispatcher};
use crate::broker::Broker;
use crate::broker::alter_partition_sender;
use crate::broker::hints::Hints;
use crate::broker::live_config::LiveConfig;
use crate::broker::loggers::Loggers;
use crate::broker::metadata_followers::MetadataFollowers;
use crate::broker::producer_ids::ProducerIdGenerator;
use crate::broker::quotas::Quotas;
use crate::broker::transaction_markers;
use crate::broker::watched_brokers;
use crate::clock::Clock;
use crate::config::{Config, Storage};
use crate::coordinator::group::{GroupCoordinator, GroupCoordinatorConfig};
use crate::coordinator::runtime::{CoordinatorRuntime, CoordinatorRuntimeConfig};
use crate::coordinator::transaction::request::WriteMarkers;
use crate::coordinator::transaction::{TransactionCoordinator, TransactionCoordinatorConfig};
use crate::ids::{GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC, Uuid};
use crate::metadata::{MetadataRecord, TopicRecord};
use crate::metrics::Metrics;
use crate::network::{BoundListener, Gateways, Limits, SocketServer};
use crate::quorum::MetadataQuorum;
use crate::replication::fetch_session::FetchSessionCache;
use crate::replication::fetcher::{LeaderChannels, ReplicaFetchers};
use crate::replication::housekeeping::{self, Schedule};
use crate::replication::log_cleaner::LogCleaner;
use crate::replication::ownership::KnownTopics;
use crate::replication::replica_manager::ReplicaManager;
use crate::replication::replica_mover::ReplicaMover;
use crate::storage::{LogDir, LogDirError, LogDirOptions, LogDirs};
use controllers::Controllers;
use descriptors::Shares;
pub use descriptors::raise_descriptor_limit;
use initial_topics::create_initial_topics;
pub use local_cluster::{LocalCluster, LocalClusterError};
use running::{Background, Running};
use sockets::{HTTP, Sockets};
pub use start_error::StartError;

/// `min.incremental.fetch.session.eviction.ms`, which Kafka does not let anyone configure either.
const FETCH_SESSION_EVICTION: Duration = Duration::from_mins(2);

/// A running broker. Dropping it without [`Server::stop`] leaves its tasks to the runtime.
pub struct Server {
    broker: Arc<Broker>,
    bound: Vec<(Arc<str>, SocketAddr)>,
    running: Running,
}

/// What a start begins with.
struct Start {
    config: Arc<Config>,
    sockets: Sockets,
    surroundings: Surroundings,
}

/// What a start has done last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Bound,
    LogDirOpened,
    MetadataOpened,
    LogsLoaded,
    ControllerStarted,
    Registered,
    BackgroundStarted,
    PartitionsHosted,
    Serving,
}

/// Hears of each step, and may end the start there as if the next one had failed.
type Watch = dyn Fn(Step) -> Result<(), StartError> + Send + Sync;

/// What a broker has of the world besides its files and its network.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The time that everything in the broker goes by; consensus alone has timers of its own.
    pub clock: Clock,
    /// Loggers that the broker's clients may set.
    pub loggers: Option<Arc<dyn Loggers>>,
}

/// The system's time, and loggers that are nobody's to set.
impl Default for Surroundings {
    fn default() -> Self {
        Self { clock: Clock::system(), loggers: None }
    }
}

impl Server {
    /// Starts a broker: opens its data, joins the cluster (or founds it), and serves requests. A start that fails leaves
    /// nothing behind: no task, no port and no lock; the data is as a crash at that moment would leave it.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, Surroundings::default()).await
    }

    /// The same, in surroundings of one's own.
    pub async fn start_with(config: Config, surroundings: Surroundings) -> Result<Self, StartError> {
        for line in config.passed_over().iter().chain(&config.without_effect()) {
            tracing::warn!("{line}");
        }
        Box::pin(Self::start_watched(config, surroundings, &|_| Ok(()))).await
    }

    async fn start_watched(config: Config, surroundings: Surroundings, watch: &Watch) -> Result<Self, StartError> {
        // The ports first: a broker that cannot be reached should not touch any data.
        let sockets = Sockets::bind(&config)?;
        let start = Start { config: Arc::new(config), sockets, surroundings };
        Box::pin(Self::start_unless(&CancellationToken::new(), start, watch)).await
    }

    /// Starts a broker on ports that are taken already, unless `given_up` is cancelled meanwhile.
    async fn start_unless(given_up: &CancellationToken, start: Start, watch: &Watch) -> Result<Self, StartError> {
        let Start { config, sockets, surroundings } = start;
        let mut running = Running::default();
        let building = Box::pin(build(config, sockets, surroundings, &mut running, watch));
        match given_up.run_until_cancelled(building).await.unwrap_or(Err(StartError::GivenUp)) {
            Ok((broker, bound)) => Ok(Self { broker, bound, running }),
            Err(error) => {
                running.stop().await;
                Err(error)
            }
        }
    }

    /// Where clients connect: each listener's name and address, with the port that was bound.
    pub fn listeners(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.bound.clone()
    }

    /// Completes when the broker cannot go on, with the reason: its log directory or its metadata log has failed.
    pub async fn failed(&self) -> &'static str {
        tokio::select! {
            () = self.broker.replicas.failed() => "the log directory has failed",
            () = self.broker.metadata.failed() => "the metadata log has failed",
        }
    }

    /// Where health and metrics are served by HTTP, if they are.
    pub fn http(&self) -> Option<SocketAddr> {
        self.running.http.as_ref().map(HttpServer::address)
    }

    /// The broker inside, for a program that embeds it.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Lets other brokers take over what this one leads, while it goes on serving; [`Server::stop`] begins with it.
    pub async fn hand_over(&mut self) {
        self.running.hand_over().await;
    }

    /// Answers the requests in flight, writes everything to disk and marks it as complete. No task remains, whether it
    /// succeeds or not.
    pub async fn stop(self) -> Result<(), StopError> {
        self.running.stop().await;
        let (replicas, broker_epoch) = (Arc::clone(&self.broker.replicas), self.broker.broker_epoch());
        match tokio::task::spawn_blocking(move || replicas.close(broker_epoch)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StopError(error.to_string())),
            Err(panic) => Err(StopError(panic.to_string())),
        }
    }
}

/// The logs could not be closed: the next start recovers them.
#[derive(Debug, thiserror::Error)]
#[error("the logs could not be closed cleanly: {0}")]
pub struct StopError(String);

/// Takes the steps of a start; what has tasks goes to `running` at once.
async fn build(
    config: Arc<Config>,
    Sockets { listeners, controllers, http }: Sockets,
    Surroundings { clock, loggers }: Surroundings,
    running: &mut Running,
    watch: &Watch,
) -> Result<(Arc<Broker>, Vec<(Arc<str>, SocketAddr)>), StartError> {
    let bound: Vec<_> = listeners.iter().map(|listener| (Arc::clone(&listener.name), listener.local)).collect();
    let gateways = Gateways::of_this_machine();
    told_addresses::log_rule(&config, &bound, &gateways);
    watch(Step::Bound)?;
    let log_dirs = Arc::new(open_log_dirs(&config).await?);
    watch(Step::LogDirOpened)?;
    let incarnation = Uuid::new_v4();
    let metadata = quorum_start::open_metadata(&config, &clock, &log_dirs, incarnation, controllers, running).await?;
    watch(Step::MetadataOpened)?;
    // After the metadata, which says whose each log is before any is touched.
    let replicas = open_replicas(&config, &clock, &log_dirs, &metadata).await?;
    watch(Step::LogsLoaded)?;
    let (driver, controller) = joining::start_controller(&config, &clock, &metadata);
    running.driver = Some(driver);
    watch(Step::ControllerStarted)?;
    let registration = joining::registration(&config, incarnation, &log_dirs, &bound);
    joining::register(&config, &clock, &controller, &metadata, registration.clone()).await?;
    watch(Step::Registered)?;
    let groups = group_coordinators(&config, &clock, &replicas);
    running.groups = Some(groups.clone());
    let (markers, marker_inbox) = mpsc::unbounded_channel();
    let transactions = transaction_coordinators(&config, &clock, &replicas, markers);
    running.transactions = Some(transactions.clone());
    let live = Arc::new(LiveConfig::new(Arc::clone(&config)));
    let hints = Arc::new(Hints::new(clock.clone(), told_addresses::advertised(&config, &bound)));
    let quotas = Arc::new(Quotas::new(&config.broker, clock.clone()));
    let broker = Arc::new(Broker {
        node_id: config.node_id,
        loggers,
        others: joining::other_brokers(config.node_id, &clock),
        registration,
        clock,
        metrics: Arc::new(Metrics::new(Api::request_metrics(), bound.iter().map(|(name, _)| Arc::clone(name)))),
        producer_ids: Arc::new(ProducerIdGenerator::new(config.node_id, Arc::clone(&metadata), controller.clone())),
        controller,
        followers: Arc::new(MetadataFollowers::new(
            config.node_id,
            Arc::clone(&live),
            Arc::clone(&replicas),
            groups.clone(),
            transactions.clone(),
            Arc::clone(&quotas),
        )),
        replicas,
        groups,
        transactions,
        quotas,
        fetch_sessions: Arc::new(Mutex::new(fetch_session_cache(&config))),
        gateways,
        hints,
        metadata,
        config: live,
    });
    running.controllers.iter().for_each(|controllers| controllers.serve(&broker));
    running.background = Some(background(&broker, running.controllers.as_ref(), marker_inbox));
    watch(Step::BackgroundStarted)?;
    running.heartbeats = joining::take_part(&broker).await?;
    create_initial_topics(&broker).await;
    watch(Step::PartitionsHosted)?;
    open_to_clients(&broker, running, listeners, http)?;
    watch(Step::Serving)?;
    Ok((broker, bound))
}

/// From here on connections are served, and logs are compacted: not before, so that no leadership that a start waits for has to
/// wait for a swap of segments.
fn open_to_clients(
    broker: &Arc<Broker>,
    running: &mut Running,
    listeners: Vec<BoundListener>,
    http: Option<BoundListener>,
) -> Result<(), StartError> {
    if let Some(background) = &mut running.background
        && broker.config.load().broker.log_cleaner_enable
    {
        background.spawn(|stop| LogCleaner::new(Arc::clone(&broker.replicas)).run(stop));
    }
    let cannot_listen = |name: &str, address: SocketAddr| {
        let (listener, address) = (name.to_owned(), address.to_string());
        move |reason| StartError::ListenFailed { listener, address, reason }
    };
    if let Some(http) = http {
        let failed = cannot_listen(HTTP, http.local);
        running.http = Some(HttpServer::start(http.into_socket(), Arc::clone(broker)).map_err(failed)?);
    }
    let first = listeners
        .first()
        .map_or((HTTP.into(), SocketAddr::from(([0; 4], 0))), |first| (Arc::clone(&first.name), first.local));
    running.network = Some(serve(broker, listeners).map_err(cannot_listen(&first.0, first.1))?);
    Ok(())
}

fn background(
    broker: &Arc<Broker>,
    controllers: Option<&Controllers>,
    markers: UnboundedReceiver<WriteMarkers>,
) -> Background {
    let stop = CancellationToken::new();
    let followers = Arc::clone(&broker.followers);
    let mut tasks = vec![
        tokio::spawn(followers.run(broker.metadata.subscribe(), stop.clone())),
        tokio::spawn(Arc::clone(&broker.hints).run(stop.clone())),
        tokio::spawn(housekeeping::run(
            Arc::clone(&broker.replicas),
            Schedule::from(&broker.config.load().broker),
            stop.clone(),
        )),
    ];
    if let Some(prober) = controllers.map(|controllers| Arc::clone(&controllers.prober)) {
        tasks.push(tokio::spawn(watched_brokers::run(Arc::clone(broker), prober, stop.clone())));
    }
    let leaders = LeaderChannels::new(Arc::clone(&broker.replicas));
    tasks.push(tokio::spawn(ReplicaFetchers::new(Arc::clone(&broker.replicas), leaders).run(stop.clone())));
    tasks.push(tokio::spawn(alter_partition_sender::run(Arc::clone(broker), stop.clone())));
    tasks.push(tokio::spawn(transaction_markers::run(Arc::clone(broker), markers, stop.clone())));
    tasks.push(tokio::spawn(ReplicaMover::new(Arc::clone(&broker.replicas)).run(stop.clone())));
    Background::new(stop, tasks)
}

async fn open_log_dirs(config: &Config) -> Result<LogDirs, StartError> {
    match &config.storage {
        Storage::Memory => Ok(LogDirs::of(LogDir::memory())),
        Storage::Disk(directories) => {
            let delay_ms = u64::try_from(config.topic_defaults.file_delete_delay_ms).unwrap_or(0);
            let options = LogDirOptions {
                node_id: config.node_id,
                cluster_id: config.cluster_id.clone(),
                max_open_files: Shares::of_this_process().segments,
                delete_delay: Duration::from_millis(delay_ms),
            };
            if owners::is_to_be_taken_over(directories)? {
                Box::pin(take_over::take_over(&directories.metadata, config, &options)).await?;
            }
            owners::check(directories)?;
            Ok(LogDirs::open(directories, &options)?)
        }
    }
}

async fn open_replicas(
    config: &Arc<Config>,
    clock: &Clock,
    log_dirs: &Arc<LogDirs>,
    metadata: &Arc<MetadataQuorum>,
) -> Result<Arc<ReplicaManager>, StartError> {
    let paths: Vec<_> = log_dirs.online().filter_map(|dir| dir.absolute_path()).collect();
    let (node_id, place) = (config.node_id, paths.join(", "));
    let (config, clock, log_dirs) = (Arc::clone(config), clock.clone(), Arc::clone(log_dirs));
    let metadata = Arc::clone(metadata);
    // The metadata's tasks go on while logs are recovered.
    let opened = tokio::task::spawn_blocking(move || {
        let (image, removed) = (metadata.image(), removed_topics(&metadata));
        let known = KnownTopics { image: &image, removed: &removed };
        ReplicaManager::open(node_id, clock, config, log_dirs, known)
    });
    let damaged = |reason| StartError::DamagedData { place, reason };
    match opened.await {
        Ok(Ok(replicas)) => Ok(Arc::new(replicas)),
        Ok(Err(LogDirError::Storage(error))) => Err(damaged(error.to_string())),
        Ok(Err(error)) => Err(error.into()),
        Err(panic) => Err(damaged(panic.to_string())),
    }
}

/// The topics whose deletion the metadata log still tells.
fn removed_topics(metadata: &MetadataQuorum) -> HashSet<Uuid> {
    let logged = metadata.logged_records();
    let removed = logged.iter().flat_map(|records| records.iter()).filter_map(|record| match record {
        MetadataRecord::Topics(TopicRecord::RemoveTopic { topic_id }) => Some(*topic_id),
        _ => None,
    });
    removed.collect()
}

fn group_coordinators(
    config: &Config,
    clock: &Clock,
    replicas: &Arc<ReplicaManager>,
) -> CoordinatorRuntime<GroupCoordinator> {
    let groups = GroupCoordinatorConfig::from(&config.broker);
    let new_machine = move || GroupCoordinator::new(groups.clone());
    let (replicas, runtime) = (Arc::clone(replicas), CoordinatorRuntimeConfig::from(&config.broker));
    let (topic, clock) = (GROUP_METADATA_TOPIC, clock.clone());
    // Groups tell nobody anything.
    let deliver = |never: Infallible| match never {};
    CoordinatorRuntime::new(topic, config.node_id, clock, replicas, runtime, new_machine, deliver)
}

/// What the machines have to tell goes to `markers`.
fn transaction_coordinators(
    config: &Config,
    clock: &Clock,
    replicas: &Arc<ReplicaManager>,
    markers: UnboundedSender<WriteMarkers>,
) -> CoordinatorRuntime<TransactionCoordinator> {
    let transactions = TransactionCoordinatorConfig::from(&config.broker);
    let new_machine = move || TransactionCoordinator::new(transactions.clone());
    let (replicas, runtime) = (Arc::clone(replicas), CoordinatorRuntimeConfig::of_transactions(&config.broker));
    let (topic, clock) = (TRANSACTION_STATE_TOPIC, clock.clone());
    // When nobody takes them any more, the broker stops: the next one's machines tell them again.
    let deliver = move |message| drop(markers.send(message));
    CoordinatorRuntime::new(topic, config.node_id, clock, replicas, runtime, new_machine, deliver)
}

fn fetch_session_cache(config: &Config) -> FetchSessionCache {
    let slots = usize::try_from(config.broker.max_incremental_fetch_session_cache_slots).unwrap_or(0);
    FetchSessionCache::new(slots, FETCH_SESSION_EVICTION)
}

fn serve(broker: &Arc<Broker>, listeners: Vec<BoundListener>) -> std::io::Result<SocketServer> {
    let clock = broker.clock.clone();
    let limits = Limits::from(&broker.config.load().broker);
    let service = Arc::new(Dispatcher::new(Arc::clone(broker), clock.clone()));
    let network = SocketServer::start(listeners, service, limits, clock)?;
    broker.config.bound(network.connection_limits(), Shares::of_this_process().connections);
    Ok(network)
}
