//! Every mechanical error to Kafka's error code, in exhaustive matches, and nowhere else.

use std::borrow::Cow;

use crate::protocol::{DecodeError, EncodeError};

/// Why a handler gives no answer at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The connection is to be closed; what it says goes into the log.
    #[error("{0}")]
    Close(Cow<'static, str>),
}

impl ApiError {
    /// Closes the connection for `reason`: a phrase that ends the sentence "closed the connection: ...".
    pub fn close(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Close(reason.into())
    }
}

/// Kafka closes connections whose requests it cannot parse.
impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        Self::close(error.to_string())
    }
}

/// A response that cannot be written leaves a client waiting; a closed connection makes it try again.
impl From<EncodeError> for ApiError {
    fn from(error: EncodeError) -> Self {
        Self::close(error.to_string())
    }
}
