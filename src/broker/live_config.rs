//! The configuration as it holds now, of which each change is one swap.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};

use crate::config::Config;
use crate::ids::NodeId;
use crate::metadata::{ConfigResource, MetadataImage};
use crate::network::{ConnectionLimits, Limits};
use crate::replication::replica_manager::ReplicaManager;

/// What a broker is configured with: its file and flags, and over them what clients have set while it runs. Whoever needs a
/// value reads it when it is needed; who keeps one for long is told of each change by [`LiveConfig::follow`].
pub struct LiveConfig {
    node_id: NodeId,
    current: ArcSwap<Config>,
    connections: OnceLock<Connections>,
}

impl fmt::Debug for LiveConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LiveConfig").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

/// The bounds on connections, and how many there may be for reasons other than the configuration.
struct Connections {
    limits: Arc<ConnectionLimits>,
    most: usize,
}

impl Connections {
    fn follow(&self, config: &Config) {
        let limits = Limits::from(&config.broker);
        self.limits.set(&Limits { max_connections: limits.max_connections.min(self.most), ..limits });
    }
}

impl LiveConfig {
    /// A configuration that nobody has changed yet.
    pub fn new(config: Arc<Config>) -> Self {
        Self { node_id: config.node_id, current: ArcSwap::new(config), connections: OnceLock::new() }
    }

    /// What holds now, to be looked at for a moment.
    pub fn load(&self) -> Guard<Arc<Config>> {
        self.current.load()
    }

    /// What holds now, to be kept.
    pub fn snapshot(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Has the bounds on connections follow the configuration, with never more than `most` connections.
    pub fn bound(&self, limits: Arc<ConnectionLimits>, most: usize) {
        // The configuration may have changed since they were made.
        self.connections.get_or_init(|| Connections { limits, most }).follow(&self.load());
    }

    /// Goes by what `image` says of this broker and of all brokers.
    pub fn follow(&self, image: &MetadataImage, replicas: &ReplicaManager) {
        let dynamic = |id| image.configs(&ConfigResource::Broker(id)).cloned().unwrap_or_default();
        let (for_all, own): (BTreeMap<_, _>, BTreeMap<_, _>) = (dynamic(None), dynamic(Some(self.node_id)));
        match self.load().with_dynamic(for_all, own) {
            Ok(config) => {
                let config = Arc::new(config);
                self.current.store(Arc::clone(&config));
                replicas.reconfigure(&config, image);
                if let Some(connections) = self.connections.get() {
                    connections.follow(&config);
                }
            }
            // It was checked when it was asked for; a file that has changed since may contradict it.
            Err(error) => tracing::error!(%error, "the dynamic configuration cannot be applied"),
        }
    }
}
