//! What is logged, as a text: ours, and that of Kafka's images.
//!
//! Ours is a list of `level` and `logger=level`, such as `warn,klamm::network=debug`. Kafka's images have the level of all
//! loggers in one variable and `logger=LEVEL,...` in another, by the names of Kafka's classes.

use super::value::FromValue;

/// Levels by our name and by others' names for it, from silence on.
const LEVELS: &[(&str, &[&str])] = &[
    ("off", &["off", "fatal"]),
    ("error", &["error"]),
    ("warn", &["warn", "warning"]),
    ("info", &["info"]),
    ("debug", &["debug"]),
    ("trace", &["trace", "all"]),
];

/// Loggers that may be named without a level: then all of theirs is logged.
const LONE_LOGGERS: &[&str] = &["klamm", "openraft"];

/// Kafka's loggers and what is logged for the same reason here: the beginning of a name up to a dot, the longer ones first.
const KAFKAS: &[(&str, &[&str])] = &[
    ("kafka.authorizer.logger", &["klamm::api"]),
    ("kafka.cluster", &["klamm::replication"]),
    ("kafka.controller", &["klamm::controller"]),
    ("kafka.coordinator", &["klamm::coordinator"]),
    ("kafka.log", &["klamm::storage"]),
    ("kafka.network.RequestChannel$", &["klamm::api"]),
    ("kafka.network", &["klamm::network"]),
    ("kafka.raft", &["klamm::quorum", "openraft"]),
    ("kafka.request.logger", &["klamm::api"]),
    ("kafka.server.KafkaApis", &["klamm::api"]),
    ("kafka.server.ReplicaManager", &["klamm::replication"]),
    ("kafka.server", &["klamm::server", "klamm::broker", "klamm::api"]),
    ("org.apache.kafka.common.network", &["klamm::network"]),
    ("org.apache.kafka.controller", &["klamm::controller"]),
    ("org.apache.kafka.coordinator", &["klamm::coordinator"]),
    ("org.apache.kafka.image", &["klamm::broker"]),
    ("org.apache.kafka.raft", &["klamm::quorum", "openraft"]),
    ("org.apache.kafka.server", &["klamm::server", "klamm::broker"]),
    ("org.apache.kafka.storage", &["klamm::storage"]),
    ("state.change.logger", &["klamm::controller", "klamm::replication"]),
];

/// Kafka's loggers that stand for all the others, so that a name below them says nothing about them.
const KAFKAS_WHOLES: &[(&str, &[&str])] = &[("kafka", &["klamm"]), ("org.apache.kafka", &["klamm"])];

/// What is logged: a list of `level` and `logger=level`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LogLevels(pub(super) String);

impl FromValue for LogLevels {
    fn from_value(text: &str) -> Result<Self, String> {
        let directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
        directives.map(directive).collect::<Result<Vec<_>, _>>().map(|directives| Self(directives.join(",")))
    }
}

/// One part of the list, with our name of its level.
fn directive(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((logger, name)) if is_logger(logger.trim()) => Ok(format!("{}={}", logger.trim(), level(name)?)),
        None if LONE_LOGGERS.contains(&text) || (text.contains("::") && is_logger(text)) => Ok(text.to_owned()),
        None => level(text).map(str::to_owned),
        Some((logger, _)) => {
            Err(format!("\"{logger}\" is no logger, such as klamm::network; a level alone is for all"))
        }
    }
}

fn is_logger(name: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    !name.is_empty() && name.bytes().all(is_name) && name != "root"
}

/// Our name of a level.
fn level(name: &str) -> Result<&'static str, String> {
    let name = name.trim();
    let found = LEVELS.iter().find(|(_, names)| names.iter().any(|one| one.eq_ignore_ascii_case(name)));
    found.map(|(level, _)| *level).ok_or_else(|| {
        let levels: Vec<&str> = LEVELS.iter().map(|(level, _)| *level).collect();
        format!("\"{name}\" is no level; there are {}", levels.join(", "))
    })
}

/// The level in `KAFKA_LOG4J_ROOT_LOGLEVEL`, behind which appenders may stand, in our words.
///
/// Unlike Kafka, whose image has levels of its own for Kafka's loggers, which this one does not change: it is for all.
pub(super) fn of_root(text: &str) -> Result<&'static str, String> {
    level(text.split(',').next().unwrap_or_default())
}

/// What `KAFKA_LOG4J_LOGGERS` asks for in our words, and the loggers that nothing here is like.
pub(super) fn of_loggers(text: &str) -> Result<(Vec<String>, Vec<&str>), String> {
    let (mut directives, mut unknown) = (Vec::new(), Vec::new());
    for element in text.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        let (logger, name) =
            element.split_once('=').ok_or_else(|| format!("\"{element}\" is not of the form logger=LEVEL"))?;
        let level = level(name)?;
        match of_kafka(logger.trim()) {
            [] => unknown.push(logger.trim()),
            ours => directives.extend(ours.iter().map(|ours| format!("{ours}={level}"))),
        }
    }
    Ok((directives, unknown))
}

fn of_kafka(logger: &str) -> &'static [&'static str] {
    let is_part = |beginning: &str| {
        logger.strip_prefix(beginning).is_some_and(|rest| matches!(rest.chars().next(), None | Some('.' | '$')))
    };
    let whole = KAFKAS_WHOLES.iter().find(|(name, _)| *name == logger);
    let found = whole.or_else(|| KAFKAS.iter().find(|(beginning, _)| is_part(beginning)));
    found.map_or(&[], |(_, ours)| ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_for_all_or_for_a_logger() {
        let read = |text: &str| LogLevels::from_value(text).map(|levels| levels.0);
        assert_eq!(
            read("WARN, klamm::network=Debug,klamm,fatal").as_deref(),
            Ok("warn,klamm::network=debug,klamm,off")
        );
        assert_eq!(read(" ").as_deref(), Ok(""));
        assert_eq!(read("loud").unwrap_err(), "\"loud\" is no level; there are off, error, warn, info, debug, trace");
        assert!(read("klamm=loud").unwrap_err().starts_with("\"loud\" is no level"));
        for text in ["root=info", "=info", "[x]=info"] {
            assert!(read(text).unwrap_err().contains("is no logger"), "{text}");
        }
    }

    #[test]
    fn kafkas_loggers_are_ours_where_there_is_one_like_them() {
        let read = |text: &str| of_loggers(text).map(|(directives, unknown)| (directives.join(","), unknown.join(",")));
        let pair = |directives: &str, unknown: &str| Ok((directives.to_owned(), unknown.to_owned()));
        assert_eq!(read("kafka=WARN,kafka.foo.bar=DEBUG,"), pair("klamm=warn", "kafka.foo.bar"));
        assert_eq!(read("kafka.network.RequestChannel$=ALL"), pair("klamm::api=trace", ""));
        assert_eq!(read("kafka.network.Processor = info"), pair("klamm::network=info", ""));
        assert_eq!(read("kafka.logger=info"), pair("", "kafka.logger"));
        assert_eq!(
            read("kafka.coordinator.group.GroupCoordinator=TRACE,org.apache.kafka.raft=OFF"),
            pair("klamm::coordinator=trace,klamm::quorum=off,openraft=off", "")
        );
        assert_eq!(read("kafka").unwrap_err(), "\"kafka\" is not of the form logger=LEVEL");
        assert!(read("kafka=LOUD").unwrap_err().starts_with("\"LOUD\" is no level"));
        assert_eq!((of_root("ERROR, stdout"), of_root("").is_err()), (Ok("error"), true));
    }

    #[test]
    fn a_longer_beginning_is_not_hidden_by_a_shorter_one() {
        for (index, (name, _)) in KAFKAS.iter().enumerate() {
            let before = KAFKAS.iter().take(index).find(|(other, _)| name.starts_with(other));
            assert_eq!(before, None, "{name}");
        }
    }
}
