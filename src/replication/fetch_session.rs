//! Incremental fetch sessions (KIP-227): a consumer names its partitions once, and then only what changed travels.
//!
//! Pure: a request is resolved by [`FetchSessionCache::begin`], the fetch is done elsewhere, and
//! [`FetchSessionCache::finish`] says which partitions the answer carries.

use std::time::Duration;

use indexmap::IndexMap;

use crate::clock::Monotonic;
use crate::ids::{LeaderEpoch, TopicName, Uuid};
use crate::protocol::ErrorCode;

/// The session id that stands for "no session".
pub const NO_SESSION: i32 = 0;

/// The epoch that asks for a new session.
const INITIAL_EPOCH: i32 = 0;

/// The epoch that asks for no session, and closes the one that is named.
const FINAL_EPOCH: i32 = -1;

/// How a request names a topic: by id from Fetch v13 on, by name before (KIP-516).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicRef {
    /// The topic's name.
    Name(TopicName),
    /// The topic's id.
    Id(Uuid),
}

/// One partition as a request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionRef {
    /// The topic.
    pub topic: TopicRef,
    /// The partition's index.
    pub partition: i32,
}

/// What to fetch from one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFetch {
    /// The first offset wanted.
    pub fetch_offset: i64,
    /// At most this many bytes of records.
    pub max_bytes: i32,
    /// The leader epoch that the client believes in; -1 if it does not say.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record that the client has; -1 if it does not say (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
    /// The first offset of a follower's log; -1 for a consumer.
    pub log_start_offset: i64,
}

/// A request's session part.
#[derive(Debug)]
pub struct SessionRequest {
    /// The session to go on with, or [`NO_SESSION`].
    pub session_id: i32,
    /// The session's next epoch; 0 begins a new session, -1 asks for none.
    pub epoch: i32,
    /// Partitions to add or change.
    pub partitions: Vec<(PartitionRef, PartitionFetch)>,
    /// Partitions to drop from the session.
    pub forgotten: Vec<PartitionRef>,
    /// Whether topics are named by id.
    pub uses_topic_ids: bool,
}

/// One partition of a resolved request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextPartition {
    /// The partition, as the request or its session names it.
    pub key: PartitionRef,
    /// What to fetch from it.
    pub fetch: PartitionFetch,
    /// The name that the session knows for the topic's id, also when the topic is gone meanwhile; `None` for a topic that
    /// is named by name, that was never known, or outside a session.
    pub topic_name: Option<TopicName>,
}

/// A resolved request: what to fetch, and what kind of answer is due.
#[derive(Debug)]
pub struct FetchContext {
    kind: ContextKind,
    uses_topic_ids: bool,
    /// Every partition to fetch, in the order in which they are to be served and answered.
    pub partitions: Vec<ContextPartition>,
}

impl FetchContext {
    /// The session that the request belongs to, or [`NO_SESSION`]: also where it would have begun one.
    pub fn session_id(&self) -> i32 {
        match self.kind {
            ContextKind::Sessionless | ContextKind::Full => NO_SESSION,
            ContextKind::Incremental { session_id } => session_id,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContextKind {
    Sessionless,
    Full,
    Incremental { session_id: i32 },
}

/// What came of one partition's fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchOutcome {
    /// The high watermark, or -1.
    pub high_watermark: i64,
    /// The log start offset, or -1.
    pub log_start_offset: i64,
    /// Whether there is anything that the client must see at once: records, an error, a divergence.
    pub has_news: bool,
    /// Whether there are records.
    pub has_records: bool,
}

/// The session part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionAnswer {
    /// The session to go on with, or [`NO_SESSION`].
    pub session_id: i32,
    /// For each partition of the context, whether the answer carries it.
    pub included: Vec<bool>,
}

#[derive(Debug)]
struct CachedPartition {
    fetch: PartitionFetch,
    topic_name: Option<TopicName>,
    high_watermark: i64,
    log_start_offset: i64,
}

#[derive(Debug)]
struct FetchSession {
    epoch: i32,
    uses_topic_ids: bool,
    created: Monotonic,
    last_used: Monotonic,
    partitions: IndexMap<PartitionRef, CachedPartition>,
}

/// Every session of a broker, at most `slots` of them.
#[derive(Debug)]
pub struct FetchSessionCache {
    sessions: IndexMap<i32, FetchSession>,
    slots: usize,
    eviction_after: Duration,
}

impl FetchSessionCache {
    /// A cache of at most `slots` sessions (`max.incremental.fetch.session.cache.slots`), in which a session that is
    /// younger than `eviction_after`, or was used within it, is only given up for nothing
    /// (`min.incremental.fetch.session.eviction.ms`).
    pub fn new(slots: usize, eviction_after: Duration) -> Self {
        Self { sessions: IndexMap::new(), slots, eviction_after }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Resolves a request to the partitions it means. `topic_name` is what the metadata of this moment calls an id.
    ///
    /// Errors: [`ErrorCode::FetchSessionIdNotFound`], [`ErrorCode::InvalidFetchSessionEpoch`],
    /// [`ErrorCode::FetchSessionTopicIdError`].
    pub fn begin(
        &mut self,
        request: SessionRequest,
        topic_name: impl Fn(Uuid) -> Option<TopicName>,
        now: Monotonic,
    ) -> Result<FetchContext, ErrorCode> {
        let SessionRequest { session_id, epoch, partitions, forgotten, uses_topic_ids } = request;
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            self.sessions.swap_remove(&session_id);
            let kind = if epoch == FINAL_EPOCH { ContextKind::Sessionless } else { ContextKind::Full };
            let partitions = partitions.into_iter().map(|(key, fetch)| {
                let topic_name = if kind == ContextKind::Full { name_of(&key.topic, &topic_name) } else { None };
                ContextPartition { key, fetch, topic_name }
            });
            return Ok(FetchContext { kind, uses_topic_ids, partitions: partitions.collect() });
        }
        let session = self.sessions.get_mut(&session_id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.uses_topic_ids != uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        session.update(partitions, &forgotten, now);
        if session.partitions.is_empty() {
            self.sessions.swap_remove(&session_id);
            return Ok(FetchContext { kind: ContextKind::Sessionless, uses_topic_ids, partitions: Vec::new() });
        }
        let partitions = session.partitions.iter_mut().map(|(key, cached)| {
            if cached.topic_name.is_none() {
                cached.topic_name = name_of(&key.topic, &topic_name);
            }
            ContextPartition { key: key.clone(), fetch: cached.fetch, topic_name: cached.topic_name.clone() }
        });
        Ok(FetchContext {
            kind: ContextKind::Incremental { session_id },
            uses_topic_ids,
            partitions: partitions.collect(),
        })
    }

    /// Decides what the answer carries, given the outcome of each of the context's partitions in order. A new session
    /// gets the first free id from `fresh_id` upwards, which the caller draws at random.
    pub fn finish(
        &mut self,
        context: &FetchContext,
        outcomes: &[FetchOutcome],
        fresh_id: impl FnOnce() -> i32,
        now: Monotonic,
    ) -> SessionAnswer {
        match context.kind {
            ContextKind::Sessionless => SessionAnswer { session_id: NO_SESSION, included: vec![true; outcomes.len()] },
            ContextKind::Full => SessionAnswer {
                session_id: self.create(context, outcomes, fresh_id(), now),
                included: vec![true; outcomes.len()],
            },
            ContextKind::Incremental { session_id } => {
                let included = match self.sessions.get_mut(&session_id) {
                    Some(session) => session.note_outcomes(&context.partitions, outcomes),
                    // The session was given up meanwhile; the client learns of it with its next request.
                    None => vec![true; outcomes.len()],
                };
                SessionAnswer { session_id, included }
            }
        }
    }

    fn create(&mut self, context: &FetchContext, outcomes: &[FetchOutcome], fresh_id: i32, now: Monotonic) -> i32 {
        if !self.make_room(context.partitions.len(), now) {
            return NO_SESSION;
        }
        let mut session_id = fresh_id.saturating_abs().max(1);
        while self.sessions.contains_key(&session_id) {
            session_id = session_id.checked_add(1).unwrap_or(1);
        }
        let partitions = context
            .partitions
            .iter()
            .zip(outcomes)
            .map(|(ContextPartition { key, fetch, topic_name }, outcome)| {
                let cached = CachedPartition {
                    fetch: *fetch,
                    topic_name: topic_name.clone(),
                    high_watermark: outcome.high_watermark,
                    log_start_offset: outcome.log_start_offset,
                };
                (key.clone(), cached)
            })
            .collect();
        let session = FetchSession {
            epoch: INITIAL_EPOCH + 1,
            uses_topic_ids: context.uses_topic_ids,
            created: now,
            last_used: now,
            partitions,
        };
        self.sessions.insert(session_id, session);
        session_id
    }

    /// Frees a slot if need be: from a session unused for long, else from a smaller one that has had its time.
    fn make_room(&mut self, size: usize, now: Monotonic) -> bool {
        if self.sessions.len() < self.slots {
            return true;
        }
        let Some((&stalest, session)) = self.sessions.iter().min_by_key(|(_, session)| session.last_used) else {
            return false;
        };
        if now.saturating_sub(session.last_used) > self.eviction_after {
            self.sessions.swap_remove(&stalest);
            return true;
        }
        let smallest = self
            .sessions
            .iter()
            .filter(|(_, session)| now.saturating_sub(session.created) > self.eviction_after)
            .min_by_key(|(_, session)| session.partitions.len())
            .map(|(&id, session)| (id, session.partitions.len()));
        match smallest {
            Some((id, partitions)) if partitions < size => {
                self.sessions.swap_remove(&id);
                true
            }
            _ => false,
        }
    }
}

impl FetchSession {
    fn update(&mut self, partitions: Vec<(PartitionRef, PartitionFetch)>, forgotten: &[PartitionRef], now: Monotonic) {
        for (key, fetch) in partitions {
            // Impossible values, so that the first answer carries the partition.
            let unanswered = || CachedPartition { fetch, topic_name: None, high_watermark: -1, log_start_offset: -1 };
            self.partitions.entry(key).or_insert_with(unanswered).fetch = fetch;
        }
        for key in forgotten {
            self.partitions.shift_remove(key);
        }
        self.epoch = self.epoch.checked_add(1).unwrap_or(INITIAL_EPOCH + 1);
        self.last_used = now;
    }

    /// Partitions that had records go to the end of the order, so that a busy one cannot starve the rest.
    fn note_outcomes(&mut self, partitions: &[ContextPartition], outcomes: &[FetchOutcome]) -> Vec<bool> {
        let mut included = Vec::with_capacity(outcomes.len());
        for (ContextPartition { key, .. }, outcome) in partitions.iter().zip(outcomes) {
            let Some(cached) = self.partitions.get_mut(key) else {
                included.push(outcome.has_news);
                continue;
            };
            let changed =
                cached.high_watermark != outcome.high_watermark || cached.log_start_offset != outcome.log_start_offset;
            cached.high_watermark = outcome.high_watermark;
            cached.log_start_offset = outcome.log_start_offset;
            included.push(outcome.has_news || changed);
            if outcome.has_records
                && partitions.len() > 1
                && let Some((key, cached)) = self.partitions.shift_remove_entry(key)
            {
                self.partitions.insert(key, cached);
            }
        }
        included
    }
}

fn name_of(topic: &TopicRef, topic_name: impl Fn(Uuid) -> Option<TopicName>) -> Option<TopicName> {
    match topic {
        TopicRef::Name(_) => None,
        TopicRef::Id(id) => topic_name(*id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Duration::ZERO;

    fn key(partition: i32) -> PartitionRef {
        PartitionRef { topic: TopicRef::Name("orders".into()), partition }
    }

    fn fetch(fetch_offset: i64) -> PartitionFetch {
        PartitionFetch {
            fetch_offset,
            max_bytes: 1024,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            log_start_offset: -1,
        }
    }

    fn in_context(partition: i32, fetch_offset: i64) -> ContextPartition {
        ContextPartition { key: key(partition), fetch: fetch(fetch_offset), topic_name: None }
    }

    /// Metadata without topics.
    fn no_name(_id: Uuid) -> Option<TopicName> {
        None
    }

    fn quiet(high_watermark: i64) -> FetchOutcome {
        FetchOutcome { high_watermark, log_start_offset: 0, has_news: false, has_records: false }
    }

    fn records(high_watermark: i64) -> FetchOutcome {
        FetchOutcome { has_news: true, has_records: true, ..quiet(high_watermark) }
    }

    fn request(session_id: i32, epoch: i32, partitions: &[i32]) -> SessionRequest {
        SessionRequest {
            session_id,
            epoch,
            partitions: partitions.iter().map(|&partition| (key(partition), fetch(0))).collect(),
            forgotten: Vec::new(),
            uses_topic_ids: false,
        }
    }

    fn open(cache: &mut FetchSessionCache, partitions: &[i32], fresh_id: i32, now: Monotonic) -> i32 {
        let context = cache.begin(request(NO_SESSION, 0, partitions), no_name, now).expect("begins");
        let outcomes = vec![quiet(0); partitions.len()];
        cache.finish(&context, &outcomes, || fresh_id, now).session_id
    }

    #[test]
    fn an_incremental_answer_carries_only_what_changed() {
        let mut cache = FetchSessionCache::new(10, Duration::from_mins(2));
        let id = open(&mut cache, &[0, 1, 2], 7, START);
        assert_eq!(id, 7);
        let context = cache.begin(request(id, 1, &[]), no_name, START).expect("goes on");
        assert_eq!(context.partitions.len(), 3);
        let answer = cache.finish(&context, &[records(5), quiet(0), quiet(3)], || 9, START);
        assert_eq!(answer, SessionAnswer { session_id: 7, included: vec![true, false, true] });
        let context = cache.begin(request(id, 2, &[]), no_name, START).expect("goes on");
        let order: Vec<i32> = context.partitions.iter().map(|partition| partition.key.partition).collect();
        assert_eq!(order, vec![1, 2, 0], "the partition that had records is served last");
    }

    #[test]
    fn partitions_are_added_changed_and_forgotten() {
        let mut cache = FetchSessionCache::new(10, Duration::from_mins(2));
        let id = open(&mut cache, &[0, 1], 7, START);
        let mut change = request(id, 1, &[2]);
        change.partitions.push((key(1), fetch(40)));
        change.forgotten.push(key(0));
        let context = cache.begin(change, no_name, START).expect("goes on");
        assert_eq!(context.partitions, vec![in_context(1, 40), in_context(2, 0)]);
        let answer = cache.finish(&context, &[quiet(0), quiet(0)], || 9, START);
        assert_eq!(answer.included, vec![false, true], "a new partition is carried once");
        let mut last = request(id, 2, &[]);
        last.forgotten = vec![key(1), key(2)];
        assert!(cache.begin(last, no_name, START).expect("goes on").partitions.is_empty());
        assert!(cache.is_empty(), "an empty session is closed");
    }

    #[test]
    fn wrong_ids_and_epochs_are_refused() {
        let mut cache = FetchSessionCache::new(10, Duration::from_mins(2));
        let id = open(&mut cache, &[0], 7, START);
        let refused = |result: Result<FetchContext, ErrorCode>| result.map(|_| ()).expect_err("is refused");
        assert_eq!(refused(cache.begin(request(99, 1, &[]), no_name, START)), ErrorCode::FetchSessionIdNotFound);
        assert_eq!(refused(cache.begin(request(id, 5, &[]), no_name, START)), ErrorCode::InvalidFetchSessionEpoch);
        let by_id = SessionRequest { uses_topic_ids: true, ..request(id, 1, &[]) };
        assert_eq!(refused(cache.begin(by_id, no_name, START)), ErrorCode::FetchSessionTopicIdError);
        cache.begin(request(id, -1, &[0]), no_name, START).expect("closes");
        assert_eq!(refused(cache.begin(request(id, 1, &[]), no_name, START)), ErrorCode::FetchSessionIdNotFound);
    }

    #[test]
    fn the_cache_is_bounded_and_gives_up_stale_or_smaller_sessions_only() {
        let mut cache = FetchSessionCache::new(2, Duration::from_mins(2));
        let first = open(&mut cache, &[0], 7, START);
        let second = open(&mut cache, &[0, 1], 7, START);
        assert_eq!((first, second), (7, 8), "a taken id is stepped over");
        assert_eq!(open(&mut cache, &[0, 1, 2], 20, Duration::from_mins(1)), NO_SESSION);
        cache.begin(request(second, 1, &[]), no_name, Duration::from_secs(100)).expect("goes on");
        assert_eq!(open(&mut cache, &[0], 20, Duration::from_secs(121)), 20, "the first was stale");
        assert_eq!(cache.len(), 2);
    }

    /// As in Kafka, a session goes on to know a topic by the name that it had for its id, also when the topic is gone.
    #[test]
    fn a_session_remembers_the_names_of_ids() {
        let (old, young) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let by_id = |session_id, epoch, ids: &[Uuid]| SessionRequest {
            partitions: ids
                .iter()
                .map(|&id| (PartitionRef { topic: TopicRef::Id(id), partition: 0 }, fetch(0)))
                .collect(),
            uses_topic_ids: true,
            ..request(session_id, epoch, &[])
        };
        let only = |known: Uuid| move |id: Uuid| (id == known).then(|| TopicName::from("orders"));
        let names = |context: &FetchContext| -> Vec<Option<TopicName>> {
            context.partitions.iter().map(|partition| partition.topic_name.clone()).collect()
        };
        let mut cache = FetchSessionCache::new(10, Duration::from_mins(2));
        let context = cache.begin(by_id(NO_SESSION, 0, &[old, young]), only(old), START).expect("begins");
        let outcomes = [quiet(0), quiet(-1)];
        let id = cache.finish(&context, &outcomes, || 7, START).session_id;
        let context = cache.begin(by_id(id, 1, &[]), no_name, START).expect("goes on");
        assert_eq!(names(&context), [Some("orders".into()), None], "the first topic is gone");
        let context = cache.begin(by_id(id, 2, &[]), only(young), START).expect("goes on");
        assert_eq!(names(&context), [Some("orders".into()), Some("orders".into())], "and the second has come");
        let context = cache.begin(by_id(id, -1, &[old]), only(old), START).expect("closes");
        assert_eq!(names(&context), [None], "there is no session to remember it");
    }

    /// As in Kafka: a consumer may name its partitions later.
    #[test]
    fn a_session_may_begin_empty() {
        let mut cache = FetchSessionCache::new(10, Duration::from_mins(2));
        let id = open(&mut cache, &[], 7, START);
        assert_eq!(id, 7);
        let context = cache.begin(request(id, 1, &[3]), no_name, START).expect("goes on");
        assert_eq!(context.partitions, [in_context(3, 0)]);
    }
}
