//! Several brokers of one cluster in one process: each a [`Server`] with an id, ports and a directory of its own.
//!
//! Their controllers talk on ports of this machine that are other ones after each start. That is well: what a quorum is
//! known by is the ids of its nodes and of their directories, and where they are is told anew by each start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::{join_all, select_all};
use tokio_util::sync::CancellationToken;

use super::sockets::{Sockets, bind, bind_http, unadvertised};
use super::{Server, Start, StartError, StopError, Surroundings};
use crate::config::{Config, ConfigErrors, DataDirectories, HostPort, Listener, QuorumVoter, Storage};
use crate::ids::NodeId;
use crate::network::BoundListener;

/// The name of the listeners by which the controllers reach each other.
const CONTROLLER: &str = "CONTROLLER";

/// Where they are: nobody else is to reach them.
const LOOPBACK: &str = "127.0.0.1";

/// What marks a directory that a broker has.
const IDENTITY: &str = "meta.properties";

/// Brokers that run in this process, in the order of their ids; of one cluster if there are several.
pub struct LocalCluster {
    servers: Vec<Server>,
}

/// Several brokers that do not start.
#[derive(Debug, thiserror::Error)]
pub enum LocalClusterError {
    /// No configuration for several brokers follows from that for one.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// One of them does not start, and the others were stopped.
    #[error("node {node}: {error}")]
    Start {
        /// Which.
        node: NodeId,
        /// Why.
        error: StartError,
    },
    /// The directory is that of one broker alone.
    #[error("{} has the data of a broker that was started alone", path.display())]
    OneBrokers {
        /// The directory.
        path: PathBuf,
    },
}

impl LocalCluster {
    /// Starts brokers with the ids from 1 on: with the ports of `config` and those behind them, or free ones where these
    /// are taken, and with data in `node-ID` below its directories.
    pub async fn start(config: &Config, brokers: u8, surroundings: &Surroundings) -> Result<Self, LocalClusterError> {
        let starts = prepare(config, brokers, surroundings)?;
        let given_up = CancellationToken::new();
        let starting = starts.into_iter().map(async |start| {
            let node = start.config.node_id;
            warn(&start.config);
            let started = Box::pin(Server::start_unless(&given_up, start, &|_| Ok(()))).await;
            started.map_err(|error| {
                given_up.cancel();
                LocalClusterError::Start { node, error }
            })
        });
        let (mut servers, mut failed) = (Vec::new(), None);
        for started in join_all(starting).await {
            match started {
                Ok(server) => servers.push(server),
                Err(LocalClusterError::Start { error: StartError::GivenUp, .. }) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let Some(error) = failed else { return Ok(Self { servers }) };
        if let Err(unclean) = (Self { servers }).stop().await {
            tracing::warn!("{unclean}");
        }
        Err(error)
    }

    /// A broker that is alone, or at least here.
    pub fn of(server: Server) -> Self {
        Self { servers: vec![server] }
    }

    /// The brokers, each to be stopped alone.
    pub fn into_servers(self) -> Vec<Server> {
        self.servers
    }

    /// The directory below which brokers of one process have their data, and how many; `None` where a broker alone has it,
    /// or nobody.
    pub fn brokers_in(storage: &Storage) -> Option<(&Path, usize)> {
        let Storage::Disk(DataDirectories { log_dirs, .. }) = storage else { return None };
        let path = log_dirs.first().filter(|path| !path.join(IDENTITY).exists())?;
        let is_there = |id: &u8| path.join(format!("node-{id}")).join(IDENTITY).exists();
        let number = (1..=u8::MAX).take_while(is_there).count();
        (number > 0).then_some((path, number))
    }

    /// The brokers.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Completes when one of the brokers cannot go on, with the reason.
    pub async fn failed(&self) -> String {
        let failed = self.servers.iter().map(|server| {
            Box::pin(async {
                let reason = server.failed().await;
                let is_alone = self.servers.len() == 1;
                if is_alone { reason.to_owned() } else { format!("node {}: {reason}", server.broker().node_id) }
            })
        });
        select_all(failed).await.0
    }

    /// Stops all of them. Each hands over what it leads while the quorum is whole; only then does any of them end.
    pub async fn stop(mut self) -> Result<(), StopError> {
        join_all(self.servers.iter_mut().map(Server::hand_over)).await;
        let stopped = join_all(self.servers.into_iter().map(Server::stop)).await;
        stopped.into_iter().collect()
    }
}

/// Tells what has no effect of a configuration, as a start of one broker does.
fn warn(config: &Config) {
    for line in config.passed_over().iter().chain(&config.without_effect()).filter(|_| config.node_id == 1) {
        tracing::warn!("{line}");
    }
}

/// Takes the ports of all brokers, and makes their configurations.
fn prepare(config: &Config, brokers: u8, surroundings: &Surroundings) -> Result<Vec<Start>, LocalClusterError> {
    config.check_for_several()?;
    check_directories(config)?;
    let ids: Vec<NodeId> = (1..=NodeId::from(brokers)).collect();
    let at = |node: NodeId| move |error| LocalClusterError::Start { node, error };
    let controller = unadvertised(CONTROLLER, HostPort { host: LOOPBACK.to_owned(), port: 0 });
    let (mut places, mut voters) = (Vec::new(), Vec::new());
    for (step, id) in (0..).zip(ids) {
        let listeners = bind_following(config, step).map_err(at(id))?;
        let controllers = bind(config, &controller).map_err(at(id))?;
        voters.push(QuorumVoter { id, host: LOOPBACK.to_owned(), port: controllers.local.port() });
        places.push((id, step, listeners, controllers));
    }
    let mut starts = Vec::new();
    for (id, step, (told, listeners), controllers) in places {
        let config = config.for_node(id, &told, config.following_http(step).as_ref(), &voters)?;
        let http = bind_http(&config).map_err(at(id))?;
        // Alone, it has nobody to talk to.
        let controllers = Some(controllers).filter(|_| brokers > 1);
        let sockets = Sockets { listeners, controllers, http };
        starts.push(Start { config: Arc::new(config), sockets, surroundings: surroundings.clone() });
    }
    Ok(starts)
}

/// The listeners for clients of the broker that is `step` behind the first one, which alone must have the ports that were
/// asked for.
fn bind_following(config: &Config, step: u16) -> Result<(Vec<Listener>, Vec<BoundListener>), StartError> {
    let (mut told, mut bound) = (Vec::new(), Vec::new());
    for mut listener in config.following_listeners(step) {
        let socket = match bind(config, &listener) {
            Err(StartError::AddressTaken { .. }) if step > 0 => {
                let free = |place: &HostPort| HostPort { host: place.host.clone(), port: 0 };
                listener.advertised = listener.advertised.as_ref().map(free);
                listener.bind = free(&listener.bind);
                bind(config, &listener)?
            }
            bound => bound?,
        };
        told.push(listener);
        bound.push(socket);
    }
    Ok((told, bound))
}

/// Refuses the directory of a broker that was started alone. That of another number of brokers is told by its voters.
fn check_directories(config: &Config) -> Result<(), LocalClusterError> {
    let Storage::Disk(DataDirectories { log_dirs, .. }) = &config.storage else { return Ok(()) };
    let taken = log_dirs.iter().find(|path| path.join(IDENTITY).exists());
    taken.map_or(Ok(()), |path| Err(LocalClusterError::OneBrokers { path: path.clone() }))
}
