//! The two formats of a configuration file, both reduced to Kafka's property names.
//!
//! YAML has sections that read well (`node`, `listeners`, `storage`) and `properties` for everything else; any Kafka
//! name is accepted at the top level, too. Java properties are what `server.properties` is written in.

use std::collections::BTreeSet;

use serde_yaml::{Mapping, Value};

use super::error::ConfigError;
use super::suggestion::closest;

/// One key of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) key: String,
    pub(super) value: String,
    /// The line it stands in, from 1, where it could be told.
    pub(super) line: Option<usize>,
}

/// Reads a YAML file called `name`; an empty one sets nothing.
pub(super) fn yaml(name: &str, text: &str) -> Result<Vec<FileEntry>, ConfigError> {
    let syntax = |reason: String| ConfigError::Syntax { name: name.to_owned(), reason };
    let document: Value = serde_yaml::from_str(text).map_err(|error| syntax(error.to_string()))?;
    let mut reader = YamlReader { text, entries: Vec::new() };
    match document {
        Value::Null => {}
        Value::Mapping(document) => reader.document(&document).map_err(syntax)?,
        _ => return Err(syntax("a configuration is a list of \"key: value\" lines".to_owned())),
    }
    match doubled_key(&reader.entries) {
        Some(key) => Err(syntax(format!("{key} is set twice; leave one of them out"))),
        None => Ok(reader.entries),
    }
}

/// A key that stands in two sections, such as `properties` and the top level: nobody could tell which one holds.
fn doubled_key(entries: &[FileEntry]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    entries.iter().map(|entry| entry.key.as_str()).find(|key| !seen.insert(*key))
}

struct YamlReader<'a> {
    text: &'a str,
    entries: Vec<FileEntry>,
}

impl YamlReader<'_> {
    fn document(&mut self, document: &Mapping) -> Result<(), String> {
        for (key, value) in document {
            match (name_of(key)?, value) {
                ("node", Value::Mapping(node)) => self.section("node", node, &[("id", "node.id")])?,
                ("storage", Value::Mapping(storage)) => {
                    self.section("storage", storage, &[("kind", "klamm.storage.kind"), ("dir", "log.dirs")])?;
                }
                ("cluster", Value::Mapping(cluster)) => {
                    self.section("cluster", cluster, &[("id", "klamm.cluster.id")])?;
                }
                ("http", Value::Mapping(http)) => self.section("http", http, &[("bind", "klamm.http.bind")])?,
                ("listeners", Value::Sequence(listeners)) => self.listeners(listeners)?,
                ("topics", Value::Sequence(topics)) => self.topics(topics)?,
                ("properties", Value::Mapping(properties)) => {
                    for (key, value) in properties {
                        let key = name_of(key)?;
                        self.push(key, key, text_of(key, value)?);
                    }
                }
                (section @ ("node" | "cluster" | "http" | "storage" | "properties"), Value::Null) => {
                    return Err(format!("{section}: the section is empty; leave it out or fill it"));
                }
                (key, value) => self.push(key, key, text_of(key, value)?),
            }
        }
        Ok(())
    }

    /// A section whose keys are other names of Kafka's.
    fn section(&mut self, section: &str, mapping: &Mapping, names: &[(&str, &str)]) -> Result<(), String> {
        for (key, value) in mapping {
            let key = name_of(key)?;
            let known = || names.iter().map(|(name, _)| *name);
            let Some((_, kafka_name)) = names.iter().find(|(name, _)| *name == key) else {
                return Err(unknown_field(section, key, known()));
            };
            self.push(kafka_name, key, text_of(key, value)?);
        }
        Ok(())
    }

    /// `- {name, bind, advertise, protocol}` becomes three properties, each with one element per listener.
    fn listeners(&mut self, listeners: &[Value]) -> Result<(), String> {
        let (mut bound, mut advertised, mut protocols) = (Vec::new(), Vec::new(), Vec::new());
        for (index, listener) in listeners.iter().enumerate() {
            let listener = ListenerSection::read(index, listener)?;
            bound.push(format!("{}://{}", listener.name, listener.bind));
            let advertise = listener.advertise.unwrap_or(listener.bind);
            advertised.push(format!("{}://{advertise}", listener.name));
            protocols.push(format!("{}:{}", listener.name, listener.protocol));
        }
        self.push("listeners", "listeners", bound.join(","));
        self.push("advertised.listeners", "listeners", advertised.join(","));
        self.push("listener.security.protocol.map", "listeners", protocols.join(","));
        Ok(())
    }

    /// `- {name, partitions, replicas, config}` becomes an element of `klamm.create.topics`.
    fn topics(&mut self, topics: &[Value]) -> Result<(), String> {
        let elements: Result<Vec<String>, String> = topics.iter().enumerate().map(topic_element).collect();
        self.push("klamm.create.topics", "topics", elements?.join(","));
        Ok(())
    }

    /// Adds an entry, looking for its line by the name that it has in the file.
    fn push(&mut self, key: &str, name_in_file: &str, value: String) {
        let is_its_line = |line: &str| {
            let line = line.trim_start().trim_start_matches(['-', '{', ' ', '"', '\'']);
            line.strip_prefix(name_in_file)
                .is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
        };
        let line = self.text.lines().position(is_its_line).map(|index| index + 1);
        self.entries.push(FileEntry { key: key.to_owned(), value, line });
    }
}

/// One element of the `listeners` section.
struct ListenerSection {
    name: String,
    bind: String,
    advertise: Option<String>,
    protocol: String,
}

impl ListenerSection {
    fn read(index: usize, listener: &Value) -> Result<Self, String> {
        let (place, listener) = element("listeners", index, listener, &["name", "bind", "advertise", "protocol"])?;
        let field = |name: &str| listener.get(name).map(|value| text_of(name, value)).transpose();
        Ok(Self {
            name: field("name")?.unwrap_or_else(|| "PLAINTEXT".to_owned()),
            bind: field("bind")?.ok_or_else(|| format!("{place}: bind is missing, such as localhost:9092"))?,
            advertise: field("advertise")?,
            protocol: field("protocol")?.unwrap_or_else(|| "PLAINTEXT".to_owned()),
        })
    }
}

/// A topic as the list of topics has it; a comma would end it there.
fn topic_element((index, topic): (usize, &Value)) -> Result<String, String> {
    let (place, topic) = element("topics", index, topic, &["name", "partitions", "replicas", "config"])?;
    let field = |name: &str| topic.get(name).map(|value| text_of(name, value)).transpose();
    let name = field("name")?.ok_or_else(|| format!("{place}: name is missing"))?;
    let mut parts = vec![name, field("partitions")?.unwrap_or_default(), field("replicas")?.unwrap_or_default()];
    match topic.get("config") {
        None => {}
        Some(Value::Mapping(config)) => {
            for (key, value) in config {
                let key = name_of(key)?;
                parts.push(format!("{key}={}", text_of(key, value)?.replace(',', "+")));
            }
        }
        Some(_) => return Err(format!("{place}: config: expected \"key: value\" lines")),
    }
    Ok(parts.join(":"))
}

/// One element of a section that is a list, with its place: a mapping of these fields and no others.
fn element<'a>(
    section: &str,
    index: usize,
    element: &'a Value,
    fields: &[&str],
) -> Result<(String, &'a Mapping), String> {
    let place = format!("{section}[{index}]");
    let Value::Mapping(element) = element else {
        return Err(format!("{place}: expected {{{}}}", fields.join(", ")));
    };
    for key in element.keys() {
        let key = name_of(key)?;
        if !fields.contains(&key) {
            return Err(unknown_field(&place, key, fields.iter().copied()));
        }
    }
    Ok((place, element))
}

fn unknown_field<'a>(place: &str, key: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let hint = closest(key, known.clone()).map(|name| format!(", did you mean \"{name}\"?")).unwrap_or_default();
    let known: Vec<&str> = known.collect();
    format!("{place}: unknown key \"{key}\"{hint} (there are {})", known.join(", "))
}

fn name_of(key: &Value) -> Result<&str, String> {
    key.as_str().ok_or_else(|| format!("a key must be a text, and {key:?} is none"))
}

/// The text of a scalar, or of a list of scalars with commas between them.
fn text_of(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Sequence(elements) => {
            let texts: Result<Vec<String>, String> = elements.iter().map(|element| text_of(key, element)).collect();
            Ok(texts?.join(","))
        }
        Value::Null => Err(format!("{key} has no value")),
        _ => Err(format!("{key}: expected a text, a number, true or false; write Kafka's names in full, with dots")),
    }
}

/// Reads Java properties: `key=value`, `key: value` or `key value`, comments, and lines continued by a backslash.
pub(super) fn properties(text: &str) -> Vec<FileEntry> {
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while logical.ends_with('\\') {
            logical.pop();
            let Some((_, continuation)) = lines.next() else { break };
            logical.push_str(continuation.trim_start());
        }
        let end = logical.find(['=', ':', ' ', '\t']).unwrap_or(logical.len());
        let (key, rest) = logical.split_at(end);
        let rest = rest.trim_start();
        let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim();
        entries.push(FileEntry { key: key.to_owned(), value: value.to_owned(), line: Some(index + 1) });
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(entries: Vec<FileEntry>) -> Vec<(String, String)> {
        entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn sections_become_kafka_names() {
        let text = "node: {id: 7}\nstorage:\n  kind: memory\n  dir: /srv\nlisteners:\n  - {bind: ':9092', advertise: 'h:1'}\n  \
                    - {name: IN, bind: 'x:2'}\nproperties:\n  log.cleanup.policy: [compact, delete]\nnum.partitions: 4\n\
                    log.flush.interval.messages: 9223372036854775807\n";
        let expected = vec![
            pair("node.id", "7"),
            pair("klamm.storage.kind", "memory"),
            pair("log.dirs", "/srv"),
            pair("listeners", "PLAINTEXT://:9092,IN://x:2"),
            pair("advertised.listeners", "PLAINTEXT://h:1,IN://x:2"),
            pair("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,IN:PLAINTEXT"),
            pair("log.cleanup.policy", "compact,delete"),
            pair("num.partitions", "4"),
            pair("log.flush.interval.messages", "9223372036854775807"),
        ];
        let entries = yaml("klamm.yaml", text).unwrap();
        let lines: Vec<Option<usize>> = entries.iter().map(|entry| entry.line).collect();
        assert_eq!(
            lines,
            [1, 3, 4, 5, 5, 5, 9, 10, 11].map(Some).map(|line| if line == Some(1) { None } else { line })
        );
        assert_eq!(pairs(entries), expected);
        assert_eq!(yaml("klamm.yaml", "# nothing\n"), Ok(Vec::new()));
    }

    #[test]
    fn topics_the_cluster_and_http_are_sections_as_well() {
        let text = "cluster: {id: abc}\nhttp: {bind: 'localhost:1'}\ntopics:\n  - {name: a, partitions: 3}\n  \
                    - {name: b, replicas: 1, config: {cleanup.policy: [compact, delete], retention.ms: 5}}\n";
        let expected = vec![
            pair("klamm.cluster.id", "abc"),
            pair("klamm.http.bind", "localhost:1"),
            pair("klamm.create.topics", "a:3:,b::1:cleanup.policy=compact+delete:retention.ms=5"),
        ];
        assert_eq!(pairs(yaml("k.yaml", text).unwrap()), expected);
        let refuse = |text: &str| yaml("k.yaml", text).unwrap_err().to_string();
        assert_eq!(refuse("topics: [{partitions: 1}]"), "k.yaml: topics[0]: name is missing");
        assert_eq!(refuse("topics: [a]"), "k.yaml: topics[0]: expected {name, partitions, replicas, config}");
        assert!(refuse("topics: [{name: a, partition: 1}]").contains("did you mean \"partitions\"?"));
        assert!(refuse("topics: [{name: a, config: x}]").contains("topics[0]: config: expected"));
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_place() {
        let refuse = |text: &str| yaml("k.yaml", text).unwrap_err().to_string();
        assert_eq!(
            refuse("listeners:\n- {bind: 'x:1', advertize: 'y:2'}\n"),
            "k.yaml: listeners[0]: unknown key \"advertize\", did you mean \"advertise\"? (there are name, bind, advertise, protocol)"
        );
        assert_eq!(refuse("listeners: [{name: A}]"), "k.yaml: listeners[0]: bind is missing, such as localhost:9092");
        assert!(refuse("node: {nodeid: 1}").contains("node: unknown key \"nodeid\""));
        assert_eq!(
            refuse("num.partitions: 1\nproperties: {num.partitions: 2}"),
            "k.yaml: num.partitions is set twice; leave one of them out"
        );
        assert!(refuse("node: {id: 1}\nnode.id: 1").contains("node.id is set twice"));
        assert!(refuse("log: {dirs: x}").contains("log: expected a text"));
        assert!(refuse("- a\n- b").contains("key: value"));
        assert!(refuse("a: [").contains("line"));
    }

    #[test]
    fn java_properties_are_read_as_java_reads_them() {
        let text =
            "# comment\n! comment\n\nnode.id=3\n  log.dirs : /a/b\nlisteners=A://:1,\\\n   B://:2\nbroker.rack\n";
        let entries = properties(text);
        assert_eq!(entries.iter().filter_map(|entry| entry.line).collect::<Vec<_>>(), [4, 5, 6, 8]);
        let expected = vec![
            pair("node.id", "3"),
            pair("log.dirs", "/a/b"),
            pair("listeners", "A://:1,B://:2"),
            pair("broker.rack", ""),
        ];
        assert_eq!(pairs(entries), expected);
    }
}
