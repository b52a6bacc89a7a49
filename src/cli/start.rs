//! `klamm start`: configuration from its sources, a server, and its life until a signal ends it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::OptionFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::config::{print, read_file};
use super::logging::{log_filter, start_logging};
use super::{Failure, StartArguments};
use crate::broker::loggers::Loggers;
use crate::config::{Config, FromValue, HostPort, Listener, Origin, Settings, Storage};
use crate::server::{Server, raise_descriptor_limit};

/// The exit code of a program that Ctrl-C ended, by the shell's convention.
const INTERRUPTED: u8 = 130;

/// Runs a broker until SIGTERM, SIGHUP or Ctrl-C.
pub(super) fn run(arguments: &StartArguments) -> Result<ExitCode, Failure> {
    let config = configuration(arguments)?;
    let wanted = std::env::var_os("KLAMM_LOG").unwrap_or_default();
    let loggers = start_logging(&log_filter(&wanted.to_string_lossy())?);
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("klamm")
        .build()
        .map_err(|error| Failure { what: format!("no threads could be started: {error}"), hint: None })?;
    let result = runtime.block_on(serve(config, loggers));
    // A stop that was cut short does not wait for what still runs.
    runtime.shutdown_background();
    result
}

/// Defaults, then the file, then the flags, then `--set`.
fn configuration(arguments: &StartArguments) -> Result<Config, Failure> {
    let mut settings = Settings::default();
    if let Some(file) = &arguments.config {
        read_file(&mut settings, file)?;
    }
    if let Some(address) = &arguments.listen {
        listen(&mut settings, address)?;
    }
    if let Some(directory) = &arguments.data_dir {
        if directory.trim().is_empty() {
            return Err(Failure { what: "--data-dir: it must name a directory".to_owned(), hint: None });
        }
        settings.set("log.dirs", directory, Origin::Flag("--data-dir"))?;
        settings.set("klamm.storage.kind", "disk", Origin::Flag("--data-dir"))?;
    }
    if arguments.memory {
        settings.set("klamm.storage.kind", "memory", Origin::Flag("--memory"))?;
    }
    if let Some(node_id) = &arguments.node_id {
        settings.set("node.id", node_id, Origin::Flag("--node-id"))?;
    }
    for (key, value) in &arguments.set {
        settings.set(key, value, Origin::Flag("--set"))?;
    }
    Ok(Config::new(settings)?)
}

/// `--listen` stands for one plain listener, whatever listeners the file has.
fn listen(settings: &mut Settings, address: &str) -> Result<(), Failure> {
    check_listen(address)?;
    let listener = format!("PLAINTEXT://{address}");
    let keys = [
        ("listeners", listener.as_str()),
        ("advertised.listeners", &listener),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT"),
        ("inter.broker.listener.name", "PLAINTEXT"),
    ];
    Ok(keys.into_iter().try_for_each(|(key, text)| settings.set(key, text, Origin::Flag("--listen")))?)
}

/// Tells about an address in the words of `--listen`, before it becomes a part of `listeners`.
fn check_listen(address: &str) -> Result<(), Failure> {
    let Err(reason) = HostPort::from_value(address) else { return Ok(()) };
    let has_port = address.rsplit_once(':').is_some_and(|(host, _)| !host.contains(['/', ',']));
    let what = if has_port { reason } else { format!("\"{address}\" is not of the form HOST:PORT") };
    let hint = if address.contains("://") {
        format!("--set listeners={address}")
    } else {
        "--listen localhost:9092, or 0.0.0.0:9092 for every interface".to_owned()
    };
    Err(Failure { what: format!("--listen: {what}"), hint: Some(hint) })
}

async fn serve(config: Config, loggers: Option<Arc<dyn Loggers>>) -> Result<ExitCode, Failure> {
    let mut signals = Signals::install()
        .map_err(|error| Failure { what: format!("signals cannot be handled: {error}"), hint: None })?;
    let (listeners, storage) = (config.listeners.clone(), config.storage.clone());
    let server = Server::start_with_loggers(config, loggers).await?;
    print(&banner(&listeners, &storage, &server.listeners()));
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
fn banner(listeners: &[Listener], storage: &Storage, bound: &[(Arc<str>, SocketAddr)]) -> String {
    let mut lines = vec![format!("Klamm {} is ready", env!("CARGO_PKG_VERSION"))];
    lines.extend(bound.iter().map(|(name, address)| format!("  listening  {address} ({name})")));
    lines.push(match storage {
        Storage::Disk(directory) => format!("  data       {}", absolute(directory)),
        Storage::Memory => "  data       in memory, gone when this process ends".to_owned(),
    });
    if let Some(broker) = reachable_at(listeners, bound) {
        lines.push("Try:".to_owned());
        lines.push(format!("  echo hello | kcat -b {broker} -P -t greetings"));
        lines.push(format!("  kcat -b {broker} -C -t greetings -o beginning -e"));
        lines.push(format!("  kafka-topics.sh --bootstrap-server {broker} --create --if-not-exists --topic greetings"));
    }
    lines.join("\n") + "\n"
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

    fn start(arguments: &StartArguments) -> Config {
        configuration(arguments).expect("the arguments are fine")
    }

    #[test]
    fn flags_are_stronger_than_the_file_and_set_is_the_strongest() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("klamm.yaml");
        std::fs::write(&file, "node: {id: 4}\nlisteners: [{name: IN, bind: 'a:1'}]\nnum.partitions: 2\nlog.dirs: x\n")
            .unwrap();
        let file = Some(file.display().to_string());
        let from_file = start(&StartArguments { config: file.clone(), ..StartArguments::default() });
        assert_eq!((from_file.node_id, from_file.listeners[0].bind.to_string()), (4, "a:1".to_owned()));
        let flags = start(&StartArguments {
            config: file,
            listen: Some("127.0.0.1:0".to_owned()),
            memory: true,
            node_id: Some("5".to_owned()),
            set: vec![("node.id".to_owned(), "6".to_owned())],
            ..StartArguments::default()
        });
        assert_eq!((flags.node_id, flags.storage.clone(), flags.broker.num_partitions), (6, Storage::Memory, 2));
        assert_eq!(flags.listeners.len(), 1);
        assert_eq!(flags.listeners[0].bind.to_string(), "127.0.0.1:0");
        assert_eq!(flags.origin("node.id").to_string(), "--set");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_try() {
        let told = |key: &str| {
            let set = vec![(key.to_owned(), "1".to_owned())];
            configuration(&StartArguments { set, ..StartArguments::default() }).expect_err("accepted").to_string()
        };
        assert_eq!(told("nodeid"), "klamm: --set: unknown key \"nodeid\"\n  try: did you mean \"node.id\"?");
        let missing = StartArguments { config: Some("/nowhere.yaml".to_owned()), ..StartArguments::default() };
        assert!(
            configuration(&missing).expect_err("read").to_string().starts_with("klamm: /nowhere.yaml cannot be read: ")
        );
    }

    #[test]
    fn an_address_is_checked_in_the_words_of_its_flag() {
        let told = |address: &str| {
            let listen = Some(address.to_owned());
            configuration(&StartArguments { listen, ..StartArguments::default() }).expect_err(address).to_string()
        };
        assert_eq!(
            told("localhost"),
            "klamm: --listen: \"localhost\" is not of the form HOST:PORT\n  \
             try: --listen localhost:9092, or 0.0.0.0:9092 for every interface"
        );
        assert!(told("localhost:70000").contains("\"70000\" is not a port between 0 and 65535"));
        assert_eq!(
            told("IN://h:1"),
            "klamm: --listen: \"IN://h:1\" is not of the form HOST:PORT\n  try: --set listeners=IN://h:1"
        );
        let data_dir = Some(String::new());
        let nowhere = configuration(&StartArguments { data_dir, ..StartArguments::default() });
        assert_eq!(nowhere.expect_err("no directory").to_string(), "klamm: --data-dir: it must name a directory");
    }

    #[test]
    fn the_banner_names_the_port_that_was_picked() {
        let config =
            start(&StartArguments { listen: Some("0.0.0.0:0".to_owned()), memory: true, ..StartArguments::default() });
        let bound = [("PLAINTEXT".into(), "0.0.0.0:4711".parse().unwrap())];
        let banner = banner(&config.listeners, &config.storage, &bound);
        assert!(banner.contains("listening  0.0.0.0:4711 (PLAINTEXT)\n"), "{banner}");
        assert!(banner.contains("kcat -b localhost:4711 -C"), "{banner}");
        assert!(banner.contains("in memory"), "{banner}");
    }
}
