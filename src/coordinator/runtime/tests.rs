//! The runtime with a machine that only remembers what it was told.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;

use super::{AppendLinger, CoordinatorRuntime, CoordinatorRuntimeConfig};
use crate::clock::{Clock, Monotonic, Now};
use crate::config::Config;
use crate::coordinator::machine::CoordinatorMachine;
use crate::ids::{GROUP_METADATA_TOPIC, LeaderEpoch, TopicName, Uuid};
use crate::metadata::{MetadataDelta, MetadataImage, MetadataRecord, PartitionChange, PartitionImage, TopicRecord};
use crate::protocol::ErrorCode;
use crate::protocol::coordinator_records::{CoordinatorRecordError, EncodedRecord};
use crate::protocol::record_batch::batches;
use crate::replication::hosted_partition::{HostedPartition, ReadRequest};
use crate::replication::ownership::KnownTopics;
use crate::replication::replica_manager::ReplicaManager;
use crate::state_machine::{Effects, Question, ReplyTo, StateMachine};
use crate::storage::{LogDir, LogDirs};

type Lines = Arc<Mutex<Vec<String>>>;

/// What the machines of one test have decided on, and what others have heard of them.
#[derive(Default)]
struct Told {
    decided: Lines,
    heard: Lines,
}

/// What is written down; each note is a record.
struct Notebook {
    notes: Vec<String>,
    due: Option<Monotonic>,
    told: Lines,
}

#[derive(Clone)]
enum Ask {
    /// Answered with what was there before.
    Note { notes: Vec<String>, is_atomic: bool },
    /// Noted, and told to others.
    Tell(String),
    /// Never answered.
    Wait,
    /// To be told within that time, counted from when the machine hears it.
    Remind(Duration),
    /// Tidings.
    TopicsDeleted(Vec<TopicName>),
}

impl StateMachine for Notebook {
    type Request = Ask;
    type Response = Vec<String>;
    type Record = String;
    type Message = String;

    fn handle(&mut self, request: Ask, reply_to: ReplyTo, now: Now, effects: &mut Effects<Self>) {
        let mut told = self.told.lock().unwrap();
        match request {
            Ask::Note { notes, is_atomic } => {
                told.extend(notes.iter().cloned());
                effects.records = notes;
                effects.is_atomic = is_atomic;
                effects.reply(reply_to, self.notes.clone());
            }
            Ask::Tell(note) => {
                effects.record(note.clone());
                effects.message(note);
                effects.reply(reply_to, Vec::new());
            }
            Ask::Wait => told.push("wait".into()),
            Ask::Remind(delay) => self.due = Some(now.monotonic + delay),
            Ask::TopicsDeleted(topics) => told.extend(topics.iter().map(ToString::to_string)),
        }
    }

    fn handle_timeout(&mut self, now: Now, _effects: &mut Effects<Self>) {
        if self.due.take_if(|due| *due <= now.monotonic).is_some() {
            self.told.lock().unwrap().push("due".into());
        }
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        self.due
    }

    fn replay(&mut self, record: &String) {
        self.notes.push(record.clone());
    }
}

impl Question<Notebook> for Ask {
    type Answer = Vec<String>;

    fn into_request(self) -> Self {
        self
    }

    fn answer(notes: Vec<String>) -> Option<Vec<String>> {
        Some(notes)
    }
}

impl CoordinatorMachine for Notebook {
    fn encode(record: &String) -> Result<EncodedRecord, CoordinatorRecordError> {
        Ok(EncodedRecord { key: record.clone().into(), value: Some("a note".into()) })
    }

    fn decode(key: &[u8], _value: Option<&[u8]>) -> Result<Option<String>, CoordinatorRecordError> {
        Ok(Some(String::from_utf8(key.to_vec()).unwrap()))
    }

    fn loaded(&mut self, leader_epoch: LeaderEpoch, _now: Now, effects: &mut Effects<Self>) {
        effects.message(format!("elected in {leader_epoch}"));
    }

    fn topics_deleted(topics: &[TopicName]) -> Option<Ask> {
        Some(Ask::TopicsDeleted(topics.to_vec()))
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Vec<String>, ErrorCode>> + Send>>;

const TOPIC_ID: Uuid = Uuid::from_u128(1);
const ORDERS: Uuid = Uuid::from_u128(2);

/// A machine on a partition whose replicas a test moves. It runs on the test's thread, whenever the test waits.
struct House {
    clock: Clock,
    image: MetadataImage,
    replicas: Arc<ReplicaManager>,
    runtime: CoordinatorRuntime<Notebook>,
    told: Told,
}

impl House {
    /// The partition has `isr` of the replicas 1, which is here, and 2, which never fetches.
    async fn with(append_linger: AppendLinger, isr: &[i32]) -> Self {
        let clock = Clock::manual(0);
        let config = Arc::new(Config::with(&[]).unwrap());
        let (empty, removed) = (MetadataImage::default(), HashSet::new());
        let known = KnownTopics { image: &empty, removed: &removed };
        let replicas =
            ReplicaManager::open(1, clock.clone(), config, Arc::new(LogDirs::of(LogDir::memory())), known).unwrap();
        let (replicas, told) = (Arc::new(replicas), Told::default());
        let runtime = runtime(append_linger, &clock, &replicas, &told);
        let mut house = Self { clock, image: MetadataImage::default(), replicas, runtime, told };
        let state = PartitionImage {
            replicas: vec![1, 2],
            isr: isr.into(),
            leader: 1,
            leader_epoch: 0,
            partition_epoch: 0,
            ..PartitionImage::default()
        };
        house.apply(vec![
            TopicRecord::Topic { name: GROUP_METADATA_TOPIC.into(), id: TOPIC_ID },
            TopicRecord::Partition { topic_id: TOPIC_ID, partition: 0, state },
            TopicRecord::Topic { name: "orders".into(), id: ORDERS },
        ]);
        house.runtime.loaded().await;
        house
    }

    async fn start() -> Self {
        Self::with(AppendLinger::Adaptive, &[1]).await
    }

    fn step(&mut self, records: Vec<TopicRecord>) -> MetadataDelta {
        let mut delta = MetadataDelta::default();
        for record in records {
            delta.note(self.image.replay(&MetadataRecord::from(record)).unwrap());
        }
        delta
    }

    fn apply(&mut self, records: Vec<TopicRecord>) {
        let delta = self.step(records);
        self.replicas.apply(&delta, &self.image);
        self.runtime.apply(&delta, &self.image);
    }

    fn change_isr(&mut self, isr: &[i32]) {
        let isr = Some(isr.into());
        self.apply(vec![TopicRecord::PartitionChange {
            topic_id: TOPIC_ID,
            partition: 0,
            change: PartitionChange { isr, ..PartitionChange::default() },
        }]);
    }

    /// This broker becomes the leader, once more if it was.
    fn elect(&mut self, isr: &[i32]) {
        let (isr, leader) = (Some(isr.into()), Some(1));
        self.apply(vec![TopicRecord::PartitionChange {
            topic_id: TOPIC_ID,
            partition: 0,
            change: PartitionChange { isr, leader, ..PartitionChange::default() },
        }]);
    }

    fn configure(&mut self, key: &str, value: &str) {
        let (key, value) = (key.into(), Some(value.into()));
        self.apply(vec![TopicRecord::TopicConfig { topic_id: TOPIC_ID, key, value }]);
    }

    fn ask(&self, ask: Ask) -> Answer {
        Box::pin(self.runtime.enqueue("group", ask))
    }

    fn note(&self, notes: &[&str]) -> Answer {
        let notes = notes.iter().map(ToString::to_string).collect();
        self.ask(Ask::Note { notes, is_atomic: true })
    }

    fn told(&self) -> Vec<String> {
        self.told.decided.lock().unwrap().clone()
    }

    fn heard(&self) -> Vec<String> {
        self.told.heard.lock().unwrap().clone()
    }

    fn partition(&self) -> Arc<HostedPartition> {
        self.replicas.partition(GROUP_METADATA_TOPIC, 0).unwrap()
    }

    /// The keys of the log's committed records, by batch.
    fn batches(&self) -> Vec<Vec<String>> {
        let request = ReadRequest {
            fetch_offset: 0,
            max_bytes: usize::MAX,
            min_one: true,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            read_committed: false,
        };
        let Some(slice) = self.partition().read(&request).unwrap().records else { return Vec::new() };
        let batches = batches(&slice.read_blocking().unwrap()).map(|batch| {
            let records = batch.unwrap().records(usize::MAX).unwrap().map(Result::unwrap);
            records.map(|record| String::from_utf8(record.key.unwrap().to_vec()).unwrap()).collect()
        });
        batches.collect()
    }
}

fn runtime(
    append_linger: AppendLinger,
    clock: &Clock,
    replicas: &Arc<ReplicaManager>,
    told: &Told,
) -> CoordinatorRuntime<Notebook> {
    let (told, heard) = (Arc::clone(&told.decided), Arc::clone(&told.heard));
    let deliver = move |message| heard.lock().unwrap().push(message);
    let new_machine = move || Notebook { notes: Vec::new(), due: None, told: Arc::clone(&told) };
    let config = CoordinatorRuntimeConfig { append_linger, ..CoordinatorRuntimeConfig::default() };
    let (clock, replicas) = (clock.clone(), Arc::clone(replicas));
    CoordinatorRuntime::new(GROUP_METADATA_TOPIC, 1, clock, replicas, config, new_machine, deliver)
}

/// Lets all tasks go as far as they can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_machine_with_a_full_mailbox_hears_of_deleted_topics_all_the_same() {
    let mut house = House::start().await;
    // The machine runs on this thread, so that it takes nothing before the mailbox is full.
    let mut questions = Vec::new();
    let refused = loop {
        let mut question = house.note(&[]);
        match (&mut question).now_or_never() {
            Some(answer) => break answer,
            None => questions.push(question),
        }
    };
    assert_eq!(refused, Err(ErrorCode::CoordinatorNotAvailable));
    let delta = house.step(vec![TopicRecord::RemoveTopic { topic_id: ORDERS }]);
    let (applying, image) = (house.runtime.clone(), house.image.clone());
    tokio::task::spawn_blocking(move || applying.apply(&delta, &image)).await.unwrap();
    for answer in futures_util::future::join_all(questions).await {
        assert_eq!(answer, Ok(Vec::new()));
    }
    house.note(&[]).await.unwrap();
    assert_eq!(house.told(), ["orders"]);
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn what_arrives_together_is_one_batch_and_each_decision_sees_those_before_it() {
    let house = House::start().await;
    let names: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    let asked: Vec<Answer> = names.iter().map(|name| house.note(&[name])).collect();
    for (number, answer) in futures_util::future::join_all(asked).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), names[..number]);
    }
    assert_eq!(house.batches(), [names]);
    house.note(&["alone"]).await.unwrap();
    assert_eq!(house.batches()[1..], [["alone"]], "whoever is alone waits for nobody");
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn a_batch_lingers_as_long_as_it_is_told_to() {
    let house = House::with(AppendLinger::For(Duration::from_millis(5)), &[1]).await;
    let mut first = house.note(&["a"]);
    settle().await;
    house.clock.advance(Duration::from_millis(4));
    let (mut second, mut reading) = (house.note(&["b"]), house.note(&[]));
    settle().await;
    assert_eq!((house.told(), house.batches().len()), (vec!["a".into(), "b".into()], 0));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    assert!((&mut reading).now_or_never().is_none(), "what it has read may be lost yet");
    house.clock.advance(Duration::from_millis(1));
    assert_eq!(first.await.unwrap(), [""; 0]);
    assert_eq!(second.await.unwrap(), ["a"]);
    assert_eq!(reading.await.unwrap(), ["a", "b"]);
    assert_eq!(house.batches(), [["a", "b"]]);
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn without_lingering_each_decision_is_a_batch() {
    let house = House::with(AppendLinger::Never, &[1]).await;
    let asked = [house.note(&["a", "b"]), house.note(&[]), house.note(&["c"])];
    futures_util::future::join_all(asked).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    assert_eq!(house.batches(), [vec!["a", "b"], vec!["c"]]);
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn no_decision_is_split_and_one_that_no_batch_can_hold_is_refused() {
    let mut house = House::start().await;
    house.configure("max.message.bytes", "200");
    let long = "x".repeat(40);
    let pairs: Vec<[String; 2]> = (0..5).map(|number| [format!("{number}-a"), format!("{number}-{long}")]).collect();
    let mut asked: Vec<Answer> = pairs.iter().map(|[short, long]| house.note(&[short, long])).collect();
    let many: Vec<String> = (0..20).map(|number| format!("{number}-of-20")).collect();
    let too_many: Vec<&str> = many.iter().map(String::as_str).collect();
    asked.push(house.note(&too_many));
    asked.push(house.ask(Ask::Note { notes: many.clone(), is_atomic: false }));
    let answers = futures_util::future::join_all(asked).await;
    assert_eq!(answers[5], Err(ErrorCode::UnknownServerError));
    assert_eq!(answers[6].as_ref().unwrap().len(), 10, "nothing of what was refused is remembered");
    let (batches, whole) = (house.batches(), pairs.concat());
    assert_eq!(batches.concat(), [whole, many].concat());
    let at_most_two = batches.iter().filter(|batch| batch[0].ends_with("-a"));
    assert!(at_most_two.clone().count() >= 3 && at_most_two.clone().all(|batch| batch.len() % 2 == 0), "{batches:?}");
    assert!(batches.len() > 5, "what may be split is: {batches:?}");
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_before_the_machine_takes_it_for_written() {
    let mut house = House::start().await;
    house.configure("min.insync.replicas", "2");
    let waiting = house.ask(Ask::Wait);
    assert_eq!(house.note(&["a"]).await, Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(house.note(&[]).await, Ok(Vec::new()), "it goes on at once, without a load");
    assert!(waiting.now_or_never().is_none(), "and whoever waits may wait");
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn a_machine_whose_batch_failed_is_loaded_anew() {
    let mut house = House::with(AppendLinger::For(Duration::from_millis(5)), &[1]).await;
    let kept = house.note(&["kept"]);
    settle().await;
    house.clock.advance(Duration::from_millis(5));
    kept.await.unwrap();
    let waiting = house.ask(Ask::Wait);
    let (lost, reading) = (house.note(&["lost"]), house.note(&[]));
    settle().await;
    assert_eq!(house.told(), ["kept", "wait", "lost"]);
    // The batch is open, and what was decided on counts, when the partition stops taking it.
    house.configure("min.insync.replicas", "2");
    house.clock.advance(Duration::from_millis(5));
    assert_eq!(lost.await, Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(reading.await, Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(waiting.await, Err(ErrorCode::NotCoordinator));
    // Where it has loaded by now, it answers.
    assert!(matches!(house.note(&[]).await, Err(ErrorCode::CoordinatorLoadInProgress) | Ok(_)));
    house.runtime.loaded().await;
    assert_eq!(house.note(&[]).await.unwrap(), ["kept"]);
    house.configure("min.insync.replicas", "1");
    let again = house.note(&["again"]);
    settle().await;
    house.clock.advance(Duration::from_millis(5));
    assert_eq!(again.await.unwrap(), ["kept"]);
    assert_eq!(house.batches(), [["kept"], ["again"]]);
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn deciding_goes_on_while_batches_wait_to_be_committed() {
    let mut house = House::with(AppendLinger::Adaptive, &[1, 2]).await;
    let mut first = house.note(&["a"]);
    settle().await;
    house.clock.advance(Duration::from_secs(3));
    let mut second = house.note(&["b"]);
    let mut reading = house.note(&[]);
    settle().await;
    assert_eq!(house.told(), ["a", "b"], "the second one was decided on");
    assert!((&mut first).now_or_never().is_none());
    house.clock.advance(Duration::from_secs(2));
    assert_eq!(first.await, Err(ErrorCode::CoordinatorNotAvailable), "its five seconds are over");
    settle().await;
    assert!((&mut second).now_or_never().is_none());
    assert!((&mut reading).now_or_never().is_none());
    house.change_isr(&[1]);
    assert_eq!(second.await.unwrap(), ["a"]);
    assert_eq!(reading.await.unwrap(), ["a", "b"]);
    assert_eq!(house.batches(), [["a"], ["b"]]);
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn a_new_leader_loads_what_its_predecessor_may_have_acknowledged() {
    let mut house = House::with(AppendLinger::Adaptive, &[1, 2]).await;
    let mut uncommitted = house.note(&["a"]);
    settle().await;
    assert!((&mut uncommitted).now_or_never().is_none());
    house.runtime.shutdown().await;
    house.runtime = runtime(AppendLinger::Adaptive, &house.clock, &house.replicas, &house.told);
    house.change_isr(&[1, 2]);
    settle().await;
    assert_eq!(house.note(&[]).await, Err(ErrorCode::CoordinatorLoadInProgress));
    house.change_isr(&[1]);
    house.runtime.loaded().await;
    assert_eq!(house.note(&[]).await.unwrap(), ["a"]);
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn who_waits_for_a_disk_that_hangs_is_told_so_in_time_and_the_decision_stands() {
    let mut house = House::start().await;
    house.configure("flush.messages", "1");
    let partition = house.partition();
    let hanging = partition.hold_fsyncs();
    let mut late = house.note(&["late"]);
    settle().await;
    assert_eq!((&mut late).now_or_never(), None);
    house.clock.advance(Duration::from_secs(5));
    assert_eq!(late.await, Err(ErrorCode::CoordinatorNotAvailable));
    let next = house.note(&["next"]);
    settle().await;
    drop(hanging);
    assert_eq!(next.await, Ok(vec!["late".to_owned()]));
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn a_leadership_that_was_lost_and_won_again_has_a_machine_of_its_own() {
    let mut house = House::start().await;
    house.note(&["a"]).await.unwrap();
    let waiting = house.ask(Ask::Wait);
    settle().await;
    // To the broker it has been the leader all along: what lay between came in one delta.
    house.elect(&[1]);
    assert_eq!(waiting.await, Err(ErrorCode::NotCoordinator), "the next machine does not know of it");
    house.runtime.loaded().await;
    assert_eq!(house.note(&["b"]).await.unwrap(), ["a"]);
    house.change_isr(&[1]);
    assert_eq!(house.note(&[]).await.unwrap(), ["a", "b"], "who is in sync is no matter of leadership");
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn a_machine_that_is_behind_a_newer_epoch_writes_no_more() {
    let mut house = House::with(AppendLinger::For(Duration::from_millis(5)), &[1]).await;
    let lost = house.note(&["lost"]);
    settle().await;
    // The partition is led anew before the runtime hears of it.
    let change = PartitionChange { leader: Some(1), ..PartitionChange::default() };
    let elected = TopicRecord::PartitionChange { topic_id: TOPIC_ID, partition: 0, change };
    let delta = house.step(vec![elected]);
    house.replicas.apply(&delta, &house.image);
    house.clock.advance(Duration::from_millis(5));
    assert_eq!(lost.await, Err(ErrorCode::NotCoordinator));
    assert_eq!(house.batches(), [[""; 0]; 0]);
    house.runtime.apply(&delta, &house.image);
    house.runtime.loaded().await;
    let kept = house.note(&["kept"]);
    settle().await;
    house.clock.advance(Duration::from_millis(5));
    assert_eq!(kept.await.unwrap(), [""; 0]);
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn a_newer_epoch_cuts_a_load_off() {
    let mut house = House::with(AppendLinger::Adaptive, &[1, 2]).await;
    let uncommitted = house.note(&["a"]);
    settle().await;
    // The log's end is not committed, so that neither of the two loads could end.
    house.elect(&[1, 2]);
    assert_eq!(uncommitted.await, Err(ErrorCode::NotCoordinator));
    house.elect(&[1, 2]);
    settle().await;
    assert_eq!(house.runtime.0.tasks.len(), 1, "the first load has ended");
    assert_eq!(house.note(&[]).await, Err(ErrorCode::CoordinatorLoadInProgress));
    house.change_isr(&[1]);
    house.runtime.loaded().await;
    assert_eq!(house.note(&[]).await.unwrap(), ["a"]);
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn after_a_stall_the_mailbox_is_read_before_the_timers_run() {
    let house = House::start().await;
    let delay = Duration::from_secs(10);
    let _first = house.ask(Ask::Remind(delay));
    settle().await;
    // The machine runs on this thread, which is busy while the deadline passes.
    house.clock.advance(delay * 2);
    let _heartbeat = house.ask(Ask::Remind(delay));
    settle().await;
    assert_eq!(house.told(), [""; 0], "the deadline was moved in time");
    house.clock.advance(delay);
    settle().await;
    assert_eq!(house.told(), ["due"]);
    house.runtime.shutdown().await;
}

#[tokio::test]
async fn messages_leave_once_their_records_are_committed_however_long_that_takes() {
    let mut house = House::with(AppendLinger::Adaptive, &[1, 2]).await;
    assert_eq!(house.heard(), ["elected in 0"]);
    let told = house.ask(Ask::Tell("a".into()));
    settle().await;
    house.clock.advance(Duration::from_secs(5));
    assert_eq!(told.await, Err(ErrorCode::CoordinatorNotAvailable), "who waits for a reply waits five seconds");
    let behind = house.ask(Ask::Tell("b".into()));
    settle().await;
    house.clock.advance(Duration::from_secs(7));
    settle().await;
    assert_eq!(house.heard().len(), 1);
    house.change_isr(&[1]);
    assert_eq!(behind.await, Err(ErrorCode::CoordinatorNotAvailable));
    settle().await;
    assert_eq!(house.heard()[1..], ["a", "b"]);
    house.elect(&[1]);
    house.runtime.loaded().await;
    assert_eq!(house.heard()[3..], ["elected in 1"]);
    house.configure("min.insync.replicas", "2");
    assert_eq!(house.ask(Ask::Tell("c".into())).await, Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(house.heard().len(), 4, "of what was refused nobody hears");
    house.runtime.shutdown().await;
}
