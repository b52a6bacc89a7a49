//! What the sections of a YAML file stand for, in Kafka's names.
//!
//! Sections read well (`node`, `listeners`, `storage`); `properties` has everything else, and any Kafka name is accepted at
//! the top level, too. Variables are replaced in values alone, and what becomes one element of a list may hold none of the
//! marks that separate elements.

use super::file_entry::{Fault, FileEntry};
use super::interpolation::{Environment, interpolate};
use super::key::Key;
use super::keys;
use super::suggestion::closest;
use super::value::Kind;
use super::yaml::{self, YamlContent, YamlField, YamlNode};

/// Sections whose keys are other names of Kafka's or ours.
const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    ("node", &[("id", "node.id")]),
    ("cluster", &[("id", "klamm.cluster.id")]),
    ("storage", &[("kind", "klamm.storage.kind"), ("dir", "log.dirs")]),
    ("http", &[("bind", "klamm.http.bind")]),
    ("log", &[("level", "klamm.log.level"), ("format", "klamm.log.format")]),
];

/// Every section, for who misspells one.
const NAMES: &[&str] = &["node", "cluster", "listeners", "storage", "http", "log", "topics", "properties"];

/// What to do with Kafka's names.
const WITH_DOTS: &str = "Kafka's names are written in full and with dots, such as log.retention.hours: 24";

/// What an element of `listeners` may have.
const LISTENER: &[&str] = &["name", "bind", "advertise", "protocol"];
/// What an element of `topics` may have.
const TOPIC: &[&str] = &["name", "partitions", "replicas", "config"];

/// Whether a section is called `name`.
pub(super) fn is_section(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Reads a YAML file; an empty one sets nothing. Beside what it sets, everything that is wrong with it.
pub(super) fn read(text: &str, environment: &Environment) -> (Vec<FileEntry>, Vec<Fault>) {
    let mut reader = SectionReader { environment, entries: Vec::new(), faults: Vec::new() };
    match yaml::parse(text) {
        Err(fault) => reader.faults.push(fault),
        Ok(YamlNode { content: YamlContent::Nothing, .. }) => {}
        Ok(YamlNode { content: YamlContent::Map(entries), .. }) => {
            for entry in &entries {
                reader.top_level(entry);
            }
        }
        Ok(YamlNode { line, content }) => {
            let fault = Fault::new(line, "a configuration is a list of \"name: value\" lines");
            reader.faults.push(fault.with_hint(match content {
                YamlContent::Scalar(text) if text.contains(':') => "write a space after each colon",
                _ => "klamm config init writes one to begin with",
            }));
        }
    }
    reader.refuse_doubled_keys();
    (reader.entries, reader.faults)
}

struct SectionReader<'a> {
    environment: &'a Environment,
    entries: Vec<FileEntry>,
    faults: Vec<Fault>,
}

impl SectionReader<'_> {
    fn top_level(&mut self, entry: &YamlField) {
        let section = SECTIONS.iter().find(|(name, _)| *name == entry.name);
        match (entry.name.as_str(), &entry.value.content) {
            (name, YamlContent::Nothing) if NAMES.contains(&name) => {
                let fault = Fault::new(entry.line, format!("the section {name} is empty"));
                self.faults.push(fault.with_hint("leave it out, or indent what belongs to it"));
            }
            ("listeners", YamlContent::List(listeners)) => self.listeners(entry.line, listeners),
            ("topics", YamlContent::List(topics)) => self.topics(entry.line, topics),
            ("properties", YamlContent::Map(properties)) => {
                for property in properties {
                    self.push(&property.name, property);
                }
            }
            ("topics", _) => {
                self.faults
                    .push(Fault::new(entry.line, "topics is a list").with_hint("- { name: payments, partitions: 3 }"));
            }
            ("properties", _) => {
                let fault = Fault::new(entry.line, "properties has \"name: value\" lines");
                self.faults.push(fault.with_hint("num.partitions: 3 in a line of its own, indented"));
            }
            (name, YamlContent::Map(fields)) if section.is_some() || !name.contains('.') => match section {
                Some((_, names)) => self.section(name, fields, names),
                None => self.faults.push(unknown_section(entry)),
            },
            (name, YamlContent::List(elements)) if section.is_none() && has_maps(elements) && !name.contains('.') => {
                self.faults.push(unknown_section(entry));
            }
            (name, _) => match section {
                Some((_, names)) => {
                    let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
                    let fault = Fault::new(entry.line, format!("{name} is a section with {}", names.join(" and ")));
                    self.faults.push(match &entry.value.content {
                        YamlContent::Scalar(text) if text.contains(':') => {
                            fault.with_hint("write a space after each colon")
                        }
                        _ => fault.with_hint(format!("{name}: {{ {}: ... }}", names.join(": ..., "))),
                    });
                }
                None => self.push(name, entry),
            },
        }
    }

    fn section(&mut self, section: &str, fields: &[YamlField], names: &[(&str, &str)]) {
        for field in fields {
            match names.iter().find(|(name, _)| *name == field.name) {
                Some((_, key)) => self.push(key, field),
                None => self.faults.push(unknown_field(section, field, names.iter().map(|(name, _)| *name))),
            }
        }
    }

    /// `- {name, bind, advertise, protocol}` becomes three properties, each with one element per listener.
    fn listeners(&mut self, line: usize, listeners: &[YamlNode]) {
        let (mut bound, mut advertised, mut protocols) = (Vec::new(), Vec::new(), Vec::new());
        let mut variables = Vec::new();
        for listener in listeners {
            match self.listener(listener, &mut variables) {
                Ok([name, bind, advertise, protocol]) => {
                    bound.push(format!("{name}://{bind}"));
                    advertised.push(format!("{name}://{advertise}"));
                    protocols.push(format!("{name}:{protocol}"));
                }
                Err(fault) => self.faults.push(fault),
            }
        }
        for (key, elements) in
            [("listeners", bound), ("advertised.listeners", advertised), ("listener.security.protocol.map", protocols)]
        {
            let value = elements.join(",");
            self.entries.push(FileEntry { key: key.to_owned(), value, line, variables: variables.clone() });
        }
    }

    fn listener(&self, listener: &YamlNode, variables: &mut Vec<String>) -> Result<[String; 4], Fault> {
        check_fields("listeners", listener, LISTENER)?;
        let mut field = |name: &str| self.field(listener, name, &[','], variables);
        let bind = field("bind")?.ok_or_else(|| {
            Fault::new(listener.line, "a listener needs bind").with_hint("{ name: PLAINTEXT, bind: localhost:9092 }")
        })?;
        let plaintext = || "PLAINTEXT".to_owned();
        let advertise = match field("advertise")? {
            // No host stands for the address at which the client came.
            Some(advertise) if advertise == "auto" => format!(":{}", bind.rsplit(':').next().unwrap_or_default()),
            advertise => advertise.unwrap_or_else(|| bind.clone()),
        };
        Ok([field("name")?.unwrap_or_else(plaintext), bind, advertise, field("protocol")?.unwrap_or_else(plaintext)])
    }

    /// `- {name, partitions, replicas, config}` becomes an element of `klamm.create.topics`.
    fn topics(&mut self, line: usize, topics: &[YamlNode]) {
        let (mut elements, mut variables) = (Vec::new(), Vec::new());
        for topic in topics {
            match self.topic(topic, &mut variables) {
                Ok(element) => elements.push(element),
                Err(fault) => self.faults.push(fault),
            }
        }
        let key = "klamm.create.topics".to_owned();
        self.entries.push(FileEntry { key, value: elements.join(","), line, variables });
    }

    fn topic(&mut self, topic: &YamlNode, variables: &mut Vec<String>) -> Result<String, Fault> {
        const MARKS: &[char] = &[',', ':', '\n'];
        check_fields("topics", topic, TOPIC)?;
        let mut field = |name: &str| self.field(topic, name, MARKS, variables);
        let name = field("name")?.ok_or_else(|| {
            Fault::new(topic.line, "a topic needs a name").with_hint("{ name: payments, partitions: 3 }")
        })?;
        let mut parts = vec![name, field("partitions")?.unwrap_or_default(), field("replicas")?.unwrap_or_default()];
        let counts = [("partitions", i32::MAX), ("replicas", i16::MAX.into())];
        for ((name, most), text) in counts.into_iter().zip(parts.iter().skip(1)) {
            let is_count =
                text.is_empty() || text.parse().is_ok_and(|count| count == -1 || (1..=most).contains(&count));
            if !is_count {
                let line = topic.field(name).map_or(topic.line, |value| value.line);
                let fault = Fault::new(line, format!("topics: \"{text}\" is no number of {name}"));
                self.faults.push(fault.with_hint(format!("{name}: 1, or leave it out for the broker's default")));
            }
        }
        match topic.field("config").map(|config| (config.line, &config.content)) {
            None => {}
            Some((_, YamlContent::Map(config))) => {
                for entry in config {
                    match self.topic_config(entry, variables) {
                        Ok(part) => parts.push(part),
                        Err(fault) => self.faults.push(fault),
                    }
                }
            }
            Some((line, _)) => {
                return Err(Fault::new(line, "the config of a topic has \"name: value\" lines")
                    .with_hint("config: { retention.ms: 60000 }"));
            }
        }
        Ok(parts.join(":"))
    }

    /// One config of a topic as `key=value`, checked, since a broker would start without the topic.
    fn topic_config(&self, entry: &YamlField, variables: &mut Vec<String>) -> Result<String, Fault> {
        let name = entry.name.as_str();
        let key = keys::topic_key_rows(name).next().ok_or_else(|| unknown_topic_config(entry))?;
        let value = self.text(name, &entry.value, &[':', '\n'], variables)?;
        key.check(name, &value).map_err(|error| {
            let fault = Fault::new(entry.value.line, format!("topics: {error}"));
            key.allowed().into_iter().fold(fault, |fault, allowed| fault.with_hint(format!("{name} is {allowed}")))
        })?;
        // A comma would end the topic.
        Ok(format!("{name}={}", value.replace(',', "+")))
    }

    /// The text of a field, if it is there.
    fn field(
        &self,
        node: &YamlNode,
        name: &str,
        marks: &[char],
        variables: &mut Vec<String>,
    ) -> Result<Option<String>, Fault> {
        node.field(name).map(|value| self.text(name, value, marks, variables)).transpose()
    }

    /// The text of a scalar, or of a list of scalars with commas between them; a scalar holds none of `marks`.
    fn text(&self, name: &str, value: &YamlNode, marks: &[char], variables: &mut Vec<String>) -> Result<String, Fault> {
        match &value.content {
            YamlContent::Scalar(written) => {
                let fault = |reason: String| Fault::new(value.line, format!("{name}: {reason}"));
                let text = interpolate(written, self.environment).map_err(fault)?;
                if let Some(mark) = text.text.chars().find(|character| marks.contains(character)) {
                    let refused = fault(format!("\"{}\" may not hold {mark:?} here", text.text));
                    return Err(if mark == ',' { refused.with_hint("write one element for each") } else { refused });
                }
                variables.extend(text.variables);
                Ok(text.text)
            }
            YamlContent::List(elements) => {
                let texts = elements.iter().map(|element| match element.content {
                    YamlContent::Scalar(_) => self.text(name, element, &[','], variables),
                    _ => Err(Fault::new(element.line, format!("{name}: expected a list of texts or numbers"))),
                });
                Ok(texts.collect::<Result<Vec<_>, _>>()?.join(","))
            }
            YamlContent::Nothing => Err(Fault::new(value.line, format!("{name} has no value"))
                .with_hint("leave it out, or write \"\" for no text")),
            YamlContent::Map(_) => {
                Err(Fault::new(value.line, format!("{name}: expected a text, a number, true or false"))
                    .with_hint(WITH_DOTS))
            }
        }
    }

    fn push(&mut self, key: &str, entry: &YamlField) {
        let is_one = keys::broker_key(key).is_some_and(|row| row.kind.is_number() || row.kind == Kind::Boolean);
        if is_one && matches!(entry.value.content, YamlContent::List(_)) {
            let fault = Fault::new(entry.line, format!("{}: expected one value, and this is a list", entry.name));
            self.faults.push(fault.with_hint("write it behind the colon, without brackets and dashes"));
            return;
        }
        let mut variables = Vec::new();
        match self.text(&entry.name, &entry.value, &[], &mut variables) {
            Ok(value) => self.entries.push(FileEntry { key: key.to_owned(), value, line: entry.line, variables }),
            Err(fault) => self.faults.push(fault),
        }
    }

    /// Keys that stand in two sections, such as `properties` and the top level.
    fn refuse_doubled_keys(&mut self) {
        for (index, entry) in self.entries.iter().enumerate() {
            if let Some(first) = self.entries.iter().take(index).find(|first| first.key == entry.key) {
                self.faults.push(yaml::twice(&entry.key, first.line, entry.line));
            }
        }
    }
}

fn has_maps(elements: &[YamlNode]) -> bool {
    elements.iter().any(|element| matches!(element.content, YamlContent::Map(_)))
}

/// Whether an element of a section that is a list has these fields and no others.
fn check_fields(section: &str, element: &YamlNode, fields: &[&str]) -> Result<(), Fault> {
    let YamlContent::Map(entries) = &element.content else {
        return Err(Fault::new(element.line, format!("{section}: expected {{ {} }}", fields.join(", "))));
    };
    match entries.iter().find(|entry| !fields.contains(&entry.name.as_str())) {
        Some(unknown) => Err(unknown_field(section, unknown, fields.iter().copied())),
        None => Ok(()),
    }
}

fn unknown_field<'a>(section: &str, field: &YamlField, known: impl Iterator<Item = &'a str> + Clone) -> Fault {
    let hint = match closest(&field.name, known.clone()) {
        None if matches!(field.value.content, YamlContent::Map(_)) => WITH_DOTS.to_owned(),
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("{section} has {}", known.collect::<Vec<_>>().join(", ")),
    };
    Fault::new(field.line, format!("{section}: unknown key \"{}\"", field.name)).with_hint(hint)
}

fn unknown_topic_config(entry: &YamlField) -> Fault {
    let name = entry.name.as_str();
    let own_name = keys::broker_key(name).and_then(Key::topic_key);
    let hint = match own_name.or_else(|| closest(name, keys::all().filter_map(Key::topic_key))) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => "such as retention.ms, cleanup.policy, segment.bytes, max.message.bytes; klamm config keys names all"
            .to_owned(),
    };
    Fault::new(entry.line, format!("topics: a topic has no config \"{name}\"")).with_hint(hint)
}

fn unknown_section(entry: &YamlField) -> Fault {
    let hint = match closest(&entry.name, NAMES.iter().copied()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("there are {}; {WITH_DOTS}", NAMES.join(", ")),
    };
    Fault::new(entry.line, format!("unknown section \"{}\"", entry.name)).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(text: &str, environment: &[(&str, &str)]) -> (Vec<FileEntry>, Vec<Fault>) {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(text, &environment)
    }

    /// `line key=value` of each entry.
    fn entries(text: &str) -> Vec<String> {
        let (entries, faults) = read_with(text, &[]);
        assert_eq!(faults, []);
        entries.iter().map(|entry| format!("{} {}={}", entry.line, entry.key, entry.value)).collect()
    }

    /// `line: reason` of each fault.
    fn faults(text: &str) -> Vec<String> {
        read_with(text, &[]).1.iter().map(|fault| format!("{}: {}", fault.line, fault.reason)).collect()
    }

    #[test]
    fn sections_become_kafka_names() {
        let text = "node: {id: 7}\nstorage:\n  kind: memory\n  dir: /srv\nlisteners:\n  - {bind: ':9092', advertise: 'h:1'}\n  \
                    - {name: IN, bind: 'x:2'}\nproperties:\n  log.cleanup.policy: [compact, delete]\nnum.partitions: 4\n\
                    log.flush.interval.messages: 9223372036854775807\n";
        assert_eq!(
            entries(text),
            [
                "1 node.id=7",
                "3 klamm.storage.kind=memory",
                "4 log.dirs=/srv",
                "5 listeners=PLAINTEXT://:9092,IN://x:2",
                "5 advertised.listeners=PLAINTEXT://h:1,IN://x:2",
                "5 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,IN:PLAINTEXT",
                "9 log.cleanup.policy=compact,delete",
                "10 num.partitions=4",
                "11 log.flush.interval.messages=9223372036854775807",
            ]
        );
        assert_eq!(entries("# nothing\n"), [""; 0]);
        assert_eq!(entries("listeners: [{bind: 'h:1', advertise: auto}]")[1], "1 advertised.listeners=PLAINTEXT://:1");
        let text = "log: {level: warn, format: json}";
        assert_eq!(entries(text), ["1 klamm.log.level=warn", "1 klamm.log.format=json"]);
        let text = "cluster: {id: abc}\nhttp: {bind: 'localhost:1'}\ntopics:\n  - {name: a, partitions: 3}\n  \
                    - {name: b, replicas: 1, config: {cleanup.policy: [compact, delete], retention.ms: 5}}\n";
        assert_eq!(
            entries(text),
            [
                "1 klamm.cluster.id=abc",
                "2 klamm.http.bind=localhost:1",
                "3 klamm.create.topics=a:3:,b::1:cleanup.policy=compact+delete:retention.ms=5",
            ]
        );
    }

    #[test]
    fn variables_decide_values_and_add_nothing_else() {
        let environment = [("PORT", "1"), ("EVIL", "h:1,EVIL://h:2"), ("LINES", "1\nnode.id: 4")];
        let (entries, faults) = read_with(
            "node: {id: '${ID:-7}'}\n${PORT}: 1\nlisteners: [{bind: 'h:${PORT}', name: '${NAME:-X}'}]\nbroker.rack: ${LINES}",
            &environment,
        );
        assert_eq!(faults, []);
        let shown = |entry: &FileEntry| format!("{}={} by {:?}", entry.key, entry.value, entry.variables);
        assert_eq!(shown(&entries[0]), "node.id=7 by [\"ID, which is unset\"]");
        assert_eq!(shown(&entries[1]), "${PORT}=1 by []");
        assert_eq!(shown(&entries[2]), "listeners=X://h:1 by [\"PORT\", \"NAME, which is unset\"]");
        assert_eq!((entries.len(), entries[5].value.as_str()), (6, "1\nnode.id: 4"));
        for text in ["listeners: [{bind: '${EVIL}'}]", "topics: [{name: '${EVIL}'}]", "log.cleanup.policy: ['${EVIL}']"]
        {
            let (_, faults) = read_with(text, &environment);
            assert!(faults[0].reason.contains("\"h:1,EVIL://h:2\" may not hold"), "{faults:?}");
        }
        let (_, faults) = read_with("\nnode: {id: '${NODE}'}\nbroker.rack: ${RACK:?say where}", &environment);
        let reasons: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.line, fault.reason)).collect();
        assert!(reasons[0].starts_with("2 id: the environment variable NODE is not set; "), "{reasons:?}");
        assert_eq!(reasons[1], "3 broker.rack: the environment variable RACK is not set: say where");
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_line() {
        assert_eq!(
            faults("listeners:\n- {bind: 'x:1', advertize: 'y:2'}\n- {name: A}\nnode: {nodeid: 1}\nlogs: {dirs: x}\n"),
            [
                "2: listeners: unknown key \"advertize\"",
                "3: a listener needs bind",
                "4: node: unknown key \"nodeid\"",
                "5: unknown section \"logs\"",
            ]
        );
        assert_eq!(
            faults("num.partitions: 1\nproperties: {num.partitions: 2}"),
            ["2: num.partitions is set twice, first in line 1"]
        );
        assert_eq!(faults("node: {id: 1}\nnode.id: 1"), ["2: node.id is set twice, first in line 1"]);
        for (text, reason) in [
            ("- a\n- b", "1: a configuration is a list of \"name: value\" lines"),
            ("node: 1", "1: node is a section with id"),
            ("node:\nx: 1", "1: the section node is empty"),
            ("properties: [1]", "1: properties has \"name: value\" lines"),
            ("num.partitions: [3]", "1: num.partitions: expected one value, and this is a list"),
            ("listener:\n- {bind: x}", "1: unknown section \"listener\""),
            ("num.partitions:\n  default: 3", "2: num.partitions: expected a text, a number, true or false"),
            ("properties: {a: {b: 1}}", "1: a: expected a text, a number, true or false"),
            ("topics: a", "1: topics is a list"),
            ("topics: [a]", "1: topics: expected { name, partitions, replicas, config }"),
            ("topics:\n- {partitions: 1}", "2: a topic needs a name"),
            ("topics: [{name: a, partition: 1}]", "1: topics: unknown key \"partition\""),
            ("topics: [{name: a, config: x}]", "1: the config of a topic has \"name: value\" lines"),
            ("num.partitions: ~", "1: num.partitions has no value"),
            ("log.dirs: [[a]]", "1: log.dirs: expected a list of texts or numbers"),
        ] {
            assert_eq!(faults(text), [reason], "{text}");
        }
    }
}
