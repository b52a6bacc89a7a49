//! What a broker counts, and how it is told: one table of names, counters on atomics, and the text that is scraped.
//!
//! Metrics are a value: two brokers in one process count apart. [`table`] declares each metric once; what it cannot be
//! read from elsewhere when somebody scrapes is counted here, as it happens. A request pays for that with a few additions
//! on counters that its connection, its API or its topic already holds; nothing is looked up by name and nothing is locked.
//!
//! It must not know what is counted: which APIs there are, and what a partition is.

mod counters;
mod replication;
mod requests;
mod table;
mod text;
mod traffic;

use std::sync::Arc;

pub use counters::{Counter, Histogram};
pub use replication::ReplicationMetrics;
pub use requests::{Errors, RequestMetrics};
pub use table::{Metric, MetricKind, MetricOrigin};
pub use text::Exposition;
pub use traffic::{TopicTraffic, Traffic};

/// What one broker counts of its connections and requests.
#[derive(Debug)]
pub struct Metrics {
    requests: Box<[RequestMetrics]>,
    listeners: Box<[(Arc<str>, Arc<ListenerMetrics>)]>,
}

impl Metrics {
    /// Nothing counted yet: of the APIs behind `requests`, by their place, and of the listeners with these names.
    pub fn new(
        requests: impl IntoIterator<Item = RequestMetrics>,
        listeners: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        let listeners = listeners.into_iter().map(|name| (name, Arc::default()));
        Self { requests: requests.into_iter().collect(), listeners: listeners.collect() }
    }

    /// What is counted of the API at `place`.
    pub fn request(&self, place: usize) -> Option<&RequestMetrics> {
        self.requests.get(place)
    }

    /// What is counted of every API, by its place.
    pub fn requests(&self) -> &[RequestMetrics] {
        &self.requests
    }

    /// What is counted of each listener.
    pub fn listeners(&self) -> impl Iterator<Item = (&str, &ListenerMetrics)> {
        self.listeners.iter().map(|(name, counted)| (&**name, &**counted))
    }

    /// Counts a connection of the listener `name` from now until it is dropped.
    pub fn connection(&self, name: &str) -> CountedConnection {
        let found = self.listeners.iter().find(|(listener, _)| **listener == *name);
        let listener = found.map(|(_, counted)| Arc::clone(counted));
        if let Some(listener) = &listener {
            listener.created.add(1);
        }
        CountedConnection { listener }
    }
}

/// The connections of one listener.
#[derive(Debug, Default)]
pub struct ListenerMetrics {
    /// Those that were accepted.
    pub created: Counter,
    /// Those of them that have ended.
    pub closed: Counter,
}

impl ListenerMetrics {
    /// How many there are now.
    pub fn open(&self) -> u64 {
        // In this order: one that ends meanwhile must not count as fewer than none.
        let closed = self.closed.value();
        self.created.value().saturating_sub(closed)
    }
}

/// A connection that counts as open.
#[derive(Debug)]
pub struct CountedConnection {
    listener: Option<Arc<ListenerMetrics>>,
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.closed.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_at_its_own_listener_until_it_is_dropped() {
        let metrics = Metrics::new([], ["A".into(), "B".into()]);
        let kept = metrics.connection("B");
        drop(metrics.connection("B"));
        drop(metrics.connection("elsewhere"));
        let counts = |metrics: &Metrics| -> Vec<(String, u64, u64, u64)> {
            let counted = metrics.listeners();
            counted.map(|(name, of)| (name.to_owned(), of.open(), of.created.value(), of.closed.value())).collect()
        };
        assert_eq!(counts(&metrics), [("A".to_owned(), 0, 0, 0), ("B".to_owned(), 1, 2, 1)]);
        drop(kept);
        assert_eq!(counts(&metrics)[1], ("B".to_owned(), 0, 2, 2));
    }
}
