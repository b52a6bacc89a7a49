//! What the controller is asked of configurations, quotas, credentials and features, told in lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm::controller::{
    AlterClientQuotas, AlterConfigs, AlterUserScramCredentials, ConfigAlteration, ConfigOperation, ConfigRules,
    ConfigsChange, ControllerRequest, ControllerResponse, FeatureUpdate, QuotaAlteration, Refusal, ScramDeletion,
    ScramUpsertion, UpdateFeatures, UpgradeType,
};
use klamm::metadata::{ConfigResource, ScramCredential, ScramMechanism};
use klamm::protocol::ErrorCode;

use super::controller::tell_refusal;

/// Rules by which only `cleanup.policy` is a list, and no key may be named `bad`.
#[derive(Debug)]
struct Rules;

impl ConfigRules for Rules {
    fn list_default(&self, _resource: &ConfigResource, key: &str) -> Option<String> {
        (key == "cleanup.policy").then(|| "delete".to_owned())
    }

    fn validate(
        &self,
        _resource: &ConfigResource,
        after: &BTreeMap<String, String>,
        _before: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        if after.contains_key("bad") {
            return Err(Refusal::new(ErrorCode::InvalidConfig, "Unknown config name: bad"));
        }
        Ok(())
    }
}

pub(super) fn request(command: &str, rest: &str) -> ControllerRequest {
    let validate_only = rest.split_whitespace().any(|word| word == "validate");
    let parts = rest.split(" + ").map(|part| part.split_whitespace().filter(|word| *word != "validate").collect());
    let parts: Vec<Vec<&str>> = parts.collect();
    match command {
        "quotas" => {
            let alterations = parts.iter().map(|words| quota_alteration(words)).collect();
            ControllerRequest::AlterClientQuotas(AlterClientQuotas { alterations, validate_only })
        }
        "scram" => scram(&parts[0]),
        "features" => {
            let updates = parts[0].iter().map(|word| feature_update(word)).collect();
            ControllerRequest::UpdateFeatures(UpdateFeatures { updates, validate_only, node_id: 1 })
        }
        _ => {
            let is_replacement = command == "replace-configs";
            let resources = parts.iter().map(|words| config_alteration(words, is_replacement)).collect();
            ControllerRequest::AlterConfigs(AlterConfigs { resources, validate_only, rules: Arc::new(Rules) })
        }
    }
}

/// `<type>:<name> [<key>=<value> ...]`, where a change of keys has `set:`, `append:` or `subtract:` before the key, or is
/// `delete:<key>`. The value `(long)` is too long by one.
fn config_alteration(words: &[&str], is_replacement: bool) -> ConfigAlteration {
    let (resource_type, name) = words[0].split_once(':').unwrap();
    let resource = match resource_type {
        "topic" => ConfigResource::Topic(name.into()),
        "broker" => ConfigResource::Broker(name.parse().ok()),
        "group" => ConfigResource::Group(name.into()),
        _ => ConfigResource::ClientMetrics(name.into()),
    };
    let pair = |word: &str| {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        (key.to_owned(), if value == "(long)" { "x".repeat(32_768) } else { value.to_owned() })
    };
    let change = if is_replacement {
        ConfigsChange::Replace(words[1..].iter().map(|word| pair(word)).collect())
    } else {
        let operation = |word: &&str| {
            let (operation, rest) = word.split_once(':').unwrap();
            let (key, value) = pair(rest);
            let operation = match operation {
                "set" => ConfigOperation::Set(value),
                "append" => ConfigOperation::Append(value),
                "subtract" => ConfigOperation::Subtract(value),
                _ => ConfigOperation::Delete,
            };
            (key, operation)
        };
        ConfigsChange::Incremental(words[1..].iter().map(operation).collect())
    };
    ConfigAlteration { resource, change }
}

/// `[<type>:<name> ...] [<key>=<limit> ...]`, where the name `-` is the default and the limit `-` removes.
fn quota_alteration(words: &[&str]) -> QuotaAlteration {
    let entity = words.iter().filter_map(|word| word.split_once(':'));
    let operations = words.iter().filter_map(|word| word.split_once('='));
    QuotaAlteration {
        entity: entity.map(|(kind, name)| (kind.into(), (name != "-").then(|| name.into()))).collect(),
        operations: operations.map(|(key, limit)| (key.to_owned(), limit.parse().ok())).collect(),
    }
}

/// `[delete:<user>=<mechanism> ...] [upsert:<user>=<mechanism>/<iterations> ...]`
fn scram(words: &[&str]) -> ControllerRequest {
    let (mut deletions, mut upsertions) = (Vec::new(), Vec::new());
    for word in words {
        let (action, rest) = word.split_once(':').unwrap();
        let (user, rest) = rest.split_once('=').unwrap();
        let (mechanism, iterations) = rest.split_once('/').unwrap_or((rest, "0"));
        let mechanism = ScramMechanism::from_type_id(mechanism.parse().unwrap());
        if action == "delete" {
            deletions.push(ScramDeletion { user: user.into(), mechanism });
        } else {
            let key: Arc<[u8]> = Arc::from(&b"key"[..]);
            let (salt, stored_key, server_key) = (Arc::clone(&key), Arc::clone(&key), key);
            let credential = ScramCredential { salt, stored_key, server_key, iterations: iterations.parse().unwrap() };
            upsertions.push(ScramUpsertion { user: user.into(), mechanism, credential });
        }
    }
    ControllerRequest::AlterUserScramCredentials(AlterUserScramCredentials { deletions, upsertions })
}

/// `<name>=<level>[/<code of the upgrade type>]`
fn feature_update(word: &str) -> FeatureUpdate {
    let (name, rest) = word.split_once('=').unwrap();
    let (level, code) = rest.split_once('/').unwrap_or((rest, "1"));
    let upgrade_type = UpgradeType::from_code(code.parse().unwrap());
    FeatureUpdate { name: name.to_owned(), level: level.parse().unwrap(), upgrade_type }
}

pub(super) fn tell_response(response: &ControllerResponse) -> Vec<String> {
    let tell = |result: &Result<(), Refusal>| result.as_ref().map_or_else(tell_refusal, |()| "ok".to_owned());
    match response {
        ControllerResponse::ConfigsAltered(Ok(results)) => results.iter().map(tell).collect(),
        ControllerResponse::ClientQuotasAltered(Ok(results)) => {
            results.iter().map(|altered| tell(&altered.result)).collect()
        }
        ControllerResponse::ConfigsAltered(Err(refusal)) | ControllerResponse::ClientQuotasAltered(Err(refusal)) => {
            vec![tell_refusal(refusal)]
        }
        ControllerResponse::UserScramCredentialsAltered(results) => {
            results.iter().map(|altered| format!("{}: {}", altered.user, tell(&altered.result))).collect()
        }
        ControllerResponse::BrokerUnregistered(result) | ControllerResponse::FeaturesUpdated(result) => {
            vec![tell(result)]
        }
        other => panic!("{other:?} is no answer of these"),
    }
}
