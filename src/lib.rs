//! Klamm: a broker that speaks the Kafka wire protocol.

pub mod api;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod ids;
pub mod metadata;
pub mod network;
pub mod protocol;
pub mod quorum;
pub mod replication;
pub mod state_machine;
pub mod storage;
