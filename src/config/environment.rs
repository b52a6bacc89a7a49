//! Environment variables, as the images of Apache Kafka and of its distributions read them.
//!
//! `KAFKA_LOG_DIRS` sets `log.dirs`, by the mapping of Kafka's own image (`KafkaDockerWrapper`); `KAFKA_CFG_LOG_DIRS` is
//! Bitnami's spelling. Unlike Kafka's image, which drops all its defaults as soon as one variable is set, variables lie
//! over the defaults and the file.

use super::suggestion::closest;

/// What stands in the way of Java alone, in Kafka's image and in its scripts.
const JAVAS: &[&str] = &[
    "KAFKA_HEAP_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_OPTS",
];

/// What an image says of itself, what an image is asked for that holds here anyway, and what Kafka's tools log.
const SILENT: &[&str] =
    &["KAFKA_VERSION", "KAFKA_HOME", "KAFKA_ENABLE_KRAFT", "KAFKA_TOOLS_LOG4J_LOGLEVEL", "KAFKA_BOOTSTRAP_SERVERS"];

/// Our own variables and their keys; one that is set to nothing is as good as unset where it says so.
const OURS: &[(&str, &str, bool)] = &[
    ("KLAMM_HTTP_BIND", "klamm.http.bind", false),
    ("KLAMM_LOG", "klamm.log.level", true),
    ("KLAMM_LOG_FORMAT", "klamm.log.format", true),
];

/// Our own variables that the command line reads.
const OF_COMMANDS: &[&str] = &["KLAMM_BROKERS", "KLAMM_CONFIG"];

/// Kafka's and its distributions' names for the id that a new cluster gets.
const CLUSTER_IDS: &[&str] = &["CLUSTER_ID", "KAFKA_CLUSTER_ID", "KAFKA_KRAFT_CLUSTER_ID"];

/// What one variable is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    /// It is not about a broker.
    Foreign,
    /// It sets up a Java process.
    Javas,
    /// It is none of ours, and nearly the one named here.
    Misspelled(&'static str),
    /// It has the level of all loggers in Kafka's image.
    RootLevel,
    /// It has levels of loggers in Kafka's image.
    LoggerLevels,
    /// It sets the property of this name.
    Property(String),
    /// Its value names a file, which holds the value of the property of this name.
    PropertyInFile(String),
}

/// What the variable called `name` is about; `is_key` tells the names of keys.
pub(super) fn variable(name: &str, value: &str, is_key: impl Fn(&str) -> bool) -> Variable {
    if CLUSTER_IDS.contains(&name) {
        return Variable::Property("klamm.cluster.id".to_owned());
    }
    if JAVAS.contains(&name) {
        return Variable::Javas;
    }
    match name {
        "KAFKA_LOG4J_ROOT_LOGLEVEL" | "KAFKA_LOG4J_LOGGERS" if value.trim().is_empty() => return Variable::Foreign,
        "KAFKA_LOG4J_ROOT_LOGLEVEL" => return Variable::RootLevel,
        "KAFKA_LOG4J_LOGGERS" => return Variable::LoggerLevels,
        _ => {}
    }
    if let Some(rest) = name.strip_prefix(OWN_BEGINNING) {
        return own_variable(name, rest, value);
    }
    let Some(rest) = name.strip_prefix("KAFKA_").filter(|rest| !rest.is_empty()) else { return Variable::Foreign };
    if SILENT.contains(&name) || is_of_a_kubernetes_service(rest, value) {
        return Variable::Foreign;
    }
    let rest = rest.strip_prefix("CFG_").filter(|rest| !rest.is_empty()).unwrap_or(rest);
    if rest == "CREATE_TOPICS" {
        return Variable::Property("klamm.create.topics".to_owned());
    }
    let property = property_name(rest);
    match rest.strip_suffix("_FILE").map(property_name).filter(|of_file| !is_key(&property) && is_key(of_file)) {
        Some(of_file) => Variable::PropertyInFile(of_file),
        None => Variable::Property(property),
    }
}

const OWN_BEGINNING: &str = "KLAMM_";

/// What the variable `KLAMM_<rest>` is about.
fn own_variable(name: &str, rest: &str, value: &str) -> Variable {
    if let Some((_, key, is_empty_unset)) = OURS.iter().find(|(ours, ..)| *ours == name) {
        let is_unset = *is_empty_unset && value.trim().is_empty();
        return if is_unset { Variable::Foreign } else { Variable::Property((*key).to_owned()) };
    }
    if OF_COMMANDS.contains(&name) {
        return Variable::Foreign;
    }
    let known = OURS.iter().map(|(ours, ..)| *ours).chain(OF_COMMANDS.iter().copied());
    let ends: Vec<(&str, &str)> = known.filter_map(|ours| Some((ours.strip_prefix(OWN_BEGINNING)?, ours))).collect();
    let nearest = closest(rest, ends.iter().map(|(end, _)| *end));
    let found = ends.iter().find(|(end, _)| Some(*end) == nearest);
    found.map_or(Variable::Foreign, |(_, ours)| Variable::Misspelled(ours))
}

/// One underscore is a dot, two are an underscore, three are a dash.
fn property_name(rest: &str) -> String {
    rest.to_lowercase().replace('_', ".").replace("...", "-").replace("..", "_")
}

/// Whether Kubernetes has set `KAFKA_<rest>` for a service whose name is `kafka` or begins with it.
fn is_of_a_kubernetes_service(rest: &str, value: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_address = |text: &str| {
        let Some((port, protocol)) = text.split_once('_') else { return false };
        let protocol = protocol.split('_').next().unwrap_or_default();
        is_number(port) && matches!(protocol, "TCP" | "UDP" | "SCTP")
    };
    let ends_with_service = ["SERVICE_HOST", "SERVICE_PORT"]
        .iter()
        .any(|end| rest == *end || rest.ends_with(&format!("_{end}")) || rest.starts_with(&format!("{end}_")));
    let is_port = (rest == "PORT" || rest.ends_with("_PORT")) && value.contains("://");
    ends_with_service
        || rest.contains("_SERVICE_PORT_")
        || is_port
        || rest.strip_prefix("PORT_").is_some_and(is_address)
        || rest.split_once("_PORT_").is_some_and(|(_, address)| is_address(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(name: &str, value: &str) -> Variable {
        variable(name, value, |key| ["log.dirs", "ssl.key.file"].contains(&key))
    }

    fn property(name: &str) -> Variable {
        Variable::Property(name.to_owned())
    }

    #[test]
    fn underscores_are_dots_underscores_and_dashes() {
        for (name, expected) in [
            ("KAFKA_ABC_DEF", "abc.def"),
            ("KAFKA_ABC__DEF", "abc_def"),
            ("KAFKA_ABC___DEF", "abc-def"),
            ("KAFKA_KAFKA_X", "kafka.x"),
            ("KAFKA_CFG_LOG_DIRS", "log.dirs"),
            (
                "KAFKA_LISTENER_NAME_SASL__PLAINTEXT_PLAIN_SASL_JAAS_CONFIG",
                "listener.name.sasl_plaintext.plain.sasl.jaas.config",
            ),
            ("CLUSTER_ID", "klamm.cluster.id"),
            ("KAFKA_KRAFT_CLUSTER_ID", "klamm.cluster.id"),
            ("KAFKA_CREATE_TOPICS", "klamm.create.topics"),
            ("KLAMM_LOG", "klamm.log.level"),
            ("KLAMM_LOG_FORMAT", "klamm.log.format"),
            ("KLAMM_HTTP_BIND", "klamm.http.bind"),
        ] {
            assert_eq!(about(name, "x"), property(expected), "{name}");
        }
    }

    #[test]
    fn a_value_may_stand_in_a_file() {
        assert_eq!(about("KAFKA_LOG_DIRS_FILE", "/x"), Variable::PropertyInFile("log.dirs".to_owned()));
        assert_eq!(about("KAFKA_SSL_KEY_FILE", "/x"), property("ssl.key.file"));
        assert_eq!(about("KAFKA_WHATEVER_FILE", "/x"), property("whatever.file"));
    }

    #[test]
    fn what_is_not_about_a_broker_is_passed_over() {
        for (name, value) in [
            ("PATH", "/bin"),
            ("KAFKA", "x"),
            ("KAFKA_", "x"),
            ("KAFKA_VERSION", "4.1"),
            ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
            ("KAFKA_SERVICE_HOST", "10.0.0.1"),
            ("KAFKA_SERVICE_PORT", "9092"),
            ("KAFKA_SERVICE_PORT_CLIENT", "9092"),
            ("KAFKA_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
            ("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("KAFKA_UI_SERVICE_HOST", "10.0.0.1"),
            ("KAFKA_UI_PORT", "tcp://10.0.0.1:80"),
            ("KAFKA_UI_PORT_80_TCP_PROTO", "tcp"),
        ] {
            assert_eq!(about(name, value), Variable::Foreign, "{name}");
        }
        for (name, value) in
            [("KLAMM_CONFIG", "x"), ("KLAMM_LOG", " "), ("KLAMM_COMPAT_CACHE", "x"), ("KAFKA_LOG4J_LOGGERS", "")]
        {
            assert_eq!(about(name, value), Variable::Foreign, "{name}");
        }
        assert_eq!(about("KLAMM_HTTP_BIND", ""), property("klamm.http.bind"));
        assert_eq!(about("KLAMM_LOGS", "x"), Variable::Misspelled("KLAMM_LOG"));
        assert_eq!(about("KLAMM_LOGFORMAT", "x"), Variable::Misspelled("KLAMM_LOG_FORMAT"));
        assert_eq!(about("KAFKA_LOG4J_LOGGERS", "x"), Variable::LoggerLevels);
        assert_eq!(about("KAFKA_HEAP_OPTS", "-Xmx1g"), Variable::Javas);
        assert_eq!(about("KAFKA_PORT", "9092"), property("port"));
    }
}
