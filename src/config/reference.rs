//! The reference file, derived from the table: every key with its default, type, bounds and meaning.

use super::key::{Key, Scope, UpdateMode};
use super::keys;
use super::value::Valid;

const HEAD: &str = "\
# Every configuration key of Klamm, with its default. Derived from the table in src/config/keys.rs; do not edit.
#
# Names are Kafka's. Copy what you need into a configuration file (klamm start --config FILE), or give it as an
# argument (--set key=value). \"No effect\" marks keys that are accepted, so that existing configurations work, but
# that change nothing here; what they decide is what they decide in Kafka. A start names those that were set.
";

/// The whole text of `config/klamm.reference.yaml`.
pub fn yaml() -> String {
    let sections = keys::SECTIONS.iter().map(|section| {
        let keys: String = section.keys.iter().map(entry).collect();
        format!("\n# ---- {} ----\n{keys}", section.title)
    });
    HEAD.to_owned() + &sections.collect::<String>()
}

/// One key as a paragraph: what it decides, what it may be, and its default.
fn entry(key: &Key) -> String {
    let (doc, kind, name) = (key.doc, key.kind, key.name);
    let no_effect = if key.has_effect { "" } else { " No effect." };
    let valid = if key.valid == Valid::Any { String::new() } else { format!(": {}", key.valid) };
    let scope = match key.scope {
        Scope::TopicDefault { topic_key, .. } => format!("; the default of the topic key {topic_key}"),
        Scope::Topic => "; set on topics only".to_owned(),
        Scope::GroupDefault { group_key } => format!("; the default of the group key {group_key}"),
        Scope::Group => "; set on groups only".to_owned(),
        Scope::ClientMetrics => "; set on client metrics subscriptions only".to_owned(),
        Scope::Dynamic => "; set on brokers while they run only".to_owned(),
        Scope::Broker => String::new(),
    };
    let update = match key.update_mode {
        UpdateMode::ReadOnly => "",
        UpdateMode::PerBroker => "; may change while a broker runs, for each broker",
        UpdateMode::ClusterWide => "; may change while the broker runs",
    };
    let comment = if key.is_for_broker() && key.default.is_some() { "" } else { "# " };
    format!("\n# {doc}{no_effect}\n# {kind}{valid}{scope}{update}\n{comment}{name}: {}\n", quoted(key))
}

/// The default as a YAML scalar; texts that YAML could read as something else are quoted.
fn quoted(key: &Key) -> String {
    let default = key.default.unwrap_or_default();
    let is_plain = default.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./-_".contains(&byte));
    if is_plain && !default.is_empty() { default.to_owned() } else { format!("\"{default}\"") }
}
