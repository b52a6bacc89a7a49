//! One file per Kafka API: authorise, validate, call below, shape the answer.

pub mod context;
pub mod reply;
