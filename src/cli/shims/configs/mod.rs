//! `kafka-configs` (`kafka.admin.ConfigCommand`).

mod given;
mod options;
mod quotas;
mod resources;

use std::ffi::OsString;
use std::process::ExitCode;

use super::super::print::print;
use super::arguments::{failed, parse};
use super::asking::{Asking, ToolFailure};
use crate::client::{ClientError, ClusterClient};
use options::{ConfigsOptions, Entities};

/// Why the tool fails; Kafka's tells some of it with the whole command line.
#[derive(Debug)]
enum ConfigsFailure {
    /// The command line is wrong, or something does not exist.
    Told(String),
    /// An exception, as Java shows it.
    Thrown(String),
}

impl From<ToolFailure> for ConfigsFailure {
    fn from(failure: ToolFailure) -> Self {
        match failure {
            ToolFailure::Told(message) => Self::Told(message),
            ToolFailure::Asked(error) => error.into(),
        }
    }
}

impl From<ClientError> for ConfigsFailure {
    fn from(error: ClientError) -> Self {
        Self::Thrown(format!("java.util.concurrent.ExecutionException: {}", error.as_exception()))
    }
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let options: ConfigsOptions = match parse("kafka-configs", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let entities = options.entities(&words);
    if let Err(code) = options.check(&entities) {
        return code;
    }
    match act(&options, &entities) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ConfigsFailure::Told(message)) => failed(&message),
        Err(ConfigsFailure::Thrown(exception)) => {
            failed(&format!("Error while executing config command with args '{}'\n{exception}", words.join(" ")))
        }
    }
}

fn act(options: &ConfigsOptions, entities: &Entities) -> Result<(), ConfigsFailure> {
    let Some(bootstrap) = &options.bootstrap_server else {
        return Err(ConfigsFailure::Told(
            "controllers have no listener of their own: use --bootstrap-server".to_owned(),
        ));
    };
    if options.alter && entities.types.len() != entities.names.len() {
        return Err(ConfigsFailure::Told("An entity name must be specified for every entity type".to_owned()));
    }
    let properties_file = options.command_config.as_deref();
    let asking = Asking { bootstrap, properties_file, client_id: "adminclient-1", waits: true };
    // What goes wrong inside is kept in the inner result; the outer one is about the way there.
    asking.run(async |client| {
        Ok(if options.alter {
            alter(client, options, entities).await
        } else {
            describe(client, options, entities).await
        })
    })?
}

async fn describe(
    client: &mut ClusterClient,
    options: &ConfigsOptions,
    entities: &Entities,
) -> Result<(), ConfigsFailure> {
    let entity_type = entities.types.first().map(String::as_str).unwrap_or_default();
    match resources::kind(entity_type) {
        Some(kind) => resources::describe(client, entity_type, kind, entities.names.first(), options.all).await,
        None => quotas::describe(client, entities).await,
    }
}

async fn alter(
    client: &mut ClusterClient,
    options: &ConfigsOptions,
    entities: &Entities,
) -> Result<(), ConfigsFailure> {
    let (added, deleted) = (given::added(options)?, given::deleted(options));
    let entity_type = entities.types.first().map(String::as_str).unwrap_or_default();
    let name = entities.names.first().map(String::as_str).unwrap_or_default();
    match resources::kind(entity_type) {
        Some(kind) => resources::alter(client, kind, name, added, deleted).await?,
        None => quotas::alter(client, entities, added, deleted).await?,
    }
    print(&if name.is_empty() {
        format!("Completed updating default config for {entity_type} in the cluster.\n")
    } else {
        format!("Completed updating config for {} {name}.\n", resources::singular(entity_type))
    });
    Ok(())
}
