//! Where a configuration comes from: a file, the environment, the arguments.

use super::failure::{Failures, failures};
use super::{Failure, StartArguments};
use crate::config::{Config, ConfigErrors, Environment, FromValue, HostPort, Origin, Settings};

/// Where `klamm start` serves HTTP: on this machine alone, since nobody is asked who they are.
const DEFAULT_HTTP: &str = "localhost:9021";

/// The variables of this process; what is no text cannot be about a broker.
pub(super) fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Defaults, then the files, then the environment, then the flags, then `--set`.
pub(super) fn configuration(arguments: &StartArguments, environment: &Environment) -> Result<Config, Failures> {
    let mut source = Sources::default();
    for file in &arguments.config {
        source.file(file, environment);
    }
    let read = |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"));
    let is_read = source.settings.read_environment(environment, read);
    source.note(is_read);
    source.flags(arguments);
    source.resolve()
}

/// What a configuration file says by itself, over the defaults; `environment` is there for its `${VAR}` alone.
pub(super) fn file_alone(file: &str, environment: &Environment) -> Result<Config, Failures> {
    let mut source = Sources::default();
    source.file(file, environment);
    source.resolve()
}

/// What was set so far, and everything that was wrong with it.
#[derive(Default)]
struct Sources {
    settings: Settings,
    failures: Vec<Failure>,
    /// Whether a part could not be read, so that what follows from the rest says nothing.
    is_partial: bool,
}

impl Sources {
    fn note(&mut self, result: Result<(), impl Into<ConfigErrors>>) {
        let Err(errors) = result.map_err(Into::into) else { return };
        self.is_partial |= errors.are_of_syntax();
        self.failures.extend(failures(errors));
    }

    fn refuse(&mut self, failure: Failure) {
        self.is_partial = true;
        self.failures.push(failure);
    }

    fn set(&mut self, key: &str, value: &str, origin: Origin) {
        let is_set = self.settings.set(key, value, origin);
        self.note(is_set);
    }

    /// Adds what a configuration file says.
    fn file(&mut self, file: &str, environment: &Environment) {
        match text_of(file) {
            Ok(text) => {
                let is_read = self.settings.read_file(file, &text, environment);
                self.note(is_read);
            }
            Err(failure) => self.refuse(failure),
        }
    }

    fn flags(&mut self, arguments: &StartArguments) {
        if let Some(address) = &arguments.listen {
            self.listen(address);
        }
        match &arguments.data_dir {
            Some(directory) if directory.trim().is_empty() => {
                self.refuse(Failure { what: "--data-dir: it must name a directory".to_owned(), hint: None });
            }
            Some(directory) => {
                self.set("log.dirs", directory, Origin::Flag("--data-dir"));
                self.set("klamm.storage.kind", "disk", Origin::Flag("--data-dir"));
            }
            None => {}
        }
        if arguments.memory {
            self.set("klamm.storage.kind", "memory", Origin::Flag("--memory"));
        }
        if let Some(node_id) = &arguments.node_id {
            self.set("node.id", node_id, Origin::Flag("--node-id"));
        }
        if let Some(voters) = &arguments.quorum {
            self.set("controller.quorum.voters", voters, Origin::Flag("--quorum"));
        }
        for (key, value) in &arguments.set {
            self.set(key, value, Origin::Flag("--set"));
        }
    }

    /// `--listen` stands for one plain listener, whatever listeners the file has.
    fn listen(&mut self, address: &str) {
        if let Err(failure) = check_listen(address) {
            self.refuse(failure);
            return;
        }
        let listener = format!("PLAINTEXT://{address}");
        for (key, text) in [
            ("listeners", listener.as_str()),
            ("advertised.listeners", &listener),
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT"),
            ("inter.broker.listener.name", "PLAINTEXT"),
        ] {
            self.set(key, text, Origin::Flag("--listen"));
        }
    }

    /// What follows from all that was set.
    fn resolve(mut self) -> Result<Config, Failures> {
        let is_set = self.settings.set_if_unset("klamm.http.bind", DEFAULT_HTTP, Origin::Program);
        self.note(is_set);
        if self.is_partial {
            return Err(Failures::of_configuration(self.failures));
        }
        match Config::new(self.settings) {
            Ok(config) if self.failures.is_empty() => Ok(config),
            result => {
                let consequences = result.err().into_iter().flat_map(failures);
                Err(Failures::of_configuration(self.failures.into_iter().chain(consequences).collect()))
            }
        }
    }
}

/// The text of a configuration file.
fn text_of(file: &str) -> Result<String, Failure> {
    let bytes = std::fs::read(file).map_err(|error| Failure::unreadable(file, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
        let hint = "save the file as UTF-8 in the editor, or find the line's odd character".to_owned();
        Failure { what: format!("{file}:{line}: this is no text in UTF-8"), hint: Some(hint) }
    })
}

/// Tells about an address in the words of `--listen`, before it becomes a part of `listeners`.
fn check_listen(address: &str) -> Result<(), Failure> {
    let Err(reason) = HostPort::from_value(address) else { return Ok(()) };
    let has_port = address.rsplit_once(':').is_some_and(|(host, _)| !host.contains(['/', ',']));
    let what = if has_port { reason } else { format!("\"{address}\" is not of the form HOST:PORT") };
    let hint = if address.contains("://") {
        format!("--set listeners={address}")
    } else {
        "--listen localhost:9092, or 0.0.0.0:9092 for every interface".to_owned()
    };
    Err(Failure { what: format!("--listen: {what}"), hint: Some(hint) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Storage;

    fn start(arguments: &StartArguments) -> Config {
        configuration(arguments, &Environment::new()).expect("the arguments are fine")
    }

    #[test]
    fn flags_are_stronger_than_the_file_and_set_is_the_strongest() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("klamm.yaml");
        std::fs::write(&file, "node: {id: 4}\nlisteners: [{name: IN, bind: 'a:1'}]\nnum.partitions: 2\nlog.dirs: x\n")
            .unwrap();
        let file = vec![file.display().to_string()];
        let from_file = start(&StartArguments { config: file.clone(), ..StartArguments::default() });
        assert_eq!((from_file.node_id, from_file.listeners[0].bind.to_string()), (4, "a:1".to_owned()));
        let flags = start(&StartArguments {
            config: file,
            listen: Some("127.0.0.1:0".to_owned()),
            memory: true,
            node_id: Some("5".to_owned()),
            set: vec![("node.id".to_owned(), "6".to_owned())],
            ..StartArguments::default()
        });
        assert_eq!((flags.node_id, flags.storage.clone(), flags.broker.num_partitions), (6, Storage::Memory, 2));
        assert_eq!(flags.listeners.len(), 1);
        assert_eq!(flags.listeners[0].bind.to_string(), "127.0.0.1:0");
        assert_eq!(flags.origin("node.id").to_string(), "--set");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_try() {
        let told = |key: &str| {
            let set = vec![(key.to_owned(), "1".to_owned())];
            configuration(&StartArguments { set, ..StartArguments::default() }, &Environment::new())
                .expect_err("accepted")
                .to_string()
        };
        assert_eq!(told("nodeid"), "klamm: --set: unknown key \"nodeid\"\n  try: did you mean \"node.id\"?");
        let missing = StartArguments { config: vec!["/nowhere.yaml".to_owned()], ..StartArguments::default() };
        assert!(
            configuration(&missing, &Environment::new())
                .expect_err("read")
                .to_string()
                .starts_with("klamm: /nowhere.yaml cannot be read: ")
        );
    }

    #[test]
    fn an_address_is_checked_in_the_words_of_its_flag() {
        let told = |address: &str| {
            let listen = Some(address.to_owned());
            configuration(&StartArguments { listen, ..StartArguments::default() }, &Environment::new())
                .expect_err(address)
                .to_string()
        };
        assert_eq!(
            told("localhost"),
            "klamm: --listen: \"localhost\" is not of the form HOST:PORT\n  \
             try: --listen localhost:9092, or 0.0.0.0:9092 for every interface"
        );
        assert!(told("localhost:70000").contains("\"70000\" is not a port between 0 and 65535"));
        assert_eq!(
            told("IN://h:1"),
            "klamm: --listen: \"IN://h:1\" is not of the form HOST:PORT\n  try: --set listeners=IN://h:1"
        );
        let data_dir = Some(String::new());
        let nowhere = configuration(&StartArguments { data_dir, ..StartArguments::default() }, &Environment::new());
        assert_eq!(nowhere.expect_err("no directory").to_string(), "klamm: --data-dir: it must name a directory");
    }
}
