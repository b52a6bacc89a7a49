//! How a handler answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// An answer that completes later, while the connection reads on.
pub type OwedReply<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What a handler gives back once the ordered part of its work is done.
pub enum Reply<T> {
    /// No answer is sent: Produce with acks=0.
    None,
    /// The answer is here.
    Ready(T),
    /// The answer will come; the connection handles its next request meanwhile and keeps the order of answers.
    Owed(OwedReply<T>),
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
            Self::None => formatter.write_str("None"),
            Self::Ready(response) => formatter.debug_tuple("Ready").field(response).finish(),
            Self::Owed(_) => formatter.write_str("Owed(..)"),
        }
    }
}
