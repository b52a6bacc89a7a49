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
    /// What it decides, in a sentence.
    pub doc: &'static str,
}

impl Key {
    const fn new(kind: Kind, name: &'static str, default: Option<&'static str>, doc: &'static str) -> Self {
        Self { name, kind, default, valid: Valid::Any, scope: Scope::Broker, doc }
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

    /// Whether the key may stand in a configuration file or a flag.
    pub fn is_for_broker(&self) -> bool {
        self.scope != Scope::Topic
    }

    /// The topic key that this row describes or is the default of.
    pub fn topic_key(&self) -> Option<&'static str> {
        match self.scope {
            Scope::Broker => None,
            Scope::TopicDefault { topic_key, .. } => Some(topic_key),
            Scope::Topic => Some(self.name),
        }
    }

    /// Checks a value that was given under the name `name`: the key's own, or that of the topic key it stands for.
    pub fn check(&self, name: &str, text: &str) -> Result<(), InvalidValue> {
        value::check(self.kind, self.valid, text).map_err(|reason| InvalidValue {
            key: name.to_owned(),
            value: text.to_owned(),
            reason,
        })
    }
}
