//! Partitions as replicas: who leads, who is in sync, up to where records are committed, and who waits for that.
//!
//! [`partition`] decides and is pure. [`replica_manager`] does: it hosts the logs of this broker's partitions and keeps
//! one lock per partition, which is never held across an await, the write of a batch or, but for the end of a move, an
//! fsync. [`delayed`] is where produce requests wait for the high watermark and long polls for records. [`fetcher`] brings
//! here what other brokers lead, and [`isr_changes`] is what leaders want of the controller. [`log_cleaner`] compacts
//! logs, [`replica_mover`] moves them between log directories. This floor knows nothing of clients' requests and
//! connections, nor of groups.

mod append_outcome;
mod claims;
pub mod cleaner_metrics;
mod cleaning_turn;
pub mod delayed;
mod disk_turns;
pub mod fetch_session;
pub mod fetcher;
mod followed;
pub mod hosted_partition;
pub mod housekeeping;
mod io_throttle;
pub mod isr_changes;
pub mod log_cleaner;
mod low_priority;
pub mod ownership;
pub mod partition;
mod partition_cleaning;
pub mod replica_manager;
mod replica_move;
pub mod replica_mover;
pub mod storage_errors;
