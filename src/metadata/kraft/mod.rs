//! Apache Kafka's own metadata (`KRaft`), read to be taken over: bytes in, and out comes what our metadata would be, or
//! everything that keeps it from being that.
//!
//! [`KraftLog`] holds the bytes of the newest snapshot and of the log behind it; [`KraftLog::replay`] makes a
//! [`KraftCluster`] of them, as Kafka's controller does when it starts; and [`KraftCluster::take_over`] decides. Pure;
//! knows neither files nor what else lies in the directory.

mod cluster;
mod log;
#[cfg(test)]
mod tests;

pub use cluster::{KraftCluster, TakenOver, some_of};
pub use log::{KraftLog, KraftLogError};
