//! A random world: producers that compete, markers that are lost, late or told twice, refused writes, restarts and time.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::request::{
    AddPartitionsRequest, ClientVersion, EndTransactionRequest, InitProducerRequest, MarkersWritten, ProducerRefusal,
};
use super::*;
use crate::clock::Clock;
use crate::ids::TopicPartition;
use crate::protocol::control_records::TransactionResult;

#[derive(Debug, Clone)]
enum Step {
    Init { client: usize, goes_on: bool },
    Add { client: usize, partition: i32 },
    End { client: usize, commits: bool },
    Deliver { message: usize, partitions: Vec<bool>, again: bool },
    Pass { seconds: u64 },
    Restart,
    RefuseNextWrite,
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS.len();
    prop_oneof![
        2 => (client(), any::<bool>()).prop_map(|(client, goes_on)| Step::Init { client, goes_on }),
        6 => (client(), 0..3).prop_map(|(client, partition)| Step::Add { client, partition }),
        4 => (client(), any::<bool>()).prop_map(|(client, commits)| Step::End { client, commits }),
        6 => (any::<usize>(), prop::collection::vec(any::<bool>(), 3), any::<bool>())
            .prop_map(|(message, partitions, again)| Step::Deliver { message, partitions, again }),
        1 => (0..100_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Restart),
        1 => Just(Step::RefuseNextWrite),
    ]
}

/// Of each transactional id two producers, which do not know of each other. `b` has few epochs left.
const CLIENTS: [(&str, ClientVersion); 4] =
    [("a", ClientVersion::One), ("a", ClientVersion::Two), ("b", ClientVersion::Two), ("b", ClientVersion::Two)];

struct World {
    machine: TransactionCoordinator,
    clock: Clock,
    log: Vec<TransactionRecord>,
    /// Whom each client believes to be.
    producers: [Option<ProducerIdAndEpoch>; 4],
    next_producer_id: i64,
    in_flight: Vec<WriteMarkers>,
    refuses_next_write: bool,
    leader_epoch: LeaderEpoch,
    /// How many transactions each id has begun.
    begun: HashMap<TransactionalId, u64>,
    outcomes: HashMap<(TransactionalId, u64), TransactionResult>,
    retired: BTreeSet<i64>,
}

fn config() -> TransactionCoordinatorConfig {
    TransactionCoordinatorConfig {
        max_timeout_ms: 60_000,
        abort_check_interval: Duration::from_secs(10),
        id_expiration: Duration::from_mins(5),
        expiry_check_interval: Duration::from_mins(1),
    }
}

impl World {
    fn new() -> Self {
        let machine = TransactionCoordinator::new(config());
        let mut world = Self {
            machine,
            clock: Clock::manual(1_000_000),
            log: Vec::new(),
            producers: [None; 4],
            next_producer_id: 100,
            in_flight: Vec::new(),
            refuses_next_write: false,
            leader_epoch: 0,
            begun: HashMap::new(),
            outcomes: HashMap::new(),
            retired: BTreeSet::new(),
        };
        let mut value = TransactionLogValue {
            producer_id: 7,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: LAST_EPOCH - 4,
            timeout_ms: 30_000,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            last_update_ms: 1_000_000,
            start_ms: -1,
            client_transaction_version: 0,
        };
        world.write(record(&"b".into(), value.clone()));
        // A log of Kafka's may end so, where it stopped at the wrong moment.
        value.producer_id = 8;
        value.state = TransactionState::PrepareAbort;
        value.start_ms = 1_000_000;
        world.machine.replay(&record(&"c".into(), value.clone()));
        world.log.push(record(&"c".into(), value));
        world.restart();
        world
    }

    fn restart(&mut self) {
        self.clock.advance(Duration::from_millis(1));
        self.leader_epoch += 1;
        self.machine = self.replayed();
        let (leader_epoch, now) = (self.leader_epoch, self.clock.now());
        self.decide(|machine, effects| machine.loaded(leader_epoch, now, effects));
    }

    /// A machine that has read the log, through its bytes.
    fn replayed(&self) -> TransactionCoordinator {
        let mut machine = TransactionCoordinator::new(config());
        for record in &self.log {
            let encoded = record.encode().unwrap();
            machine.replay(&TransactionRecord::decode(&encoded.key, encoded.value.as_deref()).unwrap().unwrap());
        }
        machine
    }

    /// Does what a runtime does; answers the response, if there is one.
    fn decide(
        &mut self,
        decide: impl FnOnce(&mut TransactionCoordinator, &mut Effects<TransactionCoordinator>),
    ) -> Option<TransactionResponse> {
        let mut effects = Effects::new();
        decide(&mut self.machine, &mut effects);
        if !effects.records.is_empty() && std::mem::take(&mut self.refuses_next_write) {
            return None;
        }
        effects.records.into_iter().for_each(|record| self.write(record));
        for message in effects.messages {
            self.check_message(&message);
            self.in_flight.push(message);
        }
        assert_eq!(self.replayed().transactions, self.machine.transactions, "a replay gives the same");
        effects.replies.pop().map(|(_, response)| response)
    }

    fn ask(&mut self, request: TransactionRequest) -> Option<TransactionResponse> {
        let now = self.clock.now();
        self.decide(|machine, effects| machine.handle(request, ReplyTo(0), now, effects))
    }

    fn write(&mut self, record: TransactionRecord) {
        let before = self.machine.transactions.get(&record.transactional_id).cloned();
        if let Some(after) = &record.value {
            self.check_transition(&record.transactional_id, before.as_ref(), after);
        } else {
            let state = before.unwrap().state;
            assert!(!is_prepared(state) && state != TransactionState::Ongoing, "{state:?} is forgotten");
        }
        self.machine.replay(&record);
        self.log.push(record);
    }

    /// No outcome without a transaction, none but one, and no producer that comes back.
    fn check_transition(
        &mut self,
        id: &TransactionalId,
        before: Option<&TransactionLogValue>,
        after: &TransactionLogValue,
    ) {
        use TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
        let state = before.map(|value| value.state);
        let is_idle = matches!(state, Some(Empty | CompleteCommit | CompleteAbort));
        let is_allowed = match after.state {
            Empty => is_idle || state.is_none(),
            Ongoing | PrepareAbort => is_idle || state == Some(Ongoing),
            PrepareCommit => state == Some(Ongoing),
            CompleteCommit => state == Some(PrepareCommit),
            CompleteAbort => state == Some(PrepareAbort),
            TransactionState::Dead | TransactionState::PrepareEpochFence => false,
        };
        assert!(is_allowed, "{id}: {state:?} -> {:?}", after.state);
        if is_idle && after.state != Empty {
            *self.begun.entry(Arc::clone(id)).or_default() += 1;
        }
        assert!(!self.retired.contains(&after.producer_id), "{id}: producer id {} is back", after.producer_id);
        let Some(before) = before else { return };
        if after.producer_id == before.producer_id {
            assert!(after.producer_epoch >= before.producer_epoch, "{id}: {before:?} -> {after:?}");
        } else {
            self.retired.insert(before.producer_id);
            assert!(before.producer_epoch >= LAST_EPOCH && after.producer_epoch == 0, "{id}: {before:?} -> {after:?}");
        }
        if is_prepared(after.state) && after.client_transaction_version == 2 {
            assert!(after.producer_epoch > before.producer_epoch || before.producer_epoch == i16::MAX);
        }
    }

    fn check_message(&mut self, message: &WriteMarkers) {
        let id = Arc::clone(&message.transactional_id);
        let value = &self.machine.transactions[&id];
        assert_eq!((value.state, producer_of(value)), (message.result.prepared(), message.producer), "{id}");
        assert_eq!(value.partitions.iter().collect::<Vec<_>>(), message.partitions.iter().collect::<Vec<_>>());
        let begun = self.begun.get(&id).copied().unwrap_or_default();
        let outcome = *self.outcomes.entry((id, begun)).or_insert(message.result);
        assert_eq!(outcome, message.result, "a transaction has one outcome");
    }

    /// Asks, once more with a producer id where that is needed.
    fn ask_with_id(&mut self, request: impl Fn(Option<i64>) -> TransactionRequest) -> Option<TransactionResponse> {
        let response = self.ask(request(None))?;
        if let TransactionResponse::InitProducer(Err(ProducerRefusal::NeedsProducerId))
        | TransactionResponse::End(Err(ProducerRefusal::NeedsProducerId)) = response
        {
            self.next_producer_id += 1;
            return self.ask(request(Some(self.next_producer_id)));
        }
        Some(response)
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Init { client, goes_on } => self.init(client, goes_on),
            Step::Add { client, partition } => self.add(client, partition),
            Step::End { client, commits } => self.end(client, commits),
            Step::Deliver { message, partitions, again } => self.deliver(message, &partitions, again),
            Step::Pass { seconds } => self.pass(Duration::from_secs(seconds)),
            Step::Restart => self.restart(),
            Step::RefuseNextWrite => self.refuses_next_write = true,
        }
    }

    fn init(&mut self, client: usize, goes_on: bool) {
        let expected = self.producers[client].filter(|_| goes_on);
        let response = self.ask_with_id(|new_producer_id| {
            TransactionRequest::InitProducer(InitProducerRequest {
                transactional_id: CLIENTS[client].0.into(),
                timeout_ms: 30_000,
                expected,
                new_producer_id,
            })
        });
        if let Some(TransactionResponse::InitProducer(Ok(producer))) = response {
            assert_eq!(producer, producer_of(&self.machine.transactions[CLIENTS[client].0]));
            self.producers[client] = Some(producer);
        }
    }

    fn asking(&self, client: usize) -> Option<TransactionalProducer> {
        let (id, version) = CLIENTS[client];
        Some(TransactionalProducer { transactional_id: id.into(), producer: self.producers[client]?, version })
    }

    fn add(&mut self, client: usize, partition: i32) {
        let Some(producer) = self.asking(client) else { return };
        let current = self.machine.transactions.get(CLIENTS[client].0).map(producer_of);
        let asking = producer.producer;
        let partitions = vec![TopicPartition::new("t", partition)];
        let request = AddPartitionsRequest { producer, partitions, verify_only: false };
        if let Some(TransactionResponse::AddPartitions(added)) = self.ask(TransactionRequest::AddPartitions(request))
            && added[0].1.is_none()
        {
            assert_eq!(Some(asking), current, "only the current producer takes part");
        }
    }

    fn end(&mut self, client: usize, commits: bool) {
        let Some(producer) = self.asking(client) else { return };
        let result = if commits { TransactionResult::Commit } else { TransactionResult::Abort };
        let before = self.machine.transactions.get(CLIENTS[client].0).cloned();
        let response = self.ask_with_id(|new_producer_id| {
            TransactionRequest::End(EndTransactionRequest { producer: producer.clone(), result, new_producer_id })
        });
        if let Some(TransactionResponse::End(Ok(next))) = response {
            let before = before.unwrap();
            let has_changed = self.machine.transactions[CLIENTS[client].0] != before;
            assert!(!has_changed || producer_of(&before) == producer.producer, "only the current producer ends it");
            assert!(has_changed || before.state == result.completed(), "a retry hears what happened");
            self.producers[client] = Some(next);
        }
    }

    fn deliver(&mut self, message: usize, partitions: &[bool], again: bool) {
        if self.in_flight.is_empty() {
            return;
        }
        let message = message % self.in_flight.len();
        let told = self.in_flight[message].clone();
        let WriteMarkers { transactional_id, marking, coordinator_epoch, partitions: all, .. } = told;
        let is_all = partitions.iter().all(|is_written| !is_written);
        let written = all.into_iter().filter(|partition| is_all || partitions[partition.partition as usize]).collect();
        if is_all && !again {
            self.in_flight.swap_remove(message);
        }
        let written = MarkersWritten { transactional_id, marking, coordinator_epoch, partitions: written };
        self.ask(TransactionRequest::MarkersWritten(written));
    }

    fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        for _ in 0..100 {
            let now = self.clock.now();
            if self.machine.next_deadline().is_none_or(|deadline| deadline > now.monotonic) {
                return;
            }
            self.decide(|machine, effects| machine.handle_timeout(now, effects));
        }
        panic!("timers without end");
    }

    /// Everything is delivered in the end.
    fn settle(&mut self) {
        self.refuses_next_write = false;
        self.restart();
        while !self.in_flight.is_empty() {
            self.deliver(0, &[false; 3], false);
        }
        self.pass(Duration::from_secs(1));
        for (id, value) in &self.machine.transactions {
            assert!(!is_prepared(value.state), "{id} is {:?} for ever", value.state);
        }
        assert!(self.machine.markings.is_empty() && self.machine.completing.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_transaction_has_one_producer_and_one_outcome(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        world.settle();
    }
}

#[test]
fn many_ids_expire_a_thousand_at_a_time() {
    let mut world = World::new();
    world.settle();
    let value = world.machine.transactions["b"].clone();
    for number in 0..2_500 {
        world.write(record(&format!("id-{number}").into(), value.clone()));
    }
    world.clock.advance(config().id_expiration);
    let mut rounds = Vec::new();
    while let Some(deadline) = world.machine.next_deadline() {
        let before = world.machine.transactions.len();
        world.clock.advance(deadline.saturating_sub(world.clock.monotonic()));
        let now = world.clock.now();
        let mut effects = Effects::new();
        world.machine.handle_timeout(now, &mut effects);
        effects.records.into_iter().for_each(|record| world.write(record));
        rounds.push(before - world.machine.transactions.len());
    }
    assert_eq!(rounds, [1_000, 1_000, 502]);
}
