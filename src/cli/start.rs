//! `klamm start`: configuration from its sources, a server, and its life until a signal ends it.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::OptionFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failures;
use super::logging::{log_filter, start_logging};
use super::port_owner::explain;
use super::print::print;
use super::sources::{configuration, environment};
use super::{Failure, StartArguments};
use crate::broker::loggers::Loggers;
use crate::config::{Config, Listener, Storage};
use crate::ids::NodeId;
use crate::server::{Server, raise_descriptor_limit};

/// The exit code of a program that Ctrl-C ended, by the shell's convention.
const INTERRUPTED: u8 = 130;

/// Runs a broker until SIGTERM, SIGHUP or Ctrl-C.
pub(super) fn run(arguments: &StartArguments) -> Result<ExitCode, Failures> {
    let config = configuration(arguments, &environment())?;
    let wanted = std::env::var_os("KLAMM_LOG").unwrap_or_default();
    let loggers = start_logging(&log_filter(&wanted.to_string_lossy())?);
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("klamm")
        .build()
        .map_err(|error| Failure { what: format!("no threads could be started: {error}"), hint: None })?;
    let result = runtime.block_on(serve(config, loggers, arguments));
    // A stop that was cut short does not wait for what still runs.
    runtime.shutdown_background();
    Ok(result?)
}

async fn serve(
    config: Config,
    loggers: Option<Arc<dyn Loggers>>,
    arguments: &StartArguments,
) -> Result<ExitCode, Failure> {
    let mut signals = Signals::install()
        .map_err(|error| Failure { what: format!("signals cannot be handled: {error}"), hint: None })?;
    let (listeners, storage, node_id) = (config.listeners.clone(), config.storage.clone(), config.node_id);
    let server = match Server::start_with_loggers(config, loggers).await {
        Ok(server) => server,
        Err(error) => return Err(explain(error).await),
    };
    print(&banner(&listeners, &storage, &server.listeners(), server.http()));
    if !std::io::stdout().is_terminal() {
        print(&phrases(node_id));
    }
    arguments.ready_line.iter().for_each(|line| print(&format!("{line}\n")));
    if let Some(file) = arguments.ready_file.as_deref().map(Path::new)
        && let Err(failure) = announce(file, &reachable_at(&listeners, &server.listeners()).unwrap_or_default())
    {
        server.stop().await;
        return Err(failure);
    }
    tokio::select! {
        () = signals.next() => {}
        what = server.failed() => {
            // As Kafka, which halts without its last log directory: the data must be recovered by a new start.
            let hint = Some("see the log for the reason; a start recovers what is on disk".to_owned());
            return Err(Failure { what: what.to_owned(), hint });
        }
    }
    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        () = server.stop() => Ok(ExitCode::SUCCESS),
        () = signals.next() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// The signals that stop a broker.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal was closed; `None` under nohup.
    hangup: Option<Signal>,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: (!is_hangup_ignored()).then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    async fn next(&mut self) {
        let hangup = OptionFuture::from(self.hangup.as_mut().map(Signal::recv));
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            Some(_) = hangup => {}
        }
    }
}

/// Whether whoever started this process had it ignore SIGHUP, as nohup does: then it shall outlive its terminal. Only
/// Linux tells.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is signal 1, the lowest bit.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// What a person wants to know after the start: where it listens, where its data is, and what to try.
fn banner(
    listeners: &[Listener],
    storage: &Storage,
    bound: &[(Arc<str>, SocketAddr)],
    http: Option<SocketAddr>,
) -> String {
    let mut lines = vec![format!("Klamm {} is ready", env!("CARGO_PKG_VERSION"))];
    lines.extend(bound.iter().map(|(name, address)| format!("  listening  {address} ({name})")));
    lines.push(match storage {
        Storage::Disk(directory) => format!("  data       {}", absolute(directory)),
        Storage::Memory => "  data       in memory, gone when this process ends".to_owned(),
    });
    lines.extend(http.map(|address| format!("  http       http://{address} (/metrics, /readyz)")));
    if let Some(broker) = reachable_at(listeners, bound) {
        lines.push("Try:".to_owned());
        lines.push(format!("  echo hello | kcat -b {broker} -P -t greetings"));
        lines.push(format!("  kcat -b {broker} -C -t greetings -o beginning -e"));
        lines.push(format!("  kafka-topics.sh --bootstrap-server {broker} --create --if-not-exists --topic greetings"));
    }
    lines.join("\n") + "\n"
}

/// What programs wait for that start a container of Apache Kafka's and read its log: Testcontainers for all its
/// languages, and Strimzi's. By now the listeners accept connections and Metadata is answered.
fn phrases(node_id: NodeId) -> String {
    format!(
        "INFO [BrokerLifecycleManager id={node_id}] The broker has been unfenced. Transitioning from RECOVERY to RUNNING.\n\
         INFO [KafkaRaftServer nodeId={node_id}] Kafka Server started\n\
         INFO [KafkaServer id={node_id}] started\n"
    )
}

/// Writes the address for clients into `file`, which is whole as soon as it is there.
fn announce(file: &Path, address: &str) -> Result<(), Failure> {
    let unfinished = file.with_added_extension("unfinished");
    let written = std::fs::write(&unfinished, format!("{address}\n")).and_then(|()| std::fs::rename(&unfinished, file));
    written.map_err(|error| Failure {
        what: format!("--ready-file: {} cannot be written: {error}", file.display()),
        hint: Some("a file in a directory that exists".to_owned()),
    })
}

fn absolute(directory: &Path) -> String {
    std::path::absolute(directory).as_deref().unwrap_or(directory).display().to_string()
}

/// The address to give to a client on this machine.
fn reachable_at(listeners: &[Listener], bound: &[(Arc<str>, SocketAddr)]) -> Option<String> {
    let (name, address) = bound.first()?;
    let listener = listeners.iter().find(|listener| listener.name == *name)?;
    let told = listener.advertised.clone().unwrap_or_else(|| listener.bind.clone());
    let host = if told.host.is_empty() { "localhost" } else { &told.host };
    let port = if told.port == 0 { address.port() } else { told.port };
    Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_file_holds_the_address_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ready");
        announce(&file, "localhost:9092").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "localhost:9092\n");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        let refused = announce(&directory.path().join("nowhere/ready"), "x").expect_err("there is no directory");
        assert!(refused.to_string().contains("nowhere/ready cannot be written"), "{refused}");
    }

    #[test]
    fn the_banner_names_the_port_that_was_picked() {
        let config = Config::with(&[("listeners", "PLAINTEXT://0.0.0.0:0"), ("klamm.storage.kind", "memory")]).unwrap();
        let bound = [("PLAINTEXT".into(), "0.0.0.0:4711".parse().unwrap())];
        let banner = banner(&config.listeners, &config.storage, &bound, Some("127.0.0.1:9021".parse().unwrap()));
        assert!(banner.contains("listening  0.0.0.0:4711 (PLAINTEXT)\n"), "{banner}");
        assert!(banner.contains("kcat -b localhost:4711 -C"), "{banner}");
        assert!(banner.contains("in memory"), "{banner}");
    }
}
