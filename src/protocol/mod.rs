//! The codec: bytes of the Kafka protocol in, typed messages out, and back. Pure.
//!
//! Messages come from the `kafka-protocol` crate; this module closes the gaps between that crate and hostile input
//! (see [`request`]) and adds what it lacks. It knows neither sockets nor which APIs are served.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod compression;
pub mod control_records;
mod coordinator_codec;
pub mod coordinator_records;
pub mod fetch_response;
pub mod frame;
pub mod header;
pub(crate) mod kraft_records;
pub mod record_batch;
pub mod request;
pub mod response;
pub mod transaction_records;

/// Kafka's error codes; `code()` gives the number on the wire, and 0 there means no error.
pub use kafka_protocol::error::ResponseError as ErrorCode;

use thiserror::Error;

/// Why bytes are not the message they should be; the connection they came from cannot be trusted any further.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The frame cannot hold the fixed part of a request header.
    #[error("a frame of {0} bytes is shorter than a request header")]
    TooShort(usize),
    /// The header or the body contradicts its schema.
    #[error("{0}")]
    Malformed(String),
}

/// Why a message has no form at some version: a bug of ours, which the property tests over all versions look for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot encode version {api_version}: {reason}")]
pub struct EncodeError {
    /// The version that was asked for.
    pub api_version: i16,
    /// What the encoder says.
    pub reason: String,
}

impl EncodeError {
    fn new(api_version: i16, reason: &impl ToString) -> Self {
        Self { api_version, reason: reason.to_string() }
    }
}
