//! Where this node is the controller, it looks after the processes of the other brokers, and says in the log what becomes
//! of brokers.
//!
//! [`Vigil`] decides at whom to look, and [`BrokerNews`] what there is to say; here it is done.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::Broker;
use super::broker_news::BrokerNews;
use crate::controller::{BrokerIsGone, Sighting, Vigil};
use crate::quorum::{ProbeOutcome, Prober};

/// Watches them each time that this node is the controller, until `stop` is cancelled.
pub async fn run(broker: Arc<Broker>, prober: Arc<Prober>, stop: CancellationToken) {
    let leading = broker.metadata.while_leading(|| watch(&broker, &prober));
    stop.run_until_cancelled(leading).await;
}

/// Watches them for one leadership.
async fn watch(broker: &Broker, prober: &Prober) {
    let (mut reached, mut changes) = (prober.reached(), broker.metadata.subscribe());
    let session_timeout_ms = u64::try_from(broker.config.load().broker.broker_session_timeout_ms).unwrap_or(0);
    let (_, image) = changes.next().await;
    let mut news = BrokerNews::new(image, Duration::from_millis(session_timeout_ms));
    let mut vigil = Vigil::new(prober.others());
    let mut looks = FuturesUnordered::new();
    loop {
        let connected = reached.borrow_and_update().clone();
        for suspect in vigil.suspects(news.image(), &connected, broker.clock.monotonic()) {
            looks.push(async move { (suspect, sighting(prober.probe(suspect.id).await)) });
        }
        let again = OptionFuture::from(vigil.next_look().map(|at| broker.clock.sleep_until(at)));
        tokio::select! {
            // The transport is stopped only after this.
            Ok(()) = reached.changed() => {}
            (delta, image) = changes.next() => {
                for line in news.follow(&delta, image) {
                    tracing::info!("{line}");
                }
            }
            Some((suspect, sighting)) = looks.next() => {
                if let Some(gone) = vigil.saw(suspect, sighting, broker.clock.monotonic()) {
                    fence(broker, gone, &mut news).await;
                }
            }
            Some(()) = again => {}
        }
    }
}

/// Tells the machine; what it does is seen in the image.
async fn fence(broker: &Broker, gone: BrokerIsGone, news: &mut BrokerNews) {
    news.expect(gone);
    match broker.controller.broker_is_gone(gone).await {
        Ok(answered) if answered.response => {}
        Ok(_) => tracing::debug!(?gone, "a broker that seems to be gone is not fenced yet"),
        Err(code) => tracing::debug!(?gone, %code, "a broker that is gone could not be fenced"),
    }
}

fn sighting(outcome: ProbeOutcome) -> Sighting {
    match outcome {
        ProbeOutcome::Refused => Sighting::Nobody,
        ProbeOutcome::Answered(incarnation) => Sighting::Process(incarnation),
        ProbeOutcome::Unclear => Sighting::Nothing,
    }
}
