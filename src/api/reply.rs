//! How a handler answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::network::CloseReason;

/// An answer that completes later, while the connection reads on.
pub type OwedReply<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What a handler gives back once the ordered part of its work is done.
///
/// A response carries its throttle time itself (see [`super::throttle_time`]); once it is complete, the connection's
/// requests are not read for so long.
pub enum Reply<T> {
    /// No answer is sent: Produce with acks=0. The connection's requests are not read for this throttle time.
    None(Duration),
    /// The answer is here.
    Ready(T),
    /// The answer will come; the connection handles its next request meanwhile and keeps the order of answers.
    Owed(OwedReply<T>),
    /// The answer is here and the connection's last one; it ends for this reason.
    Last(T, CloseReason),
}

impl<T> Reply<T> {
    /// An answer that completes later.
    pub fn owed(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Owed(Box::pin(future))
    }
}

impl<T: fmt::Debug> fmt::Debug for Reply<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(throttle_time) => formatter.debug_tuple("None").field(throttle_time).finish(),
            Self::Ready(response) => formatter.debug_tuple("Ready").field(response).finish(),
            Self::Owed(_) => formatter.write_str("Owed(..)"),
            Self::Last(response, reason) => formatter.debug_tuple("Last").field(response).field(reason).finish(),
        }
    }
}
