//! What a broker tells the controller of itself: that it lives, that it wants to serve, and that it wants to stop
//! (Kafka's `BrokerLifecycleManager`).
//!
//! [`Lifecycle`] decides what the next heartbeat says and when it is due; the rest sends it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Broker;
use crate::clock::Clock;
use crate::controller::{BrokerHeartbeat, ControllerPlace, HeartbeatAnswer};
use crate::ids::NodeId;
use crate::metadata::MetadataImage;
use crate::protocol::ErrorCode;

/// How often a broker asks that waits for an answer's consequence, to be unfenced or to be let go (KAFKA-13167).
const WAITING_INTERVAL: Duration = Duration::from_millis(50);

/// How long a broker hands over its leaderships before it stops without having done so.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// How long of that no controller need answer at all. An election takes less; without a quorum nobody ever does.
const SHUTDOWN_SILENCE: Duration = Duration::from_millis(1_500);

/// What the broker is (Kafka's `BrokerState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleState {
    /// It is registered, fenced, and has not applied its registration.
    Starting,
    /// It is fenced, has applied its registration, and waits to be unfenced.
    Recovery,
    /// It may lead.
    Running,
    /// It hands over what it leads.
    PendingControlledShutdown,
    /// It may go.
    ShuttingDown,
}

/// What the next heartbeat says, as far as it depends on what was before.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    node_id: NodeId,
    broker_epoch: i64,
    interval: Duration,
    state: LifecycleState,
}

impl Lifecycle {
    /// That of a broker that has just registered, and beats every `interval` (`broker.heartbeat.interval.ms`).
    pub fn new(node_id: NodeId, broker_epoch: i64, interval: Duration) -> Self {
        Self { node_id, broker_epoch, interval, state: LifecycleState::Starting }
    }

    /// What the broker is.
    pub fn state(&self) -> LifecycleState {
        self.state
    }

    /// The heartbeat that is due now, of a broker that has applied the metadata up to `applied_offset`.
    pub fn heartbeat(&self, applied_offset: i64) -> BrokerHeartbeat {
        BrokerHeartbeat {
            broker_id: self.node_id,
            broker_epoch: self.broker_epoch,
            current_metadata_offset: applied_offset,
            wants_fence: false,
            wants_shutdown: self.state == LifecycleState::PendingControlledShutdown,
        }
    }

    /// How long after an answer, or after none, the next heartbeat is due.
    pub fn pause(&self) -> Duration {
        match self.state {
            LifecycleState::Running | LifecycleState::ShuttingDown => self.interval,
            LifecycleState::Starting | LifecycleState::Recovery | LifecycleState::PendingControlledShutdown => {
                WAITING_INTERVAL.min(self.interval)
            }
        }
    }

    /// Whether a running broker has anything to say. The controller need not be told that its own process lives, only what
    /// would change something: that a broker that is fenced is not to be.
    pub fn has_to_beat(&self, controller_is_here: bool, image: &MetadataImage) -> bool {
        let is_fenced = || image.broker(self.node_id).is_none_or(|broker| broker.fenced);
        self.state != LifecycleState::Running || !controller_is_here || is_fenced()
    }

    /// The broker has registered again, because it was unregistered while it ran.
    fn registered_again(&mut self, broker_epoch: i64) {
        *self = Self::new(self.node_id, broker_epoch, self.interval);
    }

    /// Takes in an answer.
    pub fn answered(&mut self, answer: HeartbeatAnswer) {
        self.state = match self.state {
            LifecycleState::Starting | LifecycleState::Recovery if !answer.is_fenced => LifecycleState::Running,
            LifecycleState::Starting if answer.is_caught_up => LifecycleState::Recovery,
            LifecycleState::PendingControlledShutdown if answer.should_shut_down => LifecycleState::ShuttingDown,
            state => state,
        };
    }

    /// The broker is to stop. One that nobody has unfenced leads nothing, and may go.
    pub fn wants_to_stop(&mut self) {
        self.state = match self.state {
            LifecycleState::Starting | LifecycleState::Recovery | LifecycleState::ShuttingDown => {
                LifecycleState::ShuttingDown
            }
            LifecycleState::Running | LifecycleState::PendingControlledShutdown => {
                LifecycleState::PendingControlledShutdown
            }
        };
    }
}

/// Has the controller unfence this broker, and waits until the broker follows the metadata that says so.
///
/// Errors: what the controller refuses with.
pub async fn unfence(broker: &Broker) -> Result<Lifecycle, ErrorCode> {
    let interval_ms = u64::try_from(broker.config.load().broker.broker_heartbeat_interval_ms).unwrap_or(0);
    let interval = Duration::from_millis(interval_ms);
    let mut lifecycle = Lifecycle::new(broker.node_id, broker.broker_epoch(), interval);
    loop {
        match beat(broker, &mut lifecycle).await {
            Ok(image_offset) if lifecycle.state() == LifecycleState::Running => {
                broker.replicas_applied(image_offset).await?;
                break;
            }
            Ok(_) | Err(ErrorCode::RequestTimedOut | ErrorCode::NotController) => {}
            Err(code) => return Err(code),
        }
        broker.clock.sleep(lifecycle.pause()).await;
    }
    // Another node's answer does not say where in the log it has become true.
    while broker.image().broker(broker.node_id).is_none_or(|registered| registered.fenced) {
        broker.clock.sleep(WAITING_INTERVAL).await;
    }
    broker.replicas_applied(broker.image().offset).await?;
    Ok(lifecycle)
}

/// Sends one heartbeat. Answers the offset of the image that shows its consequence, as far as that is known.
async fn beat(broker: &Broker, lifecycle: &mut Lifecycle) -> Result<i64, ErrorCode> {
    let applied_offset = *broker.followers.applied_offset().borrow();
    let beaten = broker.controller.broker_heartbeat(lifecycle.heartbeat(applied_offset)).await?;
    lifecycle.answered(beaten.response.map_err(|refusal| refusal.code)?);
    Ok(beaten.image_offset)
}

/// The task that beats for a broker of a quorum of several nodes. Where there is one node alone, there is nobody to tell,
/// and no task.
#[derive(Debug)]
pub struct Heartbeats {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Heartbeats {
    /// Starts it, for a broker that is unfenced.
    pub fn start(broker: Arc<Broker>, lifecycle: Lifecycle) -> Option<Self> {
        broker.controller.connections()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(broker, lifecycle, stopped));
        Some(Self { stop, task })
    }

    /// Hands over what the broker leads, for as long as that may take, and ends the task. The broker has to serve and to
    /// follow the metadata until then.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task of the broker's heartbeats failed");
        }
    }
}

async fn run(broker: Arc<Broker>, mut lifecycle: Lifecycle, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            () = live(&broker, &mut lifecycle) => {}
        }
    }
    if broker.config.load().broker.controlled_shutdown_enable && has_successor(&broker) {
        lifecycle.wants_to_stop();
        let handing_over = hand_over(&broker, &mut lifecycle);
        if broker.clock.timeout(SHUTDOWN_PATIENCE, handing_over).await.is_err() {
            tracing::warn!("the broker stops although not all that it leads has been handed over");
        }
    }
}

/// One heartbeat, if there is anything to say, and the time until the next one.
async fn live(broker: &Broker, lifecycle: &mut Lifecycle) {
    let is_here = broker.controller.connections().and_then(|ways| ways.place()) == Some(ControllerPlace::Here);
    if lifecycle.has_to_beat(is_here, &broker.image())
        && let Err(code) = beat(broker, lifecycle).await
    {
        if code == ErrorCode::StaleBrokerEpoch && broker.image().broker(broker.node_id).is_none() {
            register_again(broker, lifecycle).await;
        } else {
            tracing::warn!(%code, "the controller has not taken a heartbeat");
        }
    }
    broker.clock.sleep(lifecycle.pause()).await;
}

/// Registers a broker that was unregistered while it ran, and waits until it follows the metadata that says so.
///
/// Unlike Kafka, which lets such a broker run on, refused by the controller, until somebody starts it again.
async fn register_again(broker: &Broker, lifecycle: &mut Lifecycle) {
    let registered = broker.controller.register_broker(broker.registration.clone()).await;
    match registered.map(|registered| registered.response) {
        Ok(Ok(epoch)) => {
            tracing::info!(epoch, "this broker was unregistered while it ran, and has registered again");
            while broker.broker_epoch() < epoch {
                broker.clock.sleep(WAITING_INTERVAL).await;
            }
            if let Err(code) = broker.replicas_applied(broker.image().offset).await {
                tracing::warn!(%code, "the partitions do not follow the metadata");
            }
            lifecycle.registered_again(epoch);
        }
        Ok(Err(refusal)) => {
            tracing::warn!("this broker was unregistered and cannot register again: {}", refusal.message);
        }
        Err(code) => tracing::warn!(%code, "this broker was unregistered and cannot register again"),
    }
}

/// Whether another broker could take over what this one leads.
fn has_successor(broker: &Broker) -> bool {
    broker.image().alive_brokers().any(|other| other.id != broker.node_id)
}

async fn hand_over(broker: &Broker, lifecycle: &mut Lifecycle) {
    let clock: &Clock = &broker.clock;
    while lifecycle.state() != LifecycleState::ShuttingDown {
        match clock.timeout(SHUTDOWN_SILENCE, beat(broker, lifecycle)).await {
            Ok(Ok(_)) => {}
            Ok(Err(code)) => tracing::warn!(%code, "the controller has not taken the wish to stop"),
            Err(_) => {
                tracing::warn!("no controller answers: the broker stops without having handed over what it leads");
                return;
            }
        }
        clock.sleep(lifecycle.pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{BrokerRecord, BrokerRegistration};

    const INTERVAL: Duration = Duration::from_secs(2);

    fn answer(is_caught_up: bool, is_fenced: bool, should_shut_down: bool) -> HeartbeatAnswer {
        HeartbeatAnswer { is_caught_up, is_fenced, should_shut_down }
    }

    fn running() -> Lifecycle {
        let mut lifecycle = Lifecycle::new(3, 17, INTERVAL);
        lifecycle.answered(answer(true, false, false));
        lifecycle
    }

    fn image(fenced: bool) -> MetadataImage {
        let mut image = MetadataImage::default();
        let registration = BrokerRegistration { id: 3, epoch: 17, fenced, ..BrokerRegistration::default() };
        image.replay(&BrokerRecord::RegisterBroker(registration).into()).expect("fits");
        image
    }

    #[test]
    fn a_broker_asks_often_until_it_is_unfenced_and_then_beats() {
        let mut lifecycle = Lifecycle::new(3, 17, INTERVAL);
        let told = lifecycle.heartbeat(5);
        assert_eq!((told.broker_id, told.broker_epoch, told.current_metadata_offset), (3, 17, 5));
        assert_eq!((told.wants_fence, told.wants_shutdown), (false, false));
        for (answer, state, pause) in [
            (answer(false, true, false), LifecycleState::Starting, WAITING_INTERVAL),
            (answer(true, true, false), LifecycleState::Recovery, WAITING_INTERVAL),
            (answer(true, false, false), LifecycleState::Running, INTERVAL),
            (answer(true, true, false), LifecycleState::Running, INTERVAL),
        ] {
            lifecycle.answered(answer);
            assert_eq!((lifecycle.state(), lifecycle.pause()), (state, pause));
        }
    }

    #[test]
    fn a_running_broker_that_is_the_controller_beats_only_when_it_is_fenced() {
        let lifecycle = running();
        assert!(!lifecycle.has_to_beat(true, &image(false)));
        assert!(lifecycle.has_to_beat(true, &image(true)));
        assert!(lifecycle.has_to_beat(false, &image(false)));
        assert!(lifecycle.has_to_beat(true, &MetadataImage::default()), "it is not registered any more");
        assert!(Lifecycle::new(3, 17, INTERVAL).has_to_beat(true, &image(false)), "it waits to be unfenced");
    }

    #[test]
    fn a_broker_that_stops_asks_until_it_is_let_go() {
        let mut lifecycle = running();
        lifecycle.wants_to_stop();
        assert!(lifecycle.heartbeat(5).wants_shutdown);
        lifecycle.answered(answer(true, false, false));
        assert_eq!(
            (lifecycle.state(), lifecycle.pause()),
            (LifecycleState::PendingControlledShutdown, WAITING_INTERVAL)
        );
        lifecycle.answered(answer(true, false, true));
        assert_eq!(lifecycle.state(), LifecycleState::ShuttingDown);
        let mut unserved = Lifecycle::new(3, 17, INTERVAL);
        unserved.wants_to_stop();
        assert_eq!(unserved.state(), LifecycleState::ShuttingDown, "it leads nothing");
    }
}
