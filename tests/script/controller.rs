//! The controller told in lines: `register`, `heartbeat`, `gone`, `pass`, `fail-over`, `state`, `fence`, `create`, `delete`,
//! `grow`, `producer-ids`, `alter`, `lead`, `elect` and `reassign`.
//!
//! Ids are numbers: topics count from 1 in the order of creation requests. Records are given first, then the answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use klamm::clock::{Monotonic, Now};
use klamm::controller::{
    AllocateProducerIds, AlterPartition, AlterPartitionReassignments, BrokerHeartbeat, BrokerIsGone, Controller,
    ControllerRequest, ControllerResponse, ControllerSettings, CreatePartitions, CreateTopics, DeleteTopics,
    ElectLeaders, ElectionType, HeartbeatAnswer, MutationQuota, NewPartitions, NewTopic, PartitionAlteration,
    PartitionAssignment, Refusal, RegisterBroker, TopicReassignment, TopicToDelete, UnregisterBroker,
};
use klamm::ids::{NO_TOPIC_ID, Uuid};
use klamm::metadata::{
    BrokerRecord, LeaderRecoveryState, MetadataImage, MetadataRecord, PartitionChange, PartitionImage, TopicRecord,
};
use klamm::state_machine::{Effects, ReplyTo, StateMachine};

use super::controller_records::tell_record;
use super::{Execute, controller_admin as admin};

struct Script {
    controller: Controller,
    /// What the log would have made.
    image: MetadataImage,
    now_ms: i64,
    topics: u128,
}

pub(crate) fn machine() -> Execute {
    let image = MetadataImage::default();
    let controller = Controller::new(&image, OWN_NODE, ControllerSettings::default());
    let mut script = Script { controller, image, now_ms: 0, topics: 0 };
    Box::new(move |line| script.execute(line))
}

/// The broker in the controller's process.
const OWN_NODE: i32 = 1;

/// The words of a line: those with a `=` by their key, the others in order.
struct Words<'a> {
    plain: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let (named, plain): (Vec<_>, Vec<_>) = line.split_whitespace().partition(|word| word.contains('='));
        Self { plain, named: named.into_iter().filter_map(|word| word.split_once('=')).collect() }
    }

    fn number<N: std::str::FromStr>(&self, key: &str, default: N) -> N {
        self.named.get(key).map_or(default, |value| value.parse().ok().unwrap())
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }
}

impl Script {
    fn execute(&mut self, line: &str) -> String {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = Words::of(rest);
        let request = match command {
            "register" => return self.register(&words),
            "heartbeat" => heartbeat(&words),
            "gone" => ControllerRequest::BrokerIsGone(BrokerIsGone {
                broker_id: words.number("broker", -1),
                broker_epoch: words.number("epoch", -1),
                is_replaced: words.has("replaced"),
            }),
            "pass" => return self.pass(words.number("ms", 0)),
            "fail-over" => {
                self.controller =
                    Controller::new(&self.image, words.number("to", OWN_NODE), ControllerSettings::default());
                return "ok".to_owned();
            }
            "state" => return self.tell_partitions(),
            "create" => self.create(rest),
            "delete" => delete(&words),
            "grow" => grow(&words),
            "producer-ids" => ControllerRequest::AllocateProducerIds(AllocateProducerIds {
                broker_id: words.number("broker", -1),
                broker_epoch: words.number("epoch", -1),
            }),
            "alter" => alter(&words),
            "elect" => elect(&words),
            "reassign" => reassign(&words),
            "unregister" => ControllerRequest::UnregisterBroker(UnregisterBroker { id: words.number("broker", -1) }),
            "configs" | "replace-configs" | "quotas" | "scram" | "features" => admin::request(command, rest),
            "fence" => {
                let (id, epoch) = (words.number("broker", -1), words.number("epoch", -1));
                let change = BrokerRecord::BrokerChange { id, epoch, fenced: true, in_controlled_shutdown: false };
                self.replay(&change.into());
                return "ok".to_owned();
            }
            "lead" => {
                // A failure of brokers, which the controller does not decide on so far.
                let (topic_id, partition) = (Uuid::from_u128(words.number("topic", 0)), words.number("partition", 0));
                let (isr, leader) = (words.named.get("isr").map(|isr| numbers(isr)), Some(words.number("leader", -1)));
                let change = PartitionChange { isr, leader, ..PartitionChange::default() };
                self.replay(&TopicRecord::PartitionChange { topic_id, partition, change }.into());
                return "ok".to_owned();
            }
            _ => panic!("unknown command {command}"),
        };
        self.submit(request)
    }

    /// `register broker=n [rack=r] [run=n] [previous=epoch] [dirs=1,2] [cluster=c] [fenced]`; without the last word, the
    /// broker then asks not to be fenced.
    fn register(&mut self, words: &Words<'_>) -> String {
        let mut output = self.submit(register(words));
        let id = words.number("broker", -1);
        let broker = self.image.broker(id).filter(|broker| broker.fenced && !words.has("fenced"));
        if let Some(broker_epoch) = broker.map(|broker| broker.epoch) {
            let (current_metadata_offset, wants_fence, wants_shutdown) = (0, false, false);
            let heartbeat =
                BrokerHeartbeat { broker_id: id, broker_epoch, current_metadata_offset, wants_fence, wants_shutdown };
            output.push('\n');
            output.push_str(&self.submit(ControllerRequest::BrokerHeartbeat(heartbeat)));
        }
        output
    }

    fn now(&self) -> Now {
        let monotonic = Monotonic::from_millis(self.now_ms.unsigned_abs());
        Now { timestamp_ms: self.now_ms, monotonic }
    }

    fn replay(&mut self, record: &MetadataRecord) {
        self.controller.replay(record);
        self.image.replay(record).unwrap();
    }

    fn take_in(&mut self, effects: &Effects<Controller>) -> String {
        let mut output = String::new();
        for record in &effects.records {
            self.replay(record);
            let _ = writeln!(output, "+ {}", tell_record(record));
        }
        output
    }

    /// Lets time pass, and the controller do whatever becomes due.
    fn pass(&mut self, ms: i64) -> String {
        let end = self.now_ms + ms;
        let mut output = String::new();
        while let Some(deadline) = self.controller.next_deadline() {
            let deadline = i64::try_from(deadline.as_millis()).unwrap();
            if deadline > end {
                break;
            }
            self.now_ms = self.now_ms.max(deadline);
            let mut effects = Effects::new();
            self.controller.handle_timeout(self.now(), &mut effects);
            let told = self.take_in(&effects);
            if !told.is_empty() {
                let _ = write!(output, "at {}:\n{told}", self.now_ms);
            }
        }
        self.now_ms = end;
        if output.is_empty() { "nothing".to_owned() } else { output }
    }

    fn tell_partitions(&self) -> String {
        let mut output = String::new();
        for topic in self.image.topics() {
            for (index, state) in topic.partitions.iter().enumerate() {
                let _ = writeln!(output, "{}-{index}: {}", topic.name, tell_state(state));
            }
        }
        output
    }

    fn submit(&mut self, request: ControllerRequest) -> String {
        let mut effects = Effects::new();
        self.controller.handle(request, ReplyTo(1), self.now(), &mut effects);
        let mut output = self.take_in(&effects);
        for (_, response) in &effects.replies {
            output.push_str(&tell_response(response));
        }
        output
    }

    /// `create <name> [partitions=n] [rf=n] [assign=1,2;2,1] [config:<key>=<value>] [bad-config] [+ ...] [validate]
    /// [quota=n]`
    fn create(&mut self, line: &str) -> ControllerRequest {
        let all = Words::of(line);
        let topics = line.split('+').map(|topic| {
            self.topics += 1;
            new_topic(&Words::of(topic), self.topics)
        });
        ControllerRequest::CreateTopics(CreateTopics {
            topics: topics.collect(),
            validate_only: all.has("validate"),
            default_partitions: 2,
            default_replication_factor: 1,
            seed: all.number("seed", 0),
            quota: quota(&all),
        })
    }
}

/// `quota=N`: so many partitions are left.
fn quota(words: &Words<'_>) -> MutationQuota {
    let left = words.named.contains_key("quota").then(|| words.number::<i32>("quota", 0));
    left.map_or_else(MutationQuota::default, |left| MutationQuota::strict(f64::from(left)))
}

fn new_topic(words: &Words<'_>, id: u128) -> NewTopic {
    let named = words.named.iter();
    let configs = named.filter_map(|(key, value)| Some((key.strip_prefix("config:")?.to_owned(), (*value).to_owned())));
    let invalid = Refusal::new(klamm::protocol::ErrorCode::InvalidConfig, "Unknown topic config name: bad");
    NewTopic {
        name: words.plain.first().map_or("", |name| name.trim_matches('\'')).into(),
        id: Uuid::from_u128(id),
        partitions: words.number("partitions", -1),
        replication_factor: words.number("rf", -1),
        assignments: (0..)
            .zip(lists(words))
            .map(|(partition, brokers)| PartitionAssignment { partition: partition + words.number("from", 0), brokers })
            .collect(),
        configs: if words.has("bad-config") { Err(invalid) } else { Ok(configs.collect()) },
    }
}

fn lists(words: &Words<'_>) -> Vec<Vec<i32>> {
    let assign = words.named.get("assign").copied().unwrap_or_default();
    assign.split_terminator(';').map(numbers).collect()
}

fn numbers(list: &str) -> Vec<i32> {
    list.split_terminator(',').map(|id| id.parse().unwrap()).collect()
}

fn register(words: &Words<'_>) -> ControllerRequest {
    ControllerRequest::RegisterBroker(RegisterBroker {
        id: words.number("broker", -1),
        cluster_id: words.named.get("cluster").copied().unwrap_or("c1").into(),
        incarnation: Uuid::from_u128(words.number("run", 1)),
        listeners: Vec::new(),
        rack: words.named.get("rack").map(|rack| (*rack).into()),
        log_dirs: match words.named.get("dirs") {
            Some(dirs) => numbers(dirs).into_iter().map(|id| Uuid::from_u128(id as u128)).collect(),
            None => vec![Uuid::from_u128(1_000 + words.number::<u128>("broker", 0))],
        },
        previous_broker_epoch: words.number("previous", -1),
    })
}

/// `heartbeat broker=n epoch=n [fence] [shutdown]`
fn heartbeat(words: &Words<'_>) -> ControllerRequest {
    ControllerRequest::BrokerHeartbeat(BrokerHeartbeat {
        broker_id: words.number("broker", -1),
        broker_epoch: words.number("epoch", -1),
        current_metadata_offset: 0,
        wants_fence: words.has("fence"),
        wants_shutdown: words.has("shutdown"),
    })
}

fn delete(words: &Words<'_>) -> ControllerRequest {
    let by_name = words.plain.iter().map(|name| TopicToDelete { name: Some((*name).into()), id: NO_TOPIC_ID });
    let ids = numbers(words.named.get("ids").copied().unwrap_or_default());
    let by_id = ids.into_iter().map(|id| TopicToDelete { name: None, id: Uuid::from_u128(id as u128) });
    ControllerRequest::DeleteTopics(DeleteTopics { topics: by_name.chain(by_id).collect(), quota: quota(words) })
}

fn grow(words: &Words<'_>) -> ControllerRequest {
    let topics = words.plain.iter().filter(|word| **word != "validate");
    let topics = topics.map(|name| NewPartitions {
        name: (*name).into(),
        count: words.number("to", 0),
        assignments: words.named.contains_key("assign").then(|| lists(words)),
    });
    ControllerRequest::CreatePartitions(CreatePartitions {
        topics: topics.collect(),
        validate_only: words.has("validate"),
        seed: 0,
        quota: quota(words),
    })
}

fn alter(words: &Words<'_>) -> ControllerRequest {
    ControllerRequest::AlterPartition(AlterPartition {
        broker_id: words.number("broker", -1),
        broker_epoch: words.number("epoch", -1),
        partitions: vec![PartitionAlteration {
            topic_id: Uuid::from_u128(words.number("topic", 0)),
            partition: words.number("partition", 0),
            leader_epoch: words.number("leader-epoch", 0),
            partition_epoch: words.number("partition-epoch", 0),
            new_isr: numbers(words.named.get("isr").copied().unwrap_or_default())
                .into_iter()
                .map(|id| (id, words.number("seen-epoch", -1)))
                .collect(),
            leader_recovery_state: if words.has("recovering") {
                LeaderRecoveryState::Recovering
            } else {
                LeaderRecoveryState::Recovered
            },
        }],
    })
}

/// `elect [<topic>-<partition> ...] [all] [unclean]`
fn elect(words: &Words<'_>) -> ControllerRequest {
    let partitions = words.plain.iter().filter_map(|word| word.rsplit_once('-'));
    let topics = partitions.map(|(name, partition)| (name.into(), numbers(partition)));
    ControllerRequest::ElectLeaders(ElectLeaders {
        election: if words.has("unclean") { ElectionType::Unclean } else { ElectionType::Preferred },
        topics: (!words.has("all")).then(|| topics.collect()),
    })
}

/// `reassign [<topic>-<partition> ...] [assign=<brokers>;...] [same-factor]`; without brokers, it is cancelled.
fn reassign(words: &Words<'_>) -> ControllerRequest {
    let partitions = words.plain.iter().filter_map(|word| word.rsplit_once('-')).filter(|(name, _)| *name != "same");
    let replicas = lists(words).into_iter().map(Some).chain(std::iter::repeat(None));
    let topics = partitions.zip(replicas).map(|((name, partition), replicas)| TopicReassignment {
        name: name.into(),
        partitions: vec![(partition.parse().unwrap(), replicas)],
    });
    ControllerRequest::AlterPartitionReassignments(AlterPartitionReassignments {
        topics: topics.collect(),
        allow_replication_factor_change: !words.has("same-factor"),
    })
}

pub(super) fn tell_state(state: &PartitionImage) -> String {
    let PartitionImage { replicas, isr, leader, leader_epoch, partition_epoch, .. } = state;
    let mut told = format!("replicas={replicas:?} isr={isr:?} leader={leader} epochs={leader_epoch},{partition_epoch}");
    if !state.elr.is_empty() {
        let _ = write!(told, " elr={:?}", state.elr);
    }
    if !state.last_known_elr.is_empty() {
        let _ = write!(told, " last-known={:?}", state.last_known_elr);
    }
    if state.leader_recovery_state != LeaderRecoveryState::Recovered {
        let _ = write!(told, " {:?}", state.leader_recovery_state);
    }
    told
}

fn tell_response(response: &ControllerResponse) -> String {
    let lines: Vec<String> = match response {
        ControllerResponse::BrokerUnregistered(_)
        | ControllerResponse::ConfigsAltered(_)
        | ControllerResponse::ClientQuotasAltered(_)
        | ControllerResponse::UserScramCredentialsAltered(_)
        | ControllerResponse::FeaturesUpdated(_) => admin::tell_response(response),
        ControllerResponse::BrokerHeartbeatAnswered(answer) => {
            vec![answer.as_ref().map_or_else(tell_refusal, |answer| tell_heartbeat(*answer))]
        }
        ControllerResponse::GoneBrokerFenced(is_fenced) => {
            vec![if *is_fenced { "fenced" } else { "later" }.to_owned()]
        }
        ControllerResponse::BrokerRegistered(Ok(epoch)) => vec![format!("epoch {epoch}")],
        ControllerResponse::BrokerRegistered(Err(refusal)) | ControllerResponse::LeadersElected(Err(refusal)) => {
            vec![tell_refusal(refusal)]
        }
        ControllerResponse::TopicsCreated(topics) => topics
            .iter()
            .map(|topic| match &topic.result {
                Ok(ok) => format!(
                    "{}: id {}, {} partitions of {}, configs {:?}",
                    topic.name,
                    ok.id.as_u128(),
                    ok.partitions,
                    ok.replication_factor,
                    ok.configs
                ),
                Err(refusal) => format!("{}: {}", topic.name, tell_refusal(refusal)),
            })
            .collect(),
        ControllerResponse::TopicsDeleted(topics) => topics
            .iter()
            .map(|topic| {
                let result = topic.result.as_ref().map_or_else(tell_refusal, |()| "deleted".to_owned());
                format!("{:?} {}: {result}", topic.name, topic.id.as_u128())
            })
            .collect(),
        ControllerResponse::PartitionsCreated(topics) => topics
            .iter()
            .map(|topic| {
                format!("{}: {}", topic.name, topic.result.as_ref().map_or_else(tell_refusal, |()| "grown".to_owned()))
            })
            .collect(),
        ControllerResponse::ProducerIdsAllocated(block) => vec![format!("{block:?}")],
        ControllerResponse::LeadersElected(Ok(topics)) => {
            topics.iter().flat_map(|topic| tell_partitions(&topic.name, &topic.partitions, "elected")).collect()
        }
        ControllerResponse::PartitionsReassigned(topics) => {
            topics.iter().flat_map(|topic| tell_partitions(&topic.name, &topic.partitions, "as it was")).collect()
        }
        ControllerResponse::PartitionsAltered(Err(code)) => vec![format!("{code:?}")],
        ControllerResponse::PartitionsAltered(Ok(partitions)) => partitions
            .iter()
            .map(|altered| altered.result.as_ref().map_or_else(|code| format!("{code:?}"), tell_state))
            .collect(),
    };
    lines.join("\n")
}

pub(super) fn tell_refusal(refusal: &Refusal) -> String {
    format!("{:?}: {}", refusal.code, refusal.message)
}

fn tell_heartbeat(answer: HeartbeatAnswer) -> String {
    let told =
        [(answer.is_caught_up, "caught up"), (answer.is_fenced, "fenced"), (answer.should_shut_down, "shut down")];
    told.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

fn tell_partitions(topic: &str, partitions: &[(i32, Result<(), Refusal>)], good: &str) -> Vec<String> {
    let result = |result: &Result<(), Refusal>| result.as_ref().map_or_else(tell_refusal, |()| good.to_owned());
    partitions.iter().map(|(partition, outcome)| format!("{topic}-{partition}: {}", result(outcome))).collect()
}
