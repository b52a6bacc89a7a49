//! The codec: bytes of the Kafka protocol in, typed messages out, and back. Pure.

/// Kafka's error codes; `code()` gives the number on the wire, and 0 there means no error.
pub use kafka_protocol::error::ResponseError as ErrorCode;
