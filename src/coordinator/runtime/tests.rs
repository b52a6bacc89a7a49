//! The runtime with a machine that only remembers what it was told.

use std::sync::{Arc, Mutex};

use super::CoordinatorRuntime;
use crate::clock::{Clock, Monotonic, Now};
use crate::config::Config;
use crate::coordinator::machine::CoordinatorMachine;
use crate::ids::{GROUP_METADATA_TOPIC, TopicName, Uuid};
use crate::metadata::{MetadataDelta, MetadataImage, MetadataRecord, PartitionImage, TopicRecord};
use crate::protocol::ErrorCode;
use crate::protocol::coordinator_records::{CoordinatorRecordError, EncodedRecord};
use crate::replication::replica_manager::ReplicaManager;
use crate::state_machine::{Effects, Question, ReplyTo, StateMachine};
use crate::storage::LogDir;

/// What the machines of one test were told.
type Told = Arc<Mutex<Vec<TopicName>>>;

struct Listener(Told);

impl StateMachine for Listener {
    /// The topics that are gone; none for a question.
    type Request = Vec<TopicName>;
    type Response = ();
    type Record = ();

    fn handle(&mut self, request: Vec<TopicName>, reply_to: ReplyTo, _now: Now, effects: &mut Effects<Self>) {
        self.0.lock().unwrap().extend(request);
        effects.reply(reply_to, ());
    }

    fn handle_timeout(&mut self, _now: Now, _effects: &mut Effects<Self>) {}

    fn next_deadline(&self) -> Option<Monotonic> {
        None
    }

    fn replay(&mut self, _record: &()) {}
}

impl Question<Listener> for Vec<TopicName> {
    type Answer = ();

    fn into_request(self) -> Self {
        self
    }

    fn answer((): ()) -> Option<()> {
        Some(())
    }
}

impl CoordinatorMachine for Listener {
    fn encode(_record: &()) -> Result<EncodedRecord, CoordinatorRecordError> {
        Ok(EncodedRecord { key: bytes::Bytes::new(), value: None })
    }

    fn decode(_key: &[u8], _value: Option<&[u8]>) -> Result<Option<()>, CoordinatorRecordError> {
        Ok(None)
    }

    fn loaded(&mut self, _now: Now) {}

    fn topics_deleted(topics: &[TopicName]) -> Option<Vec<TopicName>> {
        Some(topics.to_vec())
    }
}

/// The image after `records`, and what they did.
fn step(image: &mut MetadataImage, records: Vec<TopicRecord>) -> MetadataDelta {
    let mut delta = MetadataDelta::default();
    for record in records {
        delta.note(image.replay(&MetadataRecord::from(record)).unwrap());
    }
    delta
}

#[tokio::test]
async fn a_machine_with_a_full_mailbox_hears_of_deleted_topics_all_the_same() {
    let clock = Clock::manual(0);
    let config = Arc::new(Config::with(&[]).unwrap());
    let replicas = ReplicaManager::open(1, clock.clone(), config, Arc::new(LogDir::memory())).unwrap();
    let (replicas, told) = (Arc::new(replicas), Told::default());
    let listeners = Arc::clone(&told);
    let new_machine = move || Listener(Arc::clone(&listeners));
    let runtime = CoordinatorRuntime::new(GROUP_METADATA_TOPIC, 1, clock, Arc::clone(&replicas), new_machine);
    let (offsets, orders) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let state = PartitionImage { replicas: vec![1], isr: vec![1], leader: 1, leader_epoch: 0, partition_epoch: 0 };
    let mut image = MetadataImage::default();
    let delta = step(
        &mut image,
        vec![
            TopicRecord::Topic { name: GROUP_METADATA_TOPIC.into(), id: offsets },
            TopicRecord::Partition { topic_id: offsets, partition: 0, state },
            TopicRecord::Topic { name: "orders".into(), id: orders },
        ],
    );
    replicas.apply(&delta, &image);
    runtime.apply(&delta, &image);
    runtime.loaded().await;
    // The machine runs on this thread, so that it takes nothing before the mailbox is full.
    let mut questions = Vec::new();
    let refused = loop {
        let question = runtime.enqueue("group", Vec::new());
        let mut question = Box::pin(question);
        match futures_util::poll!(&mut question) {
            std::task::Poll::Ready(answer) => break answer,
            std::task::Poll::Pending => questions.push(question),
        }
    };
    assert_eq!(refused, Err(ErrorCode::CoordinatorNotAvailable));
    let delta = step(&mut image, vec![TopicRecord::RemoveTopic { topic_id: orders }]);
    let applying = runtime.clone();
    tokio::task::spawn_blocking(move || applying.apply(&delta, &image)).await.unwrap();
    for answer in futures_util::future::join_all(questions).await {
        assert_eq!(answer, Ok(()));
    }
    runtime.enqueue("group", Vec::new()).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [TopicName::from("orders")]);
    runtime.shutdown().await;
}
