//! Recognises clients that were told an address at which they do not reach this broker. Pure.
//!
//! A client connects to any address, asks for Metadata, and from then on talks to the addresses that it was told. If those
//! lead nowhere, we see it from behind: it came, was told, and stays away (Java, kafka-python), or comes back by the first
//! address for the same answer, again and again (librdkafka, Java since 4.0). What must not be taken for it are programs
//! that ask for a list of topics and leave, monitoring, and clients with nothing to do yet. So it takes one of these:
//!
//! - What the client was told is `localhost`, which is not this machine to it, and it wanted more than a list, or is still
//!   connected, [`GRACE`] later.
//! - [`LOOPS`] connections in a row, within [`WINDOW`], got no further than to be told where the brokers are.
//!
//! Whatever else a client of that machine asks shows that it has arrived; so does a connection that asks for no brokers.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexSet;

use crate::clock::Monotonic;
use crate::config::HostPort;

/// In this time a client has connected to what it was told, on any network.
const GRACE: Duration = Duration::from_secs(5);

/// How many connections in a row that get no further are a loop, and in what time: librdkafka's come 2 s apart at most, what
/// looks after a broker's health usually comes less often.
const LOOPS: u32 = 5;
const WINDOW: Duration = Duration::from_secs(15);

/// How many machines are watched at once, how many connections of each, and how many are remembered that have arrived or
/// that were spoken of. Of more, the oldest are forgotten; what is spoken of stays, and is the end of it.
const MAX_WATCHED: usize = 1_000;
const MAX_CONNECTIONS: usize = 100;
const MAX_REMEMBERED: usize = 1_000;

/// A client that asks for Metadata, and what it is told of this broker.
#[derive(Debug, Clone)]
pub struct Encounter {
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address on its connection.
    pub local: SocketAddr,
    /// The name of the listener.
    pub listener: Arc<str>,
    /// What it is told.
    pub told: HostPort,
    /// Whether that is certainly another machine to it.
    pub leads_elsewhere: bool,
    /// Whether it comes through the default gateway.
    pub through_gateway: bool,
    /// Whether it asks for all topics, as one does to list them.
    pub is_listing: bool,
}

/// Clients of one machine that do not reach what they were told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misled {
    /// Their address.
    pub peer: IpAddr,
    /// What they were told.
    pub told: HostPort,
    /// The name of the listener that told them.
    pub listener: Arc<str>,
    /// Our address by which they came.
    pub local: IpAddr,
    /// Whether what they were told is certainly another machine to them.
    pub leads_elsewhere: bool,
    /// Whether they come through the default gateway.
    pub through_gateway: bool,
}

/// What is known of the clients of one machine that have not arrived yet.
#[derive(Debug)]
struct Watched {
    misled: Misled,
    since: Monotonic,
    /// Whether one of them asked for more than a list.
    has_wanted: bool,
    /// The ports of those that were told and are still connected; whether all they asked for was a list.
    connected: HashMap<u16, bool>,
    /// How many in a row got no further.
    futile: u32,
}

impl Watched {
    /// When it is decided, or forgotten.
    fn deadline(&self) -> Monotonic {
        self.since + if self.misled.leads_elsewhere { GRACE } else { WINDOW }
    }
}

/// The machine that recognises them.
#[derive(Debug, Default)]
pub struct UnreachedAddresses {
    watched: HashMap<IpAddr, Watched>,
    arrived: IndexSet<(IpAddr, HostPort)>,
    spoken_of: HashSet<(IpAddr, HostPort)>,
}

impl UnreachedAddresses {
    /// A client is told where the brokers are.
    pub fn told(&mut self, encounter: Encounter, now: Monotonic) {
        let Encounter { peer, local, listener, told, leads_elsewhere, through_gateway, is_listing } = encounter;
        let (port, peer) = (peer.port(), peer.ip());
        let key = (peer, told.clone());
        if self.arrived.contains(&key) || self.spoken_of.contains(&key) {
            return;
        }
        // An address that changes is another story.
        self.watched.retain(|ip, watched| *ip != peer || watched.misled.told == told);
        if !self.watched.contains_key(&peer) && self.watched.len() == MAX_WATCHED {
            self.forget_oldest();
        }
        let watched = self.watched.entry(peer).or_insert_with(|| Watched {
            misled: Misled { peer, told, listener, local: local.ip(), leads_elsewhere, through_gateway },
            since: now,
            has_wanted: false,
            connected: HashMap::new(),
            futile: 0,
        });
        watched.has_wanted |= !is_listing;
        if watched.connected.len() < MAX_CONNECTIONS || watched.connected.contains_key(&port) {
            let lists = watched.connected.entry(port).or_insert(false);
            *lists |= is_listing;
        }
    }

    /// A client of `peer` asks for what only this broker can answer.
    pub fn arrived(&mut self, peer: IpAddr) {
        let Some(watched) = self.watched.remove(&peer) else { return };
        if self.arrived.len() == MAX_REMEMBERED {
            self.arrived.shift_remove_index(0);
        }
        self.arrived.insert((peer, watched.misled.told));
    }

    /// A connection of `peer` ended that asked for nothing that only this broker can answer.
    pub fn closed(&mut self, peer: SocketAddr, now: Monotonic) -> Option<Misled> {
        let watched = self.watched.get_mut(&peer.ip())?;
        match watched.connected.remove(&peer.port()) {
            // It knew where to go.
            None => {
                self.watched.remove(&peer.ip());
                return None;
            }
            Some(true) => watched.futile = 0,
            Some(false) => watched.futile += 1,
        }
        let is_loop = watched.futile >= LOOPS && now <= watched.since + WINDOW;
        if is_loop { self.speak_of(peer.ip()) } else { None }
    }

    /// When [`UnreachedAddresses::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.watched.values().map(Watched::deadline).min()
    }

    /// Decides on those whose time is over.
    pub fn handle_timeout(&mut self, now: Monotonic) -> Vec<Misled> {
        let due: Vec<_> = self.watched.iter().filter(|(_, watched)| watched.deadline() <= now).collect();
        let due: Vec<_> = due
            .into_iter()
            .map(|(peer, watched)| {
                let is_waiting = watched.has_wanted || !watched.connected.is_empty();
                (*peer, watched.misled.leads_elsewhere && is_waiting)
            })
            .collect();
        let mut misled = Vec::new();
        for (peer, is_misled) in due {
            if is_misled {
                misled.extend(self.speak_of(peer));
            } else {
                self.watched.remove(&peer);
            }
        }
        misled.sort_by_key(|misled| misled.peer);
        misled
    }

    fn speak_of(&mut self, peer: IpAddr) -> Option<Misled> {
        let misled = self.watched.remove(&peer)?.misled;
        if self.spoken_of.len() == MAX_REMEMBERED {
            return None;
        }
        self.spoken_of.insert((peer, misled.told.clone())).then_some(misled)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.watched.iter().min_by_key(|(_, watched)| watched.since).map(|(peer, _)| *peer);
        self.watched.retain(|peer, _| Some(*peer) != oldest);
    }
}

impl Misled {
    /// What is wrong, for the log, and the setting that mends it. `advertised` is what each listener advertises now.
    pub fn advice(&self, advertised: &[(Arc<str>, HostPort)]) -> String {
        let Self { peer, told, .. } = self;
        let what = if self.leads_elsewhere {
            format!(
                "a client at {peer} is told to connect to {told}, which to it is its own machine, and has not come back"
            )
        } else {
            format!(
                "a client at {peer} is told to connect to {told} and does not: it asks again and again, so it cannot find \
                 that host, or not reach it"
            )
        };
        let setting = self.setting(advertised);
        let unset = if self.leads_elsewhere {
            "; on a listener for every interface it can also be left unset: then each client is told the address by which \
             it came"
        } else {
            ""
        };
        format!(
            "{what}. Advertise what it can reach: KAFKA_ADVERTISED_LISTENERS={setting} or --set \
             advertised.listeners={setting}{unset}"
        )
    }

    /// `advertised.listeners`, with an address for these clients.
    fn setting(&self, advertised: &[(Arc<str>, HostPort)]) -> String {
        let listener = |(name, address): &(Arc<str>, HostPort)| {
            let address = if *name == self.listener { self.better_address() } else { address.clone() };
            format!("{name}://{address}")
        };
        advertised.iter().map(listener).collect::<Vec<_>>().join(",")
    }

    /// The address by which these clients came, as far as it can be known: a placeholder where that is what they were told.
    fn better_address(&self) -> HostPort {
        let local = self.local.to_canonical();
        let is_near = self.through_gateway || local.is_loopback();
        let came_by = if is_near { "localhost".to_owned() } else { local.to_string() };
        let host = if came_by == self.told.host { "HOST".to_owned() } else { came_by };
        HostPort { host, port: self.told.port }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was told is `localhost` for clients elsewhere, or `kafka` for anybody.
    struct Story {
        machine: UnreachedAddresses,
        now: Monotonic,
        told: &'static str,
    }

    impl Story {
        fn of(told: &'static str) -> Self {
            Self { machine: UnreachedAddresses::default(), now: Duration::from_secs(100), told }
        }

        fn asks(&mut self, port: u16, is_listing: bool) {
            let encounter = Encounter {
                peer: SocketAddr::from(([172, 18, 0, 3], port)),
                local: SocketAddr::from(([172, 18, 0, 2], 9092)),
                listener: "PLAINTEXT".into(),
                told: HostPort { host: self.told.to_owned(), port: 9092 },
                leads_elsewhere: self.told == "localhost",
                through_gateway: false,
                is_listing,
            };
            self.machine.told(encounter, self.now);
        }

        fn asks_for_brokers(&mut self, port: u16) {
            self.asks(port, false);
        }

        fn lists_topics(&mut self, port: u16) {
            self.asks(port, true);
        }

        fn arrives(&mut self) {
            self.machine.arrived([172, 18, 0, 3].into());
        }

        #[must_use]
        fn leaves(&mut self, port: u16) -> usize {
            self.machine.closed(SocketAddr::from(([172, 18, 0, 3], port)), self.now).iter().count()
        }

        #[must_use]
        fn waits(&mut self, seconds: u64) -> usize {
            self.now += Duration::from_secs(seconds);
            self.machine.handle_timeout(self.now).len()
        }
    }

    #[test]
    fn a_client_elsewhere_that_is_told_localhost_and_stays_away_is_spoken_of_once() {
        let mut story = Story::of("localhost");
        story.asks_for_brokers(1);
        assert_eq!((story.leaves(1), story.waits(4), story.waits(1)), (0, 0, 1));
        story.asks_for_brokers(2);
        assert_eq!((story.leaves(2), story.waits(60)), (0, 0));
        // An old client asks for all topics, too, but waits for something.
        let mut story = Story::of("localhost");
        story.lists_topics(1);
        assert_eq!(story.waits(5), 1);
    }

    #[test]
    fn a_client_that_only_lists_topics_and_leaves_is_not_misled() {
        let mut story = Story::of("localhost");
        for port in 1..30 {
            story.lists_topics(port);
            assert_eq!((story.leaves(port), story.waits(2)), (0, 0));
        }
        // librdkafka's ask for the brokers first, on the same connection.
        let mut story = Story::of("kafka");
        for port in 1..30 {
            story.asks_for_brokers(port);
            story.lists_topics(port);
            assert_eq!((story.leaves(port), story.waits(1)), (0, 0));
        }
        // Others' ask for the brokers on one connection, and for the list on the next.
        for port in 100..130 {
            story.asks_for_brokers(port);
            assert_eq!(story.leaves(port), 0);
            story.lists_topics(port + 100);
            assert_eq!((story.leaves(port + 100), story.waits(1)), (0, 0));
        }
    }

    #[test]
    fn a_client_that_arrives_is_never_spoken_of_again() {
        for told in ["localhost", "kafka"] {
            let mut story = Story::of(told);
            story.asks_for_brokers(1);
            assert_eq!(story.waits(2), 0);
            story.arrives();
            for port in 2..30 {
                story.asks_for_brokers(port);
                assert_eq!((story.leaves(port), story.waits(6)), (0, 0));
            }
        }
    }

    #[test]
    fn a_client_that_asks_again_and_again_is_spoken_of_once() {
        let mut story = Story::of("kafka");
        for port in 1..5 {
            story.asks_for_brokers(port);
            assert_eq!((story.leaves(port), story.waits(2)), (0, 0));
        }
        story.asks_for_brokers(5);
        assert_eq!((story.leaves(5), story.waits(0)), (1, 0));
        for port in 6..30 {
            story.asks_for_brokers(port);
            assert_eq!((story.leaves(port), story.waits(1)), (0, 0));
        }
    }

    #[test]
    fn visits_that_are_far_between_are_no_loop() {
        let mut story = Story::of("kafka");
        for port in 1..30 {
            story.asks_for_brokers(port);
            assert_eq!((story.leaves(port), story.waits(5)), (0, 0));
        }
    }

    #[test]
    fn a_client_with_nothing_to_do_yet_is_not_misled() {
        // librdkafka, where the first address is the advertised one, keeps its connection.
        let mut story = Story::of("kafka");
        story.asks_for_brokers(1);
        assert_eq!((story.waits(100), story.leaves(1)), (0, 0));
        // A health check by Kafka's own tool: the second connection asks for ApiVersions alone.
        for port in 1..30 {
            story.asks_for_brokers(port);
            assert_eq!((story.leaves(port + 100), story.leaves(port), story.waits(1)), (0, 0, 0));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut story = Story::of("localhost");
        for index in 0..MAX_WATCHED as u32 + 10 {
            let encounter = |port| Encounter {
                peer: SocketAddr::new(IpAddr::from((167_772_160 + index).to_be_bytes()), port),
                local: SocketAddr::from(([172, 18, 0, 2], 9092)),
                listener: "PLAINTEXT".into(),
                told: HostPort { host: "localhost".to_owned(), port: 9092 },
                leads_elsewhere: true,
                through_gateway: false,
                is_listing: false,
            };
            story.now += Duration::from_millis(1);
            (0..=MAX_CONNECTIONS as u16).for_each(|port| story.machine.told(encounter(port), story.now));
        }
        assert_eq!(story.machine.watched.len(), MAX_WATCHED);
        assert!(story.machine.watched.values().all(|watched| watched.connected.len() == MAX_CONNECTIONS));
        assert_eq!(story.waits(60), MAX_REMEMBERED);
        assert!(story.machine.watched.is_empty() && story.machine.next_deadline().is_none());
        story.asks_for_brokers(1);
        assert_eq!(story.waits(60), 0, "that is enough of them");
    }

    #[test]
    fn the_advice_can_be_pasted() {
        let at = |host: &str| HostPort { host: host.to_owned(), port: 9092 };
        let misled = Misled {
            peer: [172, 18, 0, 3].into(),
            told: at("localhost"),
            listener: "PLAINTEXT".into(),
            local: [172, 18, 0, 2].into(),
            leads_elsewhere: true,
            through_gateway: false,
        };
        let advertised =
            [("PLAINTEXT".into(), at("localhost")), ("OTHER".into(), HostPort { host: "kafka".to_owned(), port: 1 })];
        assert_eq!(
            misled.advice(&advertised),
            "a client at 172.18.0.3 is told to connect to localhost:9092, which to it is its own machine, and has not come \
             back. Advertise what it can reach: KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://172.18.0.2:9092,OTHER://kafka:1 or \
             --set advertised.listeners=PLAINTEXT://172.18.0.2:9092,OTHER://kafka:1; on a listener for every interface it \
             can also be left unset: then each client is told the address by which it came"
        );
        let host = Misled { told: at("kafka"), leads_elsewhere: false, through_gateway: true, ..misled.clone() };
        assert!(host.advice(&advertised).contains("KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092,OTHER"));
        let far = Misled { told: at("172.18.0.2"), leads_elsewhere: false, ..misled };
        assert!(far.advice(&advertised).contains("KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://HOST:9092,OTHER"));
    }
}
