//! What clients may take of a broker, and how long they wait when they have taken more (KIP-13, KIP-124, KIP-599).
//!
//! Promises: the most specific quota counts, in Kafka's order; a client above it is told to wait for as long as brings its
//! rate back to the quota, if it does nothing meanwhile; memory is bounded however many clients there are. Pure: `now` goes
//! in, throttle times come out. It must not know how definitions come here, or what is done with a throttle time.

mod client_quotas;
mod definitions;
mod rate;
mod token_bucket;

pub use client_quotas::{ClientQuotas, QuotaWindows};
pub use definitions::QuotaClient;

use std::time::Duration;

use crate::metadata::QuotaKey;

/// What a quota is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaType {
    /// Bytes per second that are produced.
    Produce,
    /// Bytes per second that are fetched.
    Fetch,
    /// Percent of one thread's time that requests are worked on.
    Request,
    /// Partitions per second that are created or deleted.
    ControllerMutation,
}

impl QuotaType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Produce, Self::Fetch, Self::Request, Self::ControllerMutation];

    /// The key under which the metadata holds it.
    pub const fn key(self) -> QuotaKey {
        match self {
            Self::Produce => QuotaKey::ProducerByteRate,
            Self::Fetch => QuotaKey::ConsumerByteRate,
            Self::Request => QuotaKey::RequestPercentage,
            Self::ControllerMutation => QuotaKey::ControllerMutationRate,
        }
    }
}

/// Over which time rates are taken: so many samples, each of so long. `quota.window.num` and
/// `quota.window.size.seconds`, and their like with `controller.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many samples are kept.
    pub samples: u32,
    /// How long each of them is.
    pub size: Duration,
}

/// Kafka's default, for every quota.
impl Default for Window {
    fn default() -> Self {
        Self { samples: 11, size: Duration::from_secs(1) }
    }
}

/// A number of milliseconds, to the nearest one.
fn milliseconds(value: f64) -> Duration {
    Duration::try_from_secs_f64((value.round() / 1000.0).max(0.0)).unwrap_or(LONGEST_THROTTLE_TIME)
}

/// The longest throttle time that an answer can tell.
const LONGEST_THROTTLE_TIME: Duration = Duration::from_millis(i32::MAX as u64);
