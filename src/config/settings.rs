//! What was set: one text per key, and where it came from.

use std::collections::BTreeMap;

use super::environment::{self, Variable};
use super::error::{ConfigError, ConfigErrors};
use super::file;
use super::file_entry::{Fault, FileEntry};
use super::interpolation::Environment;
use super::jaas::JaasEntry;
use super::key::{Key, Scope};
use super::keys;
use super::log_levels;
use super::origin::Origin;
use super::other_format::is_properties;
use super::suggestion::closest;
use super::unserved::{Unserved, unserved};
use super::value::FromValue;

/// What is logged.
const LOG_LEVEL: &str = "klamm.log.level";

/// The keys that were set; whoever sets a key later wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    given: BTreeMap<&'static str, (String, Origin)>,
    notes: Vec<String>,
}

impl Settings {
    /// Sets one key, by any name of the table that is for the broker.
    ///
    /// # Errors
    /// The key is unknown, or not served although it would have to be, or the value is wrong for it.
    pub fn set(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let Some(key) = keys::broker_key(name) else { return self.pass_over(name, text, origin) };
        key.check(name, text).map_err(|error| ConfigError::Invalid { error, origin: origin.clone() })?;
        self.given.insert(key.name, (text.trim().to_owned(), origin));
        Ok(())
    }

    /// Sets one key, unless it is set.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn set_if_unset(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        if self.is_set(name) { Ok(()) } else { self.set(name, text, origin) }
    }

    /// What becomes of a key without a row: a note, if it may be passed over.
    fn pass_over(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        match unserved(name, text) {
            Some(Unserved::PassedOver(reason)) => self.notes.push(format!("{origin}: {name} is passed over: {reason}")),
            Some(Unserved::Refused(reason)) => {
                let reason = refusal(name, text, reason);
                return Err(ConfigError::NotServed { key: name.to_owned(), reason, origin });
            }
            None => return Err(ConfigError::UnknownKey { hint: hint_for(name), key: name.to_owned(), origin }),
        }
        Ok(())
    }

    /// The same as [`Settings::set`] where Kafka itself does not mind keys that nobody knows: a note is made of them.
    fn set_if_known(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        match self.set(name, text, origin) {
            Err(error @ ConfigError::UnknownKey { .. }) => {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                self.notes.push(format!("{error} is passed over{hint}"));
                Ok(())
            }
            result => result,
        }
    }

    /// Sets everything that environment variables say, in the order of their names; `read` reads the files that some of
    /// them name.
    ///
    /// # Errors
    /// Everything that is wrong: a value that is wrong for its key, asks for what is dangerous to go on without, or stands
    /// in a file that cannot be read.
    pub fn read_environment(
        &mut self,
        environment: &Environment,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Result<(), ConfigErrors> {
        let levels = self.read_log4j_levels(environment);
        let variables = environment.iter().filter_map(|(name, value)| self.read_variable(name, value, &read).err());
        let errors = variables.collect::<Vec<_>>().into_iter().chain(levels).collect();
        self.listen_where_advertised();
        ConfigErrors::unless_empty(errors)
    }

    /// The levels in the variables of Kafka's images, over those of the files; `KLAMM_LOG` is read later and wins.
    fn read_log4j_levels(&mut self, environment: &Environment) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        for (name, value) in environment.iter().rev() {
            let origin = Origin::Variable(name.clone());
            let about = environment::variable(name, value, |_| false);
            let example = if about == Variable::RootLevel { "WARN" } else { "kafka.controller=DEBUG,kafka.log=WARN" };
            let levels = match about {
                Variable::RootLevel => log_levels::of_root(value).map(str::to_owned),
                Variable::LoggerLevels => log_levels::of_loggers(value).map(|(levels, unknown)| {
                    let notes = unknown.iter().map(|logger| format!("{origin}: there is no logger here like {logger}"));
                    self.notes.extend(notes);
                    let base = self.broker_text(LOG_LEVEL).unwrap_or_default();
                    std::iter::once(base).chain(levels).collect::<Vec<_>>().join(",")
                }),
                _ => continue,
            };
            match levels {
                Ok(levels) => drop(self.given.insert(LOG_LEVEL, (levels, origin))),
                Err(reason) => {
                    errors.push(ConfigError::Syntax { reason, hint: Some(format!("{name}={example}")), origin });
                }
            }
        }
        errors
    }

    fn read_variable(
        &mut self,
        name: &str,
        value: &str,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Result<(), ConfigError> {
        let origin = Origin::Variable(name.to_owned());
        match environment::variable(name, value, |key| keys::broker_key(key).is_some()) {
            Variable::Foreign | Variable::RootLevel | Variable::LoggerLevels => {}
            Variable::Misspelled(ours) => {
                self.notes.push(format!("{origin} is passed over: there is no such variable (did you mean {ours}?)"));
            }
            Variable::Javas => self.notes.push(format!("{origin} is passed over: there is no Java here")),
            Variable::Property(key) => self.set_if_known(&key, value, origin)?,
            Variable::PropertyInFile(key) => {
                let text = match read(value) {
                    Ok(text) => text,
                    Err(reason) => {
                        let hint =
                            name.strip_suffix("_FILE").map(|variable| format!("{variable} has the value itself"));
                        return Err(ConfigError::Syntax { reason, hint, origin });
                    }
                };
                self.set_if_known(&key, text.trim_end_matches(['\r', '\n']), origin)?;
            }
        }
        Ok(())
    }

    /// As in Kafka's image, where the environment may leave `listeners` out: the listeners are those that it advertises, on
    /// every interface, unless a file has them all.
    fn listen_where_advertised(&mut self) {
        let is_of_environment = |name: &str| matches!(self.origin(name), Origin::Variable(_));
        if !is_of_environment("advertised.listeners") || is_of_environment("listeners") {
            return;
        }
        let Some((advertised, origin)) = self.given.get("advertised.listeners").cloned() else { return };
        let bound: Vec<&str> = names(self.given("listeners").unwrap_or_default()).collect();
        if !names(&advertised).all(|name| bound.contains(&name)) {
            self.given.insert("listeners", (on_every_interface(&advertised), origin));
        }
    }

    /// Sets everything that a configuration file says: Java properties if `name` ends in `.properties`, else YAML, in which
    /// `${VAR}` stands for a variable of `environment`.
    ///
    /// # Errors
    /// Everything that is wrong: the text is neither, or a key or a value in it is wrong.
    pub fn read_file(&mut self, name: &str, text: &str, environment: &Environment) -> Result<(), ConfigErrors> {
        let place =
            |line, variables: Vec<String>| Origin::File { name: name.to_owned(), line, variables: variables.into() };
        let (entries, faults) = file::read(name, text, environment);
        let mut errors: Vec<(usize, ConfigError)> = Vec::new();
        for Fault { line, reason, hint } in faults {
            errors.push((line, ConfigError::Syntax { reason, hint, origin: place(line, Vec::new()) }));
        }
        for FileEntry { key, value, line, variables } in entries {
            let origin = place(line, variables);
            // Kafka does not mind unknown keys in its properties.
            let is_set = if is_properties(name) {
                self.set_if_known(&key, &value, origin)
            } else {
                self.set(&key, &value, origin)
            };
            errors.extend(is_set.err().map(|error| (line, error)));
        }
        errors.sort_by_key(|(line, _)| *line);
        ConfigErrors::unless_empty(errors.into_iter().map(|(_, error)| error).collect())
    }

    /// What was passed over, a line for each.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Lays `stronger` texts over these: where one is set, what was set of its other units no longer counts, so that hours
    /// given while the broker runs win over milliseconds from its file (`DynamicBrokerConfig.overrideProps`). Texts of
    /// unknown keys are passed over.
    pub(super) fn overlay(&mut self, stronger: &BTreeMap<String, String>, origin: &Origin) {
        for (name, text) in stronger {
            let Some(key) = keys::broker_key(name) else { continue };
            for synonym in keys::synonyms(name) {
                self.given.remove(synonym);
            }
            self.given.insert(key.name, (text.trim().to_owned(), origin.clone()));
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
        self.given.get(name).map(|(text, _)| text.as_str())
    }

    /// Where the value of the key called `name` came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.given.get(name).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Whether somebody set the key called `name`.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }
}

/// Why a key is refused; of a JAAS entry also whether it could be read, so that it is right when SASL is served.
fn refusal(name: &str, text: &str, reason: &str) -> String {
    if !name.ends_with("sasl.jaas.config") {
        return reason.to_owned();
    }
    match JaasEntry::parse(text) {
        Ok(entry) => {
            let class = entry.login_module.rsplit('.').next().unwrap_or_default();
            let users = entry.options.iter().filter(|(option, _)| option.starts_with("user_")).count();
            let users = if users == 1 { "1 user".to_owned() } else { format!("{users} users") };
            format!("{reason}; it is a {class} with {users}")
        }
        Err(wrong) => format!("{reason}; besides, {wrong}"),
    }
}

/// The names in a list of listeners.
fn names(listeners: &str) -> impl Iterator<Item = &str> {
    listeners.split(',').filter_map(|listener| Some(listener.split_once("://")?.0.trim()))
}

/// `NAME://host:port,...` with 0.0.0.0 for every host.
fn on_every_interface(advertised: &str) -> String {
    let listeners = advertised.split(',').map(str::trim).filter(|listener| !listener.is_empty());
    let bound = listeners.map(|listener| match (listener.split_once("://"), listener.rsplit_once(':')) {
        (Some((name, _)), Some((_, port))) => format!("{name}://0.0.0.0:{port}"),
        _ => listener.to_owned(),
    });
    bound.collect::<Vec<_>>().join(",")
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
        settings.read_file("klamm.yaml", "# comment\nnum.partitions: 3\n", &Environment::new()).unwrap();
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

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn from(variables: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
        let mut settings = Settings::default();
        settings.read_environment(&environment(variables), |path| match path {
            "/run/secrets/racks" => Ok("west\n".to_owned()),
            _ => Err(format!("{path} cannot be read")),
        })?;
        Ok(settings)
    }

    #[test]
    fn variables_set_properties_over_the_file() {
        let mut settings = Settings::default();
        settings.read_file("a.properties", "num.partitions=2\nnode.id=4\n", &Environment::new()).unwrap();
        let variables = environment(&[("KAFKA_NUM_PARTITIONS", "5"), ("HOME", "/")]);
        settings.read_environment(&variables, |_| Err(String::new())).unwrap();
        assert_eq!((settings.given("num.partitions"), settings.given("node.id")), (Some("5"), Some("4")));
        assert_eq!(settings.origin("num.partitions").to_string(), "env KAFKA_NUM_PARTITIONS");
        assert_eq!(
            from(&[("KAFKA_BROKER_RACK_FILE", "/run/secrets/racks")]).unwrap().given("broker.rack"),
            Some("west")
        );
        let missing = from(&[("KAFKA_BROKER_RACK_FILE", "/nowhere")]).unwrap_err().to_string();
        assert_eq!(missing, "env KAFKA_BROKER_RACK_FILE: /nowhere cannot be read");
    }

    #[test]
    fn the_levels_of_kafkas_images_lie_over_the_files_and_ours_over_them() {
        let levels = |file: &str, variables: &[(&str, &str)]| {
            let mut settings = Settings::default();
            settings.read_file("k.yaml", file, &Environment::new()).unwrap();
            settings.read_environment(&environment(variables), |_| Err(String::new())).unwrap();
            (settings.given(LOG_LEVEL).unwrap_or_default().to_owned(), settings.notes().join(";"))
        };
        let pair = |levels: &str, notes: &str| (levels.to_owned(), notes.to_owned());
        let (root, loggers) =
            (("KAFKA_LOG4J_ROOT_LOGLEVEL", "WARN"), ("KAFKA_LOG4J_LOGGERS", "kafka.log=DEBUG,x=INFO"));
        let note = "env KAFKA_LOG4J_LOGGERS: there is no logger here like x";
        assert_eq!(levels("log: {level: error}", &[root]), pair("warn", ""));
        assert_eq!(levels("log: {level: error}", &[loggers]), pair("error,klamm::storage=debug", note));
        assert_eq!(levels("", &[root, loggers]), pair("warn,klamm::storage=debug", note));
        assert_eq!(levels("", &[root, ("KLAMM_LOG", "info"), ("KAFKA_TOOLS_LOG4J_LOGLEVEL", "x")]), pair("info", ""));
        let wrong = from(&[("KAFKA_LOG4J_ROOT_LOGLEVEL", "LOUD")]).unwrap_err().to_string();
        let levels = "\"LOUD\" is no level; there are off, error, warn, info, debug, trace";
        assert_eq!(wrong, format!("env KAFKA_LOG4J_ROOT_LOGLEVEL: {levels}"));
    }

    #[test]
    fn what_is_passed_over_is_noted_once() {
        let settings = from(&[
            ("KAFKA_ZOOKEEPER_CONNECT", "zk:2181"),
            ("KAFKA_HEAP_OPTS", "-Xmx1g"),
            ("KAFKA_NUM_PARTITION", "3"),
            ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
        ])
        .unwrap();
        assert_eq!(
            settings.notes(),
            [
                "env KAFKA_HEAP_OPTS is passed over: there is no Java here",
                "env KAFKA_NUM_PARTITION: unknown key \"num.partition\" is passed over (did you mean \"num.partitions\"?)",
                "env KAFKA_ZOOKEEPER_CONNECT: zookeeper.connect is passed over: there is no ZooKeeper: the metadata is in \
                 this broker",
            ]
        );
    }

    #[test]
    fn what_would_be_dangerous_to_pass_over_is_refused() {
        let refusal = |name: &str, value: &str| from(&[(name, value)]).unwrap_err().to_string();
        assert_eq!(
            refusal("KAFKA_SSL_KEYSTORE_LOCATION", "/k"),
            "env KAFKA_SSL_KEYSTORE_LOCATION: ssl.keystore.location: TLS is not served yet"
        );
        let jaas = "org.x.PlainLoginModule required user_a=\"1\" user_b=\"2\";";
        assert!(
            refusal("KAFKA_LISTENER_NAME_OUT_PLAIN_SASL_JAAS_CONFIG", jaas)
                .ends_with("SASL is not served yet; it is a PlainLoginModule with 2 users")
        );
        assert!(refusal("KAFKA_SASL_JAAS_CONFIG", "x").ends_with("besides, it does not end with a semicolon"));
        assert!(from(&[("KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM", "")]).is_ok());
    }

    #[test]
    fn listeners_that_are_only_advertised_are_opened_on_every_interface() {
        let settings = from(&[("KAFKA_ADVERTISED_LISTENERS", "A://one:1, TC-0://[::1]:2,")]).unwrap();
        assert_eq!(settings.given("listeners"), Some("A://0.0.0.0:1,TC-0://0.0.0.0:2"));
        let both = [("KAFKA_ADVERTISED_LISTENERS", "A://one:1"), ("KAFKA_LISTENERS", "A://:1,B://:2")];
        assert_eq!(from(&both).unwrap().given("listeners"), Some("A://:1,B://:2"));
        for (file, expected) in [("A://:7,B://:8", "A://:7,B://:8"), ("B://:8", "A://0.0.0.0:1")] {
            let mut settings = Settings::default();
            settings.read_file("k.properties", &format!("listeners={file}\n"), &Environment::new()).unwrap();
            let advertised = environment(&[("KAFKA_ADVERTISED_LISTENERS", "A://one:1")]);
            settings.read_environment(&advertised, |_| Err(String::new())).unwrap();
            assert_eq!(settings.given("listeners"), Some(expected));
        }
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let refuse = |name: &str, text: &str| {
            Settings::default().read_file(name, text, &environment(&[("MANY", "many")])).unwrap_err().to_string()
        };
        assert_eq!(
            refuse("a.properties", "\nnum.partitions=many\nnode.id=x"),
            "a.properties:2: Invalid value many for configuration num.partitions: Not a number of type INT\n\
             a.properties:3: Invalid value x for configuration node.id: Not a number of type INT"
        );
        assert_eq!(
            refuse("k.yaml", "num.partitions: ${MANY}\nnode: {ids: 1}\nnum.partition: 1"),
            "k.yaml:1 (env MANY): Invalid value many for configuration num.partitions: Not a number of type INT\n\
             k.yaml:2: node: unknown key \"ids\"\nk.yaml:3: unknown key \"num.partition\""
        );
        let errors = from(&[("KAFKA_NODE_ID", "x"), ("KAFKA_NUM_PARTITIONS", "many")]).unwrap_err();
        assert_eq!(errors.into_iter().count(), 2);
    }
}
