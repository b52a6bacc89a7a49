//! Between the text of messages, which is a slice of a request's frame, and text of our own.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

/// Text of our own, which may outlive the request's frame.
pub(super) fn owned(text: &str) -> Arc<str> {
    text.into()
}

/// Optional text of our own.
pub(super) fn owned_option(text: Option<&StrBytes>) -> Option<Arc<str>> {
    text.map(|text| owned(text))
}

/// Bytes of our own.
pub(super) fn owned_bytes(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Text for a message.
pub(super) fn message_text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Optional text for a message.
pub(super) fn message_option(text: Option<&Arc<str>>) -> Option<StrBytes> {
    text.map(|text| message_text(text))
}
