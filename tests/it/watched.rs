//! A broker whose errors are expected.

use std::io;
use std::sync::{Arc, Mutex};

use klamm::config::Config;
use klamm::server::Server;
use tokio::runtime::Runtime;

use crate::broker::{Broker, Client};
use crate::server::within;

/// What one broker logs.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A broker with a runtime and a log of its own: its errors are expected ones.
pub(crate) struct Watched {
    pub(crate) broker: Broker,
    runtime: Runtime,
    lines: Lines,
}

impl Watched {
    pub(crate) async fn start(config: Config) -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
        let dispatch = tracing::Dispatch::new(subscriber.with_writer(move || writer.clone()).finish());
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().on_thread_start(move || {
            // As long as the thread lives.
            std::mem::forget(tracing::dispatcher::set_default(&dispatch));
        });
        let runtime = runtime.build().unwrap();
        let server = within(runtime.spawn(Server::start(config))).await.unwrap().unwrap();
        Self { broker: Broker(server), runtime, lines }
    }

    pub(crate) async fn client(&self) -> Client {
        self.broker.client().await
    }

    /// The lines so far that contain `text`.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        let log = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Whether the stop was clean.
    pub(crate) async fn stop(self) -> bool {
        let Self { broker: Broker(server), runtime, .. } = self;
        let stopped = within(runtime.spawn(server.stop())).await.unwrap();
        runtime.shutdown_background();
        stopped.is_ok()
    }
}
