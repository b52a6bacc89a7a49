//! What DescribeConfigs tells of a resource: its keys, their values, and every layer that has something to say of them
//! (`ConfigHelper`, `DynamicBrokerConfig`).

use std::collections::{BTreeMap, BTreeSet};

use super::kafka_numbers::ConfigSource;
use super::key::{Key, Scope};
use super::keys;
use super::resolved::{Config, Layers};
use super::value::{Kind, canonical};

/// One key of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConfig {
    /// The key.
    pub name: String,
    /// Its value; `None` where it has none, or where it is a secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether the value is, or may be, a secret.
    pub is_sensitive: bool,
    /// Whether no client may set it.
    pub is_read_only: bool,
    /// What each layer says of it, under any of its names, the strongest first.
    pub synonyms: Vec<ConfigSynonym>,
    /// The type of its value; `None` for a key that Klamm does not know.
    pub kind: Option<Kind>,
    /// What it decides.
    pub doc: Option<&'static str>,
}

/// What one layer says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The name that it stands under in that layer.
    pub name: String,
    /// Its value there; `None` where it is a secret.
    pub value: Option<String>,
    /// Which layer.
    pub source: ConfigSource,
}

impl Config {
    /// Every key of this broker.
    pub fn describe_broker(&self) -> Vec<DescribedConfig> {
        let dynamic = self.layers.cluster_wide.keys().chain(self.layers.per_broker.keys());
        let is_told = |key: &&Key| key.is_for_broker() && (!key.is_internal || self.settings.is_set(key.name));
        let mut names: BTreeSet<&str> = keys::all().filter(is_told).map(|key| key.name).collect();
        names.extend(dynamic.map(String::as_str));
        names.into_iter().map(|name| self.describe_broker_key(name)).collect()
    }

    /// The keys that clients have set for all brokers.
    pub fn describe_all_brokers(&self) -> Vec<DescribedConfig> {
        let described = |(name, text): (&String, &String)| {
            let mut described = self.describe_broker_key(name);
            described.synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
            described.value = (!described.is_sensitive).then(|| text.clone());
            described.with_source_of_synonyms()
        };
        self.layers.cluster_wide.iter().map(described).collect()
    }

    fn describe_broker_key(&self, name: &str) -> DescribedConfig {
        let key = keys::dynamic_broker_key(name);
        // Of a key that nobody here knows, nobody knows either whether its value is a secret.
        let is_sensitive = key.is_none_or(Key::is_sensitive);
        let value = match name {
            // Two names of one thing.
            "node.id" | "broker.id" => Some(self.node_id.to_string()),
            _ => self.settings.broker_text(name).or_else(|| self.layers.dynamic_text(name).map(str::to_owned)),
        };
        let value = value.map(|text| key.map_or(text.clone(), |key| canonical(key.kind, &text)));
        DescribedConfig {
            name: name.to_owned(),
            value: value.filter(|_| !is_sensitive),
            source: ConfigSource::Default,
            is_sensitive,
            is_read_only: key.is_none_or(|key| key.is_read_only() || key.scope == Scope::Dynamic),
            synonyms: self.layers.synonyms(name, is_sensitive),
            kind: key.map(|key| key.kind),
            doc: key.map(|key| key.doc),
        }
        .with_source_of_synonyms()
    }

    /// Every key of a topic with these overrides.
    pub fn describe_topic<'a>(&self, overrides: impl Fn(&str) -> Option<&'a str>) -> Vec<DescribedConfig> {
        let is_told = |(name, key): &(&'static str, &Key)| !key.is_internal || overrides(name).is_some();
        let keys = keys::all().filter_map(|key| Some((key.topic_key()?, key))).filter(is_told);
        let names: BTreeSet<&str> = keys.map(|(name, _)| name).collect();
        names.into_iter().filter_map(|name| self.describe_topic_key(name, overrides(name))).collect()
    }

    fn describe_topic_key(&self, name: &str, overridden: Option<&str>) -> Option<DescribedConfig> {
        let key = keys::topic_key_rows(name).next()?;
        let broker_synonyms =
            if key.is_for_broker() { self.layers.synonyms(key.name, key.is_sensitive()) } else { Vec::new() };
        let value = overridden.map(str::to_owned).or_else(|| self.settings.topic_text(name));
        let mut described = described(name, key, value, broker_synonyms);
        if overridden.is_some() {
            described.prepend_own(ConfigSource::Topic);
        }
        Some(described.with_source_of_synonyms())
    }

    /// Every key of a group with these overrides.
    pub fn describe_group<'a>(&self, overrides: impl Fn(&str) -> Option<&'a str>) -> Vec<DescribedConfig> {
        let groups = keys::all().filter_map(|key| Some((key.group_key()?, key)));
        let described = |(name, key): (&str, &Key)| {
            let overridden = overrides(name);
            let broker_text = || self.settings.broker_text(key.name).or_else(|| key.default_text());
            let value = overridden.map(str::to_owned).or_else(broker_text);
            let mut described = described(name, key, value, Vec::new());
            described.prepend_own(if overridden.is_some() { ConfigSource::Group } else { ConfigSource::Default });
            described.with_source_of_synonyms()
        };
        sorted(groups.map(described))
    }
}

/// Every key of a client metrics subscription with these overrides.
pub fn describe_client_metrics<'a>(overrides: impl Fn(&str) -> Option<&'a str>) -> Vec<DescribedConfig> {
    let subscription = keys::all().filter(|key| key.scope == Scope::ClientMetrics);
    sorted(subscription.map(|key| {
        let overridden = overrides(key.name);
        let value = overridden.map(str::to_owned).or_else(|| key.default_text());
        let mut described = described(key.name, key, value, Vec::new());
        if overridden.is_some() {
            described.prepend_own(ConfigSource::ClientMetrics);
        }
        described.with_source_of_synonyms()
    }))
}

fn sorted(described: impl Iterator<Item = DescribedConfig>) -> Vec<DescribedConfig> {
    let mut described: Vec<DescribedConfig> = described.collect();
    described.sort_by(|one, other| one.name.cmp(&other.name));
    described
}

/// A key of something other than a broker, which clients may always set.
fn described(name: &str, key: &Key, value: Option<String>, synonyms: Vec<ConfigSynonym>) -> DescribedConfig {
    let is_sensitive = key.is_sensitive();
    DescribedConfig {
        name: name.to_owned(),
        value: value.map(|text| canonical(key.kind, &text)).filter(|_| !is_sensitive),
        source: ConfigSource::Default,
        is_sensitive,
        is_read_only: false,
        synonyms,
        kind: Some(key.kind),
        doc: Some(key.doc),
    }
}

impl DescribedConfig {
    /// A logger with its level, which is no key of the table.
    pub fn logger(name: String, level: &str) -> Self {
        Self {
            name,
            value: Some(level.to_owned()),
            source: ConfigSource::BrokerLogger,
            is_sensitive: false,
            is_read_only: false,
            synonyms: Vec::new(),
            kind: None,
            doc: None,
        }
    }

    /// The value as what the resource itself says.
    fn prepend_own(&mut self, source: ConfigSource) {
        self.synonyms.insert(0, ConfigSynonym { name: self.name.clone(), value: self.value.clone(), source });
    }

    fn with_source_of_synonyms(mut self) -> Self {
        self.source = self.synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source);
        self
    }
}

impl Layers {
    /// What each layer says of the broker's key called `name`, under any of its names. What the layers say only under
    /// another name, before the first one that uses this name, is left out, as Kafka leaves it out.
    fn synonyms(&self, name: &str, is_sensitive: bool) -> Vec<ConfigSynonym> {
        let known = keys::synonyms(name);
        let names: &[&str] = if known.is_empty() { &[name] } else { &known };
        let layer = |text_of: &dyn Fn(&str) -> Option<String>, source: ConfigSource| {
            let told = names.iter().filter_map(|name| Some(((*name).to_owned(), text_of(name)?)));
            let synonyms =
                told.map(|(name, text)| ConfigSynonym { name, value: (!is_sensitive).then_some(text), source });
            synonyms.collect::<Vec<_>>()
        };
        let dynamic = |layer: &BTreeMap<String, String>, name: &str| layer.get(name).cloned();
        let all = [
            layer(&|name| dynamic(&self.per_broker, name), ConfigSource::DynamicBroker),
            layer(&|name| dynamic(&self.cluster_wide, name), ConfigSource::DynamicDefaultBroker),
            layer(&|name| self.fixed_text(name).map(str::to_owned), ConfigSource::StaticBroker),
            layer(&|name| keys::broker_key(name).and_then(Key::default_text), ConfigSource::Default),
        ];
        all.into_iter().flatten().skip_while(|synonym| synonym.name != name).collect()
    }

    /// What files and flags say; either of the names of the node's id says both.
    fn fixed_text(&self, name: &str) -> Option<&str> {
        let other = match name {
            "node.id" => self.fixed.given("broker.id"),
            "broker.id" => self.fixed.given("node.id"),
            _ => None,
        };
        self.fixed.given(name).or(other)
    }

    /// What clients have set, also of a key that Klamm does not know.
    pub(super) fn dynamic_text(&self, name: &str) -> Option<&str> {
        self.per_broker.get(name).or_else(|| self.cluster_wide.get(name)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    fn one(described: Vec<DescribedConfig>, name: &str) -> DescribedConfig {
        described.into_iter().find(|config| config.name == name).expect(name)
    }

    fn told(described: &DescribedConfig) -> Vec<(&str, &str, ConfigSource)> {
        let synonyms = described.synonyms.iter();
        synonyms.map(|one| (one.name.as_str(), one.value.as_deref().unwrap_or("-"), one.source)).collect()
    }

    fn config(pairs: &[(&str, &str)]) -> Config {
        Config::with(pairs).unwrap()
    }

    #[test]
    fn a_brokers_key_is_told_with_every_layer() {
        let dynamic = config(&[("message.max.bytes", " 100 ")])
            .with_dynamic(texts(&[("message.max.bytes", "200")]), texts(&[("message.max.bytes", "300")]))
            .unwrap();
        let described = one(dynamic.describe_broker(), "message.max.bytes");
        assert_eq!((described.value.as_deref(), described.source), (Some("300"), ConfigSource::DynamicBroker));
        assert!(!described.is_read_only && !described.is_sensitive);
        assert_eq!(
            told(&described),
            [
                ("message.max.bytes", "300", ConfigSource::DynamicBroker),
                ("message.max.bytes", "200", ConfigSource::DynamicDefaultBroker),
                ("message.max.bytes", "100", ConfigSource::StaticBroker),
                ("message.max.bytes", "1048588", ConfigSource::Default),
            ]
        );
        let all = one(dynamic.describe_all_brokers(), "message.max.bytes");
        assert_eq!(told(&all), [("message.max.bytes", "200", ConfigSource::DynamicDefaultBroker)]);
        assert_eq!((all.value.as_deref(), dynamic.describe_all_brokers().len()), (Some("200"), 1));
    }

    #[test]
    fn the_two_names_of_the_nodes_id_are_one() {
        let described = one(config(&[("node.id", "4")]).describe_broker(), "broker.id");
        assert_eq!((described.value.as_deref(), described.source), (Some("4"), ConfigSource::StaticBroker));
        assert!(described.is_read_only);
        assert_eq!(one(config(&[]).describe_broker(), "broker.id").value.as_deref(), Some("1"));
    }

    #[test]
    fn a_key_that_nobody_knows_may_be_a_secret() {
        let dynamic = config(&[]).with_dynamic(BTreeMap::new(), texts(&[("my.password", "x")])).unwrap();
        let described = one(dynamic.describe_broker(), "my.password");
        assert!(described.is_sensitive && described.is_read_only);
        assert_eq!((described.value, described.kind, described.source), (None, None, ConfigSource::DynamicBroker));
    }

    #[test]
    fn what_is_for_tests_is_told_only_where_it_was_set() {
        let names = |config: &Config| config.describe_broker().into_iter().map(|one| one.name).collect::<Vec<_>>();
        assert!(!names(&config(&[])).contains(&"log.initial.task.delay.ms".to_owned()));
        let set = config(&[("log.initial.task.delay.ms", "5")]);
        assert!(names(&set).contains(&"log.initial.task.delay.ms".to_owned()));
        let topic = |internal: Option<&'static str>| {
            config(&[]).describe_topic(move |name| internal.filter(|_| name == "internal.segment.bytes")).len()
        };
        assert_eq!((topic(None), topic(Some("64"))), (33, 34));
    }

    #[test]
    fn a_topics_key_is_told_under_its_brokers_names() {
        let config = config(&[("log.segment.bytes", "2000000"), ("log.retention.hours", "2")]);
        let overrides = |name: &str| (name == "cleanup.policy").then_some("compact, delete");
        let topic = config.describe_topic(overrides);
        let policy = one(topic.clone(), "cleanup.policy");
        assert_eq!(
            told(&policy),
            [
                ("cleanup.policy", "compact,delete", ConfigSource::Topic),
                ("log.cleanup.policy", "delete", ConfigSource::Default),
            ]
        );
        let segment = one(topic.clone(), "segment.bytes");
        assert_eq!((segment.value.as_deref(), segment.source), (Some("2000000"), ConfigSource::StaticBroker));
        // Kafka looks for `log.retention.ms` alone, which nobody set.
        let retention = one(topic, "retention.ms");
        assert_eq!((retention.value.as_deref(), retention.source), (Some("7200000"), ConfigSource::Default));
        assert_eq!((retention.synonyms.len(), retention.kind), (0, Some(Kind::Long)));
    }

    #[test]
    fn a_groups_key_is_its_own_or_the_brokers() {
        let config = config(&[("group.consumer.session.timeout.ms", "50000")]);
        let group = config.describe_group(|name| (name == "consumer.heartbeat.interval.ms").then_some("6000"));
        assert_eq!(group.len(), 10);
        let session = one(group.clone(), "consumer.session.timeout.ms");
        assert_eq!(told(&session), [("consumer.session.timeout.ms", "50000", ConfigSource::Default)]);
        assert_eq!(one(group.clone(), "consumer.heartbeat.interval.ms").source, ConfigSource::Group);
        assert_eq!(one(group, "share.isolation.level").value.as_deref(), Some("read_uncommitted"));
    }

    #[test]
    fn a_subscriptions_keys_are_three() {
        let described = describe_client_metrics(|name| (name == "interval.ms").then_some("1000"));
        assert_eq!(described.len(), 3);
        assert_eq!(one(described.clone(), "interval.ms").source, ConfigSource::ClientMetrics);
        assert_eq!(one(described, "match").value.as_deref(), Some(""));
    }
}
