//! A complete configuration: everything that follows from a set of keys.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::{ConfigError, ConfigErrors};
use super::group::{self, GroupConfigError};
use super::initial_topics::{InitialTopic, InitialTopics};
use super::keys;
use super::listener::{HostPort, Listener, ListenerList, ProtocolMap, SecurityProtocol};
use super::log_levels::LogLevels;
use super::origin::Origin;
use super::quorum::{QuorumVoter, VoterList};
use super::settings::Settings;
use super::topic::{self, TopicConfigError};
use super::typed::{BrokerConfig, TopicConfig, TypedKeys};
use super::value::{FromValue, InvalidValue};
use crate::ids::NodeId;

/// The keys that [`Config`] resolves itself, beside the typed structs.
pub const RESOLVED_KEYS: &[&str] = &[
    "node.id",
    "broker.id",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "inter.broker.listener.name",
    "controller.listener.names",
    "controller.quorum.voters",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "process.roles",
    "klamm.storage.kind",
    "klamm.cluster.id",
    "klamm.create.topics",
    "klamm.http.bind",
    "klamm.log.format",
    "klamm.log.level",
    "authorizer.class.name",
    "remote.storage.enable",
    MOVE_RATE,
];

/// The name of a controller listener that nobody has named.
const CONTROLLER: &str = "CONTROLLER";

/// Clients alone set it.
const MOVE_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// The directories of a broker's data, made if they do not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDirectories {
    /// The log directories, in the order written; never none, and none twice.
    pub log_dirs: Vec<PathBuf>,
    /// In which directory the metadata log is: the first of them, or another one.
    pub metadata: PathBuf,
}

impl DataDirectories {
    /// One for everything.
    pub fn one(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { log_dirs: vec![path.clone()], metadata: path }
    }

    /// All of them, that of the metadata log first.
    pub fn all(&self) -> Vec<&PathBuf> {
        let others = self.log_dirs.iter().filter(|path| **path != self.metadata);
        std::iter::once(&self.metadata).chain(others).collect()
    }
}

/// Where a broker keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In these directories.
    Disk(DataDirectories),
    /// In memory, until the process ends.
    Memory,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// In lines for people.
    Plain,
    /// In one JSON object per line.
    Json,
}

/// A complete configuration: resolved, checked, immutable.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `node.id`, or else `broker.id`.
    pub node_id: NodeId,
    /// The listeners to open for clients and brokers, in the order written. Never empty.
    pub listeners: Vec<Listener>,
    /// The nodes that vote in the metadata quorum, in the order of their ids, this one among them; empty where it is alone.
    pub quorum_voters: Vec<QuorumVoter>,
    /// Where the other controllers reach this one; `None` where it is alone.
    pub controller_listener: Option<Listener>,
    /// The name of the listener that brokers use among themselves.
    pub inter_broker_listener: String,
    /// Where data is kept.
    pub storage: Storage,
    /// The id that a new cluster gets, and that an old one must have; `None` where any will do.
    pub cluster_id: Option<String>,
    /// Where HTTP is served, if it is.
    pub http: Option<HostPort>,
    /// From which level on something is logged, by logger: `warn,klamm::network=debug`.
    pub log_levels: String,
    /// How the log is written.
    pub log_format: LogFormat,
    /// The topics to create at the start, unless they are there.
    pub initial_topics: Vec<InitialTopic>,
    /// The other keys of the broker.
    pub broker: BrokerConfig,
    /// The config of a topic that overrides nothing.
    pub topic_defaults: TopicConfig,
    /// What holds now.
    pub(super) settings: Settings,
    pub(super) layers: Layers,
}

/// The texts that were set, by where they came from; the table's defaults lie under them all.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Layers {
    /// By files and flags, before the start.
    pub(super) fixed: Settings,
    /// By clients, for all brokers. Keys that Klamm does not know are among them, as Kafka keeps them.
    pub(super) cluster_wide: BTreeMap<String, String>,
    /// By clients, for this broker.
    pub(super) per_broker: BTreeMap<String, String>,
}

impl Config {
    /// Resolves what was set, over the defaults of the table.
    ///
    /// # Errors
    /// Values contradict each other, or ask for what this broker does not do.
    pub fn new(settings: Settings) -> Result<Self, ConfigErrors> {
        Self::resolve(Layers { fixed: settings, ..Layers::default() })
    }

    /// The same configuration with what clients have set while the broker runs: for all brokers, and for this one, which
    /// is stronger. It replaces what they had set before. What is wrong of it is passed over: it was refused when a
    /// client asked.
    ///
    /// # Errors
    /// As [`Config::new`].
    pub fn with_dynamic(
        &self,
        cluster_wide: BTreeMap<String, String>,
        per_broker: BTreeMap<String, String>,
    ) -> Result<Self, ConfigErrors> {
        let usable = |mut texts: BTreeMap<String, String>| {
            texts.retain(|name, text| is_usable(name, text));
            texts
        };
        Self::resolve(Layers {
            fixed: self.layers.fixed.clone(),
            cluster_wide: usable(cluster_wide),
            per_broker: usable(per_broker),
        })
    }

    fn resolve(layers: Layers) -> Result<Self, ConfigErrors> {
        let mut settings = layers.fixed.clone();
        settings.overlay(&layers.cluster_wide, &Origin::ClusterWide);
        settings.overlay(&layers.per_broker, &Origin::PerBroker);
        let with_origin = |error: InvalidValue| ConfigError::Invalid { origin: settings.origin(&error.key), error };
        let mut errors = Vec::new();
        let mut keep = KeptErrors(&mut errors);
        let broker = keep.value(BrokerConfig::read(&settings).map_err(with_origin));
        let topic_defaults = keep.value(TopicConfig::read(&settings).map_err(with_origin));
        keep.value(refuse_zero_retention(&settings));
        keep.value(refuse_an_authorizer(&settings));
        keep.value(refuse_a_controller_alone(&settings));
        let node_id = keep.value(node_id(&settings));
        let listeners = keep.value(listeners(&settings));
        let quorum = node_id.zip(listeners.as_ref());
        let quorum = quorum.and_then(|(node_id, listeners)| keep.value(quorum_of(&settings, node_id, listeners)));
        let between = listeners.as_ref().map(|listeners| inter_broker_listener(&settings, listeners));
        let between = between.and_then(|between| keep.value(between));
        let storage = keep.value(storage(&settings));
        let cluster_id = keep.value(read(&settings, "klamm.cluster.id"));
        let http = keep.value(http(&settings));
        let log_levels = keep.value(read::<LogLevels>(&settings, "klamm.log.level"));
        let log_format = keep.value(log_format(&settings));
        let topics = keep.value(read::<InitialTopics>(&settings, "klamm.create.topics"));
        let (Some(broker), Some(topic_defaults), Some(node_id), Some(listeners), Some(inter_broker_listener)) =
            (broker, topic_defaults, node_id, listeners, between)
        else {
            return Err(ConfigErrors(errors));
        };
        let (Some(storage), Some(cluster_id), Some(http), Some(LogLevels(log_levels)), Some(log_format)) =
            (storage, cluster_id, http, log_levels, log_format)
        else {
            return Err(ConfigErrors(errors));
        };
        match (topics, quorum) {
            (Some(InitialTopics(topics)), Some((voters, controller_listener))) if errors.is_empty() => Ok(Self {
                node_id,
                listeners,
                quorum_voters: voters,
                controller_listener,
                inter_broker_listener,
                storage,
                cluster_id,
                http,
                log_levels,
                log_format,
                initial_topics: topics,
                broker,
                topic_defaults,
                settings,
                layers,
            }),
            _ => Err(ConfigErrors(errors)),
        }
    }

    /// The configuration in which only `pairs` are set, for tests and for embedding.
    ///
    /// # Errors
    /// As [`Settings::set`] and [`Config::new`].
    pub fn with(pairs: &[(&str, &str)]) -> Result<Self, ConfigErrors> {
        let mut settings = Settings::default();
        for (key, text) in pairs {
            settings.set(key, text, Origin::Flag("--set"))?;
        }
        Self::new(settings)
    }

    /// The config of a topic with these overrides. One that is unknown or wrong is passed over: it was refused when a
    /// client asked for it, so it comes from a data directory that something else wrote.
    pub fn topic(&self, overrides: &BTreeMap<String, String>) -> TopicConfig {
        let mut config = self.topic_defaults.clone();
        for (key, text) in overrides {
            let is_valid = keys::topic_key_rows(key).next().is_some_and(|row| row.check(key, text).is_ok());
            if is_valid {
                // A checked value is readable, and an unreadable one leaves the default standing.
                drop(config.assign(key, text));
            }
        }
        config
    }

    /// Checks the configs that a client asks for a topic, with Kafka's checks in Kafka's order.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate_topic<'a>(
        &self,
        overrides: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<(), TopicConfigError> {
        topic::validate(overrides.into_iter(), &self.settings)
    }

    /// Checks the configs that a group would have, with Kafka's checks in Kafka's order.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate_group(&self, given: &BTreeMap<&str, &str>) -> Result<(), GroupConfigError> {
        group::validate(given, &self.settings)
    }

    /// Where the value comes from that a topic has which does not override the key called `topic_key`.
    pub fn topic_default_origin(&self, topic_key: &str) -> Origin {
        let origins = keys::topic_key_rows(topic_key).map(|row| self.settings.origin(row.name));
        origins.into_iter().find(|origin| *origin != Origin::Default).unwrap_or(Origin::Default)
    }

    /// The text of a broker or topic key that is in force broker-wide, in the key's own unit; `None` where it has no
    /// value or is unknown.
    pub fn text(&self, name: &str) -> Option<String> {
        self.settings.broker_text(name).or_else(|| self.settings.topic_text(name))
    }

    /// How many bytes a second replicas may move between log directories, which clients alone set; no limit by default.
    pub fn replica_move_bytes_per_second(&self) -> i64 {
        self.layers.dynamic_text(MOVE_RATE).and_then(|text| i64::from_value(text).ok()).unwrap_or(i64::MAX)
    }

    /// Where the value of a broker key came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.settings.origin(name)
    }

    /// Every key of the broker that has a value, in the table's order: its name, its value, and where that comes from.
    /// Secrets are hidden.
    pub fn values(&self) -> Vec<(&'static str, String, Origin)> {
        let keys = keys::all().filter(|key| key.is_for_broker() && !key.is_internal);
        keys.filter_map(|key| {
            let value = self.settings.text(key)?;
            let value = if key.is_sensitive() { "[hidden]" } else { value };
            Some((key.name, value.to_owned(), self.settings.origin(key.name)))
        })
        .collect()
    }

    /// One line for each thing that was set and passed over, because Klamm knows no such key.
    pub fn passed_over(&self) -> &[String] {
        self.settings.notes()
    }

    /// One line for each key that somebody set and that changes nothing here, in the table's order: where it stands, and
    /// what it would have decided.
    pub fn without_effect(&self) -> Vec<String> {
        let idle = keys::all().filter(|key| !key.has_effect && self.settings.is_set(key.name));
        idle.map(|key| {
            let (name, value) =
                (key.name, if key.is_sensitive() { "[hidden]" } else { self.settings.text(key).unwrap_or_default() });
            format!("{}: {name}={value} has no effect here. In Kafka: {}", self.settings.origin(name), key.doc)
        })
        .collect()
    }
}

/// Keeps errors, so that all of them can be told.
struct KeptErrors<'a>(&'a mut Vec<ConfigError>);

impl KeptErrors<'_> {
    fn value<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }
}

/// Whether a text that was set while the broker runs may hold. Of keys that Klamm does not know every one may.
fn is_usable(name: &str, text: &str) -> bool {
    keys::dynamic_broker_key(name).is_none_or(|key| !key.is_read_only() && key.check(name, text).is_ok())
}

/// An error about the value in force of the key called `name`.
fn invalid(settings: &Settings, name: &str, reason: impl Into<String>) -> ConfigError {
    let value = settings.broker_text(name).unwrap_or_default();
    let error = InvalidValue { key: name.to_owned(), value, reason: reason.into() };
    ConfigError::Invalid { error, origin: settings.origin(name) }
}

/// An error about a key whose value does not go together with something else.
fn contradiction(
    settings: &Settings,
    key: &'static str,
    reason: impl Into<String>,
    hint: impl Into<String>,
) -> ConfigError {
    ConfigError::Contradiction { key, reason: reason.into(), hint: hint.into(), origin: settings.origin(key) }
}

/// The value in force of the key called `name`, or the type's own default where it has none.
fn read<T: FromValue + Default>(settings: &Settings, name: &str) -> Result<T, ConfigError> {
    match settings.broker_text(name) {
        Some(text) => T::from_value(&text).map_err(|reason| invalid(settings, name, reason)),
        None => Ok(T::default()),
    }
}

/// `broker.id` is the older name; -1 stands for "not set" there.
fn node_id(settings: &Settings) -> Result<NodeId, ConfigError> {
    let (node_id, broker_id): (NodeId, NodeId) = (read(settings, "node.id")?, read(settings, "broker.id")?);
    match broker_id {
        -1 => Ok(node_id),
        ..-1 => Err(invalid(settings, "broker.id", "Value must be at least 0")),
        _ if !settings.is_set("node.id") || broker_id == node_id => Ok(broker_id),
        _ => Err(contradiction(
            settings,
            "broker.id",
            format!("it is {broker_id}, and node.id is {node_id}"),
            "set one of them",
        )),
    }
}

fn storage(settings: &Settings) -> Result<Storage, ConfigError> {
    if read::<String>(settings, "klamm.storage.kind")? == "memory" {
        return Ok(Storage::Memory);
    }
    let paths = |key| {
        let named = read::<Vec<String>>(settings, key)?.into_iter().filter(|path| !path.is_empty());
        Ok::<Vec<_>, ConfigError>(named.map(PathBuf::from).collect())
    };
    let (mut key, mut log_dirs) = ("log.dirs", paths("log.dirs")?);
    if log_dirs.is_empty() {
        (key, log_dirs) = ("log.dir", paths("log.dir")?);
    }
    let Some(first) = log_dirs.first().cloned() else {
        return Err(invalid(settings, key, "it must name a directory"));
    };
    let twice = log_dirs.iter().enumerate().find(|(index, path)| log_dirs.iter().take(*index).any(|one| one == *path));
    if let Some((_, path)) = twice {
        let reason = format!("it names {} twice", path.display());
        return Err(contradiction(settings, key, reason, "name each directory once"));
    }
    let metadata = read::<Option<String>>(settings, "metadata.log.dir")?.map_or(first, PathBuf::from);
    Ok(Storage::Disk(DataDirectories { log_dirs, metadata }))
}

/// Kafka refuses 0 for the broker, although a topic may have it.
fn refuse_zero_retention(settings: &Settings) -> Result<(), ConfigError> {
    for name in ["log.retention.ms", "log.retention.minutes", "log.retention.hours"] {
        if read::<Option<i64>>(settings, name)? == Some(0) {
            return Err(invalid(settings, name, "log retention must be unlimited (-1) or at least 1"));
        }
    }
    Ok(())
}

fn http(settings: &Settings) -> Result<Option<HostPort>, ConfigError> {
    const NAME: &str = "klamm.http.bind";
    match read::<String>(settings, NAME)?.as_str() {
        "" => Ok(None),
        address => HostPort::from_value(address).map(Some).map_err(|reason| invalid(settings, NAME, reason)),
    }
}

fn log_format(settings: &Settings) -> Result<LogFormat, ConfigError> {
    Ok(if read::<String>(settings, "klamm.log.format")? == "json" { LogFormat::Json } else { LogFormat::Plain })
}

/// Without it everybody may do everything, which is the opposite of what was asked for.
fn refuse_an_authorizer(settings: &Settings) -> Result<(), ConfigError> {
    const NAME: &str = "authorizer.class.name";
    match read::<String>(settings, NAME)?.as_str() {
        "" => Ok(()),
        _ => Err(ConfigError::NotServed {
            key: NAME.to_owned(),
            reason: "authorisation is not served yet".to_owned(),
            origin: settings.origin(NAME),
        }),
    }
}

/// Unlike Kafka, which has nodes that are controllers alone.
fn refuse_a_controller_alone(settings: &Settings) -> Result<(), ConfigError> {
    const NAME: &str = "process.roles";
    let roles: Vec<String> = read(settings, NAME)?;
    if roles.is_empty() || roles.iter().any(|role| role == "broker") {
        return Ok(());
    }
    let reason = "a node that is a controller alone is not served: Klamm is a broker and its controller in one";
    Err(contradiction(settings, NAME, reason, "broker,controller, and a listener for clients"))
}

fn listeners(settings: &Settings) -> Result<Vec<Listener>, ConfigError> {
    let ListenerList(bound) = read(settings, "listeners")?;
    let ListenerList(advertised) = read(settings, "advertised.listeners")?;
    let controllers: Vec<String> = read(settings, "controller.listener.names")?;
    let is_for_brokers = |name: &str| !controllers.iter().any(|controller| controller.eq_ignore_ascii_case(name));
    let wrong = |reason: String, hint: String| contradiction(settings, "listeners", reason, hint);
    if let Some((one, other, port)) = shared_port(&bound) {
        let reason = format!("{one} and {other} are both to listen on port {port}");
        return Err(wrong(reason, "a port of its own for each".to_owned()));
    }
    if let Some((name, address)) = advertised.iter().find(|(name, _)| !bound.iter().any(|(other, _)| other == name)) {
        let hint = format!("add {name}://0.0.0.0:{} to listeners, or leave {name} out here", address.port);
        let reason = format!("{name} is advertised, and is not among the listeners");
        return Err(contradiction(settings, "advertised.listeners", reason, hint));
    }
    let mut listeners = Vec::new();
    for (name, bind) in bound.into_iter().filter(|(name, _)| is_for_brokers(name)) {
        let told = advertised.iter().find(|(other, _)| *other == name).map(|(_, address)| address.clone());
        let advertised = if advertised.is_empty() { Some(bind.clone()) } else { told };
        let protocol = protocol_of(settings, &name)?;
        listeners.push(Listener { name, bind, advertised: advertised.map(without_meta_address), protocol });
    }
    if listeners.is_empty() {
        let hint = "PLAINTEXT://localhost:9092, by a name that is not in controller.listener.names".to_owned();
        return Err(wrong("there is none for clients and brokers".to_owned(), hint));
    }
    Ok(listeners)
}

/// The protocol of the listener called `name`: one that is served.
fn protocol_of(settings: &Settings, name: &str) -> Result<SecurityProtocol, ConfigError> {
    let wrong = |reason: String, hint: String| contradiction(settings, "listeners", reason, hint);
    let protocols: ProtocolMap = read(settings, "listener.security.protocol.map")?;
    let protocol = protocols.0.get(name).copied().ok_or_else(|| {
        let hint = format!("add {name}:PLAINTEXT to listener.security.protocol.map");
        wrong(format!("{name} has no protocol in listener.security.protocol.map"), hint)
    })?;
    if protocol != SecurityProtocol::Plaintext {
        let hint = "PLAINTEXT, and let only those reach the broker who may do everything".to_owned();
        return Err(wrong(format!("{name} is to speak {protocol}, and only PLAINTEXT is served yet"), hint));
    }
    Ok(protocol)
}

/// The voters, where there is another one than this node, and the listener by which they reach it.
fn quorum_of(
    settings: &Settings,
    node_id: NodeId,
    listeners: &[Listener],
) -> Result<(Vec<QuorumVoter>, Option<Listener>), ConfigError> {
    let voters = quorum_voters(settings, node_id)?;
    let listener = controller_listener(settings, node_id, &voters, listeners)?;
    Ok((voters, listener))
}

/// The voters, where there is another one than this node.
fn quorum_voters(settings: &Settings, node_id: NodeId) -> Result<Vec<QuorumVoter>, ConfigError> {
    const NAME: &str = "controller.quorum.voters";
    let VoterList(voters) = read(settings, NAME)?;
    if voters.is_empty() || voters.iter().any(|voter| voter.id == node_id) {
        return Ok(if voters.len() > 1 { voters } else { Vec::new() });
    }
    let reason = format!("this node, {node_id}, is not among them, and a node that does not vote is not served yet");
    Err(contradiction(settings, NAME, reason, format!("add {node_id}@HOST:PORT, or set node.id to one of theirs")))
}

/// The first listener of `controller.listener.names`, or else one on the port that the voters are told; `None` where
/// there is nobody to talk to.
///
/// Unlike Kafka, a controller listener need not be configured: `controller.quorum.voters` says already which port it has.
fn controller_listener(
    settings: &Settings,
    node_id: NodeId,
    voters: &[QuorumVoter],
    others: &[Listener],
) -> Result<Option<Listener>, ConfigError> {
    let Some(own) = voters.iter().find(|voter| voter.id == node_id) else { return Ok(None) };
    let ListenerList(bound) = read(settings, "listeners")?;
    let names: Vec<String> = read(settings, "controller.listener.names")?;
    let configured = names.iter().find_map(|name| bound.iter().find(|(bound, _)| bound.eq_ignore_ascii_case(name)));
    if let Some((name, bind)) = configured {
        let protocol = protocol_of(settings, name)?;
        return Ok(Some(Listener { name: Arc::clone(name), bind: bind.clone(), advertised: None, protocol }));
    }
    let bind = HostPort { host: String::new(), port: own.port };
    if let Some(other) = others.iter().find(|other| other.bind.port == own.port) {
        let reason = format!("{own} is this node, and {} is to listen on that port", other.name);
        return Err(contradiction(settings, "controller.quorum.voters", reason, "a port of its own for the quorum"));
    }
    let name = names.first().map_or_else(|| CONTROLLER.to_owned(), |name| name.to_ascii_uppercase());
    Ok(Some(Listener { name: name.into(), bind, advertised: None, protocol: SecurityProtocol::Plaintext }))
}

/// Two listeners that would take the same port from each other: on the same address, or one of them on every interface.
///
/// Unlike Kafka, which refuses the same port on two addresses, too, unless one is of IPv4 and one of IPv6.
fn shared_port(bound: &[(Arc<str>, HostPort)]) -> Option<(&str, &str, u16)> {
    bound.iter().enumerate().find_map(|(index, (name, address))| {
        let collides = |other: &HostPort| {
            let is_everywhere = other.is_any_address() || address.is_any_address();
            address.port != 0 && other.port == address.port && (other.host == address.host || is_everywhere)
        };
        let (other, _) = bound.iter().take(index).find(|(_, other)| collides(other))?;
        Some((&**other, &**name, address.port))
    })
}

/// Nobody can connect to "every interface".
///
/// Unlike Kafka, which refuses `0.0.0.0` here, and which takes the machine's host name for an empty host: both stand
/// for the address by which each client has come, `localhost` for those of this machine.
fn without_meta_address(advertised: HostPort) -> HostPort {
    if advertised.is_any_address() { HostPort { host: String::new(), ..advertised } } else { advertised }
}

/// The listener that is named, or else the first that speaks the protocol that is named.
fn inter_broker_listener(settings: &Settings, listeners: &[Listener]) -> Result<String, ConfigError> {
    const NAME: &str = "inter.broker.listener.name";
    if !settings.is_set(NAME) {
        return Ok(listeners.first().map_or_else(String::new, |listener| listener.name.to_string()));
    }
    let name = read::<String>(settings, NAME)?.to_ascii_uppercase();
    let is_advertised = |listener: &Listener| *listener.name == *name && listener.advertised.is_some();
    if !listeners.iter().any(is_advertised) {
        let advertised = listeners.iter().filter(|listener| listener.advertised.is_some());
        let names: Vec<&str> = advertised.map(|listener| &*listener.name).collect();
        let reason = format!("{name} is none of the advertised listeners");
        return Err(contradiction(settings, NAME, reason, names.join(" or ")));
    }
    Ok(name)
}
