//! A random world: members that come, go, fall silent and take each other's place, refused writes, restarts and time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::request::{
    CommitOffsetsRequest, CommitTransactionalOffsetsRequest, CompleteTransaction, FetchOffsetsRequest, JoinRequest,
    MemberIdentity, OffsetToCommit, Protocol,
};
use super::response::{JoinResponse, JoinedMember};
use super::*;
use crate::clock::Clock;
use crate::ids::{ProducerIdAndEpoch, Uuid};
use crate::protocol::control_records::{EndTransactionMarker, TransactionResult};

const GROUP: &str = "g";
const SESSION_TIMEOUT_MS: i32 = 10_000;

/// The `group.instance.id` of each client: the last two do not know of each other.
const CLIENTS: [Option<&str>; 5] = [None, None, Some("one"), Some("two"), Some("two")];

#[derive(Debug, Clone, Copy)]
enum Step {
    Join {
        client: usize,
        has_changed: bool,
    },
    Sync {
        client: usize,
    },
    Heartbeat {
        client: usize,
    },
    Leave {
        client: usize,
    },
    Commit {
        client: usize,
        partition: i32,
        offset: i64,
    },
    /// A producer's, which is no member of the group.
    CommitInTransaction {
        producer_id: i64,
        partition: i32,
        offset: i64,
    },
    EndTransaction {
        producer_id: i64,
        result: TransactionResult,
    },
    Forget {
        client: usize,
    },
    Pass {
        milliseconds: u64,
    },
    Restart,
    RefuseNextWrite,
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS.len();
    prop_oneof![
        8 => (client(), prop::bool::weighted(0.2)).prop_map(|(client, has_changed)| Step::Join { client, has_changed }),
        8 => client().prop_map(|client| Step::Sync { client }),
        4 => client().prop_map(|client| Step::Heartbeat { client }),
        1 => client().prop_map(|client| Step::Leave { client }),
        4 => (client(), 0..3, 0..100_i64)
            .prop_map(|(client, partition, offset)| Step::Commit { client, partition, offset }),
        4 => (1..4_i64, 0..3, 0..100_i64).prop_map(|(producer_id, partition, offset)| {
            Step::CommitInTransaction { producer_id, partition, offset }
        }),
        2 => (1..4_i64, prop_oneof![Just(TransactionResult::Commit), Just(TransactionResult::Abort)])
            .prop_map(|(producer_id, result)| Step::EndTransaction { producer_id, result }),
        1 => client().prop_map(|client| Step::Forget { client }),
        4 => (0..6_000_u64).prop_map(|milliseconds| Step::Pass { milliseconds }),
        1 => Just(Step::Restart),
        1 => Just(Step::RefuseNextWrite),
    ]
}

/// A member as it sees itself.
#[derive(Debug, Clone)]
struct Client {
    member_id: String,
    generation: i32,
    /// Everyone, if it leads this generation.
    members: Vec<JoinedMember>,
    has_synced: bool,
    /// How often it has changed what it subscribes to.
    changes: u8,
    /// Its request that is not answered.
    waits: Option<ReplyTo>,
    is_fenced: bool,
}

impl Client {
    fn new(changes: u8) -> Self {
        let member_id = String::new();
        Self {
            member_id,
            generation: -1,
            members: Vec::new(),
            has_synced: false,
            changes,
            waits: None,
            is_fenced: false,
        }
    }
}

/// What was written of offsets, in the order of the log; what is seen follows from it alone.
#[derive(Debug, Clone, Copy)]
enum Written {
    Plain { partition: i32, offset: i64 },
    Pending { producer_id: i64, partition: i32, offset: i64 },
    Ended { producer_id: i64, result: TransactionResult },
}

/// The offset of each partition, which is that of the last commit that counts, and the partitions that are not stable.
fn seen(log: &[Written]) -> (BTreeMap<i32, i64>, BTreeSet<i32>) {
    let (mut offsets, mut unstable) = (BTreeMap::new(), BTreeSet::new());
    for (index, written) in log.iter().enumerate() {
        match *written {
            Written::Plain { partition, offset } => drop(offsets.insert(partition, offset)),
            Written::Pending { producer_id, partition, offset } => {
                let end = log[index..].iter().find_map(|later| match *later {
                    Written::Ended { producer_id: ended, result } if ended == producer_id => Some(result),
                    _ => None,
                });
                match end {
                    Some(TransactionResult::Commit) => drop(offsets.insert(partition, offset)),
                    Some(TransactionResult::Abort) => {}
                    None => drop(unstable.insert(partition)),
                }
            }
            Written::Ended { .. } => {}
        }
    }
    (offsets, unstable)
}

struct World {
    machine: GroupCoordinator,
    clock: Clock,
    log: Vec<GroupRecord>,
    clients: [Client; 5],
    /// Requests that are not answered, and the client that waits; of producers nobody need know.
    pending: HashMap<ReplyTo, Option<usize>>,
    next_reply_to: u64,
    refuses_next_write: bool,
    written: Vec<Written>,
    /// What each place in a generation was told as its assignment.
    assigned: HashMap<(i32, String), Bytes>,
    next_assignment: u64,
}

fn config() -> GroupCoordinatorConfig {
    GroupCoordinatorConfig { min_session_timeout_ms: 1, ..GroupCoordinatorConfig::default() }
}

/// Whose place it is that a member takes: a static member keeps its own under every id.
fn place(member_id: &str, group_instance_id: Option<&str>) -> String {
    group_instance_id.unwrap_or(member_id).to_owned()
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            machine: GroupCoordinator::new(config()),
            clock: Clock::manual(1_000_000),
            log: Vec::new(),
            clients: std::array::from_fn(|_| Client::new(0)),
            pending: HashMap::new(),
            next_reply_to: 0,
            refuses_next_write: false,
            written: Vec::new(),
            assigned: HashMap::new(),
            next_assignment: 0,
        };
        world.restart();
        world
    }

    /// A machine that has read the log, through its bytes.
    fn replayed(&self) -> GroupCoordinator {
        let mut machine = GroupCoordinator::new(config());
        for record in &self.log {
            let read = |record: &CoordinatorRecord| {
                let encoded = record.encode().unwrap();
                CoordinatorRecord::decode(&encoded.key, encoded.value.as_deref()).unwrap().unwrap()
            };
            machine.replay(&match record {
                GroupRecord::Plain(record) => read(record).into(),
                GroupRecord::Transactional { producer, record } => {
                    GroupRecord::Transactional { producer: *producer, record: read(record) }
                }
                ended @ GroupRecord::TransactionEnded { .. } => ended.clone(),
            });
        }
        machine
    }

    /// Nobody who waits is ever answered by the next machine.
    fn restart(&mut self) {
        self.machine = self.replayed();
        self.machine.loaded(self.clock.now());
        self.pending.clear();
        self.clients.iter_mut().for_each(|client| client.waits = None);
        self.check();
    }

    /// Does what a runtime does.
    fn decide(&mut self, decide: impl FnOnce(&mut GroupCoordinator, &mut Effects<GroupCoordinator>)) {
        let mut effects = Effects::new();
        decide(&mut self.machine, &mut effects);
        let is_refused = !effects.records.is_empty() && std::mem::take(&mut self.refuses_next_write);
        if !is_refused {
            for record in effects.records {
                self.note(&record);
                self.machine.replay(&record);
                self.log.push(record);
            }
        }
        for (reply_to, response) in effects.replies {
            let client = self.pending.remove(&reply_to).expect("every request is answered once");
            let Some(client) = client else { continue };
            let is_awaited = self.clients[client].waits == Some(reply_to);
            if is_awaited {
                self.clients[client].waits = None;
            }
            if is_awaited && !is_refused {
                self.hear(client, response);
            }
        }
        self.check();
    }

    /// Takes down what is said of offsets.
    fn note(&mut self, record: &GroupRecord) {
        let of_commit = |record: &CoordinatorRecord| match record {
            CoordinatorRecord::OffsetCommit { key, value: Some(value) } => Some((key.partition, value.offset)),
            _ => None,
        };
        let written = match record {
            GroupRecord::Plain(record) => {
                of_commit(record).map(|(partition, offset)| Written::Plain { partition, offset })
            }
            GroupRecord::Transactional { producer, record } => of_commit(record)
                .map(|(partition, offset)| Written::Pending { producer_id: producer.producer_id, partition, offset }),
            GroupRecord::TransactionEnded { producer, marker } => {
                Some(Written::Ended { producer_id: producer.producer_id, result: marker.result })
            }
        };
        self.written.extend(written);
    }

    fn ask(&mut self, client: usize, request: GroupRequest) {
        self.clients[client].waits = Some(ReplyTo(self.next_reply_to));
        self.ask_as(Some(client), request);
    }

    fn ask_as(&mut self, client: Option<usize>, request: GroupRequest) {
        let (now, reply_to) = (self.clock.now(), ReplyTo(self.next_reply_to));
        self.next_reply_to += 1;
        self.pending.insert(reply_to, client);
        self.decide(|machine, effects| machine.handle(request, reply_to, now, effects));
    }

    fn hear(&mut self, client: usize, response: GroupResponse) {
        match response {
            GroupResponse::Join(JoinResponse { error: None, generation_id, leader, member_id, members, .. }) => {
                assert!(members.is_empty() || leader == member_id, "only the leader hears who the members are");
                assert_eq!(generation_id, self.group().generation);
                let client = &mut self.clients[client];
                client.member_id = member_id.to_string();
                (client.generation, client.members, client.has_synced) = (generation_id, members, false);
            }
            GroupResponse::Join(JoinResponse { error: Some(ErrorCode::MemberIdRequired), member_id, .. }) => {
                self.clients[client].member_id = member_id.to_string();
            }
            GroupResponse::Sync(Ok(sync)) => self.hear_assignment(client, &sync.assignment),
            GroupResponse::Heartbeat(Ok(())) => self.check_is_member(client),
            GroupResponse::Join(JoinResponse { error: Some(code), .. })
            | GroupResponse::Sync(Err(code))
            | GroupResponse::Heartbeat(Err(code))
            | GroupResponse::CommitOffsets(Err(code)) => self.fail(client, code),
            GroupResponse::CommitOffsets(Ok(results)) => {
                assert!(results.iter().flat_map(|(_, partitions)| partitions).all(|(_, error)| error.is_none()));
                // A client that is no member may commit where there are none.
                if self.clients[client].generation >= 0 || self.group().state != GroupState::Empty {
                    self.check_is_member(client);
                }
            }
            GroupResponse::Leave(results) => assert_eq!(results.len(), 1),
            other => panic!("{other:?}"),
        }
    }

    /// Nobody gets what is meant for another member or generation, or two assignments in one generation.
    fn hear_assignment(&mut self, client: usize, assignment: &Bytes) {
        self.check_is_member(client);
        let asking = &mut self.clients[client];
        asking.has_synced = true;
        let key = (asking.generation, place(&asking.member_id, CLIENTS[client]));
        let prefix = format!("{}/{}/", key.0, key.1);
        assert!(assignment.is_empty() || assignment.starts_with(prefix.as_bytes()), "{assignment:?} to {prefix}");
        let known = self.assigned.entry(key).or_insert_with(|| assignment.clone());
        assert_eq!(known, assignment);
    }

    /// What only a member may do in the current generation was done.
    fn check_is_member(&self, client: usize) {
        let Client { member_id, generation, .. } = &self.clients[client];
        assert_eq!(*generation, self.group().generation, "an older generation");
        assert!(self.group().members.contains_key(&**member_id), "no member");
    }

    /// Does what clients do about an error.
    fn fail(&mut self, client: usize, code: ErrorCode) {
        let client = &mut self.clients[client];
        client.generation = -1;
        match code {
            ErrorCode::UnknownMemberId => client.member_id.clear(),
            ErrorCode::FencedInstanceId => client.is_fenced = true,
            ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress | ErrorCode::GroupIdNotFound => {}
            other => panic!("{other:?}"),
        }
    }

    fn group(&self) -> &ClassicGroup {
        &self.machine.groups[GROUP]
    }

    /// What holds at every moment.
    fn check(&mut self) {
        let replayed = self.replayed();
        let Some(group) = self.machine.groups.get(GROUP) else {
            assert!(self.pending.is_empty() && !replayed.groups.contains_key(GROUP));
            return;
        };
        let awaiting =
            group.members.values().flat_map(|member| member.awaiting_join.iter().chain(&member.awaiting_sync));
        let awaiting: Vec<_> = awaiting.copied().collect();
        assert_eq!(awaiting.iter().collect::<HashSet<_>>(), self.pending.keys().collect(), "who waits is remembered");
        assert_eq!(awaiting.len(), self.pending.len(), "once");
        assert_eq!(group.leader.is_some() && !group.members.is_empty(), !group.members.is_empty());
        let leader_is_member = group.leader.as_ref().is_none_or(|leader| group.members.contains_key(leader));
        match group.state {
            GroupState::Empty => assert!(group.members.is_empty() && awaiting.is_empty()),
            GroupState::PreparingRebalance => {}
            GroupState::CompletingRebalance => {
                assert!(leader_is_member && group.members.values().all(|member| member.awaiting_join.is_none()));
            }
            GroupState::Stable => {
                assert!(leader_is_member && awaiting.is_empty());
                let recorded = &replayed.groups[GROUP];
                let hard = |group: &ClassicGroup| {
                    let members = group.members.iter();
                    let members: Vec<_> = members.map(|(id, member)| (id.clone(), member.assignment.clone())).collect();
                    (group.generation, group.leader.clone(), group.protocol_name.clone(), members)
                };
                assert_eq!(hard(recorded), hard(group), "a stable group survives a restart");
            }
            GroupState::Dead => panic!("a group of this machine is dead"),
        }
        let told = |machine: &GroupCoordinator, require_stable| {
            let request = FetchOffsetsRequest { group_id: GROUP.into(), topics: None, require_stable };
            machine.fetch_offsets(&request).into_iter().flat_map(|(_, offsets)| offsets).collect::<Vec<_>>()
        };
        let (offsets, unstable) = seen(&self.written);
        for machine in [&self.machine, &replayed] {
            let found = told(machine, false);
            let found: BTreeMap<_, _> = found.iter().map(|fetched| (fetched.partition, fetched.offset)).collect();
            assert_eq!(found, offsets, "{:?}", self.written);
            for fetched in told(machine, true) {
                assert_eq!(fetched.is_unstable, unstable.contains(&fetched.partition), "{:?}", self.written);
            }
        }
    }

    fn member(&self, client: usize) -> MemberRequest {
        let Client { member_id, generation, .. } = &self.clients[client];
        MemberRequest {
            group_id: GROUP.into(),
            member_id: member_id.as_str().into(),
            group_instance_id: CLIENTS[client].map(Arc::from),
            generation_id: *generation,
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Join { client, has_changed } => {
                self.clients[client].changes += u8::from(has_changed);
                self.join(client);
            }
            Step::Sync { client } => self.sync(client),
            Step::Heartbeat { client } => self.ask(client, GroupRequest::Heartbeat(self.member(client))),
            Step::Leave { client } => self.leave(client),
            Step::Commit { client, partition, offset } => self.commit(client, partition, offset),
            Step::CommitInTransaction { producer_id, partition, offset } => {
                self.commit_in_transaction(producer_id, partition, offset);
            }
            Step::EndTransaction { producer_id, result } => {
                let producer = ProducerIdAndEpoch { producer_id, producer_epoch: 0 };
                let marker = EndTransactionMarker { result, coordinator_epoch: 0 };
                self.ask_as(None, GroupRequest::CompleteTransaction(CompleteTransaction { producer, marker }));
            }
            // A client that was restarted: nobody hears the answer to what it has asked.
            Step::Forget { client } => {
                let changes = self.clients[client].changes;
                self.clients[client] = Client::new(changes);
            }
            Step::Pass { milliseconds } => self.pass(Duration::from_millis(milliseconds)),
            Step::Restart => self.restart(),
            Step::RefuseNextWrite => self.refuses_next_write = true,
        }
    }

    fn join(&mut self, client: usize) {
        let asking = &self.clients[client];
        let metadata = Bytes::copy_from_slice(&[asking.changes]);
        let request = JoinRequest {
            group_id: GROUP.into(),
            member_id: asking.member_id.as_str().into(),
            group_instance_id: CLIENTS[client].map(Arc::from),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: SESSION_TIMEOUT_MS,
            protocol_type: "test".into(),
            protocols: vec![Protocol { name: "p".into(), metadata }],
            new_member_uuid: Uuid::from_u128(self.next_reply_to.into()),
            requires_known_member_id: true,
            supports_skipping_assignment: true,
        };
        self.ask(client, GroupRequest::Join(request));
    }

    fn sync(&mut self, client: usize) {
        let asking = &self.clients[client];
        let generation = asking.generation;
        let assignments = asking.members.iter().map(|member| {
            self.next_assignment += 1;
            let place = place(&member.member_id, member.group_instance_id.as_deref());
            let assignment = format!("{generation}/{place}/{}", self.next_assignment);
            (Arc::clone(&member.member_id), Bytes::from(assignment))
        });
        let assignments = assignments.collect();
        let request = SyncRequest {
            member: self.member(client),
            protocol_type: Some("test".into()),
            protocol_name: Some("p".into()),
            assignments,
        };
        self.ask(client, GroupRequest::Sync(request));
    }

    fn leave(&mut self, client: usize) {
        let member = self.member(client);
        let identity = MemberIdentity { member_id: member.member_id, group_instance_id: member.group_instance_id };
        self.ask(client, GroupRequest::Leave(LeaveRequest { group_id: GROUP.into(), members: vec![identity] }));
        self.run(Step::Forget { client });
    }

    fn commit(&mut self, client: usize, partition: i32, offset: i64) {
        let member = self.member(client);
        let commit = OffsetToCommit { partition, offset, leader_epoch: -1, metadata: "".into() };
        let topics = vec![("t".into(), vec![commit])];
        self.ask(client, GroupRequest::CommitOffsets(CommitOffsetsRequest { member, retention_ms: None, topics }));
    }

    fn commit_in_transaction(&mut self, producer_id: i64, partition: i32, offset: i64) {
        let nobody =
            MemberRequest { group_id: GROUP.into(), member_id: "".into(), group_instance_id: None, generation_id: -1 };
        let commit = OffsetToCommit { partition, offset, leader_epoch: -1, metadata: "".into() };
        let request = CommitTransactionalOffsetsRequest {
            producer: ProducerIdAndEpoch { producer_id, producer_epoch: 0 },
            member: nobody,
            topics: vec![("t".into(), vec![commit])],
        };
        self.ask_as(None, GroupRequest::CommitTransactionalOffsets(request));
    }

    /// Lets every timer run at its own time.
    fn pass(&mut self, time: Duration) {
        let end = self.clock.monotonic() + time;
        for _ in 0..1_000 {
            let due = self.machine.next_deadline().filter(|deadline| *deadline <= end);
            self.clock.advance(due.unwrap_or(end).saturating_sub(self.clock.monotonic()));
            if due.is_none() {
                return;
            }
            let now = self.clock.now();
            self.decide(|machine, effects| machine.handle_timeout(now, effects));
        }
        panic!("timers without end");
    }

    /// Clients that do what clients do come together in the end.
    fn settle(&mut self) {
        self.refuses_next_write = false;
        for _ in 0..120 {
            for client in 0..CLIENTS.len() {
                match &self.clients[client] {
                    Client { is_fenced: true, .. } | Client { waits: Some(_), .. } => {}
                    Client { member_id, generation, .. } if member_id.is_empty() || *generation < 0 => {
                        self.join(client);
                    }
                    Client { has_synced: false, .. } => self.sync(client),
                    _ => self.run(Step::Heartbeat { client }),
                }
            }
            if self.is_settled() {
                return;
            }
            self.pass(Duration::from_secs(1));
        }
        panic!("{:?} {:?}", self.group(), self.clients);
    }

    /// Whether all who live are members of one stable generation, and nobody else is.
    fn is_settled(&self) -> bool {
        let Some(group) = self.machine.groups.get(GROUP) else { return false };
        let mut living = self.clients.iter().filter(|client| !client.is_fenced);
        group.state == GroupState::Stable
            && group.members.len() == living.clone().count()
            && living.all(|client| client.has_synced && client.generation == group.generation)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn members_agree_and_come_together_in_the_end(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        world.settle();
    }
}
