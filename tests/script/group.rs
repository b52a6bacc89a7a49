//! The commands of the group coordinator's scripts.
//!
//! `<client>: <verb> <group> <arguments>` is a request. A client remembers the member id and the generation that it was
//! told, as real ones do; `member=`, `instance=` and `generation=` say otherwise (`member=none` is no id). Durations are
//! seconds. A member id's random part is the number of the join that made it: `c1#1`.
//!
//! - `join g session=10 rebalance=60 type=consumer v=9 range:t,u sticky:t` (the protocols with the topics subscribed to)
//! - `sync g c1=text c2=text` (the leader names clients, or `x=text` a member id as it is)
//! - `heartbeat g`, `leave g`, `leave g instance=i member=m ...`
//! - `commit g t/0=42 metadata=text metadata-size=5000 epoch=5 retention=9`, `fetch g t/0`, `fetch g all`,
//!   `delete-offsets g t/0`
//! - `txn-commit g t/0=42 producer=7/0` (the producer's id and epoch; otherwise as `commit`), `end commit producer=7/0 by=3`
//!   (the transaction ends, and so does `end abort`), `fetch g t/0 stable=yes`
//! - `describe g`, `list states=a,b types=a`, `delete g`, `topics-deleted t u`
//!
//! Without a client: `new max-size=2 delay=3 retention=9 check=9` is a new machine, `advance 5` lets five seconds pass,
//! `restart max-size=2` builds the machine anew from its records, `fail` makes the next write fail.
//!
//! After every command a second machine that replays the same records must describe every group that is not in a
//! rebalance as the first one does.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use klamm::clock::Clock;
use klamm::coordinator::group::request::{
    CommitOffsetsRequest, CommitTransactionalOffsetsRequest, CompleteTransaction, DeleteOffsetsRequest, DeleteRequest,
    DescribeRequest, FetchOffsetsRequest, JoinRequest, LeaveRequest, ListRequest, MemberIdentity, MemberRequest,
    OffsetToCommit, Protocol, SyncRequest,
};
use klamm::coordinator::group::response::{DescribedGroup, FetchedOffset};
use klamm::coordinator::group::{
    GroupCoordinator, GroupCoordinatorConfig, GroupRecord, GroupRequest, GroupResponse, GroupState,
};
use klamm::ids::{ProducerIdAndEpoch, TopicName, Uuid};
use klamm::protocol::ErrorCode;
use klamm::protocol::control_records::{EndTransactionMarker, TransactionResult};
use klamm::protocol::coordinator_records::CoordinatorRecord;
use klamm::state_machine::{Effects, ReplyTo, StateMachine};

use super::Execute;
use super::group_text::{START_MS, record_text, response_text, seconds_text};

const UUID_ZEROS: &str = "-00000000-0000-0000-0000-";

/// A machine with Kafka's default configuration, whose initial delay is 3 s.
fn kafkas_config() -> GroupCoordinatorConfig {
    GroupCoordinatorConfig { initial_rebalance_delay: Duration::from_secs(3), ..GroupCoordinatorConfig::default() }
}

pub(crate) fn machine() -> Execute {
    let mut script = Script::new(kafkas_config());
    Box::new(move |command| script.execute(command).join("\n"))
}

/// A machine with its log, its clock and its clients.
struct Script {
    machine: GroupCoordinator,
    config: GroupCoordinatorConfig,
    log: Vec<GroupRecord>,
    clock: Clock,
    /// Who sent each request, by its `ReplyTo`.
    requests: Vec<String>,
    /// Member id and generation by client and group.
    known: HashMap<(String, String), (String, i32)>,
    waiting: HashMap<u64, String>,
    joins: u128,
    next_write_fails: bool,
    has_failed: bool,
}

impl Script {
    fn new(config: GroupCoordinatorConfig) -> Self {
        let clock = Clock::manual(START_MS);
        let mut machine = GroupCoordinator::new(config.clone());
        machine.loaded(clock.now());
        Self {
            machine,
            config,
            log: Vec::new(),
            clock,
            requests: Vec::new(),
            known: HashMap::new(),
            waiting: HashMap::new(),
            joins: 0,
            next_write_fails: false,
            has_failed: false,
        }
    }

    /// Lets time pass, deadline by deadline.
    fn advance(&mut self, seconds: f64) -> Vec<String> {
        let end = self.clock.now().monotonic + Duration::from_secs_f64(seconds);
        let mut lines = Vec::new();
        loop {
            let due = self.machine.next_deadline().filter(|deadline| *deadline <= end);
            let now = self.clock.now().monotonic;
            self.clock.advance(due.unwrap_or(end).saturating_sub(now));
            if due.is_none() {
                return lines;
            }
            let mut effects = Effects::new();
            self.machine.handle_timeout(self.clock.now(), &mut effects);
            let happened = self.apply(effects);
            if !happened.is_empty() {
                lines.push(format!("at {}", seconds_text(self.clock.now().timestamp_ms)));
                lines.extend(happened);
            }
        }
    }

    fn restart(&mut self) {
        self.machine = self.replayed();
        self.machine.loaded(self.clock.now());
        self.waiting.clear();
    }

    /// A machine that has read the log, through its bytes.
    fn replayed(&self) -> GroupCoordinator {
        let mut machine = GroupCoordinator::new(self.config.clone());
        for record in &self.log {
            if let GroupRecord::Plain(plain) | GroupRecord::Transactional { record: plain, .. } = record {
                let encoded = plain.encode().unwrap();
                let decoded = CoordinatorRecord::decode(&encoded.key, encoded.value.as_deref()).unwrap().unwrap();
                assert_eq!(&decoded, plain);
            }
            machine.replay(record);
        }
        machine
    }

    fn request(&mut self, client: &str, request: GroupRequest) -> Vec<String> {
        let reply_to = self.requests.len() as u64;
        let group = match &request {
            GroupRequest::Join(request) => request.group_id.to_string(),
            _ => String::new(),
        };
        self.requests.push(format!("{client} {group}"));
        self.waiting.insert(reply_to, client.to_owned());
        let mut effects = Effects::new();
        self.machine.handle(request, ReplyTo(reply_to), self.clock.now(), &mut effects);
        self.apply(effects)
    }

    /// Does what a runtime does: writes, replays, answers.
    fn apply(&mut self, effects: Effects<GroupCoordinator>) -> Vec<String> {
        let fails = !effects.records.is_empty() && std::mem::take(&mut self.next_write_fails);
        let mut lines = Vec::new();
        for record in effects.records.into_iter().filter(|_| !fails) {
            self.machine.replay(&record);
            lines.push(record_text(&record));
            self.log.push(record);
        }
        for (reply_to, response) in effects.replies {
            // Every request is answered once.
            let client = self.waiting.remove(&reply_to.0).unwrap();
            if fails {
                lines.push(format!("{client} <- the write failed"));
            } else {
                self.remember(&client, reply_to, &response);
                lines.push(format!("{client} <- {}", response_text(&response)));
            }
        }
        self.has_failed |= fails;
        if !self.has_failed {
            self.check_replay();
        }
        lines.into_iter().map(|line| shorten(&line)).collect()
    }

    fn remember(&mut self, client: &str, reply_to: ReplyTo, response: &GroupResponse) {
        let GroupResponse::Join(response) = response else { return };
        let group = self.requests[reply_to.0 as usize].split_once(' ').unwrap().1;
        let known = (client.to_owned(), group.to_owned());
        match response.error {
            None | Some(ErrorCode::MemberIdRequired) => {
                self.known.insert(known, (response.member_id.to_string(), response.generation_id));
            }
            Some(ErrorCode::UnknownMemberId) => {
                self.known.remove(&known);
            }
            Some(_) => {}
        }
    }

    fn check_replay(&mut self) {
        let mut other = self.replayed();
        for group in list(&mut self.machine) {
            let described = describe(&mut self.machine, &group);
            if matches!(described.as_ref().map(|group| group.state), Some(GroupState::Stable | GroupState::Empty)) {
                assert_eq!(describe(&mut other, &group), described, "{group} after a replay");
            }
            assert_eq!(fetch_all(&mut other, &group), fetch_all(&mut self.machine, &group), "{group} after a replay");
        }
    }
}

impl Script {
    fn execute(&mut self, command: &str) -> Vec<String> {
        if let Some((client, request)) = command.split_once(": ") {
            let arguments = Arguments::parse(client, request);
            let request = self.parse_request(&arguments);
            return self.request(client, request);
        }
        let arguments = Arguments::parse("", command);
        match arguments.verb.as_str() {
            "new" => *self = Self::new(config(&arguments, &kafkas_config())),
            "advance" => return self.advance(arguments.words[0].parse().unwrap()),
            "restart" => {
                self.config = config(&arguments, &self.config);
                self.restart();
            }
            "fail" => self.next_write_fails = true,
            _ => panic!("not a command: {command}"),
        }
        Vec::new()
    }
}

/// One command taken apart: `verb word key=value ...`.
struct Arguments {
    client: String,
    verb: String,
    words: Vec<String>,
    named: Vec<(String, String)>,
}

impl Arguments {
    fn parse(client: &str, text: &str) -> Self {
        let mut parts = text.split(' ').filter(|part| !part.is_empty()).map(expand);
        let verb = parts.next().unwrap();
        let (mut words, mut named) = (Vec::new(), Vec::new());
        for part in parts {
            match part.split_once('=') {
                Some((key, value)) => named.push((key.to_owned(), value.to_owned())),
                None => words.push(part),
            }
        }
        Self { client: client.to_owned(), verb, words, named }
    }

    fn named(&self, key: &str) -> Option<&str> {
        self.named.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.named(key).map(|value| value.parse().ok().unwrap_or_else(|| panic!("{key}={value}")))
    }

    fn group_id(&self) -> Arc<str> {
        match self.words.first().map(String::as_str) {
            Some("none") | None => "".into(),
            Some(group) => group.into(),
        }
    }

    /// `t/0` or `t/0=42`, gathered by topic.
    fn partitions<T>(&self, each: impl Fn(i32, Option<&str>) -> T) -> Vec<(TopicName, Vec<T>)> {
        let words = self.words.iter().skip(1).map(|word| (word, None));
        let named = self.named.iter().map(|(key, value)| (key, Some(value.as_str())));
        let mut topics: Vec<(TopicName, Vec<T>)> = Vec::new();
        for (key, value) in words.chain(named) {
            let Some((topic, partition)) = key.split_once('/') else { continue };
            let item = each(partition.parse().unwrap(), value);
            match topics.iter_mut().find(|(name, _)| **name == *topic) {
                Some((_, items)) => items.push(item),
                None => topics.push((topic.into(), vec![item])),
            }
        }
        topics
    }
}

impl Script {
    fn parse_request(&mut self, arguments: &Arguments) -> GroupRequest {
        let group_id = arguments.group_id();
        match arguments.verb.as_str() {
            "join" => GroupRequest::Join(self.join(arguments)),
            "sync" => GroupRequest::Sync(self.sync(arguments)),
            "heartbeat" => GroupRequest::Heartbeat(self.member(arguments)),
            "leave" => GroupRequest::Leave(LeaveRequest { group_id, members: self.leaving(arguments) }),
            "commit" => GroupRequest::CommitOffsets(self.commit(arguments)),
            "fetch" => {
                let all = arguments.words.get(1).is_some_and(|word| word == "all");
                let topics = (!all).then(|| arguments.partitions(|partition, _| partition));
                let require_stable = arguments.named("stable").is_some();
                GroupRequest::FetchOffsets(FetchOffsetsRequest { group_id, topics, require_stable })
            }
            "txn-commit" => {
                let CommitOffsetsRequest { member, topics, .. } = self.commit(arguments);
                let producer = producer(arguments);
                GroupRequest::CommitTransactionalOffsets(CommitTransactionalOffsetsRequest { producer, member, topics })
            }
            "end" => GroupRequest::CompleteTransaction(complete(arguments)),
            "delete-offsets" => {
                let topics = arguments.partitions(|partition, _| partition);
                GroupRequest::DeleteOffsets(DeleteOffsetsRequest { group_id, topics })
            }
            "describe" => GroupRequest::Describe(DescribeRequest { group_id }),
            "delete" => GroupRequest::Delete(DeleteRequest { group_id }),
            "list" => {
                let filter = |key| arguments.named(key).unwrap_or_default().split_terminator(',').map(str::to_owned);
                GroupRequest::List(ListRequest { states: filter("states").collect(), types: filter("types").collect() })
            }
            "topics-deleted" => {
                let topics = arguments.words.iter().map(|topic| topic.as_str().into());
                GroupRequest::TopicsDeleted { topics: topics.collect() }
            }
            verb => panic!("not a request: {verb}"),
        }
    }

    fn known(&self, client: &str, group: &str) -> Option<&(String, i32)> {
        self.known.get(&(client.to_owned(), group.to_owned()))
    }

    fn member(&self, arguments: &Arguments) -> MemberRequest {
        let group_id = arguments.group_id();
        let known = self.known(&arguments.client, &group_id).cloned().unwrap_or((String::new(), -1));
        let member_id = match arguments.named("member") {
            Some("none") => String::new(),
            Some(member_id) => member_id.to_owned(),
            None => known.0,
        };
        MemberRequest {
            group_id,
            member_id: member_id.into(),
            group_instance_id: arguments.named("instance").map(Arc::from),
            generation_id: arguments.number("generation").unwrap_or(known.1),
        }
    }

    fn join(&mut self, arguments: &Arguments) -> JoinRequest {
        self.joins += 1;
        let member = self.member(arguments);
        let version: i16 = arguments.number("v").unwrap_or(9);
        let milliseconds =
            |key, default: f64| (arguments.number::<f64>(key).unwrap_or(default) * 1_000.0).round() as i32;
        let mut protocols: Vec<Protocol> = arguments.words.iter().skip(1).filter_map(|word| protocol(word)).collect();
        if let Some(bytes) = arguments.number("metadata-size") {
            protocols = vec![Protocol { name: "range".into(), metadata: vec![0; bytes].into() }];
        }
        if protocols.is_empty() && arguments.named("protocols") != Some("none") {
            protocols.extend(protocol("range:t"));
        }
        JoinRequest {
            group_id: member.group_id,
            member_id: member.member_id,
            group_instance_id: member.group_instance_id,
            client_id: arguments.client.as_str().into(),
            client_host: "/127.0.0.1".into(),
            session_timeout_ms: milliseconds("session", 10.0),
            rebalance_timeout_ms: milliseconds("rebalance", 60.0),
            protocol_type: arguments.named("type").unwrap_or("consumer").into(),
            protocols,
            new_member_uuid: Uuid::from_u128(self.joins),
            requires_known_member_id: version >= 4,
            supports_skipping_assignment: version >= 9,
        }
    }

    fn sync(&self, arguments: &Arguments) -> SyncRequest {
        let member = self.member(arguments);
        let reserved = ["member", "instance", "generation", "type", "protocol"];
        let assignments = arguments.named.iter().filter(|(key, _)| !reserved.contains(&key.as_str()));
        let assignments = assignments.map(|(key, value)| {
            let member_id = self.known(key, &member.group_id).map_or(key, |(member_id, _)| member_id);
            (member_id.as_str().into(), Bytes::from(value.clone()))
        });
        SyncRequest {
            assignments: assignments.collect(),
            protocol_type: arguments.named("type").map(Arc::from),
            protocol_name: arguments.named("protocol").map(Arc::from),
            member,
        }
    }

    /// Every `member=` and `instance=` is one member; without them the client itself leaves.
    fn leaving(&self, arguments: &Arguments) -> Vec<MemberIdentity> {
        let identity = |(key, value): &(String, String)| match key.as_str() {
            "instance" => MemberIdentity { member_id: "".into(), group_instance_id: Some(value.as_str().into()) },
            _ => MemberIdentity { member_id: value.as_str().into(), group_instance_id: None },
        };
        if arguments.named.is_empty() {
            let member_id = self.member(arguments).member_id;
            return vec![MemberIdentity { member_id, group_instance_id: None }];
        }
        arguments.named.iter().map(identity).collect()
    }

    fn commit(&self, arguments: &Arguments) -> CommitOffsetsRequest {
        let metadata = match arguments.number("metadata-size") {
            Some(size) => "m".repeat(size),
            None => arguments.named("metadata").unwrap_or_default().to_owned(),
        };
        let topics = arguments.partitions(|partition, offset| OffsetToCommit {
            partition,
            offset: offset.unwrap().parse().unwrap(),
            leader_epoch: arguments.number("epoch").unwrap_or(-1),
            metadata: metadata.as_str().into(),
        });
        let retention_ms = arguments.number::<i64>("retention").map(|seconds| seconds * 1_000);
        CommitOffsetsRequest { member: self.member(arguments), retention_ms, topics }
    }
}

/// `producer=7/0`: its id and epoch.
fn producer(arguments: &Arguments) -> ProducerIdAndEpoch {
    let (id, epoch) = arguments.named("producer").unwrap_or("7/0").split_once('/').unwrap();
    ProducerIdAndEpoch { producer_id: id.parse().unwrap(), producer_epoch: epoch.parse().unwrap() }
}

fn complete(arguments: &Arguments) -> CompleteTransaction {
    let result = match arguments.words[0].as_str() {
        "commit" => TransactionResult::Commit,
        "abort" => TransactionResult::Abort,
        word => panic!("no way to end a transaction: {word}"),
    };
    let coordinator_epoch = arguments.number("by").unwrap_or(0);
    CompleteTransaction { producer: producer(arguments), marker: EndTransactionMarker { result, coordinator_epoch } }
}

/// The configuration of `new` and `restart`, where it differs from `default`.
fn config(arguments: &Arguments, default: &GroupCoordinatorConfig) -> GroupCoordinatorConfig {
    let seconds = |key, default| arguments.number(key).map_or(default, Duration::from_secs_f64);
    GroupCoordinatorConfig {
        initial_rebalance_delay: seconds("delay", default.initial_rebalance_delay),
        max_size: arguments.number("max-size").unwrap_or(default.max_size),
        offsets_retention: seconds("retention", default.offsets_retention),
        offsets_retention_check_interval: seconds("check", default.offsets_retention_check_interval),
        ..default.clone()
    }
}

/// `range:t,u` as a protocol with a consumer's subscription.
fn protocol(word: &str) -> Option<Protocol> {
    let (name, topics) = word.split_once(':')?;
    let topics: Vec<&str> = topics.split_terminator(',').collect();
    let mut metadata = 0i16.to_be_bytes().to_vec();
    metadata.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        metadata.extend((topic.len() as i16).to_be_bytes());
        metadata.extend(topic.as_bytes());
    }
    metadata.extend((-1i32).to_be_bytes());
    Some(Protocol { name: name.into(), metadata: metadata.into() })
}

fn ask(machine: &mut GroupCoordinator, request: GroupRequest) -> GroupResponse {
    let mut effects = Effects::new();
    machine.handle(request, ReplyTo(0), Clock::manual(START_MS).now(), &mut effects);
    effects.replies.remove(0).1
}

fn list(machine: &mut GroupCoordinator) -> Vec<Arc<str>> {
    let GroupResponse::List(groups) = ask(machine, GroupRequest::List(ListRequest::default())) else { unreachable!() };
    groups.into_iter().map(|group| group.group_id).collect()
}

fn describe(machine: &mut GroupCoordinator, group_id: &Arc<str>) -> Option<DescribedGroup> {
    let request = GroupRequest::Describe(DescribeRequest { group_id: Arc::clone(group_id) });
    let GroupResponse::Describe(described) = ask(machine, request) else { unreachable!() };
    described
}

fn fetch_all(machine: &mut GroupCoordinator, group_id: &Arc<str>) -> Vec<(TopicName, Vec<FetchedOffset>)> {
    let request = FetchOffsetsRequest { group_id: Arc::clone(group_id), topics: None, require_stable: true };
    let GroupResponse::FetchOffsets(offsets) = ask(machine, GroupRequest::FetchOffsets(request)) else {
        unreachable!()
    };
    offsets
}

/// `c1#1` for `c1-00000000-0000-0000-0000-000000000001`.
fn shorten(line: &str) -> String {
    let mut parts = line.split(UUID_ZEROS);
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(12);
        write!(text, "#{:x}{rest}", u64::from_str_radix(digits, 16).unwrap()).unwrap();
    }
    text
}

/// The other way round.
fn expand(word: &str) -> String {
    match word.split_once('#') {
        Some((prefix, number)) => format!("{prefix}{UUID_ZEROS}{number:0>12}"),
        None => word.to_owned(),
    }
}
