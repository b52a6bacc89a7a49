//! The flags of `kafka-configs`, and which of them go together (`ConfigCommandOptions`).

use std::process::ExitCode;

use clap::Parser;

use super::super::arguments::{failed, usage};

/// The types of entities, in the order in which Kafka names them.
const ENTITY_TYPES: [&str; 8] =
    ["topics", "clients", "users", "brokers", "ips", "client-metrics", "groups", "broker-loggers"];
const CONNECTION: &str = "--bootstrap-server or --bootstrap-controller";

/// This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip, client-metrics or group
#[derive(Debug, Default, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "these are the tool's flags")]
pub(super) struct ConfigsOptions {
    /// The Kafka servers to connect to.
    #[arg(long, value_name = "String: server to connect to")]
    pub(super) bootstrap_server: Option<String>,
    /// The Kafka controllers to connect to.
    #[arg(long, value_name = "String: controller to connect to")]
    pub(super) bootstrap_controller: Option<String>,
    /// A file of properties for the client.
    #[arg(long, value_name = "String: command config property file")]
    pub(super) command_config: Option<String>,
    /// Change the configs of the entity.
    #[arg(long)]
    pub(super) alter: bool,
    /// Show the configs of the entity.
    #[arg(long)]
    pub(super) describe: bool,
    /// Show all configs, also those that nobody set.
    #[arg(long)]
    pub(super) all: bool,
    /// The type of the entity: topics, clients, users, brokers, broker-loggers, ips, client-metrics or groups.
    #[arg(long, value_name = "String")]
    entity_type: Vec<String>,
    /// The name of the entity.
    #[arg(long, value_name = "String", allow_hyphen_values = true)]
    entity_name: Vec<String>,
    /// The default of the type, for clients, users, brokers and ips.
    #[arg(long, action = clap::ArgAction::Count)]
    entity_default: u8,
    /// The configs to set, by commas; a value with commas stands in brackets: 'k1=v1,k2=[v1,v2,v2],k3=v3'.
    #[arg(long, value_name = "String", allow_hyphen_values = true)]
    pub(super) add_config: Option<String>,
    /// A file of properties with the configs to set.
    #[arg(long, value_name = "String")]
    pub(super) add_config_file: Option<String>,
    /// The configs to remove, by commas.
    #[arg(long, value_name = "String", value_delimiter = ',', allow_hyphen_values = true)]
    pub(super) delete_config: Vec<String>,
    /// Ask nothing; nothing is asked anyway.
    #[arg(long)]
    force: bool,
    /// A topic.
    #[arg(long, value_name = "String", allow_hyphen_values = true)]
    topic: Option<String>,
    /// A client, by its id.
    #[arg(long, value_name = "String", allow_hyphen_values = true)]
    client: Option<String>,
    /// The default of all clients.
    #[arg(long)]
    client_defaults: bool,
    /// A user, by the name of the principal.
    #[arg(long, value_name = "String", allow_hyphen_values = true)]
    user: Option<String>,
    /// The default of all users.
    #[arg(long)]
    user_defaults: bool,
    /// A broker, by its id.
    #[arg(long, value_name = "String", allow_hyphen_values = true)]
    broker: Option<String>,
    /// The default of all brokers.
    #[arg(long)]
    broker_defaults: bool,
    /// A broker whose loggers are meant, by its id.
    #[arg(long, value_name = "String", allow_hyphen_values = true)]
    broker_logger: Option<String>,
    /// The default of all addresses.
    #[arg(long)]
    ip_defaults: bool,
    /// An address that clients come from.
    #[arg(long, value_name = "String")]
    ip: Option<String>,
    /// A group.
    #[arg(long, value_name = "String", allow_hyphen_values = true)]
    group: Option<String>,
    /// A subscription of client metrics.
    #[arg(long, value_name = "String", allow_hyphen_values = true)]
    client_metrics: Option<String>,
}

/// The types and the names that were given; the empty name is a default.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Entities {
    pub(super) types: Vec<String>,
    pub(super) names: Vec<String>,
}

impl Entities {
    /// Whether an entity of the type is meant.
    pub(super) fn has(&self, entity_type: &str) -> bool {
        self.types.iter().any(|given| given == entity_type)
    }

    fn has_any(&self, entity_types: &[&str]) -> bool {
        entity_types.iter().any(|entity_type| self.has(entity_type))
    }
}

impl ConfigsOptions {
    /// The entities that are meant. Names and defaults stand in the order of the command line, which is why its words
    /// are needed.
    pub(super) fn entities(&self, words: &[String]) -> Entities {
        let named = [
            ("topics", &self.topic),
            ("clients", &self.client),
            ("users", &self.user),
            ("brokers", &self.broker),
            ("broker-loggers", &self.broker_logger),
            ("ips", &self.ip),
            ("client-metrics", &self.client_metrics),
            ("groups", &self.group),
        ];
        let defaults = [
            ("clients", self.client_defaults),
            ("users", self.user_defaults),
            ("brokers", self.broker_defaults),
            ("ips", self.ip_defaults),
        ];
        let mut entities = Entities { types: self.entity_type.clone(), names: names_in_order(words) };
        for (entity_type, name) in
            named.into_iter().filter_map(|(entity_type, name)| Some((entity_type, name.as_ref()?)))
        {
            entities.types.push(entity_type.to_owned());
            entities.names.push(name.clone());
        }
        for (entity_type, _) in defaults.into_iter().filter(|(_, is_given)| *is_given) {
            entities.types.push(entity_type.to_owned());
            entities.names.push(String::new());
        }
        entities
    }

    /// Holds the flags to each other; what is wrong is told as Kafka tells it.
    pub(super) fn check(&self, entities: &Entities) -> Result<(), ExitCode> {
        if self.alter == self.describe {
            return Err(usage::<Self>("Command must include exactly one action: --describe, --alter"));
        }
        let changes = [("add-config", self.add_config.is_some()), ("delete-config", !self.delete_config.is_empty())];
        if let Some((change, _)) = changes.iter().find(|(_, is_given)| self.describe && *is_given) {
            return Err(usage::<Self>(&format!("Option \"[describe]\" can't be used with option \"[{change}]\"")));
        }
        let complaint = self.complaint_about_types(entities).or_else(|| complaint_about_names(entities));
        let complaint = complaint.or_else(|| {
            if self.describe {
                self.complaint_about_describing(entities)
            } else {
                self.complaint_about_altering(entities)
            }
        });
        complaint.map_or(Ok(()), |complaint| Err(failed(&complaint)))
    }

    fn complaint_about_types(&self, entities: &Entities) -> Option<String> {
        let types = &entities.types;
        let repeated =
            types.iter().enumerate().filter(|(place, one)| types.iter().take(*place).any(|other| other == *one));
        let repeated: Vec<_> = repeated.map(|(_, one)| one.as_str()).collect();
        if !repeated.is_empty() {
            return Some(format!("Duplicate entity type(s) specified: {}", repeated.join(",")));
        }
        match (&self.bootstrap_server, &self.bootstrap_controller) {
            (None, None) => {
                return Some("Either --bootstrap-server or --bootstrap-controller must be specified.".to_owned());
            }
            (Some(_), Some(_)) => {
                return Some("Only one of --bootstrap-server or --bootstrap-controller can be specified".to_owned());
            }
            _ => {}
        }
        if let Some(unknown) = types.iter().find(|one| !ENTITY_TYPES.contains(&one.as_str())) {
            let known = ENTITY_TYPES.join(", ");
            return Some(format!(
                "Invalid entity type {unknown}, the entity type must be one of {known} with a {CONNECTION} argument"
            ));
        }
        if types.is_empty() {
            return Some("At least one entity type must be specified".to_owned());
        }
        if types.len() > 1 && !(types.len() == 2 && entities.has("users") && entities.has("clients")) {
            return Some("Only 'users' and 'clients' entity types may be specified together".to_owned());
        }
        let has_long_form = !self.entity_name.is_empty() || !self.entity_type.is_empty() || self.entity_default > 0;
        (has_long_form && types.len() > self.entity_type.len()).then(|| {
            "--entity-{type,name,default} should not be used in conjunction with specific entity flags".to_owned()
        })
    }

    fn complaint_about_describing(&self, entities: &Entities) -> Option<String> {
        let types = entities.types.join(",");
        if self.entity_default > 0 && !entities.has_any(&["users", "clients", "brokers", "ips"]) {
            return Some(format!("--entity-default must not be specified with --describe of {types}"));
        }
        let has_name = entities.names.iter().any(|name| !name.is_empty());
        (entities.has("broker-loggers") && !has_name)
            .then(|| format!("An entity name must be specified with --describe of {types}"))
    }

    fn complaint_about_altering(&self, entities: &Entities) -> Option<String> {
        let has_name = entities.names.iter().any(|name| !name.is_empty());
        if entities.has_any(&["users", "clients", "brokers", "ips"]) {
            if entities.names.is_empty() {
                return Some(
                    "An entity-name or default entity must be specified with --alter of users, clients, brokers or ips"
                        .to_owned(),
                );
            }
        } else if !has_name {
            return Some(format!("An entity name must be specified with --alter of {}", entities.types.join(",")));
        }
        if self.add_config.is_some() && self.add_config_file.is_some() {
            return Some("Only one of --add-config or --add-config-file must be specified".to_owned());
        }
        (self.add_config.is_none() && self.add_config_file.is_none() && self.delete_config.is_empty()).then(|| {
            "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter"
                .to_owned()
        })
    }
}

fn complaint_about_names(entities: &Entities) -> Option<String> {
    let head = entities.types.first()?;
    let mut names = entities.names.iter().filter(|name| !name.is_empty());
    if entities.has_any(&["brokers", "broker-loggers"]) {
        let wrong = names.find(|name| name.parse::<i32>().is_err())?;
        return Some(format!("The entity name for {head} must be a valid integer broker id, but it is: {wrong}"));
    }
    if entities.has("ips") {
        let resolves = |name: &String| std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), 0)).is_ok();
        let wrong = names.find(|name| !resolves(name))?;
        return Some(format!("The entity name for {head} must be a valid IP or resolvable host, but it is: {wrong}"));
    }
    None
}

/// The values of `--entity-name`, and an empty one for each `--entity-default`.
fn names_in_order(words: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--entity-name" => names.extend(words.next().cloned()),
            "--entity-default" => names.push(String::new()),
            word => names.extend(word.strip_prefix("--entity-name=").map(str::to_owned)),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (ConfigsOptions, Entities) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let options = ConfigsOptions::try_parse_from(std::iter::once("t".to_owned()).chain(words.clone())).expect(line);
        let entities = options.entities(&words);
        (options, entities)
    }

    fn complaint(line: &str) -> String {
        let (options, entities) = read(&format!("--bootstrap-server h:1 {line}"));
        let complaint = options.complaint_about_types(&entities).or_else(|| complaint_about_names(&entities));
        let complaint = complaint.or_else(|| options.complaint_about_altering(&entities));
        complaint.unwrap_or_default()
    }

    #[test]
    fn names_and_defaults_keep_their_order() {
        let (_, entities) =
            read("--alter --entity-type users --entity-default --entity-type clients --entity-name=app");
        assert_eq!(entities.types, ["users", "clients"]);
        assert_eq!(entities.names, ["", "app"]);
        let (_, entities) = read("--describe --user alice --client-defaults");
        assert_eq!(
            (entities.types.join(","), entities.names.join(",")),
            ("users,clients".to_owned(), "alice,".to_owned())
        );
    }

    #[test]
    fn flags_that_do_not_go_together_are_told() {
        assert_eq!(complaint("--topic a --add-config k=v"), "");
        assert!(complaint("--topic a --add-config k=v --add-config-file f").starts_with("Only one of --add-config"));
        assert!(complaint("--topic a").starts_with("At least one of --add-config"));
        assert!(complaint("--broker x --add-config k=v").ends_with("but it is: x"));
        assert!(complaint("--topic a --user b").starts_with("Only 'users' and 'clients'"));
        assert!(complaint("--entity-type topics --topic b").starts_with("Duplicate entity type(s) specified: topics"));
        assert!(
            complaint("--entity-type nope").starts_with("Invalid entity type nope, the entity type must be one of")
        );
        assert!(complaint("--entity-type users --add-config a=b").starts_with("An entity-name or default entity"));
        assert!(complaint("").starts_with("At least one entity type"));
    }
}
