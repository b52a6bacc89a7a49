//! All quotas of a broker, and what its clients have taken.

use std::collections::HashMap;
use std::time::Duration;

use super::definitions::{Applicable, Definitions, QuotaClient};
use super::rate::Rate;
use super::token_bucket::TokenBucket;
use super::{QuotaType, Window};
use crate::clock::Monotonic;
use crate::metadata::QuotaEntity;

/// Beyond so many clients, those that a meter says nothing about are forgotten before another is added.
const FEW_METERS: usize = 1_024;

/// How many clients have a meter each; more share one, so that names which a client makes up cost no memory.
const MOST_METERS: usize = 50_000;

/// How often the meters are looked through when there are that many.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// The windows of all quotas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaWindows {
    /// That of produce, fetch and request quotas.
    pub client: Window,
    /// That of controller mutations.
    pub controller: Window,
}

/// The quotas of a broker's clients.
#[derive(Debug, Default)]
pub struct ClientQuotas {
    windows: QuotaWindows,
    produce: Quota<Rate>,
    fetch: Quota<Rate>,
    request: Quota<Rate>,
    controller_mutation: Quota<TokenBucket>,
}

/// The quotas of one type, and a meter for each who has taken something.
#[derive(Debug)]
struct Quota<M> {
    definitions: Definitions,
    /// By user and client id, each empty where all share a meter.
    meters: HashMap<Box<str>, HashMap<Box<str>, M>>,
    /// That of all clients beyond [`MOST_METERS`].
    shared_meter: Option<M>,
    meter_count: usize,
    /// How many meters were left when the idle ones were last forgotten, and when that was.
    tidied: (usize, Monotonic),
}

impl<M> Default for Quota<M> {
    fn default() -> Self {
        Self {
            definitions: Definitions::default(),
            meters: HashMap::new(),
            shared_meter: None,
            meter_count: 0,
            tidied: (FEW_METERS / 2, Monotonic::ZERO),
        }
    }
}

impl ClientQuotas {
    /// No quotas yet, to be measured over `windows`.
    pub fn new(windows: QuotaWindows) -> Self {
        Self { windows, ..Self::default() }
    }

    /// Defines a quota, or takes its definition away. What clients have taken before is not forgotten.
    pub fn define(&mut self, quota_type: QuotaType, entity: QuotaEntity, bound: Option<f64>) {
        self.definitions_mut(quota_type).set(entity, bound);
    }

    /// Whether any client has a quota of this type.
    pub fn is_defined(&self, quota_type: QuotaType) -> bool {
        !self.definitions(quota_type).is_empty()
    }

    /// Records what a client has taken: bytes, or percent of a second. Returns how long it must wait.
    ///
    /// Request quotas never make it wait for longer than one sample, as in Kafka.
    pub fn record(&mut self, quota_type: QuotaType, client: QuotaClient<'_>, value: f64, now: Monotonic) -> Duration {
        let window = self.windows.client;
        let Some((bound, rate)) = self.rate(quota_type, client, now) else { return Duration::ZERO };
        rate.record(window, value, now);
        let time = rate.throttle_time(window, bound, now);
        if quota_type == QuotaType::Request { time.min(window.size) } else { time }
    }

    /// Takes back what was recorded and then not given to the client.
    pub fn unrecord(&mut self, quota_type: QuotaType, client: QuotaClient<'_>, value: f64, now: Monotonic) {
        let window = self.windows.client;
        if let Some((_, rate)) = self.rate(quota_type, client, now) {
            rate.record(window, -value, now);
        }
    }

    /// The most that a client can take at once without being throttled for that alone; `None` if it has no quota.
    pub fn largest_at_once(&self, quota_type: QuotaType, client: QuotaClient<'_>) -> Option<f64> {
        let Window { samples, size } = self.windows.client;
        let quota = self.definitions(quota_type).applicable(client)?;
        Some(quota.bound * f64::from(samples - 1) * size.as_secs_f64())
    }

    /// How many more partitions a client may create or delete; below 0 if none for a while, `None` if it has no quota.
    pub fn mutations_left(&mut self, client: QuotaClient<'_>, now: Monotonic) -> Option<f64> {
        let window = self.windows.controller;
        let (bound, bucket) = self.bucket(client, now)?;
        Some(bucket.tokens(window, bound, now))
    }

    /// Records that a client has created or deleted partitions. Returns how long it must wait until it may do so again.
    pub fn record_mutations(&mut self, client: QuotaClient<'_>, partitions: f64, now: Monotonic) -> Duration {
        let window = self.windows.controller;
        let Some((bound, bucket)) = self.bucket(client, now) else { return Duration::ZERO };
        bucket.take(window, bound, partitions, now);
        bucket.throttle_time(window, bound, now)
    }

    fn definitions(&self, quota_type: QuotaType) -> &Definitions {
        match quota_type {
            QuotaType::Produce => &self.produce.definitions,
            QuotaType::Fetch => &self.fetch.definitions,
            QuotaType::Request => &self.request.definitions,
            QuotaType::ControllerMutation => &self.controller_mutation.definitions,
        }
    }

    fn definitions_mut(&mut self, quota_type: QuotaType) -> &mut Definitions {
        match quota_type {
            QuotaType::Produce => &mut self.produce.definitions,
            QuotaType::Fetch => &mut self.fetch.definitions,
            QuotaType::Request => &mut self.request.definitions,
            QuotaType::ControllerMutation => &mut self.controller_mutation.definitions,
        }
    }

    fn rate(&mut self, quota_type: QuotaType, client: QuotaClient<'_>, now: Monotonic) -> Option<(f64, &mut Rate)> {
        let window = self.windows.client;
        let quota = match quota_type {
            QuotaType::Produce => &mut self.produce,
            QuotaType::Fetch => &mut self.fetch,
            QuotaType::Request => &mut self.request,
            QuotaType::ControllerMutation => return None,
        };
        quota.meter(client, now, |_| Rate::new(now), |_, rate| rate.is_idle(window, now))
    }

    fn bucket(&mut self, client: QuotaClient<'_>, now: Monotonic) -> Option<(f64, &mut TokenBucket)> {
        let window = self.windows.controller;
        self.controller_mutation.meter(
            client,
            now,
            |bound| TokenBucket::new(window, bound, now),
            |bound, bucket| bucket.is_full(window, bound, now),
        )
    }
}

impl<M> Quota<M> {
    /// A client's quota and what it has taken; `None` if it has none. `is_idle` tells of a meter whether it is as a
    /// `fresh` one would be.
    fn meter(
        &mut self,
        client: QuotaClient<'_>,
        now: Monotonic,
        fresh: impl FnOnce(f64) -> M,
        is_idle: impl Fn(f64, &mut M) -> bool,
    ) -> Option<(f64, &mut M)> {
        let Applicable { shared_by: (user, client_id), bound } = self.definitions.applicable(client)?;
        let is_known = |meters: &HashMap<Box<str>, M>| meters.contains_key(client_id);
        if !self.meters.get(user).is_some_and(is_known) {
            self.tidy(now, is_idle);
            if self.meter_count >= MOST_METERS {
                return Some((bound, self.shared_meter.get_or_insert_with(|| fresh(bound))));
            }
            self.meter_count += 1;
            let of_user = self.meters.entry(user.into()).or_default();
            return Some((bound, of_user.entry(client_id.into()).or_insert_with(|| fresh(bound))));
        }
        Some((bound, self.meters.get_mut(user)?.get_mut(client_id)?))
    }

    /// Forgets the meters that say nothing, when their number has doubled; when they are too many, once a second.
    fn tidy(&mut self, now: Monotonic, is_idle: impl Fn(f64, &mut M) -> bool) {
        let (count, at) = self.tidied;
        let has_doubled = self.meter_count >= 2 * count;
        let is_full = self.meter_count >= MOST_METERS && now.saturating_sub(at) >= TIDY_INTERVAL;
        if !has_doubled && !is_full {
            return;
        }
        let Self { definitions, meters, .. } = self;
        for (user, of_user) in meters.iter_mut() {
            of_user.retain(|client_id, meter| {
                let quota = definitions.applicable(QuotaClient { user, client_id });
                quota.is_some_and(|quota| !is_idle(quota.bound, meter))
            });
        }
        meters.retain(|_, of_user| !of_user.is_empty());
        self.meter_count = meters.values().map(HashMap::len).sum();
        self.tidied = (self.meter_count.max(FEW_METERS / 2), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::EntityName;

    const ALICE: QuotaClient<'static> = QuotaClient { user: "alice", client_id: "a" };

    fn at(seconds: u64) -> Monotonic {
        Duration::from_secs(seconds)
    }

    fn default_client_id() -> QuotaEntity {
        QuotaEntity { user: None, client_id: Some(EntityName::Default), ip: None }
    }

    fn user(name: &str) -> QuotaEntity {
        QuotaEntity { user: Some(EntityName::Named(name.into())), client_id: None, ip: None }
    }

    #[test]
    fn clients_of_one_user_share_its_quota_and_others_are_not_held_up() {
        let mut quotas = ClientQuotas::default();
        quotas.define(QuotaType::Produce, user("alice"), Some(100.0));
        assert_eq!(quotas.record(QuotaType::Produce, ALICE, 1_000.0, at(0)), Duration::ZERO);
        let other = QuotaClient { client_id: "b", ..ALICE };
        assert_eq!(quotas.record(QuotaType::Produce, other, 1_000.0, at(0)), at(10));
        let bob = QuotaClient { user: "bob", client_id: "a" };
        assert_eq!(quotas.record(QuotaType::Produce, bob, 1e9, at(0)), Duration::ZERO);
        assert_eq!(quotas.record(QuotaType::Fetch, ALICE, 1e9, at(0)), Duration::ZERO, "another type");
    }

    #[test]
    fn a_changed_quota_counts_for_what_was_taken_before() {
        let mut quotas = ClientQuotas::default();
        quotas.define(QuotaType::Fetch, user("alice"), Some(1_000.0));
        assert_eq!(quotas.record(QuotaType::Fetch, ALICE, 2_000.0, at(0)), Duration::ZERO);
        quotas.define(QuotaType::Fetch, user("alice"), Some(100.0));
        assert_eq!(quotas.record(QuotaType::Fetch, ALICE, 0.0, at(0)), at(10));
        quotas.unrecord(QuotaType::Fetch, ALICE, 2_000.0, at(0));
        assert_eq!(quotas.record(QuotaType::Fetch, ALICE, 0.0, at(0)), Duration::ZERO);
        quotas.define(QuotaType::Fetch, user("alice"), None);
        assert!(!quotas.is_defined(QuotaType::Fetch));
        assert_eq!(quotas.record(QuotaType::Fetch, ALICE, 1e9, at(0)), Duration::ZERO);
    }

    #[test]
    fn a_request_quota_makes_nobody_wait_for_longer_than_a_sample() {
        let mut quotas = ClientQuotas::default();
        quotas.define(QuotaType::Request, user("alice"), Some(1.0));
        assert_eq!(quotas.record(QuotaType::Request, ALICE, 10_000.0, at(0)), at(1));
    }

    #[test]
    fn mutations_are_a_bucket() {
        let mut quotas = ClientQuotas::default();
        assert_eq!(quotas.mutations_left(ALICE, at(0)), None);
        quotas.define(QuotaType::ControllerMutation, user("alice"), Some(1.0));
        assert_eq!(quotas.mutations_left(ALICE, at(0)), Some(11.0));
        assert_eq!(quotas.record_mutations(ALICE, 15.0, at(0)), at(4));
        assert_eq!(quotas.mutations_left(ALICE, at(1)), Some(-3.0));
    }

    #[test]
    fn the_largest_at_once_is_what_a_window_holds() {
        let mut quotas = ClientQuotas::default();
        assert_eq!(quotas.largest_at_once(QuotaType::Fetch, ALICE), None);
        quotas.define(QuotaType::Fetch, default_client_id(), Some(100.0));
        assert_eq!(quotas.largest_at_once(QuotaType::Fetch, ALICE), Some(1_000.0));
    }

    #[test]
    fn names_that_a_client_makes_up_cost_no_memory() {
        let mut quotas = ClientQuotas::default();
        quotas.define(QuotaType::Produce, default_client_id(), Some(1.0));
        for number in 0..MOST_METERS + 1_000 {
            let client = QuotaClient { user: "alice", client_id: &number.to_string() };
            quotas.record(QuotaType::Produce, client, 1.0, at(0));
        }
        assert_eq!(quotas.produce.meter_count, MOST_METERS);
        assert!(!quotas.record(QuotaType::Produce, ALICE, 1.0, at(0)).is_zero(), "the rest share a meter");
        // Once they have been silent for a window, they are forgotten.
        quotas.record(QuotaType::Produce, ALICE, 1.0, at(20));
        assert!(quotas.produce.meter_count <= 2, "{}", quotas.produce.meter_count);
    }
}
