//! The quotas of this broker's clients, shared by all its connections.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::metadata::{MetadataDelta, MetadataImage, QuotaEntity, QuotaValue};
use crate::quota::{ClientQuotas, QuotaClient, QuotaType, QuotaWindows, Window};
use crate::security::Principal;

/// What clients may take of this broker, and what they have taken.
pub struct Quotas {
    clock: Clock,
    /// A bit for each type of which some client has a quota: who has none pays nothing for those of others.
    defined: AtomicU8,
    clients: Mutex<ClientQuotas>,
}

impl fmt::Debug for Quotas {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Quotas").field("defined", &self.defined).finish_non_exhaustive()
    }
}

impl Quotas {
    /// No quotas yet; `clock` measures.
    pub fn new(config: &BrokerConfig, clock: Clock) -> Self {
        let window = |samples: i32, seconds: i32| Window {
            samples: u32::try_from(samples).unwrap_or(1).max(1),
            size: Duration::from_secs(u64::try_from(seconds).unwrap_or(1).max(1)),
        };
        let windows = QuotaWindows {
            client: window(config.quota_window_num, config.quota_window_size_seconds),
            controller: window(config.controller_quota_window_num, config.controller_quota_window_size_seconds),
        };
        Self { clock, defined: AtomicU8::new(0), clients: Mutex::new(ClientQuotas::new(windows)) }
    }

    /// Takes over what `delta` names from `image`.
    pub fn apply(&self, delta: &MetadataDelta, image: &MetadataImage) {
        if delta.quotas().len() == 0 {
            return;
        }
        let mut clients = self.lock();
        for entity in delta.quotas() {
            let quotas = image.quotas(entity);
            for quota_type in QuotaType::ALL {
                let bound = quotas.and_then(|quotas| quotas.get(&quota_type.key()));
                clients.define(quota_type, QuotaEntity::clone(entity), bound.map(|bound| QuotaValue::get(*bound)));
            }
        }
        let types = QuotaType::ALL.into_iter().filter(|&quota_type| clients.is_defined(quota_type));
        self.defined.store(types.fold(0, |bits, quota_type| bits | bit(quota_type)), Ordering::Relaxed);
    }

    /// What measures a client, if some client has a quota of this type.
    pub fn meter(
        self: &Arc<Self>,
        quota_type: QuotaType,
        user: &Arc<Principal>,
        client_id: &Arc<str>,
    ) -> Option<Meter> {
        let is_defined = self.defined.load(Ordering::Relaxed) & bit(quota_type) != 0;
        is_defined.then(|| Meter {
            quotas: Arc::clone(self),
            quota_type,
            user: Arc::clone(user),
            client_id: Arc::clone(client_id),
        })
    }

    fn lock(&self) -> MutexGuard<'_, ClientQuotas> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bit(quota_type: QuotaType) -> u8 {
    1 << quota_type as u8
}

/// Measures what one client takes; also from within an answer that is owed.
#[derive(Debug, Clone)]
pub struct Meter {
    quotas: Arc<Quotas>,
    quota_type: QuotaType,
    user: Arc<Principal>,
    client_id: Arc<str>,
}

impl Meter {
    /// Records what the client has taken, in the unit of the quota; returns how long it must wait.
    pub fn record(&self, value: f64) -> Duration {
        let now = self.quotas.clock.monotonic();
        self.quotas.lock().record(self.quota_type, self.client(), value, now)
    }

    /// Takes back what was recorded and then not given to the client.
    pub fn unrecord(&self, value: f64) {
        let now = self.quotas.clock.monotonic();
        self.quotas.lock().unrecord(self.quota_type, self.client(), value, now);
    }

    /// The most that the client can take at once without being throttled for that alone; `None` if it has no quota.
    pub fn largest_at_once(&self) -> Option<f64> {
        self.quotas.lock().largest_at_once(self.quota_type, self.client())
    }

    /// How many more partitions the client may create or delete; `None` if it has no quota.
    pub fn mutations_left(&self) -> Option<f64> {
        let now = self.quotas.clock.monotonic();
        self.quotas.lock().mutations_left(self.client(), now)
    }

    /// Records that the client has created or deleted partitions; returns how long it takes until it may do so again.
    pub fn record_mutations(&self, partitions: f64) -> Duration {
        let now = self.quotas.clock.monotonic();
        self.quotas.lock().record_mutations(self.client(), partitions, now)
    }

    fn client(&self) -> QuotaClient<'_> {
        QuotaClient { user: &self.user.name, client_id: &self.client_id }
    }
}
