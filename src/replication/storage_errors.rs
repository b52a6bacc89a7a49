//! What is logged of storage errors. A full disk refuses every append, and each refusal would be a line.

use std::sync::{Mutex, PoisonError};

use crate::clock::Clock;
use crate::network::LogLimit;
use crate::storage::StorageError;

/// Where the storage errors of a broker's requests are logged, so many at most.
pub struct StorageErrors {
    clock: Clock,
    limit: Mutex<LogLimit>,
}

impl StorageErrors {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, limit: Mutex::default() }
    }

    /// Logs that `action` (what was being done, such as "appending to the log") failed, unless too many such lines were
    /// written just now; the next one says how many were left out. The error names the file, and so the partition.
    pub fn log(&self, action: &str, error: &StorageError) {
        let now = self.clock.monotonic();
        let allowed = self.limit.lock().unwrap_or_else(PoisonError::into_inner).allow(now);
        if let Some(suppressed) = allowed {
            tracing::error!(%error, suppressed, "{action} failed; {}", error.advice());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    /// A log that is only counted.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("is whole").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_does_not_fill_the_log() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            let errors = StorageErrors::new(Clock::system());
            let error = StorageError::Io {
                action: "cannot write",
                path: "orders-0/0.log".into(),
                source: Arc::new(io::ErrorKind::StorageFull.into()),
            };
            for _ in 0..10_000 {
                errors.log("appending to the log", &error);
            }
        });
        let logged = String::from_utf8(lines.0.lock().expect("is whole").clone()).expect("is text");
        let count = logged.lines().count();
        // A burst, and one more for each second that this takes.
        assert!((10..20).contains(&count), "{count}");
        assert!(logged.contains("appending to the log failed") && logged.contains("orders-0/0.log"), "{logged}");
        assert!(logged.contains("free some space"), "{logged}");
    }
}
