//! What remembers for clients: consumer groups with their committed offsets, and transactions.
//!
//! A coordinator is one pure [`StateMachine`](crate::state_machine::StateMachine) per partition of an internal topic.
//! The runtime loads it by replaying the partition, drives it while this broker leads the partition, and unloads it
//! afterwards. A machine knows neither the log nor the clock nor the wire: what it decides comes out as records and
//! replies, and nothing but a record changes what survives a restart.

pub mod group;
mod machine;
mod partition;
pub mod runtime;
pub mod transaction;

pub use partition::partition_for;
