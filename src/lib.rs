//! Klamm: a broker that speaks the Kafka wire protocol.
//!
//! # The house
//!
//! An import may point only to a lower floor; `tests/tidy.rs` holds every file to it.
//!
//! | floor | module | what it hides |
//! |---|---|---|
//! | 6 | [`cli`] | arguments, the start of a process, what a person reads |
//! | 6 | [`server`] | building the floors bottom-up for one broker, and stopping them in reverse |
//! | 5 | [`api`] | the table of Kafka's APIs; one handler file each; and [`api::http`]: health and metrics |
//! | 4 | `broker` | what handlers share |
//! | 3 | [`controller`] | what the cluster shall be, as a state machine |
//! | 3 | [`coordinator`] | consumer groups with their offsets, and transactions, as state machines; the runtime that drives them |
//! | 2 | [`quorum`] | the metadata log and its consensus |
//! | 2 | [`replication`] | partitions as leader and followers see them; requests that wait |
//! | 2 | [`client`] | our own Kafka client: what the command line asks brokers with |
//! | 1 | [`storage`] | one partition's log as files in Kafka's formats, and the directories of all of them |
//! | 1 | [`metadata`] | what the cluster is: an immutable image and its deltas |
//! | 1 | [`network`] | sockets, frames, backpressure |
//! | 1 | [`quota`] | what clients may take, and how long they wait when they have taken more |
//! | 1 | [`security`] | who asks, and what they may do |
//! | 1 | [`state_machine`] | the one shape of everything that decides |
//! | 0 | [`protocol`] | the codec: frames, headers, record batches, compression |
//! | 0 | [`config`] | every key once |
//! | 0 | [`metrics`] | what a broker counts, by one table, and the text that is scraped |
//! | 0 | [`ids`], [`clock`] | names of things; the only source of time |
//! | 0 | `planted_bugs` | bugs on purpose, behind a feature that no release has |
//!
//! # What holds everywhere
//!
//! - **Decide apart from do.** `protocol`, `config`, `ids`, `metadata`, `quota`, `security`, `state_machine`, `controller`
//!   but for its client, `coordinator` but for its runtime, `replication::partition`, `replication::replica_move`,
//!   `storage::cleaner`, and what decides in `replication::fetcher`, in `broker::hints`, in `client` (where a record goes,
//!   who reads which partition, what an error is called) and in `cli` (the languages of formats and offsets) are pure: inputs and the time go in,
//!   effects come out. They know no tasks, files, sockets, threads, clocks, locks or randomness.
//! - `storage` is synchronous; `async` begins at `network` and `replication`.
//! - Handlers see neither bytes nor sockets nor files; a range of a file that they pass on to the network is only a name.
//!   Machines see neither headers nor futures.
//! - A broker is a value: there are no statics, and two of them live in one process side by side.
//! - Who starts a task also stops and awaits it.
//! - One lock per partition; it is never held across an await, nor across an fsync, but for one of a file that must be
//!   closed because the descriptors are used up, and one of a directory when a replica has moved to another one.
//! - A failed write or fsync is never retried: the log directory goes offline, and the others go on.
//! - Bytes from the network or the disk never panic.
//!
//! # Paths
//!
//! - Produce: connection, `api::dispatch`, `api::produce`, `replication::ReplicaManager`, the partition's `Log`, and an
//!   answer that is owed until the high watermark covers it.
//! - Fetch: `api::fetch`, the fetch session, `ReplicaManager`, a range of a segment that the connection has the system
//!   send; or owed until there are enough bytes.
//! - `JoinGroup` and its kin: the coordinator runtime's mailbox for that partition, the group machine, records, replay,
//!   and the reply once they are committed.
//! - A transaction: `api::produce` has `broker::transaction_verification` ask the transaction machine before its first
//!   records; `EndTxn` has that machine decide, by one record; `broker::transaction_markers` tells each partition, those of
//!   `__consumer_offsets` through the group machine; and the partition's last stable offset moves on.
//! - `CreateTopics`: the controller, the metadata log, the published image, and then the answer.

pub mod api;
pub mod broker;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod ids;
pub mod metadata;
pub mod metrics;
pub mod network;
mod planted_bugs;
pub mod protocol;
pub mod quorum;
pub mod quota;
pub mod replication;
pub mod security;
pub mod server;
pub mod state_machine;
pub mod storage;
#[cfg(test)]
#[path = "../tests/fixtures/unpack.rs"]
mod unpack;
