//! What was set: one text per key, and where it came from.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::file;
use super::key::{Key, Scope};
use super::keys;
use super::origin::Origin;
use super::suggestion::closest;
use super::value::FromValue;

/// The keys that were set; whoever sets a key later wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<&'static str, (String, Origin)>);

impl Settings {
    /// Sets one key, by any name of the table that is for the broker.
    ///
    /// # Errors
    /// The key is unknown, or the value is wrong for it.
    pub fn set(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let Some(key) = keys::broker_key(name) else {
            return Err(ConfigError::UnknownKey { hint: hint_for(name), key: name.to_owned(), origin });
        };
        key.check(name, text).map_err(|error| ConfigError::Invalid { error, origin: origin.clone() })?;
        self.0.insert(key.name, (text.trim().to_owned(), origin));
        Ok(())
    }

    /// Sets everything that a configuration file says: Java properties if `name` ends in `.properties`, else YAML.
    ///
    /// # Errors
    /// The text is neither, or a key or a value in it is wrong.
    pub fn read_file(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let is_properties = name.rsplit_once('.').is_some_and(|(_, extension)| extension == "properties");
        let entries = if is_properties { file::properties(text) } else { file::yaml(name, text)? };
        for file::FileEntry { key, value, line } in entries {
            self.set(&key, &value, Origin::File { name: name.to_owned(), line })?;
        }
        Ok(())
    }

    /// Lays `stronger` texts over these: where one is set, what was set of its other units no longer counts, so that hours
    /// given while the broker runs win over milliseconds from its file (`DynamicBrokerConfig.overrideProps`). Texts of
    /// unknown keys are passed over.
    pub(super) fn overlay(&mut self, stronger: &BTreeMap<String, String>, origin: &Origin) {
        for (name, text) in stronger {
            let Some(key) = keys::broker_key(name) else { continue };
            for synonym in keys::synonyms(name) {
                self.0.remove(synonym);
            }
            self.0.insert(key.name, (text.trim().to_owned(), origin.clone()));
        }
    }

    /// The text of `key` that is in force, or `None` where it has no value.
    pub(super) fn text(&self, key: &Key) -> Option<&str> {
        self.given(key.name).or(key.default)
    }

    /// The text of the broker's key called `name` that is in force; `None` where it has no value or is unknown.
    pub(super) fn broker_text(&self, name: &str) -> Option<String> {
        keys::broker_key(name).and_then(|key| self.text(key)).map(str::to_owned)
    }

    /// The text of a topic key where the topic does not override it: the first of the broker's keys that has a value,
    /// in the topic key's unit.
    pub(super) fn topic_text(&self, topic_key: &str) -> Option<String> {
        keys::topic_key_rows(topic_key).find_map(|row| {
            let text = self.text(row)?;
            match row.scope {
                Scope::TopicDefault { factor, .. } if factor != 1 => Some(in_topic_unit(text, factor)),
                _ => Some(text.to_owned()),
            }
        })
    }

    /// What somebody set for the key called `name`.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(text, _)| text.as_str())
    }

    /// Where the value of the key called `name` came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.0.get(name).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Whether somebody set the key called `name`.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// A negative time is "unlimited", whatever its unit.
fn in_topic_unit(text: &str, factor: i64) -> String {
    match i64::from_value(text) {
        Ok(time) if time < 0 => "-1".to_owned(),
        Ok(time) => time.saturating_mul(factor).to_string(),
        Err(_) => text.to_owned(),
    }
}

/// What the user may have meant by a name that is not a broker key.
fn hint_for(name: &str) -> Option<String> {
    if let Some(row) = keys::topic_key_rows(name).next() {
        return Some(match row.scope {
            Scope::Topic => format!("{name} can only be set on a topic"),
            _ => format!("{name} is set on topics; its broker-wide default is {}", row.name),
        });
    }
    closest(name, keys::all().filter(|key| key.is_for_broker()).map(|key| key.name))
        .map(|name| format!("did you mean \"{name}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: Origin = Origin::Flag("--set");

    #[test]
    fn the_last_one_to_set_a_key_wins_and_is_remembered() {
        let mut settings = Settings::default();
        settings.read_file("klamm.yaml", "# comment\nnum.partitions: 3\n").unwrap();
        assert_eq!(settings.origin("num.partitions").to_string(), "klamm.yaml:2");
        settings.set("num.partitions", " 5 ", SET).unwrap();
        let key = keys::broker_key("num.partitions").unwrap();
        assert_eq!((settings.text(key), settings.origin(key.name)), (Some("5"), SET));
        assert_eq!(settings.origin("node.id"), Origin::Default);
    }

    #[test]
    fn an_unknown_key_is_refused_with_what_may_have_been_meant() {
        let refuse = |name: &str| Settings::default().set(name, "1", SET).unwrap_err().hint();
        assert_eq!(refuse("num.partition").as_deref(), Some("did you mean \"num.partitions\"?"));
        let topic_key = refuse("retention.ms");
        assert_eq!(
            topic_key.as_deref(),
            Some("retention.ms is set on topics; its broker-wide default is log.retention.ms")
        );
        assert_eq!(
            refuse("remote.storage.enable").as_deref(),
            Some("remote.storage.enable can only be set on a topic")
        );
        assert_eq!(refuse("qqq"), None);
    }

    #[test]
    fn a_wrong_value_is_told_with_its_place() {
        let error = Settings::default().read_file("a.properties", "\nnum.partitions=many\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.properties:2: Invalid value many for configuration num.partitions: Not a number of type INT"
        );
    }
}
