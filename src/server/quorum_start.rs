//! The metadata of a node that is one of several: its voters find each other, form a quorum once, and wait for its leader.

use std::sync::Arc;
use std::time::Duration;

use crate::api::controller_listener::ControllerListener;
use crate::clock::Clock;
use crate::config::{Config, Storage};
use crate::ids::Uuid;
use crate::network::{BoundListener, Limits, SocketServer};
use crate::quorum::meeting::{Meeting, meet};
use crate::quorum::{
    Formation, Hello, MetadataQuorum, Prober, QuorumDoor, QuorumError, QuorumOptions, QuorumThread, TcpTransport,
    is_new,
};
use crate::storage::{LogDirs, METADATA_DIRECTORY};

use super::StartError;
use super::controllers::Controllers;
use super::running::Running;

/// How long the other voters may take to be there: somebody may start them by hand.
const PATIENCE: Duration = Duration::from_mins(10);

/// How often it is said that there is no leader.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// How often a leader of several says that it is there. Followers elect another one half a second after it fell silent,
/// and sooner where its connections break.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(50);

/// Connections that do nothing stay: that one has broken is how the loss of a node is noticed.
const IDLE_TIMEOUT: Duration = Duration::from_hours(24 * 365);

/// Opens the metadata: at once where this node is alone; else once a leader is known and the image has what was decided
/// before. What has tasks goes to `running`.
pub(super) async fn open_metadata(
    config: &Config,
    clock: &Clock,
    log_dirs: &LogDirs,
    incarnation: Uuid,
    bound: Option<BoundListener>,
    running: &mut Running,
) -> Result<Arc<MetadataQuorum>, StartError> {
    let directory = match &config.storage {
        Storage::Disk(directories) => Some(directories.metadata.join(METADATA_DIRECTORY)),
        Storage::Memory => None,
    };
    let mut options = QuorumOptions::new(config.node_id, directory);
    let Some(bound) = bound else {
        let metadata = Arc::new(MetadataQuorum::open(options).await?);
        running.metadata = Some(Arc::clone(&metadata));
        return Ok(metadata);
    };
    let has_begun = |source| QuorumError::Files { directory: options.directory.clone().unwrap_or_default(), source };
    let is_new = options.directory.as_deref().map_or(Ok(true), is_new).map_err(has_begun)?;
    let cluster_id = if is_new { config.cluster_id.as_deref() } else { Some(log_dirs.cluster_id()) };
    let directory_id = log_dirs.metadata_directory_id();
    let key = (config.node_id, directory_id);
    let own = Hello::new(key, incarnation, cluster_id.map(Into::into), &config.quorum_voters);
    let (transport, door) = open_controllers(config, clock, &own, bound, running).await?;
    options.formation = Formation::Join;
    if is_new {
        let Meeting { formation, cluster_id } = meet(&transport, &own, &config.quorum_voters, clock, PATIENCE).await?;
        if let Some(cluster_id) = cluster_id {
            log_dirs.adopt_cluster_id(&cluster_id)?;
        }
        tell_formation(&formation, log_dirs.cluster_id());
        options.formation = formation;
    }
    options.heartbeat_interval = HEARTBEAT_INTERVAL;
    (options.directory_id, options.cluster_id) = (directory_id, log_dirs.cluster_id().into());
    let open = Box::pin(MetadataQuorum::open_with(options, transport.clone(), clock.clone()));
    let Some(controllers) = &running.controllers else { unreachable!("they were opened above") };
    let metadata = Arc::new(controllers.thread.run(open).await.map_err(|error| not_started(&error))??);
    running.metadata = Some(Arc::clone(&metadata));
    check_voters(config, &metadata)?;
    door.open(Arc::clone(&metadata));
    wait_for_leader(config, clock, &metadata, &transport).await?;
    Ok(metadata)
}

/// Opens the way from and to the other controllers.
async fn open_controllers(
    config: &Config,
    clock: &Clock,
    own: &Hello,
    bound: BoundListener,
    running: &mut Running,
) -> Result<(Arc<TcpTransport>, Arc<QuorumDoor>), StartError> {
    let (name, address) = (bound.name.to_string(), bound.local.to_string());
    let door = Arc::new(QuorumDoor::new(own.clone(), clock.clone()));
    let listener = Arc::new(ControllerListener::new(Arc::clone(&door)));
    let limits = Limits { idle_timeout: IDLE_TIMEOUT, ..Limits::from(&config.broker) };
    let network = SocketServer::start(vec![bound], Arc::clone(&listener), limits, clock.clone())
        .map_err(|reason| StartError::ListenFailed { listener: name, address, reason })?;
    let thread = QuorumThread::start().map_err(|error| not_started(&error))?;
    let (node_id, voters, clock, told) = (config.node_id, config.quorum_voters.clone(), clock.clone(), clock.clone());
    let connect = async move { TcpTransport::start(node_id, &voters, &clock) };
    let transport = thread.run(connect).await.map_err(|error| not_started(&error))?;
    let prober = Arc::new(Prober::new(own.clone(), config.quorum_voters.clone(), &transport, told));
    running.controllers = Some(Controllers { transport: Arc::clone(&transport), prober, listener, network, thread });
    Ok((transport, door))
}

fn not_started(error: &std::io::Error) -> QuorumError {
    QuorumError::Start(error.to_string())
}

fn tell_formation(formation: &Formation, cluster_id: &str) {
    match formation {
        Formation::Found(voters) => {
            let ids: Vec<_> = voters.keys().map(ToString::to_string).collect();
            tracing::info!("this node founds cluster {cluster_id} with the controllers {}", ids.join(", "));
        }
        Formation::Join | Formation::Alone => tracing::info!("this node joins cluster {cluster_id}"),
    }
}

/// The voters of a log do not change, and a log of other voters belongs to another cluster.
fn check_voters(config: &Config, metadata: &MetadataQuorum) -> Result<(), QuorumError> {
    let (log, configured) = (metadata.voter_ids(), config.quorum_voters.iter().map(|voter| voter.id));
    if log.is_empty() || configured.clone().eq(log.iter().copied()) {
        return Ok(());
    }
    let told = |ids: Vec<i32>| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(QuorumError::OtherVoters { log: told(log), configured: told(configured.collect()) })
}

/// Waits until the image is one to begin from, and says from time to time who is missing.
async fn wait_for_leader(
    config: &Config,
    clock: &Clock,
    metadata: &MetadataQuorum,
    transport: &TcpTransport,
) -> Result<(), StartError> {
    let deadline = clock.monotonic().saturating_add(PATIENCE);
    while clock.timeout(TELL_INTERVAL, metadata.caught_up()).await.is_err() {
        let missing = transport.missing();
        let missing = config.quorum_voters.iter().filter(|voter| missing.contains(&voter.id));
        let missing: Vec<_> = missing.map(ToString::to_string).collect();
        let what = match (metadata.controller_id(), missing.is_empty()) {
            (Some(leader), _) => format!("the metadata of node {leader}, which leads, has not all arrived"),
            (None, true) => "the metadata quorum has no leader, although all voters are reached".to_owned(),
            (None, false) => {
                format!("the metadata quorum has no leader, and these voters are not reached: {}", missing.join(", "))
            }
        };
        if clock.monotonic() >= deadline {
            return Err(StartError::Metadata { reason: what });
        }
        tracing::info!("waiting: {what}");
    }
    let leader = metadata.controller_id().unwrap_or(-1);
    tracing::info!("node {leader} leads the metadata quorum in epoch {}", metadata.epoch());
    Ok(())
}
