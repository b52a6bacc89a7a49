//! `klamm demo`: what a broker is for, to be watched in a terminal.
//!
//! `orders`: somebody sends two orders a second, by customers, and three groups read each of them on their own. The state
//! that is shown is pure ([`board`]); this file moves it.

mod board;
mod terminal;

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::connection::{ConnectionArguments, settings};
use super::interrupt::interrupted;
use super::print::print;
use super::time::now_ms;
use crate::client::{
    ClientSettings, ClusterClient, ConsumerSettings, GroupConsumer, GroupSettings, LATEST, NewRecord, OffsetReset,
    Producer, ProducerSettings, TopicToCreate,
};
use crate::config::Config;
use crate::ids::TopicPartition;
use crate::protocol::ErrorCode;
use crate::server::{Server, StartError};
use board::{Board, GROUPS, order};
use terminal::Terminal;

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 3;
const KITCHEN: usize = 0;
const BILLING: usize = 2;
/// How often the picture is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// How long a group waits for orders, so that it soon hears of keys.
const WAIT: Duration = Duration::from_millis(100);
/// How many bytes a group takes at a time: few, so that one can see it catch up.
const TAKEN_AT_ONCE: i32 = 256;

/// Watch a broker at work in this terminal: klamm demo orders.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    #[command(subcommand)]
    command: DemoCommand,
}

#[derive(Debug, Subcommand)]
enum DemoCommand {
    /// Watch a kitchen, delivery and billing read one topic of orders, each as a group of its own, at its own pace. Without
    /// --bootstrap-server a broker is started for it, in memory. Keys: p pauses the kitchen, r replays billing, q ends it.
    Orders(OrdersArguments),
}

#[derive(Debug, Args)]
struct OrdersArguments {
    /// Stop after so many orders, when all groups have read them [default: at q or Ctrl-C].
    #[arg(long, value_name = "N")]
    orders: Option<u64>,
    /// How many orders are sent a second, 0.01 to 1000.
    #[arg(long, value_name = "N", default_value_t = 2.0, value_parser = rate)]
    rate: f64,
    #[command(flatten)]
    connection: ConnectionArguments,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.01..=1_000.0).contains(&rate) { Ok(rate) } else { Err("there are 0.01 to 1000 a second".to_owned()) }
}

pub(super) fn run(arguments: &DemoArguments) -> Result<ExitCode, Failure> {
    let DemoCommand::Orders(arguments) = &arguments.command;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure { what: format!("no threads could be started: {error}"), hint: None })?;
    let result = runtime.block_on(async {
        if arguments.connection.names_a_broker() {
            let settings = arguments.connection.settings("klamm-demo")?;
            return Box::pin(show(arguments, settings)).await;
        }
        let server = start_broker().await?;
        let port = server.listeners().first().map_or(0, |(_, address)| address.port());
        let wait = Duration::from_secs(30);
        let shown = match settings(&format!("localhost:{port}"), wait, "klamm-demo") {
            Ok(settings) => Box::pin(show(arguments, settings)).await,
            Err(what) => Err(Failure { what, hint: None }),
        };
        if let Err(error) = server.stop().await {
            tracing::error!(%error, "the stop was not clean");
        }
        shown
    });
    // Somebody may still read keys.
    runtime.shutdown_background();
    result
}

/// A broker in memory, where clients look for one, or on any port if that is taken.
async fn start_broker() -> Result<Server, Failure> {
    let start = async |listeners: &str| {
        let pairs =
            [("listeners", listeners), ("klamm.storage.kind", "memory"), ("group.initial.rebalance.delay.ms", "0")];
        let config = Config::with(&pairs).map_err(|error| Failure { what: error.to_string(), hint: None })?;
        Ok::<_, Failure>(Server::start(config).await)
    };
    match start("PLAINTEXT://localhost:9092").await? {
        Err(StartError::AddressTaken { .. }) => Ok(start("PLAINTEXT://localhost:0").await??),
        outcome => Ok(outcome?),
    }
}

/// What everybody in the demo shares; they run in turns, in one task.
struct Stage {
    board: RefCell<Board>,
    /// Lines instead of a picture, where there is no terminal.
    is_plain: bool,
    is_paused: RefCell<bool>,
    is_replaying: RefCell<bool>,
    stop: CancellationToken,
}

impl Stage {
    fn tell(&self, line: &str) {
        if self.is_plain {
            print(&format!("{line}\n"));
        }
    }
}

async fn show(arguments: &OrdersArguments, settings: ClientSettings) -> Result<ExitCode, Failure> {
    create_topic(settings.clone()).await?;
    let mut terminal = Terminal::take();
    let stage = Stage {
        board: RefCell::default(),
        is_plain: terminal.is_none(),
        is_paused: RefCell::new(false),
        is_replaying: RefCell::new(false),
        stop: CancellationToken::new(),
    };
    let address = settings.bootstrap.first().map(ToString::to_string).unwrap_or_default();
    let ended = |outcome: Result<(), Failure>| {
        // Whoever fails ends it for all.
        if outcome.is_err() {
            stage.stop.cancel();
        }
        outcome
    };
    let (sent, kitchen, delivery, billing, ()) = tokio::join!(
        async { ended(send_orders(&stage, arguments, settings.clone()).await) },
        async { ended(follow(&stage, 0, settings.clone()).await) },
        async { ended(follow(&stage, 1, settings.clone()).await) },
        async { ended(follow(&stage, 2, settings.clone()).await) },
        watch(&stage, terminal.as_mut(), &address),
    );
    drop(terminal);
    sent.and(kitchen).and(delivery).and(billing)?;
    let board = stage.board.borrow();
    let read: Vec<_> = (0..GROUPS.len()).map(|at| format!("{} lags by {}", GROUPS[at], board.lag(at))).collect();
    print(&format!("{} orders sent; {}\n", board.sent, read.join(", ")));
    Ok(ExitCode::SUCCESS)
}

/// Creates the topic, unless there is one: with partitions enough for the groups to be seen reading each on their own,
/// whatever the broker's `num.partitions` is, and before anybody reads, so that nobody has to join a second time.
async fn create_topic(settings: ClientSettings) -> Result<(), Failure> {
    let mut client = ClusterClient::connect(settings).await?;
    let topic = TopicToCreate { name: TOPIC.to_owned(), partitions: Some(PARTITIONS), ..TopicToCreate::default() };
    for (_, outcome) in client.create_topics(&[topic], false).await?.0 {
        match outcome {
            Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Sends orders at the rate, until it is enough and all are read.
async fn send_orders(stage: &Stage, arguments: &OrdersArguments, settings: ClientSettings) -> Result<(), Failure> {
    let mut client = ClusterClient::connect(settings).await?;
    let mut producer = Producer::open(&mut client, &TOPIC.into(), ProducerSettings::default()).await?;
    let partitions: Vec<_> =
        producer.topic().partitions.iter().map(|one| (TopicPartition::new(TOPIC, one.index), LATEST)).collect();
    for (partition, end) in client.list_offsets(&partitions, false).await? {
        let end = end.map_err(|code| crate::client::ClientError::of_one(&partition, code))?;
        stage.board.borrow_mut().ends_at(partition.partition, end.offset);
    }
    let mut pace = interval(Duration::from_secs_f64(1.0 / arguments.rate));
    for number in 0.. {
        if arguments.orders.is_some_and(|orders| number >= orders) {
            break;
        }
        tokio::select! {
            _ = pace.tick() => {}
            () = stage.stop.cancelled() => return Ok(()),
        }
        let (customer, value) = order(number);
        let record = NewRecord {
            key: Some(Bytes::from_static(customer.as_bytes())),
            value: Some(value.clone().into()),
            timestamp_ms: now_ms(),
            ..NewRecord::default()
        };
        producer.send(&mut client, &record).await?;
        for delivery in producer.flush(&mut client).await? {
            let line = stage.board.borrow_mut().sent(delivery.partition, delivery.offset.unwrap_or_default(), &value);
            stage.tell(&line);
        }
    }
    while !stage.stop.is_cancelled() && !stage.board.borrow().is_read() {
        sleep(FRAME).await;
    }
    stage.stop.cancel();
    Ok(())
}

/// Reads the orders as one of the groups.
async fn follow(stage: &Stage, group: usize, settings: ClientSettings) -> Result<(), Failure> {
    let mut client = ClusterClient::connect(settings).await?;
    let reading = ConsumerSettings {
        reset: OffsetReset::Earliest,
        partition_max_bytes: TAKEN_AT_ONCE,
        ..ConsumerSettings::default()
    };
    let mut consumer = GroupConsumer::new(GroupSettings::new(GROUPS[group]), [TOPIC.into()], reading, true);
    while !stage.stop.is_cancelled() {
        if group == BILLING && stage.is_replaying.replace(false) {
            consumer.seek_to_beginning(&mut client).await?;
        }
        let is_paused = group == KITCHEN && *stage.is_paused.borrow();
        stage.board.borrow_mut().group(group).note = if is_paused { "paused" } else { "" };
        let fetched = if is_paused {
            consumer.keep_up(&mut client).await?;
            sleep(WAIT).await;
            Vec::new()
        } else {
            consumer.poll(&mut client, WAIT).await?
        };
        for partition in &fetched {
            for record in &partition.records {
                let value = String::from_utf8_lossy(record.record.value.as_deref().unwrap_or_default()).into_owned();
                let index = partition.partition.partition;
                let line = stage.board.borrow_mut().read(group, index, record.record.offset, &value);
                stage.tell(&line);
            }
            consumer.mark(&partition.partition, partition.read_up_to(partition.position));
        }
        let positions = consumer.positions().iter().map(|(partition, at)| (partition.partition, *at));
        stage.board.borrow_mut().reads_at(group, positions.collect());
    }
    Ok(consumer.close(&mut client).await?)
}

/// Draws, and hears keys and Ctrl-C, until it is over.
async fn watch(stage: &Stage, mut terminal: Option<&mut Terminal>, address: &str) {
    let mut interrupt = std::pin::pin!(interrupted());
    // Without a terminal, or without a thread for it, nobody presses keys.
    let mut keys = terminal.as_ref().and_then(|_| Terminal::keys().ok());
    let mut frames = interval(FRAME);
    while !stage.stop.is_cancelled() {
        let key = async {
            match &mut keys {
                Some(keys) => keys.recv().await,
                None => None,
            }
        };
        tokio::select! {
            _ = frames.tick() => {
                if let Some(terminal) = &mut terminal {
                    terminal.draw(&stage.board.borrow().picture(address));
                }
            }
            () = &mut interrupt => stage.stop.cancel(),
            Some(key) = key => match key {
                b'q' | 0x04 => stage.stop.cancel(),
                b'r' => drop(stage.is_replaying.replace(true)),
                b'p' => {
                    let mut is_paused = stage.is_paused.borrow_mut();
                    *is_paused = !*is_paused;
                }
                _ => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_within_reason() {
        assert_eq!(rate("2.5"), Ok(2.5));
        for wrong in ["0", "-1", "1e9", "fast", "NaN"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
