//! The bounds of the network.

use std::time::Duration;

use crate::config::BrokerConfig;

/// What one server's connections may have, each and together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame in bytes: `socket.request.max.bytes`.
    pub max_request_bytes: usize,
    /// How many connections there may be at once: `max.connections`. Further ones wait to be accepted.
    pub max_connections: usize,
    /// How many of them from one address: `max.connections.per.ip`. Further ones are closed.
    pub max_connections_per_ip: usize,
    /// When a connection without traffic, and without answers owed to it, is closed: `connections.max.idle.ms`.
    pub idle_timeout: Duration,
    /// How long the beginning of a frame may be followed by nothing. What has arrived of a frame earns it more time.
    pub frame_timeout: Duration,
    /// How long a client may take none of the bytes that are there for it.
    pub write_timeout: Duration,
    /// How many requests of one connection may wait for their answers; more are not read until some have left.
    pub max_owed: usize,
    /// Above this many bytes of unwritten answers a connection's requests are not read. A single answer may be larger.
    pub max_queued_bytes: usize,
}

/// The bounds of a broker that nobody configured.
impl Default for Limits {
    fn default() -> Self {
        Self::from(&BrokerConfig::default())
    }
}

/// The configured bounds, and our own where Kafka has no key for one.
impl From<&BrokerConfig> for Limits {
    fn from(config: &BrokerConfig) -> Self {
        let count = |value: i32| usize::try_from(value).unwrap_or(0);
        // A negative time is none: the connection may be idle for ever.
        let idle_ms = u64::try_from(config.connections_max_idle_ms).unwrap_or(i64::MAX as u64);
        Self {
            max_request_bytes: count(config.socket_request_max_bytes),
            max_connections: count(config.max_connections),
            max_connections_per_ip: count(config.max_connections_per_ip),
            idle_timeout: Duration::from_millis(idle_ms),
            frame_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            max_owed: 100,
            max_queued_bytes: 1024 * 1024,
        }
    }
}
