//! Starts that fail, and what takes a whole broker with a disk that hangs.

use tokio::runtime::Handle;

use super::*;
use crate::controller::{CreateTopics, NewTopic};
use crate::coordinator::transaction::request::{
    AddPartitionsRequest, ClientVersion, DescribeTransactionRequest, EndTransactionRequest, InitProducerRequest,
    ProducerRefusal, TransactionalProducer,
};
use crate::ids::{ProducerIdAndEpoch, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::control_records::TransactionResult;
use crate::protocol::transaction_records::TransactionState;

const STEPS: [Step; 9] = [
    Step::Bound,
    Step::LogDirOpened,
    Step::MetadataOpened,
    Step::LogsLoaded,
    Step::ControllerStarted,
    Step::Registered,
    Step::BackgroundStarted,
    Step::PartitionsHosted,
    Step::Serving,
];

/// Waits until no more tasks live than `wanted`: one that was told to end may have its last turn yet.
async fn assert_tasks(wanted: usize, after: Step) {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    for _ in 0..500 {
        if tasks() <= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} tasks are left after {after:?}", tasks() - wanted);
}

#[tokio::test]
async fn a_start_that_fails_at_any_step_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    // A port of one's own, so that a listener that stays is noticed.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let listener = format!("PLAINTEXT://127.0.0.1:{port}");
    let path = directory.path().display().to_string();
    let config = || {
        let http = ("klamm.http.bind", "127.0.0.1:0");
        Config::with(&[("listeners", &*listener), ("log.dirs", &*path), http]).expect("it is fine")
    };
    let before = Handle::current().metrics().num_alive_tasks();
    for failing in STEPS {
        let watch = move |step| {
            if step == failing { Err(StartError::Metadata { reason: format!("{step:?}") }) } else { Ok(()) }
        };
        let refused = Server::start_watched(config(), Surroundings::default(), &watch).await.err().expect("it goes on");
        assert!(refused.to_string().ends_with(&format!("{failing:?}")), "{refused}");
        assert_tasks(before, failing).await;
        let server = Server::start(config()).await.expect("the second start");
        server.stop().await.expect("a clean stop");
        assert_tasks(before, failing).await;
    }
}

/// A broker in memory, and a topic with two partitions whose markers have to be on the disk before they count.
async fn with_topic() -> Server {
    let config = [
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("klamm.storage.kind", "memory"),
        ("request.timeout.ms", "50"),
        ("transaction.state.log.num.partitions", "1"),
    ];
    let server = Server::start(Config::with(&config).expect("it is fine")).await.expect("a broker");
    let topic = NewTopic {
        name: "t".into(),
        id: Uuid::from_u128(7),
        partitions: 2,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Ok([("flush.messages".to_owned(), "1".to_owned())].into()),
    };
    let broker = server.broker();
    let create = CreateTopics::with_defaults(&broker.config.load().broker, vec![topic]);
    let created = broker.controller.create_topics(create).await.expect("a topic");
    broker.replicas_applied(created.image_offset).await.expect("it is open");
    broker.ensure_transaction_state_topic().await.expect("coordinators");
    server
}

/// A marker that could not be written is tried again, and no transaction begins before.
#[tokio::test]
async fn a_transaction_ends_once_its_last_marker_is_written() {
    let server = with_topic().await;
    let broker = server.broker();
    let init = InitProducerRequest {
        transactional_id: "x".into(),
        timeout_ms: 60_000,
        expected: None,
        new_producer_id: Some(broker.producer_ids.next().await.expect("an id")),
    };
    let producer = broker.transactions.enqueue("x", init.clone()).await.expect("an answer").expect("a producer");
    let (held, other) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
    let asking = TransactionalProducer { transactional_id: "x".into(), producer, version: ClientVersion::Two };
    let add = AddPartitionsRequest {
        producer: asking.clone(),
        partitions: vec![held.clone(), other.clone()],
        verify_only: false,
    };
    let added = broker.transactions.enqueue("x", add.clone()).await;
    assert_eq!(added, Ok(vec![(held.clone(), None), (other.clone(), None)]));
    let describe = async || {
        let request = DescribeTransactionRequest { transactional_id: "x".into() };
        broker.transactions.enqueue("x", request).await.expect("an answer").expect("it is known")
    };

    let hosted = broker.replicas.partition("t", 0).expect("it is here");
    let hanging = hosted.hold_fsyncs();
    let end = EndTransactionRequest { producer: asking, result: TransactionResult::Commit, new_producer_id: None };
    let next = broker.transactions.enqueue("x", end).await.expect("an answer").expect("it ends");
    assert_eq!(next, ProducerIdAndEpoch { producer_epoch: producer.producer_epoch + 1, ..producer });
    let markers = || hosted.offsets(-1).expect("it is here").log_end_offset;
    for _ in 0..500 {
        if markers() > 1 && describe().await.partitions == [held.clone()] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(markers() > 1, "it is tried again");
    let ending = describe().await;
    assert_eq!((ending.state, ending.partitions), (TransactionState::PrepareCommit, vec![held.clone()]));
    let refused = Some(ErrorCode::ConcurrentTransactions);
    assert_eq!(broker.transactions.enqueue("x", add).await, Ok(vec![(held, refused), (other, refused)]));
    let init = broker.transactions.enqueue("x", init).await;
    assert_eq!(init, Ok(Err(ProducerRefusal::Error(ErrorCode::ConcurrentTransactions))));

    drop(hanging);
    for _ in 0..500 {
        if describe().await.state == TransactionState::CompleteCommit {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(describe().await.state, TransactionState::CompleteCommit);
    assert_eq!(broker.replicas.partition("t", 1).and_then(|other| other.offsets(-1)).map(|o| o.log_end_offset), Ok(1));
    server.stop().await.expect("a clean stop");
}

/// Whoever stops while markers wait leaves no task behind.
#[tokio::test]
async fn a_broker_stops_while_markers_wait() {
    let before = Handle::current().metrics().num_alive_tasks();
    let server = with_topic().await;
    let (broker, id) = (Arc::clone(server.broker()), Arc::from("x"));
    let message = WriteMarkers {
        transactional_id: Arc::clone(&id),
        marking: 1,
        producer: ProducerIdAndEpoch { producer_id: 7, producer_epoch: 0 },
        result: TransactionResult::Abort,
        coordinator_epoch: 0,
        partitions: vec![TopicPartition::new("t", 0)],
    };
    let hosted = broker.replicas.partition("t", 0).expect("it is here");
    let hanging = hosted.hold_fsyncs();
    let (markers, inbox) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let task = tokio::spawn(transaction_markers::run(Arc::clone(&broker), inbox, stop.clone()));
    for _ in 0..100 {
        // The last of them alone goes on.
        markers.send(message.clone()).expect("it is taken");
    }
    while hosted.offsets(-1).expect("it is here").log_end_offset == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
    task.await.expect("it ends");
    drop(hanging);
    server.stop().await.expect("a clean stop");
    drop(broker);
    assert_tasks(before, Step::Serving).await;
}
