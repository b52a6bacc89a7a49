//! What handlers share: the broker as seen from a request.
//!
//! A broker is a value: everything it needs is in here, and two of them in one process do not know of each other. It
//! decides nothing itself; it holds the floors below together.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::hints::Hints;
use self::live_config::LiveConfig;
use self::loggers::Loggers;
use self::metadata_followers::MetadataFollowers;
use self::producer_ids::ProducerIdGenerator;
use self::quotas::Quotas;
use crate::clock::Clock;
use crate::controller::{ControllerClient, CreateTopics, RegisterBroker, TopicCreation};
use crate::coordinator::group::GroupCoordinator;
use crate::coordinator::runtime::CoordinatorRuntime;
use crate::coordinator::transaction::TransactionCoordinator;
use crate::ids::{NodeId, TopicName};
use crate::metadata::MetadataImage;
use crate::metrics::Metrics;
use crate::network::Gateways;
use crate::network::node_connections::NodeConnections;
use crate::protocol::ErrorCode;
use crate::quorum::MetadataQuorum;
use crate::quorum::driver::Committed;
use crate::replication::fetch_session::FetchSessionCache;
use crate::replication::replica_manager::ReplicaManager;

pub mod alter_partition_sender;
mod broker_news;
pub mod hints;
mod internal_topics;
pub mod lifecycle;
pub mod live_config;
pub mod loggers;
mod marker_requests;
pub mod metadata_followers;
mod other_brokers;
pub mod producer_ids;
pub mod quotas;
pub mod transaction_markers;
pub mod transaction_verification;
pub mod watched_brokers;

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
    /// What it registers as.
    pub registration: RegisterBroker,
    /// Submits to the controller.
    pub controller: ControllerClient,
    /// The partitions it hosts.
    pub replicas: Arc<ReplicaManager>,
    /// The group coordinators of the partitions of `__consumer_offsets` that it leads.
    pub groups: CoordinatorRuntime<GroupCoordinator>,
    /// The transaction coordinators of the partitions of `__transaction_state` that it leads.
    pub transactions: CoordinatorRuntime<TransactionCoordinator>,
    /// What is counted of its connections and requests.
    pub metrics: Arc<Metrics>,
    /// What follows the metadata.
    pub followers: Arc<MetadataFollowers>,
    /// What its clients may take.
    pub quotas: Arc<Quotas>,
    /// The incremental fetch sessions of its consumers.
    pub fetch_sessions: Arc<Mutex<FetchSessionCache>>,
    /// The producer ids that it may give out.
    pub producer_ids: Arc<ProducerIdGenerator>,
    /// Connections to other brokers; see [`Broker::call_broker`].
    pub others: NodeConnections,
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

    /// The epoch of its registration, as far as it is known here; -1 where this run of its process is not registered.
    pub fn broker_epoch(&self) -> i64 {
        let image = self.image();
        let own = image.broker(self.node_id).filter(|own| own.incarnation == self.registration.incarnation);
        own.map_or(-1, |own| own.epoch)
    }

    /// Whether this node leads the quorum, as far as it knows.
    pub fn is_controller(&self) -> bool {
        self.metadata.controller_id() == Some(self.node_id)
    }

    /// Whether the listener is the one by which nodes talk to the controller in this one.
    pub fn is_controller_listener(&self, name: &str) -> bool {
        self.config.load().controller_listener.as_ref().is_some_and(|listener| *listener.name == *name)
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
        let request = internal_topics::group_metadata(&self.config.load());
        self.create_internal_topic(request).await?;
        // New machines have nothing to load: no client need be told to ask again.
        self.groups.loaded().await;
        Ok(())
    }

    /// Creates `__transaction_state` if it is not there yet, and waits until its coordinators are at work here.
    ///
    /// Errors: whatever kept the controller from creating it.
    pub async fn ensure_transaction_state_topic(&self) -> Result<(), ErrorCode> {
        if self.transactions.partition_for("").is_some() {
            return Ok(());
        }
        let request = internal_topics::transaction_state(&self.config.load());
        self.create_internal_topic(request).await?;
        self.transactions.loaded().await;
        Ok(())
    }

    /// Waits until this broker follows the metadata in which topics are that were just created.
    ///
    /// Errors: [`ErrorCode::RequestTimedOut`] after 30 s.
    pub async fn topics_applied(&self, created: &Committed<Vec<TopicCreation>>) -> Result<(), ErrorCode> {
        // A controller that is another node does not say where in the log they are.
        let names = created.response.iter().filter(|_| created.image_offset == 0).map(|topic| {
            let refused = topic.result.as_ref().err().map(|refusal| refusal.code);
            (&topic.name, refused.is_none_or(|code| code == ErrorCode::TopicAlreadyExists))
        });
        let awaited: Vec<_> = names.filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect();
        if awaited.is_empty() {
            return self.replicas_applied(created.image_offset).await;
        }
        let mut changes = self.metadata.subscribe();
        let arrived = async { while !has_all(&changes.next().await.1, &awaited) {} };
        self.clock.timeout(APPLY_TIMEOUT, arrived).await.map_err(|_| ErrorCode::RequestTimedOut)?;
        self.replicas_applied(self.image().offset).await
    }

    async fn create_internal_topic(&self, request: CreateTopics) -> Result<(), ErrorCode> {
        let created = self.controller.create_topics(request).await?;
        for creation in &created.response {
            match &creation.result {
                Err(refusal) if refusal.code != ErrorCode::TopicAlreadyExists => return Err(refusal.code),
                _ => {}
            }
        }
        self.topics_applied(&created).await
    }
}

fn has_all(image: &MetadataImage, topics: &[&TopicName]) -> bool {
    topics.iter().all(|name| image.topic(name).is_some())
}
