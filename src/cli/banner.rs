//! What a person wants to know once a broker runs: what it is, where it is, where its data is, and what to try.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Listener, Origin, Storage};
use crate::ids::{NodeId, is_internal_topic};
use crate::server::Server;

/// Whose protocol is spoken.
const PROTOCOL: &str = "Kafka 4.1";

/// The address that commands go to by themselves.
const DEFAULT_BOOTSTRAP: &str = "localhost:9092";

/// The facts about a configuration that are shown, kept while the server has the configuration.
pub(super) struct Setup {
    listeners: Vec<Listener>,
    storage: Storage,
    sources: Vec<String>,
}

impl Setup {
    pub(super) fn by(config: &Config) -> Self {
        Self {
            listeners: config.listeners.clone(),
            storage: config.storage.clone(),
            sources: sources(config.values().into_iter().map(|(_, _, origin)| origin)),
        }
    }

    /// Those of each of several servers that were started from this configuration; this one itself for one.
    pub(super) fn of_each(self, servers: &[Server]) -> Vec<Self> {
        if servers.len() == 1 {
            return vec![self];
        }
        let own =
            |server: &Server| Self { sources: self.sources.clone(), ..Self::by(&server.broker().config.snapshot()) };
        servers.iter().map(own).collect()
    }

    /// The address to give to a client on this machine.
    pub(super) fn reachable_at(&self, bound: &[(Arc<str>, SocketAddr)]) -> Option<String> {
        let (name, address) = bound.first()?;
        let listener = self.listeners.iter().find(|listener| listener.name == *name)?;
        let told = listener.advertised.clone().unwrap_or_else(|| listener.bind.clone());
        let host = if told.host.is_empty() { "localhost" } else { &told.host };
        let port = if told.port == 0 { address.port() } else { told.port };
        Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    }
}

/// Where the values come from that are nobody's default, from the weakest to the strongest.
fn sources(origins: impl Iterator<Item = Origin>) -> Vec<String> {
    let source = |origin| match origin {
        Origin::File { name, .. } => Some((0, name)),
        Origin::Variable(_) => Some((1, "the environment".to_owned())),
        Origin::Flag(_) => Some((2, "arguments".to_owned())),
        Origin::ClusterWide | Origin::PerBroker => Some((3, "what clients have set".to_owned())),
        Origin::Default | Origin::Program => None,
    };
    let mut sources: Vec<_> = origins.filter_map(source).collect();
    sources.sort();
    sources.dedup();
    sources.into_iter().map(|(_, source)| source).collect()
}

/// What is to be said of a broker that runs.
pub(super) struct Banner<'a> {
    pub(super) setup: &'a Setup,
    pub(super) node_id: NodeId,
    pub(super) cluster_id: String,
    pub(super) bound: Vec<(Arc<str>, SocketAddr)>,
    pub(super) http: Option<SocketAddr>,
    /// How many topics there are, internal ones left out.
    pub(super) topics: usize,
    /// How long the start took.
    pub(super) ready_in: Duration,
}

impl<'a> Banner<'a> {
    pub(super) fn of(server: &Server, setup: &'a Setup, ready_in: Duration) -> Self {
        let image = server.broker().image();
        Self {
            setup,
            node_id: server.broker().node_id,
            cluster_id: image.cluster_id().to_string(),
            bound: server.listeners(),
            http: server.http(),
            topics: image.topics().filter(|topic| !is_internal_topic(&topic.name)).count(),
            ready_in,
        }
    }

    /// Its lines.
    pub(super) fn text(&self, is_colourful: bool) -> String {
        let who = format!("node {}", self.node_id);
        self.lines(is_colourful, &who, &self.facts(), &self.suggestions())
    }

    /// Lines about `who`.
    pub(super) fn lines(
        &self,
        is_colourful: bool,
        who: &str,
        facts: &[(impl fmt::Display, String)],
        suggestions: &[String],
    ) -> String {
        let (bold, dim, end) = if is_colourful { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let version = env!("CARGO_PKG_VERSION");
        let mut text =
            format!("{bold}Klamm {version}{end} · {PROTOCOL} protocol · {who} · cluster {}\n", self.cluster_id);
        for (label, fact) in facts {
            // Writing to a text does not fail.
            let _ = writeln!(text, "  {dim}{label:<9}{end}  {fact}");
        }
        let _ = writeln!(text, "  {bold}Ready in {} ms{end}", self.ready_in.as_millis());
        if !suggestions.is_empty() {
            let _ = writeln!(text, "{dim}Try:{end}  {}", suggestions.join("\n      "));
        }
        text
    }

    /// The address to give to a client on this machine.
    pub(super) fn reachable_at(&self) -> Option<String> {
        self.setup.reachable_at(&self.bound)
    }

    /// Logs the same facts, for programs.
    pub(super) fn log(&self) {
        let facts = self.facts();
        let told = |label: &str| {
            let facts = facts.iter().filter(|(other, _)| *other == label).map(|(_, fact)| fact.as_str());
            facts.collect::<Vec<_>>().join("; ")
        };
        tracing::info!(
            node = self.node_id,
            cluster = self.cluster_id,
            listening = told("listening"),
            http = told("http"),
            data = told("data"),
            config = told("config"),
            "Klamm {} is ready",
            env!("CARGO_PKG_VERSION")
        );
    }

    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts: Vec<_> = self.bound.iter().map(|bound| ("listening", self.listening(bound))).collect();
        facts.extend(self.http.map(|address| ("http", format!("http://{address} (/metrics, /readyz)"))));
        let topics = if self.topics == 1 { "1 topic" } else { &format!("{} topics", self.topics) };
        facts.push(match &self.setup.storage {
            Storage::Disk(directories) => {
                let paths: Vec<_> = directories.log_dirs.iter().map(|path| absolute(path)).collect();
                ("data", format!("{} ({topics})", paths.join(", ")))
            }
            Storage::Memory => ("data", format!("in memory, gone when this process ends ({topics})")),
        });
        facts.push(match self.setup.sources.as_slice() {
            [] => ("config", "built-in defaults -> klamm config init".to_owned()),
            sources => ("config", format!("built-in defaults, {}", sources.join(", "))),
        });
        facts
    }

    /// Where a listener is, and what clients are told if that is something else.
    fn listening(&self, (name, address): &(Arc<str>, SocketAddr)) -> String {
        let listener = self.setup.listeners.iter().find(|listener| listener.name == *name);
        let told = match listener.and_then(|listener| listener.advertised.as_ref()) {
            None => ", not advertised".to_owned(),
            Some(told) if told.host.is_empty() => ", each client is told how it came".to_owned(),
            Some(told) => {
                let port = if told.port == 0 { address.port() } else { told.port };
                let told = crate::config::HostPort { host: told.host.clone(), port };
                if told.to_string() == address.to_string() {
                    String::new()
                } else {
                    format!(", clients are told {told}")
                }
            }
        };
        format!("{address} ({name}){told}")
    }

    fn suggestions(&self) -> Vec<String> {
        let Some(broker) = self.setup.reachable_at(&self.bound) else { return Vec::new() };
        let option = if broker == DEFAULT_BOOTSTRAP { String::new() } else { format!(" -b {broker}") };
        vec![
            format!("klamm topic produce payments -k user-10 '{{\"amount\": 42}}'{option}"),
            format!("klamm topic tail payments{option}"),
            "python3 -m pip install kafka-python, and \"A first conversation\" in README.md".to_owned(),
        ]
    }
}

fn absolute(directory: &Path) -> String {
    std::path::absolute(directory).as_deref().unwrap_or(directory).display().to_string()
}

/// What programs wait for that start a container of Apache Kafka's and read its log: Testcontainers for all its
/// languages, and Strimzi's. By now the listeners accept connections and Metadata is answered.
pub(super) fn phrases(node_id: NodeId) -> [String; 3] {
    [
        format!(
            "[BrokerLifecycleManager id={node_id}] The broker has been unfenced. Transitioning from RECOVERY to RUNNING."
        ),
        format!("[KafkaRaftServer nodeId={node_id}] Kafka Server started"),
        format!("[KafkaServer id={node_id}] started"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DataDirectories;

    fn setup(listener: &str, advertised: &str) -> Setup {
        let pairs = [("listeners", listener), ("klamm.storage.kind", "memory"), ("advertised.listeners", advertised)];
        let setup = Setup::by(&Config::with(&pairs).unwrap());
        Setup { sources: Vec::new(), ..setup }
    }

    fn banner<'a>(setup: &'a Setup, address: &str) -> Banner<'a> {
        Banner {
            setup,
            node_id: 1,
            cluster_id: "c".to_owned(),
            bound: vec![("PLAINTEXT".into(), address.parse().unwrap())],
            http: Some("127.0.0.1:9021".parse().unwrap()),
            topics: 2,
            ready_in: Duration::from_micros(12_900),
        }
    }

    #[test]
    fn a_first_start_is_told_in_ten_lines() {
        let setup = setup("PLAINTEXT://localhost:9092", "");
        let setup = Setup { storage: Storage::Disk(DataDirectories::one("/data")), ..setup };
        assert_eq!(
            banner(&setup, "127.0.0.1:9092").text(false),
            "Klamm 0.1.0 · Kafka 4.1 protocol · node 1 · cluster c\n  \
             listening  127.0.0.1:9092 (PLAINTEXT), clients are told localhost:9092\n  \
             http       http://127.0.0.1:9021 (/metrics, /readyz)\n  \
             data       /data (2 topics)\n  \
             config     built-in defaults -> klamm config init\n  \
             Ready in 12 ms\n\
             Try:  klamm topic produce payments -k user-10 '{\"amount\": 42}'\n      \
             klamm topic tail payments\n      \
             python3 -m pip install kafka-python, and \"A first conversation\" in README.md\n"
        );
    }

    #[test]
    fn another_place_is_named_where_it_matters() {
        let everywhere = setup("PLAINTEXT://0.0.0.0:0", "");
        let text = banner(&everywhere, "0.0.0.0:4711").text(false);
        assert!(text.contains("listening  0.0.0.0:4711 (PLAINTEXT), each client is told how it came\n"), "{text}");
        assert!(text.contains("klamm topic tail payments -b localhost:4711\n"), "{text}");
        assert!(text.contains("data       in memory, gone when this process ends (2 topics)\n"), "{text}");
        let named = setup("PLAINTEXT://:9092", "PLAINTEXT://kafka:19092");
        assert!(
            banner(&named, "[::]:9092").text(false).contains("[::]:9092 (PLAINTEXT), clients are told kafka:19092")
        );
        let same = setup("PLAINTEXT://127.0.0.1:0", "");
        assert!(banner(&same, "127.0.0.1:4711").text(false).contains("127.0.0.1:4711 (PLAINTEXT)\n"));
    }

    #[test]
    fn colours_are_for_terminals() {
        let setup = setup("PLAINTEXT://localhost:9092", "");
        let banner = banner(&setup, "127.0.0.1:9092");
        assert!(!banner.text(false).contains('\x1b'));
        let colourful = banner.text(true);
        assert!(colourful.starts_with("\x1b[1mKlamm 0.1.0\x1b[0m · "), "{colourful}");
        assert!(colourful.contains("  \x1b[2mconfig   \x1b[0m  built-in"), "{colourful}");
    }

    #[test]
    fn the_sources_of_a_configuration_are_named_once_each() {
        let file = |line| Origin::File { name: "k.yaml".to_owned(), line, variables: Box::default() };
        let origins = [
            Origin::Flag("--set"),
            file(1),
            Origin::Default,
            Origin::Variable("KAFKA_X".to_owned()),
            file(2),
            Origin::Program,
        ];
        assert_eq!(sources(origins.into_iter()), ["k.yaml", "the environment", "arguments"]);
        assert!(sources([Origin::Default, Origin::Program].into_iter()).is_empty());
    }
}
