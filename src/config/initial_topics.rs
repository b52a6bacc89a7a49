//! The topics that a broker creates when it starts, unless they are there.

use std::collections::BTreeMap;

use super::value::FromValue;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InitialTopic {
    /// Its name, unchecked.
    pub name: String,
    /// How many partitions; -1 for the broker's default.
    pub partitions: i32,
    /// How many replicas each; -1 for the broker's default.
    pub replication_factor: i16,
    /// What it overrides, unchecked.
    pub configs: BTreeMap<String, String>,
}

/// A list of `name:partitions:replicas:cleanup.policy`, as images of Kafka take it in `KAFKA_CREATE_TOPICS`; numbers and
/// what follows them may be left out, and the last part may also be any `key=value`, as often as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct InitialTopics(pub(super) Vec<InitialTopic>);

impl FromValue for InitialTopics {
    fn from_value(text: &str) -> Result<Self, String> {
        let elements = text.split([',', '\n']).map(str::trim).filter(|element| !element.is_empty());
        elements.map(topic).collect::<Result<_, String>>().map(Self)
    }
}

fn topic(element: &str) -> Result<InitialTopic, String> {
    let mut parts = element.split(':').map(str::trim);
    let name = parts.next().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(format!("\"{element}\" begins with no name; expected name:partitions:replicas"));
    }
    let partitions = number(element, "partitions", parts.next())?;
    let replication_factor = number(element, "replicas", parts.next())?;
    let mut configs = BTreeMap::new();
    for part in parts.filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or(("cleanup.policy", part));
        // Two policies cannot be separated by a comma here.
        configs.insert(key.trim().to_owned(), value.trim().replace('+', ","));
    }
    Ok(InitialTopic { name, partitions, replication_factor, configs })
}

fn number<T: std::str::FromStr + From<i8>>(element: &str, what: &str, text: Option<&str>) -> Result<T, String> {
    match text {
        None | Some("") => Ok(T::from(-1)),
        Some(text) => text.parse().map_err(|_| format!("\"{element}\": \"{text}\" is no number of {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_written_as_the_images_of_kafka_take_them() {
        let InitialTopics(topics) =
            InitialTopics::from_value("Topic1:1:3,Topic2:1:1:compact\nc , d:3:1:compact+delete:retention.ms=1000,")
                .unwrap();
        let topic = |name: &str, partitions, replication_factor, configs: &[(&str, &str)]| InitialTopic {
            name: name.to_owned(),
            partitions,
            replication_factor,
            configs: configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        let both = [("cleanup.policy", "compact,delete"), ("retention.ms", "1000")];
        assert_eq!(
            topics,
            [
                topic("Topic1", 1, 3, &[]),
                topic("Topic2", 1, 1, &[("cleanup.policy", "compact")]),
                topic("c", -1, -1, &[]),
                topic("d", 3, 1, &both),
            ]
        );
    }

    #[test]
    fn what_is_no_topic_is_told_with_the_element() {
        let refusal = |text: &str| InitialTopics::from_value(text).unwrap_err();
        assert_eq!(refusal(":1"), "\":1\" begins with no name; expected name:partitions:replicas");
        assert_eq!(refusal("a:x"), "\"a:x\": \"x\" is no number of partitions");
        assert_eq!(refusal("a:1:99999"), "\"a:1:99999\": \"99999\" is no number of replicas");
    }
}
