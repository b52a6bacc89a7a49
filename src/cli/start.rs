//! `klamm start`: configuration from its sources, a server, and its life until a signal ends it.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::OptionFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::banner::{Banner, Setup, phrases};
use super::cluster_banner::{ClusterBanner, bootstrap};
use super::failure::{Failures, failures};
use super::logging::{json_to, start_logging};
use super::port_owner::explain;
use super::print::print;
use super::sources::{configuration, environment};
use super::{Failure, StartArguments};
use crate::broker::loggers::Loggers;
use crate::config::{Config, Environment, LogFormat, Storage};
use crate::server::{LocalCluster, LocalClusterError, Server, StopError, Surroundings, raise_descriptor_limit};

/// The exit code of a program that Ctrl-C ended, by the shell's convention.
const INTERRUPTED: u8 = 130;

/// Runs a broker until SIGTERM, SIGHUP or Ctrl-C, in a process that has begun at `begun`.
pub(super) fn run(arguments: &StartArguments, begun: Instant) -> Result<ExitCode, Failures> {
    let environment = environment();
    let config = configuration(arguments, &environment);
    let is_json = config
        .as_ref()
        .map_or_else(|_| is_json_asked(arguments, &environment), |config| config.log_format == LogFormat::Json);
    let outcome = config.and_then(|config| run_with(config, arguments, begun));
    match outcome {
        Err(failures) if is_json => {
            json_to(std::io::stderr, || failures.log());
            Ok(failures.exit_code())
        }
        outcome => outcome,
    }
}

/// Whether the log was to be JSON, as far as that can be known of a configuration that is wrong: files may be unreadable.
fn is_json_asked(arguments: &StartArguments, environment: &Environment) -> bool {
    let flag = arguments.set.iter().rev().find(|(key, _)| key == "klamm.log.format").map(|(_, value)| value);
    flag.or_else(|| environment.get("KLAMM_LOG_FORMAT")).is_some_and(|format| format == "json")
}

fn run_with(config: Config, arguments: &StartArguments, begun: Instant) -> Result<ExitCode, Failures> {
    let loggers = start_logging(&config.log_levels, config.log_format);
    #[cfg(feature = "planted-bugs")]
    crate::planted_bugs::check_name().map_err(|what| Failure { what, hint: None })?;
    raise_descriptor_limit();
    // One more than can run at once: one never waits for the disk.
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get) + 1;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .thread_name("klamm")
        .build()
        .map_err(|error| Failure { what: format!("no threads could be started: {error}"), hint: None })?;
    let result = runtime.block_on(serve(config, loggers, arguments, begun));
    // A stop that was cut short does not wait for what still runs.
    runtime.shutdown_background();
    result
}

async fn serve(
    config: Config,
    loggers: Option<Arc<dyn Loggers>>,
    arguments: &StartArguments,
    begun: Instant,
) -> Result<ExitCode, Failures> {
    let mut signals = Signals::install()
        .map_err(|error| Failure { what: format!("signals cannot be handled: {error}"), hint: None })?;
    let (setup, log_format) = (Setup::by(&config), config.log_format);
    let waits_for_others = !config.quorum_voters.is_empty() || arguments.brokers.is_some();
    let surroundings = Surroundings { loggers, ..Surroundings::default() };
    let started = tokio::select! {
        started = start(config, arguments, surroundings) => started,
        // Nobody is served yet, and what is on the disk is as after a crash.
        () = signals.next(), if waits_for_others => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let brokers = started?;
    let setups = setup.of_each(brokers.servers());
    let servers = brokers.servers().iter().zip(&setups);
    let banners: Vec<_> = servers.map(|(server, setup)| Banner::of(server, setup, begun.elapsed())).collect();
    tell_start(&banners, log_format, &arguments.ready_line);
    if let Some(file) = arguments.ready_file.as_deref().map(Path::new)
        && let Err(failure) = announce(file, &bootstrap(&banners))
    {
        return Err(brokers.stop().await.err().map_or(failure, |error| unclean(&error)).into());
    }
    tokio::select! {
        () = signals.next() => {}
        what = brokers.failed() => {
            // As Kafka, which halts without its last log directory: the data must be recovered by a new start.
            let hint = Some("see the log for the reason; a start recovers what is on disk".to_owned());
            return Err(Failure { what, hint }.into());
        }
    }
    Ok(stop(brokers, &mut signals).await?)
}

/// Starts the broker, or as many as the arguments say.
async fn start(
    config: Config,
    arguments: &StartArguments,
    surroundings: Surroundings,
) -> Result<LocalCluster, Failures> {
    match arguments.brokers {
        None | Some(1) => {
            let directories = config.storage.clone();
            match Server::start_with(config, surroundings).await {
                Ok(server) => Ok(LocalCluster::of(server)),
                Err(error) => Err(several_brokers(&directories).unwrap_or(explain(error).await).into()),
            }
        }
        Some(brokers) => match Box::pin(LocalCluster::start(&config, brokers, &surroundings)).await {
            Ok(cluster) => Ok(cluster),
            Err(LocalClusterError::Config(errors)) => Err(Failures::of_configuration(failures(errors).collect())),
            Err(LocalClusterError::Start { node, error }) => {
                let failure = explain(error).await;
                Err(Failure { what: format!("node {node}: {}", failure.what), ..failure }.into())
            }
            Err(error @ LocalClusterError::OneBrokers { .. }) => {
                let hint = Some("another directory with --data-dir, or one broker without --brokers".to_owned());
                Err(Failure { what: error.to_string(), hint }.into())
            }
        },
    }
}

/// What a start of one broker tells that has failed where several have their data.
fn several_brokers(storage: &Storage) -> Option<Failure> {
    let (path, number) = LocalCluster::brokers_in(storage)?;
    let what = format!("{} has the data of {number} brokers that were started together", path.display());
    Some(Failure { what, hint: Some(format!("--brokers {number}, or another directory with --data-dir")) })
}

async fn stop(brokers: LocalCluster, signals: &mut Signals) -> Result<ExitCode, Failure> {
    tracing::info!("stopping; a second signal stops at once");
    let begun = Instant::now();
    tokio::select! {
        stopped = brokers.stop() => {
            stopped.map_err(|error| unclean(&error))?;
            tracing::info!("stopped in {} ms", begun.elapsed().as_millis());
            Ok(ExitCode::SUCCESS)
        }
        () = signals.next() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// A stop after which not everything is on the disk: whoever restarts brokers must see that it was none.
fn unclean(error: &StopError) -> Failure {
    let hint = Some("see the log for the reason; the next start recovers what is on disk".to_owned());
    Failure { what: error.to_string(), hint }
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

/// Tells on stdout that the brokers are ready: to a person, or to programs that read JSON or wait for phrases.
fn tell_start(banners: &[Banner<'_>], format: LogFormat, ready_lines: &[String]) {
    let is_terminal = std::io::stdout().is_terminal();
    // A person at a terminal has no use for them.
    let phrases = banners.iter().filter(|_| !is_terminal).flat_map(|banner| phrases(banner.node_id));
    match format {
        LogFormat::Plain => {
            let is_colourful = is_terminal && std::env::var_os("NO_COLOR").is_none();
            print(&match banners {
                [banner] => banner.text(is_colourful),
                banners => ClusterBanner(banners).text(is_colourful),
            });
            phrases.for_each(|phrase| print(&format!("INFO {phrase}\n")));
            for line in ready_lines {
                print(&format!("{line}\n"));
            }
        }
        LogFormat::Json => json_to(std::io::stdout, || {
            banners.iter().for_each(Banner::log);
            phrases.chain(ready_lines.iter().cloned()).for_each(|line| tracing::info!("{line}"));
        }),
    }
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
}
