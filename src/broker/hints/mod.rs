//! Hints for whoever runs this broker, in its log: about what beginners stumble over, each once.
//!
//! The files below decide, purely; this one brings them what handlers and connections see, and writes what they find. It
//! is asked on no path of records: by Metadata, JoinGroup, OffsetFetch and ListOffsets, and once by each connection.

pub mod from_the_end;
pub mod unreached;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::OptionFuture;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::from_the_end::{ClientIdentity, FromTheEnd, GroupsFromTheEnd};
use self::unreached::{Encounter, Misled, UnreachedAddresses};
use crate::clock::Clock;
use crate::config::HostPort;
use crate::ids::TopicName;
use crate::network::LogLimit;

/// What is found out about clients; one belongs to each broker.
#[derive(Debug)]
pub struct Hints {
    clock: Clock,
    /// What each listener advertises; an empty host where it advertises none.
    advertised: Vec<(Arc<str>, HostPort)>,
    state: Mutex<State>,
    /// There is a deadline that was not there.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    unreached: UnreachedAddresses,
    from_the_end: GroupsFromTheEnd,
    log_limit: LogLimit,
}

impl Hints {
    /// For a broker with these listeners.
    pub fn new(clock: Clock, advertised: Vec<(Arc<str>, HostPort)>) -> Self {
        Self { clock, advertised, state: Mutex::default(), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client is told where this broker is.
    pub fn told(&self, encounter: Encounter) {
        let mut state = self.lock();
        let before = state.unreached.next_deadline();
        state.unreached.told(encounter, self.clock.monotonic());
        if state.unreached.next_deadline() != before {
            self.changed.notify_one();
        }
    }

    /// A client of `peer` asks, for the first time on its connection, for what only this broker can answer.
    pub fn arrived(&self, peer: IpAddr) {
        self.lock().unreached.arrived(peer);
    }

    /// A connection ends whose client never did.
    pub fn closed(&self, peer: SocketAddr) {
        let mut state = self.lock();
        let misled = state.unreached.closed(peer, self.clock.monotonic());
        self.warn(&mut state, misled.as_slice());
    }

    /// A client joins a group.
    pub fn joined(&self, client: ClientIdentity, group: &str) {
        self.lock().from_the_end.joined(client, group);
    }

    /// A client learns for which partitions a group has no offset.
    pub fn learnt(&self, client: ClientIdentity, group: &str, without_offset: impl Iterator<Item = (TopicName, i32)>) {
        self.lock().from_the_end.learnt(client, group, without_offset, self.clock.monotonic());
    }

    /// A client asks for the ends of `partitions` of `topic`; see [`GroupsFromTheEnd::asked_for_ends`].
    pub fn asked_for_ends(&self, client: &ClientIdentity, topic: &str, partitions: &[i32]) -> Option<FromTheEnd> {
        self.lock().from_the_end.asked_for_ends(client, topic, partitions, self.clock.monotonic())
    }

    /// A group passes over so many records; `software` is what its client says it is.
    pub fn skips(&self, found: &FromTheEnd, skipped: u64, software: Option<&str>) {
        let mut state = self.lock();
        if skipped > 0 && state.from_the_end.is_news(found) && state.log_limit.allow(self.clock.monotonic()).is_some() {
            tracing::info!("{}", found.hint(skipped, software));
        }
    }

    /// Warns of clients that stay away, until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let watch = async {
            loop {
                let deadline = self.lock().unreached.next_deadline();
                let alarm = OptionFuture::from(deadline.map(|deadline| self.clock.sleep_until(deadline)));
                tokio::select! {
                    () = self.changed.notified() => {}
                    Some(()) = alarm => self.handle_timeout(),
                }
            }
        };
        stop.run_until_cancelled(watch).await;
    }

    fn handle_timeout(&self) {
        let mut state = self.lock();
        let misled = state.unreached.handle_timeout(self.clock.monotonic());
        self.warn(&mut state, &misled);
    }

    fn warn(&self, state: &mut State, misled: &[Misled]) {
        let now = self.clock.monotonic();
        for misled in misled {
            if let Some(suppressed) = state.log_limit.allow(now) {
                tracing::warn!(
                    suppressed = (suppressed > 0).then_some(suppressed),
                    "{}",
                    misled.advice(&self.advertised)
                );
            }
        }
    }
}
