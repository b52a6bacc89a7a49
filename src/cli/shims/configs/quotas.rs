//! `kafka-configs` for users, clients and addresses: their quotas, and the SCRAM credentials of users.

use std::sync::Arc;

use super::super::super::print::print;
use super::super::asking::ToolFailure;
use super::super::java::{double_text, in_hash_order};
use super::ConfigsFailure;
use super::options::Entities;
use crate::client::{ClusterClient, QuotaMatch, ScramPassword};
use crate::metadata::{EntityName, QuotaEntity, ScramMechanism};
use crate::protocol::ErrorCode;

/// What users and clients may have (`QuotaConfig`), and addresses.
const CLIENT_QUOTAS: [&str; 4] =
    ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
const ADDRESS_QUOTAS: [&str; 1] = ["connection_creation_rate"];
/// Kafka's least number of iterations for both mechanisms, and its default.
const LEAST_ITERATIONS: i32 = 4096;

fn mechanism_name(mechanism: ScramMechanism) -> &'static str {
    match mechanism {
        ScramMechanism::Sha256 => "SCRAM-SHA-256",
        ScramMechanism::Sha512 => "SCRAM-SHA-512",
    }
}

fn mechanism(name: &str) -> Option<ScramMechanism> {
    ScramMechanism::ALL.into_iter().find(|mechanism| mechanism_name(*mechanism) == name)
}

fn wire_type(entity_type: &str) -> &'static str {
    match entity_type {
        "users" => "user",
        "clients" => "client-id",
        _ => "ip",
    }
}

fn entity_name(name: &str) -> EntityName {
    if name.is_empty() { EntityName::Default } else { EntityName::Named(Arc::from(name)) }
}

pub(super) async fn describe(client: &mut ClusterClient, entities: &Entities) -> Result<(), ConfigsFailure> {
    for (entity, values) in quotas(client, entities).await? {
        let capacity = values.len();
        let values = in_hash_order(values, capacity, |(key, _)| key).into_iter();
        let values: Vec<_> = values.map(|(key, value)| format!("{key}={}", double_text(value))).collect();
        print(&format!("Quota configs for {} are {}\n", entity_text(&entity), values.join(", ")));
    }
    // Credentials are a user's alone, and there is no default for them.
    if entities.has("users") && !entities.has("clients") && !entities.names.iter().any(String::is_empty) {
        for (user, outcome) in client.describe_scram_credentials(&entities.names).await?.0 {
            match outcome {
                Ok(credentials) => {
                    let credential = |(mechanism, iterations): (ScramMechanism, i32)| {
                        format!("{}=iterations={iterations}", mechanism_name(mechanism))
                    };
                    let credentials: Vec<_> = credentials.into_iter().map(credential).collect();
                    let credentials = credentials.join(", ");
                    print(&format!("SCRAM credential configs for user-principal '{user}' are {credentials}\n"));
                }
                Err(error) if error.code() == Some(ErrorCode::ResourceNotFound) => {}
                Err(error) => {
                    let said = error.as_exception();
                    let said = said.rsplit_once("errors.").map_or(said.as_str(), |(_, said)| said);
                    print(&format!("Error retrieving SCRAM credential configs for user-principal '{user}': {said}\n"));
                }
            }
        }
    }
    Ok(())
}

/// An entity as the tool names it: `user-principal 'alice', the default client-id`.
fn entity_text(entity: &QuotaEntity) -> String {
    let part = |(entity_type, name): (&str, &EntityName)| {
        let word = if entity_type == "user" { "user-principal" } else { entity_type };
        match name {
            EntityName::Named(name) => format!("{word} '{name}'"),
            EntityName::Default => format!("the default {word}"),
        }
    };
    entity.parts().map(part).collect::<Vec<_>>().join(", ")
}

async fn quotas(
    client: &mut ClusterClient,
    entities: &Entities,
) -> Result<Vec<(QuotaEntity, Vec<(String, f64)>)>, ConfigsFailure> {
    if entities.names.len() > entities.types.len() {
        return Err(ToolFailure::told("More entity names specified than entity types").into());
    }
    let matched = |place: usize| match entities.names.get(place) {
        Some(name) => QuotaMatch::One(entity_name(name)),
        None => QuotaMatch::Any,
    };
    let components: Vec<_> =
        entities.types.iter().enumerate().map(|(place, one)| (wire_type(one), matched(place))).collect();
    Ok(client.describe_client_quotas(&components).await?)
}

/// What a command line wants of users, clients or addresses.
#[derive(Debug, PartialEq)]
enum Wanted {
    Quotas(Vec<(String, Option<f64>)>),
    Credentials(Vec<ScramMechanism>, Vec<ScramPassword>),
}

pub(super) async fn alter(
    client: &mut ClusterClient,
    entities: &Entities,
    added: Vec<(String, String)>,
    deleted: Vec<String>,
) -> Result<(), ConfigsFailure> {
    match wanted(entities, added, &deleted)? {
        Wanted::Credentials(removed, given) => {
            let user = entities.names.first().map(String::as_str).unwrap_or_default();
            Ok(client.alter_scram_credentials(user, &removed, &given).await?)
        }
        Wanted::Quotas(changes) => {
            let present = quotas(client, entities).await?.into_iter().next().map(|(_, values)| values);
            let is_present = |key: &String| present.iter().flatten().any(|(known, _)| known == key);
            let missing: Vec<_> = deleted.iter().filter(|key| !is_present(key)).map(String::as_str).collect();
            if !missing.is_empty() {
                return Err(ToolFailure::told(format!("Invalid config(s): {}", missing.join(","))).into());
            }
            let mut entity = QuotaEntity::default();
            for (entity_type, name) in entities.types.iter().zip(&entities.names) {
                let name = Some(entity_name(name));
                match wire_type(entity_type) {
                    "user" => entity.user = name,
                    "client-id" => entity.client_id = name,
                    _ => entity.ip = name,
                }
            }
            Ok(client.alter_client_quotas(&entity, &changes).await?)
        }
    }
}

/// Sorts what is given and taken into quotas and credentials; what is neither, or both, is refused.
fn wanted(entities: &Entities, added: Vec<(String, String)>, deleted: &[String]) -> Result<Wanted, ToolFailure> {
    let is_quota = |key: &str| CLIENT_QUOTAS.contains(&key);
    if entities.has("ips") {
        let keys = added.iter().map(|(key, _)| key).chain(deleted);
        let unknown: Vec<_> = keys.filter(|key| !ADDRESS_QUOTAS.contains(&key.as_str())).map(String::as_str).collect();
        if !unknown.is_empty() {
            let message = "Only connection quota configs can be added for 'ips' using --bootstrap-server. Unexpected config names";
            return Err(ToolFailure::told(format!("{message}: {}", unknown.join(","))));
        }
        return quota_changes(added, deleted);
    }
    let is_of_client = entities.has("clients");
    let is_unknown = |key: &&str| !is_quota(key) && (is_of_client || mechanism(key).is_none());
    let (what, whom) =
        if is_of_client { ("quota configs", "clients") } else { ("quota and SCRAM credential configs", "users") };
    // The names stand in Scala collections, a set for what is added and a list for what is deleted.
    let unknown_added: Vec<_> = added.iter().map(|(key, _)| key.as_str()).filter(is_unknown).collect();
    let unknown_deleted: Vec<_> = deleted.iter().map(String::as_str).filter(is_unknown).collect();
    for (verb, collection, unknown) in [("added", "Set", unknown_added), ("deleted", "ArrayBuffer", unknown_deleted)] {
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            return Err(ToolFailure::told(format!(
                "Only {what} can be {verb} for '{whom}' using --bootstrap-server. Unexpected config names: {collection}({unknown})"
            )));
        }
    }
    let has_credentials = added.iter().map(|(key, _)| key).chain(deleted).any(|key| mechanism(key).is_some());
    if !has_credentials {
        return quota_changes(added, deleted);
    }
    if entities.names.iter().any(String::is_empty) {
        let message = "The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using --bootstrap-server.";
        return Err(ToolFailure::told(message));
    }
    if added.iter().map(|(key, _)| key).chain(deleted).any(|key| is_quota(key)) {
        let message =
            "Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using --bootstrap-server.";
        return Err(ToolFailure::told(message));
    }
    let removed = deleted.iter().filter_map(|key| mechanism(key)).collect();
    let given: Result<Vec<_>, ToolFailure> =
        added.iter().filter_map(|(key, value)| Some(password(mechanism(key)?, value))).collect();
    Ok(Wanted::Credentials(removed, given?))
}

fn quota_changes(added: Vec<(String, String)>, deleted: &[String]) -> Result<Wanted, ToolFailure> {
    let set = added.into_iter().map(|(key, text)| match text.parse() {
        Ok(value) => Ok((key, Some(value))),
        Err(_) => Err(ToolFailure::told(format!("Cannot parse quota configuration value for {key}: {text}"))),
    });
    let removed = deleted.iter().map(|key| Ok((key.clone(), None)));
    Ok(Wanted::Quotas(set.chain(removed).collect::<Result<_, _>>()?))
}

/// Reads `iterations=8192,password=secret`, of which the first half may be missing.
fn password(mechanism: ScramMechanism, text: &str) -> Result<ScramPassword, ToolFailure> {
    let name = mechanism_name(mechanism);
    let invalid = || ToolFailure::told(format!("Invalid credential property {}={text}", name.replace('-', "_")));
    let (iterations, password) = match text.strip_prefix("iterations=").and_then(|rest| rest.split_once(',')) {
        Some((iterations, rest)) => (Some(iterations).filter(|iterations| *iterations != "-1"), rest),
        None => (None, text),
    };
    let password = password.strip_prefix("password=").ok_or_else(invalid)?;
    let iterations: i32 = iterations.map_or(Ok(LEAST_ITERATIONS), |text| text.parse().map_err(|_| invalid()))?;
    if iterations < LEAST_ITERATIONS {
        let message =
            format!("Iterations {iterations} is less than the minimum {LEAST_ITERATIONS} required for {name}");
        return Err(ToolFailure::Told(message));
    }
    Ok(ScramPassword { mechanism, iterations: iterations.unsigned_abs(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entities(types: &[&str], names: &[&str]) -> Entities {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Entities { types: owned(types), names: owned(names) }
    }

    fn refusal(entities: &Entities, added: &[(&str, &str)], deleted: &[&str]) -> String {
        let added = added.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let deleted: Vec<_> = deleted.iter().map(|key| (*key).to_owned()).collect();
        wanted(entities, added, &deleted).map_or_else(|failure| failure.to_string(), |_| String::new())
    }

    #[test]
    fn a_password_comes_with_how_often_it_is_hashed() {
        let read = |text: &str| password(ScramMechanism::Sha256, text).map_err(|failure| failure.to_string());
        let given = read("iterations=8192,password=a,b").unwrap();
        assert_eq!((given.iterations, given.password.as_str()), (8192, "a,b"));
        assert_eq!(read("password=x").unwrap().iterations, 4096);
        assert_eq!(read("iterations=-1,password=x").unwrap().iterations, 4096);
        assert_eq!(read("secret"), Err("Invalid credential property SCRAM_SHA_256=secret".to_owned()));
        assert!(read("iterations=5,password=x").expect_err("too few").starts_with("Iterations 5 is less than"));
    }

    #[test]
    fn quotas_and_credentials_are_told_apart() {
        let (user, client) = (entities(&["users"], &["alice"]), entities(&["clients"], &["app"]));
        assert_eq!(refusal(&user, &[("producer_byte_rate", "5")], &["consumer_byte_rate"]), "");
        assert_eq!(refusal(&user, &[("SCRAM-SHA-512", "password=x")], &[]), "");
        assert!(
            refusal(&user, &[("SCRAM-SHA-512", "password=x")], &["request_percentage"])
                .starts_with("Cannot alter both")
        );
        assert!(refusal(&user, &[("nope", "1")], &[]).ends_with("Unexpected config names: Set(nope)"));
        assert!(
            refusal(&client, &[("SCRAM-SHA-512", "password=x")], &[]).starts_with("Only quota configs can be added")
        );
        assert!(refusal(&entities(&["ips"], &["::1"]), &[("nope", "1")], &[]).starts_with("Only connection quota"));
        assert!(refusal(&user, &[("producer_byte_rate", "fast")], &[]).starts_with("Cannot parse quota configuration"));
        assert!(refusal(&entities(&["users"], &[""]), &[("SCRAM-SHA-256", "password=x")], &[]).contains("not allowed"));
    }
}
