//! `kafka-broker-api-versions` (`org.apache.kafka.tools.BrokerApiVersionsCommand`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use kafka_protocol::messages::ApiKey;

use super::super::print::print;
use super::arguments::{failed, parse, usage};
use super::asking::{Asking, ToolFailure};
use crate::client::{BrokerDescription, ClientError, ServedApi};

/// The options of `kafka-broker-api-versions`.
#[derive(Debug, Parser)]
#[command(about = "This tool helps to retrieve broker version information.")]
struct BrokerApiVersionsOptions {
    /// REQUIRED: The server to connect to.
    #[arg(long, value_name = "String: server(s) to use for bootstrapping")]
    bootstrap_server: Option<String>,
    /// A file of properties for the client.
    #[arg(long, value_name = "String: command config property file")]
    command_config: Option<String>,
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: BrokerApiVersionsOptions = match parse("kafka-broker-api-versions", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let Some(bootstrap) = &options.bootstrap_server else {
        return usage::<BrokerApiVersionsOptions>("Missing required argument \"[bootstrap-server]\"");
    };
    let properties_file = options.command_config.as_deref();
    // Unlike other tools it does not wait for a broker: health checks live on that.
    let asking = Asking { bootstrap, properties_file, client_id: "admin-1", waits: false };
    let asked = asking.run(async |client| {
        let mut text = String::new();
        for (broker, is_fenced) in client.brokers_and_fences(false).await? {
            let apis = client.served_apis(broker.id).await;
            text.push_str(&line(&broker, is_fenced, apis));
        }
        Ok(text)
    });
    match asked {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(ToolFailure::Asked(ClientError::Unreachable { address, .. })) => {
            failed(&format!("Request METADATA failed on brokers [{address} (id: -1 rack: null isFenced: false)]"))
        }
        Err(failure) => failed(&failure.to_string()),
    }
}

fn line(broker: &BrokerDescription, is_fenced: bool, apis: Result<Vec<ServedApi>, ClientError>) -> String {
    let BrokerDescription { id, host, port, rack } = broker;
    let rack = rack.as_deref().unwrap_or("null");
    let node = format!("{host}:{port} (id: {id} rack: {rack} isFenced: {is_fenced})");
    match apis {
        Ok(apis) => format!("{node} -> (\n\t{}\n)\n", texts(&apis).join(",\n\t")),
        Err(error) => format!("{node} -> ERROR: {error}\n"),
    }
}

/// APIs of Kafka 4.1 that the codec does not know, each at version 0 only.
const BEYOND_THE_CODEC: [(i16, &str); 2] = [(88, "StreamsGroupHeartbeat"), (89, "StreamsGroupDescribe")];

/// Kafka's name of an API, and the versions that Kafka 4.1 knows of it.
fn known(key: i16) -> Option<(String, i16, i16)> {
    if let Some((_, name)) = BEYOND_THE_CODEC.iter().find(|(beyond, _)| *beyond == key) {
        return Some(((*name).to_owned(), 0, 0));
    }
    let known = ApiKey::try_from(key).ok()?;
    let versions = known.valid_versions();
    Some((format!("{known:?}"), versions.min, versions.max))
}

/// Whether brokers serve an API to clients (`ApiKeys.clientApis` of Kafka 4.1); the others are between nodes.
fn is_for_clients(key: i16) -> bool {
    matches!(key, 0..=3 | 8..=51 | 55 | 57 | 60 | 61 | 64..=66 | 68 | 69 | 71 | 72 | 74..=81 | 83..=92)
}

/// The APIs with what of them this program can use, and those of Kafka's that the broker lacks.
fn texts(apis: &[ServedApi]) -> Vec<String> {
    let all = (0..=92).filter(|key| is_for_clients(*key)).filter_map(|key| Some((key, known(key)?.0)));
    let mut texts: BTreeMap<i16, String> =
        all.map(|(key, name)| (key, format!("{name}({key}): UNSUPPORTED"))).collect();
    texts.extend(apis.iter().map(|api| (api.key, served(*api))));
    texts.into_values().collect()
}

fn served(ServedApi { key, oldest, newest }: ServedApi) -> String {
    let versions = if oldest == newest { oldest.to_string() } else { format!("{oldest} to {newest}") };
    let Some((name, our_oldest, our_newest)) = known(key) else { return format!("UNKNOWN({key}): {versions}") };
    let usable = if our_newest < oldest {
        "unusable: node too new".to_owned()
    } else if newest < our_oldest {
        "unusable: node too old".to_owned()
    } else {
        format!("usable: {}", our_newest.min(newest))
    };
    format!("{name}({key}): {versions} [{usable}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_used_is_the_newest_version_of_both() {
        let api = |key, oldest, newest| served(ServedApi { key, oldest, newest });
        assert_eq!(api(0, 0, 99), "Produce(0): 0 to 99 [usable: 13]");
        assert_eq!(api(27, 1, 1), "WriteTxnMarkers(27): 1 [usable: 1]");
        assert_eq!(api(0, 90, 99), "Produce(0): 90 to 99 [unusable: node too new]");
        assert_eq!(api(1, 0, 2), "Fetch(1): 0 to 2 [unusable: node too old]");
        assert_eq!(api(999, 0, 1), "UNKNOWN(999): 0 to 1");
    }

    #[test]
    fn what_a_broker_lacks_is_told() {
        let texts = texts(&[ServedApi { key: 18, oldest: 0, newest: 4 }]);
        assert!(texts.contains(&"ApiVersions(18): 0 to 4 [usable: 4]".to_owned()), "{texts:?}");
        assert_eq!(texts[0], "Produce(0): UNSUPPORTED");
        assert!(texts.contains(&"StreamsGroupDescribe(89): UNSUPPORTED".to_owned()), "{texts:?}");
        assert!(!texts.iter().any(|text| text.contains("BeginQuorumEpoch")), "{texts:?}");
    }
}
