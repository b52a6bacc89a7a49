//! The commands of the transaction coordinator's scripts.
//!
//! `<client>: <verb> <transactional id> <arguments>` is a request. A client remembers the producer id and epoch that it
//! was told, as real ones do; `as=100/3` says otherwise. It goes about transactions in version 2; `v=1` says otherwise.
//! Durations are seconds. Fresh producer ids are 101, 102 ...
//!
//! - `init x timeout=60` (a new producer), `init x goes-on`
//! - `add x t/0 t/1`, `verify x t/0`, `offsets x 7` (the partition of `__consumer_offsets`)
//! - `commit x`, `abort x`
//! - `markers x t/0` (those that were told last are written there; everywhere, if none is named; `nth=0`: those that were
//!   told first)
//! - `describe x`, `list states=Ongoing,Empty producers=101 longer=5 pattern=^x$`
//!
//! Without a client: `advance 5` lets five seconds pass, `restart` builds the machine anew from its records in a newer
//! leader epoch, `fail` makes the next write fail, `epoch x 32766` writes a record as if the id had had so many epochs,
//! `new` is a new machine.
//!
//! After every command a second machine that replays the same records must know the same of every id.

use std::collections::HashMap;
use std::time::Duration;

use klamm::clock::Clock;
use klamm::coordinator::transaction::request::{
    AddOffsetsRequest, AddPartitionsRequest, ClientVersion, DescribeTransactionRequest, EndTransactionRequest,
    InitProducerRequest, ListTransactions, MarkersWritten, ProducerRefusal, TransactionalId, TransactionalProducer,
    WriteMarkers,
};
use klamm::coordinator::transaction::{
    TransactionCoordinator, TransactionCoordinatorConfig, TransactionRequest, TransactionResponse,
};
use klamm::ids::{GROUP_METADATA_TOPIC, ProducerIdAndEpoch, TopicPartition};
use klamm::protocol::control_records::TransactionResult;
use klamm::protocol::transaction_records::{TransactionRecord, TransactionState};
use klamm::state_machine::{Effects, ReplyTo, StateMachine};

use super::Execute;
use super::group_text::{START_MS, seconds_text};
use super::transaction_text::{markers_text, record_text, response_text};

/// Kafka's defaults.
const CONFIG: TransactionCoordinatorConfig = TransactionCoordinatorConfig {
    max_timeout_ms: 900_000,
    abort_check_interval: Duration::from_secs(10),
    id_expiration: Duration::from_hours(7 * 24),
    expiry_check_interval: Duration::from_hours(1),
};

pub(crate) fn machine() -> Execute {
    let mut script = Script::new();
    Box::new(move |command| script.execute(command).join("\n"))
}

/// A machine with its log, its clock and its clients.
struct Script {
    machine: TransactionCoordinator,
    log: Vec<TransactionRecord>,
    clock: Clock,
    leader_epoch: i32,
    known: HashMap<(String, String), ProducerIdAndEpoch>,
    markers: HashMap<TransactionalId, Vec<WriteMarkers>>,
    last_producer_id: i64,
    next_write_fails: bool,
}

impl Script {
    fn new() -> Self {
        let mut script = Self {
            machine: TransactionCoordinator::new(CONFIG),
            log: Vec::new(),
            clock: Clock::manual(START_MS),
            leader_epoch: -1,
            known: HashMap::new(),
            markers: HashMap::new(),
            last_producer_id: 100,
            next_write_fails: false,
        };
        script.restart();
        script
    }

    fn restart(&mut self) -> Vec<String> {
        self.leader_epoch += 1;
        self.machine = self.replayed();
        let (leader_epoch, now) = (self.leader_epoch, self.clock.now());
        self.decide("", |machine, effects| machine.loaded(leader_epoch, now, effects))
    }

    /// A machine that has read the log, through its bytes.
    fn replayed(&self) -> TransactionCoordinator {
        let mut machine = TransactionCoordinator::new(CONFIG);
        for record in &self.log {
            let encoded = record.encode().unwrap();
            let decoded = TransactionRecord::decode(&encoded.key, encoded.value.as_deref()).unwrap().unwrap();
            assert_eq!(&decoded, record);
            machine.replay(&decoded);
        }
        machine
    }

    fn write(&mut self, record: TransactionRecord) -> String {
        let line = record_text(&record);
        self.machine.replay(&record);
        self.log.push(record);
        line
    }

    /// Does what a runtime does: writes, replays, answers, tells.
    fn decide(
        &mut self,
        client: &str,
        decide: impl FnOnce(&mut TransactionCoordinator, &mut Effects<TransactionCoordinator>),
    ) -> Vec<String> {
        let mut effects = Effects::new();
        decide(&mut self.machine, &mut effects);
        if !effects.records.is_empty() && std::mem::take(&mut self.next_write_fails) {
            return vec![format!("{client} <- the write failed")];
        }
        let mut lines: Vec<String> = effects.records.into_iter().map(|record| self.write(record)).collect();
        for message in effects.messages {
            lines.push(markers_text(&message));
            self.markers.entry(message.transactional_id.clone()).or_default().push(message);
        }
        for (_, response) in effects.replies {
            lines.extend(response_text(&response).map(|text| format!("{client} <- {text}")));
        }
        assert_eq!(self.replayed().transactions(), self.machine.transactions(), "after a replay");
        lines
    }

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
            let now = self.clock.now();
            let happened = self.decide("timer", |machine, effects| machine.handle_timeout(now, effects));
            if !happened.is_empty() {
                lines.push(format!("at {}", seconds_text(now.timestamp_ms)));
                lines.extend(happened);
            }
        }
    }

    /// Writes the id's state as it would be after so many epochs.
    fn skip_to_epoch(&mut self, id: &str, producer_epoch: i16) -> Vec<String> {
        let mut value = self.machine.transactions()[id].clone();
        value.producer_epoch = producer_epoch;
        vec![self.write(TransactionRecord { transactional_id: id.into(), value: Some(value) })]
    }

    fn execute(&mut self, command: &str) -> Vec<String> {
        if let Some((client, request)) = command.split_once(": ") {
            return self.request(client, &Arguments::parse(request));
        }
        let Arguments { verb, words, .. } = Arguments::parse(command);
        match verb.as_str() {
            "new" => *self = Self::new(),
            "advance" => return self.advance(words[0].parse().unwrap()),
            "restart" => return self.restart(),
            "fail" => self.next_write_fails = true,
            "epoch" => return self.skip_to_epoch(&words[0], words[1].parse().unwrap()),
            _ => panic!("not a command: {command}"),
        }
        Vec::new()
    }

    fn request(&mut self, client: &str, arguments: &Arguments) -> Vec<String> {
        let mut request = self.parse(client, arguments);
        let mut lines = Vec::new();
        loop {
            let (now, asked) = (self.clock.now(), request.clone());
            let mut told = None;
            let said = self.decide(client, |machine, effects| {
                machine.handle(asked, ReplyTo(0), now, effects);
                told = effects.replies.first().map(|(_, response)| response.clone());
            });
            let failed = said.iter().any(|line| line.ends_with("the write failed"));
            lines.extend(said);
            match (told.unwrap(), &mut request) {
                (
                    TransactionResponse::InitProducer(Err(ProducerRefusal::NeedsProducerId)),
                    TransactionRequest::InitProducer(InitProducerRequest { new_producer_id, .. }),
                )
                | (
                    TransactionResponse::End(Err(ProducerRefusal::NeedsProducerId)),
                    TransactionRequest::End(EndTransactionRequest { new_producer_id, .. }),
                ) => {
                    self.last_producer_id += 1;
                    *new_producer_id = Some(self.last_producer_id);
                }
                (TransactionResponse::InitProducer(Ok(next)) | TransactionResponse::End(Ok(next)), _) if !failed => {
                    self.known.insert((client.to_owned(), arguments.id().to_string()), next);
                    return lines;
                }
                _ => return lines,
            }
        }
    }

    fn parse(&self, client: &str, arguments: &Arguments) -> TransactionRequest {
        let transactional_id = arguments.id();
        match arguments.verb.as_str() {
            "init" => TransactionRequest::InitProducer(self.init(client, arguments)),
            "add" | "verify" => TransactionRequest::AddPartitions(AddPartitionsRequest {
                producer: self.producer(client, arguments),
                partitions: arguments.partitions(),
                verify_only: arguments.verb == "verify",
            }),
            "offsets" => TransactionRequest::AddOffsets(AddOffsetsRequest {
                producer: self.producer(client, arguments),
                offsets_partition: TopicPartition::new(GROUP_METADATA_TOPIC, arguments.words[1].parse().unwrap()),
            }),
            "commit" | "abort" => TransactionRequest::End(EndTransactionRequest {
                producer: self.producer(client, arguments),
                result: if arguments.verb == "commit" { TransactionResult::Commit } else { TransactionResult::Abort },
                new_producer_id: None,
            }),
            "markers" => TransactionRequest::MarkersWritten(self.written(arguments)),
            "describe" => TransactionRequest::Describe(DescribeTransactionRequest { transactional_id }),
            "list" => TransactionRequest::List(list(arguments)),
            verb => panic!("not a request: {verb}"),
        }
    }

    fn known(&self, client: &str, arguments: &Arguments) -> Option<ProducerIdAndEpoch> {
        let said = arguments.named("as").map(|text| {
            let (producer_id, epoch) = text.split_once('/').unwrap();
            ProducerIdAndEpoch { producer_id: producer_id.parse().unwrap(), producer_epoch: epoch.parse().unwrap() }
        });
        said.or_else(|| self.known.get(&(client.to_owned(), arguments.id().to_string())).copied())
    }

    fn producer(&self, client: &str, arguments: &Arguments) -> TransactionalProducer {
        TransactionalProducer {
            transactional_id: arguments.id(),
            producer: self.known(client, arguments).unwrap_or(ProducerIdAndEpoch { producer_id: 1, producer_epoch: 0 }),
            version: if arguments.named("v") == Some("1") { ClientVersion::One } else { ClientVersion::Two },
        }
    }

    fn init(&self, client: &str, arguments: &Arguments) -> InitProducerRequest {
        let goes_on = arguments.words.iter().any(|word| word == "goes-on") || arguments.named("as").is_some();
        let timeout: f64 = arguments.named("timeout").map_or(60.0, |seconds| seconds.parse().unwrap());
        InitProducerRequest {
            transactional_id: arguments.id(),
            timeout_ms: (timeout * 1_000.0) as i32,
            expected: self.known(client, arguments).filter(|_| goes_on),
            new_producer_id: None,
        }
    }

    fn written(&self, arguments: &Arguments) -> MarkersWritten {
        let told = &self.markers[&arguments.id()];
        let message = arguments.named("nth").map_or(told.len() - 1, |nth| nth.parse().unwrap());
        let named = arguments.partitions();
        MarkersWritten {
            transactional_id: arguments.id(),
            marking: told[message].marking,
            coordinator_epoch: told[message].coordinator_epoch,
            partitions: if named.is_empty() { told[message].partitions.clone() } else { named },
        }
    }
}

fn list(arguments: &Arguments) -> ListTransactions {
    let items = |key| arguments.named(key).map(|text| text.split_terminator(','));
    ListTransactions {
        producer_ids: items("producers").into_iter().flatten().map(|id| id.parse().unwrap()).collect(),
        states: items("states").map(|names| names.filter_map(TransactionState::from_name).collect()),
        longer_than_ms: arguments.named("longer").map(|seconds| seconds.parse::<i64>().unwrap() * 1_000),
        pattern: arguments.named("pattern").map(|pattern| pattern.parse().unwrap()),
    }
}

/// One command taken apart: `verb word key=value ...`.
struct Arguments {
    verb: String,
    words: Vec<String>,
    named: Vec<(String, String)>,
}

impl Arguments {
    fn parse(text: &str) -> Self {
        let mut parts = text.split(' ').filter(|part| !part.is_empty());
        let verb = parts.next().unwrap().to_owned();
        let (mut words, mut named) = (Vec::new(), Vec::new());
        for part in parts {
            match part.split_once('=') {
                Some((key, value)) => named.push((key.to_owned(), value.to_owned())),
                None => words.push(part.to_owned()),
            }
        }
        Self { verb, words, named }
    }

    fn named(&self, key: &str) -> Option<&str> {
        self.named.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// `none` is the empty id.
    fn id(&self) -> TransactionalId {
        match self.words.first().map(String::as_str) {
            Some("none") | None => "".into(),
            Some(id) => id.into(),
        }
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        let parts = self.words.iter().filter_map(|word| word.split_once('/'));
        parts.map(|(topic, partition)| TopicPartition::new(topic, partition.parse().unwrap())).collect()
    }
}
