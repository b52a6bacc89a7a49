//! How a broker becomes part of its cluster: it registers, and serves once the controller lets it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use super::told_addresses;
use crate::broker::Broker;
use crate::broker::lifecycle::{self, Heartbeats};
use crate::clock::Clock;
use crate::config::{Config, SecurityProtocol};
use crate::controller::{
    Controller, ControllerClient, ControllerConnections, ControllerPlace, ControllerPlaces, ControllerSettings,
    RegisterBroker,
};
use crate::ids::{NodeId, Uuid};
use crate::metadata::{Endpoint, MetadataImage};
use crate::network::channel::ChannelLimits;
use crate::network::node_connections::{NodeAddress, NodeConnections};
use crate::protocol::ErrorCode;
use crate::quorum::MetadataQuorum;
use crate::quorum::driver::{Driver, MachineClient};
use crate::storage::LogDirs;

/// Between two attempts to register under an id that is still taken: the one who had it may just have died, and the
/// controller be about to notice.
const REGISTRATION_PAUSE: Duration = Duration::from_millis(50);

/// Starts the controller in this process, which decides while this node leads the quorum, and gives the way to ask
/// whichever node does.
pub(super) fn start_controller(
    config: &Config,
    clock: &Clock,
    metadata: &Arc<MetadataQuorum>,
) -> (Driver, ControllerClient) {
    let (node_id, settings) = (config.node_id, ControllerSettings::from(config));
    let new_controller = move |image: &MetadataImage| Controller::new(image, node_id, settings);
    let (driver, here) = Driver::start(Arc::clone(metadata), clock.clone(), new_controller);
    (driver, controller_client(config, clock, metadata, here))
}

/// Asks the controller wherever it is: `here`, or at one of the other voters.
fn controller_client(
    config: &Config,
    clock: &Clock,
    metadata: &Arc<MetadataQuorum>,
    here: MachineClient<Controller>,
) -> ControllerClient {
    if config.quorum_voters.is_empty() {
        return ControllerClient::alone(here);
    }
    let (own_id, voters, metadata) = (config.node_id, config.quorum_voters.clone(), Arc::clone(metadata));
    let places: ControllerPlaces = Arc::new(move || match metadata.controller_id()? {
        id if id == own_id => Some(ControllerPlace::Here),
        id => {
            let voter = voters.iter().find(|voter| voter.id == id)?;
            Some(ControllerPlace::At(NodeAddress { id, host: voter.host.as_str().into(), port: voter.port }))
        }
    });
    let client_id = format!("broker-{own_id}-to-controller");
    let nodes = NodeConnections::new(client_id, clock.clone(), ChannelLimits::default());
    ControllerClient::in_quorum(here, Arc::new(ControllerConnections::new(nodes, places)))
}

/// Ways to the other brokers, none of which is taken yet.
pub(super) fn other_brokers(own_id: NodeId, clock: &Clock) -> NodeConnections {
    NodeConnections::new(format!("broker-{own_id}"), clock.clone(), ChannelLimits::default())
}

/// Tells the controller that this broker is there, and where, and waits until the metadata here says so.
pub(super) async fn register(
    config: &Config,
    clock: &Clock,
    controller: &ControllerClient,
    metadata: &MetadataQuorum,
    request: RegisterBroker,
) -> Result<(), StartError> {
    let patience_ms = u64::try_from(config.broker.initial_broker_registration_timeout_ms).unwrap_or(0);
    let deadline = clock.monotonic().saturating_add(Duration::from_millis(patience_ms));
    let refused = |reason: String| StartError::Metadata { reason: format!("the broker cannot register: {reason}") };
    let epoch = loop {
        let registered = controller.register_broker(request.clone()).await.map_err(|code| refused(code.to_string()))?;
        match registered.response {
            Ok(epoch) => break epoch,
            Err(refusal) => {
                let is_taken = refusal.code == ErrorCode::DuplicateBrokerRegistration;
                if !is_taken || clock.monotonic() >= deadline {
                    return Err(refused(refusal.message));
                }
            }
        }
        clock.sleep(REGISTRATION_PAUSE).await;
    };
    let mut changes = metadata.subscribe();
    let is_known = |image: &MetadataImage| image.broker(request.id).is_some_and(|broker| broker.epoch >= epoch);
    let known = async { while !is_known(&changes.next().await.1) {} };
    clock.timeout_at(deadline, known).await.map_err(|_| refused("the metadata does not arrive here".to_owned()))
}

/// What the run `incarnation` of this broker's process registers as.
pub(super) fn registration(
    config: &Config,
    incarnation: Uuid,
    log_dirs: &LogDirs,
    bound: &[(Arc<str>, SocketAddr)],
) -> RegisterBroker {
    let protocol_of = |name: &Arc<str>| {
        let listener = config.listeners.iter().find(|listener| listener.name == *name);
        listener.map_or(SecurityProtocol::Plaintext, |listener| listener.protocol).to_string().into()
    };
    let advertised = told_addresses::advertised(config, bound).into_iter();
    let listeners = advertised.map(|(listener, address)| Endpoint {
        host: address.host.into(),
        port: address.port,
        protocol: protocol_of(&listener),
        listener,
    });
    RegisterBroker {
        id: config.node_id,
        cluster_id: config.cluster_id.as_deref().unwrap_or(log_dirs.cluster_id()).into(),
        incarnation,
        listeners: listeners.collect(),
        rack: config.broker.broker_rack.as_deref().map(Into::into),
        log_dirs: log_dirs.directory_ids(),
        previous_broker_epoch: log_dirs.previous_broker_epoch(),
    }
}

/// Waits until what the metadata names is open and the controller lets this broker lead: a partition that is not open
/// would be denied, and clients take that for an answer.
pub(super) async fn take_part(broker: &Arc<Broker>) -> Result<Option<Heartbeats>, StartError> {
    let failed = |reason: String| StartError::Metadata { reason };
    let applied = broker.replicas_applied(broker.image().offset).await;
    applied.map_err(|code| failed(format!("the partitions do not follow it: {code}")))?;
    let unfenced = lifecycle::unfence(broker).await;
    let lifecycle = unfenced.map_err(|code| failed(format!("the broker is not let in: {code}")))?;
    Ok(Heartbeats::start(Arc::clone(broker), lifecycle))
}
