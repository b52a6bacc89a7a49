//! What is logged, where, and from which level on, which clients may change while the broker runs.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{EnvFilter, reload};

use crate::broker::loggers::{LogLevel, Loggers, ROOT_LOGGER};
use crate::config::LogFormat;

/// What is logged where the levels were set to nothing.
const DEFAULT_LOG_FILTER: &str = "info";
/// Holds unless the levels name openraft: it warns of each heartbeat that does not reach a node, and the quorum itself says
/// whom it reaches.
const CONSENSUS_LOG_FILTER: &str = "openraft=error";

/// The loggers that have a name of their own: the floors of the house, and what consensus is built on.
const LOGGERS: &[&str] = &[
    ROOT_LOGGER,
    "klamm",
    "klamm::api",
    "klamm::broker",
    "klamm::controller",
    "klamm::coordinator",
    "klamm::network",
    "klamm::quorum",
    "klamm::replication",
    "klamm::server",
    "klamm::storage",
    "openraft",
];

/// What is logged at these levels, which `klamm.log.level` has.
fn log_filter(levels: &str) -> String {
    let levels = if levels.is_empty() { DEFAULT_LOG_FILTER } else { levels };
    let is_quieter = EnvFilter::new(levels).max_level_hint().is_some_and(|level| level <= LevelFilter::ERROR);
    if is_quieter || levels.contains("openraft") {
        return levels.to_owned();
    }
    format!("{CONSENSUS_LOG_FILTER},{levels}")
}

/// Logs go to stderr, so that stdout holds what a person or a script wants to read. `None` where an embedding program has
/// its own logging already; then that one stays, and is nobody else's to change.
pub(super) fn start_logging(levels: &str, format: LogFormat) -> Option<Arc<dyn Loggers>> {
    let filter = log_filter(levels);
    let is_colourful = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logging = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(EnvFilter::new(&filter));
    let reload: Reload = match format {
        LogFormat::Plain => {
            let logging = logging.with_ansi(is_colourful).with_filter_reloading();
            let handle = logging.reload_handle();
            logging.try_init().ok()?;
            Box::new(move |filter| report(handle.reload(filter)))
        }
        LogFormat::Json => {
            let logging = logging.json().flatten_event(true).with_current_span(false).with_span_list(false);
            let logging = logging.with_filter_reloading();
            let handle = logging.reload_handle();
            logging.try_init().ok()?;
            Box::new(move |filter| report(handle.reload(filter)))
        }
    };
    Some(Arc::new(FilterLoggers { base: filter, set: Mutex::default(), reload }))
}

fn report(reloaded: Result<(), reload::Error>) {
    if let Err(error) = reloaded {
        tracing::error!(%error, "the levels of the loggers cannot be changed");
    }
}

/// Writes to `writer`, such as stdout, what `events` logs, in one JSON object per line, whatever the levels of the log are.
pub(super) fn json_to<W>(writer: W, events: impl FnOnce())
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let logging = tracing_subscriber::fmt().with_writer(writer);
    let logging = logging.json().flatten_event(true).with_current_span(false).with_span_list(false);
    tracing::subscriber::with_default(logging.finish(), events);
}

type Reload = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// Loggers whose levels are the directives of a filter: those that it was started with, and over them what clients set.
struct FilterLoggers {
    base: String,
    set: Mutex<BTreeMap<String, LogLevel>>,
    reload: Reload,
}

impl fmt::Debug for FilterLoggers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FilterLoggers")
            .field("base", &self.base)
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

impl Loggers for FilterLoggers {
    fn levels(&self) -> BTreeMap<String, LogLevel> {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        LOGGERS.iter().map(|logger| ((*logger).to_owned(), level_of(logger, &self.base, &set))).collect()
    }

    fn set(&self, changes: &[(String, Option<LogLevel>)]) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        for (logger, level) in changes {
            match level {
                Some(level) => set.insert(logger.clone(), *level),
                None => set.remove(logger),
            };
        }
        (self.reload)(EnvFilter::new(directives(&self.base, &set)));
    }
}

/// A filter's text; of two directives for one target the later one holds.
fn directives(base: &str, set: &BTreeMap<String, LogLevel>) -> String {
    let set = set.iter().map(|(logger, level)| match logger.as_str() {
        ROOT_LOGGER => directive(*level).to_owned(),
        logger => format!("{logger}={}", directive(*level)),
    });
    std::iter::once(base.to_owned()).chain(set).collect::<Vec<_>>().join(",")
}

fn directive(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Fatal => "off",
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

/// The level of the directive that is nearest to `logger`: its own, or that of the logger above it.
fn level_of(logger: &str, base: &str, set: &BTreeMap<String, LogLevel>) -> LogLevel {
    let text = directives(base, set);
    let mut nearest = ("", LogLevel::Fatal);
    for directive in text.split(',').map(str::trim) {
        let (target, level) = match directive.split_once('=') {
            Some((target, level)) => (target, level),
            // A lone level is for all; a lone target lets everything of it through.
            None if level_named(directive).is_some() => ("", directive),
            None => (directive, "trace"),
        };
        let covers = target.is_empty() || logger == target || logger.starts_with(&format!("{target}::"));
        if let Some(level) = level_named(level).filter(|_| covers && target.len() >= nearest.0.len()) {
            nearest = (target, level);
        }
    }
    nearest.1
}

fn level_named(text: &str) -> Option<LogLevel> {
    let found = LogLevel::ALL.into_iter().find(|level| directive(*level).eq_ignore_ascii_case(text));
    found.or_else(|| LogLevel::from_name(&text.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consensus_stays_quiet_unless_it_is_named() {
        assert_eq!(log_filter(""), "openraft=error,info");
        assert_eq!(log_filter("debug"), "openraft=error,debug");
        assert_eq!(log_filter("klamm=debug"), "openraft=error,klamm=debug");
        assert_eq!((log_filter("error"), log_filter("off")), ("error".to_owned(), "off".to_owned()));
        assert!(!log_filter("openraft=debug").contains("warn"));
    }

    #[test]
    fn what_clients_set_lies_over_the_filter_until_they_take_it_back() {
        let filters = Arc::new(Mutex::new(Vec::new()));
        let reloaded = Arc::clone(&filters);
        let reload = move |filter: EnvFilter| reloaded.lock().unwrap().push(filter.to_string());
        let base = "openraft=error,info".to_owned();
        let loggers = FilterLoggers { base, set: Mutex::default(), reload: Box::new(reload) };
        let level = |name: &str| loggers.levels()[name];
        assert_eq!(
            (level(ROOT_LOGGER), level("klamm::api"), level("openraft")),
            (LogLevel::Info, LogLevel::Info, LogLevel::Error)
        );
        loggers.set(&[("klamm".to_owned(), Some(LogLevel::Debug)), (ROOT_LOGGER.to_owned(), Some(LogLevel::Error))]);
        assert_eq!(
            (level(ROOT_LOGGER), level("klamm::api"), level("openraft")),
            (LogLevel::Error, LogLevel::Debug, LogLevel::Error)
        );
        loggers.set(&[("klamm".to_owned(), None)]);
        assert_eq!(level("klamm::api"), LogLevel::Error);
        let filters = filters.lock().unwrap();
        assert!(filters[0].contains("klamm=debug") && !filters[1].contains("klamm"), "{filters:?}");
    }
}
