//! What handlers share: the broker as seen from a request.
//!
//! A broker is a value: everything it needs is in here, and two of them in one process do not know of each other. It
//! decides nothing itself; it holds the floors below together.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::hints::Hints;
use self::live_config::LiveConfig;
use self::loggers::Loggers;
use self::metadata_followers::MetadataFollowers;
use self::quotas::Quotas;
use crate::clock::Clock;
use crate::controller::{AllocateProducerIds, ControllerClient, CreateTopics, MutationQuota, NewTopic};
use crate::coordinator::group::GroupCoordinator;
use crate::coordinator::runtime::CoordinatorRuntime;
use crate::ids::{GROUP_METADATA_TOPIC, NodeId, Uuid};
use crate::metadata::MetadataImage;
use crate::metrics::Metrics;
use crate::network::Gateways;
use crate::protocol::ErrorCode;
use crate::quorum::MetadataQuorum;
use crate::replication::fetch_session::FetchSessionCache;
use crate::replication::replica_manager::ReplicaManager;

pub mod hints;
pub mod live_config;
pub mod loggers;
pub mod metadata_followers;
pub mod quotas;

/// How long a request waits for this broker's replicas to follow a change of the metadata.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// A running broker; handlers borrow it.
pub struct Broker {
    /// This broker's node id.
    pub node_id: NodeId,
    /// Its configuration, which clients may change.
    pub config: Arc<LiveConfig>,
    /// The loggers that its clients may set, where whoever started it lets them.
    pub loggers: Option<Arc<dyn Loggers>>,
    /// Its time.
    pub clock: Clock,
    /// The epoch of its registration with the controller.
    pub broker_epoch: i64,
    /// Submits to the controller.
    pub controller: ControllerClient,
    /// The partitions it hosts.
    pub replicas: Arc<ReplicaManager>,
    /// The group coordinators of the partitions of `__consumer_offsets` that it leads.
    pub groups: CoordinatorRuntime<GroupCoordinator>,
    /// What is counted of its connections and requests.
    pub metrics: Arc<Metrics>,
    /// What follows the metadata.
    pub followers: Arc<MetadataFollowers>,
    /// What its clients may take.
    pub quotas: Arc<Quotas>,
    /// The incremental fetch sessions of its consumers.
    pub fetch_sessions: Arc<Mutex<FetchSessionCache>>,
    /// The producer ids that it may give out.
    pub producer_ids: tokio::sync::Mutex<Range<i64>>,
    /// Through which other machines pass connections on to this one.
    pub gateways: Gateways,
    /// What is found out about its clients, for its log.
    pub hints: Arc<Hints>,
    pub(crate) metadata: Arc<MetadataQuorum>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Broker").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

impl Broker {
    /// The newest metadata.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.metadata.image()
    }

    /// The fetch sessions, locked; hold them for no more than a moment.
    pub fn lock_fetch_sessions(&self) -> MutexGuard<'_, FetchSessionCache> {
        self.fetch_sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this broker's replicas and coordinators follow the image at `image_offset`.
    ///
    /// Errors: [`ErrorCode::RequestTimedOut`] after 30 s.
    pub async fn replicas_applied(&self, image_offset: i64) -> Result<(), ErrorCode> {
        let mut applied = self.followers.applied_offset();
        let reached = applied.wait_for(|offset| *offset >= image_offset);
        match self.clock.timeout(APPLY_TIMEOUT, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ErrorCode::RequestTimedOut),
        }
    }

    /// Creates `__consumer_offsets` if it is not there yet, and waits until its coordinators are at work here.
    ///
    /// Errors: whatever kept the controller from creating it.
    pub async fn ensure_group_metadata_topic(&self) -> Result<(), ErrorCode> {
        if self.groups.partition_for("").is_some() {
            return Ok(());
        }
        let config = &self.config.snapshot().broker;
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", config.offsets_topic_segment_bytes.to_string()),
        ];
        let topic = NewTopic {
            name: GROUP_METADATA_TOPIC.into(),
            id: Uuid::new_v4(),
            partitions: config.offsets_topic_num_partitions,
            replication_factor: config.offsets_topic_replication_factor,
            assignments: Vec::new(),
            configs: Ok(configs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        };
        let request = CreateTopics {
            topics: vec![topic],
            validate_only: false,
            default_partitions: config.num_partitions,
            default_replication_factor: i16::try_from(config.default_replication_factor).unwrap_or(1),
            seed: 0,
            quota: MutationQuota::default(),
        };
        let created = self.controller.create_topics(request).await?;
        for creation in created.response {
            match creation.result {
                Err(refusal) if refusal.code != ErrorCode::TopicAlreadyExists => return Err(refusal.code),
                _ => {}
            }
        }
        self.replicas_applied(created.image_offset).await?;
        // New machines have nothing to load: no client need be told to ask again.
        self.groups.loaded().await;
        Ok(())
    }

    /// The next producer id that no other producer of this cluster has.
    pub async fn next_producer_id(&self) -> Result<i64, ErrorCode> {
        let mut block = self.producer_ids.lock().await;
        if let Some(id) = block.next() {
            return Ok(id);
        }
        let request = AllocateProducerIds { broker_id: self.node_id, broker_epoch: self.broker_epoch };
        let allocated = self.controller.allocate_producer_ids(request).await?.response?;
        *block = allocated.first..allocated.first.saturating_add(allocated.length);
        block.next().ok_or(ErrorCode::CoordinatorNotAvailable)
    }
}
