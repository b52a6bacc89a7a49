//! One row of the table of keys.

use super::value::{self, InvalidValue, Kind, Valid};

/// Where a key may be set, and what it then decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// For the broker alone.
    Broker,
    /// For the broker, as the default of a topic's key.
    TopicDefault {
        /// The topic's key, such as `retention.ms`.
        topic_key: &'static str,
        /// What the broker's value is multiplied by to become the topic's: 3,600,000 from hours to milliseconds.
        factor: i64,
    },
    /// For topics alone; there is no broker-wide default but the one in the table.
    Topic,
    /// For the broker, as the default of a group's key.
    GroupDefault {
        /// The group's key, such as `consumer.session.timeout.ms`.
        group_key: &'static str,
    },
    /// For groups alone.
    Group,
    /// For subscriptions of client metrics (KIP-714) alone.
    ClientMetrics,
    /// For brokers, by clients alone: it stands in no file.
    Dynamic,
}

/// How much a key matters to most users, in Kafka's judgement; the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// Whoever runs a broker should know it.
    High,
    /// It is good to know.
    Medium,
    /// Few need it.
    Low,
}

/// Whether a broker's key may change while the broker runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateMode {
    /// It holds from the start to the stop.
    ReadOnly,
    /// For each broker, but not for all of them at once.
    PerBroker,
    /// For each broker, and for all of them at once.
    ClusterWide,
}

/// A key: everything that is known of it, once.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Kafka's name for it, or one that begins with `klamm.`.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The value's text where nobody sets it; `None` where the key is then without value.
    pub default: Option<&'static str>,
    /// What its value must fulfil.
    pub valid: Valid,
    /// Where it may be set.
    pub scope: Scope,
    /// How much it matters.
    pub importance: Importance,
    /// Whether a broker's value may change while it runs.
    pub update_mode: UpdateMode,
    /// Whether it is for Kafka's own tests, so that it is told to nobody who has not set it.
    pub is_internal: bool,
    /// Whether anything here goes by it. A key without effect is accepted, so that existing configurations work.
    pub has_effect: bool,
    /// What it decides, in a sentence; what it would decide, where it has no effect.
    pub doc: &'static str,
}

/// What texts with a form of their own look like.
const EXAMPLES: &[(&str, &str)] = &[
    ("listeners", "listeners=PLAINTEXT://localhost:9092; several are separated by commas"),
    ("advertised.listeners", "advertised.listeners=PLAINTEXT://broker.example.com:9092, by the names in listeners"),
    ("listener.security.protocol.map", "listener.security.protocol.map=INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT"),
    (
        "klamm.create.topics",
        "payments:3:1,accounts:3:1:compact is name:partitions:replicas:cleanup.policy, with commas",
    ),
    ("klamm.http.bind", "localhost:9021, or nothing at all for no HTTP"),
    ("klamm.log.level", "info, or warn,klamm::network=debug"),
];

impl Key {
    const fn new(kind: Kind, name: &'static str, default: Option<&'static str>, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            default,
            valid: Valid::Any,
            scope: Scope::Broker,
            importance: Importance::Medium,
            update_mode: UpdateMode::ReadOnly,
            is_internal: false,
            has_effect: true,
            doc,
        }
    }

    pub(super) const fn boolean(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(Kind::Boolean, name, Some(default), doc)
    }

    pub(super) const fn short(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(Kind::Short, name, Some(default), doc)
    }

    pub(super) const fn int(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(Kind::Int, name, Some(default), doc)
    }

    pub(super) const fn long(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(Kind::Long, name, Some(default), doc)
    }

    pub(super) const fn double(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(Kind::Double, name, Some(default), doc)
    }

    pub(super) const fn string(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(Kind::String, name, Some(default), doc)
    }

    pub(super) const fn list(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(Kind::List, name, Some(default), doc)
    }

    /// A key that has no value until somebody sets it.
    pub(super) const fn unset(kind: Kind, name: &'static str, doc: &'static str) -> Self {
        Self::new(kind, name, None, doc)
    }

    pub(super) const fn at_least(self, least: i64) -> Self {
        Self { valid: Valid::AtLeast(least), ..self }
    }

    pub(super) const fn valid(self, valid: Valid) -> Self {
        Self { valid, ..self }
    }

    pub(super) const fn one_of(self, texts: &'static [&'static str]) -> Self {
        Self { valid: Valid::OneOf(texts), ..self }
    }

    pub(super) const fn high(self) -> Self {
        Self { importance: Importance::High, ..self }
    }

    pub(super) const fn low(self) -> Self {
        Self { importance: Importance::Low, ..self }
    }

    pub(super) const fn cluster_wide(self) -> Self {
        Self { update_mode: UpdateMode::ClusterWide, ..self }
    }

    pub(super) const fn internal(self) -> Self {
        Self { is_internal: true, ..self }
    }

    pub(super) const fn no_effect(self) -> Self {
        Self { has_effect: false, ..self }
    }

    /// The same key, as the default of `topic_key`.
    pub(super) const fn for_topics(self, topic_key: &'static str) -> Self {
        self.for_topics_times(topic_key, 1)
    }

    pub(super) const fn for_topics_times(self, topic_key: &'static str, factor: i64) -> Self {
        Self { scope: Scope::TopicDefault { topic_key, factor }, ..self }
    }

    pub(super) const fn topic_only(self) -> Self {
        Self { scope: Scope::Topic, ..self }
    }

    /// The same key, as the default of `group_key`.
    pub(super) const fn for_groups(self, group_key: &'static str) -> Self {
        Self { scope: Scope::GroupDefault { group_key }, ..self }
    }

    pub(super) const fn group_only(self) -> Self {
        Self { scope: Scope::Group, ..self }
    }

    pub(super) const fn client_metrics_only(self) -> Self {
        Self { scope: Scope::ClientMetrics, ..self }
    }

    pub(super) const fn dynamic_only(self) -> Self {
        Self { scope: Scope::Dynamic, ..self }
    }

    /// Whether the key may stand in a configuration file or a flag.
    pub fn is_for_broker(&self) -> bool {
        matches!(self.scope, Scope::Broker | Scope::TopicDefault { .. } | Scope::GroupDefault { .. })
    }

    /// The topic key that this row describes or is the default of.
    pub fn topic_key(&self) -> Option<&'static str> {
        match self.scope {
            Scope::TopicDefault { topic_key, .. } => Some(topic_key),
            Scope::Topic => Some(self.name),
            _ => None,
        }
    }

    /// The group's key that this row describes or is the default of.
    pub fn group_key(&self) -> Option<&'static str> {
        match self.scope {
            Scope::GroupDefault { group_key } => Some(group_key),
            Scope::Group => Some(self.name),
            _ => None,
        }
    }

    /// The text of its value where nobody sets it.
    pub(super) fn default_text(&self) -> Option<String> {
        self.default.map(str::to_owned)
    }

    /// Whether its value is a secret, which no answer tells.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Whether a client may not set it, for any broker, while the broker runs.
    pub fn is_read_only(&self) -> bool {
        self.update_mode == UpdateMode::ReadOnly && self.scope != Scope::Dynamic
    }

    /// What to set it to, for who gave it something else; `None` where the reason says it all.
    pub(super) fn expected(&self) -> Option<String> {
        let example = || EXAMPLES.iter().find(|(name, _)| *name == self.name).map(|(_, example)| (*example).to_owned());
        let default = self.default.map(|default| format!("; the default is {default}")).unwrap_or_default();
        self.allowed().map(|allowed| format!("{} is {allowed}{default}", self.name)).or_else(example)
    }

    /// What its value may be; `None` where a refusal says it already, or where it takes more than a few words.
    pub(super) fn allowed(&self) -> Option<String> {
        match (self.kind, self.valid) {
            (_, Valid::OneOf(_) | Valid::OneOfIgnoringCase(_)) => None,
            (Kind::Boolean, _) => Some("true or false".to_owned()),
            (Kind::Short | Kind::Int | Kind::Long, Valid::Any) => Some("a whole number".to_owned()),
            (Kind::Short | Kind::Int | Kind::Long, valid) => Some(format!("a whole number, {valid}")),
            (Kind::Double, Valid::Any) => Some("a number".to_owned()),
            (Kind::Double, valid) => Some(format!("a number, {valid}")),
            _ => None,
        }
    }

    /// Checks a value that was given under the name `name`: the key's own, or that of the topic key it stands for.
    pub fn check(&self, name: &str, text: &str) -> Result<(), InvalidValue> {
        value::check(name, self.kind, self.valid, text).map_err(|(value, reason)| InvalidValue {
            key: name.to_owned(),
            value,
            reason,
        })
    }
}
